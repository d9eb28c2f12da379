/*
 * core/run/pool.c: every worker runs every task, meetings hold them together (also under
 * TSan).
 */
#include "registry.h"
#include "run/clock.h"
#include "run/pool.h"
#include "tap.h"
#include <string.h>
#include <unistd.h>

typedef struct sums {
    pool *p;
    int64_t of[16]; /* plain memory: only meetings keep it whole */
    int64_t all;
    int32_t calls[16];
    int32_t round, alone;
} sums;

static void add_up(void *to, int32_t w)
{
    sums *s = to;
    (void)w;
    s->alone++;
    s->round++;
    s->all = 0;
    for (int i = 0; i < pool_size(s->p); i++)
        s->all += s->of[i];
}

static void work(void *to, int32_t w)
{
    sums *s = to;
    s->calls[w]++;
    do
        s->of[w] = s->all + w;
    while (pool_meet(s->p, w, add_up, s) && s->round < 3);
}

static void test(ctx *cx, int32_t n, int runs)
{
    sums s = {0};
    if (pool_new(cx, n, &s.p) < 0) {
        ok(0, "%d workers: %s", n, cx->why);
        return;
    }
    int64_t expect = 0, good = 1;
    for (int r = 0; r < runs; r++) {
        s.all = expect = r;
        for (int round = 0; round < 3; round++)
            expect = n * expect + n * (n - 1) / 2;
        for (s.round = 0; s.round < 3;) /* on a busy machine all are sent home at times */
            pool_run(s.p, n, work, &s);
        if (s.all != expect) good = 0;
        if (r % 50 == 0) usleep(300); /* let them fall asleep */
    }
    ok(good, "%d workers: what was written before a meeting is seen after it", n);
    int each = s.alone == 3 * runs;
    for (int32_t w = 0; w < n; w++)
        each &= s.calls[w] == s.calls[0] && s.calls[w] >= runs;
    ok(each, "%d workers: each runs each task, and one is alone per meeting", n);
    pool_free(s.p);
}

/* ---- alone for a while ---- */

typedef struct slow {
    pool *p;
    int us;        /* worker 1 comes so much too late, once */
    int is_asleep; /* or busy: it has its processor and no reason to be left behind */
    int meetings;  /* done, of 100 */
    int calls[2];  /* of the task, by worker */
} slow;

static void count(void *to, int32_t w)
{
    slow *s = to;
    (void)w;
    s->meetings++;
}

static void dawdle(void *to, int32_t w)
{
    slow *s = to;
    s->calls[w]++;
    do {
        if (w == 1 && s->meetings == 50 && s->is_asleep) usleep((useconds_t)s->us);
        if (w == 1 && s->meetings == 50)
            for (int64_t end = clock_ns() + s->us * INT64_C(1000); clock_ns() < end;) {
            }
    } while (pool_meet(s->p, w, count, s) && s->meetings < 100);
}

static void do_all(slow *s, int us, int is_asleep)
{
    slow begun = {.p = s->p, .us = us, .is_asleep = is_asleep};
    *s = begun;
    for (int32_t n = pool_next(s->p); s->meetings < 100; n = pool_next(s->p))
        pool_run(s->p, n, dawdle, s);
}

/* ms until all may work again */
static double rest_ms(const pool *p)
{
    int64_t began = clock_ns();
    while (!pool_is_rested(p))
        usleep(200);
    return (double)(clock_ns() - began) * 1e-6;
}

/* What one trial saw. */
typedef struct trial {
    int is_left, is_alone, is_together, is_whole;
    double first, second, third; /* ms of rest */
} trial;

static trial try_rest(pool *p)
{
    trial t;
    slow s = {.p = p};
    do_all(&s, 20000, 1);
    t.is_left = s.meetings == 100 && s.calls[0] == 2 && s.calls[1] == 1;
    t.is_alone = pool_next(p) == 1;
    t.first = rest_ms(p);
    t.is_together = pool_next(p) == 2;
    do_all(&s, 20000, 1);
    t.second = rest_ms(p);
    usleep(300000);
    do_all(&s, 20000, 1);
    t.third = rest_ms(p);
    do_all(&s, 20000, 1);
    usleep(150000);
    do_all(&s, 0, 1);
    t.is_whole = s.calls[1] == 1;
    return t;
}

/* It is about time, which whoever else runs here takes from us: one trial that nobody
 * disturbed is enough. */
static void test_rest(ctx *cx)
{
    enum { TRIALS = 25 };
    int is_good = 0;
    trial t = {0};
    for (int i = 0; i < TRIALS && !is_good; i++) {
        pool *p;
        if (pool_new(cx, 2, &p) < 0) {
            ok(0, "%s", cx->why);
            return;
        }
        t = try_rest(p);
        is_good = t.is_left && t.is_alone && t.is_together && t.is_whole && t.first > 0 &&
                  t.first < 33 && t.second > 33 && t.third < 33;
        pool_free(p);
    }
    ok(t.is_left,
       "a worker that lost its processor is left behind in the middle of a task");
    ok(t.is_alone, "the next run is made without it");
    ok(t.is_together, "and later ones with it again");
    ok(t.first > 0 && t.first < 33 && t.second > 33,
       "for 32 ms, then twice as long (%.0f, %.0f ms)", t.first, t.second);
    ok(t.third < 33, "and 32 ms again when all went well meanwhile (%.0f ms)", t.third);
    ok(t.is_whole, "a run without waiting has all from start to end");
}

/* Waiting all of the time is borne when nothing less is said. */
static void test_bear(ctx *cx)
{
    pool *p;
    if (pool_new(cx, 2, &p) < 0) {
        ok(0, "%s", cx->why);
        return;
    }
    slow s = {0};
    pool_bear(p, 2);
    for (int i = 0; i < 3 && (!i || (s.calls[0] == 1 && s.calls[1] == 1)); i++) {
        s = (slow){.p = p};
        do_all(&s, 20000, 1);
    }
    ok(s.calls[0] == 1 && s.calls[1] == 1 && pool_next(p) == 2,
       "a pool that may wait leaves nobody behind");
    pool_free(p);
}

int main(void)
{
    registry reg;
    ctx cx;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    test(&cx, 1, 1000);
    test(&cx, 2, 1000);
    test(&cx, 3, 500);
    test(&cx, 8, 200);
    test_rest(&cx);
    test_bear(&cx);
    pool *p;
    ok(pool_new(&cx, 0, &p) == EVLA_E_RANGE && pool_new(&cx, 1000, &p) == EVLA_E_RANGE,
       "0 and 1000 workers are refused");
    int good = 1;
    ctx_clear(&cx);
    for (int i = 0; i < 50; i++) {
        if (pool_new(&cx, 4, &p) < 0)
            good = 0;
        else
            pool_free(p);
    }
    ok(good, "pools come and go without having run");
    pool_free(NULL);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
