/*
 * loop.c -- the one loop that joins body, policy, guard and clock. See loop.h.
 */
#include "loop.h"
#include "../mem.h"
#include "../mix.h"
#include <math.h>
#include <string.h>

/* What is drawn for what: an episode's seed is changed by one of these. */
static const uint64_t OF_SEGMENTS = 0x7365676d656e7473, OF_LATENESS = 0x6c6174656e657373;

uint64_t loop_hash(uint64_t seed, uint64_t i)
{
    return mix(seed * MIX_STEP + (i + 1) * 0xd1342543de82ef95u);
}

double loop_unit(uint64_t bits) { return ((double)(bits >> 11) + 0.5) * 0x1p-53; }

uint64_t loop_episode_seed(uint64_t seed, int64_t i)
{
    return loop_hash(seed, (uint64_t)i) >> 1;
}

int64_t loop_time_ns(double rate_hz, int64_t tick)
{
    return (int64_t)llround((double)tick * 1e9 / rate_hz);
}

/* ---- what fits together ---- */

static int32_t blame(ctx *cx, const char *kind, const evla_choice *c, int32_t st)
{
    if (!cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
    if (st != EVLA_E_STOPPED) ctx_prefix(cx, "%s.%s", kind, c->item->name);
    return cx->code;
}

int32_t loop_describe(ctx *cx, arena *hold, const evla_choice *body, evla_body_info *out)
{
    const evla_body *table = body->item->table;
    host h;
    host_init(&h, cx, hold);
    *out = (evla_body_info){.size = sizeof *out};
    int32_t st = table->describe(&h.table, body->params, out);
    if (st < 0) return blame(cx, "body", body, st);
    if (out->n_action < 1 || out->n_state < 0 || out->max_ticks < 1 ||
        !(out->rate_hz > 0) || out->n_channels < 0 || out->n_channels > LOOP_MOST_CHANNELS)
        return ctx_fail(
            cx, EVLA_E_PLUGIN,
            "body.%s describes %d actions, %d states, %lld ticks, %g Hz and %d "
            "channels; want at least 1 action, 1 tick, a rate and at most %d channels",
            body->item->name, out->n_action, out->n_state, (long long)out->max_ticks,
            out->rate_hz, out->n_channels, LOOP_MOST_CHANNELS);
    return 0;
}

static int32_t describe_guard(host *h, const loop_spec *s, evla_scene_info *info)
{
    const evla_scene *table = s->guard.item->table;
    *info = (evla_scene_info){.size = sizeof *info};
    int32_t st = table->describe(&h->table, s->guard.params, s->info, info);
    if (st < 0) return blame(h->cx, "scene", &s->guard, st);
    if (info->n_wants < 0 || info->n_wants > LOOP_MOST_WANTS)
        return ctx_fail(h->cx, EVLA_E_PLUGIN, "scene.%s wants %d channels; want 0 to %d",
                        s->guard.item->name, info->n_wants, LOOP_MOST_WANTS);
    return 0;
}

int32_t loop_check(ctx *cx, const loop_spec *s)
{
    const evla_body *body = s->body.item->table;
    int asks = s->driver == LOOP_EXPERT || s->label || s->mix > 0;
    if (asks && !body->expert)
        return ctx_fail(cx, EVLA_E_ARG, "body.%s has no teacher%s", s->body.item->name,
                        s->driver == LOOP_EXPERT ? "; choose another policy"
                        : s->label               ? " that could label what it visits"
                                                 : " to mix in");
    if (!s->guard.item) return 0;
    uint64_t bytes;
    return loop_needs(cx, s, &bytes);
}

/* ---- opening ---- */

static int32_t place_samples(ctx *cx, loop *l)
{
    size_t n = (size_t)l->of.info->n_channels + 1, m = (size_t)l->of.info->n_action;
    l->samples = arena_push(&l->hold, n, sizeof *l->samples);
    l->captured_ns = arena_push(&l->hold, n, sizeof *l->captured_ns);
    l->n_samples = arena_push(&l->hold, n, sizeof *l->n_samples);
    l->label = arena_push(&l->hold, m, sizeof *l->label);
    l->proposed = arena_push(&l->hold, m, sizeof *l->proposed);
    l->action = arena_push(&l->hold, m, sizeof *l->action);
    if (!l->samples || !l->captured_ns || !l->n_samples || !l->label || !l->proposed ||
        !l->action)
        return ctx_fail(cx, EVLA_E_NOMEM, "a loop");
    for (int32_t i = 0; i < l->of.info->n_channels; i++) {
        evla_type t;
        if (!(l->wanted >> i & 1)) continue;
        if (type_parse(cx, l->of.info->channels[i].type, &(symbols){0}, &t) < 0)
            return cx->code;
        int64_t bytes = type_bytes(cx->reg, &t);
        l->samples[i] =
            bytes < 0 ? NULL : arena_push_aligned(&l->hold, (size_t)bytes + 1, 1, 64);
        if (!l->samples[i])
            return ctx_fail(cx, EVLA_E_NOMEM, "channel %s: %lld bytes",
                            l->of.info->channels[i].name, (long long)bytes);
    }
    return 0;
}

static int32_t open_guard(ctx *cx, loop *l)
{
    l->guard = l->of.guard.item->table;
    int32_t st = describe_guard(&l->h, &l->of, &l->guard_info);
    for (int32_t i = 0; st >= 0 && i < l->guard_info.n_wants; i++) {
        int32_t k = 0;
        while (k < l->of.info->n_channels &&
               strcmp(l->of.info->channels[k].name, l->guard_info.wants[i]) != 0)
            k++;
        if (k == l->of.info->n_channels)
            return ctx_fail(
                cx, EVLA_E_PLUGIN, "scene.%s: wants %s, which body.%s does not observe",
                l->of.guard.item->name, l->guard_info.wants[i], l->of.body.item->name);
        l->guard_channel[i] = k;
        l->wanted |= (uint64_t)1 << k;
    }
    if (st < 0) return st;
    st = l->guard->open(&l->h.table, l->of.guard.params, l->of.info, &l->guard_self);
    return st < 0 ? blame(cx, "scene", &l->of.guard, st) : 0;
}

/* All but body and pilot. */
static int32_t open_rest(ctx *cx, const loop_spec *s, loop **out)
{
    loop *l = mem_alloc(sizeof *l);
    if (!l) return ctx_fail(cx, EVLA_E_NOMEM, "a loop");
    *l = (loop){.of = *s,
                .body = s->body.item->table,
                .hold = arena_growing(16 << 10),
                .body_hold = arena_growing(64 << 10)};
    *out = l;
    host_init(&l->h, cx, &l->hold);
    int32_t st = s->guard.item ? open_guard(cx, l) : 0;
    if (s->driver == LOOP_MODEL && s->policy) l->wanted |= s->policy->channels;
    l->wanted |= s->all ? ~(uint64_t)0 : s->also;
    return st < 0 ? st : place_samples(cx, l);
}

uint64_t loop_held(const loop *l)
{
    return sizeof *l + l->hold.total + pilot_held(l->pilot);
}

int32_t loop_needs(ctx *cx, const loop_spec *s, uint64_t *bytes)
{
    loop *l = NULL;
    int32_t st = open_rest(cx, s, &l);
    if (st >= 0) *bytes = loop_held(l);
    loop_close(cx, l);
    return st;
}

int32_t loop_open(ctx *cx, const loop_spec *s, loop **out)
{
    loop *l = NULL;
    int32_t st = open_rest(cx, s, &l);
    if (st >= 0 && s->driver == LOOP_MODEL)
        st = pilot_open(cx, s->policy, s->beside, &l->pilot);
    if (st >= 0) {
        host_init(&l->h, cx, &l->body_hold);
        st = l->body->open(&l->h.table, s->body.params, &l->self);
        if (st < 0) blame(cx, "body", &s->body, st);
    }
    if (st < 0)
        loop_close(cx, l);
    else
        *out = l;
    return st;
}

void loop_close(ctx *cx, loop *l)
{
    if (!l) return;
    host_init(&l->h, cx, &l->body_hold);
    pilot_close(l->pilot);
    if (l->guard_self) l->guard->close(&l->h.table, l->guard_self);
    if (l->self) l->body->close(&l->h.table, l->self);
    arena_free(&l->hold);
    arena_free(&l->body_hold);
    mem_free(l);
}

/* ---- an episode ---- */

static int32_t body_failed(const loop *l, int32_t st)
{
    return blame(l->h.cx, "body", &l->of.body, st);
}

static pilot_view view_of(const loop *l)
{
    return (pilot_view){.samples = (const void *const *)l->samples,
                        .captured_ns = l->captured_ns,
                        .tick = l->tick,
                        .now_ns = l->now_ns};
}

static int32_t sense_all(loop *l, int64_t now_ns)
{
    for (int32_t i = 0; i < l->of.info->n_channels; i++) {
        const evla_channel *c = &l->of.info->channels[i];
        if (!(l->wanted >> i & 1)) continue;
        if (c->rate_hz > 0 && !policy_is_due(c->rate_hz, l->of.info->rate_hz, l->tick))
            continue;
        int32_t st = l->body->observe(&l->h.table, l->self, i, l->samples[i]);
        if (st < 0) return body_failed(l, st);
        l->captured_ns[i] = now_ns;
        l->n_samples[i]++;
        l->fresh |= (uint64_t)1 << i;
    }
    return 0;
}

int32_t loop_reset(ctx *cx, loop *l, uint64_t seed, const char *instruction, int64_t now_ns)
{
    size_t n = (size_t)l->of.info->n_channels;
    host_init(&l->h, cx, &l->body_hold);
    l->seed = seed;
    l->tick = 0;
    l->now_ns = now_ns;
    l->now = (evla_tick){0};
    l->goal = (evla_goal){.instruction = "", .name = ""};
    l->n_not_finite = 0;
    l->n_dry = 0;
    l->verdict = (evla_verdict){.size = sizeof l->verdict, .rule = -1, .node = {-1, -1}};
    int32_t st = l->body->reset(&l->h.table, l->self, seed, &l->goal);
    if (st < 0) return body_failed(l, st);
    l->instruction = instruction ? instruction : l->goal.instruction;
    if ((st = sense_all(l, now_ns)) < 0) return st;
    memset(l->n_samples, 0, n * sizeof *l->n_samples);
    if (l->guard) {
        st = l->guard->reset(&l->h.table, l->guard_self, l->instruction);
        if (st < 0) return blame(cx, "scene", &l->of.guard, st);
    }
    pilot_view first = view_of(l);
    return l->pilot ? pilot_reset(cx, l->pilot, l->instruction, &first) : 0;
}

int32_t loop_sense(loop *l, int64_t now_ns)
{
    l->now_ns = now_ns;
    l->fresh = 0;
    l->is_late =
        l->of.late > 0 && l->tick > 0 &&
        loop_unit(loop_hash(l->seed ^ OF_LATENESS, (uint64_t)l->tick)) < l->of.late;
    return l->is_late ? 0 : sense_all(l, now_ns);
}

/* ---- deciding ---- */

static float clip(float v) { return v < -1 ? -1 : v > 1 ? 1 : v; }

static int teacher_drives(const loop *l)
{
    if (l->of.driver == LOOP_EXPERT) return 1;
    if (!(l->of.mix > 0)) return 0;
    int64_t segment = loop_time_ns(l->of.info->rate_hz, l->tick) / l->of.segment_ns;
    return loop_unit(loop_hash(l->seed ^ OF_SEGMENTS, (uint64_t)segment)) < l->of.mix;
}

static int32_t ask_teacher(loop *l)
{
    int32_t st = l->body->expert(&l->h.table, l->self, l->label);
    if (st < 0) return body_failed(l, st);
    for (int32_t k = 0; k < l->of.info->n_action; k++) {
        if (l->teacher_drives) l->proposed[k] = l->label[k];
        l->label[k] = clip(l->label[k]);
    }
    return 0;
}

static void add_noise(loop *l)
{
    int32_t n = l->of.info->n_action;
    int is_random = l->of.driver == LOOP_RANDOM && !l->teacher_drives;
    for (int32_t k = 0; k < n; k++) {
        if (is_random || l->of.noise > 0) {
            uint64_t at = (uint64_t)(l->tick * n + k) * 2;
            double u = loop_unit(loop_hash(l->seed, at)),
                   v = loop_unit(loop_hash(l->seed, at + 1));
            if (is_random) l->proposed[k] = (float)(2 * u - 1);
            if (l->of.noise > 0) /* Box and Muller 1958 */
                l->proposed[k] +=
                    (float)(l->of.noise * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
        }
        l->proposed[k] = clip(l->proposed[k]);
    }
}

static int32_t judge(loop *l)
{
    for (int32_t i = 0; i < l->guard_info.n_wants; i++) {
        int32_t k = l->guard_channel[i];
        l->guard_samples[i] = l->fresh >> k & 1 ? l->samples[k] : NULL;
    }
    double time = (double)l->tick / l->of.info->rate_hz;
    int32_t st = l->guard->observe(&l->h.table, l->guard_self, l->guard_samples, time);
    if (st < 0) return blame(l->h.cx, "scene", &l->of.guard, st);
    evla_proposal p = {.size = sizeof p,
                       .n_action = l->of.info->n_action,
                       .action = l->is_dry ? NULL : l->proposed,
                       .slow_age = 1e-9 * (double)l->age_ns};
    st = l->guard->judge(&l->h.table, l->guard_self, &p, l->action, &l->verdict);
    return st < 0 ? blame(l->h.cx, "scene", &l->of.guard, st) : 0;
}

int32_t loop_decide(loop *l)
{
    size_t bytes = (size_t)l->of.info->n_action * sizeof *l->action;
    int32_t st = 0;
    l->teacher_drives = teacher_drives(l);
    l->age_ns = 0;
    l->is_dry = 0;
    memset(l->proposed, 0, bytes);
    if (l->pilot) { /* it flies on while the teacher drives */
        pilot_view v = view_of(l);
        pilot_answer a;
        if ((st = pilot_tick(l->h.cx, l->pilot, &v, &a)) < 0) return st;
        l->is_dry = !a.action && !l->teacher_drives;
        if (a.action && !l->teacher_drives) memcpy(l->proposed, a.action, bytes);
        if (!l->teacher_drives) l->age_ns = a.age_ns;
    }
    l->n_dry += l->is_dry;
    if ((l->teacher_drives || l->of.label) && (st = ask_teacher(l)) < 0) return st;
    add_noise(l);
    int is_finite = 1;
    for (int32_t k = 0; k < l->of.info->n_action; k++)
        is_finite &= isfinite(l->proposed[k]) != 0;
    l->n_not_finite += !is_finite;
    if (l->guard) return judge(l);
    /* nobody watches: what is no number, or no action at all, moves nothing */
    for (int32_t k = 0; k < l->of.info->n_action; k++)
        l->action[k] = isfinite(l->proposed[k]) && !l->is_dry ? l->proposed[k] : 0;
    return 0;
}

int32_t loop_act(loop *l)
{
    int32_t st = l->body->act(&l->h.table, l->self, l->action, &l->now);
    l->tick++;
    return st < 0 ? body_failed(l, st) : 0;
}

int loop_is_over(const loop *l) { return l->now.done || l->tick >= l->of.info->max_ticks; }

int32_t loop_tick(loop *l)
{
    ctx *cx = l->h.cx;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = loop_sense(l, loop_time_ns(l->of.info->rate_hz, l->tick));
    if (st >= 0) st = loop_decide(l);
    if (st >= 0) st = loop_act(l);
    arena_reset(&cx->scratch, mark);
    if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    return st;
}
