/*
 * reader.c -- demonstrations and their rows: see reader.h.
 *
 * Reads: robomimic's layout, as evla, robosuite, robomimic, LIBERO and MimicGen write it.
 * Not here: the structure of HDF5 files (h5file.c), unpacking rows (rows.c), records
 * (source.c).
 */
#include "reader.h"
#include "rows.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEPTH = 8, MAX_FIELDS = 4096, MAX_SHARDS = 1 << 16 };

typedef struct demo {
    reader_demo seen;
    pool mem;
    const char *target; /* external: path inside the shard */
    uint64_t at;        /* hard: object header */
    int32_t shard;      /* -1: this file */
    _Atomic int32_t is_read;
} demo;

typedef struct shard {
    const char *name; /* as the links give it */
    h5file f;
    _Atomic int32_t is_open;
    int32_t reserved;
} shard;

struct reader {
    pool mem;
    h5file f;
    demo *demos;
    shard *shards;
    const evla_attr *attrs;
    rows_cache rows;
    pthread_mutex_t lock;
    int64_t n_demos;
    int32_t n_shards;
    int32_t n_attrs;
};

/* ---- opening ----------------------------------------------------------------------- */

static const h5link *link_find(const h5links *links, const char *name)
{
    for (int64_t i = 0; i < links->n; i++)
        if (!strcmp(links->link[i].name, name)) return &links->link[i];
    return NULL;
}

/* Follows hard links from object `at` along a path. EVLA_E_MISSING without fail. */
static int32_t walk_to(h5walk *w, uint64_t at, const char *path, h5object *out)
{
    char part[256];
    int32_t st = h5file_object(w, at, out);
    while (!st && *path) {
        path += *path == '/';
        size_t n = strcspn(path, "/");
        if (n == 0) break;
        if (n >= sizeof part) return EVLA_E_MISSING;
        memcpy(part, path, n);
        part[n] = 0;
        path += n;
        h5links links;
        if ((st = h5file_links(w, out, &links)) != 0) return st;
        const h5link *l = link_find(&links, part);
        if (!l || l->kind != H5_HARD) return EVLA_E_MISSING;
        st = h5file_object(w, l->at, out);
    }
    return st;
}

/* "demo_17" is 17; -1: another name. */
static int64_t demo_id(const char *name)
{
    int64_t id = 0;
    if (strncmp(name, "demo_", 5) != 0 || !name[5] || strlen(name) > 5 + 18) return -1;
    for (name += 5; *name; name++) {
        if (*name < '0' || *name > '9') return -1;
        id = id * 10 + (*name - '0');
    }
    return id;
}

/* An index may name only files beside or below it: it may come from anywhere. */
static bool is_below(const char *name)
{
    if (!*name || *name == '/') return false;
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (!strncmp(p, "..", 2) && (p[2] == '/' || !p[2])) return false;
    return true;
}

static int32_t shard_number(const evla_host *h, reader *r, const char *name, int32_t *out)
{
    if (!is_below(name))
        return say(h, EVLA_E_FORMAT,
                   "hdf5: %s: links to %s, which is not in its own folder; move the file "
                   "there and "
                   "link to it by name",
                   r->f.path, name);
    /* links come in order of their hash: the last shard is no likelier than any other */
    for (int32_t i = r->n_shards - 1; i >= 0; i--) {
        *out = i;
        if (!strcmp(r->shards[i].name, name)) return EVLA_OK;
    }
    if (r->n_shards == MAX_SHARDS)
        return say(h, EVLA_E_LIMIT, "hdf5: %s: links to more than %d files", r->f.path,
                   MAX_SHARDS);
    if (r->n_shards % 64 == 0) {
        shard *grown = pool_push(&r->mem, (uint64_t)r->n_shards + 64, sizeof *grown);
        if (!grown) return say_nomem(h, r->f.path);
        if (r->n_shards) memcpy(grown, r->shards, (size_t)r->n_shards * sizeof *grown);
        r->shards = grown;
    }
    *out = r->n_shards;
    const char *path =
        pool_text(&r->mem, "%.*s%s", (int)folder_length(r->f.path), r->f.path, name);
    if (!path) return say_nomem(h, r->f.path);
    r->shards[r->n_shards++] = (shard){.name = name, .f = {.path = path, .fd = -1}};
    return EVLA_OK;
}

static int by_id(const void *a, const void *b)
{
    const demo *x = a, *y = b;
    return (x->seen.id > y->seen.id) - (x->seen.id < y->seen.id);
}

