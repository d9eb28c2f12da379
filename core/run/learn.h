/*
 * learn.h -- between a model's weights and the states of a session that trains them.
 *
 * See graph/grad.h for the whole. The session was opened over g->plans.
 */
#ifndef EVLA_RUN_LEARN_H
#define EVLA_RUN_LEARN_H
#include "../graph/grad.h"
#include "session.h"

/* Copies the model's weights into the states that train them; moments and sums become 0.
 * EVLA_E_STATE when a weight has no data. */
int32_t learn_begin(ctx *cx, const grad *g, session *s);
/* Copies the states into the model's weights (into memory of the model's own, so that plans
 * of the model must point at it anew: open their sessions afterwards). EVLA_E_STATE when a
 * state is invalid. */
int32_t learn_end(ctx *cx, const grad *g, session *s);

#endif
