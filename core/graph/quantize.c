/*
 * quantize.c -- the rewrite of a whole model to weights in codes. See quantize.h.
 */
#include "quantize.h"
#include "../data/format.h"
#include "../registry.h"
#include "choose.h"
#include <stdio.h>
#include <string.h>

static const char act_scale[] = "act_scale";

/* ---- who reads a weight, and how ---- */

typedef enum reading { READ_LINEAR, READ_TABLE, READ_OTHER } reading;

/* A gather along axis 0 fetches rows, as an embedding does. */
static int is_axis_0(const value *given)
{
    const value *axis = given->kind == VALUE_TABLE ? value_get(given, "axis") : NULL;
    if (!axis) return 1; /* its preset */
    return axis->kind == VALUE_INT ? axis->as.i == 0
                                   : axis->kind == VALUE_FLOAT && axis->as.f == 0;
}

static reading reading_of(const node *n, int32_t port)
{
    if (!strcmp(n->op->name, "linear") && port == 1) return READ_LINEAR;
    if (!strcmp(n->op->name, "embedding") && port == 0) return READ_TABLE;
    if (!strcmp(n->op->name, "gather") && port == 0 && is_axis_0(&n->given))
        return READ_TABLE;
    return READ_OTHER;
}

static int reads(const graph *g, int32_t wire_at, int32_t slot)
{
    return wire_at >= 0 && g->wires[wire_at].kind == WIRE_WEIGHT &&
           g->wires[wire_at].slot == slot;
}

static int32_t look_at(ctx *cx, arena *a, const model *m, quantize_layer *l)
{
    const evla_type *t = &m->weights[l->slot].type;
    const char *other = NULL;
    for (int32_t i = 0; i < m->n_graphs; i++) {
        const graph *g = m->graphs[i];
        for (int32_t k = 0; k < g->n_nodes; k++)
            for (int32_t p = 0; p < g->nodes[k].n_in; p++) {
                if (!reads(g, g->nodes[k].in[p], l->slot)) continue;
                reading how = reading_of(&g->nodes[k], p);
                l->n_linears += how == READ_LINEAR;
                l->n_tables += how == READ_TABLE;
                if (how == READ_OTHER && !other) other = g->nodes[k].label;
            }
        for (int32_t k = 0; k < g->n_outputs; k++)
            if (reads(g, g->outputs[k].wire, l->slot) && !other) other = g->outputs[k].name;
    }
    l->why = "";
    if (other)
        l->why = arena_text(a, "%s reads it as it is", other);
    else if (!l->n_linears && !l->n_tables)
        l->why = "no linear and no embedding reads it";
    else if (!format_is_real(cx->reg, t->dtype) || t->rank != 2)
        l->why = arena_text(a, "it is %s, not [out,in] of reals", type_text(cx->reg, a, t));
    else if (!m->weights[l->slot].data)
        l->why = "it has no data";
    if (!l->why) return ctx_fail(cx, EVLA_E_NOMEM, "weight %s", l->name);
    if (!*l->why) l->why = NULL;
    return 0;
}

int32_t quantize_layers(ctx *cx, arena *a, const model *m, quantize_layer **out, int32_t *n)
{
    quantize_layer *list = arena_push(a, (size_t)m->n_weights + 1, sizeof *list);
    if (!list) return ctx_fail(cx, EVLA_E_NOMEM, "%d weights", m->n_weights);
    *n = 0;
    for (int32_t i = 0; i < m->n_weights; i++) {
        if (m->weights[i].type.rank < 2) continue;
        quantize_layer *l = &list[(*n)++];
        *l = (quantize_layer){.name = m->weights[i].name, .slot = i};
        int32_t st = look_at(cx, a, m, l);
        if (st < 0) return st;
    }
    *out = list;
    return 0;
}

/* ---- the quantiser of one layer ---- */

static const evla_quant *quant_of(const evla_choice *c) { return c->item->table; }

