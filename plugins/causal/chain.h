/*
 * chain.h -- the arm's kinematics, from numbers of a rules text.
 */
#ifndef CAUSAL_CHAIN_H
#define CAUSAL_CHAIN_H

#include <stdint.h>

enum { CHAIN_JOINTS = 7, CHAIN_VARS = CHAIN_JOINTS + 1 };
enum { CHAIN_HAND = CHAIN_JOINTS + 1, CHAIN_FRAMES }; /* frame 0 is the base, i link i */

typedef struct chain {
    double base[3];
    double pos[CHAIN_JOINTS][3], rot[CHAIN_JOINTS][9]; /* link frame in its parent's */
    double hand_pos[3], hand_rot[9];                   /* hand frame in the last link's */
    double tcp;                                        /* m along the hand's z */
    double lower[CHAIN_JOINTS], upper[CHAIN_JOINTS];   /* rad */
    double speed[CHAIN_JOINTS], accel[CHAIN_JOINTS];   /* rad/s, rad/s^2 */
} chain;

/* Where all frames are for joints q. */
typedef struct chain_pose {
    double pos[CHAIN_FRAMES][3], rot[CHAIN_FRAMES][9];
    double axis[CHAIN_JOINTS][3];
    double tcp[3];
} chain_pose;

void chain_forward(const chain *c, const double q[CHAIN_JOINTS], chain_pose *out);

/* Velocity of a point fixed to a frame along `dir`, per joint velocity. */
void chain_row(const chain_pose *p, int32_t frame, const double point[3],
               const double dir[3], double row[CHAIN_JOINTS]);

#endif
