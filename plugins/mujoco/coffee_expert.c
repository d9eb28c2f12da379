/*
 * coffee_expert.c -- the teacher of the coffee scene: state and goal in, action out.
 *
 * No clock, no stage, no memory: what to do next is read off the geometry in every tick, so
 * any state a learner stumbles into can be labelled. Where two rules meet, the way in is
 * narrower than the way out (a thing counts as held once the fingers rest on it, a mug as
 * placed a little before it is let go), which gives hysteresis without a variable. Rules
 * blend into each other over centimetres (`share`): who learns from this sees readings with
 * millimetres of noise and answers with a mean, and the mean of two rules that contradict
 * each other is to stand still. Reads: joints, poses, lid angle, goal.
 * Not here: success (coffee_judge.c).
 */
#include "coffee.h"

#include <math.h>
#include <string.h>

static const double across = 0.50;      /* m/s above the table */
static const double gentle = 0.12;      /* m/s next to the machine */
static const double carried_spin = 1.0; /* rad/s of a hand that holds something */
static const double nearby =
    0.06; /* m in front of the place under the spout: the slot's mouth */

typedef struct sight {
    const world *w;
    const coffee_goal *goal;
    hand hand;
    double machine[3], yaw;
    double tcp[3]; /* in machine coordinates */
    double lid;    /* rad */
    move out;
    bool is_carrying;
} sight;

/* How far x lies on the way from `none` to `whole`, 0 to 1. */
static double share(double x, double none, double whole)
{
    return mju_clip((x - none) / (whole - none), 0, 1);
}

static void blend(double a[3], const double b[3], double t)
{
    for (int k = 0; k < 3; k++)
        a[k] += t * (b[k] - a[k]);
}

static void to_machine(const sight *s, const double p[3], double out[3])
{
    double d[3] = {p[0] - s->machine[0], p[1] - s->machine[1], p[2] - s->machine[2]};
    double c = cos(s->yaw), n = sin(s->yaw);
    out[0] = c * d[0] + n * d[1];
    out[1] = c * d[1] - n * d[0];
    out[2] = d[2];
}

static void from_machine(const sight *s, double x, double y, double z, double out[3])
{
    double c = cos(s->yaw), n = sin(s->yaw);
    out[0] = s->machine[0] + c * x - n * y;
    out[1] = s->machine[1] + n * x + c * y;
    out[2] = s->machine[2] + z;
}

static void look(const world *w, sight *s)
{
    memset(s, 0, sizeof *s);
    s->w = w;
    s->goal = &coffee_goals[w->goal];
    motion_see(w, &s->hand);
    const double *r = world_axes(w, COFFEE_MACHINE);
    memcpy(s->machine, world_position(w, COFFEE_MACHINE), sizeof s->machine);
    s->yaw = atan2(r[3], r[0]);
    to_machine(s, s->hand.pos, s->tcp);
    s->lid = w->d->qpos[w->m->jnt_qposadr[w->hinge]];
    s->out.grip = -1;
}

static bool is_mug(int32_t body) { return body <= COFFEE_BLUE; }

/* Where the TCP belongs on an object that stands upright. */
static void grip_point(const sight *s, int32_t body, double out[3])
{
    const double *p = world_position(s->w, body), *r = world_axes(s->w, body);
    double up = is_mug(body) ? MUG_GRIP : POD_GRIP;
    for (int k = 0; k < 3; k++)
        out[k] = p[k] + up * r[3 * k + 2];
}

/* The object's grip point seen from the hand, in tool axes. */
static void in_hand(const sight *s, const double point[3], double out[3])
{
    double d[3];
    mju_sub3(d, point, s->hand.pos);
    mju_rotVecMatT(out, d, s->hand.mat);
}

static bool is_between(const sight *s, const double point[3], double slack)
{
    double at[3];
    in_hand(s, point, at);
    return fabs(at[0]) < slack && fabs(at[1]) < 0.6 * slack && fabs(at[2]) < slack;
}

/* The fingers rest on something up to `wide` that is between them. */
static bool is_gripping(const sight *s, const double point[3], double wide)
{
    return is_between(s, point, 0.016) && s->hand.width < wide + 0.0008 &&
           s->hand.width > wide - 0.010 && fabs(s->hand.closing) < 0.02;
}

static bool is_held(const sight *s, int32_t body)
{
    double point[3];
    grip_point(s, body, point);
    /* The mug's wall has twelve sides: over its edges it is a little wider. */
    return is_gripping(s, point, 2 * (is_mug(body) ? MUG_RADIUS / 0.966 : POD_RADIUS));
}

