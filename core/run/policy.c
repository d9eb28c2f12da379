/*
 * policy.c -- a schedule of graphs, fitted to a body. See policy.h.
 */
#include "policy.h"
#include "../mem.h"
#include "../near.h"
#include "mailbox.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int policy_is_due(double rate_hz, double body_hz, int64_t tick)
{
    double step = rate_hz / body_hz;
    return tick == 0 ||
           floor((double)tick * step + 1e-9) > floor((double)(tick - 1) * step + 1e-9);
}

/* ---- one call ---- */

/* "B" is one episode; nothing else may be open. */
static int32_t check_symbols(ctx *cx, const graph *g)
{
    for (int32_t i = 0; i < g->n_symbols; i++)
        if (strcmp(g->symbols[i].name, "B") != 0)
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "graph %s: a rollout binds the batch B = 1, but nothing tells "
                            "the extent of %s",
                            g->name, g->symbols[i].name);
    return 0;
}

static const model *model_of(const model *m, const policy_line *l)
{
    return l->of ? l->of : m;
}

/* The call that begins with a line; the lines behind it that are joined belong to it. */
static int32_t plan_call(ctx *cx, policy_call *c, const model *m, const policy_line *lines,
                         int32_t n)
{
    schedule_line list[SCHEDULE_MOST_LINES];
    const schedule_options how = {.n_workers = (int32_t)lines->workers};
    graph *from = NULL;
    if (n > SCHEDULE_MOST_LINES)
        return ctx_fail(cx, EVLA_E_LIMIT, "schedule: a call of %d graphs, want at most %d",
                        n, SCHEDULE_MOST_LINES);
    for (int32_t i = n - 1; i >= 0; i--) { /* the first one's model stays */
        int32_t st = model_want_graph(cx, model_of(m, &lines[i]), lines[i].graph, &from);
        if (st >= 0) st = check_symbols(cx, from);
        if (st < 0) return st;
        list[i] = (schedule_line){.graph = from->name, .times = lines[i].times};
    }
    c->line = *lines;
    c->name = from->name;
    c->told_slot = -1;
    return schedule_plan(cx, from->of, list, n, &how, &c->made);
}

static int32_t check_joined(ctx *cx, const policy_line *l)
{
    if (!l->rate_hz && !l->latency_ns && !l->chunk && !l->pace_hz && l->workers < 2)
        return 0;
    return ctx_fail(cx, EVLA_E_ARG,
                    "schedule: graph %s is joined to the one before it; its rate, latency, "
                    "chunk, pace and workers are those of the first graph of the call",
                    l->graph);
}

static int32_t check_lines(ctx *cx, const model *m, const policy_line *lines, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (i == 0 && lines[i].is_joined)
            return ctx_fail(cx, EVLA_E_ARG,
                            "schedule: graph %s is joined, but no graph stands before it",
                            lines[i].graph);
        if (lines[i].is_joined && check_joined(cx, &lines[i]) < 0) return cx->code;
        const model *own = model_of(m, &lines[i]);
        if (lines[i].is_joined && own != model_of(m, &lines[i - 1]))
            return ctx_fail(cx, EVLA_E_ARG,
                            "schedule: graph %s of model %s is joined to a graph of model "
                            "%s; want a call of its own",
                            lines[i].graph, own->name, model_of(m, &lines[i - 1])->name);
        for (int32_t e = 0; e < i; e++)
            if (own == model_of(m, &lines[e]) && !strcmp(lines[e].graph, lines[i].graph))
                return ctx_fail(cx, EVLA_E_EXISTS, "schedule: graph %s stands there twice",
                                lines[i].graph);
    }
    return 0;
}

static int32_t check_rates(ctx *cx, const policy *p, policy_call *c)
{
    policy_line *l = &c->line;
    if (l->rate_hz > p->rate_hz * (1 + 1e-9) || l->pace_hz > p->rate_hz * (1 + 1e-9))
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s at %g Hz; the body's control rate is %g Hz, "
                        "and nothing runs faster",
                        c->name, l->rate_hz > l->pace_hz ? l->rate_hz : l->pace_hz,
                        p->rate_hz);
    if (l->workers > 1 && !l->latency_ns)
        return ctx_fail(cx, EVLA_E_ARG,
                        "schedule: graph %s runs on the tick itself, which has one worker, "
                        "got %d; with a latency it would run beside the ticks",
                        c->name, (int)l->workers);
    if (!l->chunk && l->pace_hz)
        return ctx_fail(cx, EVLA_E_ARG,
                        "schedule: graph %s: pace is that of a chunk; want chunk = "
                        "\"queue\", \"ensemble\" or \"realtime\"",
                        c->name);
    if (!l->rate_hz && !l->chunk) l->rate_hz = p->rate_hz;
    return 0;
}

