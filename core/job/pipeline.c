/*
 * pipeline.c -- the job type "pipeline": a source of records, filters, and a sink.
 *
 * Workers claim record numbers, make the record and take it through the stages that may run
 * in parallel; one thread puts the outcomes back in order, runs what must be in order, and
 * writes the journal: records.jsonl, a line for each settled record. A record is settled
 * when it stands there and, if it was kept, when the sink has it; so a killed run goes on
 * where it was, and what it left half done is made again. failures.jsonl repeats the lines
 * of those that were not kept.
 */
#include "../data/record.h"
#include "../data/stream.h"
#include "../host.h"
#include "../mem.h"
#include "../registry.h"
#include "types.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_STAGES = 32, MOST_WORKERS = 64, MOST_REASONS = 64 };

typedef struct pipeline_params {
    evla_list stages; /* evla_choice */
    int64_t workers;
} pipeline_params;

static const evla_param params[] = {
    {.name = "stages",
     .doc = "source, filters and sink, in this order",
     .type = EVLA_P_LIST,
     .element = EVLA_P_ITEM,
     .choices = EVLA_STAGE,
     .offset = offsetof(pipeline_params, stages)},
    {.name = "workers",
     .doc =
         "threads that make records; 0: one per processor. The records do not depend on it",
     .preset = "0",
     .type = EVLA_P_INT,
     .min = 0,
     .max = MOST_WORKERS,
     .offset = offsetof(pipeline_params, workers)},
};

/* One stage of a pipeline that is checked or runs. */
typedef struct step {
    const evla_choice *choice;
    const evla_stage *table;
    const char *name;
    evla_schema out; /* after it */
    void *self;
    int is_open;
} step;

typedef struct reason {
    char name[64];
    int64_t n;
} reason;

typedef struct pipe {
    job *j;
    ctx *cx;
    host host;
    arena hold; /* what stages keep while they are open */
    step steps[MOST_STAGES];
    int32_t n_steps, n_workers;
    int is_described;
    int32_t in_order; /* first step that runs on the consuming thread */
    int64_t n;
    stream *stream;
    char *settled; /* n: 1 kept, 2 rejected by an earlier run */
    int journal, failures;
    reason reasons[MOST_REASONS];
    int32_t n_reasons;
    int64_t kept, rejected, resumed;
    int64_t ticks;
    int32_t status;
} pipe_run;

/* What became of one record. */
typedef struct outcome {
    evla_record *record; /* NULL when rejected or settled before */
    char *line;          /* its journal line, NULL when settled before */
    char reason[64];     /* "" when kept so far */
    int32_t status;
    char why[1024];
} outcome;

/* ---- check ---- */

