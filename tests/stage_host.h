/*
 * stage_host.h -- a host for unit tests of stages: what the core lends, without the core.
 *
 * One per thread. fail keeps the first sentence in why until host_clear; log keeps the last
 * lines in log. "f16" is number format 64, "q8_0" 65. Records count themselves in
 * host_records, so leaks show.
 */
#ifndef EVLA_TESTS_STAGE_HOST_H
#define EVLA_TESTS_STAGE_HOST_H
#include "evla/abi.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_F16 = 64, HOST_Q8_0 = 65 };

typedef struct stage_host {
    evla_host h;
    char why[1024];
    char log[4096];
    void **blocks; /* of hold and scratch; both live until host_free */
    int32_t code, n_blocks, max_blocks, is_stopping;
} stage_host;

static atomic_llong host_records;

static inline stage_host *host_of(const evla_host *h) { return h->self; }

static inline int32_t host_fail(const evla_host *h, int32_t code, const char *sentence)
{
    stage_host *s = host_of(h);
    if (!s->code) {
        s->code = code;
        snprintf(s->why, sizeof s->why, "%s", sentence);
    }
    return code;
}

static inline void host_log(const evla_host *h, int32_t level, const char *line)
{
    stage_host *s = host_of(h);
    size_t n = strlen(s->log);
    (void)level;
    if (n + strlen(line) + 2 < sizeof s->log)
        snprintf(s->log + n, sizeof s->log - n, "%s\n", line);
}

static inline void *host_hold(const evla_host *h, uint64_t bytes)
{
    stage_host *s = host_of(h);
    if (s->n_blocks == s->max_blocks) {
        s->max_blocks = s->max_blocks ? s->max_blocks * 2 : 64;
        s->blocks = realloc(s->blocks, (size_t)s->max_blocks * sizeof *s->blocks);
    }
    size_t n = (bytes + 127) & ~(size_t)63;
    void *p = aligned_alloc(64, n);
    if (p) s->blocks[s->n_blocks++] = memset(p, 0, n);
    return p;
}

static inline const void *host_service(const evla_host *h, const char *name)
{
    (void)h, (void)name;
    return NULL;
}

static const struct {
    const char *name;
    int32_t id, bytes, elements; /* of a block */
} host_dtypes[] = {
    {"f32", EVLA_F32, 4, 1},    {"f64", EVLA_F64, 8, 1},   {"i8", EVLA_I8, 1, 1},
    {"i16", EVLA_I16, 2, 1},    {"i32", EVLA_I32, 4, 1},   {"i64", EVLA_I64, 8, 1},
    {"u8", EVLA_U8, 1, 1},      {"u16", EVLA_U16, 2, 1},   {"u32", EVLA_U32, 4, 1},
    {"u64", EVLA_U64, 8, 1},    {"bool", EVLA_BOOL, 1, 1}, {"f16", HOST_F16, 2, 1},
    {"q8_0", HOST_Q8_0, 34, 32}};
enum { HOST_DTYPES = sizeof host_dtypes / sizeof *host_dtypes };

static inline int32_t host_dtype(const evla_host *h, const char *name)
{
    (void)h;
    for (int i = 0; i < HOST_DTYPES; i++)
        if (!strcmp(host_dtypes[i].name, name)) return host_dtypes[i].id;
    return EVLA_NONE;
}

static inline const char *host_dtype_name(const evla_host *h, int32_t id)
{
    (void)h;
    for (int i = 0; i < HOST_DTYPES; i++)
        if (host_dtypes[i].id == id) return host_dtypes[i].name;
    return "none";
}

static inline int64_t host_dtype_bytes(const evla_host *h, int32_t id, int64_t n)
{
    (void)h;
    for (int i = 0; i < HOST_DTYPES; i++)
        if (host_dtypes[i].id == id) {
            int64_t each = host_dtypes[i].elements, bytes;
            if (n % each || __builtin_mul_overflow(n / each, host_dtypes[i].bytes, &bytes))
                return -1;
            return bytes;
        }
    return -1;
}

/* "f32[T,7]": extents are numbers, or names that become -1. */
static inline int32_t host_type_parse(const evla_host *h, const char *text, evla_type *out)
{
    char name[16] = "";
    size_t n = strcspn(text, "[");
    *out = (evla_type){.dtype = EVLA_NONE};
    if (n < sizeof name) memcpy(name, text, n);
    out->dtype = host_dtype(h, name);
    if (!out->dtype) return host_fail(h, EVLA_E_DTYPE, "no such number format");
    for (text += n; *text && *text != ']' && out->rank < 8;) {
        char *end;
        long long x = strtoll(++text, &end, 10);
        out->shape[out->rank++] = end == text ? -1 : x;
        text += strcspn(text, ",]");
    }
    return EVLA_OK;
}

typedef struct host_block {
    evla_record r;
    atomic_int refs;
    void *data;
} host_block;

