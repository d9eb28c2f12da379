/*
 * order.c -- in which order nodes run. See order.h.
 */
#include "order.h"
#include "../registry.h"
#include <stdlib.h>
#include <string.h>

typedef struct orderer {
    const bound *b;
    const bound_node *const *nodes;
    int32_t n;
    int32_t *maker; /* by wire: which of the nodes makes it, -1 */
    int32_t *from;  /* edges: from[i] must run before to[i] */
    int32_t *to;
    int32_t n_edges, cap_edges;
    int32_t *head; /* CSR: edges of node i are next[head[i] .. head[i+1]) */
    int32_t *next;
    int32_t *missing; /* edges into a node that have not run */
} orderer;

static int32_t effect(const bound_node *n) { return op_of(n->op)->effect; }

/* Node i overwrites this version of a state. */
static int overwrites(const bound_node *n, int32_t w)
{
    for (int32_t k = 0; k < op_writes(op_of(n->op)) && k < n->n_in; k++)
        if (n->in[k] == w) return 1;
    return 0;
}

static int add_edge(orderer *o, int32_t from, int32_t to)
{
    if (from < 0 || from == to) return 1;
    if (o->n_edges == o->cap_edges) return 0;
    o->from[o->n_edges] = from;
    o->to[o->n_edges++] = to;
    return 1;
}

/* The nodes that read a version of a state run before the node that overwrites it. */
static int add_edges(orderer *o)
{
    int32_t ordered = -1;
    for (int32_t i = 0; i < o->n; i++)
        for (int32_t k = 0; k < o->nodes[i]->n_in; k++)
            if (o->nodes[i]->in[k] >= 0 && !add_edge(o, o->maker[o->nodes[i]->in[k]], i))
                return 0;
    for (int32_t i = 0; i < o->n; i++) {
        if (effect(o->nodes[i]) == EVLA_ORDERED) {
            if (!add_edge(o, ordered, i)) return 0;
            ordered = i;
        }
        if (effect(o->nodes[i]) != EVLA_WRITES) continue;
        for (int32_t r = 0; r < o->n; r++)
            for (int32_t k = 0; k < o->nodes[r]->n_in; k++)
                if (r != i && overwrites(o->nodes[i], o->nodes[r]->in[k]) &&
                    !add_edge(o, r, i))
                    return 0;
    }
    return 1;
}

static void index_edges(orderer *o, int by_target)
{
    const int32_t *key = by_target ? o->to : o->from, *val = by_target ? o->from : o->to;
    memset(o->head, 0, ((size_t)o->n + 1) * sizeof *o->head);
    for (int32_t i = 0; i < o->n_edges; i++)
        o->head[key[i] + 1]++;
    for (int32_t i = 0; i < o->n; i++)
        o->head[i + 1] += o->head[i];
    memcpy(o->missing, o->head, (size_t)o->n * sizeof *o->head);
    for (int32_t i = 0; i < o->n_edges; i++)
        o->next[o->missing[key[i]]++] = val[i];
}

/* Visits what a node needs before the node, in declared order; -1, or a node on a cycle.
 * The colour of a node lies in missing: 0 new, 1 on the stack, 2 done. */
static int32_t visit_all(orderer *o, int32_t *stack, int32_t *at, int32_t *out)
{
    int32_t n_out = 0;
    index_edges(o, 1);
    memset(o->missing, 0, (size_t)o->n * sizeof *o->missing);
    for (int32_t root = 0; root < o->n; root++) {
        int32_t depth = 0;
        if (o->missing[root]) continue;
        stack[0] = root;
        at[0] = o->head[root];
        o->missing[root] = 1;
        while (depth >= 0) {
            int32_t i = stack[depth];
            if (at[depth] < o->head[i + 1]) {
                int32_t need = o->next[at[depth]++];
                if (o->missing[need] == 1) return need;
                if (o->missing[need] == 2) continue;
                o->missing[need] = 1;
                stack[++depth] = need;
                at[depth] = o->head[need];
            } else {
                o->missing[i] = 2;
                out[n_out++] = i;
                depth--;
            }
        }
    }
    return -1;
}

/* How many bytes more are alive after node i: what it makes less what it reads last. */
static int64_t growth(ctx *cx, const orderer *o, const int32_t *readers, int32_t i)
{
    const bound_node *n = o->nodes[i];
    int64_t sum = 0;
    for (int32_t k = 0; k < n->n_out; k++)
        if (o->b->wires[n->out[k]].kind == WIRE_RESULT)
            sum += type_bytes(cx->reg, &o->b->wires[n->out[k]].type);
    for (int32_t k = 0; k < n->n_in; k++) {
        int32_t w = n->in[k], same = 0;
        if (w < 0 || o->b->wires[w].kind != WIRE_RESULT) continue;
        for (int32_t j = 0; j <= k; j++)
            same += n->in[j] == w;
        int32_t uses = 0;
        for (int32_t j = 0; j < n->n_in; j++)
            uses += n->in[j] == w;
        if (same == 1 && readers[w] == uses)
            sum -= type_bytes(cx->reg, &o->b->wires[w].type);
    }
    return sum;
}

