/*
 * loop_kit.h -- a body and a guard that only count, to see what a loop does with them.
 *
 * The body shows the tick's number / 1024 (exact in f32) as "obs/tick" at every tick and as
 * "slow/tick" at 30 Hz; it remembers which action it was told in each tick, and does what
 * `deed` says in its midst. The guard remembers what it was shown.
 */
#ifndef EVLA_TESTS_LOOP_KIT_H
#define EVLA_TESTS_LOOP_KIT_H
#include "graph_kit.h"
#include "run/loop.h"
#include <math.h>

enum { KIT_TICKS = 400 };

typedef struct kit_deeds {
    int64_t max_ticks; /* of an episode */
    double rate_hz;
    void (*deed)(int64_t tick, int in_act); /* on the tick thread; or NULL */
    int64_t veto_at;                        /* -1: never */
    /* what was seen */
    float acted[KIT_TICKS];
    float proposed[KIT_TICKS];
    double slow_age[KIT_TICKS];
    int came[KIT_TICKS]; /* the guard was given a sample */
    double time[KIT_TICKS];
    char told[96]; /* the guard's instruction */
    int64_t n_resets, n_observed;
} kit_deeds;

static kit_deeds deeds;

typedef struct clockwork {
    double tick;
} clockwork;

static const evla_channel kit_channels[] = {
    {"obs/tick", "f32[1]", "", "number of the tick / 1024", 0},
    {"slow/tick", "f32[1]", "", "the same at 30 Hz", 30},
    {"unused/tick", "f32[1]", "", "nobody reads it", 0},
    {"obs/bytes", "u8[4]", "", "of another number format", 0},
};

static int32_t kit_describe(const evla_host *h, const void *p, evla_body_info *out)
{
    (void)h, (void)p;
    *out = (evla_body_info){.size = sizeof *out,
                            .n_channels = 4,
                            .n_action = 1,
                            .n_state = 1,
                            .max_ticks = deeds.max_ticks ? deeds.max_ticks : KIT_TICKS,
                            .rate_hz = deeds.rate_hz ? deeds.rate_hz : 100,
                            .channels = kit_channels,
                            .action_doc = "",
                            .events = "odd even",
                            .goals = "g",
                            .violations = "odd"};
    return 0;
}

static int32_t kit_body_open(const evla_host *h, const void *p, void **self)
{
    (void)p;
    *self = h->hold(h, sizeof(clockwork));
    return *self ? 0 : EVLA_E_NOMEM;
}

static void kit_body_close(const evla_host *h, void *self) { (void)h, (void)self; }

static int32_t kit_reset(const evla_host *h, void *self, uint64_t seed, evla_goal *goal)
{
    (void)h, (void)seed;
    ((clockwork *)self)->tick = 0;
    deeds.n_resets++;
    *goal = (evla_goal){.instruction = "wind it up", .name = "g"};
    return 0;
}

static int32_t kit_observe(const evla_host *h, void *self, int32_t channel, void *out)
{
    const clockwork *c = self;
    (void)h;
    if (channel == 2) deeds.n_observed++;
    if (channel == 0 && deeds.deed) deeds.deed((int64_t)c->tick, 0);
    if (channel == 3)
        memset(out, 0, 4);
    else
        *(float *)out = (float)(c->tick / 1024);
    return 0;
}

static int32_t kit_act(const evla_host *h, void *self, const float *action, evla_tick *out)
{
    clockwork *c = self;
    (void)h;
    if (c->tick < KIT_TICKS) deeds.acted[(int)c->tick] = action[0];
    if (deeds.deed) deeds.deed((int64_t)c->tick, 1);
    c->tick++;
    *out = (evla_tick){.time = c->tick / 100, .events = c->tick == 8 ? 1 : 0};
    return 0;
}

static int32_t kit_save(const evla_host *h, void *self, double *state)
{
    (void)h;
    *state = ((clockwork *)self)->tick;
    return 0;
}

static int32_t kit_restore(const evla_host *h, void *self, const double *state,
                           evla_goal *goal)
{
    (void)h, (void)goal;
    ((clockwork *)self)->tick = *state;
    return 0;
}

static int32_t kit_expert(const evla_host *h, void *self, float *action)
{
    (void)h, (void)self;
    *action = -0.5f;
    return 0;
}

/* ---- the guard ---- */

static const char *const kit_wants[] = {"slow/tick", "obs/tick"};

static int32_t kit_scene_describe(const evla_host *h, const void *p,
                                  const evla_body_info *body, evla_scene_info *out)
{
    (void)h, (void)p, (void)body;
    *out = (evla_scene_info){.size = sizeof *out,
                             .n_wants = 2,
                             .wants = kit_wants,
                             .classes = "thing",
                             .relations = "near",
                             .rules = "spare whim",
                             .facts = "rain shine",
                             .event_bytes = 8,
                             .max_nodes = 1};
    return 0;
}

