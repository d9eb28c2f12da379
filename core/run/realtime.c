/*
 * realtime.c -- a loop on the wall clock. See realtime.h.
 */
#include "realtime.h"
#include "../mem.h"
#include "clock.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum {
    STACK_BYTES = 2 << 20,
    STACK_TOUCHED = 256 << 10,
    SCRATCH_BYTES = 256 << 10,
    PRIORITY = 60
}; /* below what drivers use */

typedef struct realtime {
    loop *l;
    const realtime_spec *s;
    const realtime_events *e;
    realtime_report *out;
    ctx cx; /* the tick thread's */
    watch watch;
    int64_t period_ns, began_ns, end_ns;
    int64_t n_sleeps;
    struct rusage before;
    int64_t mallocs_before;
    atomic_llong now_ns; /* for whoever shows progress */
    atomic_int is_over;
    int32_t status;
} realtime;

/* ---- before the first tick ---- */

static void ask_for_priority(realtime_report *out)
{
    struct sched_param how = {.sched_priority = PRIORITY};
    int failed = pthread_setschedparam(pthread_self(), SCHED_FIFO, &how);
    out->is_fifo = !failed;
    out->why_normal = failed ? strerror(failed) : "";
    prctl(PR_SET_TIMERSLACK, 1, 0, 0,
          0); /* ns; of threads that are not first-in first-out */
}

/* What is there now stays in memory. Not what will be: with a small limit on locked memory
 * every later allocation would fail. */
static void lock_memory(realtime_report *out)
{
    out->is_locked = mlockall(MCL_CURRENT) == 0;
    out->why_unlocked = out->is_locked ? "" : strerror(errno);
}

static void touch_stack(void)
{
    volatile unsigned char bytes[STACK_TOUCHED];
    for (size_t i = 0; i < sizeof bytes; i += 1024)
        bytes[i] = (unsigned char)i;
}

/* One block that is there for good, so that scratch does not allocate in a tick. */
static int32_t warm_scratch(ctx *cx)
{
    void *p = arena_push(&cx->scratch, 1, SCRATCH_BYTES);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "scratch of the tick thread");
    arena_reset(&cx->scratch, (arena_place){cx->scratch.blocks, 0});
    return 0;
}

/* ---- counting ---- */

static void count_from_here(realtime *r)
{
    r->n_sleeps = 0;
    getrusage(RUSAGE_THREAD, &r->before);
    if (r->s->count_mallocs) r->mallocs_before = r->s->count_mallocs();
}

static void count_to_here(realtime *r)
{
    struct rusage now;
    realtime_report *o = r->out;
    if (r->s->count_mallocs) o->mallocs += r->s->count_mallocs() - r->mallocs_before;
    getrusage(RUSAGE_THREAD, &now);
    o->page_faults +=
        now.ru_minflt + now.ru_majflt - r->before.ru_minflt - r->before.ru_majflt;
    int64_t waits = now.ru_nvcsw - r->before.ru_nvcsw - r->n_sleeps;
    o->waits += waits > 0 ? waits : 0;
    o->preempted += now.ru_nivcsw - r->before.ru_nivcsw;
}

/* ---- ticks ---- */

