/*
 * header.c -- reads the header of a safetensors file. See header.h.
 *
 * A reader of this one shape and no other JSON: it never recurses, so depth is no matter,
 * and everything that the shape has no place for is refused where it stands.
 */
#include "header.h"
#include <stdarg.h>
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
    const evla_host *h;
    const char *path;
    const char *tensor; /* the one being read, for messages; NULL: none */
    const uint8_t *file, *at, *end;
    char *text; /* where the next text goes */
    const uint8_t *data;
    uint64_t n_data;
    int32_t dtypes[16]; /* the engine's ids, by row of header_dtypes */
    int has_metadata;
} reader;

/* ---- refusing ---- */

enum { SHOWN = 128 };

/* A name in a message: not too long, and no half of a character at its end. */
static const char *shown(const char *text, char out[SHOWN])
{
    size_t n = strlen(text), most = SHOWN - 4;
    int cut = n > most;
    if (cut) n = (size_t)header_utf8(text, most);
    snprintf(out, SHOWN, "%.*s%s", (int)n, text, cut ? "..." : "");
    return out;
}

__attribute__((format(printf, 3, 4))) static int32_t fail(const reader *r, int32_t code,
                                                          const char *format, ...)
{
    char what[400], line[900], name[SHOWN];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%.256s: %s%s%s%s", r->path, r->tensor ? "tensor " : "",
             r->tensor ? shown(r->tensor, name) : "", r->tensor ? ": " : "", what);
    return r->h->fail(r->h, code, line);
}

#define BAD(...) fail(r, EVLA_E_FORMAT, __VA_ARGS__)

static int64_t place(const reader *r) { return r->at - r->file; }

/* What stands here instead of what was wanted. */
static int32_t wanted(const reader *r, const char *want)
{
    if (r->at >= r->end)
        return BAD("its header ends at byte %lld, where %s was wanted", (long long)place(r),
                   want);
    if (*r->at > ' ' && *r->at < 127)
        return BAD("byte %lld of the file is '%c', want %s", (long long)place(r), *r->at,
                   want);
    return BAD("byte %lld of the file is 0x%02x, want %s", (long long)place(r), *r->at,
               want);
}

/* ---- JSON, as much of it as there is ---- */

static void blanks(reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

/* Skips blanks and the character when it is there. */
static int take(reader *r, char c)
{
    blanks(r);
    if (r->at >= r->end || *r->at != (uint8_t)c) return 0;
    r->at++;
    return 1;
}

uint64_t header_utf8(const void *text, uint64_t n)
{
    const uint8_t *s = text;
    uint64_t i = 0;
    while (i < n) {
        uint8_t c = s[i];
        int more = c < 0x80                ? 0
                   : c >= 0xc2 && c < 0xe0 ? 1
                   : c >= 0xe0 && c < 0xf0 ? 2
                   : c >= 0xf0 && c < 0xf5 ? 3
                                           : -1;
        if (more < 0 || (uint64_t)more >= n - i) break;
        if (more) { /* no overlong form, no surrogate, nothing above U+10FFFF */
            uint8_t low = c == 0xe0   ? 0xa0
                          : c == 0xf0 ? 0x90
                                      : 0x80,
                    high = c == 0xed   ? 0x9f
                           : c == 0xf4 ? 0x8f
                                       : 0xbf;
            if (s[i + 1] < low || s[i + 1] > high) break;
            if (more > 1 && (s[i + 2] & 0xc0) != 0x80) break;
            if (more > 2 && (s[i + 3] & 0xc0) != 0x80) break;
        }
        i += (uint64_t)more + 1;
    }
    return i;
}

static int hex4(reader *r, uint32_t *out)
{
    if (r->end - r->at < 4) return 0;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = *r->at++;
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0) return 0;
        *out = *out << 4 | (uint32_t)v;
    }
    return 1;
}

static void put_utf8(reader *r, uint32_t c)
{
    if (c < 0x80)
        *r->text++ = (char)c;
    else if (c < 0x800) {
        *r->text++ = (char)(0xc0 | c >> 6);
        *r->text++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *r->text++ = (char)(0xe0 | c >> 12);
        *r->text++ = (char)(0x80 | (c >> 6 & 63));
        *r->text++ = (char)(0x80 | (c & 63));
    } else {
        *r->text++ = (char)(0xf0 | c >> 18);
        *r->text++ = (char)(0x80 | (c >> 12 & 63));
        *r->text++ = (char)(0x80 | (c >> 6 & 63));
        *r->text++ = (char)(0x80 | (c & 63));
    }
}

