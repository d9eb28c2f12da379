/*
 * recompute.h -- checkpointing: activations are dropped after the forward pass and computed
 * again when the backward pass needs them.
 *
 * The repeated nodes are the same operators on the same inputs, so gradients keep their
 * bits. Switched off by the name "recompute" among plan_options.without.
 */
#ifndef EVLA_GRAPH_RECOMPUTE_H
#define EVLA_GRAPH_RECOMPUTE_H
#include "infer.h"

/* b->nodes[0, forward) is the forward pass; what follows reads from it. With deep 0 nodes
 * that cost little (at most 16 operations per number they make) are repeated wherever that
 * frees more bytes than it holds. With deep 1 the forward pass is cut into about sqrt(n)
 * segments of equal bytes; what passes between segments is kept, the inside of all but the
 * last is repeated (Chen et al. 2016, section 3). Nodes with effects, and readers of a
 * state that the forward pass overwrites, are never repeated. Call it before rewrite_apply.
 */
int32_t recompute_apply(ctx *cx, arena *a, bound *b, int32_t forward, int deep);

#endif
