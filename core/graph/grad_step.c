/*
 * grad_step.c -- the training step as static plans: a derived model whose trained weights
 * are states, gradients, clipping and the optimiser. See grad.h.
 *
 * Not here: gradients (grad.c), what is computed again (recompute.c).
 */
#include "../evla/ops.h"
#include "../mem.h"
#include "../registry.h"
#include "grad_inner.h"
#include "recompute.h"
#include "rewrite.h"
#include <math.h>
#include <string.h>

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
    if (!reach || !g->weights) return grad_no_room(cx, b);
    reach[loss] = 1;
    for (int32_t i = b->n_nodes - 1; i >= 0; i--) {
        const bound_node *n = &b->nodes[i];
        int any = 0;
        for (int32_t k = 0; !n->is_gone && k < n->n_out; k++)
            any |=
                reach[n->out[k]] && grad_is_real(cx->reg, b->wires[n->out[k]].type.dtype);
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

static int32_t state_wire(grad_writer *w, const grad *g, int32_t slot,
                          const evla_type *type, int32_t *out)
{
    bound_wire s = {.type = *type,
                    .kind = WIRE_STATE,
                    .slot = slot,
                    .name = g->model->states[slot].name,
                    .node = -1};
    return infer_add_wire(w->cx, w->a, w->b, &s, out);
}

static int32_t node_1(grad_writer *w, const char *op, const char *of, int32_t a, int32_t b,
                      int32_t *out)
{
    const char *label = arena_text(w->a, "%s/%s.%s", w->b->from->name, op, of);
    return grad_node(w, label, op, NULL, (int32_t[]){a, b}, b < 0 ? 1 : 2, out, 1);
}

/* The global norm of all gradients, averaged over `share` batches. */
static int32_t add_norm(grad_writer *w, const int32_t *d, int32_t n, int group,
                        double share, int32_t *norm)
{
    int32_t total = -1, st = 0;
    for (int32_t at = 0; st >= 0 && at < n; at += group) {
        int32_t many = n - at < group ? n - at : group, part = -1;
        const char *label = arena_text(w->a, "%s/sum_squares.%d", w->b->from->name, at);
        st = grad_node(w, label, "sum_squares", NULL, d + at, many, &part, 1);
        if (st >= 0 && total >= 0)
            st = node_1(w, "add", arena_text(w->a, "squares.%d", at), total, part, &total);
        else
            total = part;
    }
    if (st >= 0) st = node_1(w, "sqrt", "norm", total, -1, norm);
    if (st >= 0 && share != 1) {
        int32_t c = -1;
        if ((st = grad_constant(w, EVLA_F32, share, &c)) >= 0)
            st = node_1(w, "mul", "norm", *norm, c, norm);
    }
    return st;
}

/* What gradients are multiplied with: min(1, clip / (norm + 1e-6)) times the share; -1: 1.
 * The 1e-6 is that of the usual clip_grad_norm_. */
static int32_t add_scale(grad_writer *w, double clip, double share, int32_t norm,
                         int32_t *out)
{
    int32_t c[4], st = 0;
    *out = -1;
    if (clip <= 0) return share == 1 ? 0 : grad_constant(w, EVLA_F32, share, out);
    const double number[] = {1e-6, clip, 1, share};
    for (int i = 0; st >= 0 && i < 4; i++)
        st = grad_constant(w, EVLA_F32, number[i], &c[i]);
    int32_t at = norm;
    if (st >= 0) st = node_1(w, "add", "clip", at, c[0], &at);
    if (st >= 0) st = node_1(w, "div", "clip", c[1], at, &at);
    if (st >= 0) st = node_1(w, "minimum", "clip", at, c[2], &at);
    if (st >= 0 && share != 1) st = node_1(w, "mul", "clip", at, c[3], &at);
    *out = at;
    return st;
}

/* from[i]: the gradient of weight i; w0[i]: the wire of its state, -1: not there yet. */
static int32_t add_update(maker *mk, grad_writer *w, const int32_t *w0, const int32_t *from)
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
        if (st >= 0) st = grad_node(w, label, "adamw", &p, in, scale < 0 ? 6 : 7, out, 3);
    }
    return st;
}

/* ---- plans ---- */

static double flops_of(ctx *cx, const bound *b)
{
    double sum = 0, one;
    for (int32_t i = 0; i < b->n_nodes; i++)
        if (!b->nodes[i].is_gone && infer_cost(cx, b, &b->nodes[i], &one)) sum += one;
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
    grad_writer w;
    bound *b;
    int32_t loss, *w0 = wires_of(mk, p), *d = wires_of(mk, p), st;
    if (!w0 || !d) return ctx_fail(mk->cx, EVLA_E_NOMEM, "graph %s", mk->of->name);
    if ((st = bind_again(mk, p, &b, w0)) < 0 || (st = find_loss(mk, b, &loss)) < 0)
        return st;
    int32_t forward = b->n_nodes;
    g->forward_flops = flops_of(mk->cx, b);
    st = grad_append(mk->cx, &p->mem, &mk->o, b, loss, -1, w0, g->n_weights, d);
    if (st < 0) return st;
    grad_start(&w, mk->cx, &p->mem, &mk->o, b);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++)
        if (d[i] < 0) /* reached by zeros only, as through the steps of sign */
            st = grad_node(
                &w, arena_text(&p->mem, "%s/zero.%s", mk->of->name, g->weights[i].name),
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
                st = grad_node(&w, label, "accumulate", NULL, in, 2, &out, 1);
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
    grad_writer w;
    bound *b = arena_push(&p->mem, 1, sizeof *b);
    int32_t *w0 = wires_of(mk, p), *d = wires_of(mk, p), st = 0;
    if (!b || !w0 || !d) return ctx_fail(mk->cx, EVLA_E_NOMEM, "graph %s", mk->of->name);
    *b = (bound){.from = mk->of};
    grad_start(&w, mk->cx, &p->mem, &mk->o, b);
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
        weight_info *from = &g->of->weights[i];
        if (to->type.rank >= 0 && !type_equal(&to->type, &from->type))
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "weight %s: its type changed since training was planned",
                            from->name);
        to->type = from->type;
        to->data = from->data;
        to->is_own = 0;
        from->is_lent = 1;
    }
    return 0;
}
