/*
 * walk.c -- walks a dense output in runs while several inputs are broadcast to it.
 */
#include "walk.h"
#include <assert.h>

void walk_plan(walk *w, const evla_type *out, const evla_type *const *in, int32_t n_in)
{
    walk r = {.n_in = n_in}; /* axes from the innermost outwards */
    int64_t stride[WALK_MAX] = {1, 1, 1};
    int32_t n = 0;
    assert(n_in <= WALK_MAX);
    for (int32_t i = out->rank - 1; i >= 0; i--) {
        int64_t step[WALK_MAX] = {0}, extent = out->shape[i];
        for (int32_t k = 0; k < n_in; k++) {
            int32_t axis = i - (out->rank - in[k]->rank);
            if (axis < 0) continue;
            step[k] = in[k]->shape[axis] == 1 ? 0 : stride[k];
            stride[k] *= in[k]->shape[axis];
        }
        if (extent == 1) continue;
        int same = n > 0;
        for (int32_t k = 0; same && k < n_in; k++)
            same = step[k] == r.step[k][n - 1] * r.shape[n - 1];
        if (same) {
            r.shape[n - 1] *= extent;
            continue;
        }
        for (int32_t k = 0; k < n_in; k++)
            r.step[k][n] = step[k];
        r.shape[n++] = extent;
    }
    if (!n) r.shape[n++] = 1;
    *w = r;
    w->rank = n;
}

int walk_next(const walk *w, int64_t *at, int64_t end, walk_run *run)
{
    if (*at >= end) return 0;
    int64_t left = *at, in_run = left % w->shape[0];
    run->at = *at;
    run->n = w->shape[0] - in_run < end - *at ? w->shape[0] - in_run : end - *at;
    for (int32_t k = 0; k < w->n_in; k++) {
        run->from[k] = in_run * w->step[k][0];
        run->step[k] = w->step[k][0];
    }
    left /= w->shape[0];
    for (int32_t i = 1; i < w->rank; i++) {
        for (int32_t k = 0; k < w->n_in; k++)
            run->from[k] += left % w->shape[i] * w->step[k][i];
        left /= w->shape[i];
    }
    *at += run->n;
    return 1;
}
