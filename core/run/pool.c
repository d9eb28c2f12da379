/*
 * pool.c -- a set of workers that do one task together. See pool.h.
 */
#include "pool.h"
#include "../mem.h"
#include "clock.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Loads before sleeping, some 10 us: two workers on a chain of 30 us phases run 1.9 times
 * as fast as one; with a fifth of it they sleep through every phase and are no faster than
 * one. */
enum { SPIN = 30000 };

/* Waiting of a run that counts as having been kept waiting by others: more than a moment,
 * and more than this part of it. How many runs are then made alone, at first and at most.
 */
enum { STALL_NS = 1000000, STALL_PART = 4, REST_LEAST = 4, REST_MOST = 256 };

/* A word that waiters watch, on a cache line of its own. */
typedef struct signpost {
    _Alignas(64) atomic_uint word;
    atomic_uint sleepers;
} signpost;

typedef struct worker {
    pool *of;
    pthread_t thread;
    int32_t index;
    int64_t came_ns; /* to the last meeting */
} worker;

struct pool {
    signpost start; /* counts runs */
    signpost phase; /* counts meetings */
    _Alignas(64) atomic_int arrived;
    int32_t n;
    int32_t n_started;      /* threads that exist */
    int32_t n_now;          /* workers of this run */
    int32_t rest, patience; /* runs still to be made alone; how many next time */
    int64_t stalled_ns;     /* of this run: waiting for workers that had not come */
    uint32_t spin;
    int is_ending;
    pool_task *task;
    void *to;
    worker *workers;
};

static void sleep_on(atomic_uint *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void post(signpost *s)
{
    atomic_fetch_add(&s->word, 1);
    if (atomic_load(&s->sleepers))
        syscall(SYS_futex, &s->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns when the word is no longer what was seen. */
static void await(signpost *s, uint32_t seen, uint32_t spin)
{
    for (uint32_t i = 0; i < spin; i++)
        if (atomic_load_explicit(&s->word, memory_order_acquire) != seen) return;
    atomic_fetch_add(&s->sleepers, 1);
    while (atomic_load(&s->word) == seen)
        sleep_on(&s->word, seen);
    atomic_fetch_sub(&s->sleepers, 1);
}

void pool_meet(pool *p, int32_t index, pool_task *alone, void *to)
{
    if (p->n_now == 1) {
        if (alone) alone(to, index);
        return;
    }
    uint32_t seen = atomic_load_explicit(&p->phase.word, memory_order_relaxed);
    int64_t now = p->workers[index].came_ns = clock_ns();
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) < p->n - 1) {
        await(&p->phase, seen, p->spin);
        return;
    }
    for (int32_t i = 0; i < p->n; i++)
        p->stalled_ns += now - p->workers[i].came_ns;
    if (alone) alone(to, index);
    atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
    post(&p->phase);
}

static void *work(void *self)
{
    worker *w = self;
    pool *p = w->of;
    for (uint32_t seen = 0;; seen++) {
        await(&p->start, seen, p->spin);
        if (p->is_ending) return NULL;
        p->task(p->to, w->index);
        pool_meet(p, w->index, NULL, NULL);
    }
}

int32_t pool_next(pool *p)
{
    p->n_now = p->rest > 0 ? 1 : p->n;
    if (p->rest > 0) p->rest--;
    return p->n_now;
}

/* After a run of all: was it held up by workers that had no processor? */
static void judge(pool *p, int64_t took_ns)
{
    int64_t share = p->stalled_ns / (p->n - 1);
    if (share < STALL_NS || share < took_ns / STALL_PART) {
        p->patience = REST_LEAST;
        return;
    }
    p->rest = p->patience;
    p->patience = 2 * p->patience < REST_MOST ? 2 * p->patience : REST_MOST;
}

void pool_run(pool *p, pool_task *task, void *to)
{
    if (p->n_now == 1) {
        task(to, 0);
        p->n_now = p->n;
        return;
    }
    int64_t began = clock_ns();
    p->task = task;
    p->to = to;
    p->stalled_ns = 0;
    post(&p->start);
    task(to, 0);
    pool_meet(p, 0, NULL, NULL);
    judge(p, clock_ns() - began);
}

int32_t pool_size(const pool *p) { return p->n; }

int32_t pool_new(ctx *cx, int32_t n_workers, pool **out)
{
    if (n_workers < 1 || n_workers > POOL_MOST)
        return ctx_fail(cx, EVLA_E_RANGE, "workers: want 1 to %d, got %d", POOL_MOST,
                        n_workers);
    pool *p = mem_alloc_aligned(sizeof *p, 64);
    worker *workers = mem_alloc((size_t)n_workers * sizeof *workers);
    if (!p || !workers) {
        mem_free(p);
        mem_free(workers);
        return ctx_fail(cx, EVLA_E_NOMEM, "%d workers", n_workers);
    }
    memset(p, 0, sizeof *p);
    p->n = p->n_now = n_workers;
    p->patience = REST_LEAST;
    p->workers = workers;
    /* who has to share a processor with the one it waits for had better sleep */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    p->spin = processors >= n_workers ? SPIN : 0;
    sigset_t all, before; /* signals are for the threads of the program */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (int32_t i = 1; !failed && i < n_workers; i++) {
        p->workers[i] = (worker){.of = p, .index = i};
        failed = pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]);
        if (!failed) p->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        int32_t which = p->n_started + 1;
        pool_free(p);
        return ctx_fail(cx, EVLA_E_NOMEM, "worker %d of %d: %s", which, n_workers,
                        strerror(failed));
    }
    *out = p;
    return 0;
}

void pool_free(pool *p)
{
    if (!p) return;
    p->is_ending = 1;
    post(&p->start);
    for (int32_t i = 1; i <= p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    mem_free(p->workers);
    mem_free(p);
}
