/*
 * job_apply.c -- the job type "apply": runs one graph of a model on random inputs and
 * measures it.
 *
 * Inputs depend on the seed and their name alone: reals are uniform in [-1, 1), what is no
 * f32 or f64 is zeros. One run warms up, then `runs` are timed; then states are reset and
 * one more run gives the outputs that are kept, so they are the same bits for any number of
 * runs and of workers. outputs.evla in the job's folder (kind "evla.tensors", see
 * graph/bundle.h) holds "i:NAME" for inputs and "o:NAME" for outputs.
 */
#include "../graph/bundle.h"
#include "../graph/save.h"
#include "../mem.h"
#include "../run/clock.h"
#include "../run/pool.h"
#include "../run/session.h"
#include "sha256.h"
#include "types.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 1000000, MOST_ROWS = 256 };

typedef struct apply_params {
    const evla_value *model;
    const char *graph;
    evla_list symbols; /* job_symbol */
    int64_t runs, seed, memory, workers;
} apply_params;

// clang-format off
static const evla_param params[] = {
    {.name = "model", .doc = "whose graph is run", .type = EVLA_P_VALUE, .choices = "model",
     .offset = offsetof(apply_params, model)},
    {.name = "graph", .doc = "its name; may be left out when the model has one",
     .type = EVLA_P_STRING, .preset = "", .offset = offsetof(apply_params, graph)},
    {.name = "symbols", .doc = "extents of the graph's symbols, { B = 32 }",
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = job_symbol_fields, .n_fields = 2,
     .fields_size = sizeof(job_symbol), .offset = offsetof(apply_params, symbols)},
    {.name = "runs", .doc = "how many are timed", .type = EVLA_P_INT, .preset = "100", .min = 1,
     .max = MOST_RUNS, .offset = offsetof(apply_params, runs)},
    {.name = "seed", .doc = "of the inputs", .type = EVLA_P_INT, .preset = "1",
     .offset = offsetof(apply_params, seed)},
    {.name = "memory", .doc = "budget for arena and states; 0: no limit", .type = EVLA_P_SIZE,
     .preset = "0", .offset = offsetof(apply_params, memory)},
    {.name = "workers", .doc = "threads; 0: as the program says. Outputs do not depend on it",
     .type = EVLA_P_INT, .preset = "0", .max = POOL_MOST, .offset = offsetof(apply_params, workers)},
};
// clang-format on

/* ---- planning ---- */

static int32_t count_workers(const job *j)
{
    return job_workers(j, ((const apply_params *)j->params)->workers, POOL_MOST);
}

const evla_list *job_apply_symbols(const job *j, const job *from, const char *graph_name)
{
    const apply_params *given = j->type == &job_apply ? j->params : NULL;
    if (!given || job_given(j, "model") != from) return NULL;
    return !*given->graph || !strcmp(given->graph, graph_name) ? &given->symbols : NULL;
}

static int32_t want_graph(ctx *cx, const job *j, const model *m, graph **out)
{
    const apply_params *given = j->params;
    if (*given->graph) return model_want_graph(cx, m, given->graph, out);
    if (m->n_graphs == 1) return *out = m->graphs[0], 0;
    return ctx_fail(
        cx, EVLA_E_ARG,
        "apply \"%s\": graph: is missing; model %s has %d graphs, the first is \"%s\"",
        j->name, m->name, m->n_graphs, m->n_graphs ? m->graphs[0]->name : "");
}

static int32_t make_plan(ctx *cx, const job *j, const model *m, plan **out)
{
    const apply_params *given = j->params;
    plan_options how = {.n_workers = count_workers(j), .budget = (uint64_t)given->memory};
    graph *g;
    symbols s;
    int32_t st = want_graph(cx, j, m, &g);
    if (st >= 0)
        st = job_model_symbols(cx, job_given(j, "model"), g, &given->symbols, 0, &s);
    return st < 0 ? st : plan_make(cx, g, &s, &how, out);
}

static int32_t apply_check(ctx *cx, job *j)
{
    j->result.path = arena_text(&cx->mem, "%s/outputs.evla", j->folder);
    if (!j->result.path) return ctx_fail(cx, EVLA_E_NOMEM, "apply %s", j->name);
    const job *from = job_given(j, "model");
    const model *m = from && !job_model_failed(from) ? job_model_graphs(from) : NULL;
    if (!m) return 0; /* known when it has been made */
    plan *p;
    int32_t st = make_plan(cx, j, m, &p);
    if (st >= 0) plan_drop(p);
    return st;
}

/* ---- figures ---- */

