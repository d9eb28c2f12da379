/*
 * vocab.c -- the pieces of a vocabulary, found by text, and what two of them merge to.
 *
 * Both tables are open-addressed with linear probing and at most two thirds full. Opening a
 * vocabulary stands before the first token, so nothing is copied and nothing is sorted
 * here.
 */
#include "vocab.h"

#include <string.h>

#include "fail.h"

typedef struct vocab_slot {
    uint32_t tag; /* the upper half of the hash */
    int32_t next; /* id + 1; 0: free */
} vocab_slot;

typedef struct vocab_merge {
    int32_t left, right;
    uint32_t order_next; /* order + 1; 0: free */
    int32_t id;
} vocab_merge;

static const uint64_t odd = 0x9e3779b97f4a7c15; /* 2^64 over the golden ratio */

static uint64_t mix(uint64_t x)
{
    x *= odd;
    return (x ^ x >> 32) * odd;
}

static uint64_t read_up_to_8(const char *p, size_t n)
{
    uint64_t x = 0;
    uint32_t a, b;
    if (n >= 4) {
        memcpy(&a, p, 4), memcpy(&b, p + n - 4, 4);
        return (uint64_t)a << 32 | b;
    }
    for (size_t i = 0; i < n; i++)
        x = x << 8 | (uint8_t)p[i];
    return x;
}

static uint64_t hash_text(const char *p, size_t n)
{
    uint64_t x = n, w;
    for (; n > 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        x = mix(x ^ w);
    }
    return mix(x ^ read_up_to_8(p, n)) ^ n;
}

/* The least power of two with a third left free; 0 when n is out of reach. */
static uint32_t slots_for(int64_t n)
{
    uint32_t slots = 16;
    if (n > INT32_MAX / 2) return 0;
    while ((int64_t)slots * 2 < n * 3)
        slots *= 2;
    return slots;
}

int32_t vocab_index(const evla_host *h, mem *m, vocab *v)
{
    const uint32_t slots = slots_for(v->n);
    if (v->n < 1) return fail(h, EVLA_E_FORMAT, "tokenizer: the vocabulary is empty");
    v->slots = slots ? mem_take(m, slots, sizeof *v->slots) : NULL;
    if (!v->slots) return fail(h, EVLA_E_NOMEM, "tokenizer: no memory for %d tokens", v->n);
    v->slot_mask = slots - 1;
    for (int32_t id = 0; id < v->n; id++) {
        const evla_text p = v->piece[id];
        if (p.n > VOCAB_MAX_PIECE)
            return fail(h, EVLA_E_LIMIT,
                        "tokenizer: token %d takes %llu bytes; want %d or less", id,
                        (unsigned long long)p.n, VOCAB_MAX_PIECE);
        if (p.n == 0) continue;
        if (p.n > v->longest) v->longest = p.n;
        const uint64_t x = hash_text(p.at, p.n);
        const uint32_t tag = (uint32_t)(x >> 32);
        uint32_t i = (uint32_t)x & v->slot_mask;
        for (; v->slots[i].next; i = (i + 1) & v->slot_mask) {
            const evla_text *other = &v->piece[v->slots[i].next - 1];
            if (v->slots[i].tag == tag && other->n == p.n && !memcmp(other->at, p.at, p.n))
                break;
        }
        v->slots[i] = (vocab_slot){tag, id + 1};
    }
    return EVLA_OK;
}

int32_t vocab_find(const vocab *v, const char *text, size_t n)
{
    if (n == 0 || n > v->longest) return -1;
    const uint64_t x = hash_text(text, n);
    const uint32_t tag = (uint32_t)(x >> 32);
    for (uint32_t i = (uint32_t)x & v->slot_mask; v->slots[i].next;
         i = (i + 1) & v->slot_mask) {
        const evla_text *p = &v->piece[v->slots[i].next - 1];
        if (v->slots[i].tag == tag && p->n == n && !memcmp(p->at, text, n))
            return v->slots[i].next - 1;
    }
    return -1;
}

int32_t vocab_merges(const evla_host *h, mem *m, vocab *v, int64_t n)
{
    const uint32_t slots = slots_for(n);
    v->merges = slots ? mem_take(m, slots, sizeof *v->merges) : NULL;
    if (!v->merges)
        return fail(h, EVLA_E_NOMEM, "tokenizer: no memory for %lld merges", (long long)n);
    v->merge_mask = slots - 1;
    return EVLA_OK;
}

static uint32_t merge_place(const vocab *v, int32_t left, int32_t right)
{
    const uint64_t x = mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    uint32_t i = (uint32_t)(x >> 32) & v->merge_mask;
    while (v->merges[i].order_next &&
           (v->merges[i].left != left || v->merges[i].right != right))
        i = (i + 1) & v->merge_mask;
    return i;
}

int32_t vocab_merge_add(const evla_host *h, vocab *v, evla_text left, evla_text right)
{
    char both[2 * VOCAB_MAX_PIECE];
    const int32_t order = v->n_merges++;
    const int32_t a = vocab_find(v, left.at, left.n), b = vocab_find(v, right.at, right.n);
    int32_t id = -1;
    if (a >= 0 && b >= 0) {
        memcpy(both, left.at, left.n);
        memcpy(both + left.n, right.at, right.n);
        id = vocab_find(v, both, left.n + right.n);
    }
    if (id < 0)
        return fail(h, EVLA_E_FORMAT, "tokenizer: merge %d: %s no token of the vocabulary",
                    order,
                    a < 0   ? "its left part is"
                    : b < 0 ? "its right part is"
                            : "what it makes is");
    vocab_merge *slot = &v->merges[merge_place(v, a, b)];
    if (!slot->order_next) *slot = (vocab_merge){a, b, (uint32_t)order + 1, id};
    return EVLA_OK;
}

vocab_pair vocab_pair_of(const vocab *v, int32_t left, int32_t right)
{
    const vocab_merge *slot = &v->merges[merge_place(v, left, right)];
    if (!slot->order_next) return (vocab_pair){UINT32_MAX, VOCAB_NEVER};
    return (vocab_pair){slot->order_next - 1, slot->id};
}
