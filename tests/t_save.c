/*
 * core/graph/{bundle,save}.c: a model survives its file; damaged files are refused with a
 * sentence.
 */
#include "graph/bundle.h"
#include "graph/save.h"
#include "graph_kit.h"
#include "run/session.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static kit k;
static char path[64];

static void declare(void)
{
    kit_graph(&k);
    graph_symbol(&k.cx, k.g, "B", "bucket{2,8}", NULL);
    int32_t x = kit_input(&k, "x", "f32[B,4]"), h = kit_state(&k, "h", "f32[B,3]"), c;
    graph_const_value(&k.cx, k.g, "f32", &(value){.kind = VALUE_FLOAT, .as.f = 0.5}, NULL,
                      &c);
    int32_t y =
        kit_node(&k, "t_dot", "{\"out\":3}", x, kit_weight(&k, "blk.0.w", NULL), -1);
    y = kit_node(&k, "t_add", NULL, y, c, -1);
    int32_t two = kit_node(&k, "t_two", NULL, y, -1, -1);
    y = kit_node(&k, "t_add", NULL, two + 1, h, -1);
    kit_output(&k, "h", kit_node(&k, "t_store", NULL, h, y, -1));
    kit_output(&k, "lo", two);
    graph_new(&k.cx, k.m, "second", NULL, &k.g);
    x = kit_input(&k, "x", "f32[5,4]");
    kit_output(&k, "y",
               kit_node(&k, "t_dot", NULL, x, kit_weight(&k, "blk.0.w", NULL), -1));
    if (k.cx.code) note("%s", k.cx.why);
}

static float run(model *m)
{
    plan *p;
    session *s;
    float in[32], out[24], sum = 0;
    symbols sizes = {.n = 1, .name = {"B"}, .extent = {7}};
    for (int i = 0; i < 32; i++)
        in[i] = (float)i * 0.1f - 1;
    if (plan_make(&k.cx, model_graph(m, "g"), &sizes, NULL, &p) < 0 ||
        model_fill(&k.cx, m, 5) < 0 || session_open(&k.cx, &p, 1, NULL, &s) < 0) {
        note("%s", k.cx.why);
        return -1;
    }
    session_set(&k.cx, s, 0, "x", in, sizeof in);
    session_run(&k.cx, s, 0);
    session_run(&k.cx, s, 0);
    session_get(&k.cx, s, 0, "h", out, sizeof out);
    for (int i = 0; i < 24; i++)
        sum += out[i] * (float)(i + 1);
    session_close(s);
    plan_drop(p);
    return sum;
}

static char *slurp(const char *file, size_t *n)
{
    struct stat st;
    int fd = open(file, O_RDONLY);
    fstat(fd, &st);
    *n = (size_t)st.st_size;
    char *p = malloc(*n + 1);
    if (read(fd, p, *n) != (ssize_t)*n) *n = 0;
    close(fd);
    p[*n] = 0;
    return p;
}

static void test_round_trip(void)
{
    declare();
    model *back;
    ok(save_model(&k.cx, k.m, path) == EVLA_E_STATE, "a model without data is not saved");
    ctx_clear(&k.cx);
    float before = run(k.m);
    ok(save_model(&k.cx, k.m, path) == 0, "saves");
    ok(save_open(&k.cx, path, &back) == 0, "opens");
    if (k.cx.code) note("%s", k.cx.why);
    float after = run(back);
    ok(before == after && before != 0, "and computes the same bits");
    ok(back->n_graphs == 2 && back->graphs[0]->n_nodes == 5 &&
           back->graphs[0]->symbols[0].rule == SYMBOL_BUCKET,
       "with all its graphs, nodes and symbols");
    ok((uintptr_t)back->weights[0].data % 64 == 0 && back->map &&
           (const char *)back->weights[0].data > (const char *)back->map,
       "weights lie aligned in the mapped file");
    char again[80];
    snprintf(again, sizeof again, "%s.2", path);
    size_t n, n2;
    save_model(&k.cx, back, again);
    char *a = slurp(path, &n), *b = slurp(again, &n2);
    ok(n == n2 && !memcmp(a, b, n), "saved again it is the same file");
    free(a);
    free(b);
    unlink(again);
    model_drop(back);
    ok(save_model(&k.cx, k.m, "/nowhere/m.evla") == EVLA_E_IO,
       "a folder that is not there");
    ctx_clear(&k.cx);
}

