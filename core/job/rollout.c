/*
 * rollout.c -- the source "rollout": episodes of a body under a policy, on a virtual clock.
 *
 * Episode i starts from a seed that is a hash of the declared seed and i, in a body that
 * belongs to nobody else meanwhile, so its record does not depend on how many workers there
 * are.
 */
#include "../data/record.h"
#include "../mem.h"
#include "drive.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { MOST_CHANNELS = LOOP_MOST_CHANNELS, FIXED = 5, LABELS = 1 };
/* fixed: actions, states, rewards, dones, events; behind the channels: expert_actions */

typedef struct rollout_params {
    drive_params drive;
    int64_t episodes;
    int32_t label, reserved;
} rollout_params;

// clang-format off
static const evla_param params[] = {
    DRIVE_PARAMS("expert"),
    {.name = "episodes", .doc = "episodes attempted", .preset = "100", .type = EVLA_P_INT,
     .min = 0, .max = 1e9, .offset = offsetof(rollout_params, episodes)},
    {.name = "label", .doc = "adds the field expert_actions: the teacher's clean action at every "
     "tick, whoever acts", .preset = "false", .type = EVLA_P_BOOL,
     .offset = offsetof(rollout_params, label)},
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
    drive drive;
    track tracks[MOST_CHANNELS];
    int32_t n_fields;
    int32_t label_field; /* -1: none */
    evla_schema_field fields[FIXED + 2 * MOST_CHANNELS + LABELS];
} layout;

typedef struct rollout {
    const rollout_params *given;
    layout at;
    const registry *reg;
    pthread_mutex_t lock;
    loop **idle; /* open bodies and pilots nobody uses */
    int32_t n_idle, n_workers;
} rollout;

/* ---- the record's layout ---- */

static void add_field(layout *l, const char *name, const char *type, const char *unit_name,
                      const char *doc, double rate)
{
    l->fields[l->n_fields++] = (evla_schema_field){name, type, unit_name, doc, rate};
}

/* Adds a channel's field; the first slow channel of a group also brings "<group>/step". */
static int32_t add_channel(ctx *cx, arena *a, layout *l, int32_t i)
{
    const evla_channel *c = &l->drive.info.channels[i];
    track *t = &l->tracks[i];
    t->channel = c;
    t->step_field = -1;
    if (type_parse(cx, c->type, &(symbols){0}, &t->type) < 0) return cx->code;
    t->bytes = type_bytes(cx->reg, &t->type);
    if (t->bytes < 0 || t->type.rank >= EVLA_MAX_RANK || c->rate_hz < 0 ||
        c->rate_hz > l->drive.info.rate_hz * (1 + 1e-9))
        return ctx_fail(
            cx, EVLA_E_RANGE,
            "channel %s: %s at %g Hz; want whole blocks, a rank below %d and a rate of "
            "0 to %g Hz",
            c->name, c->type, c->rate_hz, EVLA_MAX_RANK, l->drive.info.rate_hz);
    const char *bracket = strchr(c->type, '[');
    char symbol[16] = "T";
    if (c->rate_hz > 0) {
        t->per_tick = c->rate_hz / l->drive.info.rate_hz;
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
              c->rate_hz > 0 ? c->rate_hz : l->drive.info.rate_hz);
    return 0;
}

static int32_t lay_out(const evla_host *h, const rollout_params *p, int is_check, layout *l)
{
    host *self = h->self;
    ctx *cx = self->cx;
    arena *a = self->hold;
    memset(l, 0, sizeof *l);
    int32_t st =
        (is_check ? drive_check : drive_open)(cx, a, "stage.rollout", &p->drive, &l->drive);
    if (st < 0) return st;
    l->drive.spec.label = p->label;
    l->drive.spec.all = 1;
    if ((st = loop_check(cx, &l->drive.spec)) < 0) return st;
    const evla_body_info *info = &l->drive.info;
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
    l->label_field = -1;
    if (st >= 0 && p->label) {
        l->label_field = l->n_fields;
        add_field(l, "expert_actions", actions, "",
                  "the teacher's clean action at each tick", info->rate_hz);
    }
    return st;
}

static int32_t rollout_describe(const evla_host *h, const void *params_given,
                                const evla_schema *in, evla_schema *out)
{
    (void)in;
    const rollout_params *p = params_given;
    layout *l = h->hold(h, sizeof *l);
    if (!l) return EVLA_E_NOMEM;
    int32_t st = lay_out(h, p, 1, l);
    drive_free(&l->drive); /* what was known is checked */
    if (st < 0) return st;
    const evla_body_info *info = &l->drive.info;
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
    attrs[n++] = (evla_attr){
        .name = "body", .text = p->drive.body.item->name, .type = EVLA_ATTR_TEXT};
    out->n_fields = l->n_fields;
    out->fields = l->fields;
    out->n_attrs = n;
    out->attrs = attrs;
    return 0;
}

/* ---- loops at hand ---- */

static int32_t rollout_open(const evla_host *h, const void *params_given,
                            const evla_site *site, void **self)
{
    rollout *r = h->hold(h, sizeof *r);
    loop **idle = h->hold(h, (size_t)site->n_workers * sizeof *idle);
    if (!r || !idle) return EVLA_E_NOMEM;
    r->given = params_given;
    r->idle = idle;
    r->n_workers = site->n_workers;
    int32_t st = lay_out(h, r->given, 0, &r->at);
    if (st < 0) return drive_free(&r->at.drive), st;
    pthread_mutex_init(&r->lock, NULL);
    *self = r;
    return 0;
}

static void rollout_close(const evla_host *h, void *self)
{
    rollout *r = self;
    while (r->n_idle)
        loop_close(((host *)h->self)->cx, r->idle[--r->n_idle]);
    drive_free(&r->at.drive);
    pthread_mutex_destroy(&r->lock);
}

