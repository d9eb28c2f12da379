/*
 * sink.c -- stores records so that a kill or a full disk loses none.
 *
 * Reads: records.  Writes, for path = "demos.hdf5":
 *   demos.parts/demo_<id>.hdf5  one committed episode each, while the job runs
 *   demos.hdf5                  all of them, when they fit one shard; else an index of
 * links to demos-0000.hdf5, ...        the shards, filled in order of ids Not here: what
 * earlier runs left (found.c), shards and index (join.c), how a file is written (part.c) or
 * committed (commit.c).
 *
 * Invariant: a part is removed only after a shard that holds its episode is committed, and
 * a shard only after each of its episodes is a committed part again. So every committed
 * episode is, at any moment, in a part or in a shard, and what is in both may be dropped
 * from the parts.
 */
#include "sink.h"
#include "commit.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files and episodes, shared with found.c and join.c ---------------------------- */

const char *sink_part_path(const sink *k, int64_t id, char *out, size_t size)
{
    snprintf(out, size, "%s/demo_%lld.hdf5", k->parts, (long long)id);
    return out;
}

const char *sink_shard_path(const sink *k, int32_t number, char *out, size_t size)
{
    snprintf(out, size, "%s-%04d.hdf5", k->stem, number);
    return out;
}

int32_t sink_remove(const evla_host *h, const char *path)
{
    if (unlink(path) && errno != ENOENT) return commit_fail(h, path, "remove it", errno);
    return EVLA_OK;
}

