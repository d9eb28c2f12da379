/*
 * core/job: jobs, keys, skipping, resuming; the pipeline and the rollout over a tiny body.
 *
 * The sink of this test writes a digest of each record's bytes to a file of its own, so
 * that runs can be compared bit for bit.
 */
#include "data/record.h"
#include "job/job.h"
#include "job/sha256.h"
#include "plugin.h"
#include "tap.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- test doubles: a sink, a filter, a stage that fails ---- */

typedef struct sink_params {
    const char *path;
    int64_t fail_at;
} sink_params;

typedef struct sink {
    const sink_params *p;
    const evla_site *site;
    const char *folder;
    atomic_int puts;
} sink;

static int32_t same_describe(const evla_host *h, const void *p, const evla_schema *in,
                             evla_schema *out)
{
    (void)h, (void)p;
    *out = *in;
    return 0;
}

static int32_t sink_open(const evla_host *h, const void *p, const evla_site *site,
                         void **self)
{
    sink *s = h->hold(h, sizeof *s);
    char *folder = h->hold(h, strlen(site->folder) + 1);
    s->p = p;
    s->folder = strcpy(folder, site->folder);
    *self = s;
    return 0;
}

static void sink_close(const evla_host *h, void *self) { (void)h, (void)self; }

static void name_of(const sink *s, int64_t i, char out[4096])
{
    snprintf(out, 4096, "%s/%05lld.sum", s->folder, (long long)i);
}

static int32_t sink_put(const evla_host *h, void *self, const evla_record *r)
{
    sink *s = self;
    char path[4096], hex[65];
    if (s->p->fail_at == r->index) return h->fail(h, EVLA_E_IO, "sink: told to fail");
    sha256 sum;
    sha256_init(&sum);
    for (int32_t i = 0; i < r->n_fields; i++) {
        const evla_tensor *t = &r->fields[i].value;
        sha256_update(&sum, r->fields[i].name, strlen(r->fields[i].name));
        sha256_update(&sum, t->data[0], (size_t)(t->shape[0] * t->stride[0]));
    }
    for (int32_t i = 0; i < r->n_attrs; i++)
        sha256_update(&sum, &r->attrs[i].integer, sizeof r->attrs[i].integer);
    sha256_final_hex(&sum, hex);
    name_of(s, r->index, path);
    FILE *f = fopen(path, "w");
    fprintf(f, "%s %lld", hex, (long long)record_attr(r, "ticks")->integer);
    fclose(f);
    atomic_fetch_add(&s->puts, 1);
    return 0;
}

static int32_t sink_has(const evla_host *h, void *self, int64_t i)
{
    char path[4096];
    (void)h;
    name_of(self, i, path);
    return access(path, F_OK) == 0;
}

static int32_t sink_finish(const evla_host *h, void *self)
{
    sink *s = self;
    char path[4096];
    (void)h;
    snprintf(path, sizeof path, "%s/%s", s->folder, s->p->path);
    FILE *f = fopen(path, "w");
    fclose(f);
    return 0;
}

static const char *sink_report(const evla_host *h, void *self)
{
    (void)h;
    static _Thread_local char text[64];
    snprintf(text, sizeof text, "{\"puts\":%d}", atomic_load(&((sink *)self)->puts));
    return text;
}

static int32_t third_take(const evla_host *h, void *self, const evla_record *in,
                          evla_record **out, const char **reason)
{
    (void)self;
    if (in->index % 3 == 2) return *reason = "third", 0;
    h->record_keep(h, in);
    *out = (evla_record *)(uintptr_t)in;
    return 0;
}

static atomic_llong last_seen;
static atomic_int out_of_order;

/* Not parallel: must see records one after the other. */
static int32_t ordered_take(const evla_host *h, void *self, const evla_record *in,
                            evla_record **out, const char **reason)
{
    (void)self, (void)reason;
    if (in->index <= atomic_exchange(&last_seen, in->index))
        atomic_fetch_add(&out_of_order, 1);
    h->record_keep(h, in);
    *out = (evla_record *)(uintptr_t)in;
    return 0;
}

static int32_t plain_open(const evla_host *h, const void *p, const evla_site *site,
                          void **self)
{
    (void)h, (void)p, (void)site;
    *self = NULL;
    return 0;
}