static inline int32_t host_record_new(const evla_host *h, const evla_field *fields,
                                      int32_t n_fields, const evla_attr *attrs,
                                      int32_t n_attrs, evla_record **out)
{
    host_block *b = calloc(1, sizeof *b);
    evla_field *f = calloc((size_t)n_fields + 1, sizeof *f);
    evla_attr *a = calloc((size_t)n_attrs + 1, sizeof *a);
    int64_t total = 64;
    for (int32_t i = 0; i < n_fields; i++) {
        const evla_tensor *t = &fields[i].value;
        int64_t n = 1;
        for (int32_t k = 0; k < t->rank; k++)
            n *= t->shape[k];
        total += (host_dtype_bytes(h, t->dtype, n) + 63) & ~(int64_t)63;
    }
    b->data = aligned_alloc(64, (size_t)total);
    if (!b->data) return host_fail(h, EVLA_E_NOMEM, "record: no memory");
    char *p = memset(b->data, 0, (size_t)total);
    for (int32_t i = 0; i < n_fields; i++) {
        evla_tensor *t = &f[i].value;
        f[i].name = strdup(fields[i].name);
        *t = fields[i].value;
        t->data[0] = p;
        int64_t step = host_dtype_bytes(h, t->dtype, 1);
        for (int32_t k = t->rank - 1; k >= 0; k--) {
            t->stride[k] = step;
            step *= t->shape[k];
        }
        p += (step + 63) & ~(int64_t)63;
    }
    for (int32_t i = 0; i < n_attrs; i++) {
        a[i] = attrs[i];
        a[i].name = strdup(attrs[i].name);
        a[i].text = attrs[i].text ? strdup(attrs[i].text) : NULL;
    }
    b->r = (evla_record){.size = sizeof b->r,
                         .n_fields = n_fields,
                         .n_attrs = n_attrs,
                         .fields = f,
                         .attrs = a};
    atomic_init(&b->refs, 1);
    atomic_fetch_add(&host_records, 1);
    *out = &b->r;
    return EVLA_OK;
}

static inline void host_record_keep(const evla_host *h, const evla_record *r)
{
    (void)h;
    atomic_fetch_add(&((host_block *)(uintptr_t)r)->refs, 1);
}

static inline void host_record_drop(const evla_host *h, const evla_record *r)
{
    host_block *b = (host_block *)(uintptr_t)r;
    (void)h;
    if (atomic_fetch_sub(&b->refs, 1) != 1) return;
    for (int32_t i = 0; i < r->n_fields; i++)
        free((void *)(uintptr_t)r->fields[i].name);
    for (int32_t i = 0; i < r->n_attrs; i++) {
        free((void *)(uintptr_t)r->attrs[i].name);
        free((void *)(uintptr_t)r->attrs[i].text);
    }
    free((void *)(uintptr_t)r->fields);
    free((void *)(uintptr_t)r->attrs);
    free(b->data);
    free(b);
    atomic_fetch_sub(&host_records, 1);
}

static inline int32_t host_stopping(const evla_host *h) { return host_of(h)->is_stopping; }

static inline const evla_host *host_init(stage_host *s)
{
    *s = (stage_host){.h = {.size = sizeof s->h,
                            .abi = (uint32_t)EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                            .fail = host_fail,
                            .log = host_log,
                            .scratch = host_hold,
                            .hold = host_hold,
                            .service = host_service,
                            .dtype = host_dtype,
                            .dtype_name = host_dtype_name,
                            .dtype_bytes = host_dtype_bytes,
                            .type_parse = host_type_parse,
                            .record_new = host_record_new,
                            .record_keep = host_record_keep,
                            .record_drop = host_record_drop,
                            .stopping = host_stopping}};
    s->h.self = s;
    return &s->h;
}

/* A file in memory that is full after `room` bytes. */
typedef struct host_file {
    evla_sink to; /* first: to is &file.to */
    uint64_t n, room;
    int is_over; /* something was put after a failure */
    uint8_t bytes[1 << 16];
} host_file;

static inline int32_t host_put(const evla_host *h, evla_sink *to, const void *bytes,
                               uint64_t n)
{
    host_file *f = to->self;
    f->is_over |= f->n > f->room;
    if (n > sizeof f->bytes - f->n || n > f->room - f->n) {
        f->n = f->room + 1;
        return host_fail(h, EVLA_E_IO, "the file is full");
    }
    if (n) memcpy(f->bytes + f->n, bytes, n);
    f->n += n;
    return EVLA_OK;
}

static inline evla_sink *host_file_init(host_file *f, uint64_t room)
{
    f->to = (evla_sink){.size = sizeof f->to, .self = f, .put = host_put};
    f->n = 0;
    f->room = room;
    f->is_over = 0;
    return &f->to;
}

static inline void host_clear(stage_host *s)
{
    s->code = 0;
    s->why[0] = s->log[0] = 0;
}

static inline void host_free(stage_host *s)
{
    for (int32_t i = 0; i < s->n_blocks; i++)
        free(s->blocks[i]);
    free(s->blocks);
    s->blocks = NULL;
    s->n_blocks = s->max_blocks = 0;
}

/* An item of build/plugins/<plugin>.so; NULL when there is no such file. */
static inline const evla_item *host_item(const char *plugin, const char *kind,
                                         const char *name)
{
    char path[1024];
    const char *build = getenv("EVLA_BUILD");
    const evla_plugin *(*entry)(void) = NULL;
    snprintf(path, sizeof path, "%s/plugins/%s.so", build ? build : "build", plugin);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = so ? dlsym(so, "evla_plugin_entry") : NULL;
    if (!symbol) return NULL;
    memcpy(&entry, &symbol, sizeof symbol);
    const evla_plugin *p = entry();
    for (uint32_t i = 0; i < p->n_items; i++)
        if (!strcmp(p->items[i].kind, kind) && !strcmp(p->items[i].name, name))
            return &p->items[i];
    return NULL;
}
#endif
