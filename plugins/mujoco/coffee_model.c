/*
 * coffee_model.c -- the MJCF of the coffee scene: table, machine, mugs, pods, clutter,
 * cameras.
 *
 * Collision shapes are boxes and spheres chosen for stable contact (a cylinder meets a box
 * in one point and rocks): a mug is six crossed boxes, a pod four, both stand on four small
 * spheres. Groups: 0 and 1 are drawn, 3 only collides. What is only drawn stands in a body
 * of its own, without a name: MuJoCo tries all shapes of two bodies that come near each
 * other, and a third of its time went into shapes that touch nothing.
 */
#include "coffee.h"

#include <stdio.h>

#define HIDDEN "group='3' rgba='0 1 0 0.3'"

/* From the left behind the robot's shoulder: machine front, spout and table in one picture.
 */
const camera coffee_front = {
    .name = "front",
    .pos = {-0.10, -0.72, 0.70},
    .right = {0.784, -0.620, 0},
    .up = {0.347, 0.438, 0.828},
    .fovy = 42,
};

static void room(mjcf *x)
{
    mjcf_add(x, "<light pos='0.2 -0.6 1.8' dir='0.1 0.35 -1' diffuse='0.8 0.8 0.8'/>\n");
    camera_mjcf(x, &coffee_front);
    mjcf_add(x,
             "<geom class='look' name='floor' type='plane' size='3 3 0.1' pos='0 0 -0.72' "
             "rgba='0.66 0.70 0.74 1'/>\n");
    mjcf_add(x, "<body name='table'>\n"
                "<geom class='fixed' type='plane' size='1 1 0.1' " HIDDEN "/>\n<body>\n"
                "<geom class='look' type='box' size='0.52 0.62 0.02' pos='0.32 0 -0.0202' "
                "rgba='0.80 0.66 0.50 1'/>\n"
                "<geom class='look' type='box' size='0.46 0.56 0.03' pos='0.32 0 -0.07' "
                "rgba='0.55 0.43 0.32 1'/>\n");
    for (int i = 0; i < 4; i++)
        mjcf_add(x,
                 "<geom class='look' type='box' size='0.03 0.03 0.31' pos='%g %g -0.41' "
                 "rgba='0.55 0.43 0.32 1'/>\n",
                 0.32 + (i & 1 ? 0.42 : -0.42), i & 2 ? 0.52 : -0.52);
    mjcf_add(x,
             "</body>\n</body>\n<body name='marker' mocap='true' pos='0.4 0.3 0'>\n"
             "<geom class='look' type='cylinder' size='%g 0.0006' pos='0 0 0.0006' "
             "rgba='0.12 0.48 0.46 1'/>\n"
             "<geom class='look' type='cylinder' size='%g 0.0006' pos='0 0 0.0010' "
             "rgba='0.90 0.92 0.86 1'/>\n"
             "<geom class='look' type='cylinder' size='%g 0.0006' pos='0 0 0.0014' "
             "rgba='0.12 0.48 0.46 1'/>\n</body>\n",
             MARKER_RADIUS, MARKER_RADIUS - 0.008, MARKER_RADIUS - 0.014);
}

static const char dark[] = "rgba='0.17 0.18 0.20 1'", red[] = "rgba='0.72 0.14 0.13 1'";
static const char steel[] = "rgba='0.75 0.77 0.79 1'";
static const double head_half = -HEAD_X / 2;

/* Base, tower, head, spout and pod holder. */
static void machine_body(mjcf *x)
{
    mjcf_add(x,
             "<geom class='fixed' type='box' size='0.130 0.075 0.0075' pos='-0.02 0 "
             "0.0075' %s/>\n",
             dark);
    mjcf_add(
        x,
        "<geom class='fixed' type='box' size='0.060 0.060 0.0015' pos='%g 0 0.0165' %s/>\n",
        PLACE_X + 0.005, steel);
    mjcf_add(x,
             "<geom class='fixed' type='box' size='0.055 0.075 0.0925' pos='0.055 0 "
             "0.1075' %s/>\n",
             red);
    /* The head is a thin shelf: the hand that places a mug passes right in front of it. */
    mjcf_add(
        x, "<geom class='fixed' type='box' size='%g 0.060 0.0035' pos='%g 0 0.1815' %s/>\n",
        head_half, -head_half, red);
    mjcf_add(x,
             "<geom class='fixed' type='cylinder' fromto='%g 0 0.166 %g 0 0.178' "
             "size='0.011' %s/>\n",
             SPOUT_X + 0.006, SPOUT_X + 0.006, steel);
    mjcf_add(x,
             "<geom class='fixed' type='cylinder' fromto='%g 0 %g %g 0 0.170' size='0.006' "
             "%s/>\n",
             SPOUT_X, SPOUT_Z, SPOUT_X, steel);
    mjcf_add(x, "<body name='holder' pos='%g 0 0'>\n", HOLDER_X);
    char ring[160];
    snprintf(ring, sizeof ring, "class='fixed' friction='0.2 0.005 0.0001' priority='2' %s",
             steel);
    mjcf_ring(x, 12, HOLDER_RADIUS, 0.006, HOLDER_FLOOR - 0.001, HOLDER_RIM, ring);
    /* Its floor is the head's shelf, a box: a cylinder would throw the pod out again. */
    mjcf_add(x,
             "<body>\n<geom class='look' type='cylinder' fromto='0 0 %g 0 0 %g' "
             "size='0.023' %s/>\n</body>\n</body>\n",
             HOLDER_FLOOR - 0.003, HOLDER_FLOOR + 0.0003, dark);
}