static const evla_param sink_table[] = {
    {.name = "path",
     .doc = "file",
     .preset = "index",
     .type = EVLA_P_PATH,
     .offset = offsetof(sink_params, path)},
    {.name = "fail_at",
     .doc = "record that fails",
     .preset = "-1",
     .type = EVLA_P_INT,
     .offset = offsetof(sink_params, fail_at)},
};
static const evla_stage sink_stage = {.size = sizeof sink_stage,
                                      .flags = EVLA_STAGE_PARALLEL,
                                      .describe = same_describe,
                                      .open = sink_open,
                                      .close = sink_close,
                                      .put = sink_put,
                                      .has = sink_has,
                                      .finish = sink_finish,
                                      .report = sink_report};
static const evla_stage third_stage = {.size = sizeof third_stage,
                                       .flags = EVLA_STAGE_PARALLEL,
                                       .describe = same_describe,
                                       .open = plain_open,
                                       .close = sink_close,
                                       .take = third_take};
static const evla_stage ordered_stage = {.size = sizeof ordered_stage,
                                         .describe = same_describe,
                                         .open = plain_open,
                                         .close = sink_close,
                                         .take = ordered_take};
static const evla_item doubles[] = {
    {EVLA_STAGE, "sums", &sink_stage, "digests", sink_table, 2, sizeof(sink_params)},
    {EVLA_STAGE, "third", &third_stage, "drops every third", NULL, 0, 0},
    {EVLA_STAGE, "ordered", &ordered_stage, "wants order", NULL, 0, 0},
};
static const evla_plugin self = {.magic = EVLA_MAGIC,
                                 .size = sizeof self,
                                 .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                 .id = "test.doubles",
                                 .version = "0",
                                 .license = "Apache-2.0",
                                 .items = doubles,
                                 .n_items = 3};

/* ---- building programs by hand ---- */

static registry reg;
static ctx cx;
static char out[4096];
static atomic_int stop_flag;

static value table_of(int32_t n, ...)
{
    va_list ap;
    va_start(ap, n);
    value t = {.kind = VALUE_TABLE, .n_pairs = n};
    t.pairs = arena_push(&cx.mem, (size_t)n, sizeof *t.pairs);
    for (int32_t i = 0; i < n; i++) {
        t.pairs[i].name = va_arg(ap, const char *);
        t.pairs[i].v = va_arg(ap, value);
    }
    va_end(ap);
    value_sort(&t);
    return t;
}

static value choose(const char *kind, const char *name, value given)
{
    choice *c = arena_push(&cx.mem, 1, sizeof *c);
    param_site site = {.where = "test.lua:1", .what = name};
    c->item.item = registry_want(&cx, kind, name);
    c->given = given;
    if (!c->item.item ||
        param_fill_item(&cx, &cx.mem, &site, c->item.item, &given, &c->item.params))
        printf("Bail out! %s\n", cx.why);
    return (value){.kind = VALUE_REF, .ref_type = "choice", .as.ref = c};
}

static value list_of(int32_t n, ...)
{
    va_list ap;
    va_start(ap, n);
    value t = {.kind = VALUE_TABLE, .n_items = n};
    t.as.items = arena_push(&cx.mem, (size_t)n, sizeof(value));
    for (int32_t i = 0; i < n; i++)
        t.as.items[i] = va_arg(ap, value);
    va_end(ap);
    return t;
}

typedef struct plan {
    int64_t episodes, fail_at, fail_every, workers;
    int with_ordered, with_body;
} plan;

static program *declare(const char *name, plan w)
{
    program *p = program_new(&cx, name, out);
    value none = table_of(0);
    value body = w.fail_every ? table_of(1, "fail_every", value_int(w.fail_every)) : none;
    value source = choose(EVLA_STAGE, "rollout",
                          table_of(2, "body", choose(EVLA_BODY, "point", body), "episodes",
                                   value_int(w.episodes)));
    value third = choose(EVLA_STAGE, w.with_ordered ? "ordered" : "third", none);
    value to = choose(EVLA_STAGE, "sums", table_of(1, "fail_at", value_int(w.fail_at)));
    value given = table_of(2, "stages", list_of(3, source, third, to), "workers",
                           value_int(w.workers));
    job_declare(p, "pipeline", "demos", &given, "test.lua:9");
    return p;
}

static int32_t go(program *p)
{
    const char *report;
    ctx_clear(&cx);
    int32_t st = program_check(p, &report);
    return st < 0 ? st : program_run(p, NULL);
}

