/*
 * exec.h -- runs the steps of a plan on a pool, phase by phase, tile by tile.
 */
#ifndef EVLA_RUN_EXEC_H
#define EVLA_RUN_EXEC_H
#include "../host.h"
#include "pool.h"
#include "profile.h"

/* What a worker needs of its own: where it says what went wrong, and on which tile. */
typedef struct exec_worker {
    _Alignas(64) ctx cx;
    host h;
    int32_t code;
    int64_t tile;
} exec_worker;

/* A plan with its tensors bound to memory, ready to run any number of times. */
typedef struct exec {
    const plan *of;
    evla_args *args;     /* by step; scratch is filled in per worker */
    unsigned char *base; /* of the plan's arena */
    exec_worker *workers;
    pool *workers_pool;
    profile *times;   /* or NULL */
    const ctx *asker; /* whose stop flag is looked at between steps */
    /* the run going on; written by one worker while the others wait */
    _Alignas(64) atomic_llong next; /* tile to claim */
    int64_t tiles;
    int64_t step_began_ns;
    int32_t step, phase;
    int32_t n_workers; /* of this run */
    int32_t code;
    int32_t is_stopped;
    int32_t who; /* the worker whose sentence counts */
} exec;

/* 0, or the code of the lowest (step, phase, tile) that failed; its sentence goes to cx,
 * and *failed_step says which step it was. */
int32_t exec_run(ctx *cx, exec *x, int32_t *failed_step);

#endif
