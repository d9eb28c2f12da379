/*
 * grad.c -- gradients as a rewrite, and the training step as one plan. See grad.h.
 *
 * Reverse accumulation (Griewank & Walther 2008, chapter 3): nodes are visited from the
 * last to the first, each operator emits the nodes of its own derivative, and what several
 * readers of a value send back is added in the order in which they are visited. The order
 * is a function of the graph alone, and so are the bits.
 */
#include "grad.h"
#include "../evla/ops.h"
#include "../host.h"
#include "../mem.h"
#include "../registry.h"
#include "recompute.h"
#include "rewrite.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- emitting ---- */

/* What the operators' grad slots talk to. */
typedef struct backward {
    evla_grad table; /* first: plugins get &table */
    ctx *cx;
    arena *a;
    const plan_options *o;
    bound *b;
    const char *label, *where; /* of the node at hand */
} backward;

static int32_t no_room(ctx *cx, const bound *b)
{
    return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: gradients of %d nodes", b->from->name,
                    b->n_nodes);
}

/* The parameters that a rewrite gives, copied; or the operator's presets. */
static int32_t take_params(backward *w, const evla_item *op, const char *label,
                           const void *params, const void **out)
{
    if (!params) {
        param_site site = {.what = label};
        return param_fill_item(w->cx, w->a, &site, op, NULL, out);
    }
    void *own = op->params_size ? arena_push_aligned(w->a, op->params_size, 1, 16) : NULL;
    if (op->params_size && !own) return no_room(w->cx, w->b);
    if (own) memcpy(own, params, op->params_size);
    *out = own;
    return 0;
}

static int32_t append(backward *w, const char *label, const char *op, const void *params,
                      const int32_t *in, int32_t n_in, int32_t *out, int32_t n_out)
{
    bound_node n = {.op = registry_want(w->cx, EVLA_OP, op),
                    .label = label,
                    .where = w->where,
                    .n_in = n_in};
    if (!n.op) return w->cx->code;
    if (!label) return no_room(w->cx, w->b);
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
    backward *w = g->self;
    const char *of = w->b->from->name, *rest = strchr(w->label, '/');
    (void)h;
    const char *label = arena_text(w->a, "%s/d_%s/%s.%d", of, rest ? rest + 1 : w->label,
                                   op, w->b->n_nodes);
    return append(w, label, op, params, in, n_in, out, n_out);
}

static int32_t type_of(const evla_host *h, const evla_grad *g, int32_t wire_of,
                       evla_type *out)
{
    backward *w = g->self;
    (void)h;
    if (wire_of < 0 || wire_of >= w->b->n_wires)
        return ctx_fail(w->cx, EVLA_E_PLUGIN, "%s: wire %d does not exist", w->label,
                        wire_of);
    *out = w->b->wires[wire_of].type;
    return 0;
}

static void start(backward *w, ctx *cx, arena *a, const plan_options *o, bound *b)
{
    *w = (backward){.table = {.size = sizeof w->table, .emit = emit, .type = type_of},
                    .cx = cx,
                    .a = a,
                    .o = o,
                    .b = b,
                    .label = b->from->name};
    w->table.self = w;
}

static int32_t constant(backward *w, int32_t dtype, double v, int32_t *out)
{
    bound_wire c = {.type = {.dtype = dtype}, .kind = WIRE_CONST, .slot = -1, .node = -1};
    double *data = arena_push_aligned(w->a, 1, sizeof *data, PLAN_ALIGN);
    c.name = arena_text(w->a, "const.%d", w->b->n_wires);
    if (!data || !c.name) return no_room(w->cx, w->b);
    if (dtype == EVLA_F32)
        *(float *)data = (float)v;
    else
        *data = v;
    c.data = data;
    return infer_add_wire(w->cx, w->a, w->b, &c, out);
}

/* ---- the rewrite ---- */

/* Gradients flow through real numbers in whole elements only. */
static int is_real(const registry *reg, int32_t dtype)
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
            needs[nd->out[k]] = is_real(reg, b->wires[nd->out[k]].type.dtype);
    }
}

/* Adds what one reader sends back to what others did. */
static int32_t gather(backward *w, int32_t *d, int32_t more)
{
    if (*d < 0) return *d = more, 0;
    return emit(NULL, &w->table, "add", NULL, (int32_t[]){*d, more}, 2, d, 1);
}

