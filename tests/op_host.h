/*
 * op_host.h -- a small host for operators under test: no core, so that a plugin author
 * needs none.
 *
 * It knows C's number formats, those of plugins that it was told of, and the size of f16
 * and bf16 without any; keeps the first sentence of a failure, and fills parameter structs
 * from text by the item's own table.
 */
#ifndef EVLA_TESTS_OP_HOST_H
#define EVLA_TESTS_OP_HOST_H
#include "evla/ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OP_HOST_SCRATCH = 1 << 20, OP_HOST_FORMATS = 64 };

/* Zeroed before op_host_init. */
typedef struct op_host {
    evla_host table;
    const evla_item *formats[OP_HOST_FORMATS]; /* of plugins; the id is FIRST + 2 + index */
    int n_formats;
    char why[1024]; /* the first sentence, "" when nothing failed */
    size_t used;
    _Alignas(64) unsigned char scratch[OP_HOST_SCRATCH];
} op_host;

static const struct {
    const char *name;
    int32_t id, bytes;
} op_host_dtypes[] = {
    {"f32", EVLA_F32, 4},
    {"f64", EVLA_F64, 8},
    {"i8", EVLA_I8, 1},
    {"i16", EVLA_I16, 2},
    {"i32", EVLA_I32, 4},
    {"i64", EVLA_I64, 8},
    {"u8", EVLA_U8, 1},
    {"u16", EVLA_U16, 2},
    {"u32", EVLA_U32, 4},
    {"u64", EVLA_U64, 8},
    {"bool", EVLA_BOOL, 1},
    {"bf16", EVLA_DTYPE_FIRST, 2},
    {"f16", EVLA_DTYPE_FIRST + 1, 2},
};
enum { OP_HOST_DTYPES = sizeof op_host_dtypes / sizeof *op_host_dtypes };

static int32_t op_host_fail(const evla_host *h, int32_t code, const char *sentence)
{
    op_host *o = h->self;
    if (!*o->why) snprintf(o->why, sizeof o->why, "%s", sentence);
    return code;
}

static void op_host_log(const evla_host *h, int32_t level, const char *line)
{
    (void)h, (void)level, (void)line;
}

static void *op_host_scratch(const evla_host *h, uint64_t bytes)
{
    op_host *o = h->self;
    if (bytes > OP_HOST_SCRATCH - o->used) {
        op_host_fail(h, EVLA_E_NOMEM, "test host: scratch is full");
        return NULL;
    }
    void *at = o->scratch + o->used;
    o->used += (bytes + 63) / 64 * 64;
    if (o->used > OP_HOST_SCRATCH) o->used = OP_HOST_SCRATCH;
    return memset(at, 0, bytes);
}

static const void *op_host_service(const evla_host *h, const char *name)
{
    (void)h, (void)name;
    return NULL;
}

/* The plugin's item for a number format, by name; NULL: none. */
static const evla_item *op_host_format(const evla_host *h, const char *name)
{
    const op_host *o = h->self;
    for (int i = 0; name && i < o->n_formats; i++)
        if (!strcmp(o->formats[i]->name, name)) return o->formats[i];
    return NULL;
}

static int32_t op_host_dtype(const evla_host *h, const char *name)
{
    const op_host *o = h->self;
    for (int i = 0; i < OP_HOST_DTYPES; i++)
        if (!strcmp(op_host_dtypes[i].name, name)) return op_host_dtypes[i].id;
    for (int i = 0; i < o->n_formats; i++)
        if (!strcmp(o->formats[i]->name, name)) return EVLA_DTYPE_FIRST + 2 + i;
    return EVLA_NONE;
}

static const char *op_host_dtype_name(const evla_host *h, int32_t dtype)
{
    const op_host *o = h->self;
    int at = dtype - EVLA_DTYPE_FIRST - 2;
    for (int i = 0; i < OP_HOST_DTYPES; i++)
        if (op_host_dtypes[i].id == dtype) return op_host_dtypes[i].name;
    return at >= 0 && at < o->n_formats ? o->formats[at]->name : NULL;
}

static const evla_dtype *op_host_dtype_table(const evla_host *h, int32_t dtype)
{
    const evla_item *item = op_host_format(h, op_host_dtype_name(h, dtype));
    return item ? item->table : NULL;
}

static int64_t op_host_dtype_bytes(const evla_host *h, int32_t dtype, int64_t n)
{
    const evla_dtype *d = op_host_dtype_table(h, dtype);
    int64_t part = d ? n % d->block_elements : 0;
    if (d && part && !d->is_ragged) return -1;
    if (d) return (n / d->block_elements + (part > 0)) * d->block_bytes;
    for (int i = 0; i < OP_HOST_DTYPES; i++)
        if (op_host_dtypes[i].id == dtype) return op_host_dtypes[i].bytes * n;
    return -1;
}

