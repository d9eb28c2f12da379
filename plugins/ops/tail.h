/*
 * tail.h -- element-wise operators that linear and matmul apply to each finished piece of a
 * row.
 */
#ifndef OPS_TAIL_H
#define OPS_TAIL_H
#include "types.h"

enum { TAIL_MAX = 4 };
#define TAIL_OPS "relu gelu silu sigmoid tanh add mul"

/* Every tail is one of ours and its operand, in f32, broadcasts to the output without
 * growing it. */
int tail_accepts(const evla_node *n);
/* Applies all tails to y[0..n), which is row `row` from column `col` on of the f32 output.
 */
void tail_apply(const evla_args *a, int64_t row, int64_t col, float *y, int64_t n);
/* Input i belongs to a tail, not to the operator. */
int tail_owns(const evla_node *n, int32_t i);

#endif
