/*
 * reader.c -- demonstrations and their rows: see reader.h.
 *
 * Reads: robomimic's layout, as evla, robosuite, robomimic, LIBERO and MimicGen write it.
 * Not here: the structure of HDF5 files (h5file.c), records (source.c).
 */
#include "reader.h"
#include "pack.h"
#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEPTH = 8, MAX_FIELDS = 4096, MAX_SHARDS = 1 << 16 };

/* What unpacking a chunk needs; kept between calls, since fresh pages cost more than
 * inflating. */
typedef struct workspace {
    struct workspace *next;
    struct libdeflate_decompressor *z;
    uint8_t *packed, *a, *b;
    uint64_t packed_bytes, bytes;
} workspace;

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
    workspace *spare;
    pthread_mutex_t lock;
    int64_t n_demos;
    int32_t n_shards;
    int32_t n_attrs;
};

/* ---- opening
 * ------------------------------------------------------------------------------ */

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
    if (strncmp(name, "demo_", 5) || !name[5] || strlen(name) > 5 + 18) return -1;
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
    memcpy(path, "mask/", 5);
    memcpy(path + 5, mask, strlen(mask) + 1);
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
        if (strcmp(attrs.attr[i].name, "total")) kept[r->n_attrs++] = attrs.attr[i];
    r->attrs = kept;
    return EVLA_OK;
}

