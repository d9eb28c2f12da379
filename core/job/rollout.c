/*
 * rollout.c -- the source "rollout": episodes of a body under a policy, on a virtual clock.
 *
 * Episode i starts from a seed that is a hash of the declared seed and i, in a body that
 * belongs to nobody else meanwhile, so its record does not depend on how many workers there
 * are.
 */
#include "../data/record.h"
#include "../host.h"
#include "../mem.h"
#include "job.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { MOST_CHANNELS = 64, FIXED = 5 }; /* actions, states, rewards, dones, events */

typedef enum policy { POLICY_EXPERT, POLICY_RANDOM, POLICY_ZERO } policy;

typedef struct rollout_params {
    evla_choice body;
    int64_t episodes, seed;
    double noise;
    int32_t policy, reserved;
} rollout_params;

// clang-format off
static const evla_param params[] = {
    {.name = "body", .doc = "what acts", .type = EVLA_P_ITEM, .choices = EVLA_BODY,
     .offset = offsetof(rollout_params, body)},
    {.name = "episodes", .doc = "episodes attempted", .preset = "100", .type = EVLA_P_INT,
     .min = 0, .max = 1e9, .offset = offsetof(rollout_params, episodes)},
    {.name = "seed", .doc = "start of all randomness", .preset = "1", .type = EVLA_P_INT,
     .offset = offsetof(rollout_params, seed)},
    {.name = "policy", .doc = "who chooses the actions: the body's teacher, chance, or nobody",
     .preset = "expert", .type = EVLA_P_ENUM, .choices = "expert|random|zero",
     .offset = offsetof(rollout_params, policy)},
    {.name = "noise", .doc = "standard deviation of noise added to actions", .preset = "0.0",
     .type = EVLA_P_FLOAT, .min = 0, .max = 2, .offset = offsetof(rollout_params, noise)},
};
// clang-format on

/* A channel as a field of the record. */
typedef struct track {
    const evla_channel *channel;
    evla_type type;     /* of one sample */
    int64_t bytes;      /* of one sample */
    double per_tick;    /* samples per control tick; 0: one at each */
    int32_t step_field; /* of the field that says at which tick; -1: none */
} track;

typedef struct layout {
    evla_body_info info;
    track tracks[MOST_CHANNELS];
    int32_t n_fields;
    evla_schema_field fields[FIXED + 2 * MOST_CHANNELS];
} layout;

/* An open body with the memory it holds. */
typedef struct actor {
    void *body;
    arena hold;
} actor;

typedef struct rollout {
    const evla_body *body;
    const void *body_params;
    const rollout_params *given;
    layout at;
    const registry *reg;
    pthread_mutex_t lock;
    actor **idle; /* open bodies nobody uses */
    int32_t n_idle, n_workers;
} rollout;

/* SplitMix64 (Steele, Lea, Flood 2014): a hash of the seed and a counter. */
static uint64_t mix(uint64_t seed, uint64_t i)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + (i + 1) * 0xd1342543de82ef95u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double unit(uint64_t bits) { return ((double)(bits >> 11) + 0.5) * 0x1p-53; }

/* ---- the record's layout ---- */

static void add_field(layout *l, const char *name, const char *type, const char *unit_name,
                      const char *doc, double rate)
{
    l->fields[l->n_fields++] = (evla_schema_field){name, type, unit_name, doc, rate};
}

