/*
 * special.h -- tokens that stand in text under their own name; see special.c.
 */
#ifndef EVLA_TOKENIZER_SPECIAL_H
#define EVLA_TOKENIZER_SPECIAL_H
#include "vocab.h"

/* Some pieces in the order of their bytes. */
typedef struct special_list {
    const int32_t *ids;
    int32_t n;
    int32_t first[257]; /* those that begin with byte b: [first[b], first[b + 1]) */
} special_list;

/* A token in a text: [begin, end), with the white space that it swallows. id -1: none is
 * left. */
typedef struct special_hit {
    size_t begin, end;
    int32_t id;
} special_hit;

/* The pieces whose kind is one of `kinds` (bits 1 << PIECE_*). */
int32_t special_sort(const evla_host *h, mem *m, const vocab *v, uint32_t kinds,
                     special_list *out);

/* The next one at or behind `at`: the first, and of those that begin there the longest. */
special_hit special_next(const special_list *s, const vocab *v, const char *text, size_t n,
                         size_t at);

#endif
