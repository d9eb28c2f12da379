/*
 * blocks.c -- a pool of blocks with reference counts. See blocks.h.
 */
#include "blocks.h"
#include "../mem.h"
#include "../mix.h"
#include <string.h>

enum { NONE = -1 };

typedef struct block {
    int32_t refs;
    int32_t before, after; /* in the list of unused ones, longest unused first */
    int32_t next;          /* in its chain of the index */
    uint64_t serial, parent;
    int32_t tokens[BLOCK_ROWS];
} block;

struct blocks {
    block *all;
    int32_t *index; /* heads of chains, by hash */
    int32_t n, n_index;
    int32_t first, last, n_unused;
    uint64_t serials;
};

/* ---- the list of unused blocks ---- */

static void link_last(blocks *b, int32_t i)
{
    b->all[i].before = b->last;
    b->all[i].after = NONE;
    if (b->last >= 0)
        b->all[b->last].after = i;
    else
        b->first = i;
    b->last = i;
    b->n_unused++;
}

static void link_first(blocks *b, int32_t i)
{
    b->all[i].before = NONE;
    b->all[i].after = b->first;
    if (b->first >= 0)
        b->all[b->first].before = i;
    else
        b->last = i;
    b->first = i;
    b->n_unused++;
}

static void unlink_one(blocks *b, int32_t i)
{
    const block *x = &b->all[i];
    if (x->before >= 0)
        b->all[x->before].after = x->after;
    else
        b->first = x->after;
    if (x->after >= 0)
        b->all[x->after].before = x->before;
    else
        b->last = x->before;
    b->n_unused--;
}

/* ---- the index of sealed blocks ---- */

static int32_t *chain_of(const blocks *b, uint64_t parent, const int32_t *tokens)
{
    uint64_t h = mix(parent + MIX_STEP);
    for (int i = 0; i < BLOCK_ROWS; i++)
        h = mix(h ^ (uint32_t)tokens[i]);
    return &b->index[h % (uint64_t)b->n_index];
}

void blocks_unseal(blocks *b, int32_t i)
{
    block *x = &b->all[i];
    if (!x->serial) return;
    int32_t *at = chain_of(b, x->parent, x->tokens);
    while (*at != i)
        at = &b->all[*at].next;
    *at = x->next;
    x->serial = 0;
}

static int32_t look_up(const blocks *b, uint64_t parent, const int32_t *tokens)
{
    int32_t i = *chain_of(b, parent, tokens);
    while (i >= 0 && (b->all[i].parent != parent ||
                      memcmp(b->all[i].tokens, tokens, sizeof b->all[i].tokens) != 0))
        i = b->all[i].next;
    return i;
}

uint64_t blocks_seal(blocks *b, int32_t i, uint64_t parent, const int32_t *tokens)
{
    block *x = &b->all[i];
    blocks_unseal(b, i);
    int32_t twin = look_up(b, parent, tokens);
    x->serial = twin >= 0 ? b->all[twin].serial : ++b->serials;
    memcpy(x->tokens, tokens, sizeof x->tokens);
    x->parent = parent;
    int32_t *at = chain_of(b, parent, tokens);
    x->next = *at;
    *at = i;
    return x->serial;
}

uint64_t blocks_serial(const blocks *b, int32_t i) { return b->all[i].serial; }

int32_t blocks_find(blocks *b, uint64_t parent, const int32_t *tokens)
{
    int32_t i = look_up(b, parent, tokens);
    if (i >= 0) blocks_keep(b, i);
    return i;
}

/* ---- references ---- */

int32_t blocks_take(blocks *b)
{
    int32_t i = b->first;
    if (i < 0) return NONE;
    unlink_one(b, i);
    blocks_unseal(b, i);
    b->all[i].refs = 1;
    return i;
}

void blocks_keep(blocks *b, int32_t i)
{
    if (b->all[i].refs++ == 0) unlink_one(b, i);
}

void blocks_drop(blocks *b, int32_t i)
{
    if (--b->all[i].refs > 0) return;
    if (b->all[i].serial)
        link_last(b, i);
    else
        link_first(b, i);
}

int32_t blocks_refs(const blocks *b, int32_t i) { return b->all[i].refs; }
int32_t blocks_count(const blocks *b) { return b->n; }
int32_t blocks_unused(const blocks *b) { return b->n_unused; }

/* ---- the pool ---- */

int32_t blocks_new(ctx *cx, int32_t n, blocks **out)
{
    if (n < 1 || n > 1 << 24)
        return ctx_fail(cx, EVLA_E_RANGE, "a pool of %d blocks: want 1 to %d", n, 1 << 24);
    blocks *b = mem_alloc(sizeof *b);
    if (b) {
        *b = (blocks){.n = n, .n_index = 2 * n + 1, .first = NONE, .last = NONE};
        b->all = mem_alloc((size_t)n * sizeof *b->all);
        b->index = mem_alloc((size_t)b->n_index * sizeof *b->index);
    }
    if (!b || !b->all || !b->index) {
        blocks_free(b);
        return ctx_fail(cx, EVLA_E_NOMEM, "a pool of %d blocks", n);
    }
    for (int32_t i = 0; i < b->n_index; i++)
        b->index[i] = NONE;
    for (int32_t i = 0; i < n; i++)
        link_last(b, i);
    *out = b;
    return 0;
}

void blocks_free(blocks *b)
{
    if (!b) return;
    mem_free(b->all);
    mem_free(b->index);
    mem_free(b);
}

int blocks_are_sound(const blocks *b)
{
    int32_t unused = 0, free_listed = 0, sealed = 0, indexed = 0;
    for (int32_t i = 0; i < b->n; i++) {
        unused += b->all[i].refs == 0;
        sealed += b->all[i].serial != 0;
        if (b->all[i].refs < 0) return 0;
    }
    int32_t before = NONE;
    for (int32_t i = b->first; i >= 0 && free_listed <= b->n; i = b->all[i].after) {
        if (b->all[i].refs || b->all[i].before != before) return 0;
        before = i;
        free_listed++;
    }
    for (int32_t c = 0; c < b->n_index; c++)
        for (int32_t i = b->index[c]; i >= 0 && indexed <= b->n; i = b->all[i].next)
            indexed += b->all[i].serial != 0;
    return before == b->last && free_listed == unused && unused == b->n_unused &&
           indexed == sealed;
}
