/*
 * t_hdf5_stage.c -- plugins/hdf5 as sink and source: what goes in comes out, in every
 * layout.
 */
#include "hdf5_episodes.h"
#include "tap.h"
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static const evla_stage *g;
static const evla_frames_service *fr;
static char root[64];

static const char *fresh(const char *name)
{
    static char folder[128];
    snprintf(folder, sizeof folder, "%s/%s", root, name);
    mkdir(folder, 0777);
    return folder;
}

static int run(const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, format, a, b);
    return system(command);
}

static long long number(const char *report, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(report, quoted);
    return at ? atoll(at + strlen(quoted)) : -1;
}

/* The depth field as it comes back: through f16. */
static float through_half(float x)
{
    int exponent; /* values of the tests are in [0.5, 2), where f16 steps by 2^-11 and 2^-10
                   */
    frexpf(x, &exponent);
    float step = ldexpf(1, exponent - 11);
    return rintf(x / step) * step;
}

static float half_value(uint16_t x)
{
    return ldexpf((float)((x & 1023) + 1024), (x >> 10 & 31) - 25) * (x & 0x8000 ? -1 : 1);
}

static int same_field(const evla_host *h, const evla_field *a, const evla_field *b)
{
    const evla_tensor *x = &a->value, *y = &b->value;
    int64_t n = 1;
    if (x->rank != y->rank) return 0;
    for (int32_t i = 0; i < x->rank; i++) {
        if (x->shape[i] != y->shape[i]) return 0;
        n *= x->shape[i];
    }
    if (x->dtype == y->dtype)
        return !memcmp(x->data[0], y->data[0], (size_t)host_dtype_bytes(h, x->dtype, n));
    if (x->dtype != EVLA_F32 || y->dtype != HOST_F16) return 0;
    for (int64_t i = 0; i < n; i++)
        if (through_half(((float *)x->data[0])[i]) !=
            half_value(((uint16_t *)y->data[0])[i]))
            return 0;
    return 1;
}

static int same_record(const evla_host *h, const evla_record *want, const evla_record *got)
{
    if (want->n_fields != got->n_fields || want->n_attrs != got->n_attrs) return 0;
    for (int32_t i = 0; i < want->n_fields; i++) {
        int32_t k = 0;
        while (k < got->n_fields && strcmp(want->fields[i].name, got->fields[k].name))
            k++;
        if (k == got->n_fields || !same_field(h, &want->fields[i], &got->fields[k])) {
            note("field %s differs", want->fields[i].name);
            return 0;
        }
    }
    for (int32_t i = 0; i < want->n_attrs; i++) {
        const evla_attr *a = &want->attrs[i], *b = NULL;
        for (int32_t k = 0; k < got->n_attrs; k++)
            if (!strcmp(a->name, got->attrs[k].name)) b = &got->attrs[k];
        if (!b || a->type != b->type || a->integer != b->integer ||
            a->number != b->number ||
            (a->type == EVLA_ATTR_TEXT && strcmp(a->text, b->text))) {
            note("attribute %s differs", a->name);
            return 0;
        }
    }
    return 1;
}

/* All n episodes of a dataset against what was stored. */
static int same_dataset(stage_host *s, const char *path, int64_t n, int large)
{
    hdf5_params p = ep_params(path);
    evla_schema out;
    evla_site site = {.size = sizeof site, .n_workers = 1, .folder = "/", .job = "test"};
    void *self = NULL;
    int64_t count = -1;
    int is_same = g->describe(&s->h, &p, NULL, &out) == 0 && out.n_fields == EP_FIELDS &&
                  out.n_attrs == 3;
    for (int32_t i = 0; is_same && i < out.n_fields; i++) {
        const evla_schema_field *want = NULL, *got = &out.fields[i];
        for (int k = 0; k < EP_FIELDS; k++)
            if (!strcmp(ep_fields[k].name, got->name)) want = &ep_fields[k];
        const char *type = want && strstr(want->name, "depth") ? "f16[F,8,12,1]"
                           : want                              ? want->type
                                                               : "";
        is_same = want && (large > 1 || !strcmp(got->type, type)) &&
                  !strcmp(want->unit, got->unit) && !strcmp(want->doc, got->doc) &&
                  want->rate_hz == got->rate_hz;
        if (!is_same) note("schema: %s came back as %s", got->name, got->type);
    }
    is_same = is_same && g->open(&s->h, &p, &site, &self) == 0 &&
              g->count(&s->h, self, &count) == 0;
    if (count != n) is_same = 0;
    for (int64_t i = 0; is_same && i < n; i++) {
        evla_record *want = ep_make(&s->h, i, large), *got = NULL;
        is_same = g->make(&s->h, self, i, &got) == 0 && same_record(&s->h, want, got);
        s->h.record_drop(&s->h, want);
        if (got) s->h.record_drop(&s->h, got);
    }
    if (self) g->close(&s->h, self);
    if (!is_same)
        note("%lld episodes, wanted %lld; %s", (long long)count, (long long)n, s->why);
    return is_same;
}

