/*
 * shape.c -- distance of convex shapes by Gilbert, Johnson and Keerthi 1988.
 *
 * Shapes are cores plus a rounding, so that the answer keeps a direction when surfaces have
 * just met. The simplex is reduced with Ericson's closest-point tests (Real-Time Collision
 * Detection, 2005, section 5.1).
 */
#include "shape.h"

#include <string.h>

#include "vec.h"

enum { MOST_STEPS = 20 };

static const double rounding = 0.002; /* m, of boxes and cylinders, cut off their cores */

static double round_of(const shape *s)
{
    return s->type == SHAPE_CAPSULE ? s->size[0] : rounding;
}

/* The point of the core that lies furthest along dir. */
static void furthest(const shape *s, const double dir[3], double out[3])
{
    double d[3], at[3] = {0, 0, 0};
    vec_back(d, s->rot, dir);
    if (s->type == SHAPE_CAPSULE) {
        at[2] = d[2] < 0 ? -s->size[2] : s->size[2];
    } else if (s->type == SHAPE_CYLINDER) {
        double flat = hypot(d[0], d[1]), r = s->size[0] - rounding,
               h = s->size[2] - rounding;
        at[0] = flat > 1e-12 ? r * d[0] / flat : 0;
        at[1] = flat > 1e-12 ? r * d[1] / flat : 0;
        at[2] = d[2] < 0 ? -h : h;
    } else {
        for (int k = 0; k < 3; k++)
            at[k] = d[k] < 0 ? rounding - s->size[k] : s->size[k] - rounding;
    }
    vec_turn(out, s->rot, at);
    vec_add(out, out, 1, s->pos);
    if (s->type != SHAPE_HULL) return;
    double other[3];
    vec_back(d, s->rot2, dir);
    for (int k = 0; k < 3; k++)
        at[k] = d[k] < 0 ? rounding - s->size[k] : s->size[k] - rounding;
    vec_turn(other, s->rot2, at);
    vec_add(other, other, 1, s->pos2);
    if (vec_dot(other, dir) > vec_dot(out, dir)) memcpy(out, other, sizeof other);
}

typedef struct corner {
    double at[3], a[3], b[3]; /* at = a - b */
} corner;

typedef struct simplex {
    corner c[4];
    double weight[4];
    int32_t n;
} simplex;

static void keep(simplex *s, const int *which, const double *weight, int n)
{
    simplex old = *s;
    for (int i = 0; i < n; i++) {
        s->c[i] = old.c[which[i]];
        s->weight[i] = weight[i];
    }
    s->n = n;
}

static void nearest_2(simplex *s)
{
    double ab[3];
    vec_sub(ab, s->c[1].at, s->c[0].at);
    double len = vec_dot(ab, ab), t = len > 0 ? -vec_dot(s->c[0].at, ab) / len : 0;
    if (t <= 0)
        keep(s, (int[]){0}, (double[]){1}, 1);
    else if (t >= 1)
        keep(s, (int[]){1}, (double[]){1}, 1);
    else
        keep(s, (int[]){0, 1}, (double[]){1 - t, t}, 2);
}

/* Weights of the point of triangle abc nearest to the origin; returns its squared distance.
 */
static double on_triangle(const double a[3], const double b[3], const double c[3],
                          double w[3])
{
    double ab[3], ac[3], p[3];
    vec_sub(ab, b, a);
    vec_sub(ac, c, a);
    double d1 = -vec_dot(ab, a), d2 = -vec_dot(ac, a), d3 = -vec_dot(ab, b),
           d4 = -vec_dot(ac, b), d5 = -vec_dot(ab, c), d6 = -vec_dot(ac, c);
    double vc = d1 * d4 - d3 * d2, vb = d5 * d2 - d1 * d6, va = d3 * d6 - d5 * d4;
    w[0] = w[1] = w[2] = 0;
    if (d1 <= 0 && d2 <= 0)
        w[0] = 1;
    else if (d3 >= 0 && d4 <= d3)
        w[1] = 1;
    else if (d6 >= 0 && d5 <= d6)
        w[2] = 1;
    else if (vc <= 0 && d1 >= 0 && d3 <= 0)
        w[1] = d1 / (d1 - d3), w[0] = 1 - w[1];
    else if (vb <= 0 && d2 >= 0 && d6 <= 0)
        w[2] = d2 / (d2 - d6), w[0] = 1 - w[2];
    else if (va <= 0 && d4 - d3 >= 0 && d5 - d6 >= 0)
        w[2] = (d4 - d3) / (d4 - d3 + d5 - d6), w[1] = 1 - w[2];
    else {
        double sum = va + vb + vc;
        if (!(fabs(sum) > 1e-30)) {
            w[0] = 1;
        } else {
            w[1] = vb / sum;
            w[2] = vc / sum;
            w[0] = 1 - w[1] - w[2];
        }
    }
    for (int k = 0; k < 3; k++)
        p[k] = w[0] * a[k] + w[1] * b[k] + w[2] * c[k];
    return vec_dot(p, p);
}

static void nearest_3(simplex *s)
{
    double w[3], kept[3];
    int which[3], n = 0;
    on_triangle(s->c[0].at, s->c[1].at, s->c[2].at, w);
    for (int i = 0; i < 3; i++)
        if (w[i] > 0) {
            which[n] = i;
            kept[n++] = w[i];
        }
    keep(s, which, kept, n);
}

