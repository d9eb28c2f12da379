/*
 * causal.c -- the plugin: a guard that keeps a scene graph and judges every action by
 * rules, as an evla.scene.
 *
 * Reads: typed parameters, a rules text, a body's description and observations.  Not here:
 * the verdict (judge.c), the text's language (rules.c), where things are (track.c),
 * relations (relate.c), distances and limits (bound.c). After open nothing allocates, locks
 * or calls the system.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "vec.h"

typedef struct causal_params {
    const char *rules;
    const char *file;
    int64_t slow_late_ns;
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
    {.name = "slow_late",
     .doc = "how old the observation behind a result of the slow path may be; 0: as the "
            "rules say. What answers with many actions at once is older",
     .preset = "0s",
     .unit = "s",
     .type = EVLA_P_DURATION,
     .max = 3600,
     .offset = offsetof(causal_params, slow_late_ns)},
};

enum { LONGEST_FILE = 1 << 18 };

static const struct {
    const char *name;
    int32_t n; /* floats; 0: rows of 7 */
} wants[JUDGE_WANTS] = {
    [JUDGE_JOINTS] = {"obs/joint_pos", CHAIN_JOINTS},
    [JUDGE_COMMAND] = {"obs/joint_command", CHAIN_JOINTS},
    [JUDGE_FINGERS] = {"obs/gripper_pos", 2},
    [JUDGE_FORCE] = {"obs/gripper_force", 1},
    [JUDGE_POSE] = {"obs/sensed_pose", 0},
    [JUDGE_AGE] = {"obs/sensed_age", 1},
};

typedef struct causal {
    judge judge;
    int32_t rows, row_of[RULES_NODES];
    uint64_t event_bytes;
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
    if (p->slow_late_ns) r->slow_late = 1e-9 * (double)p->slow_late_ns;
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
    for (int32_t w = 0; w < JUDGE_WANTS; w++) {
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
    if (body->n_action == JUDGE_ACTIONS && body->rate_hz > 0) return EVLA_OK;
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
    return (sizeof(judge_event) + (uint64_t)rows * 7 * sizeof(float) + 7) / 8 * 8;
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
    const char **names = h->hold(h, JUDGE_WANTS * sizeof *names);
    if (!names) return EVLA_E_NOMEM;
    for (int32_t i = 0; i < JUDGE_WANTS; i++)
        names[i] = wants[i].name;
    *out = (evla_scene_info){
        .size = sizeof *out,
        .n_wants = JUDGE_WANTS,
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
    memset(s->judge.now, 0, s->event_bytes);
    judge_start(&s->judge, s->row_of);
}

static int32_t causal_open(const evla_host *h, const void *params,
                           const evla_body_info *body, void **self)
{
    causal *s = h->hold(h, sizeof *s);
    if (!s) return EVLA_E_NOMEM;
    int32_t st = load(h, params, &s->judge.r);
    if (st >= 0) st = match_rows(h, s->judge.r, body, s->row_of, &s->rows);
    if (st >= 0) st = check_body(h, body, s->rows);
    if (st < 0) return st;
    s->judge.period = 1 / body->rate_hz;
    s->event_bytes = event_size(s->rows);
    s->judge.now = h->hold(h, s->event_bytes);
    if (!s->judge.now) return EVLA_E_NOMEM;
    for (int32_t i = 0; i < s->judge.r->n_nodes; i++) {
        s->names[i] = s->judge.r->nodes[i].name;
        s->view_class[i] = s->judge.r->nodes[i].class;
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
    s->judge.graph.named = rules_named(s->judge.r, instruction ? instruction : "");
    return EVLA_OK;
}

/* ---- the table ---- */

static int32_t causal_observe(const evla_host *h, void *self, const void *const *samples,
                              double time)
{
    causal *s = self;
    judge_event *e = s->judge.now;
    float *to[JUDGE_WANTS] = {e->joints, e->command, e->fingers,
                              &e->force, e->pose,    &e->age};
    (void)h;
    e->present = 0;
    e->time = time;
    for (int32_t w = 0; w < JUDGE_WANTS; w++) {
        size_t n = wants[w].n ? (size_t)wants[w].n : (size_t)s->rows * 7;
        if (samples[w]) e->present |= 1u << w;
        if (samples[w])
            memcpy(to[w], samples[w], n * sizeof(float));
        else
            memset(to[w], 0, n * sizeof(float));
    }
    judge_see(&s->judge);
    return EVLA_OK;
}

static int32_t causal_judge(const evla_host *h, void *self, const evla_proposal *p,
                            float *action, evla_verdict *out)
{
    causal *s = self;
    judge_event *e = s->judge.now;
    if (p->action && p->n_action != JUDGE_ACTIONS)
        return h->fail(h, EVLA_E_SHAPE, "causal: a proposal has 8 numbers");
    e->has_action = p->action != NULL;
    e->slow_age = p->slow_age;
    memset(e->action, 0, sizeof e->action);
    if (p->action) memcpy(e->action, p->action, sizeof e->action);
    judge_decide(&s->judge, action, out);
    return EVLA_OK;
}

static int32_t causal_event(const evla_host *h, void *self, void *out)
{
    causal *s = self;
    (void)h;
    memcpy(out, s->judge.now, s->event_bytes);
    return EVLA_OK;
}

static int32_t causal_replay(const evla_host *h, void *self, const void *given,
                             float *action, evla_verdict *out)
{
    causal *s = self;
    (void)h;
    memcpy(s->judge.now, given, s->event_bytes);
    judge_see(&s->judge);
    judge_decide(&s->judge, action, out);
    return EVLA_OK;
}

static int32_t causal_explain(const evla_host *h, void *self, const evla_verdict *v,
                              char *text, uint64_t bytes)
{
    static const char *const kinds[] = {"allowed", "replaced", "vetoed"};
    const rules *r = ((const causal *)self)->judge.r;
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
    const rules *r = s->judge.r;
    int32_t n = r->n_nodes, words = (n * n + 63) / 64;
    const uint64_t one = 1;
    (void)h;
    memset(s->view_relation, 0, sizeof s->view_relation);
    for (int32_t i = 0; i < n; i++) {
        const double *pos = i ? s->judge.track.thing[i].pos : s->judge.track.now.tcp;
        const double *rot =
            i ? s->judge.track.thing[i].rot : s->judge.track.now.rot[CHAIN_HAND];
        double q[4];
        vec_to_quat(q, rot);
        for (int k = 0; k < 3; k++)
            s->view_pose[7 * i + k] = (float)pos[k];
        for (int k = 0; k < 4; k++)
            s->view_pose[7 * i + 3 + k] = (float)q[k];
        for (int32_t k = 0; k < IS_LIMIT; k++)
            for (int32_t j = 0; j < n; j++)
                if (s->judge.graph.row[k][i] >> j & 1)
                    s->view_relation[k * words + (i * n + j) / 64] |= one
                                                                      << (i * n + j) % 64;
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
        .time = s->judge.now->time,
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
