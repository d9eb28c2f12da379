/*
 * sequence.c -- a text of tokens and its rows in blocks. See sequence.h.
 */
#include "sequence.h"
#include "../mem.h"
#include "../mix.h"
#include <string.h>

static int32_t blocks_for(int32_t rows) { return (rows + BLOCK_ROWS - 1) / BLOCK_ROWS; }

int32_t sequence_new(ctx *cx, blocks *of, int32_t capacity, int32_t longest, sequence **out)
{
    if (capacity < 1 || longest < capacity)
        return ctx_fail(cx, EVLA_E_RANGE, "a sequence of %d tokens in %d rows", longest,
                        capacity);
    sequence *s = mem_alloc(sizeof *s);
    if (s) {
        size_t table = (size_t)blocks_for(capacity) * sizeof *s->table;
        *s = (sequence){.of = of, .capacity = capacity, .longest = longest};
        s->tokens = mem_alloc((size_t)longest * sizeof *s->tokens);
        s->place = mem_alloc((size_t)capacity * sizeof *s->place);
        s->table = mem_alloc(table);
        s->spare = mem_alloc(table);
    }
    if (!s || !s->tokens || !s->place || !s->table || !s->spare) {
        sequence_free(s);
        return ctx_fail(cx, EVLA_E_NOMEM, "a sequence of %d tokens", longest);
    }
    *out = s;
    return 0;
}

void sequence_free(sequence *s)
{
    if (!s) return;
    sequence_truncate(s, 0);
    mem_free(s->tokens);
    mem_free(s->place);
    mem_free(s->table);
    mem_free(s->spare);
    mem_free(s->row_of);
    mem_free(s->marks);
    mem_free(s);
}

/* ---- rows of embeddings ---- */

/* Never 0. Each word goes through a mixing that loses nothing, so rows that differ in one
 * word never meet, others as seldom as any 64 bits do. */
static uint64_t mark_of(const float *row, int32_t width)
{
    uint64_t h = MIX_STEP;
    for (int32_t i = 0; i < width; i += 2) {
        uint64_t bits = 0;
        memcpy(&bits, row + i, (width - i < 2 ? 1 : 2) * sizeof *row);
        h = mix(h ^ bits);
    }
    return h ? h : 1;
}

static int32_t take_marks(ctx *cx, sequence *s)
{
    if (!s->row_of) s->row_of = mem_alloc((size_t)s->longest * sizeof *s->row_of);
    if (!s->marks) s->marks = mem_alloc((size_t)s->longest * sizeof *s->marks);
    if (!s->row_of || !s->marks)
        return ctx_fail(cx, EVLA_E_NOMEM, "a sequence of %d tokens", s->longest);
    return 0;
}

int32_t sequence_show(ctx *cx, sequence *s, const int32_t *tokens, int32_t n,
                      const sequence_rows *shown)
{
    int32_t places = 0;
    for (int32_t i = 0; i < n; i++)
        places += tokens[i] < 0;
    if (places != shown->n)
        return ctx_fail(cx, EVLA_E_ARG,
                        "the text has %d places for rows of embeddings, but %d rows come "
                        "with it",
                        places, shown->n);
    if (n > s->longest || shown->both < 0 || shown->both > n)
        return ctx_fail(cx, EVLA_E_RANGE,
                        "%d of %d tokens that see each other, in a text of %d at most",
                        shown->both, n, s->longest);
    if (take_marks(cx, s) < 0) return EVLA_E_NOMEM;
    s->shown = *shown;
    uint64_t all = MIX_STEP;
    const float *row = shown->rows;
    for (int32_t i = 0, k = 0; i < s->longest; i++) {
        int is_row = i < n && tokens[i] < 0;
        s->row_of[i] = is_row ? k++ : -1;
        s->marks[i] = is_row ? mark_of(row, shown->width) : 0;
        if (is_row) row += shown->width;
        if (i < shown->both) all = mix(mix(all ^ (uint32_t)tokens[i]) ^ s->marks[i]);
    }
    /* keys and values of a token hold something of all that it sees */
    for (int32_t i = 0; i < shown->both; i++)
        s->marks[i] = all ? all : 1;
    return 0;
}

