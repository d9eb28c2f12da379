/*
 * plan.c -- from a graph to a list of steps with fixed places in one arena. See plan.h.
 */
#include "plan.h"
#include "../host.h"
#include "../mem.h"
#include "../registry.h"
#include "layout.h"
#include "order.h"
#include "rewrite.h"
#include "verify.h"
#include <stdio.h>
#include <string.h>

#define MOST_BYTES ((uint64_t)1 << 60) /* sums below it cannot overflow */

typedef struct planner {
    ctx *cx;
    const plan_options *o;
    plan *p;
    bound *b;
    const bound_node **nodes; /* what runs, fused nodes or their bodies */
    plan_step *steps;         /* of nodes, same order */
    int32_t n;
    int32_t cap;
} planner;

static int32_t no_room(planner *pl)
{
    return ctx_fail(pl->cx, EVLA_E_NOMEM, "plan of %s: %d nodes", pl->b->from->name,
                    pl->b->n_nodes);
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* ---- kernels ---- */

static uint64_t wire_bytes(const planner *pl, int32_t w)
{
    return w < 0 ? 0 : (uint64_t)type_bytes(pl->cx->reg, &pl->b->wires[w].type);
}

/* Fills a step for a node, or answers EVLA_E_MISSING when no kernel takes it. */
static int32_t fill_step(planner *pl, const bound_node *n, int quiet, plan_step *s)
{
    plan *p = pl->p;
    pick k;
    *s = (plan_step){.where = n->where, .aliased = -1};
    int32_t st = infer_node(pl->cx, &p->mem, pl->b, n, &s->node);
    if (st < 0 || (st = choose_kernel(pl->cx, pl->o, &s->node, quiet, &k)) < 0) return st;
    if ((st = choose_work(pl->cx, &p->mem, pl->o, &s->node, &k, &s->work)) < 0) return st;
    s->item = k.item;
    s->kernel = k.item->table;
    s->offer = k.offer;
    int32_t *in = arena_push(&p->mem, (size_t)n->n_in + 1, sizeof *in);
    int32_t *out = arena_push(&p->mem, (size_t)n->n_out + 1, sizeof *out);
    void *blob = arena_push_aligned(&p->mem, (size_t)s->work.blob_bytes + 1, 1, PLAN_ALIGN);
    if (!in || !out || !blob) return no_room(pl);
    memcpy(in, n->in, (size_t)n->n_in * sizeof *in);
    memcpy(out, n->out, (size_t)n->n_out * sizeof *out);
    s->in = in;
    s->out = out;
    s->blob = blob;
    s->scratch_stride = round_up(s->work.worker_bytes);
    s->work.shared_bytes = round_up(s->work.shared_bytes);
    if (s->kernel->prepare && s->work.blob_bytes) {
        host h;
        host_init(&h, pl->cx, &p->mem);
        arena_place mark = arena_mark(&pl->cx->scratch);
        st = s->kernel->prepare(&h.table, &s->node, blob);
        host_done(&h, mark);
        if (st < 0) return choose_blame(pl->cx, &s->node, s->item, st);
    }
    return 0;
}

static int32_t add_step(planner *pl, const bound_node *n, int32_t of, int quiet)
{
    plan_step *s = &pl->steps[pl->n];
    int32_t st = fill_step(pl, n, quiet, s);
    if (st < 0) {
        if (n->where && pl->cx->code) ctx_prefix(pl->cx, "%s", n->where);
        return st;
    }
    s->of = of;
    infer_cost(pl->cx, pl->b, n, &s->flops);
    for (int32_t i = 0; i < n->n_in; i++)
        s->bytes += wire_bytes(pl, n->in[i]);
    for (int32_t i = 0; i < n->n_out; i++)
        s->bytes += wire_bytes(pl, n->out[i]);
    pl->nodes[pl->n++] = n;
    return 0;
}

/* Every node gets a kernel; a fused one that nobody takes is run as its parts. */
static int32_t choose_all(planner *pl)
{
    const bound *b = pl->b;
    pl->cap = 0;
    for (int32_t i = 0; i < b->n_nodes; i++)
        if (!b->nodes[i].is_gone) pl->cap += b->nodes[i].n_body ? b->nodes[i].n_body : 1;
    pl->nodes = arena_push(&pl->p->mem, (size_t)pl->cap + 1, sizeof *pl->nodes);
    pl->steps = arena_push(&pl->p->mem, (size_t)pl->cap + 1, sizeof *pl->steps);
    if (!pl->nodes || !pl->steps) return no_room(pl);
    for (int32_t i = 0; i < b->n_nodes; i++) {
        const bound_node *n = &b->nodes[i];
        if (n->is_gone) continue;
        int32_t st = add_step(pl, n, i, n->n_body > 0);
        if (st == EVLA_E_MISSING && n->n_body && !pl->cx->code)
            for (int32_t k = 0; k < n->n_body; k++)
                if ((st = add_step(pl, &n->body[k], i, 0)) < 0) return st;
        if (st < 0) return st;
    }
    return 0;
}

/* ---- places ---- */

typedef struct layout {
    int32_t *order;
    plan_step *steps;
    place *places;
    region *regions;
    int32_t n_regions;
    uint64_t arena_bytes, lower_bound;
    int32_t peak;
    const char *packing;
} layout;

/* First and last step of every wire. */
static void find_lives(const planner *pl, layout *l)
{
    const bound *b = pl->b;
    for (int32_t w = 0; w < b->n_wires; w++)
        l->places[w] = (place){.region = -1, .slot = -1, .first = INT32_MAX, .last = -1};
    for (int32_t i = 0; i < b->n_inputs; i++)
        l->places[b->inputs[i]].first = -1;
    for (int32_t t = 0; t < pl->n; t++) {
        const plan_step *s = &l->steps[t];
        for (int32_t k = 0; k < s->node.n_in; k++)
            if (s->in[k] >= 0) l->places[s->in[k]].last = t;
        for (int32_t k = 0; k < s->node.n_out; k++) {
            place *at = &l->places[s->out[k]];
            at->first = t;
            if (at->last < t) at->last = t;
        }
    }
    for (int32_t i = 0; i < b->n_outputs; i++)
        l->places[b->outputs[i].wire].last = pl->n;
    for (int32_t i = 0; i < b->n_inputs && !pl->p->inputs_consumed; i++)
        if (l->places[b->inputs[i]].last >= 0) l->places[b->inputs[i]].last = pl->n;
}

static void find_home(const planner *pl, layout *l, int32_t w)
{
    const bound_wire *from = &pl->b->wires[w];
    place *at = &l->places[w];
    if (at->last < 0) return; /* nobody reads or makes it */
    at->slot = from->slot;
    at->bytes = wire_bytes(pl, w);
    switch (from->kind) {
    case WIRE_WEIGHT:
        at->home = HOME_WEIGHT;
        break;
    case WIRE_STATE:
        at->home = HOME_STATE;
        break;
    case WIRE_CONST:
        at->home = HOME_CONST;
        break;
    case WIRE_INPUT:
    case WIRE_RESULT:
        at->home = HOME_ARENA;
        break;
    }
}

static void new_region(layout *l, uint64_t bytes, int32_t first, int32_t last, int32_t w,
                       int32_t step)
{
    l->regions[l->n_regions++] =
        (region){.bytes = bytes, .first = first, .last = last, .wire = w, .step = step};
}

/* Output 0 takes over the memory of an input that dies here, when the kernel can work so.
 */
static int can_alias(const planner *pl, const layout *l, int32_t t)
{
    const plan_step *s = &l->steps[t];
    int32_t k = s->offer.alias_in, w = k < 0 ? -1 : s->in[k];
    if (w < 0) return 0;
    const place *from = &l->places[w], *to = &l->places[s->out[0]];
    if (from->home != HOME_ARENA || to->home != HOME_ARENA || from->last != t) return 0;
    if (from->bytes != to->bytes) return 0;
    if (pl->b->wires[w].kind == WIRE_INPUT && !pl->p->inputs_consumed) return 0;
    for (int32_t i = 0; i < s->node.n_in; i++)
        if (i != k && s->in[i] == w) return 0;
    return 1;
}

static void find_regions(const planner *pl, layout *l)
{
    const bound *b = pl->b;
    l->n_regions = 0;
    for (int32_t i = 0; i < b->n_inputs; i++) {
        place *at = &l->places[b->inputs[i]];
        if (at->home != HOME_ARENA || at->region >= 0) continue;
        at->region = l->n_regions;
        new_region(l, round_up(at->bytes ? at->bytes : 1), -1, at->last, b->inputs[i], -1);
    }
    for (int32_t t = 0; t < pl->n; t++) {
        plan_step *s = &l->steps[t];
        s->aliased = -1;
        for (int32_t k = 0; k < s->node.n_out; k++) {
            place *at = &l->places[s->out[k]];
            if (at->home != HOME_ARENA) continue;
            if (k == 0 && can_alias(pl, l, t)) {
                s->aliased = s->offer.alias_in;
                at->region = l->places[s->in[s->aliased]].region;
                l->regions[at->region].last = at->last;
                continue;
            }
            at->region = l->n_regions;
            new_region(l, round_up(at->bytes ? at->bytes : 1), t, at->last, s->out[k], -1);
        }
        /* what all workers of a step need beside tensors: one region, shared part first */
        uint64_t scratch =
            s->work.shared_bytes + s->scratch_stride * (uint64_t)pl->p->n_workers;
        if (scratch) new_region(l, scratch, t, t, -1, t);
    }
}

/* An order, and what has to lie side by side in it. */
static int32_t lay_out(planner *pl, order_rule rule, layout *l)
{
    ctx *cx = pl->cx;
    arena *a = &pl->p->mem;
    size_t wires = (size_t)pl->b->n_wires + 1, n = (size_t)pl->n + 1;
    l->order = arena_push(a, n, sizeof *l->order);
    l->steps = arena_push(a, n, sizeof *l->steps);
    l->places = arena_push(a, wires, sizeof *l->places);
    l->regions = arena_push(a, wires + n, sizeof *l->regions);
    if (!l->order || !l->steps || !l->places || !l->regions) return no_room(pl);
    int32_t st = order_nodes(cx, pl->b, pl->nodes, pl->n, rule, 0, l->order);
    if (st < 0) return st;
    for (int32_t t = 0; t < pl->n; t++)
        l->steps[t] = pl->steps[l->order[t]];
    find_lives(pl, l);
    for (int32_t w = 0; w < pl->b->n_wires; w++)
        find_home(pl, l, w);
    find_regions(pl, l);
    uint64_t sum = 0;
    for (int32_t i = 0; i < l->n_regions; i++)
        if (__builtin_add_overflow(sum, l->regions[i].bytes, &sum) || sum > MOST_BYTES)
            return ctx_fail(cx, EVLA_E_LIMIT,
                            "graph %s: its tensors need more than 2^60 bytes",
                            pl->b->from->name);
    l->lower_bound = pack_lower_bound(l->regions, l->n_regions, &l->peak);
    return 0;
}

/* Gives everything its address. */
static int32_t pack(planner *pl, layout *l)
{
    int32_t st = pack_regions(pl->cx, l->regions, l->n_regions, PLAN_ALIGN, &l->arena_bytes,
                              &l->packing);
    if (st < 0) return st;
    for (int32_t w = 0; w < pl->b->n_wires; w++)
        if (l->places[w].region >= 0)
            l->places[w].offset = l->regions[l->places[w].region].offset;
    for (int32_t i = 0; i < l->n_regions; i++) {
        if (l->regions[i].step < 0) continue;
        plan_step *s = &l->steps[l->regions[i].step];
        s->shared_at = l->regions[i].offset;
        s->scratch_at = s->shared_at + s->work.shared_bytes;
    }
    return 0;
}

/* ---- the budget ---- */

/* Names what is alive at the peak, largest first. */
static int32_t refuse_budget(planner *pl, uint64_t want)
{
    ctx *cx = pl->cx;
    const plan *p = pl->p;
    char list[640] = "";
    size_t used = 0;
    uint64_t below = UINT64_MAX;
    int32_t told = 0, alive = 0, last = -1;
    for (int32_t i = 0; i < p->n_regions; i++)
        alive += p->regions[i].first <= p->peak_step && p->peak_step <= p->regions[i].last;
    arena_place mark = arena_mark(&cx->scratch);
    for (; told < 6 && told < alive; told++) {
        int32_t best = -1; /* next in (bytes descending, index) */
        for (int32_t i = 0; i < p->n_regions; i++) {
            const region *r = &p->regions[i];
            if (r->first > p->peak_step || p->peak_step > r->last) continue;
            if (r->bytes > below || (r->bytes == below && i <= last)) continue;
            if (best < 0 || r->bytes > p->regions[best].bytes) best = i;
        }
        if (best < 0) break;
        const region *r = &p->regions[best];
        const char *name =
            r->wire >= 0 ? pl->b->wires[r->wire].name : p->steps[r->step].node.label;
        int n = snprintf(list + used, sizeof list - used, "%s%s%s %s (%llu)",
                         told ? ", " : "", r->wire >= 0 ? "" : "scratch of ", name,
                         r->wire >= 0
                             ? type_text(cx->reg, &cx->scratch, &pl->b->wires[r->wire].type)
                             : "",
                         (unsigned long long)r->bytes);
        if (n < 0 || used + (size_t)n >= sizeof list) break;
        used += (size_t)n;
        below = r->bytes;
        last = best;
    }
    arena_reset(&cx->scratch, mark);
    const char *where = pl->b->from->where;
    return ctx_fail(
        cx, EVLA_E_NOMEM,
        "%s%sgraph %s: needs %llu bytes (%llu of arena, %llu of states), the budget "
        "is %llu; at the peak, step %d of %d (%s), %d regions are alive: %s",
        where ? where : "", where ? ": " : "", pl->b->from->name, (unsigned long long)want,
        (unsigned long long)p->arena_bytes, (unsigned long long)p->state_bytes,
        (unsigned long long)pl->o->budget, p->peak_step + 1, p->n_steps,
        p->peak_step >= 0 && p->peak_step < p->n_steps ? p->steps[p->peak_step].node.label
                                                       : "inputs",
        alive, list);
}

/* ---- the whole ---- */

static int32_t find_sizes(planner *pl)
{
    plan *p = pl->p;
    const model *m = p->model;
    p->state_types = arena_push(&p->mem, (size_t)m->n_states + 1, sizeof *p->state_types);
    unsigned char *seen = arena_push(&p->mem, (size_t)m->n_weights + 1, 1);
    if (!p->state_types || !seen) return no_room(pl);
    p->n_states = m->n_states;
    for (int32_t i = 0; i < m->n_states; i++)
        p->state_types[i].rank = -1;
    for (int32_t w = 0; w < pl->b->n_wires; w++) {
        const place *at = &p->places[w];
        if (at->home == HOME_CONST) p->const_bytes += at->bytes;
        if (at->home == HOME_WEIGHT && !seen[at->slot]) {
            seen[at->slot] = 1;
            p->weight_bytes += at->bytes;
        }
        if (at->home == HOME_STATE && p->state_types[at->slot].rank < 0) {
            p->state_types[at->slot] = pl->b->wires[w].type;
            p->state_bytes += round_up(at->bytes);
            if (p->state_bytes > MOST_BYTES)
                return ctx_fail(pl->cx, EVLA_E_LIMIT,
                                "graph %s: its states need more than 2^60 bytes",
                                pl->b->from->name);
        }
    }
    for (int32_t t = 0; t < p->n_steps; t++) {
        p->flops += p->steps[t].flops;
        p->const_bytes += p->steps[t].work.blob_bytes;
    }
    return 0;
}

static int32_t build(planner *pl, const graph *g, const symbols *s)
{
    plan *p = pl->p;
    int32_t st = rewrite_check_names(pl->cx, pl->o->without);
    if (st < 0 || (st = infer_bind(pl->cx, &p->mem, g, s, pl->o, &pl->b)) < 0) return st;
    if ((st = rewrite_apply(pl->cx, &p->mem, pl->o, pl->b)) < 0) return st;
    if ((st = layout_settle(pl->cx, pl->o, pl->b)) < 0) return st;
    return plan_finish(pl->cx, p, pl->b, pl->o);
}

int32_t plan_finish(ctx *cx, plan *p, bound *b, const plan_options *o)
{
    static const order_rule rules[2] = {ORDER_DECLARED, ORDER_LEAN};
    static const char *const names[2] = {"declared", "lean"};
    planner pl = {.cx = cx, .o = o, .p = p, .b = b};
    layout found[2];
    p->graph = b;
    int32_t st = choose_all(&pl), n = pl.n > 2 && pl.n <= 4096 ? 2 : 1;
    for (int32_t i = 0; i < n && st >= 0; i++)
        st = lay_out(&pl, rules[i], &found[i]);
    if (st < 0) return st;
    /* The order that could need less is packed first; then the other one may not need to
     * be. */
    int32_t which = n == 2 && found[1].lower_bound < found[0].lower_bound;
    if ((st = pack(&pl, &found[which])) < 0) return st;
    if (n == 2 && found[!which].lower_bound < found[which].arena_bytes) {
        if ((st = pack(&pl, &found[!which])) < 0) return st;
        if (found[!which].arena_bytes < found[which].arena_bytes) which = !which;
    }
    const layout *best = &found[which];
    p->steps = best->steps;
    p->n_steps = pl.n;
    p->places = best->places;
    p->regions = best->regions;
    p->n_regions = best->n_regions;
    p->arena_bytes = best->arena_bytes;
    p->lower_bound = best->lower_bound;
    p->peak_step = best->peak;
    if (!(p->order = arena_text(&p->mem, "%s, by %s", names[which], best->packing)))
        return no_room(&pl);
    if ((st = find_sizes(&pl)) < 0 || (st = verify_plan(cx, p)) < 0) return st;
    if (o->budget && p->arena_bytes + p->state_bytes > o->budget)
        return refuse_budget(&pl, p->arena_bytes + p->state_bytes);
    return 0;
}

int32_t plan_new(ctx *cx, model *m, const plan_options *o, plan **out)
{
    plan *p = mem_alloc(sizeof *p);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "plan of model %s", m->name);
    *p = (plan){.mem = arena_beside(&cx->mem, 16 << 10), .model = m, .reg = cx->reg};
    atomic_init(&p->refs, 1);
    p->n_workers = choose_machine(cx->reg, o).n_workers;
    p->inputs_consumed = o->inputs_consumed;
    model_keep(m);
    *out = p;
    return 0;
}

