/*
 * save.c -- a model as one file. See save.h.
 */
#include "save.h"
#include "../host.h"
#include "../registry.h"
#include "bundle.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        if (!m->weights[i].data && !m->weights[i].packed)
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

/* Weights as parts; the rows are those that lie in a layout. */
static value weights_value(writer *w, const model *m)
{
    value *rows = new_items(w, m->n_weights);
    int32_t n = 0;
    host h;
    host_init(&h, w->cx, NULL);
    for (int32_t i = 0; rows && i < m->n_weights; i++) {
        const weight_info *info = &m->weights[i];
        bundle_part *part = &w->parts[w->n_parts++];
        *part = (bundle_part){.name = arena_text(w->a, "w:%s", info->name),
                              .type = info->type,
                              .data = info->data};
        if (!part->name) w->failed = 1;
        if (!info->packed) continue;
        part->type = (evla_type){.dtype = EVLA_U8, .rank = 1};
        const char *as = info->packed_as;
        part->type.shape[0] =
            as ? info->packed_bytes : info->layout->bytes(&h.table, &info->type);
        part->data = info->packed;
        rows[n++] = words(w, info->name, as ? as : info->layout->name,
                          type_text(w->cx->reg, w->a, &info->type), 3);
    }
    return list(rows, n);
}

/* All texts in one part, and where each ends in another. */
static void add_texts(writer *w, const evla_attr *a)
{
    const evla_text *texts = a->items;
    int64_t *ends = arena_push(w->a, (size_t)a->n_items + 1, sizeof *ends), total = 0;
    for (int64_t i = 0; ends && i < a->n_items; i++)
        ends[i] = total += (int64_t)texts[i].n;
    char *all = arena_push(w->a, (size_t)total + 1, 1);
    if (!ends || !all) {
        w->failed = 1;
        return;
    }
    for (int64_t i = 0; i < a->n_items; i++)
        memcpy(all + (i ? ends[i - 1] : 0), texts[i].at, (size_t)texts[i].n);
    w->parts[w->n_parts++] =
        (bundle_part){.name = arena_text(w->a, "t:%s", a->name),
                      .type = {.dtype = EVLA_U8, .rank = 1, .shape = {total}},
                      .data = all};
    w->parts[w->n_parts++] =
        (bundle_part){.name = arena_text(w->a, "e:%s", a->name),
                      .type = {.dtype = EVLA_I64, .rank = 1, .shape = {a->n_items}},
                      .data = ends};
}

static value attrs_value(writer *w, const evla_attr *attrs, int32_t n_attrs)
{
    value *rows = new_items(w, n_attrs);
    for (int32_t i = 0; rows && i < n_attrs; i++) {
        const evla_attr *a = &attrs[i];
        value *row = new_items(w, 2);
        int32_t n = 2;
        if (!row) break;
        row[0] = value_text(a->name);
        if (a->type == EVLA_ATTR_TEXT)
            row[1] = value_text(a->text);
        else if (a->type == EVLA_ATTR_INT)
            row[1] = value_int(a->integer);
        else if (a->type == EVLA_ATTR_FLOAT)
            row[1] = value_float(a->number);
        else
            n = 1;
        if (a->type == EVLA_ATTR_NUMBERS)
            w->parts[w->n_parts++] = (bundle_part){
                .name = arena_text(w->a, "a:%s", a->name),
                .type = {.dtype = a->element, .rank = 1, .shape = {a->n_items}},
                .data = a->items};
        if (a->type == EVLA_ATTR_TEXTS) add_texts(w, a);
        rows[i] = list(row, n);
    }
    return list(rows, rows ? n_attrs : 0);
}

static int32_t save(ctx *cx, const model *m, const char *path, const evla_attr *given,
                    int32_t n_given)
{
    writer w = {.cx = cx, .a = &cx->scratch};
    int32_t st = can_save(cx, m, path), n_parts = m->n_weights;
    if (st < 0) return st;
    n_parts += 2 * n_given;
    for (int32_t i = 0; i < m->n_graphs; i++)
        n_parts += m->graphs[i]->n_wires;
    w.parts = arena_push(w.a, (size_t)n_parts + 1, sizeof *w.parts);
    value *graphs = new_items(&w, m->n_graphs);
    if (!w.parts || !graphs) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
    value packed = weights_value(&w, m), attrs = attrs_value(&w, given, n_given);
    for (int32_t i = 0; i < m->n_graphs; i++) {
        w.g = m->graphs[i];
        graphs[i] = graph_value(&w);
    }
    value_pair pairs[4] = {{"graphs", list(graphs, m->n_graphs)},
                           {"name", value_text(m->name)}};
    int32_t n_pairs = 2;
    if (attrs.n_items) pairs[n_pairs++] = (value_pair){"attrs", attrs};
    if (packed.n_items) pairs[n_pairs++] = (value_pair){"packed", packed};
    value head = table(&w, pairs, n_pairs);
    if (w.failed) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
    return bundle_write(cx, path, SAVE_KIND, &head, w.parts, w.n_parts);
}

int32_t save_model_with(ctx *cx, const model *m, const char *path, const evla_attr *attrs,
                        int32_t n_attrs)
{
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = save(cx, m, path, attrs, n_attrs);
    arena_reset(&cx->scratch, mark);
    return st;
}

int32_t save_model(ctx *cx, const model *m, const char *path)
{
    return save_model_with(cx, m, path, m->attrs, m->n_attrs);
}