static int32_t read_escape(reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at >= r->end) return wanted(r, "an escape");
    const uint8_t c = *r->at++;
    const char *k = c ? strchr(from, c) : NULL;
    uint32_t u, low;
    if (k) {
        *r->text++ = to[k - from];
        return EVLA_OK;
    }
    if (c != 'u' || !hex4(r, &u))
        return BAD("an escape at byte %lld is none of JSON's", (long long)place(r));
    if (u >= 0xd800 && u < 0xdc00 && r->end - r->at >= 2 && r->at[0] == '\\' &&
        r->at[1] == 'u') {
        r->at += 2;
        if (!hex4(r, &low) || low < 0xdc00 || low > 0xdfff) low = 0;
        u = low ? 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00) : 0xd800;
    }
    if (!u || (u >= 0xd800 && u < 0xe000))
        return BAD("the escape before byte %lld is %s, which no text may hold",
                   (long long)place(r), u ? "half a character" : "a zero");
    put_utf8(r, u);
    return EVLA_OK;
}

/* A text, decoded; it never grows, so the room of the header holds all. */
static int32_t read_text(reader *r, const char *want, const char **out)
{
    if (!take(r, '"')) return wanted(r, want);
    *out = r->text;
    for (;;) {
        const uint8_t *from = r->at;
        while (r->at < r->end && *r->at != '"' && *r->at != '\\' && *r->at >= ' ')
            r->at++;
        uint64_t n = (uint64_t)(r->at - from), fine = header_utf8(from, n);
        if (fine < n) {
            r->at = from + fine;
            return BAD("byte %lld of the file, 0x%02x, is no UTF-8", (long long)place(r),
                       *r->at);
        }
        memcpy(r->text, from, n);
        r->text += n;
        if (r->at >= r->end || *r->at < ' ') return wanted(r, "the end of a text");
        if (*r->at++ == '"') break;
        int32_t st = read_escape(r);
        if (st < 0) return st;
    }
    *r->text++ = 0;
    return EVLA_OK;
}

static int32_t read_number(reader *r, const char *want, int64_t *out)
{
    blanks(r);
    if (r->at >= r->end || *r->at < '0' || *r->at > '9') return wanted(r, want);
    int64_t from = place(r);
    if (*r->at == '0' && r->end - r->at > 1 && r->at[1] >= '0' && r->at[1] <= '9')
        return BAD("the number at byte %lld starts with a zero", (long long)from);
    int64_t x = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (x > (INT64_MAX - (*r->at - '0')) / 10)
            return BAD("the number at byte %lld is above 2^63", (long long)from);
        x = 10 * x + (*r->at - '0');
    }
    if (r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E'))
        return BAD("the number at byte %lld is no integer", (long long)from);
    *out = x;
    return EVLA_OK;
}

/* ---- the shape of the header ---- */

/* Room for one more in a list of things of a size. */
static int grow(void *list, int64_t n, int64_t *cap, size_t each)
{
    if (n < *cap) return 1;
    int64_t wide = *cap ? 2 * *cap : 64;
    void *p = realloc(*(void **)list, (size_t)wide * each);
    if (!p) return 0;
    *(void **)list = p;
    *cap = wide;
    return 1;
}

static int32_t no_memory(const reader *r)
{
    return fail(r, EVLA_E_NOMEM, "no memory for its header of %lld bytes",
                (long long)(r->end - r->file - 8));
}

/* Names end up in tables, paths and messages: they are short lines, not documents. */
static int32_t check_name(reader *r, const char *name, const char *what)
{
    for (const char *c = name; *c; c++)
        if ((uint8_t)*c < ' ' || *c == 127)
            return BAD("%s before byte %lld holds a control character, 0x%02x", what,
                       (long long)place(r), (uint8_t)*c);
    return EVLA_OK;
}

