/*
 * measure.c -- what a recipe measures. See measure.h.
 */
#include "measure.h"
#include "../mem.h"
#include "../run/clock.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WARM_RUNS = 3,
    MOST_NS = 1000000000, /* of timing one thing, as long as there were LEAST_RUNS */
    LEAST_RUNS = 10,
    CACHE = 64 << 20,
    MOST_SIDES = 3
};

/* ---- symbols and inputs ---- */

/* The symbol that stands first in "f32[B,7]" is this one. */
static int leads(const char *type, const char *name)
{
    const char *at = strchr(type, '[');
    size_t n = strlen(name);
    if (!at) return 0;
    for (at++; isspace((unsigned char)*at);)
        at++;
    return !strncmp(at, name, n) && !isalnum((unsigned char)at[n]) && at[n] != '_';
}

static int64_t extent_of(const graph *g, const symbol_info *s, const evla_list *given,
                         int64_t batch)
{
    for (int64_t i = 0; given && i < given->n; i++) {
        const job_symbol *own = (const job_symbol *)given->items + i;
        if (!strcmp(own->name, s->name)) return own->extent;
    }
    for (int32_t i = 0; batch > 0 && i < g->n_inputs; i++)
        if (leads(g->wires[g->inputs[i]].type, s->name))
            return s->n_bucket && batch > s->bucket[s->n_bucket - 1]
                       ? s->bucket[s->n_bucket - 1]
                       : batch;
    return s->n_bucket ? s->bucket[0] : 1;
}

int32_t measure_symbols(ctx *cx, const graph *g, const evla_list *given, int64_t batch,
                        symbols *out)
{
    *out = (symbols){0};
    if (g->n_symbols > TENSOR_MAX_SYMBOLS)
        return ctx_fail(cx, EVLA_E_LIMIT, "graph %s: more than %d symbols", g->name,
                        TENSOR_MAX_SYMBOLS);
    for (int32_t i = 0; i < g->n_symbols; i++) {
        out->name[out->n] = g->symbols[i].name;
        out->extent[out->n++] = extent_of(g, &g->symbols[i], given, batch);
    }
    return 0;
}

int32_t measure_inputs(ctx *cx, arena *a, const graph *g, const evla_list *given,
                       int64_t *batch, symbols *at, rows_input **out, int32_t **slots,
                       int32_t *n)
{
    bound *b = NULL;
    arena mem = arena_growing(64 << 10);
    int32_t st = measure_symbols(cx, g, given, *batch, at), first = 1;
    if (st >= 0) st = infer_bind(cx, &mem, g, at, NULL, &b);
    *out = arena_push(a, (size_t)g->n_inputs + 1, sizeof **out);
    *slots = arena_push(a, (size_t)g->n_inputs + 1, sizeof **slots);
    *n = 0;
    if (st >= 0 && (!*out || !*slots))
        st = ctx_fail(cx, EVLA_E_NOMEM, "graph %s: inputs", g->name);
    for (int32_t i = 0; st >= 0 && i < b->n_inputs; i++) {
        const bound_wire *w = &b->wires[b->inputs[i]];
        if (first && w->type.rank > 0) *batch = w->type.shape[0], first = 0;
        if (w->type.rank < 1 || w->type.shape[0] != *batch || *batch < 1)
            st = ctx_fail(cx, EVLA_E_SHAPE,
                          "graph %s: input %s is %s; want the batch in front, such as "
                          "f32[B,7]",
                          g->name, w->name, g->wires[g->inputs[i]].type);
        (*slots)[*n] = i;
        (*out)[(*n)++] = (rows_input){g->wires[g->inputs[i]].name, w->type};
    }
    arena_free(&mem);
    if (st >= 0 && !*n)
        st = ctx_fail(cx, EVLA_E_ARG, "graph %s: has no input to feed", g->name);
    return st;
}

/* ---- a graph over rows ---- */

static int32_t open_rows(ctx *cx, const evla_list *data, const char *mask, measure *w)
{
    rows_options how = {.mask = mask, .cache = CACHE};
    int32_t st =
        rows_open(cx, data->items, (int32_t)data->n, &how, w->in, w->n_in, &w->rows);
    if (st < 0) return st;
    if (rows_count(w->rows) < 1)
        return ctx_fail(cx, EVLA_E_MISSING, "data: no row is in the mask %s",
                        mask && *mask ? mask : "of all");
    st = rows_reader_open(cx, w->rows, &w->reader);
    w->has_reader = st >= 0;
    return st;
}

