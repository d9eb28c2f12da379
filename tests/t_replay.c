/*
 * t_replay.c -- the filter "replay" with the point body: the same bits pass, a changed bit,
 * a changed outcome and a body with hidden state do not.
 */
#include "stage_host.h"
#include "tap.h"
#include <pthread.h>

typedef struct replay_params {
    evla_choice body;
} replay_params;

/* The parameters of tests/plugins/body_point.c. */
typedef struct point_params {
    double rate;
    int64_t ticks, fail_every, slow_ns, break_at, spill_at;
    int32_t spill, fail, leak;
} point_params;

enum { NA = 2, NS = 10 };

static const evla_stage *stage;
static const evla_body *point;
static const evla_item *point_item;

static const evla_schema_field fields[] = {{"actions", "f32[T,2]", "", "", 100},
                                           {"states", "f64[T,10]", "", "", 100}};
static const evla_schema schema = {.size = sizeof schema, .n_fields = 2, .fields = fields};

/* An episode by the expert. */
static evla_record *episode(const evla_host *h, const point_params *p, uint64_t seed)
{
    float actions[400 * NA];
    double states[400 * NS];
    evla_goal goal;
    evla_tick tick = {0};
    void *body = NULL;
    int64_t n = 0;
    point->open(h, p, &body);
    point->reset(h, body, seed, &goal);
    for (; n < p->ticks && !tick.done; n++) {
        point->save(h, body, states + n * NS);
        point->expert(h, body, actions + n * NA);
        if (point->act(h, body, actions + n * NA, &tick) < 0) break;
    }
    point->close(h, body);
    const evla_field f[] = {{"actions", {.dtype = EVLA_F32, .rank = 2, .shape = {n, NA}}},
                            {"states", {.dtype = EVLA_F64, .rank = 2, .shape = {n, NS}}}};
    const evla_attr a[] = {
        {.name = "seed", .integer = (int64_t)seed, .type = EVLA_ATTR_INT},
        {.name = "success", .integer = tick.success, .type = EVLA_ATTR_INT}};
    evla_record *r = NULL;
    h->record_new(h, f, 2, a, 2, &r);
    memcpy(r->fields[0].value.data[0], actions, (size_t)n * NA * sizeof *actions);
    memcpy(r->fields[1].value.data[0], states, (size_t)n * NS * sizeof *states);
    return r;
}

typedef struct run {
    stage_host s;
    const evla_host *h;
    void *self;
    int32_t status;
    char reason[64];
} run;

static void take(run *t, evla_record *r)
{
    evla_record *out = NULL;
    const char *why = NULL;
    host_clear(&t->s);
    t->status = stage->take(t->h, t->self, r, &out, &why);
    snprintf(t->reason, sizeof t->reason, "%s",
             t->status < 0 ? "failed"
             : out         ? "kept"
                           : why);
    if (out) t->h->record_drop(t->h, out);
    t->h->record_drop(t->h, r);
}

static int32_t start(run *t, const point_params *p, int32_t n_workers)
{
    replay_params params = {{point_item, p}};
    evla_site site = {.size = sizeof site, .n_workers = n_workers, .in = &schema};
    t->h = host_init(&t->s);
    return stage->open(t->h, &params, &site, &t->self);
}

static void stop(run *t)
{
    stage->close(t->h, t->self);
    host_free(&t->s);
}

#define IS(text, what) (!strcmp(text, what) || (note("got: %s", text), 0))

static void verdicts(void)
{
    static run t;
    const point_params p = {.rate = 100, .ticks = 400, .fail_every = 3};
    ok(start(&t, &p, 1) == 0, "it opens a body of its own");
    int same = 1;
    for (uint64_t seed = 0; seed < 12; seed++) {
        take(&t, episode(t.h, &p, seed));
        same &= IS(t.reason, "kept");
    }
    ok(same, "twelve episodes, four of them failures, happen again bit for bit");

    evla_record *r = episode(t.h, &p, 1);
    double *states = r->fields[1].value.data[0];
    uint64_t bits;
    memcpy(&bits, &states[50 * NS + 2], sizeof bits);
    bits ^= 1;
    memcpy(&states[50 * NS + 2], &bits, sizeof bits);
    take(&t, r);
    ok(IS(t.reason, "replay_state") &&
           strstr(t.s.log, "record 0 (seed 1) differs at tick 50: state[2] is "),
       "the last bit of one number in tick 50 is noticed, and the tick is told");

    r = episode(t.h, &p, 1);
    ((float *)r->fields[0].value.data[0])[30 * NA] += 1e-6f;
    take(&t, r);
    ok(IS(t.reason, "replay_state") && strstr(t.s.log, "differs at tick 31"),
       "a changed action shows in the next state");

    r = episode(t.h, &p, 1);
    ((evla_attr *)(uintptr_t)r->attrs)[1].integer = 0;
    take(&t, r);
    ok(IS(t.reason, "replay_success") && strstr(t.s.log, "success is 1 after "),
       "a success that was recorded as none is noticed");

    r = episode(t.h, &p, 1);
    ((evla_field *)(uintptr_t)r->fields)[0].value.shape[0]--;
    take(&t, r);
    ok(t.status == EVLA_E_SHAPE &&
           IS(t.s.why, "want actions f32[T,2] and states f64[T,10] of one length"),
       "actions and states of different length are an error");
    r = episode(t.h, &p, 1);
    t.s.is_stopping = 1;
    take(&t, r);
    ok(t.status == EVLA_E_STOPPED, "a request to stop is heard");
    t.s.is_stopping = 0;
    stop(&t);
}

