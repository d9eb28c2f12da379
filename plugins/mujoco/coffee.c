/*
 * coffee.c -- the coffee scene: its goals in words, and how an episode starts.
 *
 * Not here: shapes (coffee_model.c), success (coffee_judge.c), the teacher
 * (coffee_expert.c).
 */
#include "coffee.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GOALS(X)                                                                           \
    X(brew_red_green, TASK_BREW, COFFEE_RED, COFFEE_GREEN)                                 \
    X(brew_red_orange, TASK_BREW, COFFEE_RED, COFFEE_ORANGE)                               \
    X(brew_blue_green, TASK_BREW, COFFEE_BLUE, COFFEE_GREEN)                               \
    X(brew_blue_orange, TASK_BREW, COFFEE_BLUE, COFFEE_ORANGE)                             \
    X(load_green, TASK_LOAD, -1, COFFEE_GREEN)                                             \
    X(load_orange, TASK_LOAD, -1, COFFEE_ORANGE)                                           \
    X(serve_red, TASK_SERVE, COFFEE_RED, -1)                                               \
    X(serve_blue, TASK_SERVE, COFFEE_BLUE, -1)                                             \
    X(close_lid, TASK_CLOSE, -1, -1)                                                       \
    X(open_lid, TASK_OPEN, -1, -1)                                                         \
    X(clear_red, TASK_CLEAR, COFFEE_RED, -1)                                               \
    X(clear_blue, TASK_CLEAR, COFFEE_BLUE, -1)

const coffee_goal coffee_goals[COFFEE_GOALS] = {
#define X(name, task, mug, pod) {task, mug, pod},
    GOALS(X)
#undef X
};
const char *const coffee_goal_names[COFFEE_GOALS] = {
#define X(name, task, mug, pod) #name,
    GOALS(X)
#undef X
};

/* M stands for the mug's colour, P for the pod's. */
static const char *const phrasing_of[TASK_LIMIT][COFFEE_PHRASINGS] = {
    [TASK_BREW] = {"make coffee in the M mug with the P pod",
                   "put the M mug under the spout, load the P pod and close the lid",
                   "brew one P capsule into the M cup",
                   "I would like a coffee from the P pod in the M mug, please",
                   "prepare the machine: M mug below, P pod inside, lid shut",
                   "use the P pod and the M mug to make me a coffee"},
    [TASK_LOAD] = {"put the P pod into the machine and close the lid",
                   "load the P capsule and shut the machine",
                   "insert the P pod, then close the lid, no mug needed",
                   "get the coffee machine ready with the P pod",
                   "place the P pod in the holder and bring the lid down",
                   "the P pod goes into the machine; close it afterwards"},
    [TASK_SERVE] = {"put the M mug under the spout",
                    "place the M cup below the coffee outlet",
                    "move the M mug onto the drip tray, leave the pods alone",
                    "set the M mug in the machine without a pod",
                    "bring the M cup to the coffee machine",
                    "I want the M mug standing under the spout"},
    [TASK_CLOSE] = {"close the lid", "shut the coffee machine", "put the lid down",
                    "the lid is open, please close it",
                    "close the top of the coffee machine",
                    "only close the lid, nothing else"},
    [TASK_OPEN] = {"open the lid", "lift the lid of the coffee machine",
                   "open the top of the machine", "the lid is shut, please open it",
                   "raise the lid by its knob", "only open the lid, nothing else"},
    [TASK_CLEAR] = {"take the M mug away from the spout and put it on the marked spot",
                    "move the M cup from the machine to the green ring",
                    "serve the M mug: set it down on the marker",
                    "the M mug is full, bring it to the round mark",
                    "clear the M mug from the drip tray to the coaster",
                    "put the M cup on the coaster"},
};

static const char *const colour[COFFEE_OBJECTS] = {"red", "blue", "green", "orange",
                                                   "yellow"};

void coffee_instruct(int32_t goal, int32_t phrasing, char *text, size_t size)
{
    const coffee_goal *g = &coffee_goals[goal];
    size_t n = 0;
    for (const char *p = phrasing_of[g->task][phrasing]; *p && n + 1 < size; p++) {
        /* The letters stand alone in a phrasing, no other word starts with them. */
        const char *word = *p == 'M' ? colour[g->mug] : *p == 'P' ? colour[g->pod] : NULL;
        if (!word)
            text[n++] = *p;
        else
            while (*word && n + 1 < size)
                text[n++] = *word++;
    }
    text[n] = 0;
}

/* ---- how an episode starts ---- */

static const double keep_apart =
    0.13; /* m between centres: fingers open to 0.058 each side */

typedef struct spot {
    double x, y;
} spot;

static spot to_world(const spot *machine, double yaw, double x, double y)
{
    double c = cos(yaw), s = sin(yaw);
    return (spot){machine->x + c * x - s * y, machine->y + s * x + c * y};
}

/* May something stand here? The strip in front of the machine stays free for mugs that
 * slide in, the sides stay free for the hand, which is wider than what it picks up. */
static bool is_free(const spot *at, const spot *machine, double yaw, double near,
                    double far)
{
    double dx = at->x - machine->x, dy = at->y - machine->y, r = hypot(at->x, at->y);
    double x = cos(yaw) * dx + sin(yaw) * dy, y = -sin(yaw) * dx + cos(yaw) * dy;
    return r > near && r < far && fabs(y) > (x > -0.15 ? 0.20 : 0.12);
}

/* Draws places for `n` things, pairwise apart; gives way slowly when the table is too full.
 */
