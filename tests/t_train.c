/*
 * core/job/train*.c: a small net learns a known map from rows of a service of the test's
 * own: the loss falls, the bits are the same for any number of workers and after any stop,
 * a step allocates nothing, and what cannot work is refused before it runs.
 */
#include "count_malloc.h" /* see t_malloc.c, which proves that counting works */
#include "graph/bundle.h"
#include "graph/graph.h"
#include "job/job.h"
#include "job/sha256.h"
#include "job/types.h"
#include "mem.h"
#include "plugin.h"
#include "tap.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- data: obs/x is any, far from 0; y is a known map of it ---- */

enum { EPISODES = 20, TICKS = 50 };

/* Rows read one by one: at `stop_at_read` the user asks to stop. */
static atomic_llong n_reads;
static long long stop_at_read;
static atomic_int stop_flag;
static int is_valid_huge; /* targets of held-out rows whose squares f32 cannot hold */

static double draw(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)(z >> 11) * 0x1p-52 - 1;
}

static double plain_x(int64_t i, int64_t t, int64_t k)
{
    return draw((uint64_t)((i * 1000 + t) * 4 + k));
}

static void row(int64_t i, int64_t t, float *x, float *y)
{
    double v[3];
    for (int k = 0; k < 3; k++)
        v[k] = plain_x(i, t, k);
    for (int k = 0; k < 3 && x; k++)
        x[k] = (float)(k == 2 ? 7 : 300 + 50 * v[k]); /* the last one never changes */
    if (!y) return;
    y[0] = (float)(v[0] - 0.5 * v[1]);
    y[1] = (float)(0.3 + 0.8 * v[1]);
}

typedef struct opened {
    int64_t first, n;
} opened;

static int32_t fr_open(const evla_host *h, const char *path, const char *mask, void **self)
{
    (void)h, (void)path;
    opened *o = calloc(1, sizeof *o);
    int is_valid = mask && !strcmp(mask, "valid");
    *o = (opened){is_valid ? EPISODES : 0, is_valid ? 4 : EPISODES};
    if (strstr(path, "more")) o->first += 100;
    return *self = o, 0;
}

static void fr_close(const evla_host *h, void *self)
{
    (void)h;
    free(self);
}

static int64_t fr_count(const evla_host *h, void *self)
{
    (void)h;
    return ((opened *)self)->n;
}

static int32_t fr_type(const evla_host *h, void *self, int64_t i, const char *field,
                       evla_type *out)
{
    (void)h, (void)self, (void)i;
    if (!strcmp(field, "obs/x"))
        *out = (evla_type){EVLA_F32, 2, {TICKS, 3}};
    else if (!strcmp(field, "y"))
        *out = (evla_type){EVLA_F32, 2, {TICKS, 2}};
    else
        return EVLA_E_MISSING;
    return 0;
}

static void watch(void)
{
    long long k = atomic_fetch_add(&n_reads, 1) + 1;
    if (k == stop_at_read) atomic_store(&stop_flag, 1);
}

static int32_t fr_read(const evla_host *h, void *self, int64_t i, const char *field,
                       int64_t first, int64_t n, void *out, uint64_t out_bytes)
{
    (void)h, (void)out_bytes;
    if (n == 1) watch();
    int is_x = !strcmp(field, "obs/x");
    for (int64_t t = 0; t < n; t++)
        row(((opened *)self)->first + i, first + t, is_x ? (float *)out + 3 * t : NULL,
            is_x ? NULL : (float *)out + 2 * t);
    if (is_valid_huge && !is_x && ((opened *)self)->first == EPISODES)
        ((float *)out)[0] = 1e30f;
    return 0;
}

static int32_t fr_attr(const evla_host *h, void *self, int64_t i, const char *name,
                       evla_attr *out)
{
    (void)h, (void)self, (void)i, (void)name, (void)out;
    return EVLA_E_MISSING;
}

#include "frames_plugin.h"

/* ---- a model and programs ---- */

static registry reg;
static ctx cx;
static char out[4096];
static model *models[1024];
static int n_models;

static int32_t op(graph *g, const char *name, const char *params, int32_t a, int32_t b,
                  int32_t c)
{
    graph_arg args[3];
    int32_t n = 0, made = -1, in[] = {a, b, c};
    value v = {0};
    for (int i = 0; i < 3; i++)
        if (in[i] >= 0) args[n++] = (graph_arg){NULL, in[i]};
    if (params) value_parse(&cx.mem, params, strlen(params), &v, NULL);
    graph_add(&cx, g, name, args, n, &v, "net.lua:5", &made);
    return made;
}

