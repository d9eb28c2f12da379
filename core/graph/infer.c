/*
 * infer.c -- binds a graph's symbols and finds the type of every wire. See infer.h.
 */
#include "infer.h"
#include "../host.h"
#include "../near.h"
#include "../registry.h"
#include "grad.h"
#include <stdio.h>
#include <string.h>

enum { FOLD_MOST = 16 << 20 }; /* bytes of a result worth keeping in the plan */

/* ---- symbols ---- */

int32_t infer_symbols(ctx *cx, const graph *g, const evla_type *inputs, symbols *s)
{
    for (int32_t i = 0; i < g->n_inputs; i++) {
        const wire *w = &g->wires[g->inputs[i]];
        int32_t st = type_match(cx, w->type, &inputs[i], s);
        if (st < 0) {
            ctx_prefix(cx, "graph %s: input %s", g->name, w->name);
            return st;
        }
    }
    return 0;
}

static int32_t round_extent(ctx *cx, const graph *g, const symbol_info *s, int64_t asked,
                            int64_t *planned)
{
    *planned = asked;
    if (s->rule == SYMBOL_EXACT) return 0;
    for (int32_t i = 0; i < s->n_bucket; i++)
        if (asked <= s->bucket[i]) return *planned = s->bucket[i], 0;
    return ctx_fail(
        cx, EVLA_E_RANGE, "graph %s: symbol %s: %lld is more than its %s of %lld", g->name,
        s->name, (long long)asked, s->rule == SYMBOL_UPTO ? "capacity" : "largest bucket",
        (long long)s->bucket[s->n_bucket - 1]);
}

static int32_t bind_symbols(ctx *cx, const graph *g, const symbols *s, bound *b)
{
    const char *names[TENSOR_MAX_SYMBOLS];
    for (int32_t i = 0; i < g->n_symbols; i++) {
        const symbol_info *want = &g->symbols[i];
        const int64_t *found = symbols_get(s, want->name, strlen(want->name));
        int64_t asked;
        names[i] = want->name;
        if (found)
            asked = *found;
        else if (want->rule == SYMBOL_UPTO)
            asked = want->bucket[0];
        else
            return ctx_fail(
                cx, EVLA_E_MISSING,
                "graph %s: the symbol %s has no extent; bind it, such as %s = 1", g->name,
                want->name, want->name);
        if (asked < 0 || asked > (int64_t)1 << 40)
            return ctx_fail(cx, EVLA_E_RANGE,
                            "graph %s: symbol %s: want an extent of 0 to 2^40, got %lld",
                            g->name, want->name, (long long)asked);
        int64_t planned;
        int32_t st = round_extent(cx, g, want, asked, &planned);
        if (st < 0) return st;
        b->asked.name[i] = b->planned.name[i] = want->name;
        b->asked.extent[i] = asked;
        b->planned.extent[i] = planned;
        b->asked.n = b->planned.n = i + 1;
    }
    for (int32_t i = 0; s && i < s->n; i++) {
        if (symbols_get(&b->planned, s->name[i], strlen(s->name[i]))) continue;
        const char *near = near_miss(s->name[i], names, g->n_symbols);
        return ctx_fail(cx, EVLA_E_MISSING, "graph %s: there is no symbol %.40s%s%s%s",
                        g->name, s->name[i], near ? "; did you mean " : "",
                        near ? near : "", near ? "?" : "");
    }
    return 0;
}

/* ---- types that texts give ---- */

/* A whole number of blocks, and no more than any memory holds. */
static int has_size(ctx *cx, const evla_type *t)
{
    int64_t bytes = type_bytes(cx->reg, t);
    return bytes >= 0 && bytes <= (int64_t)1 << 48;
}

static void at(ctx *cx, const char *where, const char *what)
{
    ctx_prefix(cx, "%s%s%s", where ? where : "", where ? ": " : "", what);
}

static int32_t type_weight(ctx *cx, const graph *g, int32_t slot, const evla_type *t,
                           const char *by)
{
    weight_info *w = &g->of->weights[slot];
    if (w->type.rank < 0) {
        w->type = *t;
        w->typed_by = by;
        return 0;
    }
    if (type_equal(&w->type, t)) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    ctx_fail(cx, EVLA_E_SHAPE, "weight %s: %s wants %s, but it is %s by %s", w->name, by,
             type_text(cx->reg, &cx->scratch, t),
             type_text(cx->reg, &cx->scratch, &w->type),
             w->typed_by ? w->typed_by : "its type");
    arena_reset(&cx->scratch, mark);
    return EVLA_E_SHAPE;
}

