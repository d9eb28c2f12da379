/*
 * relate.c -- geometry into relations, relations into bits.
 *
 * Not here: where things are (track.c), what follows from a fact (judge.c, bound.c).
 */
#include "relate.h"

#include <string.h>

#include "vec.h"

static const double near_m = 0.012; /* m between the pads' box and a surface */
/* m of a grip point from the TCP, along the hand's axes: centred between the pads; m:
 * between them somewhere */
static const double between_m[3] = {0.010, 0.016, 0.014}, around_m = 0.022;
static const double still_between = 1.4; /* times that, for what was between them before:
                                            the fingers do not stop half-way */
static const double touch_m = 0.004; /* m the opening may be wider than what is between */
static const double in_m = 0.0130;   /* m above a place's floor that a fall does not harm */
static const double on_m = 0.006;    /* m above a support */
static const double shut = 1.4;      /* rad: a lid that is open less blocks what is below */

static void tell(relate *g, int32_t relation, int32_t from, int32_t to)
{
    g->row[relation][from] |= UINT64_C(1) << to;
}

/* Near, between, contact and held: from the gripper. */
static void by_gripper(relate *g, const track *t, int32_t i, int was_between)
{
    const rules_node *n = &t->r->nodes[i];
    const track_thing *x = &t->thing[i];
    /* the room between the open fingers, in hand axes from the TCP */
    static const double box[3] = {0.011, 0.05, 0.028}, middle[3] = {0, 0, -0.019};
    double p[3], at[3], up[3], gap[3];
    track_grip_point(t, i, p);
    track_from_tcp(t, p, at);
    for (int k = 0; k < 3; k++)
        p[k] += (n->tall / 2 - n->grip) * x->rot[3 * k + 2];
    track_from_tcp(t, p, up);
    double least = fmax(n->width / 2, 0.02), slack = was_between ? still_between : 1;
    for (int k = 0; k < 3; k++)
        gap[k] = fmax(0, fabs(up[k] - middle[k]) - box[k] - (k == 2 ? n->tall / 2 : least));
    if (n->class == CLASS_OBJECT && x->n > 0 && vec_length(gap) < near_m)
        tell(g, IS_NEAR, 0, i);
    if (!(n->width > 0)) return;
    int is_between = 1, is_around = 1;
    for (int k = 0; k < 3; k++) {
        is_between &= fabs(at[k]) < slack * between_m[k];
        is_around &= fabs(at[k]) < around_m;
    }
    if (is_between) tell(g, IS_BETWEEN, 0, i);
    if (n->class != CLASS_OBJECT) return;
    if (is_around && t->opening < n->width + touch_m) tell(g, IS_CONTACT, 0, i);
    if (i == t->held) tell(g, IS_HELD, 0, i);
}

static void by_place(relate *g, const track *t, int32_t i, int32_t k)
{
    const rules_node *place = &t->r->nodes[k];
    const track_thing *x = &t->thing[i], *at = &t->thing[k];
    double side = hypot(x->pos[0] - at->pos[0], x->pos[1] - at->pos[1]);
    double up = x->pos[2] - at->pos[2];
    if (side < place->radius && fabs(up) < in_m && x->rot[8] > 0.95) tell(g, IS_IN, i, k);
    if (side < place->radius + 0.03 && fabs(up) < 0.06 && i != t->held)
        tell(g, IS_BLOCKED, k, i);
    if (side < place->radius + 0.005 && fabs(up) < on_m && place->parent >= 0)
        tell(g, IS_ON, i, place->parent);
}

void relate_scene(relate *g, const track *t)
{
    const rules *r = t->r;
    uint64_t between = g->row[IS_BETWEEN][0];
    memset(g->row, 0, sizeof g->row);
    g->row[IS_NAMED][0] = g->named;
    for (int32_t i = 1; i < r->n_nodes; i++) {
        const track_thing *x = &t->thing[i];
        if (x->n < 1) continue;
        if (r->nodes[i].class == CLASS_OBJECT || r->nodes[i].class == CLASS_LID)
            by_gripper(g, t, i, between >> i & 1);
        if (r->nodes[i].class != CLASS_OBJECT) continue;
        for (int32_t k = 1; k < r->n_nodes; k++) {
            const rules_node *n = &r->nodes[k];
            if (t->thing[k].n < 1) continue;
            if (n->class == CLASS_PLACE) by_place(g, t, i, k);
            if (n->class == CLASS_TABLE && fabs(x->pos[2] - t->thing[k].pos[2]) < on_m) {
                tell(g, IS_ON, i, k);
                tell(g, IS_CONTACT, i, k);
            }
        }
        if (g->row[IS_IN][i])
            for (int32_t k = 1; k < r->n_nodes; k++)
                if (g->row[IS_IN][i] >> k & 1 && r->nodes[k].parent >= 0)
                    tell(g, IS_CONTACT, i, r->nodes[k].parent);
    }
    for (int32_t k = 1; k < r->n_nodes; k++)
        for (int32_t i = 1; i < r->n_nodes && r->nodes[k].class == CLASS_PLACE; i++)
            /* a lid covers the places of its parent that lie above half of its hinge */
            if (r->nodes[i].class == CLASS_LID &&
                r->nodes[i].parent == r->nodes[k].parent && t->thing[i].angle < shut &&
                r->nodes[k].home[2] > r->nodes[i].home[2] / 2)
                tell(g, IS_BLOCKED, k, i);
}

uint64_t relate_facts(const relate *g, const track *t)
{
    const rules *r = t->r;
    uint64_t facts = 0;
    for (int32_t q = 0; q < r->n_queries; q++) {
        const rules_query *ask = &r->queries[q];
        for (uint64_t from = ask->from; from; from &= from - 1) {
            int32_t i = __builtin_ctzll(from);
            int is_so = ask->relation < 0 ? t->thing[i].angle >= ask->least
                                          : (g->row[ask->relation][i] & ask->to) != 0;
            if (is_so) facts |= UINT64_C(1) << ask->fact;
        }
    }
    return facts;
}
