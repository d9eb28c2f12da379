/*
 * grad_inner.h -- what the rewrite (grad.c) and the training step (grad_step.c) share:
 * appending nodes to a bound graph.
 */
#ifndef EVLA_GRAPH_GRAD_INNER_H
#define EVLA_GRAPH_GRAD_INNER_H
#include "grad.h"

/* What the operators' grad slots talk to. */
typedef struct grad_writer {
    evla_grad table; /* first: plugins get &table */
    ctx *cx;
    arena *a;
    const plan_options *o;
    bound *b;
    const char *label, *where; /* of the node at hand */
} grad_writer;

void grad_start(grad_writer *w, ctx *cx, arena *a, const plan_options *o, bound *b);
/* A node of an operator: in[i] -1 is absent, params NULL are the presets; its outputs go to
 * out, which has room for n_out. label NULL: out of memory. */
int32_t grad_node(grad_writer *w, const char *label, const char *op, const void *params,
                  const int32_t *in, int32_t n_in, int32_t *out, int32_t n_out);
/* A number of rank 0, f32 or f64. */
int32_t grad_constant(grad_writer *w, int32_t dtype, double v, int32_t *out);
/* Gradients flow through real numbers in whole elements only. */
int grad_is_real(const registry *reg, int32_t dtype);
int32_t grad_no_room(ctx *cx, const bound *b); /* fails: out of memory */

#endif
