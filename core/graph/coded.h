/*
 * coded.h -- the rewrite "coded": linears whose weights are in a format that can be
 * multiplied as it is.
 *
 * A number format may name an operator that prepares activations and one that multiplies
 * them with its weights (evla_dtype.activation, .linear). y = linear(x, w, b?) then becomes
 * y = L(A(x)..., w, b?), with one A for all linears that read the same x. Without the
 * rewrite, where those operators are not loaded, or where a kernel of linear that reads
 * such weights scores higher than every kernel of L, linear stays.
 */
#ifndef EVLA_GRAPH_CODED_H
#define EVLA_GRAPH_CODED_H
#include "infer.h"

/* b gets a new list of nodes, on `a`. */
int32_t coded_apply(ctx *cx, arena *a, const plan_options *o, bound *b);

#endif
