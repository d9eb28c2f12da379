/*
 * reader.h -- random access to the demonstrations of a dataset: one file, or an index of
 * shards.
 *
 * A reader is opened by one thread and then used by any number: structure is read once,
 * under a lock; data is read by pread and unpacked outside of it.
 */
#ifndef EVLA_HDF5_READER_H
#define EVLA_HDF5_READER_H
#include "h5file.h"

typedef struct reader reader;

typedef struct reader_field {
    const char *name; /* path below the demonstration */
    const char *unit, *doc;
    const char *repeats; /* the field whose frames this one repeats; NULL: none */
    double rate_hz;
    h5set set;
} reader_field;

typedef struct reader_demo {
    int64_t id;        /* demo_<id> */
    int64_t n_samples; /* the attribute, else the rows of actions; -1: neither is there */
    const reader_field *fields; /* in the order of their names */
    const evla_attr *attrs;     /* without num_samples */
    int32_t n_fields;
    int32_t n_attrs;
    int64_t stored_bytes; /* see part.c; -1: not there */
} reader_demo;

/* Opens path. mask: read only the demonstrations listed in mask/<mask>; NULL: all. */
int32_t reader_open(const evla_host *h, const char *path, const char *mask, reader **out);
void reader_close(reader *r);
int64_t reader_count(const reader *r);
int64_t reader_id(const reader *r, int64_t i);
/* True when the file links to demonstrations in other files. */
bool reader_is_index(const reader *r);
/* Attributes of `data`, without total. */
const evla_attr *reader_attrs(const reader *r, int32_t *n);
/* Demonstration i, in order of ids; valid until reader_close. [any thread] */
int32_t reader_get(const evla_host *h, reader *r, int64_t i, const reader_demo **out);
const reader_field *reader_find(const reader_demo *d, const char *name);
/* Rows [first, first + n) of a field (rank 0: one row), dense, little endian. [any thread]
 */
int32_t reader_rows(const evla_host *h, reader *r, int64_t i, const reader_field *f,
                    int64_t first, int64_t n, void *out);
/* EVLA_F32, ..., or the id of f16; EVLA_NONE when records cannot hold the field. */
int32_t reader_dtype(const evla_host *h, const reader_field *f);
#endif