/* What block i of a text holds besides its tokens, together with what it follows. */
static uint64_t follows(const sequence *s, int32_t i, uint64_t parent)
{
    for (int32_t k = i * BLOCK_ROWS; s->marks && k < (i + 1) * BLOCK_ROWS; k++)
        if (s->marks[k]) parent = mix(parent ^ s->marks[k]);
    return parent;
}

/* ---- life ---- */

int32_t sequence_fork(ctx *cx, const sequence *s, sequence **out)
{
    int32_t st = sequence_new(cx, s->of, s->capacity, s->longest, out);
    if (st < 0) return st;
    sequence *f = *out;
    memcpy(f->tokens, s->tokens, (size_t)s->n_tokens * sizeof *f->tokens);
    memcpy(f->place, s->place, (size_t)s->n * sizeof *f->place);
    memcpy(f->table, s->table, (size_t)s->n_table * sizeof *f->table);
    f->n = s->n;
    f->n_tokens = s->n_tokens;
    f->n_table = s->n_table;
    f->n_sealed = s->n_sealed;
    for (int32_t i = 0; i < f->n_table; i++)
        blocks_keep(f->of, f->table[i]);
    if (!s->marks) return 0;
    if ((st = take_marks(cx, f)) < 0) {
        sequence_free(f);
        *out = NULL;
        return st;
    }
    f->shown = s->shown;
    memcpy(f->row_of, s->row_of, (size_t)s->longest * sizeof *f->row_of);
    memcpy(f->marks, s->marks, (size_t)s->longest * sizeof *f->marks);
    return 0;
}

/* The text gets these tokens, each with a row. */
static void append(sequence *s, const int32_t *tokens, int32_t n)
{
    memcpy(s->tokens + s->n_tokens, tokens, (size_t)n * sizeof *tokens);
    for (int32_t i = 0; i < n; i++)
        s->place[s->n++] = s->n_tokens++;
}

