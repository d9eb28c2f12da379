/*
 * arm.c -- the robot's MJCF, its forward kinematics and one step of inverse kinematics.
 *
 * One table of link frames feeds both the MJCF text and the kinematics, so they cannot
 * disagree. Not here: torques (world.c), where to go (motion.c and the experts).
 *
 * Reach: with the hand tilted 20 degrees forward at table height, joint 6 meets its limit
 * when the TCP comes nearer than about 0.40 m to the column. Scenes place things beyond
 * that.
 */
#include "arm.h"

#include <math.h>
#include <mujoco/mujoco.h>

#define PI   3.14159265358979323846
#define HALF 0.70710678118654752440 /* sqrt(1/2): a quaternion that turns by 90 degrees */

/* Link frames relative to the previous link: the Panda's published dimensions (modified
 * Denavit-Hartenberg d1 0.333, d3 0.316, a4 0.0825, d5 0.384, a7 0.088, flange 0.107). */
static const struct {
    double pos[3], quat[4];
} frame[ARM_JOINTS] = {
    // clang-format off
    {{0, 0, 0.333},       {1, 0, 0, 0}},
    {{0, 0, 0},           {HALF, -HALF, 0, 0}},
    {{0, -0.316, 0},      {HALF, HALF, 0, 0}},
    {{0.0825, 0, 0},      {HALF, HALF, 0, 0}},
    {{-0.0825, 0.384, 0}, {HALF, -HALF, 0, 0}},
    {{0, 0, 0},           {HALF, HALF, 0, 0}},
    {{0.088, 0, 0},       {HALF, HALF, 0, 0}},
    // clang-format on
};
static const double flange = 0.107, tcp = 0.1034; /* along the last joint's axis */

// clang-format off
const double arm_lower[ARM_JOINTS]  = {-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973};
const double arm_upper[ARM_JOINTS]  = { 2.8973,  1.7628,  2.8973, -0.0698,  2.8973,  3.7525,  2.8973};
const double arm_speed[ARM_JOINTS]  = { 2.1750,  2.1750,  2.1750,  2.1750,  2.6100,  2.6100,  2.6100};
const double arm_torque[ARM_JOINTS] = { 87, 87, 87, 87, 12, 12, 12};
const double arm_home[ARM_JOINTS]   = { 0.0, -0.35, 0.0, -2.25, 0.0, 1.95, 0.7854};

/* What each link looks like and weighs; fromto in the link's own frame. White shells, dark
 * housings around the joint axes. Bits: see arm.h; inner links only meet the hand. */
static const struct {
    double from[3], to[3], radius, mass;
    int link, is_dark, type, aff; /* contype, conaffinity */
} shell[] = {
    {{0, 0, -0.17},     {0, 0, -0.03},       0.062, 1.6, 1, 0, 0, 4},
    {{0, 0, -0.055},    {0, 0, 0.055},       0.060, 1.5, 2, 1, 0, 4},
    {{0, -0.02, 0},     {0, -0.18, 0},       0.056, 1.6, 2, 0, 0, 0},
    {{0, 0, -0.11},     {0, 0, -0.05},       0.054, 1.2, 3, 0, 0, 0},
    {{0.02, 0, -0.03},  {0.0825, 0, 0},      0.050, 1.2, 3, 0, 0, 0},
    {{0, 0, -0.045},    {0, 0, 0.045},       0.054, 1.2, 4, 1, 0, 1},
    {{-0.03, 0.03, 0},  {-0.0825, 0.12, 0},  0.050, 1.2, 4, 0, 0, 1},
    {{0, 0, -0.24},     {0, 0, -0.16},       0.052, 1.2, 5, 0, 0, 1},
    {{0, 0.03, -0.14},  {0, 0.015, -0.02},   0.042, 1.0, 5, 0, 4, 3},
    {{0, 0, -0.04},     {0, 0, 0.035},       0.047, 0.8, 6, 1, 4, 3},
    {{0.02, 0, 0},      {0.088, 0, 0},       0.042, 0.7, 6, 0, 4, 3},
};
// clang-format on

/* Behind the hand: in front of it the camera would dip into what the hand reaches under. */
const camera arm_wrist = {
    .name = "wrist",
    .body = "hand",
    .pos = {-0.070, 0, 0.020},
    .right = {0, 1, 0},
    .up = {0.94, 0, -0.34},
    .fovy = 70,
};

void arm_mjcf_defaults(mjcf *x)
{
    mjcf_add(
        x,
        "<default>\n"
        "<geom solref='0.01 1' friction='0.8 0.005 0.0001' contype='0' conaffinity='0'/>\n"
        "<default class='look'><geom group='1' mass='0.00001'/></default>\n"
        "<default class='fixed'><geom contype='1' conaffinity='0'/></default>\n"
        "<default class='object'><geom contype='2' conaffinity='3'/></default>\n"
        "<default class='hand'><geom contype='4' conaffinity='3'/></default>\n"
        "<default class='pad'><geom contype='4' conaffinity='3' condim='4' "
        "priority='1' friction='1.2 0.01 0.0001' solref='0.008 1'/></default>\n"
        "</default>\n");
}

