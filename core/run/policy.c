/*
 * policy.c -- a schedule of graphs, fitted to a body. See policy.h.
 */
#include "policy.h"
#include "../mem.h"
#include "../near.h"
#include "mailbox.h"
#include "session.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int policy_is_due(double rate_hz, double body_hz, int64_t tick)
{
    double step = rate_hz / body_hz;
    return tick == 0 ||
           floor((double)tick * step + 1e-9) > floor((double)(tick - 1) * step + 1e-9);
}

/* ---- one graph ---- */

/* "B" is one episode; nothing else may be open. */
static int32_t bind_symbols(ctx *cx, const graph *g, symbols *s)
{
    *s = (symbols){0};
    for (int32_t i = 0; i < g->n_symbols; i++) {
        if (strcmp(g->symbols[i].name, "B") != 0)
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "graph %s: a rollout binds the batch B = 1, but nothing tells "
                            "the extent of %s",
                            g->name, g->symbols[i].name);
        s->name[s->n] = "B";
        s->extent[s->n++] = 1;
    }
    return 0;
}

static int32_t plan_line(ctx *cx, policy_graph *g, const model *m)
{
    graph *from;
    symbols s;
    int32_t st = model_want_graph(cx, m, g->line.graph, &from);
    if (st >= 0) st = bind_symbols(cx, from, &s);
    if (st >= 0) st = plan_make(cx, from, &s, &(plan_options){.n_workers = 1}, &g->plan);
    if (st >= 0) g->name = from->name;
    return st < 0 ? st : turns_of(cx, g->plan, g->line.times, &g->loop);
}

static int32_t check_line(ctx *cx, policy *p, policy_graph *g)
{
    for (const policy_graph *e = p->graphs; e < g; e++)
        if (!strcmp(e->name, g->name))
            return ctx_fail(cx, EVLA_E_EXISTS, "schedule: graph %s stands there twice",
                            g->name);
    if (g->line.rate_hz == 0) g->line.rate_hz = p->rate_hz;
    if (g->line.rate_hz > p->rate_hz * (1 + 1e-9))
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s at %g Hz; the body's control rate is %g Hz, "
                        "and nothing runs faster",
                        g->name, g->line.rate_hz, p->rate_hz);
    /* messages under way, the one being read, one being written */
    double under_way = ceil((double)g->line.latency_ns * 1e-9 * g->line.rate_hz);
    if (under_way > 64)
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s: a latency of %g s at %g Hz; want at most 64 "
                        "results under way",
                        g->name, (double)g->line.latency_ns * 1e-9, g->line.rate_hz);
    g->n_slots = MAILBOX_LEAST + (int32_t)under_way;
    return 0;
}

static size_t place_next(size_t *end, size_t bytes)
{
    size_t at = *end;
    *end = (at + bytes + 63) & ~(size_t)63;
    return at;
}

static int32_t place_outputs(ctx *cx, policy *p, policy_graph *g)
{
    const bound *b = g->plan->graph;
    g->output_places = arena_push(&p->mem, (size_t)b->n_outputs + 1, sizeof(size_t));
    if (!g->output_places) return ctx_fail(cx, EVLA_E_NOMEM, "schedule");
    for (int32_t i = 0; i < b->n_outputs; i++)
        g->output_places[i] = place_next(
            &g->message_bytes, (size_t)type_bytes(p->reg, plan_output_type(g->plan, i)));
    return 0;
}

/* ---- who feeds what ---- */

/* The same numbers; what is fed may lack the batch. */
static int fits(const evla_type *input, const evla_type *fed)
{
    evla_type t = *input;
    if (type_equal(input, fed)) return 1;
    if (t.rank != fed->rank + 1 || t.shape[0] != 1) return 0;
    t.rank--;
    memmove(t.shape, t.shape + 1, sizeof t.shape - sizeof *t.shape);
    t.shape[EVLA_MAX_RANK - 1] = 0;
    return t.dtype == fed->dtype &&
           !memcmp(t.shape, fed->shape, (size_t)t.rank * sizeof *t.shape);
}

static int32_t misfit(ctx *cx, const policy *p, const char *graph_name, const char *input,
                      const evla_type *want, const evla_type *found, const char *by)
{
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = ctx_fail(cx, EVLA_E_SHAPE, "graph %s: input %s is %s, but %s is %s",
                          graph_name, input, type_text(p->reg, &cx->scratch, want), by,
                          type_text(p->reg, &cx->scratch, found));
    arena_reset(&cx->scratch, mark);
    return st;
}

