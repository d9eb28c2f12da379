/*
 * graph.c -- declaring a graph: inputs, weights, states, constants, nodes, outputs. See
 * graph.h.
 */
#include "graph.h"
#include "../registry.h"
#include "numbers.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small things ---- */

__attribute__((format(printf, 4, 5))) static int32_t
fault(ctx *cx, int32_t code, const char *where, const char *format, ...)
{
    char what[800];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return ctx_fail(cx, code, "%s%s%s", where ? where : "", where ? ": " : "", what);
}

static int32_t no_room(ctx *cx, const graph *g)
{
    return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: %d wires, %d nodes", g->name, g->n_wires,
                    g->n_nodes);
}

/* Room for one more entry in a list inside the model's arena. */
static int room(model *m, void *list, int32_t n, int32_t *cap, size_t each)
{
    void **p = list;
    if (n < *cap) return 1;
    int32_t wide = *cap ? *cap * 2 : 8;
    void *more = arena_push(&m->mem, (size_t)wide, each);
    if (!more) return 0;
    if (n) memcpy(more, *p, (size_t)n * each);
    *p = more;
    *cap = wide;
    return 1;
}

/* A copy, NULL for NULL; *good turns 0 when memory is out. */
static const char *keep(model *m, const char *text, int *good)
{
    const char *p = text ? arena_copy(&m->mem, text) : NULL;
    if (text && !p) *good = 0;
    return p;
}

static int is_name(const char *s)
{
    if (!s || !*s || strlen(s) > 120) return 0;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == 127) return 0;
    return 1;
}

static int32_t check_name(ctx *cx, const graph *g, const char *what, const char *name,
                          const char *where)
{
    if (is_name(name)) return 0;
    return fault(cx, EVLA_E_ARG, where,
                 "graph %s: %s name \"%.40s\": want 1 to 120 letters without blanks or "
                 "quotes",
                 g->name, what, name ? name : "");
}

static const char *kind_name(wire_kind k)
{
    static const char *const names[] = {"input", "weight", "state", "constant", "result"};
    return names[k];
}

/* Inputs, weights and states share one set of names within a graph. */
static const wire *taken(const graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n_wires; i++)
        if (g->wires[i].kind <= WIRE_STATE && g->wires[i].node < 0 &&
            !strcmp(g->wires[i].name, name))
            return &g->wires[i];
    return NULL;
}

static int32_t refuse_taken(ctx *cx, const graph *g, const wire *w, const char *where)
{
    return fault(cx, EVLA_E_EXISTS, where,
                 "graph %s: the name \"%s\" is taken by %s %s%s%s; choose another", g->name,
                 w->name, w->kind == WIRE_INPUT ? "an" : "a", kind_name(w->kind),
                 w->where ? " declared at " : "", w->where ? w->where : "");
}

static int32_t add_wire(ctx *cx, graph *g, const wire *w, int32_t *out)
{
    if (!room(g->of, &g->wires, g->n_wires, &g->cap_wires, sizeof *g->wires))
        return no_room(cx, g);
    g->wires[g->n_wires] = *w;
    *out = g->n_wires++;
    return 0;
}

/* ---- symbols ---- */

static symbol_info *find_symbol(const graph *g, const char *name, size_t n)
{
    for (int32_t i = 0; i < g->n_symbols; i++)
        if (strlen(g->symbols[i].name) == n && !memcmp(g->symbols[i].name, name, n))
            return &g->symbols[i];
    return NULL;
}

static int32_t add_symbol(ctx *cx, graph *g, const char *name, size_t n, const char *where)
{
    if (g->n_symbols == TENSOR_MAX_SYMBOLS)
        return fault(cx, EVLA_E_LIMIT, where, "graph %s: more than %d symbols", g->name,
                     TENSOR_MAX_SYMBOLS);
    char *kept = arena_copy_n(&g->of->mem, name, n);
    if (!kept ||
        !room(g->of, &g->symbols, g->n_symbols, &g->cap_symbols, sizeof(symbol_info)))
        return no_room(cx, g);
    g->symbols[g->n_symbols++] = (symbol_info){.name = kept};
    return 0;
}

