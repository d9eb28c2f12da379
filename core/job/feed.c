/*
 * feed.c -- batches of rows ahead of time: a ring between one thread that fills it and one
 * that uses it. See feed.h.
 */
#include "feed.h"
#include "../mem.h"
#include "../tensor.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

typedef struct slot {
    unsigned char *data[ROWS_MOST_INPUTS];
    int32_t status;
    char why[1024];
} slot;

struct feed {
    feed_options o;
    rows_reader reader;
    slot *ring;
    int64_t *which;
    unsigned char *block;
    int64_t next, waits;
    int32_t owed;      /* places used up that `room` has not heard of */
    sem_t ready, more; /* filled places of the ring; there is room again */
    atomic_int room;   /* empty places that the thread may fill */
    pthread_t thread;
    int has_thread;
    atomic_int is_over;
    int64_t n_rows;
};

static void wait_for(sem_t *s)
{
    while (sem_wait(s) < 0 && errno == EINTR) {
    }
}

static void fill_slot(feed *f, int64_t k, slot *s)
{
    const feed_options *o = &f->o;
    for (int64_t i = 0; i < o->batch; i++)
        f->which[i] = rows_shuffled(o->seed, f->n_rows, k * o->batch + i);
    s->status = 0;
    for (int32_t i = 0; s->status >= 0 && i < o->n_in; i++)
        s->status = rows_gather(&f->reader, f->which, o->batch, i, s->data[i]);
    if (s->status < 0) memcpy(s->why, f->reader.cx.why, sizeof s->why);
}

static void *fill(void *to)
{
    feed *f = to;
    for (int64_t k = f->o.from; k < f->o.until; k++) {
        while (!atomic_load(&f->room) && !atomic_load(&f->is_over))
            wait_for(&f->more);
        if (atomic_load(&f->is_over)) break;
        atomic_fetch_sub(&f->room, 1);
        slot *s = &f->ring[(k - f->o.from) % f->o.ahead];
        fill_slot(f, k, s);
        sem_post(&f->ready);
        if (s->status < 0) break;
    }
    return NULL;
}

/* One block for all slots; each tensor on a cache line of its own. */
static int32_t lay_out(ctx *cx, feed *f)
{
    uint64_t each = 0, bytes, at = 0;
    for (int32_t i = 0; i < f->o.n_in; i++)
        each += ((uint64_t)type_bytes(cx->reg, &f->o.in[i].type) + 63) / 64 * 64;
    bytes = each * (uint64_t)f->o.ahead;
    f->block = mem_alloc_aligned((size_t)bytes + 64, 64);
    f->ring = mem_alloc((size_t)f->o.ahead * sizeof *f->ring);
    f->which = mem_alloc((size_t)f->o.batch * sizeof *f->which);
    if (!f->block || !f->ring || !f->which)
        return ctx_fail(cx, EVLA_E_NOMEM, "batches: %llu bytes", (unsigned long long)bytes);
    memset(f->block, 0, (size_t)bytes); /* touches every page */
    for (int32_t s = 0; s < f->o.ahead; s++)
        for (int32_t i = 0; i < f->o.n_in; i++) {
            f->ring[s].data[i] = f->block + at;
            at += ((uint64_t)type_bytes(cx->reg, &f->o.in[i].type) + 63) / 64 * 64;
        }
    return 0;
}

int32_t feed_open(ctx *cx, const rows *r, const feed_options *o, feed **out)
{
    *out = NULL;
    if (o->n_in > ROWS_MOST_INPUTS || o->ahead < 1 || rows_count(r) < 1)
        return ctx_fail(cx, EVLA_E_ARG, "batches: %d inputs of %lld rows", o->n_in,
                        (long long)rows_count(r));
    feed *f = mem_alloc(sizeof *f);
    if (!f) return ctx_fail(cx, EVLA_E_NOMEM, "batches");
    f->o = *o;
    f->n_rows = rows_count(r);
    f->next = o->from;
    atomic_init(&f->is_over, 0);
    sem_init(&f->ready, 0, 0);
    sem_init(&f->more, 0, 0);
    atomic_init(&f->room, o->ahead);
    int32_t st = lay_out(cx, f);
    if (st >= 0) st = rows_reader_open(cx, r, &f->reader);
    if (st >= 0) {
        f->has_thread = pthread_create(&f->thread, NULL, fill, f) == 0;
        if (!f->has_thread)
            st = ctx_fail(cx, EVLA_E_LIMIT, "batches: no thread could be started");
    }
    if (st < 0)
        feed_close(f);
    else
        *out = f;
    return st;
}

void feed_close(feed *f)
{
    if (!f) return;
    atomic_store(&f->is_over, 1);
    sem_post(&f->more);
    if (f->has_thread) pthread_join(f->thread, NULL);
    rows_reader_close(&f->reader);
    sem_destroy(&f->ready);
    sem_destroy(&f->more);
    mem_free(f->which);
    mem_free(f->ring);
    mem_free(f->block);
    mem_free(f);
}

int32_t feed_next(ctx *cx, feed *f, unsigned char *const **data)
{
    if (f->next >= f->o.until)
        return ctx_fail(cx, EVLA_E_STATE, "batches: all %lld were taken",
                        (long long)(f->o.until - f->o.from));
    if (sem_trywait(&f->ready) < 0) {
        f->waits++;
        wait_for(&f->ready);
    }
    const slot *s = &f->ring[(f->next - f->o.from) % f->o.ahead];
    if (s->status < 0) return ctx_fail(cx, s->status, "%s", s->why);
    *data = s->data;
    return 0;
}

/* Places are given back half a ring at a time: a thread woken for each would push the one
 * that steps off its processor, batch after batch. */
void feed_done(feed *f)
{
    f->next++;
    if (++f->owed < (f->o.ahead + 1) / 2) return;
    atomic_fetch_add(&f->room, f->owed);
    f->owed = 0;
    sem_post(&f->more);
}

int64_t feed_waits(const feed *f) { return f->waits; }
