/*
 * common.c -- memory of one scope, sentences, paths: see common.h.
 */
#include "common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pool_block {
    struct pool_block *before;
    void *raw;       /* what free wants */
    uint8_t pad[48]; /* keeps what follows on 64 bytes */
} pool_block;

void *pool_push(pool *p, uint64_t n, uint64_t size)
{
    if (size && n > (SIZE_MAX - 128) / size) return NULL;
    size_t bytes = (sizeof(pool_block) + n * size + 63) & ~(size_t)63;
    pool_block *b = NULL;
    if (bytes < 1 << 16) {
        b = aligned_alloc(64, bytes);
        if (b) memset(b, 0, bytes), b->raw = b;
    } else { /* fresh pages are zero: calloc knows that, memset does not */
        uint8_t *raw = calloc(1, bytes + 128);
        if (raw) {
            b = (pool_block *)(void *)(raw + 64 + (64 - (uintptr_t)raw % 64) % 64);
            b->raw = raw;
        }
    }
    if (!b) return NULL;
    b->before = p->last;
    p->last = b;
    return b + 1;
}

char *pool_text(pool *p, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : pool_push(p, (uint64_t)n + 1, 1);
    if (!text) return NULL;
    va_start(ap, format);
    vsnprintf(text, (size_t)n + 1, format, ap);
    va_end(ap);
    return text;
}

void pool_free(pool *p)
{
    while (p->last) {
        pool_block *b = p->last;
        p->last = b->before;
        free(b->raw);
    }
}

int32_t say(const evla_host *h, int32_t code, const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    return h->fail(h, code, line);
}

void tell(const evla_host *h, int32_t level, const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    h->log(h, level, line);
}

int32_t say_nomem(const evla_host *h, const char *what)
{
    return say(h, EVLA_E_NOMEM, "hdf5: out of memory for %s", what);
}

bool ends_in(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && !memcmp(text + n - m, tail, m);
}

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

size_t folder_length(const char *path) { return (size_t)(base_name(path) - path); }

int32_t element_bytes(int32_t dtype, int32_t f16)
{
    switch (dtype) {
    case EVLA_I8:
    case EVLA_U8:
    case EVLA_BOOL:
        return 1;
    case EVLA_I16:
    case EVLA_U16:
        return 2;
    case EVLA_F32:
    case EVLA_I32:
    case EVLA_U32:
        return 4;
    case EVLA_F64:
    case EVLA_I64:
    case EVLA_U64:
        return 8;
    default:
        return dtype != EVLA_NONE && dtype == f16 ? 2 : 0;
    }
}

double episode_hash(int64_t id)
{
    /* SplitMix64's finaliser (Steele et al. 2014) */
    uint64_t x = (uint64_t)id + 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (double)(x >> 11) * 0x1p-53;
}