static int32_t list_demos(h5walk *w, reader *r, const h5links *links)
{
    r->demos = pool_push(&r->mem, (uint64_t)links->n + 1, sizeof *r->demos);
    if (!r->demos) return say_nomem(w->h, r->f.path);
    for (int64_t i = 0; i < links->n; i++) {
        const h5link *l = &links->link[i];
        demo *d = &r->demos[r->n_demos];
        *d = (demo){.seen = {.id = demo_id(l->name)}, .at = l->at, .shard = -1};
        if (d->seen.id < 0 || l->kind == H5_SOFT) continue;
        if (l->kind == H5_EXTERNAL) {
            d->target = l->target;
            int32_t st = shard_number(w->h, r, l->file, &d->shard);
            if (st) return st;
        }
        r->n_demos++;
    }
    qsort(r->demos, (size_t)r->n_demos, sizeof *r->demos, by_id);
    for (int64_t i = 1; i < r->n_demos; i++)
        if (r->demos[i].seen.id == r->demos[i - 1].seen.id)
            return h5file_damaged(w, "two demonstrations of one number", 0);
    return EVLA_OK;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int32_t apply_mask(h5walk *w, reader *r, const char *mask)
{
    h5object o;
    h5set set = {.bytes = 0};
    char path[300];
    if (strlen(mask) > 255 || strchr(mask, '/'))
        return say(w->h, EVLA_E_ARG, "hdf5: mask: \"%.40s\" cannot be the name of a mask",
                   mask);
    snprintf(path, sizeof path, "mask/%s", mask);
    int32_t st = walk_to(w, w->f->root, path, &o);
    if (!st) st = h5file_set(w, &o, &set);
    if (st == EVLA_E_MISSING ||
        (!st && (set.rank != 1 || set.type.dtype != H5_TEXT || set.type.is_variable)))
        return say(
            w->h, EVLA_E_MISSING,
            "hdf5: %s: has no list of demonstrations mask/%s; leave mask out to read all",
            r->f.path, mask);
    if (st) return st;
    uint64_t n = (uint64_t)set.shape[0], width = set.type.bytes;
    reader_field field = {.name = path, .set = set};
    if (set.bytes > (uint64_t)1 << 28)
        return h5file_damaged(w, "a mask beyond all sense", o.at);
    char *text = pool_push(w->mem, set.bytes + 1, 1), name[64];
    int64_t *ids = pool_push(w->mem, n + 1, sizeof *ids), kept = 0;
    if (!text || !ids) return say_nomem(w->h, r->f.path);
    if ((st = reader_rows(w->h, r, -1, &field, 0, (int64_t)n, text)) != 0) return st;
    for (uint64_t i = 0; i < n; i++) {
        size_t used = width < sizeof name ? width : sizeof name - 1;
        memcpy(name, text + i * width, used);
        name[used] = 0;
        ids[i] = demo_id(name);
    }
    qsort(ids, n, sizeof *ids, by_number);
    for (int64_t i = 0; i < r->n_demos; i++)
        if (bsearch(&r->demos[i].seen.id, ids, n, sizeof *ids, by_number))
            r->demos[kept++] = r->demos[i];
    r->n_demos = kept;
    return EVLA_OK;
}

static int32_t read_data(const evla_host *h, reader *r, const char *mask)
{
    h5walk w = h5file_walk(h, &r->f, &r->mem);
    h5object data;
    h5links links;
    h5attrs attrs;
    int32_t st = walk_to(&w, r->f.root, "data", &data);
    if (!st) st = h5file_links(&w, &data, &links);
    if (st == EVLA_E_MISSING)
        return say(h, EVLA_E_FORMAT,
                   "hdf5: %s: has no group data; want robomimic's layout, "
                   "data/demo_<i>/actions, ...",
                   r->f.path);
    if (!st) st = h5file_attrs(&w, &data, &attrs);
    if (!st) st = list_demos(&w, r, &links);
    if (!st && mask) st = apply_mask(&w, r, mask);
    if (st) return st;
    evla_attr *kept = pool_push(&r->mem, (uint64_t)attrs.n + 1, sizeof *kept);
    if (!kept) return say_nomem(h, r->f.path);
    for (int64_t i = 0; i < attrs.n; i++)
        if (strcmp(attrs.attr[i].name, "total") != 0) kept[r->n_attrs++] = attrs.attr[i];
    r->attrs = kept;
    return EVLA_OK;
}

int32_t reader_open(const evla_host *h, const char *path, const char *mask, reader **out)
{
    reader *r = calloc(1, sizeof *r);
    if (!r) return say_nomem(h, path);
    pthread_mutex_init(&r->lock, NULL);
    rows_open(&r->rows);
    const char *kept = pool_text(&r->mem, "%s", path);
    int32_t st = kept ? h5file_open(h, kept, &r->f) : say_nomem(h, path);
    if (!st) st = read_data(h, r, mask);
    if (!kept) r->f.fd = -1;
    if (st) {
        reader_close(r);
        r = NULL;
    }
    *out = r;
    return st;
}

void reader_close(reader *r)
{
    if (!r) return;
    for (int64_t i = 0; i < r->n_demos; i++)
        pool_free(&r->demos[i].mem);
    for (int32_t i = 0; i < r->n_shards; i++)
        h5file_close(&r->shards[i].f);
    rows_close(&r->rows);
    h5file_close(&r->f);
    pool_free(&r->mem);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

int64_t reader_count(const reader *r) { return r->n_demos; }

int64_t reader_id(const reader *r, int64_t i) { return r->demos[i].seen.id; }

bool reader_is_index(const reader *r) { return r->n_shards > 0; }

const evla_attr *reader_attrs(const reader *r, int32_t *n)
{
    *n = r->n_attrs;
    return r->attrs;
}

/* ---- one demonstration ------------------------------------------------------------- */

typedef struct field_list {
    reader_field *field;
    int32_t n, max;
} field_list;

static int32_t push_field(h5walk *w, field_list *list, const char *name, const h5set *set,
                          const h5object *o)
{
    h5attrs attrs;
    int32_t st = h5file_attrs(w, o, &attrs);
    if (st) return st;
    if (list->n == list->max) {
        int32_t max = list->max ? list->max * 2 : 32;
        reader_field *grown = pool_push(w->mem, (uint64_t)max, sizeof *grown);
        if (max > MAX_FIELDS || !grown)
            return h5file_damaged(w, "a demonstration with too many datasets", o->at);
        if (list->n) memcpy(grown, list->field, (size_t)list->n * sizeof *grown);
        list->field = grown;
        list->max = max;
    }
    reader_field f = {.name = name, .unit = "", .doc = "", .set = *set};
    for (int64_t i = 0; i < attrs.n; i++) {
        const evla_attr *a = &attrs.attr[i];
        bool is_text = a->type == EVLA_ATTR_TEXT;
        if (is_text && !strcmp(a->name, "unit")) f.unit = a->text;
        if (is_text && !strcmp(a->name, "doc")) f.doc = a->text;
        if (is_text && !strcmp(a->name, "repeats")) f.repeats = a->text;
        if (a->type == EVLA_ATTR_FLOAT && !strcmp(a->name, "rate_hz") && a->number > 0 &&
            a->number < 1e9)
            f.rate_hz = a->number;
    }
    list->field[list->n++] = f;
    return EVLA_OK;
}

/* All datasets below a group that records can hold. */
static int32_t list_fields(h5walk *w, const h5object *group, const char *prefix, int depth,
                           field_list *list)
{
    h5links links;
    int32_t st = h5file_links(w, group, &links);
    if (st == EVLA_E_MISSING) return EVLA_OK; /* a named type, or what else there may be */
    for (int64_t i = 0; !st && i < links.n; i++) {
        const h5link *l = &links.link[i];
        h5object o;
        h5set set;
        if (l->kind != H5_HARD) continue;
        if (strlen(prefix) + strlen(l->name) > 254)
            return h5file_damaged(w, "a name beyond all sense", group->at);
        const char *name = pool_text(w->mem, "%s%s%s", prefix, *prefix ? "/" : "", l->name);
        if (!name) return say_nomem(w->h, w->f->path);
        if ((st = h5file_object(w, l->at, &o)) != 0) return st;
        st = h5file_set(w, &o, &set);
        if (st == EVLA_E_MISSING) {
            if (depth == MAX_DEPTH)
                return h5file_damaged(w, "groups nested without end", l->at);
            st = list_fields(w, &o, name, depth + 1, list);
        } else if (!st && set.type.dtype != H5_OTHER && set.type.dtype != H5_TEXT) {
            st = push_field(w, list, name, &set, &o);
        }
    }
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const reader_field *)a)->name, ((const reader_field *)b)->name);
}

