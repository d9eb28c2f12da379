/*
 * flat.h -- element-wise nodes that stand alone, their slopes, and adamw: one table of
 * functions per instruction set. They have the bits of the portable kernels.
 */
#ifndef CPU_X86_FLAT_H
#define CPU_X86_FLAT_H
#include "x86.h"

/* dx[i] = dy[i] * slope(v[i]); dx may be dy. */
typedef void x86_slope(const float *dy, const float *v, float *dx, int64_t n);

/* What adamw needs of its parameters and scalars, as plugins/ops computes it. */
typedef struct x86_rates {
    float beta1, rest1, beta2, rest2, eps, keep, step, root, scale;
} x86_rates;

typedef struct x86_flat {
    x86_slope *(*slope)(const char *op, const void *params); /* NULL: has none */
    void (*from_u8)(const uint8_t *x, float *y, int64_t n);  /* y[i] = x[i] */
    void (*to_bf16)(const float *x, uint16_t *y, int64_t n); /* to the nearest even */
    void (*adamw)(const x86_rates *r, const float *g, float *w, float *m, float *v,
                  int64_t n);
} x86_flat;

extern const x86_flat x86_flat_avx2, x86_flat_avx512;

// clang-format off
/* X(op): operators of which flat.c makes kernels. */
#define X86_FLAT_UNARY(X)                                                                  \
    X(neg)                                                                                 \
    X(abs)                                                                                 \
    X(exp) X(sqrt) X(rsqrt) X(square) X(erf) X(relu) X(silu) X(sigmoid) X(tanh) X(gelu)
#define X86_FLAT_BINARY(X) X(add) X(sub) X(mul) X(div) X(maximum) X(minimum)
#define X86_FLAT_SLOPE(X)                                                                  \
    X(relu_grad) X(sigmoid_grad) X(tanh_grad) X(silu_grad) X(gelu_grad)
#define X86_FLAT(X) X86_FLAT_UNARY(X) X86_FLAT_BINARY(X) X86_FLAT_SLOPE(X) X(cast) X(adamw)
// clang-format on

#endif