/* What a quantiser is shown: the same numbers in f32. */
static evla_type in_f32(const evla_type *t)
{
    evla_type out = *t;
    out.dtype = EVLA_F32;
    return out;
}

/* The sentence of a failure names the layer and the quantiser. */
static int32_t blame(ctx *cx, const quantize_layer *l, int32_t st)
{
    if (st >= 0) return st;
    const char *quant = l->with ? l->with->item->name : "a quantiser";
    if (!cx->code)
        return ctx_fail(cx, st, "weight %s: %s failed without a sentence: %s", l->name,
                        quant, ctx_code_text(st));
    ctx_prefix(cx, "weight %s", l->name);
    return st;
}

/* What a weight of the new model is called; with "" as the suffix as the old one. */
static const char *plane_name(arena *a, const quantize_layer *l, const char *suffix)
{
    return *suffix ? arena_text(a, "%s.%s", l->name, suffix) : l->name;
}

/* What a plugin said about its planes makes sense. */
static int32_t check_layout(ctx *cx, const model *m, const quantize_layer *l)
{
    const evla_quant_layout *y = &l->layout;
    if (y->n_planes < 1 || y->n_planes > EVLA_MAX_PLANES)
        return ctx_fail(cx, EVLA_E_PLUGIN, "quant %s: %d planes; want 1 to %d",
                        l->with->item->name, y->n_planes, EVLA_MAX_PLANES);
    for (int32_t i = 0; i <= y->n_planes; i++) {
        int is_plane = i < y->n_planes; /* then the static scale of activations */
        if (is_plane && (!y->suffix[i] || type_bytes(cx->reg, &y->plane[i]) < 0))
            return ctx_fail(cx, EVLA_E_PLUGIN, "quant %s: plane %d has no name or size",
                            l->with->item->name, i);
        const char *name = plane_name(&cx->scratch, l, is_plane ? y->suffix[i] : act_scale);
        if (name && name != l->name && model_weight(m, name) >= 0)
            return ctx_fail(cx, EVLA_E_EXISTS,
                            "weight %s: its codes would be called %s, and there is such a "
                            "weight; rename one",
                            l->name, name);
    }
    return 0;
}

int32_t quantize_open(ctx *cx, arena *a, const model *m, quantize_layer *l,
                      const evla_choice *with)
{
    if (l->why) return 0;
    const evla_quant *q = quant_of(with);
    const evla_type as_f32 = in_f32(&m->weights[l->slot].type), *t = &as_f32;
    arena_place mark = arena_mark(&cx->scratch);
    host_init(&l->host, cx, a);
    l->with = with;
    int32_t st = q->describe(&l->host.table, with->params, t, &l->layout);
    if (st == EVLA_E_MISSING) {
        l->why = arena_copy(a, *cx->why ? cx->why : "its quantiser cannot code it");
        l->with = NULL;
        ctx_clear(cx);
        st = l->why ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "weight %s", l->name);
    } else if (st >= 0) {
        st = check_layout(cx, m, l);
        int reads_rows =
            l->layout.table ? l->layout.n_planes == 1 : l->layout.decode != NULL;
        const char *lacks = l->n_linears && !l->layout.linear ? "linear"
                            : l->n_tables && !reads_rows      ? "embedding"
                                                              : NULL;
        if (st >= 0 && lacks) {
            l->why = arena_text(a, "%s has no operator for a %s", with->item->name, lacks);
            l->with = NULL;
            if (!l->why) st = ctx_fail(cx, EVLA_E_NOMEM, "weight %s", l->name);
        } else if (st >= 0)
            st = blame(cx, l, q->open(&l->host.table, with->params, t, &l->self));
    } else
        st = blame(cx, l, st);
    arena_reset(&cx->scratch, mark);
    return st;
}

int32_t quantize_observe(ctx *cx, quantize_layer *l, const float *x, int64_t rows)
{
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = quant_of(l->with)->observe(&l->host.table, l->self, x, rows);
    host_done(&l->host, mark);
    l->observed += rows;
    return blame(cx, l, st);
}