/* Adds a channel's field; the first slow channel of a group also brings "<group>/step". */
static int32_t add_channel(ctx *cx, arena *a, layout *l, int32_t i)
{
    const evla_channel *c = &l->info.channels[i];
    track *t = &l->tracks[i];
    t->channel = c;
    t->step_field = -1;
    if (type_parse(cx, c->type, &(symbols){0}, &t->type) < 0) return cx->code;
    t->bytes = type_bytes(cx->reg, &t->type);
    if (t->bytes < 0 || t->type.rank >= EVLA_MAX_RANK || c->rate_hz < 0 ||
        c->rate_hz > l->info.rate_hz * (1 + 1e-9))
        return ctx_fail(
            cx, EVLA_E_RANGE,
            "channel %s: %s at %g Hz; want whole blocks, a rank below %d and a rate of "
            "0 to %g Hz",
            c->name, c->type, c->rate_hz, EVLA_MAX_RANK, l->info.rate_hz);
    const char *bracket = strchr(c->type, '[');
    char symbol[16] = "T";
    if (c->rate_hz > 0) {
        t->per_tick = c->rate_hz / l->info.rate_hz;
        const char *slash = strrchr(c->name, '/');
        const char *step =
            arena_text(a, "%.*s/step", slash ? (int)(slash - c->name) : 0, c->name);
        if (!step) return ctx_fail(cx, EVLA_E_NOMEM, "channel %s", c->name);
        /* channels of a group share its clock */
        for (int32_t k = 0; k < l->n_fields; k++)
            if (!strcmp(l->fields[k].name, step)) t->step_field = k;
        if (t->step_field >= 0 && l->fields[t->step_field].rate_hz != c->rate_hz)
            return ctx_fail(cx, EVLA_E_RANGE,
                            "channel %s: %g Hz, but its group runs at %g Hz", c->name,
                            c->rate_hz, l->fields[t->step_field].rate_hz);
        if (t->step_field < 0) {
            t->step_field = l->n_fields;
            const char *type = arena_text(a, "i64[F%d]", t->step_field);
            if (!type) return ctx_fail(cx, EVLA_E_NOMEM, "channel %s", c->name);
            add_field(l, step, type, "", "control tick of each frame", c->rate_hz);
        }
        snprintf(symbol, sizeof symbol, "F%d", t->step_field);
    }
    const char *type = arena_text(
        a, "%.*s[%s%s%s", (int)(bracket ? bracket - c->type : (int)strlen(c->type)),
        c->type, symbol, bracket ? "," : "]", bracket ? bracket + 1 : "");
    if (!type) return ctx_fail(cx, EVLA_E_NOMEM, "channel %s", c->name);
    add_field(l, c->name, type, c->unit, c->doc,
              c->rate_hz > 0 ? c->rate_hz : l->info.rate_hz);
    return 0;
}

