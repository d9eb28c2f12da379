/*
 * gguf_attrs.h -- the attributes of a GGUF file, for tests that need a vocabulary. It
 * trusts the file.
 */
#ifndef EVLA_TESTS_GGUF_ATTRS_H
#define EVLA_TESTS_GGUF_ATTRS_H
#include "evla/abi.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gguf_attrs {
    evla_attr *attrs;
    int32_t n;
    char *bytes;
} gguf_attrs;

static inline uint64_t gguf_number(const char **p, size_t n)
{
    uint64_t x = 0;
    memcpy(&x, *p, n);
    *p += n;
    return x;
}

static inline evla_text gguf_text(const char **p)
{
    const uint64_t n = gguf_number(p, 8);
    const evla_text t = {*p, n};
    *p += n;
    return t;
}

static inline char *gguf_copy(evla_text t)
{
    char *s = calloc(1, t.n + 1);
    return t.n ? memcpy(s, t.at, t.n) : s;
}

static inline void gguf_list(const char **p, evla_attr *a)
{
    static const int32_t dtypes[] = {EVLA_U8,  EVLA_I8,  EVLA_U16, EVLA_I16,
                                     EVLA_U32, EVLA_I32, EVLA_F32};
    static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 4};
    const uint64_t type = gguf_number(p, 4), n = gguf_number(p, 8);
    a->n_items = (int64_t)n;
    a->type = type == 8 ? EVLA_ATTR_TEXTS : EVLA_ATTR_NUMBERS;
    if (type == 8) {
        evla_text *t = calloc(n + 1, sizeof *t);
        for (uint64_t i = 0; i < n; i++)
            t[i] = gguf_text(p);
        a->items = t;
    } else {
        a->element = dtypes[type];
        a->items = *p;
        *p += n * bytes[type];
    }
}

static inline void gguf_value(const char **p, evla_attr *a)
{
    static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const uint64_t type = gguf_number(p, 4);
    float f = 0;
    if (type == 8) {
        a->type = EVLA_ATTR_TEXT;
        a->text = gguf_copy(gguf_text(p));
    } else if (type == 9) {
        gguf_list(p, a);
    } else if (type == 6) {
        a->type = EVLA_ATTR_FLOAT;
        memcpy(&f, *p, 4);
        a->number = (double)f;
        *p += 4;
    } else {
        a->type = EVLA_ATTR_INT;
        a->integer = (int64_t)gguf_number(p, bytes[type]);
    }
}

/* 0 when there is no such file. */
static inline int gguf_read(const char *path, gguf_attrs *out)
{
    FILE *f = fopen(path, "rb");
    *out = (gguf_attrs){0};
    if (!f) return 0;
    fseek(f, 0, SEEK_END);
    const size_t size = (size_t)ftell(f);
    rewind(f);
    out->bytes = calloc(1, size + 1);
    if (fread(out->bytes, 1, size, f) != size) abort();
    fclose(f);
    const char *p = out->bytes + 16; /* magic, version, tensors */
    out->n = (int32_t)gguf_number(&p, 8);
    out->attrs = calloc((size_t)out->n + 1, sizeof *out->attrs);
    for (int32_t i = 0; i < out->n; i++) {
        out->attrs[i].name = gguf_copy(gguf_text(&p));
        gguf_value(&p, &out->attrs[i]);
    }
    return 1;
}

static inline void gguf_free(gguf_attrs *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        free((void *)(uintptr_t)g->attrs[i].name);
        free((void *)(uintptr_t)g->attrs[i].text);
        if (g->attrs[i].type == EVLA_ATTR_TEXTS) free((void *)(uintptr_t)g->attrs[i].items);
    }
    free(g->attrs);
    free(g->bytes);
}
#endif
