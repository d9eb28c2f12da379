/*
 * world.h -- one running simulation: a compiled scene, its state and the robot's
 * controller.
 *
 * A world belongs to one thread at a time; worlds share nothing. The derived quantities of
 * w->d (poses, contacts) always fit its qpos and qvel between calls.
 */
#ifndef MUJOCO_WORLD_H
#define MUJOCO_WORLD_H

#include <mujoco/mujoco.h>
#include <stdbool.h>

#include "arm.h"
#include "scene.h"

enum { WORLD_MEMO = 32, WORLD_WHY = 256, WORLD_MAX_BODIES = 16 };
/* Places in the memo: the judge's first, the disturbance's one, the monitor's last. */
enum { WORLD_DISTURB = 15, WORLD_MONITOR = 16 };

#define WORLD_SCALE  2.5 /* rad/s of a joint whose action entry is 1 */
#define WORLD_HOLD_S 1.0 /* s for which success must hold */

/* Largest normal forces of one tick in N, by part touched; 0: no contact. */
typedef struct world_touch {
    double by_outer[PART_LIMIT];     /* forearm, wrist and hand upon the part */
    double by_finger[2][PART_LIMIT]; /* left, right */
    double by_fixed[PART_LIMIT];     /* table, furniture and lid upon an object */
    bool is_self;                    /* the robot touches itself */
} world_touch;

struct world {
    const scene *scene;
    mjModel *m;
    mjData *d;
    int32_t *part_of;                /* [ngeom] PART_* */
    uint8_t *label_of;               /* [ngeom] index into scene->labels */
    int32_t body[WORLD_MAX_BODIES];  /* body ids, in the order of scene->bodies */
    int32_t qpos[WORLD_MAX_BODIES];  /* address of a free body's qpos, else -1 */
    int32_t mocap[WORLD_MAX_BODIES]; /* mocap id, else -1 */
    int32_t hinge;                   /* joint id, or -1 */
    int32_t n_steps;                 /* per control tick */
    double period;                   /* s, of a control tick */
    mjcf text;                       /* the scene's MJCF */

    double *raw_qpos; /* [nq] qpos as integrated; see refresh() in world.c */
    double *raw_quat; /* [4 nmocap] quaternions of furniture as placed */

    /* State beyond mjData's: all of it is saved. */
    double command[ARM_JOINTS]; /* rad, where the joints are told to be */
    double width;               /* m, where the gripper is told to be */
    double torque[ARM_ACTIONS]; /* Nm; N for the gripper; of the last step */
    double memo[WORLD_MEMO];    /* see WORLD_MONITOR; all zero after reset */
    double held_s;              /* s since when the goal is met without a break */
    uint64_t seed;
    int64_t tick;
    int32_t goal, phrasing;

    /* Of the last tick. */
    uint64_t events;
    world_touch touch;
    int32_t lid_on_hand;
    int32_t is_met; /* the goal is met right now */
    char why[WORLD_WHY];
};

extern const char *const world_event_names[EVENT_LIMIT];

/* Compiles the scene. step_s must divide 1/rate. Returns NULL with a sentence in why. */
world *world_open(const scene *s, double rate, double step_s, char why[WORLD_WHY]);
void world_close(world *w);

/* A new episode. goals lists indices to draw from; n_goals 0: any. */
void world_reset(world *w, uint64_t seed, const int32_t *goals, int32_t n_goals);

/* One control period under an action of 8 numbers in [-1, 1] (clipped; NaN counts as 0):
 *   0..6  joint velocities in units of WORLD_SCALE: added to the commanded joints per tick,
 *         all scaled alike while the fastest joint still speeds up
 *   7     gripper, -1 open to +1 closed, in between a width; force at most ARM_GRIP_FORCE
 * Returns 1 when the goal has held for WORLD_HOLD_S, -1 when the simulation diverged, else
 * 0. */
int32_t world_act(world *w, const float action[ARM_ACTIONS]);

/* The whole state as doubles, size known from the scene alone. Bit-exact on the same build.
 */
int32_t world_state_size(const scene *s);
void world_save(const world *w, double *state);
/* Returns 0, or -1 when the numbers cannot be a state of this scene (w is then unchanged).
 */
int32_t world_restore(world *w, const double *state);

/* Helpers for scenes. Pose: position[3], quaternion[4] (w x y z). */
void world_place(world *w, int32_t body, double x, double y, double z, double yaw);
/* Moves a free body of a running world aside. */
void world_move(world *w, int32_t body, double x, double y);
const double *world_position(const world *w, int32_t body);
const double *world_axes(const world *w, int32_t body); /* row-major 3x3 */
double world_opening(const world *w);                   /* m between the pads, measured */
const double *world_joints(const world *w);             /* rad[7], measured */
double world_force_on(const world *w, int32_t part);    /* N by any part of the robot */
bool world_is_pinched(const world *w, int32_t part);    /* touched by both fingers */

#endif
