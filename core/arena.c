/*
 * arena.c -- memory by scope. See arena.h.
 */
#include "arena.h"
#include "mem.h"
#include <stdio.h>
#include <string.h>

struct arena_block {
    arena_block *older;
    size_t size;
    size_t used_before; /* fill of the older block when this one was chained */
    size_t pad;
};

arena arena_growing(size_t first) { return (arena){.grow = first < 1024 ? 1024 : first}; }

arena arena_beside(const arena *other, size_t first)
{
    arena a = arena_growing(first);
    a.fail_in = other->fail_in;
    return a;
}

static int chain(arena *a, size_t need)
{
    size_t size = need > a->grow ? need : a->grow;
    if (size > PTRDIFF_MAX - sizeof(arena_block)) return 0; /* no object is larger */
    arena_block *b = mem_alloc_aligned(sizeof *b + size, 64);
    if (!b) return 0;
    *b = (arena_block){.older = a->blocks, .size = size, .used_before = a->used};
    a->blocks = b;
    a->base = (unsigned char *)(b + 1);
    a->used = 0;
    a->size = size;
    a->total += size;
    return 1;
}

void *arena_push_aligned(arena *a, size_t n, size_t size, size_t align)
{
    if (size && n > (SIZE_MAX - 2 * align) / size) return NULL;
    if (a->fail_in && --a->fail_in == 0) return NULL;
    size_t bytes = n * size;
    for (int tries = 0; tries < 2; tries++) {
        size_t at = a->base ? (size_t)(-(uintptr_t)(a->base + a->used) & (align - 1)) : 0;
        if (a->base && a->size - a->used >= at && a->size - a->used - at >= bytes) {
            unsigned char *p = a->base + a->used + at;
            a->used += at + bytes;
            return memset(p, 0, bytes);
        }
        if (!a->grow || !chain(a, bytes + align)) return NULL;
    }
    return NULL;
}

void *arena_push(arena *a, size_t n, size_t size)
{
    return arena_push_aligned(a, n, size, ARENA_ALIGN);
}

char *arena_copy_n(arena *a, const char *text, size_t n)
{
    char *p = arena_push_aligned(a, n + 1, 1, 1);
    if (p && n) memcpy(p, text, n);
    return p;
}

char *arena_copy(arena *a, const char *text) { return arena_copy_n(a, text, strlen(text)); }

char *arena_vtext(arena *a, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    char *p = n < 0 ? NULL : arena_push_aligned(a, (size_t)n + 1, 1, 1);
    if (p) vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

char *arena_text(arena *a, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *p = arena_vtext(a, format, ap);
    va_end(ap);
    return p;
}

arena_place arena_mark(const arena *a) { return (arena_place){a->blocks, a->used}; }

void arena_reset(arena *a, arena_place mark)
{
    while (a->blocks != mark.block) {
        arena_block *b = a->blocks;
        a->blocks = b->older;
        a->total -= b->size;
        a->base = a->blocks ? (unsigned char *)(a->blocks + 1) : NULL;
        a->size = a->blocks ? a->blocks->size : 0;
        mem_free(b);
    }
    a->used = mark.used;
}

void arena_free(arena *a)
{
    if (a->grow) arena_reset(a, (arena_place){NULL, 0});
}