static void scatter(rng *r, const spot *machine, double yaw, const double near[],
                    const double far[], spot at[], int n)
{
    double apart = keep_apart;
    for (int tries = 0, done = 0; done < n; tries++) {
        spot *s = &at[done];
        *s = (spot){rng_uniform(r, 0.36, 0.56), rng_uniform(r, -0.40, 0.40)};
        bool fits = is_free(s, machine, yaw, near[done], far[done]);
        for (int i = 0; i < done && fits; i++)
            fits = hypot(s->x - at[i].x, s->y - at[i].y) > apart;
        if (fits) done++;
        if (tries % 200 == 199) {
            done = 0;
            apart = fmax(0.10, apart - 0.002);
        }
    }
}

void coffee_reset(world *w, rng *r)
{
    /* Mugs are gripped with a tilt, which the wrist cannot do close to the column (arm.c).
     */
    static const int kind[7] = {COFFEE_RED,   COFFEE_BLUE,   COFFEE_GREEN, COFFEE_ORANGE,
                                COFFEE_BLOCK, COFFEE_MARKER, COFFEE_JAR};
    static const double near[7] = {0.43, 0.43, 0.39, 0.39, 0.36, 0.45, 0.40};
    static const double far[7] = {0.64, 0.64, 0.66, 0.66, 0.68, 0.62, 0.75};
    const coffee_goal *g = &coffee_goals[w->goal];
    spot machine = {rng_uniform(r, 0.585, 0.645), rng_uniform(r, -0.065, 0.065)},
         at[7] = {{0, 0}};
    double yaw = rng_uniform(r, -0.35, 0.35);
    bool is_late = g->task == TASK_LOAD || g->task == TASK_CLOSE || g->task == TASK_OPEN;
    int32_t served = g->task == TASK_CLEAR             ? g->mug
                     : is_late && rng_below(r, 3) == 0 ? COFFEE_RED + rng_below(r, 2)
                                                       : -1;
    int32_t loaded = (g->task == TASK_CLOSE || g->task == TASK_OPEN) && rng_below(r, 2)
                         ? COFFEE_GREEN + rng_below(r, 2)
                         : -1;
    bool is_open = g->task == TASK_OPEN                             ? false
                   : g->task == TASK_SERVE || g->task == TASK_CLEAR ? rng_below(r, 2)
                                                                    : true;
    world_place(w, COFFEE_MACHINE, machine.x, machine.y, 0, yaw);
    w->d->qpos[w->m->jnt_qposadr[w->hinge]] =
        is_open ? LID_STOP - rng_uniform(r, 0, 0.05) : 0;
    scatter(r, &machine, yaw, near, far, at, 7);
    for (int i = 0; i < 7; i++) {
        double turn = rng_uniform(r, -1, 1), z = 0;
        /* A mug's handle points away from the robot, so that no finger lands on it. */
        double face =
            kind[i] <= COFFEE_BLUE ? atan2(at[i].y, at[i].x) + 0.8 * turn : 3.1 * turn;
        if (kind[i] == served) {
            at[i] = to_world(&machine, yaw, PLACE_X + rng_uniform(r, -0.004, 0.004),
                             rng_uniform(r, -0.004, 0.004));
            face = yaw + 0.6 * turn;
            z = PLATE_Z;
        } else if (kind[i] == loaded) {
            at[i] = to_world(&machine, yaw, HOLDER_X, 0);
            z = HOLDER_FLOOR;
        }
        world_place(w, kind[i], at[i].x, at[i].y, z, face);
    }
}

/* ---- the table ---- */

static const char *const labels[] = {"background", "robot",      "table",    "machine",
                                     "lid",        "mug_red",    "mug_blue", "pod_green",
                                     "pod_orange", "distractor", "marker"};

static const scene_body bodies[COFFEE_BODIES + 1] = {
    [COFFEE_RED] = {"mug_red", PART_OBJECT + COFFEE_RED, 5, 1},
    [COFFEE_BLUE] = {"mug_blue", PART_OBJECT + COFFEE_BLUE, 6, 1},
    [COFFEE_GREEN] = {"pod_green", PART_OBJECT + COFFEE_GREEN, 7, 1},
    [COFFEE_ORANGE] = {"pod_orange", PART_OBJECT + COFFEE_ORANGE, 8, 1},
    [COFFEE_BLOCK] = {"block", PART_OBJECT + COFFEE_BLOCK, 9, 1},
    [COFFEE_JAR] = {"jar", PART_FIXTURE, 9, 1},
    [COFFEE_MACHINE] = {"machine", PART_FIXTURE, 3, 1},
    [COFFEE_LID] = {"lid", PART_LID, 4, 1},
    [COFFEE_MARKER] = {"marker", PART_NONE, 10, 1},
    [COFFEE_TABLE] = {"table", PART_TABLE, 2, 0},
    [COFFEE_BODIES] = {"holder", PART_FIXTURE, 3, 0},
};

static const camera *const cameras[2] = {&coffee_front, &arm_wrist};

const scene scene_coffee = {
    .name = "coffee",
    .doc = "two mugs, two pods and a coffee machine with a hinged lid",
    .labels = labels,
    .goals = coffee_goal_names,
    .bodies = bodies,
    .cameras = cameras,
    .n_cameras = 2,
    .n_labels = sizeof labels / sizeof *labels,
    .n_goals = COFFEE_GOALS,
    .n_bodies = COFFEE_BODIES + 1,
    .n_objects = COFFEE_OBJECTS,
    .n_phrasings = COFFEE_PHRASINGS,
    .nq = 9 + 1 + 5 * 7,
    .nv = 9 + 1 + 5 * 6,
    .nmocap = 3,
    .hinge = "lid",
    .seconds = 25,
    .model = coffee_model,
    .instruct = coffee_instruct,
    .reset = coffee_reset,
    .judge = coffee_judge,
    .expert = coffee_expert,
};
