/*
 * mem.h -- the allocator behind the arenas: mimalloc, or libc's under sanitizers, which
 * watch that.
 */
#ifndef EVLA_MEM_H
#define EVLA_MEM_H
#include <stdint.h>

/* Allocations this thread has made through these functions; in the command line's program
 * through malloc and its kin, too, whoever called them (malloc.c). */
extern _Thread_local int64_t mem_made;
/* 1 when nothing in the process can allocate without being counted. */
int mem_counts_all(void);

#ifdef EVLA_LIBC_MALLOC
#include <stdlib.h>
static inline void *mem_alloc(size_t size) { return calloc(1, size); }
static inline void *mem_grow(void *old, size_t size) { return realloc(old, size); }
static inline void mem_free(void *p) { free(p); }
static inline void *mem_alloc_aligned(size_t size, size_t align)
{
    void *p = NULL;
    return posix_memalign(&p, align, size ? size : align) ? NULL : p;
}
#else
#include <mimalloc.h>
static inline void *mem_alloc(size_t size) { return mem_made++, mi_zalloc(size); }
static inline void *mem_grow(void *old, size_t size)
{
    return mem_made++, mi_realloc(old, size);
}
static inline void mem_free(void *p) { mi_free(p); }
/* Not zeroed. */
static inline void *mem_alloc_aligned(size_t size, size_t align)
{
    return mem_made++, mi_malloc_aligned(size ? size : align, align);
}
#endif

/* For blocks that are read again and again: from 2 MiB on they start at such a page and ask
 * for pages of that size, so that fewer addresses have to be looked up. Not zeroed. */
void *mem_alloc_pages(size_t size, size_t align);
#endif
