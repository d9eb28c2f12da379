/*
 * record.c -- records in one block. See record.h.
 */
#include "record.h"
#include "../mem.h"
#include <stdatomic.h>
#include <string.h>

typedef struct text_link {
    struct text_link *next;
    char text[];
} text_link;

/* What stands around the public struct. */
typedef struct block {
    atomic_int refs;
    text_link *texts;
    evla_record r;
} block;

static atomic_llong alive;

static block *block_of(const evla_record *r)
{
    return (block *)(uintptr_t)((const char *)r - offsetof(block, r));
}

int32_t record_new(ctx *cx, const evla_field *fields, int32_t n_fields,
                   const evla_attr *attrs, int32_t n_attrs, evla_record **out)
{
    enum { ALIGN = 64 };
    static const int64_t MOST = (int64_t)1 << 46; /* bytes; no sum of it overflows */
    size_t head = sizeof(block) + (size_t)n_fields * sizeof(evla_field) +
                  (size_t)n_attrs * sizeof(evla_attr),
           data = 0;
    for (int32_t i = 0; i < n_fields; i++) {
        const evla_tensor *t = &fields[i].value;
        evla_type type = {.dtype = t->dtype, .rank = t->rank};
        memcpy(type.shape, t->shape, sizeof type.shape);
        if (!fields[i].name)
            return ctx_fail(cx, EVLA_E_ARG, "record field %d of %d has no name", i + 1,
                            n_fields);
        if (type.rank > EVLA_MAX_RANK)
            return ctx_fail(cx, EVLA_E_SHAPE, "record field %.80s: rank %d, want 0 to %d",
                            fields[i].name, t->rank, EVLA_MAX_RANK);
        int64_t bytes = type_bytes(cx->reg, &type);
        if (bytes < 0 || bytes > MOST || (int64_t)data > MOST)
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "record field %.80s: its size %s cannot be held",
                            fields[i].name, type_text(cx->reg, &cx->scratch, &type));
        data += ((size_t)bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
        head += strlen(fields[i].name) + 1;
    }
    for (int32_t i = 0; i < n_attrs; i++) {
        if (attrs[i].type == EVLA_ATTR_NUMBERS || attrs[i].type == EVLA_ATTR_TEXTS)
            return ctx_fail(cx, EVLA_E_ARG,
                            "record attribute %.80s is a list; want a field",
                            attrs[i].name);
        head += strlen(attrs[i].name) + 1 + (attrs[i].text ? strlen(attrs[i].text) + 1 : 0);
    }
    /* The allocator's zeroed pages are not touched until they are written. */
    char *p = mem_alloc(head + data + ALIGN);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "record: %zu bytes", head + data);
    block *b = (block *)(void *)p;
    evla_field *f = (evla_field *)(void *)(b + 1);
    evla_attr *at = (evla_attr *)(void *)(f + n_fields);
    char *text = (char *)(at + n_attrs);
    char *bytes = p + head;
    bytes += -(uintptr_t)bytes & (ALIGN - 1);
    for (int32_t i = 0; i < n_fields; i++) {
        const evla_tensor *t = &fields[i].value;
        evla_type type = {.dtype = t->dtype, .rank = t->rank};
        memcpy(type.shape, t->shape, sizeof type.shape);
        f[i].name = strcpy(text, fields[i].name);
        text += strlen(text) + 1;
        f[i].value = tensor_view(cx->reg, &type, bytes);
        bytes += ((size_t)type_bytes(cx->reg, &type) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    }
    for (int32_t i = 0; i < n_attrs; i++) {
        at[i] = attrs[i];
        at[i].name = strcpy(text, attrs[i].name);
        text += strlen(text) + 1;
        if (!attrs[i].text) continue;
        at[i].text = strcpy(text, attrs[i].text);
        text += strlen(text) + 1;
    }
    atomic_init(&b->refs, 1);
    b->r = (evla_record){.size = sizeof b->r,
                         .n_fields = n_fields,
                         .n_attrs = n_attrs,
                         .fields = f,
                         .attrs = at};
    atomic_fetch_add(&alive, 1);
    *out = &b->r;
    return 0;
}

void record_keep(const evla_record *r)
{
    atomic_fetch_add_explicit(&block_of(r)->refs, 1, memory_order_relaxed);
}

void record_drop(const evla_record *r)
{
    if (!r || atomic_fetch_sub_explicit(&block_of(r)->refs, 1, memory_order_acq_rel) != 1)
        return;
    block *b = block_of(r);
    while (b->texts) {
        text_link *next = b->texts->next;
        mem_free(b->texts);
        b->texts = next;
    }
    mem_free(b);
    atomic_fetch_sub(&alive, 1);
}

void record_trim(evla_record *r, int32_t field, int64_t n)
{
    evla_field *f = (evla_field *)(uintptr_t)&r->fields[field];
    if (f->value.rank && n < f->value.shape[0]) f->value.shape[0] = n;
}

evla_attr *record_attr_slot(evla_record *r, int32_t i)
{
    return (evla_attr *)(uintptr_t)&r->attrs[i];
}

const char *record_text(evla_record *r, const char *text)
{
    size_t n = strlen(text) + 1;
    text_link *t = mem_alloc(sizeof *t + n);
    if (!t) return NULL;
    block *b = block_of(r);
    t->next = b->texts;
    b->texts = t;
    return memcpy(t->text, text, n);
}

const evla_field *record_field(const evla_record *r, const char *name)
{
    for (int32_t i = 0; i < r->n_fields; i++)
        if (!strcmp(r->fields[i].name, name)) return &r->fields[i];
    return NULL;
}

const evla_attr *record_attr(const evla_record *r, const char *name)
{
    for (int32_t i = 0; i < r->n_attrs; i++)
        if (!strcmp(r->attrs[i].name, name)) return &r->attrs[i];
    return NULL;
}

int64_t record_alive(void) { return atomic_load(&alive); }

const evla_schema_field *schema_field(const evla_schema *s, const char *name)
{
    for (int32_t i = 0; s && i < s->n_fields; i++)
        if (!strcmp(s->fields[i].name, name)) return &s->fields[i];
    return NULL;
}

const evla_attr *schema_attr(const evla_schema *s, const char *name)
{
    for (int32_t i = 0; s && i < s->n_attrs; i++)
        if (!strcmp(s->attrs[i].name, name)) return &s->attrs[i];
    return NULL;
}
