/*
 * header.c -- reads the header of a safetensors file. See header.h.
 *
 * A reader of this one shape: it never recurses, so depth is no matter, and everything that
 * the shape has no place for is refused where it stands.
 */
#include "header.h"
#include "json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
const header_dtype header_dtypes[] = {
    {"F32", "f32", 4}, {"F16", "f16", 2}, {"BF16", "bf16", 2}, {"F64", "f64", 8},
    {"I8", "i8", 1}, {"I16", "i16", 2}, {"I32", "i32", 4}, {"I64", "i64", 8},
    {"U8", "u8", 1}, {"U16", "u16", 2}, {"U32", "u32", 4}, {"U64", "u64", 8},
    {"BOOL", "bool", 1}, {"F8_E4M3", "f8_e4m3", 1}, {"F8_E5M2", "f8_e5m2", 1},
};
// clang-format on
const int32_t header_n_dtypes = sizeof header_dtypes / sizeof *header_dtypes;

typedef struct reader {
    json j;
    const uint8_t *data;
    uint64_t n_data;
    int32_t dtypes[16]; /* the engine's ids, by row of header_dtypes */
    int has_metadata;
} reader;

#define BAD(...) json_fail(&r->j, EVLA_E_FORMAT, __VA_ARGS__)

/* ---- the shape of the header ---- */

static int32_t no_memory(const reader *r)
{
    return json_fail(&r->j, EVLA_E_NOMEM, "no memory for its header of %lld bytes",
                     (long long)(r->j.end - r->j.file - 8));
}

static int32_t read_metadata(reader *r, header *out)
{
    if (r->has_metadata++) return BAD("__metadata__ stands twice");
    if (!json_take(&r->j, '{')) return json_wanted(&r->j, "the { of __metadata__");
    if (json_take(&r->j, '}')) return EVLA_OK;
    do {
        int64_t cap = out->cap_attrs;
        evla_attr a = {.type = EVLA_ATTR_TEXT};
        int32_t st = json_text(&r->j, "a key of __metadata__", &a.name);
        if (st >= 0) st = json_name(&r->j, a.name, "the key");
        if (st >= 0 && !json_take(&r->j, ':')) st = json_wanted(&r->j, "a colon");
        if (st >= 0) st = json_text(&r->j, "a text, as all of __metadata__ is", &a.text);
        if (st < 0) return st;
        if (out->n_attrs == INT32_MAX ||
            !json_grow(&out->attrs, out->n_attrs, &cap, sizeof a))
            return no_memory(r);
        out->cap_attrs = (int32_t)cap;
        out->attrs[out->n_attrs++] = a;
    } while (json_take(&r->j, ','));
    return json_take(&r->j, '}') ? EVLA_OK
                                 : json_wanted(&r->j, "a comma or the } of __metadata__");
}

static int32_t read_dtype(reader *r, const header_dtype **out)
{
    const char *name;
    char *text = r->j.text, cut[JSON_SHOWN];
    int32_t st = json_text(&r->j, "the name of a number format", &name);
    if (st >= 0) st = json_name(&r->j, name, "the dtype");
    if (st < 0) return st;
    r->j.text = text; /* not kept */
    for (int32_t i = 0; i < header_n_dtypes; i++)
        if (!strcmp(header_dtypes[i].name, name)) return *out = &header_dtypes[i], EVLA_OK;
    return json_fail(&r->j, EVLA_E_DTYPE,
                     "dtype \"%s\" is unknown; want one of F32, F16, BF16, F64, I8 to I64, "
                     "U8 to U64, BOOL",
                     json_shown(name, cut));
}

static int32_t read_shape(reader *r, evla_tensor *t)
{
    if (!json_take(&r->j, '[')) return json_wanted(&r->j, "the [ of shape");
    if (json_take(&r->j, ']')) return EVLA_OK;
    do {
        if (t->rank == EVLA_MAX_RANK)
            return json_fail(&r->j, EVLA_E_LIMIT, "its shape has more than %d extents",
                             EVLA_MAX_RANK);
        int32_t st = json_number(&r->j, "an extent", &t->shape[t->rank++]);
        if (st < 0) return st;
    } while (json_take(&r->j, ','));
    return json_take(&r->j, ']') ? EVLA_OK
                                 : json_wanted(&r->j, "a comma or the ] of shape");
}

static int32_t read_offsets(reader *r, int64_t *from, int64_t *to)
{
    int32_t st =
        json_take(&r->j, '[') ? EVLA_OK : json_wanted(&r->j, "the [ of data_offsets");
    if (st >= 0) st = json_number(&r->j, "where its data starts", from);
    if (st >= 0 && !json_take(&r->j, ',')) st = json_wanted(&r->j, "a comma");
    if (st >= 0) st = json_number(&r->j, "where its data ends", to);
    if (st >= 0 && !json_take(&r->j, ']')) st = json_wanted(&r->j, "the ] of data_offsets");
    return st;
}

