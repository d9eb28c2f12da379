/*
 * mujoco.c -- the plugin: a simulated robot arm on MuJoCo as an evla.body, with a choice of
 * scenes.
 *
 * Reads: typed parameters.  Not here: the simulation (world.c), readings of poses
 * (sensor.c), channels and cameras (channel.c), what happens in a scene (coffee*.c,
 * reach.c).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "disturb.h"
#include "evla/abi.h"
#include "monitor.h"
#include "world.h"

enum { MOST_GOALS = 32 };

static const scene *const scenes[] = {&scene_coffee, &scene_reach};

typedef struct mujoco_params {
    int32_t scene; /* index into scenes */
    int32_t reserved;
    double rate;
    int64_t step_ns;
    evla_list cameras; /* camera_request */
    evla_list goals;   /* const char * */
    sensor_params sensor;
    disturb_params disturb;
} mujoco_params;

typedef struct mujoco_body {
    world *world;
    sensor sensor;
    disturb_params disturb;
    channel_list channels;
    eye eyes[CHANNEL_CAMERAS];
    int32_t goals[MOST_GOALS];
    int32_t n_goals;
    uint64_t now; /* changes with every change of the world */
    char instruction[200];
} mujoco_body;

static const evla_param camera_fields[] = {
    {.name = "name",
     .doc = "front (beside the robot) or wrist (behind the hand)",
     .type = EVLA_P_STRING,
     .offset = offsetof(camera_request, name)},
    {.name = "size",
     .doc = "width and height in pixels",
     .preset = "[96, 96]",
     .type = EVLA_P_SHAPE,
     .offset = offsetof(camera_request, size)},
    {.name = "rate",
     .doc = "pictures per second of simulated time",
     .preset = "30",
     .unit = "Hz",
     .min = 0.1,
     .max = 1000,
     .type = EVLA_P_RATE,
     .offset = offsetof(camera_request, rate)},
    {.name = "depth",
     .doc = "also a depth picture in metres",
     .preset = "false",
     .type = EVLA_P_BOOL,
     .offset = offsetof(camera_request, depth)},
    {.name = "labels",
     .doc = "also a picture of semantic classes",
     .preset = "false",
     .type = EVLA_P_BOOL,
     .offset = offsetof(camera_request, labels)},
};

static const evla_param params_table[] = {
    {.name = "scene",
     .doc = "what stands on the table",
     .preset = "coffee",
     .choices = "coffee|reach",
     .type = EVLA_P_ENUM,
     .offset = offsetof(mujoco_params, scene)},
    {.name = "rate",
     .doc = "control rate: actions and observations per second",
     .preset = "100",
     .unit = "Hz",
     .min = 20,
     .max = 500,
     .type = EVLA_P_RATE,
     .offset = offsetof(mujoco_params, rate)},
    {.name = "step",
     .doc = "physics step; a control period is a whole number of these",
     .preset = "5ms",
     .unit = "s",
     .min = 0.0005,
     .max = 0.005,
     .type = EVLA_P_DURATION,
     .offset = offsetof(mujoco_params, step_ns)},
    {.name = "cameras",
     .doc = "pictures to take",
     .flags = EVLA_PF_OPTIONAL,
     .type = EVLA_P_STRUCTS,
     .fields = camera_fields,
     .n_fields = sizeof camera_fields / sizeof *camera_fields,
     .fields_size = sizeof(camera_request),
     .offset = offsetof(mujoco_params, cameras)},
    {.name = "goals",
     .doc = "names of the goals to draw episodes from; none: all of the scene's",
     .flags = EVLA_PF_OPTIONAL,
     .type = EVLA_P_LIST,
     .element = EVLA_P_STRING,
     .offset = offsetof(mujoco_params, goals)},
    {.name = "sensor",
     .doc = "how obs/sensed_pose differs from obs/object_pose",
     .type = EVLA_P_STRUCT,
     .fields = sensor_fields,
     .n_fields = SENSOR_PARAMS,
     .fields_size = sizeof(sensor_params),
     .offset = offsetof(mujoco_params, sensor)},
    {.name = "disturb",
     .doc = "what goes wrong on purpose",
     .type = EVLA_P_STRUCT,
     .fields = disturb_fields,
     .n_fields = DISTURB_PARAMS,
     .fields_size = sizeof(disturb_params),
     .offset = offsetof(mujoco_params, disturb)},
};