static int32_t check_answer(backward *w, const evla_node *n, int32_t k, int32_t got)
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

static int32_t ask(backward *w, const bound_node *n, const int32_t *d_out,
                   const int32_t *wanted, int32_t *d)
{
    const evla_op *op = op_of(n->op);
    int32_t d_in[EVLA_MAX_PORTS];
    evla_node seen;
    host h;
    if (op->size < offsetof(evla_op, grad) + sizeof op->grad || !op->grad)
        return ctx_fail(w->cx, EVLA_E_MISSING,
                        "%s: the operator %s has no gradient, and what is trained lies "
                        "behind it; freeze that, or leave %s out of this graph",
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
static int32_t visit(backward *w, int32_t i, const unsigned char *needs, int32_t *d)
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

int32_t grad_append(ctx *cx, arena *a, const plan_options *o, bound *b, int32_t of,
                    const int32_t *wrt, int32_t n, int32_t *d)
{
    const evla_type *t = &b->wires[of].type;
    arena_place mark = arena_mark(&cx->scratch);
    if (t->rank != 0 || !is_real(cx->reg, t->dtype)) {
        ctx_fail(cx, EVLA_E_SHAPE,
                 "graph %s: gradients start from one real number; %s is %s", b->from->name,
                 b->wires[of].name, type_text(cx->reg, &cx->scratch, t));
        arena_reset(&cx->scratch, mark);
        return EVLA_E_SHAPE;
    }
    backward w;
    int32_t n_wires = b->n_wires, st = 0;
    int32_t *all = arena_push(a, (size_t)n_wires + 1, sizeof *all);
    unsigned char *needs = arena_push(a, (size_t)n_wires + 1, 1);
    if (!all || !needs) return no_room(cx, b);
    for (int32_t i = 0; i < n_wires; i++)
        all[i] = -1;
    find_needs(cx->reg, b, wrt, n, needs);
    start(&w, cx, a, o, b);
    if (needs[of]) {
        int32_t dtype = t->dtype, last = b->n_nodes - 1, one = -1;
        st = constant(&w, dtype == EVLA_F32 ? dtype : EVLA_F64, 1, &one);
        if (st >= 0 && dtype != EVLA_F32 && dtype != EVLA_F64)
            st = emit(NULL, &w.table, "cast",
                      &(evla_cast_params){.to = dtype_name(cx->reg, dtype)}, &one, 1, &one,
                      1);
        all[of] = one;
        for (int32_t i = last; st >= 0 && i >= 0; i--)
            st = visit(&w, i, needs, all);
    }
    for (int32_t i = 0; i < n; i++)
        d[i] = all[wrt[i]];
    return st;
}

/* ---- the derived model ---- */

typedef struct maker {
    ctx *cx;
    const graph *of;
    const symbols *s;
    grad_options given; /* presets filled in */
    plan_options o;
    grad *g;
} maker;

static int32_t check_options(ctx *cx, const graph *of, grad_options *o)
{
    struct {
        const char *name;
        double *v, preset, below;
    } row[] = {
        {"clip_norm", &o->clip_norm, 0, INFINITY},
        {"weight_decay", &o->weight_decay, 0, INFINITY},
        {"beta1", &o->beta1, 0.9, 1},
        {"beta2", &o->beta2, 0.999, 1},
        {"eps", &o->eps, 1e-8, INFINITY},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double v = *row[i].v;
        if (v != v || v >= row[i].below)
            return ctx_fail(cx, EVLA_E_ARG, "graph %s: training: %s is %g; want %s",
                            of->name, row[i].name, v,
                            row[i].below == 1 ? "a number below 1" : "a finite number");
        *row[i].v = v == 0 ? row[i].preset : v < 0 ? 0 : v;
    }
    if (!o->loss) o->loss = "loss";
    if (!o->decay_rank) o->decay_rank = 2;
    if (o->accumulate < 1) o->accumulate = 1;
    if (o->recompute < GRAD_KEEP || o->recompute > GRAD_DEEP)
        return ctx_fail(cx, EVLA_E_ARG, "graph %s: training: recompute is %d; want 0 to 2",
                        of->name, o->recompute);
    for (int32_t i = 0; i < of->n_inputs; i++) {
        const char *name = of->wires[of->inputs[i]].name;
        if (!strcmp(name, "lr") || !strcmp(name, "t"))
            return ctx_fail(
                cx, EVLA_E_EXISTS,
                "graph %s: training adds an input \"%s\", and the graph has one "
                "of that name; rename it",
                of->name, name);
    }
    return 0;
}

int grad_freezes(const char *entry, const char *weight)
{
    size_t n = strlen(entry);
    return n && entry[n - 1] == '*' ? !strncmp(entry, weight, n - 1)
                                    : !strcmp(entry, weight);
}

static int is_frozen(const grad_options *o, const weight_info *w)
{
    if (w->init && (!strncmp(w->init, "mean:", 5) || !strncmp(w->init, "std:", 4)))
        return 1;
    for (int32_t i = 0; i < o->n_frozen; i++)
        if (grad_freezes(o->frozen[i], w->name)) return 1;
    return 0;
}

/* The same weights and states by the same slots; states that train come behind them. */
static int32_t derive(ctx *cx, model *of, model **out)
{
    model *m;
    int32_t st = model_new(cx, of->name, &m);
    if (st < 0) return st;
    model_keep(of);
    m->base = of;
    m->cap_weights = of->n_weights;
    m->cap_states = of->n_states + 4 * of->n_weights;
    m->weights = arena_push(&m->mem, (size_t)m->cap_weights + 1, sizeof *m->weights);
    m->states = arena_push(&m->mem, (size_t)m->cap_states + 1, sizeof *m->states);
    if (!m->weights || !m->states) {
        model_drop(m);
        return ctx_fail(cx, EVLA_E_NOMEM, "model %s: %d weights", of->name, of->n_weights);
    }
    m->n_weights = of->n_weights;
    m->n_states = of->n_states;
    for (int32_t i = 0; i < of->n_weights; i++)
        m->weights[i] = of->weights[i];
    for (int32_t i = 0; i < of->n_states; i++)
        m->states[i] = of->states[i];
    *out = m;
    return 0;
}

static int32_t add_state(ctx *cx, model *m, const char *prefix, const grad_weight *w,
                         int32_t *slot)
{
    state_info *s = &m->states[m->n_states];
    *s = (state_info){.name = arena_text(&m->mem, "%s%s", prefix, w->name),
                      .type = type_text(cx->reg, &m->mem, &w->type)};
    if (!s->name) return ctx_fail(cx, EVLA_E_NOMEM, "state %s%s", prefix, w->name);
    if (model_state(m, s->name) >= 0)
        return ctx_fail(
            cx, EVLA_E_EXISTS,
            "training keeps a state \"%s\", and the model has one of that name; "
            "rename it",
            s->name);
    *slot = m->n_states++;
    return 0;
}

/* ---- which weights are trained ---- */

static int32_t find_loss(maker *mk, const bound *b, int32_t *out)
{
    const char *loss = mk->given.loss;
    *out = -1;
    for (int32_t i = 0; i < b->n_outputs; i++) {
        if (!strcmp(b->outputs[i].name, "grad_norm"))
            return ctx_fail(
                mk->cx, EVLA_E_EXISTS,
                "graph %s: training adds an output \"grad_norm\", and the graph "
                "has one of that name; rename it",
                mk->of->name);
        if (!strcmp(b->outputs[i].name, loss)) *out = b->outputs[i].wire;
    }
    if (*out >= 0) return 0;
    return ctx_fail(mk->cx, EVLA_E_MISSING,
                    "graph %s: has no output \"%.60s\" to train; its first is \"%s\"",
                    mk->of->name, loss, b->n_outputs ? b->outputs[0].name : "");
}

/* Weights that the loss depends on and that nobody froze. */
static int32_t choose_weights(maker *mk, const bound *b, int32_t loss)
{
    ctx *cx = mk->cx;
    grad *g = mk->g;
    model *of = g->of;
    /* one at a time would be slow: follow the loss back instead */
    unsigned char *reach = arena_push(&cx->scratch, (size_t)b->n_wires + 1, 1);
    g->weights = mem_alloc(((size_t)of->n_weights + 1) * sizeof *g->weights);
    if (!reach || !g->weights) return no_room(cx, b);
    reach[loss] = 1;
    for (int32_t i = b->n_nodes - 1; i >= 0; i--) {
        const bound_node *n = &b->nodes[i];
        int any = 0;
        for (int32_t k = 0; !n->is_gone && k < n->n_out; k++)
            any |= reach[n->out[k]] && is_real(cx->reg, b->wires[n->out[k]].type.dtype);
        for (int32_t k = 0; any && k < n->n_in; k++)
            if (n->in[k] >= 0) reach[n->in[k]] = 1;
    }
    for (int32_t slot = 0; slot < of->n_weights; slot++) {
        int32_t at = -1;
        for (int32_t w = 0; w < b->n_wires && at < 0; w++)
            if (b->wires[w].kind == WIRE_WEIGHT && b->wires[w].slot == slot) at = w;
        if (at < 0) continue;
        const bound_wire *w = &b->wires[at];
        if (!reach[at] || is_frozen(&mk->given, &of->weights[slot])) {
            g->n_frozen++;
            continue;
        }
        if (w->type.dtype != EVLA_F32)
            return ctx_fail(cx, EVLA_E_DTYPE,
                            "weight %s: is %s, and only f32 can be trained; freeze it or "
                            "cast it",
                            w->name, type_text(cx->reg, &cx->scratch, &w->type));
        g->weights[g->n_weights++] = (grad_weight){
            .name = w->name,
            .weight = slot,
            .decays = mk->given.weight_decay > 0 && w->type.rank >= mk->given.decay_rank,
            .sum = -1,
            .type = w->type};
        g->parameters += type_count(&w->type);
    }
    if (g->n_weights) return 0;
    return ctx_fail(
        cx, EVLA_E_STATE,
        "graph %s: output %s depends on no weight that could be trained (%d are "
        "frozen or out of its reach)",
        mk->of->name, mk->given.loss, g->n_frozen);
}

static int32_t make_states(maker *mk)
{
    grad *g = mk->g;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++)
        st = add_state(mk->cx, g->model, "", &g->weights[i], &g->weights[i].state);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++) {
        grad_weight *w = &g->weights[i];
        st = add_state(mk->cx, g->model, "m:", w, &w->m);
        if (st >= 0) st = add_state(mk->cx, g->model, "v:", w, &w->v);
        if (st >= 0 && g->accumulate > 1)
            st = add_state(mk->cx, g->model, "g:", w, &w->sum);
    }
    return st;
}

