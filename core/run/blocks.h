/*
 * blocks.h -- who uses which block of a pool: reference counts, and finding a block again
 * by what it holds.
 *
 * This only counts; the bytes (keys and values of BLOCK_ROWS tokens, in every layer) are
 * states of a session. A block that is full can be sealed: it then has a serial number and
 * is found by its tokens and the serial of the block before it, so a chain of blocks is
 * found by its text from the start. Its content stays after the last reference is gone,
 * until the block is needed: the one unused for longest is taken first. Source: Kwon et al.
 * 2023, sections 4.3 and 4.4.
 *
 * Nothing is allocated after blocks_new. A pool belongs to one thread.
 */
#ifndef EVLA_RUN_BLOCKS_H
#define EVLA_RUN_BLOCKS_H
#include "../ctx.h"

enum { BLOCK_ROWS = 16 };

typedef struct blocks blocks;

int32_t blocks_new(ctx *cx, int32_t n, blocks **out);
void blocks_free(blocks *b);
/* A block with one reference and rubbish in it; -1 when all are in use. */
int32_t blocks_take(blocks *b);
void blocks_keep(blocks *b, int32_t block);
void blocks_drop(blocks *b, int32_t block);
int32_t blocks_refs(const blocks *b, int32_t block);
/* The block now holds these BLOCK_ROWS tokens behind the block with serial `parent`; 0: at
 * the start. Returns its serial, never 0; blocks of the same text have the same, so what
 * follows one follows all. */
uint64_t blocks_seal(blocks *b, int32_t block, uint64_t parent, const int32_t *tokens);
/* It is about to be written. */
void blocks_unseal(blocks *b, int32_t block);
uint64_t blocks_serial(const blocks *b, int32_t block); /* 0: not sealed */
/* A sealed block, with a reference added; -1: none. */
int32_t blocks_find(blocks *b, uint64_t parent, const int32_t *tokens);
int32_t blocks_count(const blocks *b);
int32_t blocks_unused(const blocks *b); /* that blocks_take can give */
/* Every block is free or counted, lists and the index agree; for tests. */
int blocks_are_sound(const blocks *b);

#endif
