/*
 * core/run/session.c: inputs, outputs, weights in slots, states and what a failure does to
 * them.
 */
#include "graph_kit.h"
#include "run/session.h"
#include <unistd.h>

static kit k;

static plan *plan_of(graph *g)
{
    plan *p = NULL;
    if (plan_make(&k.cx, g, &(symbols){0}, NULL, &p) < 0) note("%s", k.cx.why);
    return p;
}

/* count: h <- h + x, y = h. look: y = h + 0. spoil: h2 is written, then a node fails. */
static void declare(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[4]"), h = kit_state(&k, "h", "f32[4]");
    kit_output(&k, "y",
               kit_node(&k, "t_store", NULL, h, kit_node(&k, "t_add", NULL, h, x, -1), -1));
    graph_new(&k.cx, k.m, "look", NULL, &k.g);
    h = kit_state(&k, "h", "f32[4]");
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, h, h, -1));
    graph_new(&k.cx, k.m, "spoil", NULL, &k.g);
    int32_t h2 = kit_state(&k, "h2", "f32[4]");
    x = kit_input(&k, "x", "f32[4]");
    int32_t w = kit_node(&k, "t_store", NULL, h2, x, -1);
    kit_output(&k, "y", kit_node(&k, "t_fail", "{\"mask\":1}", w, -1, -1));
    if (k.cx.code) note("%s", k.cx.why);
}

static float first(session *s, int32_t i, const char *name)
{
    float y[4] = {-1};
    session_get(&k.cx, s, i, name, y, sizeof y);
    return y[0];
}

static void test_states(void)
{
    declare();
    plan *p[3] = {plan_of(k.m->graphs[0]), plan_of(k.m->graphs[1]),
                  plan_of(k.m->graphs[2])};
    session *s, *f = NULL;
    snapshot *snap = NULL;
    int valid = 0;
    float ones[4] = {1, 1, 1, 1};
    ok(session_open(&k.cx, p, 3, NULL, &s) == 0, "three graphs in one session");
    for (int i = 0; i < 3; i++)
        plan_drop(p[i]);
    session_set(&k.cx, s, 0, "x", ones, sizeof ones);
    for (int i = 0; i < 5; i++)
        session_run(&k.cx, s, 0);
    ok(first(s, 0, "y") == 5, "a state lives from run to run, an input keeps its values");
    session_run(&k.cx, s, 1);
    ok(first(s, 1, "y") == 10, "another graph sees the same state");
    ok(session_snapshot(&k.cx, s, &snap) == 0 && session_fork(&k.cx, s, &f) == 0,
       "snapshot and fork");
    session_run(&k.cx, s, 0);
    session_run(&k.cx, f, 0);
    session_run(&k.cx, f, 0);
    ok(first(s, 0, "y") == 6 && first(f, 0, "y") == 7, "a fork goes its own way");
    ok(session_restore(&k.cx, s, snap) == 0, "a snapshot is restored");
    session_run(&k.cx, s, 1);
    ok(first(s, 1, "y") == 10, "and everything is as it was");

    session_set(&k.cx, s, 2, "x", ones, sizeof ones);
    ok(session_run(&k.cx, s, 2) == EVLA_E_RANGE, "a graph that fails behind its write");
    ctx_clear(&k.cx);
    session_state(s, "h2", &valid);
    ok(!valid, "leaves the state it wrote invalid");
    ok(session_run(&k.cx, s, 2) == EVLA_E_STATE &&
           says(&k.cx, EVLA_E_STATE,
                "graph spoil: the state h2 is invalid since a step that wrote it failed; "
                "restore "
                "a snapshot or reset the session"),
       "which no run reads again");
    session_state(s, "h", &valid);
    ok(valid && session_run(&k.cx, s, 0) == 0 && first(s, 0, "y") == 6,
       "states it did not write go on");
    ok(session_save(&k.cx, s, "/tmp/evla-t-session.states") == EVLA_E_STATE,
       "an invalid state is not saved");
    ctx_clear(&k.cx);
    session_restore(&k.cx, s, snap);
    session_state(s, "h2", &valid);
    ok(valid, "a snapshot makes it valid again");

    char path[64];
    snprintf(path, sizeof path, "/tmp/evla-t-session-%d", (int)getpid());
    ok(session_save(&k.cx, s, path) == 0, "states are saved");
    session_reset(&k.cx, s);
    session_run(&k.cx, s, 1);
    ok(first(s, 1, "y") == 0, "reset puts states to their first values");
    ok(session_load(&k.cx, s, path) == 0, "states are loaded");
    session_run(&k.cx, s, 1);
    ok(first(s, 1, "y") == 10, "as they were saved");
    if (k.cx.code) note("%s", k.cx.why);
    session_close(s);
    session_close(f);

    kit_graph(&k);
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, kit_state(&k, "h", "f32[5]"), -1, -1));
    plan *q = plan_of(k.g);
    session_open(&k.cx, &q, 1, NULL, &s);
    ok(session_load(&k.cx, s, path) == EVLA_E_SHAPE, "states of another type are refused");
    note("%s", k.cx.why);
    ctx_clear(&k.cx);
    ok(session_restore(&k.cx, s, snap) == EVLA_E_SHAPE, "and so is a snapshot of them");
    ctx_clear(&k.cx);
    session_close(s);
    plan_drop(q);
    kit_graph(&k);
    kit_output(&k, "y",
               kit_node(&k, "t_relu", NULL, kit_state(&k, "other", "f32[4]"), -1, -1));
    q = plan_of(k.g);
    session_open(&k.cx, &q, 1, NULL, &s);
    ok(session_load(&k.cx, s, path) == EVLA_E_MISSING, "a state that is not in the file");
    ctx_clear(&k.cx);
    ok(session_load(&k.cx, s, "/nowhere/at/all") == EVLA_E_MISSING,
       "a file that is not there");
    ctx_clear(&k.cx);
    ok(session_save(&k.cx, s, "/nowhere/at/all") == EVLA_E_IO,
       "a folder that is not there");
    ctx_clear(&k.cx);
    session_close(s);
    plan_drop(q);
    snapshot_free(snap);
    unlink(path);
}