/* Messages under way, the one being read, one being written. */
static int32_t count_slots(ctx *cx, policy_call *c)
{
    const policy_line *l = &c->line;
    double under_way = ceil((double)l->latency_ns * 1e-9 * l->rate_hz);
    if (under_way > 64)
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s: a latency of %g s at %g Hz; want at most 64 "
                        "results under way",
                        c->name, (double)l->latency_ns * 1e-9, l->rate_hz);
    c->n_slots = MAILBOX_LEAST + (int32_t)under_way;
    return 0;
}

static size_t place_next(size_t *end, size_t bytes)
{
    size_t at = *end;
    *end = (at + bytes + 63) & ~(size_t)63;
    return at;
}

/* Where an output stands in a call's messages, from now on at the latest. */
static size_t place_output(const policy *p, policy_call *c, int32_t slot)
{
    if (c->places[slot] == POLICY_NOT_SENT)
        c->places[slot] =
            place_next(&c->message_bytes,
                       (size_t)type_bytes(p->reg, &schedule_output(c->made, slot)->type));
    return c->places[slot];
}

static int32_t find_output(const policy_call *c, const char *name)
{
    int32_t i = schedule_n_outputs(c->made) - 1; /* the last of a name counts */
    while (i >= 0 && strcmp(schedule_output(c->made, i)->name, name) != 0)
        i--;
    return i;
}

