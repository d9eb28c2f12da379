/*
 * file.h -- files and folders: whole reads, files that are there whole or not at all,
 * trees.
 */
#ifndef EVLA_FILE_H
#define EVLA_FILE_H
#include "ctx.h"

/* A file on its way: it lies beside its place under a temporary name until file_end. */
typedef struct file_new {
    ctx *cx;
    const char *path; /* borrowed until file_end */
    char temp[4096];
    int fd;
    int is_bad; /* the system failed, and ctx has the sentence */
} file_new;

/* Only after success: file_put, any number of times, then file_end. */
int32_t file_begin(ctx *cx, const char *path, file_new *f);
/* Appends n bytes. EVLA_E_IO when the system cannot; nothing is to be put after that. */
int32_t file_put(file_new *f, const void *data, uint64_t n);
/* st 0: synced and renamed. Below 0, as what was to be put could not be had: removed.
 * Returns st, or what failed; after a failure nothing is left behind. */
int32_t file_end(file_new *f, int32_t st);
/* All of these. */
int32_t file_replace(ctx *cx, const char *path, const void *data, size_t n);

/* Writes text to an open file, all of it. name: for messages. */
int32_t file_append(ctx *cx, int fd, const char *name, const char *text);
/* Reads a whole file into the arena; refuses more than `most` bytes. */
int32_t file_read(ctx *cx, arena *a, const char *path, size_t most, char **data, size_t *n);
/* 1 when a result of that name would not stay below its job's folder. */
int path_leaves(const char *path);
/* mkdir -p; rm -r of something below an out folder. */
int32_t folder_make(ctx *cx, const char *path);
int32_t folder_remove(ctx *cx, const char *path);

#endif