static void machine_look(mjcf *x)
{
    mjcf_add(x, "<body>\n");
    for (int i = -2; i <= 2; i++)
        mjcf_add(x,
                 "<geom class='look' type='box' size='0.052 0.0025 0.0006' pos='%g %g "
                 "0.0178' %s/>\n",
                 PLACE_X + 0.005, i * 0.021, dark);
    mjcf_add(x,
             "<geom class='look' type='box' size='0.0012 0.060 0.070' pos='-0.0006 0 "
             "0.1000' %s/>\n",
             dark);
    mjcf_add(x,
             "<geom class='look' type='cylinder' fromto='0.055 -0.040 0.200 0.055 -0.040 "
             "0.2015' size='0.010' %s/>\n",
             steel);
    for (int s = -1; s <= 1; s += 2)
        mjcf_add(
            x,
            "<geom class='look' type='box' size='%g 0.004 0.010' pos='%g %g 0.195' %s/>\n",
            head_half, -head_half, s * 0.056, red);
    mjcf_add(
        x, "<geom class='look' type='box' size='0.003 0.060 0.010' pos='%g 0 0.195' %s/>\n",
        HEAD_X + 0.003, red);
    mjcf_add(
        x,
        "<geom class='look' type='cylinder' fromto='%g -0.045 %g %g 0.045 %g' size='0.008' "
        "%s/>\n"
        "<geom class='look' type='box' size='0.010 0.046 0.016' pos='%g 0 0.214' %s/>\n"
        "</body>\n",
        HINGE_X, HINGE_Z, HINGE_X, HINGE_Z, steel, HINGE_X + 0.006, dark);
}

static void lid(mjcf *x)
{
    double half = LID_LENGTH / 2;
    mjcf_add(x,
             "<body name='lid' pos='%g 0 %g'>\n"
             "<joint name='lid' type='hinge' axis='0 1 0' limited='true' range='0 %g' "
             "damping='0.04' frictionloss='0.002' armature='0.0002'/>\n",
             HINGE_X, HINGE_Z, LID_STOP);
    /* Inertia is given: the plate's own is so small that the solver would see it jump. */
    mjcf_add(x,
             "<inertial pos='%g 0 0' mass='0.09' diaginertia='0.0001 0.0001 0.00015'/>\n",
             -half);
    mjcf_add(x,
             "<geom class='fixed' type='box' size='%g 0.060 0.004' pos='%g 0 0' "
             "rgba='0.20 0.21 0.24 1'/>\n",
             half, -half);
    mjcf_add(x,
             "<geom class='fixed' type='sphere' size='%g' pos='%g 0 %g' "
             "rgba='0.86 0.87 0.88 1'/>\n<body>\n",
             KNOB_RADIUS, -KNOB_ALONG, KNOB_ABOVE);
    mjcf_add(x,
             "<geom class='look' type='ellipsoid' size='%g 0.036 0.010' pos='%g 0 0.003' "
             "rgba='0.72 0.14 0.13 1'/>\n",
             half - 0.016, -half + 0.012);
    mjcf_add(x,
             "<geom class='look' type='cylinder' fromto='%g 0 0 %g 0 %g' size='0.005' "
             "rgba='0.75 0.77 0.79 1'/>\n</body>\n</body>\n",
             -KNOB_ALONG, -KNOB_ALONG, KNOB_ABOVE);
}

static void feet(mjcf *x, double radius)
{
    for (int i = 0; i < 4; i++)
        mjcf_add(x,
                 "<geom class='object' type='sphere' size='0.003' pos='%g %g 0.003' "
                 "mass='0.004' " HIDDEN "/>\n",
                 (i & 1 ? radius : -radius), (i & 2 ? radius : -radius));
}