static int32_t read_demo(h5walk *w, demo *d, const h5object *o)
{
    field_list list = {0};
    h5attrs attrs;
    reader_demo *seen = &d->seen;
    int32_t st = h5file_attrs(w, o, &attrs);
    if (!st) st = list_fields(w, o, "", 0, &list);
    if (st) return st;
    if (list.n) qsort(list.field, (size_t)list.n, sizeof *list.field, by_name);
    seen->fields = list.field;
    seen->n_fields = list.n;
    seen->n_samples = seen->stored_bytes = -1;
    evla_attr *kept = pool_push(w->mem, (uint64_t)attrs.n + 1, sizeof *kept);
    if (!kept) return say_nomem(w->h, w->f->path);
    for (int64_t i = 0; i < attrs.n; i++) {
        const evla_attr *a = &attrs.attr[i];
        if (a->type == EVLA_ATTR_INT && !strcmp(a->name, "num_samples"))
            seen->n_samples = a->integer;
        else if (a->type == EVLA_ATTR_INT && !strcmp(a->name, "stored_bytes"))
            seen->stored_bytes = a->integer;
        else
            kept[seen->n_attrs++] = *a;
    }
    seen->attrs = kept;
    const reader_field *actions = reader_find(seen, "actions");
    if (seen->n_samples < 0 && actions && actions->set.rank)
        seen->n_samples = actions->set.shape[0];
    return EVLA_OK;
}