static int32_t stage_failed(ctx *cx, const step *s, int32_t st)
{
    if (!cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
    if (!strstr(cx->why, s->name)) ctx_prefix(cx, "stage.%s", s->name);
    return cx->code;
}

static int32_t describe(pipe_run *p)
{
    const pipeline_params *given = p->j->params;
    const evla_choice *c = given->stages.items;
    ctx *cx = p->cx;
    if (given->stages.n < 1 || given->stages.n > MOST_STAGES)
        return ctx_fail(cx, EVLA_E_ARG, "pipeline \"%s\": want 1 to %d stages, got %lld",
                        p->j->name, MOST_STAGES, (long long)given->stages.n);
    p->n_steps = (int32_t)given->stages.n;
    for (int32_t i = 0; i < p->n_steps; i++) {
        step *s = &p->steps[i];
        *s = (step){.choice = &c[i], .table = c[i].item->table, .name = c[i].item->name};
        int last = i == p->n_steps - 1;
        const char *wanted = i == 0                  ? s->table->make ? NULL : "a source"
                             : s->table->take        ? NULL
                             : last && s->table->put ? NULL
                             : last                  ? "a filter or a sink"
                                                     : "a filter";
        if (wanted)
            return ctx_fail(
                cx, EVLA_E_ARG,
                "pipeline \"%s\": stage %d of %d, %s, cannot stand there: want %s",
                p->j->name, i + 1, p->n_steps, s->name, wanted);
        arena_place mark = arena_mark(&cx->scratch);
        s->out.size = sizeof s->out;
        int32_t st = s->table->describe(&p->host.table, s->choice->params,
                                        i ? &p->steps[i - 1].out : NULL, &s->out);
        host_done(&p->host, mark);
        if (st < 0) return stage_failed(cx, s, st);
        if (!s->out.fields && i)
            s->out = p->steps[i - 1].out; /* a sink need not repeat it */
    }
    p->is_described = 1;
    return 0;
}

const evla_schema *job_pipeline_schema(const job *j)
{
    const pipe_run *p = j->type == &job_pipeline ? j->checked : NULL;
    return p && p->is_described ? &p->steps[p->n_steps - 1].out : NULL;
}

/* The sink's first path parameter names what other jobs read. */
static int32_t name_result(pipe_run *p)
{
    const evla_choice *sink = p->steps[p->n_steps - 1].choice;
    const evla_stage *table = sink->item->table;
    if (p->n_steps < 2 || !table->put) return 0;
    for (uint32_t i = 0; i < sink->item->n_params; i++) {
        const evla_param *q = &sink->item->params[i];
        if (q->type != EVLA_P_PATH) continue;
        const char *path = *(const char *const *)((const char *)sink->params + q->offset);
        if (!path) continue;
        if (path_leaves(path))
            return ctx_fail(
                p->cx, EVLA_E_ARG,
                "stage.%s: %s: want a name below the job's folder, got \"%.200s\"; "
                "--out moves the folder",
                sink->item->name, q->name, path);
        p->j->result.path = arena_text(&p->cx->mem, "%s/%s", p->j->folder, path);
        return p->j->result.path ? 0 : ctx_fail(p->cx, EVLA_E_NOMEM, "%s", path);
    }
    return 0;
}

static int32_t pipeline_check(ctx *cx, job *j)
{
    pipe_run *p = arena_push(&cx->mem, 1, sizeof *p);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "pipeline %s", j->name);
    p->j = j;
    p->cx = cx;
    host_init(&p->host, cx, &cx->mem);
    j->checked = p;
    int32_t st = describe(p);
    return st < 0 ? st : name_result(p);
}

/* ---- journal ---- */

/* {"index":0,"kept":true,"reason":"",...attributes} */
static char *journal_line(ctx *cx, const evla_record *r, int64_t i, const char *why)
{
    enum { MOST = 64 };
    value_pair pairs[MOST + 3];
    int32_t n = 0;
    arena_place mark = arena_mark(&cx->scratch);
    pairs[n++] = (value_pair){"index", value_int(i)};
    pairs[n++] = (value_pair){"kept", value_bool(!*why)};
    pairs[n++] = (value_pair){"reason", value_text(why)};
    for (int32_t k = 0; k < r->n_attrs && n < MOST; k++) {
        const evla_attr *a = &r->attrs[k];
        pairs[n++] =
            (value_pair){a->name, a->type == EVLA_ATTR_INT     ? value_int(a->integer)
                                  : a->type == EVLA_ATTR_FLOAT ? value_float(a->number)
                                                               : value_text(a->text)};
    }
    value v = {.kind = VALUE_TABLE, .pairs = pairs, .n_pairs = n};
    const char *text = value_print(&cx->scratch, &v, NULL);
    char *line = text ? mem_alloc(strlen(text) + 2) : NULL;
    if (line) strcat(strcpy(line, text), "\n");
    arena_reset(&cx->scratch, mark);
    return line;
}

static int32_t count_reason(pipe_run *p, const char *name)
{
    int32_t i = 0;
    while (i < p->n_reasons && strcmp(p->reasons[i].name, name) != 0)
        i++;
    if (i == MOST_REASONS) i--; /* the last one gathers the rest */
    if (i == p->n_reasons) {
        snprintf(p->reasons[i].name, sizeof p->reasons[i].name, "%s", name);
        p->n_reasons++;
    }
    p->reasons[i].n++;
    return 0;
}

/* Reads the journal of an earlier run of the same key: whole lines only; a torn last one is
 * cut. */