static void sleep_until(realtime *r, int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    if (ns <= clock_ns()) return;
    r->n_sleeps++;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int32_t one_tick(realtime *r, int64_t *next_ns)
{
    loop *l = r->l;
    realtime_report *o = r->out;
    arena_place mark = arena_mark(&r->cx.scratch);
    sleep_until(r, *next_ns);
    int64_t woke = clock_ns();
    int32_t st = loop_sense(l, woke);
    if (st >= 0) st = loop_decide(l);
    int64_t decided = clock_ns();
    if (st >= 0) st = loop_act(l);
    int64_t acted = clock_ns();
    arena_reset(&r->cx.scratch, mark);
    if (st < 0) return st;
    watch_tick(&r->watch, l);
    histogram_add(&o->jitter, woke - *next_ns);
    histogram_add(&o->step, decided - woke);
    histogram_add(&o->body, acted - decided);
    o->ticks++;
    *next_ns += r->period_ns;
    o->missed += decided > *next_ns;
    if (acted >= *next_ns + r->period_ns) {
        int64_t n = (acted - *next_ns) / r->period_ns;
        *next_ns += n * r->period_ns;
        o->skipped += n;
        o->missed += n;
    }
    atomic_store_explicit(&r->now_ns, acted, memory_order_relaxed);
    return ctx_stopping(&r->cx) ? ctx_fail(&r->cx, EVLA_E_STOPPED, "stopped") : 0;
}

static int32_t episode(realtime *r, int64_t i)
{
    loop *l = r->l;
    uint64_t seed = 0;
    const char *instruction = NULL;
    int32_t st = r->e->begin(r->e->to, l, i, &seed, &instruction);
    if (st >= 0) st = loop_reset(&r->cx, l, seed, instruction, clock_ns());
    if (st < 0) return st;
    watch_reset(&r->watch, r->s->bad);
    int64_t late_before = l->pilot ? pilot_late(l->pilot) : 0;
    int64_t next = clock_ns() + r->period_ns;
    count_from_here(r);
    while (st >= 0 && !loop_is_over(l) && next < r->end_ns)
        st = one_tick(r, &next);
    count_to_here(r);
    if (l->pilot) r->out->late_results += pilot_late(l->pilot) - late_before;
    if (st >= 0 && l->pilot) st = pilot_trouble(&r->cx, l->pilot);
    if (st < 0) return st;
    int is_cut = !loop_is_over(l);
    r->out->episodes += !is_cut;
    r->out->cut += is_cut;
    return r->e->end(r->e->to, l, &r->watch, i, is_cut);
}

static void *run(void *self)
{
    realtime *r = self;
    ask_for_priority(r->out);
    touch_stack();
    int32_t st = warm_scratch(&r->cx);
    lock_memory(r->out);
    r->began_ns = clock_ns();
    r->end_ns = r->began_ns + (int64_t)(r->s->seconds * 1e9);
    for (int64_t i = 0; st >= 0 && clock_ns() + r->period_ns < r->end_ns; i++) {
        if (r->s->max_episodes && i == r->s->max_episodes) break;
        st = episode(r, i);
    }
    if (r->l->pilot) pilot_land(r->l->pilot, &r->out->answer);
    if (r->out->is_locked) munlockall();
    r->status = st;
    atomic_store_explicit(&r->is_over, 1, memory_order_release);
    return NULL;
}

static void wait_for(realtime *r)
{
    int64_t began = clock_ns();
    while (!atomic_load_explicit(&r->is_over, memory_order_acquire)) {
        struct timespec nap = {0, 100000000};
        nanosleep(&nap, NULL);
        int64_t now = atomic_load_explicit(&r->now_ns, memory_order_relaxed);
        if (r->e->progress && now) r->e->progress(r->e->to, 1e-9 * (double)(now - began));
    }
}

int32_t realtime_run(ctx *cx, loop *l, const realtime_spec *s, const realtime_events *e,
                     realtime_report *out)
{
    memset(out, 0, sizeof *out); /* also touches every page */
    realtime *r = mem_alloc_aligned(sizeof *r, 64);
    if (!r) return ctx_fail(cx, EVLA_E_NOMEM, "the tick thread");
    memset(r, 0, sizeof *r);
    r->l = l;
    r->s = s;
    r->e = e;
    r->out = out;
    r->period_ns = (int64_t)(1e9 / l->of.info->rate_hz + 0.5);
    out->mallocs = s->count_mallocs ? 0 : -1;
    ctx_init_child(&r->cx, cx);
    pthread_t thread;
    pthread_attr_t how;
    sigset_t all, before; /* signals are for the threads of the program */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK_BYTES);
    int failed = pthread_create(&thread, &how, run, r);
    pthread_attr_destroy(&how);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    int32_t st;
    if (failed)
        st = ctx_fail(cx, EVLA_E_LIMIT, "no thread for the ticks: %s", strerror(failed));
    else {
        wait_for(r);
        pthread_join(thread, NULL);
        st = r->status;
        if (st < 0) ctx_fail(cx, st, "%s", r->cx.code ? r->cx.why : ctx_code_text(st));
    }
    host_init(&l->h, cx, &l->body_hold); /* the thread's own ctx goes */
    ctx_free(&r->cx);
    mem_free(r);
    return st;
}