/* Held: well placed and all the way down. Free: where it may stay; a free mug stands, so
 * its height, of which a sensor knows little, hardly counts. */
static bool is_mug_served(const sight *s, int32_t mug)
{
    double at[3];
    to_machine(s, world_position(s->w, mug), at);
    if (!is_held(s, mug))
        return hypot(at[0] - SPOUT_X, at[1]) < MUG_RADIUS - 0.005 &&
               at[2] < PLATE_Z + 0.009;
    return fabs(at[0] - PLACE_X) < 0.0085 && fabs(at[1]) < 0.0085 &&
           at[2] < PLATE_Z + 0.006;
}

static bool is_mug_cleared(const sight *s, int32_t mug)
{
    const double *p = world_position(s->w, mug), *to = world_position(s->w, COFFEE_MARKER);
    double off = hypot(p[0] - to[0], p[1] - to[1]);
    return is_held(s, mug) ? off < 0.020 && p[2] < 0.006 : off < 0.028 && p[2] < 0.009;
}

/* Held: deep enough to be let go, the rest it falls. Free: deep enough to fall by itself.
 */
static bool is_pod_in(const sight *s, int32_t pod)
{
    double depth = is_held(s, pod) ? 0.017 : 0.008;
    double at[3];
    to_machine(s, world_position(s->w, pod), at);
    double play = HOLDER_RADIUS - POD_RADIUS + 0.003;
    return hypot(at[0] - HOLDER_X, at[1]) < play && at[2] < HOLDER_RIM - depth;
}

/* 1: the hand is in front of the machine where only the slot's axis leads out. */
static double in_slot(const sight *s)
{
    const double mouth = PLACE_X - nearby, *at = s->tcp;
    return share(at[0], mouth - 0.012, mouth + 0.012) * share(at[0], 0.03, 0.01) *
           share(fabs(at[1]), 0.15, 0.13) * share(at[2], 0.20, 0.18);
}

/* Tilts only when low: higher up the shoulder (joint 2 near 0) and the wrist (joint 6 near
 * 180 degrees) would be singular at the same time. */
static void face(sight *s, double heading, double tilt)
{
    double mat[9], low = mju_clip((0.29 - s->hand.pos[2]) / 0.09, 0, 1);
    motion_tool(heading, tilt * low, mat);
    motion_turn(&s->hand, mat, &s->out);
}

/* Into the slot along its axis: sideways and height first, forward as these vanish.
 * `at` is in machine coordinates and moves with the hand. */
static void enter_slot(sight *s, const double at[3], double x, double y, double height)
{
    double from[3], to[3], off = hypot(at[1] - y, at[2] - height);
    double open = mju_clip(1.8 - off / 0.015, 0, 1);
    from_machine(s, at[0], at[1], at[2], from);
    from_machine(s, at[0] + open * (x - at[0]), y, height, to);
    face(s, s->yaw, MUG_TILT);
    motion_straight(from, to, 0.25, &s->out);
}

/* Where to head for the slot's mouth from `at` (machine coordinates): forward first, then
 * across, since the straight way from beside the machine would cut its corner. */
static void to_mouth(const sight *s, const double at[3], double height, double out[3])
{
    double aside = fabs(at[1]), x = PLACE_X - nearby - 0.01;
    x -= mju_clip(0.8 * (aside - 0.01), 0, 0.06);
    double forward = share(at[0], x + 0.01, x + 0.05) * share(aside, 0.02, 0.05);
    from_machine(s, x, forward * at[1], height, out);
}

/* The straight way from `at` to `goal` (machine coordinates) may lead back into the slot:
 * moves `out`, the goal, towards a place beside the machine's front. Returns how much. */
static double detour(const sight *s, const double at[3], const double goal[3],
                     double height, double out[3])
{
    const double front = PLACE_X - nearby - 0.04;
    double side = goal[1] < 0 ? -1 : 1, left = side * (goal[1] - at[1]);
    double way[3], much = share(fabs(at[1]), 0.22, 0.12) * share(at[0], 0.03, -0.01) *
                          share(at[2], 0.22, 0.19) * share(fabs(goal[1]), 0.12, 0.17) *
                          share(goal[0], front - 0.03, front + 0.03) *
                          share(left, 0.01, 0.06);
    from_machine(s, front, side * 0.20, height, way);
    blend(out, way, much);
    return much;
}