/* ---- the optimiser's nodes ---- */

static int32_t state_wire(backward *w, const grad *g, int32_t slot, const evla_type *type,
                          int32_t *out)
{
    bound_wire s = {.type = *type,
                    .kind = WIRE_STATE,
                    .slot = slot,
                    .name = g->model->states[slot].name,
                    .node = -1};
    return infer_add_wire(w->cx, w->a, w->b, &s, out);
}

static int32_t node_1(backward *w, const char *op, const char *of, int32_t a, int32_t b,
                      int32_t *out)
{
    const char *label = arena_text(w->a, "%s/%s.%s", w->b->from->name, op, of);
    return append(w, label, op, NULL, (int32_t[]){a, b}, b < 0 ? 1 : 2, out, 1);
}

/* The global norm of all gradients, averaged over `share` batches. */
static int32_t add_norm(backward *w, const int32_t *d, int32_t n, int group, double share,
                        int32_t *norm)
{
    int32_t total = -1, st = 0;
    for (int32_t at = 0; st >= 0 && at < n; at += group) {
        int32_t many = n - at < group ? n - at : group, part = -1;
        const char *label = arena_text(w->a, "%s/sum_squares.%d", w->b->from->name, at);
        st = append(w, label, "sum_squares", NULL, d + at, many, &part, 1);
        if (st >= 0 && total >= 0)
            st = node_1(w, "add", arena_text(w->a, "squares.%d", at), total, part, &total);
        else
            total = part;
    }
    if (st >= 0) st = node_1(w, "sqrt", "norm", total, -1, norm);
    if (st >= 0 && share != 1) {
        int32_t c = -1;
        if ((st = constant(w, EVLA_F32, share, &c)) >= 0)
            st = node_1(w, "mul", "norm", *norm, c, norm);
    }
    return st;
}