int32_t reader_open(const evla_host *h, const char *path, const char *mask, reader **out)
{
    reader *r = calloc(1, sizeof *r);
    if (!r) return say_nomem(h, path);
    pthread_mutex_init(&r->lock, NULL);
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

static void workspace_free(workspace *w)
{
    libdeflate_free_decompressor(w->z);
    free(w->packed);
    free(w->a);
    free(w->b);
    free(w);
}

void reader_close(reader *r)
{
    if (!r) return;
    for (int64_t i = 0; i < r->n_demos; i++)
        pool_free(&r->demos[i].mem);
    for (int32_t i = 0; i < r->n_shards; i++)
        h5file_close(&r->shards[i].f);
    while (r->spare) {
        workspace *w = r->spare;
        r->spare = w->next;
        workspace_free(w);
    }
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

/* ---- one demonstration
 * -------------------------------------------------------------------- */

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

/* ---- rows
 * --------------------------------------------------------------------------------- */

static workspace *workspace_get(reader *r, uint64_t packed_bytes, uint64_t bytes)
{
    pthread_mutex_lock(&r->lock);
    workspace *w = r->spare;
    if (w) r->spare = w->next;
    pthread_mutex_unlock(&r->lock);
    if (!w) w = calloc(1, sizeof *w);
    if (w && !w->z) w->z = libdeflate_alloc_decompressor();
    if (w && w->packed_bytes < packed_bytes) {
        free(w->packed);
        w->packed = malloc(packed_bytes);
        w->packed_bytes = packed_bytes;
    }
    if (w && w->bytes < bytes) {
        free(w->a);
        free(w->b);
        w->a = malloc(bytes);
        w->b = malloc(bytes);
        w->bytes = bytes;
    }
    if (!w || !w->z || !w->packed || !w->a || !w->b) {
        if (w) workspace_free(w);
        return NULL;
    }
    return w;
}

static void workspace_put(reader *r, workspace *w)
{
    pthread_mutex_lock(&r->lock);
    w->next = r->spare;
    r->spare = w;
    pthread_mutex_unlock(&r->lock);
}

/* LZF as h5py writes it (Marc Lehmann's liblzf). */
static bool inflate_lzf(const uint8_t *in, uint64_t in_bytes, uint8_t *out, uint64_t bytes)
{
    const uint8_t *end = in + in_bytes;
    uint64_t n = 0;
    while (in < end) {
        uint32_t head = *in++;
        if (head < 32) {
            uint64_t run = head + 1;
            if (run > (uint64_t)(end - in) || run > bytes - n) return false;
            memcpy(out + n, in, run);
            in += run, n += run;
            continue;
        }
        uint64_t run = head >> 5, back = (head & 31) << 8;
        if (run == 7) {
            if (in == end) return false;
            run += *in++;
        }
        if (in == end) return false;
        back += *in++ + 1;
        run += 2;
        if (back > n || run > bytes - n) return false;
        for (; run; run--, n++)
            out[n] = out[n - back];
    }
    return n == bytes;
}

/* Undoes the filters of one chunk, last one first. *out is where the elements end up: in
 * w->a, w->b, or in `direct` when given (the last step then writes there). */
static const uint8_t *unpack(const h5set *s, const h5chunk *k, workspace *w,
                             uint8_t *direct)
{
    const uint8_t *from = w->packed;
    uint64_t n = k->bytes;
    int32_t last = -1; /* the filter that is undone last and moves bytes */
    for (int32_t i = s->n_filters - 1; i >= 0; i--)
        if (!(k->skips >> i & 1) && s->filter[i].id != H5_FLETCHER32 &&
            !(s->filter[i].id == H5_SHUFFLE && s->filter[i].value == 1))
            last = i;
    for (int32_t i = s->n_filters - 1; i >= 0; i--) {
        uint8_t *to = direct && i == last ? direct : from == w->a ? w->b : w->a;
        if (k->skips >> i & 1) continue;
        switch (s->filter[i].id) {
        case H5_FLETCHER32:
            if (n < 4) return NULL;
            n -= 4;
            break;
        case H5_SHUFFLE:
            if (s->filter[i].value == 1) break;
            if (n > s->chunk_bytes) return NULL;
            pack_unshuffle(from, n, s->filter[i].value, to);
            from = to;
            break;
        case H5_DEFLATE: {
            size_t got = 0;
            /* fletcher32 below deflate makes the stream 4 bytes longer than the chunk */
            if (libdeflate_zlib_decompress(w->z, from, n, to,
                                           s->chunk_bytes + (to == direct ? 0 : 4), &got))
                return NULL;
            n = got;
            from = to;
            break;
        }
        default:
            if (!inflate_lzf(from, n, to, s->chunk_bytes)) return NULL;
            n = s->chunk_bytes;
            from = to;
        }
    }
    return n == s->chunk_bytes ? from : NULL;
}

/* Copies the part of a chunk that lies in rows [first, first + n). at: the chunk's first
 * element. */
static void copy_box(const h5set *s, const int64_t *at, const uint8_t *chunk, int64_t first,
                     int64_t n, uint8_t *out)
{
    int64_t from[8], count[8], index[8] = {0}, element = s->type.bytes;
    int32_t last = s->rank - 1;
    for (int32_t a = 0; a < s->rank; a++) {
        int64_t low = at[a], high = at[a] + s->chunk[a];
        if (high > s->shape[a]) high = s->shape[a];
        if (a == 0 && low < first) low = first;
        if (a == 0 && high > first + n) high = first + n;
        from[a] = low;
        count[a] = high - low;
        if (count[a] <= 0) return;
    }
    for (;;) {
        int64_t source = 0, target = 0;
        for (int32_t a = 0; a < s->rank; a++) {
            int64_t x = from[a] + index[a];
            source = source * s->chunk[a] + (x - at[a]);
            target = target * s->shape[a] + (a == 0 ? x - first : x);
        }
        memcpy(out + target * element, chunk + source * element,
               (size_t)(count[last] * element));
        int32_t a = last - 1;
        while (a >= 0 && ++index[a] == count[a])
            index[a--] = 0;
        if (a < 0) return;
    }
}

static int32_t one_chunk(const evla_host *h, const h5file *f, const reader_field *field,
                         const int64_t *at, const h5chunk *k, int64_t first, int64_t n,
                         workspace *w, uint8_t *out)
{
    const h5set *s = &field->set;
    uint64_t row = s->bytes / (uint64_t)s->shape[0]; /* shape[0] > 0: there is a chunk */
    bool is_rows = true, is_whole = at[0] >= first && at[0] + s->chunk[0] <= first + n;
    for (int32_t a = 1; a < s->rank; a++)
        is_rows = is_rows && s->chunk[a] == s->shape[a];
    uint8_t *direct = is_rows && is_whole ? out + (uint64_t)(at[0] - first) * row : NULL;
    if (k->at == 0) return EVLA_OK; /* never written: zeros, which is what out holds */
    int32_t st;
    if (s->n_filters == 0 && is_rows) { /* straight from the file */
        int64_t low = at[0] > first ? at[0] : first, high = at[0] + s->chunk[0];
        if (high > first + n) high = first + n;
        return h5file_read(h, f, k->at + (uint64_t)(low - at[0]) * row,
                           (uint64_t)(high - low) * row,
                           out + (uint64_t)(low - first) * row);
    }
    if ((st = h5file_read(h, f, k->at, k->bytes, w->packed)) != 0) return st;
    const uint8_t *plain = unpack(s, k, w, direct);
    if (!plain)
        return say(h, EVLA_E_FORMAT,
                   "hdf5: %s: a chunk of %s at byte %llu does not unpack: the file is "
                   "damaged; copy "
                   "it again or make it anew",
                   f->path, field->name, (unsigned long long)k->at);
    if (is_rows) {
        int64_t low = at[0] > first ? at[0] : first, high = at[0] + s->chunk[0];
        if (high > first + n) high = first + n;
        if (plain != direct)
            memcpy(out + (uint64_t)(low - first) * row,
                   plain + (uint64_t)(low - at[0]) * row, (uint64_t)(high - low) * row);
    } else {
        copy_box(s, at, plain, first, n, out);
    }
    return EVLA_OK;
}

static int32_t chunked_rows(const evla_host *h, reader *r, const h5file *f,
                            const reader_field *field, int64_t first, int64_t n,
                            uint8_t *out)
{
    const h5set *s = &field->set;
    int64_t per_row = 1, low = first / s->chunk[0], high = (first + n - 1) / s->chunk[0];
    uint64_t packed = 0;
    int32_t st = EVLA_OK;
    for (int32_t a = 1; a < s->rank; a++)
        per_row *= s->grid[a];
    for (int64_t i = low * per_row; i < (high + 1) * per_row; i++) {
        if (s->chunks[i].bytes > packed) packed = s->chunks[i].bytes;
        if (s->chunks[i].at == 0)
            memset(out, 0, (uint64_t)n * (s->bytes / (uint64_t)s->shape[0]));
    }
    workspace *w = workspace_get(r, packed + 1, s->chunk_bytes + 8);
    if (!w) return say_nomem(h, "a chunk");
    for (int64_t i = low * per_row; !st && i < (high + 1) * per_row; i++) {
        int64_t at[8], rest = i;
        for (int32_t a = s->rank - 1; a >= 0; a--) {
            at[a] = rest % s->grid[a] * s->chunk[a];
            rest /= s->grid[a];
        }
        st = one_chunk(h, f, field, at, &s->chunks[i], first, n, w, out);
    }
    workspace_put(r, w);
    return st;
}

static void swap_bytes(uint8_t *p, uint64_t bytes, uint32_t element)
{
    for (uint64_t at = 0; at + element <= bytes; at += element)
        for (uint32_t i = 0; i < element / 2; i++) {
            uint8_t x = p[at + i];
            p[at + i] = p[at + element - 1 - i];
            p[at + element - 1 - i] = x;
        }
}

int32_t reader_rows(const evla_host *h, reader *r, int64_t i, const reader_field *field,
                    int64_t first, int64_t n, void *out)
{
    const h5set *s = &field->set;
    const h5file *f =
        i < 0 || r->demos[i].shard < 0 ? &r->f : &r->shards[r->demos[i].shard].f;
    int64_t rows = s->rank ? s->shape[0] : 1;
    int32_t st = EVLA_OK;
    if (first < 0 || n < 0 || n > rows || first > rows - n)
        return say(h, EVLA_E_RANGE,
                   "hdf5: %s: %s has %lld rows, but %lld from %lld were asked for", f->path,
                   field->name, (long long)rows, (long long)n, (long long)first);
    if (n == 0 || s->bytes == 0) return EVLA_OK;
    uint64_t row = s->bytes / (uint64_t)rows, at = (uint64_t)first * row,
             bytes = (uint64_t)n * row;
    if (s->layout == H5_COMPACT)
        memcpy(out, s->compact + at, bytes);
    else if (s->layout == H5_CHUNKED)
        st = chunked_rows(h, r, f, field, first, n, out);
    else if (s->at == UINT64_MAX)
        memset(out, 0, bytes);
    else
        st = h5file_read(h, f, s->at + at, bytes, out);
    if (!st && s->type.is_big_endian) swap_bytes(out, bytes, s->type.bytes);
    return st;
}
