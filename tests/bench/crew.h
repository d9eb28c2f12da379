/*
 * crew.h -- one or two threads that stay awake for the length of a measurement, and reading
 * memory by them.
 */
#ifndef EVLA_BENCH_CREW_H
#define EVLA_BENCH_CREW_H
#include "../kernel_kit.h"
#include <immintrin.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct crew {
    void (*work)(void *to, int32_t w);
    void *to;
    atomic_int turn, ready, stop;
    pthread_t thread;
    int32_t n;
} crew;

static crew team;

/* On a busy machine the other one may not be running at all. */
static void wait_a_little(int *spins)
{
    if (++*spins < 2000)
        _mm_pause();
    else
        sched_yield();
}

static void *helper(void *arg)
{
    (void)arg;
    int spins = 0;
    for (int seen = 0;;) {
        int turn = atomic_load_explicit(&team.turn, memory_order_acquire);
        if (atomic_load(&team.stop)) return NULL;
        if (turn == seen) {
            wait_a_little(&spins);
            continue;
        }
        spins = 0;
        seen = turn;
        team.work(team.to, 1);
        atomic_store_explicit(&team.ready, turn, memory_order_release);
    }
}

static inline void crew_start(int32_t n)
{
    atomic_store(&team.stop, 0);
    atomic_store(&team.turn, 0);
    atomic_store(&team.ready, 0);
    team.n = n;
    if (n > 1) pthread_create(&team.thread, NULL, helper, NULL);
}

static inline void crew_stop(void)
{
    atomic_store(&team.stop, 1);
    if (team.n > 1) pthread_join(team.thread, NULL);
}

static inline void crew_run(void (*work)(void *to, int32_t w), void *to)
{
    team.work = work;
    team.to = to;
    int turn = atomic_fetch_add_explicit(&team.turn, 1, memory_order_release) + 1;
    work(to, 0);
    for (int spins = 0;
         team.n > 1 && atomic_load_explicit(&team.ready, memory_order_acquire) != turn;)
        wait_a_little(&spins);
}

static inline double least(double a, double b) { return a < b ? a : b; }

/* In large pages where they are to be had, as the engine's own weights and arenas. */
static inline void *memory(size_t bytes)
{
    size_t whole = (bytes + (2 << 20) - 1) / (2 << 20) * (2 << 20);
    void *p = aligned_alloc(2 << 20, whole);
    if (!p) exit(1);
    madvise(p, whole, MADV_HUGEPAGE);
    return p;
}

typedef struct reading {
    const unsigned char *from;
    size_t bytes;
    _Alignas(64) int64_t sum[2][8];
} reading;

__attribute__((target("avx2"))) static inline void read_part(void *to, int32_t w)
{
    reading *r = to;
    size_t each = r->bytes / (size_t)team.n / 256 * 256;
    const __m256i *p = (const __m256i *)(r->from + (size_t)w * each);
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i < each / 32; i += 4) {
        a = _mm256_add_epi64(a, p[i]);
        b = _mm256_add_epi64(b, p[i + 1]);
        c = _mm256_add_epi64(c, p[i + 2]);
        d = _mm256_add_epi64(d, p[i + 3]);
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    _mm256_store_si256((__m256i *)r->sum[w], a);
}

#endif
