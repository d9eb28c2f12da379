/*
 * replay.c -- the filter "replay": does a recorded episode happen again, bit for bit?
 *
 * Restores the record's first state in a body of its own, acts the stored actions and
 * compares every state with `states`, then the end with the attribute "success". What
 * differs is dropped as "replay_state" or "replay_success". Works behind a rollout and over
 * a stored dataset.
 *
 * One body per worker, opened once; take borrows one from a locked list.
 */
#include "evla/abi.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct replay_params {
    evla_choice body;
} replay_params;

typedef struct replay {
    const evla_body *table;
    evla_body_info info;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    int32_t n_open, n_free;
    void **bodies; /* all that were opened */
    void **free;   /* those that nobody uses now */
} replay;

/* ---- describing ---- */

static int32_t say(const evla_host *h, int32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int32_t say(const evla_host *h, int32_t code, const char *format, ...)
{
    char text[320];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return h->fail(h, code, text);
}

/* The schema's field must be [T, n] of a format. */
static int32_t check_field(const evla_host *h, const evla_schema *in, const char *name,
                           const char *want, int64_t n)
{
    for (int32_t i = 0; i < in->n_fields; i++) {
        const evla_schema_field *f = &in->fields[i];
        evla_type t;
        if (strcmp(f->name, name) != 0) continue;
        int32_t st = h->type_parse(h, f->type, &t);
        if (st < 0) return st;
        if (t.rank != 2 || t.dtype != h->dtype(h, want) ||
            (t.shape[1] >= 0 && t.shape[1] != n))
            return say(h, EVLA_E_SHAPE,
                       "body: its field \"%s\" would be %s[T,%lld], found %s", name, want,
                       (long long)n, f->type);
        return EVLA_OK;
    }
    return say(h, EVLA_E_MISSING, "the data has no field \"%s\", which acting again needs",
               name);
}

static int32_t check_body(const evla_host *h, const replay_params *p, const evla_schema *in,
                          evla_body_info *info)
{
    const evla_body *b = p->body.item->table;
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    int32_t st = b->describe(h, p->body.params, info);
    if (st >= 0) st = check_field(h, in, "actions", "f32", info->n_action);
    if (st >= 0) st = check_field(h, in, "states", "f64", info->n_state);
    return st;
}

static int32_t replay_describe(const evla_host *h, const void *params,
                               const evla_schema *in, evla_schema *out)
{
    evla_body_info info;
    if (!in) return h->fail(h, EVLA_E_ARG, "it is a filter; it cannot stand first");
    *out = *in;
    return check_body(h, params, in, &info);
}

/* ---- bodies ---- */

static int32_t replay_open(const evla_host *h, const void *params, const evla_site *site,
                           void **self)
{
    const replay_params *p = params;
    replay *r = h->hold(h, sizeof *r);
    if (!r) return EVLA_E_NOMEM;
    int32_t n = site->n_workers < 1 ? 1 : site->n_workers;
    r->table = p->body.item->table;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->freed, NULL);
    *self = r; /* from here on close cleans up */
    r->bodies = h->hold(h, (uint64_t)n * sizeof(void *));
    r->free = h->hold(h, (uint64_t)n * sizeof(void *));
    if (!r->bodies || !r->free) return EVLA_E_NOMEM;
    int32_t st = check_body(h, p, site->in, &r->info);
    for (int32_t i = 0; st >= 0 && i < n; i++) {
        void *body = NULL;
        st = r->table->open(h, p->body.params, &body);
        if (body) r->bodies[r->n_open++] = body;
        if (st >= 0) r->free[r->n_free++] = body;
    }
    return st;
}

static void replay_close(const evla_host *h, void *self)
{
    replay *r = self;
    if (!r) return;
    for (int32_t i = 0; i < r->n_open; i++)
        r->table->close(h, r->bodies[i]);
    pthread_cond_destroy(&r->freed);
    pthread_mutex_destroy(&r->lock);
}

static void *borrow(replay *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->n_free)
        pthread_cond_wait(&r->freed, &r->lock);
    void *body = r->free[--r->n_free];
    pthread_mutex_unlock(&r->lock);
    return body;
}

