/*
 * sink.c -- stores records so that a kill or a full disk loses none, and joins them into
 * shards.
 *
 * Reads: what earlier runs left.  Writes, for path = "demos.hdf5":
 *   demos.parts/demo_<id>.hdf5  one committed episode each, while the job runs
 *   demos.hdf5                  all of them, when they fit one shard; else an index of
 * links to demos-0000.hdf5, ...        the shards, filled in order of ids Not here: how a
 * file is written (part.c) or committed (commit.c).
 *
 * Invariant: a part is removed only after a shard that holds its episode is committed, and
 * a shard only after each of its episodes is a committed part again. So every committed
 * episode is, at any moment, in a part or in a shard, and what is in both may be dropped
 * from the parts.
 */
#include "commit.h"
#include "part.h"
#include "reader.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SHARD_NUMBER = 9999 };

typedef struct shard_file {
    char *path;
    double valid; /* its masks were made with this fraction */
    int32_t n;    /* episodes */
    int32_t is_current;
} shard_file;

typedef struct sink {
    settings s;
    pool mem;
    pthread_mutex_t lock; /* over the list of episodes */
    const char *path;     /* absolute */
    const char *stem;     /* path without .hdf5 */
    const char *parts;    /* folder */
    stored *e;            /* in order of ids */
    shard_file *shards;
    int64_t n, max;
    int32_t n_shards, max_shards;
    int32_t lock_fd;
    int32_t n_found, n_cleaned, n_damaged, n_written;
    int32_t is_finished, reserved;
    char json[512];
} sink;

/* ---- a host that only remembers what went wrong
 * ------------------------------------------- */

typedef struct quiet_host {
    evla_host h;
    char why[1024];
} quiet_host;

static int32_t quiet_fail(const evla_host *h, int32_t code, const char *sentence)
{
    quiet_host *q = (quiet_host *)(uintptr_t)h;
    if (!q->why[0]) snprintf(q->why, sizeof q->why, "%s", sentence);
    return code;
}

/* ---- names
 * -------------------------------------------------------------------------------- */

static const char *part_path(const sink *k, int64_t id, char *out, size_t size)
{
    snprintf(out, size, "%s/demo_%lld.hdf5", k->parts, (long long)id);
    return out;
}

static const char *shard_path(const sink *k, int32_t number, char *out, size_t size)
{
    snprintf(out, size, "%s-%04d.hdf5", k->stem, number);
    return out;
}

/* "demo_12.hdf5" is 12; -1: another name. */
static int64_t part_id(const char *name)
{
    long long id = -1;
    char again[64];
    if (strlen(name) > 40 || sscanf(name, "demo_%lld.hdf5", &id) != 1 || id < 0) return -1;
    snprintf(again, sizeof again, "demo_%lld.hdf5", id);
    return strcmp(name, again) ? -1 : id;
}

/* "demos-0003.hdf5" is 3; -1: another name. */
static int32_t shard_number(const sink *k, const char *name)
{
    const char *base = base_name(k->stem);
    size_t n = strlen(base);
    int32_t number = 0;
    if (strncmp(name, base, n) || name[n] != '-' || strcmp(name + n + 1 + 4, ".hdf5"))
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = name[n + 1 + (size_t)i];
        if (c < '0' || c > '9') return -1;
        number = number * 10 + (c - '0');
    }
    return number;
}

/* ---- the list of episodes
 * ----------------------------------------------------------------- */

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

static stored *list_find(const sink *k, int64_t id)
{
    int64_t i = list_place(k, id);
    return i < k->n && k->e[i].id == id ? &k->e[i] : NULL;
}

static int32_t list_add(const evla_host *h, sink *k, stored one)
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

/* ---- what earlier runs left
 * --------------------------------------------------------------- */

static int32_t remove_file(const evla_host *h, const char *path)
{
    if (unlink(path) && errno != ENOENT) return commit_fail(h, path, "remove it", errno);
    return EVLA_OK;
}

static int32_t refuse_foreign(const evla_host *h, const sink *k, const char *path)
{
    (void)k;
    return say(
        h, EVLA_E_EXISTS,
        "hdf5: %s exists, and was not written by this job with these parameters; move it "
        "away, or give the stage another path",
        path);
}

