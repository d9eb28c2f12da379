/*
 * save.c -- a model as one file. See save.h.
 */
#include "save.h"
#include "../registry.h"
#include "bundle.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "evla.model";

/* ---- writing: values in cx->scratch ---- */

typedef struct writer {
    ctx *cx;
    arena *a;
    const graph *g;
    bundle_part *parts;
    int32_t n_parts;
    int32_t *number; /* of a graph's constants, by wire */
    int failed;
} writer;

static value *new_items(writer *w, int32_t n)
{
    value *v = arena_push(w->a, (size_t)n + 1, sizeof *v);
    if (!v) w->failed = 1;
    return v;
}

static value list(value *items, int32_t n)
{
    return (value){.kind = VALUE_TABLE, .n_items = items ? n : 0, .as.items = items};
}

static value text_or_nil(const char *s) { return s ? value_text(s) : (value){0}; }

static value words(writer *w, const char *a, const char *b, const char *c, int32_t n)
{
    value *v = new_items(w, 3);
    if (!v) return (value){0};
    v[0] = text_or_nil(a);
    v[1] = text_or_nil(b);
    v[2] = text_or_nil(c);
    return list(v, n);
}

/* Names with values; names are ours. */
static value table(writer *w, const value_pair *pairs, int32_t n)
{
    value v = value_table(w->a, pairs, n);
    if (v.kind != VALUE_TABLE) w->failed = 1;
    return v;
}

static const char *wire_id(writer *w, int32_t i)
{
    const wire *x = &w->g->wires[i];
    const char *id = NULL;
    if (x->node >= 0)
        id = x->port ? arena_text(w->a, "n%d:%d", x->node, x->port)
                     : arena_text(w->a, "n%d", x->node);
    else if (x->kind == WIRE_CONST)
        id = arena_text(w->a, "c:%d", w->number[i]);
    else
        id = arena_text(w->a, "%c:%s",
                        x->kind == WIRE_INPUT    ? 'i'
                        : x->kind == WIRE_WEIGHT ? 'w'
                                                 : 's',
                        x->name);
    if (!id) w->failed = 1;
    return id ? id : "";
}

static const char *rule_text(writer *w, const symbol_info *s)
{
    if (s->rule == SYMBOL_EXACT) return "exact";
    if (s->rule == SYMBOL_UPTO)
        return arena_text(w->a, "upto %lld", (long long)s->bucket[0]);
    const char *t = "bucket{";
    for (int32_t i = 0; t && i < s->n_bucket; i++)
        t = arena_text(w->a, "%s%s%lld", t, i ? "," : "", (long long)s->bucket[i]);
    return t ? arena_text(w->a, "%s}", t) : NULL;
}

static value node_value(writer *w, int32_t i)
{
    const node *n = &w->g->nodes[i];
    value *in = new_items(w, n->n_in);
    for (int32_t k = 0; in && k < n->n_in; k++)
        in[k] = n->in[k] < 0 ? (value){0} : value_text(wire_id(w, n->in[k]));
    value_pair pairs[] = {
        {"id", value_text(arena_text(w->a, "n%d", i))},
        {"in", list(in, n->n_in)},
        {"op", value_text(n->op->name)},
        {"params", n->given},
    };
    return table(w, pairs, 4);
}

