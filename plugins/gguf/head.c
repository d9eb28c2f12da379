/*
 * head.c -- reads the head of a GGUF file. See head.h.
 *
 * One pass: each length is compared with what is left before anything is read or allocated,
 * and what a list holds is only stepped over.
 */
#include "head.h"
#include "types.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the shortest key and tensor take in the file. */
enum { KEY_LEAST = 8 + 1 + 4 + 1, TENSOR_LEAST = 8 + 1 + 4 + 4 + 8, POOL = 1 << 14 };

typedef struct reader {
    const evla_host *h;
    const char *path;
    const char *what, *name; /* "key" or "tensor" and its name, for messages; NULL: none */
    const uint8_t *file, *at, *end;
    char *pool; /* where the next text is kept */
    uint64_t pool_left;
    uint64_t alignment;
} reader;

/* ---- refusing ---- */

const char *head_shown(const char *text, char out[HEAD_SHOWN])
{
    size_t n = strlen(text), most = HEAD_SHOWN - 4;
    int cut = n > most;
    if (cut) n = (size_t)head_utf8(text, most);
    snprintf(out, HEAD_SHOWN, "%.*s%s", (int)n, text, cut ? "..." : "");
    return out;
}

__attribute__((format(printf, 3, 4))) static int32_t fail(const reader *r, int32_t code,
                                                          const char *format, ...)
{
    char what[400], line[900], name[HEAD_SHOWN];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    if (r->name)
        snprintf(line, sizeof line, "%.256s: %s %s: %s", r->path, r->what,
                 head_shown(r->name, name), what);
    else
        snprintf(line, sizeof line, "%.256s: %s", r->path, what);
    return r->h->fail(r->h, code, line);
}

#define BAD(...) fail(r, EVLA_E_FORMAT, __VA_ARGS__)

static long long place(const reader *r) { return r->at - r->file; }
static uint64_t left(const reader *r) { return (uint64_t)(r->end - r->at); }

static int32_t cut_off(const reader *r, const char *inside)
{
    return BAD("the file ends inside %s, which starts at byte %lld; was it cut off?",
               inside, place(r));
}

static void *hold(const reader *r, uint64_t n, uint64_t size)
{
    return r->h->hold(r->h, (n + 1) * size); /* n is bounded by a HEAD_ limit */
}

/* ---- numbers and texts ---- */

static uint64_t load(const uint8_t *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

static int32_t read_number(reader *r, int bytes, const char *what, uint64_t *out)
{
    *out = 0;
    if (left(r) < (uint64_t)bytes) return cut_off(r, what);
    *out = load(r->at, bytes);
    r->at += bytes;
    return EVLA_OK;
}

uint64_t head_utf8(const void *text, uint64_t n)
{
    const uint8_t *s = text;
    uint64_t i = 0;
    while (i < n) {
        uint8_t c = s[i];
        uint64_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || more >= n - i) break;
        uint32_t u = more ? c & (0x3fu >> more) : c;
        for (uint64_t k = 1; k <= more; k++) {
            if ((s[i + k] & 0xc0) != 0x80) return i;
            u = u << 6 | (s[i + k] & 0x3fu);
        }
        /* no overlong form, no surrogate, nothing above U+10FFFF */
        if ((more == 2 && u < 0x800) || (more == 3 && u < 0x10000) || u > 0x10ffff ||
            (u >= 0xd800 && u < 0xe000))
            break;
        i += more + 1;
    }
    return i;
}

/* A text where it lies. */
static int32_t find_text(reader *r, const char *what, evla_text *out)
{
    uint64_t n;
    *out = (evla_text){0};
    int32_t st = read_number(r, 8, what, &n);
    if (st < 0) return st;
    if (n > left(r))
        return BAD("%s at byte %lld claims %llu bytes, and %llu follow; was it cut off?",
                   what, place(r) - 8, (unsigned long long)n, (unsigned long long)left(r));
    *out = (evla_text){(const char *)r->at, n};
    r->at += n;
    return EVLA_OK;
}