static int32_t lay_out(const evla_host *h, const rollout_params *p, layout *l)
{
    host *self = h->self;
    ctx *cx = self->cx;
    arena *a = self->hold;
    const evla_body *body = p->body.item->table;
    memset(l, 0, sizeof *l);
    l->info.size = sizeof l->info;
    int32_t st = body->describe(h, p->body.params, &l->info);
    if (st < 0) {
        if (!cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
        ctx_prefix(cx, "body.%s", p->body.item->name);
        return cx->code;
    }
    const evla_body_info *info = &l->info;
    if (info->n_action < 1 || info->n_state < 0 || info->max_ticks < 1 ||
        !(info->rate_hz > 0) || info->n_channels < 0 || info->n_channels > MOST_CHANNELS)
        return ctx_fail(
            cx, EVLA_E_PLUGIN,
            "body.%s describes %d actions, %d states, %lld ticks, %g Hz and %d "
            "channels; want at least 1 action, 1 tick, a rate and at most %d channels",
            p->body.item->name, info->n_action, info->n_state, (long long)info->max_ticks,
            info->rate_hz, info->n_channels, MOST_CHANNELS);
    if (p->policy == POLICY_EXPERT && !body->expert)
        return ctx_fail(cx, EVLA_E_ARG,
                        "rollout: body.%s has no teacher; choose another policy",
                        p->body.item->name);
    const char *actions = arena_text(a, "f32[T,%d]", info->n_action),
               *states = arena_text(a, "f64[T,%d]", info->n_state);
    if (!actions || !states) return ctx_fail(cx, EVLA_E_NOMEM, "rollout");
    add_field(l, "actions", actions, "", info->action_doc, info->rate_hz);
    add_field(l, "states", states, "", "the body's whole state before each action",
              info->rate_hz);
    add_field(l, "rewards", "f32[T]", "", "reward after each action", info->rate_hz);
    add_field(l, "dones", "u8[T]", "", "1 at the last step", info->rate_hz);
    add_field(l, "events", "u64[T]", "", "what happened, a bit each (attribute events)",
              info->rate_hz);
    for (int32_t i = 0; st >= 0 && i < info->n_channels; i++)
        st = add_channel(cx, a, l, i);
    return st;
}

static int32_t rollout_describe(const evla_host *h, const void *params_given,
                                const evla_schema *in, evla_schema *out)
{
    (void)in;
    const rollout_params *p = params_given;
    layout *l = h->hold(h, sizeof *l);
    if (!l) return EVLA_E_NOMEM;
    int32_t st = lay_out(h, p, l);
    if (st < 0) return st;
    const evla_body_info *info = &l->info;
    evla_attr *attrs = h->hold(h, ((size_t)info->n_attrs + 5) * sizeof *attrs);
    if (!attrs) return EVLA_E_NOMEM;
    int32_t n = 0;
    for (; n < info->n_attrs; n++)
        attrs[n] = info->attrs[n];
    attrs[n++] = (evla_attr){
        .name = "events", .text = info->events ? info->events : "", .type = EVLA_ATTR_TEXT};
    attrs[n++] = (evla_attr){
        .name = "goals", .text = info->goals ? info->goals : "", .type = EVLA_ATTR_TEXT};
    attrs[n++] = (evla_attr){.name = "action_doc",
                             .text = info->action_doc ? info->action_doc : "",
                             .type = EVLA_ATTR_TEXT};
    attrs[n++] = (evla_attr){
        .name = "control_rate_hz", .number = info->rate_hz, .type = EVLA_ATTR_FLOAT};
    attrs[n++] =
        (evla_attr){.name = "body", .text = p->body.item->name, .type = EVLA_ATTR_TEXT};
    out->n_fields = l->n_fields;
    out->fields = l->fields;
    out->n_attrs = n;
    out->attrs = attrs;
    return 0;
}

/* ---- bodies at hand ---- */

static int32_t rollout_open(const evla_host *h, const void *params_given,
                            const evla_site *site, void **self)
{
    rollout *r = h->hold(h, sizeof *r);
    actor **idle = h->hold(h, (size_t)site->n_workers * sizeof *idle);
    if (!r || !idle) return EVLA_E_NOMEM;
    r->given = params_given;
    r->body = r->given->body.item->table;
    r->body_params = r->given->body.params;
    r->idle = idle;
    r->n_workers = site->n_workers;
    int32_t st = lay_out(h, r->given, &r->at);
    if (st < 0) return st;
    pthread_mutex_init(&r->lock, NULL);
    *self = r;
    return 0;
}

static void dismiss(const evla_host *h, const rollout *r, actor *a)
{
    r->body->close(h, a->body);
    arena_free(&a->hold);
    mem_free(a);
}

static void rollout_close(const evla_host *h, void *self)
{
    rollout *r = self;
    while (r->n_idle)
        dismiss(h, r, r->idle[--r->n_idle]);
    pthread_mutex_destroy(&r->lock);
}

static int32_t rollout_count(const evla_host *h, void *self, int64_t *n)
{
    (void)h;
    *n = ((rollout *)self)->given->episodes;
    return 0;
}

/* A body and a host whose `hold` lives as long as that body. */
static int32_t borrow(ctx *cx, rollout *r, actor **out, host *h)
{
    actor *a = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->n_idle) a = r->idle[--r->n_idle];
    pthread_mutex_unlock(&r->lock);
    int is_new = !a;
    if (is_new && !(a = mem_alloc(sizeof *a))) return ctx_fail(cx, EVLA_E_NOMEM, "a body");
    if (is_new) a->hold = arena_growing(64 << 10);
    host_init(h, cx, &a->hold);
    int32_t st = is_new ? r->body->open(&h->table, r->body_params, &a->body) : 0;
    if (st < 0) {
        arena_free(&a->hold);
        mem_free(a);
        return st;
    }
    *out = a;
    return 0;
}