/* What a person would ask about a tensor; the digest is of its bytes. */
static value describe_output(ctx *cx, const evla_type *t, const void *data)
{
    char *hex = arena_push(&cx->scratch, 65, 1);
    sha256 sum;
    int64_t n = type_count(t);
    if (!hex) return (value){0};
    sha256_init(&sum);
    sha256_update(&sum, data, (size_t)type_bytes(cx->reg, t));
    sha256_final_hex(&sum, hex);
    value_pair pairs[5] = {{"digest", value_text(hex)},
                           {"type", value_text(type_text(cx->reg, &cx->scratch, t))}};
    if ((t->dtype != EVLA_F32 && t->dtype != EVLA_F64) || n < 1)
        return value_table(&cx->scratch, pairs, 2);
    double low = INFINITY, high = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = t->dtype == EVLA_F32 ? (double)((const float *)data)[i]
                                        : ((const double *)data)[i];
        if (v < low) low = v;
        if (v > high) high = v;
        total += v;
    }
    pairs[2] = (value_pair){"min", value_float(low)};
    pairs[3] = (value_pair){"max", value_float(high)};
    pairs[4] = (value_pair){"mean", value_float(total / (double)n)};
    return value_table(&cx->scratch, pairs, 5);
}

/* Where the script declared the node; the saved file only knows its own. */
static const char *declared_at(const job *j, const char *label)
{
    const job *from = job_given(j, "model");
    const model *m = from ? job_model_graphs(from) : NULL;
    for (int32_t i = 0; m && i < m->n_graphs; i++)
        for (int32_t k = 0; k < m->graphs[i]->n_nodes; k++)
            if (!strcmp(m->graphs[i]->nodes[k].label, label))
                return m->graphs[i]->nodes[k].where;
    return NULL;
}

static value profile_rows(ctx *cx, const job *j, const plan *p, const profile *times)
{
    int32_t n = p->n_steps < MOST_ROWS ? p->n_steps : MOST_ROWS;
    value list = value_list(&cx->scratch, n);
    for (int32_t i = 0; list.as.items && i < n; i++) {
        const plan_step *s = &p->steps[i];
        const profile_row *r = &times->rows[i];
        const char *where = declared_at(j, s->node.label);
        double each = r->calls ? 1e-3 * (double)r->ns / (double)r->calls : 0;
        value_pair pairs[] = {
            {"node", value_text(s->node.label)},
            {"op", value_text(s->node.op)},
            {"kernel", value_text(s->item->name)},
            {"where", value_text(where ? where : "")},
            {"us", value_float(each)},
            {"least_us", value_float(1e-3 * (double)r->least_ns)},
            {"flops", value_float(s->flops)},
            {"bytes", value_int((int64_t)s->bytes)},
        };
        list.as.items[list.n_items++] =
            value_table(&cx->scratch, pairs, sizeof pairs / sizeof *pairs);
    }
    return list;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int32_t plan_figures(job *j, const plan *p)
{
    const struct {
        const char *name;
        int64_t n;
    } rows[] = {{"arena_bytes", (int64_t)p->arena_bytes},
                {"lower_bound_bytes", (int64_t)p->lower_bound},
                {"state_bytes", (int64_t)p->state_bytes},
                {"weight_bytes", (int64_t)p->weight_bytes},
                {"nodes", p->n_steps},
                {"folded", p->graph->n_folded},
                {"coded", p->graph->n_coded},
                {"dead", p->graph->n_dead},
                {"fused", p->graph->n_fused}};
    int32_t st = job_figure(j, "flops", value_float(p->flops));
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, value_int(rows[i].n));
    if (st >= 0) st = job_figure(j, "order", value_text(p->order));
    return st;
}

static int32_t time_figures(job *j, int64_t *ns, int64_t n)
{
    qsort(ns, (size_t)n, sizeof *ns, by_time);
    const int64_t p50 = (n - 1) / 2, p99 = (99 * n + 99) / 100 - 1; /* nearest rank */
    int32_t st = job_figure(j, "runs", value_int(n));
    if (st >= 0) st = job_figure(j, "p50_us", value_float(1e-3 * (double)ns[p50]));
    if (st >= 0) st = job_figure(j, "p99_us", value_float(1e-3 * (double)ns[p99]));
    if (st >= 0) st = job_figure(j, "least_us", value_float(1e-3 * (double)ns[0]));
    return st;
}

/* ---- running ---- */