/* What gradients are multiplied with: min(1, clip / (norm + 1e-6)) times the share; -1: 1.
 * The 1e-6 is that of the usual clip_grad_norm_. */
static int32_t add_scale(backward *w, double clip, double share, int32_t norm, int32_t *out)
{
    int32_t c[4], st = 0;
    *out = -1;
    if (clip <= 0) return share == 1 ? 0 : constant(w, EVLA_F32, share, out);
    const double number[] = {1e-6, clip, 1, share};
    for (int i = 0; st >= 0 && i < 4; i++)
        st = constant(w, EVLA_F32, number[i], &c[i]);
    int32_t at = norm;
    if (st >= 0) st = node_1(w, "add", "clip", at, c[0], &at);
    if (st >= 0) st = node_1(w, "div", "clip", c[1], at, &at);
    if (st >= 0) st = node_1(w, "minimum", "clip", at, c[2], &at);
    if (st >= 0 && share != 1) st = node_1(w, "mul", "clip", at, c[3], &at);
    *out = at;
    return st;
}

/* from[i]: the gradient of weight i; w0[i]: the wire of its state, -1: not there yet. */
static int32_t add_update(maker *mk, backward *w, const int32_t *w0, const int32_t *from)
{
    grad *g = mk->g;
    const grad_options *o = &mk->given;
    const evla_type number = {.dtype = EVLA_F32}, whole = {.dtype = EVLA_I64};
    double share = 1.0 / g->accumulate;
    int32_t lr, t, norm, scale, group = o->clip_norm > 0 ? EVLA_MAX_PORTS : 1, st;
    w->where = NULL;
    if ((st = infer_add_input(mk->cx, w->a, w->b, "lr", &number, &lr)) < 0 ||
        (st = infer_add_input(mk->cx, w->a, w->b, "t", &whole, &t)) < 0)
        return st;
    if (g->accumulate > 1) group = EVLA_MAX_PORTS; /* sums are states: nothing waits */
    st = add_norm(w, from, g->n_weights, group, share, &norm);
    if (st >= 0) st = infer_add_output(mk->cx, w->a, w->b, "grad_norm", norm);
    if (st >= 0) st = add_scale(w, o->clip_norm, share, norm, &scale);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++) {
        const grad_weight *of = &g->weights[i];
        const evla_adamw_params p = {.beta1 = o->beta1,
                                     .beta2 = o->beta2,
                                     .eps = o->eps,
                                     .weight_decay = of->decays ? o->weight_decay : 0};
        int32_t in[] = {w0[i], -1, -1, from[i], lr, t, scale}, out[3];
        if (in[0] < 0) st = state_wire(w, g, of->state, &of->type, &in[0]);
        if (st >= 0) st = state_wire(w, g, of->m, &of->type, &in[1]);
        if (st >= 0) st = state_wire(w, g, of->v, &of->type, &in[2]);
        const char *label = arena_text(w->a, "%s/adamw.%s", w->b->from->name, of->name);
        if (st >= 0) st = append(w, label, "adamw", &p, in, scale < 0 ? 6 : 7, out, 3);
    }
    return st;
}