static void round_trips(stage_host *s)
{
    static const struct {
        const char *name;
        int64_t shard;
        int32_t compress, images, large, n_shards;
    } cases[] = {
        {"one file", (int64_t)1 << 30, COMPRESS_NONE, IMAGES_SEPARATE, 1, 1},
        {"one file, gzip", (int64_t)1 << 30, COMPRESS_GZIP, IMAGES_SEPARATE, 8, 1},
        {"three shards", 115000, COMPRESS_NONE, IMAGES_SEPARATE, 1, 3},
        {"six shards, large frames", 900000, COMPRESS_NONE, IMAGES_SEPARATE, 8, 6},
        {"shards, gzip, frames repeated", 300000, COMPRESS_GZIP, IMAGES_REPEAT, 8, 4},
        {"one file of many megabytes", (int64_t)1 << 30, COMPRESS_NONE, IMAGES_SEPARATE, 16,
         1},
        {"frames repeated", (int64_t)1 << 30, COMPRESS_NONE, IMAGES_REPEAT, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16], path[160], report[512];
        snprintf(name, sizeof name, "round%zu", i);
        const char *folder = fresh(name);
        hdf5_params p = ep_params("d.hdf5");
        p.shard = cases[i].shard;
        p.compress = cases[i].compress;
        p.images = cases[i].images;
        host_clear(s);
        ok(ep_store(s, g, &p, folder, 0, 11, cases[i].large, report, sizeof report) == 0,
           "%s: 11 episodes are stored %s", cases[i].name, s->why);
        ok(number(report, "shards") == cases[i].n_shards, "%s: %d shards: %s",
           cases[i].name, cases[i].n_shards, report);
        snprintf(path, sizeof path, "%s/d.hdf5", folder);
        ok(same_dataset(s, path, 11, cases[i].large),
           "%s: every bit, attribute and unit comes back", cases[i].name);
        ok(run("test -z \"$(find %s -name '*.tmp' -o -name '*.parts')\"%s", folder, "") ==
               0,
           "%s: nothing else is left", cases[i].name);
        ok(run("test -z \"$(find %s -size +%sk)\"", folder,
               cases[i].shard < 1 << 20 ? (cases[i].shard == 115000   ? "112"
                                           : cases[i].shard == 900000 ? "880"
                                                                      : "293")
                                        : "99999") == 0,
           "%s: no file is larger than shard says", cases[i].name);
    }
}

static void later_runs(stage_host *s)
{
    char path[160], report[512];
    const char *folder = fresh("later");
    hdf5_params p = ep_params("d.hdf5");
    p.shard = 100000;
    snprintf(path, sizeof path, "%s/d.hdf5", folder);
    ok(ep_store(s, g, &p, folder, 0, 6, 1, report, sizeof report) == 0,
       "a first run stores 6");
    ok(run("cd %s && mkdir was && cp d*.hdf5 was%s", folder, "") == 0, "(copied)");
    ok(ep_store(s, g, &p, folder, 0, 6, 1, report, sizeof report) == 0 &&
           number(report, "written") == 0 && number(report, "found_committed") == 6,
       "a second run finds all 6 and writes none");
    ok(run("cd %s && for f in d*.hdf5; do cmp $f was/$f || exit 1; done%s", folder, "") ==
           0,
       "and changes no byte");
    host_clear(s);
    ok(ep_store(s, g, &p, folder, 0, 11, 1, report, sizeof report) == 0 &&
           number(report, "written") == 5,
       "a longer run adds 5: %s", s->why);
    ok(same_dataset(s, path, 11, 1), "and the dataset holds all 11");
    ok(strstr(s->log, "found 6 committed episodes") != NULL, "the log says what was found");
    p.shard = 1 << 30;
    ok(ep_store(s, g, &p, folder, 0, 11, 1, report, sizeof report) == 0 &&
           number(report, "shards") == 1 && same_dataset(s, path, 11, 1),
       "another shard size joins them anew");
    ok(run("test $(ls %s | wc -l) = 2%s", folder, "") == 0, "and removes the old shards");
    p.valid = 0.5;
    long long before = number(report, "valid");
    ok(ep_store(s, g, &p, folder, 0, 11, 1, report, sizeof report) == 0 &&
           number(report, "valid") > before && same_dataset(s, path, 11, 1),
       "another fraction makes the masks anew");
    p.compress = COMPRESS_GZIP;
    host_clear(s);
    ok(ep_store(s, g, &p, folder, 0, 11, 1, NULL, 0) == EVLA_E_EXISTS &&
           strstr(s->why, "move it away"),
       "other parameters are refused: %s", s->why);
    ok(same_dataset(s, path, 11, 1), "and the dataset is as it was");
}

