/*
 * sequence.h -- a sequence of tokens and the blocks that hold its keys and values.
 *
 * Row j of a sequence lies in block table[j / BLOCK_ROWS] at place j % BLOCK_ROWS. A fork
 * shares all blocks with its parent; whoever writes into a shared one first gets a copy of
 * it. A new sequence takes over the longest chain of full blocks that its text starts with
 * and some sequence has left in the pool.
 *
 * Nothing is allocated after sequence_new.
 */
#ifndef EVLA_RUN_SEQUENCE_H
#define EVLA_RUN_SEQUENCE_H
#include "blocks.h"

typedef struct sequence {
    blocks *of;
    int32_t *tokens; /* of its rows */
    int32_t *table;
    int32_t n, n_table;
    int32_t n_sealed; /* blocks of the table that are sealed, from the first on */
    int32_t capacity; /* rows */
} sequence;

/* Copies the bytes of a block, in every layer. */
typedef void sequence_copy(void *to, int32_t from_block, int32_t to_block);

int32_t sequence_new(ctx *cx, blocks *of, int32_t capacity, sequence **out);
void sequence_free(sequence *s);
int32_t sequence_fork(ctx *cx, const sequence *s, sequence **out);
/* An empty sequence takes over what the pool has of these tokens, whole blocks, but never
 * all of them: the last one has to be run for its logits. Returns how many rows it has now.
 */
int32_t sequence_recall(sequence *s, const int32_t *tokens, int32_t n);
/* Places for n more tokens: their slots (block * BLOCK_ROWS + place). EVLA_E_LIMIT when the
 * sequence or the pool is full; the sequence is as before then. */
int32_t sequence_extend(ctx *cx, sequence *s, const int32_t *tokens, int32_t n,
                        int32_t *slots, sequence_copy *copy, void *to);
/* The rows are written: full blocks can be found from now on. */
void sequence_commit(sequence *s);
/* Forgets rows from n on. */
void sequence_truncate(sequence *s, int32_t n);

#endif