static int32_t bind_wire(ctx *cx, const graph *g, const wire *w, bound *b, bound_wire *out)
{
    const weight_info *weight = w->kind == WIRE_WEIGHT ? &g->of->weights[w->slot] : NULL;
    const char *text = weight ? weight->type_text : w->type;
    int32_t st = 0;
    *out = (bound_wire){.type = {.rank = -1},
                        .kind = w->kind,
                        .slot = w->slot,
                        .name = w->name,
                        .data = w->data,
                        .node = w->node,
                        .port = w->port};
    if (w->node >= 0) return 0;
    if (text) {
        st = type_parse(cx, text, &b->planned, &out->type);
        if (st >= 0 && !has_size(cx, &out->type))
            st = ctx_fail(cx, EVLA_E_SHAPE,
                          "type \"%s\": its format has no rows of this length, or it "
                          "is larger than memory",
                          text);
        if (st >= 0 && weight) st = type_weight(cx, g, w->slot, &out->type, g->name);
        if (st < 0)
            at(cx, w->where, arena_text(&cx->scratch, "graph %s: %s", g->name, w->name));
    } else if (weight && weight->type.rank >= 0)
        out->type = weight->type;
    else
        out->type.dtype = EVLA_F32; /* present, but not typed yet */
    return st;
}

/* ---- nodes ---- */

int32_t infer_node(ctx *cx, arena *a, const bound *b, const bound_node *n, evla_node *out)
{
    evla_type *in = arena_push(a, (size_t)n->n_in + 1, sizeof *in);
    evla_type *made = arena_push(a, (size_t)n->n_out + 1, sizeof *made);
    const void **values = arena_push(a, (size_t)n->n_in + 1, sizeof *values);
    if (!in || !made || !values) return ctx_fail(cx, EVLA_E_NOMEM, "%s: node", n->label);
    for (int32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i] < 0 ? (evla_type){.rank = -1} : b->wires[n->in[i]].type;
        values[i] = n->in[i] < 0 || b->wires[n->in[i]].kind != WIRE_CONST
                        ? NULL
                        : b->wires[n->in[i]].data;
    }
    for (int32_t i = 0; i < n->n_out; i++)
        made[i] = b->wires[n->out[i]].type;
    const evla_layout **lies = NULL;
    for (int32_t i = 0; i < n->n_in; i++) {
        const bound_wire *w = n->in[i] < 0 ? NULL : &b->wires[n->in[i]];
        if (!w || w->kind != WIRE_WEIGHT || !b->from->of->weights[w->slot].layout) continue;
        if (!lies && !(lies = arena_push(a, (size_t)n->n_in, sizeof *lies)))
            return ctx_fail(cx, EVLA_E_NOMEM, "%s: node", n->label);
        lies[i] = b->from->of->weights[w->slot].layout;
    }
    *out = (evla_node){.size = sizeof *out,
                       .n_in = n->n_in,
                       .n_out = n->n_out,
                       .n_tail = n->n_tail,
                       .op = n->op->name,
                       .label = n->label,
                       .params = n->params,
                       .in = in,
                       .out = made,
                       .value = values,
                       .tail = n->tail,
                       .layout = lies};
    return 0;
}

int infer_cost(ctx *cx, const bound *b, const bound_node *n, double *flops)
{
    const evla_op *op = op_of(n->op);
    evla_node seen;
    double sum = 0, one;
    for (int32_t i = 0; i < n->n_body; i++)
        if (infer_cost(cx, b, &n->body[i], &one)) sum += one;
    if (n->n_body) return *flops = sum, 1;
    if (op->size < offsetof(evla_op, cost) + sizeof op->cost || !op->cost) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    int good = infer_node(cx, &cx->scratch, b, n, &seen) >= 0;
    if (good) *flops = op->cost(&seen);
    arena_reset(&cx->scratch, mark);
    return good;
}