static int32_t read_metadata(reader *r, header *out)
{
    if (r->has_metadata++) return BAD("__metadata__ stands twice");
    if (!take(r, '{')) return wanted(r, "the { of __metadata__");
    if (take(r, '}')) return EVLA_OK;
    do {
        int64_t cap = out->cap_attrs;
        evla_attr a = {.type = EVLA_ATTR_TEXT};
        int32_t st = read_text(r, "a key of __metadata__", &a.name);
        if (st >= 0) st = check_name(r, a.name, "the key");
        if (st >= 0 && !take(r, ':')) st = wanted(r, "a colon");
        if (st >= 0) st = read_text(r, "a text, as all of __metadata__ is", &a.text);
        if (st < 0) return st;
        if (out->n_attrs == INT32_MAX || !grow(&out->attrs, out->n_attrs, &cap, sizeof a))
            return no_memory(r);
        out->cap_attrs = (int32_t)cap;
        out->attrs[out->n_attrs++] = a;
    } while (take(r, ','));
    return take(r, '}') ? EVLA_OK : wanted(r, "a comma or the } of __metadata__");
}

static int32_t read_dtype(reader *r, const header_dtype **out)
{
    const char *name;
    char *text = r->text, cut[SHOWN];
    int32_t st = read_text(r, "the name of a number format", &name);
    if (st >= 0) st = check_name(r, name, "the dtype");
    if (st < 0) return st;
    r->text = text; /* not kept */
    for (int32_t i = 0; i < header_n_dtypes; i++)
        if (!strcmp(header_dtypes[i].name, name)) return *out = &header_dtypes[i], EVLA_OK;
    return fail(r, EVLA_E_DTYPE,
                "dtype \"%s\" is unknown; want one of F32, F16, BF16, F64, I8 to I64, "
                "U8 to U64, BOOL",
                shown(name, cut));
}

static int32_t read_shape(reader *r, evla_tensor *t)
{
    if (!take(r, '[')) return wanted(r, "the [ of shape");
    if (take(r, ']')) return EVLA_OK;
    do {
        if (t->rank == EVLA_MAX_RANK)
            return fail(r, EVLA_E_LIMIT, "its shape has more than %d extents",
                        EVLA_MAX_RANK);
        int32_t st = read_number(r, "an extent", &t->shape[t->rank++]);
        if (st < 0) return st;
    } while (take(r, ','));
    return take(r, ']') ? EVLA_OK : wanted(r, "a comma or the ] of shape");
}

static int32_t read_offsets(reader *r, int64_t *from, int64_t *to)
{
    int32_t st = take(r, '[') ? EVLA_OK : wanted(r, "the [ of data_offsets");
    if (st >= 0) st = read_number(r, "where its data starts", from);
    if (st >= 0 && !take(r, ',')) st = wanted(r, "a comma");
    if (st >= 0) st = read_number(r, "where its data ends", to);
    if (st >= 0 && !take(r, ']')) st = wanted(r, "the ] of data_offsets");
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
        return fail(r, EVLA_E_DTYPE,
                    "dtype %s needs the number format %s, which no loaded plugin brings",
                    d->name, d->ours);
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
    if (!take(r, '{')) return wanted(r, "the { of a tensor");
    if (!take(r, '}')) {
        do {
            const char *key;
            char *text = r->text, cut[SHOWN];
            int32_t st = read_text(r, "dtype, shape or data_offsets", &key);
            if (st >= 0) st = check_name(r, key, "the key");
            if (st < 0) return st;
            r->text = text; /* not kept */
            int which = !strcmp(key, "dtype")          ? DTYPE
                        : !strcmp(key, "shape")        ? SHAPE
                        : !strcmp(key, "data_offsets") ? OFFSETS
                                                       : 0;
            if (!which)
                return BAD("it has \"%s\"; want dtype, shape and data_offsets",
                           shown(key, cut));
            if (seen & which) return BAD("%s stands twice", key);
            seen |= which;
            if (!take(r, ':')) return wanted(r, "a colon");
            st = which == DTYPE   ? read_dtype(r, &d)
                 : which == SHAPE ? read_shape(r, t)
                                  : read_offsets(r, &from, &to);
            if (st < 0) return st;
        } while (take(r, ','));
        if (!take(r, '}')) return wanted(r, "a comma or the } of a tensor");
    }
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return BAD("it has no %s",
                   seen & DTYPE ? seen & SHAPE ? "data_offsets" : "shape" : "dtype");
    return set_tensor(r, d, t, from, to);
}