static void refusals(stage_host *s)
{
    evla_schema_field f[2] = {ep_fields[0], {"obs/goal", "f32[3]", "", "", 0}};
    evla_schema in = ep_schema, out;
    hdf5_params p = ep_params("d.hdf5");
    in.fields = f;
    in.n_fields = 2;
    host_clear(s);
    ok(g->describe(&s->h, &p, &in, &out) == EVLA_E_SHAPE && strstr(s->why, "obs/goal"),
       "an obs field without T is refused: %s", s->why);
    host_clear(s);
    f[1] = (evla_schema_field){"a/../b", "f32[T]", "", "", 0};
    ok(g->describe(&s->h, &p, &in, &out) == EVLA_E_ARG, "a name with .. is refused: %s",
       s->why);
    host_clear(s);
    f[1] = (evla_schema_field){"actions/left", "f32[T]", "", "", 0};
    ok(g->describe(&s->h, &p, &in, &out) == EVLA_E_ARG,
       "a field inside a field is refused: %s", s->why);
    host_clear(s);
    in.n_fields = 1;
    f[0].type = "f32[7]";
    ok(g->describe(&s->h, &p, &in, &out) == EVLA_E_SHAPE,
       "a schema without T is refused: %s", s->why);

    const char *folder = fresh("refuse");
    evla_site site = {.size = sizeof site,
                      .n_workers = 1,
                      .folder = folder,
                      .job = "test",
                      .in = &ep_schema};
    void *self = NULL, *other = NULL;
    host_clear(s);
    ok(g->open(&s->h, &p, &site, &self) == 0, "a sink opens");
    ok(g->open(&s->h, &p, &site, &other) == EVLA_E_EXISTS &&
           strstr(s->why, "another process"),
       "a second one on the same path is refused: %s", s->why);
    g->close(&s->h, other);
    host_clear(s);
    evla_record *r = ep_make(&s->h, 0, 1);
    ok(g->put(&s->h, self, r) == 0 && g->has(&s->h, self, 0) == 1 &&
           g->has(&s->h, self, 1) == 0,
       "a sink has what was put");
    ok(g->put(&s->h, self, r) == EVLA_E_EXISTS, "the same record again is refused: %s",
       s->why);
    s->h.record_drop(&s->h, r);
    host_clear(s);
    r = ep_make(&s->h, 1, 1);
    ((evla_field *)(uintptr_t)r->fields)[2].value.shape[0]--;
    ok(g->put(&s->h, self, r) == EVLA_E_SHAPE && strstr(s->why, "rewards"),
       "fields of different length are refused: %s", s->why);
    s->h.record_drop(&s->h, r);
    s->is_stopping = 1;
    host_clear(s);
    ok(g->finish(&s->h, self) == EVLA_E_STOPPED, "finish stops when asked: %s", s->why);
    s->is_stopping = 0;
    ok(g->finish(&s->h, self) == 0, "and completes when it may");
    g->close(&s->h, self);

    p.path = "mine.hdf5";
    host_clear(s);
    run("echo text > %s/%s", folder, "mine.hdf5");
    ok(ep_store(s, g, &p, folder, 0, 1, 1, NULL, 0) == EVLA_E_FORMAT,
       "a foreign file is refused: %s", s->why);
    ok(run("test \"$(cat %s/%s)\" = text", folder, "mine.hdf5") == 0, "and kept");
    p.path = "no/such/folder/d.hdf5";
    host_clear(s);
    ok(ep_store(s, g, &p, folder, 0, 1, 1, NULL, 0) == EVLA_E_IO,
       "a missing folder is refused: %s", s->why);
}

