/*
 * bound.c -- signed distances with margins, made into a small quadratic program.
 *
 * A distance h above its margin may shrink by a fixed share per tick (a discrete control
 * barrier function, Agrawal and Sreenath 2017), so that whatever a policy proposes slows
 * down near a surface and stops at the margin. The program is solved row by row (Hildreth
 * 1957).
 */
#include "bound.h"

#include <string.h>

#include "vec.h"

static const double sight = 0.09; /* m: what is further away cannot be reached in a tick */
static const double close_m = 0.012;    /* m: near contact, motion is calmed */
static const double back = 0.0003;      /* m per tick at which a margin is won back */
static const double joint_share = 0.15; /* per tick, of the way left to a joint's limit */
static const double finger_share =
    0.25; /* fingers are light and stop at once: they may come nearer faster */
static const double least_stiff = 0.12, lid_stop = 1.95; /* share, rad */
enum { SWEEPS = 60, MOST_CARRIED = 8 };

typedef struct solid {
    shape s;
    int32_t frame, side, node; /* node: of what is carried, else -1 */
} solid;

static void put(const shape *in, const double pos[3], const double rot[9], shape *out)
{
    *out = *in;
    vec_turn(out->pos, rot, in->pos);
    vec_add(out->pos, out->pos, 1, pos);
    vec_mul(out->rot, rot, in->rot);
}

/* The room that a lid would sweep when it fell shut. */
static void sweep_of(const track *t, int32_t lid, const shape *in, shape *out)
{
    const rules_node *n = &t->r->nodes[lid];
    const track_thing *base = &t->thing[n->parent], *x = &t->thing[lid];
    shape thin = *in;
    double half = in->size[2];
    /* below its lower face, so that pushing it from above is not meant */
    thin.size[2] = 0.0025;
    thin.pos[2] -= half + 0.006;
    put(&thin, x->pos, x->rot, out);
    shape shut;
    put(&thin, x->pos, base->rot, &shut);
    out->type = SHAPE_HULL;
    memcpy(out->pos2, shut.pos, sizeof out->pos2);
    memcpy(out->rot2, shut.rot, sizeof out->rot2);
    shape_measure(out);
}

static bound_row *add(bound *b, int32_t id, int32_t node)
{
    if (b->n == BOUND_ROWS) {
        b->n_lost++;
        return NULL;
    }
    bound_row *r = &b->rows[b->n++];
    memset(r, 0, sizeof *r);
    r->id = id;
    r->node = node;
    return r;
}

/* A row that this tick can break, or NULL. will: how far the proposal goes along it. */
static bound_row *bind(bound *b, int32_t id, int32_t node, const double row[CHAIN_VARS],
                       double least, const double *wanted, double *will)
{
    double lowest = 0, square = 0;
    *will = 0;
    for (int i = 0; i < CHAIN_VARS; i++) {
        lowest += fmin(row[i] * b->low[i], row[i] * b->high[i]);
        square += row[i] * row[i];
        *will += row[i] * wanted[i];
    }
    bound_row *to = lowest < least && square >= 1e-8 ? add(b, id, node) : NULL;
    if (!to) return NULL;
    memcpy(to->row, row, sizeof to->row);
    to->least = least;
    to->square = square;
    return to;
}

/* A lid gives way along its hinge's arc, and only there: 1 stiff, least_stiff where it is
 * free. */
static double stiffness(const track *t, int32_t lid, const double at[3],
                        const double away[3])
{
    const track_thing *x = &t->thing[lid];
    double axis[3] = {x->rot[1], x->rot[4], x->rot[7]}, arm[3], arc[3];
    vec_sub(arm, at, x->pos);
    vec_cross(arc, axis, arm);
    double length = vec_length(arc),
           along = length > 1e-6 ? vec_dot(arc, away) / length : 0;
    if (along < 0 && x->angle > lid_stop) along = 0; /* it is open as far as it goes */
    if (along > 0 && x->angle < 0.1) along = 0;      /* shut */
    return fmax(least_stiff, 1 - fabs(along));
}

/* Where a solid and a node's shape are nearest. */
typedef struct gap {
    double d, away[3], on_a[3], on_b[3];
} gap;

