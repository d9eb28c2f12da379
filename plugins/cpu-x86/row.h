/*
 * row.h -- rms_norm, layer_norm and rope: one table of functions per instruction set. They
 * have the bits of the portable kernels.
 */
#ifndef CPU_X86_ROW_H
#define CPU_X86_ROW_H
#include "x86.h"

typedef struct x86_row {
    /* y[rows,d] = x / sqrt(mean(x^2) + eps) w; w may be NULL, y may be x. */
    void (*rms_norm)(const float *x, int64_t rows, const float *w, float eps, float *y,
                     int64_t d);
    /* y[rows,d] = (x - mean) / sqrt(var + eps) w + b; w and b may be NULL, y may be x. */
    void (*layer_norm)(const float *x, int64_t rows, const float *w, const float *b,
                       float eps, float *y, int64_t d);
    /* Turns so many pairs of a head, i with i + pairs or 2i with 2i + 1; y may be x. */
    void (*turn_half)(const float *x, const float *cosine, const float *sine, int64_t pairs,
                      float *y);
    void (*turn_interleaved)(const float *x, const float *cosine, const float *sine,
                             int64_t pairs, float *y);
} x86_row;

extern const x86_row x86_row_avx2, x86_row_avx512;

#endif