/* A weight's numbers, in scratch if they are others or lie in a file as no f32 may lie. */
static int32_t values_of(ctx *cx, const weight_info *w, const float **out)
{
    *out = w->data;
    if (w->type.dtype == EVLA_F32 && (uintptr_t)w->data % sizeof **out == 0) return 0;
    float *values = arena_push_aligned(&cx->scratch, (size_t)type_count(&w->type) + 1,
                                       sizeof *values, 64);
    if (!values) return ctx_fail(cx, EVLA_E_NOMEM, "%s in f32", w->name);
    evla_tensor t = tensor_view(cx->reg, &w->type, (void *)(uintptr_t)w->data);
    *out = values;
    return format_f32(cx, &t, values);
}

int32_t quantize_encode(ctx *cx, arena *a, const model *m, quantize_layer *l)
{
    arena_place mark = arena_mark(&cx->scratch);
    for (int32_t i = 0; i < l->layout.n_planes; i++) {
        int64_t bytes = type_bytes(cx->reg, &l->layout.plane[i]);
        l->plane[i] = arena_push_aligned(a, (size_t)bytes + 1, 1, 64);
        if (!l->plane[i]) return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: codes", l->name);
    }
    const float *w;
    int32_t st = values_of(cx, &m->weights[l->slot], &w);
    /* a table alone has no activations */
    if (st >= 0)
        st = quant_of(l->with)->encode(&l->host.table, l->self, w, l->plane,
                                       l->n_linears ? &l->scale : NULL);
    host_done(&l->host, mark);
    if (st >= 0 && !(l->scale >= 0 && l->scale <= 3e38f))
        st = ctx_fail(cx, EVLA_E_PLUGIN, "quant %s: a scale of %g", l->with->item->name,
                      (double)l->scale);
    l->is_on = st >= 0;
    return blame(cx, l, st);
}

const char *quantize_report(quantize_layer *l)
{
    const evla_quant *q = l->self ? quant_of(l->with) : NULL;
    return q && q->report ? q->report(&l->host.table, l->self) : NULL;
}

void quantize_close(quantize_layer *l)
{
    if (l->self) quant_of(l->with)->close(&l->host.table, l->self);
    l->self = NULL;
}

int64_t quantize_bytes(ctx *cx, const model *m, const quantize_layer *l, int coded)
{
    int64_t sum = l->scale > 0 && coded ? (int64_t)sizeof l->scale : 0;
    if (!coded) return type_bytes(cx->reg, &m->weights[l->slot].type);
    for (int32_t i = 0; i < l->layout.n_planes; i++)
        sum += type_bytes(cx->reg, &l->layout.plane[i]);
    return sum;
}

/* ---- copying graphs ---- */

/* Activations made once for all linears that read them. */
typedef struct made {
    int32_t x;
    const char *op;
    float scale;
    int32_t first, n;
} made;

typedef struct copying {
    ctx *cx;
    const model *from;
    model *to;
    const quantize_layer *layers;
    int32_t n_layers;
    const quantize_layer **of_slot; /* those that are on; NULL: the weight stays */
    int is_shared;
    /* of the graph at hand */
    const graph *g;
    graph *out;
    int32_t *wires; /* new number of each wire; -1: none yet */
    made *made;
    int32_t n_made;
} copying;

static int32_t weight_with(copying *c, const char *name, const evla_type *t,
                           const void *data, const char *where, int32_t *out)
{
    int32_t st = graph_weight(c->cx, c->out, name, NULL, NULL, where, out);
    if (st < 0) return st;
    int32_t slot = c->out->wires[*out].slot;
    if (c->to->weights[slot].data) return 0;
    int32_t lender = model_weight(c->from, name);
    if (lender >= 0) c->from->weights[lender].is_lent = 1;
    /* a weight without data (declared, not trained) still has its type */
    if (data) return model_set_weight(c->cx, c->to, slot, t, data, 0);
    c->to->weights[slot].type = *t;
    return 0;
}

