/*
 * job_call.c -- the job type "call": a model is called, its graphs in the order of a
 * schedule, and says what it made and how long each part took.
 *
 * Inputs come from files of raw numbers, as dense rows, from pictures, or stand in the
 * script; what is not given is zeros. One call warms up, `runs` are timed; the phases that
 * are shown are those of the median call. outputs.evla in the job's folder (kind
 * "evla.tensors") holds "i:NAME" and "o:NAME". With a folder to dump into every output is
 * also written there as NAME.npy, and what a graph that runs several times makes as
 * s0_NAME.npy, s1_NAME.npy, ... too, the figure "dumped" has their names in order; those
 * that are to be shown are written as NAME.npy into the job's folder.
 */
#include "../data/format.h"
#include "../graph/bundle.h"
#include "../mem.h"
#include "../run/pool.h"
#include "call_case.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 1000000, MOST_SHOWN = 1 << 16 };

typedef struct job_params {
    call_params call;
    call_case given;
    evla_list show;   /* const char * */
    evla_list expect; /* case_values */
    double within;
    const char *dump;
    int64_t runs;
} job_params;

// clang-format off
static const evla_param params[] = {
    CALL_PARAMS,
    CASE_PARAMS(offsetof(job_params, given)),
    {.name = "expect", .doc = "outputs that are known, as numbers: the job fails when they differ",
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = case_values_fields, .n_fields = 2,
     .fields_size = sizeof(case_values), .offset = offsetof(job_params, expect)},
    {.name = "within", .doc = "by more than that", .type = EVLA_P_FLOAT, .preset = "1e-4", .max = 1e30,
     .offset = offsetof(job_params, within)},
    {.name = "show", .doc = "outputs whose numbers the summary has, and the job's folder as NAME.npy", .type = EVLA_P_LIST,
     .element = EVLA_P_STRING, .flags = EVLA_PF_OPTIONAL, .offset = offsetof(job_params, show)},
    {.name = "dump", .doc = "folder for all outputs as .npy; absent: none are written", .type = EVLA_P_PATH,
     .flags = EVLA_PF_OPTIONAL, .offset = offsetof(job_params, dump)},
    {.name = "runs", .doc = "calls that are timed", .type = EVLA_P_INT, .preset = "1", .min = 1,
     .max = MOST_RUNS, .offset = offsetof(job_params, runs)},
};
// clang-format on

/* ---- what came out ---- */

static double number_at(const evla_tensor *t, int64_t i)
{
    return t->dtype == EVLA_F64 ? ((const double *)t->data[0])[i]
                                : (double)((const float *)t->data[0])[i];
}

static int32_t compare(ctx *cx, job *j, const schedule *s, const case_values *v,
                       double within)
{
    const schedule_port *got;
    const double *want = v->numbers.items;
    double worst = 0;
    int32_t st = schedule_want_output(cx, s, v->name, &got);
    if (st < 0) return st;
    if (type_count(&got->type) != v->numbers.n ||
        (got->type.dtype != EVLA_F32 && got->type.dtype != EVLA_F64))
        return ctx_fail(cx, EVLA_E_SHAPE,
                        "expect: output %s has %lld elements, got %lld reals to compare",
                        v->name, (long long)type_count(&got->type),
                        (long long)v->numbers.n);
    for (int64_t i = 0; i < v->numbers.n; i++) {
        double off = fabs(number_at(&got->view, i) - want[i]);
        if (isnan(off) || off > worst) worst = off; /* nothing is worse than NaN */
    }
    const char *name = arena_text(&cx->scratch, "error_%s", v->name);
    st = name ? job_figure(j, name, value_float(worst)) : EVLA_E_NOMEM;
    if (st >= 0 && !(worst <= within))
        st = ctx_fail(cx, EVLA_E_RANGE,
                      "output %s is off by %g from what is expected; want at most %g",
                      v->name, worst, within);
    return st;
}

static int32_t write_port(ctx *cx, const evla_item *format, const char *path,
                          const schedule_port *p)
{
    evla_field field = {.name = p->name, .value = p->view};
    evla_archive all = {.size = sizeof all, .n_tensors = 1, .tensors = &field};
    return format_write(cx, format, path, &all);
}

