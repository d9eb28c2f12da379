/*
 * causal.c -- the plugin: a guard that keeps a scene graph and judges every action by
 * rules, as an evla.scene.
 *
 * Reads: typed parameters, a rules text, a body's observations.  Not here: the text's
 * language (rules.c), where things are (track.c), relations (relate.c), distances and
 * limits (bound.c). After open nothing allocates, locks or calls the system.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bound.h"
#include "evla/abi.h"
#include "vec.h"

typedef struct causal_params {
    const char *rules;
    const char *file;
} causal_params;

static const evla_param params_table[] = {
    {.name = "rules",
     .doc = "rules that come with the guard: coffee; or a name for those in `file`",
     .preset = "coffee",
     .type = EVLA_P_STRING,
     .offset = offsetof(causal_params, rules)},
    {.name = "file",
     .doc = "a text with rules of your own; docs/guard.md tells how to write one",
     .flags = EVLA_PF_OPTIONAL | EVLA_PF_INPUT,
     .type = EVLA_P_PATH,
     .offset = offsetof(causal_params, file)},
};

enum {
    WANT_JOINTS,
    WANT_COMMAND,
    WANT_FINGERS,
    WANT_FORCE,
    WANT_POSE,
    WANT_AGE,
    WANTS,
    ACTIONS = CHAIN_JOINTS + 1,
    LONGEST_FILE = 1 << 18
};

static const struct {
    const char *name;
    int32_t n; /* floats; 0: rows of 7 */
} wants[WANTS] = {
    [WANT_JOINTS] = {"obs/joint_pos", CHAIN_JOINTS},
    [WANT_COMMAND] = {"obs/joint_command", CHAIN_JOINTS},
    [WANT_FINGERS] = {"obs/gripper_pos", 2},
    [WANT_FORCE] = {"obs/gripper_force", 1},
    [WANT_POSE] = {"obs/sensed_pose", 0},
    [WANT_AGE] = {"obs/sensed_age", 1},
};

enum { most_blind = 3 }; /* ticks without its own joints that it goes on as told */
static const double still =
    0.05; /* m/s: fingers that move slower are stopped by something */
static const double thin = 0.004; /* m: what is thinner is nothing between the fingers */

/* What was observed and proposed in a tick; rows of poses follow. */
typedef struct event {
    double time, slow_age;
    uint32_t present; /* bit per want */
    int32_t has_action;
    float joints[CHAIN_JOINTS], command[CHAIN_JOINTS], fingers[2], force, age;
    float action[ACTIONS];
    float pose[];
} event;

typedef struct causal {
    const rules *r;
    double period;
    int32_t rows, row_of[RULES_NODES];
    uint64_t event_bytes;
    event *now;
    track track;
    relate graph;
    bound bound;
    /* of the ticks before */
    double joints[CHAIN_JOINTS], command[CHAIN_JOINTS], step[CHAIN_VARS];
    double fingers[2], force;
    double free_at[CHAIN_JOINTS],
        free_speed[CHAIN_JOINTS]; /* of joints that meet nothing */
    float grip;                   /* last action of the fingers */
    double told[CHAIN_JOINTS];    /* rad, by the last action */
    int32_t is_started, is_close, is_blind, n_blind;
    /* for the view */
    const char *names[RULES_NODES];
    float view_pose[RULES_NODES * 7];
    int32_t view_class[RULES_NODES];
    uint64_t view_relation[IS_LIMIT * RULES_NODES];
} causal;

/* ---- describe and open ---- */

static int32_t refuse(const evla_host *h, int32_t code, const char *format, const char *a,
                      const char *b)
{
    char why[300];
    snprintf(why, sizeof why, format, a, b);
    return h->fail(h, code, why);
}

static int32_t join_lines(const evla_host *h, const char *const *lines, const char **out)
{
    size_t bytes = 1;
    for (int i = 0; lines[i]; i++)
        bytes += strlen(lines[i]) + 1;
    char *text = h->hold(h, bytes), *to = text;
    for (int i = 0; text && lines[i]; i++) {
        size_t n = strlen(lines[i]);
        memcpy(to, lines[i], n);
        to[n] = '\n';
        to += n + 1;
    }
    *out = text;
    return text ? EVLA_OK : EVLA_E_NOMEM;
}

