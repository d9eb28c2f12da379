/*
 * format.c -- model files that are not the engine's own. See format.h.
 */
#include "format.h"
#include "../file.h"
#include "../registry.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 4096, CHUNK_BYTES = 16384 };

static const evla_format *table_of(const evla_item *item) { return item->table; }

static int reads(const evla_format *f) { return f->probe && f->open && f->close; }

const char *format_names(ctx *cx, arena *a, int writers)
{
    int32_t n;
    const evla_item *const *all = registry_kind(cx->reg, EVLA_FORMAT, &n);
    const char *text = NULL;
    for (int32_t i = 0; i < n; i++)
        if (writers ? table_of(all[i])->write != NULL : reads(table_of(all[i])))
            text = arena_text(a, "%s%s%s", text ? text : "", text ? ", " : "",
                              writers ? table_of(all[i])->endings : all[i]->name);
    return text ? text : "none";
}

/* ---- reading ---- */

int32_t format_probe(ctx *cx, const char *path, const evla_item **out)
{
    _Alignas(16) unsigned char head[HEAD_BYTES];
    struct stat info;
    host h;
    int32_t n, best = 0;
    const evla_item *const *all = registry_kind(cx->reg, EVLA_FORMAT, &n);
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ctx_fail(cx, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO,
                        "%s: cannot be opened: %s", path, strerror(errno));
    ssize_t have = -1;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) have = read(fd, head, sizeof head);
    close(fd);
    if (have < 0)
        return ctx_fail(cx, EVLA_E_FORMAT,
                        "%s: want a file to read, found a folder or device", path);
    host_init(&h, cx, NULL);
    for (int32_t i = 0; i < n; i++) {
        if (!reads(table_of(all[i]))) continue;
        arena_place mark = arena_mark(&cx->scratch);
        int32_t sure = table_of(all[i])->probe(&h.table, path, head, (uint64_t)have,
                                               (uint64_t)info.st_size);
        host_done(&h, mark);
        if (sure > best) best = sure, *out = all[i];
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const evla_field *const *)a)->name,
                  (*(const evla_field *const *)b)->name);
}

static int32_t check_attrs(ctx *cx, const char *path, const evla_archive *a)
{
    for (int32_t i = 0; i < a->n_attrs; i++) {
        const evla_attr *x = &a->attrs[i];
        int is_list = x->type == EVLA_ATTR_NUMBERS || x->type == EVLA_ATTR_TEXTS;
        if (!x->name || x->type < EVLA_ATTR_INT || x->type > EVLA_ATTR_TEXTS ||
            (x->type == EVLA_ATTR_TEXT && !x->text) ||
            (x->type == EVLA_ATTR_NUMBERS &&
             (x->element <= EVLA_NONE || x->element > EVLA_BOOL)) ||
            (is_list && (x->n_items < 0 || (x->n_items && !x->items))))
            return ctx_fail(cx, EVLA_E_FORMAT,
                            "%s: %.100s has no value that the engine can hold", path,
                            x->name ? x->name : "a key without a name");
    }
    return 0;
}

/* What the plugin hands out is whole and its names are different. */
static int32_t check(ctx *cx, const char *path, format_file *f)
{
    const evla_archive *a = &f->holds;
    size_t n = a->n_tensors < 0 ? 0 : (size_t)a->n_tensors;
    f->sorted = arena_push(&f->mem, n + 1, sizeof *f->sorted);
    if (!f->sorted) return ctx_fail(cx, EVLA_E_NOMEM, "%s: %zu tensors", path, n);
    for (size_t i = 0; i < n; i++) {
        const evla_field *t = f->sorted[i] = &a->tensors[i];
        evla_type type = format_type(&t->value);
        if (!t->name || t->value.rank < 0 || t->value.rank > EVLA_MAX_RANK ||
            !dtype_get(cx->reg, t->value.dtype) || type_bytes(cx->reg, &type) < 0)
            return ctx_fail(cx, EVLA_E_FORMAT,
                            "%s: tensor %.100s has no type that the engine can hold", path,
                            t->name ? t->name : "");
    }
    qsort(f->sorted, n, sizeof *f->sorted, by_name);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(f->sorted[i - 1]->name, f->sorted[i]->name))
            return ctx_fail(cx, EVLA_E_FORMAT, "%s: tensor %.100s stands twice", path,
                            f->sorted[i]->name);
    if (a->n_files < 0 || (a->n_files && !a->files))
        return ctx_fail(cx, EVLA_E_FORMAT, "%s: is in %lld files without names", path,
                        (long long)a->n_files);
    return check_attrs(cx, path, a);
}