/* Waits until the fingers are off what is between them. True: it does. */
static bool is_releasing(const sight *s)
{
    static const double knob[3] = {-KNOB_ALONG, 0, KNOB_ABOVE};
    double point[3], lid[3];
    bool is_around = false;
    for (int32_t i = COFFEE_RED; i <= COFFEE_ORANGE; i++) {
        grip_point(s, i, point);
        is_around = is_around || is_between(s, point, 0.02);
    }
    mju_rotVecMat(lid, knob, world_axes(s->w, COFFEE_LID));
    mju_addTo3(lid, world_position(s->w, COFFEE_LID));
    is_around = is_around || is_between(s, lid, 0.015);
    return is_around && s->hand.width < 0.072;
}

/* Out of the slot along its axis before anything else: replaces what was wanted by as much
 * as the hand is in there. */
static void leave_slot(sight *s)
{
    double to[3], much = in_slot(s);
    move own = s->out;
    if (!(much > 0)) return;
    from_machine(s, PLACE_X - nearby - 0.02, s->tcp[1], s->tcp[2], to);
    face(s, s->yaw, MUG_TILT);
    motion_straight(s->hand.pos, to, 0.3, &s->out);
    blend(own.v, s->out.v, much);
    blend(own.w, s->out.w, much);
    s->out = own;
}

/* A grip that is not yet firm must not be pulled at. */
static double firmness(const sight *s)
{
    return share(-s->w->torque[ARM_ACTIONS - 1], 7, 16);
}

static double heading_to(const double p[3]) { return atan2(p[1], p[0]); }

static void pick(sight *s, int32_t body)
{
    double point[3], local[3], at[3];
    grip_point(s, body, point);
    to_machine(s, point, local);
    in_hand(s, point, at);
    bool is_inside = local[0] > PLACE_X - 0.05 && fabs(local[1]) < 0.06;
    const double cruise = point[2] + 0.12;
    bool is_wide = is_mug(body); /* hardly narrower than the open fingers */
    bool is_here = fabs(at[0]) < 0.010 && fabs(at[1]) < (is_wide ? 0.0075 : 0.010) &&
                   fabs(at[2]) < 0.010;
    /* Once the fingers close they may drift a little before they hold. */
    if (is_here || (is_between(s, point, 0.018) && s->hand.width < 0.074)) {
        s->out.grip = 1;
        motion_straight(s->hand.pos, point, gentle, &s->out);
        return;
    }
    funnel f = {cruise, is_wide ? 0.006 : 0.010, is_wide ? 3 : 2.5, across, 0};
    f.floor = 0.06 * share(s->hand.width, 0.076, 0.070);
    if (is_inside && is_mug(body)) {
        double height = local[2];
        bool at_mouth = s->tcp[0] < PLACE_X - nearby + 0.02 || fabs(s->tcp[1]) < 0.01;
        if (at_mouth && fabs(s->tcp[1]) < 0.03 && fabs(s->tcp[2] - height) < 0.03 &&
            s->tcp[0] > PLACE_X - nearby - 0.05) {
            enter_slot(s, s->tcp, local[0], mju_clip(local[1], -0.01, 0.01), height);
            return;
        }
        if (is_releasing(s)) return;
        to_mouth(s, s->tcp, height, point);
        face(s, s->yaw, MUG_TILT);
    } else {
        if (is_releasing(s)) return;
        face(s, heading_to(point), is_mug(body) ? MUG_TILT : 0);
        detour(s, s->tcp, local, cruise, point);
    }
    motion_funnel(s->hand.pos, point, &f, &s->out);
    leave_slot(s);
}

static void serve(sight *s, int32_t mug)
{
    double at[3], to[3];
    const double *p = world_position(s->w, mug), low = PLATE_Z;
    const double over = PLATE_Z + 0.012;
    to_machine(s, p, at);
    s->out.grip = 1;
    s->is_carrying = true;
    if (fabs(at[1]) < 0.03 && fabs(at[2] - over) < 0.03 &&
        at[0] > PLACE_X - nearby - 0.06) {
        /* In along the axis; down as the tray's middle comes below it. */
        double off = hypot(at[0] - PLACE_X, at[1]);
        enter_slot(s, at, PLACE_X, 0, low + share(off, 0.004, 0.009) * (over - low));
        return;
    }
    to_mouth(s, at, over, to);
    funnel f = {0.12, 0.008, 2, across, 0};
    face(s, s->yaw, MUG_TILT);
    motion_funnel(p, to, &f, &s->out);
}