static value graph_value(writer *w)
{
    const graph *g = w->g;
    value *rows[6];
    int32_t n[6] = {0};
    int32_t most = g->n_wires + g->n_nodes + g->n_outputs + g->n_symbols;
    for (int i = 0; i < 6; i++)
        if (!(rows[i] = new_items(w, most))) return (value){0};
    w->number = arena_push(w->a, (size_t)g->n_wires + 1, sizeof *w->number);
    if (!w->number) return w->failed = 1, (value){0};
    for (int32_t i = 0, next = 0; i < g->n_wires; i++)
        if (g->wires[i].kind == WIRE_CONST) w->number[i] = next++;
    enum { SYMBOLS, INPUTS, STATES, WEIGHTS, CONSTS, NODES };
    for (int32_t i = 0; i < g->n_symbols; i++)
        rows[SYMBOLS][n[SYMBOLS]++] =
            words(w, g->symbols[i].name, rule_text(w, &g->symbols[i]), NULL, 2);
    for (int32_t i = 0; i < g->n_wires; i++) {
        const wire *x = &g->wires[i];
        if (x->node >= 0) continue;
        if (x->kind == WIRE_INPUT)
            rows[INPUTS][n[INPUTS]++] = words(w, x->name, x->type, NULL, 2);
        else if (x->kind == WIRE_STATE)
            rows[STATES][n[STATES]++] =
                words(w, x->name, x->type, g->of->states[x->slot].init, 3);
        else if (x->kind == WIRE_WEIGHT)
            rows[WEIGHTS][n[WEIGHTS]++] = value_text(x->name);
        else {
            rows[CONSTS][n[CONSTS]++] = value_text(wire_id(w, i) + 2);
            bundle_part *part = &w->parts[w->n_parts++];
            part->name = arena_text(w->a, "c:%s:%d", g->name, w->number[i]);
            part->data = x->data;
            if (!part->name || type_parse(w->cx, x->type, &(symbols){0}, &part->type) < 0)
                w->failed = 1;
        }
    }
    for (int32_t i = 0; i < g->n_nodes; i++)
        rows[NODES][n[NODES]++] = node_value(w, i);
    value *outputs = new_items(w, g->n_outputs);
    for (int32_t i = 0; outputs && i < g->n_outputs; i++)
        outputs[i] = words(w, g->outputs[i].name, wire_id(w, g->outputs[i].wire), NULL, 2);
    value_pair pairs[] = {
        {"consts", list(rows[CONSTS], n[CONSTS])},
        {"inputs", list(rows[INPUTS], n[INPUTS])},
        {"name", value_text(g->name)},
        {"nodes", list(rows[NODES], n[NODES])},
        {"outputs", list(outputs, g->n_outputs)},
        {"states", list(rows[STATES], n[STATES])},
        {"symbols", list(rows[SYMBOLS], n[SYMBOLS])},
        {"weights", list(rows[WEIGHTS], n[WEIGHTS])},
    };
    return table(w, pairs, 8);
}

static int has_ref(const value *v)
{
    if (v->kind == VALUE_REF) return 1;
    if (v->kind != VALUE_TABLE) return 0;
    for (int32_t i = 0; i < v->n_items; i++)
        if (has_ref(&v->as.items[i])) return 1;
    for (int32_t i = 0; i < v->n_pairs; i++)
        if (has_ref(&v->pairs[i].v)) return 1;
    return 0;
}

static int32_t can_save(ctx *cx, const model *m, const char *path)
{
    for (int32_t i = 0; i < m->n_weights; i++)
        if (!m->weights[i].data)
            return ctx_fail(cx, EVLA_E_STATE, "%s: the weight %s has no data to save", path,
                            m->weights[i].name);
    for (int32_t g = 0; g < m->n_graphs; g++)
        for (int32_t i = 0; i < m->graphs[g]->n_nodes; i++)
            if (has_ref(&m->graphs[g]->nodes[i].given))
                return ctx_fail(cx, EVLA_E_ARG,
                                "%s: %s has a parameter that refers to an object of the "
                                "script, which no file can hold",
                                path, m->graphs[g]->nodes[i].label);
    return 0;
}

static int32_t save(ctx *cx, const model *m, const char *path)
{
    writer w = {.cx = cx, .a = &cx->scratch};
    int32_t st = can_save(cx, m, path), n_parts = m->n_weights;
    if (st < 0) return st;
    for (int32_t i = 0; i < m->n_graphs; i++)
        n_parts += m->graphs[i]->n_wires;
    w.parts = arena_push(w.a, (size_t)n_parts + 1, sizeof *w.parts);
    value *graphs = new_items(&w, m->n_graphs);
    if (!w.parts || !graphs) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
    for (int32_t i = 0; i < m->n_weights; i++) {
        w.parts[w.n_parts++] =
            (bundle_part){.name = arena_text(w.a, "w:%s", m->weights[i].name),
                          .type = m->weights[i].type,
                          .data = m->weights[i].data};
        if (!w.parts[w.n_parts - 1].name) w.failed = 1;
    }
    for (int32_t i = 0; i < m->n_graphs; i++) {
        w.g = m->graphs[i];
        graphs[i] = graph_value(&w);
    }
    value_pair pairs[] = {{"graphs", list(graphs, m->n_graphs)},
                          {"name", value_text(m->name)}};
    value head = table(&w, pairs, 2);
    if (w.failed) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
    return bundle_write(cx, path, kind, &head, w.parts, w.n_parts);
}

