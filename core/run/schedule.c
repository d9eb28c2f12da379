/*
 * schedule.c -- several graphs of a model as one call. See schedule.h.
 *
 * The lines are plans of one session whose arenas lie over each other. So whatever outlives
 * a line has a place of its own, a value: inputs of the call and outputs of lines. It is
 * copied in before a line runs and out after its last run; beside the work of a line that
 * is nothing.
 */
#include "schedule.h"
#include "../mem.h"
#include "../near.h"
#include "clock.h"
#include <string.h>

/* An input of a line and the value that it takes; an output and the value that keeps it. */
typedef struct feed {
    int32_t slot, value;
} feed;

typedef struct value_place {
    schedule_port port;
    int is_made; /* 1: by a line; 0: an input of the call */
    size_t bytes;
} value_place;

typedef struct line {
    schedule_line what;
    plan *plan;
    turns loop;
    feed *in, *out;
    int32_t n_in, n_out;
    int64_t ns;
} line;

struct schedule {
    arena mem;
    model *of;
    const registry *reg;
    line lines[SCHEDULE_MOST_LINES];
    value_place *values;
    int32_t *inputs, *outputs; /* values */
    session *session;
    unsigned char *block;
    schedule_bytes bytes;
    int32_t n_lines, n_values, n_inputs, n_outputs;
};

/* ---- planning ---- */

/* The extents that this graph has symbols for; B is 1 unless somebody says otherwise. */
static void pick_symbols(const graph *g, const symbols *given, symbols *out)
{
    *out = (symbols){0};
    for (int32_t i = 0; i < g->n_symbols && out->n < TENSOR_MAX_SYMBOLS; i++) {
        const char *name = g->symbols[i].name;
        const int64_t *extent = given ? symbols_get(given, name, strlen(name)) : NULL;
        if (!extent && strcmp(name, "B") != 0) continue; /* binding says what is missing */
        out->name[out->n] = name;
        out->extent[out->n++] = extent ? *extent : 1;
    }
}

static int32_t plan_line(ctx *cx, schedule *s, line *l, const schedule_options *o)
{
    const plan_options how = {
        .n_workers = o->n_workers, .kernels = o->kernels, .without = o->without};
    graph *g;
    symbols extents;
    int32_t st = model_want_graph(cx, s->of, l->what.graph, &g);
    if (st < 0) {
        ctx_prefix(cx, "schedule");
        return st;
    }
    pick_symbols(g, o->extents, &extents);
    st = plan_make(cx, g, &extents, &how, &l->plan);
    if (st < 0) return st;
    l->what.graph = g->name;
    if (!l->what.phase || !*l->what.phase) l->what.phase = g->name;
    return turns_of(cx, l->plan, l->what.times, &l->loop);
}

/* ---- who feeds what ---- */

/* The value of that name that a line before `of` makes, the nearest; or the call's input.
 */
static int32_t find_value(const schedule *s, const char *name, int is_made)
{
    for (int32_t i = s->n_values - 1; i >= 0; i--)
        if (s->values[i].is_made == is_made && !strcmp(s->values[i].port.name, name))
            return i;
    return -1;
}

static int32_t add_value(schedule *s, const char *name, const evla_type *type, int32_t of,
                         int is_made)
{
    value_place *v = &s->values[s->n_values];
    *v = (value_place){.port = {.name = name,
                                .type = *type,
                                .view = tensor_view(s->reg, type, NULL),
                                .line = of},
                       .is_made = is_made,
                       .bytes = (size_t)type_bytes(s->reg, type)};
    return s->n_values++;
}

static int32_t misfit(ctx *cx, const schedule *s, int32_t of, const char *name,
                      const evla_type *want, const value_place *v)
{
    arena_place mark = arena_mark(&cx->scratch);
    ctx_fail(cx, EVLA_E_SHAPE, "schedule: graph %s: input %s is %s, but graph %s %s %s",
             s->lines[of].what.graph, name, type_text(s->reg, &cx->scratch, want),
             s->lines[v->port.line].what.graph, v->is_made ? "makes" : "reads",
             type_text(s->reg, &cx->scratch, &v->port.type));
    arena_reset(&cx->scratch, mark);
    return EVLA_E_SHAPE;
}