static int32_t make_tables(ctx *cx, policy *p, policy_call *c)
{
    size_t n_in = (size_t)schedule_n_inputs(c->made),
           n_out = (size_t)schedule_n_outputs(c->made);
    c->sources = arena_push(&p->mem, n_in + 1, sizeof *c->sources);
    c->places = arena_push(&p->mem, n_out + 1, sizeof *c->places);
    if (!c->sources || !c->places) return ctx_fail(cx, EVLA_E_NOMEM, "schedule");
    for (size_t i = 0; i < n_out; i++)
        c->places[i] = POLICY_NOT_SENT;
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

/* The graph of a call that a port belongs to. */
static const char *reader_of(const policy_call *c, const schedule_port *port)
{
    return schedule_line_at(c->made, port->line).graph;
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
                         const schedule_port *in)
{
    const char *input = in->name, *reader = reader_of(&p->calls[of], in);
    enum { MOST = 128 };
    const char *names[MOST] = {"instruction"};
    int32_t n = 1;
    for (int32_t i = 0; i < body->n_channels && n < MOST; i++)
        names[n++] = body->channels[i].name;
    for (int32_t k = 0; k < of; k++)
        for (int32_t i = 0; i < schedule_n_outputs(p->calls[k].made) && n < MOST; i++)
            names[n++] = schedule_output(p->calls[k].made, i)->name;
    for (int32_t k = of; k < p->n_calls; k++)
        if (find_output(&p->calls[k], input) >= 0)
            return ctx_fail(cx, EVLA_E_ARG,
                            "graph %s: input %s is made by graph %s, which does not stand "
                            "before it in the schedule",
                            reader, input, p->calls[k].name);
    const char *other = made_elsewhere(policy_model(&p->calls[of]), input);
    if (other)
        return ctx_fail(cx, EVLA_E_MISSING,
                        "graph %s: input %s is made by graph %s, which is not in the "
                        "schedule; want it there, before %s",
                        reader, input, other, reader);
    const char *near = near_miss(input, names, n);
    return ctx_fail(cx, EVLA_E_MISSING,
                    "graph %s: nothing feeds input %s: it is no channel of the body, no "
                    "output of an earlier graph, and not \"instruction\"%s%s%s",
                    reader, input, near ? "; did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
}

static int32_t find_channel(ctx *cx, policy *p, const evla_body_info *body, int32_t i,
                            const policy_call *c, const schedule_port *in, source *s)
{
    evla_type found;
    int32_t st = type_parse(cx, body->channels[i].type, &(symbols){0}, &found);
    if (st < 0) return st;
    if (!fits(&in->type, &found))
        return misfit(cx, p, reader_of(c, in), in->name, &in->type, &found,
                      "the body's channel");
    s->kind = SOURCE_CHANNEL;
    s->index = i;
    p->channels |= (uint64_t)1 << i;
    return 0;
}

static int32_t find_maker(ctx *cx, policy *p, int32_t k, int32_t slot, const policy_call *c,
                          const schedule_port *in, source *s)
{
    policy_call *maker = &p->calls[k];
    const schedule_port *found = schedule_output(maker->made, slot);
    if (!fits(&in->type, &found->type)) {
        char by[160];
        snprintf(by, sizeof by, "what graph %.100s makes", reader_of(maker, found));
        return misfit(cx, p, reader_of(c, in), in->name, &in->type, &found->type, by);
    }
    *s = (source){.kind = SOURCE_GRAPH, .index = k, .offset = place_output(p, maker, slot)};
    return 0;
}

/* What a graph that makes a chunk is told of its answer before. */
static int32_t find_previous(ctx *cx, const policy *p, policy_call *c,
                             const schedule_port *in, source *s)
{
    int is_weight = !strcmp(in->name, "previous_weight");
    const schedule_port *made = NULL;
    for (int32_t i = 0; i < schedule_n_outputs(c->made); i++) {
        const schedule_port *o = schedule_output(c->made, i);
        if (o->line == in->line && !strcmp(o->name, "action")) made = o, c->told_slot = i;
    }
    if (!made || c->line.chunk != CHUNK_REALTIME || made->type.rank < 1)
        return ctx_fail(cx, EVLA_E_ARG,
                        "graph %s: input %s is what its answer before has for the same "
                        "moments; want an output \"action\" of it and chunk = \"realtime\"",
                        reader_of(c, in), in->name);
    int64_t width = made->type.shape[made->type.rank - 1];
    evla_type want = made->type;
    c->told.width = (int32_t)width;
    c->told.rows = (int32_t)(type_count(&made->type) / width);
    if (is_weight)
        want = (evla_type){.dtype = EVLA_F32, .rank = 1, .shape = {c->told.rows}};
    if (made->type.dtype != EVLA_F32 || !type_equal(&in->type, &want))
        return misfit(cx, p, reader_of(c, in), in->name, &in->type, &want,
                      "what goes with its answer");
    s->kind = is_weight ? SOURCE_PREVIOUS_WEIGHT : SOURCE_PREVIOUS;
    return 0;
}

static int32_t find_source(ctx *cx, policy *p, const evla_body_info *body, int32_t of,
                           const schedule_port *in, source *s)
{
    policy_call *c = &p->calls[of];
    const evla_type *want = &in->type;
    for (int32_t i = 0; i < body->n_channels; i++)
        if (!strcmp(body->channels[i].name, in->name))
            return find_channel(cx, p, body, i, c, in, s);
    for (int32_t k = of - 1; k >= 0; k--) {
        int32_t slot = find_output(&p->calls[k], in->name);
        if (slot >= 0) return find_maker(cx, p, k, slot, c, in, s);
    }
    /* what only chance can feed: noise by name, and what a loop begins with */
    if (want->dtype == EVLA_F32 && (in->is_handed_on || !strcmp(in->name, "noise")))
        return s->kind = SOURCE_NOISE, 0;
    if (!strcmp(in->name, "previous") || !strcmp(in->name, "previous_weight"))
        return find_previous(cx, p, c, in, s);
    if (strcmp(in->name, "instruction") != 0) return no_source(cx, p, body, of, in);
    if (want->dtype != EVLA_U8 || want->rank < 1 || want->rank > 2 ||
        (want->rank == 2 && want->shape[0] != 1)) {
        evla_type found = {.dtype = EVLA_U8, .rank = 2, .shape = {1, 96}};
        return misfit(cx, p, reader_of(c, in), in->name, want, &found,
                      "a sentence, for instance,");
    }
    s->kind = SOURCE_INSTRUCTION;
    return 0;
}

const model *policy_model(const policy_call *c)
{
    return schedule_plan_of(c->made, 0)->model;
}

int policy_is_sent(const source *s)
{
    return s->kind == SOURCE_CHANNEL || s->kind == SOURCE_INSTRUCTION ||
           s->kind == SOURCE_GRAPH;
}

static int32_t connect(ctx *cx, policy *p, const evla_body_info *body, int32_t of)
{
    policy_call *c = &p->calls[of];
    for (int32_t i = 0; i < schedule_n_inputs(c->made); i++) {
        const schedule_port *in = schedule_input(c->made, i);
        source *s = &c->sources[i];
        int32_t st = find_source(cx, p, body, of, in, s);
        if (st < 0) return st;
        s->bytes = (size_t)type_bytes(p->reg, &in->type);
        if (policy_is_sent(s)) s->place = place_next(&c->request_bytes, s->bytes);
        if (s->kind == SOURCE_INSTRUCTION && s->bytes > p->instruction_bytes)
            p->instruction_bytes = s->bytes;
    }
    return 0;
}

/* ---- chunks ---- */

/* How many actions an answer has, all of the body's width; 0: it is no chunk of such. */
static int32_t rows_of(const policy *p, const evla_type *t)
{
    if (t->dtype != EVLA_F32 || t->rank < 1 || t->shape[t->rank - 1] != p->n_action)
        return 0;
    int64_t rows = type_count(t) / p->n_action;
    return rows > 0 && rows <= 1 << 20 ? (int32_t)rows : 0;
}

/* From rates and latency, in ticks, what an answer overlaps and what is fixed. */
static int32_t fit_chunk(ctx *cx, const policy *p, policy_call *c, const evla_type *made)
{
    policy_line *l = &c->line;
    chunk_law *law = &c->chunk;
    *law = (chunk_law){.mode = (chunk_mode)l->chunk,
                       .rows = rows_of(p, made),
                       .width = p->n_action,
                       .per_tick = l->pace_hz ? l->pace_hz / p->rate_hz : 1,
                       .decay = l->decay};
    if (!law->rows) {
        const evla_type want = {.dtype = EVLA_F32, .rank = 2, .shape = {1, p->n_action}};
        return misfit(cx, p, c->name, "\"action\" of the body, so many rows of it,", &want,
                      made, "the graph's output");
    }
    double lasts = floor(law->rows / law->per_tick + 1e-9),
           latency = ceil((double)l->latency_ns * 1e-9 * p->rate_hz - 1e-9);
    if (!l->rate_hz && lasts < 2 * latency)
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s: an answer of %d actions lasts %g s and comes "
                        "after %g s; the next one is asked for then, and comes too late; "
                        "want fewer actions per second (pace), or a rate if it may run dry",
                        c->name, law->rows, lasts / p->rate_hz,
                        (double)l->latency_ns * 1e-9);
    if (!l->rate_hz) l->rate_hz = p->rate_hz / (lasts - latency);
    double period = p->rate_hz / l->rate_hz;
    law->n_kept = law->mode == CHUNK_ENSEMBLE ? (int32_t)ceil(lasts / period) + 1 : 1;
    if (law->n_kept > POLICY_MOST_OVERLAP)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "schedule: graph %s: %d answers overlap, want at most %d", c->name,
                        law->n_kept, POLICY_MOST_OVERLAP);
    law->n_fixed = latency > 0 ? (int32_t)chunk_row(law, (int64_t)latency - 1) + 1 : 0;
    if (law->mode != CHUNK_REALTIME) return 0;
    int64_t played = chunk_row(law, (int64_t)(period + 1e-9));
    if (law->n_fixed > played || played + law->n_fixed > law->rows)
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s: %d of %d actions are begun before the next "
                        "answer comes, which is asked for every %lld; want at least %d and "
                        "at most %d, so that what is played meanwhile is known",
                        c->name, law->n_fixed, law->rows, (long long)played, law->n_fixed,
                        law->rows - law->n_fixed);
    if (c->told_slot < 0 || c->told.rows != law->rows)
        return ctx_fail(
            cx, EVLA_E_ARG,
            "schedule: graph %s: chunk = \"realtime\", but no graph of the call "
            "that makes %d actions reads \"previous\" and \"previous_weight\"",
            c->name, law->rows);
    c->told.mode = law->mode;
    c->told.n_kept = 1;
    c->told.per_tick = law->per_tick;
    c->told.n_fixed = law->n_fixed;
    return 0;
}

