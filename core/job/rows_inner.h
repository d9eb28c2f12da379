/*
 * rows_inner.h -- what the parts of rows share: opening and reading (rows.c), what is asked
 * of a dataset (rows_check.c), the cache (rows_cache.c), statistics (rows_stats.c).
 */
#ifndef EVLA_JOB_ROWS_INNER_H
#define EVLA_JOB_ROWS_INNER_H
#include "rows.h"

typedef struct rows_set {
    const char *path, *job;
    const char *mask; /* its episodes are numbered within; "": all there are */
    void *file;
    int64_t first;        /* number of its first row */
    unsigned char *table; /* its rows with all fields that are cached, side by side */
    int64_t stride;       /* bytes from one row to the next there */
} rows_set;

typedef struct rows_episode {
    int64_t first; /* number of its first row */
    int64_t at;    /* its place in its dataset */
    int32_t set;
    int32_t reserved;
} rows_episode;

/* An input and what feeds it. */
typedef struct rows_column {
    const char *name;
    evla_type sample; /* of the input, without the batch */
    int64_t count;    /* numbers of a sample */
    int64_t bytes;    /* of a sample as the input wants it */
    int32_t is_text;
    int32_t is_cached;
    unsigned char *text; /* by episode */
    int32_t *stored;     /* number format, by dataset */
    int64_t *offset;     /* by dataset: in a row of its table, when cached */
} rows_column;

struct rows {
    arena mem;
    ctx *cx;
    const evla_frames_service *frames;
    rows_set *sets;
    rows_episode *episodes; /* n_episodes + 1: the last one ends the rows */
    rows_column *columns;
    int64_t n, n_episodes, most_raw;
    uint64_t cached;
    int32_t n_sets, n_columns;
};

/* ---- rows.c ---- */

int32_t rows_no_room(ctx *cx); /* fails: out of memory */
/* Bytes of a row of a column as a dataset stores it. */
int64_t rows_stored_bytes(const rows *r, const rows_column *c, int32_t set);
/* n rows of a column from tick `first` on are numbers that the input can hold. */
int32_t rows_check_finite(ctx *cx, const rows *r, host *h, const rows_column *c,
                          const rows_episode *e, int64_t first, const unsigned char *data,
                          int64_t n);

/* ---- rows_check.c ---- */

/* A type without its first extent, the batch or the ticks. */
evla_type rows_sample(const evla_type *batched);
/* 1 when a text may feed such an input. */
int rows_is_text(const evla_type *sample);
/* `stored` has the ticks in front; the sample must have the input's extents. */
int32_t rows_compare(ctx *cx, const char *job_name, const char *name,
                     const evla_type *sample, const evla_type *stored);
/* What reads datasets; NULL: ctx has the sentence. */
const evla_frames_service *rows_frames(ctx *cx);
/* Opens a dataset; *file is NULL when it has no such mask and that is no mistake. 1: all
 * episodes are open instead of a mask. */
int32_t rows_open_file(ctx *cx, host *h, const evla_frames_service *frames,
                       const char *path, const rows_options *how, const char *job_name,
                       int is_told, void **file);

/* ---- rows_cache.c ---- */

/* Decides which columns are cached, and reads them. */
int32_t rows_fill_cache(ctx *cx, rows *r, host *h, uint64_t most);

#endif
