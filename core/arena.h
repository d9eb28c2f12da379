/*
 * arena.h -- memory by scope: push, mark, reset. Nothing in it is freed singly.
 *
 * A fixed arena works inside one block that its owner gives it. A growing arena chains
 * blocks from the allocator. Both can be told to run out at a given push, for tests.
 */
#ifndef EVLA_ARENA_H
#define EVLA_ARENA_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct arena_block arena_block;

typedef struct arena {
    unsigned char *base;
    size_t used, size;
    arena_block *blocks; /* newest first; NULL in a fixed arena */
    size_t grow;         /* smallest new block; 0: fixed */
    size_t total;        /* bytes held, all blocks */
    int64_t fail_in;     /* pushes left until one fails; 0: never */
} arena;

typedef struct arena_place {
    arena_block *block;
    size_t used;
} arena_place;

enum { ARENA_ALIGN = 16 };

arena arena_growing(size_t first);
/* A growing arena that runs out where `other` would: what a test told that one holds for
 * both. */
arena arena_beside(const arena *other, size_t first);
/* Zeroed memory for n things of a size, or NULL when full or when n * size overflows. */
void *arena_push(arena *a, size_t n, size_t size);
void *arena_push_aligned(arena *a, size_t n, size_t size, size_t align);
char *arena_copy(arena *a, const char *text);
char *arena_copy_n(arena *a, const char *text, size_t n);
__attribute__((format(printf, 2, 3))) char *arena_text(arena *a, const char *format, ...);
char *arena_vtext(arena *a, const char *format, va_list ap);
arena_place arena_mark(const arena *a);
/* Forgets what was pushed after the mark; blocks chained since are given back. */
void arena_reset(arena *a, arena_place mark);
/* Gives all blocks of a growing arena back. */
void arena_free(arena *a);

#endif