/* ---- the whole ---- */

static int32_t fit_action(ctx *cx, const policy *p, policy_call *c, const evla_type *made)
{
    const evla_type fed = {.dtype = EVLA_F32, .rank = 1, .shape = {p->n_action}};
    if (c->line.chunk) return fit_chunk(cx, p, c, made);
    if (!fits(made, &fed))
        return misfit(cx, p, c->name, "\"action\" of the body", &fed, made,
                      "the graph's output");
    if (c->line.latency_ns)
        return ctx_fail(cx, EVLA_E_RANGE,
                        "schedule: graph %s makes the action on the tick itself; its "
                        "latency must be 0, got %g s",
                        c->name, (double)c->line.latency_ns * 1e-9);
    return 0;
}

static int32_t find_action(ctx *cx, policy *p)
{
    p->acts = -1;
    for (int32_t k = 0; k < p->n_calls; k++) {
        policy_call *c = &p->calls[k];
        int32_t slot = find_output(c, "action");
        if (slot < 0 && c->line.chunk)
            return ctx_fail(cx, EVLA_E_ARG,
                            "schedule: graph %s: chunk is given, but the call makes no "
                            "\"action\"",
                            c->name);
        if (slot < 0) continue;
        if (p->acts >= 0)
            return ctx_fail(cx, EVLA_E_ARG,
                            "schedule: graphs %s and %s both make \"action\"",
                            p->calls[p->acts].name, c->name);
        int32_t st = fit_action(cx, p, c, &schedule_output(c->made, slot)->type);
        if (st < 0) return st;
        place_output(p, c, slot);
        p->acts = k;
        p->action_slot = slot;
    }
    if (p->acts < 0)
        return ctx_fail(cx, EVLA_E_MISSING,
                        "schedule: no graph of it has an output called \"action\"");
    return 0;
}

