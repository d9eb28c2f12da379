/*
 * words.h -- blank-separated lists of names, such as a body's events: bit or number i
 * elsewhere is word i here.
 */
#ifndef EVLA_WORDS_H
#define EVLA_WORDS_H
#include "value.h"

/* Word i and how long it is; NULL when there are fewer. The list may be NULL. */
const char *words_at(const char *list, int32_t i, size_t *n);
/* Number of a word of length n, -1: it is not there. */
int32_t words_find(const char *list, const char *word, size_t n);
/* Word i as text in the arena, "?" when there is none. */
const char *words_copy(arena *a, const char *list, int32_t i);
/* The words whose bits are set, as a list of texts. */
value words_of(arena *a, const char *list, uint64_t bits);

#endif
