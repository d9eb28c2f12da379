/*
 * coffee_expert.c -- the teacher of the coffee scene: state and goal in, action out.
 *
 * No clock, no stage, no memory: what to do next is read off the geometry in every tick, so
 * any state a learner stumbles into can be labelled. Where two rules meet, the way in is
 * narrower than the way out (a thing counts as held once the fingers rest on it, a mug as
 * placed a little before it is let go), which gives hysteresis without a variable. Reads:
 * joints, poses, lid angle, goal.  Not here: success (coffee_judge.c).
 */
#include "coffee.h"

#include <math.h>
#include <string.h>

static const double across = 0.50; /* m/s above the table */
static const double gentle = 0.12; /* m/s next to the machine */
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
} sight;

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

static bool is_mug_served(const sight *s, int32_t mug)
{
    double at[3];
    to_machine(s, world_position(s->w, mug), at);
    return fabs(at[0] - PLACE_X) < 0.0085 && fabs(at[1]) < 0.0085 &&
           at[2] < PLATE_Z + 0.0025;
}

static bool is_mug_cleared(const sight *s, int32_t mug)
{
    const double *p = world_position(s->w, mug), *to = world_position(s->w, COFFEE_MARKER);
    return hypot(p[0] - to[0], p[1] - to[1]) < 0.016 && p[2] < 0.0025;
}

/* Held: deep enough to be let go, the rest it falls. Free: deep enough to fall by itself.
 */
static bool is_pod_in(const sight *s, int32_t pod)
{
    double depth = is_held(s, pod) ? 0.020 : 0.008;
    double at[3];
    to_machine(s, world_position(s->w, pod), at);
    return hypot(at[0] - HOLDER_X, at[1]) < 0.009 && at[2] < HOLDER_RIM - depth;
}

/* The hand is in front of the machine where only the slot's axis leads out. */
static bool is_in_slot(const sight *s)
{
    return s->tcp[0] > PLACE_X - nearby && s->tcp[0] < 0.02 && fabs(s->tcp[1]) < 0.14 &&
           s->tcp[2] < 0.19;
}

/* Tilts only when low: higher up the shoulder (joint 2 near 0) and the wrist (joint 6 near
 * 180 degrees) would be singular at the same time. */
static void face(sight *s, double heading, double tilt)
{
    double mat[9], low = mju_clip((0.29 - s->hand.pos[2]) / 0.09, 0, 1);
    motion_tool(heading, tilt * low, mat);
    motion_turn(&s->hand, mat, &s->out);
}

/* Along the slot's axis, out of the machine. */
static void leave_slot(sight *s, double height)
{
    double to[3];
    from_machine(s, PLACE_X - nearby - 0.02, s->tcp[1], height, to);
    face(s, s->yaw, MUG_TILT);
    motion_straight(s->hand.pos, to, 0.3, &s->out);
}

/* Into the slot along its axis: sideways and height first, forward as these vanish.
 * `at` is in machine coordinates and moves with the hand. */
static void enter_slot(sight *s, const double at[3], double x, double height)
{
    double from[3], to[3], off = hypot(at[1], at[2] - height);
    double open = mju_clip(1.8 - off / 0.015, 0, 1);
    from_machine(s, at[0], at[1], at[2], from);
    from_machine(s, at[0] + open * (x - at[0]), 0, height, to);
    face(s, s->yaw, MUG_TILT);
    motion_straight(from, to, 0.25, &s->out);
}

/* Where to head for the slot's mouth from `at` (machine coordinates): round the front,
 * since the straight way from beside the machine would cut its corner. */
static void to_mouth(const sight *s, const double at[3], double height, double out[3])
{
    double x = PLACE_X - nearby - 0.01, y = 0;
    x -= mju_clip(0.8 * (fabs(at[1]) - 0.01), 0, 0.06);
    if (at[0] > x + 0.02 && fabs(at[1]) > 0.02 && fabs(at[1]) < 0.19) y = at[1];
    from_machine(s, x, y, height, out);
}

/* Is the straight way from `at` to `goal` (machine coordinates) one that leads back into
 * the slot? Then writes a place beside the machine's front to go to first. */
static bool is_detour(const sight *s, const double at[3], const double goal[3],
                      double height, double out[3])
{
    if (fabs(at[1]) > 0.16 || at[0] > 0 || at[2] > 0.19) return false;
    if (fabs(goal[1]) < 0.16 || goal[0] < PLACE_X - nearby - 0.03) return false;
    from_machine(s, PLACE_X - nearby - 0.04, goal[1] < 0 ? -0.19 : 0.19, height, out);
    return true;
}

