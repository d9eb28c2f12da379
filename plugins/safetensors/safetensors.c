/*
 * safetensors.c -- the model format "safetensors": maps files to read, writes them whole.
 *
 * Written files are the same bytes for the same tensors: the header sorted by name, data by
 * element size, widest first, then name, so that every tensor is aligned to its element in
 * a header padded to 8 bytes.
 *
 * Not here: what a header must look like (header.c).
 */
#include "header.h"
#include "write.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int32_t probe(const evla_host *h, const char *path, const void *head, uint64_t n,
                     uint64_t file_bytes)
{
    static const char ending[] = ".safetensors";
    const uint8_t *p = head;
    size_t k = strlen(path);
    uint64_t n_header = 0, at = 9;
    (void)h;
    if (n >= 10 && p[8] == '{') {
        for (int i = 7; i >= 0; i--)
            n_header = n_header << 8 | p[i];
        while (at < n && (p[at] == ' ' || p[at] == '\n'))
            at++;
        if (n_header <= file_bytes - 8 && at < n && (p[at] == '"' || p[at] == '}'))
            return 2;
    }
    return k >= sizeof ending - 1 && !strcmp(path + k - (sizeof ending - 1), ending);
}

typedef struct open_file {
    void *map;
    size_t n;
    header holds;
} open_file;

static int32_t fail(const evla_host *h, int32_t code, const char *path, const char *what)
{
    char line[600];
    snprintf(line, sizeof line, "%.300s: %s", path, what);
    return h->fail(h, code, line);
}

static int32_t map_file(const evla_host *h, const char *path, open_file *f)
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
        f->n = (size_t)info.st_size;
        f->map = mmap(NULL, f->n, PROT_READ, MAP_PRIVATE, fd, 0);
        if (f->map == MAP_FAILED) {
            f->map = NULL;
            st = fail(h, EVLA_E_IO, path, strerror(errno));
        }
    }
    close(fd);
    return st;
}

static int32_t format_open(const evla_host *h, const char *path, void **self,
                           evla_archive *out)
{
    open_file *f = *self = calloc(1, sizeof *f);
    if (!f) return fail(h, EVLA_E_NOMEM, path, "no memory to open it");
    int32_t st = map_file(h, path, f);
    if (st >= 0) st = header_read(h, path, f->map, f->n, &f->holds);
    if (st < 0) return st;
    out->n_attrs = f->holds.n_attrs;
    out->n_tensors = f->holds.n_tensors;
    out->tensors = f->holds.tensors;
    out->attrs = f->holds.attrs;
    return EVLA_OK;
}

static void format_close(const evla_host *h, void *self)
{
    open_file *f = self;
    (void)h;
    if (!f) return;
    header_free(&f->holds);
    if (f->map) munmap(f->map, f->n);
    free(f);
}

static const evla_format safetensors = {
    .size = sizeof safetensors,
    .endings = ".safetensors",
    .source = "README of https://github.com/huggingface/safetensors",
    .probe = probe,
    .open = format_open,
    .close = format_close,
    .write = write_archive,
};
static const evla_item items[] = {
    {.kind = EVLA_FORMAT,
     .name = "safetensors",
     .table = &safetensors,
     .doc = "named tensors behind a JSON header, as PyTorch models are published"},
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.safetensors",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
