/*
 * save_read.c -- a saved model back from its file. See save.h.
 */
#include "../registry.h"
#include "bundle.h"
#include "save.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const value *save_packed_row(const bundle *b, const char *weight)
{
    const value *rows = value_get(&b->head, "packed");
    for (int32_t i = 0; rows && i < rows->n_items; i++) {
        const char *name = cell(&rows->as.items[i], 0);
        if (name && !strcmp(name, weight)) return &rows->as.items[i];
    }
    return NULL;
}

int32_t save_take_packed(ctx *cx, const char *path, const value *row, model *m,
                         int32_t slot)
{
    reader r = {.cx = cx, .path = path};
    const char *layout = cell(row, 1), *type = cell(row, 2);
    weight_info *w = &m->weights[slot];
    if (!layout || !type)
        return bad(&r, "packed weight %s: want [name, layout, type]", w->name);
    if (w->type.dtype != EVLA_U8 || w->type.rank != 1)
        return bad(&r, "the weight %s lies in a layout, but not in bytes", w->name);
    w->packed = w->data;
    w->packed_bytes = w->type.shape[0];
    w->data = NULL;
    w->packed_as = arena_copy(&m->mem, layout);
    if (!w->packed_as) return ctx_fail(cx, EVLA_E_NOMEM, "%s: %s", path, w->name);
    int32_t st = type_parse(cx, type, NULL, &w->type);
    if (st < 0) return st;
    if (w->type.rank != 2 || type_bytes(cx->reg, &w->type) < 0)
        return bad(&r, "the weight %s lies in a layout, but is no matrix", w->name);
    m->packs = 1;
    return 0;
}

/* Weights that lie in a layout: what is there besides the bytes. */
static int32_t read_packed(reader *r)
{
    const value *rows;
    int32_t st = get_list(r, &r->b->head, "packed", &rows);
    for (int32_t i = 0; st >= 0 && i < rows->n_items; i++) {
        const value *row = &rows->as.items[i];
        const char *name = cell(row, 0);
        int32_t slot = name ? model_weight(r->m, name) : -1;
        st = slot < 0 ? bad(r, "packed weight %d: want [name, layout, type] of a weight", i)
                      : save_take_packed(r->cx, r->path, row, r->m, slot);
    }
    return st;
}

/* The texts of a list, from its two parts. */
static int32_t read_texts(reader *r, const char *name, evla_attr *a)
{
    arena *s = &r->cx->scratch;
    const char *t_name = arena_text(s, "t:%s", name), *e_name = arena_text(s, "e:%s", name);
    const bundle_part *t = t_name ? bundle_find(r->b, t_name) : NULL;
    const bundle_part *e = e_name ? bundle_find(r->b, e_name) : NULL;
    if (!t || !e || t->type.dtype != EVLA_U8 || t->type.rank != 1 ||
        e->type.dtype != EVLA_I64 || e->type.rank != 1)
        return bad(r, "the attribute %.60s has no list", name);
    int64_t n = e->type.shape[0], from = 0;
    const int64_t *ends = e->data;
    evla_text *texts = arena_push(&r->m->mem, (size_t)n + 1, sizeof *texts);
    if (!texts) return ctx_fail(r->cx, EVLA_E_NOMEM, "%s: %s", r->path, name);
    for (int64_t i = 0; i < n; from = ends[i++]) {
        if (ends[i] < from || ends[i] > t->type.shape[0])
            return bad(r, "text %lld of the attribute %.60s leaves its list", (long long)i,
                       name);
        texts[i] = (evla_text){(const char *)t->data + from, (uint64_t)(ends[i] - from)};
    }
    a->type = EVLA_ATTR_TEXTS;
    a->items = texts;
    a->n_items = n;
    return 0;
}

static int32_t read_attr(reader *r, const value *row, evla_attr *a)
{
    const char *name = cell(row, 0);
    const value *v = name && row->n_items > 1 ? &row->as.items[1] : NULL;
    if (!name) return bad(r, "an attribute has no name");
    *a = (evla_attr){.name = arena_copy(&r->m->mem, name)};
    if (!a->name) return ctx_fail(r->cx, EVLA_E_NOMEM, "%s: %s", r->path, name);
    const char *part_name = arena_text(&r->cx->scratch, "a:%s", name);
    const bundle_part *part = !v && part_name ? bundle_find(r->b, part_name) : NULL;
    if (v && v->kind == VALUE_TEXT) {
        a->type = EVLA_ATTR_TEXT;
        a->text = arena_copy(&r->m->mem, v->as.text);
    } else if (v && v->kind == VALUE_INT) {
        a->type = EVLA_ATTR_INT;
        a->integer = v->as.i;
    } else if (v && v->kind == VALUE_FLOAT) {
        a->type = EVLA_ATTR_FLOAT;
        a->number = v->as.f;
    } else if (part && part->type.rank == 1 && part->type.dtype < EVLA_DTYPE_FIRST) {
        a->type = EVLA_ATTR_NUMBERS;
        a->element = part->type.dtype;
        a->items = part->data;
        a->n_items = part->type.shape[0];
    } else if (v)
        return bad(r, "the attribute %.60s is no text and no number", name);
    else
        return read_texts(r, name, a);
    return a->type == EVLA_ATTR_TEXT && !a->text
               ? ctx_fail(r->cx, EVLA_E_NOMEM, "%s: %s", r->path, name)
               : 0;
}

static int32_t read_attrs(reader *r)
{
    const value *rows;
    int32_t st = get_list(r, &r->b->head, "attrs", &rows);
    if (st < 0 || !rows->n_items) return st;
    evla_attr *attrs = arena_push(&r->m->mem, (size_t)rows->n_items, sizeof *attrs);
    if (!attrs) return ctx_fail(r->cx, EVLA_E_NOMEM, "%s: attributes", r->path);
    for (int32_t i = 0; st >= 0 && i < rows->n_items; i++)
        st = read_attr(r, &rows->as.items[i], &attrs[i]);
    r->m->attrs = attrs;
    r->m->n_attrs = rows->n_items;
    return st;
}

int32_t save_attrs(ctx *cx, const char *path, const bundle *b, model *m)
{
    reader r = {.cx = cx, .path = path, .b = b, .m = m};
    return read_attrs(&r);
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
    if (st >= 0) st = read_packed(&r);
    if (st >= 0) st = read_attrs(&r);
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
    int32_t st = bundle_read(cx, path, SAVE_KIND, bytes, n, &b);
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
    int32_t st = bundle_open(cx, path, SAVE_KIND, &b);
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
