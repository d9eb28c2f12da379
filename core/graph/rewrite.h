/*
 * rewrite.h -- named rewrites of a bound graph that leave its meaning alone: coded (see
 * coded.h), dead, fuse.
 *
 * ("fold" happens while types are inferred, see infer.h; "recompute" where gradients are
 * made, see recompute.h.) Each can be switched off by name.
 */
#ifndef EVLA_GRAPH_REWRITE_H
#define EVLA_GRAPH_REWRITE_H
#include "infer.h"

/* Names that `without` may hold. Refuses others, with the nearest one. */
int32_t rewrite_check_names(ctx *cx, const char *without);
/* Applies what is not switched off. New lists are pushed on `a`.
 *   dead  nodes without effect whose results nobody needs are removed
 *   fuse  an anchor and the element-wise nodes behind it become one node with a tail, as
 * far as the best kernel takes it without a lower score and without rounding differently;
 * the node keeps those it stands for as its body */
int32_t rewrite_apply(ctx *cx, arena *a, const plan_options *o, bound *b);

#endif