/* Waits until the fingers are off what is between them, or leaves the slot. True: it did.
 */
static bool is_leaving(sight *s)
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
    if (is_around && s->hand.width < 0.072) return true;
    if (!is_in_slot(s)) return false;
    leave_slot(s, s->tcp[2]);
    return true;
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
    bool is_here = fabs(at[0]) < 0.010 && fabs(at[1]) < (is_wide ? 0.0075 : 0.012) &&
                   fabs(at[2]) < 0.010;
    /* Once the fingers close they may drift a little before they hold. */
    if (is_here || (is_between(s, point, 0.018) && s->hand.width < 0.074)) {
        s->out.grip = 1;
        motion_straight(s->hand.pos, point, gentle, &s->out);
        return;
    }
    if (is_inside && is_mug(body)) {
        double height = local[2];
        bool at_mouth = s->tcp[0] < PLACE_X - nearby + 0.02 || fabs(s->tcp[1]) < 0.01;
        if (at_mouth && fabs(s->tcp[1]) < 0.03 && fabs(s->tcp[2] - height) < 0.03 &&
            s->tcp[0] > PLACE_X - nearby - 0.05) {
            enter_slot(s, s->tcp, local[0], height);
            return;
        }
        if (is_leaving(s)) return;
        to_mouth(s, s->tcp, height, point);
        face(s, s->yaw, MUG_TILT);
    } else {
        if (is_leaving(s)) return;
        face(s, heading_to(point), is_mug(body) ? MUG_TILT : 0);
        is_detour(s, s->tcp, local, cruise, point);
    }
    bool is_open = s->hand.width > 0.074;
    funnel f = {cruise, is_wide ? 0.006 : 0.010, 3.5, across, is_open ? 0 : 0.06};
    motion_funnel(s->hand.pos, point, &f, &s->out);
}

static void serve(sight *s, int32_t mug)
{
    double at[3];
    const double *p = world_position(s->w, mug);
    to_machine(s, p, at);
    s->out.grip = 1;
    if (fabs(at[1]) < 0.03 && fabs(at[2] - PLATE_Z - 0.008) < 0.03 &&
        at[0] > PLACE_X - nearby - 0.06) {
        /* Over the tray's middle it goes down, otherwise in along the axis. */
        bool is_over = fabs(at[0] - PLACE_X) < 0.007 && fabs(at[1]) < 0.007;
        double low = PLATE_Z + 0.0002;
        if (is_over) {
            double to[3];
            from_machine(s, PLACE_X, 0, low, to);
            face(s, s->yaw, MUG_TILT);
            motion_straight(p, to, gentle, &s->out);
        } else
            enter_slot(s, at, PLACE_X, PLATE_Z + 0.008);
        return;
    }
    double to[3];
    to_mouth(s, at, PLATE_Z + 0.008, to);
    funnel f = {0.12, 0.008, 6, across, 0};
    face(s, s->yaw, MUG_TILT);
    motion_funnel(p, to, &f, &s->out);
}

static void clear(sight *s, int32_t mug)
{
    double at[3], to[3];
    const double *p = world_position(s->w, mug);
    to_machine(s, p, at);
    s->out.grip = 1;
    if (at[0] > PLACE_X - nearby && fabs(at[1]) < 0.1 && at[2] < 0.15) {
        /* Off the tray first, then straight out. */
        bool is_up = at[2] > PLATE_Z + 0.006;
        from_machine(s, is_up ? PLACE_X - nearby - 0.02 : at[0], at[1],
                     fmax(at[2], PLATE_Z + 0.012), to);
        face(s, s->yaw, MUG_TILT);
        motion_straight(p, to, 0.25, &s->out);
        return;
    }
    double spot[3];
    to_machine(s, world_position(s->w, COFFEE_MARKER), spot);
    funnel f = {0.12, 0.008, 6, across, 0};
    if (is_detour(s, at, spot, 0.12, to)) {
        face(s, s->yaw, MUG_TILT);
    } else {
        mju_copy3(to, world_position(s->w, COFFEE_MARKER));
        to[2] = 0.0002;
        face(s, heading_to(to), MUG_TILT);
    }
    motion_funnel(p, to, &f, &s->out);
}

