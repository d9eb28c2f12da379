/*
 * npy.c -- the model format "npy": one tensor as NumPy keeps it, for whoever looks at what
 * a model does inside. It is written only; numbers that NumPy has no name for are refused.
 *
 *   0  6 bytes  "\x93NUMPY", then version 1.0
 *   8  u16      bytes of the header
 *  10  header   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, blanks and a
 * line feed up to a multiple of 64, then the rows
 */
#include "evla/abi.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 10, ALIGN = 64, MOST_HEAD = 320 };

// clang-format off
static const struct { int32_t dtype; int32_t bytes; const char *name; } formats[] = {
    {EVLA_F32, 4, "<f4"}, {EVLA_F64, 8, "<f8"}, {EVLA_I8, 1, "|i1"}, {EVLA_I16, 2, "<i2"},
    {EVLA_I32, 4, "<i4"}, {EVLA_I64, 8, "<i8"}, {EVLA_U8, 1, "|u1"}, {EVLA_U16, 2, "<u2"},
    {EVLA_U32, 4, "<u4"}, {EVLA_U64, 8, "<u8"}, {EVLA_BOOL, 1, "|b1"},
};
// clang-format on

__attribute__((format(printf, 3, 4))) static int32_t fail(const evla_host *h, int32_t code,
                                                          const char *format, ...)
{
    char line[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    return h->fail(h, code, line);
}

/* The header's text; its length leaves the rows aligned. */
static int make_head(const evla_tensor *t, const char *format, char head[MOST_HEAD])
{
    static const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
    int n = HEAD;
    memcpy(head, magic, sizeof magic);
    n += snprintf(head + n, (size_t)(MOST_HEAD - n),
                  "{'descr': '%s', 'fortran_order': False, 'shape': (", format);
    for (int32_t i = 0; i < t->rank; i++)
        n += snprintf(head + n, (size_t)(MOST_HEAD - n), "%" PRId64 ", ", t->shape[i]);
    n += snprintf(head + n, (size_t)(MOST_HEAD - n), "), }");
    while ((n + 1) % ALIGN)
        head[n++] = ' ';
    head[n++] = '\n';
    head[8] = (char)((n - HEAD) & 0xff);
    head[9] = (char)((n - HEAD) >> 8);
    return n;
}

static int32_t write_archive(const evla_host *h, const evla_archive *in, evla_sink *to)
{
    char head[MOST_HEAD];
    const char *format = NULL;
    if (in->n_tensors != 1)
        return fail(h, EVLA_E_LIMIT, "an npy file holds one tensor, got %" PRId64,
                    in->n_tensors);
    const evla_tensor *t = &in->tensors[0].value;
    int64_t step = 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].dtype == t->dtype) format = formats[i].name, step = formats[i].bytes;
    if (!format) {
        const char *name = h->dtype_name(h, t->dtype);
        return fail(h, EVLA_E_DTYPE,
                    "tensor %.100s: npy has no name for %.40s; convert it first",
                    in->tensors[0].name, name ? name : "its numbers");
    }
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->stride[i] != step)
            return fail(h, EVLA_E_SHAPE, "tensor %.100s: want dense rows",
                        in->tensors[0].name);
        step *= t->shape[i];
    }
    int32_t st = to->put(h, to, head, (uint64_t)make_head(t, format, head));
    return st < 0 ? st : to->put(h, to, t->data[0], (uint64_t)step);
}

static const evla_format npy = {
    .size = sizeof npy,
    .endings = ".npy",
    .source = "NumPy enhancement proposal 1, version 1.0",
    .write = write_archive,
};
static const evla_item items[] = {{.kind = EVLA_FORMAT,
                                   .name = "npy",
                                   .table = &npy,
                                   .doc = "one tensor as NumPy keeps it; written only"}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.npy",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
