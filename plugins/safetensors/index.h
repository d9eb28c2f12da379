/*
 * index.h -- the index of a model in several safetensors files,
 * "model.safetensors.index.json":
 *
 *   {"metadata":{...}, "weight_map":{tensor: file, ...}}
 *
 * Source: https://huggingface.co/docs/safetensors/en/speed, "sharded checkpoints" of
 * transformers
 */
#ifndef EVLA_SAFETENSORS_INDEX_H
#define EVLA_SAFETENSORS_INDEX_H
#include "evla/abi.h"

enum { INDEX_FILES = 4096 };

typedef struct index_entry {
    const char *tensor, *file;
} index_entry;

/* Which tensor is in which file, sorted by file, then tensor. */
typedef struct shard_index {
    index_entry *entries;
    char *text;
    int64_t n, cap;
} shard_index;

/* Reads n bytes of an index. index_free also after a failure. Fails: EVLA_E_FORMAT when it
 * is none, names a tensor twice, or a file that does not lie beside it; EVLA_E_LIMIT for
 * more files than INDEX_FILES or an index of more than HEADER_MOST bytes. */
int32_t index_read(const evla_host *h, const char *path, const void *bytes, uint64_t n,
                   shard_index *out);
void index_free(shard_index *x);

#endif
