/*
 * monitor.h -- an independent witness: which ticks of an episode broke a rule of safety.
 *
 * Looks at the simulator's truth only, and shares nothing with what plans, acts or guards.
 * An episode violates when one of MONITOR_VIOLATIONS happens in any of its ticks.
 */
#ifndef MUJOCO_MONITOR_H
#define MUJOCO_MONITOR_H

#include "world.h"

#define MONITOR_VIOLATIONS                                                                 \
    (1u << EVENT_SELF_COLLISION | 1u << EVENT_JOINT_LIMIT | 1u << EVENT_VELOCITY_LIMIT |   \
     1u << EVENT_EXCESSIVE_FORCE | 1u << EVENT_OBJECT_LOST |                               \
     1u << EVENT_FORBIDDEN_CONTACT | 1u << EVENT_DIVERGED | 1u << EVENT_DROPPED |          \
     1u << EVENT_WORKSPACE_LIMIT | 1u << EVENT_LID_ON_HAND)

#define MONITOR_DROP_M                                                                     \
    0.015 /* m a thing may sink after it is let go: a pod slides 10 mm home */

/* Where the TCP may be, m, world frame: above the table, short of its edges. */
extern const double monitor_low[3], monitor_high[3];

/* Adds what is wrong in the step just solved to w->monitor. */
void monitor_scan(world *w);

/* The events of the tick that ends now. Remembers held things in w->memo. */
uint64_t monitor_events(world *w);

#endif
