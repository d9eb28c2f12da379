/*
 * elementwise.h -- rows of element-wise operators, shared by their kernels and by tails, so
 * that a fused node has the bits of the sequence it stands for.
 */
#ifndef OPS_ELEMENTWISE_H
#define OPS_ELEMENTWISE_H
#include "types.h"

/* y[i] = op(x[i]) for i < n; y may be x. */
typedef void elementwise_unary(const void *params, const float *x, float *y, int64_t n);
/* y[i] = op(a[i * a_step], b[i * b_step]), steps 0 or 1; y may be a or b where its step
 * is 1. */
typedef void elementwise_binary(const void *a, int64_t a_step, const void *b,
                                int64_t b_step, void *y, int64_t n);

/* NULL: no such operator for f32 (unary), for this number format (binary). */
elementwise_unary *elementwise_find_unary(const char *op);
elementwise_binary *elementwise_find_binary(const char *op, int32_t dtype);

/* y[i] = e^(x[i] - shift); y may be x. The bits of sub and exp in sequence. */
void elementwise_exp(const float *x, float shift, float *y, int64_t n);

#endif