/* A text that is kept: UTF-8 with a zero behind it, so none in it. */
static int32_t read_text(reader *r, const char *what, const char **out)
{
    evla_text t;
    int32_t st = find_text(r, what, &t);
    if (st < 0) return st;
    uint64_t fine = head_utf8(t.at, t.n);
    const char *zero = t.n ? memchr(t.at, 0, t.n) : NULL;
    r->at -= t.n; /* where messages point */
    if (fine < t.n)
        return r->at += fine, BAD("byte %lld of the file, 0x%02x, in %s, is no UTF-8",
                                  place(r), *r->at, what);
    if (zero)
        return r->at += zero - t.at,
               BAD("byte %lld of the file, in %s, is a zero", place(r), what);
    r->at += t.n;
    if (r->pool_left <= t.n) {
        r->pool_left = t.n < POOL ? POOL : t.n + 1;
        r->pool = hold(r, r->pool_left, 1);
        if (!r->pool) return EVLA_E_NOMEM;
    }
    *out = memcpy(r->pool, t.at, t.n);
    r->pool[t.n] = 0;
    r->pool += t.n + 1;
    r->pool_left -= t.n + 1;
    return EVLA_OK;
}

/* A name: kept, of at least one character, none a control character. */
static int32_t read_name(reader *r, const char *what, const char **out)
{
    int32_t st = read_text(r, what, out);
    if (st < 0) return st;
    if (!**out) return BAD("%s before byte %lld is empty", what, place(r));
    for (const char *c = *out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return BAD("%s before byte %lld holds a control character, 0x%02x", what,
                       place(r), (unsigned char)*c);
    return EVLA_OK;
}

/* ---- metadata ---- */

static int32_t read_type(reader *r, uint64_t *out)
{
    int32_t st = read_number(r, 4, "the type of its value", out);
    if (st >= 0 && *out >= TYPES_VALUES)
        st = BAD("its value is of type %llu; there are 0 to %d", (unsigned long long)*out,
                 TYPES_VALUES - 1);
    return st;
}

static int32_t read_scalar(reader *r, uint64_t type, evla_attr *a)
{
    const types_value *t = &types_values[type];
    uint64_t x;
    float f;
    int32_t st = read_number(r, t->bytes, "its value", &x);
    if (st < 0) return st;
    a->element = t->dtype;
    if (t->dtype == EVLA_F32 || t->dtype == EVLA_F64) {
        uint32_t bits = (uint32_t)x;
        memcpy(&f, &bits, sizeof f);
        if (t->dtype == EVLA_F64)
            memcpy(&a->number, &x, sizeof x);
        else
            a->number = (double)f;
        return a->type = EVLA_ATTR_FLOAT, EVLA_OK;
    }
    if (t->dtype == EVLA_BOOL && x > 1)
        return BAD("its bool is %llu", (unsigned long long)x);
    if (t->dtype == EVLA_U64 && x > INT64_MAX)
        return fail(r, EVLA_E_RANGE, "its value %llu is above 2^63 - 1",
                    (unsigned long long)x);
    a->integer = t->dtype == EVLA_I8    ? (int8_t)x
                 : t->dtype == EVLA_I16 ? (int16_t)x
                 : t->dtype == EVLA_I32 ? (int32_t)x
                                        : (int64_t)x;
    return a->type = EVLA_ATTR_INT, EVLA_OK;
}

static int32_t read_texts(reader *r, uint64_t n, evla_attr *a)
{
    if (n > left(r) / 8)
        return BAD("claims a list of %llu texts, more than the file has room for",
                   (unsigned long long)n);
    if (n > HEAD_TEXTS)
        return fail(r, EVLA_E_LIMIT, "a list of %llu texts; at most %d are read",
                    (unsigned long long)n, HEAD_TEXTS);
    evla_text *t = hold(r, n, sizeof *t);
    if (!t) return EVLA_E_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        int32_t st = find_text(r, "a text of its list", &t[i]);
        if (st < 0) return st;
    }
    a->items = t;
    a->type = EVLA_ATTR_TEXTS;
    return EVLA_OK;
}