int32_t save_model(ctx *cx, const model *m, const char *path)
{
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = save(cx, m, path);
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- reading ---- */

typedef struct reader {
    ctx *cx;
    const char *path;
    const bundle *b;
    model *m;
    graph *g;
    const value *nodes;
    int32_t *first; /* a node's first output wire */
    int32_t *n_out;
} reader;

/* What an id in the file stands for. */
typedef struct named {
    const char *id;
    int32_t at; /* wire, or node */
    int is_node;
} named;

__attribute__((format(printf, 2, 3))) static int32_t bad(reader *r, const char *format, ...)
{
    char what[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return ctx_fail(r->cx, EVLA_E_FORMAT, "%s: %s%s%s%s", r->path, r->g ? "graph " : "",
                    r->g ? r->g->name : "", r->g ? ": " : "", what);
}

/* A list under a name; absent is empty. */
static int32_t get_list(reader *r, const value *of, const char *name, const value **out)
{
    static const value none = {.kind = VALUE_TABLE};
    const value *v = value_get(of, name);
    *out = v ? v : &none;
    if ((*out)->kind != VALUE_TABLE || (*out)->n_pairs)
        return bad(r, "\"%s\" should be a list", name);
    return 0;
}

/* Item i of a row as text; NULL when it is null or missing. */
static const char *cell(const value *row, int32_t i)
{
    if (row->kind != VALUE_TABLE || i >= row->n_items) return NULL;
    return row->as.items[i].kind == VALUE_TEXT ? row->as.items[i].as.text : NULL;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const named *)a)->id, ((const named *)b)->id);
}

static int32_t read_symbols(reader *r, const value *from)
{
    const value *rows;
    int32_t st = get_list(r, from, "symbols", &rows);
    for (int32_t i = 0; st >= 0 && i < rows->n_items; i++) {
        const char *name = cell(&rows->as.items[i], 0), *rule = cell(&rows->as.items[i], 1);
        st = name && rule ? graph_symbol(r->cx, r->g, name, rule, r->path)
                          : bad(r, "symbol %d: want [name, rule]", i);
    }
    return st;
}

/* Inputs, states, weights and constants become wires with ids. */
static int32_t read_sources(reader *r, const value *from, named *names, int32_t *n)
{
    const value *inputs, *states, *weights, *consts;
    arena *a = &r->cx->scratch;
    int32_t st, w;
    if ((st = get_list(r, from, "inputs", &inputs)) < 0 ||
        (st = get_list(r, from, "states", &states)) < 0 ||
        (st = get_list(r, from, "weights", &weights)) < 0 ||
        (st = get_list(r, from, "consts", &consts)) < 0)
        return st;
    for (int32_t i = 0; i < inputs->n_items; i++) {
        const char *name = cell(&inputs->as.items[i], 0),
                   *type = cell(&inputs->as.items[i], 1);
        if (!name || !type) return bad(r, "input %d: want [name, type]", i);
        if ((st = graph_input(r->cx, r->g, name, type, r->path, &w)) < 0) return st;
        names[(*n)++] = (named){arena_text(a, "i:%s", name), w, 0};
    }
    for (int32_t i = 0; i < states->n_items; i++) {
        const value *row = &states->as.items[i];
        if (!cell(row, 0) || !cell(row, 1)) return bad(r, "state %d: want [name, type]", i);
        if ((st = graph_state(r->cx, r->g, cell(row, 0), cell(row, 1), cell(row, 2),
                              r->path, &w)) < 0)
            return st;
        names[(*n)++] = (named){arena_text(a, "s:%s", cell(row, 0)), w, 0};
    }
    for (int32_t i = 0; i < weights->n_items; i++) {
        const char *name = cell(weights, i);
        if (!name) return bad(r, "weight %d: want a name", i);
        if ((st = graph_weight(r->cx, r->g, name, NULL, NULL, r->path, &w)) < 0) return st;
        names[(*n)++] = (named){arena_text(a, "w:%s", name), w, 0};
    }
    for (int32_t i = 0; i < consts->n_items; i++) {
        const char *id = cell(consts, i);
        const char *part_name = id ? arena_text(a, "c:%s:%s", r->g->name, id) : NULL;
        const bundle_part *part = part_name ? bundle_find(r->b, part_name) : NULL;
        if (!part)
            return bad(r, "constant %d (%.40s): its part is not there", i, id ? id : "");
        if ((st = graph_const(r->cx, r->g, &part->type, part->data, r->path, &w)) < 0)
            return st;
        names[(*n)++] = (named){arena_text(a, "c:%s", id), w, 0};
    }
    return 0;
}

