/*
 * merge.c -- merges neighbours in a word, best pair first.
 *
 * Symbols form a list, and a heap holds (order, place) of every pair that may merge. A pair
 * that changed since is not looked for in the heap: its entry no longer agrees with the
 * symbol's and is skipped when it comes up. So n symbols take O(n log n), whatever they
 * are. Looking through short words instead was measured, and is no quicker.
 */
#include "encode.h"

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t x = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= x) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t x)
{
    size_t i = (*n)++;
    for (size_t parent; i > 0 && heap[parent = (i - 1) / 2] > x; i = parent)
        heap[i] = heap[parent];
    heap[i] = x;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    const uint64_t x = heap[0];
    heap[0] = heap[--*n];
    if (*n) sift_down(heap, *n, 0);
    return x;
}

static uint64_t key_of(const symbol *s, int32_t i)
{
    return (uint64_t)s[i].pair.order << 32 | (uint32_t)i;
}

static void join(symbol *s, int32_t i)
{
    const int32_t gone = s[i].next;
    s[i].n += s[gone].n;
    s[i].id = s[i].pair.id;
    s[i].next = s[gone].next;
    if (s[i].next >= 0) s[s[i].next].prev = i;
    s[gone].pair.id = VOCAB_NEVER;
}

/* Looks up the pair of symbol i and the next one again. */
static void look(const tokenizer *t, symbol *s, int32_t i, merge_pair_of *pair_of)
{
    s[i].pair = (vocab_pair){UINT32_MAX, VOCAB_NEVER};
    if (s[i].next >= 0) s[i].pair = pair_of(t, &s[i], &s[s[i].next]);
}

vocab_pair merge_by_list(const tokenizer *t, const symbol *left, const symbol *right)
{
    if (left->id < 0 || right->id < 0) return (vocab_pair){UINT32_MAX, VOCAB_NEVER};
    return vocab_pair_of(&t->vocab, left->id, right->id);
}

int32_t merge_symbols(encoding *e, int32_t n, merge_pair_of *pair_of)
{
    symbol *s = e->symbols;
    for (int32_t i = 0; i < n; i++)
        s[i].prev = i - 1, s[i].next = i + 1 < n ? i + 1 : -1;
    for (int32_t i = 0; i < n; i++)
        look(e->t, s, i, pair_of);

    /* Every merge takes one symbol away and offers two pairs. */
    size_t n_heap = 0;
    if (encode_grow(e, &e->heap, &e->heap_room, 3 * (size_t)n, sizeof *e->heap) < 0)
        return EVLA_E_NOMEM;
    for (int32_t i = 0; i < n; i++)
        if (s[i].pair.id >= 0) e->heap[n_heap++] = key_of(s, i);
    for (size_t i = n_heap / 2; i-- > 0;)
        sift_down(e->heap, n_heap, i);
    while (n_heap) {
        const uint64_t key = heap_pop(e->heap, &n_heap);
        const int32_t i = (int32_t)(uint32_t)key;
        if (s[i].pair.id < 0 || key_of(s, i) != key) continue;
        join(s, i);
        look(e->t, s, i, pair_of);
        if (s[i].pair.id >= 0) heap_push(e->heap, &n_heap, key_of(s, i));
        if (s[i].prev < 0) continue;
        look(e->t, s, s[i].prev, pair_of);
        if (s[s[i].prev].pair.id >= 0) heap_push(e->heap, &n_heap, key_of(s, s[i].prev));
    }
    return EVLA_OK;
}
