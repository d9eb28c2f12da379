/*
 * write.c -- writes a GGUF file: head, then data. See write.h.
 */
#include "write.h"
#include "head.h"
#include "types.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32, VERSION = 3, NAME_MOST = 63, KEY_MOST = 65535 };

/* A tensor on its way into the file. */
typedef struct item {
    const char *name;
    const evla_tensor *t;
    const types_tensor *type;
    uint64_t bytes;
} item;

typedef struct writer {
    const evla_host *h;
    item *items; /* by name */
    int64_t n;
    uint8_t *head;
    size_t used, room;
    int is_full; /* memory ran out */
} writer;

__attribute__((format(printf, 3, 4))) static int32_t fail(const writer *w, int32_t code,
                                                          const char *format, ...)
{
    char line[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    return w->h->fail(w->h, code, line);
}

static uint64_t padding(uint64_t n) { return (0 - n) & (ALIGNMENT - 1); }

/* ---- the head, in memory ---- */

static void put(writer *w, const void *bytes, size_t n)
{
    if (n > w->room - w->used) {
        size_t room = 2 * (w->used + n) + 4096;
        uint8_t *wide = realloc(w->head, room);
        if (!wide) {
            w->is_full = 1;
            return;
        }
        w->head = wide;
        w->room = room;
    }
    if (n) memcpy(w->head + w->used, bytes, n);
    w->used += n;
}

static void put_number(writer *w, uint64_t x, int bytes)
{
    uint8_t le[8];
    for (int i = 0; i < bytes; i++)
        le[i] = (uint8_t)(x >> 8 * i);
    put(w, le, (size_t)bytes);
}

static void put_bytes(writer *w, const char *text, uint64_t n)
{
    put_number(w, n, 8);
    put(w, text, (size_t)n);
}

static void put_text(writer *w, const char *text) { put_bytes(w, text, strlen(text)); }

/* ---- names ---- */

static int32_t check_name(const writer *w, const char *name, const char *what, size_t most)
{
    char cut[HEAD_SHOWN];
    size_t n = strlen(name);
    if (head_utf8(name, n) < n)
        return fail(w, EVLA_E_FORMAT, "the name of a %s is no UTF-8", what);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return fail(w, EVLA_E_FORMAT,
                        "the name of a %s holds a control character, 0x%02x", what,
                        (unsigned char)*c);
    if (!n) return fail(w, EVLA_E_FORMAT, "a %s has an empty name", what);
    if (n > most)
        return fail(w, EVLA_E_LIMIT, "%s %s: its name has %zu bytes; at most %zu fit", what,
                    head_shown(name, cut), n, most);
    return EVLA_OK;
}

/* ---- metadata ---- */

/* The type of a value as the file numbers them, TYPES_VALUES when it has none. */
static int value_type(int32_t dtype)
{
    for (int i = 0; i < TYPES_VALUES; i++)
        if (dtype != EVLA_NONE && types_values[i].dtype == dtype) return i;
    return TYPES_VALUES;
}

/* Does an integer come back as itself from so many bytes? */
static int holds(int32_t dtype, int64_t x)
{
    switch (dtype) {
    case EVLA_BOOL:
        return x == 0 || x == 1;
    case EVLA_U8:
        return x >= 0 && x <= UINT8_MAX;
    case EVLA_I8:
        return x >= INT8_MIN && x <= INT8_MAX;
    case EVLA_U16:
        return x >= 0 && x <= UINT16_MAX;
    case EVLA_I16:
        return x >= INT16_MIN && x <= INT16_MAX;
    case EVLA_U32:
        return x >= 0 && x <= UINT32_MAX;
    case EVLA_I32:
        return x >= INT32_MIN && x <= INT32_MAX;
    case EVLA_U64:
        return x >= 0;
    default:
        return dtype == EVLA_I64;
    }
}

static int32_t put_integer(writer *w, const evla_attr *a)
{
    static const int32_t first[] = {EVLA_U32, EVLA_I32, EVLA_U64, EVLA_I64};
    int32_t dtype = a->element;
    for (int i = 0; i < 4 && a->element == EVLA_NONE; i++)
        if (holds(first[i], a->integer)) {
            dtype = first[i];
            break;
        }
    if (!holds(dtype, a->integer))
        return fail(w, EVLA_E_RANGE, "key %.100s: %s cannot hold %" PRId64, a->name,
                    w->h->dtype_name(w->h, dtype), a->integer);
    put_number(w, (uint64_t)value_type(dtype), 4);
    put_number(w, (uint64_t)a->integer, types_values[value_type(dtype)].bytes);
    return EVLA_OK;
}

static int32_t put_real(writer *w, const evla_attr *a)
{
    float f = (float)a->number;
    uint32_t narrow;
    uint64_t wide;
    memcpy(&narrow, &f, sizeof narrow);
    memcpy(&wide, &a->number, sizeof wide);
    int is_wide = a->element == EVLA_F64 || (isinf(f) && !isinf(a->number));
    if (is_wide && a->element == EVLA_F32)
        return fail(w, EVLA_E_RANGE, "key %.100s: f32 cannot hold %g", a->name, a->number);
    put_number(w, (uint64_t)value_type(is_wide ? EVLA_F64 : EVLA_F32), 4);
    put_number(w, is_wide ? wide : narrow, is_wide ? 8 : 4);
    return EVLA_OK;
}

static int32_t put_list(writer *w, const evla_attr *a)
{
    int type = a->type == EVLA_ATTR_TEXTS ? TYPES_TEXT : value_type(a->element);
    const evla_text *t = a->items;
    if (type == TYPES_VALUES)
        return fail(w, EVLA_E_DTYPE, "key %.100s: the format has no lists of %s", a->name,
                    w->h->dtype_name(w->h, a->element));
    put_number(w, TYPES_LIST, 4);
    put_number(w, (uint64_t)type, 4);
    put_number(w, (uint64_t)a->n_items, 8);
    if (type != TYPES_TEXT)
        put(w, a->items, (size_t)a->n_items * (size_t)types_values[type].bytes);
    for (int64_t i = 0; type == TYPES_TEXT && i < a->n_items; i++)
        put_bytes(w, t[i].at, t[i].n);
    return EVLA_OK;
}

static int32_t put_value(writer *w, const evla_attr *a)
{
    const char *text = a->text ? a->text : "";
    switch (a->type) {
    case EVLA_ATTR_INT:
        return put_integer(w, a);
    case EVLA_ATTR_FLOAT:
        return put_real(w, a);
    case EVLA_ATTR_NUMBERS:
    case EVLA_ATTR_TEXTS:
        return put_list(w, a);
    default:
        break;
    }
    if (head_utf8(text, strlen(text)) < strlen(text))
        return fail(w, EVLA_E_FORMAT, "key %.100s: its text is no UTF-8", a->name);
    put_number(w, TYPES_TEXT, 4);
    put_text(w, text);
    return EVLA_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const evla_attr *const *)a)->name,
                  (*(const evla_attr *const *)b)->name);
}

