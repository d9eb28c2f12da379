/*
 * world.c -- lifetime of a simulation, one control tick, saving and restoring.
 *
 * The arm follows its commanded joints by computed torque, M (kp e + kd de) + bias:
 * position servos with a Panda's gains oscillate by centimetres under Euler's explicit
 * actuator damping. Not here: contacts and common events (touch.c), what happens in a scene
 * (coffee*.c, reach.c).
 *
 * Compile with -ffp-contract=off and without -march: trajectories must not depend on the
 * machine.
 */
#include "world.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"
#include "touch.h"

enum { MOST_DOFS = 128 };

static const double kp = 1600, kd = 70; /* 1/s^2, 1/s: about 40 rad/s, well damped */
static const double grip_kp = 1000;     /* N/m; damping is the finger joints' own */
/* m/s at which the wanted width changes. Source: Franka Hand, 50 mm/s a finger. */
static const double grip_speed = 0.10;
static const double grip_slack = 0.04; /* m the wanted width may lie from the real one */
static const double slack = 0.12;      /* rad the command may lie from the joint */
static const double ramp =
    0.10; /* rad/s the fastest joint may be asked to gain in a tick */
static const double settle_s = 0.1; /* s for things to come to rest at reset */

static void on_error(const char *text)
{
    /* MuJoCo must not return from an error, and its default also writes a log file. Models
     * and inputs are checked before, so this is a bug of ours. */
    fprintf(stderr, "mujoco: %s\n", text);
    abort();
}

static void on_warning(const char *text)
{
    (void)text; /* counted in mjData; see diverged() */
}

static void set_handlers(void)
{
    mju_user_error = on_error;
    mju_user_warning = on_warning;
}

/* MuJoCo's handlers are process globals; they are set once, to the same values by everyone.
 */
static pthread_once_t handlers = PTHREAD_ONCE_INIT;

/* The XML reader keeps the last model it read in a global: one at a time. */
static pthread_mutex_t reader = PTHREAD_MUTEX_INITIALIZER;

static bool compile(world *w)
{
    char error[400] = "";
    w->scene->model(&w->text);
    mjVFS *vfs = w->text.failed ? NULL : malloc(sizeof *vfs);
    if (!vfs) return snprintf(w->why, sizeof w->why, "out of memory"), false;
    mj_defaultVFS(vfs);
    if (mj_makeEmptyFileVFS(vfs, "scene.xml", (int)w->text.length) == 0) {
        memcpy(vfs->filedata[0], w->text.text, w->text.length);
        pthread_mutex_lock(&reader);
        w->m = mj_loadXML("scene.xml", vfs, error, (int)sizeof error);
        pthread_mutex_unlock(&reader);
    }
    mj_deleteVFS(vfs);
    free(vfs);
    if (!w->m)
        snprintf(w->why, sizeof w->why, "scene %s does not compile: %.180s", w->scene->name,
                 error);
    return w->m != NULL;
}

static int32_t robot_part(const char *name)
{
    if (!strcmp(name, "finger_left")) return PART_LEFT;
    if (!strcmp(name, "finger_right")) return PART_RIGHT;
    if (!strcmp(name, "hand")) return PART_HAND;
    if (!strncmp(name, "link", 4)) return name[4] >= '5' ? PART_OUTER : PART_INNER;
    return strcmp(name, "base") ? PART_NONE : PART_INNER;
}

