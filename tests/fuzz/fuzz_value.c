/*
 * fuzz_value.c -- JSON from hostile text: what is read prints, and reads back as the same.
 */
#include "value.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    arena a = arena_growing(4096);
    value v, again, copy;
    size_t at = 0;
    char *text = malloc(n ? n : 1); /* not NUL-terminated: a read behind the end shows */
    if (!text) abort();
    if (n) memcpy(text, data, n);
    int32_t st = value_parse(&a, text, n, &v, &at);
    if (at > n) abort();
    if (st == 0) {
        const char *first = value_print(&a, &v, NULL);
        if (!first) abort();
        if (value_parse(&a, first, strlen(first), &again, NULL) < 0) abort();
        const char *second = value_print(&a, &again, NULL);
        if (!second || strcmp(first, second) != 0) abort();
        if (value_copy(&a, &v, &copy) < 0) abort();
        second = value_print(&a, &copy, NULL);
        if (!second || strcmp(first, second) != 0) abort();
    }
    free(text);
    arena_free(&a);
    return 0;
}