static int32_t plane_of(copying *c, const quantize_layer *l, int32_t i, int32_t *out)
{
    const char *name = plane_name(&c->cx->scratch, l, l->layout.suffix[i]);
    if (!name) return ctx_fail(c->cx, EVLA_E_NOMEM, "weight %s", l->name);
    return weight_with(c, name, &l->layout.plane[i], l->plane[i], NULL, out);
}

static int32_t add(copying *c, const char *op, const graph_arg *args, int32_t n,
                   const value *params, const char *where, int32_t *first, int32_t *n_out)
{
    int32_t st = graph_add(c->cx, c->out, op, args, n, params, where, first);
    if (n_out && st >= 0) *n_out = c->out->nodes[c->out->n_nodes - 1].n_out;
    return st;
}

/* What the linear reads: x itself, or what the activation operator makes of it. */
static int32_t activations(copying *c, const quantize_layer *l, int32_t x,
                           const char *where, int32_t *first, int32_t *n)
{
    const char *op = l->layout.activation;
    *first = x, *n = 1;
    if (!op) return 0;
    for (int32_t i = 0; c->is_shared && i < c->n_made; i++) {
        const made *m = &c->made[i];
        if (m->x != x || m->scale != l->scale || strcmp(m->op, op) != 0) continue;
        return *first = m->first, *n = m->n, 0;
    }
    graph_arg args[2] = {{NULL, x}};
    int32_t n_args = 1, st = 0;
    if (l->scale > 0) {
        const char *name = arena_text(&c->cx->scratch, "%s.%s", l->name, act_scale);
        if (!name) return ctx_fail(c->cx, EVLA_E_NOMEM, "weight %s", l->name);
        st = weight_with(c, name, &(evla_type){.dtype = EVLA_F32}, &l->scale, NULL,
                         &args[n_args++].wire);
    }
    if (st >= 0) st = add(c, op, args, n_args, NULL, where, first, n);
    c->made[c->n_made++] = (made){x, op, l->scale, *first, *n};
    return st;
}

static int32_t coded_linear(copying *c, const quantize_layer *l, const node *n, int32_t x,
                            int32_t bias, int32_t *out)
{
    graph_arg args[EVLA_MAX_PORTS] = {{0}};
    int32_t first, n_acts, k = 0;
    int32_t st = activations(c, l, x, n ? n->where : NULL, &first, &n_acts);
    if (st >= 0 && n_acts + l->layout.n_planes >= EVLA_MAX_PORTS)
        st = ctx_fail(c->cx, EVLA_E_PLUGIN, "weight %s: %s makes %d values", l->name,
                      l->layout.activation, n_acts);
    for (int32_t i = 0; st >= 0 && i < n_acts; i++)
        args[k++].wire = first + i;
    for (int32_t i = 0; st >= 0 && i < l->layout.n_planes; i++)
        st = plane_of(c, l, i, &args[k++].wire);
    if (bias >= 0) args[k++].wire = bias;
    /* the same operator over another format has the same parameters */
    int is_same = n && !strcmp(l->layout.linear, n->op->name);
    return st < 0 ? st
                  : add(c, l->layout.linear, args, k, is_same ? &n->given : NULL,
                        n ? n->where : NULL, out, NULL);
}

static int32_t coded_rows(copying *c, const quantize_layer *l, const node *n, int32_t ids,
                          int32_t *out)
{
    graph_arg args[EVLA_MAX_PLANES] = {{0}};
    int32_t st = 0;
    if (l->layout.table) {
        graph_arg pair[2] = {{NULL, -1}, {NULL, ids}};
        st = plane_of(c, l, 0, &pair[0].wire);
        return st < 0
                   ? st
                   : add(c, l->layout.table, pair, 2, NULL, n ? n->where : NULL, out, NULL);
    }
    for (int32_t i = 0; st >= 0 && i < l->layout.n_planes; i++) {
        graph_arg pair[2] = {{NULL, -1}, {NULL, ids}};
        st = plane_of(c, l, i, &pair[0].wire);
        if (st >= 0)
            st = add(c, "gather", pair, 2, NULL, n ? n->where : NULL, &args[i].wire, NULL);
    }
    return st < 0 ? st
                  : add(c, l->layout.decode, args, l->layout.n_planes, NULL,
                        n ? n->where : NULL, out, NULL);
}

