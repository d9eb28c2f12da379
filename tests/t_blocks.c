/*
 * core/run/blocks.c, core/run/sequence.c: who uses which block, forks, copies before
 * writing, rows that are dropped, and texts that are found again; a long random history
 * against plain lists.
 */
#include "mem.h"
#include "mix.h"
#include "registry.h"
#include "run/sequence.h"
#include "says.h"
#include <string.h>

static ctx cx;

/* What the bytes of the pool would be: each row holds the token that was written there. */
enum { BLOCKS = 24, ROWS = BLOCKS * BLOCK_ROWS };
static int32_t memory[ROWS];

static int32_t n_copied;

static void copy(void *to, int32_t from, int32_t at, int32_t n)
{
    (void)to;
    memmove(memory + at, memory + from, (size_t)n * sizeof *memory);
    n_copied += n;
}

/* Extends, writes and commits. */
static int32_t add(sequence *s, const int32_t *tokens, int32_t n)
{
    int32_t slots[ROWS];
    int32_t st = sequence_extend(&cx, s, tokens, n, slots, copy, NULL);
    for (int32_t i = 0; st >= 0 && i < n; i++)
        memory[slots[i]] = tokens[i];
    if (st >= 0) sequence_commit(s);
    return st;
}

/* Its rows hold their tokens. */
static int is_whole(const sequence *s)
{
    for (int32_t i = 0; i < s->n; i++)
        if (memory[s->table[i / BLOCK_ROWS] * BLOCK_ROWS + i % BLOCK_ROWS] !=
            s->tokens[s->place[i]])
            return 0;
    return s->n_table == (s->n + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

static void count_up(int32_t *tokens, int32_t from, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        tokens[i] = from + i;
}

static void test_pool(void)
{
    blocks *b = NULL;
    ok(blocks_new(&cx, 0, &b) < 0 &&
           says(&cx, EVLA_E_RANGE, "a pool of 0 blocks: want 1 to 16777216"),
       "a pool without blocks is refused");
    blocks_new(&cx, 3, &b);
    int32_t x = blocks_take(b), y = blocks_take(b), z = blocks_take(b);
    ok(x >= 0 && y >= 0 && z >= 0 && x != y && y != z && x != z && blocks_take(b) == -1,
       "each block is given once, then there are none");
    int32_t text[BLOCK_ROWS];
    count_up(text, 1, BLOCK_ROWS);
    uint64_t serial = blocks_seal(b, x, 0, text);
    blocks_drop(b, x);
    ok(serial && blocks_find(b, 0, text) == x && blocks_refs(b, x) == 1,
       "a sealed block is found by its tokens after it was dropped");
    ok(blocks_find(b, serial, text) == -1, "but not behind another block");
    text[3]++;
    ok(blocks_find(b, 0, text) == -1, "nor by other tokens");
    text[3]--;
    blocks_drop(b, x);
    blocks_drop(b, y);
    ok(blocks_take(b) == y && blocks_find(b, 0, text) == x,
       "a block with rubbish is taken before one that can be found");
    blocks_drop(b, x);
    ok(blocks_take(b) == x && blocks_find(b, 0, text) == -1,
       "the last one is taken nevertheless, and is not found any more");
    ok(blocks_seal(b, x, 0, text) == blocks_seal(b, z, 0, text),
       "blocks of the same text have one serial: what follows one follows both");
    ok(blocks_are_sound(b), "the books agree");
    blocks_free(b);
}

static void test_fork(void)
{
    blocks *b;
    sequence *s, *f;
    int32_t tokens[64];
    count_up(tokens, 100, 64);
    blocks_new(&cx, BLOCKS, &b);
    sequence_new(&cx, b, 64, 64, &s);
    add(s, tokens, 20);
    ok(s->n == 20 && s->n_table == 2 && blocks_unused(b) == BLOCKS - 2,
       "20 tokens take 2 blocks");
    sequence_fork(&cx, s, &f);
    ok(blocks_unused(b) == BLOCKS - 2 && f->table[1] == s->table[1], "a fork takes none");
    count_up(tokens, 500, 4);
    add(f, tokens, 4);
    ok(f->table[0] == s->table[0] && f->table[1] != s->table[1] && is_whole(s) &&
           is_whole(f),
       "it copies the block that it writes into, and leaves its parent as it was");
    count_up(tokens, 700, 4);
    add(s, tokens, 4);
    ok(is_whole(s) && is_whole(f), "the parent goes on in its own");
    sequence_truncate(f, 5);
    ok(f->n_table == 1 && is_whole(f), "a truncated one gives blocks back");
    add(f, tokens, 3);
    ok(f->table[0] != s->table[0] && is_whole(s) && is_whole(f),
       "and copies what it writes into again");
    sequence_free(f);
    sequence_free(s);
    ok(blocks_unused(b) == BLOCKS && blocks_are_sound(b), "in the end all blocks are free");
    blocks_free(b);
}

static void test_recall(void)
{
    blocks *b;
    sequence *s;
    int32_t tokens[64];
    count_up(tokens, 0, 64);
    blocks_new(&cx, 4, &b);
    sequence_new(&cx, b, 64, 64, &s);
    add(s, tokens, 40);
    sequence_free(s);
    sequence_new(&cx, b, 64, 64, &s);
    ok(sequence_recall(s, tokens, 40) == 32 && is_whole(s),
       "a new sequence takes over what is left of its text, whole blocks");
    sequence_truncate(s, 0);
    ok(sequence_recall(s, tokens, 32) == 16,
       "but never the last token, whose logits are wanted");
    sequence_truncate(s, 0);
    tokens[20] = -7;
    ok(sequence_recall(s, tokens, 40) == 16, "up to where the text differs");
    count_up(tokens, 0, 64);
    sequence_truncate(s, 8);
    int32_t other[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    add(s, other, 8);
    ok(is_whole(s), "a block that was found may be written when nobody else has it");
    sequence_truncate(s, 0);
    ok(sequence_recall(s, tokens, 40) == 0, "then it is not found by its old text");
    int32_t slots[64];
    ok(sequence_extend(&cx, s, tokens, 64, slots, copy, NULL) == 0,
       "all 4 blocks are used");
    sequence *t;
    sequence_new(&cx, b, 64, 64, &t);
    ok(sequence_extend(&cx, t, tokens, 1, slots, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT,
                "1 more tokens need 1 more of the 4 blocks of keys and values, of which 0 "
                "are "
                "free; want more blocks, or a shorter text") &&
           t->n == 0,
       "an exhausted pool is a sentence, and the sequence is as before");
    ok(sequence_extend(&cx, s, tokens, 1, slots, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT, "1 tokens behind 64 do not fit into a context of 64"),
       "so is a full context");
    sequence_free(t);
    sequence_free(s);
    blocks_free(b);
}

/* The first `sinks` rows and the last `recent` ones. */
static int32_t ends_of(int32_t *rows, int32_t n, int32_t sinks, int32_t recent)
{
    count_up(rows, 0, sinks);
    count_up(rows + sinks, n - recent, recent);
    return sinks + recent;
}

static void test_keep(void)
{
    blocks *b;
    sequence *s, *f, *t;
    int32_t tokens[100], rows[64], before[4];
    count_up(tokens, 100, 100);
    blocks_new(&cx, 9, &b);
    sequence_new(&cx, b, 64, 100, &s);
    add(s, tokens, 64);
    sequence_fork(&cx, s, &f);
    memcpy(before, s->table, sizeof before);
    n_copied = 0;
    int32_t n = ends_of(rows, 64, 4, 28);
    ok(sequence_keep(&cx, s, rows, n, copy, NULL) == 0 && s->n == 32 && is_whole(s) &&
           s->n_tokens == 64 && s->place[3] == 3 && s->place[4] == 36 && s->place[31] == 63,
       "4 rows from the start and 28 from the end stay, each with its token");
    ok(s->n_table == 2 && s->table[1] == before[3] && blocks_refs(b, before[3]) == 2 &&
           n_copied == 16,
       "a block that is kept whole is still shared, the others' rows move together");
    ok(f->n == 64 && is_whole(f) && !memcmp(f->table, before, sizeof before),
       "a fork keeps its rows");
    ok(add(s, tokens + 64, 20) == 0 && s->n == 52 && s->n_tokens == 84 &&
           s->place[51] == 83 && is_whole(s) && is_whole(f),
       "new tokens take the next places in the text");
    sequence_new(&cx, b, 64, 100, &t);
    sequence_free(f);
    ok(sequence_recall(t, tokens, 60) == 48 && is_whole(t),
       "the text is found as long as its blocks are there");
    sequence_truncate(t, 0);
    memmove(tokens + 4, tokens + 36, 48 * sizeof *tokens); /* as the rows of s lie now */
    ok(sequence_recall(t, tokens, 60) == 0, "rows behind a gap are no beginning of a text");
    sequence_truncate(s, 70);
    ok(s->n == 38 && s->n_tokens == 70 && is_whole(s), "the last tokens can be forgotten");
    sequence_truncate(s, 20);
    ok(s->n == 4 && s->n_tokens == 20 && is_whole(s) && s->n_table == 1,
       "also those whose rows are gone");
    sequence_free(s);
    sequence_free(t);
    ok(blocks_unused(b) == 9 && blocks_are_sound(b), "in the end all blocks are free");
    blocks_free(b);

    count_up(tokens, 100, 100);
    blocks_new(&cx, 4, &b);
    sequence_new(&cx, b, 64, 100, &s);
    add(s, tokens, 64);
    n = ends_of(rows, 64, 3, 40);
    ok(sequence_keep(&cx, s, rows, n, copy, NULL) == 0 && is_whole(s) && s->n == 43 &&
           blocks_are_sound(b),
       "without a free block, rows move within the sequence's own");
    add(s, tokens + 64, 21);
    sequence_fork(&cx, s, &f);
    n = ends_of(rows, 64, 3, 40);
    memcpy(before, s->table, sizeof before);
    ok(sequence_keep(&cx, s, rows, n, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT,
                "43 rows that stay of 64 do not find room to move together: blocks of keys "
                "and values are shared, and 0 of 4 are free") &&
           s->n == 64 && is_whole(s) && !memcmp(s->table, before, sizeof before) &&
           blocks_are_sound(b),
       "shared blocks and none free: a sentence, and all is as before");
    sequence_free(f);
    ok(sequence_extend(&cx, s, tokens, 1, rows, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT, "1 tokens behind 64 do not fit into a context of 64"),
       "a full cache is still full");
    n = ends_of(rows, 64, 0, 16);
    ok(sequence_keep(&cx, s, rows, n, copy, NULL) == 0 &&
           sequence_extend(&cx, s, tokens, 16, rows, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT, "16 tokens behind 85: want a text of 100 at most"),
       "a text has an end, too");
    sequence_free(s);
    blocks_free(b);
    ok(sequence_new(&cx, NULL, 64, 63, &s) < 0 &&
           says(&cx, EVLA_E_RANGE, "a sequence of 63 tokens in 64 rows"),
       "a text shorter than its cache is refused");
}

/* A model's keys depend on all rows that it sees: so does this. */
static int32_t seen(const int32_t *rows, int32_t n, int32_t token, int32_t place)
{
    uint64_t h = mix(((uint64_t)(uint32_t)token << 32) + (uint32_t)place);
    for (int32_t i = 0; i < n; i++)
        h = mix(h ^ (uint32_t)rows[i]);
    return (int32_t)h;
}

/* What a sequence should be: plain lists. */
enum { LONGEST = 96, TEXT = 400 };
typedef struct plain {
    int32_t tokens[TEXT], n_tokens;
    int32_t rows[LONGEST], place[LONGEST], n;
} plain;

static void plain_add(plain *p, const int32_t *tokens, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        p->rows[p->n] = seen(p->rows, p->n, tokens[i], p->n_tokens);
        p->place[p->n++] = p->n_tokens;
        p->tokens[p->n_tokens++] = tokens[i];
    }
}

static void plain_cut(plain *p, int32_t n)
{
    if (n < p->n_tokens) p->n_tokens = n;
    while (p->n && p->place[p->n - 1] >= n)
        p->n--;
}

static void plain_keep(plain *p, const int32_t *rows, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        p->rows[i] = p->rows[rows[i]];
        p->place[i] = p->place[rows[i]];
    }
    p->n = n;
}

static int32_t *row_of(const sequence *s, int32_t i)
{
    return memory + s->table[i / BLOCK_ROWS] * BLOCK_ROWS + i % BLOCK_ROWS;
}

/* Extends, writes and commits, as a decoder does: each row from those before it. */
static int32_t run(sequence *s, const int32_t *tokens, int32_t n)
{
    int32_t slots[ROWS], rows[LONGEST], from = s->n;
    int32_t st = sequence_extend(&cx, s, tokens, n, slots, copy, NULL);
    if (st < 0) return st;
    for (int32_t i = 0; i < s->n; i++)
        rows[i] = i < from ? *row_of(s, i)
                           : (memory[slots[i - from]] =
                                  seen(rows, i, tokens[i - from], s->place[i]));
    sequence_commit(s);
    return 0;
}

static int is_same(const sequence *s, const plain *p)
{
    int same = s->n == p->n && s->n_tokens == p->n_tokens &&
               s->n_table == (s->n + BLOCK_ROWS - 1) / BLOCK_ROWS &&
               !memcmp(s->tokens, p->tokens, (size_t)p->n_tokens * sizeof *p->tokens);
    for (int32_t i = 0; same && i < s->n; i++)
        same = *row_of(s, i) == p->rows[i] && s->place[i] == p->place[i];
    return same;
}

/* Rows that stay: a window, or each by lot. */
static int32_t some_rows(int32_t *rows, int32_t n, uint64_t r)
{
    int32_t k = 0, sinks = (int32_t)(r >> 8 & 31), recent = (int32_t)(r >> 16 & 31);
    if (r % 2 && sinks + recent < n && recent) return ends_of(rows, n, sinks, recent);
    for (int32_t i = 0; i < n; i++)
        if (mix(r + (uint64_t)i / (1 + r % 24)) % 4) rows[k++] = i;
    if (!k) rows[k++] = n - 1;
    return k;
}

/* A long random history of a few sequences; each is compared with what it should hold. */
static void test_history(void)
{
    enum { MANY = 5, STEPS = 20000, FEW = 14 };
    static plain want[MANY];
    blocks *b;
    sequence *all[MANY] = {0};
    int32_t full = 0, recalled = 0, dropped = 0, stuck = 0, bad = 0;
    uint64_t seed = 1;
    blocks_new(&cx, FEW, &b);
    for (int step = 0; step < STEPS && !bad; step++) {
        uint64_t r = mix(seed += MIX_STEP);
        int i = (int)(r % MANY);
        plain *p = &want[i];
        int32_t k = (int32_t)(r >> 8) & 31, tokens[LONGEST];
        if (!all[i]) {
            sequence_new(&cx, b, LONGEST, TEXT, &all[i]);
            /* texts begin alike, so that some are found */
            count_up(tokens, (int32_t)(r >> 16) & 1, LONGEST);
            *p = (plain){0};
            plain_add(p, tokens, sequence_recall(all[i], tokens, LONGEST));
            recalled += p->n;
        } else if ((r >> 20) % 16 == 0) {
            sequence_free(all[i]);
            all[i] = NULL;
        } else if ((r >> 20) % 16 < 3) {
            int32_t cut = p->n_tokens ? (int32_t)((r >> 32) % (uint64_t)p->n_tokens) : 0;
            sequence_truncate(all[i], cut);
            plain_cut(p, cut);
        } else if ((r >> 20) % 16 < 5) {
            int to = (i + 1) % MANY;
            sequence_free(all[to]);
            sequence_fork(&cx, all[i], &all[to]);
            want[to] = *p;
        } else if ((r >> 20) % 16 < 8 && p->n) {
            k = some_rows(tokens, p->n, r >> 24);
            if (sequence_keep(&cx, all[i], tokens, k, copy, NULL) == 0) {
                dropped += p->n - k;
                plain_keep(p, tokens, k);
            } else
                stuck++;
        } else if (k) {
            for (int32_t t = 0; t < k; t++)
                tokens[t] = (r >> 40) % 4 ? p->n_tokens + t : (int32_t)(r >> 44);
            if (run(all[i], tokens, k) == 0)
                plain_add(p, tokens, k);
            else
                full++;
        }
        ctx_clear(&cx);
        bad = !blocks_are_sound(b);
        for (int q = 0; q < MANY && !bad; q++)
            bad = all[q] && !is_same(all[q], &want[q]);
    }
    ok(!bad, "%d random steps: every sequence holds its text and rows, and the books agree",
       STEPS);
    ok(full > 100 && recalled > 100 && dropped > 1000 && stuck > 10,
       "the pool was full %d times, %d tokens were found again, %d rows were dropped, %d "
       "times they could not be",
       full, recalled, dropped, stuck);
    for (int i = 0; i < MANY; i++)
        sequence_free(all[i]);
    ok(blocks_unused(b) == FEW, "in the end all blocks are free");
    blocks_free(b);
}

static void test_memory(void)
{
    blocks *b;
    sequence *s;
    int32_t tokens[64];
    count_up(tokens, 0, 64);
    blocks_new(&cx, BLOCKS, &b);
    sequence_new(&cx, b, 64, 64, &s);
    int64_t before = mem_made;
    for (int i = 0; i < 50; i++) {
        int32_t rows[64];
        add(s, tokens, 40);
        sequence_keep(&cx, s, rows, ends_of(rows, s->n, 2, 9), copy, NULL);
        sequence_truncate(s, 3);
    }
    ok(mem_made == before, "adding, dropping and forgetting allocates nothing");
    sequence_free(s);
    blocks_free(b);
}

int main(void)
{
    registry reg;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    test_pool();
    test_fork();
    test_recall();
    test_keep();
    test_history();
    test_memory();
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
