/*
 * parts.c -- maps the files of a model and gathers their tensors. See parts.h.
 */
#include "parts.h"
#include "head.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct part {
    struct part *next;
    void *map;
    size_t n;
    head holds;
} part;

__attribute__((format(printf, 4, 5))) static int32_t
fail(const evla_host *h, int32_t code, const char *path, const char *format, ...)
{
    char what[700], line[1100];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%.300s: %s", path, what);
    return h->fail(h, code, line);
}

static int32_t map_file(const evla_host *h, const char *path, part *p)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(h, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO, path, "%s",
                    strerror(errno));
    int32_t st = EVLA_OK;
    if (fstat(fd, &info) < 0)
        st = fail(h, EVLA_E_IO, path, "%s", strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = fail(h, EVLA_E_FORMAT, path, "is no plain file");
    else if (!info.st_size)
        st = fail(h, EVLA_E_FORMAT, path, "is empty");
    else {
        p->n = (size_t)info.st_size;
        p->map = mmap(NULL, p->n, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p->map == MAP_FAILED) {
            p->map = NULL;
            st = fail(h, EVLA_E_IO, path, "%s", strerror(errno));
        }
    }
    close(fd);
    return st;
}

/* Adds a part behind *last, which close finds even when it could not be read. */
static int32_t add_part(const evla_host *h, const char *path, part **last)
{
    part *p = *last = calloc(1, sizeof *p);
    if (!p) return fail(h, EVLA_E_NOMEM, path, "no memory to open it");
    int32_t st = map_file(h, path, p);
    return st < 0 ? st : head_read(h, path, p->map, p->n, &p->holds);
}

/* ---- several files ---- */

enum { ENDING = sizeof "-00001-of-00003.gguf" - 1, PARTS_MOST = 99999 };

/* How the name of part i of n ends. */
static void set_ending(char *out, int64_t i, int64_t n)
{
    char text[64];
    snprintf(text, sizeof text, "-%05lld-of-%05lld.gguf", (long long)i + 1, (long long)n);
    memcpy(out, text, ENDING);
    out[ENDING] = 0;
}

/* The name of part i of the n to which `path` belongs; held by the host. */
static char *name_of(const evla_host *h, const char *path, int64_t i, int64_t n)
{
    size_t k = strlen(path);
    char *name = h->hold(h, k + 1);
    if (!name) return NULL;
    memcpy(name, path, k - ENDING);
    set_ending(name + k - ENDING, i, n);
    return name;
}

/* A file says that it is a part: by its name the others are found. */
static int32_t check_name(const evla_host *h, const char *path, const head *x)
{
    char ending[ENDING + 1];
    size_t k = strlen(path);
    if (x->n_parts > PARTS_MOST || x->part >= x->n_parts)
        return fail(h, EVLA_E_FORMAT, path, "claims to be part %lld of %lld",
                    (long long)x->part + 1, (long long)x->n_parts);
    set_ending(ending, x->part, x->n_parts);
    if (k < ENDING || strcmp(path + k - ENDING, ending) != 0)
        return fail(h, EVLA_E_FORMAT, path,
                    "is part %lld of %lld, whose name should end in %s, so that the others "
                    "are found",
                    (long long)x->part + 1, (long long)x->n_parts, ending);
    return EVLA_OK;
}

/* Part i of the n to which `path` belongs. */
static int32_t add_sibling(const evla_host *h, const char *path, int64_t i, int64_t n,
                           part **out)
{
    const char *name = name_of(h, path, i, n);
    if (!name) return EVLA_E_NOMEM;
    if (access(name, F_OK) < 0 && errno == ENOENT)
        return fail(h, EVLA_E_MISSING, name, "is not there, and %.300s is in %lld files",
                    path, (long long)n);
    int32_t st = add_part(h, name, out);
    const head *x = &(*out)->holds;
    if (st >= 0 && (x->part != i || x->n_parts != n))
        st = fail(h, EVLA_E_FORMAT, name,
                  "its name says part %lld of %lld, it says %lld of %lld", (long long)i + 1,
                  (long long)n, (long long)x->part + 1, (long long)x->n_parts);
    return st;
}

/* The names of all parts but the one that was opened. */
static int32_t name_others(const evla_host *h, const char *path, int64_t opened, int64_t n,
                           evla_archive *out)
{
    const char **all = h->hold(h, (uint64_t)n * sizeof *all);
    if (!all) return EVLA_E_NOMEM;
    out->files = all;
    for (int64_t i = 0; i < n; i++)
        if (i != opened && !(all[out->n_files++] = name_of(h, path, i, n)))
            return EVLA_E_NOMEM;
    return EVLA_OK;
}

/* Opens the file, or the first of all its parts. */
static int32_t add_first(const evla_host *h, const char *path, part **first,
                         evla_archive *out)
{
    int32_t st = add_part(h, path, first);
    if (st < 0 || !(*first)->holds.n_parts) return st;
    head x = (*first)->holds;
    st = check_name(h, path, &x);
    if (st >= 0) st = name_others(h, path, x.part, x.n_parts, out);
    if (st < 0 || !x.part) return st;
    parts_close(h, *first);
    *first = NULL;
    return add_sibling(h, path, 0, x.n_parts, first);
}

/* All parts' tensors in one list, by name. */
static int32_t gather(const evla_host *h, const char *path, const part *first,
                      evla_archive *out)
{
    const head *x = &first->holds;
    evla_field *all = x->tensors;
    int64_t n = 0, said = x->n_tensors_of_all;
    for (const part *p = first; p; p = p->next)
        n += p->holds.n_tensors;
    if (x->n_parts && said >= 0 && said != n)
        return fail(h, EVLA_E_FORMAT, path,
                    "claims %lld tensors in %lld files, there are %lld", (long long)said,
                    (long long)x->n_parts, (long long)n);
    if (first->next) {
        if (!(all = h->hold(h, (uint64_t)n * sizeof *all + 1))) return EVLA_E_NOMEM;
        n = 0;
        for (const part *p = first; p; n += p->holds.n_tensors, p = p->next)
            if (p->holds.n_tensors)
                memcpy(all + n, p->holds.tensors, (size_t)p->holds.n_tensors * sizeof *all);
    }
    out->tensors = all;
    out->n_tensors = n;
    out->attrs = x->attrs;
    out->n_attrs = x->n_attrs;
    return head_sort_tensors(h, path, all, n);
}

int32_t parts_open(const evla_host *h, const char *path, void **self, evla_archive *out)
{
    part *first = NULL, *last;
    int32_t st = add_first(h, path, &first, out);
    *self = last = first;
    for (int64_t i = 1; st >= 0 && i < first->holds.n_parts; i++, last = last->next)
        st = add_sibling(h, path, i, first->holds.n_parts, &last->next);
    return st < 0 ? st : gather(h, path, first, out);
}

void parts_close(const evla_host *h, void *self)
{
    (void)h;
    for (part *p = self, *next; p; p = next) {
        next = p->next;
        if (p->map) munmap(p->map, p->n);
        free(p);
    }
}
