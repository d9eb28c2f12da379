/*
 * t_mujoco_body.c -- plugins/mujoco as the core sees it: parameters, description, channels,
 * an episode through the table of evla.body.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "ctx.h"
#include "host.h"
#include "param.h"
#include "plugin.h"
#include "tap.h"
#include "tensor.h"

static ctx cx;
static host hs;
static const evla_item *item;
static const evla_body *body;

/* Parameters from JSON text; NULL when they are refused. */
static const void *params_of(const char *json)
{
    value v;
    const void *out = NULL;
    const param_site site = {.where = "test", .what = "body.mujoco"};
    ctx_clear(&cx);
    if (value_parse(&cx.mem, json, strlen(json), &v, NULL) < 0) return NULL;
    return param_fill_item(&cx, &cx.mem, &site, item, &v, &out) < 0 ? NULL : out;
}

static bool is_refused(const char *json, const char *word)
{
    evla_body_info info;
    const void *p = params_of(json);
    int32_t st = p ? body->describe(&hs.table, p, &info) : -1;
    bool as_wanted = st < 0 && strstr(cx.why, word);
    note("%s", cx.why);
    ctx_clear(&cx);
    return as_wanted;
}

static int64_t bytes_of(const char *type)
{
    evla_type t;
    if (hs.table.type_parse(&hs.table, type, &t) < 0) return -1;
    int64_t n = 1;
    for (int32_t i = 0; i < t.rank; i++)
        n *= t.shape[i];
    return hs.table.dtype_bytes(&hs.table, t.dtype, n);
}

static int32_t channel_of(const evla_body_info *info, const char *name)
{
    for (int32_t i = 0; i < info->n_channels; i++)
        if (!strcmp(info->channels[i].name, name)) return i;
    return -1;
}

static const char *attr_of(const evla_body_info *info, const char *name)
{
    for (int32_t i = 0; i < info->n_attrs; i++)
        if (!strcmp(info->attrs[i].name, name)) return info->attrs[i].text;
    return "";
}

static void test_refusals(void)
{
    ok(is_refused("{\"scene\":\"tea\"}", "coffee"), "an unknown scene is refused");
    ok(is_refused("{\"step\":\"3ms\"}", "does not divide"), "a step of 3 ms is refused");
    ok(is_refused("{\"goals\":[\"make_tea\"]}", "make_tea"), "an unknown goal is refused");
    ok(is_refused("{\"cameras\":[{\"name\":\"back\"}]}", "back"),
       "an unknown camera is refused");
    ok(is_refused("{\"cameras\":[{\"name\":\"front\"},{\"name\":\"front\"}]}", "second"),
       "a camera asked for twice is refused");
    ok(is_refused("{\"cameras\":[{\"name\":\"front\",\"size\":[96]}]}", "width"),
       "a size without a height is refused");
    ok(is_refused("{\"cameras\":[{\"name\":\"front\",\"rate\":200}]}", "above"),
       "a camera faster than control is refused");
}

