/*
 * judge.c -- one tick of the guard: what was observed is taken in, what was proposed is
 * allowed, bent or vetoed. See judge.h.
 */
#include "judge.h"
#include "vec.h"
#include <string.h>

enum { most_blind = 3 };      /* ticks without its own joints that it goes on as told */
static const double idle = 5; /* N: what fingers need to move when nothing stops them */
static const double felt_share = 0.5; /* of the most that a lead may be: it touches */
static const double thin = 0.004; /* m: what is thinner is nothing between the fingers */

void judge_start(judge *s, const int32_t row_of[RULES_NODES])
{
    track_reset(&s->track, s->r, row_of, s->period);
    memset(&s->graph, 0, sizeof s->graph);
    memset(s->step, 0, sizeof s->step);
    s->grip = 0;
    memset(s->told, 0, sizeof s->told);
    s->is_started = s->is_close = s->n_blind = 0;
    s->is_blind = 1;
}

/* ---- seeing ---- */

static int is_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(x[i]) < 1e6f)) return 0;
    return 1;
}

/* Where joints would be that follow their commands and meet nothing: the servo, in two
 * steps. */
static void follow(judge *s, const double from[CHAIN_JOINTS], const double to[CHAIN_JOINTS])
{
    enum { STEPS = 2 };
    double dt = s->period / STEPS;
    for (int i = 0; i < CHAIN_JOINTS; i++) {
        double speed = (to[i] - from[i]) / s->period;
        for (int k = 1; k <= STEPS; k++) {
            double at = from[i] + (to[i] - from[i]) * k / STEPS;
            double accel = s->r->servo[0] * (at - s->free_at[i]) +
                           s->r->servo[1] * (speed - s->free_speed[i]);
            s->free_speed[i] += dt * accel;
            s->free_at[i] += dt * s->free_speed[i];
        }
    }
}

void judge_see(judge *s)
{
    const judge_event *e = s->now;
    uint32_t body =
        1u << JUDGE_JOINTS | 1u << JUDGE_COMMAND | 1u << JUDGE_FINGERS | 1u << JUDGE_FORCE;
    int is_missing = (e->present & body) != body || !is_finite(e->joints, CHAIN_JOINTS) ||
                     !is_finite(e->command, CHAIN_JOINTS) || !is_finite(e->fingers, 2) ||
                     !is_finite(&e->force, 1);
    double before[CHAIN_JOINTS];
    memcpy(before, s->command, sizeof before);
    s->n_blind = is_missing ? s->n_blind + 1 : 0;
    s->is_blind = is_missing && (!s->is_started || s->n_blind > most_blind);
    if (is_missing && s->is_started) {
        /* For a moment: the body did as it was told, the joints follow as they do. */
        for (int i = 0; i < CHAIN_JOINTS; i++) {
            s->step[i] = s->is_blind ? 0 : s->told[i];
            s->command[i] += s->step[i];
        }
        follow(s, before, s->command);
        memcpy(s->joints, s->free_at, sizeof s->joints);
    }
    if (!is_missing) {
        for (int i = 0; i < CHAIN_JOINTS; i++) {
            s->joints[i] = (double)e->joints[i];
            s->command[i] = (double)e->command[i];
            s->step[i] = s->is_started ? s->command[i] - before[i] : 0;
            if (!s->is_started) s->free_at[i] = s->joints[i], s->free_speed[i] = 0;
        }
        if (s->is_started) follow(s, before, s->command);
        s->fingers[0] = (double)e->fingers[0];
        s->fingers[1] = (double)e->fingers[1];
        s->force = (double)e->force;
        s->is_started = 1;
    }
    if (!s->is_started) return;
    int is_seen = e->present >> JUDGE_POSE & 1 && e->present >> JUDGE_AGE & 1 &&
                  is_finite(&e->age, 1) && e->age >= 0;
    float fingers[2] = {(float)s->fingers[0], (float)s->fingers[1]};
    track_tick(&s->track, e->time, is_seen ? e->pose : NULL, (double)e->age, s->joints,
               fingers, s->force);
    relate_scene(&s->graph, &s->track);
}

/* ---- judging ---- */

static int is_supported(const judge *s)
{
    int32_t i = s->track.held;
    return i >= 0 && (s->graph.row[IS_ON][i] | s->graph.row[IS_IN][i]);
}

static uint64_t bit(int32_t i) { return UINT64_C(1) << i; }

