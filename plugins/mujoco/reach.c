/*
 * reach.c -- the smallest scene: three coloured balls hang in the air, one is to be
 * touched.
 *
 * It exists to keep coffee out of the other files, and to be quick: an episode takes three
 * seconds. The balls are mocap bodies, so a ball in the way is felt but does not move.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "motion.h"

enum { RED, GREEN, BLUE, BALLS, TABLE = BALLS, BODIES };

#define RADIUS 0.025 /* m */

static const double near_m = 0.004; /* finger tip to surface that counts as touching */
static const double tip = 0.0095;   /* TCP to the finger tips */

static const camera front = {
    .name = "front",
    .pos = {-0.10, -0.80, 0.75},
    .right = {0.82, -0.57, 0},
    .up = {0.34, 0.49, 0.80},
    .fovy = 48,
};

static void model(mjcf *x)
{
    static const char *const name[BALLS] = {"ball_red", "ball_green", "ball_blue"};
    static const char *const rgb[BALLS] = {"0.86 0.20 0.18", "0.22 0.66 0.34",
                                           "0.20 0.42 0.85"};
    mjcf_add(x, "<mujoco model='evla reach'>\n<compiler angle='radian'/>\n"
                "<option timestep='0.005' cone='elliptic' impratio='10' solver='Newton'/>\n"
                "<size njmax='300' nconmax='100'/>\n"
                "<visual><map znear='0.02' zfar='20'/></visual>\n"
                "<statistic center='0.4 0 0.2' extent='1'/>\n");
    arm_mjcf_defaults(x);
    mjcf_add(x, "<worldbody>\n<light pos='0.2 -0.6 1.8' dir='0.1 0.35 -1'/>\n");
    camera_mjcf(x, &front);
    mjcf_add(x, "<geom class='look' type='plane' size='3 3 0.1' pos='0 0 -0.72' "
                "rgba='0.66 0.70 0.74 1'/>\n"
                "<body name='table'>\n"
                "<geom class='fixed' type='plane' size='1 1 0.1' group='3'/>\n"
                "<geom class='look' type='box' size='0.52 0.62 0.02' pos='0.32 0 -0.0202' "
                "rgba='0.80 0.66 0.50 1'/>\n</body>\n");
    arm_mjcf_body(x);
    for (int i = 0; i < BALLS; i++)
        mjcf_add(x,
                 "<body name='%s' mocap='true' pos='0.5 %g 0.3'>\n"
                 "<geom class='fixed' type='sphere' size='%g' rgba='%s 1'/>\n</body>\n",
                 name[i], 0.2 * (i - 1), RADIUS, rgb[i]);
    mjcf_add(x, "</worldbody>\n");
    arm_mjcf_tail(x);
    mjcf_add(x, "</mujoco>\n");
}

static const char *const goals[BALLS] = {"reach_red", "reach_green", "reach_blue"};

static void instruct(int32_t goal, int32_t phrasing, char *text, size_t size)
{
    static const char *const colour[BALLS] = {"red", "green", "blue"};
    static const char *const before[] = {"touch the ", "move the hand to the ", "tap the ",
                                         "reach for the ", "go to the "};
    static const char *const after[] = {" ball", " ball", " one with closed fingers",
                                        " ball", " target and stay there"};
    snprintf(text, size, "%s%s%s", before[phrasing], colour[goal], after[phrasing]);
}

static void reset(world *w, rng *r)
{
    double at[BALLS][3];
    for (int done = 0; done < BALLS;) {
        double *p = at[done];
        bool is_apart = true;
        p[0] = rng_uniform(r, 0.40, 0.62);
        p[1] = rng_uniform(r, -0.32, 0.32);
        p[2] = rng_uniform(r, 0.10, 0.32);
        for (int i = 0; i < done && is_apart; i++)
            is_apart = hypot(at[i][0] - p[0], at[i][1] - p[1]) > 0.18;
        if (!is_apart) continue;
        world_place(w, done++, p[0], p[1], p[2], 0);
    }
}

/* Distance of the closed finger tips above the ball's top, and sideways from its axis. */
static void offset(const world *w, const hand *h, double *above, double *aside)
{
    const double *ball = world_position(w, w->goal);
    *above = h->pos[2] - tip - ball[2] - RADIUS;
    *aside = hypot(h->pos[0] - ball[0], h->pos[1] - ball[1]);
}

static int32_t judge(world *w)
{
    hand h;
    double above, aside;
    for (int32_t p = PART_TABLE; p < PART_LIMIT; p++) {
        bool is_wanted = p == PART_OBJECT + w->goal;
        if (w->touch.by_outer[p] > 0 || (!is_wanted && world_force_on(w, p) > 0))
            w->events |= 1u << EVENT_FORBIDDEN_CONTACT;
    }
    motion_see(w, &h);
    offset(w, &h, &above, &aside);
    return fabs(above) < near_m && aside < 0.012 && mju_norm3(h.vel) < 0.03;
}

/* Down onto the ball from above, fingers closed, and stay. */
static void expert(const world *w, float action[ARM_ACTIONS])
{
    hand h;
    move out = {.grip = 1};
    double mat[9], to[3];
    const funnel f = {0.46, 0.004, 6, 0.5, 0};
    motion_see(w, &h);
    mju_copy3(to, world_position(w, w->goal));
    motion_tool(atan2(to[1], to[0]), 0, mat);
    to[2] += RADIUS + tip;
    motion_turn(&h, mat, &out);
    motion_funnel(h.pos, to, &f, &out);
    motion_action(w, &out, action);
}

static const char *const labels[] = {"background", "robot",      "table",
                                     "ball_red",   "ball_green", "ball_blue"};

static const scene_body bodies[BODIES] = {
    [RED] = {"ball_red", PART_OBJECT + RED, 3, 1},
    [GREEN] = {"ball_green", PART_OBJECT + GREEN, 4, 1},
    [BLUE] = {"ball_blue", PART_OBJECT + BLUE, 5, 1},
    [TABLE] = {"table", PART_TABLE, 2, 0},
};

static const camera *const cameras[2] = {&front, &arm_wrist};

const scene scene_reach = {
    .name = "reach",
    .doc = "three coloured balls in the air, one is to be touched",
    .labels = labels,
    .goals = goals,
    .bodies = bodies,
    .cameras = cameras,
    .n_cameras = 2,
    .n_labels = sizeof labels / sizeof *labels,
    .n_goals = BALLS,
    .n_bodies = BODIES,
    .n_objects = BALLS,
    .n_phrasings = 5,
    .nq = 9,
    .nv = 9,
    .nmocap = BALLS,
    .hinge = NULL,
    .seconds = 8,
    .model = model,
    .instruct = instruct,
    .reset = reset,
    .judge = judge,
    .expert = expert,
};