static bool bind(world *w)
{
    const mjModel *m = w->m;
    const scene *s = w->scene;
    if (m->nq != s->nq || m->nv != s->nv || m->nmocap != s->nmocap || m->na != 0 ||
        m->nv > MOST_DOFS)
        return snprintf(w->why, sizeof w->why,
                        "scene %s: nq %d nv %d nmocap %d, table says %d %d %d", s->name,
                        m->nq, m->nv, m->nmocap, s->nq, s->nv, s->nmocap),
               false;
    w->part_of = calloc((size_t)m->ngeom, sizeof *w->part_of);
    w->label_of = calloc((size_t)m->ngeom, sizeof *w->label_of);
    w->raw_qpos = calloc((size_t)m->nq, sizeof *w->raw_qpos);
    w->raw_quat = calloc((size_t)m->nmocap + 1, 4 * sizeof *w->raw_quat);
    if (!w->part_of || !w->label_of || !w->raw_qpos || !w->raw_quat)
        return snprintf(w->why, sizeof w->why, "out of memory"), false;
    for (int32_t i = 0; i < s->n_bodies; i++) {
        int id = mj_name2id(m, mjOBJ_BODY, s->bodies[i].name);
        if (id < 0)
            return snprintf(w->why, sizeof w->why, "no body %s", s->bodies[i].name), false;
        w->body[i] = id;
        w->mocap[i] = m->body_mocapid[id];
        bool is_free =
            m->body_jntnum[id] == 1 && m->jnt_type[m->body_jntadr[id]] == mjJNT_FREE;
        w->qpos[i] = is_free ? m->jnt_qposadr[m->body_jntadr[id]] : -1;
    }
    for (int g = 0; g < m->ngeom; g++) {
        int body = m->geom_bodyid[g];
        while (body > 0 && !mj_id2name(m, mjOBJ_BODY, body)) /* what is only drawn */
            body = m->body_parentid[body];
        const char *name = mj_id2name(m, mjOBJ_BODY, body);
        w->part_of[g] = name ? robot_part(name) : PART_NONE;
        w->label_of[g] = w->part_of[g] != PART_NONE;
        for (int32_t i = 0; i < s->n_bodies; i++)
            if (w->body[i] == body) {
                w->part_of[g] = s->bodies[i].part;
                w->label_of[g] = (uint8_t)s->bodies[i].label;
            }
    }
    w->hinge = s->hinge ? mj_name2id(m, mjOBJ_JOINT, s->hinge) : -1;
    return true;
}

world *world_open(const scene *s, double rate, double step_s, char why[WORLD_WHY])
{
    pthread_once(&handlers, set_handlers);
    world *w = calloc(1, sizeof *w);
    if (!w) return snprintf(why, WORLD_WHY, "out of memory"), NULL;
    double steps = 1 / rate / step_s;
    w->scene = s;
    w->period = 1 / rate;
    w->n_steps = (int32_t)lround(steps);
    if (w->n_steps < 1 || fabs(steps - w->n_steps) > 1e-6)
        snprintf(w->why, sizeof w->why,
                 "a step of %g ms does not divide the control period of %g ms",
                 step_s * 1e3, w->period * 1e3);
    else if (compile(w) && bind(w)) {
        w->m->opt.timestep = w->period / w->n_steps;
        w->d = mj_makeData(w->m);
        if (w->d) return w;
        snprintf(w->why, sizeof w->why, "out of memory");
    }
    memcpy(why, w->why, WORLD_WHY);
    world_close(w);
    return NULL;
}

void world_close(world *w)
{
    if (!w) return;
    if (w->d) mj_deleteData(w->d);
    if (w->m) mj_deleteModel(w->m);
    free(w->raw_qpos);
    free(w->raw_quat);
    free(w->part_of);
    free(w->label_of);
    mjcf_free(&w->text);
    free(w);
}

/* Torques that let the arm follow `at` moving at `speed`, and the gripper its wanted width.
 */
static void control(world *w, const double at[ARM_JOINTS], const double speed[ARM_JOINTS])
{
    mjData *d = w->d;
    double want[MOST_DOFS] = {0}, torque[MOST_DOFS];
    for (int i = 0; i < ARM_JOINTS; i++)
        want[i] = kp * (at[i] - d->qpos[i]) + kd * (speed[i] - d->qvel[i]);
    mj_mulM(w->m, d, torque, want);
    for (int i = 0; i < ARM_JOINTS; i++)
        d->ctrl[i] = mju_clip(torque[i] + d->qfrc_bias[i], -arm_torque[i], arm_torque[i]);
    d->ctrl[7] =
        mju_clip(grip_kp * (w->width - world_opening(w)), -ARM_GRIP_FORCE, ARM_GRIP_FORCE);
}

static bool diverged(const world *w)
{
    const mjData *d = w->d;
    return d->warning[mjWARN_BADQPOS].number || d->warning[mjWARN_BADQVEL].number ||
           d->warning[mjWARN_BADQACC].number;
}

/* Poses and contacts of the current qpos. MuJoCo normalises quaternions in place first, and
 * doing that twice is not the same as once in the last bit: a state keeps qpos as it was
 * before, and furniture starts from the quaternion it was placed with every time. */
static void refresh(world *w)
{
    memcpy(w->raw_qpos, w->d->qpos, (size_t)w->m->nq * sizeof *w->raw_qpos);
    memcpy(w->d->mocap_quat, w->raw_quat, 4 * (size_t)w->m->nmocap * sizeof *w->raw_quat);
    mj_step1(w->m, w->d);
}