static void fingers(mjcf *x)
{
    static const char *const side[2] = {"left", "right"};
    for (int i = 0; i < 2; i++) {
        int s = i ? -1 : 1;
        mjcf_add(x,
                 "<body name='finger_%s' pos='0 0 0'>\n"
                 "<joint name='finger_%s' type='slide' axis='0 %d 0' limited='true' "
                 "range='0 0.04' armature='0.1' damping='30'/>\n",
                 side[i], side[i], s);
        mjcf_add(
            x,
            "<geom class='hand' name='finger_%s' type='box' size='0.0095 0.0075 0.022' "
            "pos='0 %.4f 0.0785' mass='0.03' rgba='0.22 0.23 0.25 1'/>\n",
            side[i], s * 0.0110);
        mjcf_add(x,
                 "<geom class='pad' name='pad_%s' type='box' size='0.0105 0.004 %.4f' "
                 "pos='0 %.4f %.4f' mass='0.01' rgba='0.10 0.10 0.11 1'/>\n</body>\n",
                 side[i], ARM_PAD_BELOW, s * 0.004, tcp);
    }
}

static void shells(mjcf *x, int link)
{
    for (size_t i = 0; i < sizeof shell / sizeof *shell; i++) {
        if (shell[i].link != link) continue;
        const double *a = shell[i].from, *b = shell[i].to;
        mjcf_add(x, "<geom type='capsule' fromto='%g %g %g %g %g %g' size='%g' mass='%g' ",
                 a[0], a[1], a[2], b[0], b[1], b[2], shell[i].radius, shell[i].mass);
        mjcf_add(x, "contype='%d' conaffinity='%d' rgba='%s'/>\n", shell[i].type,
                 shell[i].aff, shell[i].is_dark ? "0.30 0.33 0.38 1" : "0.93 0.93 0.94 1");
    }
}

void arm_mjcf_body(mjcf *x)
{
    mjcf_add(
        x,
        "<body name='base' pos='0 0 %g'>\n"
        "<geom type='box' size='0.10 0.09 0.05' pos='-0.03 0 -0.05' conaffinity='4' "
        "rgba='0.30 0.33 0.38 1'/>\n"
        "<geom type='capsule' fromto='-0.05 0 0.05 0 0 0.09' size='0.062' conaffinity='4' "
        "rgba='0.93 0.93 0.94 1'/>\n",
        ARM_BASE_Z);
    for (int i = 0; i < ARM_JOINTS; i++) {
        const double *p = frame[i].pos, *q = frame[i].quat;
        mjcf_add(x, "<body name='link%d' pos='%g %g %g' quat='%.17g %.17g %g %g'>\n", i + 1,
                 p[0], p[1], p[2], q[0], q[1], q[2], q[3]);
        mjcf_add(x,
                 "<joint name='joint%d' type='hinge' axis='0 0 1' limited='true' "
                 "range='%g %g' armature='0.1'/>\n",
                 i + 1, arm_lower[i], arm_upper[i]);
        shells(x, i + 1);
    }
    mjcf_add(x,
             "<geom class='hand' type='cylinder' fromto='0 0 0.03 0 0 0.104' size='0.040' "
             "mass='0.4' rgba='0.93 0.93 0.94 1'/>\n"
             "<body>\n<geom class='look' type='cylinder' fromto='0 0 0.060 0 0 0.072' "
             "size='0.0405' rgba='0.25 0.55 0.85 1'/>\n</body>\n");
    mjcf_add(
        x,
        "<body name='hand' pos='0 0 %g' quat='%.17g 0 0 %.17g'>\n"
        "<geom class='hand' type='box' size='0.027 0.092 0.027' pos='0 0 0.031' mass='0.6' "
        "rgba='0.87 0.88 0.90 1'/>\n"
        "<body>\n<geom class='look' type='box' size='0.0275 0.092 0.004' pos='0 0 0.052' "
        "rgba='0.30 0.33 0.38 1'/>\n</body>\n",
        flange, cos(PI / 8), -sin(PI / 8));
    camera_mjcf(x, &arm_wrist);
    fingers(x);
    for (int i = 0; i < ARM_JOINTS + 2; i++)
        mjcf_add(x, "</body>\n");
}

void arm_mjcf_tail(mjcf *x)
{
    mjcf_add(x, "<tendon><fixed name='grip'><joint joint='finger_left' coef='1'/>"
                "<joint joint='finger_right' coef='1'/></fixed></tendon>\n"
                "<equality><joint joint1='finger_left' joint2='finger_right' "
                "solref='0.01 1'/></equality>\n<actuator>\n");
    for (int i = 0; i < ARM_JOINTS; i++)
        mjcf_add(x,
                 "<motor name='motor%d' joint='joint%d' ctrllimited='true' "
                 "ctrlrange='%g %g'/>\n",
                 i + 1, i + 1, -arm_torque[i], arm_torque[i]);
    mjcf_add(x,
             "<motor name='grip' tendon='grip' ctrllimited='true' ctrlrange='%g %g'/>\n"
             "</actuator>\n",
             -ARM_GRIP_FORCE, ARM_GRIP_FORCE);
}

