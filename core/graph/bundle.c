/*
 * bundle.c -- one file that holds a header and named tensors. See bundle.h.
 */
#include "bundle.h"
#include "../file.h"
#include "../registry.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 32, VERSION = 1, MOST_HEADER = 16 << 20, ALIGN = 64 };
static const char magic[8] = {'e', 'v', 'l', 'a', '\r', '\n', '\x1a', '\n'};

static uint64_t round_up(uint64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static int by_name(const void *a, const void *b)
{
    return strcmp(((const bundle_part *)a)->name, ((const bundle_part *)b)->name);
}

static void put_number(unsigned char *to, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get_number(const unsigned char *from, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << 8 * i;
    return v;
}

/* ---- writing ---- */

/* The header's JSON and where everything goes. */
static int32_t make_header(ctx *cx, const char *path, const char *kind, const value *head,
                           bundle_part *parts, uint64_t *offsets, int32_t n,
                           const char **text, uint64_t *total)
{
    arena *a = &cx->scratch;
    value *rows = arena_push(a, (size_t)n + 1, sizeof *rows);
    value_pair *pairs = arena_push(a, 3, sizeof *pairs);
    if (!rows || !pairs) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
    uint64_t at = 0;
    for (int32_t i = 0; i < n; i++) {
        if (i && !strcmp(parts[i - 1].name, parts[i].name))
            return ctx_fail(cx, EVLA_E_EXISTS, "%s: the name %s stands twice", path,
                            parts[i].name);
        value *cells = arena_push(a, 3, sizeof *cells);
        if (!cells) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
        cells[0] = value_text(parts[i].name);
        cells[1] = value_text(type_text(cx->reg, a, &parts[i].type));
        cells[2] = value_int((int64_t)at); /* from the first part's place */
        rows[i] = (value){.kind = VALUE_TABLE, .n_items = 3, .as.items = cells};
        offsets[i] = at;
        at += round_up((uint64_t)type_bytes(cx->reg, &parts[i].type));
    }
    pairs[0] = (value_pair){"head", *head};
    pairs[1] = (value_pair){"kind", value_text(kind)};
    pairs[2] = (value_pair){"parts", {.kind = VALUE_TABLE, .n_items = n, .as.items = rows}};
    value whole = {.kind = VALUE_TABLE, .n_pairs = 3, .pairs = pairs};
    *text = value_print(a, &whole, NULL);
    if (!*text) return ctx_fail(cx, EVLA_E_NOMEM, "%s: header", path);
    if (strlen(*text) > MOST_HEADER)
        return ctx_fail(cx, EVLA_E_LIMIT, "%s: a header of %zu bytes; at most %d fit", path,
                        strlen(*text), MOST_HEADER);
    *total = round_up(HEAD_BYTES + strlen(*text)) + at;
    return 0;
}

/* Zeros behind n bytes up to a multiple of ALIGN. */
static int32_t put_zeros(file_new *f, uint64_t n)
{
    static const char zeros[ALIGN];
    return file_put(f, zeros, round_up(n) - n);
}

static int32_t put_parts(ctx *cx, file_new *f, const char *text, uint64_t total,
                         const bundle_part *parts, int32_t n)
{
    unsigned char head[HEAD_BYTES] = {0};
    uint64_t text_n = strlen(text);
    memcpy(head, magic, sizeof magic);
    put_number(head + 8, VERSION, 4);
    put_number(head + 16, text_n, 8);
    put_number(head + 24, total, 8);
    int32_t st = file_put(f, head, sizeof head);
    if (st >= 0) st = file_put(f, text, text_n);
    if (st >= 0) st = put_zeros(f, HEAD_BYTES + text_n);
    for (int32_t i = 0; st >= 0 && i < n; i++) {
        uint64_t bytes = (uint64_t)type_bytes(cx->reg, &parts[i].type);
        st = file_put(f, parts[i].data, bytes);
        if (st >= 0) st = put_zeros(f, bytes);
    }
    return st;
}

int32_t bundle_write(ctx *cx, const char *path, const char *kind, const value *head,
                     const bundle_part *parts, int32_t n)
{
    arena *a = &cx->scratch;
    arena_place mark = arena_mark(a);
    file_new f;
    const char *text = NULL;
    bundle_part *sorted = arena_push(a, (size_t)n + 1, sizeof *sorted);
    uint64_t *offsets = arena_push(a, (size_t)n + 1, sizeof *offsets), total = 0;
    int32_t st = 0;
    if (!sorted || !offsets)
        st = ctx_fail(cx, EVLA_E_NOMEM, "%s: %d parts", path, n);
    else {
        if (n) memcpy(sorted, parts, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, by_name);
        st = make_header(cx, path, kind, head, sorted, offsets, n, &text, &total);
    }
    if (st >= 0) st = file_begin(cx, path, &f);
    if (st >= 0) st = file_end(&f, put_parts(cx, &f, text, total, sorted, n));
    arena_reset(a, mark);
    return st;
}

/* ---- reading ---- */

__attribute__((format(printf, 3, 4))) static int32_t bad(ctx *cx, const char *path,
                                                         const char *format, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return ctx_fail(cx, EVLA_E_FORMAT, "%s: %s", path, what);
}

/* One row of the header: [name, type, offset]. */
static int32_t read_part(ctx *cx, const char *path, const value *row, int32_t i,
                         const unsigned char *from, uint64_t room, bundle_part *out)
{
    if (row->kind != VALUE_TABLE || row->n_items != 3 ||
        row->as.items[0].kind != VALUE_TEXT || row->as.items[1].kind != VALUE_TEXT ||
        row->as.items[2].kind != VALUE_INT)
        return bad(cx, path, "part %d: want [name, type, offset]", i);
    const value *cell = row->as.items;
    out->name = cell[0].as.text;
    int32_t st = type_parse(cx, cell[1].as.text, &(symbols){0}, &out->type);
    if (st < 0) {
        ctx_prefix(cx, "%s: part %.60s", path, out->name);
        return st;
    }
    int64_t bytes = type_bytes(cx->reg, &out->type), at = cell[2].as.i;
    if (bytes < 0)
        return bad(cx, path, "part %.60s: %.60s has no whole size", out->name,
                   cell[1].as.text);
    if (at < 0 || at % ALIGN || (uint64_t)at > room ||
        (uint64_t)bytes > room - (uint64_t)at)
        return bad(cx, path,
                   "part %.60s: %lld bytes at %lld; want a multiple of %d with all of it "
                   "inside the %llu bytes of data",
                   out->name, (long long)bytes, (long long)at, ALIGN,
                   (unsigned long long)room);
    out->data = from + at;
    return 0;
}

static int32_t read_header(ctx *cx, const char *path, const char *kind,
                           const unsigned char *bytes, uint64_t text_n, uint64_t n,
                           bundle *b)
{
    value all;
    size_t at;
    if (value_parse(&b->mem, (const char *)bytes + HEAD_BYTES, (size_t)text_n, &all, &at) <
        0)
        return bad(cx, path, "its header is no JSON, from byte %zu on", at + HEAD_BYTES);
    const value *found = value_get(&all, "kind"), *parts = value_get(&all, "parts"),
                *head = value_get(&all, "head");
    if (!found || found->kind != VALUE_TEXT || strcmp(found->as.text, kind) != 0)
        return bad(cx, path, "is of kind \"%.40s\", want \"%s\"",
                   found && found->kind == VALUE_TEXT ? found->as.text : "", kind);
    if (!head || head->kind != VALUE_TABLE || !parts || parts->kind != VALUE_TABLE ||
        parts->n_pairs)
        return bad(cx, path, "its header lacks head or parts");
    b->head = *head;
    b->parts = arena_push(&b->mem, (size_t)parts->n_items + 1, sizeof *b->parts);
    if (!b->parts) return ctx_fail(cx, EVLA_E_NOMEM, "%s: %d parts", path, parts->n_items);
    uint64_t data = round_up(HEAD_BYTES + text_n);
    for (int32_t i = 0; i < parts->n_items; i++) {
        int32_t st =
            read_part(cx, path, &parts->as.items[i], i, bytes + (data < n ? data : n),
                      data < n ? n - data : 0, &b->parts[i]);
        if (st < 0) return st;
        if (i && strcmp(b->parts[i - 1].name, b->parts[i].name) >= 0)
            return bad(cx, path, "part %.60s: names must ascend", b->parts[i].name);
        b->n_parts = i + 1;
    }
    return 0;
}

int32_t bundle_read(ctx *cx, const char *path, const char *kind, const void *bytes,
                    size_t n, bundle *out)
{
    const unsigned char *p = bytes;
    *out = (bundle){.mem = arena_beside(&cx->mem, 16 << 10)};
    if (n < HEAD_BYTES || memcmp(p, magic, sizeof magic) != 0)
        return bad(cx, path,
                   "is no evla file: it does not start with the eight bytes of one");
    uint64_t version = get_number(p + 8, 4), text_n = get_number(p + 16, 8),
             total = get_number(p + 24, 8);
    int32_t st;
    if (version != VERSION)
        st = bad(cx, path, "is of version %llu, this core reads %d",
                 (unsigned long long)version, VERSION);
    else if (total != n)
        st = bad(cx, path, "is %zu bytes long, its header says %llu; was it cut off?", n,
                 (unsigned long long)total);
    else if (text_n > MOST_HEADER || text_n > n - HEAD_BYTES)
        st = bad(cx, path,
                 "claims a header of %llu bytes; want at most %d, and inside the file",
                 (unsigned long long)text_n, MOST_HEADER);
    else
        st = read_header(cx, path, kind, p, text_n, n, out);
    if (st < 0) bundle_close(out);
    return st;
}

int bundle_claims(const char *path)
{
    char head[sizeof magic];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int is = fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
             !memcmp(head, magic, sizeof magic);
    if (fd >= 0) close(fd);
    return is;
}

int32_t bundle_open(ctx *cx, const char *path, const char *kind, bundle *out)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ctx_fail(cx, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO,
                        "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size < HEAD_BYTES) {
        close(fd);
        return bad(cx, path, "is no evla file: it is too short, or no file at all");
    }
    size_t n = (size_t)info.st_size;
    void *map = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    int why = errno;
    close(fd);
    if (map == MAP_FAILED)
        return ctx_fail(cx, EVLA_E_IO, "%s: cannot be mapped: %s", path, strerror(why));
    int32_t st = bundle_read(cx, path, kind, map, n, out);
    if (st < 0) {
        munmap(map, n);
        return st;
    }
    out->map = map;
    out->map_bytes = n;
    return 0;
}

void bundle_close(bundle *b)
{
    if (b->map) munmap(b->map, b->map_bytes);
    arena_free(&b->mem);
    *b = (bundle){0};
}

const bundle_part *bundle_find(const bundle *b, const char *name)
{
    bundle_part key = {.name = name};
    if (!b->n_parts) return NULL;
    return bsearch(&key, b->parts, (size_t)b->n_parts, sizeof *b->parts, by_name);
}