int32_t measure_open(ctx *cx, const model *m, const char *graph_name,
                     const evla_list *given, const evla_list *data, const char *mask,
                     int64_t samples, int32_t n_workers, measure *out)
{
    graph *g;
    *out = (measure){.cx = cx,
                     .mem = arena_growing(16 << 10),
                     .graph = graph_name,
                     .batch = samples < MEASURE_BATCH ? samples : MEASURE_BATCH,
                     .n_workers = n_workers};
    int32_t st = model_want_graph(cx, m, graph_name, &g);
    if (st >= 0)
        st = measure_inputs(cx, &out->mem, g, given, &out->batch, &out->at, &out->in,
                            &out->slots, &out->n_in);
    if (st >= 0 && data && data->n) st = open_rows(cx, data, mask, out);
    if (st < 0) return st;
    if (out->rows && samples > rows_count(out->rows)) samples = rows_count(out->rows);
    out->n_batches = samples / out->batch;
    if (out->n_batches < 1) out->n_batches = 1; /* few rows: some count twice */
    out->which = arena_push(&out->mem, (size_t)out->batch, sizeof *out->which);
    return out->which ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "graph %s: rows", graph_name);
}

void measure_close(measure *w)
{
    if (w->has_reader) rows_reader_close(&w->reader);
    rows_close(w->rows);
    arena_free(&w->mem);
    *w = (measure){0};
}

static int32_t draw_input(ctx *cx, session *s, const plan *p, int32_t i, int32_t slot,
                          uint64_t seed)
{
    const evla_tensor *t = session_input(s, i, slot);
    if (!t) return 0;
    const evla_type *type = plan_input_type(p, slot);
    int is_real = type->dtype == EVLA_F32 || type->dtype == EVLA_F64;
    return model_fill_one(cx, p->graph->wires[p->graph->inputs[slot]].name,
                          is_real ? "uniform:1" : "zeros", type, seed, t->data[0]);
}

static int32_t feed(measure *w, session *s, const plan *p, int64_t batch)
{
    int64_t all = w->rows ? rows_count(w->rows) : 0, n = w->n_batches * w->batch;
    int32_t st = 0;
    for (int64_t i = 0; w->rows && i < w->batch; i++) /* n may be more than there are */
        w->which[i] =
            (int64_t)(((double)(batch * w->batch + i) + 0.5) * (double)all / (double)n);
    for (int32_t i = 0; st >= 0 && i < w->n_in; i++) {
        evla_tensor *t = session_input(s, 0, w->slots[i]);
        if (!w->rows)
            st = draw_input(w->cx, s, p, 0, w->slots[i], (uint64_t)batch + 1);
        else if (t)
            st = rows_gather(&w->reader, w->which, w->batch, i, t->data[0]);
    }
    if (st < 0 && w->has_reader && !w->cx->code)
        ctx_fail(w->cx, st, "%s", w->reader.cx.why);
    return st;
}

int32_t measure_run(measure *w, const model *m, measure_see *see, void *to)
{
    graph *g;
    plan *p = NULL;
    session *s = NULL;
    plan_options how = {.n_workers = w->n_workers};
    int32_t st = model_want_graph(w->cx, m, w->graph, &g);
    if (st >= 0) st = plan_make(w->cx, g, &w->at, &how, &p);
    if (st >= 0)
        st = session_open(w->cx, &p, 1, &(session_options){.n_workers = w->n_workers}, &s);
    for (int64_t i = 0; st >= 0 && i < w->n_batches; i++) {
        st = session_reset(w->cx, s); /* rows do not follow each other */
        if (st >= 0) st = feed(w, s, p, i);
        if (st >= 0) st = session_run(w->cx, s, 0);
        if (st >= 0) st = see(to, s, p, i);
        if (st >= 0 && ctx_stopping(w->cx)) st = ctx_fail(w->cx, EVLA_E_STOPPED, "stopped");
    }
    if (s) session_close(s);
    plan_drop(p);
    return st;
}

/* ---- times ---- */

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* One side runs n plans, one after the other. */
typedef struct side {
    session *s;
    int32_t first, n;
} side;

static int32_t run_side(ctx *cx, const side *a, int64_t *ns)
{
    int64_t from = clock_ns();
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < a->n; i++)
        st = session_run(cx, a->s, a->first + i);
    *ns = clock_ns() - from;
    return st;
}

static int32_t alternate(ctx *cx, const side *sides, int n_sides, int64_t runs,
                         measure_time *out)
{
    int64_t *ns[MOST_SIDES], n = 0, began = clock_ns(), unused;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = 0;
    for (int k = 0; st >= 0 && k < n_sides; k++)
        if (!(ns[k] = arena_push(&cx->scratch, (size_t)runs + 1, sizeof **ns)))
            st = ctx_fail(cx, EVLA_E_NOMEM, "%lld runs", (long long)runs);
    for (int i = 0; st >= 0 && i < n_sides * WARM_RUNS; i++)
        st = run_side(cx, &sides[i % n_sides], &unused);
    for (; st >= 0 && n < runs; n++) {
        if (n >= LEAST_RUNS && clock_ns() - began > MOST_NS) break;
        for (int k = 0; st >= 0 && k < n_sides; k++)
            st = run_side(cx, &sides[k], &ns[k][n]);
    }
    const int64_t middle = (n - 1) / 2;
    for (int k = 0; st >= 0 && k < n_sides; k++) {
        qsort(ns[k], (size_t)n, sizeof **ns, by_time);
        out[k].best_us = 1e-3 * (double)ns[k][0];
        out[k].p50_us = 1e-3 * (double)ns[k][middle];
    }
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- one layer ---- */

static int32_t plan_at(ctx *cx, const model *m, const char *name, const evla_list *given,
                       int64_t batch, const evla_machine *machine, plan **out)
{
    plan_options how = {.n_workers = 1, .machine = machine};
    graph *g;
    symbols at;
    int32_t st = model_want_graph(cx, m, name, &g);
    if (st >= 0) st = measure_symbols(cx, g, given, batch, &at);
    return st < 0 ? st : plan_make(cx, g, &at, &how, out);
}

static double distance(const float *codes, const float *f32, int64_t n)
{
    double d = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        double gap = (double)codes[i] - (double)f32[i];
        d += gap * gap;
        all += (double)f32[i] * (double)f32[i];
    }
    return all > 0 ? sqrt(d / all) : d > 0 ? INFINITY : 0;
}

