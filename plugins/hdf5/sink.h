/*
 * sink.h -- what the files of a sink share: its state, the list of stored episodes, names
 * of files.
 */
#ifndef EVLA_HDF5_SINK_H
#define EVLA_HDF5_SINK_H
#include "part.h"
#include <pthread.h>

enum { SINK_MAX_SHARDS = 10000 }; /* numbers have four digits */

typedef struct shard_file {
    char *path;
    double valid; /* its masks were made with this fraction */
    int32_t n;    /* episodes */
    int32_t is_current;
} shard_file;

typedef struct sink {
    settings s;
    pool mem;
    pthread_mutex_t lock; /* over the list of episodes */
    const char *path;     /* absolute */
    const char *stem;     /* path without .hdf5 */
    const char *parts;    /* folder */
    stored *e;            /* in order of ids */
    shard_file *shards;
    int64_t n, max;
    int32_t n_shards, max_shards;
    int32_t lock_fd;
    int32_t n_found, n_cleaned, n_damaged, n_written;
    int32_t is_finished, reserved;
    char json[512];
} sink;

/* Paths of an episode's own file and of shard `number`, in out. */
const char *sink_part_path(const sink *k, int64_t id, char *out, size_t size);
const char *sink_shard_path(const sink *k, int32_t number, char *out, size_t size);
/* Removes a file that may be gone already. */
int32_t sink_remove(const evla_host *h, const char *path);
stored *sink_find(const sink *k, int64_t id);
int32_t sink_add(const evla_host *h, sink *k, stored one);
int32_t sink_add_shard(const evla_host *h, sink *k, const char *path, double valid);

/* Lists what earlier runs left, and removes what they did not finish (found.c). */
int32_t found_scan(const evla_host *h, sink *k);
/* Joins all episodes into shards, and writes the index (join.c). */
int32_t join_shards(const evla_host *h, sink *k);
#endif
