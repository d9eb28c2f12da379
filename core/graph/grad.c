/*
 * grad.c -- gradients as a rewrite of a bound graph. See grad.h.
 *
 * Reverse accumulation (Griewank & Walther 2008, chapter 3): nodes are visited from the
 * last to the first, each operator emits the nodes of its own derivative, and what several
 * readers of a value send back is added in the order in which they are visited. The order
 * is a function of the graph alone, and so are the bits. Not here: the training step
 * (grad_step.c).
 */
#include "../evla/ops.h"
#include "../host.h"
#include "../registry.h"
#include "grad_inner.h"
#include <string.h>

/* ---- emitting ---- */

int32_t grad_no_room(ctx *cx, const bound *b)
{
    return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: gradients of %d nodes", b->from->name,
                    b->n_nodes);
}

/* The parameters that a rewrite gives, copied; or the operator's presets. */
static int32_t take_params(grad_writer *w, const evla_item *op, const char *label,
                           const void *params, const void **out)
{
    if (!params) {
        param_site site = {.what = label};
        return param_fill_item(w->cx, w->a, &site, op, NULL, out);
    }
    void *own = op->params_size ? arena_push_aligned(w->a, op->params_size, 1, 16) : NULL;
    if (op->params_size && !own) return grad_no_room(w->cx, w->b);
    if (own) memcpy(own, params, op->params_size);
    *out = own;
    return 0;
}

int32_t grad_node(grad_writer *w, const char *label, const char *op, const void *params,
                  const int32_t *in, int32_t n_in, int32_t *out, int32_t n_out)
{
    bound_node n = {.op = registry_want(w->cx, EVLA_OP, op),
                    .label = label,
                    .where = w->where,
                    .n_in = n_in};
    if (!n.op) return w->cx->code;
    if (!label) return grad_no_room(w->cx, w->b);
    if (n_in < 0 || n_in > EVLA_MAX_PORTS)
        return ctx_fail(w->cx, EVLA_E_PLUGIN, "%s: %d inputs; want at most %d", label, n_in,
                        EVLA_MAX_PORTS);
    for (int32_t i = 0; i < n_in; i++) {
        if (in[i] < -1 || in[i] >= w->b->n_wires)
            return ctx_fail(w->cx, EVLA_E_PLUGIN, "%s: input %d is no value of the graph",
                            label, i + 1);
        n.in[i] = in[i] < 0 ? WIRE_ABSENT : in[i];
    }
    int32_t st = take_params(w, n.op, label, params, &n.params);
    if (st < 0 || (st = infer_add_node(w->cx, w->a, w->o, w->b, &n)) < 0) return st;
    if (n.n_out > n_out)
        return ctx_fail(w->cx, EVLA_E_PLUGIN, "%s: has %d outputs, there is room for %d",
                        label, n.n_out, n_out);
    memcpy(out, n.out, (size_t)n.n_out * sizeof *out);
    return 0;
}

static int32_t emit(const evla_host *h, evla_grad *g, const char *op, const void *params,
                    const int32_t *in, int32_t n_in, int32_t *out, int32_t n_out)
{
    grad_writer *w = g->self;
    const char *of = w->b->from->name, *rest = strchr(w->label, '/');
    (void)h;
    const char *label = arena_text(w->a, "%s/d_%s/%s.%d", of, rest ? rest + 1 : w->label,
                                   op, w->b->n_nodes);
    return grad_node(w, label, op, params, in, n_in, out, n_out);
}

static int32_t type_of(const evla_host *h, const evla_grad *g, int32_t wire_of,
                       evla_type *out)
{
    grad_writer *w = g->self;
    (void)h;
    if (wire_of < 0 || wire_of >= w->b->n_wires)
        return ctx_fail(w->cx, EVLA_E_PLUGIN, "%s: wire %d does not exist", w->label,
                        wire_of);
    *out = w->b->wires[wire_of].type;
    return 0;
}

static int32_t may_pack(const evla_host *h, const evla_grad *g, int32_t wire_of)
{
    const bound *b = ((const grad_writer *)g->self)->b;
    (void)h;
    return wire_of >= 0 && wire_of < b->n_wires && b->from->of->packs &&
           b->wires[wire_of].kind == WIRE_WEIGHT;
}