static int32_t read_journal(pipe_run *p)
{
    ctx *cx = p->cx;
    const char *path = arena_text(&cx->mem, "%s/records.jsonl", p->j->folder),
               *fails = arena_text(&cx->mem, "%s/failures.jsonl", p->j->folder);
    char *text = NULL;
    size_t n = 0, at = 0;
    if (!path || !fails) return ctx_fail(cx, EVLA_E_NOMEM, "pipeline %s", p->j->name);
    if (access(path, F_OK) == 0 && file_read(cx, &cx->mem, path, 1u << 30, &text, &n) < 0)
        return cx->code;
    const step *sink = &p->steps[p->n_steps - 1];
    /* The journal is written anew from its good lines, so nothing stands in it twice. */
    p->journal = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    p->failures = open(fails, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (p->journal < 0 || p->failures < 0)
        return ctx_fail(cx, EVLA_E_IO, "%s: cannot open it: %s", path, strerror(errno));
    int64_t expect = 0;
    while (at < n) {
        char *end = memchr(text + at, '\n', n - at);
        if (!end) break;
        size_t length = (size_t)(end - text) - at;
        arena_place mark = arena_mark(&cx->scratch);
        value v;
        if (value_parse(&cx->scratch, text + at, length, &v, NULL) < 0) break;
        const value *index = value_get(&v, "index"), *kept = value_get(&v, "kept"),
                    *why = value_get(&v, "reason");
        int64_t i = index && index->kind == VALUE_INT ? index->as.i : -1;
        if (i != expect || i >= p->n || !kept || !why || why->kind != VALUE_TEXT) break;
        int is_kept = kept->as.i != 0;
        if (is_kept && sink->table->put && sink->table->has &&
            sink->table->has(&p->host.table, sink->self, i) != 1)
            break; /* the sink lost it: this one and what follows are made again */
        p->settled[i] = is_kept ? 1 : 2;
        if (is_kept)
            p->kept++;
        else
            p->rejected++, count_reason(p, why->as.text);
        p->resumed++;
        char *line = arena_copy_n(&cx->scratch, text + at, length + 1);
        if (!line || file_append(cx, p->journal, path, line) < 0 ||
            (!is_kept && file_append(cx, p->failures, fails, line) < 0))
            return cx->code ? cx->code : ctx_fail(cx, EVLA_E_NOMEM, "%s", path);
        arena_reset(&cx->scratch, mark);
        at += length + 1;
        expect++;
    }
    if (p->resumed)
        ctx_say(cx, EVLA_LOG_INFO,
                "%s: %lld of %lld records were settled by an earlier run", p->j->name,
                (long long)p->resumed, (long long)p->n);
    return 0;
}

/* ---- running ---- */

/* Takes a record through steps [from, to); on return o->record is what remains. */
static int32_t pass(pipe_run *p, host *h, outcome *o, int32_t from, int32_t to, int64_t i)
{
    int32_t st = 0;
    for (int32_t k = from; st >= 0 && k < to && o->record; k++) {
        const step *s = &p->steps[k];
        arena_place mark = arena_mark(&h->cx->scratch);
        if (k == p->n_steps - 1 && s->table->put) {
            /* found by an earlier run, but the journal had not heard of it */
            int32_t has = s->table->has ? s->table->has(&h->table, s->self, i) : 0;
            st = has < 0 ? has : has ? 0 : s->table->put(&h->table, s->self, o->record);
        } else {
            evla_record *out = NULL;
            const char *why = NULL;
            st = s->table->take(&h->table, s->self, o->record, &out, &why);
            if (st >= 0 && !out)
                snprintf(o->reason, sizeof o->reason, "%s", why ? why : s->name);
            if (st >= 0 && !out) {
                mem_free(o->line);
                o->line = journal_line(h->cx, o->record, i, o->reason);
            }
            if (out) out->index = i;
            if (st >= 0) {
                record_drop(o->record);
                o->record = out;
            }
        }
        host_done(h, mark);
        if (st < 0) stage_failed(h->cx, s, st);
    }
    return st;
}

static void *worker(void *to)
{
    pipe_run *p = to;
    ctx cx;
    host h;
    ctx_init_child(&cx, p->cx);
    host_init(&h, &cx, NULL);
    for (int64_t i; (i = stream_claim(p->stream)) >= 0;) {
        outcome *o = mem_alloc(sizeof *o);
        if (!o || p->settled[i]) {
            stream_put(p->stream, i, o);
            continue;
        }
        const step *source = &p->steps[0];
        arena_place mark = arena_mark(&cx.scratch);
        ctx_clear(&cx);
        o->status = source->table->make(&h.table, source->self, i, &o->record);
        host_done(&h, mark);
        if (o->status < 0)
            stage_failed(&cx, source, o->status);
        else {
            o->record->index = i;
            o->line = journal_line(&cx, o->record, i, "");
            if (!o->line)
                o->status = ctx_fail(&cx, EVLA_E_NOMEM, "record %lld", (long long)i);
        }
        if (o->status >= 0) o->status = pass(p, &h, o, 1, p->in_order, i);
        if (o->status < 0) memcpy(o->why, cx.why, sizeof o->why);
        stream_put(p->stream, i, o);
    }
    ctx_free(&cx);
    return NULL;
}

static void drop_outcome(outcome *o)
{
    if (!o) return;
    record_drop(o->record);
    mem_free(o->line);
    mem_free(o);
}

/* Says what is safe, whoever heard of the stop first. */
static int32_t stopped(pipe_run *p)
{
    return ctx_fail(p->cx, EVLA_E_STOPPED, "%s: stopped after %lld of %lld records",
                    p->j->name, (long long)(p->kept + p->rejected), (long long)p->n);
}

/* One outcome in its turn. */
static int32_t settle(pipe_run *p, int64_t i, outcome *o)
{
    ctx *cx = p->cx;
    if (!o) return ctx_fail(cx, EVLA_E_NOMEM, "record %lld", (long long)i);
    if (p->settled[i]) return 0;
    if (o->status < 0) {
        if (o->status == EVLA_E_STOPPED) return stopped(p);
        ctx_fail(cx, o->status, "%s", o->why);
        ctx_prefix(cx, "record %lld", (long long)i);
        return o->status;
    }
    if (o->record) {
        int32_t st = pass(p, &p->host, o, p->in_order, p->n_steps, i);
        if (st < 0) return st;
    }
    if (!o->line) return ctx_fail(cx, EVLA_E_NOMEM, "record %lld", (long long)i);
    if (file_append(cx, p->journal, "records.jsonl", o->line) < 0) return cx->code;
    if (*o->reason) {
        p->rejected++;
        count_reason(p, o->reason);
        return file_append(cx, p->failures, "failures.jsonl", o->line);
    }
    p->kept++;
    return 0;
}

static int32_t run_stream(pipe_run *p)
{
    pthread_t threads[MOST_WORKERS];
    int32_t n = 0;
    ctx *cx = p->cx;
    p->stream = stream_new(p->n, 2 * p->n_workers);
    if (!p->stream) return ctx_fail(cx, EVLA_E_NOMEM, "pipeline %s", p->j->name);
    while (n < p->n_workers && pthread_create(&threads[n], NULL, worker, p) == 0)
        n++;
    int32_t st = n ? 0
                   : ctx_fail(cx, EVLA_E_LIMIT, "pipeline %s: no thread could be started",
                              p->j->name);
    if (!n) stream_stop(p->stream);
    int64_t i;
    void *o;
    while (stream_next(p->stream, &i, &o)) {
        if (st >= 0) st = settle(p, i, o);
        drop_outcome(o);
        if (st >= 0 && ctx_stopping(cx)) st = stopped(p);
        if (st < 0)
            stream_stop(p->stream);
        else
            job_report_progress(p->j, i + 1, p->n, NULL);
    }
    for (int32_t k = 0; k < n; k++)
        pthread_join(threads[k], NULL);
    stream_free(p->stream);
    return st;
}

static int32_t open_steps(pipe_run *p)
{
    ctx *cx = p->cx;
    for (int32_t i = 0; i < p->n_steps; i++) {
        step *s = &p->steps[i];
        evla_site site = {.size = sizeof site,
                          .n_workers = p->n_workers,
                          .folder = p->j->folder,
                          .job = p->j->name,
                          .in = i ? &p->steps[i - 1].out : NULL};
        arena_place mark = arena_mark(&cx->scratch);
        int32_t st = s->table->open(&p->host.table, s->choice->params, &site, &s->self);
        host_done(&p->host, mark);
        if (st < 0) return stage_failed(cx, s, st);
        s->is_open = 1;
    }
    int32_t st = p->steps[0].table->count(&p->host.table, p->steps[0].self, &p->n);
    if (st < 0) return stage_failed(cx, &p->steps[0], st);
    if (p->n < 0 || p->n > (int64_t)1 << 32)
        return ctx_fail(cx, EVLA_E_RANGE, "stage.%s: %lld records, want 0 to 2^32",
                        p->steps[0].name, (long long)p->n);
    p->in_order = p->n_steps;
    for (int32_t i = p->n_steps - 1; i > 0; i--)
        if (!(p->steps[i].table->flags & EVLA_STAGE_PARALLEL)) p->in_order = i;
    p->settled = mem_alloc((size_t)p->n + 1);
    return p->settled ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "%lld records", (long long)p->n);
}

