/*
 * rules.c -- reads a rules text, statement by statement, into masks.
 *
 * Not here: the coffee scene's text (rules_coffee.c), what a fact or a distance is right
 * now (relate.c, bound.c).
 */
#include "rules.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vec.h"

enum { MOST_TOKENS = 40, LINE = 400 };

typedef struct reader {
    rules *r;
    const char *name;
    char *why;
    size_t why_size;
    int32_t line, n;
    int32_t joint;
    char *token[MOST_TOKENS];
    int32_t at; /* next token */
    int32_t failed;
} reader;

static const char *const relation_names[IS_LIMIT] = {
    "contact", "on", "in", "held", "near", "blocked", "between", "named"};
static const char *const class_names[] = {"gripper", "table",  "fixture",
                                          "lid",     "object", "place"};
static const char *const builtin[FACT_BUILTIN] = {
    [FACT_NOT_FINITE] = "not_finite", [FACT_NO_ACTION] = "no_action",
    [FACT_STALE] = "stale",           [FACT_LATE] = "late",
    [FACT_SLOW_LATE] = "slow_late",   [FACT_OPENING] = "opening",
    [FACT_CLOSING] = "closing",       [FACT_PRESSING] = "pressing",
    [FACT_BLIND] = "blind",           [FACT_SUPPORTED] = "supported"};