static int32_t kit_scene_open(const evla_host *h, const void *p, const evla_body_info *body,
                              void **self)
{
    (void)p, (void)body;
    *self = h->hold(h, 4096);
    return *self ? 0 : EVLA_E_NOMEM;
}

static int32_t kit_scene_reset(const evla_host *h, void *self, const char *instruction)
{
    (void)h;
    *(int64_t *)self = 0;
    snprintf(deeds.told, sizeof deeds.told, "%s", instruction);
    return 0;
}

static int32_t kit_scene_observe(const evla_host *h, void *self, const void *const *samples,
                                 double time)
{
    int64_t *tick = self;
    (void)h;
    if (*tick < KIT_TICKS) {
        deeds.came[*tick] = (samples[0] != NULL) | (samples[1] != NULL) << 1;
        deeds.time[*tick] = time;
    }
    return 0;
}

static int32_t kit_scene_judge(const evla_host *h, void *self, const evla_proposal *p,
                               float *action, evla_verdict *out)
{
    int64_t tick = (*(int64_t *)self)++;
    (void)h;
    if (tick < KIT_TICKS) {
        deeds.proposed[tick] = p->action[0];
        deeds.slow_age[tick] = p->slow_age;
    }
    int is_veto = deeds.veto_at >= 0 && tick >= deeds.veto_at && tick < deeds.veto_at + 3;
    *out = (evla_verdict){.size = sizeof *out,
                          .kind = is_veto ? EVLA_VETO : EVLA_ALLOW,
                          .rule = is_veto ? 1 : -1,
                          .facts = 2};
    action[0] = is_veto ? 0.25f : isfinite(p->action[0]) ? p->action[0] : 0.125f;
    return 0;
}

static int32_t kit_explain(const evla_host *h, void *self, const evla_verdict *v,
                           char *text, uint64_t bytes)
{
    (void)h, (void)self, (void)v;
    snprintf(text, bytes, "no reason");
    return 0;
}

static int32_t kit_view(const evla_host *h, void *self, evla_scene_view *out)
{
    (void)h, (void)self;
    *out = (evla_scene_view){.size = sizeof *out};
    return 0;
}

static int32_t kit_event(const evla_host *h, void *self, void *out)
{
    (void)h, (void)self;
    memset(out, 0, 8);
    return 0;
}

static int32_t kit_replay(const evla_host *h, void *self, const void *event, float *action,
                          evla_verdict *out)
{
    (void)h, (void)self, (void)event, (void)action, (void)out;
    return 0;
}

static const evla_body kit_body = {.size = sizeof kit_body,
                                   .describe = kit_describe,
                                   .open = kit_body_open,
                                   .close = kit_body_close,
                                   .reset = kit_reset,
                                   .observe = kit_observe,
                                   .act = kit_act,
                                   .save = kit_save,
                                   .restore = kit_restore,
                                   .expert = kit_expert};
static const evla_scene kit_scene = {.size = sizeof kit_scene,
                                     .describe = kit_scene_describe,
                                     .open = kit_scene_open,
                                     .close = kit_body_close,
                                     .reset = kit_scene_reset,
                                     .observe = kit_scene_observe,
                                     .judge = kit_scene_judge,
                                     .explain = kit_explain,
                                     .view = kit_view,
                                     .event = kit_event,
                                     .replay = kit_replay};
static const evla_item kit_body_item = {EVLA_BODY, "clockwork", &kit_body, "counts",
                                        NULL,      0,           0};
static const evla_item kit_scene_item = {EVLA_SCENE, "whim", &kit_scene, "counts",
                                         NULL,       0,      0};

/* ---- a model of two rates ---- */

/* slow: seen = relu(obs/tick); fast: action = relu(seen), so that the body is told which
 * tick's observation moved it; both: action = obs/tick + seen. */
static inline void kit_two_rates(kit *k)
{
    kit_graph(k); /* graph "g" is not used: it makes the action of what is seen now */
    kit_output(k, "action",
               kit_node(k, "t_relu", NULL, kit_input(k, "obs/tick", "f32[B,1]"), -1, -1));
    graph_new(&k->cx, k->m, "slow", "m.lua:1", &k->g);
    kit_output(k, "seen",
               kit_node(k, "t_relu", NULL, kit_input(k, "obs/tick", "f32[B,1]"), -1, -1));
    graph_new(&k->cx, k->m, "fast", "m.lua:1", &k->g);
    kit_output(k, "action",
               kit_node(k, "t_relu", NULL, kit_input(k, "seen", "f32[B,1]"), -1, -1));
}

static inline loop_spec kit_spec(kit *k, evla_body_info *info, arena *hold)
{
    evla_choice body = {&kit_body_item, NULL};
    loop_describe(&k->cx, hold, &body, info);
    return (loop_spec){
        .body = body, .info = info, .driver = LOOP_MODEL, .segment_ns = 100000000};
}

#endif