/* "bucket{1,32,512}" and "upto 4096", ascending whole numbers. */
static int read_rule(const char *rule, symbol_info *s)
{
    if (!rule || !strcmp(rule, "exact")) return s->rule = SYMBOL_EXACT, 1;
    int is_upto = !strncmp(rule, "upto", 4);
    if (!is_upto && strncmp(rule, "bucket", 6) != 0) return 0;
    s->rule = is_upto ? SYMBOL_UPTO : SYMBOL_BUCKET;
    const char *p = rule + (is_upto ? 4 : 6);
    int64_t before = 0;
    while (*p == ' ' || *p == '{')
        p++;
    while (isdigit((unsigned char)*p)) {
        char *end;
        int64_t v = strtoll(p, &end, 10);
        if (v <= before || v > (int64_t)1 << 40 || s->n_bucket == 16) return 0;
        s->bucket[s->n_bucket++] = before = v;
        for (p = end; *p == ' ' || *p == ',' || *p == '}';)
            p++;
    }
    return !*p && s->n_bucket >= 1 && (!is_upto || s->n_bucket == 1);
}

int32_t graph_symbol(ctx *cx, graph *g, const char *name, const char *rule,
                     const char *where)
{
    size_t n = name ? strlen(name) : 0;
    int good = n > 0 && n <= 32 && isupper((unsigned char)name[0]);
    for (size_t i = 0; good && i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_') good = 0;
    if (!good)
        return fault(cx, EVLA_E_ARG, where,
                     "graph %s: symbol \"%.40s\": want a capital letter, then letters and "
                     "digits",
                     g->name, name ? name : "");
    symbol_info read = {0};
    if (!read_rule(rule, &read))
        return fault(cx, EVLA_E_ARG, where,
                     "graph %s: symbol %s: rule \"%.60s\": want \"exact\", "
                     "\"bucket{1,32,512}\" (ascending, at most 16) or \"upto 4096\"",
                     g->name, name, rule);
    symbol_info *s = find_symbol(g, name, n);
    if (s && (s->is_declared || s->n_bucket))
        return fault(cx, EVLA_E_EXISTS, where, "graph %s: the symbol %s is declared twice",
                     g->name, name);
    if (!s) {
        int32_t st = add_symbol(cx, g, name, n, where);
        if (st < 0) return st;
        s = &g->symbols[g->n_symbols - 1];
    }
    read.name = s->name;
    read.is_declared = 1;
    *s = read;
    return 0;
}

typedef struct finder {
    ctx *cx;
    graph *g;
    const char *where;
} finder;

static int32_t found_symbol(void *to, const char *name, size_t n)
{
    finder *f = to;
    return find_symbol(f->g, name, n) ? 0 : add_symbol(f->cx, f->g, name, n, f->where);
}

/* The type's text can be read; its symbols become known when `defines`. */
static int32_t check_type(ctx *cx, graph *g, const char *what, const char *name,
                          const char *type, const char *where, int defines)
{
    evla_type t;
    int32_t st = type_parse(cx, type, NULL, &t);
    if (st >= 0 && defines)
        st = type_symbols(cx, type, found_symbol, &(finder){cx, g, where});
    if (st < 0)
        ctx_prefix(cx, "%s%sgraph %s: %s %s", where ? where : "", where ? ": " : "",
                   g->name, what, name);
    return st;
}

/* ---- inputs, weights, states, constants ---- */

int32_t graph_new(ctx *cx, model *m, const char *name, const char *where, graph **out)
{
    if (!is_name(name) || strchr(name, '/'))
        return fault(
            cx, EVLA_E_ARG, where,
            "graph name \"%.40s\": want 1 to 120 letters without blanks, quotes or "
            "slashes",
            name ? name : "");
    if (model_graph(m, name))
        return fault(cx, EVLA_E_EXISTS, where, "model %s: the graph %s is declared twice",
                     m->name, name);
    int good = 1;
    graph *g = arena_push(&m->mem, 1, sizeof *g);
    const char *own = keep(m, name, &good), *at = keep(m, where, &good);
    if (!g || !good || !room(m, &m->graphs, m->n_graphs, &m->cap_graphs, sizeof *m->graphs))
        return ctx_fail(cx, EVLA_E_NOMEM, "graph %s", name);
    *g = (graph){.of = m, .name = own, .where = at};
    m->graphs[m->n_graphs++] = g;
    *out = g;
    return 0;
}

int32_t graph_input(ctx *cx, graph *g, const char *name, const char *type,
                    const char *where, int32_t *out)
{
    int32_t st;
    int good = 1;
    const wire *w;
    if ((st = check_name(cx, g, "input", name, where)) < 0) return st;
    if ((w = taken(g, name))) return refuse_taken(cx, g, w, where);
    if ((st = check_type(cx, g, "input", name, type, where, 1)) < 0) return st;
    wire in = {.kind = WIRE_INPUT, .slot = g->n_inputs, .node = -1};
    in.name = keep(g->of, name, &good);
    in.type = keep(g->of, type, &good);
    in.where = keep(g->of, where, &good);
    if (!good || !room(g->of, &g->inputs, g->n_inputs, &g->cap_inputs, sizeof(int32_t)))
        return no_room(cx, g);
    if ((st = add_wire(cx, g, &in, out)) < 0) return st;
    g->inputs[g->n_inputs++] = *out;
    return 0;
}

static int differ(const char *a, const char *b) { return a && b && strcmp(a, b) != 0; }

int32_t graph_weight(ctx *cx, graph *g, const char *name, const char *type,
                     const char *init, const char *where, int32_t *out)
{
    model *m = g->of;
    int32_t st;
    int good = 1;
    if ((st = check_name(cx, g, "weight", name, where)) < 0) return st;
    const wire *w = taken(g, name);
    if (w && w->kind != WIRE_WEIGHT) return refuse_taken(cx, g, w, where);
    int is_open = type && *type == '[';
    if (is_open) type = arena_text(&m->mem, "f32%s", type);
    if (type && (st = check_type(cx, g, "weight", name, type, where, 0)) < 0) return st;
    int32_t slot = model_weight(m, name);
    if (slot < 0) {
        weight_info fresh = {.name = keep(m, name, &good), .type = {.rank = -1}};
        fresh.where = keep(m, where, &good);
        if (!good || !room(m, &m->weights, m->n_weights, &m->cap_weights, sizeof fresh))
            return no_room(cx, g);
        slot = m->n_weights;
        m->weights[m->n_weights++] = fresh;
    }
    weight_info *have = &m->weights[slot];
    if (differ(type, have->type_text) || differ(init, have->init))
        return fault(
            cx, EVLA_E_EXISTS, where,
            "weight %s: is %s%s%s here, but %s%s%s where it was declared before%s%s", name,
            type ? type : "untyped", init ? ", init " : "", init ? init : "",
            have->type_text ? have->type_text : "untyped", have->init ? ", init " : "",
            have->init ? have->init : "", have->where ? ", at " : "",
            have->where ? have->where : "");
    if (type && !have->type_text) {
        have->type_text = keep(m, type, &good);
        have->is_open = is_open;
    }
    if (init && !have->init) have->init = keep(m, init, &good);
    if (!good) return no_room(cx, g);
    if (w) {
        *out = (int32_t)(w - g->wires);
        return 0;
    }
    wire fresh = {.kind = WIRE_WEIGHT, .slot = slot, .name = have->name, .node = -1};
    fresh.where = keep(m, where, &good);
    return good ? add_wire(cx, g, &fresh, out) : no_room(cx, g);
}

int32_t graph_state(ctx *cx, graph *g, const char *name, const char *type, const char *init,
                    const char *where, int32_t *out)
{
    model *m = g->of;
    int32_t st;
    int good = 1;
    const wire *w;
    if ((st = check_name(cx, g, "state", name, where)) < 0) return st;
    if ((w = taken(g, name))) return refuse_taken(cx, g, w, where);
    if ((st = check_type(cx, g, "state", name, type, where, 1)) < 0) return st;
    int32_t slot = model_state(m, name);
    if (slot < 0) {
        state_info fresh = {.name = keep(m, name, &good), .type = keep(m, type, &good)};
        fresh.init = keep(m, init, &good);
        fresh.where = keep(m, where, &good);
        if (!good || !room(m, &m->states, m->n_states, &m->cap_states, sizeof fresh))
            return no_room(cx, g);
        slot = m->n_states;
        m->states[m->n_states++] = fresh;
    }
    const state_info *have = &m->states[slot];
    if (differ(type, have->type) || differ(init, have->init))
        return fault(cx, EVLA_E_EXISTS, where,
                     "state %s: is %s here, but %s where it was declared before%s%s", name,
                     type, have->type, have->where ? ", at " : "",
                     have->where ? have->where : "");
    wire fresh = {.kind = WIRE_STATE,
                  .slot = slot,
                  .name = have->name,
                  .type = have->type,
                  .node = -1};
    fresh.where = keep(m, where, &good);
    return good ? add_wire(cx, g, &fresh, out) : no_room(cx, g);
}

int32_t graph_const(ctx *cx, graph *g, const evla_type *type, const void *data,
                    const char *where, int32_t *out)
{
    int64_t bytes = type->rank < 0 ? -1 : type_bytes(cx->reg, type);
    if (bytes < 0)
        return fault(cx, EVLA_E_SHAPE, where, "graph %s: a constant has no whole size",
                     g->name);
    int good = 1;
    wire w = {.kind = WIRE_CONST, .slot = -1, .node = -1};
    void *own = arena_push_aligned(&g->of->mem, bytes ? (size_t)bytes : 1, 1, 64);
    w.name = arena_text(&g->of->mem, "const.%d", g->n_wires);
    w.type = keep(g->of, type_text(cx->reg, &g->of->mem, type), &good);
    w.where = keep(g->of, where, &good);
    if (!own || !w.name || !good) return no_room(cx, g);
    if (bytes) memcpy(own, data, (size_t)bytes);
    w.data = own;
    return add_wire(cx, g, &w, out);
}

int32_t graph_const_value(ctx *cx, graph *g, const char *type, const value *v,
                          const char *where, int32_t *out)
{
    evla_type t;
    int32_t st = type_parse(cx, type, &(symbols){0}, &t);
    if (st < 0) {
        ctx_prefix(cx, "%s%sgraph %s: constant", where ? where : "", where ? ": " : "",
                   g->name);
        return st;
    }
    int64_t bytes = type_bytes(cx->reg, &t), at = 0;
    arena_place mark = arena_mark(&cx->scratch);
    char *data = bytes < 0 || bytes > 1 << 28
                     ? NULL
                     : arena_push(&cx->scratch, (size_t)bytes + 1, 1);
    int good = data && numbers_read(v, &t, data, &at);
    if (!data)
        st = fault(cx, EVLA_E_NOMEM, where, "graph %s: a constant of type %s", g->name,
                   type);
    if (st >= 0 && !good)
        st = fault(cx, EVLA_E_ARG, where,
                   "graph %s: a constant of type %s: want one number, or nested lists of "
                   "just that shape whose numbers fit; element %lld does not",
                   g->name, type, (long long)at);
    if (st >= 0) st = graph_const(cx, g, &t, data, where, out);
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- nodes ---- */

/* Puts the arguments where the operator expects them. */
static int32_t place_args(ctx *cx, const graph *g, node *nd, const graph_arg *args,
                          int32_t n_args)
{
    const evla_op *op = op_of(nd->op);
    const char *name = nd->op->name;
    op_port ports[EVLA_MAX_PORTS];
    int32_t n = op_ports(op->inputs, ports);
    if (n < 0)
        return fault(cx, EVLA_E_PLUGIN, nd->where,
                     "operator %s: its inputs \"%.80s\" cannot be read", name, op->inputs);
    for (int32_t i = 0; i < EVLA_MAX_PORTS; i++)
        nd->in[i] = WIRE_ABSENT;
    int many = n && ports[n - 1].variadic;
    nd->n_in = many ? n - 1 : n;
    for (int32_t i = 0, next = 0; i < n_args; i++) {
        int32_t at = next;
        if (args[i].name) {
            for (at = 0; at < n; at++)
                if ((size_t)ports[at].n == strlen(args[i].name) &&
                    !memcmp(ports[at].name, args[i].name, (size_t)ports[at].n))
                    break;
            if (at == n)
                return fault(cx, EVLA_E_ARG, nd->where,
                             "%s: has no input \"%.40s\"; its inputs are: %s", nd->label,
                             args[i].name, op->inputs);
            if (many && at == n - 1) at = nd->n_in;
        } else
            next++;
        if (at >= (many ? EVLA_MAX_PORTS : n))
            return fault(cx, EVLA_E_ARG, nd->where,
                         "%s: %d inputs given, %s takes at most %d: %s", nd->label, n_args,
                         name, many ? EVLA_MAX_PORTS : n, op->inputs);
        if (args[i].wire < 0 || args[i].wire >= g->n_wires)
            return fault(cx, EVLA_E_ARG, nd->where, "%s: input %d is no value of graph %s",
                         nd->label, i + 1, g->name);
        if (nd->in[at] != WIRE_ABSENT)
            return fault(cx, EVLA_E_ARG, nd->where, "%s: input \"%.*s\" is given twice",
                         nd->label, ports[at < n ? at : n - 1].n,
                         ports[at < n ? at : n - 1].name);
        nd->in[at] = args[i].wire;
        if (at >= nd->n_in) nd->n_in = at + 1;
    }
    for (int32_t i = 0; i < (many ? n - 1 : n); i++)
        if (nd->in[i] == WIRE_ABSENT && !ports[i].optional)
            return fault(cx, EVLA_E_ARG, nd->where,
                         "%s: input \"%.*s\" is missing; %s wants: %s", nd->label,
                         ports[i].n, ports[i].name, name, op->inputs);
    if (many && nd->n_in < n)
        return fault(cx, EVLA_E_ARG, nd->where, "%s: wants at least one of \"%.*s\"",
                     nd->label, ports[n - 1].n, ports[n - 1].name);
    return 0;
}

/* A node that writes: its first inputs are the newest versions of states. */
static int32_t check_write(ctx *cx, graph *g, const node *nd, int32_t k)
{
    static const char *const place[] = {"first", "second", "third", "fourth"};
    if (k >= nd->n_in || nd->in[k] < 0)
        return fault(cx, EVLA_E_PLUGIN, nd->where,
                     "%s: operator %s writes more inputs than it has", nd->label,
                     nd->op->name);
    const wire *w = &g->wires[nd->in[k]];
    if (w->kind != WIRE_STATE)
        return fault(cx, EVLA_E_ARG, nd->where,
                     "%s: writes its %s input, which must be a state; %s is %s %s",
                     nd->label, k < 4 ? place[k] : "next", w->name,
                     w->kind == WIRE_INPUT ? "an" : "a", kind_name(w->kind));
    for (int32_t i = 0; i <= g->n_nodes; i++) {
        const node *by = i < g->n_nodes ? &g->nodes[i] : nd;
        int32_t n = i < g->n_nodes ? op_writes(op_of(by->op)) : k;
        for (int32_t j = 0; j < n; j++)
            if (by->in[j] == nd->in[k])
                return fault(cx, EVLA_E_STATE, nd->where,
                             "%s: this version of the state %s was already written by %s; "
                             "write what that returned",
                             nd->label, g->of->states[w->slot].name, by->label);
    }
    return 0;
}

int32_t graph_add(ctx *cx, graph *g, const char *op, const graph_arg *args, int32_t n_args,
                  const value *params, const char *where, int32_t *out)
{
    model *m = g->of;
    int good = 1;
    node nd = {.op = registry_want(cx, EVLA_OP, op)};
    if (!nd.op) {
        ctx_prefix(cx, "%s%sgraph %s", where ? where : "", where ? ": " : "", g->name);
        return cx->code;
    }
    nd.label = arena_text(&m->mem, "%s/%s.%d", g->name, op, g->n_nodes);
    nd.where = keep(m, where, &good);
    if (!nd.label || !good) return no_room(cx, g);
    int32_t st = place_args(cx, g, &nd, args, n_args);
    if (st < 0) return st;
    int32_t writes = op_writes(op_of(nd.op));
    for (int32_t i = 0; i < writes; i++)
        if ((st = check_write(cx, g, &nd, i)) < 0) return st;
    op_port ports[EVLA_MAX_PORTS];
    nd.n_out = op_ports(op_of(nd.op)->outputs, ports);
    if (nd.n_out < 1 || nd.n_out < writes)
        return fault(cx, EVLA_E_PLUGIN, where,
                     "operator %s: its outputs \"%.80s\" cannot "
                     "be read",
                     op, op_of(nd.op)->outputs);

    arena_place mark = arena_mark(&cx->scratch);
    const void *filled;
    param_site site = {.where = where, .what = nd.label, .lenient = 1};
    st = param_fill_item(cx, &cx->scratch, &site, nd.op, params, &filled);
    arena_reset(&cx->scratch, mark);
    if (st < 0) return st;
    nd.given = (value){.kind = VALUE_TABLE};
    if (params && params->kind == VALUE_TABLE && value_copy(&m->mem, params, &nd.given) < 0)
        return no_room(cx, g);

    for (int32_t i = 0; i < nd.n_out; i++) {
        wire w = {.kind = WIRE_RESULT, .slot = -1, .node = g->n_nodes, .port = i};
        if (i < writes) {
            w.kind = WIRE_STATE;
            w.slot = g->wires[nd.in[i]].slot;
        }
        w.where = nd.where;
        w.name = nd.n_out == 1
                     ? nd.label + strlen(g->name) + 1
                     : arena_text(&m->mem, "%s.%.*s", nd.label + strlen(g->name) + 1,
                                  ports[i].n, ports[i].name);
        if (!w.name) return no_room(cx, g);
        if ((st = add_wire(cx, g, &w, &nd.out[i])) < 0) return st;
    }
    if (!room(m, &g->nodes, g->n_nodes, &g->cap_nodes, sizeof nd)) return no_room(cx, g);
    g->nodes[g->n_nodes++] = nd;
    *out = nd.out[0];
    return 0;
}

int32_t graph_output(ctx *cx, graph *g, const char *name, int32_t w, const char *where)
{
    int32_t st = check_name(cx, g, "output", name, where);
    int good = 1;
    if (st < 0) return st;
    if (w < 0 || w >= g->n_wires)
        return fault(cx, EVLA_E_ARG, where, "graph %s: output %s is no value of this graph",
                     g->name, name);
    for (int32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name))
            return fault(cx, EVLA_E_EXISTS, where,
                         "graph %s: the output %s is declared twice", g->name, name);
    if (!room(g->of, &g->outputs, g->n_outputs, &g->cap_outputs, sizeof *g->outputs))
        return no_room(cx, g);
    g->outputs[g->n_outputs] = (output_info){keep(g->of, name, &good), w};
    if (!good) return no_room(cx, g);
    g->n_outputs++;
    return 0;
}

/* ---- the whole ---- */

typedef struct origin {
    ctx *cx;
    const graph *g;
    const char *what, *name, *where;
} origin;

static int32_t has_origin(void *to, const char *name, size_t n)
{
    origin *o = to;
    if (find_symbol(o->g, name, n)) return 0;
    return fault(
        o->cx, EVLA_E_MISSING, o->where,
        "graph %s: %s %s: the symbol %.*s stands in no input's or state's type and "
        "was not declared",
        o->g->name, o->what, o->name, (int)n, name);
}

int32_t graph_check(ctx *cx, const graph *g)
{
    int writes = 0;
    for (int32_t i = 0; i < g->n_nodes; i++)
        if (op_of(g->nodes[i].op)->effect != EVLA_PURE) writes = 1;
    if (!g->n_outputs && !writes)
        return fault(cx, EVLA_E_ARG, g->where,
                     "graph %s: has no output and writes no state, so it would compute "
                     "nothing",
                     g->name);
    for (int32_t i = 0; i < g->n_wires; i++) {
        const wire *w = &g->wires[i];
        if (w->kind != WIRE_WEIGHT || !g->of->weights[w->slot].type_text) continue;
        origin o = {cx, g, "weight", w->name, w->where};
        int32_t st = type_symbols(cx, g->of->weights[w->slot].type_text, has_origin, &o);
        if (st < 0) return st;
    }
    return 0;
}
