/*
 * common.h -- what every file of this plugin uses: memory of one scope, sentences, paths.
 */
#ifndef EVLA_HDF5_COMMON_H
#define EVLA_HDF5_COMMON_H
#include "evla/abi.h"
#include <stdarg.h>
#include <stdbool.h>

/* Memory that is given back all at once. Zero it to start. */
typedef struct pool {
    struct pool_block *last;
} pool;

/* n * size zeroed bytes, 64-byte aligned; NULL when there are none, or n * size overflows.
 */
void *pool_push(pool *p, uint64_t n, uint64_t size);
char *pool_text(pool *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pool_free(pool *p);

/* fail and log with a format. */
int32_t say(const evla_host *h, int32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tell(const evla_host *h, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int32_t say_nomem(const evla_host *h, const char *what);

/* True when text ends in tail. */
bool ends_in(const char *text, const char *tail);
/* The part after the last '/', and the length of the part before it (0: none). */
const char *base_name(const char *path);
size_t folder_length(const char *path);

/* Bytes of one element of C's own types, 2 for f16; 0 for what HDF5 files cannot hold. */
int32_t element_bytes(int32_t dtype, int32_t f16);
/* Spread of an episode's number over [0,1): the same on every machine and in every run. */
double episode_hash(int64_t id);
#endif