/* ---- plans ---- */

static double flops_of(ctx *cx, const bound *b)
{
    double sum = 0;
    for (int32_t i = 0; i < b->n_nodes; i++) {
        const evla_op *op = op_of(b->nodes[i].op);
        evla_node seen;
        arena_place mark = arena_mark(&cx->scratch);
        if (!b->nodes[i].is_gone && op->size >= offsetof(evla_op, cost) + sizeof op->cost &&
            op->cost && infer_node(cx, &cx->scratch, b, &b->nodes[i], &seen) >= 0)
            sum += op->cost(&seen);
        arena_reset(&cx->scratch, mark);
    }
    return sum;
}

/* Binds the graph once more, with the trained weights as states. w0: their wires. */
static int32_t bind_again(maker *mk, plan *p, bound **out, int32_t *w0)
{
    grad *g = mk->g;
    int32_t st = infer_bind(mk->cx, &p->mem, mk->of, mk->s, &mk->o, out);
    for (int32_t w = 0; st >= 0 && w < (*out)->n_wires; w++) {
        bound_wire *at = &(*out)->wires[w];
        for (int32_t i = 0; at->kind == WIRE_WEIGHT && i < g->n_weights; i++) {
            if (g->weights[i].weight != at->slot) continue;
            at->kind = WIRE_STATE;
            at->slot = g->weights[i].state;
            w0[i] = w;
        }
    }
    return st;
}

static int32_t *wires_of(maker *mk, plan *p)
{
    int32_t *w = arena_push(&p->mem, (size_t)mk->g->n_weights + 1, sizeof *w);
    for (int32_t i = 0; w && i < mk->g->n_weights; i++)
        w[i] = -1;
    return w;
}