/* An output as a figure { shape, numbers, path }, and as a file in the job's folder. */
static int32_t show_one(ctx *cx, const job *j, const schedule *s, const evla_item *format,
                        const char *name, value_pair *out)
{
    const schedule_port *p;
    int32_t st = schedule_want_output(cx, s, name, &p);
    if (st < 0) return st;
    int64_t n = type_count(&p->type);
    if ((p->type.dtype != EVLA_F32 && p->type.dtype != EVLA_F64) || n > MOST_SHOWN)
        return ctx_fail(cx, EVLA_E_ARG, "show: output %s is %s; want at most %d reals",
                        name, type_text(cx->reg, &cx->scratch, &p->type), MOST_SHOWN);
    const char *path = arena_text(&cx->scratch, "%s/%s.npy", j->folder, name);
    if (!path) return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    st = write_port(cx, format, path, p);
    if (st < 0) return st;
    value shape = value_list(&cx->scratch, p->type.rank);
    value numbers = value_list(&cx->scratch, (int32_t)n);
    if ((n && !numbers.as.items) || (p->type.rank && !shape.as.items))
        return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    for (int32_t i = 0; i < p->type.rank; i++)
        shape.as.items[shape.n_items++] = value_int(p->type.shape[i]);
    for (int64_t i = 0; i < n; i++)
        numbers.as.items[numbers.n_items++] = value_float(number_at(&p->view, i));
    value_pair pairs[] = {
        {"shape", shape}, {"numbers", numbers}, {"path", value_text(path)}};
    *out =
        (value_pair){name, value_table(&cx->scratch, pairs, sizeof pairs / sizeof *pairs)};
    return 0;
}

static int32_t show_outputs(ctx *cx, job *j, const job_params *p, const schedule *s)
{
    const char *const *names = p->show.items;
    const evla_item *format = NULL;
    value_pair *pairs = arena_push(&cx->scratch, (size_t)p->show.n + 1, sizeof *pairs);
    if (!pairs) return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    int32_t st = p->show.n ? format_writer(cx, "x.npy", &format) : 0;
    for (int64_t i = 0; st >= 0 && i < p->show.n; i++)
        st = show_one(cx, j, s, format, names[i], &pairs[i]);
    if (st < 0 || !p->show.n) return st;
    return job_figure(j, "shown", value_table(&cx->scratch, pairs, (int32_t)p->show.n));
}

static int32_t keep_tensors(ctx *cx, const job *j, const schedule *s)
{
    int32_t n = 0, n_in = schedule_n_inputs(s), n_out = schedule_n_outputs(s);
    bundle_part *parts =
        arena_push(&cx->scratch, (size_t)(n_in + n_out) + 1, sizeof *parts);
    if (!parts) return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    for (int32_t i = 0; i < n_in + n_out; i++) {
        int is_in = i < n_in;
        const schedule_port *p =
            is_in ? schedule_input(s, i) : schedule_output(s, i - n_in);
        const schedule_port *newest = p;
        /* of outputs with one name the last line's stays */
        if (!is_in && schedule_want_output(cx, s, p->name, &newest) >= 0 && newest != p)
            continue;
        parts[n] = (bundle_part){arena_text(&cx->scratch, is_in ? "i:%s" : "o:%s", p->name),
                                 p->type, p->view.data[0]};
        if (!parts[n++].name) return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    }
    value head = {.kind = VALUE_TABLE};
    return bundle_write(cx, j->result.path, "evla.tensors", &head, parts, n);
}

typedef struct dumper {
    const schedule *of;
    const char *folder;
    const evla_item *format;
    arena *mem;  /* of the names */
    value names; /* what was written, in the order in which it was made */
    int32_t room;
} dumper;