/* Where id is, or would be. */
static int64_t list_place(const sink *k, int64_t id)
{
    int64_t low = 0, high = k->n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (k->e[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

stored *sink_find(const sink *k, int64_t id)
{
    int64_t i = list_place(k, id);
    return i < k->n && k->e[i].id == id ? &k->e[i] : NULL;
}

int32_t sink_add(const evla_host *h, sink *k, stored one)
{
    int64_t i = list_place(k, one.id);
    if (i < k->n && k->e[i].id == one.id) {
        k->e[i] = one;
        return EVLA_OK;
    }
    if (k->n == k->max) {
        int64_t max = k->max ? k->max * 2 : 256;
        stored *grown = realloc(k->e, (size_t)max * sizeof *grown);
        if (!grown) return say_nomem(h, "the list of episodes");
        k->e = grown;
        k->max = max;
    }
    memmove(k->e + i + 1, k->e + i, (size_t)(k->n - i) * sizeof *k->e);
    k->e[i] = one;
    k->n++;
    return EVLA_OK;
}

int32_t sink_add_shard(const evla_host *h, sink *k, const char *path, double valid)
{
    if (k->n_shards == k->max_shards) {
        int32_t max = k->max_shards ? k->max_shards * 2 : 16;
        shard_file *grown = realloc(k->shards, (size_t)max * sizeof *grown);
        if (!grown) return say_nomem(h, path);
        k->shards = grown;
        k->max_shards = max;
    }
    char *kept = pool_text(&k->mem, "%s", path);
    if (!kept) return say_nomem(h, path);
    k->shards[k->n_shards++] = (shard_file){.path = kept, .valid = valid};
    return EVLA_OK;
}

/* ---- opening ----------------------------------------------------------------------- */

static uint64_t hash_text(uint64_t x, const char *text)
{
    /* FNV-1a, 64 bits; the NUL counts, so that "a","b" differs from "ab","" */
    for (const char *p = text ? text : "";; p++) {
        x = (x ^ (uint8_t)*p) * 0x100000001b3u;
        if (!*p) return x;
    }
}

static const char *hash_layout(pool *mem, const hdf5_params *p, const evla_schema *s)
{
    char line[160];
    uint64_t x = 0xcbf29ce484222325u;
    snprintf(line, sizeof line, "1 %d %d %d %lld %lld", p->compress, p->depth, p->images,
             (long long)p->chunk, (long long)p->level);
    x = hash_text(x, line);
    for (int32_t i = 0; i < s->n_fields; i++) {
        const evla_schema_field *f = &s->fields[i];
        snprintf(line, sizeof line, "%a", f->rate_hz);
        x = hash_text(hash_text(hash_text(hash_text(x, f->name), f->type), f->unit), line);
    }
    for (int32_t i = 0; i < s->n_attrs; i++) {
        const evla_attr *a = &s->attrs[i];
        snprintf(line, sizeof line, "%d %a %lld", a->type,
                 a->type == EVLA_ATTR_FLOAT ? a->number : 0,
                 a->type == EVLA_ATTR_INT ? (long long)a->integer : 0);
        x = hash_text(hash_text(hash_text(x, a->name), line),
                      a->type == EVLA_ATTR_TEXT ? a->text : "");
    }
    return pool_text(mem, "%016llx", (unsigned long long)x);
}

static const char *copy_text(pool *mem, const char *text, bool *is_whole)
{
    char *kept = text ? pool_text(mem, "%s", text) : NULL;
    if (text && !kept) *is_whole = false;
    return kept;
}

static const evla_schema *copy_schema(pool *mem, const evla_schema *in)
{
    bool is_whole = true;
    evla_schema *s = pool_push(mem, 1, sizeof *s);
    evla_schema_field *f = pool_push(mem, (uint64_t)in->n_fields + 1, sizeof *f);
    evla_attr *a = pool_push(mem, (uint64_t)in->n_attrs + 1, sizeof *a);
    if (!s || !f || !a) return NULL;
    *s = (evla_schema){.size = sizeof *s,
                       .n_fields = in->n_fields,
                       .n_attrs = in->n_attrs,
                       .fields = f,
                       .attrs = a};
    for (int32_t i = 0; i < in->n_fields; i++) {
        f[i] = in->fields[i];
        f[i].name = copy_text(mem, f[i].name, &is_whole);
        f[i].type = copy_text(mem, f[i].type, &is_whole);
        f[i].unit = copy_text(mem, f[i].unit, &is_whole);
        f[i].doc = copy_text(mem, f[i].doc, &is_whole);
    }
    for (int32_t i = 0; i < in->n_attrs; i++) {
        a[i] = in->attrs[i];
        a[i].name = copy_text(mem, a[i].name, &is_whole);
        a[i].text = copy_text(mem, a[i].text, &is_whole);
    }
    return is_whole ? s : NULL;
}

static int32_t name_files(const evla_host *h, sink *k, const hdf5_params *p,
                          const char *folder)
{
    size_t tail = ends_in(p->path, ".hdf5") ? 5 : ends_in(p->path, ".h5") ? 3 : 0;
    k->path = *p->path == '/' ? pool_text(&k->mem, "%s", p->path)
                              : pool_text(&k->mem, "%s/%s", folder, p->path);
    if (!k->path) return say_nomem(h, p->path);
    if (strlen(base_name(k->path)) <= tail)
        return say(h, EVLA_E_ARG,
                   "hdf5: path: \"%s\" names no file; want one such as demos.hdf5",
                   p->path);
    if (strlen(k->path) > PATH_MAX - 64)
        return say(h, EVLA_E_ARG, "hdf5: path: has more than %d bytes", PATH_MAX - 64);
    k->stem = pool_text(&k->mem, "%.*s", (int)(strlen(k->path) - tail), k->path);
    k->parts = k->stem ? pool_text(&k->mem, "%s.parts", k->stem) : NULL;
    if (!k->parts) {
        say_nomem(h, p->path);
        return EVLA_E_NOMEM;
    }
    return EVLA_OK;
}

/* Makes the folder of parts and holds it against other processes. */
static int32_t take_folder(const evla_host *h, sink *k)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)folder_length(k->path), k->path);
    if (mkdir(k->parts, 0777) && errno != EEXIST)
        return commit_fail(h, k->parts, "make the folder", errno);
    int32_t st = commit_folder(h, parent);
    if (st) return st;
    k->lock_fd = open(k->parts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (k->lock_fd < 0) return commit_fail(h, k->parts, "open the folder", errno);
    if (flock(k->lock_fd, LOCK_EX | LOCK_NB))
        return say(
            h, EVLA_E_EXISTS,
            "hdf5: %s: another process is writing this dataset; wait for it, or give the "
            "stage another path",
            k->path);
    return EVLA_OK;
}

static void tell_found(const evla_host *h, const sink *k)
{
    int32_t in_shards = 0;
    for (int64_t i = 0; i < k->n; i++)
        in_shards += k->e[i].shard >= 0;
    if (k->n || k->n_cleaned || k->n_damaged)
        tell(h, EVLA_LOG_INFO,
             "hdf5: %s: found %lld committed episodes (%lld in %s/, %d in %d shards), "
             "removed %d "
             "unfinished or doubled files; continuing",
             k->path, (long long)k->n, (long long)k->n - in_shards, base_name(k->parts),
             in_shards, k->n_shards, k->n_cleaned);
}

int32_t sink_describe(const evla_host *h, const hdf5_params *p, const evla_schema *in)
{
    return episode_describe(h, p, in);
}

int32_t sink_open(const evla_host *h, const hdf5_params *p, const evla_site *site,
                  void **self)
{
    sink *k = calloc(1, sizeof *k);
    *self = k;
    if (!k) return say_nomem(h, "a sink");
    pthread_mutex_init(&k->lock, NULL);
    k->lock_fd = -1;
    k->s.p = *p;
    k->s.p.path = k->s.p.mask = NULL; /* borrowed, and not needed again */
    k->s.f16 = h->dtype(h, "f16");
    k->s.schema = copy_schema(&k->mem, site->in);
    k->s.layout_id = k->s.schema ? hash_layout(&k->mem, p, k->s.schema) : NULL;
    if (!k->s.layout_id) return say_nomem(h, "a schema");
    int32_t st = name_files(h, k, p, site->folder);
    if (!st) st = take_folder(h, k);
    if (!st) st = found_scan(h, k);
    if (st) return st;
    k->n_found = (int32_t)k->n;
    tell_found(h, k);
    return EVLA_OK;
}

void sink_close(const evla_host *h, void *self)
{
    sink *k = self;
    (void)h;
    if (!k) return;
    if (k->lock_fd >= 0) close(k->lock_fd);
    free(k->e);
    free(k->shards);
    pool_free(&k->mem);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* ---- storing ----------------------------------------------------------------------- */

int32_t sink_has(const evla_host *h, void *self, int64_t i)
{
    sink *k = self;
    (void)h;
    pthread_mutex_lock(&k->lock);
    int32_t is_there = sink_find(k, i) != NULL;
    pthread_mutex_unlock(&k->lock);
    return is_there;
}

int32_t sink_put(const evla_host *h, void *self, const evla_record *in)
{
    sink *k = self;
    char path[PATH_MAX];
    episode e;
    if (in->index < 0)
        return say(h, EVLA_E_RANGE, "hdf5: record %lld: want an index of 0 or more",
                   (long long)in->index);
    if (sink_has(h, self, in->index))
        return say(h, EVLA_E_EXISTS, "hdf5: %s: demo_%lld is stored already", k->path,
                   (long long)in->index);
    int32_t st = episode_make(h, &k->s, in, &e);
    if (!st) st = part_write(h, &k->s, sink_part_path(k, e.id, path, sizeof path), &e);
    if (!st) {
        pthread_mutex_lock(&k->lock);
        st = sink_add(h, k,
                      (stored){.id = e.id,
                               .n_samples = e.n_samples,
                               .bytes = (int64_t)e.stored,
                               .success = e.success,
                               .shard = -1});
        k->n_written++;
        pthread_mutex_unlock(&k->lock);
    }
    pool_free(&e.mem);
    return st;
}

int32_t sink_finish(const evla_host *h, void *self) { return join_shards(h, self); }

const char *sink_report(const evla_host *h, void *self)
{
    sink *k = self;
    struct stat st;
    long long bytes = 0, samples = 0, n_in = 0;
    (void)h;
    for (int32_t s = 0; s < k->n_shards; s++)
        if ((k->shards[s].is_current || !k->is_finished) && !stat(k->shards[s].path, &st))
            bytes += st.st_size;
    for (int64_t i = 0; i < k->n; i++) {
        samples += k->e[i].n_samples;
        n_in += episode_hash(k->e[i].id) < k->s.p.valid;
        if (k->e[i].shard < 0) bytes += k->e[i].bytes;
    }
    snprintf(k->json, sizeof k->json,
             "{\"episodes\": %lld, \"samples\": %lld, \"bytes\": %lld, \"shards\": %d, "
             "\"found_committed\": %d, \"written\": %d, \"cleaned\": %d, \"damaged\": %d, "
             "\"train\": %lld, \"valid\": %lld}",
             (long long)k->n, samples, bytes, k->is_finished, k->n_found, k->n_written,
             k->n_cleaned, k->n_damaged, (long long)k->n - n_in, n_in);
    return k->json;
}