/* The distance between them, as an inequality. */
static void keep_apart(bound *b, const track *t, const chain_pose *p, const rules_keep *k,
                       const solid *s, const shape *other, int32_t node, const gap *at,
                       const double *wanted)
{
    const rules *r = t->r;
    double d = at->d, away[3], on_a[3], row[CHAIN_VARS] = {0};
    memcpy(away, at->away, sizeof away);
    memcpy(on_a, at->on_a, sizeof on_a);
    double up = fabs(away[2]), flat = sqrt(fmax(0, 1 - up * up)), over[3];
    double clear = k->speed > 0 ? 0 : flat * k->clear + up * k->clear_z;
    /* What is high enough above something is clear of it wherever that stands. */
    double above = k->speed > 0 || other->type == SHAPE_PLANE || k->is_sweep
                       ? -1
                       : shape_above(&s->s, other, over);
    if (above - k->clear_z > d - clear) {
        d = above;
        clear = k->clear_z;
        away[0] = away[1] = 0;
        away[2] = 1;
        memcpy(on_a, over, sizeof over);
    }
    double h = d - clear, share = r->approach * t->period;
    if (k->speed <= 0) b->nearest = fmin(b->nearest, d);
    if (h < close_m && k->speed <= 0) b->is_close |= h < 0.004;
    chain_row(p, s->frame, on_a, away, row);
    if (s->side && !(k->speed > 0)) {
        double y[3] = {p->rot[CHAIN_HAND][1], p->rot[CHAIN_HAND][4], p->rot[CHAIN_HAND][7]};
        row[CHAIN_JOINTS] = finger_share * s->side * vec_dot(y, away) * BOUND_FINGER;
    }
    double least = h > 0 ? -share * h : fmin(back, -share * h);
    double speed = k->speed, stiff = 1;
    if (speed > 0 && r->nodes[node].class == CLASS_LID)
        stiff = stiffness(t, node, at->on_b, away);
    if (speed > 0 && d < 0.004 && stiff > 0.5) b->is_close = 1;
    speed /= stiff;
    /* What is carried may be set down; it need not be pushed against things. */
    if (s->node >= 0) speed *= fmax(up, 0.15);
    if (speed > 0) least = fmin(-speed * t->period, -share * fmax(h, 0));
    double will;
    bound_row *to = bind(b, k->id, node, row, least, wanted, &will);
    if (!to) return;
    to->found = k->speed > 0 ? -will / t->period : d + will;
    to->wanted = k->speed > 0 ? -least / t->period : clear;
}

/* What is carried comes down slowly wherever it may already be above something: where that
 * stands, and how the thing lies in the hand, is known no better than k->off. */
static void come_down(bound *b, const track *t, const chain_pose *p, const rules_keep *k,
                      const solid *s, const shape *other, int32_t node, const gap *at,
                      const double *wanted)
{
    static const double up[3] = {0, 0, 1};
    double over[3], row[CHAIN_VARS] = {0}, above = at->d, will;
    memcpy(over, at->on_a, sizeof over);
    if (other->type != SHAPE_PLANE) above = shape_above(&s->s, other, over);
    double beside =
        at->d > 0 ? hypot(at->on_b[0] - at->on_a[0], at->on_b[1] - at->on_a[1]) : 0;
    if (above < -k->off || beside > k->off) return;
    chain_row(p, s->frame, over, up, row);
    double speed = fmax(k->speed, t->r->approach * (above - k->off));
    bound_row *to = bind(b, k->id, node, row, -speed * t->period, wanted, &will);
    if (!to) return;
    to->found = -will / t->period;
    to->wanted = speed;
}