static const char *shape_text(const evla_tensor *t, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "[");
    for (int32_t i = 0; i < t->rank && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s%lld", i ? "," : "",
                              (long long)t->shape[i]);
    if (n < room) snprintf(out + n, room - n, "]");
    return out;
}

/* Bytes of its elements; -1: above 2^63. */
static int64_t size_of(const evla_tensor *t, int64_t each)
{
    for (int32_t i = 0; i < t->rank; i++)
        if (!t->shape[i]) return 0;
    for (int32_t i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(each, t->shape[i], &each)) return -1;
    return each;
}

/* Type and place agree with each other and with the file. */
static int32_t set_tensor(reader *r, const header_dtype *d, evla_tensor *t, int64_t from,
                          int64_t to)
{
    char shape[200];
    int32_t row = (int32_t)(d - header_dtypes);
    int64_t bytes = size_of(t, d->bytes);
    if (from > to)
        return BAD("its data_offsets [%lld,%lld] end before they start", (long long)from,
                   (long long)to);
    if (bytes < 0)
        return BAD("its shape %s is above 2^63 bytes", shape_text(t, shape, sizeof shape));
    if (bytes != to - from)
        return BAD("%s %s takes %lld bytes, its data_offsets [%lld,%lld] hold %lld",
                   d->name, shape_text(t, shape, sizeof shape), (long long)bytes,
                   (long long)from, (long long)to, (long long)(to - from));
    if ((uint64_t)to > r->n_data)
        return BAD("its data ends at byte %lld after the header, where the file has %llu; "
                   "was it cut off?",
                   (long long)to, (unsigned long long)r->n_data);
    if (r->dtypes[row] == EVLA_NONE)
        return json_fail(
            &r->j, EVLA_E_DTYPE,
            "dtype %s needs the number format %s, which no loaded plugin brings", d->name,
            d->ours);
    t->dtype = r->dtypes[row];
    t->data[0] = (void *)(uintptr_t)(r->data + from);
    int64_t step = d->bytes;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        t->stride[i] = step;
        if (__builtin_mul_overflow(step, t->shape[i], &step)) step = 0; /* an empty one */
    }
    return EVLA_OK;
}

static int32_t read_tensor(reader *r, evla_tensor *t)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    const header_dtype *d = NULL;
    int64_t from = 0, to = 0;
    int seen = 0;
    if (!json_take(&r->j, '{')) return json_wanted(&r->j, "the { of a tensor");
    if (!json_take(&r->j, '}')) {
        do {
            const char *key;
            char *text = r->j.text, cut[JSON_SHOWN];
            int32_t st = json_text(&r->j, "dtype, shape or data_offsets", &key);
            if (st >= 0) st = json_name(&r->j, key, "the key");
            if (st < 0) return st;
            r->j.text = text; /* not kept */
            int which = !strcmp(key, "dtype")          ? DTYPE
                        : !strcmp(key, "shape")        ? SHAPE
                        : !strcmp(key, "data_offsets") ? OFFSETS
                                                       : 0;
            if (!which)
                return BAD("it has \"%s\"; want dtype, shape and data_offsets",
                           json_shown(key, cut));
            if (seen & which) return BAD("%s stands twice", key);
            seen |= which;
            if (!json_take(&r->j, ':')) return json_wanted(&r->j, "a colon");
            st = which == DTYPE   ? read_dtype(r, &d)
                 : which == SHAPE ? read_shape(r, t)
                                  : read_offsets(r, &from, &to);
            if (st < 0) return st;
        } while (json_take(&r->j, ','));
        if (!json_take(&r->j, '}'))
            return json_wanted(&r->j, "a comma or the } of a tensor");
    }
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return BAD("it has no %s",
                   seen & DTYPE ? seen & SHAPE ? "data_offsets" : "shape" : "dtype");
    return set_tensor(r, d, t, from, to);
}

static int32_t read_entries(reader *r, header *out)
{
    if (json_take(&r->j, '}')) return EVLA_OK;
    do {
        evla_field f = {0};
        int32_t st = json_text(&r->j, "the name of a tensor", &f.name);
        if (st >= 0) st = json_name(&r->j, f.name, "the name");
        if (st >= 0 && !json_take(&r->j, ':')) st = json_wanted(&r->j, "a colon");
        if (st < 0) return st;
        if (!strcmp(f.name, "__metadata__")) {
            if ((st = read_metadata(r, out)) < 0) return st;
            continue;
        }
        r->j.tensor = f.name;
        if ((st = read_tensor(r, &f.value)) < 0) return st;
        r->j.tensor = NULL;
        if (!json_grow(&out->tensors, out->n_tensors, &out->cap_tensors, sizeof f))
            return no_memory(r);
        out->tensors[out->n_tensors++] = f;
    } while (json_take(&r->j, ','));
    return json_take(&r->j, '}') ? EVLA_OK
                                 : json_wanted(&r->j, "a comma or the } of the header");
}