void arm_forward(const double q[ARM_JOINTS], double pos[3], double mat[9], double *jac)
{
    double p[3] = {0, 0, ARM_BASE_Z}, r[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double axis[ARM_JOINTS][3], origin[ARM_JOINTS][3];
    for (int i = 0; i < ARM_JOINTS; i++) {
        double step[3], local[9], spun[9];
        double c = cos(q[i]), s = sin(q[i]), turn[9] = {c, -s, 0, s, c, 0, 0, 0, 1};
        mju_rotVecMat(step, frame[i].pos, r);
        mju_addTo3(p, step);
        mju_quat2Mat(local, frame[i].quat);
        mju_mulMatMat(spun, r, local, 3, 3, 3);
        for (int k = 0; k < 3; k++)
            axis[i][k] = spun[3 * k + 2];
        mju_copy3(origin[i], p);
        mju_mulMatMat(r, spun, turn, 3, 3, 3);
    }
    double h = -PI / 4, hand[9] = {cos(h), -sin(h), 0, sin(h), cos(h), 0, 0, 0, 1};
    for (int k = 0; k < 3; k++)
        pos[k] = p[k] + r[3 * k + 2] * (flange + tcp);
    mju_mulMatMat(mat, r, hand, 3, 3, 3);
    if (!jac) return;
    for (int i = 0; i < ARM_JOINTS; i++) {
        double lever[3], linear[3];
        mju_sub3(lever, pos, origin[i]);
        mju_cross(linear, axis[i], lever);
        for (int k = 0; k < 3; k++) {
            jac[k * ARM_JOINTS + i] = linear[k];
            jac[(k + 3) * ARM_JOINTS + i] = axis[i][k];
        }
    }
}

/* speed = z + E J^T y with (J E J^T + d^2 I) y = twist - J z, E = diag(ease), without the
 * columns of `out` joints. */
static void damped(const double *jac, const double twist[6], const double z[ARM_JOINTS],
                   const double ease[ARM_JOINTS], unsigned out, double speed[ARM_JOINTS])
{
    double a[36], y[6];
    for (int i = 0; i < 6; i++) {
        y[i] = twist[i];
        for (int k = 0; k < ARM_JOINTS; k++)
            if (!(out >> k & 1)) y[i] -= jac[i * ARM_JOINTS + k] * z[k];
        for (int j = 0; j < 6; j++) {
            double sum = i == j ? 0.02 * 0.02 : 0;
            for (int k = 0; k < ARM_JOINTS; k++)
                if (!(out >> k & 1))
                    sum += ease[k] * jac[i * ARM_JOINTS + k] * jac[j * ARM_JOINTS + k];
            a[6 * i + j] = sum;
        }
    }
    mju_cholFactor(a, 6, 0);
    mju_cholSolve(y, a, y, 6);
    for (int k = 0; k < ARM_JOINTS; k++) {
        speed[k] = out >> k & 1 ? 0 : z[k];
        for (int i = 0; i < 6 && !(out >> k & 1); i++)
            speed[k] += ease[k] * jac[i * ARM_JOINTS + k] * y[i];
    }
}

void arm_inverse(const double q[ARM_JOINTS], const double twist[6], double limit,
                 double speed[ARM_JOINTS])
{
    double pos[3], mat[9], jac[6 * ARM_JOINTS];
    /* Joints 3 and 5 near zero, the elbow upright, is a posture that all targets share. */
    double z[ARM_JOINTS] = {0, 0, -1.2 * q[2], 0, -2.0 * q[4], 0, 0};
    /* With the hand tilted forward joint 6 passes 180 degrees, where joints 5 and 7 share
     * an axis and joint 5 would swing away for nothing: the nearer, the less it may be
     * used. */
    double aside = fmin(1, 4 * sin(q[5]) * sin(q[5]));
    double ease[ARM_JOINTS] = {1, 1, 1, 1, 0.002 + 0.2 * aside, 1, 1};
    unsigned out = 0;
    arm_forward(q, pos, mat, jac);
    for (int pass = 0; pass < 3; pass++) {
        unsigned before = out;
        damped(jac, twist, z, ease, out, speed);
        for (int k = 0; k < ARM_JOINTS; k++)
            if ((q[k] < arm_lower[k] + 0.03 && speed[k] < 0) ||
                (q[k] > arm_upper[k] - 0.03 && speed[k] > 0))
                out |= 1u << k;
        if (out == before) break;
    }
    double worst = 0;
    for (int k = 0; k < ARM_JOINTS; k++) {
        if (out >> k & 1) speed[k] = 0;
        worst = fmax(worst, fabs(speed[k]));
    }
    if (worst > limit)
        for (int k = 0; k < ARM_JOINTS; k++)
            speed[k] *= limit / worst;
}
