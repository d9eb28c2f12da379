/*
 * channel.c -- observation channels: names, types, and how to fill them from a world.
 *
 * Reads: joints, poses and the last torques of a world.  Not here: parameters (mujoco.c),
 * how a picture is drawn (raster.c).
 */
#include "channel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    JOINT_POS,
    JOINT_VEL,
    JOINT_TORQUE,
    JOINT_COMMAND,
    GRIPPER_POS,
    GRIPPER_FORCE,
    EEF_POS,
    EEF_QUAT,
    OBJECT_POSE,
    LID_ANGLE,
    GOAL,
    SENSED_POSE,
    SENSED_AGE,
    PLAIN, /* how many of the above */
    RGB = PLAIN,
    DEPTH,
    LABELS
};

/* Types with an N are completed from the scene: its described bodies or its goals. */
static const struct {
    const char *name, *type, *unit, *doc;
} plain[PLAIN] = {
    [JOINT_POS] = {"obs/joint_pos", "f32[7]", "rad", "measured joint angles"},
    [JOINT_VEL] = {"obs/joint_vel", "f32[7]", "rad/s", "measured joint velocities"},
    [JOINT_TORQUE] = {"obs/joint_torque", "f32[7]", "Nm",
                      "torques of the motors, gravity included"},
    [JOINT_COMMAND] = {"obs/joint_command", "f32[7]", "rad",
                       "commanded angles that actions add to"},
    [GRIPPER_POS] = {"obs/gripper_pos", "f32[2]", "m",
                     "way of each finger from closed, 0 to 0.04"},
    [GRIPPER_FORCE] = {"obs/gripper_force", "f32[1]", "N",
                       "force on each finger, negative closes"},
    [EEF_POS] = {"obs/eef_pos", "f32[3]", "m", "point between the pads, world frame"},
    [EEF_QUAT] = {"obs/eef_quat", "f32[4]", "", "hand to world, w x y z with w >= 0"},
    [OBJECT_POSE] = {"obs/object_pose", "f32[N,7]", "m",
                     "x y z and quaternion w x y z per row, rows named by object_names"},
    [LID_ANGLE] = {"obs/lid_angle", "f32[1]", "rad", "0 closed, 2.05 open"},
    [GOAL] = {"obs/goal", "f32[N]", "", "one at the goal's index, zero elsewhere"},
    [SENSED_POSE] = {"obs/sensed_pose", "f32[N,7]", "m",
                     "obs/object_pose as the sensor's newest reading tells it"},
    [SENSED_AGE] = {"obs/sensed_age", "f32[1]", "s", "since that reading was taken"},
};

static const char *hold_text(const evla_host *h, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = h->hold(h, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

static int32_t add(const evla_host *h, channel_list *out, int32_t kind, int32_t of,
                   const char *name, const char *type, const char *unit, const char *doc,
                   double rate_hz)
{
    const char *kept_name = hold_text(h, name), *kept_type = hold_text(h, type);
    if (!kept_name || !kept_type) return EVLA_E_NOMEM;
    out->channel[out->n] = (evla_channel){kept_name, kept_type, unit, doc, rate_hz};
    out->kind[out->n] = kind;
    out->camera[out->n++] = of;
    return EVLA_OK;
}

static int32_t n_described(const scene *s)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_bodies; i++)
        n += s->bodies[i].is_described;
    return n;
}

