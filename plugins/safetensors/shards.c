/*
 * shards.c -- maps the files of a model and gathers their tensors. See shards.h.
 */
#include "shards.h"
#include "header.h"
#include "index.h"
#include "json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct shard {
    struct shard *next;
    void *map;
    size_t n;
    header holds;
} shard;

typedef struct model {
    shard *first; /* of an index: the index itself, which holds no tensors */
    shard *last;
    shard_index index;
    evla_field *tensors; /* of all shards, by name; NULL: one file's own */
} model;

static int32_t fail(const evla_host *h, int32_t code, const char *path, const char *what)
{
    char line[1000];
    snprintf(line, sizeof line, "%.300s: %s", path, what);
    return h->fail(h, code, line);
}

static int32_t map_file(const evla_host *h, const char *path, shard *s)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(h, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO, path, strerror(errno));
    int32_t st = EVLA_OK;
    if (fstat(fd, &info) < 0)
        st = fail(h, EVLA_E_IO, path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = fail(h, EVLA_E_FORMAT, path, "is no plain file");
    else if (info.st_size < 8)
        st = fail(h, EVLA_E_FORMAT, path, "is too short for a safetensors file");
    else {
        s->n = (size_t)info.st_size;
        s->map = mmap(NULL, s->n, PROT_READ, MAP_PRIVATE, fd, 0);
        if (s->map == MAP_FAILED) {
            s->map = NULL;
            st = fail(h, EVLA_E_IO, path, strerror(errno));
        }
    }
    close(fd);
    return st;
}

/* A file behind the last, which close finds even when it could not be read. */
static int32_t add_file(const evla_host *h, const char *path, model *m)
{
    shard *s = calloc(1, sizeof *s);
    if (!s) return fail(h, EVLA_E_NOMEM, path, "no memory to open it");
    *(m->last ? &m->last->next : &m->first) = s;
    m->last = s;
    return map_file(h, path, s);
}

int shards_is_json(const void *head, uint64_t n)
{
    const char *p = head;
    uint64_t at = 0;
    if (n < 8 || memchr(p, 0, 8)) return 0;
    while (at < n && (p[at] == ' ' || p[at] == '\n' || p[at] == '\t' || p[at] == '\r'))
        at++;
    return at < n && p[at] == '{';
}

/* ---- several files ---- */

/* Holds a shard just the n tensors that the index says, both by name? */
static int32_t check_shard(const evla_host *h, const char *path, const header *x,
                           const index_entry *want, int64_t n)
{
    const json at = {.h = h, .path = path};
    char cut[JSON_SHOWN], name[JSON_SHOWN];
    json_shown(want->file, cut);
    for (int64_t i = 0; i < n || i < x->n_tensors; i++) {
        int order = i >= n              ? 1
                    : i >= x->n_tensors ? -1
                                        : strcmp(want[i].tensor, x->tensors[i].name);
        if (order < 0)
            return json_fail(&at, EVLA_E_FORMAT,
                             "tensor %s is not in %s, where the index has it",
                             json_shown(want[i].tensor, name), cut);
        if (order > 0)
            return json_fail(&at, EVLA_E_FORMAT,
                             "tensor %s is in %s, where the index has none",
                             json_shown(x->tensors[i].name, name), cut);
    }
    return EVLA_OK;
}

/* The name of a file beside the index; held by the host. */
static const char *beside(const evla_host *h, const char *path, const char *file)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0, k = strlen(file);
    char *name = h->hold(h, folder + k + 1);
    if (!name) return NULL;
    memcpy(name, path, folder);
    memcpy(name + folder, file, k + 1);
    return name;
}

/* The file of n entries. */
static int32_t add_shard(const evla_host *h, const char *path, const char *name,
                         const index_entry *want, int64_t n, model *m)
{
    const json at = {.h = h, .path = path};
    char cut[JSON_SHOWN];
    if (access(name, F_OK) < 0 && errno == ENOENT)
        return json_fail(&at, EVLA_E_MISSING, "its file %s is not there",
                         json_shown(want->file, cut));
    int32_t st = add_file(h, name, m);
    if (st >= 0) st = header_read(h, name, m->last->map, m->last->n, &m->last->holds);
    return st < 0 ? st : check_shard(h, path, &m->last->holds, want, n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const evla_field *)a)->name, ((const evla_field *)b)->name);
}

static int32_t open_all(const evla_host *h, const char *path, model *m, evla_archive *out)
{
    const index_entry *e = m->index.entries;
    const char **files = h->hold(h, (INDEX_FILES + 1) * sizeof *files), *name;
    int64_t n = m->index.n, k;
    if (!files) return EVLA_E_NOMEM;
    out->files = files;
    for (int64_t i = 0; i < n; i += k) {
        for (k = 1; i + k < n && !strcmp(e[i].file, e[i + k].file);)
            k++;
        if (!(name = beside(h, path, e[i].file))) return EVLA_E_NOMEM;
        files[out->n_files++] = name;
        int32_t st = add_shard(h, path, name, &e[i], k, m);
        if (st < 0) return st;
    }
    m->tensors = malloc(((size_t)n + 1) * sizeof *m->tensors);
    if (!m->tensors) return fail(h, EVLA_E_NOMEM, path, "no memory for its tensors");
    n = 0;
    for (const shard *s = m->first->next; s; n += s->holds.n_tensors, s = s->next)
        memcpy(m->tensors + n, s->holds.tensors,
               (size_t)s->holds.n_tensors * sizeof *m->tensors);
    if (n) qsort(m->tensors, (size_t)n, sizeof *m->tensors, by_name);
    out->n_tensors = n;
    out->tensors = m->tensors;
    const shard *first = m->first->next;
    out->n_attrs = first ? first->holds.n_attrs : 0;
    out->attrs = first ? first->holds.attrs : NULL;
    return EVLA_OK;
}

/* ---- a model ---- */

int32_t shards_open(const evla_host *h, const char *path, void **self, evla_archive *out)
{
    model *m = *self = calloc(1, sizeof *m);
    if (!m) return fail(h, EVLA_E_NOMEM, path, "no memory to open it");
    int32_t st = add_file(h, path, m);
    if (st < 0) return st;
    shard *s = m->first;
    if (shards_is_json(s->map, s->n)) {
        st = index_read(h, path, s->map, s->n, &m->index);
        return st < 0 ? st : open_all(h, path, m, out);
    }
    st = header_read(h, path, s->map, s->n, &s->holds);
    if (st < 0) return st;
    out->n_attrs = s->holds.n_attrs;
    out->n_tensors = s->holds.n_tensors;
    out->tensors = s->holds.tensors;
    out->attrs = s->holds.attrs;
    return EVLA_OK;
}

void shards_close(const evla_host *h, void *self)
{
    model *m = self;
    (void)h;
    if (!m) return;
    for (shard *s = m->first, *next; s; s = next) {
        next = s->next;
        header_free(&s->holds);
        if (s->map) munmap(s->map, s->n);
        free(s);
    }
    index_free(&m->index);
    free(m->tensors);
    free(m);
}