/* True when the origin lies inside. */
static int nearest_4(simplex *s)
{
    static const int face[4][4] = {{0, 1, 2, 3}, {0, 3, 1, 2}, {0, 2, 3, 1}, {1, 3, 2, 0}};
    double best = INFINITY, best_w[3] = {0};
    int best_face = -1;
    for (int f = 0; f < 4; f++) {
        const double *a = s->c[face[f][0]].at, *b = s->c[face[f][1]].at;
        const double *c = s->c[face[f][2]].at, *d = s->c[face[f][3]].at;
        double ab[3], ac[3], ad[3], n[3], w[3];
        vec_sub(ab, b, a);
        vec_sub(ac, c, a);
        vec_sub(ad, d, a);
        vec_cross(n, ab, ac);
        double inside = vec_dot(ad, n), origin = -vec_dot(a, n);
        if (inside * origin > 0 && fabs(inside) > 1e-18) continue; /* same side as d */
        double distance = on_triangle(a, b, c, w);
        if (distance < best) {
            best = distance;
            best_face = f;
            memcpy(best_w, w, sizeof w);
        }
    }
    if (best_face < 0) return 1;
    int which[3], n = 0;
    double kept[3];
    for (int i = 0; i < 3; i++)
        if (best_w[i] > 0) {
            which[n] = face[best_face][i];
            kept[n++] = best_w[i];
        }
    keep(s, which, kept, n);
    return 0;
}

/* Distance of the cores; 0 when they overlap. */
static double cores(const shape *a, const shape *b, double most, double on_a[3],
                    double on_b[3])
{
    simplex s = {.n = 0};
    double v[3], best = INFINITY;
    vec_sub(v, a->pos, b->pos);
    if (vec_dot(v, v) < 1e-18) v[0] = 1;
    for (int step = 0; step < MOST_STEPS; step++) {
        corner *c = &s.c[s.n];
        double back[3] = {-v[0], -v[1], -v[2]};
        furthest(a, back, c->a);
        furthest(b, v, c->b);
        vec_sub(c->at, c->a, c->b);
        double vv = vec_dot(v, v), gain = vec_dot(v, c->at);
        if (gain > 0 && gain * gain > most * most * vv)
            return INFINITY; /* a separating plane */
        if (step && (vv - gain <= 1e-6 * vv || vv >= best - 1e-16)) break;
        if (step) best = vv;
        s.weight[s.n++] = 1;
        if (s.n == 2) nearest_2(&s);
        if (s.n == 3) nearest_3(&s);
        if (s.n == 4 && nearest_4(&s)) return 0;
        memset(v, 0, sizeof v);
        for (int i = 0; i < s.n; i++)
            vec_add(v, v, s.weight[i], s.c[i].at);
        if (vec_dot(v, v) < 1e-14) return 0;
    }
    memset(on_a, 0, 3 * sizeof *on_a);
    memset(on_b, 0, 3 * sizeof *on_b);
    for (int i = 0; i < s.n; i++) {
        vec_add(on_a, on_a, s.weight[i], s.c[i].a);
        vec_add(on_b, on_b, s.weight[i], s.c[i].b);
    }
    return vec_length(v);
}

static int32_t above_plane(const shape *a, const shape *plane, double most,
                           double *distance, double away[3], double on_a[3], double on_b[3])
{
    for (int k = 0; k < 3; k++)
        away[k] = plane->rot[3 * k + 2];
    double down[3] = {-away[0], -away[1], -away[2]}, d[3];
    furthest(a, down, on_a);
    vec_add(on_a, on_a, -round_of(a), away);
    vec_sub(d, on_a, plane->pos);
    *distance = vec_dot(d, away);
    vec_add(on_b, on_a, -*distance, away);
    return *distance > most ? -1 : 0;
}

int32_t shape_distance(const shape *a, const shape *b, double most, double *distance,
                       double away[3], double on_a[3], double on_b[3])
{
    if (b->type == SHAPE_PLANE) return above_plane(a, b, most, distance, away, on_a, on_b);
    double between[3], round = round_of(a) + round_of(b);
    vec_sub(between, a->pos, b->pos);
    double span = most + a->reach + b->reach;
    if (vec_dot(between, between) > span * span) return -1;
    double core = cores(a, b, most + round, on_a, on_b);
    if (core > most + round) return -1;
    if (core <= 0) {
        double length = vec_length(between);
        for (int k = 0; k < 3; k++)
            away[k] = length > 1e-9 ? between[k] / length : k == 2;
        memcpy(on_a, a->pos, sizeof a->pos);
        memcpy(on_b, b->pos, sizeof b->pos);
        *distance = -round;
        return 0;
    }
    vec_sub(away, on_a, on_b);
    for (int k = 0; k < 3; k++)
        away[k] /= core;
    *distance = core - round;
    vec_add(on_a, on_a, -round_of(a), away);
    vec_add(on_b, on_b, round_of(b), away);
    return 0;
}

double shape_above(const shape *a, const shape *b, double on_a[3])
{
    static const double up[3] = {0, 0, 1}, down[3] = {0, 0, -1};
    double on_b[3];
    furthest(a, down, on_a);
    furthest(b, up, on_b);
    on_a[2] -= round_of(a);
    return on_a[2] - on_b[2] - round_of(b);
}

void shape_measure(shape *s)
{
    if (s->type == SHAPE_CAPSULE)
        s->reach = s->size[2] + s->size[0];
    else if (s->type == SHAPE_CYLINDER)
        s->reach = hypot(s->size[0], s->size[2]);
    else
        s->reach = vec_length(s->size);
    if (s->type != SHAPE_HULL) return;
    double apart[3];
    vec_sub(apart, s->pos2, s->pos);
    s->reach += vec_length(apart);
}