/* The graph of the model that has such an output, or NULL. */
static const char *made_elsewhere(const model *m, const char *output)
{
    for (int32_t k = 0; k < m->n_graphs; k++)
        for (int32_t i = 0; i < m->graphs[k]->n_outputs; i++)
            if (!strcmp(m->graphs[k]->outputs[i].name, output)) return m->graphs[k]->name;
    return NULL;
}

static int32_t no_source(ctx *cx, const policy *p, const evla_body_info *body, int32_t of,
                         const char *input)
{
    enum { MOST = 128 };
    const char *names[MOST] = {"instruction"};
    int32_t n = 1;
    for (int32_t i = 0; i < body->n_channels && n < MOST; i++)
        names[n++] = body->channels[i].name;
    for (int32_t k = 0; k < of; k++)
        for (int32_t i = 0; i < p->graphs[k].plan->graph->n_outputs && n < MOST; i++)
            names[n++] = p->graphs[k].plan->graph->outputs[i].name;
    for (int32_t k = of; k < p->n_graphs; k++)
        if (plan_output(p->graphs[k].plan, input) >= 0)
            return ctx_fail(cx, EVLA_E_ARG,
                            "graph %s: input %s is made by graph %s, which does not stand "
                            "before it in the schedule",
                            p->graphs[of].name, input, p->graphs[k].name);
    const char *other = made_elsewhere(p->graphs[of].plan->model, input);
    if (other)
        return ctx_fail(cx, EVLA_E_MISSING,
                        "graph %s: input %s is made by graph %s, which is not in the "
                        "schedule; want it there, before %s",
                        p->graphs[of].name, input, other, p->graphs[of].name);
    const char *near = near_miss(input, names, n);
    return ctx_fail(cx, EVLA_E_MISSING,
                    "graph %s: nothing feeds input %s: it is no channel of the body, no "
                    "output of an earlier graph, and not \"instruction\"%s%s%s",
                    p->graphs[of].name, input, near ? "; did you mean \"" : "",
                    near ? near : "", near ? "\"?" : "");
}

static int32_t find_channel(ctx *cx, policy *p, const evla_body_info *body, int32_t i,
                            const policy_graph *g, const char *input, const evla_type *want,
                            source *s)
{
    const evla_channel *c = &body->channels[i];
    evla_type found;
    int32_t st = type_parse(cx, c->type, &(symbols){0}, &found);
    if (st < 0) return st;
    if (!fits(want, &found))
        return misfit(cx, p, g->name, input, want, &found, "the body's channel");
    s->kind = SOURCE_CHANNEL;
    s->index = i;
    p->channels |= (uint64_t)1 << i;
    return 0;
}

/* What only chance can feed: noise by name, and what a loop begins with. */
static int is_noise(const policy_graph *g, const char *input, const evla_type *want)
{
    int is_linked = !strcmp(input, "noise");
    for (int32_t i = 0; i < g->loop.n_links; i++)
        is_linked |= plan_input(g->plan, input) == g->loop.links[i].in;
    return is_linked && want->dtype == EVLA_F32;
}

static int32_t find_source(ctx *cx, policy *p, const evla_body_info *body, int32_t of,
                           const char *input, const evla_type *want, source *s)
{
    const policy_graph *g = &p->graphs[of];
    for (int32_t i = 0; i < body->n_channels; i++)
        if (!strcmp(body->channels[i].name, input))
            return find_channel(cx, p, body, i, g, input, want, s);
    for (int32_t k = of - 1; k >= 0; k--) {
        const policy_graph *maker = &p->graphs[k];
        int32_t slot = plan_output(maker->plan, input);
        if (slot < 0) continue;
        const evla_type *found = plan_output_type(maker->plan, slot);
        if (!fits(want, found)) {
            char by[160];
            snprintf(by, sizeof by, "what graph %.100s makes", maker->name);
            return misfit(cx, p, g->name, input, want, found, by);
        }
        *s = (source){
            .kind = SOURCE_GRAPH, .index = k, .offset = maker->output_places[slot]};
        return 0;
    }
    if (is_noise(g, input, want)) return s->kind = SOURCE_NOISE, 0;
    if (strcmp(input, "instruction") != 0) return no_source(cx, p, body, of, input);
    if (want->dtype != EVLA_U8 || want->rank < 1 || want->rank > 2 ||
        (want->rank == 2 && want->shape[0] != 1)) {
        evla_type found = {.dtype = EVLA_U8, .rank = 2, .shape = {1, 96}};
        return misfit(cx, p, g->name, input, want, &found, "a sentence, for instance,");
    }
    s->kind = SOURCE_INSTRUCTION;
    return 0;
}