static int32_t check_camera(const evla_host *h, const scene *s, double control_hz,
                            const camera_request *cameras, int64_t i)
{
    const camera_request *c = &cameras[i];
    char why[200];
    bool is_known = false, is_again = false;
    for (int32_t k = 0; k < s->n_cameras; k++)
        is_known |= !strcmp(s->cameras[k]->name, c->name);
    for (int64_t k = 0; k < i; k++)
        is_again |= !strcmp(cameras[k].name, c->name);
    if (!is_known || is_again) {
        snprintf(why, sizeof why,
                 "mujoco: %s camera \"%.40s\"; scene %s has front and wrist",
                 is_again ? "second" : "no", c->name, s->name);
        return h->fail(h, EVLA_E_ARG, why);
    }
    bool fits = c->size.rank == 2;
    for (int32_t k = 0; k < 2 && fits; k++)
        fits = c->size.dim[k] >= 8 && c->size.dim[k] <= 2048;
    if (!fits) {
        snprintf(why, sizeof why,
                 "mujoco: camera %s: size wants {width, height}, each from 8 to 2048",
                 c->name);
        return h->fail(h, EVLA_E_RANGE, why);
    }
    if (c->rate > control_hz) {
        snprintf(why, sizeof why,
                 "mujoco: camera %s: rate %g Hz is above the control rate %g Hz", c->name,
                 c->rate, control_hz);
        return h->fail(h, EVLA_E_RANGE, why);
    }
    return EVLA_OK;
}

static int32_t add_camera(const evla_host *h, const camera_request *c, int32_t i,
                          channel_list *out)
{
    static const struct {
        const char *name, *dtype, *unit, *doc;
        int planes;
    } part[3] = {
        {"rgb", "u8", "", "colours, top row first", 3},
        {"depth", "f32", "m", "distance along the camera's axis, 0 where nothing is", 1},
        {"labels", "u8", "", "semantic class, index into label_names", 1},
    };
    const bool wanted[3] = {true, c->depth, c->labels};
    for (int k = 0; k < 3; k++) {
        char name[96], type[48];
        if (!wanted[k]) continue;
        snprintf(name, sizeof name, "cameras/%.60s/%s", c->name, part[k].name);
        snprintf(type, sizeof type, "%s[%d,%d,%d]", part[k].dtype, (int)c->size.dim[1],
                 (int)c->size.dim[0], part[k].planes);
        int32_t st =
            add(h, out, RGB + k, i, name, type, part[k].unit, part[k].doc, c->rate);
        if (st < 0) return st;
    }
    return EVLA_OK;
}

int32_t channel_make(const evla_host *h, const scene *s, double control_hz,
                     const camera_request *cameras, int64_t n_cameras, channel_list *out)
{
    out->n = 0;
    if (n_cameras > CHANNEL_CAMERAS)
        return h->fail(h, EVLA_E_LIMIT, "mujoco: cameras: at most 8");
    for (int32_t k = 0; k < PLAIN; k++) {
        char type[32];
        if (k == LID_ANGLE && !s->hinge) continue;
        int32_t n = k == GOAL ? s->n_goals : n_described(s);
        if (k == OBJECT_POSE || k == SENSED_POSE)
            snprintf(type, sizeof type, "f32[%d,7]", n);
        else if (k == GOAL)
            snprintf(type, sizeof type, "f32[%d]", n);
        else
            snprintf(type, sizeof type, "%s", plain[k].type);
        int32_t st =
            add(h, out, k, -1, plain[k].name, type, plain[k].unit, plain[k].doc, 0);
        if (st < 0) return st;
    }
    for (int64_t i = 0; i < n_cameras; i++) {
        int32_t st = check_camera(h, s, control_hz, cameras, i);
        if (st >= 0) st = add_camera(h, &cameras[i], (int32_t)i, out);
        if (st < 0) return st;
    }
    return EVLA_OK;
}

/* ---- samples ---- */

int32_t channel_eye_make(const evla_host *h, const world *w, const camera_request *c,
                         eye *out)
{
    int32_t width = (int32_t)c->size.dim[0], height = (int32_t)c->size.dim[1];
    size_t pixels = (size_t)width * (size_t)height,
           bytes = raster_bytes(w->m, width, height);
    void *memory = bytes ? h->hold(h, bytes) : NULL;
    if (!bytes) return h->fail(h, EVLA_E_SHAPE, "mujoco: a camera's size cannot be drawn");
    *out = (eye){.camera = mj_name2id(w->m, mjOBJ_CAMERA, c->name),
                 .width = width,
                 .height = height};
    out->rgb = h->hold(h, 3 * pixels);
    if (c->depth) out->depth = h->hold(h, pixels * sizeof *out->depth);
    if (c->labels) out->label = h->hold(h, pixels);
    if (!memory || !out->rgb || (c->depth && !out->depth) || (c->labels && !out->label))
        return EVLA_E_NOMEM;
    out->raster = raster_make(memory, w->m, width, height);
    return EVLA_OK;
}