/* ---- a graph ---- */

static int32_t copy_symbols(copying *c)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < c->g->n_symbols; i++) {
        const symbol_info *s = &c->g->symbols[i];
        st = graph_symbol(c->cx, c->out, s->name, NULL, NULL);
        if (st < 0) return st;
        symbol_info *to = &c->out->symbols[c->out->n_symbols - 1];
        const char *name = to->name;
        *to = *s;
        to->name = name;
    }
    return st;
}

static int32_t copy_source(copying *c, int32_t i)
{
    const wire *w = &c->g->wires[i];
    int32_t *out = &c->wires[i];
    evla_type t;
    switch (w->kind) {
    case WIRE_INPUT:
        return graph_input(c->cx, c->out, w->name, w->type, w->where, out);
    case WIRE_STATE:
        return graph_state(c->cx, c->out, w->name, w->type, c->from->states[w->slot].init,
                           w->where, out);
    case WIRE_WEIGHT: {
        const weight_info *info = &c->from->weights[w->slot];
        if (c->of_slot[w->slot]) return 0; /* its planes appear where they are read */
        return weight_with(c, info->name, &info->type, info->data, w->where, out);
    }
    default: {
        int32_t st = type_parse(c->cx, w->type, &(symbols){0}, &t);
        return st < 0 ? st : graph_const(c->cx, c->out, &t, w->data, w->where, out);
    }
    }
}

static int32_t copy_plain(copying *c, const node *n, int32_t *first)
{
    graph_arg args[EVLA_MAX_PORTS];
    op_port ports[EVLA_MAX_PORTS];
    int32_t n_ports = op_ports(op_of(n->op)->inputs, ports), k = 0;
    for (int32_t i = 0; i < n->n_in; i++) {
        if (n->in[i] < 0) continue;
        /* by name, so that absent ones before it keep their places */
        const op_port *p = &ports[i < n_ports ? i : n_ports - 1];
        const char *name = arena_copy_n(&c->cx->scratch, p->name, (size_t)p->n);
        if (!name) return ctx_fail(c->cx, EVLA_E_NOMEM, "%s", n->label);
        args[k++] = (graph_arg){name, c->wires[n->in[i]]};
    }
    return add(c, n->op->name, args, k, &n->given, n->where, first, NULL);
}

static int32_t copy_node(copying *c, const node *n)
{
    int32_t first = -1, st;
    const quantize_layer *l = NULL;
    for (int32_t p = 0; !l && p < n->n_in && p < 2; p++)
        if (n->in[p] >= 0 && c->g->wires[n->in[p]].kind == WIRE_WEIGHT &&
            reading_of(n, p) != READ_OTHER)
            l = c->of_slot[c->g->wires[n->in[p]].slot];
    if (!l)
        st = copy_plain(c, n, &first);
    else if (!strcmp(n->op->name, "linear"))
        st = coded_linear(c, l, n, c->wires[n->in[0]],
                          n->n_in > 2 && n->in[2] >= 0 ? c->wires[n->in[2]] : -1, &first);
    else
        st = coded_rows(c, l, n, c->wires[n->in[1]], &first);
    for (int32_t i = 0; st >= 0 && i < n->n_out; i++)
        c->wires[n->out[i]] = first + i;
    return st;
}