static int32_t rollout_count(const evla_host *h, void *self, int64_t *n)
{
    (void)h;
    *n = ((rollout *)self)->given->episodes;
    return 0;
}

/* A body with a pilot of its own; weights are shared. */
static int32_t borrow(ctx *cx, rollout *r, loop **out)
{
    *out = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->n_idle) *out = r->idle[--r->n_idle];
    pthread_mutex_unlock(&r->lock);
    return *out ? 0 : loop_open(cx, &r->at.drive.spec, out);
}

static void give_back(ctx *cx, rollout *r, loop *l)
{
    pthread_mutex_lock(&r->lock);
    int is_kept = r->n_idle < r->n_workers;
    if (is_kept) r->idle[r->n_idle++] = l;
    pthread_mutex_unlock(&r->lock);
    if (!is_kept) loop_close(cx, l);
}

/* ---- one episode ---- */

/* Where the episode's samples go: a record as long as the longest episode, cut afterwards.
 */
static int32_t blank_record(ctx *cx, const rollout *r, uint64_t seed, const evla_goal *goal,
                            evla_record **out)
{
    const layout *l = &r->at;
    evla_field fields[FIXED + 2 * MOST_CHANNELS + LABELS];
    for (int32_t i = 0; i < l->n_fields; i++) {
        evla_type t;
        const evla_schema_field *f = &l->fields[i];
        if (type_parse(cx, f->type, NULL, &t) < 0) return cx->code;
        t.shape[0] = l->drive.info.max_ticks;
        if (strncmp(strchr(f->type, '['), "[F", 2) == 0)
            t.shape[0] = (int64_t)ceil((double)l->drive.info.max_ticks * f->rate_hz /
                                       l->drive.info.rate_hz) +
                         1;
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

/* What the loop saw in this tick, into the record. */
static void keep_samples(const layout *at, const loop *l, evla_record *rec)
{
    for (int32_t i = 0, field = FIXED; i < at->drive.info.n_channels; i++, field++) {
        const track *t = &at->tracks[i];
        if (field == t->step_field) field++; /* this channel brought the step field */
        if (!(l->fresh >> i & 1)) continue;
        int64_t k = l->n_samples[i] - 1;
        if (t->step_field >= 0)
            ((int64_t *)rec->fields[t->step_field].value.data[0])[k] = l->tick;
        memcpy((char *)rec->fields[field].value.data[0] + k * t->bytes, l->samples[i],
               (size_t)t->bytes);
    }
}

static int32_t one_tick(ctx *cx, const layout *at, loop *l, evla_record *rec)
{
    const evla_body_info *info = &at->drive.info;
    int64_t tick = l->tick;
    size_t n = (size_t)info->n_action;
    double *states = rec->fields[1].value.data[0];
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = loop_sense(l, loop_time_ns(info->rate_hz, tick));
    if (st >= 0) st = l->body->save(&l->h.table, l->self, states + tick * info->n_state);
    if (st >= 0) st = loop_decide(l);
    if (st >= 0) {
        keep_samples(at, l, rec);
        memcpy((float *)rec->fields[0].value.data[0] + (size_t)tick * n, l->action,
               n * sizeof *l->action);
        if (at->label_field >= 0)
            memcpy((float *)rec->fields[at->label_field].value.data[0] + (size_t)tick * n,
                   l->label, n * sizeof *l->label);
        st = loop_act(l);
    }
    ((float *)rec->fields[2].value.data[0])[tick] = (float)l->now.reward;
    ((uint64_t *)rec->fields[4].value.data[0])[tick] = l->now.events;
    arena_reset(&cx->scratch, mark);
    if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    return st;
}

static int32_t episode(ctx *cx, const rollout *r, loop *l, uint64_t seed, evla_record **out)
{
    const evla_body_info *info = &r->at.drive.info;
    int32_t st = loop_reset(cx, l, seed, NULL, 0);
    if (st >= 0) st = blank_record(cx, r, seed, &l->goal, out);
    while (st >= 0 && !loop_is_over(l))
        st = one_tick(cx, &r->at, l, *out);
    if (st < 0) return st;
    evla_record *rec = *out;
    ((uint8_t *)rec->fields[3].value.data[0])[l->tick - 1] = 1;
    for (int32_t i = 0; i < rec->n_fields; i++)
        record_trim(rec, i, l->tick);
    for (int32_t i = 0, field = FIXED; i < info->n_channels; i++, field++) {
        const track *t = &r->at.tracks[i];
        if (t->step_field < 0) continue;
        if (field == t->step_field) field++;
        record_trim(rec, t->step_field, l->n_samples[i]);
        record_trim(rec, field, l->n_samples[i]);
    }
    record_attr_slot(rec, ATTR_TICKS)->integer = l->tick;
    record_attr_slot(rec, ATTR_SUCCESS)->integer = l->now.success;
    record_attr_slot(rec, ATTR_TIMEOUT)->integer = !l->now.done;
    record_attr_slot(rec, ATTR_SECONDS)->number = (double)l->tick / info->rate_hz;
    return 0;
}

static int32_t rollout_make(const evla_host *h, void *self, int64_t i, evla_record **out)
{
    rollout *r = self;
    loop *l = NULL;
    ctx *cx = ((host *)h->self)->cx;
    *out = NULL;
    int32_t st = borrow(cx, r, &l);
    if (st >= 0) {
        uint64_t seed = loop_episode_seed((uint64_t)r->given->drive.seed, i);
        st = episode(cx, r, l, seed, out);
        give_back(cx, r, l);
    }
    if (st >= 0) return 0;
    if (*out) record_drop(*out);
    *out = NULL;
    if (!cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
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
