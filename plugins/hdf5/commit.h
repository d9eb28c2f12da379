/*
 * commit.h -- files that are there whole or not at all.
 */
#ifndef EVLA_HDF5_COMMIT_H
#define EVLA_HDF5_COMMIT_H
#include "common.h"

#define COMMIT_TAIL ".tmp" /* what an unfinished file's name ends in */

/* Creates <path>.tmp, empty, for reading and writing. */
int32_t commit_begin(const evla_host *h, const char *path, int *fd);
/* Syncs, renames to path and syncs the folder; closes fd. On failure nothing is left. */
int32_t commit_end(const evla_host *h, const char *path, int fd);
/* Gives up: closes fd and removes <path>.tmp. */
void commit_abort(const char *path, int fd);
/* Fails with EVLA_E_IO: the path, what was wanted, errno in words, what to do. */
int32_t commit_fail(const evla_host *h, const char *path, const char *wanted, int error);
/* Makes names in a folder survive a power cut. */
int32_t commit_folder(const evla_host *h, const char *folder);
#endif