static int32_t connect(ctx *cx, policy *p, const evla_body_info *body, int32_t of)
{
    policy_graph *g = &p->graphs[of];
    const bound *b = g->plan->graph;
    g->sources = arena_push(&p->mem, (size_t)b->n_inputs + 1, sizeof *g->sources);
    if (!g->sources) return ctx_fail(cx, EVLA_E_NOMEM, "schedule");
    for (int32_t i = 0; i < b->n_inputs; i++) {
        if (b->inputs[i] < 0 || g->plan->places[b->inputs[i]].home == HOME_NONE)
            continue; /* nobody reads it */
        if (turns_feeds(&g->loop, i)) continue;
        const evla_type *want = plan_input_type(g->plan, i);
        source *s = &g->sources[i];
        int32_t st = find_source(cx, p, body, of, b->wires[b->inputs[i]].name, want, s);
        if (st < 0) return st;
        if (s->kind == SOURCE_NOISE) continue;
        s->bytes = (size_t)type_bytes(p->reg, want);
        s->place = place_next(&g->request_bytes, s->bytes);
        if (s->kind == SOURCE_INSTRUCTION && s->bytes > p->instruction_bytes)
            p->instruction_bytes = s->bytes;
    }
    return 0;
}

/* ---- the whole ---- */

static int32_t find_action(ctx *cx, policy *p, const evla_body_info *body)
{
    const evla_type fed = {.dtype = EVLA_F32, .rank = 1, .shape = {body->n_action}};
    p->acts = -1;
    for (int32_t k = 0; k < p->n_graphs; k++) {
        policy_graph *g = &p->graphs[k];
        int32_t slot = plan_output(g->plan, "action");
        if (slot < 0) continue;
        if (p->acts >= 0)
            return ctx_fail(cx, EVLA_E_ARG,
                            "schedule: graphs %s and %s both make \"action\"",
                            p->graphs[p->acts].name, g->name);
        if (!fits(plan_output_type(g->plan, slot), &fed))
            return misfit(cx, p, g->name, "\"action\" of the body", &fed,
                          plan_output_type(g->plan, slot), "the graph's output");
        if (g->line.latency_ns)
            return ctx_fail(cx, EVLA_E_RANGE,
                            "schedule: graph %s makes the action on the tick itself; its "
                            "latency must be 0, got %g s",
                            g->name, (double)g->line.latency_ns * 1e-9);
        p->acts = k;
        p->action_slot = slot;
    }
    if (p->acts < 0)
        return ctx_fail(cx, EVLA_E_MISSING,
                        "schedule: no graph of it has an output called \"action\"");
    return 0;
}

/* A graph at another rate would read a state that is being written. */
static int32_t check_states(ctx *cx, const policy *p)
{
    for (int32_t a = 0; a < p->n_graphs; a++)
        for (int32_t b = a + 1; b < p->n_graphs; b++)
            for (int32_t i = 0;
                 i < p->graphs[a].plan->n_states && i < p->graphs[b].plan->n_states; i++)
                if (p->graphs[a].plan->state_types[i].rank >= 0 &&
                    p->graphs[b].plan->state_types[i].rank >= 0)
                    return ctx_fail(cx, EVLA_E_STATE,
                                    "schedule: graphs %s and %s share the state %s; hand "
                                    "it from one to the other as an output",
                                    p->graphs[a].name, p->graphs[b].name,
                                    p->graphs[a].plan->model->states[i].name);
    return 0;
}