static int32_t finish(maker *mk, plan *p, bound *b)
{
    int32_t st = rewrite_apply(mk->cx, &p->mem, &mk->o, b);
    return st < 0 ? st : plan_finish(mk->cx, p, b, &mk->o);
}

/* Forward, backward, and the update or the sums. */
static int32_t build_batch(maker *mk, plan *p, int32_t recompute)
{
    grad *g = mk->g;
    backward w;
    bound *b;
    int32_t loss, *w0 = wires_of(mk, p), *d = wires_of(mk, p), st;
    if (!w0 || !d) return ctx_fail(mk->cx, EVLA_E_NOMEM, "graph %s", mk->of->name);
    if ((st = bind_again(mk, p, &b, w0)) < 0 || (st = find_loss(mk, b, &loss)) < 0)
        return st;
    int32_t forward = b->n_nodes;
    g->forward_flops = flops_of(mk->cx, b);
    st = grad_append(mk->cx, &p->mem, &mk->o, b, loss, w0, g->n_weights, d);
    if (st < 0) return st;
    start(&w, mk->cx, &p->mem, &mk->o, b);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++)
        if (d[i] < 0) /* reached by zeros only, as through the steps of sign */
            st = append(&w,
                        arena_text(&p->mem, "%s/zero.%s", mk->of->name, g->weights[i].name),
                        "sub", NULL, (int32_t[]){w0[i], w0[i]}, 2, &d[i], 1);
    if (st >= 0 && g->accumulate == 1)
        st = add_update(mk, &w, w0, d);
    else
        for (int32_t i = 0; st >= 0 && i < g->n_weights; i++) {
            const grad_weight *of = &g->weights[i];
            int32_t in[2] = {-1, d[i]}, out;
            const char *label =
                arena_text(&p->mem, "%s/accumulate.%s", mk->of->name, of->name);
            if ((st = state_wire(&w, g, of->sum, &of->type, &in[0])) >= 0)
                st = append(&w, label, "accumulate", NULL, in, 2, &out, 1);
        }
    if (st < 0) return st;
    double before = flops_of(mk->cx, b);
    if (recompute && !list_has(mk->o.without, "recompute"))
        st = recompute_apply(mk->cx, &p->mem, b, forward, recompute == GRAD_DEEP);
    g->flops = flops_of(mk->cx, b);
    g->repeated_flops = g->flops - before;
    return st < 0 ? st : finish(mk, p, b);
}

/* With accumulation: from the sums to the weights, and the sums back to 0. */
static int32_t build_update(maker *mk, plan *p)
{
    grad *g = mk->g;
    backward w;
    bound *b = arena_push(&p->mem, 1, sizeof *b);
    int32_t *w0 = wires_of(mk, p), *d = wires_of(mk, p), st = 0;
    if (!b || !w0 || !d) return ctx_fail(mk->cx, EVLA_E_NOMEM, "graph %s", mk->of->name);
    *b = (bound){.from = mk->of};
    start(&w, mk->cx, &p->mem, &mk->o, b);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++)
        st = state_wire(&w, g, g->weights[i].sum, &g->weights[i].type, &d[i]);
    if (st >= 0) st = add_update(mk, &w, w0, d);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++) {
        int32_t out;
        st = node_1(&w, "clear", g->weights[i].name, d[i], -1, &out);
    }
    g->flops += flops_of(mk->cx, b);
    return st < 0 ? st : finish(mk, p, b);
}

static int32_t build_evaluate(maker *mk, plan *p)
{
    bound *b;
    int32_t *w0 = wires_of(mk, p);
    if (!w0) return ctx_fail(mk->cx, EVLA_E_NOMEM, "graph %s", mk->of->name);
    int32_t st = bind_again(mk, p, &b, w0);
    return st < 0 ? st : finish(mk, p, b);
}

static int32_t add_plan(maker *mk, int32_t (*build)(maker *, plan *), int32_t *at)
{
    grad *g = mk->g;
    plan *p;
    int32_t st = plan_new(mk->cx, g->model, &mk->o, &p);
    if (st < 0) return st;
    *at = g->n_plans;
    g->plans[g->n_plans++] = p;
    arena_place mark = arena_mark(&mk->cx->scratch);
    st = build(mk, p);
    arena_reset(&mk->cx->scratch, mark);
    return st;
}

static int32_t build_kept(maker *mk, plan *p) { return build_batch(mk, p, GRAD_KEEP); }

static int32_t build_chosen(maker *mk, plan *p)
{
    return build_batch(mk, p, mk->given.recompute);
}

