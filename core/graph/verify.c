/*
 * verify.c -- checks a finished plan by following who owns each byte of the arena. See
 * verify.h.
 */
#include "verify.h"
#include "../registry.h"
#include <string.h>

enum { OWNER_NOBODY = -1, OWNER_SCRATCH = -2 };

typedef struct span {
    uint64_t from, to;
    int32_t owner; /* a wire */
} span;

typedef struct owners {
    span *spans; /* ascending, without gaps, over the whole arena */
    int32_t n, cap;
} owners;

/* From now on [from, to) belongs to one owner. */
static int claim(owners *o, uint64_t from, uint64_t to, int32_t owner)
{
    if (from >= to) return 1;
    int32_t i = 0, k;
    while (i < o->n && o->spans[i].to <= from)
        i++;
    k = i;
    while (k < o->n && o->spans[k].from < to)
        k++;
    if (i == k) return 0; /* outside the arena */
    span head = o->spans[i], tail = o->spans[k - 1];
    span put[3];
    int32_t n = 0;
    if (head.from < from) put[n++] = (span){head.from, from, head.owner};
    put[n++] = (span){from, to, owner};
    if (tail.to > to) put[n++] = (span){to, tail.to, tail.owner};
    if (o->n - (k - i) + n > o->cap) return 0;
    memmove(o->spans + i + n, o->spans + k, (size_t)(o->n - k) * sizeof *put);
    memcpy(o->spans + i, put, (size_t)n * sizeof *put);
    o->n += n - (k - i);
    return 1;
}

static int owns(const owners *o, uint64_t from, uint64_t to, int32_t owner)
{
    for (int32_t i = 0; i < o->n && from < to; i++)
        if (o->spans[i].to > from && o->spans[i].from < to && o->spans[i].owner != owner)
            return 0;
    return 1;
}

static int32_t wrong(ctx *cx, const plan *p, int32_t step, const char *what, int32_t w)
{
    const place *at = &p->places[w];
    return ctx_fail(cx, EVLA_E_BUG,
                    "plan of %s: step %d (%s): %s %s at %llu to %llu; this is a mistake of "
                    "the planner, please report it",
                    p->graph->from->name, step,
                    step >= 0 && step < p->n_steps ? p->steps[step].node.label : "end",
                    what, p->graph->wires[w].name, (unsigned long long)at->offset,
                    (unsigned long long)(at->offset + at->bytes));
}

static int is_inside(const plan *p, uint64_t from, uint64_t bytes)
{
    return from % PLAN_ALIGN == 0 && from <= p->arena_bytes &&
           bytes <= p->arena_bytes - from;
}

static int meet(uint64_t a, uint64_t a_n, uint64_t b, uint64_t b_n)
{
    return a < b + b_n && b < a + a_n;
}

static int32_t check_output(ctx *cx, const plan *p, owners *o, int32_t t, int32_t k)
{
    const plan_step *s = &p->steps[t];
    int32_t w = s->out[k];
    const place *at = &p->places[w];
    if (p->graph->wires[w].kind == WIRE_STATE) {
        if (at->home == HOME_STATE && k < s->node.n_in && s->in[k] >= 0 &&
            p->places[s->in[k]].home == HOME_STATE && p->places[s->in[k]].slot == at->slot)
            return 0;
        return wrong(cx, p, t, "writes a state that is not where it was:", w);
    }
    if (at->home != HOME_ARENA) return wrong(cx, p, t, "has no place for", w);
    if (!is_inside(p, at->offset, at->bytes))
        return wrong(cx, p, t, "outside or unaligned:", w);
    for (int32_t i = 0; i < s->node.n_in; i++) {
        const place *from = s->in[i] < 0 ? NULL : &p->places[s->in[i]];
        if (!from || from->home != HOME_ARENA ||
            !meet(at->offset, at->bytes, from->offset, from->bytes))
            continue;
        int alias = k == 0 && s->aliased == i && s->offer.alias_in == i &&
                    from->offset == at->offset && from->bytes == at->bytes;
        if (!alias) return wrong(cx, p, t, "overwrites an input while it is read:", w);
    }
    for (int32_t i = 0; i < k; i++)
        if (p->places[s->out[i]].home == HOME_ARENA &&
            meet(at->offset, at->bytes, p->places[s->out[i]].offset,
                 p->places[s->out[i]].bytes))
            return wrong(cx, p, t, "shares memory with another output:", w);
    uint64_t scratch = s->scratch_stride * (uint64_t)p->n_workers;
    if (meet(at->offset, at->bytes, s->shared_at, s->work.shared_bytes) ||
        meet(at->offset, at->bytes, s->scratch_at, scratch))
        return wrong(cx, p, t, "shares memory with scratch:", w);
    return claim(o, at->offset, at->offset + at->bytes, w)
               ? 0
               : wrong(cx, p, t, "cannot be followed:", w);
}