/* Room for the names of all that a call makes. */
static int32_t dump_begin(ctx *cx, dumper *d)
{
    d->mem = &cx->mem;
    for (int32_t i = 0; i < schedule_n_outputs(d->of); i++) {
        int64_t times = schedule_line_at(d->of, schedule_output(d->of, i)->line).times;
        d->room += times > 1 ? (int32_t)times + 1 : 1;
    }
    d->names = value_list(d->mem, d->room);
    return d->names.as.items ? folder_make(cx, d->folder)
                             : ctx_fail(cx, EVLA_E_NOMEM, "%s", d->folder);
}

static int32_t dump_one(ctx *cx, dumper *d, const schedule_port *p, const char *before)
{
    const char *name = arena_text(d->mem, "%s%s", before, p->name);
    const char *path = name ? arena_text(&cx->scratch, "%s/%s.npy", d->folder, name) : NULL;
    if (!path || d->names.n_items == d->room)
        return ctx_fail(cx, EVLA_E_NOMEM, "%s", d->folder);
    d->names.as.items[d->names.n_items++] = value_text(name);
    return write_port(cx, d->format, path, p);
}

static int32_t dump_line(void *to, ctx *cx, int32_t line, int64_t time)
{
    dumper *d = to;
    schedule_phase what = schedule_line_at(d->of, line);
    arena_place mark = arena_mark(&cx->scratch);
    char step[32] = "";
    int32_t st = 0;
    if (what.times > 1) snprintf(step, sizeof step, "s%lld_", (long long)time);
    for (int32_t i = 0; st >= 0 && i < schedule_n_outputs(d->of); i++) {
        const schedule_port *p = schedule_output(d->of, i);
        if (p->line != line || strchr(p->name, '/')) continue;
        if (*step) st = dump_one(cx, d, p, step);
        if (st >= 0 && time == what.times - 1) st = dump_one(cx, d, p, "");
    }
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- figures ---- */

typedef struct timing {
    int64_t total;
    int64_t line[SCHEDULE_MOST_LINES];
    int64_t mallocs;
} timing;

static int by_total(const void *a, const void *b)
{
    int64_t x = ((const timing *)a)->total, y = ((const timing *)b)->total;
    return (x > y) - (x < y);
}

/* Time per node of each line, slowest first, in words: for whoever wants it faster. */
static int32_t profile_figure(ctx *cx, job *j, schedule *s)
{
    int32_t n = schedule_n_lines(s), st = 0;
    value_pair *pairs = arena_push(&cx->scratch, (size_t)n + 1, sizeof *pairs);
    if (!pairs) return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    for (int32_t i = 0; i < n; i++) {
        const profile *times = schedule_profile(s, i);
        const char *table = times ? profile_table(times, &cx->scratch) : "";
        pairs[i] =
            (value_pair){schedule_line_at(s, i).graph, value_text(table ? table : "")};
    }
    st = job_figure(j, "profile", value_table(&cx->scratch, pairs, n));
    return st;
}

static int32_t time_figures(ctx *cx, job *j, const schedule *s, timing *all, int64_t n)
{
    int32_t n_lines = schedule_n_lines(s);
    qsort(all, (size_t)n, sizeof *all, by_total);
    const timing *mid = &all[(n - 1) / 2];
    value list = value_list(&cx->scratch, n_lines);
    for (int32_t i = 0; list.as.items && i < n_lines; i++) {
        schedule_phase p = schedule_line_at(s, i);
        double ns = (double)(mid->line[i] > 0 ? mid->line[i] : 1);
        value_pair pairs[] = {{"phase", value_text(p.name)},
                              {"graph", value_text(p.graph)},
                              {"times", value_int(p.times)},
                              {"ms", value_float(1e-6 * ns)},
                              {"gflops", value_float(p.flops / ns)}};
        list.as.items[list.n_items++] =
            value_table(&cx->scratch, pairs, sizeof pairs / sizeof *pairs);
    }
    const schedule_bytes b = schedule_size(s);
    const struct {
        const char *name;
        value v;
    } rows[] = {{"phases", list},
                {"runs", value_int(n)},
                {"ms", value_float(1e-6 * (double)mid->total)},
                {"least_ms", value_float(1e-6 * (double)all[0].total)},
                {"most_ms", value_float(1e-6 * (double)all[n - 1].total)},
                {"hz", value_float(1e9 / (double)(mid->total > 0 ? mid->total : 1))},
                {"mallocs", value_int(mem_counts_all() ? mid->mallocs : -1)},
                {"weight_bytes", value_int((int64_t)b.weights)},
                {"arena_bytes", value_int((int64_t)b.arena)},
                {"state_bytes", value_int((int64_t)b.states)},
                {"value_bytes", value_int((int64_t)b.values)},
                {"bytes", value_int((int64_t)b.total)}};
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, rows[i].v);
    return st;
}