static int32_t text_of(const evla_host *h, const causal_params *p, const char **out)
{
    if (!p->file) {
        if (!strcmp(p->rules, "coffee")) return join_lines(h, rules_coffee, out);
        return refuse(
            h, EVLA_E_MISSING,
            "causal: rules \"%.60s\" do not come with the guard, coffee does; name "
            "your own with file%s",
            p->rules, "");
    }
    FILE *f = fopen(p->file, "rb");
    char *text = f ? h->hold(h, LONGEST_FILE) : NULL;
    if (!text) {
        if (!f) return refuse(h, EVLA_E_IO, "causal: %.200s cannot be read%s", p->file, "");
        fclose(f);
        return EVLA_E_NOMEM;
    }
    size_t n = fread(text, 1, LONGEST_FILE - 1, f);
    int is_bad = ferror(f) || !feof(f) || memchr(text, 0, n);
    fclose(f);
    if (is_bad)
        return refuse(h, EVLA_E_FORMAT, "causal: %.200s is no text of at most 256 KiB%s",
                      p->file, "");
    *out = text;
    return EVLA_OK;
}

static int32_t load(const evla_host *h, const causal_params *p, const rules **out)
{
    char why[300];
    const char *text = NULL;
    rules *r = h->hold(h, sizeof *r);
    if (!r) return EVLA_E_NOMEM;
    int32_t st = text_of(h, p, &text);
    if (st < 0) return st;
    if (rules_read(p->file ? p->file : p->rules, text, r, why, sizeof why) < 0)
        return h->fail(h, EVLA_E_FORMAT, why);
    *out = r;
    return EVLA_OK;
}

static const char *attr_of(const evla_body_info *body, const char *name)
{
    for (int32_t i = 0; i < body->n_attrs; i++)
        if (!strcmp(body->attrs[i].name, name) && body->attrs[i].text)
            return body->attrs[i].text;
    return "";
}

/* Which row of the readings is which node. */
static int32_t match_rows(const evla_host *h, const rules *r, const evla_body_info *body,
                          int32_t row_of[RULES_NODES], int32_t *rows)
{
    const char *names = attr_of(body, "object_names");
    for (int32_t i = 0; i < RULES_NODES; i++)
        row_of[i] = -1;
    *rows = 0;
    while (*names) {
        char name[RULES_NAME];
        size_t n = strcspn(names, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, names);
        int32_t i = rules_node_of(r, name);
        if (i < 0)
            return refuse(
                h, EVLA_E_MISSING,
                "causal: the body tells where \"%.40s\" is, the rules do not know it%s",
                name, "");
        row_of[i] = (*rows)++;
        names += n + strspn(names + n, " ");
    }
    for (int32_t i = 1; i < r->n_nodes; i++)
        if (row_of[i] < 0 && !r->nodes[i].is_fixed && r->nodes[i].parent < 0)
            return refuse(
                h, EVLA_E_MISSING,
                "causal: the rules speak of \"%.40s\", the body does not tell where it "
                "is (its attribute object_names)%s",
                r->nodes[i].name, "");
    return EVLA_OK;
}

static int32_t check_body(const evla_host *h, const evla_body_info *body, int32_t rows)
{
    for (int32_t w = 0; w < WANTS; w++) {
        const evla_channel *c = NULL;
        char type[32];
        for (int32_t i = 0; i < body->n_channels; i++)
            if (!strcmp(body->channels[i].name, wants[w].name)) c = &body->channels[i];
        if (wants[w].n)
            snprintf(type, sizeof type, "f32[%d]", (int)wants[w].n);
        else
            snprintf(type, sizeof type, "f32[%d,7]", (int)rows);
        if (!c)
            return refuse(
                h, EVLA_E_MISSING,
                "causal: the body has no channel %s, which the guard lives on; want one "
                "of type %s",
                wants[w].name, type);
        if (strcmp(c->type, type) != 0 || c->rate_hz > 0)
            return refuse(h, EVLA_E_SHAPE, "causal: channel %s: want type %s at every tick",
                          c->name, type);
    }
    if (body->n_action == ACTIONS && body->rate_hz > 0) return EVLA_OK;
    return h->fail(h, EVLA_E_SHAPE,
                   "causal: the body's action is not seven joint velocities and a gripper");
}

static const char *join(const evla_host *h, const char (*names)[RULES_NAME], int32_t n)
{
    char *out = h->hold(h, (uint64_t)(n + 1) * (RULES_NAME + 1));
    for (int32_t i = 0; out && i < n; i++)
        strcat(strcat(out, i ? " " : ""), names[i]);
    return out;
}

