/*
 * motion.h -- moving the hand as a function of where it is: the experts' vocabulary.
 *
 * Nothing here knows time or what happened before. A speed limit ramps up from the measured
 * velocity and down with the distance left, so motion is smooth without a memory.
 */
#ifndef MUJOCO_MOTION_H
#define MUJOCO_MOTION_H

#include "world.h"

typedef struct hand {
    double pos[3], mat[9];  /* TCP, measured; columns are the tool axes */
    double vel[3], spin[3]; /* m/s, rad/s */
    double width;           /* m between the pads */
    double closing;         /* m/s, positive when the pads approach each other */
} hand;

typedef struct move {
    double v[3], w[3]; /* m/s, rad/s of the TCP */
    double grip;       /* -1 open, +1 closed */
} move;

void motion_see(const world *w, hand *h);

/* Tool axes for a hand that points down, tilted forward by `tilt` towards `heading` (rad).
 */
void motion_tool(double heading, double tilt, double mat[9]);

/* Turns towards `mat`; returns the angle left in rad. */
double motion_turn(const hand *h, const double mat[9], move *out);

/* Straight from `from` to `to`, no faster than `limit` m/s. `from` is any point that moves
 * with the hand: the TCP, or a thing it holds. */
void motion_straight(const double from[3], const double to[3], double limit, move *out);

/* The way above obstacles: up to `cruise` (z of `from`), across, and down inside a funnel
 * around the vertical through `to`. Height above `to` is at least slope * (distance -
 * throat), so a throat of 1 mm and a slope of 20 enter a hole without touching its rim. */
typedef struct funnel {
    double cruise; /* m, z at which it goes across */
    double throat; /* m, distance from the axis at which the bottom is reached */
    double slope;
    double limit; /* m/s */
    double floor; /* m above `to` below which it does not go (yet) */
} funnel;
void motion_funnel(const double from[3], const double to[3], const funnel *f, move *out);

/* The action that carries out a move from the current commanded joints. */
void motion_action(const world *w, const move *m, float action[ARM_ACTIONS]);

#endif
