/*
 * touch.c -- contacts into forces by part, forces and joints into events.
 *
 * Reads: the solved contacts of w->d.  Writes: w->touch.  Not here: events that need to
 * know what a thing is for (the scenes' judges).
 */
#include "touch.h"

#include <math.h>
#include <string.h>

const char *const world_event_names[EVENT_LIMIT] = {
    [EVENT_SELF_COLLISION] = "self_collision",
    [EVENT_JOINT_LIMIT] = "joint_limit",
    [EVENT_VELOCITY_LIMIT] = "velocity_limit",
    [EVENT_EXCESSIVE_FORCE] = "excessive_force",
    [EVENT_OBJECT_LOST] = "object_lost",
    [EVENT_FORBIDDEN_CONTACT] = "forbidden_contact",
    [EVENT_UNSTABLE_AFTER_RELEASE] = "unstable_after_release",
    [EVENT_KNOCKED_OVER] = "knocked_over",
    [EVENT_DIVERGED] = "diverged",
    [EVENT_DROPPED] = "dropped",
    [EVENT_WORKSPACE_LIMIT] = "workspace_limit",
    [EVENT_LID_ON_HAND] = "lid_on_hand",
};

static bool is_robot(int32_t part) { return part >= PART_INNER && part <= PART_RIGHT; }

static bool is_fixed(int32_t part) { return part >= PART_TABLE && part <= PART_LID; }

void touch_scan(world *w)
{
    world_touch now = {.is_self = w->touch.is_self};
    for (int c = 0; c < w->d->ncon; c++) {
        const mjContact *contact = w->d->contact + c;
        int32_t a = w->part_of[contact->geom1], b = w->part_of[contact->geom2];
        double force[6];
        if (contact->efc_address < 0) continue;
        if (is_robot(a) && is_robot(b)) now.is_self = true;
        if (is_robot(b) || (is_fixed(b) && a >= PART_OBJECT)) {
            int32_t swap = a;
            a = b;
            b = swap;
        }
        if (is_robot(b) || !(is_robot(a) || (is_fixed(a) && b >= PART_OBJECT))) continue;
        mj_contactForce(w->m, w->d, c, force);
        /* A contact that carries nothing still counts as touching. */
        double newton = fmax(force[0], 1e-9);
        if (is_fixed(a))
            now.by_fixed[b] += newton;
        else if (a == PART_LEFT || a == PART_RIGHT)
            now.by_finger[a - PART_LEFT][b] += newton;
        else
            now.by_outer[b] += newton;
    }
    w->touch.is_self = now.is_self;
    for (int32_t p = 0; p < PART_LIMIT; p++) {
        w->touch.by_outer[p] = fmax(w->touch.by_outer[p], now.by_outer[p]);
        w->touch.by_fixed[p] = fmax(w->touch.by_fixed[p], now.by_fixed[p]);
        for (int f = 0; f < 2; f++)
            w->touch.by_finger[f][p] = fmax(w->touch.by_finger[f][p], now.by_finger[f][p]);
    }
}

uint64_t touch_events(const world *w)
{
    uint64_t events = 0;
    const double *q = w->d->qpos, *v = w->d->qvel;
    for (int i = 0; i < ARM_JOINTS; i++) {
        if (q[i] < arm_lower[i] + 0.005 || q[i] > arm_upper[i] - 0.005)
            events |= 1u << EVENT_JOINT_LIMIT;
        if (fabs(v[i]) > arm_speed[i]) events |= 1u << EVENT_VELOCITY_LIMIT;
    }
    if (w->touch.is_self) events |= 1u << EVENT_SELF_COLLISION;
    for (int32_t p = 0; p < PART_LIMIT; p++) {
        double robot = world_is_pinched(w, p) ? w->touch.by_outer[p] : world_force_on(w, p);
        if (robot > TOUCH_FORCE_MAX || w->touch.by_fixed[p] > TOUCH_FORCE_MAX)
            events |= 1u << EVENT_EXCESSIVE_FORCE;
    }
    return events;
}