static int32_t read_list(reader *r, evla_attr *a)
{
    uint64_t type, n = 0;
    int32_t st = read_type(r, &type);
    if (st >= 0) st = read_number(r, 8, "the length of its list", &n);
    if (st < 0) return st;
    if (type == TYPES_LIST) return BAD("is a list of lists, which the engine cannot hold");
    a->n_items = (int64_t)n; /* n is found to be small below */
    if (type == TYPES_TEXT) return read_texts(r, n, a);
    const types_value *t = &types_values[type];
    if (n > left(r) / (uint64_t)t->bytes)
        return BAD(
            "claims a list of %llu numbers of %d bytes, and %llu bytes follow; was it cut "
            "off?",
            (unsigned long long)n, t->bytes, (unsigned long long)left(r));
    for (uint64_t i = 0; t->dtype == EVLA_BOOL && i < n; i++)
        if (r->at[i] > 1)
            return BAD("bool %llu of its list is %d", (unsigned long long)i, r->at[i]);
    a->items = r->at;
    a->element = t->dtype;
    a->type = EVLA_ATTR_NUMBERS;
    r->at += n * (uint64_t)t->bytes;
    return EVLA_OK;
}

static int32_t read_value(reader *r, evla_attr *a)
{
    uint64_t type;
    int32_t st = read_type(r, &type);
    if (st < 0) return st;
    if (type == TYPES_LIST) return read_list(r, a);
    if (type != TYPES_TEXT) return read_scalar(r, type, a);
    a->type = EVLA_ATTR_TEXT;
    return read_text(r, "its text", &a->text);
}

/* Takes keys that tell of the file itself; 1 when it was one of them. */
static int32_t consume(reader *r, const evla_attr *a, head *out)
{
    int is_alignment = !strcmp(a->name, TYPES_ALIGNMENT);
    int64_t *slot = !strcmp(a->name, TYPES_PART)            ? &out->part
                    : !strcmp(a->name, TYPES_PARTS)         ? &out->n_parts
                    : !strcmp(a->name, TYPES_PARTS_TENSORS) ? &out->n_tensors_of_all
                                                            : NULL;
    if (!is_alignment && !slot) return 0;
    if (a->type != EVLA_ATTR_INT || a->integer < 0 || a->integer > INT32_MAX)
        return BAD("want an integer from 0 to %d", INT32_MAX);
    if (slot) return *slot = a->integer, 1;
    if (!a->integer || a->integer & (a->integer - 1))
        return BAD("is %lld; want a power of two", (long long)a->integer);
    return r->alignment = (uint64_t)a->integer, 1;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const evla_attr *)a)->name, ((const evla_attr *)b)->name);
}

static int32_t read_keys(reader *r, uint64_t n, head *out)
{
    int32_t st = EVLA_OK, n_all = 0;
    evla_attr *all = hold(r, n, sizeof *all);
    if (!all) return EVLA_E_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        evla_attr *a = &all[n_all++];
        r->name = NULL;
        st = read_name(r, "the name of a key", &a->name);
        if (st < 0) return st;
        r->what = "key", r->name = a->name;
        st = read_value(r, a);
        if (st < 0) return st;
    }
    if (n_all) qsort(all, (size_t)n_all, sizeof *all, by_key);
    out->attrs = all;
    for (int32_t i = 0; i < n_all; i++) {
        r->name = all[i].name;
        /* what was consumed is overwritten, so all[i - 1] may be gone: look ahead */
        if (i + 1 < n_all && !strcmp(all[i].name, all[i + 1].name))
            return BAD("the key stands twice");
        st = consume(r, &all[i], out);
        if (st < 0) return st;
        if (!st) out->attrs[out->n_attrs++] = all[i];
    }
    r->name = NULL;
    return EVLA_OK;
}

/* ---- tensors ---- */

static const char *shape_text(const evla_tensor *t, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "[");
    for (int32_t i = 0; i < t->rank && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s%lld", i ? "," : "",
                              (long long)t->shape[i]);
    if (n < room) snprintf(out + n, room - n, "]");
    return out;
}

static int32_t read_shape(reader *r, evla_tensor *t)
{
    uint64_t rank, extent;
    int32_t st = read_number(r, 4, "the number of its dimensions", &rank);
    if (st < 0) return st;
    if (rank > HEAD_RANK)
        return BAD("has %llu dimensions; the format has at most %d",
                   (unsigned long long)rank, HEAD_RANK);
    t->rank = (int32_t)rank;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if ((st = read_number(r, 8, "its extents", &extent)) < 0) return st;
        if (extent > INT64_MAX)
            return BAD("has an extent of %llu", (unsigned long long)extent);
        t->shape[i] = (int64_t)extent;
    }
    return EVLA_OK;
}