static void refuse(reader *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void refuse(reader *x, const char *format, ...)
{
    char what[200];
    va_list ap;
    if (x->failed) return;
    x->failed = 1;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(x->why, x->why_size, "rules %.60s:%d: %s", x->name, (int)x->line, what);
}

static int is_next(const reader *x, const char *word)
{
    return x->at < x->n && strcmp(x->token[x->at], word) == 0;
}

static const char *word(reader *x, const char *what)
{
    if (x->at < x->n) return x->token[x->at++];
    refuse(x, "the line ends where %s should stand", what);
    return "";
}

static double number(reader *x, const char *what)
{
    const char *text = word(x, what);
    char *end;
    double v = strtod(text, &end);
    if (!x->failed && (end == text || *end || !isfinite(v)))
        refuse(x, "%s: want a number, got \"%.30s\"", what, text);
    return x->failed ? 0 : v;
}

static void numbers(reader *x, const char *what, double *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = number(x, what);
}

static void name_to(reader *x, char out[RULES_NAME], const char *text)
{
    if (strlen(text) >= RULES_NAME)
        refuse(x, "\"%.40s\" is longer than %d letters", text, RULES_NAME - 1);
    else
        strcpy(out, text);
}

/* A list's next element; refuses what does not fit. */
static int32_t grow(reader *x, int32_t *n, int32_t most, const char *what)
{
    if (*n < most) return (*n)++;
    refuse(x, "more than %d %s", (int)most, what);
    return 0;
}

static int32_t id_of(reader *x, const char *text)
{
    for (int32_t i = 0; i < x->r->n_ids; i++)
        if (!strcmp(x->r->ids[i], text)) return i;
    int32_t i = grow(x, &x->r->n_ids, RULES_IDS, "rules");
    if (!x->failed) name_to(x, x->r->ids[i], text);
    return i;
}

int32_t rules_node_of(const rules *r, const char *name)
{
    for (int32_t i = 0; i < r->n_nodes; i++)
        if (!strcmp(r->nodes[i].name, name)) return i;
    return -1;
}

/* "mug_red,pod_green", a class, or "*". */
static uint64_t set_of(reader *x, const char *what)
{
    char text[LINE];
    uint64_t out = 0;
    snprintf(text, sizeof text, "%s", word(x, what));
    for (char *save = NULL, *t = strtok_r(text, ",", &save); t && !x->failed;
         t = strtok_r(NULL, ",", &save)) {
        uint64_t before = out;
        int32_t one = rules_node_of(x->r, t), is_class = !strcmp(t, "*");
        if (one >= 0) out |= UINT64_C(1) << one;
        for (int32_t c = 0; c <= CLASS_PLACE && one < 0; c++) {
            int is_it = is_class || !strcmp(t, class_names[c]);
            for (int32_t i = 0; i < x->r->n_nodes && is_it; i++)
                if (x->r->nodes[i].class == c) out |= UINT64_C(1) << i;
            is_class = is_class || is_it;
        }
        if (out == before && one < 0 && !is_class)
            refuse(x, "%s: no node or class \"%.30s\" so far", what, t);
    }
    return out;
}

/* when FACT !FACT ...: everything that follows. */
static void conditions(reader *x, uint64_t *must, uint64_t *must_not)
{
    *must = *must_not = 0;
    if (!is_next(x, "when")) return;
    for (x->at++; x->at < x->n && !is_next(x, "do");) {
        const char *text = word(x, "a fact");
        int is_not = *text == '!';
        int32_t f = 0;
        while (f < x->r->n_facts && strcmp(x->r->facts[f], text + is_not) != 0)
            f++;
        if (f == x->r->n_facts) {
            refuse(x, "no fact \"%.30s\" so far", text + is_not);
            return;
        }
        *(is_not ? must_not : must) |= UINT64_C(1) << f;
    }
}

/* ---- statements ---- */

static void quat_in(reader *x, const char *what, double rot[9])
{
    double q[4], length = 0;
    numbers(x, what, q, 4);
    for (int k = 0; k < 4; k++)
        length += q[k] * q[k];
    if (!x->failed && fabs(length - 1) > 1e-3)
        refuse(x, "%s: a quaternion has length 1", what);
    length = sqrt(length);
    for (int k = 0; k < 4 && length > 0; k++)
        q[k] /= length;
    vec_of_quat(rot, q);
}

static void joint_in(reader *x)
{
    chain *c = &x->r->arm;
    if (x->joint == CHAIN_JOINTS) {
        refuse(x, "more than %d joints", CHAIN_JOINTS);
        return;
    }
    int i = x->joint++;
    numbers(x, "position", c->pos[i], 3);
    quat_in(x, "orientation", c->rot[i]);
    c->lower[i] = number(x, "lower limit");
    c->upper[i] = number(x, "upper limit");
    c->speed[i] = number(x, "speed");
    c->accel[i] = number(x, "acceleration");
    if (!x->failed && !(c->lower[i] < c->upper[i] && c->speed[i] > 0 && c->accel[i] > 0))
        refuse(x, "a joint's lower limit lies below the upper one, speeds are above 0");
}

/* A capsule or cylinder from one point to another. */
static void along(shape *s, const double from[3], const double to[3], double radius)
{
    double d[3], x[3] = {1, 0, 0}, y[3];
    vec_sub(d, to, from);
    double length = vec_length(d);
    for (int k = 0; k < 3; k++) {
        s->pos[k] = (from[k] + to[k]) / 2;
        d[k] = length > 0 ? d[k] / length : k == 2;
    }
    if (fabs(d[0]) > 0.9) x[0] = 0, x[1] = 1;
    vec_cross(y, d, x);
    double ly = vec_length(y);
    for (int k = 0; k < 3; k++)
        y[k] /= ly;
    vec_cross(x, y, d);
    for (int k = 0; k < 3; k++) {
        s->rot[3 * k] = x[k];
        s->rot[3 * k + 1] = y[k];
        s->rot[3 * k + 2] = d[k];
    }
    s->size[0] = radius;
    s->size[2] = length / 2;
}

static void shape_in(reader *x, shape *s)
{
    static const double level[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const char *type = word(x, "a shape");
    double v[7];
    memset(s, 0, sizeof *s);
    memcpy(s->rot, level, sizeof level);
    if (!strcmp(type, "plane")) {
        s->type = SHAPE_PLANE;
    } else if (!strcmp(type, "box")) {
        s->type = SHAPE_BOX;
        numbers(x, "box: middle and half extents", v, 6);
        memcpy(s->pos, v, 3 * sizeof *v);
        memcpy(s->size, v + 3, 3 * sizeof *v);
        if (is_next(x, "yaw")) {
            x->at++;
            vec_yaw(s->rot, number(x, "yaw"));
        }
    } else if (!strcmp(type, "capsule") || !strcmp(type, "cylinder")) {
        s->type = *type == 'c' && type[1] == 'a' ? SHAPE_CAPSULE : SHAPE_CYLINDER;
        numbers(x, "ends and radius", v, 7);
        along(s, v, v + 3, v[6]);
    } else if (!strcmp(type, "sphere")) {
        s->type = SHAPE_CAPSULE;
        numbers(x, "middle and radius", v, 4);
        memcpy(s->pos, v, 3 * sizeof *v);
        s->size[0] = v[3];
    } else {
        refuse(x, "want plane, box, capsule, cylinder or sphere, got \"%.30s\"", type);
    }
    for (int k = 0; k < 3; k++)
        if (!x->failed && !(s->size[k] >= 0 && s->size[k] < 10))
            refuse(x, "a shape's size is %g m; want 0 to 10", s->size[k]);
    shape_measure(s);
}

static void part_in(reader *x)
{
    static const char *const names[] = {"arm", "hand", "finger"};
    rules *r = x->r;
    int32_t i = grow(x, &r->n_parts, RULES_PARTS, "parts");
    const char *kind = word(x, "arm, hand or finger");
    rules_part *p = &r->parts[i];
    for (int k = 0; k < 3; k++)
        if (!strcmp(kind, names[k])) p->part = 1 << k;
    if (!p->part) refuse(x, "want arm, hand or finger, got \"%.30s\"", kind);
    double frame = number(x, p->part == PART_FINGER ? "side" : "link");
    if (p->part == PART_FINGER) {
        p->side = frame < 0 ? -1 : 1;
        p->frame = CHAIN_HAND;
    } else if (frame >= 0 && frame < CHAIN_FRAMES) {
        p->frame = (int32_t)frame;
    } else
        refuse(x, "a link is 0 (base) to %d (hand)", CHAIN_HAND);
    shape_in(x, &p->at);
}

static rules_node *node_in(reader *x)
{
    rules *r = x->r;
    const char *name = word(x, "a name"), *class = word(x, "a class");
    if (rules_node_of(r, name) >= 0) refuse(x, "a second node %.30s", name);
    rules_node *n = &r->nodes[grow(x, &r->n_nodes, RULES_NODES, "nodes")];
    *n = (rules_node){.class = -1, .parent = -1, .first = r->n_shapes};
    name_to(x, n->name, name);
    for (int32_t c = CLASS_TABLE; c <= CLASS_PLACE; c++)
        if (!strcmp(class, class_names[c])) n->class = c;
    if (n->class < 0)
        refuse(x, "want table, fixture, lid, object or place, got \"%.30s\"", class);
    while (x->at < x->n && !x->failed) {
        const char *key = word(x, "a key");
        if (!strcmp(key, "fixed")) {
            n->is_fixed = 1;
            numbers(x, key, n->home, 3);
        } else if (!strcmp(key, "stands")) {
            n->is_standing = 1;
            n->stands = number(x, key);
        } else if (!strcmp(key, "of")) {
            const char *parent = word(x, "a node");
            n->parent = rules_node_of(r, parent);
            if (n->parent < 0) refuse(x, "no node \"%.30s\" so far", parent);
            numbers(x, "where it is", n->home, 3);
        } else if (!strcmp(key, "grip")) {
            n->grip = number(x, "height of the grip");
            n->width = number(x, "width of the grip");
        } else if (!strcmp(key, "radius")) {
            n->radius = number(x, key);
        } else if (!strcmp(key, "tall")) {
            n->tall = number(x, key);
        } else
            refuse(x, "a node has fixed, stands, of, grip, radius or tall, not \"%.30s\"",
                   key);
    }
    if (!x->failed && (n->class == CLASS_LID || n->class == CLASS_PLACE) && n->parent < 0)
        refuse(x, "a %s says of which node it is part: of NODE X Y Z", class);
    return n;
}

static void node_shape(reader *x)
{
    rules *r = x->r;
    const char *name = word(x, "a node");
    int32_t i = rules_node_of(r, name);
    if (i < 0 || i != r->n_nodes - 1) {
        refuse(x, "shapes follow their node; \"%.30s\" is not the last one", name);
        return;
    }
    int32_t k = grow(x, &r->n_shapes, RULES_SHAPES, "shapes");
    if (x->failed) return;
    shape_in(x, &r->shapes[k]);
    r->nodes[i].n++;
}

static void word_in(reader *x)
{
    int32_t i = grow(x, &x->r->n_words, RULES_WORDS, "words");
    char text[RULES_NAME] = "";
    if (x->failed) return;
    /* several words up to "means" */
    while (x->at < x->n && !is_next(x, "means") && !x->failed) {
        const char *t = word(x, "a word");
        if (strlen(text) + strlen(t) + 2 > sizeof text)
            refuse(x, "a phrase is longer than %d letters", RULES_NAME - 1);
        else
            strcat(strcat(text, *text ? " " : ""), t);
    }
    if (!is_next(x, "means") || !*text) refuse(x, "want: word PHRASE means NODES");
    x->at++;
    strcpy(x->r->words[i].text, text);
    x->r->words[i].nodes = set_of(x, "nodes");
}

static void fact_in(reader *x)
{
    rules *r = x->r;
    int32_t f = grow(x, &r->n_facts, RULES_FACTS, "facts");
    if (x->failed) return;
    name_to(x, r->facts[f], word(x, "a name"));
    do {
        int32_t k = grow(x, &r->n_queries, RULES_QUERIES, "queries");
        if (x->failed) return;
        rules_query *q = &r->queries[k];
        *q = (rules_query){.fact = f, .relation = -2};
        const char *relation = word(x, "a relation");
        for (int32_t i = 0; i < IS_LIMIT; i++)
            if (!strcmp(relation, relation_names[i])) q->relation = i;
        if (!strcmp(relation, "angle")) q->relation = -1;
        if (q->relation == -2)
            refuse(x, "no relation \"%.30s\"; there are " RULES_RELATIONS, relation);
        q->from = set_of(x, "from");
        if (q->relation == -1)
            q->least = number(x, "angle");
        else
            q->to = set_of(x, "to");
        if (!is_next(x, "or")) break;
        x->at++;
    } while (!x->failed);
}

static void keep_in(reader *x, int is_touch)
{
    static const char *const names[] = {"arm", "hand", "finger", "carried"};
    rules *r = x->r;
    int32_t i = grow(x, &r->n_keeps, RULES_KEEPS, "distances");
    if (x->failed) return;
    rules_keep *k = &r->keeps[i];
    *k = (rules_keep){.id = id_of(x, word(x, "a name"))};
    char text[LINE];
    snprintf(text, sizeof text, "%s", word(x, "parts"));
    for (char *save = NULL, *t = strtok_r(text, ",", &save); t;
         t = strtok_r(NULL, ",", &save)) {
        int known = 0;
        for (int p = 0; p < 4; p++)
            if (!strcmp(t, names[p])) k->parts |= 1 << p, known = 1;
        if (!known)
            refuse(x, "no part \"%.30s\"; there are arm, hand, finger and carried", t);
    }
    if (is_next(x, "under")) {
        x->at++;
        k->is_sweep = 1;
    } else if (is_next(x, is_touch ? "on" : "off"))
        x->at++;
    else
        refuse(x, "want: %s",
               is_touch ? "touch RULE PARTS on NODES SPEED [OFF]"
                        : "keep RULE PARTS off NODES CLEAR CLEAR_UP");
    k->nodes = set_of(x, "nodes");
    if (is_touch) {
        k->speed = number(x, "speed");
        if (!x->failed && !(k->speed > 0)) refuse(x, "a speed is above 0");
        if (x->at < x->n && strchr(".0123456789", *x->token[x->at]))
            k->off = number(x, "how far poses may be off");
    } else {
        k->clear = number(x, "clearance sideways");
        k->clear_z = number(x, "clearance up");
    }
    if (is_next(x, "unless") && x->at + 1 < x->n && !strcmp(x->token[x->at + 1], "named")) {
        x->at += 2;
        k->is_unless_named = 1;
    }
    conditions(x, &k->must, &k->must_not);
}

static void test_in(reader *x)
{
    static const char *const names[] = {"hold", "keep_grip", "slow"};
    rules *r = x->r;
    int32_t i = grow(x, &r->n_tests, RULES_TESTS, "rules");
    if (x->failed) return;
    rules_test *t = &r->tests[i];
    *t = (rules_test){.id = id_of(x, word(x, "a name")), .what = -1};
    conditions(x, &t->must, &t->must_not);
    if (!is_next(x, "do"))
        refuse(x, "want: rule NAME when FACTS do hold, keep_grip or slow SHARE");
    x->at++;
    const char *what = word(x, "hold, keep_grip or slow");
    for (int32_t k = 0; k < 3; k++)
        if (!strcmp(what, names[k])) t->what = k;
    if (t->what < 0) refuse(x, "want hold, keep_grip or slow, got \"%.30s\"", what);
    if (t->what == DO_SLOW) t->amount = number(x, "share of the speed");
}

static void limit_in(reader *x)
{
    rules *r = x->r;
    const char *what = word(x, "a limit");
    int32_t id = id_of(x, what);
    if (!strcmp(what, "joint_limit")) {
        r->id_joint = id;
        r->joint_margin = number(x, "margin");
    } else if (!strcmp(what, "velocity_limit")) {
        r->id_speed = id;
        r->speed_part = number(x, "share");
    } else if (!strcmp(what, "acceleration_limit")) {
        r->id_accel = id;
        r->accel_part = number(x, "share");
    } else if (!strcmp(what, "contact_force")) {
        r->id_press = id;
        r->press[0] = number(x, "lead");
        for (int k = 1; k < PRESS_LIMIT; k++)
            r->press[k] = x->at < x->n ? number(x, "lead") : r->press[0];
    } else if (!strcmp(what, "grip_force")) {
        r->id_squeeze = id;
        r->squeeze = r->hold = number(x, "lead");
        if (x->at < x->n) r->hold = number(x, "lead of what is held");
    } else if (!strcmp(what, "workspace_limit")) {
        r->id_box = id;
        numbers(x, "low corner", r->box_low, 3);
        numbers(x, "high corner", r->box_high, 3);
        r->box_margin = number(x, "margin");
    } else
        refuse(
            x,
            "a limit is joint_limit, velocity_limit, acceleration_limit, contact_force or "
            "workspace_limit, not \"%.30s\"",
            what);
}

static void statement(reader *x)
{
    rules *r = x->r;
    const char *key = word(x, "a statement");
    const struct {
        const char *name;
        double *to;
        int n;
    } plain[] = {
        {"base", r->arm.base, 3},        {"action", &r->action_speed, 1},
        {"gripper", &r->width_max, 2},   {"servo", r->servo, 2},
        {"stale", &r->stale, 1},         {"late", &r->late, 1},
        {"slow_late", &r->slow_late, 1}, {"approach", &r->approach, 1},
        {"calm", &r->calm, 1},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(key, plain[i].name)) {
            numbers(x, key, plain[i].to, plain[i].n);
            return;
        }
    if (!strcmp(key, "joint"))
        joint_in(x);
    else if (!strcmp(key, "hand")) {
        numbers(x, "position", r->arm.hand_pos, 3);
        quat_in(x, "orientation", r->arm.hand_rot);
        r->arm.tcp = number(x, "tool centre point");
    } else if (!strcmp(key, "part"))
        part_in(x);
    else if (!strcmp(key, "node"))
        node_in(x);
    else if (!strcmp(key, "shape"))
        node_shape(x);
    else if (!strcmp(key, "word"))
        word_in(x);
    else if (!strcmp(key, "fact"))
        fact_in(x);
    else if (!strcmp(key, "keep") || !strcmp(key, "touch"))
        keep_in(x, *key == 't');
    else if (!strcmp(key, "rule"))
        test_in(x);
    else if (!strcmp(key, "limit"))
        limit_in(x);
    else
        refuse(x, "no statement \"%.30s\"", key);
}

static int is_above_0(const double *v, int n)
{
    while (n > 0 && v[n - 1] > 0)
        n--;
    return n == 0;
}

static void whole(reader *x)
{
    const rules *r = x->r;
    const char *lacks = x->joint < CHAIN_JOINTS                    ? "seven joints"
                        : !(r->action_speed > 0)                   ? "action"
                        : !(r->width_max > 0 && r->grip_speed > 0) ? "gripper"
                        : !(r->servo[0] > 0 && r->servo[1] > 0)    ? "servo"
                        : !(r->stale > 0 && r->late > 0)           ? "stale and late"
                        : !(r->slow_late > 0)                      ? "slow_late"
                        : !(r->approach > 0 && r->calm > 0)        ? "approach and calm"
                        : !(r->speed_part > 0 && r->accel_part > 0)
                            ? "limit velocity_limit and "
                              "acceleration_limit"
                        : !(r->squeeze > 0 && r->hold > 0)   ? "limit grip_force"
                        : !is_above_0(r->press, PRESS_LIMIT) ? "limit contact_force"
                        : !(r->box_low[0] < r->box_high[0])  ? "limit workspace_limit"
                        : !r->n_parts                        ? "a part"
                                                             : NULL;
    if (lacks) refuse(x, "the text ends without %s", lacks);
}

int32_t rules_read(const char *name, const char *text, rules *out, char *why,
                   size_t why_size)
{
    reader x = {.r = out, .name = name, .why = why, .why_size = why_size};
    char line[LINE];
    memset(out, 0, sizeof *out);
    *why = 0;
    for (int f = 0; f < FACT_BUILTIN; f++)
        strcpy(out->facts[out->n_facts++], builtin[f]);
    strcpy(out->nodes[0].name, "gripper");
    out->nodes[0].parent = -1;
    out->n_nodes = 1;
    while (*text && !x.failed) {
        size_t length = strcspn(text, "\n");
        x.line++;
        if (length >= sizeof line) {
            refuse(&x, "the line is longer than %d letters", LINE - 1);
            break;
        }
        memcpy(line, text, length);
        line[length] = 0;
        text += length + (text[length] == '\n');
        line[strcspn(line, "#")] = 0;
        x.n = x.at = 0;
        for (char *save = NULL, *t = strtok_r(line, " \t\r", &save); t;
             t = strtok_r(NULL, " \t\r", &save)) {
            if (x.n == MOST_TOKENS) {
                refuse(&x, "more than %d words in a line", MOST_TOKENS);
                break;
            }
            x.token[x.n++] = t;
        }
        if (!x.n || x.failed) continue;
        statement(&x);
        if (!x.failed && x.at < x.n)
            refuse(&x, "\"%.30s\" is one word too many", x.token[x.at]);
    }
    if (!x.failed) whole(&x);
    return x.failed ? -1 : 0;
}

uint64_t rules_named(const rules *r, const char *instruction)
{
    uint64_t out = 0;
    char text[512], *t = text;
    /* lower case, one blank between words, none other than letters and digits */
    *t++ = ' ';
    for (const char *s = instruction; *s && t < text + sizeof text - 2; s++) {
        if (isalnum((unsigned char)*s))
            *t++ = (char)tolower((unsigned char)*s);
        else if (t[-1] != ' ')
            *t++ = ' ';
    }
    if (t[-1] != ' ') *t++ = ' ';
    *t = 0;
    for (int32_t i = 0; i < r->n_words; i++) {
        char want[RULES_NAME + 2];
        snprintf(want, sizeof want, " %s ", r->words[i].text);
        if (strstr(text, want)) out |= r->words[i].nodes;
    }
    return out;
}
