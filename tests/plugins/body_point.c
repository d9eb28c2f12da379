/*
 * body_point.c -- the smallest body: a point on a table that is pushed to a mark. For
 * tests.
 *
 * Everything a real body has, in a page: goals with phrasings, an expert that sees only the
 * state, events, a slow camera, exact save and restore. Parameters make it fail on purpose,
 * each in one way that the engine has to notice.
 */
#include "evla/abi.h"
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIXELS = 8, N_STATE = 10, HOLD_TICKS = 10 };
enum { FAIL_TIMEOUT, FAIL_BOUNDS, FAIL_COLLISION, FAIL_NAN };
enum { EVENT_COLLISION = 1, EVENT_BOUNDS = 2 };

/* operator new(size_t, std::nothrow_t const &), where the process has one */
extern void *cxx_new(size_t size, const void *tag) __asm__("_ZnwmRKSt9nothrow_t")
    __attribute__((weak));
extern void cxx_delete(void *p) __asm__("_ZdlPv") __attribute__((weak));

enum { SPILL_ONCE, SPILL_EVERY_WAY };

/* Allocates: once, or in seven ways. */
static void spill(int32_t how)
{
    void *volatile p = malloc(100);
    free(p);
    if (how == SPILL_ONCE) return;
    free(p = memalign(64, 100));
    free(p = valloc(100));
    free(p = aligned_alloc(64, 128));
    free(p = strdup("spilled"));
    free(p = reallocarray(NULL, 10, 10));
    if (cxx_new) cxx_delete(p = cxx_new(100, ""));
}

typedef struct point_params {
    double rate;
    int64_t ticks;
    int64_t fail_every;
    int64_t slow_ns;
    int64_t break_at;
    int64_t spill_at;
    int32_t spill;
    int32_t fail;
    int32_t leak;
} point_params;

/* What save and restore copy. */
typedef struct point_state {
    double x, y, vx, vy; /* m, m/s */
    double goal_x, goal_y;
    double goal; /* index into goals */
    double tick;
    double held;  /* ticks inside the mark */
    double fails; /* 1: this episode was drawn to fail */
} point_state;

typedef struct point {
    point_params p;
    point_state s;
    int64_t n_acts; /* since open: what `leak` leaks into the motion */
} point;

static const char *const phrasings[2][3] = {
    {"go to the left mark", "move the point left", "left, please"},
    {"go to the right mark", "move the point right", "right, please"},
};

static const evla_channel channels[] = {
    {"obs/pos", "f32[2]", "m", "position of the point", 0},
    {"obs/vel", "f32[2]", "m/s", "velocity of the point", 0},
    {"obs/mark", "f32[2]", "m", "position of the mark", 0},
    {"cameras/top/rgb", "u8[8,8,3]", "", "the table from above, top row first", 30},
};

static const evla_attr attrs[] = {
    {.name = "env_args",
     .text = "{\"env_name\":\"point\",\"type\":2,\"env_kwargs\":{}}",
     .type = EVLA_ATTR_TEXT},
};

