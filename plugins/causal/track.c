/*
 * track.c -- averages, hinges and hands: a belief about every node from what is observed.
 *
 * Reads: readings with their age, joints, fingers.  Not here: relations (relate.c),
 * distances (bound.c).
 */
#include "track.h"

#include <string.h>

#include "vec.h"

static const double most_fixed = 600, most_still = 60, most_touched = 4, most_held = 15;
static const double jump = 0.012;  /* m of one reading that cannot be noise: it was moved */
static const double drift = 0.004; /* m between recent and long average: the same */
static const double recent_n = 6;
static const double settle = 0.010; /* m above a support that counts as resting on it */
static const double upright = 0.97; /* z of the axis: what is steeper stands */

void track_reset(track *t, const rules *r, const int32_t row_of[RULES_NODES], double period)
{
    static const double level[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    memset(t, 0, sizeof *t);
    t->r = r;
    t->period = period;
    t->taken = -INFINITY;
    t->held = t->gripped = -1;
    memcpy(t->row_of, row_of, sizeof t->row_of);
    for (int32_t i = 0; i < r->n_nodes; i++) {
        memcpy(t->thing[i].rot, level, sizeof level);
        if (r->nodes[i].is_fixed) {
            memcpy(t->thing[i].pos, r->nodes[i].home, sizeof t->thing[i].pos);
            t->thing[i].n = 1;
        }
    }
}

/* Rows that are nearly orthonormal become so: z first, then x. */
static void straighten(double out[9], const double m[9])
{
    double z[3] = {m[2], m[5], m[8]}, x[3] = {m[0], m[3], m[6]}, y[3];
    double length = vec_length(z);
    for (int k = 0; k < 3; k++)
        z[k] = length > 1e-6 ? z[k] / length : k == 2;
    vec_add(x, x, -vec_dot(x, z), z);
    length = vec_length(x);
    if (length < 1e-6) { /* x ran along z: any other will do */
        x[0] = z[2], x[1] = 0, x[2] = -z[0];
        length = vec_length(x);
    }
    for (int k = 0; k < 3; k++)
        x[k] /= length;
    vec_cross(y, z, x);
    for (int k = 0; k < 3; k++) {
        out[3 * k] = x[k];
        out[3 * k + 1] = y[k];
        out[3 * k + 2] = z[k];
    }
}

static void blend(double *mean, const double *one, double share, int n)
{
    for (int k = 0; k < n; k++)
        mean[k] += share * (one[k] - mean[k]);
}

static double apart(const double a[3], const double b[3])
{
    double d[3];
    vec_sub(d, a, b);
    return vec_length(d);
}

/* Averages a reading of something that stands still unless proved otherwise. */
static void average(track_thing *x, const double pos[3], const double rot[9], double most)
{
    if (x->n < 1 || apart(pos, x->mean) > jump) {
        memcpy(x->mean, pos, sizeof x->mean);
        memcpy(x->turn, rot, sizeof x->turn);
        memcpy(x->recent, pos, sizeof x->recent);
        x->n = 1;
        return;
    }
    x->n = fmin(x->n + 1, most);
    blend(x->recent, pos, 1 / fmin(x->n, recent_n), 3);
    blend(x->mean, pos, 1 / x->n, 3);
    blend(x->turn, rot, 1 / x->n, 9);
    if (x->n > recent_n && apart(x->recent, x->mean) > drift) {
        memcpy(x->mean, x->recent, sizeof x->mean);
        x->n = recent_n;
    }
}

/* What stands, stands upright at a height that is known. */
static void stand(track_thing *x, double height)
{
    double yaw = atan2(x->turn[3], x->turn[0]);
    memcpy(x->pos, x->mean, sizeof x->pos);
    x->pos[2] = height;
    vec_yaw(x->rot, yaw);
}

static void place_of(const track *t, int32_t i, double out[3])
{
    const rules_node *n = &t->r->nodes[i];
    const track_thing *p = &t->thing[n->parent];
    vec_turn(out, p->rot, n->home);
    vec_add(out, out, 1, p->pos);
}

static void rest(track *t, int32_t i)
{
    const rules *r = t->r;
    track_thing *x = &t->thing[i];
    straighten(x->rot, x->turn);
    memcpy(x->pos, x->mean, sizeof x->pos);
    if (x->rot[8] < upright) return;
    for (int32_t k = 0; k < r->n_nodes; k++) {
        double at[3];
        if (r->nodes[k].class != CLASS_PLACE || t->row_of[k] >= 0 || r->nodes[k].parent < 0)
            continue;
        place_of(t, k, at);
        if (hypot(x->mean[0] - at[0], x->mean[1] - at[1]) < r->nodes[k].radius + 0.01 &&
            fabs(x->mean[2] - at[2]) < settle) {
            stand(x, at[2]);
            return;
        }
    }
    if (r->nodes[i].is_standing && fabs(x->mean[2] - r->nodes[i].stands) < settle)
        stand(x, r->nodes[i].stands);
}

static void read_lid(track *t, int32_t i, const double rot[9], int is_new)
{
    const rules_node *n = &t->r->nodes[i];
    track_thing *x = &t->thing[i];
    const track_thing *base = &t->thing[n->parent];
    if (is_new && base->n > 0) {
        double in[9];
        vec_mul_back(in, base->rot, rot);
        double angle = atan2(in[2], in[0]); /* about y, -x turns up */
        x->angle = x->n < 1 || fabs(angle - x->angle) > 0.10
                       ? angle
                       : x->angle + (angle - x->angle) * (x->is_touched ? 0.5 : 0.15);
        x->n = 1;
    }
    double swing[9] = {cos(x->angle),  0, sin(x->angle), 0, 1, 0,
                       -sin(x->angle), 0, cos(x->angle)};
    place_of(t, i, x->pos);
    vec_mul(x->rot, base->rot, swing);
}

/* A held thing seen in the hand as it was when the reading was taken. */
static void read_held(track *t, track_thing *x, const double pos[3], const double rot[9],
                      double age)
{
    int32_t back = (int32_t)lround(age / t->period);
    if (back < 0 || back >= t->n_past) return;
    int32_t at = (t->newest - back + TRACK_PAST) % TRACK_PAST;
    double d[3], in[3], in_rot[9];
    vec_sub(d, pos, t->past[at].pos);
    vec_back(in, t->past[at].rot, d);
    vec_mul_back(in_rot, t->past[at].rot, rot);
    if (apart(in, x->in_pos) > 0.02) {
        x->astray++;
        return;
    }
    x->astray = 0;
    x->n_in = fmin(x->n_in + 1, most_held);
    blend(x->in_pos, in, 1 / x->n_in, 3);
    blend(x->in_rot, in_rot, 1 / x->n_in, 9);
}

static void follow_hand(track *t)
{
    track_thing *x = &t->thing[t->held];
    const rules_node *n = &t->r->nodes[t->held];
    double rot[9], up[3], at[3];
    straighten(rot, x->in_rot);
    for (int k = 0; k < 3; k++)
        up[k] = x->in_pos[k] + n->grip * rot[3 * k + 2];
    memcpy(at, x->in_pos, sizeof at);
    at[1] -= up[1]; /* both pads press: its middle is theirs */
    vec_turn(x->pos, t->now.rot[CHAIN_HAND], at);
    vec_add(x->pos, x->pos, 1, t->now.pos[CHAIN_HAND]);
    vec_mul(x->rot, t->now.rot[CHAIN_HAND], rot);
}

void track_grip_point(const track *t, int32_t node, double out[3])
{
    const rules_node *n = &t->r->nodes[node];
    const track_thing *x = &t->thing[node];
    double at[3] = {0, 0, n->grip};
    if (n->class == CLASS_LID && n->n) /* by its knob */
        memcpy(at, t->r->shapes[n->first + n->n - 1].pos, sizeof at);
    vec_turn(out, x->rot, at);
    vec_add(out, out, 1, x->pos);
}

void track_from_tcp(const track *t, const double point[3], double out[3])
{
    double d[3];
    vec_sub(d, point, t->now.tcp);
    vec_back(out, t->now.rot[CHAIN_HAND], d);
}

static int is_around(const track *t, int32_t i, double slack)
{
    double p[3], at[3];
    if (!(t->r->nodes[i].width > 0) || t->thing[i].n < 1) return 0;
    track_grip_point(t, i, p);
    track_from_tcp(t, p, at);
    return fabs(at[0]) < slack && fabs(at[1]) < slack && fabs(at[2]) < slack;
}

int32_t track_load(const track *t)
{
    return t->held >= 0 ? PRESS_CARRIES : t->gripped >= 0 ? PRESS_LEADS : PRESS_EMPTY;
}

/* Both pads press it: they do not move, and are as far apart as it is wide. */
static int is_pressed(const track *t, int32_t i)
{
    double width = t->r->nodes[i].width;
    return is_around(t, i, 0.022) && t->force < -5 && fabs(t->rate) < 0.03 &&
           t->opening < width + 0.002 && t->opening > width - 0.012;
}

/* Held: the fingers press, do not move, and something of their width is between them. */
static void hold(track *t)
{
    const rules *r = t->r;
    if (t->held >= 0) {
        double width = r->nodes[t->held].width;
        track_thing *x = &t->thing[t->held];
        if (t->opening < width + 0.003 && t->opening > width - 0.014 && t->force < 1 &&
            x->astray < 4)
            return;
        memcpy(x->mean, x->pos, sizeof x->mean);
        memcpy(x->turn, x->rot, sizeof x->turn);
        memcpy(x->recent, x->pos, sizeof x->recent);
        x->n = 2;
        t->held = -1;
        return;
    }
    for (int32_t i = 0; i < r->n_nodes; i++) {
        double d[3];
        track_thing *x = &t->thing[i];
        if (r->nodes[i].class == CLASS_LID || !is_pressed(t, i)) continue;
        t->held = i;
        x->astray = 0;
        vec_sub(d, x->pos, t->now.pos[CHAIN_HAND]);
        vec_back(x->in_pos, t->now.rot[CHAIN_HAND], d);
        vec_mul_back(x->in_rot, t->now.rot[CHAIN_HAND], x->rot);
        x->n_in = 4;
        return;
    }
}

/* Gripped: held, or a lid led by its knob. */
static void grip(track *t)
{
    int32_t i = t->gripped;
    t->gripped = t->held;
    if (t->held >= 0) return;
    if (i >= 0 && t->r->nodes[i].class == CLASS_LID && is_around(t, i, 0.03) &&
        t->force < 1 && t->opening < t->r->nodes[i].width + 0.003) {
        t->gripped = i;
        return;
    }
    for (i = 0; i < t->r->n_nodes && t->gripped < 0; i++)
        if (t->r->nodes[i].class == CLASS_LID && is_pressed(t, i)) t->gripped = i;
}

static void read(track *t, const float *reading, double age)
{
    const rules *r = t->r;
    for (int32_t i = 0; i < r->n_nodes; i++) {
        if (t->row_of[i] < 0) continue;
        const float *s = reading + TRACK_SAMPLE * t->row_of[i];
        double pos[3] = {(double)s[0], (double)s[1], (double)s[2]}, rot[9];
        double q[4] = {(double)s[3], (double)s[4], (double)s[5], (double)s[6]};
        vec_of_quat(rot, q);
        track_thing *x = &t->thing[i];
        if (r->nodes[i].class == CLASS_LID)
            read_lid(t, i, rot, 1);
        else if (i == t->held)
            read_held(t, x, pos, rot, age);
        else
            average(x, pos, rot,
                    x->is_touched                       ? most_touched
                    : r->nodes[i].class == CLASS_OBJECT ? most_still
                                                        : most_fixed);
    }
}

static int is_reading(const track *t, const float *reading)
{
    for (int32_t i = 0; i < t->r->n_nodes; i++)
        for (int k = 0; k < TRACK_SAMPLE && t->row_of[i] >= 0; k++)
            if (!(fabsf(reading[TRACK_SAMPLE * t->row_of[i] + k]) < 100)) return 0;
    return 1;
}

void track_tick(track *t, double time, const float *reading, double age,
                const double joints[CHAIN_JOINTS], const float fingers[2], double force)
{
    const rules *r = t->r;
    double opening = (double)fingers[0] + (double)fingers[1];
    chain_forward(&r->arm, joints, &t->now);
    t->newest = (t->newest + 1) % TRACK_PAST;
    t->n_past += t->n_past < TRACK_PAST;
    memcpy(t->past[t->newest].pos, t->now.pos[CHAIN_HAND], sizeof t->now.pos[0]);
    memcpy(t->past[t->newest].rot, t->now.rot[CHAIN_HAND], sizeof t->now.rot[0]);
    t->rate = t->n_past > 1 ? (opening - t->opening) / t->period : 0;
    t->opening = opening;
    t->force = force;
    if (reading && time - age > t->taken + 1e-4 && is_reading(t, reading)) {
        t->taken = time - age;
        read(t, reading, age);
    }
    hold(t);
    grip(t);
    for (int32_t i = 0; i < r->n_nodes; i++) {
        const rules_node *n = &r->nodes[i];
        track_thing *x = &t->thing[i];
        if (n->class == CLASS_LID)
            read_lid(t, i, NULL, 0);
        else if (i == t->held)
            follow_hand(t);
        else if (t->row_of[i] >= 0 && x->n > 0 && n->class == CLASS_OBJECT)
            rest(t, i);
        else if (t->row_of[i] >= 0 && x->n > 0)
            stand(x, n->is_standing ? n->stands : x->mean[2]);
        else if (n->class == CLASS_PLACE && n->parent >= 0) {
            place_of(t, i, x->pos);
            memcpy(x->rot, t->thing[n->parent].rot, sizeof x->rot);
            x->n = t->thing[n->parent].n;
        }
        x->is_touched = n->class == CLASS_OBJECT && i != t->held && is_around(t, i, 0.06);
    }
}
