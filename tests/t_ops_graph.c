/*
 * Graphs of the standard operators: the same bits fused or not and for any number of
 * workers, an arena within 1.05x of its lower bound.
 */
#include "graph/plan.h"
#include "plugin.h"
#include "run/session.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static registry reg;
static ctx cx;
static graph *g;

static int32_t weight_of(const char *format, int i)
{
    char name[40];
    int32_t w = -1;
    snprintf(name, sizeof name, format, i);
    graph_weight(&cx, g, name, NULL, "uniform:0.2", NULL, &w);
    return w;
}

static int32_t op(const char *name, const char *params, int32_t a, int32_t b, int32_t c)
{
    graph_arg args[3];
    int32_t n = 0, out = -1, in[] = {a, b, c};
    value v = {0};
    for (int i = 0; i < 3; i++)
        if (in[i] >= 0) args[n++] = (graph_arg){NULL, in[i]};
    if (params) value_parse(&cx.mem, params, strlen(params), &v, NULL);
    graph_add(&cx, g, name, args, n, &v, NULL, &out);
    return out;
}

static void input(const char *name, const char *type, int32_t *w)
{
    graph_input(&cx, g, name, type, NULL, w);
}

/* Blocks of attention and a feed-forward part, normed before, with residuals. */
static void transformer(void)
{
    int32_t x;
    input("x", "f32[1,S,64]", &x);
    for (int i = 0; i < 6; i++) {
        int32_t h = op("rms_norm", NULL, x, weight_of("%d.n1", i), -1);
        int32_t q = op("linear", "{\"out\":64}", h, weight_of("%d.q", i), -1),
                key = op("linear", "{\"out\":64}", h, weight_of("%d.k", i), -1),
                v = op("linear", "{\"out\":64}", h, weight_of("%d.v", i), -1);
        int32_t o = op("attention", "{\"heads\":4}", q, key, v);
        x = op("add", NULL, x, op("linear", "{\"out\":64}", o, weight_of("%d.o", i), -1),
               -1);
        h = op("rms_norm", NULL, x, weight_of("%d.n2", i), -1);
        int32_t up = op("linear", "{\"out\":160}", h, weight_of("%d.up", i), -1);
        int32_t gate =
            op("silu", NULL, op("linear", "{\"out\":160}", h, weight_of("%d.g", i), -1), -1,
               -1);
        h = op("mul", NULL, gate, up, -1);
        x = op("add", NULL, x, op("linear", "{\"out\":64}", h, weight_of("%d.down", i), -1),
               -1);
    }
    graph_output(&cx, g, "y", x, NULL);
}

/* A vector through layers whose widths differ, with a recurrent cell and two heads. */
static void policy(void)
{
    int32_t x, h, next;
    input("x", "f32[S,29]", &x);
    graph_state(&cx, g, "h", "f32[S,96]", NULL, NULL, &h);
    static const char *const widths[] = {"{\"out\":256}", "{\"out\":64}", "{\"out\":200}"};
    for (int i = 0; i < 3; i++) {
        x = op("linear", widths[i], x, weight_of("%d.w", i), weight_of("%d.b", i));
        x = op("gelu", NULL, x, -1, -1);
    }
    graph_arg cell[] = {
        {NULL, x}, {NULL, h}, {NULL, weight_of("wi", 0)}, {NULL, weight_of("wh", 0)}};
    graph_add(&cx, g, "gru_cell", cell, 4, NULL, NULL, &next);
    op("assign", NULL, h, next, -1);
    int32_t a = op("linear", "{\"out\":7}", next, weight_of("a.w", 0), weight_of("a.b", 0));
    graph_output(&cx, g, "action", op("tanh", NULL, a, -1, -1), NULL);
    graph_output(&cx, g, "y", op("linear", "{\"out\":1}", next, weight_of("v.w", 0), -1),
                 NULL);
}

static int run(const char *without, int32_t workers, float *out, size_t bytes,
               double *ratio)
{
    symbols s = {.n = 1, .name = {"S"}, .extent = {33}};
    plan_options o = {.n_workers = 3, .without = without};
    plan *p;
    session *se;
    if (cx.code || plan_make(&cx, g, &s, &o, &p) < 0) return 0;
    *ratio = (double)p->arena_bytes / (double)p->lower_bound;
    if (model_fill(&cx, g->of, 4) < 0 ||
        session_open(&cx, &p, 1, &(session_options){.n_workers = workers}, &se) < 0) {
        plan_drop(p);
        return 0;
    }
    evla_tensor *in = session_input(se, 0, 0);
    int64_t n = 1;
    for (int32_t i = 0; i < in->rank; i++)
        n *= in->shape[i];
    for (int64_t i = 0; i < n; i++)
        ((float *)in->data[0])[i] = (float)(i % 41) * 0.05f - 1;
    int good = 1;
    for (int i = 0; i < 3; i++)
        good &= session_run(&cx, se, 0) >= 0;
    good &= session_get(&cx, se, 0, "y", out, bytes) >= 0;
    session_close(se);
    plan_drop(p);
    return good;
}

static void test(const char *what, void (*declare)(void), size_t numbers)
{
    static float one[33 * 64], other[33 * 64];
    model *m;
    double fused, plain;
    ctx_clear(&cx);
    model_new(&cx, "m", &m);
    graph_new(&cx, m, "g", NULL, &g);
    declare();
    size_t bytes = numbers * sizeof(float);
    ok(run(NULL, 1, one, bytes, &fused) && one[0] != 0, "%s: runs", what);
    if (cx.code) note("%s", cx.why);
    ok(run("fuse dead fold", 1, other, bytes, &plain) && !memcmp(one, other, bytes),
       "%s: the same bits when nothing is rewritten", what);
    ok(run(NULL, 2, other, bytes, &fused) && !memcmp(one, other, bytes),
       "%s: the same bits on two workers", what);
    ok(run("fuse", 3, other, bytes, &plain) && !memcmp(one, other, bytes),
       "%s: the same bits unfused on three workers", what);
    ok(fused <= 1.05 && plain <= 1.05, "%s: arenas within 1.05x of their lower bounds",
       what);
    note("%s: %.4f fused, %.4f not", what, fused, plain);
    model_drop(m);
}

int main(void)
{
    char path[4096];
    const char *build = getenv("EVLA_BUILD");
    snprintf(path, sizeof path, "%s/plugins/ops.so", build ? build : "build");
    if (access(path, R_OK)) return skip_all("plugins/ops.so is not built");
    registry_init(&reg);
    ctx_init(&cx, &reg);
    if (plugin_load(&cx, &reg, path) < 0 || plugin_seal(&cx, &reg) < 0) note("%s", cx.why);
    test("transformer", transformer, 33 * 64);
    test("policy", policy, 33);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