static int32_t build(ctx *cx, policy *p, const model *m, const evla_body_info *body,
                     const policy_line *lines, int32_t n)
{
    policy_line only = {0};
    int32_t st = 0;
    if (!n && m->n_graphs != 1)
        return ctx_fail(cx, EVLA_E_ARG,
                        "schedule: is missing; model %s has %d graphs, so say which run "
                        "and how often: schedule = { { graph = \"%s\", rate = %g } }",
                        m->name, m->n_graphs, m->n_graphs ? m->graphs[0]->name : "",
                        body->rate_hz);
    if (!n) {
        only.graph = m->graphs[0]->name;
        lines = &only;
        n = 1;
    }
    if (n > POLICY_MOST_GRAPHS)
        return ctx_fail(cx, EVLA_E_LIMIT, "schedule: %d graphs, want at most %d", n,
                        POLICY_MOST_GRAPHS);
    if (body->n_channels > 64)
        return ctx_fail(cx, EVLA_E_LIMIT, "a body with %d channels, want at most 64",
                        body->n_channels);
    for (; st >= 0 && p->n_graphs < n; p->n_graphs++) {
        policy_graph *g = &p->graphs[p->n_graphs];
        g->line = lines[p->n_graphs];
        st = plan_line(cx, g, m);
        if (st >= 0) st = check_line(cx, p, g);
        if (st >= 0) st = place_outputs(cx, p, g);
        if (st < 0) break;
    }
    for (int32_t i = 0; st >= 0 && i < n; i++)
        st = connect(cx, p, body, i);
    if (st >= 0) st = find_action(cx, p, body);
    return st < 0 ? st : check_states(cx, p);
}

int32_t policy_new(ctx *cx, const model *m, const evla_body_info *body,
                   const policy_line *lines, int32_t n_lines, policy **out)
{
    policy *p = mem_alloc(sizeof *p);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "policy of model %s", m->name);
    *p = (policy){.mem = arena_beside(&cx->mem, 4 << 10),
                  .reg = cx->reg,
                  .n_action = body->n_action,
                  .rate_hz = body->rate_hz};
    int32_t st = build(cx, p, m, body, lines, n_lines);
    if (st < 0)
        policy_free(p);
    else
        *out = p;
    return st;
}

void policy_free(policy *p)
{
    if (!p) return;
    for (int32_t i = 0; i < POLICY_MOST_GRAPHS; i++)
        plan_drop(p->graphs[i].plan);
    arena_free(&p->mem);
    mem_free(p);
}

/* ---- memory ---- */

static uint64_t weights_bytes(const policy *p)
{
    const model *m = p->graphs[0].plan->model;
    uint64_t sum = 0;
    for (int32_t w = 0; w < m->n_weights; w++) {
        int is_read = 0;
        for (int32_t k = 0; k < p->n_graphs && !is_read; k++) {
            const plan *of = p->graphs[k].plan;
            for (int32_t i = 0; i < of->graph->n_wires && !is_read; i++)
                is_read = of->places[i].home == HOME_WEIGHT && of->places[i].slot == w;
        }
        if (is_read) sum += (uint64_t)type_bytes(p->reg, &m->weights[w].type);
    }
    return sum;
}

policy_memory policy_needs(const policy *p)
{
    if (!p) return (policy_memory){0};
    policy_memory m = {.weights = weights_bytes(p), .plans = p->mem.total};
    for (int32_t k = 0; k < p->n_graphs; k++) {
        const policy_graph *g = &p->graphs[k];
        m.plans += g->plan->mem.total;
        session_needs s = session_size(p->reg, &g->plan, 1);
        m.arenas += s.arenas;
        m.states += s.states;
        m.tables += s.tables;
        m.mailboxes += mailbox_bytes(g->n_slots, g->message_bytes);
        if (g->line.latency_ns)
            m.mailboxes += mailbox_bytes(MAILBOX_LEAST, g->request_bytes);
    }
    m.mailboxes += p->instruction_bytes + 1;
    m.total = m.plans + m.arenas + m.states + m.tables + m.mailboxes + m.weights;
    return m;
}

int32_t policy_promise(ctx *cx, const policy *p, uint64_t loop_bytes, uint64_t bytes)
{
    policy_memory m = policy_needs(p);
    if (!bytes || m.total + loop_bytes <= bytes) return 0;
    return ctx_fail(
        cx, EVLA_E_NOMEM,
        "memory: %llu bytes are promised, but the loop needs %llu: weights %llu, "
        "plans %llu, arenas %llu, states %llu, tables %llu, mailboxes %llu, "
        "samples and guard %llu",
        (unsigned long long)bytes, (unsigned long long)(m.total + loop_bytes),
        (unsigned long long)m.weights, (unsigned long long)m.plans,
        (unsigned long long)m.arenas, (unsigned long long)m.states,
        (unsigned long long)m.tables, (unsigned long long)m.mailboxes,
        (unsigned long long)loop_bytes);
}