static void lean(ctx *cx, orderer *o, int32_t *readers, int32_t *out)
{
    index_edges(o, 0);
    memset(o->missing, 0, (size_t)o->n * sizeof *o->missing);
    for (int32_t i = 0; i < o->n_edges; i++)
        o->missing[o->to[i]]++;
    for (int32_t done = 0; done < o->n; done++) {
        int32_t best = -1;
        int64_t least = 0;
        for (int32_t i = 0; i < o->n; i++) {
            if (o->missing[i]) continue;
            int64_t g = growth(cx, o, readers, i);
            if (best < 0 || g < least) best = i, least = g;
        }
        out[done] = best;
        o->missing[best] = -1;
        for (int32_t e = o->head[best]; e < o->head[best + 1]; e++)
            o->missing[o->next[e]]--;
        for (int32_t k = 0; k < o->nodes[best]->n_in; k++)
            if (o->nodes[best]->in[k] >= 0) readers[o->nodes[best]->in[k]]--;
    }
}

static int32_t refuse_cycle(ctx *cx, const orderer *o, int32_t on)
{
    for (int32_t i = 0; i < o->n; i++)
        if (effect(o->nodes[i]) == EVLA_WRITES)
            for (int32_t r = 0; r < o->n; r++)
                for (int32_t k = 0; k < o->nodes[r]->n_in; k++)
                    if (r > i && overwrites(o->nodes[i], o->nodes[r]->in[k]))
                        return ctx_fail(
                            cx, EVLA_E_STATE,
                            "%s%s%s: reads the state %s as it was before %s wrote it, but "
                            "needs what came after; read what %s returned",
                            o->nodes[r]->where ? o->nodes[r]->where : "",
                            o->nodes[r]->where ? ": " : "", o->nodes[r]->label,
                            o->b->wires[o->nodes[r]->in[k]].name, o->nodes[i]->label,
                            o->nodes[i]->label);
    return ctx_fail(cx, EVLA_E_STATE, "%s: waits for itself", o->nodes[on]->label);
}

int32_t order_nodes(ctx *cx, const bound *b, const bound_node *const *nodes, int32_t n,
                    order_rule rule, int quiet, int32_t *out)
{
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    orderer o = {.b = b, .nodes = nodes, .n = n};
    int64_t edges = n;
    for (int32_t i = 0; i < n;
         i++) /* every input: from its maker, and to the writer of it */
        edges += 2 * (int64_t)nodes[i]->n_in;
    if (edges > INT32_MAX / 2)
        return ctx_fail(cx, EVLA_E_LIMIT, "graph %s: %d nodes", b->from->name, n);
    size_t room = (size_t)n + 2;
    o.cap_edges = (int32_t)edges;
    o.maker = arena_push(a, (size_t)b->n_wires + 1, sizeof *o.maker);
    o.from = arena_push(a, (size_t)edges + 1, sizeof *o.from);
    o.to = arena_push(a, (size_t)edges + 1, sizeof *o.to);
    o.next = arena_push(a, (size_t)edges + 1, sizeof *o.next);
    o.head = arena_push(a, room, sizeof *o.head);
    o.missing = arena_push(a, room, sizeof *o.missing);
    int32_t *stack = arena_push(a, room, sizeof *stack);
    int32_t *at = arena_push(a, room, sizeof *at);
    int32_t *readers = arena_push(a, (size_t)b->n_wires + 1, sizeof *readers);
    int32_t st = 0;
    if (!o.maker || !o.from || !o.to || !o.next || !o.head || !o.missing || !stack || !at ||
        !readers)
        st = ctx_fail(cx, EVLA_E_NOMEM, "graph %s: order of %d nodes", b->from->name, n);
    else {
        for (int32_t w = 0; w < b->n_wires; w++)
            o.maker[w] = -1;
        for (int32_t i = 0; i < n; i++)
            for (int32_t k = 0; k < nodes[i]->n_out; k++)
                o.maker[nodes[i]->out[k]] = i;
        for (int32_t i = 0; i < n; i++)
            for (int32_t k = 0; k < nodes[i]->n_in; k++)
                if (nodes[i]->in[k] >= 0) readers[nodes[i]->in[k]]++;
        for (int32_t i = 0; i < b->n_outputs; i++)
            readers[b->outputs[i].wire]++; /* outputs stay alive */
        int32_t cycle = add_edges(&o) ? visit_all(&o, stack, at, out) : 0;
        if (cycle >= 0)
            st = quiet ? EVLA_E_STATE : refuse_cycle(cx, &o, cycle);
        else if (rule == ORDER_LEAN)
            lean(cx, &o, readers, out);
    }
    arena_reset(a, mark);
    return st;
}