/* Its number format and the bytes that it takes. */
static int32_t read_format(reader *r, evla_tensor *t, int64_t *bytes)
{
    char shape[120];
    uint64_t id;
    int64_t n = 1;
    int32_t st = read_number(r, 4, "its type", &id);
    if (st < 0) return st;
    const types_tensor *type = types_by_id(id);
    if (!type) return BAD("is of type %llu, which is unknown", (unsigned long long)id);
    t->dtype = r->h->dtype(r->h, type->name);
    if (t->dtype == EVLA_NONE)
        return fail(r, EVLA_E_DTYPE,
                    "is in %s, a number format that no loaded plugin brings", type->name);
    if ((t->rank ? t->shape[t->rank - 1] : 1) % type->elements)
        return BAD("%s%s, but %s has blocks of %d numbers in a row", type->name,
                   shape_text(t, shape, sizeof shape), type->name, type->elements);
    for (int32_t i = 0; i < t->rank; i++)
        if (!t->shape[i]) n = 0;
    for (int32_t i = 0; i < t->rank && n; i++)
        if (__builtin_mul_overflow(n, t->shape[i], &n))
            return BAD("%s%s is above 2^63 numbers", type->name,
                       shape_text(t, shape, sizeof shape));
    *bytes = r->h->dtype_bytes(r->h, t->dtype, n);
    if (*bytes < 0)
        return BAD("%s%s is above 2^63 bytes", type->name,
                   shape_text(t, shape, sizeof shape));
    int64_t step = r->h->dtype_bytes(r->h, t->dtype, type->elements);
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        int64_t blocks = i == t->rank - 1 ? t->shape[i] / type->elements : t->shape[i];
        t->stride[i] = step;
        if (__builtin_mul_overflow(step, blocks, &step)) step = 0; /* an empty one */
    }
    return EVLA_OK;
}

/* Where a tensor's bytes lie in the data. */
typedef struct span {
    uint64_t from, to;
    evla_field *tensor;
} span;

static int by_place(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static int32_t read_tensor(reader *r, evla_field *f, span *s)
{
    int64_t bytes = 0;
    uint64_t from = 0;
    r->name = NULL;
    int32_t st = read_name(r, "the name of a tensor", &f->name);
    if (st < 0) return st;
    r->what = "tensor", r->name = f->name;
    st = read_shape(r, &f->value);
    if (st >= 0) st = read_format(r, &f->value, &bytes);
    if (st >= 0) st = read_number(r, 8, "where it lies", &from);
    if (st < 0) return st;
    if (from % r->alignment)
        return BAD("its data starts at byte %llu of the data, no multiple of %llu",
                   (unsigned long long)from, (unsigned long long)r->alignment);
    if (from > INT64_MAX) /* so that from + bytes cannot overflow */
        return BAD("its data starts at byte %llu of the data", (unsigned long long)from);
    *s = (span){from, from + (uint64_t)bytes, f};
    return EVLA_OK;
}

/* Tensors get their data, which fills the rest of the file. */
static int32_t place_tensors(reader *r, span *all, int64_t n)
{
    uint64_t start = (uint64_t)place(r), pad = (0 - start) & (r->alignment - 1);
    const uint8_t *data = pad < left(r) ? r->at + pad : r->end;
    uint64_t n_data = (uint64_t)(r->end - data), end = 0, padded = 0;
    char cut[HEAD_SHOWN];
    if (n) qsort(all, (size_t)n, sizeof *all, by_place);
    for (int64_t i = 0; i < n; i++) {
        r->name = all[i].tensor->name;
        if (all[i].from < end)
            return BAD("its data starts at byte %llu of the data, inside that of %s, which "
                       "ends at "
                       "%llu",
                       (unsigned long long)all[i].from,
                       head_shown(all[i - 1].tensor->name, cut), (unsigned long long)end);
        if (all[i].from > padded)
            return BAD(
                "its data starts at byte %llu of the data, and the %llu bytes before it "
                "belong to no tensor",
                (unsigned long long)all[i].from, (unsigned long long)(all[i].from - end));
        if (all[i].to > n_data)
            return BAD("its data ends at byte %llu of the data, where the file has %llu; "
                       "was it cut "
                       "off?",
                       (unsigned long long)all[i].to, (unsigned long long)n_data);
        all[i].tensor->value.data[0] = (void *)(uintptr_t)(data + all[i].from);
        end = all[i].to;
        padded = end + ((0 - end) & (r->alignment - 1));
    }
    r->name = NULL;
    if (n_data > padded)
        return BAD("the last %llu bytes belong to no tensor",
                   (unsigned long long)(n_data - end));
    return EVLA_OK;
}

static int32_t read_tensors(reader *r, uint64_t n, head *out)
{
    span *all = r->h->scratch(r->h, (n + 1) * sizeof *all);
    out->tensors = hold(r, n, sizeof *out->tensors);
    if (!all || !out->tensors) return EVLA_E_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        int32_t st = read_tensor(r, &out->tensors[i], &all[i]);
        if (st < 0) return st;
    }
    out->n_tensors = (int64_t)n;
    return place_tensors(r, all, out->n_tensors);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const evla_field *)a)->name, ((const evla_field *)b)->name);
}