static int32_t run_pair(ctx *cx, session *s, plan *const *p, const void *x, double *error)
{
    int32_t st = 0;
    for (int32_t k = 0; st >= 0 && k < 2; k++) {
        const evla_type *t = plan_input_type(p[k], 0);
        memcpy(session_input(s, k, 0)->data[0], x, (size_t)type_bytes(cx->reg, t));
        st = session_run(cx, s, k);
    }
    if (st >= 0 && error)
        *error =
            distance(session_output(s, 1, 0)->data[0], session_output(s, 0, 0)->data[0],
                     type_count(plan_output_type(p[0], 0)));
    return st;
}

/* The kernel of the step that does most. */
static const char *main_kernel(const plan *p)
{
    int32_t best = 0;
    for (int32_t i = 1; i < p->n_steps; i++)
        if (p->steps[i].flops > p->steps[best].flops) best = i;
    return p->n_steps ? p->steps[best].item->name : "";
}

int32_t measure_pair(ctx *cx, const model *pair, const void *x, int64_t n, int64_t runs,
                     double *error, measure_time time[2])
{
    static const char *const names[] = {"f32", "codes"};
    int32_t st = 0;
    for (int is_timed = 0; st >= 0 && is_timed < 2; is_timed++) {
        plan *p[2] = {NULL, NULL};
        session *s = NULL;
        for (int k = 0; st >= 0 && k < 2; k++)
            st = plan_at(cx, pair, names[k], NULL, is_timed ? 1 : n, NULL, &p[k]);
        if (st >= 0) st = session_open(cx, p, 2, NULL, &s);
        if (st >= 0) st = run_pair(cx, s, p, x, is_timed ? NULL : error);
        if (st >= 0 && is_timed)
            st = alternate(cx, (const side[]){{s, 0, 1}, {s, 1, 1}}, 2, runs, time);
        for (int k = 0; st >= 0 && k < 2; k++)
            time[k].kernel = main_kernel(p[k]);
        if (s) session_close(s);
        plan_drop(p[0]);
        plan_drop(p[1]);
    }
    return st;
}

/* ---- a whole step ---- */

static int32_t open_side(ctx *cx, const model *m, const evla_list *graphs,
                         const evla_list *given, const evla_machine *machine, plan **plans,
                         side *out)
{
    const char *const *names = graphs->items;
    int32_t st = 0;
    *out = (side){.n = (int32_t)graphs->n};
    for (int32_t i = 0; st >= 0 && i < out->n; i++)
        st = plan_at(cx, m, names[i], given, 0, machine, &plans[i]);
    if (st >= 0) st = session_open(cx, plans, out->n, NULL, &out->s);
    for (int32_t i = 0; st >= 0 && i < out->n; i++)
        for (int32_t k = 0; st >= 0 && k < plans[i]->graph->n_inputs; k++)
            st = draw_input(cx, out->s, plans[i], i, k, 1);
    return st;
}

int32_t measure_step(ctx *cx, const model *f32, const model *codes, const evla_list *graphs,
                     const evla_list *given, int64_t runs, measure_time time[3])
{
    static const evla_machine plain = {
        .size = sizeof plain, .n_workers = 1, .name = "portable", .features = ""};
    side sides[3] = {{0}};
    arena_place mark = arena_mark(&cx->scratch);
    plan **plans = arena_push(&cx->scratch, (size_t)graphs->n * 3 + 1, sizeof *plans);
    int32_t st = plans ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "a step");
    for (int k = 0; st >= 0 && k < 3; k++)
        st = open_side(cx, k == 1 ? codes : f32, graphs, given, k == 2 ? &plain : NULL,
                       plans + k * graphs->n, &sides[k]);
    if (st >= 0) st = alternate(cx, sides, 3, runs, time);
    for (int k = 0; k < 3; k++)
        if (sides[k].s) session_close(sides[k].s);
    for (int64_t i = 0; plans && i < graphs->n * 3; i++)
        plan_drop(plans[i]);
    arena_reset(&cx->scratch, mark);
    return st;
}