/* The file demonstration i lies in, opened when first asked for. Inside the lock. */
static int32_t shard_open(const evla_host *h, reader *r, const demo *d, const h5file **out)
{
    *out = &r->f;
    if (d->shard < 0) return EVLA_OK;
    shard *s = &r->shards[d->shard];
    *out = &s->f;
    if (s->is_open) return EVLA_OK;
    const char *path = s->f.path;
    if (access(path, F_OK))
        return say(
            h, EVLA_E_MISSING,
            "hdf5: %s: links to %s, which is not there; keep shards beside their index, or "
            "run the job that writes them again",
            r->f.path, path);
    int32_t st = h5file_open(h, path, &s->f);
    if (st == EVLA_OK) s->is_open = 1;
    if (st) h5file_close(&s->f);
    return st;
}

int32_t reader_get(const evla_host *h, reader *r, int64_t i, const reader_demo **out)
{
    int32_t st = EVLA_OK;
    if (i < 0 || i >= r->n_demos)
        return say(h, EVLA_E_RANGE,
                   "hdf5: %s: has %lld demonstrations, number %lld was asked for",
                   r->f.path, (long long)r->n_demos, (long long)i);
    demo *d = &r->demos[i];
    *out = &d->seen;
    if (atomic_load_explicit(&d->is_read, memory_order_acquire)) return EVLA_OK;
    pthread_mutex_lock(&r->lock);
    if (!d->is_read) {
        const h5file *f;
        h5object o;
        st = shard_open(h, r, d, &f);
        h5walk w = h5file_walk(h, f, &d->mem);
        if (!st)
            st = d->shard < 0 ? h5file_object(&w, d->at, &o)
                              : walk_to(&w, f->root, d->target, &o);
        if (st == EVLA_E_MISSING && d->shard >= 0)
            say(h, st,
                "hdf5: %s: links to %s in %s, which is not there; it was made for other "
                "files",
                r->f.path, d->target, f->path);
        if (!st) st = read_demo(&w, d, &o);
        if (st) {
            pool_free(&d->mem);
            d->seen = (reader_demo){.id = d->seen.id};
        } else {
            atomic_store_explicit(&d->is_read, 1, memory_order_release);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return st;
}

const reader_field *reader_find(const reader_demo *d, const char *name)
{
    for (int32_t i = 0; i < d->n_fields; i++)
        if (!strcmp(d->fields[i].name, name)) return &d->fields[i];
    return NULL;
}

int32_t reader_dtype(const evla_host *h, const reader_field *f)
{
    return f->set.type.dtype == H5_F16 ? h->dtype(h, "f16") : f->set.type.dtype;
}

int32_t reader_rows(const evla_host *h, reader *r, int64_t i, const reader_field *f,
                    int64_t first, int64_t n, void *out)
{
    const h5file *in =
        i < 0 || r->demos[i].shard < 0 ? &r->f : &r->shards[r->demos[i].shard].f;
    return rows_read(h, in, &r->rows, f->name, &f->set, first, n, out);
}