/* A file made of a header's text and nothing else, or with room behind it. */
static size_t forge(char *to, const char *text, size_t data)
{
    size_t n = strlen(text), from = (32 + n + 63) / 64 * 64, all = from + data;
    memset(to, 0, all);
    memcpy(to, "evla\r\n\x1a\n", 8);
    to[8] = 1;
    for (int i = 0; i < 8; i++) {
        to[16 + i] = (char)(n >> 8 * i);
        to[24 + i] = (char)(all >> 8 * i);
    }
    memcpy(to + 32, text, n);
    return all;
}

static void refuses(const char *text, size_t data, const char *sentence, const char *title)
{
    _Alignas(64) static char file[8192];
    model *m = NULL;
    size_t n = forge(file, text, data);
    int32_t st = save_read(&k.cx, "m.evla", file, n, &m);
    ok(st < 0 && strstr(k.cx.why, sentence), "%s", title);
    if (st >= 0 || !strstr(k.cx.why, sentence)) note("%d %s", st, k.cx.why);
    if (st >= 0) model_drop(m);
    ctx_clear(&k.cx);
}

#define FILE_OF(graph, parts)                                                              \
    "{\"head\":{\"graphs\":[{\"name\":\"g\"," graph                                        \
    "}],\"name\":\"m\"},\"kind\":\"evla.model\",\"parts\":[" parts "]}"
#define INPUT "\"inputs\":[[\"x\",\"f32[4]\"]],"

static void test_refusals(void)
{
    refuses("{", 0, "its header is no JSON", "no JSON");
    refuses("{\"head\":[],\"kind\":\"evla.states\",\"parts\":[]}", 0,
            "is of kind \"evla.states\", want \"evla.model\"", "a file of states");
    refuses(FILE_OF(INPUT "\"nodes\":[{\"id\":\"a\",\"op\":\"t_relu\",\"in\":[\"b\"]},"
                          "{\"id\":\"b\",\"op\":\"t_relu\",\"in\":[\"c\"]},"
                          "{\"id\":\"c\",\"op\":\"t_relu\",\"in\":[\"b\"]}],\"outputs\":[]",
                    ""),
            0, "m.evla: graph g: its nodes wait for each other: b -> c -> b",
            "a cycle, named by its nodes");
    refuses(
        FILE_OF(
            INPUT
            "\"nodes\":[{\"id\":\"a\",\"op\":\"t_relu\",\"in\":[\"z\"]}],\"outputs\":[]",
            ""),
        0, "node a: reads \"z\", which is not there", "a value that is not there");
    refuses(
        FILE_OF(INPUT "\"nodes\":[{\"id\":\"a\",\"op\":\"t_rely\",\"in\":[\"i:x\"]}]", ""),
        0, "m.evla: graph g: node a: no op is called \"t_rely\"; did you mean \"t_relu\"?",
        "an operator nobody loaded");
    refuses(FILE_OF(INPUT
                    "\"nodes\":[{\"id\":\"a\",\"op\":\"t_relu\",\"in\":[\"i:x\",\"i:x\"]}]",
                    ""),
            0, "node a: 2 inputs are more than t_relu takes", "too many inputs");
    refuses(FILE_OF(INPUT "\"nodes\":[{\"id\":\"a\",\"op\":\"t_relu\",\"in\":[\"i:x\"]}],"
                          "\"outputs\":[[\"y\",\"a:3\"]]",
                    ""),
            0, "output 0: want [name, value], with a value that is there",
            "an output beyond a node's");
    refuses(FILE_OF(INPUT "\"nodes\":[{\"id\":\"i:x\",\"op\":\"t_relu\",\"in\":[]}]", ""),
            0, "the name \"i:x\" stands twice", "a node with an input's name");
    refuses(FILE_OF(INPUT "\"nodes\":[{\"op\":\"t_relu\"}]", ""), 0,
            "node 0: want {id, op, in = [...], params}", "a node without id");
    refuses(FILE_OF("\"weights\":[\"w\"],\"outputs\":[[\"y\",\"w:w\"]]", ""), 0,
            "the weight w is not in it", "a weight without data");
    refuses(
        FILE_OF("\"outputs\":[]", "[\"w:w\",\"f32[16]\",0]"), 63,
        "part w:w: 64 bytes at 0; want a multiple of 64 with all of it inside the 63 bytes",
        "data that ends early");
    refuses(FILE_OF("\"outputs\":[]", "[\"w:w\",\"f32[16]\",32]"), 640,
            "part w:w: 64 bytes at 32", "unaligned data");
    refuses(FILE_OF("\"outputs\":[]", "[\"w:w\",\"f32[9999999999,9999999999]\",0]"), 64,
            "has no whole size", "a size beyond numbers");
    refuses(FILE_OF("\"outputs\":[]", "[\"w:w\",\"f32[B]\",0]"), 64,
            "the symbol B has no value", "a symbolic size of data");
    refuses(FILE_OF("\"outputs\":[]", "[\"b\",\"f32\",0],[\"a\",\"f32\",0]"), 64,
            "part a: names must ascend", "parts out of order");
    refuses(FILE_OF("\"outputs\":[]", "[\"b\",\"f32\"]"), 64,
            "part 0: want [name, type, offset]", "a part without offset");
    refuses(FILE_OF("\"outputs\":[]", ""), 0, "graph g: has no output",
            "a graph without output");
    refuses(FILE_OF("\"inputs\":{\"a\":1}", ""), 0, "\"inputs\" should be a list",
            "a table for a list");

    _Alignas(64) char file[512];
    model *m;
    size_t n = forge(file, FILE_OF(INPUT "\"outputs\":[[\"y\",\"i:x\"]]", ""), 0);
    ok(save_read(&k.cx, "m.evla", file, n, &m) == 0,
       "the smallest model: an input is its output");
    model_drop(m);
    ok(save_read(&k.cx, "m.evla", file, n - 1, &m) == EVLA_E_FORMAT &&
           strstr(k.cx.why, "was it cut off?"),
       "a file cut off");
    ctx_clear(&k.cx);
    file[8] = 2;
    ok(save_read(&k.cx, "m.evla", file, n, &m) == EVLA_E_FORMAT &&
           says(&k.cx, EVLA_E_FORMAT, "m.evla: is of version 2, this core reads 1"),
       "a newer version");
    file[8] = 1;
    memset(file + 16, 0xff, 8);
    ok(save_read(&k.cx, "m.evla", file, n, &m) == EVLA_E_FORMAT, "a header without end");
    ctx_clear(&k.cx);
    file[0] = 'x';
    ok(save_read(&k.cx, "m.evla", file, n, &m) == EVLA_E_FORMAT &&
           says(&k.cx, EVLA_E_FORMAT,
                "m.evla: is no evla file: it does not start with the eight bytes of one"),
       "a foreign file");
    ok(save_open(&k.cx, "/nowhere/m.evla", &m) == EVLA_E_MISSING, "no file");
    ctx_clear(&k.cx);
    ok(save_open(&k.cx, "/tmp", &m) < 0, "a folder");
    ctx_clear(&k.cx);
}

