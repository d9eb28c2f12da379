/*
 * coffee_judge.c -- is the instruction's goal met, and did something happen that should
 * not?
 *
 * Knows nothing of the expert: looks at true poses and at the simulator's contacts only.
 * What it must remember over ticks (released things) lives in w->memo and so in every saved
 * state.
 */
#include "coffee.h"

#include <math.h>

enum {
    MEMO_SINCE = 0,
    MEMO_CARRIED = COFFEE_OBJECTS
}; /* per object: s since release; 0 or 1 */

static const double calm_after_s = 0.3, calm_until_s = 1.3; /* after a release */

/* Position of the body's origin, `lift` along its z, in the frame of `base`. */
static void within(const world *w, int32_t body, int32_t base, double lift, double out[3])
{
    const double *p = world_position(w, body), *r = world_axes(w, body);
    double point[3];
    for (int k = 0; k < 3; k++)
        point[k] = p[k] + lift * r[3 * k + 2] - world_position(w, base)[k];
    mju_rotVecMatT(out, point, world_axes(w, base));
}

static double lid_angle(const world *w) { return w->d->qpos[w->m->jnt_qposadr[w->hinge]]; }

static bool is_upright(const world *w, int32_t body)
{
    return world_axes(w, body)[8] > 0.99;
}

/* A jet from the spout falls well inside the mug, which stands on the drip tray. */
static bool is_served(const world *w, int32_t mug)
{
    double at[3];
    within(w, mug, COFFEE_MACHINE, 0, at);
    return hypot(at[0] - SPOUT_X, at[1]) < MUG_RADIUS - 0.0045 &&
           fabs(at[2] - PLATE_Z) < 0.004 && is_upright(w, mug) &&
           w->touch.by_fixed[PART_OBJECT + mug] > 0;
}

/* The pod stands on the holder's floor, inside its ring. */
static bool is_loaded(const world *w, int32_t pod)
{
    double low[3], high[3];
    within(w, pod, COFFEE_MACHINE, 0, low);
    within(w, pod, COFFEE_MACHINE, POD_HEIGHT, high);
    double play = HOLDER_RADIUS - POD_RADIUS + 0.0015;
    return hypot(low[0] - HOLDER_X, low[1]) < play &&
           hypot(high[0] - HOLDER_X, high[1]) < 2 * play &&
           fabs(low[2] - HOLDER_FLOOR) < 0.004;
}

static bool is_on_marker(const world *w, int32_t mug)
{
    double at[3];
    within(w, mug, COFFEE_MARKER, 0, at);
    return hypot(at[0], at[1]) < 0.03 && fabs(at[2]) < 0.004 && is_upright(w, mug);
}

static bool is_hands_off(const world *w)
{
    if (world_opening(w) < 0.06) return false;
    for (int32_t p = PART_TABLE; p < PART_LIMIT; p++)
        if (world_force_on(w, p) > 0) return false;
    return true;
}

static bool is_goal_met(const world *w)
{
    const coffee_goal *g = &coffee_goals[w->goal];
    bool is_closed = lid_angle(w)<0.10, is_open = lid_angle(w)> 1.75;
    switch (g->task) {
    case TASK_BREW:
        return is_served(w, g->mug) && is_loaded(w, g->pod) && is_closed;
    case TASK_LOAD:
        return is_loaded(w, g->pod) && is_closed;
    case TASK_SERVE:
        return is_served(w, g->mug);
    case TASK_CLOSE:
        return is_closed;
    case TASK_OPEN:
        return is_open;
    case TASK_CLEAR:
        return is_on_marker(w, g->mug);
    case TASK_LIMIT:
        break;
    }
    return false;
}

/* Nothing but the fingers may touch, and they only what the instruction speaks of. */
static bool is_forbidden(const world *w)
{
    const coffee_goal *g = &coffee_goals[w->goal];
    bool lid_wanted = g->task != TASK_SERVE && g->task != TASK_CLEAR;
    const world_touch *t = &w->touch;
    for (int32_t p = PART_TABLE; p < PART_LIMIT; p++) {
        bool is_wanted = (p == PART_LID && lid_wanted) || p == PART_OBJECT + g->mug ||
                         p == PART_OBJECT + g->pod;
        if (p == PART_OBJECT - 1) is_wanted = false; /* goals without a mug or pod say -1 */
        if (t->by_outer[p] > 0) return true;
        if (!is_wanted && t->by_finger[0][p] + t->by_finger[1][p] > 0) return true;
    }
    return false;
}

/* Moving between calm_after_s and calm_until_s after the fingers let go? */
static bool is_unstable(world *w, int32_t i)
{
    double *since = &w->memo[MEMO_SINCE + i], *carried = &w->memo[MEMO_CARRIED + i];
    if (world_is_pinched(w, PART_OBJECT + i)) {
        *carried = 1;
        *since = 0;
    } else if (*carried > 0 && !(world_force_on(w, PART_OBJECT + i) > 0)) {
        *since += w->period;
        if (*since > calm_until_s) *carried = 0;
    }
    if (*carried <= 0 || *since < calm_after_s) return false;
    const double *v = w->d->qvel + w->m->jnt_dofadr[w->m->body_jntadr[w->body[i]]];
    return mju_norm3(v) > 0.05 || mju_norm3(v + 3) > 0.8;
}

static bool is_lost(const world *w, int32_t i)
{
    const double *p = world_position(w, i);
    return p[2] < -0.03 || p[0] < -0.2 || p[0] > 0.84 || fabs(p[1]) > 0.62;
}

int32_t coffee_judge(world *w)
{
    if (is_forbidden(w)) w->events |= 1u << EVENT_FORBIDDEN_CONTACT;
    for (int32_t i = 0; i < COFFEE_OBJECTS; i++) {
        bool is_down = world_axes(w, i)[8] < 0.86 && !world_is_pinched(w, PART_OBJECT + i);
        if (is_lost(w, i)) w->events |= 1u << EVENT_OBJECT_LOST;
        if (is_unstable(w, i)) w->events |= 1u << EVENT_UNSTABLE_AFTER_RELEASE;
        if (is_down) w->events |= 1u << EVENT_KNOCKED_OVER;
    }
    return is_hands_off(w) && is_goal_met(w);
}
