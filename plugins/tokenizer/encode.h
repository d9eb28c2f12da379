/*
 * encode.h -- one call of encode: where tokens go, and memory that its words share; see
 * encode.c.
 */
#ifndef EVLA_TOKENIZER_ENCODE_H
#define EVLA_TOKENIZER_ENCODE_H
#include "tokenizer.h"

/* A piece of a word while its neighbours merge. */
typedef struct symbol {
    const char *at; /* spm: its text */
    uint32_t n;
    int32_t id; /* -1: no token has this text */
    int32_t prev, next;
    vocab_pair pair; /* with the next one */
} symbol;

typedef struct encoding {
    const evla_host *h;
    const tokenizer *t;
    int32_t *out;
    int64_t room, n; /* n may pass room; then the rest was not written */
    symbol *symbols; /* grown to the longest word */
    uint64_t *heap;  /* of pairs to merge, and before that of marks to order */
    char *text;      /* a fragment as the method wants it */
    size_t symbols_room, heap_room, text_room;
} encoding;

/* EVLA_TOKENS_* in flags; *n tokens, of which up to room are in out. [any thread]
 * Fails: EVLA_E_LIMIT on more than 256 MiB of text, EVLA_E_NOMEM. */
int32_t encode_text(const evla_host *h, const tokenizer *t, const char *text,
                    uint64_t bytes, uint32_t flags, int32_t *out, int64_t room, int64_t *n);

void encode_put(encoding *e, int32_t id);
/* Room for n items behind *p, which may move; 0 or EVLA_E_NOMEM. */
int32_t encode_grow(encoding *e, void *p, size_t *room, size_t n, size_t size);

/* Replaces a text that is no UTF-8 or, if the tokenizer composes, not in NFC; the new one
 * is e->text. */
int32_t nfc_clean(encoding *e, const char **text, size_t *n);

/* The methods. A fragment has no special tokens; it stands at the start of the text or not.
 */
int32_t spm_encode(encoding *e, const char *text, size_t n, int is_start);
int32_t bpe_encode(encoding *e, const char *text, size_t n);
int32_t wordpiece_encode(encoding *e, const char *text, size_t n);

/* What two neighbours merge to; here by the vocabulary's list of merges. */
typedef vocab_pair merge_pair_of(const tokenizer *t, const symbol *left,
                                 const symbol *right);
merge_pair_of merge_by_list;

/* Merges the symbols 0 to n - 1, best pair first, of equal ones the leftmost. What remains
 * hangs together by `next` from symbol 0 on. */
int32_t merge_symbols(encoding *e, int32_t n, merge_pair_of *pair_of);

#endif
