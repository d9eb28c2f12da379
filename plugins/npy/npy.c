/*
 * npy.c -- the model format "npy": one tensor as NumPy keeps it, for whoever looks at what
 * a model does inside. Files are mapped to read and written whole; numbers that NumPy has
 * no name for are refused.
 *
 * Not here: what stands before the rows (head.c).
 */
#include "head.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 10, ALIGN = 64, MOST_HEAD = 320, MOST_NAME = 200 };

/* ---- reading ---- */

typedef struct mapped {
    void *map;
    size_t n;
    char name[MOST_NAME + 1]; /* the file's, without its ending */
    evla_field field;
} mapped;

static int32_t probe(const evla_host *h, const char *path, const void *head, uint64_t n,
                     uint64_t file_bytes)
{
    (void)h, (void)path, (void)file_bytes;
    return n >= 6 && !memcmp(head, "\x93NUMPY", 6) ? 2 : 0;
}

static int32_t map_file(const evla_host *h, const char *path, mapped *m)
{
    struct stat info;
    int32_t st = EVLA_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return head_refuse(h, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO, path, "%s",
                           strerror(errno));
    if (fstat(fd, &info) < 0)
        st = head_refuse(h, EVLA_E_IO, path, "%s", strerror(errno));
    else if (!S_ISREG(info.st_mode) || info.st_size < 1)
        st = head_refuse(h, EVLA_E_FORMAT, path, "is no plain file, or an empty one");
    else {
        void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            st = head_refuse(h, EVLA_E_IO, path, "%s", strerror(errno));
        else
            m->map = map, m->n = (size_t)info.st_size;
    }
    close(fd);
    return st;
}

static int32_t open_file(const evla_host *h, const char *path, void **self,
                         evla_archive *out)
{
    mapped *m = *self = calloc(1, sizeof *m);
    if (!m) return head_refuse(h, EVLA_E_NOMEM, path, "no memory to open it");
    int32_t st = map_file(h, path, m);
    if (st >= 0) st = head_read(h, path, m->map, m->n, &m->field.value);
    if (st < 0) return st;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t n = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    memcpy(m->name, name, n < MOST_NAME ? n : MOST_NAME);
    m->field.name = m->name;
    out->n_tensors = 1;
    out->tensors = &m->field;
    return EVLA_OK;
}

static void close_file(const evla_host *h, void *self)
{
    mapped *m = self;
    (void)h;
    if (m && m->map) munmap(m->map, m->n);
    free(m);
}

/* ---- writing ---- */

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
    char head[MOST_HEAD], line[400];
    const head_format *format = NULL;
    if (in->n_tensors != 1) {
        snprintf(line, sizeof line, "an npy file holds one tensor, got %" PRId64,
                 in->n_tensors);
        return h->fail(h, EVLA_E_LIMIT, line);
    }
    const evla_tensor *t = &in->tensors[0].value;
    for (int32_t i = 0; i < head_n_formats; i++)
        if (head_formats[i].dtype == t->dtype) format = &head_formats[i];
    if (!format) {
        const char *name = h->dtype_name(h, t->dtype);
        snprintf(line, sizeof line,
                 "tensor %.100s: npy has no name for %.40s; convert it first",
                 in->tensors[0].name, name ? name : "its numbers");
        return h->fail(h, EVLA_E_DTYPE, line);
    }
    int64_t step = format->bytes;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->stride[i] != step) {
            snprintf(line, sizeof line, "tensor %.100s: want dense rows",
                     in->tensors[0].name);
            return h->fail(h, EVLA_E_SHAPE, line);
        }
        step *= t->shape[i];
    }
    int32_t st = to->put(h, to, head, (uint64_t)make_head(t, format->name, head));
    return st < 0 ? st : to->put(h, to, t->data[0], (uint64_t)step);
}

static const evla_format npy = {
    .size = sizeof npy,
    .endings = ".npy",
    .source = "NumPy enhancement proposal 1, version 1.0",
    .probe = probe,
    .open = open_file,
    .close = close_file,
    .write = write_archive,
};
static const evla_item items[] = {{.kind = EVLA_FORMAT,
                                   .name = "npy",
                                   .table = &npy,
                                   .doc = "one tensor as NumPy keeps it"}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.npy",
    .version = "0.2.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
