/*
 * part.h -- what the HDF5 library is asked to write: one episode, a shard, the index.
 */
#ifndef EVLA_HDF5_PART_H
#define EVLA_HDF5_PART_H
#include "episode.h"

/* A stored episode, as sink.c lists them. */
typedef struct stored {
    int64_t id;
    int64_t n_samples;
    int64_t bytes;   /* what it takes in a shard, at most */
    int32_t success; /* -1: not told */
    int32_t shard;   /* number of the shard it is in; -1: in its own file */
} stored;

/* Where the episodes of a shard come from. */
typedef struct shard_source {
    void *self;
    /* The file that holds episode i of the shard. */
    const char *(*path)(void *self, int32_t i, char *buffer, size_t size);
} shard_source;

/* Commits path with this one episode: a valid robomimic file by itself. [any worker] */
int32_t part_write(const evla_host *h, const settings *s, const char *path,
                   const episode *e);
/* Commits path with n episodes copied, in order, from other files. */
int32_t shard_write(const evla_host *h, const settings *s, const char *path,
                    const stored *e, int32_t n, const shard_source *from);
/* Commits path with links to the shards, whose names name(self, k) gives. */
int32_t index_write(const evla_host *h, const settings *s, const char *path,
                    const stored *e, int32_t n, const shard_source *shards);
#endif
