/*
 * profile.h -- time, calls, bytes and floating-point operations of every step.
 */
#ifndef EVLA_RUN_PROFILE_H
#define EVLA_RUN_PROFILE_H
#include "../graph/plan.h"

typedef struct profile_row {
    int64_t calls;
    int64_t ns;       /* sum */
    int64_t least_ns; /* fastest call */
    int64_t most_ns;
} profile_row;

typedef struct profile {
    const plan *of;
    profile_row *rows; /* by step */
    int64_t runs, ns;  /* whole runs */
} profile;

void profile_clear(profile *p);
void profile_add(profile_row *r, int64_t ns);
/* A table for people: slowest first, with GFLOP/s and GB/s. */
const char *profile_table(const profile *p, arena *a);

#endif
