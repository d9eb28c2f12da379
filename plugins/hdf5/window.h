/*
 * window.h -- reads and writes a file through one aligned buffer, past the page cache.
 *
 * An episode is written once and read back once, much later: its pages would only push out
 * what is in use, and taking fresh ones costs more than the disk (measured on a virtual
 * machine: 350 MB/s through the cache, 2100 MB/s past it). Where O_DIRECT is refused, as on
 * tmpfs, the same calls go through the cache.
 */
#ifndef EVLA_HDF5_WINDOW_H
#define EVLA_HDF5_WINDOW_H
#include "common.h"

typedef struct window {
    uint8_t *data;
    uint64_t at;    /* of data[0] in the file, once is_there */
    uint64_t top;   /* bytes of data in use; what follows counts as zeros */
    uint64_t end;   /* of all that was written */
    int32_t fd;     /* through the cache; borrowed */
    int32_t direct; /* past the cache; -1: refused */
    int32_t is_there, is_dirty;
} window;

/* fd stays the caller's; path is opened a second time. A window that is zeroed or was
 * opened before; then its memory is used again. 0 or errno. */
int window_open(window *w, int fd, const char *path, bool is_reading);
void window_close(window *w);
/* The following return 0 or errno. */

/* moves: the window follows, so that large writes in rising order leave by it; else bytes
 * outside of it go through the cache. */
int window_write(window *w, uint64_t at, const void *data, uint64_t n, bool moves);
/* What was written, zeros where nothing was. */
int window_read(window *w, uint64_t at, void *out, uint64_t n);
int window_flush(window *w);
/* Reads n bytes of a file that nobody writes, large pieces past the cache. EIO past its
 * end. */
int window_fetch(window *w, uint64_t at, void *out, uint64_t n);
#endif