static void all_distances(bound *b, const track *t, const relate *g, uint64_t facts,
                          const chain_pose *p, const solid *solids, const int32_t *parts,
                          int32_t n_solids, const double *wanted)
{
    const rules *r = t->r;
    for (int32_t j = 0; j < r->n_keeps; j++) {
        const rules_keep *k = &r->keeps[j];
        if ((facts & k->must) != k->must || (facts & k->must_not)) continue;
        uint64_t nodes = k->nodes;
        if (k->is_unless_named) nodes &= ~g->named;
        for (; nodes; nodes &= nodes - 1) {
            int32_t i = __builtin_ctzll(nodes);
            const rules_node *n = &r->nodes[i];
            const track_thing *x = &t->thing[i];
            if (x->n < 1 || i == t->held) continue;
            for (int32_t m = 0; m < n->n; m++) {
                shape other;
                const shape *in = &r->shapes[n->first + m];
                if (k->is_sweep && (n->class != CLASS_LID || m > 0)) break;
                if (k->is_sweep)
                    sweep_of(t, i, in, &other);
                else
                    put(in, x->pos, x->rot, &other);
                for (int32_t a = 0; a < n_solids; a++) {
                    const solid *s = &solids[a];
                    gap at;
                    if (!(parts[a] & k->parts) || s->node == i ||
                        shape_distance(&s->s, &other, sight, &at.d, at.away, at.on_a,
                                       at.on_b) < 0)
                        continue;
                    keep_apart(b, t, p, k, s, &other, i, &at, wanted);
                    if (k->off > 0) come_down(b, t, p, k, s, &other, i, &at, wanted);
                }
            }
        }
    }
}

static void box_rows(bound *b, const track *t, const chain_pose *p, const double *wanted)
{
    const rules *r = t->r;
    for (int k = 0; k < 3; k++)
        for (int s = -1; s <= 1; s += 2) {
            double dir[3] = {0}, row[CHAIN_VARS] = {0}, will = 0, square = 0;
            dir[k] = s;
            double edge = s > 0 ? r->box_low[k] : r->box_high[k];
            double h = s * (p->tcp[k] - edge) - r->box_margin;
            if (h > 0.15) continue;
            chain_row(p, CHAIN_HAND, p->tcp, dir, row);
            for (int i = 0; i < CHAIN_VARS; i++) {
                will += row[i] * wanted[i];
                square += row[i] * row[i];
            }
            bound_row *to = add(b, r->id_box, -1);
            if (!to) return;
            memcpy(to->row, row, sizeof row);
            to->square = square;
            to->least = h > 0 ? -r->approach * t->period * h : fmin(back, -h);
            to->found = h + r->box_margin + will;
            to->wanted = r->box_margin;
        }
}

/* Do not push further, and give way slowly. */
static void press_row(bound *b, const track *t, const chain_pose *p, const double lead[3])
{
    const rules *r = t->r;
    double most = r->press[track_load(t)], dir[3], row[CHAIN_VARS] = {0}, square = 0;
    double length = vec_length(lead);
    if (length < most / 2) return;
    b->is_close = 1;
    if (length < most) return;
    for (int k = 0; k < 3; k++)
        dir[k] = -lead[k] / length;
    chain_row(p, CHAIN_HAND, p->tcp, dir, row);
    for (int i = 0; i < CHAIN_VARS; i++)
        square += row[i] * row[i];
    bound_row *to = add(b, r->id_press, -1);
    if (!to) return;
    memcpy(to->row, row, sizeof row);
    to->square = square;
    to->least = fmin(0.002, 0.15 * (length - most));
    to->found = length;
    to->wanted = most;
}