static int32_t check_step(ctx *cx, const plan *p, owners *o, int32_t t)
{
    const plan_step *s = &p->steps[t];
    for (int32_t i = 0; i < s->node.n_in; i++) {
        const place *at = s->in[i] < 0 ? NULL : &p->places[s->in[i]];
        if (!at) continue;
        if (at->home == HOME_NONE)
            return wrong(cx, p, t, "reads what has no place:", s->in[i]);
        if (at->home == HOME_ARENA &&
            !owns(o, at->offset, at->offset + at->bytes, s->in[i]))
            return wrong(cx, p, t,
                         "reads what was overwritten or not yet written:", s->in[i]);
        if (at->home != HOME_ARENA) continue;
        uint64_t scratch = s->scratch_stride * (uint64_t)p->n_workers;
        if (meet(at->offset, at->bytes, s->shared_at, s->work.shared_bytes) ||
            meet(at->offset, at->bytes, s->scratch_at, scratch))
            return wrong(cx, p, t, "scratch lies on input", s->in[i]);
    }
    uint64_t scratch = s->scratch_stride * (uint64_t)p->n_workers;
    if (!is_inside(p, s->shared_at, s->work.shared_bytes) ||
        !is_inside(p, s->scratch_at, scratch) ||
        meet(s->shared_at, s->work.shared_bytes, s->scratch_at, scratch))
        return ctx_fail(cx, EVLA_E_BUG, "plan of %s: step %d: scratch is misplaced",
                        p->graph->from->name, t);
    if (!claim(o, s->shared_at, s->shared_at + s->work.shared_bytes, OWNER_SCRATCH) ||
        !claim(o, s->scratch_at, s->scratch_at + scratch, OWNER_SCRATCH))
        return ctx_fail(cx, EVLA_E_BUG, "plan of %s: step %d: scratch cannot be followed",
                        p->graph->from->name, t);
    for (int32_t k = 0; k < s->node.n_out; k++) {
        int32_t st = check_output(cx, p, o, t, k);
        if (st < 0) return st;
    }
    return 0;
}

/* Every version of a state is read before the next one is written. */
static int32_t check_states(ctx *cx, const plan *p)
{
    for (int32_t t = 0; t < p->n_steps; t++) {
        const plan_step *s = &p->steps[t];
        for (int32_t k = 0; k < s->node.n_out; k++) {
            if (p->graph->wires[s->out[k]].kind != WIRE_STATE) continue;
            for (int32_t later = t + 1; later < p->n_steps; later++)
                for (int32_t i = 0; i < p->steps[later].node.n_in; i++)
                    if (p->steps[later].in[i] == s->in[k])
                        return wrong(cx, p, later, "reads an old version of", s->in[k]);
        }
    }
    return 0;
}

int32_t verify_plan(ctx *cx, const plan *p)
{
    arena_place mark = arena_mark(&cx->scratch);
    owners o = {.n = 1};
    int32_t st = 0;
    o.cap = 2 * (p->graph->n_wires + 2 * p->n_steps) + 8;
    o.spans = arena_push(&cx->scratch, (size_t)o.cap, sizeof *o.spans);
    if (!o.spans) return ctx_fail(cx, EVLA_E_NOMEM, "checking the plan");
    o.spans[0] = (span){0, p->arena_bytes, OWNER_NOBODY};
    for (int32_t i = 0; st >= 0 && i < p->graph->n_inputs; i++) {
        int32_t w = p->graph->inputs[i];
        const place *at = &p->places[w];
        if (at->home != HOME_ARENA) continue;
        if (!is_inside(p, at->offset, at->bytes) ||
            !owns(&o, at->offset, at->offset + at->bytes, OWNER_NOBODY) ||
            !claim(&o, at->offset, at->offset + at->bytes, w))
            st = wrong(cx, p, -1, "input misplaced:", w);
    }
    for (int32_t t = 0; st >= 0 && t < p->n_steps; t++)
        st = check_step(cx, p, &o, t);
    for (int32_t i = 0; st >= 0 && i < p->graph->n_outputs; i++) {
        int32_t w = p->graph->outputs[i].wire;
        const place *at = &p->places[w];
        if (at->home == HOME_NONE ||
            (at->home == HOME_ARENA && !owns(&o, at->offset, at->offset + at->bytes, w)))
            st = wrong(cx, p, p->n_steps, "output was overwritten:", w);
    }
    for (int32_t i = 0; st >= 0 && !p->inputs_consumed && i < p->graph->n_inputs; i++) {
        int32_t w = p->graph->inputs[i];
        const place *at = &p->places[w];
        if (at->home == HOME_ARENA && !owns(&o, at->offset, at->offset + at->bytes, w))
            st = wrong(cx, p, p->n_steps, "input was overwritten:", w);
    }
    if (st >= 0) st = check_states(cx, p);
    arena_reset(&cx->scratch, mark);
    return st;
}
