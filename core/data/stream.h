/*
 * stream.h -- work on numbered things by several threads, put back in order, with
 * back-pressure.
 *
 * Workers claim indices 0..n-1 and put an outcome for each; one consumer takes the outcomes
 * in order. A worker waits when it would run more than `window` ahead of the consumer, so
 * memory is bounded by the window.
 */
#ifndef EVLA_STREAM_H
#define EVLA_STREAM_H
#include <stdint.h>

typedef struct stream stream;

stream *stream_new(int64_t n, int32_t window); /* NULL: out of memory */
void stream_free(stream *s);                   /* after all threads have left */
/* [worker] The next index, or -1 when there is none left or the stream was stopped. */
int64_t stream_claim(stream *s);
/* [worker] Hands in the outcome of an index it claimed. */
void stream_put(stream *s, int64_t i, void *outcome);
/* [consumer] Waits for the outcome of the next index in order; 0 when all are taken. After
 * stream_stop, outcomes of claimed indices still come, then 0. */
int stream_next(stream *s, int64_t *i, void **outcome);
/* No further index is handed out. */
void stream_stop(stream *s);

#endif