static void give_back(const evla_host *h, rollout *r, actor *a)
{
    pthread_mutex_lock(&r->lock);
    int is_kept = r->n_idle < r->n_workers;
    if (is_kept) r->idle[r->n_idle++] = a;
    pthread_mutex_unlock(&r->lock);
    if (!is_kept) dismiss(h, r, a);
}

/* ---- one episode ---- */

/* Where the episode's samples go: a record as long as the longest episode, cut afterwards.
 */
static int32_t blank_record(ctx *cx, const rollout *r, uint64_t seed, const evla_goal *goal,
                            evla_record **out)
{
    const layout *l = &r->at;
    evla_field fields[FIXED + 2 * MOST_CHANNELS];
    for (int32_t i = 0; i < l->n_fields; i++) {
        evla_type t;
        const evla_schema_field *f = &l->fields[i];
        if (type_parse(cx, f->type, NULL, &t) < 0) return cx->code;
        t.shape[0] = l->info.max_ticks;
        if (strncmp(strchr(f->type, '['), "[F", 2) == 0)
            t.shape[0] =
                (int64_t)ceil((double)l->info.max_ticks * f->rate_hz / l->info.rate_hz) + 1;
        fields[i] = (evla_field){f->name, {.dtype = t.dtype, .rank = t.rank}};
        memcpy(fields[i].value.shape, t.shape, sizeof t.shape);
    }
    const evla_attr attrs[] = {
        {.name = "seed", .integer = (int64_t)seed, .type = EVLA_ATTR_INT},
        {.name = "goal", .text = goal->name, .type = EVLA_ATTR_TEXT},
        {.name = "goal_index", .integer = goal->index, .type = EVLA_ATTR_INT},
        {.name = "instruction", .text = goal->instruction, .type = EVLA_ATTR_TEXT},
        {.name = "ticks", .type = EVLA_ATTR_INT},
        {.name = "success", .type = EVLA_ATTR_INT},
        {.name = "timeout", .type = EVLA_ATTR_INT},
        {.name = "seconds", .type = EVLA_ATTR_FLOAT},
    };
    return record_new(cx, fields, l->n_fields, attrs, sizeof attrs / sizeof *attrs, out);
}

enum { ATTR_TICKS = 4, ATTR_SUCCESS, ATTR_TIMEOUT, ATTR_SECONDS };

static int32_t observe(const evla_host *h, const rollout *r, void *body, evla_record *rec,
                       int64_t tick, int64_t *frames)
{
    const layout *l = &r->at;
    int32_t st = 0, field = FIXED;
    for (int32_t i = 0; st >= 0 && i < l->info.n_channels; i++) {
        const track *t = &l->tracks[i];
        int64_t k = tick;
        if (t->step_field >= 0) {
            if (field == t->step_field) field++; /* this channel brought the step field */
            k = frames[i];
            if ((double)k > floor((double)tick * t->per_tick + 1e-9)) {
                field++;
                continue; /* the next frame is not due yet */
            }
            frames[i]++;
            ((int64_t *)rec->fields[t->step_field].value.data[0])[k] = tick;
        }
        st = r->body->observe(h, body, i,
                              (char *)rec->fields[field].value.data[0] + k * t->bytes);
        field++;
    }
    return st;
}