/* 1 when a graph of the call reads or writes the model's state i. */
static int has_state(const policy_call *c, int32_t i)
{
    for (int32_t k = 0; k < schedule_n_lines(c->made); k++) {
        const plan *p = schedule_plan_of(c->made, k);
        if (i < p->n_states && p->state_types[i].rank >= 0) return 1;
    }
    return 0;
}

/* A graph at another rate would read a state that is being written. */
static int32_t check_states(ctx *cx, const policy *p)
{
    for (int32_t a = 0; a < p->n_calls; a++)
        for (int32_t b = a + 1; b < p->n_calls; b++) {
            const model *m = policy_model(&p->calls[a]);
            for (int32_t i = 0; m == policy_model(&p->calls[b]) && i < m->n_states; i++)
                if (has_state(&p->calls[a], i) && has_state(&p->calls[b], i))
                    return ctx_fail(cx, EVLA_E_STATE,
                                    "schedule: graphs %s and %s share the state %s; hand "
                                    "it from one to the other as an output",
                                    p->calls[a].name, p->calls[b].name, m->states[i].name);
        }
    return 0;
}

static int32_t plan_calls(ctx *cx, policy *p, const model *m, const policy_line *lines,
                          int32_t n)
{
    for (int32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && lines[end].is_joined;)
            end++;
        if (p->n_calls == POLICY_MOST_CALLS)
            return ctx_fail(cx, EVLA_E_LIMIT, "schedule: want at most %d graphs or calls",
                            POLICY_MOST_CALLS);
        policy_call *c = &p->calls[p->n_calls++];
        int32_t st = plan_call(cx, c, m, &lines[i], end - i);
        if (st >= 0) st = check_rates(cx, p, c);
        if (st >= 0) st = make_tables(cx, p, c);
        if (st < 0) return st;
    }
    return 0;
}

static int32_t build(ctx *cx, policy *p, const model *m, const evla_body_info *body,
                     const policy_line *lines, int32_t n)
{
    policy_line only = {0};
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
    if (body->n_channels > 64)
        return ctx_fail(cx, EVLA_E_LIMIT, "a body with %d channels, want at most 64",
                        body->n_channels);
    int32_t st = check_lines(cx, m, lines, n);
    if (st >= 0) st = plan_calls(cx, p, m, lines, n);
    for (int32_t i = 0; st >= 0 && i < p->n_calls; i++)
        st = connect(cx, p, body, i);
    if (st >= 0) st = find_action(cx, p);
    for (int32_t i = 0; st >= 0 && i < p->n_calls; i++)
        st = count_slots(cx, &p->calls[i]);
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
    for (int32_t i = 0; i < POLICY_MOST_CALLS; i++)
        schedule_close(p->calls[i].made);
    arena_free(&p->mem);
    mem_free(p);
}