/* Makes a plugin's number formats known. */
static inline void op_host_learn(op_host *o, const evla_plugin *p)
{
    for (uint32_t i = 0; i < p->n_items && o->n_formats < OP_HOST_FORMATS; i++)
        if (!strcmp(p->items[i].kind, EVLA_DTYPE))
            o->formats[o->n_formats++] = &p->items[i];
}

static inline void op_host_init(op_host *o)
{
    *o->why = 0;
    o->used = 0;
    o->table = (evla_host){.size = sizeof o->table,
                           .abi = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                           .self = o,
                           .fail = op_host_fail,
                           .log = op_host_log,
                           .scratch = op_host_scratch,
                           .hold = op_host_scratch,
                           .service = op_host_service,
                           .dtype = op_host_dtype,
                           .dtype_name = op_host_dtype_name,
                           .dtype_bytes = op_host_dtype_bytes,
                           .dtype_table = op_host_dtype_table};
}

/* Of a dense tensor; -1 when its rows end where they may not. */
static int64_t op_host_type_bytes(const evla_host *h, const evla_type *t)
{
    int64_t bytes = op_host_dtype_bytes(h, t->dtype, t->rank ? t->shape[t->rank - 1] : 1);
    for (int32_t i = 0; bytes > 0 && i < t->rank - 1; i++)
        bytes *= t->shape[i];
    return bytes;
}

/* A dense tensor; the innermost stride of a block format is that of one block. */
static inline evla_tensor op_host_view(const evla_host *h, const evla_type *t, void *data)
{
    evla_tensor v = {.dtype = t->dtype, .rank = t->rank, .data = {data}};
    const evla_dtype *d = op_host_dtype_table(h, t->dtype);
    int64_t stride = d ? d->block_bytes : op_host_dtype_bytes(h, t->dtype, 1);
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        v.shape[i] = t->shape[i];
        v.stride[i] = stride;
        stride = i == t->rank - 1 ? op_host_dtype_bytes(h, t->dtype, t->shape[i])
                                  : stride * t->shape[i];
    }
    return v;
}

/* The host that run sees: everything but fail is out of reach. */
static inline evla_host op_host_worker(op_host *o)
{
    return (evla_host){
        .size = sizeof(evla_host), .abi = o->table.abi, .self = o, .fail = op_host_fail};
}

/* "{1, -2}" or "1,-2" into at most max numbers; how many. */
static int op_host_numbers(const char *text, int64_t *out, int max)
{
    int n = 0;
    for (const char *s = text; *s && n < max;) {
        char *end;
        if (*s == '{' || *s == '}' || *s == ',' || *s == ' ') {
            s++;
            continue;
        }
        out[n++] = strtoll(s, &end, 10);
        if (end == s) return -1;
        s = end;
    }
    return n;
}

static int32_t op_host_enum(const char *choices, const char *text)
{
    size_t n = strlen(text);
    int32_t i = 0;
    for (const char *s = choices; s; i++) {
        if (!strncmp(s, text, n) && (s[n] == '|' || !s[n])) return i;
        if ((s = strchr(s, '|'))) s++;
    }
    return -1;
}

/* One parameter from text into its field; 0 when the text cannot be read. */
static inline int op_host_param(op_host *o, const evla_param *p, const char *text,
                                void *params)
{
    void *to = (char *)params + p->offset;
    switch (p->type) {
    case EVLA_P_BOOL:
        *(int32_t *)to = !strcmp(text, "true");
        return 1;
    case EVLA_P_INT:
        *(int64_t *)to = strtoll(text, NULL, 10);
        return 1;
    case EVLA_P_FLOAT:
        *(double *)to = strtod(text, NULL);
        return 1;
    case EVLA_P_ENUM:
        return (*(int32_t *)to = op_host_enum(p->choices, text)) >= 0;
    case EVLA_P_STRING: {
        char *copy = op_host_scratch(&o->table, strlen(text) + 1);
        if (copy) *(const char **)to = strcpy(copy, text);
        return copy != NULL;
    }
    case EVLA_P_SHAPE: {
        evla_shape *s = to;
        return (s->rank = op_host_numbers(text, s->dim, EVLA_MAX_RANK)) >= 0;
    }
    case EVLA_P_LIST: {
        int64_t *items = op_host_scratch(&o->table, 16 * sizeof *items);
        evla_list *l = to;
        if (!items || p->element != EVLA_P_INT) return 0;
        l->items = items;
        return (l->n = op_host_numbers(text, items, 16)) >= 0;
    }
    }
    return 0;
}

/* A zeroed struct with the item's presets; NULL when it has none or a preset cannot be
 * read. */
static inline void *op_host_params(op_host *o, const evla_item *item)
{
    if (!item->params_size) return NULL;
    void *params = op_host_scratch(&o->table, item->params_size);
    for (uint32_t i = 0; params && i < item->n_params; i++)
        if (item->params[i].preset &&
            !op_host_param(o, &item->params[i], item->params[i].preset, params))
            return NULL;
    return params;
}

#endif
