/*
 * write.c -- writes a safetensors file: header, then data. See write.h.
 */
#include "write.h"
#include "header.h"
#include "json.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor on its way into the file. */
typedef struct part {
    const char *name;
    const evla_tensor *t;
    const header_dtype *dtype;
    uint64_t bytes, from;
} part;

typedef struct writer {
    const evla_host *h;
    part *parts; /* in the order of the data */
    int64_t n;
    char *text; /* the header's JSON */
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

/* ---- what is to be written ---- */

static int32_t set_part(writer *w, const evla_field *f, part *out)
{
    const evla_tensor *t = &f->value;
    const char *ours = w->h->dtype_name(w->h, t->dtype);
    uint64_t n = strlen(f->name);
    int64_t step, count = 1;
    *out = (part){.name = f->name, .t = t};
    if (json_utf8(f->name, n) < n)
        return fail(w, EVLA_E_FORMAT, "the name of a tensor is no UTF-8");
    for (const char *c = f->name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return fail(w, EVLA_E_FORMAT,
                        "the name of a tensor holds a control character, 0x%02x",
                        (unsigned char)*c);
    if (!strcmp(f->name, "__metadata__"))
        return fail(w, EVLA_E_EXISTS,
                    "a tensor cannot be called __metadata__, which is the header's own");
    for (int32_t i = 0; ours && i < header_n_dtypes; i++)
        if (!strcmp(header_dtypes[i].ours, ours)) out->dtype = &header_dtypes[i];
    if (!out->dtype)
        return fail(w, EVLA_E_DTYPE,
                    "tensor %.100s: the format has no name for %.40s; convert it first",
                    f->name, ours ? ours : "its numbers");
    for (int32_t i = 0; i < t->rank; i++)
        if (!t->shape[i]) return EVLA_OK; /* of nothing, whatever its other extents */
    step = out->dtype->bytes;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->stride[i] != step)
            return fail(w, EVLA_E_SHAPE, "tensor %.100s: want dense rows", f->name);
        step *= t->shape[i];
        count *= t->shape[i];
    }
    out->bytes = (uint64_t)(count * out->dtype->bytes);
    return EVLA_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const part *)a)->name, ((const part *)b)->name);
}

static int by_width(const void *a, const void *b)
{
    const part *x = a, *y = b;
    if (x->dtype->bytes != y->dtype->bytes) return y->dtype->bytes - x->dtype->bytes;
    return by_name(a, b);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const evla_attr *const *)a)->name,
                  (*(const evla_attr *const *)b)->name);
}

/* ---- the header ---- */

static void put(writer *w, const char *text, size_t n)
{
    if (w->used + n > w->room) {
        size_t room = 2 * (w->used + n) + 4096;
        char *wide = realloc(w->text, room);
        if (!wide) {
            w->is_full = 1;
            return;
        }
        w->text = wide;
        w->room = room;
    }
    memcpy(w->text + w->used, text, n);
    w->used += n;
}

__attribute__((format(printf, 2, 3))) static void put_f(writer *w, const char *format, ...)
{
    char line[200];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    put(w, line, (size_t)n);
}

static void put_text(writer *w, const char *text)
{
    put(w, "\"", 1);
    for (const char *c = text; *c; c++) {
        size_t n =
            strcspn(c, "\"\\\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017"
                       "\020\021\022\023\024\025\026\027\030\031\032\033\034\035\036\037");
        put(w, c, n);
        c += n;
        if (!*c) break;
        if (*c == '"' || *c == '\\')
            put_f(w, "\\%c", *c);
        else
            put_f(w, "\\u%04x", (unsigned)*c);
    }
    put(w, "\"", 1);
}