static int32_t copy_graph(copying *c, const graph *g)
{
    ctx *cx = c->cx;
    c->g = g;
    c->n_made = 0;
    c->wires = arena_push(&cx->scratch, (size_t)g->n_wires + 1, sizeof *c->wires);
    c->made = arena_push(&cx->scratch, (size_t)g->n_nodes + 1, sizeof *c->made);
    if (!c->wires || !c->made) return ctx_fail(cx, EVLA_E_NOMEM, "graph %s", g->name);
    int32_t st = graph_new(cx, c->to, g->name, g->where, &c->out);
    if (st >= 0) st = copy_symbols(c);
    for (int32_t i = 0; i < g->n_wires; i++)
        c->wires[i] = -1;
    for (int32_t i = 0; st >= 0 && i < g->n_wires; i++)
        if (g->wires[i].node < 0) st = copy_source(c, i);
    for (int32_t i = 0; st >= 0 && i < g->n_nodes; i++)
        st = copy_node(c, &g->nodes[i]);
    return st;
}

static int32_t copy_outputs(copying *c)
{
    const graph *g = c->g;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < g->n_outputs; i++)
        st = graph_output(c->cx, c->out, g->outputs[i].name, c->wires[g->outputs[i].wire],
                          NULL);
    return st < 0 ? st : graph_check(c->cx, c->out);
}

static int32_t begin(ctx *cx, const model *m, const quantize_layer *layers, int32_t n,
                     copying *c)
{
    *c = (copying){.cx = cx, .from = m, .layers = layers, .n_layers = n, .is_shared = 1};
    c->of_slot = arena_push(&cx->scratch, (size_t)m->n_weights + 1, sizeof *c->of_slot);
    if (!c->of_slot) return ctx_fail(cx, EVLA_E_NOMEM, "model %s", m->name);
    int32_t st = model_new(cx, m->name, &c->to);
    if (st >= 0) c->to->attrs = m->attrs, c->to->n_attrs = m->n_attrs;
    return st;
}

static int32_t end(copying *c, int32_t st, arena_place mark, model **out)
{
    if (st < 0)
        model_drop(c->to);
    else
        *out = c->to;
    arena_reset(&c->cx->scratch, mark);
    return st;
}

/* ---- public ---- */

int32_t quantize_check_names(ctx *cx, const char *without)
{
    while (without && *without) {
        size_t n = strcspn(without, " ,|");
        if (n && strncmp(without, "quantize", n > 8 ? n : 8) != 0 &&
            strncmp(without, "share", n > 5 ? n : 5) != 0)
            return ctx_fail(cx, EVLA_E_ARG,
                            "no rewrite of a model is called \"%.*s\"; want quantize or "
                            "share",
                            n < 40 ? (int)n : 40, without);
        without += n + (without[n] != 0);
    }
    return 0;
}

int32_t quantize_apply(ctx *cx, const model *m, const quantize_layer *layers, int32_t n,
                       const char *without, model **out)
{
    copying c;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = quantize_check_names(cx, without);
    if (st >= 0) st = begin(cx, m, layers, n, &c);
    if (st < 0) return arena_reset(&cx->scratch, mark), st;
    c.is_shared = !list_has(without, "share");
    for (int32_t i = 0; i < n && !list_has(without, "quantize"); i++)
        if (layers[i].is_on) c.of_slot[layers[i].slot] = &layers[i];
    for (int32_t i = 0; st >= 0 && i < m->n_graphs; i++) {
        st = copy_graph(&c, m->graphs[i]);
        if (st >= 0) st = copy_outputs(&c);
    }
    return end(&c, st, mark, out);
}

/* Outputs of the graph at hand for what its linears read. */
static int32_t probe_graph(copying *c, int32_t n, int32_t *n_probes)
{
    char name[40];
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < n; i++)
        for (int32_t k = 0, at = 0; st >= 0 && k < c->g->n_nodes; k++) {
            const node *nd = &c->g->nodes[k];
            if (nd->n_in < 2 || !reads(c->g, nd->in[1], c->layers[i].slot) ||
                reading_of(nd, 1) != READ_LINEAR)
                continue;
            snprintf(name, sizeof name, QUANTIZE_PROBE "%d.%d", i, at++);
            st = graph_output(c->cx, c->out, name, c->wires[nd->in[0]], NULL);
            *n_probes += st >= 0;
        }
    return st;
}

