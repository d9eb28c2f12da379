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

/* Not every libc declares these. */
SEEN_BY_ALL void *memalign(size_t align, size_t size);
SEEN_BY_ALL void *valloc(size_t size);
SEEN_BY_ALL void *pvalloc(size_t size);
SEEN_BY_ALL void *reallocarray(void *p, size_t n, size_t size);
void *memalign(size_t align, size_t size) { return mem_made++, mi_memalign(align, size); }
void *valloc(size_t size) { return mem_made++, mi_valloc(size); }
void *pvalloc(size_t size) { return mem_made++, mi_pvalloc(size); }
void *reallocarray(void *p, size_t n, size_t size)
{
    return mem_made++, mi_reallocarray(p, n, size);
}

/* C++'s new and new[] in all their forms, for libraries written in it. */
#define NEW(name, symbol, params, call)                                                    \
    SEEN_BY_ALL void *name params __asm__(symbol);                                         \
    void *name params { return mem_made++, call; }
NEW(new_one, "_Znwm", (size_t size), mi_new(size))
NEW(new_many, "_Znam", (size_t size), mi_new(size))
NEW(try_one, "_ZnwmRKSt9nothrow_t", (size_t size, const void *tag),
    ((void)tag, mi_new_nothrow(size)))
NEW(try_many, "_ZnamRKSt9nothrow_t", (size_t size, const void *tag),
    ((void)tag, mi_new_nothrow(size)))
NEW(aligned_one, "_ZnwmSt11align_val_t", (size_t size, size_t align),
    mi_new_aligned(size, align))
NEW(aligned_many, "_ZnamSt11align_val_t", (size_t size, size_t align),
    mi_new_aligned(size, align))
NEW(try_aligned_one, "_ZnwmSt11align_val_tRKSt9nothrow_t",
    (size_t size, size_t align, const void *tag),
    ((void)tag, mi_new_aligned_nothrow(size, align)))
NEW(try_aligned_many, "_ZnamSt11align_val_tRKSt9nothrow_t",
    (size_t size, size_t align, const void *tag),
    ((void)tag, mi_new_aligned_nothrow(size, align)))
#endif