static void mug(mjcf *x, const char *name, const char *rgb)
{
    char wall[128];
    mjcf_add(x, "<body name='%s' pos='0 0 0'><freejoint/>\n", name);
    /* Hollow to look at, full to touch: fingers that press a thin wall may come out of its
     * other side. */
    mjcf_prism(x, 12, MUG_RADIUS / 0.96593, 0.001, MUG_HEIGHT, /* cos(pi / 12) */
               "class='object' mass='0.022' " HIDDEN);
    feet(x, 0.017);
    mjcf_add(x, "<body>\n");
    snprintf(wall, sizeof wall, "class='look' rgba='%s 1'", rgb);
    mjcf_ring(x, 12, MUG_RADIUS - 0.0035, 0.0035, 0.001, MUG_HEIGHT, wall);
    mjcf_add(x, "<geom class='look' type='cylinder' size='0.027 0.002' pos='0 0 0.0035' "
                "mass='0.04' rgba='0.94 0.93 0.90 1'/>\n");
    /* The handle is for the eye only, like the pods' foil: fingers never come near it. */
    double out = MUG_RADIUS + 0.018;
    mjcf_add(
        x,
        "<geom class='look' type='capsule' fromto='%g 0 0.058 %g 0 0.055' size='0.004' "
        "rgba='%s 1'/>\n",
        MUG_RADIUS - 0.002, out - 0.004, rgb);
    mjcf_add(
        x,
        "<geom class='look' type='capsule' fromto='%g 0 0.055 %g 0 0.028' size='0.004' "
        "rgba='%s 1'/>\n",
        out - 0.004, out - 0.006, rgb);
    mjcf_add(
        x,
        "<geom class='look' type='capsule' fromto='%g 0 0.028 %g 0 0.020' size='0.004' "
        "rgba='%s 1'/>\n</body>\n</body>\n",
        out - 0.006, MUG_RADIUS - 0.002, rgb);
}

static void pod(mjcf *x, const char *name, const char *rgb)
{
    mjcf_add(x, "<body name='%s' pos='0 0 0'><freejoint/>\n", name);
    mjcf_prism(x, 8, POD_RADIUS, 0.001, POD_HEIGHT, "class='object' mass='0.006' " HIDDEN);
    feet(x, 0.0095);
    mjcf_add(
        x,
        "<body>\n<geom class='look' type='cylinder' fromto='0 0 0 0 0 0.036' size='0.0180' "
        "rgba='%s 1'/>\n"
        "<geom class='look' type='cylinder' fromto='0 0 0.036 0 0 0.039' size='0.0198' "
        "rgba='%s 1'/>\n"
        "<geom class='look' type='cylinder' fromto='0 0 0.039 0 0 0.040' size='0.0170' "
        "rgba='0.93 0.90 0.80 1'/>\n</body>\n</body>\n",
        rgb, rgb);
}

static void clutter(mjcf *x)
{
    mjcf_add(
        x,
        "<body name='block' pos='0 0 0'><freejoint/>\n"
        "<geom class='object' type='box' size='0.024 0.015 0.0125' pos='0 0 0.0145' "
        "mass='0.05' rgba='0.95 0.78 0.20 1'/>\n"
        "<body>\n<geom class='look' type='box' size='0.0242 0.0152 0.003' pos='0 0 0.024' "
        "rgba='0.36 0.62 0.32 1'/>\n</body>\n");
    feet(x, 0.0115);
    mjcf_add(
        x, "</body>\n<body name='jar' mocap='true' pos='0.3 0.4 0'>\n"
           "<geom class='fixed' type='cylinder' size='0.026 0.035' pos='0 0 0.035' "
           "rgba='0.88 0.90 0.93 1'/>\n"
           "<body>\n<geom class='look' type='cylinder' size='0.027 0.008' pos='0 0 0.078' "
           "rgba='0.48 0.34 0.62 1'/>\n"
           "<geom class='look' type='sphere' size='0.007' pos='0 0 0.090' "
           "rgba='0.48 0.34 0.62 1'/>\n</body>\n</body>\n");
}

void coffee_model(mjcf *x)
{
    mjcf_add(x, "<mujoco model='evla coffee'>\n"
                "<compiler angle='radian' inertiafromgeom='auto'/>\n"
                "<option timestep='0.005' cone='elliptic' impratio='10' solver='Newton' "
                "tolerance='1e-8' jacobian='sparse'/>\n"
                "<size njmax='500' nconmax='160'/>\n"
                "<visual><map znear='0.02' zfar='20'/></visual>\n"
                "<statistic center='0.4 0 0.1' extent='1'/>\n");
    arm_mjcf_defaults(x);
    mjcf_add(x, "<worldbody>\n");
    room(x);
    arm_mjcf_body(x);
    mjcf_add(x, "<body name='machine' mocap='true' pos='0.58 0 0'>\n");
    machine_body(x);
    machine_look(x);
    lid(x);
    mjcf_add(x, "</body>\n");
    mug(x, "mug_red", "0.84 0.16 0.15");
    mug(x, "mug_blue", "0.16 0.36 0.80");
    pod(x, "pod_green", "0.20 0.62 0.30");
    pod(x, "pod_orange", "0.95 0.52 0.12");
    clutter(x);
    mjcf_add(x, "</worldbody>\n");
    arm_mjcf_tail(x);
    mjcf_add(x, "</mujoco>\n");
}
