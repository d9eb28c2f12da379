/*
 * arm.h -- the robot: a 7-joint arm with the dimensions of a Franka Panda and a parallel
 * gripper.
 *
 * The tool centre point (TCP) is the middle between the finger pads. Tool axes: z points
 * out of the hand, y is the direction in which the fingers open.
 */
#ifndef MUJOCO_ARM_H
#define MUJOCO_ARM_H

#include "camera.h"
#include "mjcf.h"

enum { ARM_JOINTS = 7, ARM_ACTIONS = 8 };

#define ARM_BASE_Z     0.10   /* m, shoulder column above the table; see arm.c on reach */
#define ARM_WIDTH_MAX  0.08   /* m between the pads when open */
#define ARM_PAD_BELOW  0.0095 /* m from the TCP to the lower edge of the pads */
#define ARM_PALM_ABOVE 0.0454 /* m from the TCP back to the palm */
#define ARM_GRIP_FORCE 30.0   /* N per finger */

/* Contact bits: what collides with what is decided here for every scene. */
enum {
    ARM_BIT_FIXED = 1,  /* table, furniture */
    ARM_BIT_OBJECT = 2, /* things that can be moved */
    ARM_BIT_HAND = 4,   /* hand and outer links: meet fixed things, objects, inner links */
};

extern const double arm_lower[ARM_JOINTS], arm_upper[ARM_JOINTS]; /* rad, joint limits */
extern const double arm_speed[ARM_JOINTS];  /* rad/s, the data sheet's velocity limits */
extern const double arm_torque[ARM_JOINTS]; /* Nm, the motors' limits */
extern const double arm_home[ARM_JOINTS];   /* rad, where episodes start, before noise */

extern const camera arm_wrist; /* looks past the fingers */

/* Writes the defaults, the robot's body, and what follows the worldbody. */
void arm_mjcf_defaults(mjcf *x);
void arm_mjcf_body(mjcf *x);
void arm_mjcf_tail(mjcf *x);

/* Where the TCP is for joints q, in the world.
 *   pos[3] m;  mat[9] row-major, columns are the tool axes;  jac [6][7] or NULL: rows 0-2
 * linear, rows 3-5 angular velocity per joint velocity */
void arm_forward(const double q[ARM_JOINTS], double pos[3], double mat[9], double *jac);

/* One damped least-squares step: joint velocities that move the TCP with `twist` (m/s,
 * rad/s), the elbow drifting back to upright in the null space; a joint at its limit is
 * left out. Scaled as a whole so that no joint is faster than `limit` rad/s. Source:
 * Wampler 1986 (damping 0.02), null-space projection of Liegeois 1977. */
void arm_inverse(const double q[ARM_JOINTS], const double twist[6], double limit,
                 double speed[ARM_JOINTS]);

#endif
