/*
 * mem.c -- the count of allocations. See mem.h.
 */
#include "mem.h"

_Thread_local int64_t mem_made;

/* The command line's program has a stronger word in this, see malloc.c. */
__attribute__((weak)) int mem_counts_all(void) { return 0; }