static uint64_t facts_of(const judge *s, double width)
{
    const judge_event *e = s->now;
    const rules *r = s->r;
    double age = e->time - s->track.taken, slack = 0.004;
    uint64_t f = relate_facts(&s->graph, &s->track);
    if (!e->has_action) f |= bit(FACT_NO_ACTION);
    if (e->has_action && !is_finite(e->action, JUDGE_ACTIONS)) f |= bit(FACT_NOT_FINITE);
    if (!(age <= r->stale)) f |= bit(FACT_STALE);
    if (!(age <= r->late)) f |= bit(FACT_LATE);
    if (!(e->slow_age <= r->slow_late)) f |= bit(FACT_SLOW_LATE);
    if (s->is_blind) f |= bit(FACT_BLIND);
    /* what is held slips before the fingers move: letting it press less is opening, too */
    double firm = s->track.held >= 0 ? -slack : slack;
    if (width > s->track.opening + firm) f |= bit(FACT_OPENING);
    if (width < s->track.opening - slack) f |= bit(FACT_CLOSING);
    if (is_supported(s)) f |= bit(FACT_SUPPORTED);
    return f;
}

static double width_of(const rules *r, float grip)
{
    return r->width_max * (1 - (double)grip) / 2;
}

/* m that the fingers' command may lie inside what stops them. One finger that meets
 * something alone presses with both motors, so only what both press is pressed firmly. */
static double squeeze_of(const judge *s)
{
    return s->track.gripped >= 0 ? s->r->hold : s->r->squeeze;
}

/* How far the TCP lags behind its command because something is in its way. Where that is
 * felt, the joints will not go where they were already told to: all of it counts. */
static double lead_of(const judge *s, double most, double lead[3])
{
    double ahead[3] = {0};
    memset(lead, 0, 3 * sizeof *lead);
    for (int k = 0; k < 3; k++) {
        double dir[3] = {0}, row[CHAIN_JOINTS];
        dir[k] = 1;
        chain_row(&s->track.now, CHAIN_HAND, s->track.now.tcp, dir, row);
        for (int i = 0; i < CHAIN_JOINTS; i++) {
            lead[k] += row[i] * (s->free_at[i] - s->joints[i]);
            ahead[k] += row[i] * (s->command[i] - s->joints[i]);
        }
    }
    double felt = vec_length(lead);
    if (felt < felt_share * most) return felt;
    double more = vec_dot(ahead, lead) / (felt * felt);
    for (int k = 0; k < 3 && more > 1; k++)
        lead[k] *= more;
    return vec_length(lead);
}

/* What the proposal asks of the joints, as fast as they may speed up and, near things,
 * calmly. */
static void want(const judge *s, const float action[JUDGE_ACTIONS], double share,
                 int is_held, double out[CHAIN_VARS], uint64_t *bent)
{
    const rules *r = s->r;
    double t = s->period;
    for (int i = 0; i < CHAIN_JOINTS; i++) {
        double to = is_held ? 0 : share * (double)action[i] * r->action_speed * t;
        double most = r->speed_part * r->arm.speed[i] * t, now = s->step[i];
        double cut = vec_clip(to, -most, most);
        if (cut != to) *bent |= bit(r->id_speed);
        double jump = r->accel_part * r->arm.accel[i] * t * t * (is_held ? 3 : 1);
        double calm = s->is_close && !is_held ? now + r->calm * (cut - now) : cut;
        out[i] = vec_clip(calm, now - jump, now + jump);
        if (out[i] != cut && !is_held) *bent |= bit(r->id_accel);
    }
    double way = width_of(r, action[CHAIN_JOINTS]) - s->track.opening,
           most = r->grip_speed * t;
    out[CHAIN_JOINTS] = vec_clip(way, -most, most) / 2 / BOUND_FINGER;
}

static void tests(judge *s, uint64_t facts, int *hold, int *keep_grip, double *share,
                  evla_verdict *v)
{
    const rules *r = s->r;
    for (int32_t i = 0; i < r->n_tests; i++) {
        const rules_test *t = &r->tests[i];
        if ((facts & t->must) != t->must || (facts & t->must_not)) continue;
        v->rules |= bit(t->id);
        if (v->rule < 0 || (t->what == DO_HOLD && !*hold)) v->rule = t->id;
        if (t->what == DO_HOLD) *hold = 1;
        if (t->what == DO_KEEP_GRIP) *keep_grip = 1;
        if (t->what == DO_SLOW) *share = fmin(*share, t->amount);
    }
}