static void step(world *w, const double speed[ARM_JOINTS])
{
    double at[ARM_JOINTS] = {0}, from[ARM_JOINTS];
    memcpy(from, w->command, sizeof from);
    for (int k = 1; k <= w->n_steps; k++) {
        for (int i = 0; i < ARM_JOINTS; i++)
            at[i] = from[i] + speed[i] * w->period * ((double)k / w->n_steps);
        control(w, at, speed);
        mj_step2(w->m, w->d);
        touch_scan(w); /* contact forces belong to the poses before this step */
        monitor_scan(w);
        refresh(w);
    }
    memcpy(w->command, at, sizeof at);
    memcpy(w->torque, w->d->ctrl, sizeof w->torque);
}

/* The share of the wanted speeds that the arm can take up in one tick: the fastest joint
 * may not be asked to run much faster than it does, about 6 rad/s^2 at these gains. All
 * joints are scaled alike, so the hand keeps its direction; slowing down is never limited.
 * What to do next then depends on where things are and not on how fast the arm already is.
 */
static double soft_start(const world *w, const double wanted[ARM_JOINTS])
{
    int k = 0;
    for (int i = 1; i < ARM_JOINTS; i++)
        if (fabs(wanted[i]) > fabs(wanted[k])) k = i;
    double now = wanted[k] < 0 ? -w->d->qvel[k] : w->d->qvel[k];
    double most = fmax(now, 0) + ramp, much = fabs(wanted[k]);
    return much > most ? most / much : 1;
}

int32_t world_act(world *w, const float action[ARM_ACTIONS])
{
    double a[ARM_ACTIONS], speed[ARM_JOINTS];
    for (int i = 0; i < ARM_ACTIONS; i++)
        a[i] = action[i] > -1 ? fmin(action[i], 1) : action[i] <= -1 ? -1 : 0;
    for (int i = 0; i < ARM_JOINTS; i++)
        speed[i] = a[i] * WORLD_SCALE;
    double share = soft_start(w, speed);
    for (int i = 0; i < ARM_JOINTS; i++) {
        /* The command stays near the joint, so that pushing against something cannot wind
         * up. */
        double q = w->d->qpos[i], lo = fmax(arm_lower[i], q - slack);
        double hi = fmin(arm_upper[i], q + slack);
        double to = w->command[i] + share * speed[i] * w->period;
        to = lo < hi ? mju_clip(to, lo, hi) : w->command[i];
        speed[i] = (to - w->command[i]) / w->period;
    }
    double open = world_opening(w), wanted = ARM_WIDTH_MAX * (1 - a[7]) / 2;
    double reach = grip_speed * w->period;
    w->width += mju_clip(wanted - w->width, -reach, reach);
    w->width = mju_clip(w->width, open - grip_slack, open + grip_slack);

    memset(&w->touch, 0, sizeof w->touch);
    w->lid_on_hand = 0;
    step(w, speed);
    w->tick++;
    w->events = touch_events(w);
    if (diverged(w)) {
        w->events |= 1u << EVENT_DIVERGED;
        w->is_met = 0;
        return -1;
    }
    w->events |= monitor_events(w);
    w->is_met = w->scene->judge(w);
    w->held_s = w->is_met ? w->held_s + w->period : 0;
    return w->held_s >= WORLD_HOLD_S - w->period / 2;
}

void world_reset(world *w, uint64_t seed, const int32_t *goals, int32_t n_goals)
{
    static const double still[ARM_JOINTS] = {0};
    rng r = {seed, 0};
    mjData *d = w->d;
    mj_resetData(w->m, d);
    memcpy(w->raw_quat, d->mocap_quat, 4 * (size_t)w->m->nmocap * sizeof *w->raw_quat);
    memset(w->memo, 0, sizeof w->memo);
    w->seed = seed;
    int32_t pick = rng_below(&r, n_goals ? n_goals : w->scene->n_goals);
    w->goal = n_goals ? goals[pick] : pick;
    w->phrasing = rng_below(&r, w->scene->n_phrasings);
    for (int i = 0; i < ARM_JOINTS; i++) {
        d->qpos[i] = arm_home[i] + rng_uniform(&r, -0.02, 0.02);
        w->command[i] = d->qpos[i];
    }
    d->qpos[7] = d->qpos[8] = ARM_WIDTH_MAX / 2;
    w->width = ARM_WIDTH_MAX;
    w->scene->reset(w, &r);
    refresh(w);
    for (int32_t i = 0; i * w->period < settle_s; i++)
        step(w, still);
    d->time = 0;
    w->tick = 0;
    w->held_s = 0;
    w->events = 0;
    w->is_met = 0;
    memset(&w->touch, 0, sizeof w->touch);
    w->lid_on_hand = 0;
}

