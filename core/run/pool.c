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
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Loads before sleeping, some 10 us: two workers on a chain of 30 us phases run 1.9 times
 * as fast as one; with a fifth of it they sleep through every phase and are no faster than
 * one. */
enum { SPIN = 30000 };

/* Waiting that counts as being held up: more than is bearable, in this time at least. How
 * long one worker then goes on alone: trying again costs a slice, so it is tried less and
 * less often where little was bearable, that is, where being alone costs little. */
enum { STALL_NS = 16000000 };
static const int64_t rest_least_ns = 32000000, rest_most_ns = 2048000000;

/* A word that waiters watch, on a cache line of its own. */
typedef struct signpost {
    _Alignas(64) atomic_uint word;
    atomic_uint sleepers;
} signpost;

typedef struct worker {
    pool *of;
    pthread_t thread;
    int32_t index;
    int64_t came_ns;   /* to the last meeting */
    int64_t switches;  /* of its thread to others, when it was last late */
    uint64_t meetings; /* that it took part in */
    int has_left;      /* the task, before it was done */
} worker;

struct pool {
    signpost start; /* counts runs */
    signpost phase; /* counts meetings */
    _Alignas(64) atomic_int arrived;
    int32_t n;
    int32_t n_started;              /* threads that exist */
    int32_t n_now;                  /* workers of this run */
    uint64_t parted;                /* the last meeting after which all left the task */
    int64_t began_ns, stalled_ns;   /* of this run: its start, waiting for one to come */
    double bearable;                /* share of its time that it may wait */
    int64_t together_ns;            /* since when all have worked */
    int64_t rested_ns, patience_ns; /* alone until then; how long it would be next time */
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

/* 1 when this thread, which is late, has given way to others since it was last asked. */
static int lost_processor(worker *w)
{
    struct rusage used;
    getrusage(RUSAGE_THREAD, &used);
    int64_t seen = w->switches;
    w->switches = used.ru_nvcsw + used.ru_nivcsw;
    return w->switches != seen;
}

/* [last to come] Was the run held up by workers that had no processor? Then all but worker
 * 0 had better leave it. */
static int is_held_up(pool *p, worker *last)
{
    int64_t now = last->came_ns, waited = 0;
    int32_t others = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (i == last->index) continue;
        waited += now - p->workers[i].came_ns;
        others++;
    }
    p->stalled_ns += others ? waited / others : 0;
    int64_t time = now - p->began_ns > STALL_NS ? now - p->began_ns : STALL_NS;
    if ((double)p->stalled_ns < p->bearable * (double)time) return 0;
    p->stalled_ns = 0;
    return lost_processor(last);
}

int pool_meet(pool *p, int32_t index, pool_task *alone, void *to)
{
    if (p->n_now == 1) {
        if (alone) alone(to, index);
        return !pool_is_rested(p);
    }
    worker *w = &p->workers[index];
    uint32_t seen = atomic_load_explicit(&p->phase.word, memory_order_relaxed);
    w->came_ns = clock_ns();
    w->meetings++;
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) < p->n - 1) {
        await(&p->phase, seen, p->spin);
    } else {
        if (is_held_up(p, w)) {
            p->parted = w->meetings;
            p->rested_ns = w->came_ns + p->patience_ns;
            int64_t most = p->bearable > POOL_LEAST_BEARABLE ? rest_least_ns : rest_most_ns;
            p->patience_ns = 2 * p->patience_ns < most ? 2 * p->patience_ns : most;
        }
        if (alone) alone(to, index);
        atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
        post(&p->phase);
    }
    /* who is late here must not touch the task any more: worker 0 may be done with it */
    w->has_left = p->parted == w->meetings;
    return !w->has_left;
}

static void take_part(pool *p, worker *w)
{
    w->has_left = 0;
    p->task(p->to, w->index);
    if (!w->has_left) pool_meet(p, w->index, NULL, NULL);
}

static void *work(void *self)
{
    worker *w = self;
    for (uint32_t seen = 0;; seen++) {
        await(&w->of->start, seen, w->of->spin);
        if (w->of->is_ending) return NULL;
        take_part(w->of, w);
    }
}

int pool_is_rested(const pool *p) { return p->n > 1 && clock_ns() >= p->rested_ns; }

void pool_bear(pool *p, double share) { p->bearable = share; }

int32_t pool_next(pool *p)
{
    if (p->n == 1) return 1;
    int64_t now = clock_ns();
    if (now < p->rested_ns) {
        p->together_ns = p->rested_ns;
        return 1;
    }
    if (now - p->together_ns > p->patience_ns) p->patience_ns = rest_least_ns;
    return p->n;
}

void pool_run(pool *p, int32_t n_workers, pool_task *task, void *to)
{
    p->n_now = n_workers;
    if (n_workers == 1) {
        task(to, 0);
        return;
    }
    p->task = task;
    p->to = to;
    p->began_ns = clock_ns();
    p->stalled_ns = 0;
    post(&p->start);
    take_part(p, &p->workers[0]);
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
    p->bearable = POOL_LEAST_BEARABLE;
    p->n = p->n_now = n_workers;
    p->patience_ns = rest_least_ns;
    p->workers = workers;
    for (int32_t i = 0; i < n_workers; i++)
        workers[i] = (worker){.of = p, .index = i};
    /* who has to share a processor with the one it waits for had better sleep */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    p->spin = processors >= n_workers ? SPIN : 0;
    sigset_t all, before; /* signals are for the threads of the program */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (int32_t i = 1; !failed && i < n_workers; i++) {
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