int32_t quantize_probe(ctx *cx, const model *m, const char *graph_name,
                       const quantize_layer *layers, int32_t n, model **out)
{
    graph *g = NULL;
    copying c;
    int32_t n_probes = 0, st = 0;
    *out = NULL;
    arena_place mark = arena_mark(&cx->scratch);
    if (graph_name) st = model_want_graph(cx, m, graph_name, &g);
    if (st >= 0) st = begin(cx, m, layers, n, &c);
    if (st < 0) return arena_reset(&cx->scratch, mark), st;
    for (int32_t i = 0; st >= 0 && i < m->n_graphs; i++) {
        if (g && m->graphs[i] != g) continue;
        st = copy_graph(&c, m->graphs[i]);
        if (st >= 0 && !g) st = copy_outputs(&c);
        if (st >= 0) st = probe_graph(&c, n, &n_probes);
    }
    if (st >= 0 && !n_probes) {
        model_drop(c.to);
        arena_reset(&cx->scratch, mark);
        return 0;
    }
    return end(&c, st, mark, out);
}

/* One of the two graphs of a pair. */
static int32_t pair_graph(copying *c, const quantize_layer *l, const char *bias, int coded)
{
    ctx *cx = c->cx;
    char type[40] = "i32[B]";
    int32_t x, y, b = -1;
    graph_arg args[3] = {{0}};
    const weight_info *w = &c->from->weights[l->slot];
    if (l->n_linears)
        snprintf(type, sizeof type, "f32[B,%lld]", (long long)w->type.shape[1]);
    c->n_made = 0;
    int32_t st = graph_new(cx, c->to, coded ? "codes" : "f32", NULL, &c->out);
    if (st >= 0) st = graph_input(cx, c->out, "x", type, NULL, &x);
    if (st >= 0 && bias) {
        const weight_info *from = &c->from->weights[model_weight(c->from, bias)];
        st = weight_with(c, bias, &from->type, from->data, NULL, &b);
    }
    if (st >= 0 && coded)
        st = l->n_linears ? coded_linear(c, l, NULL, x, b, &y)
                          : coded_rows(c, l, NULL, x, &y);
    else if (st >= 0) {
        int32_t at; /* under another name, since codes may have its own */
        st = weight_with(c, "before/f32", &w->type, w->data, NULL, &at);
        args[0].wire = l->n_linears ? x : at;
        args[1].wire = l->n_linears ? at : x;
        args[2].wire = b;
        if (st >= 0)
            st = add(c, l->n_linears ? "linear" : "embedding", args, b < 0 ? 2 : 3, NULL,
                     NULL, &y, NULL);
    }
    return st < 0 ? st : graph_output(cx, c->out, "y", y, NULL);
}

int32_t quantize_pair(ctx *cx, const model *m, const quantize_layer *l, const char *bias,
                      model **out)
{
    copying c;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = begin(cx, m, l, 1, &c);
    if (st < 0) return arena_reset(&cx->scratch, mark), st;
    c.made = arena_push(&cx->scratch, 1, sizeof *c.made);
    if (!c.made) st = ctx_fail(cx, EVLA_E_NOMEM, "weight %s", l->name);
    for (int coded = 0; st >= 0 && coded < 2; coded++)
        st = pair_graph(&c, l, bias, coded);
    return end(&c, st, mark, out);
}

const char *quantize_bias(const model *m, const quantize_layer *l)
{
    const char *found = NULL;
    for (int32_t i = 0; i < m->n_graphs; i++)
        for (int32_t k = 0; k < m->graphs[i]->n_nodes; k++) {
            const graph *g = m->graphs[i];
            const node *n = &g->nodes[k];
            if (n->n_in < 2 || !reads(g, n->in[1], l->slot) ||
                reading_of(n, 1) != READ_LINEAR)
                continue;
            const wire *b = n->n_in > 2 && n->in[2] >= 0 ? &g->wires[n->in[2]] : NULL;
            if (!b || b->kind != WIRE_WEIGHT || (found && strcmp(found, b->name) != 0))
                return NULL;
            found = b->name;
        }
    return found;
}