static void insert(sight *s, int32_t pod)
{
    double to[3];
    from_machine(s, HOLDER_X, 0, HOLDER_RIM - 0.021, to);
    s->out.grip = 1;
    face(s, s->yaw, 0);
    funnel f = {0.32, 0.003, 10, across, 0};
    motion_funnel(world_position(s->w, pod), to, &f, &s->out);
}

/* ---- the lid ---- */

/* Behind the open lid a closed hand comes down, pushes it past upright and lets gravity do
 * the rest; a lid that stops half-way is pressed from above. */
static void close_lid(sight *s)
{
    static const double side = 0.035; /* beside the knob */
    const double height = HINGE_Z + 0.055 + ARM_PAD_BELOW, start = HINGE_X + 0.075;
    double to[3];
    s->out.grip = 1;
    if (s->lid > 1.05) {
        double lid_x = HINGE_X - cos(s->lid) / sin(s->lid) * (height - HINGE_Z);
        bool is_behind = s->tcp[0] > lid_x + 0.012 && fabs(s->tcp[1] - side) < 0.03 &&
                         fabs(s->tcp[2] - height) < 0.03;
        bool is_low = s->tcp[2] < HINGE_Z + 0.06 && s->hand.width > 0.01;
        if (!is_behind && is_low)
            s->out.grip = -1; /* fingers may still be around the pod */
        if (!is_behind && is_leaving(s)) return;
        face(s, s->yaw, 0);
        if (is_behind && s->hand.width < 0.01) {
            from_machine(s, HINGE_X - 0.06, side, height, to);
            motion_straight(s->hand.pos, to, 0.16, &s->out);
            return;
        }
        from_machine(s, start, side, height, to);
        funnel f = {0.40, 0.010, 4, across, s->hand.width < 0.01 ? 0 : 0.08};
        motion_funnel(s->hand.pos, to, &f, &s->out);
        return;
    }
    /* Falling by itself: get out of its way, upwards; press only where it is at rest. */
    face(s, s->yaw, 0);
    double rate = s->w->d->qvel[s->w->m->jnt_dofadr[s->w->hinge]];
    double n[2] = {sin(s->lid), cos(s->lid)};
    double off =
        n[0] * (s->tcp[0] - HINGE_X) + n[1] * (s->tcp[2] - ARM_PAD_BELOW - HINGE_Z);
    if (s->lid > 0.6 && off > -0.01 && off < 0.03) {
        /* Off the lid along its normal: sliding up it would drag at the hinge. */
        from_machine(s, s->tcp[0] + 0.05 * n[0], s->tcp[1], s->tcp[2] + 0.05 * n[1], to);
        motion_straight(s->hand.pos, to, 0.2, &s->out);
        return;
    }
    double reach = 0.07, above = HINGE_Z + reach * sin(s->lid) + 0.004 + ARM_PAD_BELOW;
    bool is_falling = rate < -0.02 && s->lid > 0.15;
    from_machine(s, HINGE_X - reach * cos(s->lid), side, above - 0.004, to);
    funnel f = {0.38, 0.004, 12, 0.3, is_falling ? 0.10 : 0};
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
        fabs(local[0]) < 0.009 && fabs(local[1]) < 0.014 && fabs(local[2]) < 0.010;
    if (is_gripping(s, knob, 2 * KNOB_RADIUS)) {
        s->out.grip = 1;
        face(s, s->yaw, 0);
        motion_straight(knob, ahead, 0.16, &s->out);
        return;
    }
    if (is_here || (is_between(s, knob, 0.015) && s->hand.width < 0.074)) {
        s->out.grip = 1;
        face(s, s->yaw, 0);
        motion_straight(s->hand.pos, knob, gentle, &s->out);
        return;
    }
    if (is_leaving(s)) return;
    face(s, s->yaw, 0);
    funnel f = {knob[2] + 0.08, 0.008, 3.5, across, s->hand.width > 0.074 ? 0 : 0.05};
    motion_funnel(s->hand.pos, knob, &f, &s->out);
}

/* ---- what to do ---- */

/* Nothing left to do: away from everything, open, still. */
static void rest(sight *s)
{
    double up[3] = {s->hand.pos[0], s->hand.pos[1], 0.36};
    bool near_lid = fabs(s->tcp[1]) < 0.12 && s->tcp[0] > -0.12 && s->tcp[2] < 0.30;
    if (is_leaving(s)) return;
    s->out.grip = near_lid && s->hand.width < 0.03 ? 1 : -1;
    if (s->hand.pos[2] < 0.36) motion_straight(s->hand.pos, up, 0.35, &s->out);
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
    motion_action(w, &s.out, action);
}
