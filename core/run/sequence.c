/*
 * sequence.c -- a sequence of tokens in blocks. See sequence.h.
 */
#include "sequence.h"
#include "../mem.h"
#include <string.h>

static int32_t blocks_for(int32_t rows) { return (rows + BLOCK_ROWS - 1) / BLOCK_ROWS; }

int32_t sequence_new(ctx *cx, blocks *of, int32_t capacity, sequence **out)
{
    sequence *s = capacity < 1 ? NULL : mem_alloc(sizeof *s);
    if (s) {
        *s = (sequence){.of = of, .capacity = capacity};
        s->tokens = mem_alloc((size_t)capacity * sizeof *s->tokens);
        s->table = mem_alloc((size_t)blocks_for(capacity) * sizeof *s->table);
    }
    if (!s || !s->tokens || !s->table) {
        sequence_free(s);
        return ctx_fail(cx, EVLA_E_NOMEM, "a sequence of %d tokens", capacity);
    }
    *out = s;
    return 0;
}

void sequence_free(sequence *s)
{
    if (!s) return;
    sequence_truncate(s, 0);
    mem_free(s->tokens);
    mem_free(s->table);
    mem_free(s);
}

int32_t sequence_fork(ctx *cx, const sequence *s, sequence **out)
{
    int32_t st = sequence_new(cx, s->of, s->capacity, out);
    if (st < 0) return st;
    sequence *f = *out;
    memcpy(f->tokens, s->tokens, (size_t)s->n * sizeof *f->tokens);
    memcpy(f->table, s->table, (size_t)s->n_table * sizeof *f->table);
    f->n = s->n;
    f->n_table = s->n_table;
    f->n_sealed = s->n_sealed;
    for (int32_t i = 0; i < f->n_table; i++)
        blocks_keep(f->of, f->table[i]);
    return 0;
}

int32_t sequence_recall(sequence *s, const int32_t *tokens, int32_t n)
{
    uint64_t parent = 0;
    if (n > s->capacity) n = s->capacity;
    while (s->n + BLOCK_ROWS < n) {
        int32_t block = blocks_find(s->of, parent, tokens + s->n);
        if (block < 0) break;
        memcpy(s->tokens + s->n, tokens + s->n, BLOCK_ROWS * sizeof *tokens);
        s->table[s->n_table++] = block;
        s->n_sealed++;
        s->n += BLOCK_ROWS;
        parent = blocks_serial(s->of, block);
    }
    return s->n;
}

/* The block that the next row goes into is this sequence's alone and not sealed. */
static int32_t own_last(sequence *s, sequence_copy *copy, void *to)
{
    int32_t at = s->n / BLOCK_ROWS;
    if (at >= s->n_table) return 0;
    int32_t block = s->table[at];
    if (blocks_refs(s->of, block) > 1) {
        int32_t mine = blocks_take(s->of);
        if (mine < 0) return -1;
        copy(to, block, mine);
        blocks_drop(s->of, block);
        s->table[at] = mine;
    } else
        blocks_unseal(s->of, block);
    if (s->n_sealed > at) s->n_sealed = at;
    return 0;
}

int32_t sequence_extend(ctx *cx, sequence *s, const int32_t *tokens, int32_t n,
                        int32_t *slots, sequence_copy *copy, void *to)
{
    if (n > s->capacity - s->n)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "%d tokens behind %d do not fit into a context of %d", n, s->n,
                        s->capacity);
    int32_t want = blocks_for(s->n + n) - s->n_table, have = blocks_unused(s->of);
    int is_shared = s->n % BLOCK_ROWS && s->n_table > s->n / BLOCK_ROWS &&
                    blocks_refs(s->of, s->table[s->n / BLOCK_ROWS]) > 1;
    if (want + is_shared > have || own_last(s, copy, to) < 0)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "%d tokens need %d blocks of keys and values, %d of %d are free", n,
                        want + is_shared, have, blocks_count(s->of));
    for (int32_t i = 0; i < want; i++)
        s->table[s->n_table++] = blocks_take(s->of);
    memcpy(s->tokens + s->n, tokens, (size_t)n * sizeof *tokens);
    for (int32_t i = 0; i < n; i++, s->n++)
        slots[i] = s->table[s->n / BLOCK_ROWS] * BLOCK_ROWS + s->n % BLOCK_ROWS;
    return 0;
}

void sequence_commit(sequence *s)
{
    while ((s->n_sealed + 1) * BLOCK_ROWS <= s->n) {
        int32_t i = s->n_sealed++;
        uint64_t parent = i ? blocks_serial(s->of, s->table[i - 1]) : 0;
        blocks_seal(s->of, s->table[i], parent, s->tokens + i * BLOCK_ROWS);
    }
}

void sequence_truncate(sequence *s, int32_t n)
{
    if (n >= s->n) return;
    s->n = n < 0 ? 0 : n;
    while (s->n_table > blocks_for(s->n))
        blocks_drop(s->of, s->table[--s->n_table]);
    if (s->n_sealed > s->n / BLOCK_ROWS) s->n_sealed = s->n / BLOCK_ROWS;
}
