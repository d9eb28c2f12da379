/*
 * pool.h -- a set of workers that do one task together, with a barrier inside.
 *
 * The caller of pool_run is worker 0. Waiting spins for a moment, then sleeps on a futex; a
 * pool of one makes no system call at all.
 *
 * When other processes take the processor away from one worker, all wait for it, a slice of
 * the scheduler's at a time; then one worker alone is faster and steadier. A pool that
 * notices works alone for a while (pool_next) and tries again, less and less often.
 */
#ifndef EVLA_RUN_POOL_H
#define EVLA_RUN_POOL_H
#include "../ctx.h"

enum { POOL_MOST = 256 };

typedef struct pool pool;
typedef void pool_task(void *to, int32_t worker);

int32_t pool_new(ctx *cx, int32_t n_workers, pool **out);
void pool_free(pool *p); /* not while pool_run is going on */
int32_t pool_size(const pool *p);
/* How many workers the next pool_run gets: all, or one. Without asking it is all. */
int32_t pool_next(pool *p);
/* Every worker of this run calls task once; returns when all have returned. */
void pool_run(pool *p, pool_task *task, void *to);
/* Inside a task: waits until every worker of this run is here. The last to come calls
 * `alone` before any of them goes on, and what it wrote is seen by all. */
void pool_meet(pool *p, int32_t worker, pool_task *alone, void *to);

#endif
