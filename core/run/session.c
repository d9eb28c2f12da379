/*
 * session.c -- runs plans: owns the arena, the states and a set of workers. See session.h.
 */
#include "session.h"
#include "../graph/bundle.h"
#include "../graph/layout.h"
#include "../mem.h"
#include "../near.h"
#include "../registry.h"
#include "exec.h"
#include <string.h>

/* One state of the model as this session holds it; unused ones have no data. */
typedef struct held_state {
    evla_tensor view;
    evla_type type;
    uint64_t bytes;
    int is_valid;
} held_state;

/* A plan with everything that is reached by slot. */
typedef struct bound_plan {
    plan *of;
    exec x;
    evla_tensor *in, *out;           /* by slot; data[0] NULL: nobody reads it */
    evla_tensor *step_in, *step_out; /* of all steps, one after the other */
    profile times;
} bound_plan;

struct session {
    arena mem;
    session_options options;
    model *of;
    bound_plan *plans;
    held_state *states;   /* by slot of the model */
    const void **weights; /* by slot; what this session uses */
    exec_worker *workers;
    pool *threads;
    unsigned char *block; /* arenas, then states */
    uint64_t bytes, arena_bytes;
    int32_t n_plans, n_workers;
    int32_t n_states, n_weights; /* the model's when this was opened */
};

struct snapshot {
    int32_t n_states;
    uint64_t bytes;
    evla_type *types;
    int *is_valid;
    unsigned char *data;
};

