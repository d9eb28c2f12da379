/*
 * disturb.h -- what goes wrong on purpose: a thing on the table is moved, readings stop
 * coming.
 *
 * When and where is a function of the episode's seed and of the state, so a restored state
 * goes on as the first time. Noise on actions is the rollout's.
 */
#ifndef MUJOCO_DISTURB_H
#define MUJOCO_DISTURB_H

#include "evla/abi.h"
#include "world.h"

/* The parameter `disturb`. All zero: nothing is disturbed. */
typedef struct disturb_params {
    double shift;        /* m by which one object is moved */
    double shift_chance; /* of an episode in which that happens */
    double stall_chance; /* per second, that readings stop coming */
    int64_t stall_ns;    /* for how long at most */
} disturb_params;

enum { DISTURB_PARAMS = 4 };
extern const evla_param disturb_fields[DISTURB_PARAMS];

/* Before a tick: moves a free object that nobody is near, when the episode's moment has
 * come. Returns 1 when it did. */
int32_t disturb_shift(const disturb_params *p, world *w);

/* Does the sensor stand still in this tick? */
int32_t disturb_stalls(const disturb_params *p, const world *w);

#endif