static int32_t read_entries(reader *r, header *out)
{
    if (take(r, '}')) return EVLA_OK;
    do {
        evla_field f = {0};
        int32_t st = read_text(r, "the name of a tensor", &f.name);
        if (st >= 0) st = check_name(r, f.name, "the name");
        if (st >= 0 && !take(r, ':')) st = wanted(r, "a colon");
        if (st < 0) return st;
        if (!strcmp(f.name, "__metadata__")) {
            if ((st = read_metadata(r, out)) < 0) return st;
            continue;
        }
        r->tensor = f.name;
        if ((st = read_tensor(r, &f.value)) < 0) return st;
        r->tensor = NULL;
        if (!grow(&out->tensors, out->n_tensors, &out->cap_tensors, sizeof f))
            return no_memory(r);
        out->tensors[out->n_tensors++] = f;
    } while (take(r, ','));
    return take(r, '}') ? EVLA_OK : wanted(r, "a comma or the } of the header");
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
        all[i] = (span){from, from + bytes_of(r->h, t), x->tensors[i].name};
    }
    qsort(all, (size_t)x->n_tensors, sizeof *all, by_place);
    int64_t end = 0;
    char cut[SHOWN];
    int32_t st = EVLA_OK;
    for (int64_t i = 0; st >= 0 && i < x->n_tensors; i++) {
        r->tensor = all[i].name;
        if (all[i].from < end)
            st = BAD("its data starts at byte %lld, inside that of %s, which ends at "
                     "%lld",
                     (long long)all[i].from, shown(all[i - 1].name, cut), (long long)end);
        else if (all[i].from > end)
            st = BAD("its data starts at byte %lld, and the %lld bytes before it belong to "
                     "no tensor",
                     (long long)all[i].from, (long long)(all[i].from - end));
        end = all[i].to;
    }
    r->tensor = NULL;
    if (st >= 0 && (uint64_t)end != r->n_data)
        st = BAD("the last %llu bytes belong to no tensor",
                 (unsigned long long)(r->n_data - (uint64_t)end));
    free(all);
    return st;
}

static int32_t check_names(reader *r, header *x)
{
    char cut[SHOWN];
    if (x->n_tensors) qsort(x->tensors, (size_t)x->n_tensors, sizeof *x->tensors, by_name);
    if (x->n_attrs) qsort(x->attrs, (size_t)x->n_attrs, sizeof *x->attrs, by_key);
    for (int64_t i = 1; i < x->n_tensors; i++)
        if (!strcmp(x->tensors[i - 1].name, x->tensors[i].name))
            return r->tensor = x->tensors[i].name, BAD("the name stands twice");
    for (int32_t i = 1; i < x->n_attrs; i++)
        if (!strcmp(x->attrs[i - 1].name, x->attrs[i].name))
            return BAD("the key %s of __metadata__ stands twice",
                       shown(x->attrs[i].name, cut));
    return EVLA_OK;
}

int32_t header_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                    header *out)
{
    reader reading = {.h = h, .path = path, .file = file}, *r = &reading;
    uint64_t n_header = 0;
    *out = (header){0};
    if (n < 8) return BAD("is %llu bytes long, too short for any", (unsigned long long)n);
    for (int i = 7; i >= 0; i--)
        n_header = n_header << 8 | r->file[i];
    if (n_header > n - 8)
        return BAD("claims a header of %llu bytes, %llu follow; is it a safetensors file, "
                   "or was it cut off?",
                   (unsigned long long)n_header, (unsigned long long)n - 8);
    if (n_header > HEADER_MOST)
        return fail(r, EVLA_E_LIMIT, "claims a header of %llu bytes; want at most %d",
                    (unsigned long long)n_header, HEADER_MOST);
    r->at = r->file + 8;
    r->end = r->data = r->at + n_header;
    r->n_data = n - 8 - n_header;
    for (int32_t i = 0; i < header_n_dtypes; i++)
        r->dtypes[i] = h->dtype(h, header_dtypes[i].ours);
    if (!(r->text = out->text = malloc((size_t)n_header + 1))) return no_memory(r);
    if (r->at == r->end || *r->at != '{') return wanted(r, "the { of a header");
    r->at++;
    int32_t st = read_entries(r, out);
    if (st < 0) return st;
    blanks(r);
    if (r->at < r->end) return wanted(r, "blanks up to the data");
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
