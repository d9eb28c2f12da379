/*
 * core/graph/show.c, svg.c: pictures are well-formed and say what is there.
 */
#include "graph/show.h"
#include "graph/svg.h"
#include "graph_kit.h"
#include <stdlib.h>
#include <unistd.h>

static kit k;

/* Tags close in order, attributes are quoted, no bare ampersand: enough for what we write.
 */
static int is_well_formed(const char *s)
{
    const char *open[32];
    int depth = 0;
    while (*s) {
        if (*s == '&' && strncmp(s, "&lt;", 4) != 0 && strncmp(s, "&gt;", 4) != 0 &&
            strncmp(s, "&amp;", 5) != 0)
            return 0;
        if (*s++ != '<') continue;
        const char *end = s;
        int quoted = 0;
        for (; *end && (*end != '>' || quoted); end++)
            if (*end == '"') quoted = !quoted;
        if (*s == '/') {
            if (!depth || strncmp(open[--depth], s + 1, strcspn(s + 1, ">")) != 0) return 0;
        } else if (end[-1] != '/') {
            if (depth == 32) return 0;
            open[depth++] = s;
        }
        s = end;
    }
    return depth == 0;
}

/* The real judge, where there is one. */
static int renders(const char *text)
{
    char path[64], command[200];
    snprintf(path, sizeof path, "/tmp/evla-t-show-%d.svg", (int)getpid());
    FILE *f = fopen(path, "w");
    if (!f) return 0;
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command,
             "command -v rsvg-convert >/dev/null || exit 0; rsvg-convert %s >/dev/null",
             path);
    int good = system(command) == 0;
    unlink(path);
    return good;
}

static void declare(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "a<b&c", "f32[4,8]"), h = kit_state(&k, "h", "f32[4,8]"),
            skip = x;
    for (int i = 0; i < 5; i++) {
        x = kit_node(&k, "t_dot", "{\"out\":8}", x, kit_weight(&k, "w", NULL), -1);
        x = kit_node(&k, "t_add", NULL, x, skip, -1);
    }
    kit_output(&k, "next", kit_node(&k, "t_store", NULL, h, x, -1));
    kit_output(&k, "sum", kit_node(&k, "t_stat", NULL, x, -1, -1));
}

int main(void)
{
    kit_open(&k);
    declare();
    plan *p;
    bound *b;
    arena *a = &k.cx.mem;
    plan_make(&k.cx, k.g, &(symbols){0}, NULL, &p);
    infer_bind(&k.cx, a, k.g, &(symbols){0}, &(plan_options){.without = "fold"}, &b);
    const char *before = show_graph(&k.cx, a, b, "as declared"),
               *after = show_graph(&k.cx, a, p->graph, "as <planned>"),
               *memory = show_arena(&k.cx, a, p, "arena & more");
    ok(before && is_well_formed(before) && renders(before),
       "a graph as declared is a picture");
    ok(after && is_well_formed(after) && renders(after), "and as planned");
    ok(memory && is_well_formed(memory) && renders(memory), "and its arena");
    ok(strstr(before, "12 nodes; folded 0, coded 0, dead 0, fused 0") &&
           strstr(after, "7 nodes; folded 0, coded 0, dead 0, fused 5"),
       "they say what the rewrites did");
    ok(strstr(before, "a&lt;b&amp;c") && !strstr(before, "a<b"), "names do no harm");
    ok(strstr(after, "t_dot + t_add") && strstr(after, "512 FLOP") &&
           strstr(after, "f32[4,8]"),
       "nodes carry operators, FLOPs and types");
    ok(strstr(memory, "lower bound") && strstr(memory, "scratch of "),
       "the arena shows its bound and scratch");
    plan_drop(p);
    kit_graph(&k);
    kit_output(&k, "y", kit_input(&k, "x", "f32"));
    plan_make(&k.cx, k.g, &(symbols){0}, NULL, &p);
    after = show_graph(&k.cx, a, p->graph, "nothing");
    memory = show_arena(&k.cx, a, p, "nothing");
    ok(after && memory && is_well_formed(after) && is_well_formed(memory),
       "a graph without nodes is a picture too");
    plan_drop(p);
    char text[24];
    svg_bytes(text, 1536);
    ok(!strcmp(text, "1.50 KiB"), "sizes for people");
    svg_flops(text, 12345678);
    ok(!strcmp(text, "12 MFLOP"), "and work");
    declare();
    plan_make(&k.cx, k.g, &(symbols){0}, NULL, &p);
    int clean = 1, done = 0;
    for (int64_t at = 1; !done && at < 300; at++) {
        a->fail_in = at;
        done = show_graph(&k.cx, a, p->graph, "t") != NULL;
        if (a->fail_in > 0 && !done) clean = 0;
        a->fail_in = 0;
        ctx_clear(&k.cx);
    }
    ok(clean && done, "memory that runs out gives no picture, and no harm");
    plan_drop(p);
    kit_close(&k);
    return tap_done();
}