void judge_decide(judge *s, float *action, evla_verdict *v)
{
    const rules *r = s->r;
    const judge_event *e = s->now;
    float asked[JUDGE_ACTIONS];
    double wanted[CHAIN_VARS], step[CHAIN_VARS], lead[3] = {0}, share = 1;
    int hold = 0, keep_grip = 0,
        is_whole = e->has_action && is_finite(e->action, JUDGE_ACTIONS);
    *v = (evla_verdict){.size = sizeof *v, .rule = -1, .node = {-1, -1}};
    for (int i = 0; i < JUDGE_ACTIONS; i++)
        asked[i] = is_whole ? fmaxf(-1, fminf(1, e->action[i])) : 0;
    if (!is_whole) asked[CHAIN_JOINTS] = s->grip;
    uint64_t facts = facts_of(s, width_of(r, asked[CHAIN_JOINTS]));
    double most = r->press[track_load(&s->track)];
    if (s->is_started && lead_of(s, most, lead) > most) facts |= bit(FACT_PRESSING);
    v->facts = facts;
    tests(s, facts, &hold, &keep_grip, &share, v);
    if (hold || keep_grip) asked[CHAIN_JOINTS] = s->grip;
    if ((hold || keep_grip) && s->track.held >= 0) { /* firmly, whatever came before */
        double width = fmax(0, s->track.opening - squeeze_of(s));
        asked[CHAIN_JOINTS] = (float)vec_clip(1 - 2 * width / r->width_max, -1, 1);
    }
    if (!s->is_started) { /* nothing is known yet: stay */
        memset(action, 0, JUDGE_ACTIONS * sizeof *action);
        action[CHAIN_JOINTS] = s->grip;
        v->kind = EVLA_VETO;
        if (v->rule < 0) v->rule = r->id_joint;
        return;
    }
    want(s, asked, share, hold, wanted, &v->rules);
    bound_collect(&s->bound, &s->track, &s->graph, facts, s->command, s->fingers, lead,
                  wanted);
    int32_t which = bound_solve(&s->bound, wanted, step);
    for (int32_t i = 0; i < s->bound.n; i++)
        if (s->bound.rows[i].push * sqrt(s->bound.rows[i].square) > 1e-6)
            v->rules |= bit(s->bound.rows[i].id);
    if (which >= 0) {
        const bound_row *b = &s->bound.rows[which];
        if (v->rule < 0) v->rule = b->id;
        v->node[0] = 0;
        v->node[1] = b->node;
        v->found = b->found;
        v->bound = b->wanted;
    }
    for (int i = 0; i < CHAIN_JOINTS; i++)
        if (wanted[i] > s->bound.high[i] + 1e-6 || wanted[i] < s->bound.low[i] - 1e-6) {
            v->rules |= bit(r->id_joint);
            if (v->rule < 0) {
                v->rule = r->id_joint;
                v->found = s->command[i] + wanted[i];
                v->bound = wanted[i] > 0 ? r->arm.upper[i] - r->joint_margin
                                         : r->arm.lower[i] + r->joint_margin;
                v->node[0] = 0;
            }
        }
    s->is_close = s->bound.is_close || s->track.held >= 0;
    for (int i = 0; i < CHAIN_JOINTS; i++) {
        double a = step[i] / (r->action_speed * s->period);
        action[i] = (float)vec_clip(a, -1, 1);
        if (fabsf(action[i] - asked[i]) < 1e-5f) action[i] = asked[i];
    }
    double way = step[CHAIN_JOINTS] - wanted[CHAIN_JOINTS];
    action[CHAIN_JOINTS] = asked[CHAIN_JOINTS];
    if (fabs(way) > 1e-7) {
        double width = s->track.opening + 2 * step[CHAIN_JOINTS] * BOUND_FINGER;
        action[CHAIN_JOINTS] = (float)vec_clip(1 - 2 * width / r->width_max, -1, 1);
    }
    /* Fingers press as hard as their command lies inside what stops them. */
    double least = s->track.opening - squeeze_of(s);
    if (s->force < -idle && width_of(r, action[CHAIN_JOINTS]) < least &&
        s->track.opening > thin) {
        action[CHAIN_JOINTS] = (float)vec_clip(1 - 2 * least / r->width_max, -1, 1);
        v->rules |= bit(r->id_squeeze);
    }
    int is_same = is_whole;
    for (int i = 0; i < JUDGE_ACTIONS && is_same; i++)
        is_same = action[i] == fmaxf(-1, fminf(1, e->action[i]));
    v->kind = hold ? EVLA_VETO : is_same ? EVLA_ALLOW : EVLA_REPLACE;
    if (v->rule < 0 && !is_same)
        v->rule = v->rules >> r->id_speed & 1   ? r->id_speed
                  : v->rules >> r->id_accel & 1 ? r->id_accel
                                                : r->id_squeeze;
    if (is_same && !hold) {
        v->rule = -1;
        v->rules = 0;
    }
    s->grip = action[CHAIN_JOINTS];
    for (int i = 0; i < CHAIN_JOINTS; i++)
        s->told[i] = (double)action[i] * r->action_speed * s->period;
}