static void clear(sight *s, int32_t mug)
{
    double at[3], to[3], spot[3], out[3];
    const double *p = world_position(s->w, mug), mouth = PLACE_X - nearby;
    to_machine(s, p, at);
    s->out.grip = 1;
    s->is_carrying = true;
    mju_copy3(to, world_position(s->w, COFFEE_MARKER));
    to_machine(s, to, spot);
    funnel f = {0.12, 0.016, 2, across, 0};
    to[2] = 0;
    double heading = heading_to(to);
    double inside = share(at[0], mouth - 0.012, mouth + 0.012) *
                    share(fabs(at[1]), 0.11, 0.09) * share(at[2], 0.16, 0.14);
    double much = fmax(inside, detour(s, at, spot, 0.12, to));
    face(s, heading + much * remainder(s->yaw - heading, 2 * mjPI), MUG_TILT);
    motion_funnel(p, to, &f, &s->out);
    if (!(inside > 0)) return;
    /* Off the tray first, then straight out. */
    double up = share(at[2], PLATE_Z + 0.010, PLATE_Z + 0.003);
    move own = s->out;
    from_machine(s, (1 - up) * (mouth - 0.02) + up * at[0], at[1],
                 fmax(at[2], PLATE_Z + 0.014), out);
    motion_straight(p, out, 0.25, &s->out);
    blend(own.v, s->out.v, inside);
    s->out = own;
}

/* Over the holder until the pod is above its middle; inside, the ring leads. */
static void insert(sight *s, int32_t pod)
{
    double to[3], at[3];
    const double *p = world_position(s->w, pod), low = HOLDER_RIM - 0.021;
    from_machine(s, HOLDER_X, 0, low, to);
    to_machine(s, p, at);
    double off = hypot(at[0] - HOLDER_X, at[1]);
    double outside = fmax(share(at[2], HOLDER_RIM - 0.006, HOLDER_RIM - 0.001),
                          share(off, 0.008, 0.012));
    s->out.grip = 1;
    s->is_carrying = true;
    face(s, s->yaw, 0);
    funnel f = {0.32, 0.005, 2, across, 0};
    f.limit = 0.15 + share(at[2], HOLDER_RIM + 0.02, HOLDER_RIM + 0.09) * (across - 0.15);
    f.floor = outside * share(off, 0.0025, 0.0045) * (HOLDER_RIM + 0.004 - low);
    motion_funnel(p, to, &f, &s->out);
}

/* ---- the lid ---- */

static const double side = 0.047; /* m beside the knob, where a hand closes the lid */

/* Behind the lid a closed hand comes down; where it is low enough it pushes. */
static void push_lid(sight *s)
{
    const double height = HINGE_Z + 0.055 + ARM_PAD_BELOW, start = HINGE_X + 0.075;
    /* where the lid is at the hand's height */
    double lid_x =
        HINGE_X - (s->tcp[2] - ARM_PAD_BELOW - HINGE_Z) * cos(s->lid) / sin(s->lid);
    double behind =
        share(s->tcp[0], lid_x, lid_x + 0.008) * share(fabs(s->tcp[1] - side), 0.035, 0.02);
    double to[3], x = start + behind * (fmin(s->tcp[0], start) - start);
    if (behind < 1) {
        if (s->tcp[2] < HINGE_Z + 0.06 && s->hand.width > 0.01)
            s->out.grip = -1; /* fingers may still be around the pod */
        if (is_releasing(s)) return;
    }
    face(s, s->yaw, 0);
    from_machine(s, x, side, height, to);
    funnel f = {0.40, 0.010, 2.5, across, 0.08 * share(s->hand.width, 0.006, 0.02)};
    motion_funnel(s->hand.pos, to, &f, &s->out);
    leave_slot(s);
    move push = {.grip = 1};
    from_machine(s, HINGE_X - 0.06, side, height, to);
    motion_straight(s->hand.pos, to, 0.16, &push);
    blend(s->out.v, push.v,
          behind * share(s->hand.width, 0.012, 0.006) *
              share(s->tcp[2], height + 0.035, height + 0.012));
}

/* Past upright gravity does the rest; a lid that stops half-way is pressed from above. */
static void close_lid(sight *s)
{
    double to[3];
    s->out.grip = 1;
    if (s->lid > 0.80) {
        push_lid(s);
        return;
    }
    /* Falling by itself: stay above it; press only where it is at rest. */
    face(s, s->yaw, 0);
    double rate = s->w->d->qvel[s->w->m->jnt_dofadr[s->w->hinge]];
    double reach = 0.07, above = HINGE_Z + reach * sin(s->lid) + 0.004 + ARM_PAD_BELOW;
    bool is_falling = rate < -0.02 && s->lid > 0.15;
    from_machine(s, HINGE_X - reach * cos(s->lid), side, above - 0.004, to);
    funnel f = {0.38, 0.006, 3, 0.3, is_falling ? 0.10 : 0};
    motion_funnel(s->hand.pos, to, &f, &s->out);
    double press = -gentle / 2;
    if (!is_falling && s->out.v[2] < press && s->hand.pos[2] < to[2] + 0.02)
        s->out.v[2] = press;
}