/* ---- what there is ---- */

static int32_t find_goals(const evla_host *h, const mujoco_params *p,
                          int32_t out[MOST_GOALS], int32_t *n)
{
    const scene *s = scenes[p->scene];
    const char *const *names = p->goals.items;
    char why[160];
    *n = 0;
    if (p->goals.n > MOST_GOALS)
        return h->fail(h, EVLA_E_LIMIT, "mujoco: goals: at most 32");
    for (int64_t i = 0; i < p->goals.n; i++) {
        int32_t k = 0;
        while (k < s->n_goals && strcmp(names[i], s->goals[k]) != 0)
            k++;
        if (k == s->n_goals) {
            snprintf(why, sizeof why,
                     "mujoco: goals: scene %s has no \"%.40s\", but %s, %s, ...", s->name,
                     names[i], s->goals[0], s->goals[1]);
            return h->fail(h, EVLA_E_ARG, why);
        }
        out[(*n)++] = k;
    }
    return EVLA_OK;
}

static int32_t check(const evla_host *h, const mujoco_params *p)
{
    char why[160];
    double step_s = (double)p->step_ns * 1e-9, steps = 1 / p->rate / step_s;
    if (fabs(steps - round(steps)) < 1e-6 && steps > 0.5) return EVLA_OK;
    snprintf(why, sizeof why,
             "mujoco: step: %g ms does not divide the control period of %g ms",
             step_s * 1e3, 1e3 / p->rate);
    return h->fail(h, EVLA_E_RANGE, why);
}

/* Copies a text that was built with mjcf_add into the host's memory and frees it. */
static const char *keep(const evla_host *h, mjcf *x)
{
    char *copy = x->failed || !x->text ? NULL : h->hold(h, x->length + 1);
    if (copy) memcpy(copy, x->text, x->length + 1);
    mjcf_free(x);
    return copy;
}

static const char *names_text(const evla_host *h, const char *const *names, int32_t n)
{
    mjcf x = {0};
    for (int32_t i = 0; i < n; i++)
        mjcf_add(&x, "%s%s", i ? " " : "", names[i]);
    return keep(h, &x);
}

static const char *violations_text(const evla_host *h)
{
    mjcf x = {0};
    for (int32_t i = 0; i < EVENT_LIMIT; i++)
        if (MONITOR_VIOLATIONS >> i & 1)
            mjcf_add(&x, "%s%s", x.length ? " " : "", world_event_names[i]);
    return keep(h, &x);
}

static const char *object_names(const evla_host *h, const scene *s)
{
    mjcf x = {0};
    for (int32_t i = 0; i < s->n_bodies; i++)
        if (s->bodies[i].is_described)
            mjcf_add(&x, "%s%s", x.length ? " " : "", s->bodies[i].name);
    return keep(h, &x);
}

static const char *camera_info(const evla_host *h, const mujoco_params *p)
{
    const scene *s = scenes[p->scene];
    const camera_request *c = p->cameras.items;
    mjcf x = {0};
    mjcf_add(&x, "{");
    for (int64_t i = 0; i < p->cameras.n; i++)
        for (int32_t k = 0; k < s->n_cameras; k++)
            if (!strcmp(c[i].name, s->cameras[k]->name)) {
                mjcf_add(&x, "%s", i ? "," : "");
                camera_json(&x, s->cameras[k], c[i].size.dim[0], c[i].size.dim[1],
                            c[i].rate);
            }
    mjcf_add(&x, "}");
    return keep(h, &x);
}

/* robomimic wants env_name, type and env_kwargs; type 1 is the one whose depth it leaves in
 * metres. */
static const char *env_args(const evla_host *h, const mujoco_params *p)
{
    mjcf x = {0};
    mjcf_add(&x,
             "{\"env_name\":\"evla_mujoco_%s\",\"type\":1,\"env_kwargs\":{\"scene\":\"%s\","
             "\"control_freq\":%g,\"step_s\":%g,",
             scenes[p->scene]->name, scenes[p->scene]->name, p->rate,
             (double)p->step_ns * 1e-9);
    mjcf_add(&x,
             "\"action\":\"7 joint position deltas, gripper\",\"action_scale_rad\":%g,"
             "\"gripper\":\"-1 open, +1 closed\",\"gripper_width_m\":%g,"
             "\"quaternions\":\"wxyz\",\"frames\":\"world, z up, metres\"}}",
             WORLD_SCALE / p->rate, ARM_WIDTH_MAX);
    return keep(h, &x);
}

