/*
 * core/run/pool.c: every worker runs every task, meetings hold them together (also under
 * TSan).
 */
#include "registry.h"
#include "run/pool.h"
#include "tap.h"
#include <string.h>
#include <unistd.h>

typedef struct sums {
    pool *p;
    int64_t of[16]; /* plain memory: only meetings keep it whole */
    int64_t all;
    int32_t calls[16];
    int32_t alone;
} sums;

static void add_up(void *to, int32_t w)
{
    sums *s = to;
    (void)w;
    s->alone++;
    s->all = 0;
    for (int i = 0; i < pool_size(s->p); i++)
        s->all += s->of[i];
}

static void work(void *to, int32_t w)
{
    sums *s = to;
    s->calls[w]++;
    for (int round = 0; round < 3; round++) {
        s->of[w] = s->all + w;
        pool_meet(s->p, w, add_up, s);
    }
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
        s.all = r;
        expect = r;
        for (int round = 0; round < 3; round++)
            expect = n * expect + n * (n - 1) / 2;
        pool_run(s.p, work, &s);
        if (s.all != expect) good = 0;
        if (r % 50 == 0) usleep(300); /* let them fall asleep */
    }
    ok(good, "%d workers: what was written before a meeting is seen after it", n);
    int each = s.alone == 3 * runs;
    for (int32_t w = 0; w < n; w++)
        each &= s.calls[w] == runs;
    ok(each, "%d workers: each runs each task once, and one is alone per meeting", n);
    pool_free(s.p);
}

/* ---- alone for a while ---- */

typedef struct slow {
    pool *p;
    int us;    /* worker 1 comes so much too late */
    int calls; /* of worker 0 */
} slow;

static void dawdle(void *to, int32_t w)
{
    slow *s = to;
    if (w == 0) s->calls++;
    if (w == 1 && s->us) usleep((useconds_t)s->us);
    pool_meet(s->p, w, NULL, NULL);
}

/* How many runs are made alone after one with that delay. */
static int rest_after(slow *s, int us)
{
    s->us = us;
    pool_next(s->p);
    pool_run(s->p, dawdle, s);
    s->us = 0;
    for (int n = 0; n < 1000; n++) {
        int32_t workers = pool_next(s->p);
        if (workers > 1) return n; /* asked for again by the next run */
        pool_run(s->p, dawdle, s);
    }
    return -1;
}

static void test_rest(ctx *cx)
{
    slow s = {0};
    if (pool_new(cx, 2, &s.p) < 0) {
        ok(0, "%s", cx->why);
        return;
    }
    int first = rest_after(&s, 20000), second = rest_after(&s, 20000),
        third = rest_after(&s, 20000);
    ok(first == 4 && second == 8 && third == 16,
       "a worker that keeps the other waiting: 4, 8, 16 runs are made without it (%d, %d, "
       "%d)",
       first, second, third);
    for (int i = 0; i < 8; i++)
        rest_after(&s, 20000);
    ok(rest_after(&s, 20000) == 256, "and never more than 256 at a time");
    int calls = s.calls;
    pool_run(s.p, dawdle, &s);
    ok(s.calls == calls + 1, "worker 0 does every run");
    pool_free(s.p);
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
