/*
 * walk.h -- walks a dense output in runs while several inputs are broadcast to it.
 *
 * Neighbouring axes that all inputs step through alike are merged, so [B,T,D] + [D] is B*T
 * runs of D and [B,T,D] + [B,T,D] one run of B*T*D.
 */
#ifndef OPS_WALK_H
#define OPS_WALK_H
#include "types.h"

enum { WALK_MAX = 3, WALK_TILE = 16384 /* elements of one tile */ };

typedef struct walk {
    int32_t n_in, rank;
    int64_t shape[8];
    int64_t step[WALK_MAX][8]; /* elements; 0 where an input is repeated */
} walk;

/* A part of one run: n outputs from `at` on, inputs from from[i] on, one `step` apart. */
typedef struct walk_run {
    int64_t at, n;
    int64_t from[WALK_MAX], step[WALK_MAX];
} walk_run;

/* in[0..n_in) broadcast to out. */
void walk_plan(walk *w, const evla_type *out, const evla_type *const *in, int32_t n_in);
/* Next run at or after *at that ends before end; 0 when there is none. */
int walk_next(const walk *w, int64_t *at, int64_t end, walk_run *run);

#endif
