/*
 * episode.h -- a record on its way to a file: checked, converted, compressed. No HDF5 in
 * here.
 */
#ifndef EVLA_HDF5_EPISODE_H
#define EVLA_HDF5_EPISODE_H
#include "hdf5.h"

/* One dataset to be. */
typedef struct column {
    const char *name; /* path below data/demo_<id> */
    const char *unit, *doc;
    const char *repeats; /* the field whose frames it repeats; NULL: none */
    const void *data;    /* dense rows; lent until the file is written */
    const void **chunk;  /* compressed chunks, in order of rows */
    uint64_t *chunk_bytes;
    double rate_hz;
    uint64_t bytes;  /* of data */
    uint64_t stored; /* bytes in the file */
    int64_t shape[8];
    int64_t chunk_rows; /* 0: contiguous */
    int64_t n_chunks;
    int32_t dtype;
    int32_t rank;
    int32_t element; /* bytes */
    int32_t reserved;
} column;

typedef struct episode {
    pool mem;
    const evla_record *record;
    column *columns;
    int64_t id;
    int64_t n_samples;
    uint64_t stored; /* upper bound of the bytes it takes in a shard */
    int32_t n_columns;
    int32_t success; /* the attribute: 1, 0, or -1 when there is none */
} episode;

/* Refuses a schema whose records could not be stored. */
int32_t episode_describe(const evla_host *h, const hdf5_params *p, const evla_schema *in);
/* Free e->mem afterwards, also after failures. [any worker] */
int32_t episode_make(const evla_host *h, const settings *s, const evla_record *r,
                     episode *e);
/* True for attributes that this plugin writes itself. */
bool episode_owns_attr(const char *name);
#endif