/* The knob is gripped from above and led along its arc; past upright the lid falls back
 * alone. */
static void open_lid(sight *s)
{
    double knob[3], ahead[3], local[3];
    const double step = 0.14, angle = s->lid + step;
    from_machine(s, HINGE_X - KNOB_ALONG * cos(s->lid) + KNOB_ABOVE * sin(s->lid), 0,
                 HINGE_Z + KNOB_ALONG * sin(s->lid) + KNOB_ABOVE * cos(s->lid), knob);
    from_machine(s, HINGE_X - KNOB_ALONG * cos(angle) + KNOB_ABOVE * sin(angle), 0,
                 HINGE_Z + KNOB_ALONG * sin(angle) + KNOB_ABOVE * cos(angle), ahead);
    in_hand(s, knob, local);
    bool is_here =
        fabs(local[0]) < 0.009 && fabs(local[1]) < 0.008 && fabs(local[2]) < 0.010;
    if (is_gripping(s, knob, 2 * KNOB_RADIUS)) {
        s->out.grip = 1;
        face(s, s->yaw, 0);
        motion_straight(s->hand.pos, ahead, 0.16, &s->out);
        return;
    }
    if (is_here || (is_between(s, knob, 0.015) && s->hand.width < 0.074)) {
        s->out.grip = 1;
        face(s, s->yaw, 0);
        motion_straight(s->hand.pos, knob, gentle, &s->out);
        return;
    }
    if (is_releasing(s)) return;
    face(s, s->yaw, 0);
    funnel f = {knob[2] + 0.08, 0.008, 2.5, across, 0};
    f.floor = 0.05 * share(s->hand.width, 0.076, 0.070);
    motion_funnel(s->hand.pos, knob, &f, &s->out);
    leave_slot(s);
}

/* ---- what to do ---- */

/* Nothing left to do: away from everything, open, still. */
static void rest(sight *s)
{
    double up[3] = {s->hand.pos[0], s->hand.pos[1], 0.36};
    bool near_lid = fabs(s->tcp[1]) < 0.12 && s->tcp[0] > -0.12 && s->tcp[2] < 0.30;
    if (is_releasing(s)) return;
    s->out.grip = near_lid && s->hand.width < 0.03 ? 1 : -1;
    if (s->hand.pos[2] < 0.36) motion_straight(s->hand.pos, up, 0.35, &s->out);
    leave_slot(s);
}

static void fetch_pod(sight *s, int32_t pod)
{
    if (is_held(s, pod))
        insert(s, pod);
    else if (s->lid < 1.70)
        open_lid(s);
    else
        pick(s, pod);
}

static void fetch_mug(sight *s, int32_t mug)
{
    if (is_held(s, mug))
        serve(s, mug);
    else
        pick(s, mug);
}

void coffee_expert(const world *w, float action[ARM_ACTIONS])
{
    sight s;
    look(w, &s);
    const coffee_goal *g = s.goal;
    bool wants_mug =
        (g->task == TASK_BREW || g->task == TASK_SERVE) && !is_mug_served(&s, g->mug);
    bool wants_pod =
        (g->task == TASK_BREW || g->task == TASK_LOAD) && !is_pod_in(&s, g->pod);
    bool wants_lid = g->task != TASK_SERVE && g->task != TASK_OPEN && g->task != TASK_CLEAR;
    if (wants_pod && is_held(&s, g->pod)) /* what is in the hand is finished first */
        insert(&s, g->pod);
    else if (wants_mug)
        fetch_mug(&s, g->mug);
    else if (wants_pod)
        fetch_pod(&s, g->pod);
    else if (wants_lid && s.lid > 0.06)
        close_lid(&s);
    else if (g->task == TASK_OPEN && s.lid < 1.70)
        open_lid(&s);
    else if (g->task == TASK_CLEAR && !is_mug_cleared(&s, g->mug)) {
        if (is_held(&s, g->mug))
            clear(&s, g->mug);
        else
            pick(&s, g->mug);
    } else
        rest(&s);
    if (s.is_carrying) {
        double spin = mju_norm3(s.out.w), firm = firmness(&s);
        mju_scl3(s.out.v, s.out.v, firm);
        mju_scl3(s.out.w, s.out.w, firm * fmin(1, carried_spin / fmax(spin, 1e-9)));
    }
    motion_action(w, &s.out, action);
}