/* What infer wrote about inputs counts for weights nobody has typed. */
static int32_t take_inputs(ctx *cx, bound *b, const bound_node *n, const evla_type *in)
{
    for (int32_t i = 0; i < n->n_in; i++) {
        bound_wire *w = n->in[i] < 0 ? NULL : &b->wires[n->in[i]];
        if (!w || w->kind != WIRE_WEIGHT) continue;
        int32_t st = 0;
        if (in[i].rank < 0)
            st = ctx_fail(
                cx, EVLA_E_SHAPE,
                "%s: weight %s has no type, and %s cannot tell; declare it, such as "
                "\"f32[16,16]\"",
                n->label, w->name, n->op->name);
        else if (!has_size(cx, &in[i]))
            st = ctx_fail(cx, EVLA_E_PLUGIN, "%s: infer of %s gave weight %s no whole size",
                          n->label, n->op->name, w->name);
        else if (w->type.rank < 0) {
            w->type = in[i];
            st = type_weight(cx, b->from, w->slot, &in[i], n->label);
        } else if (!type_equal(&w->type, &in[i]))
            st = type_weight(cx, b->from, w->slot, &in[i], n->label);
        if (st < 0) return st;
    }
    return 0;
}

static int32_t take_outputs(ctx *cx, bound *b, const bound_node *n, const evla_type *out)
{
    for (int32_t i = 0; i < n->n_out; i++) {
        bound_wire *w = &b->wires[n->out[i]];
        if (out[i].rank < 0 || out[i].rank > EVLA_MAX_RANK || !has_size(cx, &out[i]))
            return ctx_fail(cx, EVLA_E_PLUGIN,
                            "%s: infer of %s left output %s without a whole type", n->label,
                            n->op->name, w->name);
        w->type = out[i];
        if (w->kind == WIRE_STATE && !type_equal(&out[i], &b->wires[n->in[i]].type)) {
            arena_place mark = arena_mark(&cx->scratch);
            ctx_fail(cx, EVLA_E_SHAPE, "%s: writes %s into the state %s, which is %s",
                     n->label, type_text(cx->reg, &cx->scratch, &out[i]),
                     b->wires[n->in[i]].name,
                     type_text(cx->reg, &cx->scratch, &b->wires[n->in[i]].type));
            arena_reset(&cx->scratch, mark);
            return EVLA_E_SHAPE;
        }
    }
    return 0;
}

/* A node whose inputs are all known is computed now, and its outputs are constants. */
static int32_t fold(ctx *cx, arena *a, const plan_options *o, bound *b, bound_node *n)
{
    const void *in[EVLA_MAX_PORTS] = {0};
    void *out[EVLA_MAX_PORTS];
    int64_t bytes = 0;
    if (op_of(n->op)->effect != EVLA_PURE) return 0;
    for (int32_t i = 0; i < n->n_in; i++) {
        if (n->in[i] < 0) continue;
        if (b->wires[n->in[i]].kind != WIRE_CONST) return 0;
        in[i] = b->wires[n->in[i]].data;
    }
    for (int32_t i = 0; i < n->n_out; i++)
        bytes += type_bytes(cx->reg, &b->wires[n->out[i]].type);
    if (bytes > FOLD_MOST) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    evla_node seen;
    pick k;
    int32_t st = infer_node(cx, &cx->scratch, b, n, &seen);
    if (st >= 0) st = choose_kernel(cx, o, &seen, 1, &k);
    if (st == EVLA_E_MISSING)
        st = 0; /* the planner will say so */
    else if (st >= 0) {
        for (int32_t i = 0; st >= 0 && i < n->n_out; i++) {
            int64_t size = type_bytes(cx->reg, &b->wires[n->out[i]].type);
            if (!(out[i] = arena_push_aligned(a, (size_t)size + 1, 1, 64)))
                st =
                    ctx_fail(cx, EVLA_E_NOMEM, "%s: %lld bytes", n->label, (long long)size);
        }
        if (st >= 0) st = choose_eval(cx, o, &seen, in, out);
        for (int32_t i = 0; st >= 0 && i < n->n_out; i++) {
            bound_wire *w = &b->wires[n->out[i]];
            w->kind = WIRE_CONST;
            w->data = out[i];
            w->node = -1;
        }
        if (st >= 0) n->is_gone = 1, b->n_folded++;
    }
    arena_reset(&cx->scratch, mark);
    return st;
}