int32_t format_open(ctx *cx, const evla_item *item, const char *path, format_file *out)
{
    *out = (format_file){.item = item, .mem = arena_beside(&cx->mem, 16 << 10)};
    out->holds.size = sizeof out->holds;
    host_init(&out->h, cx, &out->mem);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = table_of(item)->open(&out->h.table, path, &out->self, &out->holds);
    host_done(&out->h, mark);
    if (st >= 0) st = check(cx, path, out);
    if (st < 0) {
        if (!cx->code)
            ctx_fail(cx, st, "%s: refused by %s: %s", path, item->name, ctx_code_text(st));
        format_close(out);
    }
    return st;
}

void format_close(format_file *f)
{
    ctx *cx = f->h.cx;
    arena_place mark = arena_mark(&cx->scratch);
    table_of(f->item)->close(&f->h.table, f->self);
    host_done(&f->h, mark);
    arena_free(&f->mem);
    *f = (format_file){0};
}

const evla_field *format_find(const format_file *f, const char *name)
{
    evla_field key = {.name = name};
    const evla_field *p = &key, *const * found;
    if (f->holds.n_tensors < 1) return NULL;
    found = bsearch(&p, f->sorted, (size_t)f->holds.n_tensors, sizeof *f->sorted, by_name);
    return found ? *found : NULL;
}

/* ---- writing ---- */

static int ends_in(const char *path, const char *endings)
{
    size_t n = strlen(path);
    for (const char *e = endings; *e; e += strspn(e, " ")) {
        size_t k = strcspn(e, " ");
        if (k < n && !memcmp(path + n - k, e, k)) return 1;
        e += k;
    }
    return 0;
}

int32_t format_writer(ctx *cx, const char *path, const evla_item **out)
{
    int32_t n;
    const evla_item *const *all = registry_kind(cx->reg, EVLA_FORMAT, &n);
    for (int32_t i = 0; i < n; i++)
        if (table_of(all[i])->write && ends_in(path, table_of(all[i])->endings))
            return *out = all[i], 0;
    arena_place mark = arena_mark(&cx->scratch);
    ctx_fail(cx, EVLA_E_ARG,
             "no loaded format writes \"%.200s\"; want a name that ends in one of: %s",
             path, format_names(cx, &cx->scratch, 1));
    arena_reset(&cx->scratch, mark);
    return EVLA_E_ARG;
}

static int32_t sink_put(const evla_host *h, evla_sink *s, const void *bytes, uint64_t n)
{
    (void)h;
    return file_put(s->self, bytes, n);
}

int32_t format_write(ctx *cx, const evla_item *item, const char *path,
                     const evla_archive *in)
{
    host h;
    file_new f;
    evla_sink to = {.size = sizeof to, .self = &f, .put = sink_put};
    int32_t st = file_begin(cx, path, &f);
    if (st < 0) return st;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    st = table_of(item)->write(&h.table, in, &to);
    host_done(&h, mark);
    if (st < 0 && !cx->code)
        ctx_fail(cx, st, "%s: cannot be written: %s", path, ctx_code_text(st));
    else if (st < 0 && !f.is_bad)
        ctx_prefix(cx, "%s", path);
    return file_end(&f, st);
}

/* ---- numbers ---- */

