/*
 * verify.h -- checks a finished plan by following who owns each byte of the arena, step by
 * step.
 *
 * It shares nothing with the planner but the plan itself: a step's inputs must still be
 * whole when it runs, what it writes must not touch its inputs (but for a declared alias),
 * outputs must be whole at the end, everything is aligned and inside the arena.
 */
#ifndef EVLA_GRAPH_VERIFY_H
#define EVLA_GRAPH_VERIFY_H
#include "plan.h"

/* EVLA_E_BUG with the step, the wires and the addresses when a plan is wrong. */
int32_t verify_plan(ctx *cx, const plan *p);

#endif
