/*
 * turns.c -- a graph that runs several times in a row. See turns.h.
 */
#include "turns.h"
#include <string.h>

static int32_t add_link(ctx *cx, const plan *p, int32_t in, int32_t out, turns *t)
{
    const char *name = p->graph->outputs[out].name, *graph_name = p->graph->from->name;
    const evla_type *want = plan_input_type(p, in), *made = plan_output_type(p, out);
    if (!type_equal(want, made)) {
        arena_place mark = arena_mark(&cx->scratch);
        ctx_fail(cx, EVLA_E_SHAPE,
                 "graph %s: runs %lld times and hands %s on, which is %s as an output but "
                 "%s as an input",
                 graph_name, (long long)t->times, name,
                 type_text(p->reg, &cx->scratch, made),
                 type_text(p->reg, &cx->scratch, want));
        arena_reset(&cx->scratch, mark);
        return EVLA_E_SHAPE;
    }
    if (t->n_links == TURNS_MOST_LINKS)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "graph %s: hands more than %d outputs on to its next run",
                        graph_name, TURNS_MOST_LINKS);
    t->links[t->n_links].in = in;
    t->links[t->n_links].out = out;
    t->links[t->n_links++].bytes = (size_t)type_bytes(p->reg, want);
    return 0;
}

int32_t turns_of(ctx *cx, const plan *p, int64_t times, turns *out)
{
    *out = (turns){.times = times ? times : 1, .step = -1};
    if (times < 0 || times > TURNS_MOST)
        return ctx_fail(cx, EVLA_E_RANGE, "graph %s: times: want 1 to %d, got %lld",
                        p->graph->from->name, TURNS_MOST, (long long)times);
    int32_t st = 0, step = plan_input(p, "step");
    const evla_type *t = step < 0 ? NULL : plan_input_type(p, step);
    if (t && t->rank == 0 && t->dtype == EVLA_I32) out->step = step;
    for (int32_t o = 0; st >= 0 && times > 1 && o < p->graph->n_outputs; o++) {
        int32_t in = plan_input(p, p->graph->outputs[o].name);
        /* an input that nobody reads needs nothing */
        if (in >= 0 && p->graph->inputs[in] >= 0) st = add_link(cx, p, in, o, out);
    }
    return st;
}

int turns_feeds(const turns *t, int32_t input) { return t->step == input && input >= 0; }

int32_t turns_run_one(ctx *cx, session *s, int32_t i, const turns *t, int64_t time)
{
    evla_tensor *step = session_input(s, i, t->step);
    if (step) *(int32_t *)step->data[0] = (int32_t)time;
    for (int32_t k = 0; time > 0 && k < t->n_links; k++) {
        evla_tensor *to = session_input(s, i, t->links[k].in);
        if (to)
            memcpy(to->data[0], session_output(s, i, t->links[k].out)->data[0],
                   t->links[k].bytes);
    }
    return session_run(cx, s, i);
}

int32_t turns_run(ctx *cx, session *s, int32_t i, const turns *t)
{
    int32_t st = 0;
    for (int64_t time = 0; st >= 0 && time < t->times; time++)
        st = turns_run_one(cx, s, i, t, time);
    return st;
}
