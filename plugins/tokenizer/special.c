/*
 * special.c -- tokens that stand in text under their own name, such as "<|im_start|>".
 */
#include "special.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "unicode.h"

static int by_bytes(const void *a, const void *b, void *of)
{
    const vocab *v = of;
    const evla_text x = v->piece[*(const int32_t *)a], y = v->piece[*(const int32_t *)b];
    const int less = memcmp(x.at, y.at, x.n < y.n ? x.n : y.n);
    if (less || x.n != y.n) return less ? less : x.n < y.n ? -1 : 1;
    return *(const int32_t *)b -
           *(const int32_t *)a; /* the last of the same text first, as in vocab.h */
}

int32_t special_sort(const evla_host *h, mem *m, const vocab *v, uint32_t kinds,
                     special_list *out)
{
    int32_t n = 0;
    for (int32_t id = 0; id < v->n; id++)
        n += v->piece[id].n && (kinds >> (v->kind[id] & PIECE_KIND) & 1);
    int32_t *ids = mem_take(m, (size_t)n, sizeof *ids);
    if (!ids)
        return fail(h, EVLA_E_NOMEM, "%.256s: no memory for %d special tokens", v->source,
                    n);
    *out = (special_list){.ids = ids, .n = n};
    for (int32_t id = 0, i = 0; id < v->n; id++)
        if (v->piece[id].n && (kinds >> (v->kind[id] & PIECE_KIND) & 1)) ids[i++] = id;
    qsort_r(ids, (size_t)n, sizeof *ids, by_bytes, (void *)(uintptr_t)v);
    for (int32_t i = 0; i < n; i++)
        out->first[(uint8_t)v->piece[ids[i]].at[0] + 1]++;
    for (int32_t b = 0; b < 256; b++)
        out->first[b + 1] += out->first[b];
    return EVLA_OK;
}

/* Byte k of the i-th piece; -1 behind its end, so that a piece sorts before those it
 * begins. */
static int byte_of(const special_list *s, const vocab *v, int32_t i, size_t k)
{
    const evla_text p = v->piece[s->ids[i]];
    return k < p.n ? (uint8_t)p.at[k] : -1;
}

/* The first in [low, high) whose byte k is b or more. */
static int32_t lower_bound(const special_list *s, const vocab *v, int32_t low, int32_t high,
                           size_t k, int b)
{
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (byte_of(s, v, middle, k) < b)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest piece that the text begins with; -1: none. */
static int32_t longest(const special_list *s, const vocab *v, const char *text, size_t n)
{
    int32_t found = -1, low = s->first[(uint8_t)text[0]],
            high = s->first[(uint8_t)text[0] + 1];
    for (size_t k = 1; low < high; k++) {
        if (byte_of(s, v, low, k) < 0) found = s->ids[low];
        if (k == n) break;
        const int b = (uint8_t)text[k];
        low = lower_bound(s, v, low, high, k, b);
        high = lower_bound(s, v, low, high, k, b + 1);
    }
    return found;
}

static size_t space_before(const char *text, size_t from, size_t at)
{
    while (at > from) {
        uint32_t code;
        size_t back = 1;
        while (back < 4 && at - back > from && ((uint8_t)text[at - back] & 0xc0) == 0x80)
            back++;
        if (utf8_next(text + at - back, back, &code) != back) break;
        if (unicode_class(code) != UNICODE_SPACE) break;
        at -= back;
    }
    return at;
}

static size_t space_behind(const char *text, size_t n, size_t at)
{
    while (at < n) {
        uint32_t code;
        const size_t step = utf8_next(text + at, n - at, &code);
        if (unicode_class(code) != UNICODE_SPACE) break;
        at += step;
    }
    return at;
}

special_hit special_next(const special_list *s, const vocab *v, const char *text, size_t n,
                         size_t at)
{
    for (size_t i = at; s->n && i < n; i++) {
        const uint8_t b = (uint8_t)text[i];
        if (s->first[b] == s->first[b + 1]) continue;
        const int32_t id = longest(s, v, text + i, n - i);
        if (id < 0) continue;
        special_hit hit = {i, i + v->piece[id].n, id};
        if (v->kind[id] & PIECE_LSTRIP) hit.begin = space_before(text, at, hit.begin);
        if (v->kind[id] & PIECE_RSTRIP) hit.end = space_behind(text, n, hit.end);
        return hit;
    }
    return (special_hit){n, n, -1};
}