static int32_t weight(graph *g, const char *name, const char *type, const char *init)
{
    int32_t w = -1;
    graph_weight(&cx, g, name, type, init, "net.lua:3", &w);
    return w;
}

static int32_t net(graph *g)
{
    int32_t x;
    graph_input(&cx, g, "obs/x", "f32[B,3]", "net.lua:2", &x);
    x = op(g, "sub", NULL, x, weight(g, "x.mean", "f32[3]", "mean:obs/x"), -1);
    x = op(g, "div", NULL, x, weight(g, "x.std", "f32[3]", "std:obs/x"), -1);
    x = op(g, "linear", "{\"out\":16}", x, weight(g, "1.w", NULL, NULL),
           weight(g, "1.b", NULL, NULL));
    x = op(g, "tanh", NULL, x, -1, -1);
    return op(g, "linear", "{\"out\":2}", x, weight(g, "2.w", NULL, NULL),
              weight(g, "2.b", NULL, NULL));
}

/* Graphs policy and loss over the same weights; `wide` makes another model. */
static model *net_model(void)
{
    model *m = NULL;
    graph *g;
    int32_t y;
    if (model_new(&cx, "net", &m) < 0) return NULL;
    graph_new(&cx, m, "policy", "net.lua:1", &g);
    graph_output(&cx, g, "action", net(g), "net.lua:6");
    graph_new(&cx, m, "loss", "net.lua:1", &g);
    int32_t action = net(g);
    graph_input(&cx, g, "y", "f32[B,2]", "net.lua:2", &y);
    graph_output(&cx, g, "loss", op(g, "mse_loss", NULL, action, y, -1), "net.lua:6");
    graph_output(&cx, g, "action", action, "net.lua:6");
    graph_new(&cx, m, "recurrent", "net.lua:7", &g);
    int32_t h;
    action = net(g);
    graph_input(&cx, g, "y", "f32[B,2]", "net.lua:8", &y);
    graph_state(&cx, g, "h", "f32[B,2]", NULL, "net.lua:9", &h);
    graph_output(&cx, g, "loss",
                 op(g, "mse_loss", NULL, op(g, "add", NULL, action, h, -1), y, -1),
                 "net.lua:9");
    graph_output(&cx, g, "h", op(g, "assign", NULL, h, action, -1), "net.lua:9");
    if (n_models < 1024) models[n_models++] = m;
    return m;
}

static value ref(job *j)
{
    return (value){.kind = VALUE_REF, .ref_type = "job", .as.ref = j};
}

/* A table from JSON with further entries. */
static value table(const char *json, const value_pair *more, int32_t n)
{
    value v = {.kind = VALUE_TABLE};
    size_t at = 0;
    if (value_parse(&cx.mem, json, strlen(json), &v, &at) < 0) note("%s: bad JSON", json);
    value_pair *pairs = arena_push(&cx.mem, (size_t)(v.n_pairs + n) + 1, sizeof *pairs);
    if (v.n_pairs) memcpy(pairs, v.pairs, (size_t)v.n_pairs * sizeof *pairs);
    if (n) memcpy(pairs + v.n_pairs, more, (size_t)n * sizeof *pairs);
    v.pairs = pairs;
    v.n_pairs += n;
    value_sort(&v);
    return v;
}

typedef struct setup {
    program *p;
    job *model, *data, *more, *train;
} setup;

