/*
 * mem.h -- memory that lives as long as a tokenizer and is given back all at once; see
 * mem.c.
 */
#ifndef EVLA_TOKENIZER_MEM_H
#define EVLA_TOKENIZER_MEM_H
#include <stddef.h>

/* Zero it to start. */
typedef struct mem {
    struct mem_block *last;
} mem;

/* n * size zeroed bytes, aligned for anything; NULL when there are none, or n * size
 * overflows. */
void *mem_take(mem *m, size_t n, size_t size);
/* A copy of n bytes, with a NUL behind them. */
char *mem_text(mem *m, const char *text, size_t n);
void mem_free(mem *m);

#endif