static const named *find_id(const named *names, int32_t n, const char *id)
{
    named key = {.id = id};
    return n ? bsearch(&key, names, (size_t)n, sizeof key, by_id) : NULL;
}

/* "n3:1": the node and which of its outputs. */
static const named *find_ref(reader *r, const named *names, int32_t n, const char *id,
                             int32_t *port)
{
    const named *found = find_id(names, n, id);
    *port = 0;
    if (found) return found;
    const char *colon = strrchr(id, ':');
    char *end;
    if (!colon || colon == id) return NULL;
    long k = strtol(colon + 1, &end, 10);
    if (*end || end == colon + 1 || k < 0 || k >= EVLA_MAX_PORTS) return NULL;
    char *head = arena_copy_n(&r->cx->scratch, id, (size_t)(colon - id));
    found = head ? find_id(names, n, head) : NULL;
    *port = (int32_t)k;
    return found && found->is_node ? found : NULL;
}

static int32_t add_node(reader *r, const named *names, int32_t n, int32_t i)
{
    const value *nd = &r->nodes->as.items[i], *in = value_get(nd, "in"),
                *params = value_get(nd, "params"), *op = value_get(nd, "op");
    graph_arg args[EVLA_MAX_PORTS];
    int32_t n_args = 0, port;
    op_port ports[EVLA_MAX_PORTS];
    const evla_item *item = registry_want(r->cx, EVLA_OP, op->as.text);
    const char *id = value_get(nd, "id")->as.text;
    if (!item) {
        ctx_prefix(r->cx, "%s: graph %s: node %s", r->path, r->g->name, id);
        return r->cx->code;
    }
    int32_t n_ports = op_ports(op_of(item)->inputs, ports);
    for (int32_t k = 0; k < in->n_items; k++) {
        const char *ref = cell(in, k);
        if (!ref) continue; /* absent */
        const named *found = find_ref(r, names, n, ref, &port);
        if (found->is_node && port >= r->n_out[found->at])
            return bad(r, "node %s: %s has no output %d", id, found->id, port);
        int32_t w = found->is_node ? r->first[found->at] + port : found->at;
        if (k >= EVLA_MAX_PORTS || n_ports < 1)
            return bad(r, "node %s: %d inputs are too many", id, in->n_items);
        /* by name, so that absent ones before it keep their places; variadic ones by
         * position */
        const op_port *p = &ports[k < n_ports ? k : n_ports - 1];
        const char *name = arena_copy_n(&r->cx->scratch, p->name, (size_t)p->n);
        if (k >= n_ports && !p->variadic)
            return bad(r, "node %s: %d inputs are more than %s takes", id, in->n_items,
                       op->as.text);
        args[n_args++] = (graph_arg){name, w};
    }
    char where[200];
    snprintf(where, sizeof where, "%.120s:%.60s", r->path, id);
    int32_t st =
        graph_add(r->cx, r->g, op->as.text, args, n_args, params, where, &r->first[i]);
    if (st >= 0) r->n_out[i] = r->g->nodes[r->g->n_nodes - 1].n_out;
    return st;
}

