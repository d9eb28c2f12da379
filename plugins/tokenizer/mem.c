/*
 * mem.c -- memory that lives as long as a tokenizer and is given back all at once.
 */
#include "mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct mem_block {
    struct mem_block *before;
    size_t used, size;
    max_align_t data[];
};

enum { ALIGN = sizeof(max_align_t), BLOCK_BYTES = 1 << 16 };

/* calloc, so that a large table comes as fresh pages that nobody zeroes twice. */
static struct mem_block *new_block(mem *m, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    struct mem_block *b = calloc(1, sizeof *b + bytes);
    if (!b) return NULL;
    b->size = bytes;
    b->before = m->last;
    m->last = b;
    return b;
}

void *mem_take(mem *m, size_t n, size_t size)
{
    if (size && n > (SIZE_MAX / 2) / size) return NULL;
    const size_t bytes = (n * size + ALIGN - 1) / ALIGN * ALIGN;
    struct mem_block *b = m->last;
    if (!b || bytes > b->size - b->used) {
        b = new_block(m, bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES);
        if (!b) return NULL;
    }
    void *p = (char *)b->data + b->used;
    b->used += bytes;
    return p;
}

char *mem_text(mem *m, const char *text, size_t n)
{
    char *copy = mem_take(m, n + 1, 1);
    return copy && n ? memcpy(copy, text, n) : copy;
}

void mem_free(mem *m)
{
    while (m->last) {
        struct mem_block *b = m->last;
        m->last = b->before;
        free(b);
    }
}