static const char *action_doc(const evla_host *h, const mujoco_params *p)
{
    mjcf x = {0};
    mjcf_add(&x,
             "0 to 6: change of the commanded joint angle per tick, 1 is %g rad (%g "
             "rad/s), less "
             "while the arm still speeds up; "
             "7: gripper, -1 open (%g m) to +1 closed, at most %g N per finger",
             WORLD_SCALE / p->rate, WORLD_SCALE, ARM_WIDTH_MAX, ARM_GRIP_FORCE);
    return keep(h, &x);
}

static const char *model_text(const evla_host *h, const scene *s)
{
    mjcf x = {0};
    s->model(&x);
    return keep(h, &x);
}

static int32_t body_describe(const evla_host *h, const void *params, evla_body_info *out)
{
    const mujoco_params *p = params;
    const scene *s = scenes[p->scene];
    int32_t goals[MOST_GOALS], n_goals, n_sensor = 0;
    channel_list *list = h->hold(h, sizeof *list);
    evla_attr *attrs = h->hold(h, 5 * sizeof *attrs);
    int32_t st = check(h, p);
    if (st >= 0) st = find_goals(h, p, goals, &n_goals);
    if (st >= 0) st = sensor_size(h, s, &p->sensor, p->rate, &n_sensor);
    if (st < 0) return st;
    if (!list || !attrs) return EVLA_E_NOMEM;
    st = channel_make(h, s, p->rate, p->cameras.items, p->cameras.n, list);
    if (st < 0) return st;
    const evla_attr text[5] = {
        {.name = "env_args", .type = EVLA_ATTR_TEXT, .text = env_args(h, p)},
        {.name = "model_file", .type = EVLA_ATTR_TEXT, .text = model_text(h, s)},
        {.name = "camera_info", .type = EVLA_ATTR_TEXT, .text = camera_info(h, p)},
        {.name = "label_names",
         .type = EVLA_ATTR_TEXT,
         .text = names_text(h, s->labels, s->n_labels)},
        {.name = "object_names", .type = EVLA_ATTR_TEXT, .text = object_names(h, s)},
    };
    memcpy(attrs, text, sizeof text);
    for (int i = 0; i < 5; i++)
        if (!attrs[i].text) return h->fail(h, EVLA_E_NOMEM, "mujoco: describing the scene");
    *out = (evla_body_info){
        .size = sizeof *out,
        .n_channels = list->n,
        .n_action = ARM_ACTIONS,
        .n_state = world_state_size(s) + n_sensor,
        .max_ticks = (int64_t)(s->seconds * p->rate),
        .rate_hz = p->rate,
        .channels = list->channel,
        .action_doc = action_doc(h, p),
        .events = names_text(h, world_event_names, EVENT_LIMIT),
        .goals = names_text(h, s->goals, s->n_goals),
        .violations = violations_text(h),
        .attrs = attrs,
        .n_attrs = 5,
    };
    return out->action_doc && out->events && out->goals && out->violations ? EVLA_OK
                                                                           : EVLA_E_NOMEM;
}

/* ---- a body at work ---- */

static void body_close(const evla_host *h, void *self)
{
    (void)h;
    if (self) world_close(((mujoco_body *)self)->world);
}

static int32_t body_open(const evla_host *h, const void *params, void **self)
{
    const mujoco_params *p = params;
    const camera_request *cameras = p->cameras.items;
    char why[WORLD_WHY];
    mujoco_body *b = h->hold(h, sizeof *b);
    if (!b) return EVLA_E_NOMEM;
    int32_t st = check(h, p);
    if (st >= 0) st = find_goals(h, p, b->goals, &b->n_goals);
    if (st >= 0)
        st =
            channel_make(h, scenes[p->scene], p->rate, cameras, p->cameras.n, &b->channels);
    if (st >= 0) st = sensor_open(h, scenes[p->scene], &p->sensor, p->rate, &b->sensor);
    b->disturb = p->disturb;
    if (st < 0) return st;
    b->world = world_open(scenes[p->scene], p->rate, (double)p->step_ns * 1e-9, why);
    if (!b->world) return h->fail(h, EVLA_E_STATE, why);
    for (int64_t i = 0; i < p->cameras.n && st >= 0; i++)
        st = channel_eye_make(h, b->world, &cameras[i], &b->eyes[i]);
    if (st < 0) {
        body_close(h, b);
        return st;
    }
    *self = b;
    return EVLA_OK;
}

