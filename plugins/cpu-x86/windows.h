/*
 * windows.h -- which inputs an output of resize is made of along one axis, and their
 * weights; see windows.c.
 */
#ifndef CPU_X86_WINDOWS_H
#define CPU_X86_WINDOWS_H
#include "evla/ops.h"

enum { WINDOWS_STEP = 4, WINDOWS_POINT = 22 /* bits behind the point of whole weights */ };

/* One axis; in a blob its table follows. */
typedef struct windows {
    int64_t in, out;
    int64_t
        most; /* weights of a window, a multiple of WINDOWS_STEP; those beyond it are 0 */
    int32_t mode, antialias;
} windows;

windows windows_of(const evla_resize_params *p, int64_t in, int64_t out);
/* The inputs that output i is made of: from *start on, so many. */
int64_t windows_at(const windows *a, int64_t i, int64_t *start);

/* Bytes of the axis and its table, a multiple of 64. */
int64_t windows_bytes(const windows *a);
/* Writes both. is_whole: weights are integers, else f32. */
int32_t windows_fill(const evla_host *h, const windows *a, int is_whole, void *blob);
/* Of an axis in a blob. */
static inline const int32_t *windows_starts(const windows *a)
{
    return (const int32_t *)(a + 1);
}
static inline const int32_t *windows_counts(const windows *a)
{
    return windows_starts(a) + a->out;
}
static inline const int32_t *windows_weights(const windows *a)
{
    return windows_counts(a) + a->out;
}

#endif