void bound_collect(bound *b, const track *t, const relate *g, uint64_t facts,
                   const double command[CHAIN_JOINTS], const double fingers[2],
                   const double lead[3], const double wanted[CHAIN_VARS])
{
    const rules *r = t->r;
    const chain *c = &r->arm;
    solid solids[RULES_PARTS + MOST_CARRIED];
    int32_t parts[RULES_PARTS + MOST_CARRIED], n = 0;
    chain_pose p;
    b->n = b->n_lost = b->is_close = 0;
    b->nearest = 1;
    for (int i = 0; i < CHAIN_JOINTS; i++) {
        double most = r->speed_part * c->speed[i] * t->period;
        double down = command[i] - c->lower[i] - r->joint_margin;
        double up = c->upper[i] - r->joint_margin - command[i];
        b->low[i] = fmax(-most, fmin(0, -joint_share * down));
        b->high[i] = fmin(most, fmax(0, joint_share * up));
    }
    double way = r->grip_speed * t->period / 2 / BOUND_FINGER;
    b->low[CHAIN_JOINTS] = -way;
    b->high[CHAIN_JOINTS] = way;
    chain_forward(c, command, &p);
    for (int32_t i = 0; i < r->n_parts; i++) {
        const rules_part *part = &r->parts[i];
        shape moved = part->at;
        if (part->side) moved.pos[1] += part->side * fingers[part->side < 0];
        solids[n] = (solid){.frame = part->frame, .side = part->side, .node = -1};
        put(&moved, p.pos[part->frame], p.rot[part->frame], &solids[n].s);
        parts[n++] = part->part;
    }
    /* what the fingers touch goes with them, held or not yet */
    uint64_t carried = g->row[IS_HELD][0] | (g->row[IS_CONTACT][0] & g->named);
    for (; carried; carried &= carried - 1) {
        int32_t i = __builtin_ctzll(carried);
        const track_thing *x = &t->thing[i];
        const rules_node *node = &r->nodes[i];
        double d[3], in[3], in_rot[9], pos[3], rot[9];
        /* where the command takes it: its place in the measured hand, from the commanded
         * one */
        vec_sub(d, x->pos, t->now.pos[CHAIN_HAND]);
        vec_back(in, t->now.rot[CHAIN_HAND], d);
        vec_mul_back(in_rot, t->now.rot[CHAIN_HAND], x->rot);
        vec_turn(pos, p.rot[CHAIN_HAND], in);
        vec_add(pos, pos, 1, p.pos[CHAIN_HAND]);
        vec_mul(rot, p.rot[CHAIN_HAND], in_rot);
        for (int32_t m = 0; m < node->n && n < RULES_PARTS + MOST_CARRIED; m++) {
            solids[n] = (solid){.frame = CHAIN_HAND, .node = i};
            put(&r->shapes[node->first + m], pos, rot, &solids[n].s);
            parts[n++] = PART_CARRIED;
        }
    }
    all_distances(b, t, g, facts, &p, solids, parts, n, wanted);
    box_rows(b, t, &p, wanted);
    press_row(b, t, &p, lead);
}

/* Returns the worst breach that is left. */
static double sweep(bound *b, double step[CHAIN_VARS], double box[CHAIN_VARS][2])
{
    double worst = 0;
    for (int32_t i = 0; i < b->n; i++) {
        bound_row *r = &b->rows[i];
        double at = 0;
        for (int k = 0; k < CHAIN_VARS; k++)
            at += r->row[k] * step[k];
        double lack = r->least - at, push = fmax(0, r->push + lack / r->square);
        if (lack > worst) worst = lack;
        double more = push - r->push;
        if (more == 0) continue;
        r->push = push;
        for (int k = 0; k < CHAIN_VARS; k++)
            step[k] += more * r->row[k];
    }
    for (int k = 0; k < CHAIN_VARS; k++)
        for (int s = 0; s < 2; s++) {
            double lack = s ? step[k] - b->high[k] : b->low[k] - step[k];
            double push = fmax(0, box[k][s] + lack), more = push - box[k][s];
            if (lack > worst) worst = lack;
            box[k][s] = push;
            step[k] += s ? -more : more;
        }
    return worst;
}

static double solve(bound *b, const double wanted[CHAIN_VARS], double step[CHAIN_VARS])
{
    double box[CHAIN_VARS][2] = {{0}}, worst = 0;
    memcpy(step, wanted, CHAIN_VARS * sizeof *step);
    for (int32_t i = 0; i < b->n; i++)
        b->rows[i].push = 0;
    for (int n = 0; n < SWEEPS; n++) {
        worst = sweep(b, step, box);
        if (worst < 1e-7) break;
    }
    return worst;
}

int32_t bound_solve(bound *b, const double wanted[CHAIN_VARS], double step[CHAIN_VARS])
{
    double worst = solve(b, wanted, step), most = 0;
    if (worst > 2e-5) {
        /* Margins cannot all be won back at once: then none is lost. Standing still does
         * that. */
        for (int32_t i = 0; i < b->n; i++)
            b->rows[i].least = fmin(b->rows[i].least, 0);
        worst = solve(b, wanted, step);
        for (int k = 0; k < CHAIN_VARS && worst > 1e-4; k++)
            step[k] = 0;
    }
    int32_t which = -1;
    for (int k = 0; k < CHAIN_VARS; k++)
        step[k] = vec_clip(step[k], b->low[k], b->high[k]);
    for (int32_t i = 0; i < b->n; i++) {
        double bend = b->rows[i].push * sqrt(b->rows[i].square);
        if (bend > 1e-5 && bend > most) {
            most = bend;
            which = i;
        }
    }
    return which;
}