void grad_start(grad_writer *w, ctx *cx, arena *a, const plan_options *o, bound *b)
{
    *w = (grad_writer){.table = {.size = sizeof w->table,
                                 .emit = emit,
                                 .type = type_of,
                                 .may_pack = may_pack},
                       .cx = cx,
                       .a = a,
                       .o = o,
                       .b = b,
                       .label = b->from->name};
    w->table.self = w;
}

int32_t grad_constant(grad_writer *w, int32_t dtype, double v, int32_t *out)
{
    bound_wire c = {.type = {.dtype = dtype}, .kind = WIRE_CONST, .slot = -1, .node = -1};
    double *data = arena_push_aligned(w->a, 1, sizeof *data, PLAN_ALIGN);
    c.name = arena_text(w->a, "const.%d", w->b->n_wires);
    if (!data || !c.name) return grad_no_room(w->cx, w->b);
    if (dtype == EVLA_F32)
        *(float *)data = (float)v;
    else
        *data = v;
    c.data = data;
    return infer_add_wire(w->cx, w->a, w->b, &c, out);
}

/* ---- the rewrite ---- */

int grad_is_real(const registry *reg, int32_t dtype)
{
    if (dtype == EVLA_F32 || dtype == EVLA_F64) return 1;
    const dtype_info *d = dtype < EVLA_DTYPE_FIRST ? NULL : dtype_get(reg, dtype);
    return d && d->block_elements == 1;
}

/* needs[w]: wire w depends on one of wrt by way of real numbers. */
static void find_needs(const registry *reg, const bound *b, const int32_t *wrt, int32_t n,
                       unsigned char *needs)
{
    for (int32_t i = 0; i < n; i++)
        needs[wrt[i]] = 1;
    for (int32_t i = 0; i < b->n_nodes; i++) {
        const bound_node *nd = &b->nodes[i];
        int any = 0;
        for (int32_t k = 0; k < nd->n_in; k++)
            any |= nd->in[k] >= 0 && needs[nd->in[k]];
        for (int32_t k = 0; any && !nd->is_gone && k < nd->n_out; k++)
            needs[nd->out[k]] = grad_is_real(reg, b->wires[nd->out[k]].type.dtype);
    }
}

/* Adds what one reader sends back to what others did. */
static int32_t gather(grad_writer *w, int32_t *d, int32_t more)
{
    if (*d < 0) return *d = more, 0;
    return emit(NULL, &w->table, "add", NULL, (int32_t[]){*d, more}, 2, d, 1);
}

static int32_t check_answer(grad_writer *w, const evla_node *n, int32_t k, int32_t got)
{
    arena *a = &w->cx->scratch;
    if (got >= 0 && got < w->b->n_wires && type_equal(&w->b->wires[got].type, &n->in[k]))
        return 0;
    return ctx_fail(
        w->cx, EVLA_E_PLUGIN, "%s: the gradient of input %d by %s is %s; want %s", n->label,
        k + 1, n->op,
        got >= 0 && got < w->b->n_wires ? type_text(w->cx->reg, a, &w->b->wires[got].type)
                                        : "no value",
        type_text(w->cx->reg, a, &n->in[k]));
}

static int32_t ask(grad_writer *w, const bound_node *n, const int32_t *d_out,
                   const int32_t *wanted, int32_t *d)
{
    const evla_op *op = op_of(n->op);
    int32_t d_in[EVLA_MAX_PORTS];
    evla_node seen;
    host h;
    if (op->size < offsetof(evla_op, grad) + sizeof op->grad || !op->grad)
        return ctx_fail(
            w->cx, EVLA_E_MISSING,
            "%s: the operator %s has no gradient, and what one is asked for lies "
            "behind it; freeze that if it is a weight, or leave %s out of this "
            "graph",
            n->label, n->op->name, n->op->name);
    int32_t st = infer_node(w->cx, &w->cx->scratch, w->b, n, &seen);
    if (st < 0) return st;
    w->label = n->label;
    w->where = n->where;
    w->table.node = &seen;
    w->table.in = n->in;
    w->table.out = n->out;
    w->table.d_out = d_out;
    w->table.wanted = wanted;
    w->table.d_in = d_in;
    for (int32_t k = 0; k < EVLA_MAX_PORTS; k++)
        d_in[k] = -1;
    host_init(&h, w->cx, w->a);
    st = op->grad(&h.table, &w->table);
    if (st < 0 && !w->cx->code)
        return ctx_fail(w->cx, st, "%s: gradient of %s: %s", n->label, n->op->name,
                        ctx_code_text(st));
    for (int32_t k = 0; st >= 0 && k < n->n_in; k++) {
        if (!wanted[k] || d_in[k] == -1) continue;
        if ((st = check_answer(w, &seen, k, d_in[k])) >= 0)
            st = gather(w, &d[n->in[k]], d_in[k]);
    }
    return st;
}

