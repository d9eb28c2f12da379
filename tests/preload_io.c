/*
 * preload_io.c -- counts what changes files, and kills the process or fails the call at
 * number N.
 *
 * For LD_PRELOAD. A test finds preload_io_arm and preload_io_count with dlsym; until armed,
 * and for standard output and error, nothing is counted. Counted are writes of every kind,
 * fsync, ftruncate, rename, mkdir, rmdir, unlink, and open with O_CREAT.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    COUNT = 0,
    KILL_BEFORE = 1,
    KILL_INSIDE = 2,
    FULL = 3,
    FULL_INSIDE = 4,
    ONE_EIO = 5
};

static atomic_long count;
static long at;
static int mode;

void preload_io_arm(long n, int how);
long preload_io_count(void);

void preload_io_arm(long n, int how)
{
    at = n;
    mode = how;
    atomic_store(&count, 0);
}

long preload_io_count(void) { return atomic_load(&count); }

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

#define REAL(type, name, ...)                                                              \
    static type (*real)(__VA_ARGS__);                                                      \
    if (!real) {                                                                           \
        void *p = next(#name);                                                             \
        memcpy(&real, &p, sizeof real);                                                    \
    }

/* What to do now: 0 go on, 1 fail with errno set, 2 do a part of it, then ask finish_part.
 */
static int turn(int is_counted, int may_fail)
{
    if (!at || !is_counted) return 0;
    long n = atomic_fetch_add(&count, 1) + 1;
    switch (mode) {
    case KILL_BEFORE:
        if (n == at) raise(SIGKILL);
        return 0;
    case KILL_INSIDE:
        return n == at ? 2 : 0;
    case FULL:
        errno = ENOSPC;
        return may_fail && n >= at;
    case FULL_INSIDE:
        errno = ENOSPC;
        return !may_fail || n < at ? 0 : n == at ? 2 : 1;
    case ONE_EIO:
        errno = EIO;
        return n == at;
    default:
        return 0;
    }
}

/* After a part was done: dies, or lets the caller see it. */
static void finish_part(void)
{
    if (mode == KILL_INSIDE) raise(SIGKILL);
}

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(ssize_t, write, int, const void *, size_t)
    int t = turn(fd > 2, 1);
    if (t == 1) return -1;
    ssize_t done = real(fd, data, t == 2 ? (n + 1) / 2 : n);
    if (t == 2) finish_part();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
    int t = turn(fd > 2, 1);
    if (t == 1) return -1;
    ssize_t done = real(fd, data, t == 2 ? (n + 1) / 2 : n, offset);
    if (t == 2) finish_part();
    return done;
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t offset)
{
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
    struct iovec part = v[0];
    int t = turn(fd > 2, 1);
    if (t == 1) return -1;
    part.iov_len = (part.iov_len + 1) / 2;
    ssize_t done = t == 2 ? real(fd, n > 1 ? v : &part, n > 1 ? (n + 1) / 2 : 1, offset)
                          : real(fd, v, n, offset);
    if (t == 2) finish_part();
    return done;
}

int fsync(int fd)
{
    REAL(int, fsync, int)
    int t = turn(1, 1);
    if (t == 1) return -1;
    int st = real(fd);
    if (t == 2) finish_part();
    return st;
}

int ftruncate(int fd, off_t n)
{
    REAL(int, ftruncate, int, off_t)
    int t = turn(1, 1);
    if (t == 1) return -1;
    int st = real(fd, n);
    if (t == 2) finish_part();
    return st;
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *)
    int t = turn(1, 1);
    if (t == 1) return -1;
    int st = real(from, to);
    if (t == 2) finish_part();
    return st;
}

int mkdir(const char *path, mode_t bits)
{
    REAL(int, mkdir, const char *, mode_t)
    int t = turn(1, 1);
    if (t == 1) return -1;
    int st = real(path, bits);
    if (t == 2) finish_part();
    return st;
}

/* A full disk still lets files go. */
int unlink(const char *path)
{
    REAL(int, unlink, const char *)
    int t = turn(1, 0);
    if (t == 1) return -1;
    int st = real(path);
    if (t == 2) finish_part();
    return st;
}

int rmdir(const char *path)
{
    REAL(int, rmdir, const char *)
    int t = turn(1, 0);
    if (t == 1) return -1;
    int st = real(path);
    if (t == 2) finish_part();
    return st;
}

int open(const char *path, int flags, ...)
{
    REAL(int, open, const char *, int, ...)
    va_list ap;
    va_start(ap, flags);
    mode_t bits = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    int t = turn(flags & O_CREAT, 1);
    if (t == 1) return -1;
    int fd = real(path, flags, bits);
    if (t == 2) finish_part();
    return fd;
}
