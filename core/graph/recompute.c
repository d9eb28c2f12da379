/*
 * recompute.c -- checkpointing: activations dropped and computed again. See recompute.h.
 */
#include "recompute.h"
#include "../registry.h"
#include <math.h>
#include <string.h>

enum { CHEAP = 16 /* operations per number made */ };

typedef struct again {
    ctx *cx;
    arena *a;
    bound *b;
    int32_t forward;
    int32_t n_wires;      /* before anything was added */
    unsigned char *late;  /* by wire: the backward pass reads it */
    unsigned char *kept;  /* by wire: it lives until then */
    unsigned char *fixed; /* by node: may not be repeated */
    unsigned char *drop;  /* by node: what it makes is computed again */
    int32_t *segment;     /* by node */
    int32_t *copy;        /* by wire: its second version, -1 */
    bound_node *list;
    int32_t n_list;
    int failed;
} again;

static int64_t bytes_of(const again *r, int32_t w)
{
    return type_bytes(r->cx->reg, &r->b->wires[w].type);
}

static int32_t maker(const again *r, int32_t w)
{
    int32_t n = w < 0 || w >= r->n_wires ? -1 : r->b->wires[w].node;
    return n >= 0 && n < r->forward ? n : -1;
}

static int is_output(const bound *b, int32_t w)
{
    for (int32_t i = 0; i < b->n_outputs; i++)
        if (b->outputs[i].wire == w) return 1;
    return 0;
}

/* Some node of the forward pass writes this version of a state. */
static int is_overwritten(const again *r, int32_t w)
{
    if (w < 0 || r->b->wires[w].kind != WIRE_STATE) return 0;
    for (int32_t i = 0; i < r->forward; i++) {
        const bound_node *n = &r->b->nodes[i];
        for (int32_t k = 0; !n->is_gone && k < op_writes(op_of(n->op)); k++)
            if (n->in[k] == w) return 1;
    }
    return 0;
}

static void look(again *r)
{
    const bound *b = r->b;
    for (int32_t i = r->forward; i < b->n_nodes; i++)
        for (int32_t k = 0; !b->nodes[i].is_gone && k < b->nodes[i].n_in; k++)
            if (maker(r, b->nodes[i].in[k]) >= 0)
                r->late[b->nodes[i].in[k]] = r->kept[b->nodes[i].in[k]] = 1;
    for (int32_t i = 0; i < r->forward; i++) {
        const bound_node *n = &b->nodes[i];
        r->fixed[i] = n->is_gone || op_of(n->op)->effect != EVLA_PURE;
        for (int32_t k = 0; k < n->n_out; k++)
            r->fixed[i] |= (unsigned char)is_output(b, n->out[k]);
        for (int32_t k = 0; k < n->n_in; k++)
            r->fixed[i] |= (unsigned char)is_overwritten(r, n->in[k]);
    }
}

/* ---- what to drop ---- */

static int is_cheap(const again *r, const bound_node *n)
{
    double numbers = 0, cost;
    for (int32_t k = 0; k < n->n_out; k++)
        numbers += (double)type_count(&r->b->wires[n->out[k]].type);
    return !infer_cost(r->cx, r->b, n, &cost) || cost <= CHEAP * numbers;
}

/* In forward order, so that what a node reads has been decided. */
static void drop_cheap(again *r)
{
    for (int32_t i = 0; i < r->forward; i++) {
        const bound_node *n = &r->b->nodes[i];
        int64_t gain = 0;
        if (r->fixed[i] || !is_cheap(r, n)) continue;
        for (int32_t k = 0; k < n->n_out; k++)
            if (r->late[n->out[k]]) gain += bytes_of(r, n->out[k]);
        for (int32_t k = 0; k < n->n_in; k++) {
            int32_t from = maker(r, n->in[k]);
            if (from >= 0 && !r->kept[n->in[k]] && !r->drop[from])
                gain -= bytes_of(r, n->in[k]);
        }
        if (gain <= 0) continue;
        r->drop[i] = 1;
        for (int32_t k = 0; k < n->n_out; k++)
            r->kept[n->out[k]] = 0;
        for (int32_t k = 0; k < n->n_in; k++) {
            int32_t from = maker(r, n->in[k]);
            if (from >= 0 && !r->drop[from]) r->kept[n->in[k]] = 1;
        }
    }
}