int32_t sequence_recall(sequence *s, const int32_t *tokens, int32_t n)
{
    uint64_t parent = 0;
    while (s->n + BLOCK_ROWS < n && s->n + BLOCK_ROWS <= s->capacity) {
        uint64_t behind = follows(s, s->n / BLOCK_ROWS, parent);
        int32_t block = blocks_find(s->of, behind, tokens + s->n);
        if (block < 0) break;
        append(s, tokens + s->n, BLOCK_ROWS);
        s->table[s->n_table++] = block;
        s->n_sealed++;
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
        copy(to, block * BLOCK_ROWS, mine * BLOCK_ROWS, s->n % BLOCK_ROWS);
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
    if (n > s->longest - s->n_tokens)
        return ctx_fail(cx, EVLA_E_LIMIT, "%d tokens behind %d: want a text of %d at most",
                        n, s->n_tokens, s->longest);
    int32_t want = blocks_for(s->n + n) - s->n_table, have = blocks_unused(s->of);
    int is_shared = s->n % BLOCK_ROWS && s->n_table > s->n / BLOCK_ROWS &&
                    blocks_refs(s->of, s->table[s->n / BLOCK_ROWS]) > 1;
    if (want + is_shared > have || own_last(s, copy, to) < 0)
        return ctx_fail(
            cx, EVLA_E_LIMIT,
            "%d more tokens need %d more of the %d blocks of keys and values, of "
            "which %d are free; want more blocks, or a shorter text",
            n, want + is_shared, blocks_count(s->of), have);
    for (int32_t i = 0; i < want; i++)
        s->table[s->n_table++] = blocks_take(s->of);
    for (int32_t i = 0; i < n; i++) {
        int32_t row = s->n + i;
        slots[i] = s->table[row / BLOCK_ROWS] * BLOCK_ROWS + row % BLOCK_ROWS;
    }
    append(s, tokens, n);
    return 0;
}

/* Are the first n rows the first n tokens? */
static int is_unbroken(const sequence *s, int32_t n)
{
    return n <= s->n && (n == 0 || s->place[n - 1] == n - 1);
}

void sequence_commit(sequence *s)
{
    while (is_unbroken(s, (s->n_sealed + 1) * BLOCK_ROWS)) {
        int32_t i = s->n_sealed++;
        uint64_t parent = i ? blocks_serial(s->of, s->table[i - 1]) : 0;
        blocks_seal(s->of, s->table[i], follows(s, i, parent), s->tokens + i * BLOCK_ROWS);
    }
}

void sequence_truncate(sequence *s, int32_t n)
{
    if (n >= s->n_tokens) return;
    s->n_tokens = n < 0 ? 0 : n;
    while (s->n > 0 && s->place[s->n - 1] >= s->n_tokens)
        s->n--;
    while (s->n_table > blocks_for(s->n))
        blocks_drop(s->of, s->table[--s->n_table]);
    if (s->n_sealed > s->n / BLOCK_ROWS) s->n_sealed = s->n / BLOCK_ROWS;
}

/* ---- dropping rows ---- */

/* The block of the table whose first n rows are these; -1: they come from several, or lie
 * otherwise. */
static int32_t whole(const int32_t *rows, int32_t n)
{
    if (rows[0] % BLOCK_ROWS) return -1;
    for (int32_t i = 1; i < n; i++)
        if (rows[i] != rows[0] + i) return -1;
    return rows[0] / BLOCK_ROWS;
}

static int32_t rows_of_block(int32_t at, int32_t n)
{
    return n - at * BLOCK_ROWS < BLOCK_ROWS ? n - at * BLOCK_ROWS : BLOCK_ROWS;
}

/* Blocks for the rows that stay, in `spare`, each with a reference. Block b of them takes
 * rows of blocks b and later, so a block up to b that nobody needs whole and nobody shares
 * may be written: there is one whenever all of them are ours alone. */
static int32_t choose_blocks(sequence *s, const int32_t *rows, int32_t n)
{
    for (int32_t b = 0, p = 0; b < blocks_for(n); b++) {
        int32_t from = whole(rows + b * BLOCK_ROWS, rows_of_block(b, n)), mine = -1;
        if (from >= 0) {
            mine = s->table[from];
            blocks_keep(s->of, mine);
        } else
            mine = blocks_take(s->of);
        for (; mine < 0 && p <= b; p++)
            if (blocks_refs(s->of, s->table[p]) == 1) {
                mine = s->table[p];
                blocks_keep(s->of, mine);
            }
        if (mine < 0) {
            while (b > 0)
                blocks_drop(s->of, s->spare[--b]);
            return -1;
        }
        s->spare[b] = mine;
    }
    return 0;
}

/* Copies the rows of one block, as many at a time as lie together. */
static void gather(const sequence *s, const int32_t *rows, int32_t n, int32_t block,
                   sequence_copy *copy, void *to)
{
    for (int32_t i = 0, k; i < n; i += k) {
        int32_t place = rows[i] % BLOCK_ROWS;
        for (k = 1; i + k < n && rows[i + k] == rows[i] + k && place + k < BLOCK_ROWS;)
            k++;
        copy(to, s->table[rows[i] / BLOCK_ROWS] * BLOCK_ROWS + place,
             block * BLOCK_ROWS + i, k);
    }
}

int32_t sequence_keep(ctx *cx, sequence *s, const int32_t *rows, int32_t n,
                      sequence_copy *copy, void *to)
{
    int32_t unused = blocks_unused(s->of);
    if (choose_blocks(s, rows, n) < 0)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "%d rows that stay of %d do not find room to move together: blocks "
                        "of keys and values are shared, and %d of %d are free",
                        n, s->n, unused, blocks_count(s->of));
    for (int32_t b = 0; b < blocks_for(n); b++) {
        const int32_t *of_block = rows + b * BLOCK_ROWS;
        int32_t k = rows_of_block(b, n);
        if (whole(of_block, k) >= 0) continue;
        blocks_unseal(s->of, s->spare[b]);
        gather(s, of_block, k, s->spare[b], copy, to);
    }
    /* the end first, as in sequence_truncate: the beginning of a text is of most use */
    for (int32_t i = s->n_table; i > 0; i--)
        blocks_drop(s->of, s->table[i - 1]);
    int32_t *table = s->table;
    s->table = s->spare;
    s->spare = table;
    s->n_table = blocks_for(n);
    for (int32_t i = 0; i < n; i++)
        s->place[i] = s->place[rows[i]];
    s->n = n;
    while (!is_unbroken(s, s->n_sealed * BLOCK_ROWS))
        s->n_sealed--;
    return 0;
}