/* Programs of one name share their folder. init: another train job before this one. */
static setup declare(const char *name, const char *json, const char *init_json)
{
    setup s = {0};
    ctx_clear(&cx);
    atomic_store(&stop_flag, 0);
    s.p = program_new(&cx, name, out);
    value file = table("{\"file\":\"net.lua\"}", NULL, 0);
    value path = table("{\"path\":\"/data/a\"}", NULL, 0),
          path_more = table("{\"path\":\"/data/more\"}", NULL, 0);
    s.model = job_declare(s.p, "model", "net", &file, "x.lua:1");
    if (s.model) job_model_give(s.model, net_model());
    s.data = job_declare(s.p, "dataset", "mine", &path, "x.lua:2");
    s.more = job_declare(s.p, "dataset", "more", &path_more, "x.lua:3");
    value list[2] = {ref(s.data), ref(s.more)};
    value one = {.kind = VALUE_TABLE, .n_items = 1, .as.items = list},
          both = {.kind = VALUE_TABLE, .n_items = 2, .as.items = list};
    value_pair more[] = {{"data", one}, {"model", ref(s.model)}, {NULL, {0}}};
    int32_t n = 2;
    if (init_json) {
        value given = table(init_json, more, 2);
        job *first = job_declare(s.p, "train", "first", &given, "x.lua:4");
        more[0].v = both;
        more[n++] = (value_pair){"init", ref(first)};
    }
    value given = table(json, more, n);
    s.train = job_declare(s.p, "train", "policy", &given, "x.lua:5");
    return s;
}

static int32_t go(setup *s, int32_t workers)
{
    const char *report;
    s->p->workers = workers;
    int32_t st = s->train ? program_check(s->p, &report) : cx.code;
    return st < 0 ? st : program_run(s->p, NULL);
}

static double figure(const setup *s, const char *name)
{
    const value *v = value_get(&s->train->figures, name);
    return !v ? -1 : v->kind == VALUE_FLOAT ? v->as.f : (double)v->as.i;
}

static const char *result_digest(const setup *s)
{
    static char hex[4][65];
    static int k;
    k = (k + 1) % 4;
    if (sha256_file(s->train->result.path, hex[k]) < 0) strcpy(hex[k], "none");
    return hex[k];
}

static const char *file_of(const char *program_name, const char *rest)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s/policy/%s", out, program_name, rest);
    return path;
}

#define BASE                                                                               \
    "\"steps\":400,\"batch\":32,\"lr\":0.02,\"seed\":3,\"schedule\":\"cosine\","           \
    "\"warmup\":20"

/* ---- tests ---- */

static float weight_at(const setup *s, const char *name, int at)
{
    bundle b;
    if (bundle_open(&cx, s->train->result.path, "evla.model", &b) < 0) return NAN;
    const bundle_part *p = bundle_find(&b, name);
    float v = p ? ((const float *)p->data)[at] : NAN;
    bundle_close(&b);
    return v;
}

static char plain[65];

static void learns(void)
{
    setup s = declare("learns", "{" BASE "}", NULL);
    ok(go(&s, 1) == 0, "a net is trained %s", cx.why);
    ok(figure(&s, "loss_first") > 0.05 && figure(&s, "loss_last") < 0.002,
       "its loss falls from %.3g to %.3g", figure(&s, "loss_first"),
       figure(&s, "loss_last"));
    ok(figure(&s, "valid_loss") < 0.002 && figure(&s, "valid_rows") == 4 * TICKS,
       "also on rows that it has not seen: %.3g", figure(&s, "valid_loss"));
    ok(figure(&s, "steps") == 400 && figure(&s, "rows") == EPISODES * TICKS &&
           figure(&s, "parameters") == 3 * 16 + 16 + 16 * 2 + 2 &&
           figure(&s, "weights") == 4,
       "figures count steps, rows and parameters");
    ok(figure(&s, "lower_bound_bytes") > 0 &&
           figure(&s, "arena_bytes") <= 1.05 * figure(&s, "lower_bound_bytes"),
       "the arena, %.0f bytes, is within 1.05x of its lower bound",
       figure(&s, "arena_bytes"));
    double mean = 0, square = 0;
    for (int i = 0; i < EPISODES; i++)
        for (int t = 0; t < TICKS; t++)
            mean += 300 + 50 * plain_x(i, t, 0);
    mean /= EPISODES * TICKS;
    for (int i = 0; i < EPISODES; i++)
        for (int t = 0; t < TICKS; t++)
            square += pow(300 + 50 * plain_x(i, t, 0) - mean, 2);
    double spread = sqrt(square / (EPISODES * TICKS));
    ok(fabs((double)weight_at(&s, "w:x.mean", 0) - mean) < 1e-4 &&
           fabs((double)weight_at(&s, "w:x.std", 0) - spread) < 1e-4,
       "the model file holds the data's mean, %.4f, and deviation, %.4f", mean, spread);
    ok(weight_at(&s, "w:x.mean", 2) == 7 && weight_at(&s, "w:x.std", 2) == 1,
       "what never changes divides by 1");
    char *text;
    size_t n;
    value curve;
    int good =
        file_read(&cx, &cx.mem, file_of("learns", "curve.json"), 1 << 20, &text, &n) >= 0 &&
        value_parse(&cx.mem, text, n, &curve, NULL) >= 0;
    const value *loss = good ? value_get(&curve, "loss") : NULL,
                *lr = good ? value_get(&curve, "lr") : NULL,
                *valid = good ? value_get(value_get(&curve, "valid"), "step") : NULL;
    ok(loss && loss->n_items == 400 && lr->n_items == 400 && valid->n_items == 10,
       "the curve has every step and ten measurements");
    ok(lr && fabs(lr->as.items[0].as.f - 0.001) < 1e-12 && lr->as.items[19].as.f == 0.02 &&
           lr->as.items[399].as.f < 1e-12,
       "the learning rate warms up and falls to nothing");
    strcpy(plain, result_digest(&s));
    ok(go(&s, 1) == 0 && s.train->state == JOB_SKIPPED, "a second run has nothing to do");
    program_free(s.p);
    s = declare("two", "{" BASE "}", NULL);
    ok(go(&s, 2) == 0 && !strcmp(result_digest(&s), plain),
       "two workers make the same bits %s", cx.why);
    program_free(s.p);
    s = declare("deep", "{" BASE ",\"recompute\":\"deep\"}", NULL);
    int32_t st = go(&s, 1);
    ok(st == 0 && !strcmp(result_digest(&s), plain) &&
           figure(&s, "recomputed_bytes") <= figure(&s, "kept_bytes"),
       "so does a step that computes again what it did not keep: %.0f bytes, not %.0f %s",
       figure(&s, "recomputed_bytes"), figure(&s, "kept_bytes"), cx.why);
    program_free(s.p);
    s = declare("rows", "{" BASE ",\"cache\":0}", NULL);
    ok(go(&s, 1) == 0 && !strcmp(result_digest(&s), plain) &&
           figure(&s, "cached_bytes") == 0,
       "so do rows that are read one by one %s", cx.why);
    program_free(s.p);
}

