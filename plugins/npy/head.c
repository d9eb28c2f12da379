/*
 * head.c -- what stands before the rows of an npy file. See head.h.
 */
#include "head.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_HEAD = 1 << 20, MOST_DESCR = 32 };

// clang-format off
const head_format head_formats[] = {
    {EVLA_F32, 4, "<f4"}, {EVLA_F64, 8, "<f8"}, {EVLA_I8, 1, "|i1"}, {EVLA_I16, 2, "<i2"},
    {EVLA_I32, 4, "<i4"}, {EVLA_I64, 8, "<i8"}, {EVLA_U8, 1, "|u1"}, {EVLA_U16, 2, "<u2"},
    {EVLA_U32, 4, "<u4"}, {EVLA_U64, 8, "<u8"}, {EVLA_BOOL, 1, "|b1"},
};
// clang-format on
const int32_t head_n_formats = sizeof head_formats / sizeof *head_formats;

int32_t head_refuse(const evla_host *h, int32_t code, const char *path, const char *format,
                    ...)
{
    char what[400], line[800];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%.300s: %s", path, what);
    return h->fail(h, code, line);
}

/* ---- the header's text: a Python dictionary of three names ---- */

typedef struct reader {
    const evla_host *h;
    const char *path, *at, *end;
    char descr[MOST_DESCR];
    int64_t shape[EVLA_MAX_RANK];
    int32_t rank; /* -1: not told */
    int is_fortran;
} reader;

#define BAD(...) head_refuse(r->h, EVLA_E_FORMAT, r->path, __VA_ARGS__)

static void skip(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t'))
        r->at++;
}

/* Takes a character if it is next. */
static int next_is(reader *r, char c)
{
    skip(r);
    if (r->at == r->end || *r->at != c) return 0;
    r->at++;
    return 1;
}

/* A text in quotes of either sort, without escapes; 0: there is none that fits. */
static int read_text(reader *r, char *to, size_t room)
{
    skip(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"')) return 0;
    const char *from = r->at + 1, *stop = memchr(from, *r->at, (size_t)(r->end - from));
    if (!stop || (size_t)(stop - from) >= room) return 0;
    for (const char *p = from; p < stop; p++) /* it is shown when it is refused */
        if (*p < ' ' || *p > '~') return 0;
    memcpy(to, from, (size_t)(stop - from));
    to[stop - from] = 0;
    r->at = stop + 1;
    return 1;
}

static int32_t read_extent(reader *r)
{
    int64_t v = 0;
    const char *from = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *r->at - '0', &v))
            return BAD("an extent of its shape is above 2^63");
    if (r->at == from) return BAD("its shape is no list of extents");
    if (r->rank == EVLA_MAX_RANK)
        return head_refuse(r->h, EVLA_E_LIMIT, r->path,
                           "its shape has more than %d extents", EVLA_MAX_RANK);
    r->shape[r->rank++] = v;
    return EVLA_OK;
}

/* "(3, 4)", "(3,)", "()" */
static int32_t read_shape(reader *r)
{
    if (!next_is(r, '(')) return BAD("its shape is no list of extents");
    r->rank = 0;
    while (!next_is(r, ')')) {
        int32_t st = read_extent(r);
        if (st < 0) return st;
        if (next_is(r, ',')) continue;
        if (!next_is(r, ')')) return BAD("its shape is no list of extents");
        break;
    }
    return EVLA_OK;
}

static int takes(reader *r, const char *word)
{
    size_t n = strlen(word);
    skip(r);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) return 0;
    r->at += n;
    return 1;
}

static int32_t read_entry(reader *r)
{
    char name[MOST_DESCR];
    if (!read_text(r, name, sizeof name) || !next_is(r, ':'))
        return BAD("its header is no dictionary of descr, fortran_order and shape");
    if (!strcmp(name, "shape")) return read_shape(r);
    if (!strcmp(name, "fortran_order")) {
        r->is_fortran = takes(r, "True");
        return r->is_fortran || takes(r, "False")
                   ? EVLA_OK
                   : BAD("its fortran_order is neither True nor False");
    }
    if (strcmp(name, "descr") != 0) return BAD("its header has an entry \"%s\"", name);
    return read_text(r, r->descr, sizeof r->descr)
               ? EVLA_OK
               : BAD("its descr is no name of a number format; is it a table of fields?");
}

static int32_t read_entries(reader *r)
{
    if (!next_is(r, '{'))
        return BAD("its header is no dictionary of descr, fortran_order and shape");
    while (!next_is(r, '}')) {
        int32_t st = read_entry(r);
        if (st < 0) return st;
        if (next_is(r, ',')) continue;
        if (!next_is(r, '}'))
            return BAD("its header is no dictionary of descr, fortran_order and shape");
        break;
    }
    skip(r);
    if (r->at < r->end) return BAD("something stands behind its header's dictionary");
    if (!*r->descr || r->rank < 0) return BAD("its header does not say descr and shape");
    if (r->is_fortran)
        return BAD("its columns come first (fortran_order); want rows, as "
                   "numpy.ascontiguousarray makes them");
    return EVLA_OK;
}

/* ---- the file ---- */

static const head_format *format_named(const char *name)
{
    for (int32_t i = 0; i < head_n_formats; i++)
        if (!strcmp(head_formats[i].name, name)) return &head_formats[i];
    return NULL;
}

int32_t head_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                  evla_tensor *out)
{
    const unsigned char *p = file;
    if (n < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return head_refuse(h, EVLA_E_FORMAT, path,
                           "is no npy file: it does not start as one");
    if (p[6] < 1 || p[6] > 3 || p[7])
        return head_refuse(h, EVLA_E_FORMAT, path, "is of version %d.%d; want 1.0 to 3.0",
                           p[6], p[7]);
    uint64_t from = p[6] == 1 ? 10 : 12, n_head = p[8] | (uint64_t)p[9] << 8;
    if (from == 12 && n >= from) n_head |= (uint64_t)p[10] << 16 | (uint64_t)p[11] << 24;
    if (n < from || n_head > MOST_HEAD || n_head > n - from)
        return head_refuse(h, EVLA_E_FORMAT, path, "its header ends behind the file");
    reader r = {.h = h, .path = path, .at = (const char *)p + from, .rank = -1};
    r.end = r.at + n_head;
    int32_t st = read_entries(&r);
    if (st < 0) return st;
    const head_format *f = format_named(r.descr);
    if (!f)
        return head_refuse(h, EVLA_E_DTYPE, path,
                           "its numbers are \"%s\"; want one that the engine has, "
                           "little-endian, such as <f4, <i4 or |u1",
                           r.descr);
    *out = (evla_tensor){.dtype = f->dtype, .rank = r.rank};
    int64_t bytes = f->bytes;
    for (int32_t i = r.rank - 1; i >= 0; i--) {
        out->shape[i] = r.shape[i];
        out->stride[i] = bytes;
        if (__builtin_mul_overflow(bytes, r.shape[i], &bytes))
            return head_refuse(h, EVLA_E_FORMAT, path, "its shape is above 2^63 bytes");
    }
    uint64_t rows = n - from - n_head;
    if ((uint64_t)bytes != rows)
        return head_refuse(h, EVLA_E_FORMAT, path,
                           "its shape takes %" PRId64 " bytes, the file holds %" PRIu64
                           "; was it cut off?",
                           bytes, rows);
    out->data[0] = (void *)(uintptr_t)(p + from + n_head);
    return EVLA_OK;
}
