/* core/data/stream.c: order, back-pressure and stopping, with real threads (also under
 * TSan). */
#include "data/stream.h"
#include "tap.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

typedef struct run {
    stream *s;
    atomic_llong taken, most_ahead;
} run;

static void *work(void *to)
{
    run *r = to;
    for (int64_t i; (i = stream_claim(r->s)) >= 0;) {
        long long ahead = i - atomic_load(&r->taken), most = atomic_load(&r->most_ahead);
        while (ahead > most &&
               !atomic_compare_exchange_weak(&r->most_ahead, &most, ahead)) {
        }
        if (i % 7 == 0) usleep(200);
        stream_put(r->s, i, (void *)(uintptr_t)(i * 3 + 1));
    }
    return NULL;
}

static void go(int threads, int64_t n, int32_t window, int64_t stop_at)
{
    pthread_t t[8];
    run r = {.s = stream_new(n, window)};
    for (int k = 0; k < threads; k++)
        pthread_create(&t[k], NULL, work, &r);
    int64_t i, expect = 0, good = 1;
    void *o;
    while (stream_next(r.s, &i, &o)) {
        if (i != expect || (uintptr_t)o != (uintptr_t)(i * 3 + 1)) good = 0;
        expect++;
        atomic_store(&r.taken, expect);
        if (i == stop_at) stream_stop(r.s);
    }
    for (int k = 0; k < threads; k++)
        pthread_join(t[k], NULL);
    ok(good, "%d threads: outcomes come in order and belong to their index", threads);
    if (stop_at < 0)
        ok(expect == n, "%d threads: all %lld outcomes come", threads, (long long)n);
    else
        ok(expect > stop_at && expect <= stop_at + 1 + window,
           "%d threads: after a stop only claimed outcomes come (%lld)", threads,
           (long long)expect);
    ok(atomic_load(&r.most_ahead) <= window,
       "%d threads: no one ran more than %d ahead (%lld)", threads, window,
       (long long)atomic_load(&r.most_ahead));
    stream_free(r.s);
}

int main(void)
{
    go(1, 100, 2, -1);
    go(3, 500, 6, -1);
    go(8, 500, 3, -1);
    go(4, 1000, 8, 37);
    go(2, 0, 4, -1);
    return tap_done();
}