int32_t plan_make(ctx *cx, const graph *g, const symbols *s, const plan_options *o,
                  plan **out)
{
    static const plan_options none;
    planner pl = {.cx = cx, .o = o ? o : &none};
    int32_t st = plan_new(cx, g->of, pl.o, &pl.p);
    if (st < 0) return st;
    arena_place mark = arena_mark(&cx->scratch);
    st = build(&pl, g, s);
    arena_reset(&cx->scratch, mark);
    if (st < 0)
        plan_drop(pl.p);
    else
        *out = pl.p;
    return st;
}

void plan_keep(plan *p) { atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed); }

void plan_drop(plan *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return;
    model_drop(p->model);
    arena_free(&p->mem);
    mem_free(p);
}

/* ---- asking ---- */

int32_t plan_input(const plan *p, const char *name)
{
    for (int32_t i = 0; i < p->graph->n_inputs; i++)
        if (!strcmp(p->graph->wires[p->graph->inputs[i]].name, name)) return i;
    return -1;
}

int32_t plan_output(const plan *p, const char *name)
{
    for (int32_t i = 0; i < p->graph->n_outputs; i++)
        if (!strcmp(p->graph->outputs[i].name, name)) return i;
    return -1;
}

const evla_type *plan_input_type(const plan *p, int32_t slot)
{
    return &p->graph->wires[p->graph->inputs[slot]].type;
}