/* Stages may add an object of figures; it goes in under the stage's name. */
static int32_t add_report(pipe_run *p, const step *s)
{
    value v;
    const char *text = s->table->report ? s->table->report(&p->host.table, s->self) : NULL;
    if (!text) return 0;
    if (value_parse(&p->cx->mem, text, strlen(text), &v, NULL) < 0)
        return ctx_fail(p->cx, EVLA_E_BUG, "stage.%s: its report is no JSON: %.200s",
                        s->name, text);
    return job_figure(p->j, s->name, v);
}

static int32_t add_figures(pipe_run *p, double seconds)
{
    value_pair pairs[MOST_REASONS];
    for (int32_t i = 0; i < p->n_reasons; i++)
        pairs[i] = (value_pair){p->reasons[i].name, value_int(p->reasons[i].n)};
    value discarded = {.kind = VALUE_TABLE, .pairs = pairs, .n_pairs = p->n_reasons};
    value_sort(&discarded);
    int64_t made = p->n - p->resumed;
    int32_t st = job_figure(p->j, "attempted", value_int(p->n));
    if (st >= 0) st = job_figure(p->j, "kept", value_int(p->kept));
    if (st >= 0) st = job_figure(p->j, "discarded", discarded);
    if (st >= 0) st = job_figure(p->j, "resumed", value_int(p->resumed));
    if (st >= 0) st = job_figure(p->j, "workers", value_int(p->n_workers));
    if (st >= 0) st = job_figure(p->j, "run_seconds", value_float(seconds));
    if (st >= 0)
        st = job_figure(p->j, "attempts_per_min",
                        value_float(seconds > 0 ? 60.0 * (double)made / seconds : 0));
    for (int32_t i = 0; st >= 0 && i < p->n_steps; i++)
        st = add_report(p, &p->steps[i]);
    return st;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int32_t pipeline_run(ctx *cx, job *j)
{
    pipe_run *p = j->checked;
    const pipeline_params *given = j->params;
    p->n_workers = job_workers(j, given->workers, MOST_WORKERS);
    p->journal = p->failures = -1;
    p->hold = arena_growing(64 << 10);
    host_init(&p->host, cx, &p->hold);
    double from = seconds_now();
    int32_t st = open_steps(p);
    if (st >= 0) st = read_journal(p);
    if (st >= 0) st = run_stream(p);
    const step *sink = &p->steps[p->n_steps - 1];
    if (st >= 0 && p->n_steps > 1 && sink->table->put && sink->table->finish) {
        arena_place mark = arena_mark(&cx->scratch);
        job_report_progress(j, p->n, p->n, "finishing");
        st = sink->table->finish(&p->host.table, sink->self);
        host_done(&p->host, mark);
        if (st < 0) stage_failed(cx, sink, st);
    }
    if (st >= 0) st = add_figures(p, seconds_now() - from);
    for (int32_t i = p->n_steps - 1; i >= 0; i--)
        if (p->steps[i].is_open) p->steps[i].table->close(&p->host.table, p->steps[i].self);
    if (p->journal >= 0) close(p->journal);
    if (p->failures >= 0) close(p->failures);
    mem_free(p->settled);
    arena_free(&p->hold);
    return st;
}

const job_type job_pipeline = {
    .name = "pipeline",
    .result = "episodes",
    .doc = "records from a source through filters into a sink",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(pipeline_params),
    .check = pipeline_check,
    .run = pipeline_run,
};
