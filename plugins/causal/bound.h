/*
 * bound.h -- what the next step of the joints may be: distances, limits and forces as
 * inequalities, and the step nearest to the wanted one that meets them all.
 */
#ifndef CAUSAL_BOUND_H
#define CAUSAL_BOUND_H

#include "relate.h"

enum { BOUND_ROWS = 224 };

/* The fingers' way per tick is counted in units of this many m, to be as heavy as a joint.
 */
#define BOUND_FINGER 0.4

/* row . step >= least; step: rad of each joint, and the fingers' way. */
typedef struct bound_row {
    double row[CHAIN_VARS], least;
    double square, push;  /* row . row; multiplier of the solution */
    double found, wanted; /* m or rad: now under the wanted step, and what is asked for */
    int32_t id, node;
} bound_row;

typedef struct bound {
    bound_row rows[BOUND_ROWS];
    double low[CHAIN_VARS], high[CHAIN_VARS];
    int32_t n, is_close; /* something may be touched soon */
    int32_t n_lost;      /* rows that did not fit */
    double nearest;      /* m, least distance over what is kept */
} bound;

/* Collects the inequalities around the commanded joints. facts choose the rules in force;
 * lead[3]: how far the TCP lags behind its command because something is in the way, m. */
void bound_collect(bound *b, const track *t, const relate *g, uint64_t facts,
                   const double command[CHAIN_JOINTS], const double fingers[2],
                   const double lead[3], const double wanted[CHAIN_VARS]);

/* The step nearest to `wanted`. Returns the row that bends it most, -1 when none does. */
int32_t bound_solve(bound *b, const double wanted[CHAIN_VARS], double step[CHAIN_VARS]);

#endif
