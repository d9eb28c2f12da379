/*
 * attention.h -- what attention and its derivative (attention_grad.c) share.
 */
#ifndef CPU_X86_ATTENTION_H
#define CPU_X86_ATTENTION_H
#include "evla/ops.h"

/* One row of a panel: n numbers, at most 32, then zeros. */
void attention_take(const float *from, int64_t n, float *to);
/* Row `index` of all heads' scores, n of them: what the mask hides becomes -infinity. q:
 * the type of the queries, tk: how many keys there are. */
void attention_hide(const evla_type *m, const void *mask, const evla_type *q, int64_t heads,
                    int64_t tk, int64_t index, int64_t n, float *score);

#endif
