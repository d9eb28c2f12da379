/*
 * monitor.c -- drops, the workspace and the lid on the hand, from the simulator's truth.
 *
 * Reads: poses, velocities and solved contacts of w->d.  Writes: w->memo from WORLD_MONITOR
 * on, so that a restored state remembers what was held.  Not here: forces, joint limits
 * (touch.c), contacts that a goal does not speak of (the scenes' judges).
 */
#include "monitor.h"

#include <math.h>

const double monitor_low[3] = {0.10, -0.58, 0.0}, monitor_high[3] = {0.82, 0.58, 0.75};

/* Per object, in w->memo: what became of it, and for how long it has been let go. */
enum { STATE = WORLD_MONITOR, SINCE = WORLD_MONITOR + 8 };
static const double is_free = 0, is_held = 1, let_go = 10; /* + z in m, where it was */

static const double rest_s = 0.1, rest_speed = 0.02; /* lies still: s, m/s */
static const double upright =
    1.4; /* rad; a lid that is further open falls away from the hand */

static bool is_robot(int32_t part) { return part >= PART_INNER && part <= PART_RIGHT; }

/* Something of the robot touches the lid's lower face while it is closing or bears on it.
 */
static bool is_under_lid(const world *w, const mjContact *c)
{
    int32_t a = w->part_of[c->geom1], b = w->part_of[c->geom2];
    if (!(a == PART_LID && is_robot(b)) && !(b == PART_LID && is_robot(a))) return false;
    int lid = w->m->geom_bodyid[a == PART_LID ? c->geom1 : c->geom2];
    double arm[3], at[3], normal[3];
    for (int k = 0; k < 3; k++)
        arm[k] = c->pos[k] - w->d->xpos[3 * lid + k];
    mju_rotVecMatT(at, arm, w->d->xmat + 9 * lid); /* z of the lid points outwards */
    mju_rotVecMatT(normal, c->frame, w->d->xmat + 9 * lid);
    double angle = w->d->qpos[w->m->jnt_qposadr[w->hinge]];
    double rate = w->d->qvel[w->m->jnt_dofadr[w->hinge]];
    return at[2] < 0 && fabs(normal[2]) > 0.5 && (angle < upright || rate < -0.05);
}

void monitor_scan(world *w)
{
    for (int i = 0; i < w->d->ncon && w->hinge >= 0; i++)
        if (w->d->contact[i].efc_address >= 0 && is_under_lid(w, w->d->contact + i))
            w->lid_on_hand = true;
}

/* An object that was between the fingers may sink by MONITOR_DROP_M until it lies still. */
static bool is_dropped(world *w, int32_t i)
{
    double *state = &w->memo[STATE + i], *since = &w->memo[SINCE + i];
    double z = world_position(w, i)[2];
    if (world_is_pinched(w, PART_OBJECT + i)) {
        *state = is_held;
        *since = 0;
        return false;
    }
    if (*state == is_held) *state = let_go + z;
    if (*state == is_free) return false;
    if (z < *state - let_go - MONITOR_DROP_M) {
        *state = is_free;
        return true;
    }
    const double *v = w->d->qvel + w->m->jnt_dofadr[w->m->body_jntadr[w->body[i]]];
    *since += w->period;
    if (*since > rest_s && mju_norm3(v) < rest_speed) *state = is_free;
    return false;
}

uint64_t monitor_events(world *w)
{
    uint64_t events = 0;
    double tcp[3], mat[9];
    arm_forward(world_joints(w), tcp, mat, NULL);
    for (int k = 0; k < 3; k++)
        if (!(tcp[k] >= monitor_low[k] && tcp[k] <= monitor_high[k]))
            events |= 1u << EVENT_WORKSPACE_LIMIT;
    if (w->lid_on_hand) events |= 1u << EVENT_LID_ON_HAND;
    for (int32_t i = 0; i < w->scene->n_objects; i++)
        if (w->qpos[i] >= 0 && is_dropped(w, i)) events |= 1u << EVENT_DROPPED;
    return events;
}