evla_type format_type(const evla_tensor *t)
{
    evla_type out = {.dtype = t->dtype, .rank = t->rank};
    memcpy(out.shape, t->shape, sizeof out.shape);
    return out;
}

int format_is_real(const registry *reg, int32_t dtype)
{
    const dtype_info *d = dtype_get(reg, dtype);
    return dtype == EVLA_F32 || (d && d->table);
}

/* A conversion goes run by run (type_run), and through a run by chunks of whole blocks. */
typedef struct cut {
    const dtype_info *d;
    int64_t n, run, run_bytes; /* elements in all and of a run, and its bytes */
    int64_t chunk;             /* elements */
} cut;

static cut cut_of(const registry *reg, const evla_type *t)
{
    cut c = {.d = dtype_get(reg, t->dtype), .n = type_count(t), .run = type_run(reg, t)};
    c.run_bytes = dtype_bytes(reg, t->dtype, c.run);
    c.chunk = (c.d->block_bytes < CHUNK_BYTES ? CHUNK_BYTES / c.d->block_bytes : 1) *
              c.d->block_elements;
    return c;
}

/* The chunk from element `at` on: its elements; *byte: where it lies. */
static int64_t chunk_at(const cut *c, int64_t at, int64_t *byte)
{
    int64_t in_run = at % c->run, left = c->run - in_run;
    *byte = at / c->run * c->run_bytes + dtype_blocks(c->d, in_run) * c->d->block_bytes;
    return left < c->chunk ? left : c->chunk;
}

int32_t format_f32(ctx *cx, const evla_tensor *t, float *out)
{
    const dtype_info *d = dtype_get(cx->reg, t->dtype);
    evla_type type = format_type(t);
    int64_t bytes = type_bytes(cx->reg, &type), at;
    if (t->dtype == EVLA_F32 && bytes >= 0) {
        if (bytes) memcpy(out, t->data[0], (size_t)bytes);
        return 0;
    }
    if (!d || !d->table || bytes < 0)
        return ctx_fail(cx, EVLA_E_DTYPE, "%s cannot be read as f32",
                        dtype_name(cx->reg, t->dtype));
    cut c = cut_of(cx->reg, &type);
    arena_place mark = arena_mark(&cx->scratch);
    host h;
    host_init(&h, cx, NULL);
    /* aligned, as decoders may want it */
    void *codes = arena_push_aligned(&cx->scratch, (size_t)dtype_blocks(d, c.chunk),
                                     (size_t)d->block_bytes, 64);
    int32_t st = codes ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "decoding %s", d->name);
    for (int64_t i = 0, k; st >= 0 && i < c.n; i += k) {
        k = chunk_at(&c, i, &at);
        memcpy(codes, (const char *)t->data[0] + at,
               (size_t)(dtype_blocks(d, k) * d->block_bytes));
        st = d->table->decode(&h.table, codes, k, out + i);
    }
    arena_reset(&cx->scratch, mark);
    return st;
}

int format_can_encode(const registry *reg, const evla_type *t, int32_t dtype)
{
    const dtype_info *d = dtype_get(reg, dtype);
    evla_type to = *t;
    to.dtype = dtype;
    return d && (dtype == EVLA_F32 || (d->table && d->table->encode)) &&
           type_bytes(reg, &to) >= 0;
}

int32_t format_encode(ctx *cx, const evla_type *t, const float *values, void *out)
{
    int64_t at;
    host h;
    cut c = cut_of(cx->reg, t);
    if (t->dtype == EVLA_F32) {
        if (c.n) memcpy(out, values, (size_t)c.n * sizeof *values);
        return 0;
    }
    host_init(&h, cx, NULL);
    int32_t st = 0;
    for (int64_t i = 0, k; st >= 0 && i < c.n; i += k) {
        k = chunk_at(&c, i, &at);
        arena_place mark = arena_mark(&cx->scratch);
        st = c.d->table->encode(&h.table, values + i, k, (char *)out + at);
        host_done(&h, mark);
    }
    return st;
}