static void drop_deep(again *r)
{
    const bound *b = r->b;
    int64_t all = 0, sum = 0;
    int32_t many = 0;
    for (int32_t i = 0; i < r->forward; i++)
        for (int32_t k = 0; k < b->nodes[i].n_out; k++)
            if (r->late[b->nodes[i].out[k]]) all += bytes_of(r, b->nodes[i].out[k]), many++;
    int32_t segments = (int32_t)lround(sqrt(many));
    if (segments < 2 || all <= 0) return;
    for (int32_t i = 0; i < r->forward; i++) {
        int64_t at = (int64_t)((double)sum / (double)all * segments);
        r->segment[i] = at < segments ? (int32_t)at : segments - 1;
        for (int32_t k = 0; k < b->nodes[i].n_out; k++)
            if (r->late[b->nodes[i].out[k]]) sum += bytes_of(r, b->nodes[i].out[k]);
        r->drop[i] = !r->fixed[i] && r->segment[i] < segments - 1;
    }
    for (int32_t i = 0; i < r->forward; i++)
        for (int32_t k = 0; !b->nodes[i].is_gone && k < b->nodes[i].n_in; k++) {
            int32_t from = maker(r, b->nodes[i].in[k]);
            if (from >= 0 && r->segment[from] != r->segment[i]) r->drop[from] = 0;
        }
}

/* ---- repeating ---- */

/* The wire that the backward pass reads instead of w; its node comes to stand just before
 * the first reader. */
static int32_t ensure(again *r, int32_t w)
{
    int32_t i = maker(r, w);
    if (i < 0 || !r->drop[i] || r->failed) return w;
    if (r->copy[w] >= 0) return r->copy[w];
    bound_node n = r->b->nodes[i];
    for (int32_t k = 0; k < n.n_in; k++)
        n.in[k] = ensure(r, n.in[k]);
    n.label = arena_text(r->a, "%s.again", n.label);
    for (int32_t k = 0; !r->failed && k < n.n_out; k++) {
        bound_wire twin = r->b->wires[n.out[k]];
        int32_t from = n.out[k];
        twin.name = arena_text(r->a, "%s.again", twin.name);
        if (!n.label || !twin.name ||
            infer_add_wire(r->cx, r->a, r->b, &twin, &n.out[k]) < 0)
            r->failed = 1;
        r->copy[from] = n.out[k];
    }
    r->list[r->n_list++] = n;
    return r->copy[w];
}

static int32_t repeat(again *r)
{
    bound *b = r->b;
    for (int32_t i = 0; i < b->n_nodes; i++) {
        bound_node n = b->nodes[i];
        for (int32_t k = 0; i >= r->forward && !n.is_gone && k < n.n_in; k++)
            n.in[k] = ensure(r, n.in[k]);
        r->list[r->n_list++] = n;
    }
    if (r->failed)
        return ctx_fail(r->cx, EVLA_E_NOMEM, "graph %s: recomputation", b->from->name);
    b->nodes = r->list;
    b->n_nodes = b->cap_nodes = r->n_list;
    for (int32_t i = 0; i < b->n_nodes; i++)
        for (int32_t k = 0; !b->nodes[i].is_gone && k < b->nodes[i].n_out; k++)
            b->wires[b->nodes[i].out[k]].node = i;
    return 0;
}

int32_t recompute_apply(ctx *cx, arena *a, bound *b, int32_t forward, int deep)
{
    again r = {.cx = cx, .a = a, .b = b, .forward = forward, .n_wires = b->n_wires};
    arena *s = &cx->scratch;
    arena_place mark = arena_mark(s);
    size_t wires = (size_t)b->n_wires + 1, nodes = (size_t)b->n_nodes + 1;
    r.late = arena_push(s, wires, 1);
    r.kept = arena_push(s, wires, 1);
    r.fixed = arena_push(s, nodes, 1);
    r.drop = arena_push(s, nodes, 1);
    r.segment = arena_push(s, nodes, sizeof *r.segment);
    r.copy = arena_push(s, wires, sizeof *r.copy);
    r.list = arena_push(a, nodes + (size_t)forward, sizeof *r.list);
    int32_t st = 0;
    if (!r.late || !r.kept || !r.fixed || !r.drop || !r.segment || !r.copy || !r.list)
        st = ctx_fail(cx, EVLA_E_NOMEM, "graph %s: recomputation", b->from->name);
    else {
        for (int32_t w = 0; w < b->n_wires; w++)
            r.copy[w] = -1;
        look(&r);
        if (deep)
            drop_deep(&r);
        else
            drop_cheap(&r);
        st = repeat(&r);
    }
    arena_reset(s, mark);
    return st;
}