int32_t head_sort_tensors(const evla_host *h, const char *path, evla_field *tensors,
                          int64_t n)
{
    const reader r = {.h = h, .path = path};
    char cut[HEAD_SHOWN];
    if (n) qsort(tensors, (size_t)n, sizeof *tensors, by_name);
    for (int64_t i = 1; i < n; i++)
        if (!strcmp(tensors[i - 1].name, tensors[i].name))
            return fail(&r, EVLA_E_FORMAT, "tensor %s: the name stands twice",
                        head_shown(tensors[i].name, cut));
    return EVLA_OK;
}

/* ---- the head as a whole ---- */

static int32_t read_start(reader *r, uint64_t *n_tensors, uint64_t *n_keys)
{
    uint64_t version = 0;
    if (left(r) < 4 || memcmp(r->at, "GGUF", 4) != 0)
        return BAD("is no GGUF file: it does not start with \"GGUF\"");
    r->at += 4;
    int32_t st = read_number(r, 4, "its version", &version);
    if (st < 0) return st;
    if (version && !(version & 0xffff))
        return BAD("is big-endian; only little-endian files are read");
    if (version != 2 && version != 3)
        return BAD("is of version %llu; versions 2 and 3 are read%s",
                   (unsigned long long)version,
                   version == 1 ? "; convert it again with newer tools" : "");
    st = read_number(r, 8, "the number of its tensors", n_tensors);
    if (st >= 0) st = read_number(r, 8, "the number of its keys", n_keys);
    return st;
}

static int32_t check_count(const reader *r, uint64_t n, int least, int most,
                           const char *what)
{
    if (n > left(r) / (uint64_t)least)
        return BAD("claims %llu %s, more than its %llu bytes have room for",
                   (unsigned long long)n, what, (unsigned long long)(r->end - r->file));
    if (n > (uint64_t)most)
        return fail(r, EVLA_E_LIMIT, "has %llu %s; at most %d are read",
                    (unsigned long long)n, what, most);
    return EVLA_OK;
}

int32_t head_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                  head *out)
{
    reader reading = {.h = h, .path = path, .file = file, .alignment = 32}, *r = &reading;
    uint64_t n_tensors = 0, n_keys = 0;
    *out = (head){.n_tensors_of_all = -1};
    r->at = r->file;
    r->end = r->file + n;
    int32_t st = read_start(r, &n_tensors, &n_keys);
    if (st >= 0) st = check_count(r, n_keys, KEY_LEAST, HEAD_KEYS, "keys");
    if (st >= 0) st = check_count(r, n_tensors, TENSOR_LEAST, HEAD_TENSORS, "tensors");
    if (st >= 0) st = read_keys(r, n_keys, out);
    if (st >= 0) st = check_count(r, n_tensors, TENSOR_LEAST, HEAD_TENSORS, "tensors");
    if (st >= 0) st = read_tensors(r, n_tensors, out);
    return st;
}