static void damaged_part(stage_host *s)
{
    const char *folder = fresh("part");
    char report[512], path[160];
    hdf5_params p = ep_params("d.hdf5");
    evla_site site = {.size = sizeof site,
                      .n_workers = 1,
                      .folder = folder,
                      .job = "test",
                      .in = &ep_schema};
    void *self = NULL;
    g->open(&s->h, &p, &site, &self);
    for (int i = 0; i < 3; i++) {
        evla_record *r = ep_make(&s->h, i, 1);
        g->put(&s->h, self, r);
        s->h.record_drop(&s->h, r);
    }
    g->close(&s->h, self);
    run("truncate -s 5000 %s/d.parts/demo_1.hdf5; echo > %s/d.parts/demo_7.hdf5.tmp",
        folder, folder);
    host_clear(s);
    ok(ep_store(s, g, &p, folder, 0, 3, 1, report, sizeof report) == 0 &&
           number(report, "damaged") == 1 && number(report, "cleaned") == 1 &&
           number(report, "found_committed") == 2 && number(report, "written") == 1,
       "a part cut short is set aside, a leftover removed: %s", report);
    note("%s", s->log);
    snprintf(path, sizeof path, "%s/d.hdf5", folder);
    ok(same_dataset(s, path, 3, 1), "and the episode was made anew");
    ok(run("test -f %s/d.parts/demo_1.hdf5.damaged%s", folder, "") == 0,
       "the damaged file is kept");
}

typedef struct worker {
    stage_host s;
    void *self;
    int64_t from;
    int32_t status;
} worker;

static void *put_every_third(void *data)
{
    worker *w = data;
    for (int64_t i = w->from; !w->status && i < 12; i += 3) {
        evla_record *r = ep_make(&w->s.h, i, 4);
        w->status = g->put(&w->s.h, w->self, r);
        w->s.h.record_drop(&w->s.h, r);
    }
    return NULL;
}

static void parallel(stage_host *s)
{
    char one[128], path[160];
    hdf5_params p = ep_params("d.hdf5");
    p.compress = COMPRESS_GZIP;
    snprintf(one, sizeof one, "%s", fresh("serial"));
    host_clear(s);
    ok(ep_store(s, g, &p, one, 0, 12, 4, NULL, 0) == 0, "(12 episodes one by one) %s",
       s->why);
    const char *folder = fresh("parallel");
    evla_site site = {.size = sizeof site,
                      .n_workers = 3,
                      .folder = folder,
                      .job = "test",
                      .in = &ep_schema};
    worker w[3];
    pthread_t thread[3];
    void *self = NULL;
    g->open(&s->h, &p, &site, &self);
    for (int i = 0; i < 3; i++) {
        w[i] = (worker){.self = self, .from = i};
        host_init(&w[i].s);
        pthread_create(&thread[i], NULL, put_every_third, &w[i]);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        ok(w[i].status == 0, "worker %d stored its episodes %s", i, w[i].s.why);
        host_free(&w[i].s);
    }
    ok(g->finish(&s->h, self) == 0, "finish after three workers %s", s->why);
    g->close(&s->h, self);
    ok(run("cmp %s/d.hdf5 %s/d.hdf5", one, folder) == 0,
       "three workers write the same bytes as one");

    snprintf(path, sizeof path, "%s/d.hdf5", folder);
    void *f = NULL;
    evla_type type;
    int is_same = 1;
    uint8_t rows[2 * 32 * 48 * 3];
    ok(fr->open(&s->h, path, NULL, &f) == 0 && fr->count(&s->h, f) == 12,
       "frames: 12 records");
    ok(fr->type(&s->h, f, 4, "cameras/front/rgb", &type) == 0 && type.rank == 4 &&
           type.shape[1] == 32,
       "frames: a field's type");
    ok(fr->type(&s->h, f, 4, "cameras/back/rgb", &type) == EVLA_E_MISSING && !s->code,
       "frames: a missing field is no failure");
    for (int64_t i = 0; i < 12; i++) {
        evla_record *r = ep_make(&s->h, i, 4);
        const evla_tensor *v = &r->fields[7].value;
        for (int64_t first = 0; first + 2 <= v->shape[0]; first++)
            is_same = is_same &&
                      fr->read(&s->h, f, i, "cameras/front/rgb", first, 2, rows,
                               sizeof rows) == 0 &&
                      !memcmp(rows, (uint8_t *)v->data[0] + first * v->stride[0],
                              (size_t)(2 * v->stride[0]));
        s->h.record_drop(&s->h, r);
    }
    ok(is_same, "frames: every pair of frames is right %s", s->why);
    host_clear(s);
    ok(fr->read(&s->h, f, 0, "cameras/front/rgb", 0, 3, rows, sizeof rows) == EVLA_E_RANGE,
       "frames: too little room is refused: %s", s->why);
    host_clear(s);
    ok(fr->read(&s->h, f, 0, "actions", 19, 2, rows, sizeof rows) == EVLA_E_RANGE,
       "frames: rows past the end are refused: %s", s->why);
    host_clear(s);
    ok(fr->read(&s->h, f, 12, "actions", 0, 1, rows, sizeof rows) == EVLA_E_RANGE,
       "frames: a record past the end is refused: %s", s->why);
    host_clear(s);
    evla_attr attr = {0};
    ok(fr->attr(&s->h, f, 7, "instruction", &attr) == 0 && attr.type == EVLA_ATTR_TEXT &&
           !strcmp(attr.text, "pick up the mug, take 7"),
       "frames: a record's attribute");
    ok(fr->attr(&s->h, f, 7, "env_args", &attr) == 0 && attr.text[0],
       "frames: an attribute of the whole file stands for every record");
    ok(fr->attr(&s->h, f, 7, "weather", &attr) == EVLA_E_MISSING && !s->code,
       "frames: a missing attribute is no failure");
    ok(fr->attr(&s->h, f, 12, "seed", &attr) == EVLA_E_RANGE,
       "frames: an attribute of a record past the end is refused: %s", s->why);
    fr->close(&s->h, f);
    int64_t n_train, n_valid;
    void *v = NULL;
    host_clear(s);
    fr->open(&s->h, path, "train", &f);
    fr->open(&s->h, path, "valid", &v);
    n_train = fr->count(&s->h, f), n_valid = fr->count(&s->h, v);
    ok(n_train + n_valid == 12 && n_valid > 0, "frames: masks split 12 into %lld and %lld",
       (long long)n_train, (long long)n_valid);
    fr->close(&s->h, f);
    fr->close(&s->h, v);
    ok(fr->open(&s->h, path, "tain", &f) == EVLA_E_MISSING, "frames: no such mask: %s",
       s->why);
    fr->close(&s->h, f);
}

