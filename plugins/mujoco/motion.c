/*
 * motion.c -- straight lines, funnels and turns as vector fields over the hand's pose.
 *
 * Reads: the measured joints and velocities.  Writes: a twist, then an action.
 * Not here: where to go and when to grip (coffee_expert.c, reach.c).
 */
#include "motion.h"

#include <math.h>
#include <string.h>

static const double gain = 7;          /* 1/s, last centimetres: e-fold in 0.14 s */
static const double brake = 1.6;       /* m/s^2 */
static const double turn_gain = 7;     /* 1/s */
static const double turn_limit = 2;    /* rad/s */
static const double joint_limit = 1.7; /* rad/s, below the slowest joint's 2.175 */

void motion_see(const world *w, hand *h)
{
    double jac[6 * ARM_JOINTS];
    const double *q = w->d->qpos, *v = w->d->qvel;
    arm_forward(q, h->pos, h->mat, jac);
    mju_mulMatVec(h->vel, jac, v, 3, ARM_JOINTS);
    mju_mulMatVec(h->spin, jac + 3 * ARM_JOINTS, v, 3, ARM_JOINTS);
    h->width = world_opening(w);
    h->closing = -(v[7] + v[8]);
}

void motion_tool(double heading, double tilt, double mat[9])
{
    double c = cos(heading), s = sin(heading), ct = cos(tilt), st = sin(tilt);
    double z[3] = {st * c, st * s, -ct}, y[3] = {s, -c, 0}, x[3];
    mju_cross(x, y, z);
    for (int k = 0; k < 3; k++) {
        mat[3 * k] = x[k];
        mat[3 * k + 1] = y[k];
        mat[3 * k + 2] = z[k];
    }
}

double motion_turn(const hand *h, const double mat[9], move *out)
{
    double back[9], quat[4], turn[3];
    mju_mulMatMatT(back, mat, h->mat, 3, 3,
                   3); /* takes the hand's axes to the wanted ones */
    mju_mat2Quat(quat, back);
    mju_quat2Vel(turn, quat, 1);
    double angle = mju_norm3(turn);
    if (angle < 1e-9) return angle;
    mju_scl3(turn, turn, 1 / angle);
    mju_scl3(out->w, turn, fmin(turn_limit, turn_gain * angle));
    return angle;
}

/* A speed for `left` metres to go. How fast the hand already is does not matter: the arm's
 * controller ramps speeds up (world.c). */
static double pace(double left, double limit)
{
    return fmin(fmin(limit, gain * left), sqrt(2 * brake * left));
}

void motion_straight(const double from[3], const double to[3], double limit, move *out)
{
    double dir[3];
    mju_sub3(dir, to, from);
    double left = mju_normalize3(dir);
    if (left < 1e-9) return;
    mju_scl3(out->v, dir, pace(left, limit));
}

void motion_funnel(const double from[3], const double to[3], const funnel *f, move *out)
{
    double flat[3] = {to[0] - from[0], to[1] - from[1], 0}, up[3] = {0, 0, 1};
    double left = mju_norm3(flat), top = fmax(f->cruise, to[2] + f->floor);
    double wall = f->floor + f->slope * fmax(0, left - f->throat);
    double height = fmin(top, to[2] + wall);
    double rise = height - from[2];
    /* Across when nearly high enough: full speed on the wall, a quarter 8 cm below it;
     * never none, so that nobody who follows this field with a little noise comes to rest
     * beside it. */
    double gate = mju_clip(1 - (rise - 0.01) / 0.09, 0.25, 1);
    if (left > 1e-9) {
        mju_scl3(flat, flat, 1 / left);
        mju_scl3(out->v, flat, gate * pace(left, f->limit));
    }
    up[2] = rise < 0 ? -1 : 1;
    out->v[2] = up[2] * pace(fabs(rise), f->limit);
}

void motion_action(const world *w, const move *m, float action[ARM_ACTIONS])
{
    double twist[6], speed[ARM_JOINTS];
    memcpy(twist, m->v, sizeof m->v);
    memcpy(twist + 3, m->w, sizeof m->w);
    /* From the commanded joints: the measured ones trail by millimetres and would feed
     * back. */
    arm_inverse(w->command, twist, joint_limit, speed);
    for (int i = 0; i < ARM_JOINTS; i++)
        action[i] = (float)(speed[i] / WORLD_SCALE);
    action[7] = (float)m->grip;
}
