/*
 * header.h -- the header of a safetensors file: read from bytes that nobody trusts, and
 * what both sides know about it.
 *
 *   0   u64     bytes of the header, little-endian
 *   8   header  JSON: {"__metadata__":{key:text},
 *                      name:{"dtype":"F32","shape":[2,3],"data_offsets":[from,to]},...}
 *   ..  data    dense rows, little-endian; offsets count from here, without gap or overlap
 *
 * Source: the format's README, https://github.com/huggingface/safetensors
 */
#ifndef EVLA_SAFETENSORS_HEADER_H
#define EVLA_SAFETENSORS_HEADER_H
#include "evla/abi.h"

enum { HEADER_MOST = 100000000 /* bytes; as the format's own library */ };

/* A number format by the file's name and the engine's. */
typedef struct header_dtype {
    const char *name, *ours;
    int32_t bytes; /* of one element */
} header_dtype;
extern const header_dtype header_dtypes[];
extern const int32_t header_n_dtypes;

/* A file's tensors and metadata, sorted by name. */
typedef struct header {
    evla_field *tensors;
    evla_attr *attrs;
    char *text; /* names and values */
    int64_t n_tensors, cap_tensors;
    int32_t n_attrs, cap_attrs;
} header;

/* Reads a whole file of n bytes; tensors point into it. header_free also after a failure.
 * Fails: EVLA_E_FORMAT when anything is not as above, EVLA_E_DTYPE for a number format that
 * the engine lacks, EVLA_E_LIMIT for more than 8 extents or a header over HEADER_MOST. */
int32_t header_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                    header *out);
void header_free(header *x);

#endif
