/*
 * mem.c -- the count of allocations. See mem.h.
 */
#include "mem.h"
#include <sys/mman.h>

_Thread_local int64_t mem_made;

/* The command line's program has a stronger word in this, see malloc.c. */
__attribute__((weak)) int mem_counts_all(void) { return 0; }

void *mem_alloc_pages(size_t size, size_t align)
{
    enum { PAGE = 2 << 20 };
    void *p = mem_alloc_aligned(size, size < PAGE ? align : PAGE);
    if (p && size >= PAGE) madvise(p, size, MADV_HUGEPAGE); /* a wish: it may fail */
    return p;
}