static void human(stage_host *s)
{
    static const struct {
        const char *name;
        int64_t t, n;
        double first;
    } files[] = {{"panda_lift", 412, 32, 0}, {"panda_stack", 532, 45, 0}};
    const char *data = getenv("EVLA_TEST_DATA");
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        hdf5_params p = ep_params(path);
        evla_site site = {
            .size = sizeof site, .n_workers = 1, .folder = "/", .job = "test"};
        evla_schema out;
        evla_record *r = NULL;
        void *self = NULL;
        snprintf(path, sizeof path, "%s/robot/%s.demo.hdf5", data ? data : "../shared/data",
                 files[i].name);
        if (access(path, R_OK)) {
            ok(1, "%s # SKIP %s is not there", files[i].name, path);
            continue;
        }
        host_clear(s);
        ok(g->describe(&s->h, &p, NULL, &out) == 0 && out.n_fields == 3,
           "%s: three fields %s", files[i].name, s->why);
        ok(!strcmp(out.fields[0].name, "actions") &&
               !strcmp(out.fields[0].type, "f64[T,7]"),
           "%s: actions are f64[T,7]", files[i].name);
        g->open(&s->h, &p, &site, &self);
        ok(g->make(&s->h, self, 0, &r) == 0 && r->fields[2].value.shape[0] == files[i].t &&
               r->fields[2].value.shape[1] == files[i].n,
           "%s: %lld states %s", files[i].name, (long long)files[i].t, s->why);
        int is_finite = 1;
        const double *x = r->fields[0].value.data[0];
        for (int64_t k = 0; k < files[i].t * 7; k++)
            is_finite = is_finite && x[k] >= -1 && x[k] <= 1;
        ok(is_finite, "%s: actions lie in [-1, 1]", files[i].name);
        ok(r->n_attrs == 1 && !strcmp(r->attrs[0].text, "model_1.xml"), "%s: model_file",
           files[i].name);
        s->h.record_drop(&s->h, r);
        g->close(&s->h, self);
    }
}

int main(void)
{
    stage_host s;
    const evla_item *stage = host_item("hdf5", EVLA_STAGE, "hdf5");
    const evla_item *frames = host_item("hdf5", EVLA_SERVICE, "frames");
    if (!stage || !frames) skip_all("the plugin hdf5 is not built");
    g = stage->table;
    fr = frames->table;
    snprintf(root, sizeof root, "/tmp/evla-hdf5-XXXXXX");
    if (!mkdtemp(root)) skip_all("no temporary folder");
    host_init(&s);
    round_trips(&s);
    later_runs(&s);
    refusals(&s);
    damaged_part(&s);
    parallel(&s);
    human(&s);
    ok(host_records == 0, "no record is left");
    host_free(&s);
    run("rm -rf %s%s", root, "");
    return tap_done();
}
