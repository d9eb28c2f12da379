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
    int32_t left, right, id;
} vocab_merge;

typedef struct merge_slot {
    uint32_t tag;
    int32_t next; /* place in the order + 1; 0: free */
} merge_slot;

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
    if (v->n < 1)
        return fail(h, EVLA_E_FORMAT, "%.256s: the vocabulary is empty", v->source);
    v->slots = slots ? mem_take(m, slots, sizeof *v->slots) : NULL;
    if (!v->slots)
        return fail(h, EVLA_E_NOMEM, "%.256s: no memory for %d tokens", v->source, v->n);
    v->slot_mask = slots - 1;
    for (int32_t id = 0; id < v->n; id++) {
        const evla_text p = v->piece[id];
        if (p.n > VOCAB_MAX_PIECE)
            return fail(h, EVLA_E_LIMIT,
                        "%.256s: token %d takes %llu bytes; want %d or less", v->source, id,
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

static int32_t find_hashed(const vocab *v, const char *text, size_t n, uint64_t x)
{
    const uint32_t tag = (uint32_t)(x >> 32);
    for (uint32_t i = (uint32_t)x & v->slot_mask; v->slots[i].next;
         i = (i + 1) & v->slot_mask) {
        const evla_text *p = &v->piece[v->slots[i].next - 1];
        if (v->slots[i].tag == tag && p->n == n && !memcmp(p->at, text, n))
            return v->slots[i].next - 1;
    }
    return -1;
}

int32_t vocab_find(const vocab *v, const char *text, size_t n)
{
    return n == 0 || n > v->longest ? -1 : find_hashed(v, text, n, hash_text(text, n));
}

int32_t vocab_merges(const evla_host *h, mem *m, vocab *v, int64_t n)
{
    const uint32_t slots = slots_for(n);
    v->merges = mem_take(m, (size_t)n, sizeof *v->merges);
    v->merge_slots = slots ? mem_take(m, slots, sizeof *v->merge_slots) : NULL;
    if (!v->merges || !v->merge_slots)
        return fail(h, EVLA_E_NOMEM, "%.256s: no memory for %lld merges", v->source,
                    (long long)n);
    v->merge_mask = slots - 1;
    return EVLA_OK;
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
    return mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
}

/* The slot of a pair, or the free one where it belongs. */
static merge_slot *find_pair(const vocab *v, int32_t left, int32_t right, uint32_t *tag)
{
    const uint64_t x = hash_pair(left, right);
    uint32_t i = (uint32_t)x & v->merge_mask;
    *tag = (uint32_t)(x >> 32);
    for (; v->merge_slots[i].next; i = (i + 1) & v->merge_mask) {
        const vocab_merge *other = &v->merges[v->merge_slots[i].next - 1];
        if (v->merge_slots[i].tag == *tag && other->left == left && other->right == right)
            break;
    }
    return &v->merge_slots[i];
}

static int is_joined(const vocab *v, int32_t id, evla_text left, evla_text right)
{
    const evla_text p = v->piece[id];
    return p.n == left.n + right.n && !memcmp(p.at, left.at, left.n) &&
           !memcmp(p.at + left.n, right.at, right.n);
}

/* What two pieces make. Files list merges in the order of the tokens that they make, so it
 * is mostly the token that the last merge made, or the one behind it. */
static int32_t find_joined(const vocab *v, evla_text left, evla_text right)
{
    char both[2 * VOCAB_MAX_PIECE];
    const int32_t last = v->n_merges > 0 ? v->merges[v->n_merges - 1].id : -1;
    if (last >= 0 && is_joined(v, last, left, right)) return last;
    if (last >= 0 && last + 1 < v->n && is_joined(v, last + 1, left, right))
        return last + 1;
    memcpy(both, left.at, left.n);
    memcpy(both + left.n, right.at, right.n);
    return vocab_find(v, both, left.n + right.n);
}

/* Finds pieces n at a time. The tables are larger than near caches, and one look-up after
 * the other would wait for memory three times; so each step is asked for in all before the
 * first needs it. */
static void find_all(const vocab *v, const evla_text *text, int32_t n, int32_t *ids)
{
    uint64_t x[2 * VOCAB_BATCH];
    for (int32_t i = 0; i < n; i++) {
        x[i] = hash_text(text[i].at, text[i].n);
        __builtin_prefetch(&v->slots[(uint32_t)x[i] & v->slot_mask]);
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t next = v->slots[(uint32_t)x[i] & v->slot_mask].next;
        __builtin_prefetch(&v->piece[next ? next - 1 : 0]);
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t next = v->slots[(uint32_t)x[i] & v->slot_mask].next;
        __builtin_prefetch(v->piece[next ? next - 1 : 0].at);
    }
    for (int32_t i = 0; i < n; i++)
        ids[i] = text[i].n ? find_hashed(v, text[i].at, text[i].n, x[i]) : -1;
}

int32_t vocab_merges_add(const evla_host *h, vocab *v, const evla_text *parts, int32_t n)
{
    int32_t ids[2 * VOCAB_BATCH];
    find_all(v, parts, 2 * n, ids);
    for (int32_t i = 0; i < n; i++)
        __builtin_prefetch(&v->merge_slots[(uint32_t)hash_pair(ids[2 * i], ids[2 * i + 1]) &
                                           v->merge_mask]);
    for (int32_t i = 0; i < n; i++) {
        const int32_t order = v->n_merges, a = ids[2 * i], b = ids[2 * i + 1];
        const int32_t id =
            a >= 0 && b >= 0 ? find_joined(v, parts[2 * i], parts[2 * i + 1]) : -1;
        uint32_t tag;
        if (id < 0)
            return fail(h, EVLA_E_FORMAT, "%.256s: merge %d: %s no token of the vocabulary",
                        v->source, order,
                        a < 0   ? "its left part is"
                        : b < 0 ? "its right part is"
                                : "what it makes is");
        merge_slot *slot = find_pair(v, a, b, &tag);
        v->merges[v->n_merges++] = (vocab_merge){a, b, id};
        if (!slot->next) *slot = (merge_slot){tag, order + 1};
    }
    return EVLA_OK;
}

vocab_pair vocab_pair_of(const vocab *v, int32_t left, int32_t right)
{
    uint32_t tag;
    const int32_t order = find_pair(v, left, right, &tag)->next - 1;
    if (order < 0) return (vocab_pair){UINT32_MAX, VOCAB_NEVER};
    return (vocab_pair){(uint32_t)order, v->merges[order].id};
}