/* Stopped again and again by the user, at places that nobody chose; want: the digest of a
 * run that nobody stopped. */
static void resumes(const char *name, const char *json, int reads, const char *want)
{
    int stops = 0, wrong = 0;
    for (int k = 0; k < 40; k++) {
        setup s = declare(name, json, NULL);
        atomic_store(&n_reads, 0);
        stop_at_read = reads + (reads + 211) * k; /* ever more of them each time */
        int32_t st = go(&s, 1 + k % 2);
        stop_at_read = 0;
        if (st == 0) {
            ok(stops > 3 && !wrong, "%s: stopped %d times, it said so every time", name,
               stops);
            ok(!strcmp(result_digest(&s), want),
               "and ends with the bits of an undisturbed run");
            ok(figure(&s, "resumed_at") > 0, "it went on from step %.0f",
               figure(&s, "resumed_at"));
            program_free(s.p);
            return;
        }
        wrong += st != EVLA_E_STOPPED || !strstr(cx.why, "00 steps");
        stops++;
        program_free(s.p);
    }
    ok(0, "it never came to an end: %s", cx.why);
}

/* Sums of gradients begin at 0 after each update, and measurements lie between. */
static void resumes_sums(void)
{
    static const char json[] = "{\"steps\":100,\"batch\":8,\"accumulate\":3,\"lr\":0.02,"
                               "\"valid_every\":7,\"cache\":0,\"checkpoint\":0}";
    char want[65];
    setup s = declare("sums", json, NULL);
    ok(go(&s, 1) == 0, "averages of three batches are trained on %s", cx.why);
    strcpy(want, result_digest(&s));
    program_free(s.p);
    resumes("sums_stopped", json, 300, want);
}

