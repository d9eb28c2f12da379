/*
 * rows.h -- reads rows of a dataset: contiguous, compact, or in chunks that may be packed.
 */
#ifndef EVLA_HDF5_ROWS_H
#define EVLA_HDF5_ROWS_H
#include "h5file.h"
#include <pthread.h>

/* Memory for unpacking, kept between calls and shared by threads. */
typedef struct rows_cache {
    pthread_mutex_t lock;
    struct workspace *spare;
} rows_cache;

void rows_open(rows_cache *r);
void rows_close(rows_cache *r);
/* Rows [first, first + n) (rank 0: one row), dense, little endian. name is for sentences.
 */
int32_t rows_read(const evla_host *h, const h5file *f, rows_cache *r, const char *name,
                  const h5set *s, int64_t first, int64_t n, void *out);
#endif