static void test_slots(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[1,2]");
    kit_input(&k, "idle", "f32[3]");
    kit_output(&k, "y",
               kit_node(&k, "t_dot", NULL, x, kit_weight(&k, "w", "f32[1,2]"), -1));
    plan *p = plan_of(k.g);
    session *s;
    ok(session_open(&k.cx, &p, 1, NULL, &s) == EVLA_E_STATE &&
           says(
               &k.cx, EVLA_E_STATE,
               "m.lua:3: weight w, f32[1,2], has no data; load it or give it first values"),
       "a weight without data is refused when the session opens");
    evla_type t = {EVLA_F32, 2, {1, 2}}, wrong = {EVLA_F32, 2, {2, 1}};
    float w[2] = {2, 3}, v[2] = {10, 20}, in[2] = {1, 1}, y;
    ok(model_set_weight(&k.cx, k.m, 0, &wrong, w, 1) == EVLA_E_SHAPE &&
           says(&k.cx, EVLA_E_SHAPE, "weight w: want f32[1,2] as in g, found f32[2,1]"),
       "data of another type is refused");
    ok(model_set_weight(&k.cx, k.m, 0, &t, w, 1) == 0, "a weight gets its data");
    ok(session_open(&k.cx, &p, 1, &(session_options){.n_workers = 2}, &s) == EVLA_E_RANGE,
       "more workers than the plan was made for");
    ctx_clear(&k.cx);
    ok(session_open(&k.cx, &p, 1, &(session_options){.budget = 10}, &s) == EVLA_E_NOMEM,
       "a session's budget");
    ctx_clear(&k.cx);
    session_open(&k.cx, &p, 1, NULL, &s);
    session_set(&k.cx, s, 0, "x", in, sizeof in);
    session_run(&k.cx, s, 0);
    session_get(&k.cx, s, 0, "y", &y, sizeof y);
    ok(y == 5, "runs with the model's weight");
    ok(session_swap_weight(&k.cx, s, "w", &t, v) == 0, "another tensor in the same slot");
    session_run(&k.cx, s, 0);
    session_get(&k.cx, s, 0, "y", &y, sizeof y);
    ok(y == 30, "takes effect without a new plan");
    ok(session_swap_weight(&k.cx, s, "w", &wrong, v) == EVLA_E_SHAPE,
       "only of the same type");
    ctx_clear(&k.cx);
    session_swap_weight(&k.cx, s, "w", NULL, NULL);
    session_run(&k.cx, s, 0);
    session_get(&k.cx, s, 0, "y", &y, sizeof y);
    ok(y == 5, "and back");
    session_set(&k.cx, s, 0, "z", in, sizeof in);
    ok(says(&k.cx, EVLA_E_MISSING,
            "graph g: has no input called \"z\"; did you mean \"x\"?"),
       "an unknown input");
    session_get(&k.cx, s, 0, "yy", in, sizeof in);
    ok(says(&k.cx, EVLA_E_MISSING,
            "graph g: has no output called \"yy\"; did you mean \"y\"?"),
       "an unknown output");
    session_set(&k.cx, s, 0, "x", in, 7);
    ok(says(&k.cx, EVLA_E_SHAPE, "graph g: x is f32[1,2], 8 bytes; got 7"), "a wrong size");
    ok(session_input(s, 0, 1) == NULL && session_set(&k.cx, s, 0, "idle", in, 12) == 0,
       "an input nobody reads has no memory and takes no harm");
    ok((uintptr_t)session_input(s, 0, 0)->data[0] % 64 == 0 && session_bytes(s) == 128,
       "tensors are aligned to 64 bytes, and memory is what the plan said");
    session_close(s);
    plan_drop(p);
    session_close(NULL);
}

static void test_no_memory(void)
{
    declare();
    plan *p[2] = {plan_of(k.m->graphs[0]), plan_of(k.m->graphs[1])};
    int clean = 1, opened = 0;
    for (int64_t at = 1; !opened && at < 500; at++) {
        session *s = NULL;
        k.cx.mem.fail_in = at;
        int32_t st = session_open(&k.cx, p, 2, NULL, &s);
        k.cx.mem.fail_in = 0;
        if (st == 0) {
            opened = 1;
            session_close(s);
        } else if (st != EVLA_E_NOMEM || !*k.cx.why)
            clean = 0;
        ctx_clear(&k.cx);
    }
    ok(clean && opened,
       "memory that runs out at any push while opening is one clean refusal");
    plan_drop(p[0]);
    plan_drop(p[1]);
}

int main(void)
{
    kit_open(&k);
    test_states();
    test_slots();
    test_no_memory();
    kit_close(&k);
    return tap_done();
}
