/*
 * feed.h -- batches of rows, assembled ahead of time by a thread of their own.
 *
 * Batch k holds the rows at places k * batch ... of the shuffled sequence (rows.h), so it
 * is the same whoever assembles it and whenever. All memory is taken when the feed is
 * opened.
 */
#ifndef EVLA_JOB_FEED_H
#define EVLA_JOB_FEED_H
#include "rows.h"

typedef struct feed_options {
    const rows_input *in; /* as the rows were opened with */
    int32_t n_in;
    int32_t ahead; /* batches that may be ready at once */
    int64_t batch; /* rows */
    uint64_t seed;
    int64_t from, until; /* numbers of batches */
} feed_options;

typedef struct feed feed;

int32_t feed_open(ctx *cx, const rows *r, const feed_options *o, feed **out);
void feed_close(feed *f);
/* The next batch, waiting for it if need be: dense data by input, valid until feed_done. */
int32_t feed_next(ctx *cx, feed *f, unsigned char *const **data);
void feed_done(feed *f);
int64_t feed_waits(const feed *f); /* batches that were not ready when they were wanted */

#endif
