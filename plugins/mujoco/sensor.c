/*
 * sensor.c -- noisy, late readings of object poses on top of a world.
 *
 * Reads: true poses of a world, its seed and tick.  Not here: what is done with readings.
 *
 * Compile as world.c: readings must not depend on the machine.
 */
#include "sensor.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { NO_FRAME = -2, BEFORE = -1, MOST_UNDER_WAY = 16 };

// clang-format off
const evla_param sensor_fields[SENSOR_PARAMS] = {
    {.name = "rate", .doc = "readings per second", .preset = "30", .unit = "Hz",
     .min = 0.1, .max = 1000, .type = EVLA_P_RATE, .offset = offsetof(sensor_params, rate)},
    {.name = "sigma", .doc = "standard deviation of a position reading, each coordinate",
     .preset = "0.002", .unit = "m", .min = 0, .max = 1, .type = EVLA_P_FLOAT,
     .offset = offsetof(sensor_params, sigma)},
    {.name = "sigma_angle", .doc = "standard deviation of an orientation reading, about each axis",
     .preset = "0.0174532925", .unit = "rad", .min = 0, .max = 3, .type = EVLA_P_FLOAT,
     .offset = offsetof(sensor_params, sigma_angle)},
    {.name = "bias", .doc = "standard deviation of an object's constant position error, drawn per episode",
     .preset = "0.001", .unit = "m", .min = 0, .max = 1, .type = EVLA_P_FLOAT,
     .offset = offsetof(sensor_params, bias)},
    {.name = "bias_angle", .doc = "the same for orientation, about each axis",
     .preset = "0.00872664626", .unit = "rad", .min = 0, .max = 3, .type = EVLA_P_FLOAT,
     .offset = offsetof(sensor_params, bias_angle)},
    {.name = "dropout", .doc = "probability that a reading of all objects is lost",
     .preset = "0.01", .min = 0, .max = 1, .type = EVLA_P_FLOAT,
     .offset = offsetof(sensor_params, dropout)},
    {.name = "latency", .doc = "from taking a reading to its delivery, rounded up to control ticks",
     .preset = "33ms", .unit = "s", .min = 0, .max = 10, .type = EVLA_P_DURATION,
     .offset = offsetof(sensor_params, latency_ns)},
};
// clang-format on

/* ---- what there is ---- */

/* Frames taken up to and including tick t. */
static int64_t frames_by(const sensor *s, int64_t tick)
{
    return (int64_t)floor((double)tick * s->given.rate / s->control_hz + 1e-9) + 1;
}

static int64_t taken_at(const sensor *s, double frame)
{
    if (frame < 0) return -s->late;
    return (int64_t)ceil(frame * s->control_hz / s->given.rate - 1e-9);
}

static bool can_move(const scene_body *b)
{
    return b->part >= PART_OBJECT || b->part == PART_LID;
}

static int32_t slot_size(const sensor *s) { return 1 + 7 * s->n_moving; }

static int32_t fill(const evla_host *h, const scene *sc, const sensor_params *p,
                    double control_hz, sensor *out)
{
    char why[160];
    int32_t n = 0;
    for (int32_t i = 0; i < sc->n_bodies; i++)
        n += sc->bodies[i].is_described && can_move(&sc->bodies[i]);
    double late = ceil((double)p->latency_ns * 1e-9 * control_hz - 1e-6);
    double between = floor(control_hz / p->rate + 1e-9); /* ticks, at least */
    if (p->rate > control_hz) {
        snprintf(why, sizeof why,
                 "mujoco: sensor: rate %g Hz is above the control rate %g Hz", p->rate,
                 control_hz);
        return h->fail(h, EVLA_E_RANGE, why);
    }
    if (late / between > MOST_UNDER_WAY - 2) {
        snprintf(why, sizeof why,
                 "mujoco: sensor: a latency of %g ms at %g Hz keeps more than %d readings "
                 "under way; lower one of them",
                 (double)p->latency_ns * 1e-6, p->rate, MOST_UNDER_WAY - 2);
        return h->fail(h, EVLA_E_RANGE, why);
    }
    *out = (sensor){.given = *p, .control_hz = control_hz, .n_moving = n};
    out->late = (int32_t)late;
    /* one delivered, one just taken, and those taken within the latency before it */
    out->n_slots = 2 + (int32_t)(late / between);
    return EVLA_OK;
}

int32_t sensor_size(const evla_host *h, const scene *s, const sensor_params *p,
                    double control_hz, int32_t *n_state)
{
    sensor made;
    int32_t st = fill(h, s, p, control_hz, &made);
    if (st >= 0) *n_state = made.n_slots * slot_size(&made);
    return st;
}

int32_t sensor_open(const evla_host *h, const scene *s, const sensor_params *p,
                    double control_hz, sensor *out)
{
    int32_t st = fill(h, s, p, control_hz, out);
    if (st < 0) return st;
    out->slots =
        h->hold(h, (uint64_t)out->n_slots * (uint64_t)slot_size(out) * sizeof *out->slots);
    return out->slots ? EVLA_OK : EVLA_E_NOMEM;
}

/* ---- frames under way ---- */

static double *slot(const sensor *s, int32_t i) { return s->slots + i * slot_size(s); }

