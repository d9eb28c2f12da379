/*
 * drive.c -- what rollouts declare about body and driver. See drive.h.
 */
#include "drive.h"
#include "call.h"
#include <math.h>
#include <string.h>

// clang-format off
const evla_param drive_line_fields[10] = {
    {.name = "graph", .doc = "its name", .type = EVLA_P_STRING,
     .offset = offsetof(drive_line, line.graph)},
    {.name = "rate", .doc = "runs per second; 0: at every control tick, a chunk's as rarely as its "
     "answers last", .preset = "0",
     .unit = "Hz", .type = EVLA_P_RATE, .offset = offsetof(drive_line, line.rate_hz)},
    {.name = "latency", .doc = "from an observation until others read the result; above 0 it runs "
     "beside the ticks", .preset = "0s", .unit = "s", .type = EVLA_P_DURATION, .max = 3600,
     .offset = offsetof(drive_line, line.latency_ns)},
    {.name = "times", .doc = "runs in a row, as a loop that takes noise away: its input `step` counts "
     "them from 0, and outputs go back into inputs of the same name", .type = EVLA_P_INT,
     .preset = "1", .min = 1, .max = TURNS_MOST, .offset = offsetof(drive_line, line.times)},
    {.name = "joined", .doc = "runs right after the line before it, as one call with it, at its rate",
     .type = EVLA_P_BOOL, .preset = "false", .offset = offsetof(drive_line, line.is_joined)},
    {.name = "chunk", .doc = "the call's action is many, played one after the other. queue: those of the "
     "newest answer; ensemble: the mean of all answers that have one for now; realtime: as queue, and the "
     "next answer is told what is played meanwhile", .type = EVLA_P_ENUM, .preset = "none",
     .choices = "none|queue|ensemble|realtime", .offset = offsetof(drive_line, line.chunk)},
    {.name = "pace", .doc = "actions of a chunk that are played per second; 0: one at every control tick",
     .preset = "0", .unit = "Hz", .type = EVLA_P_RATE, .offset = offsetof(drive_line, line.pace_hz)},
    {.name = "decay", .doc = "m of an ensemble's weights exp(-m i), i counted from the oldest answer on",
     .preset = "0.01", .type = EVLA_P_FLOAT, .min = -10, .max = 10,
     .offset = offsetof(drive_line, line.decay)},
    {.name = "workers", .doc = "threads of a call that runs beside the ticks", .type = EVLA_P_INT,
     .preset = "1", .min = 1, .max = 64, .offset = offsetof(drive_line, line.workers)},
    {.name = "model", .doc = "whose graph it is; none: that of the rollout's model", .type = EVLA_P_VALUE,
     .choices = "model", .flags = EVLA_PF_OPTIONAL, .offset = offsetof(drive_line, model)},
};
// clang-format on

/* A model without a model to act, and the other way round. */
static int32_t check_words(ctx *cx, const drive_params *p)
{
    if (p->policy == LOOP_MODEL && !p->model)
        return ctx_fail(cx, EVLA_E_ARG,
                        "policy = \"model\" needs one: model = the job that makes it");
    if (p->policy != LOOP_MODEL && p->model)
        return ctx_fail(
            cx, EVLA_E_ARG,
            "model: is given, but another policy acts; want policy = \"model\"");
    if (p->policy != LOOP_MODEL && p->schedule.n)
        return ctx_fail(cx, EVLA_E_ARG, "schedule: is given, but no model acts");
    if (p->policy == LOOP_EXPERT && p->mix > 0)
        return ctx_fail(cx, EVLA_E_ARG, "mix: the teacher acts already");
    return 0;
}

/* Whose graph line i is, when it is of another model than the rollout's. is_open: with the
 * weights that its job left. NULL: that is not known yet. */
static int32_t find_other(ctx *cx, const drive_params *p, int32_t i, int is_open, drive *d,
                          const policy_line *before, const model **out)
{
    const drive_line *lines = p->schedule.items;
    const evla_value *v = lines[i].model;
    for (int32_t e = 0; e < i; e++) /* one model, however often it is named */
        if (lines[e].model == v) return *out = before[e].of, 0;
    if (!is_open) return *out = job_model_behind(v), 0;
    model *m;
    int32_t st = call_model(cx, job_of(v), v, &m);
    if (st < 0) return st;
    if (m->file) m->packs = 1;
    d->others[d->n_others++] = m;
    return *out = m, 0;
}

static int32_t fit(ctx *cx, arena *hold, const drive_params *p, const model *m, int is_open,
                   drive *d)
{
    int32_t n = (int32_t)p->schedule.n, st = 0;
    const drive_line *given = p->schedule.items;
    policy_line *lines = arena_push(hold, (size_t)n + 1, sizeof *lines);
    d->others = arena_push(hold, (size_t)n + 1, sizeof *d->others);
    if (!lines || !d->others) return ctx_fail(cx, EVLA_E_NOMEM, "a schedule");
    for (int32_t i = 0; i < n; i++) {
        lines[i] = given[i].line;
        if (!given[i].model || given[i].model == p->model) continue;
        st = find_other(cx, p, i, is_open, d, lines, &lines[i].of);
        if (st < 0 || !lines[i].of) return st;
    }
    st = policy_new(cx, m, &d->info, lines, n, &d->policy);
    d->spec.policy = d->policy;
    return st;
}

static int32_t prepare(ctx *cx, arena *hold, const drive_params *p, drive *d)
{
    *d = (drive){.spec = {.body = p->body,
                          .guard = p->guard,
                          .info = &d->info,
                          .driver = (loop_driver)p->policy,
                          .noise = p->noise,
                          .mix = p->mix,
                          .segment_ns = p->segment_ns}};
    int32_t st = check_words(cx, p);
    if (st >= 0) st = loop_describe(cx, hold, &p->body, &d->info);
    if (st >= 0 && p->limit_ns) {
        int64_t ticks = (int64_t)ceil(1e-9 * (double)p->limit_ns * d->info.rate_hz - 1e-9);
        if (ticks < d->info.max_ticks) d->info.max_ticks = ticks > 1 ? ticks : 1;
    }
    if (st >= 0) st = loop_check(cx, &d->spec);
    return st;
}

static int32_t done(ctx *cx, const char *what, int32_t st, drive *d)
{
    if (st >= 0) return 0;
    if (cx->code && st != EVLA_E_STOPPED) ctx_prefix(cx, "%s", what);
    drive_free(d);
    return st;
}

int32_t drive_check(ctx *cx, arena *hold, const char *what, const drive_params *p, drive *d)
{
    int32_t st = prepare(cx, hold, p, d);
    const model *m = st >= 0 && p->model ? job_model_behind(p->model) : NULL;
    if (m) st = fit(cx, hold, p, m, 0, d);
    return done(cx, what, st, d);
}

int32_t drive_open(ctx *cx, arena *hold, const char *what, const drive_params *p, drive *d)
{
    int32_t st = prepare(cx, hold, p, d);
    if (st >= 0 && p->model) st = call_model(cx, job_of(p->model), p->model, &d->model);
    if (st >= 0 && p->model && d->model->file) d->model->packs = 1; /* nobody trains it */
    if (st >= 0 && p->model) st = fit(cx, hold, p, d->model, 1, d);
    return done(cx, what, st, d);
}

void drive_free(drive *d)
{
    policy_free(d->policy);
    model_drop(d->model);
    for (int32_t i = 0; i < d->n_others; i++)
        model_drop(d->others[i]);
    d->n_others = 0;
    d->policy = NULL;
    d->model = NULL;
}
