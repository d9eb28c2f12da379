/*
 * count_malloc.h -- every allocator that the process could reach, counted. For tests
 * that are linked with these in front of the real ones.
 */
#ifndef EVLA_TESTS_COUNT_MALLOC_H
#define EVLA_TESTS_COUNT_MALLOC_H
#ifndef EVLA_LIBC_MALLOC
#include "mem.h" /* declares what is replaced here */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static atomic_llong counted;               /* by all threads */
static _Thread_local int64_t counted_here; /* by this one */

/* Memory for whoever allocates while the next allocator in line is being looked up. */
static _Alignas(64) char early[1 << 16];
static size_t early_used;

static void *early_push(size_t n)
{
    early_used = (early_used + 63) & ~(size_t)63;
    void *p = early + early_used;
    early_used += n;
    return early_used <= sizeof early ? p : NULL;
}

static int is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

static void *next(const char *name)
{
    static _Thread_local volatile int depth; /* dlsym itself allocates */
    if (depth) return NULL;
    depth++;
    void *found = dlsym(RTLD_NEXT, name);
    depth--;
    return found;
}

/* The function of this name behind us, looked up once. */
#define NEXT(type, name)                                                                   \
    static type *real;                                                                     \
    if (!real) *(void **)&real = next(name);                                               \
    atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);                          \
    counted_here++

typedef void *alloc_1(size_t);
typedef void *alloc_2(size_t, size_t);
typedef void *alloc_again(void *, size_t);
typedef void release(void *);

#define ALLOC_1(name)                                                                      \
    void *name(size_t n)                                                                   \
    {                                                                                      \
        NEXT(alloc_1, #name);                                                              \
        return real ? real(n) : early_push(n);                                             \
    }
#define ALLOC_2(name)                                                                      \
    void *name(size_t a, size_t b)                                                         \
    {                                                                                      \
        NEXT(alloc_2, #name);                                                              \
        return real ? real(a, b) : early_push(a * b);                                      \
    }
#define AGAIN(name)                                                                        \
    void *name(void *p, size_t n)                                                          \
    {                                                                                      \
        NEXT(alloc_again, #name);                                                          \
        return real ? real(p, n) : early_push(n);                                          \
    }
#define RELEASE(name)                                                                      \
    void name(void *p)                                                                     \
    {                                                                                      \
        NEXT(release, #name);                                                              \
        if (real && !is_early(p)) real(p);                                                 \
    }
ALLOC_1(malloc)
ALLOC_2(calloc)
AGAIN(realloc)
RELEASE(free)
ALLOC_2(aligned_alloc)

/* The names core/mem.h uses, on top of those above. */
void *mi_malloc(size_t n) { return malloc(n); }
void *mi_zalloc(size_t n) { return calloc(1, n); }
void *mi_calloc(size_t n, size_t size) { return calloc(n, size); }
void *mi_realloc(void *p, size_t n) { return realloc(p, n); }
void *mi_malloc_aligned(size_t n, size_t align)
{
    return aligned_alloc(align, (n + align - 1) / align * align);
}
void mi_free(void *p) { free(p); }
#endif
#endif
