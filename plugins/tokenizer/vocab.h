/*
 * vocab.h -- the pieces of a vocabulary, found by text, and what two of them merge to; see
 * vocab.c.
 */
#ifndef EVLA_TOKENIZER_VOCAB_H
#define EVLA_TOKENIZER_VOCAB_H
#include "evla/abi.h"
#include "mem.h"

/* What a piece is: the numbers of tokenizer.ggml.token_type. */
// clang-format off
enum {
    PIECE_NORMAL = 1, PIECE_UNKNOWN = 2, PIECE_CONTROL = 3, PIECE_USER = 4 /* verbatim, in any text */,
    PIECE_UNUSED = 5, PIECE_BYTE = 6 /* "<0x0A>" */,
    PIECE_KIND = 7,   /* mask of the above */
    PIECE_LSTRIP = 8, /* swallows white space before it */
    PIECE_RSTRIP = 16 /* and behind it */
};
enum { VOCAB_MAX_PIECE = 1024 /* bytes; the longest in use have a few hundred */, VOCAB_NEVER = -1 };
// clang-format on

typedef struct vocab {
    const evla_text *piece; /* [n] not all valid UTF-8 */
    uint8_t *kind;          /* [n] PIECE_* */
    int32_t n, n_merges;
    const char *source;             /* what refusals begin with, while it is being opened */
    size_t longest;                 /* bytes */
    struct vocab_slot *slots;       /* by text; a power of two of them */
    struct vocab_merge *merges;     /* [n_merges] in their order; NULL: none */
    struct merge_slot *merge_slots; /* by pair of ids; a power of two of them */
    uint32_t slot_mask, merge_mask;
} vocab;

/* What two neighbours merge to: the token, and its place in the order of merging, lowest
 * first. */
typedef struct vocab_pair {
    uint32_t order;
    int32_t id; /* VOCAB_NEVER: they do not merge */
} vocab_pair;

/* Makes pieces findable; v->piece and v->n are set. Of pieces with the same text the last
 * is found. Fails: EVLA_E_LIMIT on a piece longer than VOCAB_MAX_PIECE; EVLA_E_FORMAT when
 * there is none. */
int32_t vocab_index(const evla_host *h, mem *m, vocab *v);

/* The id of a piece; -1: none. */
int32_t vocab_find(const vocab *v, const char *text, size_t n);

/* Room for n merges; then all of them in order, up to VOCAB_BATCH at a time: parts[2 * n],
 * left and right of each. Of a pair that comes twice the first counts. Fails: EVLA_E_FORMAT
 * when a part or what it makes is no piece. */
enum { VOCAB_BATCH = 32 };
int32_t vocab_merges(const evla_host *h, mem *m, vocab *v, int64_t n);
int32_t vocab_merges_add(const evla_host *h, vocab *v, const evla_text *parts, int32_t n);

vocab_pair vocab_pair_of(const vocab *v, int32_t left, int32_t right);

#endif
