/*
 * rows.h -- rows of stored episodes as the inputs of a graph: what training and calibration
 * read.
 *
 * A row is one tick of one episode. Rows are numbered over all datasets in the order given,
 * episodes in order of their ids, ticks ascending. An input "obs/x" f32[B,7] is fed from
 * the field of that name, [T,7] with one row per tick, in any plain number format: numbers
 * are converted to the input's. An input u8[B,N] that no field feeds is fed from the
 * episode's attribute of that name, a text: its bytes, cut at N, zeros behind.
 *
 * What fits the cache is read once, in the format it is stored in; the rest is read row by
 * row when it is asked for.
 */
#ifndef EVLA_JOB_ROWS_H
#define EVLA_JOB_ROWS_H
#include "../host.h"
#include "job.h"

enum { ROWS_MOST_INPUTS = 64 };

/* An input to feed: its bound type, the batch in front. */
typedef struct rows_input {
    const char *name;
    evla_type type;
} rows_input;

/* What to do with a dataset that has no mask of the name asked for. */
typedef enum rows_without { ROWS_REFUSE, ROWS_ALL, ROWS_NONE } rows_without;

typedef struct rows_options {
    const char *mask; /* "train"; NULL or "": all episodes */
    rows_without without;
    uint64_t cache; /* bytes that fields may take in memory */
} rows_options;

typedef struct rows rows;

/* What is known before anything has run: does what `maker` makes have a source of the right
 * type for every input? 0 also when nothing is known yet. Fails: EVLA_E_MISSING,
 * EVLA_E_SHAPE, EVLA_E_DTYPE naming the dataset and the input. */
int32_t rows_check(ctx *cx, const job *maker, const rows_options *how, const rows_input *in,
                   int32_t n_in);
/* Does it have that field, [T,...] of `n` numbers per tick (n 0: any)? */
int32_t rows_check_field(ctx *cx, const job *maker, const rows_options *how,
                         const char *field, int64_t n);

/* data: results of type "episodes". Numbers that are not finite as the input's format are
 * refused by name: cached ones here, others when they are read. */
int32_t rows_open(ctx *cx, const evla_value *const *data, int32_t n_data,
                  const rows_options *how, const rows_input *in, int32_t n_in, rows **out);
void rows_close(rows *r);
int64_t rows_count(const rows *r);
int64_t rows_episodes(const rows *r);
uint64_t rows_cached(const rows *r); /* bytes */
int rows_all_cached(const rows *r);  /* 1: nothing is read from files any more */

/* Place `at` of an endless sequence in which every n places hold each row once, in an order
 * drawn from the seed anew each time. */
int64_t rows_shuffled(uint64_t seed, int64_t n, int64_t at);

/* A thread's own way in. */
typedef struct rows_reader {
    ctx cx;
    host h;
    const rows *of;
    unsigned char *raw; /* one sample as stored */
} rows_reader;
int32_t rows_reader_open(ctx *cx, const rows *r, rows_reader *out);
void rows_reader_close(rows_reader *q);
/* Input i of the given rows, dense; out holds n samples. The sentence is in q->cx. */
int32_t rows_gather(rows_reader *q, const int64_t *which, int64_t n, int32_t i, void *out);

/* Mean and standard deviation (of the population) of a field over all rows, in f64, one
 * pass in order (Welford 1962): the same bits on every run. n is 1 (over everything) or the
 * numbers of one sample. */
int32_t rows_statistics(ctx *cx, const rows *r, const char *field, int64_t n, double *mean,
                        double *deviation);

#endif