static void hidden_state(void)
{
    static run t;
    const point_params p = {.rate = 100, .ticks = 400, .leak = 1};
    start(&t, &p, 1);
    take(&t, episode(t.h, &p, 1));
    ok(IS(t.reason, "replay_state") && strstr(t.s.log, "differs at tick 1:"),
       "a body that remembers more than it saves is found in its first episode");
    stop(&t);
    const point_params broken = {.rate = 100, .ticks = 400, .break_at = 20};
    start(&t, &broken, 1);
    take(&t, episode(t.h, &(point_params){.rate = 100, .ticks = 400}, 1));
    ok(t.status == EVLA_E_STATE && IS(t.s.why, "point: broken on purpose"),
       "a body that fails is an error");
    stop(&t);
}

static void described(void)
{
    static run t;
    const point_params p = {.rate = 100, .ticks = 400};
    const replay_params params = {{point_item, &p}};
    const evla_host *h = host_init(&t.s);
    evla_schema out = {0}, in = schema;
    ok(stage->describe(h, &params, &in, &out) == 0 && out.fields == in.fields,
       "the schema passes unchanged");
    in.n_fields = 1;
    ok(stage->describe(h, &params, &in, &out) == EVLA_E_MISSING &&
           IS(t.s.why, "the data has no field \"states\", which acting again needs"),
       "data without states is refused");
    host_clear(&t.s);
    const evla_schema_field other[] = {fields[0], {"states", "f64[T,53]", "", "", 100}};
    in = (evla_schema){.size = sizeof in, .n_fields = 2, .fields = other};
    ok(stage->describe(h, &params, &in, &out) == EVLA_E_SHAPE &&
           IS(t.s.why, "body: its field \"states\" would be f64[T,10], found f64[T,53]"),
       "data of another body is refused");
    host_free(&t.s);
}

typedef struct job {
    run t;
    pthread_t thread;
    int kept;
} job;

static void *work(void *arg)
{
    job *j = arg;
    const point_params p = {.rate = 100, .ticks = 400, .fail_every = 4};
    for (uint64_t seed = 0; seed < 8; seed++) {
        take(&j->t, episode(j->t.h, &p, seed));
        j->kept += !strcmp(j->t.reason, "kept");
    }
    return NULL;
}

/* More callers than bodies: they wait for each other. */
static void in_parallel(void)
{
    static run t;
    static job jobs[4];
    const point_params p = {.rate = 100, .ticks = 400, .fail_every = 4};
    start(&t, &p, 2);
    int kept = 0;
    for (int i = 0; i < 4; i++) {
        jobs[i].t.h = host_init(&jobs[i].t.s);
        jobs[i].t.self = t.self;
        pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(jobs[i].thread, NULL);
        host_free(&jobs[i].t.s);
        kept += jobs[i].kept;
    }
    ok(kept == 32, "four threads share two bodies and agree");
    stop(&t);
}

int main(void)
{
    char path[1024];
    const char *build = getenv("EVLA_BUILD");
    const evla_item *item = host_item("replay", EVLA_STAGE, "replay");
    snprintf(path, sizeof path, "%s/tests/plugins/body_point.so", build ? build : "build");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol = NULL;
    const evla_plugin *(*entry)(void) = NULL;
    if (so) symbol = dlsym(so, "evla_plugin_entry");
    if (!item || !symbol) skip_all("replay.so or body_point.so is not built");
    memcpy(&entry, &symbol, sizeof symbol);
    point_item = entry()->items;
    ok(point_item->params_size == sizeof(point_params),
       "the parameters are those of the body");
    point = point_item->table;
    stage = item->table;
    verdicts();
    hidden_state();
    described();
    in_parallel();
    ok(atomic_load(&host_records) == 0, "no record is left behind");
    return tap_done();
}