static void give_back(replay *r, void *body)
{
    pthread_mutex_lock(&r->lock);
    r->free[r->n_free++] = body;
    pthread_cond_signal(&r->freed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- replaying ---- */

static const evla_tensor *field(const evla_record *r, const char *name)
{
    for (int32_t i = 0; i < r->n_fields; i++)
        if (!strcmp(r->fields[i].name, name)) return &r->fields[i].value;
    return NULL;
}

static const evla_attr *attr(const evla_record *r, const char *name)
{
    for (int32_t i = 0; i < r->n_attrs; i++)
        if (!strcmp(r->attrs[i].name, name)) return &r->attrs[i];
    return NULL;
}

static int64_t seed_of(const evla_record *in)
{
    const evla_attr *a = attr(in, "seed");
    return a ? a->integer : -1;
}

/* Equal numbers are not enough: 0 and -0 are equal. */
static int same_bits(const void *a, const void *b, size_t n) { return !memcmp(a, b, n); }

/* The first entry that differs, for the log. */
static void tell_state(const evla_host *h, const evla_record *in, int64_t tick,
                       const double *want, const double *got, int32_t n)
{
    char line[240];
    int32_t k = 0;
    while (k < n - 1 && same_bits(&want[k], &got[k], sizeof *want))
        k++;
    snprintf(line, sizeof line,
             "replay: record %lld (seed %lld) differs at tick %lld: state[%d] is %.17g, "
             "was %.17g",
             (long long)in->index, (long long)seed_of(in), (long long)tick, k, got[k],
             want[k]);
    h->log(h, EVLA_LOG_WARN, line);
}

static int32_t act_again(const evla_host *h, const replay *r, void *body,
                         const evla_record *in, const char **reason)
{
    const evla_tensor *actions = field(in, "actions"), *states = field(in, "states");
    const int32_t na = r->info.n_action, ns = r->info.n_state;
    if (!actions || !states || actions->rank != 2 || states->rank != 2 ||
        actions->dtype != EVLA_F32 || states->dtype != EVLA_F64 ||
        actions->shape[1] != na || states->shape[1] != ns ||
        actions->shape[0] != states->shape[0])
        return say(h, EVLA_E_SHAPE,
                   "want actions f32[T,%d] and states f64[T,%d] of one length", na, ns);
    double *now = h->scratch(h, (uint64_t)ns * sizeof *now);
    if (!now) return EVLA_E_NOMEM;
    const double *state = states->data[0];
    const float *action = actions->data[0];
    int64_t n = states->shape[0];
    evla_goal goal;
    evla_tick tick = {0};
    if (n == 0) return h->fail(h, EVLA_E_SHAPE, "it has no states");
    /* Somewhere else first: what a body remembers beyond its state shall differ and show.
     */
    int32_t st = r->table->reset(h, body, ~(uint64_t)seed_of(in), &goal);
    if (st >= 0) st = r->table->act(h, body, action, &tick);
    if (st >= 0) st = r->table->restore(h, body, state, &goal);
    for (int64_t t = 0; st >= 0 && t < n; t++, state += ns, action += na) {
        st = r->table->save(h, body, now);
        if (st >= 0 && !same_bits(now, state, (size_t)ns * sizeof *now)) {
            tell_state(h, in, t, state, now, ns);
            *reason = "replay_state";
            return EVLA_OK;
        }
        if (st >= 0) st = r->table->act(h, body, action, &tick);
        if (st >= 0 && t % 64 == 0 && h->stopping(h))
            st = h->fail(h, EVLA_E_STOPPED, "stopped");
    }
    const evla_attr *success = attr(in, "success");
    if (st >= 0 && success && success->type == EVLA_ATTR_INT &&
        (success->integer != 0) != (tick.success != 0)) {
        char line[160];
        snprintf(
            line, sizeof line,
            "replay: record %lld (seed %lld): success is %d after %lld ticks, was %lld",
            (long long)in->index, (long long)seed_of(in), tick.success, (long long)n,
            (long long)success->integer);
        h->log(h, EVLA_LOG_WARN, line);
        *reason = "replay_success";
    }
    return st;
}

static int32_t replay_take(const evla_host *h, void *self, const evla_record *in,
                           evla_record **out, const char **reason)
{
    replay *r = self;
    const char *why = NULL;
    *out = NULL;
    void *body = borrow(r);
    int32_t st = act_again(h, r, body, in, &why);
    give_back(r, body);
    if (st < 0) return st;
    if (why) return *reason = why, EVLA_OK;
    h->record_keep(h, in);
    *out = (evla_record *)(uintptr_t)in;
    return EVLA_OK;
}

static const evla_param params[] = {
    {.name = "body",
     .doc = "what acted; with the parameters it had when the episodes were recorded",
     .choices = EVLA_BODY,
     .type = EVLA_P_ITEM,
     .offset = offsetof(replay_params, body)},
};
static const evla_stage stage = {
    .size = sizeof stage,
    .flags = EVLA_STAGE_PARALLEL,
    .describe = replay_describe,
    .open = replay_open,
    .close = replay_close,
    .take = replay_take,
};
static const evla_item items[] = {
    {EVLA_STAGE, "replay", &stage, "drops episodes that do not happen again bit for bit",
     params, sizeof params / sizeof *params, sizeof(replay_params)}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .n_items = 1,
    .items = items,
    .id = "evla.replay",
    .version = "0.1.0",
    .license = "Apache-2.0",
};
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