static int32_t connect_input(ctx *cx, schedule *s, int32_t of, int32_t slot)
{
    line *l = &s->lines[of];
    const char *name = l->plan->graph->wires[l->plan->graph->inputs[slot]].name;
    const evla_type *want = plan_input_type(l->plan, slot);
    int32_t v = find_value(s, name, 1);
    if (v < 0 && turns_feeds(&l->loop, slot)) return 0;
    for (int32_t k = of + 1; v < 0 && k < s->n_lines; k++)
        if (plan_output(s->lines[k].plan, name) >= 0)
            return ctx_fail(
                cx, EVLA_E_ARG,
                "schedule: graph %s: input %s is made by graph %s, which stands "
                "behind it; want it before",
                l->what.graph, name, s->lines[k].what.graph);
    if (v < 0) v = find_value(s, name, 0);
    if (v < 0) v = add_value(s, name, want, of, 0);
    for (int32_t k = 0; k < l->loop.n_links; k++)
        s->values[v].port.is_handed_on |= l->loop.links[k].in == slot;
    if (!type_equal(want, &s->values[v].port.type))
        return misfit(cx, s, of, name, want, &s->values[v]);
    l->in[l->n_in++] = (feed){slot, v};
    return 0;
}

static int32_t connect_line(ctx *cx, schedule *s, int32_t of)
{
    line *l = &s->lines[of];
    const bound *b = l->plan->graph;
    int32_t st = 0;
    l->in = arena_push(&s->mem, (size_t)b->n_inputs + 1, sizeof *l->in);
    l->out = arena_push(&s->mem, (size_t)b->n_outputs + 1, sizeof *l->out);
    if (!l->in || !l->out) return ctx_fail(cx, EVLA_E_NOMEM, "schedule");
    for (int32_t i = 0; st >= 0 && i < b->n_inputs; i++)
        if (b->inputs[i] >= 0 && l->plan->places[b->inputs[i]].home != HOME_NONE)
            st = connect_input(cx, s, of, i);
    for (int32_t i = 0; st >= 0 && i < b->n_outputs; i++)
        l->out[l->n_out++] = (feed){
            i, add_value(s, b->outputs[i].name, plan_output_type(l->plan, i), of, 1)};
    return st;
}

static int32_t connect(ctx *cx, schedule *s)
{
    int32_t most = 1, st = 0;
    for (int32_t i = 0; i < s->n_lines; i++)
        most += s->lines[i].plan->graph->n_inputs + s->lines[i].plan->graph->n_outputs;
    s->values = arena_push(&s->mem, (size_t)most, sizeof *s->values);
    s->inputs = arena_push(&s->mem, (size_t)most, sizeof *s->inputs);
    s->outputs = arena_push(&s->mem, (size_t)most, sizeof *s->outputs);
    if (!s->values || !s->inputs || !s->outputs)
        return ctx_fail(cx, EVLA_E_NOMEM, "schedule");
    for (int32_t i = 0; st >= 0 && i < s->n_lines; i++)
        st = connect_line(cx, s, i);
    for (int32_t v = 0; v < s->n_values; v++)
        if (s->values[v].is_made)
            s->outputs[s->n_outputs++] = v;
        else
            s->inputs[s->n_inputs++] = v;
    return st;
}

/* ---- memory ---- */