/* ---- the job ---- */

static int32_t workers_of(const job *j)
{
    return job_workers(j, ((const job_params *)j->params)->call.workers, POOL_MOST);
}

static int32_t call_check(ctx *cx, job *j)
{
    const job_params *p = j->params;
    const job *from = job_given(j, "model");
    schedule *s;
    j->result.path = arena_text(&cx->mem, "%s/outputs.evla", j->folder);
    if (!j->result.path) return ctx_fail(cx, EVLA_E_NOMEM, "call %s", j->name);
    model *m = from && !job_model_failed(from) ? job_model_graphs(from) : NULL;
    if (!m) return 0; /* known when it has been made */
    int32_t st = call_open(cx, m, &p->call, workers_of(j), 1, &s);
    if (st < 0) return st;
    st = call_case_set(cx, s, &p->given);
    schedule_close(s);
    return st;
}

static int32_t run_schedule(ctx *cx, job *j, schedule *s)
{
    const job_params *p = j->params;
    timing *all = arena_push(&cx->scratch, (size_t)p->runs, sizeof *all);
    dumper d = {.of = s, .folder = p->dump};
    if (!all) return ctx_fail(cx, EVLA_E_NOMEM, "%lld runs", (long long)p->runs);
    int32_t st = call_case_set(cx, s, &p->given);
    if (st >= 0 && p->dump) st = dump_begin(cx, &d);
    if (st >= 0 && p->dump) st = format_writer(cx, "x.npy", &d.format);
    if (st >= 0) st = schedule_run(cx, s, p->dump ? dump_line : NULL, &d);
    for (int32_t i = 0; i < schedule_n_lines(s); i++)
        profile_clear(schedule_profile(s, i));
    for (int64_t i = 0; st >= 0 && i < p->runs; i++) {
        int64_t made = mem_made;
        st = schedule_run(cx, s, NULL, NULL);
        all[i].mallocs = mem_made - made;
        all[i].total = schedule_ns(s);
        for (int32_t k = 0; k < schedule_n_lines(s); k++)
            all[i].line[k] = schedule_line_at(s, k).ns;
        job_report_progress(j, i + 1, p->runs, NULL);
    }
    if (st >= 0) st = time_figures(cx, j, s, all, p->runs);
    if (st >= 0) st = job_figure(j, "workers", value_int(workers_of(j)));
    if (st >= 0) st = profile_figure(cx, j, s);
    if (st >= 0 && p->dump) st = job_figure(j, "dumped", d.names);
    if (st >= 0) st = keep_tensors(cx, j, s);
    if (st >= 0) st = show_outputs(cx, j, p, s);
    for (int64_t i = 0; st >= 0 && i < p->expect.n; i++)
        st = compare(cx, j, s, (const case_values *)p->expect.items + i, p->within);
    return st;
}

static int32_t call_run(ctx *cx, job *j)
{
    const job_params *p = j->params;
    model *m = NULL;
    schedule *s = NULL;
    int32_t st = call_model(cx, job_given(j, "model"), p->call.model, &m);
    if (st >= 0) st = call_open(cx, m, &p->call, workers_of(j), 0, &s);
    if (st >= 0) st = run_schedule(cx, j, s);
    schedule_close(s);
    model_drop(m);
    return st;
}

const job_type job_call = {
    .name = "call",
    .result = "tensors",
    .doc = "calls a model: its graphs in the order of a schedule, on given inputs",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(job_params),
    .has_graphs = 1,
    .is_live = 1,
    .check = call_check,
    .run = call_run,
};
