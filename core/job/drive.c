/*
 * drive.c -- what rollouts declare about body and driver. See drive.h.
 */
#include "drive.h"
#include "../graph/save.h"
#include <math.h>
#include <string.h>

// clang-format off
const evla_param drive_line_fields[4] = {
    {.name = "graph", .doc = "its name", .type = EVLA_P_STRING,
     .offset = offsetof(policy_line, graph)},
    {.name = "rate", .doc = "runs per second; 0: at every control tick", .preset = "0",
     .unit = "Hz", .type = EVLA_P_RATE, .offset = offsetof(policy_line, rate_hz)},
    {.name = "latency", .doc = "from an observation until others read the result; above 0 it runs "
     "beside the ticks", .preset = "0s", .unit = "s", .type = EVLA_P_DURATION, .max = 3600,
     .offset = offsetof(policy_line, latency_ns)},
    {.name = "times", .doc = "runs in a row, as a loop that takes noise away: its input `step` counts "
     "them from 0, and outputs go back into inputs of the same name", .type = EVLA_P_INT,
     .preset = "1", .min = 1, .max = TURNS_MOST, .offset = offsetof(policy_line, times)},
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

static int32_t fit(ctx *cx, const drive_params *p, const model *m, drive *d)
{
    int32_t st =
        policy_new(cx, m, &d->info, p->schedule.items, (int32_t)p->schedule.n, &d->policy);
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
    if (m) st = fit(cx, p, m, d);
    return done(cx, what, st, d);
}

int32_t drive_open(ctx *cx, arena *hold, const char *what, const drive_params *p, drive *d)
{
    int32_t st = prepare(cx, hold, p, d);
    if (st >= 0 && p->model) st = save_open(cx, p->model->path, &d->model);
    if (st >= 0 && p->model) st = fit(cx, p, d->model, d);
    return done(cx, what, st, d);
}

void drive_free(drive *d)
{
    policy_free(d->policy);
    model_drop(d->model);
    d->policy = NULL;
    d->model = NULL;
}
