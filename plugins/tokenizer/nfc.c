/*
 * nfc.c -- text as words are cut from it: valid UTF-8 and, where a tokenizer wants it, in
 * NFC.
 *
 * Most text is both already; then nothing is copied. Source: Unicode standard annex 15, the
 * standard's section 3.11.
 */
#include <stdlib.h>

#include "encode.h"
#include "unicode.h"

/* A code point to be ordered: combining class, place, code, highest bits first. */
enum { CODE_BITS = 21, PLACE_BITS = 30 };
static uint32_t code_of(uint64_t key) { return (uint32_t)key & ((1u << CODE_BITS) - 1); }
static int order_of(uint64_t key) { return (int)(key >> (CODE_BITS + PLACE_BITS)); }

static int by_key(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_marks(uint64_t *keys, size_t n)
{
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; order_of(keys[i]) && k < n && order_of(keys[k]);)
            k++;
        if (k - i > 1) qsort(keys + i, k - i, sizeof *keys, by_key);
    }
}

/* In place; returns how many are left. */
static size_t compose(uint64_t *keys, size_t n)
{
    size_t left = 0, starter = SIZE_MAX;
    int last = -1; /* the class of what stands behind the starter; -1: nothing does */
    for (size_t i = 0; i < n; i++) {
        const int order = order_of(keys[i]);
        if (starter != SIZE_MAX && last < order) {
            const uint32_t whole =
                unicode_compose(code_of(keys[starter]), code_of(keys[i]));
            if (whole) {
                keys[starter] = whole;
                continue;
            }
        }
        last = order ? order : -1;
        if (!order) starter = left;
        keys[left++] = keys[i];
    }
    return left;
}

/* The characters of [at, end) in NFC, behind the *n_out bytes of e->text. */
static int32_t put_composed(encoding *e, const char *text, size_t at, size_t end,
                            size_t *n_out)
{
    size_t n = 0;
    while (at < end) {
        uint32_t code, parts[UNICODE_MOST_PARTS];
        at += utf8_next(text + at, end - at, &code);
        const size_t k = unicode_decompose(code, parts);
        if (encode_grow(e, &e->heap, &e->heap_room, n + k, sizeof *e->heap) < 0)
            return EVLA_E_NOMEM;
        for (size_t i = 0; i < k; i++, n++)
            e->heap[n] = (uint64_t)unicode_order(parts[i]) << (CODE_BITS + PLACE_BITS) |
                         (uint64_t)n << CODE_BITS | parts[i];
    }
    sort_marks(e->heap, n);
    n = compose(e->heap, n);
    if (encode_grow(e, &e->text, &e->text_room, *n_out + 4 * n, 1) < 0) return EVLA_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        *n_out += utf8_put(code_of(e->heap[i]), e->text + *n_out);
    return EVLA_OK;
}

static int is_clean(const tokenizer *t, const char *text, size_t n)
{
    for (size_t at = 0, step; at < n; at += step) {
        uint32_t code;
        step = utf8_next(text + at, n - at, &code);
        if ((code == UTF8_BAD && step == 1) || (t->composes && unicode_is_loose(code)))
            return 0;
    }
    return 1;
}

int32_t nfc_clean(encoding *e, const char **text, size_t *n)
{
    size_t n_out = 0;
    if (is_clean(e->t, *text, *n)) return EVLA_OK;
    for (size_t at = 0, end; at < *n;
         at = end) { /* a character and the loose ones behind it */
        uint32_t code;
        const size_t first = end = at + utf8_next(*text + at, *n - at, &code);
        for (size_t step; e->t->composes && end < *n; end += step) {
            uint32_t next;
            step = utf8_next(*text + end, *n - end, &next);
            if (!unicode_is_loose(next)) break;
        }
        if (end > first || (e->t->composes && unicode_is_loose(code))) {
            if (put_composed(e, *text, at, end, &n_out) < 0) return EVLA_E_NOMEM;
            continue;
        }
        if (encode_grow(e, &e->text, &e->text_room, n_out + 4, 1) < 0) return EVLA_E_NOMEM;
        n_out += utf8_put(code, e->text + n_out);
    }
    *text = e->text, *n = n_out;
    return EVLA_OK;
}
