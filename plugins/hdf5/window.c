/*
 * window.c -- one aligned buffer in front of a file: see window.h.
 *
 * The buffer is the truth for its range; everything else is in the file. So a range may be
 * written past the cache and through it, one after the other, which the kernel keeps
 * coherent.
 */
#include "window.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 2 << 20, BLOCK = 4096, LARGE = 1 << 16 };

int window_open(window *w, int fd, const char *path, bool is_reading)
{
    if (w->data && w->direct >= 0) close(w->direct);
    *w = (window){.data = w->data, .fd = fd, .direct = -1};
    if (!w->data) w->data = aligned_alloc(BLOCK, WIDTH);
    if (!w->data) return ENOMEM;
    w->direct =
        open(path, (is_reading ? O_RDONLY : O_WRONLY) | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
    return 0;
}

void window_close(window *w)
{
    if (w->data && w->direct >= 0) close(w->direct);
    free(w->data);
    w->data = NULL;
    w->direct = -1;
}

static int write_all(int fd, const uint8_t *data, uint64_t n, uint64_t at)
{
    while (n) {
        ssize_t done = pwrite(fd, data, n, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? errno : ENOSPC;
        data += done, at += (uint64_t)done, n -= (uint64_t)done;
    }
    return 0;
}

/* Fewer bytes than asked for: the file ended. */
static int read_some(int fd, uint8_t *out, uint64_t n, uint64_t at, uint64_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t done = pread(fd, out + *got, n - *got, (off_t)(at + *got));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        if (done == 0) break;
        *got += (uint64_t)done;
    }
    return 0;
}

int window_flush(window *w)
{
    int error = EINVAL;
    if (!w->is_there || !w->is_dirty) return 0;
    uint64_t whole = (w->top + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
    memset(w->data + w->top, 0, whole - w->top);
    /* a short write leaves an odd rest, which O_DIRECT refuses: then, too, through the
     * cache */
    if (w->direct >= 0) error = write_all(w->direct, w->data, whole, w->at);
    if (error == EINVAL) error = write_all(w->fd, w->data, w->top, w->at);
    w->is_dirty = error != 0;
    return error;
}

/* Moves to the blocks from `at` on, with what the file holds there. */
static int move(window *w, uint64_t at)
{
    uint64_t got = 0;
    int error = window_flush(w);
    if (error) return error;
    w->at = at & ~(uint64_t)(BLOCK - 1);
    w->is_there = 1;
    if (w->at < w->end) {
        uint64_t n = w->end - w->at < WIDTH ? w->end - w->at : WIDTH;
        error = read_some(w->fd, w->data, n, w->at, &got);
    }
    w->top = got;
    return error;
}

int window_write(window *w, uint64_t at, const void *from, uint64_t n, bool moves)
{
    const uint8_t *data = from;
    while (n) {
        uint64_t k = n;
        int error = 0;
        if (w->is_there && at >= w->at && at - w->at < WIDTH) {
            uint64_t place = at - w->at;
            if (k > WIDTH - place) k = WIDTH - place;
            if (place > w->top) memset(w->data + w->top, 0, place - w->top);
            memcpy(w->data + place, data, k);
            if (w->top < place + k) w->top = place + k;
            w->is_dirty = 1;
        } else if (moves && (!w->is_there || at > w->at)) {
            k = 0;
            error = move(w, at);
        } else {
            if (w->is_there && at < w->at && k > w->at - at) k = w->at - at;
            error = write_all(w->fd, data, k, at);
        }
        if (error) return error;
        at += k, data += k, n -= k;
        if (k && w->end < at) w->end = at;
    }
    return 0;
}

int window_read(window *w, uint64_t at, void *to, uint64_t n)
{
    uint8_t *out = to;
    while (n) {
        uint64_t k = n, got = 0;
        int error = 0;
        if (w->is_there && at >= w->at && at - w->at < WIDTH) {
            uint64_t place = at - w->at, held = place < w->top ? w->top - place : 0;
            if (k > WIDTH - place) k = WIDTH - place;
            if (held > k) held = k;
            memcpy(out, w->data + place, held);
            memset(out + held, 0, k - held);
        } else {
            if (w->is_there && at < w->at && k > w->at - at) k = w->at - at;
            error = read_some(w->fd, out, k, at, &got);
            memset(out + got, 0, k - got);
        }
        if (error) return error;
        at += k, out += k, n -= k;
    }
    return 0;
}

int window_fetch(window *w, uint64_t at, void *to, uint64_t n)
{
    uint8_t *out = to;
    uint64_t got;
    int error;
    while (n >= LARGE && w->direct >= 0) {
        uint64_t from = at & ~(uint64_t)(BLOCK - 1), head = at - from;
        uint64_t whole = (head + n + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
        if (whole > WIDTH) whole = WIDTH;
        ssize_t done = pread(w->direct, w->data, whole, (off_t)from);
        if (done < 0 && errno == EINTR) continue;
        if (done <= (ssize_t)head) break; /* let the cache try */
        uint64_t k = (uint64_t)done - head < n ? (uint64_t)done - head : n;
        memcpy(out, w->data + head, k);
        at += k, out += k, n -= k;
    }
    error = n ? read_some(w->fd, out, n, at, &got) : 0;
    return error ? error : n && got < n ? EIO : 0;
}