static void tell_goal(mujoco_body *b, evla_goal *goal)
{
    const world *w = b->world;
    w->scene->instruct(w->goal, w->phrasing, b->instruction, sizeof b->instruction);
    b->now++;
    if (!goal) return;
    *goal = (evla_goal){
        .instruction = b->instruction, .name = w->scene->goals[w->goal], .index = w->goal};
}

static int32_t body_reset(const evla_host *h, void *self, uint64_t seed, evla_goal *goal)
{
    mujoco_body *b = self;
    (void)h;
    world_reset(b->world, seed, b->goals, b->n_goals);
    sensor_reset(&b->sensor, b->world);
    tell_goal(b, goal);
    return EVLA_OK;
}

static int32_t body_observe(const evla_host *h, void *self, int32_t channel, void *out)
{
    mujoco_body *b = self;
    return channel_sample(h, &b->channels, channel, b->world, &b->sensor, b->eyes, b->now,
                          out);
}

/* What nobody mends any more, the teacher neither: an episode that goes on would only teach
 * how to stand beside it. */
static const uint64_t hopeless =
    UINT64_C(1) << EVENT_OBJECT_LOST | UINT64_C(1) << EVENT_KNOCKED_OVER;

static int32_t body_act(const evla_host *h, void *self, const float *action, evla_tick *out)
{
    mujoco_body *b = self;
    world *w = b->world;
    for (int i = 0; i < ARM_ACTIONS; i++)
        if (!isfinite(action[i]))
            return h->fail(h, EVLA_E_RANGE, "mujoco: the action is not finite");
    disturb_shift(&b->disturb, w);
    int32_t end = world_act(w, action);
    if (!disturb_stalls(&b->disturb, w)) sensor_tick(&b->sensor, w);
    b->now++;
    *out = (evla_tick){
        .events = w->events,
        .time = (double)w->tick * w->period,
        .reward = w->is_met,
        .success = end > 0,
        .done = end != 0 || (w->events & hopeless),
    };
    return EVLA_OK;
}

static int32_t body_save(const evla_host *h, void *self, double *state)
{
    mujoco_body *b = self;
    (void)h;
    world_save(b->world, state);
    sensor_save(&b->sensor, state + world_state_size(b->world->scene));
    return EVLA_OK;
}

static int32_t body_restore(const evla_host *h, void *self, const double *state,
                            evla_goal *goal)
{
    mujoco_body *b = self;
    const double *sensed = state + world_state_size(b->world->scene);
    if (sensor_restore(&b->sensor, sensed) < 0 || world_restore(b->world, state) < 0)
        return h->fail(h, EVLA_E_RANGE, "mujoco: this is no saved state of this scene");
    tell_goal(b, goal);
    return EVLA_OK;
}

static int32_t body_expert(const evla_host *h, void *self, float *action)
{
    const world *w = ((mujoco_body *)self)->world;
    (void)h;
    w->scene->expert(w, action);
    return EVLA_OK;
}

static const evla_body body = {
    .size = sizeof body,
    .describe = body_describe,
    .open = body_open,
    .close = body_close,
    .reset = body_reset,
    .observe = body_observe,
    .act = body_act,
    .save = body_save,
    .restore = body_restore,
    .expert = body_expert,
};

static const evla_item items[] = {
    {.kind = EVLA_BODY,
     .name = "mujoco",
     .table = &body,
     .doc =
         "a 7-joint arm with a gripper in a simulated scene, with a teacher for each goal",
     .params = params_table,
     .n_params = sizeof params_table / sizeof *params_table,
     .params_size = sizeof(mujoco_params)},
};

static const evla_plugin self_table = {
    .magic = EVLA_MAGIC,
    .size = sizeof self_table,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .id = "evla.mujoco",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self_table;
}