static uint64_t round_up(uint64_t n)
{
    return (n + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* Of the weights that lines from `first` to before `end` read, each counted once. */
static uint64_t weights_bytes(const schedule *s, int32_t first, int32_t end)
{
    uint64_t sum = 0;
    for (int32_t w = 0; w < s->of->n_weights; w++) {
        int is_read = 0;
        for (int32_t k = first; k < end && !is_read; k++) {
            const plan *p = s->lines[k].plan;
            for (int32_t i = 0; i < p->graph->n_wires && !is_read; i++)
                is_read = p->places[i].home == HOME_WEIGHT && p->places[i].slot == w;
        }
        if (is_read) sum += (uint64_t)type_bytes(s->reg, &s->of->weights[w].type);
    }
    return sum;
}

static int32_t count_bytes(ctx *cx, schedule *s, uint64_t budget)
{
    schedule_bytes *n = &s->bytes;
    plan *plans[SCHEDULE_MOST_LINES];
    n->weights = weights_bytes(s, 0, s->n_lines);
    for (int32_t i = 0; i < s->n_lines; i++) {
        plans[i] = s->lines[i].plan;
        uint64_t one = round_up(plans[i]->arena_bytes);
        if (one > n->arena) n->arena = one;
    }
    n->states = session_size(s->reg, plans, s->n_lines).states;
    for (int32_t v = 0; v < s->n_values; v++)
        n->values += round_up(s->values[v].bytes + 1);
    n->total = n->weights + n->arena + n->states + n->values;
    if (!budget || n->total <= budget) return 0;
    return ctx_fail(
        cx, EVLA_E_NOMEM,
        "memory: %llu bytes are allowed, but the call needs %llu: weights %llu, "
        "arena %llu, states %llu, values handed on %llu",
        (unsigned long long)budget, (unsigned long long)n->total,
        (unsigned long long)n->weights, (unsigned long long)n->arena,
        (unsigned long long)n->states, (unsigned long long)n->values);
}

static int32_t place_values(ctx *cx, schedule *s)
{
    s->block = mem_alloc_aligned((size_t)s->bytes.values + 1, PLAN_ALIGN);
    if (!s->block)
        return ctx_fail(cx, EVLA_E_NOMEM, "schedule: %llu bytes of values",
                        (unsigned long long)s->bytes.values);
    memset(s->block, 0, (size_t)s->bytes.values + 1); /* also touches every page */
    uint64_t at = 0;
    for (int32_t v = 0; v < s->n_values; v++) {
        value_place *p = &s->values[v];
        p->port.view = tensor_view(s->reg, &p->port.type, s->block + at);
        at += round_up(p->bytes + 1);
    }
    return 0;
}

static int32_t start(ctx *cx, schedule *s, const schedule_options *o)
{
    plan *plans[SCHEDULE_MOST_LINES];
    const session_options how = {
        .n_workers = o->n_workers, .profile = o->profile, .one_at_a_time = 1};
    for (int32_t i = 0; i < s->n_lines; i++)
        plans[i] = s->lines[i].plan;
    int32_t st = session_open(cx, plans, s->n_lines, &how, &s->session);
    return st < 0 ? st : place_values(cx, s);
}

static int32_t build(ctx *cx, schedule *s, const schedule_line *lines, int32_t n,
                     const schedule_options *o)
{
    if (n < 1 || n > SCHEDULE_MOST_LINES)
        return ctx_fail(cx, EVLA_E_LIMIT, "schedule: want 1 to %d lines, got %d",
                        SCHEDULE_MOST_LINES, n);
    int32_t st = 0;
    for (; st >= 0 && s->n_lines < n; s->n_lines++) {
        s->lines[s->n_lines].what = lines[s->n_lines];
        st = plan_line(cx, s, &s->lines[s->n_lines], o);
        if (st < 0) return st;
    }
    st = connect(cx, s);
    return st < 0 ? st : count_bytes(cx, s, o->budget);
}

int32_t schedule_plan(ctx *cx, model *m, const schedule_line *lines, int32_t n,
                      const schedule_options *o, schedule **out)
{
    schedule *s = mem_alloc(sizeof *s);
    if (!s) return ctx_fail(cx, EVLA_E_NOMEM, "schedule of model %s", m->name);
    *s = (schedule){.mem = arena_beside(&cx->mem, 8 << 10), .of = m, .reg = cx->reg};
    model_keep(m);
    int32_t st = build(cx, s, lines, n, o);
    if (st < 0)
        schedule_close(s);
    else
        *out = s;
    return st;
}

int32_t schedule_open(ctx *cx, model *m, const schedule_line *lines, int32_t n,
                      const schedule_options *o, schedule **out)
{
    schedule *s;
    int32_t st = schedule_plan(cx, m, lines, n, o, &s);
    if (st < 0) return st;
    st = start(cx, s, o);
    if (st < 0)
        schedule_close(s);
    else
        *out = s;
    return st;
}

int32_t schedule_share(ctx *cx, const schedule *of, const schedule_options *o,
                       schedule **out)
{
    schedule *s = mem_alloc(sizeof *s);
    size_t n = (size_t)of->n_values;
    if (!s) return ctx_fail(cx, EVLA_E_NOMEM, "schedule of model %s", of->of->name);
    *s = *of; /* what connects the lines stays where it is */
    s->mem = arena_beside(&cx->mem, 4 << 10);
    s->session = NULL;
    s->block = NULL;
    model_keep(s->of);
    for (int32_t i = 0; i < s->n_lines; i++)
        plan_keep(s->lines[i].plan);
    s->values = arena_push(&s->mem, n + 1, sizeof *s->values);
    if (s->values && n) memcpy(s->values, of->values, n * sizeof *s->values);
    int32_t st = s->values ? start(cx, s, o) : ctx_fail(cx, EVLA_E_NOMEM, "schedule");
    if (st < 0)
        schedule_close(s);
    else
        *out = s;
    return st;
}

void schedule_close(schedule *s)
{
    if (!s) return;
    session_close(s->session);
    mem_free(s->block);
    for (int32_t i = 0; i < SCHEDULE_MOST_LINES; i++)
        plan_drop(s->lines[i].plan);
    model_drop(s->of);
    arena_free(&s->mem);
    mem_free(s);
}

/* ---- ports ---- */

int32_t schedule_n_inputs(const schedule *s) { return s->n_inputs; }
int32_t schedule_n_outputs(const schedule *s) { return s->n_outputs; }

const schedule_port *schedule_input(const schedule *s, int32_t i)
{
    return &s->values[s->inputs[i]].port;
}

const schedule_port *schedule_output(const schedule *s, int32_t i)
{
    return &s->values[s->outputs[i]].port;
}

static int32_t want_port(ctx *cx, const schedule *s, const char *name, const char *what,
                         const int32_t *list, int32_t n, const schedule_port **out)
{
    enum { MOST = 128 };
    const char *names[MOST] = {NULL};
    for (int32_t i = n - 1; i >= 0; i--) { /* the newest of a name counts */
        const schedule_port *p = &s->values[list[i]].port;
        if (!strcmp(p->name, name)) return *out = p, 0;
        if (i < MOST) names[i] = p->name;
    }
    const char *near = near_miss(name, names, n < MOST ? n : MOST);
    if (!near && n) near = names[0];
    return ctx_fail(cx, EVLA_E_MISSING, "schedule: has no %s called \"%.60s\"%s%s%s", what,
                    name, near ? "; did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
}

int32_t schedule_want_input(ctx *cx, const schedule *s, const char *name,
                            const schedule_port **out)
{
    return want_port(cx, s, name, "input", s->inputs, s->n_inputs, out);
}

int32_t schedule_want_output(ctx *cx, const schedule *s, const char *name,
                             const schedule_port **out)
{
    return want_port(cx, s, name, "output", s->outputs, s->n_outputs, out);
}

/* ---- a call ---- */

static void keep_outputs(schedule *s, int32_t of)
{
    const line *l = &s->lines[of];
    for (int32_t k = 0; k < l->n_out; k++) {
        const value_place *v = &s->values[l->out[k].value];
        memcpy(v->port.view.data[0],
               session_output(s->session, of, l->out[k].slot)->data[0], v->bytes);
    }
}

static int32_t run_line(ctx *cx, schedule *s, int32_t of, schedule_heard *heard, void *to)
{
    line *l = &s->lines[of];
    int32_t st = 0;
    for (int32_t k = 0; k < l->n_in; k++) {
        const value_place *v = &s->values[l->in[k].value];
        memcpy(session_input(s->session, of, l->in[k].slot)->data[0], v->port.view.data[0],
               v->bytes);
    }
    for (int64_t time = 0; st >= 0 && time < l->loop.times; time++) {
        st = turns_run_one(cx, s->session, of, &l->loop, time);
        if (st >= 0 && (heard || time == l->loop.times - 1)) keep_outputs(s, of);
        if (st >= 0 && heard) st = heard(to, cx, of, time);
    }
    return st;
}

int32_t schedule_run(ctx *cx, schedule *s, schedule_heard *heard, void *to)
{
    if (!s->session) return ctx_fail(cx, EVLA_E_STATE, "schedule: was only planned");
    int64_t from = clock_ns();
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < s->n_lines; i++) {
        st = run_line(cx, s, i, heard, to);
        int64_t now = clock_ns();
        s->lines[i].ns = now - from;
        from = now;
    }
    return st;
}

int32_t schedule_reset(ctx *cx, schedule *s)
{
    return s->session ? session_reset(cx, s->session)
                      : ctx_fail(cx, EVLA_E_STATE, "schedule: was only planned");
}

/* ---- figures ---- */

int32_t schedule_n_lines(const schedule *s) { return s->n_lines; }

schedule_phase schedule_line_at(const schedule *s, int32_t i)
{
    const line *l = &s->lines[i];
    return (schedule_phase){.name = l->what.phase,
                            .graph = l->what.graph,
                            .times = l->loop.times,
                            .ns = l->ns,
                            .flops = l->plan->flops * (double)l->loop.times};
}

int64_t schedule_ns(const schedule *s)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < s->n_lines; i++)
        sum += s->lines[i].ns;
    return sum;
}

schedule_bytes schedule_size(const schedule *s) { return s->bytes; }

uint64_t schedule_needs(const schedule *s)
{
    plan *plans[SCHEDULE_MOST_LINES];
    for (int32_t i = 0; i < s->n_lines; i++)
        plans[i] = s->lines[i].plan;
    return sizeof *s + s->mem.total + s->bytes.arena + s->bytes.states + s->bytes.values +
           1 + session_size(s->reg, plans, s->n_lines).tables;
}

uint64_t schedule_held(const schedule *s)
{
    uint64_t n = sizeof *s + s->mem.total;
    return s->session ? n + s->bytes.values + 1 + session_held(s->session) : n;
}

uint64_t schedule_line_weights(const schedule *s, int32_t i)
{
    return weights_bytes(s, i, i + 1);
}

const plan *schedule_plan_of(const schedule *s, int32_t i) { return s->lines[i].plan; }

profile *schedule_profile(schedule *s, int32_t i)
{
    return s->session ? session_profile(s->session, i) : NULL;
}
