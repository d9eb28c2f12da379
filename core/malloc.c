/*
 * malloc.c -- part of the command line's program only: malloc and its kin for the program
 * and every library in it, counted per thread, so that a loop that promises to allocate
 * nothing can say whether it did.
 *
 * The allocator is the one behind mem.h in any case; free is its own.
 */
#include "mem.h"

#ifndef EVLA_LIBC_MALLOC
#include <stdlib.h>

#define SEEN_BY_ALL __attribute__((visibility("default")))

int mem_counts_all(void) { return 1; }

SEEN_BY_ALL void *malloc(size_t size) { return mem_made++, mi_malloc(size); }
SEEN_BY_ALL void *calloc(size_t n, size_t size) { return mem_made++, mi_calloc(n, size); }
SEEN_BY_ALL void *realloc(void *p, size_t size) { return mem_made++, mi_realloc(p, size); }
SEEN_BY_ALL void *aligned_alloc(size_t align, size_t size)
{
    return mem_made++, mi_malloc_aligned(size, align);
}
SEEN_BY_ALL int posix_memalign(void **out, size_t align, size_t size)
{
    mem_made++;
    return mi_posix_memalign(out, align, size);
}

/* C++'s new and new[], for libraries written in it. */
SEEN_BY_ALL void *new_one(size_t size) __asm__("_Znwm");
SEEN_BY_ALL void *new_many(size_t size) __asm__("_Znam");
void *new_one(size_t size) { return mem_made++, mi_new(size); }
void *new_many(size_t size) { return mem_made++, mi_new(size); }
#endif
