/*
 * decoder.h -- runs a graph over tokens, a few or many at a time, with keys and values in
 * blocks.
 *
 * The graph has a symbol T with buckets, how many tokens a run takes, and symbols that the
 * decoder binds: BLOCKS of the pool, TABLE blocks of the longest sequence, ROWS of logits.
 * Its inputs:
 *   ids i32[T]       tokens
 *   position i32[T]  their places in the text, whatever was dropped before them
 *   slot i32[T]      where their keys and values go, see kv_write; -1: padding
 *   last i32[T]      the last row that each may attend to, see paged_attention; -1: padding
 *   table i32[TABLE] blocks of the sequence
 *   row i32[ROWS]    the tokens of this run whose logits are wanted: the last, or all
 *   rows f32[T,W]    optional: embeddings that stand in place of tokens where ids are -1
 * and its output logits f32[ROWS,V]. Every state of it is a pool, [BLOCKS,BLOCK_ROWS,...].
 * Further graphs of the model, those that make such rows of pictures, are planned into the
 * same arena and run by their number.
 *
 * A cache policy may drop rows of a sequence. It is asked between runs, whenever all rows
 * of the context are used and another token comes, so what it drops depends on the text
 * alone. Logits are the same bits however tokens are split over runs. A decoder belongs to
 * one thread; feeding allocates nothing.
 */
#ifndef EVLA_RUN_DECODER_H
#define EVLA_RUN_DECODER_H
#include "cache.h"
#include "session.h"

typedef struct decoder decoder;

/* Another graph of the model, for whoever drives it through decoder_session. */
typedef struct decoder_graph {
    const char *name;
    symbols symbols;
} decoder_graph;

typedef struct decoder_options {
    const char *graph;
    const decoder_graph *others;
    int32_t n_others;
    int all;             /* 1: every token's logits are wanted, too */
    int32_t context;     /* most rows of a sequence */
    evla_choice cache;   /* of kind EVLA_CACHE; item NULL: all rows stay */
    int32_t n_blocks;    /* 0: as many as one sequence can need */
    int32_t n_workers;   /* 0: 1 */
    uint64_t budget;     /* bytes for arenas and states; 0: no limit */
    const char *kernels; /* see plan_options */
    const char *without;
    int profile;
} decoder_options;

int32_t decoder_open(ctx *cx, model *m, const decoder_options *o, decoder **out);
void decoder_close(decoder *d);
blocks *decoder_blocks(decoder *d);
int32_t decoder_context(const decoder *d);
/* 1: a text may be longer than the context, because rows are dropped. */
int decoder_drops(const decoder *d);
/* How many tokens a sequence can get that sequence_truncate takes back whole: until rows
 * are dropped, or after, when that comes first. */
int32_t decoder_room(const decoder *d, const sequence *s);
int32_t decoder_vocabulary(const decoder *d);
int32_t decoder_width(const decoder *d); /* of a row of embeddings; 0: it reads none */
session *decoder_session(decoder *d);
/* The plan of others[i], and its number in the session; NULL: there is none. Its inputs and
 * outputs are rubbish once another plan has run. */
const plan *decoder_other(const decoder *d, int32_t i, int32_t *at);
/* What it holds, in bytes: weights as they lie in memory or in their file. */
typedef struct decoder_bytes {
    uint64_t weights, pools, arenas;
} decoder_bytes;
decoder_bytes decoder_sizes(const decoder *d);

/* Appends tokens to a sequence of this decoder's blocks and context; -1 stands for the row
 * that the sequence shows there (sequence_show). *logits: V floats of the last one, valid
 * until the next call; they may be written. After a failure the sequence has the tokens
 * that it had; rows that were dropped to make room stay dropped. */
int32_t decoder_feed(ctx *cx, decoder *d, sequence *s, const int32_t *ids, int32_t n,
                     float **logits);
/* The same, and `rows` sees the logits [n,V] of each run's tokens, from token `first` on.
 */
typedef void decoder_rows(void *to, int32_t first, int32_t n, const float *logits);
int32_t decoder_feed_all(ctx *cx, decoder *d, sequence *s, const int32_t *ids, int32_t n,
                         decoder_rows *rows, void *to);

/* The tokens of a sequence with their keys and values, to and from a file; the model must
 * have the same states. EVLA_E_STATE when rows were dropped or the text shows some. */
int32_t decoder_save(ctx *cx, const decoder *d, const sequence *s, const char *path);
int32_t decoder_load(ctx *cx, decoder *d, const char *path, sequence **out);

#endif
