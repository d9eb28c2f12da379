/*
 * pool.h -- a set of workers that do one task together, with a barrier inside.
 *
 * The caller of pool_run is worker 0. Waiting spins for a moment, then sleeps on a futex;
 * after a millisecond of it the one that was late asks for its getrusage. A pool of one
 * makes no system call at all.
 *
 * When other processes take the processor away from one worker, all wait for it, a slice of
 * the scheduler's at a time; then one worker alone is faster and steadier. A pool that
 * notices sends all home in the middle of their task, and its caller runs the rest of it:
 * alone for a while, then with all again, which it tries less and less often.
 */
#ifndef EVLA_RUN_POOL_H
#define EVLA_RUN_POOL_H
#include "../ctx.h"

enum { POOL_MOST = 256 };
/* Of a run's time, see pool_bear; what a new pool bears. */
#define POOL_LEAST_BEARABLE (1.0 / 16)

typedef struct pool pool;
typedef void pool_task(void *to, int32_t worker);

int32_t pool_new(ctx *cx, int32_t n_workers, pool **out);
void pool_free(pool *p); /* not while pool_run is going on */
int32_t pool_size(const pool *p);
/* The share of its time that runs may wait for workers without a processor before all are
 * sent home: where all together are s times as fast as one, waiting costs more than being
 * alone from 1 - 1/s on. At the least share, time alone grows from trial to trial. */
void pool_bear(pool *p, double share);
/* How many workers a run had better get now: all, or one. */
int32_t pool_next(pool *p);
/* Every worker of this run, all or one, calls task once; returns when it is done, or when
 * all were sent home (pool_meet). */
void pool_run(pool *p, int32_t n_workers, pool_task *task, void *to);
/* Inside a task: waits until every worker of this run is here. The last to come calls
 * `alone` before any of them goes on, and what it wrote is seen by all. 0: all have to
 * return at once, without touching what the task works on; who called pool_run asks
 * pool_next and runs the rest. */
int pool_meet(pool *p, int32_t worker, pool_task *alone, void *to);
/* In a run of one worker: 1 when the others could join again, so its task should return. */
int pool_is_rested(const pool *p);

#endif