/* Types of a node whose inputs are known; folds it when it can. */
static int32_t infer_types(ctx *cx, arena *a, const plan_options *o, bound *b,
                           bound_node *n)
{
    arena_place mark = arena_mark(&cx->scratch);
    evla_node seen;
    evla_type in[EVLA_MAX_PORTS], out[EVLA_MAX_PORTS];
    int32_t st = infer_node(cx, &cx->scratch, b, n, &seen);
    if (st >= 0) {
        for (int32_t i = 0; i < EVLA_MAX_PORTS; i++)
            out[i] = (evla_type){.rank = -1};
        memcpy(in, seen.in, (size_t)n->n_in * sizeof *in);
        seen.in = in;
        seen.out = NULL;
        host h;
        host_init(&h, cx, a);
        st = op_of(n->op)->infer(&h.table, &seen, in, out);
        if (st < 0 && !cx->code) ctx_fail(cx, st, "%s: %s", n->label, ctx_code_text(st));
        if (st >= 0) st = take_inputs(cx, b, n, in);
        if (st >= 0) st = take_outputs(cx, b, n, out);
        if (st < 0) {
            if (!strstr(cx->why, n->label)) ctx_prefix(cx, "%s", n->label);
            if (n->where) ctx_prefix(cx, "%s", n->where);
        }
    }
    arena_reset(&cx->scratch, mark);
    if (st < 0 || list_has(o ? o->without : NULL, "fold")) return st;
    if ((st = fold(cx, a, o, b, n)) < 0 && n->where) ctx_prefix(cx, "%s", n->where);
    return st;
}

/* ---- growing ---- */

static int room(arena *a, void *list, int32_t n, int32_t *cap, size_t each)
{
    void **p = list;
    if (n < *cap) return 1;
    int32_t wide = n < 8 ? 16 : n * 2;
    void *more = arena_push(a, (size_t)wide, each);
    if (!more) return 0;
    if (n) memcpy(more, *p, (size_t)n * each);
    *p = more;
    *cap = wide;
    return 1;
}

static int32_t full(ctx *cx, const bound *b)
{
    return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: %d wires, %d nodes", b->from->name,
                    b->n_wires, b->n_nodes);
}

int32_t infer_add_wire(ctx *cx, arena *a, bound *b, const bound_wire *w, int32_t *out)
{
    if (!room(a, &b->wires, b->n_wires, &b->cap_wires, sizeof *b->wires))
        return full(cx, b);
    b->wires[ *out = b->n_wires++] = *w;
    return 0;
}

int32_t infer_add_input(ctx *cx, arena *a, bound *b, const char *name,
                        const evla_type *type, int32_t *out)
{
    bound_wire w = {
        .type = *type, .kind = WIRE_INPUT, .slot = b->n_inputs, .name = name, .node = -1};
    int32_t st = infer_add_wire(cx, a, b, &w, out);
    if (st < 0) return st;
    if (!room(a, &b->inputs, b->n_inputs, &b->cap_inputs, sizeof *b->inputs))
        return full(cx, b);
    b->inputs[b->n_inputs++] = *out;
    return 0;
}

int32_t infer_add_output(ctx *cx, arena *a, bound *b, const char *name, int32_t w)
{
    if (!room(a, &b->outputs, b->n_outputs, &b->cap_outputs, sizeof *b->outputs))
        return full(cx, b);
    b->outputs[b->n_outputs++] = (output_info){name, w};
    return 0;
}

int32_t infer_add_node(ctx *cx, arena *a, const plan_options *o, bound *b, bound_node *n)
{
    op_port ports[EVLA_MAX_PORTS];
    int32_t st, writes = op_writes(op_of(n->op));
    n->n_out = op_ports(op_of(n->op)->outputs, ports);
    if (n->n_out < 1 || n->n_out < writes || n->n_in < writes)
        return ctx_fail(cx, EVLA_E_PLUGIN, "%s: the ports of %s cannot be read", n->label,
                        n->op->name);
    if (!room(a, &b->nodes, b->n_nodes, &b->cap_nodes, sizeof *b->nodes))
        return full(cx, b);
    for (int32_t i = 0; i < n->n_out; i++) {
        const bound_wire *from = i < writes ? &b->wires[n->in[i]] : NULL;
        bound_wire w = {.type = {.rank = -1},
                        .kind = from ? WIRE_STATE : WIRE_RESULT,
                        .slot = from ? from->slot : -1,
                        .name = n->n_out == 1 ? n->label
                                              : arena_text(a, "%s.%.*s", n->label,
                                                           ports[i].n, ports[i].name),
                        .node = b->n_nodes,
                        .port = i};
        if (!w.name) return full(cx, b);
        if ((st = infer_add_wire(cx, a, b, &w, &n->out[i])) < 0) return st;
    }
    b->nodes[b->n_nodes] = *n;
    return infer_types(cx, a, o, b, &b->nodes[b->n_nodes++]);
}

