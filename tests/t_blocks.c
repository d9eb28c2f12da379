/*
 * core/run/blocks.c, core/run/sequence.c: who uses which block, forks, copies before
 * writing, and texts that are found again; a long random history against a plain list.
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

static void copy(void *to, int32_t from, int32_t at)
{
    (void)to;
    memcpy(memory + at * BLOCK_ROWS, memory + from * BLOCK_ROWS,
           BLOCK_ROWS * sizeof *memory);
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

/* Its rows hold its tokens. */
static int is_whole(const sequence *s)
{
    for (int32_t i = 0; i < s->n; i++)
        if (memory[s->table[i / BLOCK_ROWS] * BLOCK_ROWS + i % BLOCK_ROWS] != s->tokens[i])
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
    sequence_new(&cx, b, 64, &s);
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
    sequence_new(&cx, b, 64, &s);
    add(s, tokens, 40);
    sequence_free(s);
    sequence_new(&cx, b, 64, &s);
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
    sequence_new(&cx, b, 64, &t);
    ok(sequence_extend(&cx, t, tokens, 1, slots, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT,
                "1 tokens need 1 blocks of keys and values, 0 of 4 are free") &&
           t->n == 0,
       "an exhausted pool is a sentence, and the sequence is as before");
    ok(sequence_extend(&cx, s, tokens, 1, slots, copy, NULL) < 0 &&
           says(&cx, EVLA_E_LIMIT, "1 tokens behind 64 do not fit into a context of 64"),
       "so is a full context");
    sequence_free(t);
    sequence_free(s);
    blocks_free(b);
}

/* A long random history of a few sequences; each is compared with what it should hold. */
static void test_history(void)
{
    enum { MANY = 5, LONGEST = 96, STEPS = 20000 };
    blocks *b;
    sequence *all[MANY] = {0};
    int32_t want[MANY][LONGEST], n[MANY] = {0}, full = 0, recalled = 0, bad = 0;
    uint64_t seed = 1;
    blocks_new(&cx, BLOCKS, &b);
    for (int step = 0; step < STEPS && !bad; step++) {
        uint64_t r = mix(seed += MIX_STEP);
        int i = (int)(r % MANY);
        int32_t k = (int32_t)(r >> 8) & 31, tokens[LONGEST];
        if (!all[i]) {
            sequence_new(&cx, b, LONGEST, &all[i]);
            /* texts begin alike, so that some are found */
            count_up(tokens, (int32_t)(r >> 16) & 1, LONGEST);
            n[i] = sequence_recall(all[i], tokens, LONGEST);
            recalled += n[i];
            memcpy(want[i], tokens, sizeof tokens);
        } else if ((r >> 20) % 8 == 0) {
            sequence_free(all[i]);
            all[i] = NULL;
            n[i] = 0;
        } else if ((r >> 20) % 8 == 1) {
            int32_t cut = n[i] ? (int32_t)((r >> 32) % (uint64_t)n[i]) : 0;
            sequence_truncate(all[i], cut);
            if (n[i] > cut) n[i] = cut;
        } else if ((r >> 20) % 8 == 2) {
            int to = (i + 1) % MANY;
            sequence_free(all[to]);
            sequence_fork(&cx, all[i], &all[to]);
            memcpy(want[to], want[i], sizeof want[i]);
            n[to] = n[i];
        } else {
            for (int32_t t = 0; t < k; t++)
                tokens[t] = (r >> 40) % 4 ? n[i] + t : (int32_t)(r >> 44);
            if (k && add(all[i], tokens, k) == 0) {
                memcpy(want[i] + n[i], tokens, (size_t)k * sizeof *tokens);
                n[i] += k;
            } else if (k)
                full++;
        }
        bad = !blocks_are_sound(b);
        for (int q = 0; q < MANY && !bad; q++)
            bad =
                all[q] && (all[q]->n != n[q] || !is_whole(all[q]) ||
                           memcmp(all[q]->tokens, want[q], (size_t)n[q] * sizeof(int32_t)));
    }
    ok(!bad, "%d random steps: every sequence holds its text, and the books agree", STEPS);
    ok(full > 100 && recalled > 100,
       "the pool was full %d times, %d tokens were found again", full, recalled);
    for (int i = 0; i < MANY; i++)
        sequence_free(all[i]);
    ok(blocks_unused(b) == BLOCKS, "in the end all blocks are free");
    blocks_free(b);
}

static void test_memory(void)
{
    blocks *b;
    sequence *s;
    int32_t tokens[64];
    count_up(tokens, 0, 64);
    blocks_new(&cx, BLOCKS, &b);
    sequence_new(&cx, b, 64, &s);
    int64_t before = mem_made;
    for (int i = 0; i < 50; i++) {
        add(s, tokens, 40);
        sequence_truncate(s, 3);
    }
    ok(mem_made == before, "adding and forgetting allocates nothing");
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
    test_history();
    test_memory();
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