/* Layout id and fraction from the attributes of `data`. */
static bool is_ours(const sink *k, const reader *r, double *valid)
{
    int32_t n;
    bool is_same = false;
    const evla_attr *a = reader_attrs(r, &n);
    for (int32_t i = 0; i < n; i++) {
        if (!strcmp(a[i].name, "evla_layout") && a[i].type == EVLA_ATTR_TEXT)
            is_same = !strcmp(a[i].text, k->s.layout_id);
        if (!strcmp(a[i].name, "valid_fraction") && a[i].type == EVLA_ATTR_FLOAT)
            *valid = a[i].number;
    }
    return is_same;
}

static int32_t note_demo(const evla_host *h, const evla_host *quiet, sink *k, reader *r,
                         int64_t i, int32_t shard)
{
    const reader_demo *d;
    int32_t st = reader_get(quiet, r, i, &d);
    if (st) return st;
    stored one = {.id = d->id,
                  .n_samples = d->n_samples,
                  .bytes = d->stored_bytes,
                  .success = -1,
                  .shard = shard};
    for (int32_t a = 0; a < d->n_attrs; a++)
        if (!strcmp(d->attrs[a].name, "success") && d->attrs[a].type == EVLA_ATTR_INT)
            one.success = d->attrs[a].integer != 0;
    if (one.n_samples < 0 || one.bytes < 0) return EVLA_E_FORMAT;
    return list_add(h, k, one);
}

static int32_t shard_add(const evla_host *h, sink *k, const char *path, double valid)
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

/* A file at path, or at a shard's name: ours, or the job is refused. */
static int32_t scan_shard(const evla_host *h, sink *k, const char *path)
{
    double valid = -1;
    reader *r;
    int32_t st = reader_open(h, path, NULL, &r);
    if (st == EVLA_E_MISSING) return st;
    if (st) return st;
    if (!is_ours(k, r, &valid)) {
        st = refuse_foreign(h, k, path);
    } else if (!reader_is_index(r)) {
        st = shard_add(h, k, path, valid);
        for (int64_t i = 0; !st && i < reader_count(r); i++) {
            if (list_find(k, reader_id(r, i))) continue; /* in an earlier shard too */
            st = note_demo(h, h, k, r, i, k->n_shards - 1);
            k->shards[k->n_shards - 1].n++;
            if (st)
                say(h, st, "hdf5: %s: demo_%lld is not as this plugin writes it", path,
                    (long long)reader_id(r, i));
        }
    }
    reader_close(r);
    return st;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder in order; n is -1 when it cannot be read. */
static char **list_folder(pool *mem, const char *folder, int64_t *n)
{
    DIR *d = opendir(folder);
    char **names = NULL;
    int64_t max = 0;
    *n = d ? 0 : -1;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (*n == max) {
            char **grown =
                pool_push(mem, (uint64_t)(max = max ? max * 2 : 256), sizeof *grown);
            if (!grown) break;
            if (*n) memcpy(grown, names, (size_t)*n * sizeof *grown);
            names = grown;
        }
        names[*n] = pool_text(mem, "%s", e->d_name);
        *n += names[*n] != NULL;
    }
    if (d) closedir(d);
    if (*n > 0) qsort(names, (size_t)*n, sizeof *names, by_text);
    return names;
}

static int32_t scan_shards(const evla_host *h, sink *k)
{
    char folder[PATH_MAX], path[PATH_MAX];
    const char *base = base_name(k->path);
    pool mem = {0};
    int64_t n;
    int32_t st = EVLA_OK;
    snprintf(folder, sizeof folder, "%.*s", (int)folder_length(k->path), k->path);
    char **names = list_folder(&mem, folder, &n);
    if (n < 0) st = commit_fail(h, folder, "list the folder", errno);
    if (!st && access(k->path, F_OK) == 0) st = scan_shard(h, k, k->path);
    for (int64_t i = 0; !st && i < n; i++) {
        size_t m = strlen(names[i]), tail = strlen(COMMIT_TAIL);
        if ((size_t)snprintf(path, sizeof path, "%s%s", folder, names[i]) >= sizeof path)
            continue;
        if (shard_number(k, names[i]) >= 0) {
            st = scan_shard(h, k, path);
        } else if (m > tail && ends_in(names[i], COMMIT_TAIL)) {
            names[i][m - tail] = 0;
            if (strcmp(names[i], base) && shard_number(k, names[i]) < 0) continue;
            st = remove_file(h, path);
            k->n_cleaned++;
        }
    }
    pool_free(&mem);
    return st;
}

