/*
 * head.h -- the head of a GGUF file: metadata and where tensors lie, read from bytes that
 * nobody trusts.
 *
 *   0   "GGUF", u32 version (2 or 3), u64 tensors, u64 keys          all little-endian
 *   24  per key: text key, u32 type, value; a text is u64 bytes and as many bytes, a list
 * is u32 type, u64 items and the items
 *   ..  per tensor: text name, u32 dimensions, u64 extents (innermost first), u32 type,
 *       u64 place in the data
 *   ..  data from the next multiple of general.alignment (preset 32) on, tensors at
 * multiples of it, in any order, with no other gaps
 *
 * Source: docs/gguf.md of https://github.com/ggml-org/ggml
 */
#ifndef EVLA_GGUF_HEAD_H
#define EVLA_GGUF_HEAD_H
#include "evla/abi.h"

/* Hostile files may claim as much as they have room for; these are far above real ones. */
enum { HEAD_KEYS = 1 << 16, HEAD_TENSORS = 1 << 20, HEAD_TEXTS = 1 << 24, HEAD_RANK = 4 };

/* Attributes are sorted by name. Lists and tensors lie in the file, at any alignment. */
typedef struct head {
    evla_attr *attrs;
    evla_field *tensors; /* as the file lists them */
    int64_t n_tensors;
    int32_t n_attrs;
    int32_t reserved;
    int64_t part, n_parts;    /* of a model in several files, from 0; n_parts 0: in one */
    int64_t n_tensors_of_all; /* in all its parts; -1: the file does not say */
} head;

/* Reads a whole file of n bytes, which must stay as long as *out is used; so does what the
 * host holds. Fails: EVLA_E_FORMAT when anything is not as above, EVLA_E_DTYPE for a number
 * format that the engine lacks, EVLA_E_LIMIT for more than the above, EVLA_E_RANGE for a
 * u64 over 2^63 - 1. */
int32_t head_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                  head *out);
/* Is some name there twice? Sorts by name. Fails: EVLA_E_FORMAT. */
int32_t head_sort_tensors(const evla_host *h, const char *path, evla_field *tensors,
                          int64_t n);
/* A name in a message: not too long, and no half of a character at its end. */
enum { HEAD_SHOWN = 128 };
const char *head_shown(const char *text, char out[HEAD_SHOWN]);
/* Bytes of well-formed UTF-8 that text starts with (RFC 3629), at most n. */
uint64_t head_utf8(const void *text, uint64_t n);

#endif