/* Both are planned without a budget, so that the smaller one can be chosen; one that misses
 * the budget is planned again, for the sentence that names what is in the way. */
static int32_t make_batch(maker *mk)
{
    grad *g = mk->g;
    if (!mk->given.recompute || list_has(mk->o.without, "recompute")) {
        int32_t st = add_plan(mk, build_kept, &g->batch);
        if (st < 0) return st;
        g->kept_bytes = g->recomputed_bytes = g->plans[g->batch]->arena_bytes;
        return 0;
    }
    const uint64_t budget = mk->o.budget;
    mk->o.budget = 0;
    int32_t st = add_plan(mk, build_kept, &g->batch);
    double flops = g->flops;
    if (st >= 0) st = add_plan(mk, build_chosen, &g->batch);
    mk->o.budget = budget;
    if (st < 0) return st;
    plan *less = g->plans[--g->n_plans], *kept = g->plans[--g->n_plans];
    const int is_less = less->arena_bytes < kept->arena_bytes;
    plan *best = is_less ? less : kept;
    g->kept_bytes = kept->arena_bytes;
    g->recomputed_bytes = best->arena_bytes;
    if (!is_less) g->flops = flops, g->repeated_flops = 0;
    plan_drop(is_less ? kept : less);
    if (budget && best->arena_bytes + best->state_bytes > budget) {
        plan_drop(best);
        return add_plan(mk, is_less ? build_chosen : build_kept, &g->batch);
    }
    g->batch = g->n_plans;
    g->plans[g->n_plans++] = best;
    return 0;
}

/* Binds once only to see which weights there are. */
static int32_t look(maker *mk)
{
    arena mem = arena_beside(&mk->cx->mem, 64 << 10);
    arena_place mark = arena_mark(&mk->cx->scratch);
    bound *b;
    int32_t loss, st = infer_bind(mk->cx, &mem, mk->of, mk->s, &mk->o, &b);
    if (st >= 0) st = find_loss(mk, b, &loss);
    if (st >= 0) st = choose_weights(mk, b, loss);
    arena_reset(&mk->cx->scratch, mark);
    arena_free(&mem);
    return st;
}

int32_t grad_make(ctx *cx, const graph *of, const symbols *s, const grad_options *go,
                  const plan_options *o, grad **out)
{
    maker mk = {.cx = cx, .of = of, .s = s};
    if (go) mk.given = *go;
    if (o) mk.o = *o;
    int32_t st = rewrite_check_names(cx, mk.o.without);
    if (st < 0 || (st = check_options(cx, of, &mk.given)) < 0) return st;
    grad *g = mem_alloc(sizeof *g);
    if (!g) return ctx_fail(cx, EVLA_E_NOMEM, "training of graph %s", of->name);
    *g = (grad){.of = of->of, .evaluate = -1, .accumulate = mk.given.accumulate};
    model_keep(g->of);
    mk.g = g;
    if ((st = look(&mk)) >= 0 && (st = derive(cx, g->of, &g->model)) >= 0)
        st = make_states(&mk);
    if (st >= 0) st = make_batch(&mk);
    g->update = g->batch;
    if (st >= 0 && g->accumulate > 1) st = add_plan(&mk, build_update, &g->update);
    if (st >= 0 && mk.given.evaluate) st = add_plan(&mk, build_evaluate, &g->evaluate);
    if (st < 0) {
        if (of->where && !strncmp(cx->why, "graph ", 6)) /* others name their node's line */
            ctx_prefix(cx, "%s", of->where);
        grad_free(g);
    } else
        *out = g;
    return st;
}

void grad_free(grad *g)
{
    if (!g) return;
    for (int32_t i = 0; i < g->n_plans; i++)
        plan_drop(g->plans[i]);
    model_drop(g->model);
    model_drop(g->of);
    mem_free(g->weights);
    mem_free(g);
}

int32_t grad_frozen(ctx *cx, grad *g)
{
    for (int32_t i = 0; i < g->model->n_weights; i++) {
        weight_info *to = &g->model->weights[i];
        const weight_info *from = &g->of->weights[i];
        if (to->type.rank >= 0 && !type_equal(&to->type, &from->type))
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "weight %s: its type changed since training was planned",
                            from->name);
        to->type = from->type;
        to->data = from->data;
        to->is_own = 0;
    }
    return 0;
}