static int32_t choose(const evla_host *h, const rollout *r, void *body, uint64_t seed,
                      int64_t tick, float *action)
{
    int32_t n = r->at.info.n_action;
    memset(action, 0, (size_t)n * sizeof *action);
    if (r->given->policy == POLICY_EXPERT) {
        int32_t st = r->body->expert(h, body, action);
        if (st < 0) return st;
    }
    for (int32_t k = 0; k < n; k++) {
        uint64_t at = (uint64_t)(tick * n + k) * 2;
        double u = unit(mix(seed, at)), v = unit(mix(seed, at + 1));
        if (r->given->policy == POLICY_RANDOM) action[k] = (float)(2 * u - 1);
        if (r->given->noise > 0) /* Box and Muller 1958 */
            action[k] +=
                (float)(r->given->noise * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
        action[k] = action[k] < -1 ? -1 : action[k] > 1 ? 1 : action[k];
    }
    return 0;
}

static int32_t episode(const evla_host *h, const rollout *r, void *body, uint64_t seed,
                       evla_record **out)
{
    const evla_body_info *info = &r->at.info;
    ctx *cx = ((host *)h->self)->cx;
    evla_goal goal = {.instruction = "", .name = ""};
    int64_t frames[MOST_CHANNELS] = {0}, tick = 0;
    evla_tick now = {0};
    int32_t st = r->body->reset(h, body, seed, &goal);
    if (st >= 0) st = blank_record(cx, r, seed, &goal, out);
    if (st < 0) return st;
    evla_record *rec = *out;
    float *actions = rec->fields[0].value.data[0];
    double *states = rec->fields[1].value.data[0];
    for (; st >= 0 && tick < info->max_ticks && !now.done; tick++) {
        arena_place mark = arena_mark(&cx->scratch);
        float *action = actions + tick * info->n_action;
        st = r->body->save(h, body, states + tick * info->n_state);
        if (st >= 0) st = observe(h, r, body, rec, tick, frames);
        if (st >= 0) st = choose(h, r, body, seed, tick, action);
        if (st >= 0) st = r->body->act(h, body, action, &now);
        ((float *)rec->fields[2].value.data[0])[tick] = (float)now.reward;
        ((uint64_t *)rec->fields[4].value.data[0])[tick] = now.events;
        arena_reset(&cx->scratch, mark);
        if (ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    }
    if (st < 0) return st;
    ((uint8_t *)rec->fields[3].value.data[0])[tick - 1] = 1;
    for (int32_t i = 0; i < rec->n_fields; i++)
        record_trim(rec, i, tick);
    for (int32_t i = 0, field = FIXED; i < info->n_channels; i++, field++) {
        const track *t = &r->at.tracks[i];
        if (t->step_field < 0) continue;
        if (field == t->step_field) field++;
        record_trim(rec, t->step_field, frames[i]);
        record_trim(rec, field, frames[i]);
    }
    record_attr_slot(rec, ATTR_TICKS)->integer = tick;
    record_attr_slot(rec, ATTR_SUCCESS)->integer = now.success;
    record_attr_slot(rec, ATTR_TIMEOUT)->integer = !now.done;
    record_attr_slot(rec, ATTR_SECONDS)->number = (double)tick / info->rate_hz;
    return 0;
}

static int32_t rollout_make(const evla_host *h, void *self, int64_t i, evla_record **out)
{
    rollout *r = self;
    actor *a = NULL;
    host own;
    ctx *cx = ((host *)h->self)->cx;
    *out = NULL;
    int32_t st = borrow(cx, r, &a, &own);
    if (st >= 0) {
        uint64_t seed = mix((uint64_t)r->given->seed, (uint64_t)i) >> 1; /* fits an i64 */
        st = episode(&own.table, r, a->body, seed, out);
        give_back(&own.table, r, a);
    }
    if (st >= 0) return 0;
    if (*out) record_drop(*out);
    *out = NULL;
    if (!cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
    if (st != EVLA_E_STOPPED) ctx_prefix(cx, "body.%s", r->given->body.item->name);
    return st;
}

static const evla_stage rollout_stage = {
    .size = sizeof rollout_stage,
    .describe = rollout_describe,
    .open = rollout_open,
    .close = rollout_close,
    .count = rollout_count,
    .make = rollout_make,
};

static const evla_item items[] = {
    {EVLA_STAGE, "rollout", &rollout_stage, "episodes of a body under a policy", params,
     sizeof params / sizeof *params, sizeof(rollout_params)},
};

const evla_plugin job_builtin = {
    .magic = EVLA_MAGIC,
    .size = sizeof job_builtin,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .id = "evla.core",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};