static int32_t draw(const evla_host *h, const world *w, eye *e, uint64_t now)
{
    raster_view view;
    raster_image image = {
        .width = e->width,
        .height = e->height,
        .rgb = e->rgb,
        .depth = e->depth,
        .label = e->label,
        .label_of = w->label_of,
        .label_none = 0,
    };
    if (e->stamp == now) return EVLA_OK;
    raster_view_of(w->m, w->d, e->camera, e->width, e->height, &view);
    int32_t st = raster_draw(e->raster, w->m, w->d, &view, &image);
    if (st < 0) return h->fail(h, st, "mujoco: the picture could not be drawn");
    e->stamp = now;
    return EVLA_OK;
}

static void to_f32(float *out, const double *from, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        out[i] = (float)from[i];
}

static void hand_pose(const world *w, int32_t kind, float *out)
{
    double pos[3], mat[9], quat[4];
    arm_forward(world_joints(w), pos, mat, NULL);
    if (kind == EEF_POS) {
        to_f32(out, pos, 3);
        return;
    }
    mju_mat2Quat(quat, mat);
    if (quat[0] < 0) mju_scl(quat, quat, -1, 4);
    to_f32(out, quat, 4);
}

static void object_poses(const world *w, float *out)
{
    for (int32_t i = 0; i < w->scene->n_bodies; i++) {
        if (!w->scene->bodies[i].is_described) continue;
        to_f32(out, w->d->xpos + 3 * w->body[i], 3);
        to_f32(out + 3, w->d->xquat + 4 * w->body[i], 4);
        out += 7;
    }
}

int32_t channel_sample(const evla_host *h, const channel_list *list, int32_t i,
                       const world *w, const sensor *sensed, eye *eyes, uint64_t now,
                       void *out)
{
    if (i < 0 || i >= list->n)
        return h->fail(h, EVLA_E_ARG, "mujoco: there is no such channel");
    float *to = out;
    int32_t kind = list->kind[i];
    if (kind >= PLAIN) {
        eye *e = &eyes[list->camera[i]];
        size_t pixels = (size_t)e->width * (size_t)e->height;
        int32_t st = draw(h, w, e, now);
        if (st < 0) return st;
        if (kind == RGB) memcpy(out, e->rgb, 3 * pixels);
        if (kind == DEPTH) memcpy(out, e->depth, pixels * sizeof *e->depth);
        if (kind == LABELS) memcpy(out, e->label, pixels);
        return EVLA_OK;
    }
    switch (kind) {
    case JOINT_POS:
        to_f32(to, w->d->qpos, ARM_JOINTS);
        break;
    case JOINT_VEL:
        to_f32(to, w->d->qvel, ARM_JOINTS);
        break;
    case JOINT_TORQUE:
        to_f32(to, w->torque, ARM_JOINTS);
        break;
    case JOINT_COMMAND:
        to_f32(to, w->command, ARM_JOINTS);
        break;
    case GRIPPER_POS:
        to_f32(to, w->d->qpos + ARM_JOINTS, 2);
        break;
    case GRIPPER_FORCE:
        to_f32(to, w->torque + ARM_JOINTS, 1);
        break;
    case EEF_POS:
    case EEF_QUAT:
        hand_pose(w, kind, to);
        break;
    case OBJECT_POSE:
        object_poses(w, to);
        break;
    case LID_ANGLE:
        to_f32(to, w->d->qpos + w->m->jnt_qposadr[w->hinge], 1);
        break;
    case GOAL:
        for (int32_t k = 0; k < w->scene->n_goals; k++)
            to[k] = k == w->goal;
        break;
    case SENSED_POSE:
        sensor_read(sensed, w, to);
        break;
    case SENSED_AGE:
        *to = (float)sensor_age(sensed, w);
        break;
    default:
        break;
    }
    return EVLA_OK;
}