/* ---- the header as a whole ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const evla_field *)a)->name, ((const evla_field *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const evla_attr *)a)->name, ((const evla_attr *)b)->name);
}

static int64_t bytes_of(const evla_host *h, const evla_tensor *t)
{
    return size_of(t, h->dtype_bytes(h, t->dtype, 1));
}

/* Where a tensor's bytes lie. */
typedef struct span {
    int64_t from, to;
    const char *name;
} span;

static int by_place(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static int32_t check_spans(reader *r, const header *x)
{
    span *all = malloc(((size_t)x->n_tensors + 1) * sizeof *all);
    if (!all) return no_memory(r);
    for (int64_t i = 0; i < x->n_tensors; i++) {
        const evla_tensor *t = &x->tensors[i].value;
        int64_t from = (const uint8_t *)t->data[0] - r->data;
        all[i] = (span){from, from + bytes_of(r->j.h, t), x->tensors[i].name};
    }
    qsort(all, (size_t)x->n_tensors, sizeof *all, by_place);
    int64_t end = 0;
    char cut[JSON_SHOWN];
    int32_t st = EVLA_OK;
    for (int64_t i = 0; st >= 0 && i < x->n_tensors; i++) {
        r->j.tensor = all[i].name;
        if (all[i].from < end)
            st = BAD("its data starts at byte %lld, inside that of %s, which ends at "
                     "%lld",
                     (long long)all[i].from, json_shown(all[i - 1].name, cut),
                     (long long)end);
        else if (all[i].from > end)
            st = BAD("its data starts at byte %lld, and the %lld bytes before it belong to "
                     "no tensor",
                     (long long)all[i].from, (long long)(all[i].from - end));
        end = all[i].to;
    }
    r->j.tensor = NULL;
    if (st >= 0 && (uint64_t)end != r->n_data)
        st = BAD("the last %llu bytes belong to no tensor",
                 (unsigned long long)(r->n_data - (uint64_t)end));
    free(all);
    return st;
}

static int32_t check_names(reader *r, header *x)
{
    char cut[JSON_SHOWN];
    if (x->n_tensors) qsort(x->tensors, (size_t)x->n_tensors, sizeof *x->tensors, by_name);
    if (x->n_attrs) qsort(x->attrs, (size_t)x->n_attrs, sizeof *x->attrs, by_key);
    for (int64_t i = 1; i < x->n_tensors; i++)
        if (!strcmp(x->tensors[i - 1].name, x->tensors[i].name))
            return r->j.tensor = x->tensors[i].name, BAD("the name stands twice");
    for (int32_t i = 1; i < x->n_attrs; i++)
        if (!strcmp(x->attrs[i - 1].name, x->attrs[i].name))
            return BAD("the key %s of __metadata__ stands twice",
                       json_shown(x->attrs[i].name, cut));
    return EVLA_OK;
}

int32_t header_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                    header *out)
{
    reader reading = {.j = {.h = h, .path = path, .file = file, .whole = "its header"}},
           *r = &reading;
    uint64_t n_header = 0;
    *out = (header){0};
    if (n < 8) return BAD("is %llu bytes long, too short for any", (unsigned long long)n);
    for (int i = 7; i >= 0; i--)
        n_header = n_header << 8 | r->j.file[i];
    if (n_header > n - 8)
        return BAD("claims a header of %llu bytes, %llu follow; is it a safetensors file, "
                   "or was it cut off?",
                   (unsigned long long)n_header, (unsigned long long)n - 8);
    if (n_header > HEADER_MOST)
        return json_fail(&r->j, EVLA_E_LIMIT,
                         "claims a header of %llu bytes; want at most %d",
                         (unsigned long long)n_header, HEADER_MOST);
    r->j.at = r->j.file + 8;
    r->j.end = r->data = r->j.at + n_header;
    r->n_data = n - 8 - n_header;
    for (int32_t i = 0; i < header_n_dtypes; i++)
        r->dtypes[i] = h->dtype(h, header_dtypes[i].ours);
    if (!(r->j.text = out->text = malloc((size_t)n_header + 1))) return no_memory(r);
    if (r->j.at == r->j.end || *r->j.at != '{')
        return json_wanted(&r->j, "the { of a header");
    r->j.at++;
    int32_t st = read_entries(r, out);
    if (st < 0) return st;
    json_blanks(&r->j);
    if (r->j.at < r->j.end) return json_wanted(&r->j, "blanks up to the data");
    if ((st = check_names(r, out)) < 0) return st;
    return check_spans(r, out);
}

void header_free(header *x)
{
    free(x->tensors);
    free(x->attrs);
    free(x->text);
    *x = (header){0};
}