/* One committed part. One that cannot be read is set aside, never removed. */
static int32_t scan_part(const evla_host *h, sink *k, int64_t id)
{
    char path[PATH_MAX], aside[PATH_MAX + 16];
    double valid;
    quiet_host q = {.h = *h};
    reader *r;
    q.h.fail = quiet_fail;
    part_path(k, id, path, sizeof path);
    if (list_find(k, id)) { /* a kill came between the shard's rename and this */
        k->n_cleaned++;
        return remove_file(h, path);
    }
    int32_t st = reader_open(&q.h, path, NULL, &r);
    if (st == EVLA_E_NOMEM || st == EVLA_E_IO) return say(h, st, "%s", q.why);
    if (!st && !is_ours(k, r, &valid)) {
        reader_close(r);
        return refuse_foreign(h, k, path);
    }
    if (!st && (reader_count(r) != 1 || reader_id(r, 0) != id)) st = EVLA_E_FORMAT;
    if (!st) st = note_demo(h, &q.h, k, r, 0, -1);
    reader_close(r);
    if (st != EVLA_E_FORMAT) return st ? say(h, st, "%s", q.why) : EVLA_OK;
    snprintf(aside, sizeof aside, "%s.damaged", path);
    if (rename(path, aside)) return commit_fail(h, path, "set it aside", errno);
    k->n_damaged++;
    tell(h, EVLA_LOG_WARN, "%s; set aside as %s, the episode is made anew",
         q.why[0] ? q.why : path, base_name(aside));
    return EVLA_OK;
}

static int32_t scan_parts(const evla_host *h, sink *k)
{
    char path[PATH_MAX];
    pool mem = {0};
    int64_t n;
    int32_t st = EVLA_OK;
    char **names = list_folder(&mem, k->parts, &n);
    if (n < 0) st = commit_fail(h, k->parts, "list the folder", errno);
    for (int64_t i = 0; !st && i < n; i++) {
        if (part_id(names[i]) >= 0) {
            st = scan_part(h, k, part_id(names[i]));
        } else if (ends_in(names[i], ".hdf5" COMMIT_TAIL) &&
                   (size_t)snprintf(path, sizeof path, "%s/%s", k->parts, names[i]) <
                       sizeof path) {
            st = remove_file(h, path);
            k->n_cleaned++;
        }
    }
    pool_free(&mem);
    return st;
}

/* ---- opening
 * ------------------------------------------------------------------------------ */

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
    return k->parts ? EVLA_OK : say_nomem(h, p->path);
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
    if (!st) st = scan_shards(h, k);
    if (!st) st = scan_parts(h, k);
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

/* ---- storing
 * ------------------------------------------------------------------------------ */