static int64_t figure(program *p, const char *name)
{
    const value *v = value_get(&p->jobs[0]->figures, name);
    return v ? v->as.i : -1;
}

/* All digests of a job's folder as one text. */
static const char *sums(const char *program_name, int64_t n)
{
    static char text[1 << 16];
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        char path[8192], line[128] = "-";
        snprintf(path, sizeof path, "%s/%s/demos/%05lld.sum", out, program_name,
                 (long long)i);
        FILE *f = fopen(path, "r");
        if (f && !fgets(line, sizeof line, f)) line[0] = 0;
        if (f) fclose(f);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s\n", line);
    }
    return text;
}

static int lines_in(const char *program_name, const char *file)
{
    char path[8192];
    int n = 0, c;
    snprintf(path, sizeof path, "%s/%s/demos/%s", out, program_name, file);
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    while ((c = fgetc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

static void test_workers(void)
{
    char first[1 << 16];
    for (int64_t w = 1; w <= 3; w++) {
        char name[16];
        snprintf(name, sizeof name, "w%lld", (long long)w);
        program *p = declare(name, (plan){.episodes = 30, .fail_at = -1, .workers = w});
        ok(go(p) == 0, "%lld workers: the pipeline runs (%s)", (long long)w, cx.why);
        ok(figure(p, "kept") == 20 && figure(p, "attempted") == 30,
           "20 of 30 records are kept");
        ok(lines_in(name, "records.jsonl") == 30, "the journal has a line for each record");
        ok(lines_in(name, "failures.jsonl") == 10, "rejected ones go to the side file");
        if (w == 1)
            strcpy(first, sums(name, 30));
        else
            ok(!strcmp(first, sums(name, 30)), "%lld workers make the same bits as one",
               (long long)w);
        program_free(p);
    }
    ok(record_alive() == 0, "no record is left over (%lld)", (long long)record_alive());
    atomic_store(&last_seen, -1);
    program *p = declare(
        "ordered", (plan){.episodes = 40, .fail_at = -1, .workers = 4, .with_ordered = 1});
    ok(go(p) == 0 && figure(p, "kept") == 40, "a stage that is not parallel runs (%s)",
       cx.why);
    ok(atomic_load(&out_of_order) == 0, "it sees the records in order");
    program_free(p);
}

static void test_skip_and_resume(void)
{
    plan w = {.episodes = 30, .fail_at = -1, .workers = 2};
    program *p = declare("w1", (plan){.episodes = 30, .fail_at = -1, .workers = 1});
    ok(go(p) == 0 && p->jobs[0]->state == JOB_SKIPPED, "a finished job is skipped");
    ok(figure(p, "kept") == 20, "and its figures are still there");
    program_free(p);

    /* a failing sink stops the run; what was committed stays, the next run completes the
     * set */
    w.fail_at = 16;
    p = declare("resume", w);
    ok(go(p) == EVLA_E_IO, "a failing sink is an error");
    ok(strstr(cx.why, "record 16") && strstr(cx.why, "told to fail"),
       "it names the record: %s", cx.why);
    program_free(p);
    ok(record_alive() == 0, "no record is left over after a failure");

    /* killed between two runs of the same key: drop the journal's tail and a committed
     * record */
    p = declare("torn", (plan){.episodes = 30, .fail_at = -1, .workers = 2});
    go(p);
    program_free(p);
    char path[8192], whole[1 << 16];
    strcpy(whole, sums("torn", 30));
    snprintf(path, sizeof path, "%s/torn/demos/job.json", out);
    unlink(path);
    snprintf(path, sizeof path, "%s/torn/demos/00012.sum", out);
    unlink(path);
    snprintf(path, sizeof path, "%s/torn/demos/records.jsonl", out);
    struct stat st;
    stat(path, &st);
    if (truncate(path, st.st_size - 100) < 0) perror(path);
    p = declare("torn", (plan){.episodes = 30, .fail_at = -1, .workers = 2});
    ok(go(p) == 0 && p->jobs[0]->state == JOB_DONE, "a torn run goes on (%s)", cx.why);
    ok(figure(p, "resumed") == 12, "up to the record that was lost (%lld)",
       (long long)figure(p, "resumed"));
    const value *puts = value_get(value_get(&p->jobs[0]->figures, "sums"), "puts");
    ok(puts && puts->as.i == 1, "only the lost record is stored again (%lld)",
       puts ? (long long)puts->as.i : -1);
    ok(!strcmp(whole, sums("torn", 30)) && lines_in("torn", "records.jsonl") == 30,
       "and the set is the same as without the accident");
    program_free(p);

    /* stopping */
    atomic_store(&stop_flag, 1);
    p = declare("stopped", w);
    ok(go(p) == EVLA_E_STOPPED, "a stop ends the run with its own status");
    program_free(p);
    atomic_store(&stop_flag, 0);

    /* changed parameters: other key, the old folder is set aside */
    p = declare("w1", (plan){.episodes = 6, .fail_at = -1, .workers = 1});
    ok(go(p) == 0 && p->jobs[0]->state == JOB_DONE && figure(p, "kept") == 4,
       "other parameters make the job run again");
    snprintf(path, sizeof path, "%s/w1/demos.old/00029.sum", out);
    snprintf(whole, sizeof whole, "%s/w1/demos.old/00028.sum", out);
    ok(access(whole, F_OK) == 0, "and the earlier result is set aside, not mixed in");
    program_free(p);
}

static void test_refusals(void)
{
    program *p = program_new(&cx, "bad", out);
    value none = table_of(0);
    value source = choose(EVLA_STAGE, "rollout",
                          table_of(1, "body", choose(EVLA_BODY, "point", none)));
    value third = choose(EVLA_STAGE, "third", none);
    value given = table_of(1, "stages", list_of(2, third, source));
    const char *report;
    ctx_clear(&cx);
    ok(job_declare(p, "pipeline", "demos", &given, "x.lua:3") != NULL, "a job is declared");
    ok(program_check(p, &report) == EVLA_E_ARG && strstr(cx.why, "want a source"),
       "a filter cannot stand first: %s", cx.why);
    ok(strstr(cx.why, "x.lua:3") != NULL, "the sentence names the line");
    ctx_clear(&cx);
    ok(!job_declare(p, "pipeline", "demos", &given, "x.lua:4") && strstr(cx.why, "x.lua:3"),
       "a name can be used once: %s", cx.why);
    ctx_clear(&cx);
    ok(!job_declare(p, "pipeline", "../demos", &given, "x.lua:5"), "a name is no path: %s",
       cx.why);
    ctx_clear(&cx);
    ok(!job_declare(p, "pipelin", "a", &given, "x.lua:6"), "unknown type: %s", cx.why);
    ctx_clear(&cx);
    value odd = table_of(1, "stagess", list_of(0));
    ok(!job_declare(p, "pipeline", "a", &odd, "x.lua:7") &&
           strstr(cx.why, "did you mean \"stages\""),
       "near miss: %s", cx.why);
    ctx_clear(&cx);
    value source_with_job = choose(EVLA_STAGE, "rollout",
                                   table_of(1, "body", choose(EVLA_BODY, "point", none)));
    given = table_of(1, "stages", list_of(2, source_with_job, third));
    job *a = job_declare(p, "pipeline", "a", &given, "x.lua:8");
    job *b = job_declare(p, "pipeline", "b", &given, "x.lua:9");
    ok(a && b, "two more jobs are declared: %s", cx.why);
    /* no script can close a circle, since a value exists only after it was made; a table
     * might */
    a->needs = (job *[]){b};
    a->n_needs = 1;
    b->needs = (job *[]){a};
    b->n_needs = 1;
    ok(program_check(p, &report) == EVLA_E_ARG && strstr(cx.why, "circle"), "a circle: %s",
       cx.why);
    program_free(p);
}

int main(void)
{
    const char *build = getenv("EVLA_BUILD");
    char path[4096], name[] = "/tmp/evla-job-XXXXXX";
    snprintf(path, sizeof path, "%s/tests/plugins/body_point.so", build ? build : "build");
    snprintf(out, sizeof out, "%s", mkdtemp(name));
    registry_init(&reg);
    ctx_init(&cx, &reg);
    cx.stop = &stop_flag;
    cx.log_level = EVLA_LOG_ERROR;
    int32_t st = plugin_add(&cx, &reg, "core", &job_builtin);
    if (st >= 0) st = plugin_add(&cx, &reg, "doubles", &self);
    if (st >= 0) st = plugin_load(&cx, &reg, path);
    if (st >= 0) st = plugin_seal(&cx, &reg);
    if (!ok(st == 0, "the plugins load (%s)", cx.why)) return tap_done();
    test_workers();
    test_skip_and_resume();
    test_refusals();
    folder_remove(&cx, out);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
