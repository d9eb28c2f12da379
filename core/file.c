/*
 * file.c -- files and folders: whole reads, files that are there whole or not at all,
 * trees. See file.h.
 */
#include "file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int32_t io_fail(ctx *cx, const char *path, const char *what)
{
    const char *remedy = errno == ENOSPC   ? "; free some space and run again"
                         : errno == EACCES ? "; choose another folder"
                                           : "";
    return ctx_fail(cx, EVLA_E_IO, "%s: cannot %s: %s%s", path, what, strerror(errno),
                    remedy);
}

/* ---- writing ---- */

static int write_all(int fd, const void *data, uint64_t n)
{
    enum { MOST = 1 << 30 }; /* what one call takes everywhere */
    const char *p = data;
    while (n) {
        ssize_t k = write(fd, p, n < MOST ? (size_t)n : MOST);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return 0;
        p += k;
        n -= (uint64_t)k;
    }
    return 1;
}

static int sync_folder_of(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash && slash > path ? (int)(slash - path) : 1,
             slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    int good = fsync(fd) == 0 || errno == EINVAL,
        why = errno; /* some cannot sync folders */
    close(fd);
    errno = why;
    return good;
}

static int32_t put_fail(file_new *f)
{
    f->is_bad = 1;
    return io_fail(f->cx, f->path, "be written");
}

int32_t file_begin(ctx *cx, const char *path, file_new *f)
{
    f->cx = cx;
    f->path = path;
    f->is_bad = 0;
    size_t most = sizeof f->temp;
    if (snprintf(f->temp, most, "%s.tmp.%ld", path, (long)getpid()) >= (int)most)
        return ctx_fail(cx, EVLA_E_ARG, "%.200s...: the path is too long", path);
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return f->fd < 0 ? put_fail(f) : 0;
}

int32_t file_put(file_new *f, const void *data, uint64_t n)
{
    return write_all(f->fd, data, n) ? 0 : put_fail(f);
}

int32_t file_end(file_new *f, int32_t st)
{
    if (f->is_bad && st >= 0) st = EVLA_E_IO; /* whoever put did not look */
    if (st >= 0 && fsync(f->fd) < 0) st = put_fail(f);
    if (close(f->fd) < 0 && st >= 0) st = put_fail(f);
    if (st >= 0 && rename(f->temp, f->path) < 0) st = put_fail(f);
    if (st < 0) return unlink(f->temp), st;
    return sync_folder_of(f->path) ? 0 : put_fail(f);
}

int32_t file_replace(ctx *cx, const char *path, const void *data, size_t n)
{
    file_new f;
    int32_t st = file_begin(cx, path, &f);
    return st < 0 ? st : file_end(&f, file_put(&f, data, n));
}

int32_t file_append(ctx *cx, int fd, const char *name, const char *text)
{
    return write_all(fd, text, strlen(text)) ? 0 : io_fail(cx, name, "be written");
}

/* ---- reading ---- */

int32_t file_read(ctx *cx, arena *a, const char *path, size_t most, char **data, size_t *n)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT
                   ? ctx_fail(cx, EVLA_E_MISSING, "%s: there is no such file", path)
                   : io_fail(cx, path, "be opened");
    int32_t code = 0;
    if (fstat(fd, &st) < 0)
        code = io_fail(cx, path, "be looked at");
    else if (!S_ISREG(st.st_mode))
        code = ctx_fail(cx, EVLA_E_FORMAT, "%s: want a file, found a %s", path,
                        S_ISDIR(st.st_mode) ? "folder" : "device");
    else if ((uintmax_t)st.st_size > most)
        code = ctx_fail(cx, EVLA_E_LIMIT, "%s: %lld bytes, want at most %zu", path,
                        (long long)st.st_size, most);
    else if (!(*data = arena_push_aligned(a, (size_t)st.st_size + 1, 1, 1)))
        code = ctx_fail(cx, EVLA_E_NOMEM, "%s: %lld bytes", path, (long long)st.st_size);
    else {
        size_t at = 0;
        for (ssize_t k; at < (size_t)st.st_size; at += (size_t)k) {
            k = read(fd, *data + at, (size_t)st.st_size - at);
            if (k < 0 && errno == EINTR) {
                k = 0;
                continue;
            }
            if (k < 0) code = io_fail(cx, path, "be read");
            if (k <= 0) break;
        }
        (*data)[at] = 0;
        *n = at;
    }
    close(fd);
    return code;
}

/* ---- folders ---- */

int path_leaves(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
        if (!strncmp(p, "..", 2) && (p[2] == '/' || !p[2])) return 1;
    return path[0] == '/';
}

int32_t folder_make(ctx *cx, const char *path)
{
    char part[4096];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return ctx_fail(cx, EVLA_E_ARG, "%.200s...: the path is too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) < 0 && errno != EEXIST) return io_fail(cx, part, "be made");
    }
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return ctx_fail(cx, EVLA_E_IO, "%s: want a folder, found something else", path);
    return 0;
}

static int remove_at(int at, const char *name, int depth)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return 0;
    if (depth > 64) return -1;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0) close(fd);
        return -1;
    }
    int st = 0;
    for (struct dirent *e; st == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            st = remove_at(fd, e->d_name, depth + 1);
    closedir(d);
    return st < 0 ? st : unlinkat(at, name, AT_REMOVEDIR);
}

int32_t folder_remove(ctx *cx, const char *path)
{
    return remove_at(AT_FDCWD, path, 0) < 0 ? io_fail(cx, path, "be removed") : 0;
}