/* The order in which a state is written; reading walks the same list. */
static int32_t state_walk(const world *w, double *state, const double *from)
{
    double extra[6] = {w->held_s,
                       (double)(w->seed & 0xffffffffu),
                       (double)(w->seed >> 32),
                       (double)w->tick,
                       w->goal,
                       w->phrasing};
    const struct {
        double *at;
        int32_t n;
    } piece[] = {
        {&w->d->time, 1},
        {w->raw_qpos, w->m->nq},
        {w->d->qvel, w->m->nv},
        {w->d->qacc_warmstart, w->m->nv},
        {w->d->mocap_pos, 3 * w->m->nmocap},
        {w->raw_quat, 4 * w->m->nmocap},
        {(double *)w->command, ARM_JOINTS},
        {(double *)&w->width, 1},
        {(double *)w->torque, ARM_ACTIONS},
        {(double *)w->memo, WORLD_MEMO},
        {extra, 6},
    };
    int32_t n = 0;
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
        size_t bytes = (size_t)piece[i].n * sizeof(double);
        if (state) memcpy(state + n, piece[i].at, bytes);
        if (from && piece[i].at != extra) memcpy(piece[i].at, from + n, bytes);
        n += piece[i].n;
    }
    return n;
}

int32_t world_state_size(const scene *s)
{
    return 1 + s->nq + 2 * s->nv + 7 * s->nmocap + ARM_JOINTS + 1 + ARM_ACTIONS +
           WORLD_MEMO + 6;
}

void world_save(const world *w, double *state) { state_walk(w, state, NULL); }

int32_t world_restore(world *w, const double *state)
{
    int32_t n = world_state_size(w->scene);
    const double *extra = state + n - 6;
    for (int32_t i = 0; i < n; i++)
        if (!(fabs(state[i]) <= 1e10)) return -1;
    if (extra[1] < 0 || extra[2] < 0 || extra[1] > 4294967295.0 ||
        extra[2] > 4294967295.0 || extra[4] < 0 || extra[4] >= w->scene->n_goals ||
        extra[5] < 0 || extra[5] >= w->scene->n_phrasings)
        return -1;
    mj_resetData(w->m,
                 w->d); /* warnings and solver statistics too: nothing of the past stays */
    state_walk(w, NULL, state);
    w->held_s = extra[0];
    w->seed = (uint64_t)extra[1] | (uint64_t)extra[2] << 32;
    w->tick = (int64_t)extra[3];
    w->goal = (int32_t)extra[4];
    w->phrasing = (int32_t)extra[5];
    w->events = 0;
    w->is_met = 0;
    memset(&w->touch, 0, sizeof w->touch);
    w->lid_on_hand = 0;
    memcpy(w->d->qpos, w->raw_qpos, (size_t)w->m->nq * sizeof *w->raw_qpos);
    refresh(w);
    return 0;
}

void world_place(world *w, int32_t body, double x, double y, double z, double yaw)
{
    double pos[3] = {x, y, z}, quat[4] = {cos(yaw / 2), 0, 0, sin(yaw / 2)};
    double *to = w->qpos[body] >= 0 ? w->d->qpos + w->qpos[body] : NULL;
    memcpy(to ? to : w->d->mocap_pos + 3 * w->mocap[body], pos, sizeof pos);
    memcpy(to ? to + 3 : w->raw_quat + 4 * w->mocap[body], quat, sizeof quat);
}

void world_move(world *w, int32_t body, double x, double y)
{
    double *q = w->d->qpos + w->qpos[body];
    q[0] = x;
    q[1] = y;
    refresh(w);
}

const double *world_position(const world *w, int32_t body)
{
    return w->d->xpos + 3 * w->body[body];
}

const double *world_axes(const world *w, int32_t body)
{
    return w->d->xmat + 9 * w->body[body];
}

double world_opening(const world *w) { return w->d->qpos[7] + w->d->qpos[8]; }

const double *world_joints(const world *w) { return w->d->qpos; }

double world_force_on(const world *w, int32_t part)
{
    const world_touch *t = &w->touch;
    return t->by_outer[part] + t->by_finger[0][part] + t->by_finger[1][part];
}

bool world_is_pinched(const world *w, int32_t part)
{
    return w->touch.by_finger[0][part] > 0 && w->touch.by_finger[1][part] > 0;
}