/* One episode with two cameras, watched through the channels. */
static void test_episode(void)
{
    evla_body_info info;
    evla_goal goal, again;
    evla_tick tick = {0};
    void *self = NULL;
    float action[8], pose[64];
    const void *p = params_of(
        "{\"goals\":[\"serve_red\"],\"cameras\":[{\"name\":\"front\",\"size\":[64,48],"
        "\"depth\":true,\"labels\":true},{\"name\":\"wrist\"}]}");
    int32_t st = p ? body->describe(&hs.table, p, &info) : -1;
    if (!ok(st == 0, "two cameras are described: %s", cx.why)) return;
    int64_t most = 0, n_bad = 0;
    for (int32_t i = 0; i < info.n_channels; i++) {
        int64_t n = bytes_of(info.channels[i].type);
        n_bad += n <= 0;
        most = n > most ? n : most;
    }
    ok(n_bad == 0 && info.n_channels == 13 + 4, "all %d channel types can be read",
       info.n_channels);
    ok(strstr(attr_of(&info, "model_file"), "</mujoco>") &&
           strstr(attr_of(&info, "env_args"), "\"env_kwargs\"") &&
           strstr(attr_of(&info, "camera_info"), "\"wrist\":{\"width\":96") &&
           strstr(attr_of(&info, "label_names"), "mug_red"),
       "model, env_args, cameras and label names are told");
    st = body->open(&hs.table, p, &self);
    if (!ok(st == 0, "the scene opens: %s", cx.why)) return;
    unsigned char *sample = malloc((size_t)most + 64);
    double *state = malloc((size_t)info.n_state * sizeof *state);
    if (!sample || !state) exit(1);
    body->reset(&hs.table, self, 12, &goal);
    ok(strstr(goal.instruction, "red") && !strcmp(goal.name, "serve_red"), "it says: %s",
       goal.instruction);
    int32_t depth = channel_of(&info, "cameras/front/depth"), n_written = 0;
    int32_t labels = channel_of(&info, "cameras/front/labels");
    for (int32_t i = 0; i < info.n_channels; i++) {
        int64_t n = bytes_of(info.channels[i].type);
        memset(sample, 0xa5, (size_t)most + 64);
        n_bad += body->observe(&hs.table, self, i, sample) != 0;
        for (int k = 0; k < 64; k++)
            n_bad += sample[n + k] != 0xa5;
        n_written += memcmp(sample, sample + most, 16) != 0;
    }
    ok(n_bad == 0 && n_written == info.n_channels,
       "each channel writes its bytes and no more");
    body->observe(&hs.table, self, depth, sample);
    float middle;
    memcpy(&middle, sample + (24 * 64 + 32) * sizeof(float), sizeof middle);
    ok(middle > 0.4 && middle < 2.5, "depth in the middle of the picture is %.2f m",
       (double)middle);
    body->observe(&hs.table, self, labels, sample);
    int32_t seen[16] = {0}, n_seen = 0;
    for (int32_t i = 0; i < 64 * 48; i++)
        seen[sample[i] & 15]++;
    for (int32_t i = 0; i < 16; i++)
        n_seen += seen[i] > 0;
    ok(n_seen >= 8, "%d semantic classes are in the picture", n_seen);
    body->observe(&hs.table, self, channel_of(&info, "obs/object_pose"), pose);
    ok(fabsf(pose[2]) < 0.002f && fabsf(pose[0] - 0.46f) < 0.2f,
       "the red mug stands on the table");

    uint64_t events = 0;
    for (int64_t t = 0; t < info.max_ticks && !tick.done; t++) {
        if (t == 200) body->save(&hs.table, self, state);
        body->expert(&hs.table, self, action);
        st = body->act(&hs.table, self, action, &tick);
        events |= tick.events;
    }
    double time = tick.time;
    ok(st == 0 && tick.success && tick.done && !events, "the teacher succeeds after %.2f s",
       time);
    ok(body->restore(&hs.table, self, state, &again) == 0 &&
           !strcmp(again.instruction, goal.instruction),
       "a restored state still knows its instruction");
    for (tick.done = 0; !tick.done;) {
        body->expert(&hs.table, self, action);
        body->act(&hs.table, self, action, &tick);
    }
    ok(tick.time == time && tick.success,
       "and from there the episode ends at the same time");
    action[3] = NAN;
    ok(body->act(&hs.table, self, action, &tick) == EVLA_E_RANGE,
       "an action of NaN is refused");
    ctx_clear(&cx);
    state[0] = INFINITY;
    ok(body->restore(&hs.table, self, state, NULL) == EVLA_E_RANGE,
       "a broken state is refused");
    ctx_clear(&cx);
    ok(body->observe(&hs.table, self, 99, sample) == EVLA_E_ARG, "channel 99 is refused");
    ctx_clear(&cx);
    body->close(&hs.table, self);
    free(sample);
    free(state);
}

static void test_reach(void)
{
    evla_body_info info;
    evla_goal goal;
    evla_tick tick = {0};
    void *self = NULL;
    float action[8];
    const void *p = params_of("{\"scene\":\"reach\",\"rate\":50}");
    int32_t st = p ? body->describe(&hs.table, p, &info) : -1;
    ok(st == 0 && !strcmp(info.goals, "reach_red reach_green reach_blue"),
       "reach: goals %s", st == 0 ? info.goals : cx.why);
    if (st < 0 || body->open(&hs.table, p, &self) < 0) return;
    body->reset(&hs.table, self, 1, &goal);
    for (int64_t t = 0; t < info.max_ticks && !tick.done; t++) {
        body->expert(&hs.table, self, action);
        body->act(&hs.table, self, action, &tick);
    }
    ok(tick.success == 1, "reach: \"%s\" at 50 Hz after %.2f s", goal.instruction,
       tick.time);
    body->close(&hs.table, self);
}

int main(void)
{
    static registry reg;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    host_init(&hs, &cx, NULL);
    const evla_plugin *told = evla_plugin_entry();
    ok(plugin_add(&cx, &reg, "mujoco.so", told) == 0 && plugin_seal(&cx, &reg) == 0,
       "the registry takes the plugin: %s", cx.why);
    item = told->items;
    body = item->table;
    ok(param_check_table(&cx, "mujoco", item->params, (int32_t)item->n_params,
                         item->params_size) == 0,
       "the parameter table is sane: %s", cx.why);
    ctx_clear(&cx);
    test_refusals();
    test_episode();
    test_reach();
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