/* A checkpoint that was cut, or is of another training, is left aside. */
static void damaged(void)
{
    static const char *const title[] = {"a torn checkpoint", "a checkpoint of zeros",
                                        "another job's checkpoint"};
    for (int k = 0; k < 3; k++) {
        const char *json = "{" BASE ",\"cache\":0,\"checkpoint\":0}";
        setup s = declare("damaged", json, NULL);
        atomic_store(&n_reads, 0);
        stop_at_read = 9000;
        folder_remove(&cx, file_of("damaged", ""));
        int32_t st = go(&s, 1);
        stop_at_read = 0;
        program_free(s.p);
        char *bytes;
        size_t n;
        const char *path = file_of("damaged", "checkpoint.evla");
        ctx_clear(&cx);
        if (st != EVLA_E_STOPPED ||
            file_read(&cx, &cx.mem, path, 1 << 24, &bytes, &n) < 0) {
            ok(0, "%s: %s", title[k], cx.why);
            continue;
        }
        if (k == 1) memset(bytes, 0, n);
        for (size_t i = 0; k == 2 && i + 8 < n; i++)
            if (!memcmp(bytes + i, "\"key\":\"", 7)) bytes[i + 7] ^= 1;
        file_replace(&cx, path, bytes, k == 0 ? n / 2 : n);
        s = declare("damaged", json, NULL);
        ok(go(&s, 1) == 0 && figure(&s, "resumed_at") == 0 &&
               !strcmp(result_digest(&s), plain),
           "%s is left aside; the bits are the same %s", title[k], cx.why);
        program_free(s.p);
    }
}

#ifndef EVLA_LIBC_MALLOC
/* Allocations of the whole process, from the first progress report to the last, between
 * which there are only steps. */
static int64_t first_done, last_done;
static long long first_count, last_count;

static void watch_progress(void *to, const job *j, int64_t done, int64_t total,
                           const char *text)
{
    (void)to, (void)text;
    /* before the feed has no more to do and its thread ends */
    if (strcmp(j->name, "policy") != 0 || done > total - 3000) return;
    last_done = done;
    last_count = atomic_load(&counted);
    if (first_done) return;
    first_done = done;
    first_count = last_count;
}

static void allocates_nothing(const char *cache)
{
    for (int workers = 1; workers <= 2; workers++) {
        char json[300];
        snprintf(json, sizeof json,
                 "{\"steps\":40000,\"batch\":32,\"valid\":\"\",\"checkpoint\":0%s}", cache);
        setup s = declare("malloc", json, NULL);
        folder_remove(&cx, file_of("malloc", ""));
        first_done = last_done = 0;
        first_count = last_count = 0;
        s.p->progress = watch_progress;
        int32_t st = go(&s, workers);
        ok(st == 0 && last_done - first_done >= 1000 && last_count == first_count,
           "%lld steps with %d worker%s%s allocate %lld times, on any thread %s",
           (long long)(last_done - first_done), workers, workers > 1 ? "s" : "",
           *cache ? " and rows from files" : "", last_count - first_count, cx.why);
        program_free(s.p);
    }
}
#endif

#ifndef EVLA_LIBC_MALLOC
/* The disk is full from one operation on, or one fails, among all operations that change
 * files (preload_io.c): a sentence says so, and the next run ends with the same bits. */
static void disk_fails(void)
{
    enum { FULL_INSIDE = 4, ONE_EIO = 5 };
    static const char json[] = "{\"steps\":4,\"batch\":8,\"accumulate\":2,"
                               "\"checkpoint\":0,\"checkpoint_steps\":2}";
    void *a = dlsym(RTLD_DEFAULT, "preload_io_arm"),
         *c = dlsym(RTLD_DEFAULT, "preload_io_count");
    void (*arm)(long, int);
    long (*count)(void), n, tried = 0, said = 0, silent = 0, other = 0;
    char want[65];
    if (!a || !c) {
        ok(1, "a disk that fails # SKIP preload_io.so is not there");
        return;
    }
    memcpy(&arm, &a, sizeof arm);
    memcpy(&count, &c, sizeof count);
    setup s = declare("disk", json, NULL);
    arm(1000000, ONE_EIO);
    int32_t st = go(&s, 1);
    n = count();
    arm(0, 0);
    ok(st == 0 && n > 40, "a small training changes files %ld times %s", n, cx.why);
    strcpy(want, result_digest(&s));
    program_free(s.p);
    for (long k = 1; k <= 2 * n; k += 7, tried++) { /* odd and even in turn */
        folder_remove(&cx, file_of("disk", ".."));
        s = declare("disk", json, NULL);
        arm((k + 1) / 2, k % 2 ? ONE_EIO : FULL_INSIDE);
        st = go(&s, 1);
        arm(0, 0);
        said += st < 0 && *cx.why;
        silent +=
            st < 0 && (!*cx.why || (k % 2 == 0 && !strstr(cx.why, "free some space")));
        ctx_clear(&cx);
        program_free(s.p);
        s = declare("disk", json, NULL);
        other += go(&s, 1) != 0 || strcmp(result_digest(&s), want) != 0;
        program_free(s.p);
    }
    ok(said > tried * 3 / 4 && !silent,
       "of %ld failures %ld are told, none without a sentence", tried, said);
    ok(other == 0, "and each next run ends with the same bits");
}
#endif