int32_t sink_has(const evla_host *h, void *self, int64_t i)
{
    sink *k = self;
    (void)h;
    pthread_mutex_lock(&k->lock);
    int32_t is_there = list_find(k, i) != NULL;
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
    if (!st) st = part_write(h, &k->s, part_path(k, e.id, path, sizeof path), &e);
    if (!st) {
        pthread_mutex_lock(&k->lock);
        st = list_add(h, k,
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

/* ---- finishing
 * ---------------------------------------------------------------------------- */

typedef struct plan {
    int64_t *first; /* shard i holds episodes first[i] .. first[i + 1] - 1 of the list */
    int32_t n;
    int32_t reserved;
} plan;

/* Fills shards in order of ids: a shard is full when the next episode would not fit. */
static int32_t make_plan(const evla_host *h, sink *k, plan *p)
{
    int64_t used = 0;
    p->first = pool_push(&k->mem, (uint64_t)k->n + 2, sizeof *p->first);
    if (!p->first) return say_nomem(h, "a plan of shards");
    p->n = 1;
    for (int64_t i = 0; i < k->n; i++) {
        if (used && used > k->s.p.shard - k->e[i].bytes) {
            if (p->n > MAX_SHARD_NUMBER)
                return say(h, EVLA_E_LIMIT,
                           "hdf5: %s: wants more than %d shards; make shard larger",
                           k->path, MAX_SHARD_NUMBER + 1);
            p->first[p->n++] = i;
            used = 0;
        }
        used += k->e[i].bytes;
    }
    p->first[p->n] = k->n;
    return EVLA_OK;
}

static const char *planned_path(const sink *k, const plan *p, int32_t i, char *out,
                                size_t size)
{
    if (p->n > 1) return shard_path(k, i, out, size);
    snprintf(out, size, "%s", k->path);
    return out;
}

/* The number of the shard file that already is what the plan wants; -1: none. */
static int32_t find_current(const sink *k, const plan *p, int32_t i)
{
    char path[PATH_MAX];
    int64_t n = p->first[i + 1] - p->first[i];
    planned_path(k, p, i, path, sizeof path);
    for (int32_t s = 0; s < k->n_shards; s++) {
        if (strcmp(k->shards[s].path, path) || k->shards[s].n != n ||
            k->shards[s].valid != k->s.p.valid)
            continue;
        int64_t j = p->first[i];
        while (j < p->first[i + 1] && k->e[j].shard == s)
            j++;
        return j == p->first[i + 1] ? s : -1;
    }
    return -1;
}

typedef struct origin {
    const sink *k;
    const stored *e;
} origin;

static const char *origin_path(void *self, int32_t i, char *buffer, size_t size)
{
    const origin *o = self;
    const stored *e = &o->e[i];
    if (e->shard < 0) return part_path(o->k, e->id, buffer, size);
    return o->k->shards[e->shard].path;
}

/* Episodes of a shard that the plan has no place for become parts again; then it goes. */
static int32_t dissolve(const evla_host *h, sink *k, int32_t s)
{
    char path[PATH_MAX];
    for (int64_t i = 0; i < k->n; i++) {
        if (k->e[i].shard != s) continue;
        origin o = {k, &k->e[i]};
        shard_source from = {&o, origin_path};
        int32_t st = shard_write(h, &k->s, part_path(k, k->e[i].id, path, sizeof path),
                                 &k->e[i], 1, &from);
        if (st) return st;
        k->e[i].shard = -1;
    }
    return remove_file(h, k->shards[s].path);
}

/* One planned shard from its parts, which go once it is committed. */
static int32_t assemble(const evla_host *h, sink *k, const plan *p, int32_t i)
{
    char path[PATH_MAX], part[PATH_MAX];
    stored *e = k->e + p->first[i];
    int32_t n = (int32_t)(p->first[i + 1] - p->first[i]);
    origin o = {k, e};
    shard_source from = {&o, origin_path};
    int32_t st =
        shard_write(h, &k->s, planned_path(k, p, i, path, sizeof path), e, n, &from);
    if (!st) st = shard_add(h, k, path, k->s.p.valid);
    if (st) return st;
    k->shards[k->n_shards - 1].is_current = 1;
    k->shards[k->n_shards - 1].n = n;
    for (int32_t j = 0; j < n; j++) {
        st = remove_file(h, part_path(k, e[j].id, part, sizeof part));
        if (st) return st;
        e[j].shard = k->n_shards - 1;
    }
    return EVLA_OK;
}

static const char *link_name(void *self, int32_t shard, char *buffer, size_t size)
{
    const sink *k = self;
    (void)buffer, (void)size;
    return base_name(k->shards[shard].path);
}

int32_t sink_finish(const evla_host *h, void *self)
{
    sink *k = self;
    plan p;
    int32_t st = make_plan(h, k, &p), n_old = k->n_shards, is_whole = 0;
    if (st) return st;
    for (int32_t i = 0; i < p.n; i++) {
        int32_t s = find_current(k, &p, i);
        if (s >= 0) k->shards[s].is_current = 1, is_whole++;
    }
    for (int32_t s = 0; !st && s < n_old; s++)
        if (!k->shards[s].is_current) st = dissolve(h, k, s);
    for (int32_t i = 0; !st && i < p.n; i++)
        if (find_current(k, &p, i) < 0) st = assemble(h, k, &p, i);
    if (!st && p.n > 1) {
        shard_source links = {k, link_name};
        st = index_write(h, &k->s, k->path, k->e, (int32_t)k->n, &links);
    }
    if (st) return st;
    k->is_finished = p.n;
    if (rmdir(k->parts) && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        return commit_fail(h, k->parts, "remove the folder", errno);
    return EVLA_OK;
}

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