static uint64_t event_size(int32_t rows)
{
    return (sizeof(event) + (uint64_t)rows * 7 * sizeof(float) + 7) / 8 * 8;
}

static int32_t causal_describe(const evla_host *h, const void *params,
                               const evla_body_info *body, evla_scene_info *out)
{
    const rules *r;
    int32_t row_of[RULES_NODES], rows;
    int32_t st = load(h, params, &r);
    if (st >= 0) st = match_rows(h, r, body, row_of, &rows);
    if (st >= 0) st = check_body(h, body, rows);
    if (st < 0) return st;
    const char **names = h->hold(h, WANTS * sizeof *names);
    if (!names) return EVLA_E_NOMEM;
    for (int32_t i = 0; i < WANTS; i++)
        names[i] = wants[i].name;
    *out = (evla_scene_info){
        .size = sizeof *out,
        .n_wants = WANTS,
        .wants = names,
        .classes = RULES_CLASSES,
        .relations = RULES_RELATIONS,
        .rules = join(h, r->ids, r->n_ids),
        .facts = join(h, r->facts, r->n_facts),
        .event_bytes = event_size(rows),
        .max_nodes = r->n_nodes,
    };
    return out->rules && out->facts ? EVLA_OK : EVLA_E_NOMEM;
}

static void start(causal *s)
{
    track_reset(&s->track, s->r, s->row_of, s->period);
    memset(&s->graph, 0, sizeof s->graph);
    memset(s->step, 0, sizeof s->step);
    memset(s->now, 0, s->event_bytes);
    s->grip = 0;
    memset(s->told, 0, sizeof s->told);
    s->is_started = s->is_close = s->n_blind = 0;
    s->is_blind = 1;
}

static int32_t causal_open(const evla_host *h, const void *params,
                           const evla_body_info *body, void **self)
{
    causal *s = h->hold(h, sizeof *s);
    if (!s) return EVLA_E_NOMEM;
    int32_t st = load(h, params, &s->r);
    if (st >= 0) st = match_rows(h, s->r, body, s->row_of, &s->rows);
    if (st >= 0) st = check_body(h, body, s->rows);
    if (st < 0) return st;
    s->period = 1 / body->rate_hz;
    s->event_bytes = event_size(s->rows);
    s->now = h->hold(h, s->event_bytes);
    if (!s->now) return EVLA_E_NOMEM;
    for (int32_t i = 0; i < s->r->n_nodes; i++) {
        s->names[i] = s->r->nodes[i].name;
        s->view_class[i] = s->r->nodes[i].class;
    }
    start(s);
    *self = s;
    return EVLA_OK;
}

static void causal_close(const evla_host *h, void *self) { (void)h, (void)self; }

static int32_t causal_reset(const evla_host *h, void *self, const char *instruction)
{
    causal *s = self;
    (void)h;
    start(s);
    s->graph.named = rules_named(s->r, instruction ? instruction : "");
    return EVLA_OK;
}

/* ---- seeing ---- */

static int is_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(x[i]) < 1e6f)) return 0;
    return 1;
}

/* Where joints would be that follow their commands and meet nothing: the servo, in four
 * steps. */
static void follow(causal *s, const double from[CHAIN_JOINTS],
                   const double to[CHAIN_JOINTS])
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

/* Takes in what s->now says was observed. */
static void see(causal *s)
{
    const event *e = s->now;
    uint32_t body =
        1u << WANT_JOINTS | 1u << WANT_COMMAND | 1u << WANT_FINGERS | 1u << WANT_FORCE;
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
    int is_seen = e->present >> WANT_POSE & 1 && e->present >> WANT_AGE & 1 &&
                  is_finite(&e->age, 1) && e->age >= 0;
    float fingers[2] = {(float)s->fingers[0], (float)s->fingers[1]};
    track_tick(&s->track, e->time, is_seen ? e->pose : NULL, (double)e->age, s->joints,
               fingers, s->force);
    relate_scene(&s->graph, &s->track);
}

/* ---- judging ---- */

static int is_supported(const causal *s)
{
    int32_t i = s->track.held;
    return i >= 0 && (s->graph.row[IS_ON][i] | s->graph.row[IS_IN][i]);
}

static uint64_t bit(int32_t i) { return UINT64_C(1) << i; }