static int32_t check_key(const writer *w, const char *key)
{
    static const char *const own[] = {TYPES_ALIGNMENT, TYPES_PART, TYPES_PARTS,
                                      TYPES_PARTS_TENSORS};
    for (int i = 0; i < 4; i++)
        if (!strcmp(key, own[i]))
            return fail(w, EVLA_E_EXISTS,
                        "the key %s is the file's own, which says how it is laid out", key);
    return check_name(w, key, "key", KEY_MOST);
}

static int32_t put_keys(writer *w, const evla_archive *in)
{
    char cut[HEAD_SHOWN];
    const evla_attr **all = malloc(((size_t)in->n_attrs + 1) * sizeof *all);
    int32_t st = all ? EVLA_OK : fail(w, EVLA_E_NOMEM, "no memory for its keys");
    for (int32_t i = 0; st >= 0 && i < in->n_attrs; i++)
        all[i] = &in->attrs[i];
    if (st >= 0 && in->n_attrs) qsort(all, (size_t)in->n_attrs, sizeof *all, by_key);
    for (int32_t i = 0; st >= 0 && i < in->n_attrs; i++) {
        if (i && !strcmp(all[i - 1]->name, all[i]->name))
            st = fail(w, EVLA_E_EXISTS, "the key %s stands twice",
                      head_shown(all[i]->name, cut));
        if (st >= 0) st = check_key(w, all[i]->name);
        if (st < 0) break;
        put_text(w, all[i]->name);
        st = put_value(w, all[i]);
    }
    free(all);
    return st;
}

/* ---- tensors ---- */