static uint64_t round_up(uint64_t n)
{
    return (n + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* ---- opening ---- */

static int32_t no_room(ctx *cx, const session *s)
{
    return ctx_fail(cx, EVLA_E_NOMEM, "session of model %s: %llu bytes", s->of->name,
                    (unsigned long long)s->bytes);
}

/* Plans agree about the states they share. */
static int32_t find_states(ctx *cx, session *s)
{
    const model *m = s->of;
    s->states = arena_push(&s->mem, (size_t)s->n_states + 1, sizeof *s->states);
    if (!s->states) return no_room(cx, s);
    s->bytes = 0;
    for (int32_t i = 0; i < s->n_plans; i++) {
        uint64_t one = round_up(s->plans[i].of->arena_bytes);
        if (!s->options.one_at_a_time)
            s->bytes += one;
        else if (s->bytes < one)
            s->bytes = one;
    }
    s->arena_bytes = s->bytes;
    for (int32_t k = 0; k < s->n_states; k++) {
        held_state *h = &s->states[k];
        h->type.rank = -1;
        for (int32_t i = 0; i < s->n_plans; i++) {
            const plan *p = s->plans[i].of;
            /* a state declared after the plan was made is none of its */
            const evla_type *t = k < p->n_states ? &p->state_types[k] : NULL;
            if (!t || t->rank < 0) continue;
            if (h->type.rank >= 0 && !type_equal(&h->type, t)) {
                arena_place mark = arena_mark(&cx->scratch);
                ctx_fail(cx, EVLA_E_SHAPE, "state %s: is %s in graph %s, but %s in another",
                         m->states[k].name, type_text(cx->reg, &cx->scratch, t),
                         p->graph->from->name, type_text(cx->reg, &cx->scratch, &h->type));
                arena_reset(&cx->scratch, mark);
                return EVLA_E_SHAPE;
            }
            h->type = *t;
        }
        if (h->type.rank < 0) continue;
        h->bytes = (uint64_t)type_bytes(cx->reg, &h->type);
        s->bytes += round_up(h->bytes ? h->bytes : 1);
    }
    if (s->options.budget && s->bytes > s->options.budget)
        return ctx_fail(cx, EVLA_E_NOMEM,
                        "session of model %s: needs %llu bytes (%llu of arenas, %llu of "
                        "states), the budget is %llu",
                        m->name, (unsigned long long)s->bytes,
                        (unsigned long long)s->arena_bytes,
                        (unsigned long long)(s->bytes - s->arena_bytes),
                        (unsigned long long)s->options.budget);
    return 0;
}

static int32_t take_weights(ctx *cx, session *s)
{
    const model *m = s->of;
    s->weights = arena_push(&s->mem, (size_t)s->n_weights + 1, sizeof *s->weights);
    if (!s->weights) return no_room(cx, s);
    int32_t st = layout_pack(cx, s->of, s->threads);
    if (st < 0) return st;
    for (int32_t i = 0; i < s->n_weights; i++)
        s->weights[i] = m->weights[i].layout ? m->weights[i].packed : m->weights[i].data;
    for (int32_t i = 0; i < s->n_plans; i++) {
        const plan *p = s->plans[i].of;
        for (int32_t w = 0; w < p->graph->n_wires; w++) {
            if (p->places[w].home != HOME_WEIGHT) continue;
            weight_info *info = &m->weights[p->places[w].slot];
            if (!info->layout) info->is_lent = 1;
            if (s->weights[p->places[w].slot]) continue;
            arena_place mark = arena_mark(&cx->scratch);
            ctx_fail(cx, EVLA_E_STATE,
                     "%s%sweight %s, %s, has no data; load it or give it first values",
                     info->where ? info->where : "", info->where ? ": " : "", info->name,
                     type_text(cx->reg, &cx->scratch, &info->type));
            arena_reset(&cx->scratch, mark);
            return EVLA_E_STATE;
        }
    }
    return 0;
}

/* Sessions of one model may be opened by several threads at once. */
static int32_t find_weights(ctx *cx, session *s)
{
    pthread_mutex_lock(&s->of->opening);
    int32_t st = take_weights(cx, s);
    pthread_mutex_unlock(&s->of->opening);
    return st;
}

/* Where a wire's bytes are in this session. */
static evla_tensor view(const session *s, const bound_plan *bp, int32_t w)
{
    const plan *p = bp->of;
    const place *at = w < 0 ? NULL : &p->places[w];
    void *data = NULL;
    if (!at || at->home == HOME_NONE) return (evla_tensor){0};
    switch (at->home) {
    case HOME_ARENA:
        data = bp->x.base + at->offset;
        break;
    case HOME_WEIGHT:
        data = (void *)s->weights[at->slot];
        break;
    case HOME_STATE:
        data = s->states[at->slot].view.data[0];
        break;
    case HOME_CONST:
        data = (void *)p->graph->wires[w].data;
        break;
    case HOME_NONE:
        break;
    }
    evla_tensor t = tensor_view(p->reg, &p->graph->wires[w].type, data);
    t.layout = at->home == HOME_WEIGHT && s->of->weights[at->slot].layout;
    return t;
}

/* Points every tensor of a plan at its bytes. Also after a weight was swapped. */
static void point(session *s, bound_plan *bp)
{
    const plan *p = bp->of;
    int32_t in = 0, out = 0;
    for (int32_t t = 0; t < p->n_steps; t++) {
        const plan_step *step = &p->steps[t];
        bp->x.args[t] = (evla_args){.node = &step->node,
                                    .in = bp->step_in + in,
                                    .out = bp->step_out + out,
                                    .shared = bp->x.base + step->shared_at,
                                    .blob = step->blob};
        for (int32_t k = 0; k < step->node.n_in; k++)
            bp->step_in[in++] = view(s, bp, step->in[k]);
        for (int32_t k = 0; k < step->node.n_out; k++)
            bp->step_out[out++] = view(s, bp, step->out[k]);
    }
    for (int32_t i = 0; i < p->graph->n_inputs; i++)
        bp->in[i] = view(s, bp, p->graph->inputs[i]);
    for (int32_t i = 0; i < p->graph->n_outputs; i++)
        bp->out[i] = view(s, bp, p->graph->outputs[i].wire);
}

static int32_t bind_plan(ctx *cx, session *s, bound_plan *bp)
{
    const plan *p = bp->of;
    size_t in = 1, out = 1;
    for (int32_t t = 0; t < p->n_steps; t++) {
        in += (size_t)p->steps[t].node.n_in;
        out += (size_t)p->steps[t].node.n_out;
    }
    bp->step_in = arena_push(&s->mem, in, sizeof *bp->step_in);
    bp->step_out = arena_push(&s->mem, out, sizeof *bp->step_out);
    bp->x.args = arena_push(&s->mem, (size_t)p->n_steps + 1, sizeof *bp->x.args);
    bp->in = arena_push(&s->mem, (size_t)p->graph->n_inputs + 1, sizeof *bp->in);
    bp->out = arena_push(&s->mem, (size_t)p->graph->n_outputs + 1, sizeof *bp->out);
    bp->times.rows = arena_push(&s->mem, (size_t)p->n_steps + 1, sizeof *bp->times.rows);
    if (!bp->step_in || !bp->step_out || !bp->x.args || !bp->in || !bp->out ||
        !bp->times.rows)
        return no_room(cx, s);
    bp->times.of = p;
    bp->x.of = p;
    bp->x.workers = s->workers;
    bp->x.workers_pool = s->threads;
    bp->x.times = s->options.profile ? &bp->times : NULL;
    point(s, bp);
    return 0;
}

static int32_t start_workers(ctx *cx, session *s)
{
    s->n_workers = s->options.n_workers > 0 ? s->options.n_workers : 1;
    for (int32_t i = 0; i < s->n_plans; i++)
        if (s->n_workers > s->plans[i].of->n_workers)
            return ctx_fail(
                cx, EVLA_E_RANGE,
                "session: wants %d workers, but graph %s was planned for at most %d",
                s->n_workers, s->plans[i].of->graph->from->name, s->plans[i].of->n_workers);
    int32_t st = pool_new(cx, s->n_workers, &s->threads);
    if (st < 0) return st;
    s->workers = arena_push_aligned(&s->mem, (size_t)s->n_workers, sizeof *s->workers, 64);
    if (!s->workers) return no_room(cx, s);
    for (int32_t w = 0; w < s->n_workers; w++) {
        ctx_init_child(&s->workers[w].cx, cx);
        host_init(&s->workers[w].h, &s->workers[w].cx, NULL);
    }
    return 0;
}

static int32_t place_all(ctx *cx, session *s)
{
    s->block = mem_alloc_pages((size_t)s->bytes, PLAN_ALIGN);
    if (!s->block) return no_room(cx, s);
    memset(s->block, 0, (size_t)s->bytes); /* also touches every page */
    uint64_t at = 0;
    for (int32_t i = 0; i < s->n_plans; i++) {
        s->plans[i].x.base = s->block + at;
        if (!s->options.one_at_a_time) at += round_up(s->plans[i].of->arena_bytes);
    }
    at = s->arena_bytes;
    for (int32_t k = 0; k < s->n_states; k++) {
        held_state *h = &s->states[k];
        if (h->type.rank < 0) continue;
        h->view = tensor_view(cx->reg, &h->type, s->block + at);
        at += round_up(h->bytes ? h->bytes : 1);
    }
    return 0;
}

static int32_t open_all(ctx *cx, session *s, plan *const *plans, int32_t n)
{
    int32_t st;
    s->plans = arena_push_aligned(&s->mem, (size_t)n + 1, sizeof *s->plans, 64);
    if (!s->plans) return no_room(cx, s);
    for (int32_t i = 0; i < n; i++) {
        if (plans[i]->model != s->of)
            return ctx_fail(cx, EVLA_E_ARG,
                            "session: its plans are of two models, %s and %s", s->of->name,
                            plans[i]->model->name);
        plan_keep(plans[i]);
        s->plans[s->n_plans++].of = plans[i];
    }
    if ((st = find_states(cx, s)) < 0 || (st = start_workers(cx, s)) < 0) return st;
    if ((st = find_weights(cx, s)) < 0 || (st = place_all(cx, s)) < 0) return st;
    for (int32_t i = 0; i < n; i++)
        if ((st = bind_plan(cx, s, &s->plans[i])) < 0) return st;
    return session_reset(cx, s);
}

int32_t session_open(ctx *cx, plan *const *plans, int32_t n_plans, const session_options *o,
                     session **out)
{
    if (n_plans < 1) return ctx_fail(cx, EVLA_E_ARG, "session: has no plan");
    session *s = mem_alloc(sizeof *s);
    if (!s) return ctx_fail(cx, EVLA_E_NOMEM, "session");
    *s = (session){.mem = arena_beside(&cx->mem, 16 << 10), .of = plans[0]->model};
    if (o) s->options = *o;
    s->n_states = s->of->n_states;
    s->n_weights = s->of->n_weights;
    int32_t st = open_all(cx, s, plans, n_plans);
    if (st < 0)
        session_close(s);
    else
        *out = s;
    return st;
}

void session_close(session *s)
{
    if (!s) return;
    pool_free(s->threads);
    for (int32_t w = 0; s->workers && w < s->n_workers; w++)
        ctx_free(&s->workers[w].cx);
    mem_free(s->block);
    for (int32_t i = 0; i < s->n_plans; i++)
        plan_drop(s->plans[i].of);
    arena_free(&s->mem);
    mem_free(s);
}

/* ---- running ---- */

/* A state that a failure left half written is not read again. */
static int32_t check_states(ctx *cx, const session *s, const plan *p)
{
    for (int32_t k = 0; k < p->n_states; k++)
        if (p->state_types[k].rank >= 0 && !s->states[k].is_valid)
            return ctx_fail(cx, EVLA_E_STATE,
                            "graph %s: the state %s is invalid since a step that wrote it "
                            "failed; restore a snapshot or reset the session",
                            p->graph->from->name, s->of->states[k].name);
    return 0;
}

int32_t session_run(ctx *cx, session *s, int32_t i)
{
    bound_plan *bp = &s->plans[i];
    int32_t failed = 0, st = check_states(cx, s, bp->of);
    if (st < 0 || (st = exec_run(cx, &bp->x, &failed)) >= 0) return st;
    for (int32_t t = 0; t <= failed && t < bp->of->n_steps; t++) {
        const plan_step *step = &bp->of->steps[t];
        for (int32_t k = 0; k < step->node.n_out; k++) {
            const place *at = &bp->of->places[step->out[k]];
            if (at->home == HOME_STATE) s->states[at->slot].is_valid = 0;
        }
    }
    return st;
}

evla_tensor *session_input(session *s, int32_t i, int32_t slot)
{
    bound_plan *bp = &s->plans[i];
    if (slot < 0 || slot >= bp->of->graph->n_inputs || !bp->in[slot].data[0]) return NULL;
    return &bp->in[slot];
}

const evla_tensor *session_output(const session *s, int32_t i, int32_t slot)
{
    const bound_plan *bp = &s->plans[i];
    if (slot < 0 || slot >= bp->of->graph->n_outputs) return NULL;
    return &bp->out[slot];
}

/* Names by kind, for a sentence with the nearest one. */
static int32_t no_such(ctx *cx, const plan *p, const char *name, int is_input)
{
    const char *names[64] = {NULL};
    int32_t n = is_input ? p->graph->n_inputs : p->graph->n_outputs;
    if (n > 64) n = 64;
    for (int32_t i = 0; i < n; i++)
        names[i] = is_input ? p->graph->wires[p->graph->inputs[i]].name
                            : p->graph->outputs[i].name;
    const char *near = near_miss(name, names, n);
    if (!near && n) near = names[0];
    return ctx_fail(cx, EVLA_E_MISSING, "graph %s: has no %s called \"%.60s\"%s%s%s",
                    p->graph->from->name, is_input ? "input" : "output", name,
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int32_t check_bytes(ctx *cx, const plan *p, const char *name, const evla_type *t,
                           size_t bytes)
{
    int64_t want = type_bytes(p->reg, t);
    if ((uint64_t)want == bytes) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    ctx_fail(cx, EVLA_E_SHAPE, "graph %s: %s is %s, %lld bytes; got %zu",
             p->graph->from->name, name, type_text(p->reg, &cx->scratch, t),
             (long long)want, bytes);
    arena_reset(&cx->scratch, mark);
    return EVLA_E_SHAPE;
}

int32_t session_set(ctx *cx, session *s, int32_t i, const char *name, const void *data,
                    size_t bytes)
{
    const plan *p = s->plans[i].of;
    int32_t slot = plan_input(p, name);
    if (slot < 0) return no_such(cx, p, name, 1);
    int32_t st = check_bytes(cx, p, name, plan_input_type(p, slot), bytes);
    evla_tensor *to = session_input(s, i, slot);
    if (st >= 0 && to && bytes) memcpy(to->data[0], data, bytes);
    return st;
}

int32_t session_get(ctx *cx, const session *s, int32_t i, const char *name, void *data,
                    size_t bytes)
{
    const plan *p = s->plans[i].of;
    int32_t slot = plan_output(p, name);
    if (slot < 0) return no_such(cx, p, name, 0);
    int32_t st = check_bytes(cx, p, name, plan_output_type(p, slot), bytes);
    if (st >= 0 && bytes) memcpy(data, session_output(s, i, slot)->data[0], bytes);
    return st;
}

int32_t session_swap_weight(ctx *cx, session *s, const char *name, const evla_type *type,
                            const void *data)
{
    int32_t slot = model_weight(s->of, name);
    if (slot < 0 || slot >= s->n_weights)
        return ctx_fail(cx, EVLA_E_MISSING, "model %s: has no weight called \"%.60s\"",
                        s->of->name, name);
    const weight_info *w = &s->of->weights[slot];
    if (w->layout)
        return ctx_fail(cx, EVLA_E_STATE,
                        "weight %s: lies in panels (%s) and cannot be swapped", name,
                        w->layout->name);
    if (data && !type_equal(type, &w->type)) {
        arena_place mark = arena_mark(&cx->scratch);
        ctx_fail(cx, EVLA_E_SHAPE, "weight %s: want %s in its slot, got %s", name,
                 type_text(cx->reg, &cx->scratch, &w->type),
                 type_text(cx->reg, &cx->scratch, type));
        arena_reset(&cx->scratch, mark);
        return EVLA_E_SHAPE;
    }
    s->weights[slot] = data ? data : w->data;
    for (int32_t i = 0; i < s->n_plans; i++)
        point(s, &s->plans[i]);
    return 0;
}

/* ---- states ---- */

evla_tensor *session_state(session *s, const char *name, int *is_valid)
{
    int32_t k = model_state(s->of, name);
    if (k < 0 || k >= s->n_states || s->states[k].type.rank < 0) return NULL;
    if (is_valid) *is_valid = s->states[k].is_valid;
    return &s->states[k].view;
}

int32_t session_reset(ctx *cx, session *s)
{
    for (int32_t k = 0; k < s->n_states; k++) {
        held_state *h = &s->states[k];
        const state_info *info = &s->of->states[k];
        if (h->type.rank < 0) continue;
        int32_t st = model_fill_one(cx, info->name, info->init ? info->init : "zeros",
                                    &h->type, 0, h->view.data[0]);
        if (st < 0) {
            ctx_prefix(cx, "%s%sstate", info->where ? info->where : "",
                       info->where ? ": " : "");
            return st;
        }
        h->is_valid = 1;
    }
    return 0;
}

void session_accept(session *s)
{
    for (int32_t k = 0; k < s->n_states; k++)
        s->states[k].is_valid = 1;
}

int32_t session_snapshot(ctx *cx, const session *s, snapshot **out)
{
    int32_t n = s->n_states;
    uint64_t bytes = s->bytes - s->arena_bytes;
    snapshot *p = mem_alloc(sizeof *p);
    if (p) {
        p->n_states = n;
        p->bytes = bytes;
        p->types = mem_alloc(((size_t)n + 1) * sizeof *p->types);
        p->is_valid = mem_alloc(((size_t)n + 1) * sizeof *p->is_valid);
        p->data = mem_alloc((size_t)bytes + 1);
    }
    if (!p || !p->types || !p->is_valid || !p->data) {
        snapshot_free(p);
        return ctx_fail(cx, EVLA_E_NOMEM, "snapshot of %llu bytes",
                        (unsigned long long)bytes);
    }
    for (int32_t k = 0; k < n; k++) {
        p->types[k] = s->states[k].type;
        p->is_valid[k] = s->states[k].is_valid;
    }
    if (bytes) memcpy(p->data, s->block + s->arena_bytes, (size_t)bytes);
    *out = p;
    return 0;
}

int32_t session_restore(ctx *cx, session *s, const snapshot *from)
{
    int same = from->n_states == s->n_states && from->bytes == s->bytes - s->arena_bytes;
    for (int32_t k = 0; same && k < from->n_states; k++)
        same = type_equal(&from->types[k], &s->states[k].type);
    if (!same)
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "session of model %s: the snapshot is of a session with other states",
            s->of->name);
    if (from->bytes) memcpy(s->block + s->arena_bytes, from->data, (size_t)from->bytes);
    for (int32_t k = 0; k < from->n_states; k++)
        s->states[k].is_valid = from->is_valid[k];
    return 0;
}

void snapshot_free(snapshot *p)
{
    if (!p) return;
    mem_free(p->types);
    mem_free(p->is_valid);
    mem_free(p->data);
    mem_free(p);
}

int32_t session_fork(ctx *cx, const session *s, session **out)
{
    plan **plans = mem_alloc(((size_t)s->n_plans + 1) * sizeof *plans);
    if (!plans) return no_room(cx, s);
    for (int32_t i = 0; i < s->n_plans; i++)
        plans[i] = s->plans[i].of;
    session *f;
    int32_t st = session_open(cx, plans, s->n_plans, &s->options, &f);
    mem_free(plans);
    if (st < 0) return st;
    /* the model may have grown meanwhile, but not in these plans */
    memcpy(f->block, s->block, (size_t)s->bytes);
    for (int32_t k = 0; k < s->n_states; k++)
        f->states[k].is_valid = s->states[k].is_valid;
    memcpy(f->weights, s->weights, (size_t)s->n_weights * sizeof *f->weights);
    for (int32_t i = 0; i < f->n_plans; i++)
        point(f, &f->plans[i]);
    *out = f;
    return 0;
}

int32_t session_save(ctx *cx, const session *s, const char *path)
{
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    int32_t n = s->n_states, used = 0, st = 0;
    bundle_part *parts = arena_push(a, (size_t)n + 1, sizeof *parts);
    if (!parts) return ctx_fail(cx, EVLA_E_NOMEM, "%s: %d states", path, n);
    for (int32_t k = 0; st >= 0 && k < n; k++) {
        const held_state *h = &s->states[k];
        if (h->type.rank < 0) continue;
        if (!h->is_valid)
            st = ctx_fail(cx, EVLA_E_STATE, "%s: the state %s is invalid and is not saved",
                          path, s->of->states[k].name);
        parts[used++] = (bundle_part){
            .name = s->of->states[k].name, .type = h->type, .data = h->view.data[0]};
    }
    value head = {.kind = VALUE_TABLE};
    if (st >= 0) st = bundle_write(cx, path, "evla.states", &head, parts, used);
    arena_reset(a, mark);
    return st;
}

int32_t session_load(ctx *cx, session *s, const char *path)
{
    bundle b;
    int32_t st = bundle_open(cx, path, "evla.states", &b);
    if (st < 0) return st;
    for (int32_t k = 0; st >= 0 && k < s->n_states; k++) {
        const held_state *h = &s->states[k];
        if (h->type.rank < 0) continue;
        const bundle_part *part = bundle_find(&b, s->of->states[k].name);
        if (!part)
            st = ctx_fail(cx, EVLA_E_MISSING, "%s: holds no state called %s", path,
                          s->of->states[k].name);
        else if (!type_equal(&part->type, &h->type)) {
            arena_place mark = arena_mark(&cx->scratch);
            st = ctx_fail(cx, EVLA_E_SHAPE, "%s: state %s: want %s, found %s", path,
                          part->name, type_text(cx->reg, &cx->scratch, &h->type),
                          type_text(cx->reg, &cx->scratch, &part->type));
            arena_reset(&cx->scratch, mark);
        }
    }
    for (int32_t k = 0; st >= 0 && k < s->n_states; k++) {
        held_state *h = &s->states[k];
        if (h->type.rank < 0) continue;
        if (h->bytes)
            memcpy(h->view.data[0], bundle_find(&b, s->of->states[k].name)->data,
                   (size_t)h->bytes);
        h->is_valid = 1;
    }
    bundle_close(&b);
    return st;
}

/* ---- figures ---- */

session_needs session_size(const registry *reg, plan *const *plans, int32_t n_plans)
{
    enum { BLOCK = 32 << 10 }; /* what a growing arena may leave unused */
    const model *m = plans[0]->model;
    session_needs n = {.tables = sizeof(session) + BLOCK + sizeof(exec_worker) +
                                 (uint64_t)(m->n_states + 1) * sizeof(held_state) +
                                 (uint64_t)(m->n_weights + 1) * sizeof(void *)};
    for (int32_t i = 0; i < n_plans; i++) {
        const plan *p = plans[i];
        const bound *b = p->graph;
        n.arenas += round_up(p->arena_bytes);
        n.tables += sizeof(bound_plan) +
                    (uint64_t)(b->n_inputs + b->n_outputs + 4) * sizeof(evla_tensor) +
                    (uint64_t)(p->n_steps + 1) * (sizeof(evla_args) + sizeof(profile_row));
        for (int32_t t = 0; t < p->n_steps; t++)
            n.tables += (uint64_t)(p->steps[t].node.n_in + p->steps[t].node.n_out) *
                        sizeof(evla_tensor);
    }
    for (int32_t k = 0; k < m->n_states; k++)
        for (int32_t i = 0; i < n_plans; i++) {
            const plan *p = plans[i];
            if (k >= p->n_states || p->state_types[k].rank < 0) continue;
            uint64_t bytes = (uint64_t)type_bytes(reg, &p->state_types[k]);
            n.states += round_up(bytes ? bytes : 1);
            break;
        }
    return n;
}

uint64_t session_held(const session *s)
{
    return sizeof *s + s->bytes + s->mem.total +
           (uint64_t)s->n_workers * sizeof *s->workers;
}

profile *session_profile(session *s, int32_t i) { return s->plans[i].x.times; }
uint64_t session_bytes(const session *s) { return s->bytes; }
int32_t session_workers(const session *s) { return s->n_workers; }