/* splitmix64: draw n of a seed, in [0, 1). Steele, Lea and Flood 2014. */
static double draw(uint64_t seed, uint64_t n)
{
    uint64_t z = seed * 0x2545f4914f6cdd1d + (n + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int32_t point_describe(const evla_host *h, const void *params, evla_body_info *out)
{
    const point_params *p = params;
    (void)h;
    *out = (evla_body_info){
        .size = sizeof *out,
        .n_channels = sizeof channels / sizeof *channels,
        .n_action = 2,
        .n_state = N_STATE,
        .max_ticks = p->ticks,
        .rate_hz = p->rate,
        .channels = channels,
        .action_doc = "push along x and y, 1 is 4 m/s^2",
        .events = "collision out_of_bounds",
        .goals = "left right",
        .attrs = attrs,
        .n_attrs = sizeof attrs / sizeof *attrs,
    };
    return EVLA_OK;
}

static int32_t point_open(const evla_host *h, const void *params, void **self)
{
    point *b = h->hold(h, sizeof *b);
    if (!b) return EVLA_E_NOMEM;
    b->p = *(const point_params *)params;
    *self = b;
    return EVLA_OK;
}

static void point_close(const evla_host *h, void *self)
{
    (void)h;
    (void)self;
}

static void tell_goal(const point *b, evla_goal *goal)
{
    int32_t i = b->s.goal != 0;
    if (!goal) return;
    *goal = (evla_goal){.instruction = phrasings[i][(int)(fabs(b->s.goal_y) * 1e6) % 3],
                        .name = i ? "right" : "left",
                        .index = i};
}

static int32_t point_reset(const evla_host *h, void *self, uint64_t seed, evla_goal *goal)
{
    point *b = self;
    (void)h;
    int64_t every = b->p.fail_every;
    b->s = (point_state){.x = draw(seed, 0) * 0.4 - 0.2,
                         .y = draw(seed, 1) * 0.4 - 0.2,
                         .goal = draw(seed, 2) < 0.5 ? 0 : 1,
                         .goal_y = draw(seed, 3) * 0.8 - 0.4,
                         .fails = every && seed % (uint64_t)every == 0};
    b->s.goal_x = b->s.goal != 0 ? 0.6 : -0.6;
    tell_goal(b, goal);
    return EVLA_OK;
}

static void draw_table(const point_state *s, uint8_t *rgb)
{
    memset(rgb, 40, PIXELS * PIXELS * 3);
    int gx = (int)((s->goal_x + 1) * PIXELS / 2), gy = (int)((1 - s->goal_y) * PIXELS / 2);
    int x = (int)((s->x + 1) * PIXELS / 2), y = (int)((1 - s->y) * PIXELS / 2);
    rgb[(gy * PIXELS + gx) * 3 + 1] = 255;
    if (x >= 0 && x < PIXELS && y >= 0 && y < PIXELS) rgb[(y * PIXELS + x) * 3] = 255;
}

static int32_t point_observe(const evla_host *h, void *self, int32_t channel, void *out)
{
    const point *b = self;
    const point_state *s = &b->s;
    float *to = out;
    switch (channel) {
    case 0:
        to[0] = (float)s->x, to[1] = (float)s->y;
        if (s->fails != 0 && b->p.fail == FAIL_NAN && s->tick > 5) to[1] = NAN;
        return EVLA_OK;
    case 1:
        to[0] = (float)s->vx, to[1] = (float)s->vy;
        return EVLA_OK;
    case 2:
        to[0] = (float)s->goal_x, to[1] = (float)s->goal_y;
        return EVLA_OK;
    case 3:
        draw_table(s, out);
        return EVLA_OK;
    }
    return h->fail(h, EVLA_E_ARG, "point: there is no such channel");
}

static int32_t point_act(const evla_host *h, void *self, const float *action,
                         evla_tick *out)
{
    point *b = self;
    point_state *s = &b->s;
    double dt = 1 / b->p.rate, push[2];
    for (int i = 0; i < 2; i++) {
        if (!isfinite(action[i]))
            return h->fail(h, EVLA_E_RANGE, "point: the action is not finite");
        push[i] = fmin(1, fmax(-1, (double)action[i])) * 4;
    }
    if (b->p.break_at && (int64_t)s->tick + 1 == b->p.break_at)
        return h->fail(h, EVLA_E_STATE, "point: broken on purpose");
    if (b->p.slow_ns) {
        struct timespec nap = {b->p.slow_ns / 1000000000, b->p.slow_ns % 1000000000};
        nanosleep(&nap, NULL);
    }
    if (b->p.spill_at && (int64_t)s->tick + 1 == b->p.spill_at) spill(b->p.spill);
    b->n_acts++;
    s->vx += push[0] * dt, s->vy += push[1] * dt;
    s->x += s->vx * dt, s->y += s->vy * dt;
    if (b->p.leak) s->x += 1e-12 * (double)b->n_acts;
    s->tick++;
    *out = (evla_tick){.time = s->tick * dt};
    if (fabs(s->x) > 1 || fabs(s->y) > 1) out->events |= EVENT_BOUNDS;
    if (s->fails != 0 && b->p.fail == FAIL_COLLISION && (int64_t)s->tick % 16 == 7)
        out->events |= EVENT_COLLISION;
    int inside = hypot(s->x - s->goal_x, s->y - s->goal_y) < 0.03;
    s->held = inside ? s->held + 1 : 0;
    out->success = s->held >= HOLD_TICKS;
    out->reward = out->success;
    out->done = out->success || out->events & EVENT_BOUNDS;
    return EVLA_OK;
}

static int32_t point_save(const evla_host *h, void *self, double *state)
{
    (void)h;
    memcpy(state, &((const point *)self)->s, sizeof(point_state));
    return EVLA_OK;
}

static int32_t point_restore(const evla_host *h, void *self, const double *state,
                             evla_goal *goal)
{
    point *b = self;
    (void)h;
    memcpy(&b->s, state, sizeof b->s);
    tell_goal(b, goal);
    return EVLA_OK;
}

static int32_t point_expert(const evla_host *h, void *self, float *action)
{
    const point *b = self;
    const point_state *s = &b->s;
    (void)h;
    double to_x = s->goal_x, to_y = s->goal_y;
    if (s->fails != 0 && b->p.fail == FAIL_TIMEOUT) to_x = 0, to_y = 0;
    if (s->fails != 0 && b->p.fail == FAIL_BOUNDS) to_x = s->goal_x * 4;
    double push[2] = {6 * (to_x - s->x) - 4 * s->vx, 6 * (to_y - s->y) - 4 * s->vy};
    for (int i = 0; i < 2; i++)
        action[i] = (float)fmin(1, fmax(-1, push[i]));
    return EVLA_OK;
}

// clang-format off
#define AT(field) .offset = offsetof(point_params, field)
static const evla_param params[] = {
    {.name = "rate", .doc = "control rate", .preset = "100", .min = 1, .max = 1e6, .type = EVLA_P_RATE, AT(rate)},
    {.name = "ticks", .doc = "an episode is cut here", .preset = "400", .min = 1, .max = 1e6, .type = EVLA_P_INT, AT(ticks)},
    {.name = "fail_every", .doc = "every n-th seed fails; 0: none", .preset = "0", .min = 0, .max = 1e9, .type = EVLA_P_INT, AT(fail_every)},
    {.name = "fail", .doc = "how it fails", .preset = "timeout", .choices = "timeout|bounds|collision|nan", .type = EVLA_P_ENUM, AT(fail)},
    {.name = "slow", .doc = "sleeps so long in every tick", .preset = "0s", .type = EVLA_P_DURATION, AT(slow_ns)},
    {.name = "break_at", .doc = "act fails at this tick; 0: never", .preset = "0", .min = 0, .max = 1e9, .type = EVLA_P_INT, AT(break_at)},
    {.name = "spill_at", .doc = "act allocates once at this tick; 0: never", .preset = "0", .min = 0, .max = 1e9, .type = EVLA_P_INT, AT(spill_at)},
    {.name = "spill", .doc = "how: once, or in each of seven ways", .preset = "once", .type = EVLA_P_ENUM, .choices = "once|every_way", AT(spill)},
    {.name = "leak", .doc = "hides state from save, so that replay differs", .preset = "false", .type = EVLA_P_BOOL, AT(leak)},
};
// clang-format on

static const evla_body point_body = {
    .size = sizeof point_body,
    .describe = point_describe,
    .open = point_open,
    .close = point_close,
    .reset = point_reset,
    .observe = point_observe,
    .act = point_act,
    .save = point_save,
    .restore = point_restore,
    .expert = point_expert,
};
static const evla_item items[] = {{EVLA_BODY, "point", &point_body,
                                   "a point pushed to a mark, for tests", params,
                                   sizeof params / sizeof *params, sizeof(point_params)}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .n_items = 1,
    .items = items,
    .id = "test.body_point",
    .version = "0.1.0",
    .license = "Apache-2.0",
};
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
