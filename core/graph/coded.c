/*
 * coded.c -- linears with weights in codes. See coded.h.
 */
#include "coded.h"
#include "../registry.h"
#include "../value.h"
#include <string.h>

/* An activation that was made: the outputs of one operator for one wire. */
typedef struct prepared {
    int32_t from;
    const evla_dtype *by;
    int32_t n_out;
    int32_t out[EVLA_MAX_PORTS];
} prepared;

typedef struct coder {
    ctx *cx;
    arena *a;
    const plan_options *o;
    bound *b;
    int32_t *now;    /* by wire of before: what stands for it */
    prepared *ready; /* of this graph so far */
    int32_t n_ready;
} coder;

/* The table of the format of a linear's weight, when it can be multiplied as it is. */
static const evla_dtype *format_of(const coder *c, const bound_node *n)
{
    if (strcmp(n->op->name, "linear") != 0 || n->n_in < 2 || n->in[0] < 0 || n->in[1] < 0)
        return NULL;
    const bound_wire *x = &c->b->wires[n->in[0]], *w = &c->b->wires[n->in[1]];
    if (w->kind != WIRE_WEIGHT || x->type.dtype != EVLA_F32) return NULL;
    const dtype_info *d = dtype_get(c->cx->reg, w->type.dtype);
    const evla_dtype *t = d ? d->table : NULL;
    if (!t || t->size < sizeof *t || !t->linear || !t->activation) return NULL;
    const registry *reg = c->cx->reg;
    return registry_find(reg, EVLA_OP, t->linear) &&
                   registry_find(reg, EVLA_OP, t->activation)
               ? t
               : NULL;
}

/* Appends op(in...) with parameters from text. */
static int32_t add(coder *c, const bound_node *like, const char *op, const char *label,
                   const char *params, const int32_t *in, int32_t n_in, bound_node *n)
{
    value given = {.kind = VALUE_TABLE};
    size_t at;
    *n = (bound_node){.op = registry_find(c->cx->reg, EVLA_OP, op),
                      .label = label,
                      .where = like->where,
                      .n_in = n_in};
    memcpy(n->in, in, (size_t)n_in * sizeof *in);
    if (!label) return ctx_fail(c->cx, EVLA_E_NOMEM, "%s: coded", like->label);
    if (params && value_parse(c->a, params, strlen(params), &given, &at) < 0)
        return ctx_fail(c->cx, EVLA_E_PLUGIN,
                        "%s: the parameters of its activation, %s, are no JSON object",
                        like->label, params);
    param_site site = {.where = n->where, .what = n->label, .symbols = &c->b->planned};
    int32_t st = param_fill_item(c->cx, c->a, &site, n->op, &given, &n->params);
    return st < 0 ? st : infer_add_node(c->cx, c->a, c->o, c->b, n);
}

/* The activation of a wire for a format; linears that read the same wire share it. */
static int32_t prepare(coder *c, const bound_node *like, const evla_dtype *t, int32_t x,
                       const prepared **out)
{
    for (int32_t i = 0; i < c->n_ready; i++) {
        const prepared *p = *out = &c->ready[i];
        const char *mine = t->activation_params, *its = p->by->activation_params;
        if (p->from == x && !strcmp(p->by->activation, t->activation) &&
            (mine && its ? !strcmp(mine, its) : mine == its))
            return 0;
    }
    bound_node n;
    int32_t st = add(c, like, t->activation, arena_text(c->a, "%s.x", like->label),
                     t->activation_params, &x, 1, &n);
    if (st < 0) return st;
    prepared *p = &c->ready[c->n_ready++];
    *p = (prepared){.from = x, .by = t, .n_out = n.n_out};
    memcpy(p->out, n.out, sizeof p->out);
    return *out = p, 0;
}

/* What the best kernel of a node offers, or less than any. */
static int32_t score_of(const coder *c, const bound_node *n, int32_t *score)
{
    evla_node seen;
    pick k;
    arena_place mark = arena_mark(&c->cx->scratch);
    int32_t st = infer_node(c->cx, &c->cx->scratch, c->b, n, &seen);
    if (st >= 0) st = choose_kernel(c->cx, c->o, &seen, 1, &k);
    arena_reset(&c->cx->scratch, mark);
    *score = st < 0 ? INT32_MIN : k.offer.score;
    return st == EVLA_E_MISSING ? 0 : st;
}