static int32_t check_node(reader *r, int32_t i)
{
    const value *nd = &r->nodes->as.items[i], *id = value_get(nd, "id"),
                *op = value_get(nd, "op"), *in = value_get(nd, "in"),
                *params = value_get(nd, "params");
    if (!id || id->kind != VALUE_TEXT || !*id->as.text || strlen(id->as.text) > 60 || !op ||
        op->kind != VALUE_TEXT || !in || in->kind != VALUE_TABLE || in->n_pairs ||
        (params && params->kind != VALUE_TABLE))
        return bad(r, "node %d: want {id, op, in = [...], params}", i);
    for (int32_t k = 0; k < in->n_items; k++)
        if (in->as.items[k].kind != VALUE_TEXT && in->as.items[k].kind != VALUE_NIL)
            return bad(r, "node %s: input %d is no name", id->as.text, k);
    return 0;
}

/* The nodes on a cycle, "n0 -> n1 -> n0"; stack holds the path to the one found again. */
static int32_t refuse_cycle(reader *r, const int32_t *stack, int32_t depth, int32_t again)
{
    char path[400] = "";
    int32_t from = depth;
    while (from > 0 && stack[from] != again)
        from--;
    for (int32_t i = from; i <= depth + 1; i++) {
        const char *id =
            value_get(&r->nodes->as.items[i <= depth ? stack[i] : again], "id")->as.text;
        if (strlen(path) + strlen(id) + 8 > sizeof path) {
            strcat(path, " ...");
            break;
        }
        if (i > from) strcat(path, " -> ");
        strcat(path, id);
    }
    return bad(r, "its nodes wait for each other: %s", path);
}

/* Adds nodes so that what they read is there already: depth first, with a stack of our own.
 */
static int32_t read_nodes(reader *r, const named *names, int32_t n)
{
    arena *a = &r->cx->scratch;
    int32_t n_nodes = r->nodes->n_items, st = 0;
    int32_t *stack = arena_push(a, (size_t)n_nodes + 2, sizeof *stack);
    int32_t *at = arena_push(a, (size_t)n_nodes + 2, sizeof *at);
    unsigned char *colour = arena_push(a, (size_t)n_nodes + 1, 1);
    r->first = arena_push(a, (size_t)n_nodes + 1, sizeof *r->first);
    r->n_out = arena_push(a, (size_t)n_nodes + 1, sizeof *r->n_out);
    if (!stack || !at || !colour || !r->first || !r->n_out)
        return ctx_fail(r->cx, EVLA_E_NOMEM, "%s: %d nodes", r->path, n_nodes);
    for (int32_t root = 0; st >= 0 && root < n_nodes; root++) {
        if (colour[root]) continue;
        int32_t depth = 0;
        stack[0] = root;
        at[0] = 0;
        colour[root] = 1;
        while (st >= 0 && depth >= 0) {
            int32_t i = stack[depth], port;
            const value *in = value_get(&r->nodes->as.items[i], "in");
            if (at[depth] == in->n_items) {
                st = add_node(r, names, n, i);
                colour[i] = 2;
                depth--;
                continue;
            }
            const char *ref = cell(in, at[depth]++);
            const named *found = ref ? find_ref(r, names, n, ref, &port) : NULL;
            if (ref && !found)
                st = bad(r, "node %s: reads \"%.60s\", which is not there",
                         value_get(&r->nodes->as.items[i], "id")->as.text, ref);
            if (!found || !found->is_node || colour[found->at] == 2) continue;
            if (colour[found->at] == 1)
                st = refuse_cycle(r, stack, depth, found->at);
            else {
                colour[found->at] = 1;
                stack[++depth] = found->at;
                at[depth] = 0;
            }
        }
    }
    return st;
}

