/*
 * resize.h -- resize: one table of functions per instruction set. They have the bits of the
 * portable kernel.
 */
#ifndef CPU_X86_RESIZE_H
#define CPU_X86_RESIZE_H
#include "windows.h"
#include "x86.h"

enum { RESIZE_ROWS = 4, RESIZE_CHANNELS = 4, RESIZE_SPARE = 64 /* bytes */ };

/* Numbers are u8 with integers as weights, or f32. */
typedef struct x86_resize {
    /* RESIZE_ROWS rows of a->in pixels of c <= RESIZE_CHANNELS channels to rows of a->out.
     * Up to RESIZE_SPARE bytes behind a row of x may be read, and behind a row of y
     * written. */
    void (*across_u8)(const windows *a, int64_t c, const void *const *x, void *const *y);
    void (*across_f32)(const windows *a, int64_t c, const void *const *x, void *const *y);
    /* y[i] = sum over k < taps of x[k][i] w[k], i < n; rows of x are `step` bytes apart,
     * and up to RESIZE_SPARE bytes behind one may be read. */
    void (*down_u8)(const void *x, int64_t step, const void *w, int64_t taps, int64_t n,
                    void *y);
    void (*down_f32)(const void *x, int64_t step, const void *w, int64_t taps, int64_t n,
                     void *y);
} x86_resize;

extern const x86_resize x86_resize_avx2, x86_resize_avx512;

#endif