static int32_t set_item(writer *w, const evla_field *f, item *out)
{
    const evla_tensor *t = &f->value;
    const char *name = w->h->dtype_name(w->h, t->dtype);
    char cut[HEAD_SHOWN];
    *out = (item){.name = f->name, .t = t, .type = name ? types_by_name(name) : NULL};
    int32_t st = check_name(w, f->name, "tensor", NAME_MOST);
    if (st < 0) return st;
    if (!out->type)
        return fail(w, EVLA_E_DTYPE,
                    "tensor %s: the format has no type for %.40s; convert it first",
                    f->name, name ? name : "its numbers");
    if (t->rank > HEAD_RANK)
        return fail(w, EVLA_E_SHAPE, "tensor %s: has %d extents; the format has at most %d",
                    f->name, t->rank, HEAD_RANK);
    if ((t->rank ? t->shape[t->rank - 1] : 1) % out->type->elements)
        return fail(w, EVLA_E_SHAPE,
                    "tensor %s: has rows of %" PRId64 "; the format has them in whole "
                    "blocks of %d numbers for %s",
                    head_shown(f->name, cut), t->rank ? t->shape[t->rank - 1] : 1,
                    out->type->elements, out->type->name);
    for (int32_t i = 0; i < t->rank; i++)
        if (!t->shape[i]) return EVLA_OK; /* of nothing, whatever its other extents */
    int64_t step = w->h->dtype_bytes(w->h, t->dtype, out->type->elements), count = 1;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        int64_t blocks = i == t->rank - 1 ? t->shape[i] / out->type->elements : t->shape[i];
        if (blocks > 1 && t->stride[i] != step)
            return fail(w, EVLA_E_SHAPE, "tensor %s: want dense rows",
                        head_shown(f->name, cut));
        step *= blocks;
        count *= t->shape[i];
    }
    out->bytes = (uint64_t)w->h->dtype_bytes(w->h, t->dtype, count);
    return EVLA_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const item *)a)->name, ((const item *)b)->name);
}

static int32_t put_tensors(writer *w)
{
    uint64_t at = 0;
    if (w->n) qsort(w->items, (size_t)w->n, sizeof *w->items, by_name);
    for (int64_t i = 0; i < w->n; i++) {
        const item *x = &w->items[i];
        if (i && !strcmp(w->items[i - 1].name, x->name))
            return fail(w, EVLA_E_EXISTS, "tensor %s: the name stands twice", x->name);
        put_text(w, x->name);
        put_number(w, (uint64_t)x->t->rank, 4);
        for (int32_t k = x->t->rank - 1; k >= 0; k--)
            put_number(w, (uint64_t)x->t->shape[k], 8);
        put_number(w, x->type->id, 4);
        put_number(w, at, 8);
        at += x->bytes + padding(x->bytes);
    }
    return EVLA_OK;
}

static int32_t make_head(writer *w, const evla_archive *in)
{
    static const uint8_t zeros[ALIGNMENT];
    put(w, "GGUF", 4);
    put_number(w, VERSION, 4);
    put_number(w, (uint64_t)w->n, 8);
    put_number(w, (uint64_t)in->n_attrs, 8);
    int32_t st = put_keys(w, in);
    if (st >= 0) st = put_tensors(w);
    put(w, zeros, padding(w->used));
    return st >= 0 && w->is_full ? fail(w, EVLA_E_NOMEM, "no memory for its head") : st;
}

/* ---- the file ---- */

static int32_t put_items(const writer *w, evla_sink *to)
{
    static const uint8_t zeros[ALIGNMENT];
    int32_t st = to->put(w->h, to, w->head, w->used);
    for (int64_t i = 0; st >= 0 && i < w->n; i++) {
        st = to->put(w->h, to, w->items[i].t->data[0], w->items[i].bytes);
        if (st >= 0) st = to->put(w->h, to, zeros, padding(w->items[i].bytes));
    }
    return st;
}

int32_t write_archive(const evla_host *h, const evla_archive *in, evla_sink *to)
{
    writer w = {.h = h, .n = in->n_tensors};
    int32_t st = EVLA_OK;
    w.items = malloc(((size_t)w.n + 1) * sizeof *w.items);
    if (!w.items) st = fail(&w, EVLA_E_NOMEM, "no memory for %" PRId64 " tensors", w.n);
    for (int64_t i = 0; st >= 0 && i < w.n; i++)
        st = set_item(&w, &in->tensors[i], &w.items[i]);
    if (st >= 0) st = make_head(&w, in);
    if (st >= 0) st = put_items(&w, to);
    free(w.items);
    free(w.head);
    return st;
}
