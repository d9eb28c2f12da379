/*
 * cache.h -- which rows of a full sequence stay: a policy of kind EVLA_CACHE, asked and
 * checked.
 *
 * Nothing is allocated after cache_open.
 */
#ifndef EVLA_RUN_CACHE_H
#define EVLA_RUN_CACHE_H
#include "sequence.h"

typedef struct cache {
    const evla_item *item; /* NULL: all rows stay */
    const void *params;
    int32_t budget; /* rows that stay at most; the context: none is ever dropped */
    int32_t *rows;  /* room for the answer */
} cache;

/* policy: item NULL stands for one that keeps all; its parameters must live as long.
 * EVLA_E_ARG when it does not go with a context of so many rows, EVLA_E_PLUGIN when it
 * wants what this core does not carry. */
int32_t cache_open(ctx *cx, const evla_choice *policy, int32_t context, cache *out);
void cache_close(cache *c);
/* 1: a full sequence goes on without some of its rows. */
int cache_drops(const cache *c, int32_t context);
/* Drops the rows of a full sequence that the policy does not keep. */
int32_t cache_make_room(ctx *cx, const cache *c, sequence *s, sequence_copy *copy,
                        void *to);

#endif
