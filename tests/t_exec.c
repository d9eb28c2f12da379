/*
 * core/run/exec.c, profile.c: the same bits for any number of workers, fused or not;
 * failures that do not depend on who was first (also under TSan).
 */
#include "graph_kit.h"
#include "run/session.h"

static kit k;

/* A network with a tail to fuse, scratch, several outputs of a node and skips. */
static void declare(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[B,12]"), skip;
    for (int i = 0; i < 4; i++) {
        char w[20], b[20];
        snprintf(w, sizeof w, "%d.w", i);
        snprintf(b, sizeof b, "%d.b", i);
        skip = x;
        x = kit_node(&k, "t_dot", "{\"out\":12}", x, kit_weight(&k, w, NULL),
                     kit_weight(&k, b, NULL));
        x = kit_node(&k, "t_add", NULL, skip, x, -1);
        x = kit_node(&k, "t_relu", NULL, x, -1, -1);
        int32_t lo = kit_node(&k, "t_two", NULL, x, -1, -1);
        x = kit_node(&k, "t_cat", NULL, x, lo, lo + 1);
    }
    kit_output(&k, "y", x);
    kit_output(&k, "sum", kit_node(&k, "t_stat", NULL, x, -1, -1));
    if (k.cx.code) note("%s", k.cx.why);
}

enum { ROWS = 37, NUMBERS = ROWS * 12 + 1 };

static int run(const plan_options *o, int32_t workers, int times, float *out)
{
    float in[ROWS * 12];
    for (int i = 0; i < ROWS * 12; i++)
        in[i] = (float)(i % 23) * 0.037f - 0.4f;
    plan *p;
    session *s;
    symbols sizes = {.n = 1, .name = {"B"}, .extent = {ROWS}};
    int32_t st = plan_make(&k.cx, k.g, &sizes, o, &p);
    if (st < 0) {
        note("%s", k.cx.why);
        return 0;
    }
    model_fill(&k.cx, k.m, 3);
    st = session_open(&k.cx, &p, 1, &(session_options){.n_workers = workers}, &s);
    plan_drop(p); /* the session keeps it */
    if (st < 0) {
        note("%s", k.cx.why);
        return 0;
    }
    session_set(&k.cx, s, 0, "x", in, sizeof in);
    for (int i = 0; st >= 0 && i < times; i++)
        st = session_run(&k.cx, s, 0);
    session_get(&k.cx, s, 0, "y", out, ROWS * 12 * sizeof *out);
    session_get(&k.cx, s, 0, "sum", out + ROWS * 12, sizeof *out);
    session_close(s);
    if (st < 0) note("%s", k.cx.why);
    return st >= 0;
}

static void test_bits(void)
{
    static float first[NUMBERS], other[NUMBERS];
    declare();
    ok(run(&(plan_options){.n_workers = 1}, 1, 1, first), "runs with one worker");
    for (int32_t w = 1; w <= 8; w = w < 3 ? w + 1 : w + 5) {
        memset(other, 0, sizeof other);
        ok(run(&(plan_options){.n_workers = 8}, w, 50, other) &&
               !memcmp(first, other, sizeof first),
           "%d workers: the same bits, run after run", w);
    }
    ok(run(&(plan_options){.without = "fuse"}, 1, 1, other) &&
           !memcmp(first, other, sizeof first),
       "the same bits when nothing is fused");
    ok(run(&(plan_options){.without = "fuse dead fold", .n_workers = 3}, 3, 10, other) &&
           !memcmp(first, other, sizeof first),
       "the same bits without any rewrite, on three workers");
    ok(first[0] != 0 && first[ROWS * 12] != 0, "and they are not just zeros");
}

static void test_failures(void)
{
    for (int32_t w = 1; w <= 8; w = w < 3 ? w + 1 : w + 5) {
        kit_graph(&k);
        int32_t x = kit_input(&k, "x", "f32[4]");
        int32_t y = kit_node(&k, "t_fail", "{\"tiles\":40}", x, -1, -1);
        y = kit_node(&k, "t_fail", "{\"tiles\":40,\"mask\":687194767360}", y, -1, -1);
        kit_output(&k, "y", kit_node(&k, "t_fail", "{\"mask\":1}", y, -1, -1));
        plan *p;
        session *s;
        if (plan_make(&k.cx, k.g, &(symbols){0}, &(plan_options){.n_workers = 8}, &p) < 0 ||
            session_open(&k.cx, &p, 1, &(session_options){.n_workers = w}, &s) < 0) {
            ok(0, "%s", k.cx.why);
            return;
        }
        int same = 1;
        for (int i = 0; i < 100; i++) {
            int32_t st = session_run(&k.cx, s, 0);
            same &=
                st == EVLA_E_RANGE &&
                says(&k.cx, EVLA_E_RANGE,
                     "m.lua:5: g/t_fail.1: kernel t_fail.plain: tile 37 of phase 0 is told "
                     "to fail");
        }
        ok(same,
           "%d workers: of several failures the lowest tile of the first node is told", w);
        session_close(s);
        plan_drop(p);
    }
}

static void test_stop(void)
{
    declare();
    plan *p;
    session *s;
    atomic_int stop = 0;
    symbols sizes = {.n = 1, .name = {"B"}, .extent = {ROWS}};
    plan_make(&k.cx, k.g, &sizes, &(plan_options){.n_workers = 3}, &p);
    model_fill(&k.cx, k.m, 3);
    session_open(&k.cx, &p, 1, &(session_options){.n_workers = 3, .profile = 1}, &s);
    k.cx.stop = &stop;
    ok(session_run(&k.cx, s, 0) == 0, "runs while nobody asks to stop");
    stop = 1;
    ok(session_run(&k.cx, s, 0) == EVLA_E_STOPPED &&
           says(&k.cx, EVLA_E_STOPPED, "g/t_dot.0: stopped before it ran"),
       "stops between nodes when asked to");
    k.cx.stop = NULL;
    ok(session_run(&k.cx, s, 0) == 0, "and runs again");
    profile *f = session_profile(s, 0);
    ok(f && f->runs == 2 && f->rows[0].calls == 2 && f->rows[0].ns >= f->rows[0].least_ns &&
           f->rows[0].least_ns <= f->rows[0].most_ns,
       "the profile counts calls and time of every node");
    const char *table = profile_table(f, &k.cx.mem);
    ok(strstr(table, "g/t_stat.20") && strstr(table, "2 runs"), "and prints as a table");
    profile_clear(f);
    ok(f->runs == 0 && f->rows[0].calls == 0, "and can be cleared");
    ok(strstr(plan_table(p, &k.cx.mem), "t_dot+t_add+t_relu") != NULL,
       "a plan prints as a table of nodes and kernels");
    session_close(s);
    plan_drop(p);
}

int main(void)
{
    kit_open(&k);
    test_bits();
    test_failures();
    test_stop();
    kit_close(&k);
    return tap_done();
}