static void take(double *to, const world *w, double frame)
{
    *to++ = frame;
    for (int32_t i = 0; i < w->scene->n_bodies; i++) {
        const scene_body *b = &w->scene->bodies[i];
        if (!b->is_described || !can_move(b)) continue;
        memcpy(to, w->d->xpos + 3 * w->body[i], 3 * sizeof *to);
        memcpy(to + 3, w->d->xquat + 4 * w->body[i], 4 * sizeof *to);
        to += 7;
    }
}

/* A generator of its own for each use of an episode's seed. */
static rng stream(const world *w, uint64_t use)
{
    rng key = {w->seed ^ UINT64_C(0x73656e736f722e30), 0};
    return (rng){rng_bits(&key) + use * UINT64_C(0xD1342543DE82EF95), 0};
}

static bool is_lost(const sensor *s, const world *w, int64_t frame)
{
    rng r = stream(w, (uint64_t)frame << 8 | 0xff);
    return rng_uniform(&r, 0, 1) < s->given.dropout;
}

void sensor_reset(sensor *s, const world *w)
{
    memset(s->slots, 0, (size_t)(s->n_slots * slot_size(s)) * sizeof *s->slots);
    for (int32_t i = 0; i < s->n_slots; i++)
        *slot(s, i) = NO_FRAME;
    take(slot(s, 0), w, BEFORE);
    sensor_tick(s, w);
}

void sensor_tick(sensor *s, const world *w)
{
    int64_t frame = frames_by(s, w->tick) - 1;
    if (taken_at(s, (double)frame) == w->tick && !is_lost(s, w, frame)) {
        int32_t i = 0;
        while (i < s->n_slots - 1 && *slot(s, i) != NO_FRAME)
            i++;
        take(slot(s, i), w, (double)frame);
    }
    size_t bytes = (size_t)slot_size(s) * sizeof *s->slots;
    while (s->n_slots > 1 && *slot(s, 1) != NO_FRAME &&
           taken_at(s, *slot(s, 1)) + s->late <= w->tick) {
        memmove(slot(s, 0), slot(s, 1), (size_t)(s->n_slots - 1) * bytes);
        memset(slot(s, s->n_slots - 1), 0, bytes);
        *slot(s, s->n_slots - 1) = NO_FRAME;
    }
}

/* ---- readings ---- */

/* Two normal numbers. Source: Box and Muller 1958. */
static void normal(rng *r, double out[2])
{
    double u = rng_uniform(r, 0, 1), v = rng_uniform(r, 0, 1);
    double radius = sqrt(-2 * log(1 - u));
    out[0] = radius * cos(6.283185307179586 * v);
    out[1] = radius * sin(6.283185307179586 * v);
}

/* Adds a position and an orientation error to pose[7]. */
static void disturb(rng r, double sigma, double sigma_angle, double pose[7])
{
    double e[6], turn[4], turned[4];
    for (int k = 0; k < 6; k += 2)
        normal(&r, e + k);
    for (int k = 0; k < 3; k++) {
        pose[k] += sigma * e[k];
        e[3 + k] *= sigma_angle;
    }
    double angle = mju_normalize3(e + 3);
    mju_axisAngle2Quat(turn, e + 3, angle);
    mju_mulQuat(turned, turn, pose + 3);
    memcpy(pose + 3, turned, sizeof turned);
}

void sensor_read(const sensor *s, const world *w, float *out)
{
    const double *moving = slot(s, 0) + 1;
    uint64_t frame = (uint64_t)((int64_t)*slot(s, 0) + 2); /* 0 is for the bias */
    for (int32_t i = 0; i < w->scene->n_bodies; i++) {
        const scene_body *b = &w->scene->bodies[i];
        double pose[7];
        if (!b->is_described) continue;
        if (!can_move(b)) {
            memcpy(pose, w->d->xpos + 3 * w->body[i], 3 * sizeof *pose);
            memcpy(pose + 3, w->d->xquat + 4 * w->body[i], 4 * sizeof *pose);
        } else {
            memcpy(pose, moving, sizeof pose);
            moving += 7;
        }
        disturb(stream(w, (uint64_t)i), s->given.bias, s->given.bias_angle, pose);
        disturb(stream(w, frame << 8 | (uint64_t)i), s->given.sigma, s->given.sigma_angle,
                pose);
        double sign = pose[3] < 0 ? -1 : 1;
        for (int k = 0; k < 7; k++)
            *out++ = (float)(k < 3 ? pose[k] : sign * pose[k]);
    }
}

double sensor_age(const sensor *s, const world *w)
{
    return (double)(w->tick - taken_at(s, *slot(s, 0))) * w->period;
}

/* ---- state ---- */

void sensor_save(const sensor *s, double *state)
{
    memcpy(state, s->slots, (size_t)(s->n_slots * slot_size(s)) * sizeof *state);
}

int32_t sensor_restore(sensor *s, const double *state)
{
    for (int32_t i = 0; i < s->n_slots * slot_size(s); i++)
        if (!(fabs(state[i]) <= 1e10)) return -1;
    for (int32_t i = 0; i < s->n_slots; i++) {
        double frame = state[i * slot_size(s)], lowest = i ? NO_FRAME : BEFORE;
        if (frame < lowest || frame != floor(frame)) return -1;
    }
    memcpy(s->slots, state, (size_t)(s->n_slots * slot_size(s)) * sizeof *state);
    return 0;
}