/* One node backwards, when a gradient reaches it and something lies behind it. */
static int32_t visit(grad_writer *w, int32_t i, const unsigned char *needs, int32_t *d)
{
    bound_node n = w->b->nodes[i]; /* the list moves while nodes are appended */
    int32_t d_out[EVLA_MAX_PORTS], wanted[EVLA_MAX_PORTS];
    int reached = 0, any = 0;
    if (n.is_gone) return 0;
    for (int32_t k = 0; k < n.n_out; k++) {
        d_out[k] = d[n.out[k]];
        reached |= d_out[k] >= 0;
    }
    for (int32_t k = 0; k < n.n_in; k++) {
        wanted[k] = n.in[k] >= 0 && needs[n.in[k]];
        any |= wanted[k];
    }
    if (!reached || !any) return 0;
    arena_place mark = arena_mark(&w->cx->scratch);
    int32_t st = ask(w, &n, d_out, wanted, d);
    arena_reset(&w->cx->scratch, mark);
    if (st < 0 && n.where && w->cx->code && !strstr(w->cx->why, n.where))
        ctx_prefix(w->cx, "%s", n.where);
    return st;
}

static int32_t one(grad_writer *w, int32_t dtype, int32_t *out)
{
    int32_t st = grad_constant(w, dtype == EVLA_F32 ? dtype : EVLA_F64, 1, out);
    if (st < 0 || dtype == EVLA_F32 || dtype == EVLA_F64) return st;
    return emit(NULL, &w->table, "cast",
                &(evla_cast_params){.to = dtype_name(w->cx->reg, dtype)}, out, 1, out, 1);
}

int32_t grad_append(ctx *cx, arena *a, const plan_options *o, bound *b, int32_t of,
                    int32_t seed, const int32_t *wrt, int32_t n, int32_t *d)
{
    const evla_type *t = &b->wires[of].type;
    arena_place mark = arena_mark(&cx->scratch);
    if ((seed < 0 && t->rank != 0) || !grad_is_real(cx->reg, t->dtype)) {
        ctx_fail(cx, EVLA_E_SHAPE,
                 "graph %s: gradients start from one real number; %s is %s", b->from->name,
                 b->wires[of].name, type_text(cx->reg, &cx->scratch, t));
        arena_reset(&cx->scratch, mark);
        return EVLA_E_SHAPE;
    }
    grad_writer w;
    int32_t n_wires = b->n_wires, st = 0;
    int32_t *all = arena_push(a, (size_t)n_wires + 1, sizeof *all);
    unsigned char *needs = arena_push(a, (size_t)n_wires + 1, 1);
    if (!all || !needs) return grad_no_room(cx, b);
    for (int32_t i = 0; i < n_wires; i++)
        all[i] = -1;
    find_needs(cx->reg, b, wrt, n, needs);
    grad_start(&w, cx, a, o, b);
    if (needs[of]) {
        int32_t last = b->n_nodes - 1;
        if (seed < 0) st = one(&w, t->dtype, &seed);
        all[of] = seed;
        for (int32_t i = last; st >= 0 && i >= 0; i--)
            st = visit(&w, i, needs, all);
    }
    for (int32_t i = 0; i < n; i++)
        d[i] = all[wrt[i]];
    return st;
}

int32_t grad_of_node(ctx *cx, arena *a, const plan_options *o, bound *b,
                     const bound_node *n, int32_t *out)
{
    enum { Y, X, DY };
    int32_t seed = n->n_in > DY ? n->in[DY] : -1;
    int32_t st = grad_append(cx, a, o, b, n->in[Y], seed, &n->in[X], 1, out);
    if (st < 0 || *out >= 0) return st < 0 ? st : 0;
    ctx_fail(cx, EVLA_E_ARG,
             "%s: %s does not depend on %s, or only where its derivative is 0", n->label,
             b->wires[n->in[Y]].name, b->wires[n->in[X]].name);
    if (n->where) ctx_prefix(cx, "%s", n->where);
    return EVLA_E_ARG;
}