static int32_t put_metadata(writer *w, const evla_archive *in)
{
    const evla_attr **all = malloc(((size_t)in->n_attrs + 1) * sizeof *all);
    int32_t st = all ? EVLA_OK : fail(w, EVLA_E_NOMEM, "no memory for its metadata");
    for (int32_t i = 0; st >= 0 && i < in->n_attrs; i++)
        all[i] = &in->attrs[i];
    if (st >= 0 && in->n_attrs) qsort(all, (size_t)in->n_attrs, sizeof *all, by_key);
    for (int32_t i = 0; st >= 0 && i < in->n_attrs; i++) {
        const evla_attr *a = all[i];
        char number[40] = "";
        const char *text = a->type == EVLA_ATTR_TEXT && a->text ? a->text : number;
        if (a->type == EVLA_ATTR_INT)
            snprintf(number, sizeof number, "%" PRId64, a->integer);
        else if (a->type == EVLA_ATTR_FLOAT)
            snprintf(number, sizeof number, "%.17g", a->number);
        if (a->type == EVLA_ATTR_NUMBERS || a->type == EVLA_ATTR_TEXTS)
            st = fail(w, EVLA_E_DTYPE,
                      "the key %.100s is a list; the format's metadata is text", a->name);
        else if (i && !strcmp(all[i - 1]->name, a->name))
            st = fail(w, EVLA_E_EXISTS, "the key %.100s stands twice", a->name);
        else if (json_utf8(a->name, strlen(a->name)) < strlen(a->name) ||
                 json_utf8(text, strlen(text)) < strlen(text))
            st = fail(w, EVLA_E_FORMAT, "a key or text of its metadata is no UTF-8");
        put(w, i ? "," : "\"__metadata__\":{", i ? 1 : 16);
        put_text(w, a->name);
        put(w, ":", 1);
        put_text(w, text);
    }
    if (in->n_attrs) put(w, "}", 1);
    free(all);
    return st;
}

static int32_t make_header(writer *w, const evla_archive *in)
{
    uint64_t at = 0;
    qsort(w->parts, (size_t)w->n, sizeof *w->parts, by_width);
    for (int64_t i = 0; i < w->n; i++) {
        w->parts[i].from = at;
        at += w->parts[i].bytes;
    }
    part *sorted = malloc(((size_t)w->n + 1) * sizeof *sorted);
    if (!sorted) return fail(w, EVLA_E_NOMEM, "no memory for its header");
    if (w->n) memcpy(sorted, w->parts, (size_t)w->n * sizeof *sorted);
    qsort(sorted, (size_t)w->n, sizeof *sorted, by_name);
    put(w, "{", 1);
    int32_t st = put_metadata(w, in);
    for (int64_t i = 0; st >= 0 && i < w->n; i++) {
        const part *p = &sorted[i];
        if (i && !strcmp(sorted[i - 1].name, p->name))
            st = fail(w, EVLA_E_EXISTS, "tensor %.100s: the name stands twice", p->name);
        if (i || in->n_attrs) put(w, ",", 1);
        put_text(w, p->name);
        put_f(w, ":{\"dtype\":\"%s\",\"shape\":[", p->dtype->name);
        for (int32_t k = 0; k < p->t->rank; k++)
            put_f(w, "%s%" PRId64, k ? "," : "", p->t->shape[k]);
        put_f(w, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", p->from,
              p->from + p->bytes);
    }
    put(w, "}", 1);
    while (w->used % 8 && !w->is_full)
        put(w, " ", 1);
    free(sorted);
    if (st >= 0 && w->is_full) st = fail(w, EVLA_E_NOMEM, "no memory for its header");
    if (st >= 0 && w->used > HEADER_MOST)
        st = fail(w, EVLA_E_LIMIT, "a header of %zu bytes; at most %d fit", w->used,
                  HEADER_MOST);
    return st;
}

/* ---- the file ---- */

static int32_t put_parts(const writer *w, evla_sink *to)
{
    unsigned char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)((uint64_t)w->used >> 8 * i);
    int32_t st = to->put(w->h, to, head, sizeof head);
    if (st >= 0) st = to->put(w->h, to, w->text, w->used);
    for (int64_t i = 0; st >= 0 && i < w->n; i++)
        st = to->put(w->h, to, w->parts[i].t->data[0], w->parts[i].bytes);
    return st;
}

int32_t write_archive(const evla_host *h, const evla_archive *in, evla_sink *to)
{
    writer w = {.h = h, .n = in->n_tensors};
    int32_t st = EVLA_OK;
    w.parts = malloc(((size_t)w.n + 1) * sizeof *w.parts);
    if (!w.parts) st = fail(&w, EVLA_E_NOMEM, "no memory for %" PRId64 " tensors", w.n);
    for (int64_t i = 0; st >= 0 && i < w.n; i++)
        st = set_part(&w, &in->tensors[i], &w.parts[i]);
    if (st >= 0) st = make_header(&w, in);
    if (st >= 0) st = put_parts(&w, to);
    free(w.parts);
    free(w.text);
    return st;
}