const evla_type *plan_output_type(const plan *p, int32_t slot)
{
    return &p->graph->wires[p->graph->outputs[slot].wire].type;
}

const char *plan_table(const plan *p, arena *a)
{
    size_t room = 4096 + (size_t)p->n_steps * 400, n = 0;
    char *text = arena_push(a, room, 1);
    if (!text) return "?";
    n += (size_t)snprintf(text, room, "%-28s %-14s %-20s %5s %-22s %10s %10s\n", "node",
                          "operator", "kernel", "score", "output", "MFLOP", "KiB");
    for (int32_t t = 0; t < p->n_steps && n < room; t++) {
        const plan_step *s = &p->steps[t];
        char op[80];
        size_t k = (size_t)snprintf(op, sizeof op, "%s", s->node.op);
        for (int32_t i = 0; i < s->node.n_tail && k < sizeof op; i++)
            k += (size_t)snprintf(op + k, sizeof op - k, "+%s", s->node.tail[i].op);
        n += (size_t)snprintf(text + n, room - n,
                              "%-28.60s %-14.60s %-20.60s %5d %-22.60s %10.3f %10.1f\n",
                              s->node.label, op, s->item->name, s->offer.score,
                              type_text(p->reg, a, &s->node.out[0]), s->flops * 1e-6,
                              (double)s->bytes / 1024);
    }
    if (n < room)
        snprintf(
            text + n, room - n,
            "%d steps, %.3f MFLOP; arena %llu bytes, lower bound %llu (%.3fx), %s; states "
            "%llu, weights %llu, constants %llu; folded %d, coded %d, dead %d, fused %d\n",
            p->n_steps, p->flops * 1e-6, (unsigned long long)p->arena_bytes,
            (unsigned long long)p->lower_bound,
            p->lower_bound ? (double)p->arena_bytes / (double)p->lower_bound : 1.0,
            p->order, (unsigned long long)p->state_bytes,
            (unsigned long long)p->weight_bytes, (unsigned long long)p->const_bytes,
            p->graph->n_folded, p->graph->n_coded, p->graph->n_dead, p->graph->n_fused);
    return text;
}