static uint64_t facts_of(const causal *s, double width)
{
    const event *e = s->now;
    const rules *r = s->r;
    double age = e->time - s->track.taken, slack = 0.004;
    uint64_t f = relate_facts(&s->graph, &s->track);
    if (!e->has_action) f |= bit(FACT_NO_ACTION);
    if (e->has_action && !is_finite(e->action, ACTIONS)) f |= bit(FACT_NOT_FINITE);
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

/* How far the TCP lags behind its command because something is in its way. */
static double lead_of(const causal *s, double lead[3])
{
    memset(lead, 0, 3 * sizeof *lead);
    for (int k = 0; k < 3; k++) {
        double dir[3] = {0}, row[CHAIN_JOINTS];
        dir[k] = 1;
        chain_row(&s->track.now, CHAIN_HAND, s->track.now.tcp, dir, row);
        for (int i = 0; i < CHAIN_JOINTS; i++)
            lead[k] += row[i] * (s->free_at[i] - s->joints[i]);
    }
    return vec_length(lead);
}

/* What the proposal asks of the joints, as fast as they may speed up and, near things,
 * calmly. */
static void want(const causal *s, const float action[ACTIONS], double share, int is_held,
                 double out[CHAIN_VARS], uint64_t *bent)
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

static void tests(causal *s, uint64_t facts, int *hold, int *keep_grip, double *share,
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

/* Judges what s->now says was proposed. */
static void decide(causal *s, float *action, evla_verdict *v)
{
    const rules *r = s->r;
    const event *e = s->now;
    float asked[ACTIONS];
    double wanted[CHAIN_VARS], step[CHAIN_VARS], lead[3] = {0}, share = 1;
    int hold = 0, keep_grip = 0, is_whole = e->has_action && is_finite(e->action, ACTIONS);
    *v = (evla_verdict){.size = sizeof *v, .rule = -1, .node = {-1, -1}};
    for (int i = 0; i < ACTIONS; i++)
        asked[i] = is_whole ? fmaxf(-1, fminf(1, e->action[i])) : 0;
    if (!is_whole) asked[CHAIN_JOINTS] = s->grip;
    uint64_t facts = facts_of(s, width_of(r, asked[CHAIN_JOINTS]));
    if (s->is_started && lead_of(s, lead) > r->press) facts |= bit(FACT_PRESSING);
    v->facts = facts;
    tests(s, facts, &hold, &keep_grip, &share, v);
    if (hold || keep_grip) asked[CHAIN_JOINTS] = s->grip;
    if ((hold || keep_grip) && s->track.held >= 0) { /* firmly, whatever came before */
        double width = fmax(0, s->track.opening - r->squeeze);
        asked[CHAIN_JOINTS] = (float)vec_clip(1 - 2 * width / r->width_max, -1, 1);
    }
    if (!s->is_started) { /* nothing is known yet: stay */
        memset(action, 0, ACTIONS * sizeof *action);
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
    /* Fingers that are stopped by something press as hard as their command lies inside it.
     */
    double least = s->track.opening - r->squeeze;
    if (fabs(s->track.rate) < still && s->force < 0 &&
        width_of(r, action[CHAIN_JOINTS]) < least && s->track.opening > thin) {
        action[CHAIN_JOINTS] = (float)vec_clip(1 - 2 * least / r->width_max, -1, 1);
        v->rules |= bit(r->id_squeeze);
    }
    int is_same = is_whole;
    for (int i = 0; i < ACTIONS && is_same; i++)
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

/* ---- the table ---- */

static int32_t causal_observe(const evla_host *h, void *self, const void *const *samples,
                              double time)
{
    causal *s = self;
    event *e = s->now;
    float *to[WANTS] = {e->joints, e->command, e->fingers, &e->force, e->pose, &e->age};
    (void)h;
    e->present = 0;
    e->time = time;
    for (int32_t w = 0; w < WANTS; w++) {
        size_t n = wants[w].n ? (size_t)wants[w].n : (size_t)s->rows * 7;
        if (samples[w]) e->present |= 1u << w;
        if (samples[w])
            memcpy(to[w], samples[w], n * sizeof(float));
        else
            memset(to[w], 0, n * sizeof(float));
    }
    see(s);
    return EVLA_OK;
}

static int32_t causal_judge(const evla_host *h, void *self, const evla_proposal *p,
                            float *action, evla_verdict *out)
{
    causal *s = self;
    event *e = s->now;
    if (p->action && p->n_action != ACTIONS)
        return h->fail(h, EVLA_E_SHAPE, "causal: a proposal has 8 numbers");
    e->has_action = p->action != NULL;
    e->slow_age = p->slow_age;
    memset(e->action, 0, sizeof e->action);
    if (p->action) memcpy(e->action, p->action, sizeof e->action);
    decide(s, action, out);
    return EVLA_OK;
}

static int32_t causal_event(const evla_host *h, void *self, void *out)
{
    causal *s = self;
    (void)h;
    memcpy(out, s->now, s->event_bytes);
    return EVLA_OK;
}

static int32_t causal_replay(const evla_host *h, void *self, const void *given,
                             float *action, evla_verdict *out)
{
    causal *s = self;
    (void)h;
    memcpy(s->now, given, s->event_bytes);
    see(s);
    decide(s, action, out);
    return EVLA_OK;
}

static int32_t causal_explain(const evla_host *h, void *self, const evla_verdict *v,
                              char *text, uint64_t bytes)
{
    static const char *const kinds[] = {"allowed", "replaced", "vetoed"};
    const rules *r = ((const causal *)self)->r;
    if (v->kind < 0 || v->kind > EVLA_VETO || v->rule >= r->n_ids)
        return h->fail(h, EVLA_E_ARG, "causal: this verdict is not of this guard");
    size_t n = 0;
    n += (size_t)snprintf(text, bytes, "%s", kinds[v->kind]);
    if (v->rule >= 0 && n < bytes)
        n += (size_t)snprintf(text + n, bytes - n, " by %s", r->ids[v->rule]);
    if (v->node[1] >= 0 && v->node[1] < r->n_nodes && n < bytes)
        n += (size_t)snprintf(text + n, bytes - n, ", %s", r->nodes[v->node[1]].name);
    if (v->node[0] >= 0 && n < bytes)
        n +=
            (size_t)snprintf(text + n, bytes - n, ": %.4g, bound %.4g", v->found, v->bound);
    const char *lead = "; ";
    for (int32_t f = 0; f < r->n_facts && n < bytes; f++)
        if (v->facts >> f & 1) {
            n += (size_t)snprintf(text + n, bytes - n, "%s%s", lead, r->facts[f]);
            lead = ", ";
        }
    return EVLA_OK;
}

static int32_t causal_view(const evla_host *h, void *self, evla_scene_view *out)
{
    causal *s = self;
    const rules *r = s->r;
    int32_t n = r->n_nodes, words = (n * n + 63) / 64;
    (void)h;
    memset(s->view_relation, 0, sizeof s->view_relation);
    for (int32_t i = 0; i < n; i++) {
        const double *pos = i ? s->track.thing[i].pos : s->track.now.tcp;
        const double *rot = i ? s->track.thing[i].rot : s->track.now.rot[CHAIN_HAND];
        double q[4];
        vec_to_quat(q, rot);
        for (int k = 0; k < 3; k++)
            s->view_pose[7 * i + k] = (float)pos[k];
        for (int k = 0; k < 4; k++)
            s->view_pose[7 * i + 3 + k] = (float)q[k];
        for (int32_t k = 0; k < IS_LIMIT; k++)
            for (int32_t j = 0; j < n; j++)
                if (s->graph.row[k][i] >> j & 1)
                    s->view_relation[k * words + (i * n + j) / 64] |= bit((i * n + j) % 64);
    }
    *out = (evla_scene_view){
        .size = sizeof *out,
        .n_nodes = n,
        .n_relations = IS_LIMIT,
        .n_words = words,
        .names = s->names,
        .pose = s->view_pose,
        .node_class = s->view_class,
        .relation = s->view_relation,
        .time = s->now->time,
    };
    return EVLA_OK;
}

static const evla_scene guard = {
    .size = sizeof guard,
    .describe = causal_describe,
    .open = causal_open,
    .close = causal_close,
    .reset = causal_reset,
    .observe = causal_observe,
    .judge = causal_judge,
    .explain = causal_explain,
    .view = causal_view,
    .event = causal_event,
    .replay = causal_replay,
};

static const evla_item items[] = {
    {.kind = EVLA_SCENE,
     .name = "causal",
     .table = &guard,
     .doc = "a guard: nodes and relations from observation, rules as data, the nearest "
            "safe action",
     .params = params_table,
     .n_params = sizeof params_table / sizeof *params_table,
     .params_size = sizeof(causal_params)},
};

static const evla_plugin self_table = {
    .magic = EVLA_MAGIC,
    .size = sizeof self_table,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .id = "evla.causal",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self_table;
}