static void goes_wrong(void)
{
    setup s = declare(
        "wild",
        "{\"steps\":200,\"batch\":32,\"lr\":1e30,\"clip\":0,\"checkpoint_steps\":1}", NULL);
    int32_t st = go(&s, 1);
    ok(st == EVLA_E_RANGE && strstr(cx.why, " at step ") && strstr(cx.why, "smaller lr"),
       "a loss beyond all numbers stops it: %s", cx.why);
    ok(access(file_of("wild", "checkpoint.evla"), F_OK) == 0 &&
           access(file_of("wild", "policy.evla"), F_OK) < 0,
       "the last good checkpoint is kept, and there is no model");
    program_free(s.p);
}

/* The loss that is made small is fine, the other is no number. */
static void goes_wrong_elsewhere(void)
{
    is_valid_huge = 1;
    setup s = declare("held", "{\"steps\":20,\"batch\":32}", NULL);
    int32_t st = go(&s, 1);
    is_valid_huge = 0;
    ok(st == EVLA_E_RANGE && strstr(cx.why, "on held-out rows is inf after step 2,"),
       "so does one on held-out rows: %s", cx.why);
    program_free(s.p);
}

static void continues(void)
{
    static const char first[] = "{\"steps\":50,\"batch\":32,\"lr\":0.02}";
    setup s = declare("dagger", "{\"steps\":50,\"batch\":32,\"lr\":0.01}", first);
    ok(go(&s, 1) == 0, "a second round starts from the first, on two datasets %s", cx.why);
    job *f = NULL;
    for (int32_t i = 0; i < s.p->n_jobs; i++)
        if (!strcmp(s.p->jobs[i]->name, "first")) f = s.p->jobs[i];
    setup of_first = {.p = s.p, .train = f};
    ok(figure(&s, "loss_first") < 0.5 * figure(&of_first, "loss_first"),
       "its loss begins where the other ended: %.3g after %.3g", figure(&s, "loss_first"),
       figure(&of_first, "loss_first"));
    ok(figure(&s, "rows") == 2 * EPISODES * TICKS, "rows of both datasets count");
    ok(weight_at(&s, "w:x.mean", 0) == weight_at(&of_first, "w:x.mean", 0) &&
           !strcmp(value_get(&s.train->figures, "statistics")->as.text, "kept"),
       "statistics stay those the weights were made for");
    program_free(s.p);
    s = declare("dagger", "{\"steps\":50,\"batch\":32,\"lr\":0.01,\"statistics\":\"data\"}",
                first);
    ok(go(&s, 1) == 0 &&
           weight_at(&s, "w:x.mean", 0) != weight_at(&of_first, "w:x.mean", 0),
       "unless the data's are asked for %s", cx.why);
    program_free(s.p);
}

static void accumulates(void)
{
    setup s = declare("whole", "{\"steps\":60,\"batch\":64,\"lr\":0.01}", NULL);
    int32_t st = go(&s, 1);
    double whole = figure(&s, "loss_last");
    float w = weight_at(&s, "w:2.w", 3);
    program_free(s.p);
    s = declare("parts", "{\"steps\":60,\"batch\":16,\"accumulate\":4,\"lr\":0.01}", NULL);
    ok(st == 0 && go(&s, 1) == 0 && fabs(figure(&s, "loss_last") / whole - 1) < 1e-3 &&
           fabs((double)(weight_at(&s, "w:2.w", 3) - w)) < 1e-3,
       "four batches of 16 do what one of 64 does %s", cx.why);
    program_free(s.p);
}

