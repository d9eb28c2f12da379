/*
 * sequence.h -- a text of tokens and the blocks that hold its keys and values, a row for
 * each token.
 *
 * Row j lies in block table[j / BLOCK_ROWS] at place j % BLOCK_ROWS and belongs to token
 * place[j] of the text. As long as no row was dropped, that is token j. A fork shares all
 * blocks with its parent; whoever writes into a shared one first gets a copy of it. A new
 * sequence takes over the longest chain of full blocks that its text starts with and some
 * sequence has left in the pool.
 *
 * A text may hold rows of embeddings, what a picture became, in place of tokens: there its
 * token is -1. Such a row is known again by a hash of its bits.
 *
 * Nothing is allocated after sequence_new and sequence_show.
 */
#ifndef EVLA_RUN_SEQUENCE_H
#define EVLA_RUN_SEQUENCE_H
#include "blocks.h"

/* What a text shows besides tokens. */
typedef struct sequence_rows {
    const float *rows; /* [n,width], borrowed; in the order of the tokens -1 */
    int32_t n, width;
    int32_t both; /* the first so many tokens of the text see each other both ways; 0: every
                     token sees what stands before it */
} sequence_rows;

typedef struct sequence {
    blocks *of;
    int32_t *tokens; /* [n_tokens]: the text, with the tokens whose rows were dropped */
    int32_t *place;  /* [n] ascending: which token a row belongs to */
    int32_t *table;  /* [n_table] */
    int32_t n, n_tokens, n_table;
    int32_t n_sealed; /* blocks of the table that are sealed, from the first on */
    int32_t capacity; /* rows */
    int32_t longest;  /* tokens; not below capacity */
    int32_t *spare;   /* where sequence_keep makes the next table */
    sequence_rows shown;
    int32_t *row_of; /* [longest]: the row of `shown` that stands there; -1: none. NULL: the
                        text is of tokens alone */
    uint64_t *marks; /* [longest]: of what stands there besides the token; 0: nothing */
} sequence;

/* Copies n rows of a block into another place, in every layer. Both may lie in the same
 * block and overlap. */
typedef void sequence_copy(void *to, int32_t from_slot, int32_t to_slot, int32_t n);

/* A text of at most `longest` tokens with at most `capacity` rows at a time. */
int32_t sequence_new(ctx *cx, blocks *of, int32_t capacity, int32_t longest,
                     sequence **out);
void sequence_free(sequence *s);
int32_t sequence_fork(ctx *cx, const sequence *s, sequence **out);
/* Before an empty sequence reads this text: where its tokens are -1, rows stand. EVLA_E_ARG
 * when there are more or fewer of them. */
int32_t sequence_show(ctx *cx, sequence *s, const int32_t *tokens, int32_t n,
                      const sequence_rows *shown);
/* An empty sequence takes over what the pool has of these tokens, whole blocks, but never
 * all of them: the last one has to be run for its logits. Returns how many rows it has now.
 */
int32_t sequence_recall(sequence *s, const int32_t *tokens, int32_t n);
/* Rows for n more tokens: their slots (block * BLOCK_ROWS + place). EVLA_E_LIMIT when the
 * sequence or the pool is full; the sequence is as before then. */
int32_t sequence_extend(ctx *cx, sequence *s, const int32_t *tokens, int32_t n,
                        int32_t *slots, sequence_copy *copy, void *to);
/* The rows are written: full blocks of the text's unbroken beginning can be found from now
 * on. */
void sequence_commit(sequence *s);
/* Forgets the tokens from n on, and their rows. */
void sequence_truncate(sequence *s, int32_t n);
/* Drops all rows but these n, ascending; the text stays. Blocks that are kept whole stay as
 * they are, shared or not; the other rows move together, into free blocks as long as there
 * are some. EVLA_E_LIMIT when there are none and too many blocks are shared; the sequence
 * is as before then. */
int32_t sequence_keep(ctx *cx, sequence *s, const int32_t *rows, int32_t n,
                      sequence_copy *copy, void *to);

#endif
