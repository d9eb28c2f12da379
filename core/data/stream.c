/*
 * stream.c -- numbered work by several threads, put back in order. See stream.h.
 */
#include "stream.h"
#include "../mem.h"
#include <pthread.h>

typedef struct cell {
    void *outcome;
    int is_full;
} cell;

struct stream {
    pthread_mutex_t lock;
    pthread_cond_t room, ready;
    int64_t n, claimed, taken; /* indices below are claimed, taken */
    int32_t window;
    cell cells[];
};

stream *stream_new(int64_t n, int32_t window)
{
    if (window < 1) window = 1;
    stream *s = mem_alloc(sizeof *s + (size_t)window * sizeof *s->cells);
    if (!s) return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    pthread_cond_init(&s->ready, NULL);
    s->n = n;
    s->window = window;
    return s;
}

void stream_free(stream *s)
{
    if (!s) return;
    pthread_cond_destroy(&s->ready);
    pthread_cond_destroy(&s->room);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

int64_t stream_claim(stream *s)
{
    int64_t i = -1;
    pthread_mutex_lock(&s->lock);
    while (s->claimed < s->n && s->claimed - s->taken >= s->window)
        pthread_cond_wait(&s->room, &s->lock);
    if (s->claimed < s->n) i = s->claimed++;
    pthread_mutex_unlock(&s->lock);
    return i;
}

void stream_put(stream *s, int64_t i, void *outcome)
{
    pthread_mutex_lock(&s->lock);
    s->cells[i % s->window] = (cell){outcome, 1};
    if (i == s->taken) pthread_cond_signal(&s->ready);
    pthread_mutex_unlock(&s->lock);
}

int stream_next(stream *s, int64_t *i, void **outcome)
{
    pthread_mutex_lock(&s->lock);
    cell *c = &s->cells[s->taken % s->window];
    while (s->taken < s->n && !c->is_full)
        pthread_cond_wait(&s->ready, &s->lock);
    int any = s->taken < s->n;
    if (any) {
        *i = s->taken++;
        *outcome = c->outcome;
        c->is_full = 0;
        pthread_cond_broadcast(&s->room);
    }
    pthread_mutex_unlock(&s->lock);
    return any;
}

void stream_stop(stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->n = s->claimed;
    pthread_cond_broadcast(&s->room);
    pthread_cond_signal(&s->ready);
    pthread_mutex_unlock(&s->lock);
}