static int is_gradient(const evla_op *op)
{
    return op->size >= offsetof(evla_op, is_gradient) + sizeof op->is_gradient &&
           op->is_gradient;
}

/* The next node, behind those that stand for the ones before it. now: by wire of the graph,
 * what stands for it. */
static int32_t bind_node(ctx *cx, arena *a, const plan_options *o, const node *from,
                         int32_t *now, bound *b)
{
    bound_node n = {.op = from->op,
                    .label = from->label,
                    .where = from->where,
                    .n_in = from->n_in,
                    .n_out = from->n_out};
    for (int32_t i = 0; i < EVLA_MAX_PORTS; i++)
        n.in[i] = i < n.n_in && from->in[i] >= 0 ? now[from->in[i]] : WIRE_ABSENT;
    memcpy(n.out, from->out, sizeof n.out);
    param_site site = {.where = n.where, .what = n.label, .symbols = &b->planned};
    int32_t st = param_fill_item(cx, a, &site, n.op, &from->given, &n.params);
    if (st < 0) return st;
    if (is_gradient(op_of(n.op))) {
        st = infer_types(cx, a, o, b, &n);
        return st < 0 ? st : grad_of_node(cx, a, o, b, &n, &now[n.out[0]]);
    }
    if (!room(a, &b->nodes, b->n_nodes, &b->cap_nodes, sizeof *b->nodes))
        return full(cx, b);
    for (int32_t k = 0; k < n.n_out; k++)
        b->wires[n.out[k]].node = b->n_nodes;
    b->nodes[b->n_nodes] = n;
    return infer_types(cx, a, o, b, &b->nodes[b->n_nodes++]);
}

int32_t infer_bind(ctx *cx, arena *a, const graph *g, const symbols *s,
                   const plan_options *o, bound **out)
{
    int32_t st = graph_check(cx, g);
    if (st < 0) return st;
    bound *b = arena_push(a, 1, sizeof *b);
    if (!b) return ctx_fail(cx, EVLA_E_NOMEM, "graph %s", g->name);
    *b = (bound){.from = g,
                 .n_wires = g->n_wires,
                 .n_outputs = g->n_outputs,
                 .n_inputs = g->n_inputs,
                 .cap_wires = g->n_wires,
                 .cap_nodes = g->n_nodes,
                 .cap_outputs = g->n_outputs,
                 .cap_inputs = g->n_inputs};
    b->wires = arena_push(a, (size_t)g->n_wires + 1, sizeof *b->wires);
    b->nodes = arena_push(a, (size_t)g->n_nodes + 1, sizeof *b->nodes);
    b->outputs = arena_push(a, (size_t)g->n_outputs + 1, sizeof *b->outputs);
    b->inputs = arena_push(a, (size_t)g->n_inputs + 1, sizeof *b->inputs);
    int32_t *now = arena_push(a, (size_t)g->n_wires + 1, sizeof *now);
    if (!b->wires || !b->nodes || !b->outputs || !b->inputs || !now)
        return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: %d nodes", g->name, g->n_nodes);
    if ((st = bind_symbols(cx, g, s, b)) < 0) return st;
    for (int32_t i = 0; i < g->n_wires; i++) {
        now[i] = i;
        if ((st = bind_wire(cx, g, &g->wires[i], b, &b->wires[i])) < 0) return st;
    }
    for (int32_t i = 0; i < g->n_nodes; i++)
        if ((st = bind_node(cx, a, o, &g->nodes[i], now, b)) < 0) return st;
    for (int32_t i = 0; i < g->n_outputs; i++) {
        b->outputs[i] = (output_info){g->outputs[i].name, now[g->outputs[i].wire]};
        if (b->wires[b->outputs[i].wire].type.rank < 0)
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "graph %s: output %s is a weight that nothing gives a type",
                            g->name, g->outputs[i].name);
    }
    for (int32_t i = 0; i < g->n_inputs; i++)
        b->inputs[i] = g->inputs[i];
    *out = b;
    return 0;
}