static int32_t fill_inputs(ctx *cx, const job *j, session *s, const plan *p)
{
    const apply_params *given = j->params;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < p->graph->n_inputs; i++) {
        const evla_tensor *t = session_input(s, 0, i);
        if (!t) continue;
        const evla_type *type = plan_input_type(p, i);
        int is_real = type->dtype == EVLA_F32 || type->dtype == EVLA_F64;
        st = model_fill_one(cx, p->graph->wires[p->graph->inputs[i]].name,
                            is_real ? "uniform:1" : "zeros", type, (uint64_t)given->seed,
                            t->data[0]);
    }
    return st;
}

static int32_t keep_tensors(ctx *cx, job *j, session *s, const plan *p)
{
    const bound *b = p->graph;
    int32_t n = 0, most = b->n_inputs + b->n_outputs;
    bundle_part *parts = arena_push(&cx->scratch, (size_t)most + 1, sizeof *parts);
    value_pair *shown = arena_push(&cx->scratch, (size_t)b->n_outputs + 1, sizeof *shown);
    if (!parts || !shown) return ctx_fail(cx, EVLA_E_NOMEM, "apply %s", j->name);
    for (int32_t i = 0; i < b->n_inputs; i++) {
        const evla_tensor *t = session_input(s, 0, i);
        if (!t) continue;
        parts[n++] =
            (bundle_part){arena_text(&cx->scratch, "i:%s", b->wires[b->inputs[i]].name),
                          *plan_input_type(p, i), t->data[0]};
    }
    for (int32_t i = 0; i < b->n_outputs; i++) {
        const evla_tensor *t = session_output(s, 0, i);
        const evla_type *type = plan_output_type(p, i);
        parts[n++] = (bundle_part){arena_text(&cx->scratch, "o:%s", b->outputs[i].name),
                                   *type, t->data[0]};
        shown[i] = (value_pair){b->outputs[i].name, describe_output(cx, type, t->data[0])};
    }
    for (int32_t i = 0; i < n; i++)
        if (!parts[i].name) return ctx_fail(cx, EVLA_E_NOMEM, "apply %s", j->name);
    int32_t st = job_figure(j, "outputs", value_table(&cx->scratch, shown, b->n_outputs));
    value head = {.kind = VALUE_TABLE};
    return st < 0 ? st : bundle_write(cx, j->result.path, "evla.tensors", &head, parts, n);
}

static int32_t run_session(ctx *cx, job *j, session *s, const plan *p)
{
    const apply_params *given = j->params;
    int64_t *ns = arena_push(&cx->scratch, (size_t)given->runs, sizeof *ns);
    if (!ns) return ctx_fail(cx, EVLA_E_NOMEM, "%lld runs", (long long)given->runs);
    int32_t st = fill_inputs(cx, j, s, p);
    if (st >= 0) st = session_run(cx, s, 0);
    profile *times = session_profile(s, 0);
    if (times) profile_clear(times);
    for (int64_t i = 0; st >= 0 && i < given->runs; i++) {
        int64_t from = clock_ns();
        st = session_run(cx, s, 0);
        ns[i] = clock_ns() - from;
        if (i % 64 == 63) job_report_progress(j, i + 1, given->runs, NULL);
    }
    if (st >= 0) st = time_figures(j, ns, given->runs);
    if (st >= 0 && times) st = job_figure(j, "profile", profile_rows(cx, j, p, times));
    if (st >= 0) st = plan_figures(j, p);
    if (st >= 0) st = job_figure(j, "workers", value_int(session_workers(s)));
    if (st >= 0) st = session_reset(cx, s);
    if (st >= 0) st = session_run(cx, s, 0);
    return st < 0 ? st : keep_tensors(cx, j, s, p);
}

static int32_t apply_run(ctx *cx, job *j)
{
    const apply_params *given = j->params;
    const job *from = job_given(j, "model");
    model *read = NULL;
    plan *p = NULL;
    session *s = NULL;
    session_options how = {
        .n_workers = count_workers(j), .profile = 1, .budget = (uint64_t)given->memory};
    /* a checkpoint's graphs are at hand and in no file */
    model *m = from && from->type->is_live ? job_model_graphs(from) : NULL;
    int32_t st = m ? 0 : save_open(cx, given->model->path, &read);
    if (!m) m = read;
    if (st >= 0) m->packs = 1;
    if (st >= 0) st = make_plan(cx, j, m, &p);
    if (st >= 0) st = session_open(cx, &p, 1, &how, &s);
    if (st >= 0) st = run_session(cx, j, s, p);
    if (s) session_close(s);
    plan_drop(p);
    model_drop(read);
    return st;
}

const job_type job_apply = {
    .name = "apply",
    .result = "tensors",
    .doc = "runs one graph of a model on random inputs and measures it",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(apply_params),
    .has_graphs = 1,
    .check = apply_check,
    .run = apply_run,
};