static int32_t read_graph(reader *r, const value *from)
{
    const value *outputs, *sizes[4], *name = value_get(from, "name");
    static const char *const lists[] = {"inputs", "states", "weights", "consts"};
    int32_t st, n = 0, most = 0;
    r->g = NULL;
    if (!name || name->kind != VALUE_TEXT) return bad(r, "a graph has no name");
    if ((st = graph_new(r->cx, r->m, name->as.text, r->path, &r->g)) < 0) return st;
    if ((st = get_list(r, from, "nodes", &r->nodes)) < 0 ||
        (st = get_list(r, from, "outputs", &outputs)) < 0)
        return st;
    for (int i = 0; i < 4; i++) {
        if ((st = get_list(r, from, lists[i], &sizes[i])) < 0) return st;
        most += sizes[i]->n_items;
    }
    most += r->nodes->n_items;
    named *names = arena_push(&r->cx->scratch, (size_t)most + 1, sizeof *names);
    if (!names) return ctx_fail(r->cx, EVLA_E_NOMEM, "%s: %d names", r->path, most);
    if ((st = read_symbols(r, from)) < 0 || (st = read_sources(r, from, names, &n)) < 0)
        return st;
    for (int32_t i = 0; i < r->nodes->n_items; i++) {
        if ((st = check_node(r, i)) < 0) return st;
        names[n++] = (named){value_get(&r->nodes->as.items[i], "id")->as.text, i, 1};
    }
    for (int32_t i = 0; i < n; i++)
        if (!names[i].id) return ctx_fail(r->cx, EVLA_E_NOMEM, "%s: %d names", r->path, n);
    qsort(names, (size_t)n, sizeof *names, by_id);
    for (int32_t i = 1; i < n; i++)
        if (!strcmp(names[i - 1].id, names[i].id))
            return bad(r, "the name \"%.60s\" stands twice", names[i].id);
    if ((st = read_nodes(r, names, n)) < 0) return st;
    for (int32_t i = 0; i < outputs->n_items; i++) {
        const value *row = &outputs->as.items[i];
        int32_t port;
        const named *found = cell(row, 0) && cell(row, 1)
                                 ? find_ref(r, names, n, cell(row, 1), &port)
                                 : NULL;
        if (!found || (found->is_node && port >= r->n_out[found->at]))
            return bad(r, "output %d: want [name, value], with a value that is there", i);
        st = graph_output(r->cx, r->g, cell(row, 0),
                          found->is_node ? r->first[found->at] + port : found->at, r->path);
        if (st < 0) return st;
    }
    return graph_check(r->cx, r->g);
}

static int32_t read_model(ctx *cx, const char *path, const bundle *b, model **out)
{
    reader r = {.cx = cx, .path = path, .b = b};
    const value *name = value_get(&b->head, "name"), *graphs;
    int32_t st = get_list(&r, &b->head, "graphs", &graphs);
    if (st < 0) return st;
    if (!name || name->kind != VALUE_TEXT) return bad(&r, "the model has no name");
    if ((st = model_new(cx, name->as.text, &r.m)) < 0) return st;
    for (int32_t i = 0; st >= 0 && i < graphs->n_items; i++)
        st = read_graph(&r, &graphs->as.items[i]);
    for (int32_t i = 0; st >= 0 && i < r.m->n_weights; i++) {
        const char *part_name = arena_text(&cx->scratch, "w:%s", r.m->weights[i].name);
        const bundle_part *part = part_name ? bundle_find(b, part_name) : NULL;
        r.g = NULL;
        st = part ? model_set_weight(cx, r.m, i, &part->type, part->data, 0)
                  : bad(&r, "the weight %s is not in it", r.m->weights[i].name);
        r.m->weights[i].typed_by = "the file";
    }
    if (st < 0)
        model_drop(r.m);
    else
        *out = r.m;
    return st;
}

int32_t save_read(ctx *cx, const char *path, const void *bytes, size_t n, model **out)
{
    bundle b;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = bundle_read(cx, path, kind, bytes, n, &b);
    if (st >= 0) {
        st = read_model(cx, path, &b, out);
        bundle_close(&b);
    }
    arena_reset(&cx->scratch, mark);
    return st;
}

int32_t save_open(ctx *cx, const char *path, model **out)
{
    bundle b;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = bundle_open(cx, path, kind, &b);
    if (st >= 0) {
        st = read_model(cx, path, &b, out);
        if (st >= 0) { /* the model keeps the map that its weights lie in */
            (*out)->map = b.map;
            (*out)->map_bytes = b.map_bytes;
            b.map = NULL;
        }
        bundle_close(&b);
    }
    arena_reset(&cx->scratch, mark);
    return st;
}
