/*
 * order.h -- in which order nodes run: producers first, readers of a state before its
 * writer.
 */
#ifndef EVLA_GRAPH_ORDER_H
#define EVLA_GRAPH_ORDER_H
#include "infer.h"

typedef enum order_rule {
    ORDER_DECLARED, /* as written, moved only where effects ask for it */
    ORDER_LEAN      /* of what can run, the node that leaves the fewest bytes alive */
} order_rule;

/* nodes are n bound nodes of b in an order that respects inputs, but maybe not effects. out
 * gets indices into it. When effects and inputs contradict each other, the sentence names
 * both nodes; with quiet 1 nothing is told. */
int32_t order_nodes(ctx *cx, const bound *b, const bound_node *const *nodes, int32_t n,
                    order_rule rule, int quiet, int32_t *out);

#endif
