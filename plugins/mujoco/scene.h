/*
 * scene.h -- what a scene is: the table of functions behind the name a user writes.
 *
 * coffee.c and reach.c each export one constant table; world.c runs whichever it is given.
 * A scene keeps nothing of its own: what it must remember over ticks lives in world.memo,
 * which a saved state carries.
 */
#ifndef MUJOCO_SCENE_H
#define MUJOCO_SCENE_H

#include <stddef.h>
#include <stdint.h>

#include "camera.h"
#include "mjcf.h"
#include "rng.h"

typedef struct world world;

/* What a body is to the judge of contacts. Object i of a scene is PART_OBJECT + i. */
enum {
    PART_NONE, /* never touches */
    PART_TABLE,
    PART_FIXTURE, /* furniture that stays where it is */
    PART_LID,     /* its moving part */
    PART_INNER,   /* robot: column to elbow */
    PART_OUTER,   /* robot: forearm and wrist */
    PART_HAND,
    PART_LEFT, /* fingers with their pads */
    PART_RIGHT,
    PART_OBJECT,
    PART_LIMIT = PART_OBJECT + 8
};

/* Events, bit i of world.events. */
enum {
    EVENT_SELF_COLLISION,
    EVENT_JOINT_LIMIT,
    EVENT_VELOCITY_LIMIT,
    EVENT_EXCESSIVE_FORCE,
    EVENT_OBJECT_LOST,
    EVENT_FORBIDDEN_CONTACT,
    EVENT_UNSTABLE_AFTER_RELEASE,
    EVENT_KNOCKED_OVER,
    EVENT_DIVERGED,
    EVENT_DROPPED,
    EVENT_WORKSPACE_LIMIT,
    EVENT_LID_ON_HAND,
    EVENT_LIMIT
};

typedef struct scene_body {
    const char *name;     /* of the MJCF body */
    int32_t part;         /* PART_* */
    int32_t label;        /* index into scene.labels */
    int32_t is_described; /* its pose is observed */
} scene_body;

typedef struct scene {
    const char *name;
    const char *doc;
    const char *const *labels; /* semantic classes; 0 is the background, 1 the robot */
    const char *const *goals;
    const scene_body *bodies; /* all but the robot's */
    const camera *const *cameras;
    int32_t n_cameras;
    int32_t n_labels, n_goals, n_bodies, n_objects;
    int32_t n_phrasings;    /* of each goal */
    int32_t nq, nv, nmocap; /* of the compiled model, checked when a world opens */
    const char *hinge;      /* joint observed as lid angle; NULL: none */
    double seconds;         /* an episode is cut here */

    void (*model)(mjcf *x);
    /* The sentence for goal and phrasing; at most size - 1 bytes. */
    void (*instruct)(int32_t goal, int32_t phrasing, char *text, size_t size);
    /* Draws everything but goal and phrasing: writes qpos and mocap poses of w->d. */
    void (*reset)(world *w, rng *r);
    /* Is the goal met in this tick? Adds scene events to w->events; may read and write
     * w->memo. */
    int32_t (*judge)(world *w);
    /* The teacher: a function of the current state and goal only. */
    void (*expert)(const world *w, float action[8]);
} scene;

extern const scene scene_coffee, scene_reach;

#endif
