/*
 * coffee.h -- the coffee scene's measures and names, shared by its model, judge and expert.
 *
 * Machine coordinates: origin on the table under the front of the tower, x towards the
 * back, so the front looks to -x, at the robot. All lengths in metres.
 */
#ifndef MUJOCO_COFFEE_H
#define MUJOCO_COFFEE_H

#include "motion.h"
#include "world.h"

/* Index into the scene's table of bodies; the first five are also objects 0 to 4. */
enum {
    COFFEE_RED,
    COFFEE_BLUE,
    COFFEE_GREEN,
    COFFEE_ORANGE,
    COFFEE_BLOCK,
    COFFEE_OBJECTS,
    COFFEE_JAR = COFFEE_OBJECTS,
    COFFEE_MACHINE,
    COFFEE_LID,
    COFFEE_MARKER,
    COFFEE_TABLE,
    COFFEE_BODIES
};

typedef enum coffee_task {
    TASK_BREW,  /* mug under the spout, pod in the holder, lid closed */
    TASK_LOAD,  /* pod in the holder, lid closed */
    TASK_SERVE, /* mug under the spout */
    TASK_CLOSE, /* lid closed */
    TASK_OPEN,  /* lid open */
    TASK_CLEAR, /* mug from under the spout to the marker */
    TASK_LIMIT
} coffee_task;

enum { COFFEE_GOALS = 12, COFFEE_PHRASINGS = 6 };

typedef struct coffee_goal {
    coffee_task task;
    int32_t mug, pod; /* COFFEE_*; -1 where the task names none */
} coffee_goal;

extern const coffee_goal coffee_goals[COFFEE_GOALS];
extern const char *const coffee_goal_names[COFFEE_GOALS];

#define MUG_RADIUS 0.031
#define MUG_HEIGHT 0.074
#define MUG_GRIP   0.056 /* TCP above the mug's bottom */
#define MUG_TILT   0.349 /* 20 degrees: the wrist stays in front of the machine's head */
#define POD_RADIUS 0.020
#define POD_HEIGHT 0.040
#define POD_GRIP   0.0335 /* the pads end 24 mm above the pod's bottom */

#define PLATE_Z       0.018 /* where a mug stands under the spout */
#define PLACE_X       -0.083
#define SPOUT_X       -0.069
#define SPOUT_Z       0.150
#define HEAD_X        -0.075 /* front face of the head */
#define HOLDER_X      -0.036
#define HOLDER_RADIUS 0.0290 /* a pod fits where a sensor that is off by 2 mm puts it */
#define HOLDER_FLOOR  0.185
#define HOLDER_RIM    0.211
#define HINGE_X       0.024
#define HINGE_Z       0.232
#define LID_LENGTH    0.10
#define LID_STOP      2.05  /* rad, fully open */
#define KNOB_ALONG    0.088 /* from the hinge */
#define KNOB_ABOVE    0.026 /* over the lid's middle plane */
#define KNOB_RADIUS   0.011
#define MARKER_RADIUS 0.05

extern const camera coffee_front;

void coffee_model(mjcf *x);
void coffee_instruct(int32_t goal, int32_t phrasing, char *text, size_t size);
void coffee_reset(world *w, rng *r);
int32_t coffee_judge(world *w);
void coffee_expert(const world *w, float action[ARM_ACTIONS]);

#endif
