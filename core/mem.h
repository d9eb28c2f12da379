/*
 * mem.h -- the allocator behind the arenas: mimalloc, or libc's under sanitizers, which
 * watch that.
 */
#ifndef EVLA_MEM_H
#define EVLA_MEM_H

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
static inline void *mem_alloc(size_t size) { return mi_zalloc(size); }
static inline void *mem_grow(void *old, size_t size) { return mi_realloc(old, size); }
static inline void mem_free(void *p) { mi_free(p); }
/* Not zeroed. */
static inline void *mem_alloc_aligned(size_t size, size_t align)
{
    return mi_malloc_aligned(size ? size : align, align);
}
#endif
#endif