/* Every byte of a real file changed, one at a time: refused or read, never worse. */
static void test_damage(void)
{
    size_t n;
    int read_back = 0, refused = 0, silent = 0;
    char *bytes = slurp(path, &n);
    char *file = aligned_alloc(64, (n + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++) {
        model *m = NULL;
        memcpy(file, bytes, n);
        file[i] = (char)(file[i] + 1 + (int)(i % 7));
        if (save_read(&k.cx, "m.evla", file, n, &m) >= 0) {
            read_back++;
            model_drop(m);
        } else {
            refused++;
            silent += !k.cx.code || !*k.cx.why;
        }
        ctx_clear(&k.cx);
    }
    ok(refused > 100 && !silent, "a changed byte is refused with a sentence, or harmless");
    note("%d bytes: %d refused, %d read", (int)n, refused, read_back);
    for (int64_t at = 1; at < 400; at += 3) {
        model *m = NULL;
        k.cx.mem.fail_in = at;
        if (save_read(&k.cx, "m.evla", bytes, n, &m) >= 0)
            model_drop(m);
        else
            silent += !k.cx.code;
        k.cx.mem.fail_in = 0;
        ctx_clear(&k.cx);
    }
    ok(!silent, "memory that runs out while reading is told");
    free(file);
    free(bytes);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/evla-t-save-%d", (int)getpid());
    kit_open(&k);
    test_round_trip();
    test_refusals();
    test_damage();
    kit_close(&k);
    unlink(path);
    return tap_done();
}
