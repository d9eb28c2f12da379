/*
 * picture.c -- picture files as tensors. See picture.h.
 */
#include "picture.h"
#include "../host.h"
#include "../mem.h"
#include "../registry.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MOST = 128 << 20 /* bytes */ };

static const evla_codec *table_of(const picture *p) { return p->codec->table; }

static int32_t read_all(ctx *cx, int fd, picture *p)
{
    struct stat info;
    const char *name = p->file.name;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return ctx_fail(cx, EVLA_E_FORMAT, "%s: want a file to read", name);
    if (info.st_size > FILE_MOST)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "%s: %lld bytes are too many for a picture; want at most %d", name,
                        (long long)info.st_size, FILE_MOST);
    char *bytes = mem_alloc((size_t)info.st_size + 1);
    p->file.bytes = bytes;
    if (!bytes) return ctx_fail(cx, EVLA_E_NOMEM, "%s: out of memory", name);
    while (p->file.n_bytes < (uint64_t)info.st_size) {
        ssize_t n = read(fd, bytes + p->file.n_bytes,
                         (size_t)info.st_size - (size_t)p->file.n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ctx_fail(cx, EVLA_E_IO, "%s: %s", name, strerror(errno));
        if (n == 0) break;
        p->file.n_bytes += (uint64_t)n;
    }
    return 0;
}

static int32_t find_codec(ctx *cx, picture *p)
{
    int32_t n;
    host h;
    const evla_item *const *all = registry_kind(cx->reg, EVLA_CODEC, &n);
    host_init(&h, cx, NULL);
    for (int32_t i = 0; i < n && !p->codec; i++) {
        const evla_codec *c = all[i]->table;
        arena_place mark = arena_mark(&cx->scratch);
        if (c->probe(&h.table, p->file.bytes, p->file.n_bytes) > 0) p->codec = all[i];
        host_done(&h, mark);
    }
    if (p->codec) return 0;
    if (!n)
        return ctx_fail(
            cx, EVLA_E_MISSING,
            "%s: no loaded plugin reads pictures; evla doctor says what is missing",
            p->file.name);
    const char *names = NULL;
    arena_place mark = arena_mark(&cx->scratch);
    for (int32_t i = 0; i < n; i++)
        names = arena_text(&cx->scratch, "%s%s%s", names ? names : "", names ? ", " : "",
                           all[i]->name);
    ctx_fail(cx, EVLA_E_FORMAT, "%s: is no picture of a known format; want one of: %s",
             p->file.name, names ? names : "");
    arena_reset(&cx->scratch, mark);
    return EVLA_E_FORMAT;
}

int32_t picture_open(ctx *cx, const char *name, int64_t most, picture *out)
{
    int64_t size[2] = {0, 0};
    *out = (picture){.file.name = name};
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ctx_fail(cx, errno == ENOENT ? EVLA_E_MISSING : EVLA_E_IO,
                        "%s: cannot be opened: %s", name, strerror(errno));
    int32_t st = read_all(cx, fd, out);
    close(fd);
    if (st < 0 || (st = find_codec(cx, out)) < 0) return st;
    host h;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    st = table_of(out)->measure(&h.table, &out->file, size);
    host_done(&h, mark);
    if (st < 0) return st;
    int64_t n;
    if (size[0] < 1 || size[1] < 1 || __builtin_mul_overflow(size[0], size[1], &n) ||
        n > most)
        return ctx_fail(cx, EVLA_E_LIMIT,
                        "%s: says that it is %lld x %lld pixels; want 1 to %lld of them",
                        name, (long long)size[1], (long long)size[0], (long long)most);
    out->height = size[0];
    out->width = size[1];
    return 0;
}

void picture_close(picture *p)
{
    mem_free((void *)(uintptr_t)p->file.bytes);
    *p = (picture){0};
}

int32_t picture_decode(ctx *cx, const picture *p, const uint8_t behind[3], uint8_t *rgb)
{
    host h;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = table_of(p)->decode(&h.table, &p->file, behind, rgb);
    host_done(&h, mark);
    return st;
}