/* A node that stays, behind those before it. */
static void keep(coder *c, const bound_node *old)
{
    bound *b = c->b;
    int32_t at = b->n_nodes++;
    b->nodes[at] = *old;
    for (int32_t k = 0; k < old->n_out && !old->is_gone; k++)
        if (b->wires[old->out[k]].node >= 0) b->wires[old->out[k]].node = at;
}

static int32_t code(coder *c, const bound_node *old, const evla_dtype *t)
{
    const prepared *x;
    int32_t n_wires = c->b->n_wires, n_nodes = c->b->n_nodes, n_ready = c->n_ready, plain,
            coded;
    int32_t in[EVLA_MAX_PORTS];
    int32_t st = prepare(c, old, t, old->in[0], &x), n_in = 0;
    if (st < 0) return st;
    /* an activation that is the codes alone leaves the place of the scales empty */
    op_port ports[EVLA_MAX_PORTS];
    const evla_item *op = registry_find(c->cx->reg, EVLA_OP, t->linear);
    int32_t n_ports = op_ports(op_of(op)->inputs, ports), before = n_ports - 2;
    if (before < x->n_out || n_ports > EVLA_MAX_PORTS)
        return ctx_fail(c->cx, EVLA_E_PLUGIN,
                        "%s: %s makes %d tensors, which %s(%s) cannot take", old->label,
                        t->activation, x->n_out, t->linear, op_of(op)->inputs);
    while (n_in < before) {
        in[n_in] = n_in < x->n_out ? x->out[n_in] : WIRE_ABSENT;
        n_in++;
    }
    for (int32_t k = 1; k < old->n_in; k++)
        in[n_in++] = old->in[k];
    bound_node n;
    st = add(c, old, t->linear, old->label, NULL, in, n_in, &n);
    if (st < 0 || (st = score_of(c, old, &plain)) < 0 || (st = score_of(c, &n, &coded)) < 0)
        return st;
    if (plain > coded) { /* this machine has no better way: as if we had never asked */
        c->b->n_wires = n_wires, c->b->n_nodes = n_nodes, c->n_ready = n_ready;
        return keep(c, old), 0;
    }
    c->b->n_coded++;
    const evla_type *is = &c->b->wires[n.out[0]].type,
                    *was = &c->b->wires[old->out[0]].type;
    if (!type_equal(is, was))
        return ctx_fail(c->cx, EVLA_E_PLUGIN, "%s: %s gives another type than linear",
                        old->label, t->linear);
    c->now[old->out[0]] = n.out[0];
    c->b->wires[n.out[0]].name = c->b->wires[old->out[0]].name;
    return 0;
}

static int32_t walk(coder *c, bound_node *old, int32_t n_old)
{
    bound *b = c->b;
    for (int32_t i = 0; i < n_old; i++) {
        bound_node *n = &old[i];
        for (int32_t k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0) n->in[k] = c->now[n->in[k]];
        const evla_dtype *t = n->is_gone ? NULL : format_of(c, n);
        int32_t st = 0;
        if (t)
            st = code(c, n, t);
        else
            keep(c, n);
        if (st < 0) return st;
    }
    for (int32_t i = 0; i < b->n_outputs; i++)
        b->outputs[i].wire = c->now[b->outputs[i].wire];
    return 0;
}

int32_t coded_apply(ctx *cx, arena *a, const plan_options *o, bound *b)
{
    coder c = {.cx = cx, .a = a, .o = o, .b = b};
    int32_t any = 0, n_old = b->n_nodes;
    for (int32_t i = 0; i < n_old; i++)
        any += !b->nodes[i].is_gone && format_of(&c, &b->nodes[i]);
    if (!any) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    bound_node *old = b->nodes;
    size_t most = (size_t)n_old + (size_t)any + 1;
    bound_node *list = arena_push(a, most, sizeof *list);
    /* wires that are added have numbers of their own and stand for themselves */
    size_t wires = (size_t)b->n_wires + 1;
    c.now = arena_push(&cx->scratch, wires, sizeof *c.now);
    c.ready = arena_push(&cx->scratch, (size_t)any, sizeof *c.ready);
    if (!list || !c.now || !c.ready)
        return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: coded", b->from->name);
    for (int32_t w = 0; w < b->n_wires; w++)
        c.now[w] = w;
    b->nodes = list;
    b->n_nodes = 0;
    b->cap_nodes = (int32_t)most;
    int32_t st = walk(&c, old, n_old);
    arena_reset(&cx->scratch, mark);
    return st;
}