static void freezes(void)
{
    setup s = declare("frozen", "{\"steps\":20,\"batch\":32,\"freeze\":[\"1.*\"]}", NULL);
    int32_t st = go(&s, 1);
    bundle a, b;
    const char *model_path = s.model->result.path;
    int good = st == 0 && bundle_open(&cx, model_path, "evla.model", &a) == 0 &&
               bundle_open(&cx, s.train->result.path, "evla.model", &b) == 0;
    if (good) {
        good =
            !memcmp(bundle_find(&a, "w:1.w")->data, bundle_find(&b, "w:1.w")->data, 192) &&
            memcmp(bundle_find(&a, "w:2.w")->data, bundle_find(&b, "w:2.w")->data, 128);
        bundle_close(&a);
        bundle_close(&b);
    }
    ok(good, "a weight that is frozen stays, the others move %s", cx.why);
    program_free(s.p);
}

static void refusals(void)
{
    static const struct {
        const char *json, *part, *title;
        int32_t code;
    } bad[] = {
        {"{\"graph\":\"los\"}", "did you mean \"loss\"?", "a graph that is not there",
         EVLA_E_MISSING},
        {"{\"graph\":\"policy\"}", "loss", "a graph without a loss", EVLA_E_MISSING},
        {"{\"memory\":1000}", "budget", "a budget that is missed", EVLA_E_NOMEM},
        {"{\"symbols\":[{\"name\":\"B\",\"extent\":4}]}", "say batch = 4",
         "an extent for the batch", EVLA_E_ARG},
        {"{\"freeze\":[\"*\"]}", "train", "nothing left to train", EVLA_E_STATE},
        {"{\"freeze\":[\"1.*\",\"2.wx\"]}", "did you mean \"2.w\"?",
         "a name that freezes nothing", EVLA_E_MISSING},
        {"{\"freeze\":[\"body.*\"]}", "no weight is called \"body.*\"",
         "a beginning that freezes nothing", EVLA_E_MISSING},
        {"{\"graph\":\"recurrent\"}", "keeps a state h, but rows", "a graph with a memory",
         EVLA_E_STATE},
        {"{\"steps\":0}", "steps", "no steps", EVLA_E_RANGE},
        {"{\"mask\":\"no\"}", "", "", 0},
    };
    for (size_t i = 0; bad[i].code; i++) {
        setup s = declare("bad", bad[i].json, NULL);
        const char *report;
        int32_t st = s.train ? program_check(s.p, &report) : cx.code;
        ok(st == bad[i].code && strstr(cx.why, bad[i].part) && strstr(cx.why, "x.lua:5"),
           "%s is refused before anything runs: %s", bad[i].title, cx.why);
        program_free(s.p);
    }
}

int main(int argc, char **argv)
{
    const char *build = getenv("EVLA_BUILD");
    (void)argc;
#ifndef EVLA_LIBC_MALLOC
    char so[512];
    snprintf(so, sizeof so, "%s/tests/preload_io.so", build ? build : "build");
    if (!getenv("EVLA_PRELOADED") && !access(so, R_OK)) {
        setenv("EVLA_PRELOADED", "1", 1);
        setenv("LD_PRELOAD", so, 1);
        execv(argv[0], argv);
    }
    unsetenv("LD_PRELOAD");
#else
    (void)argv;
#endif
    char path[4096], name[] = "/tmp/evla-train-XXXXXX";
    snprintf(path, sizeof path, "%s/plugins/ops.so", build ? build : "build");
    snprintf(out, sizeof out, "%s", mkdtemp(name));
    registry_init(&reg);
    ctx_init(&cx, &reg);
    cx.stop = &stop_flag;
    cx.log_level = EVLA_LOG_ERROR;
    int32_t st = plugin_add(&cx, &reg, "core", &job_builtin);
    if (st >= 0) st = plugin_add(&cx, &reg, "frames", &frames_plugin);
    if (st >= 0) st = plugin_load(&cx, &reg, path);
    if (st >= 0) st = plugin_seal(&cx, &reg);
    if (!ok(st == 0, "the plugins load (%s)", cx.why)) return tap_done();
    learns();
    resumes("resumes", "{" BASE ",\"cache\":0,\"checkpoint\":0}", 700, plain);
    resumes_sums();
    damaged();
#ifndef EVLA_LIBC_MALLOC
    allocates_nothing("");
    allocates_nothing(",\"cache\":0");
    disk_fails();
#endif
    goes_wrong();
    goes_wrong_elsewhere();
    continues();
    accumulates();
    freezes();
    refusals();
    folder_remove(&cx, out);
    for (int i = 0; i < n_models; i++)
        model_drop(models[i]);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
