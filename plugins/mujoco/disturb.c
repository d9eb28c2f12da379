/*
 * disturb.c -- shifted objects and stalled readings, drawn from the seed and the tick.
 *
 * Not here: noise on actions (the rollout), noise of readings (sensor.c).
 *
 * Compile as world.c: what happens must not depend on the machine.
 */
#include "disturb.h"

#include <math.h>
#include <stddef.h>

#include "rng.h"

static const double early_s = 0.5,
                    late_s = 6; /* when it may happen; waits while it must not */
static const double hand_m =
    0.12; /* m, sideways, the hand stays away from old and new place */
static const double room_m = 0.105;              /* m to the middle of anything else */
static const double near_m = 0.38, far_m = 0.64; /* m from the column */

// clang-format off
const evla_param disturb_fields[DISTURB_PARAMS] = {
    {.name = "shift", .doc = "way by which an object on the table is moved, once in an episode",
     .preset = "0.03", .unit = "m", .min = 0, .max = 0.2, .type = EVLA_P_FLOAT,
     .offset = offsetof(disturb_params, shift)},
    {.name = "shift_chance", .doc = "share of episodes in which one is moved", .preset = "0",
     .min = 0, .max = 1, .type = EVLA_P_FLOAT, .offset = offsetof(disturb_params, shift_chance)},
    {.name = "stall_chance", .doc = "probability in each second that readings of poses stop coming",
     .preset = "0", .min = 0, .max = 1, .type = EVLA_P_FLOAT,
     .offset = offsetof(disturb_params, stall_chance)},
    {.name = "stall", .doc = "how long they stop at most", .preset = "200ms", .unit = "s", .min = 0,
     .max = 1, .type = EVLA_P_DURATION, .offset = offsetof(disturb_params, stall_ns)},
};
// clang-format on

static rng stream(const world *w, uint64_t use)
{
    rng key = {w->seed ^ UINT64_C(0x646973747572622e), 0};
    return (rng){rng_bits(&key) + use * UINT64_C(0xD1342543DE82EF95), 0};
}

/* Stands free on the table, and the hand is not about to take it. */
static bool may_move(const world *w, int32_t i, const double to[2])
{
    const double *p = world_position(w, i), *v;
    double tcp[3], mat[9], r = hypot(to[0], to[1]);
    if (w->qpos[i] < 0 || p[2] > 0.002 || world_force_on(w, PART_OBJECT + i) > 0)
        return false;
    v = w->d->qvel + w->m->jnt_dofadr[w->m->body_jntadr[w->body[i]]];
    if (mju_norm3(v) > 0.01 || r < near_m || r > far_m) return false;
    arm_forward(world_joints(w), tcp, mat, NULL);
    if (tcp[2] < 0.25 && (hypot(tcp[0] - p[0], tcp[1] - p[1]) < hand_m ||
                          hypot(tcp[0] - to[0], tcp[1] - to[1]) < hand_m))
        return false;
    for (int32_t k = 0; k < w->scene->n_bodies; k++) {
        const double *q = world_position(w, k);
        if (k == i || !w->scene->bodies[k].is_described) continue;
        bool is_machine = w->scene->bodies[k].part == PART_FIXTURE && w->mocap[k] >= 0;
        double room = is_machine ? 0.18 : room_m;
        if (w->scene->bodies[k].part == PART_NONE || w->scene->bodies[k].part == PART_LID)
            continue;
        if (hypot(q[0] - to[0], q[1] - to[1]) < room) return false;
    }
    return true;
}

int32_t disturb_shift(const disturb_params *p, world *w)
{
    rng r = stream(w, 1);
    if (!(p->shift > 0) || rng_uniform(&r, 0, 1) >= p->shift_chance ||
        w->scene->n_objects < 1)
        return 0;
    double *done = &w->memo[WORLD_DISTURB], now = (double)w->tick * w->period;
    double when = rng_uniform(&r, early_s, late_s);
    if (*done > 0 || now < when) return 0;
    /* Another try in every tick until one fits: the object first drawn, then any. */
    rng again = stream(w, 2 + (uint64_t)w->tick);
    int32_t i = rng_below(now < when + 0.5 ? &r : &again, w->scene->n_objects);
    double turn = rng_uniform(&again, 0, 6.283185307179586);
    const double *at = world_position(w, i);
    double to[2] = {at[0] + p->shift * cos(turn), at[1] + p->shift * sin(turn)};
    if (!may_move(w, i, to)) return 0;
    *done = 1;
    world_move(w, i, to[0], to[1]);
    return 1;
}

int32_t disturb_stalls(const disturb_params *p, const world *w)
{
    double now = (double)w->tick * w->period, most = (double)p->stall_ns * 1e-9;
    if (!(p->stall_chance > 0)) return 0;
    /* One draw a second; a stall may reach into the next one. */
    for (int64_t s = (int64_t)now - 1; s <= (int64_t)now; s++) {
        rng r = stream(w, UINT64_C(1) << 32 | (uint64_t)(s + 1));
        bool is_so = rng_uniform(&r, 0, 1) < p->stall_chance;
        double from = (double)s + rng_uniform(&r, 0, 1);
        if (s >= 0 && is_so && now >= from && now < from + most * rng_uniform(&r, 0.3, 1))
            return 1;
    }
    return 0;
}
