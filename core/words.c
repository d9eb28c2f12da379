/*
 * words.c -- blank-separated lists of names. See words.h.
 */
#include "words.h"
#include <string.h>

const char *words_at(const char *list, int32_t i, size_t *n)
{
    for (; list; list += *n, i--) {
        list += strspn(list, " ");
        *n = strcspn(list, " ");
        if (!*n) return NULL;
        if (!i) return list;
    }
    return NULL;
}

int32_t words_find(const char *list, const char *word, size_t n)
{
    size_t k;
    const char *at;
    for (int32_t i = 0; (at = words_at(list, i, &k)); i++)
        if (k == n && !memcmp(at, word, n)) return i;
    return -1;
}

const char *words_copy(arena *a, const char *list, int32_t i)
{
    size_t n;
    const char *at = i < 0 ? NULL : words_at(list, i, &n),
               *copy = at ? arena_copy_n(a, at, n) : NULL;
    return copy ? copy : "?";
}

value words_of(arena *a, const char *list, uint64_t bits)
{
    value v = value_list(a, 64);
    for (int32_t i = 0; v.as.items && i < 64; i++)
        if (bits >> i & 1) v.as.items[v.n_items++] = value_text(words_copy(a, list, i));
    return v;
}
