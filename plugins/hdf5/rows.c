/*
 * rows.c -- rows of a dataset, from the file to the caller's memory: see rows.h.
 *
 * Contiguous rows are one pread into place; a chunk that is wanted whole is unpacked into
 * place.
 */
#include "rows.h"
#include "pack.h"
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

/* What unpacking a chunk needs; kept between calls, since fresh pages cost more than
 * inflating. */
typedef struct workspace {
    struct workspace *next;
    struct libdeflate_decompressor *z;
    uint8_t *packed, *a, *b;
    uint64_t packed_bytes, bytes;
} workspace;

static void workspace_free(workspace *w)
{
    libdeflate_free_decompressor(w->z);
    free(w->packed);
    free(w->a);
    free(w->b);
    free(w);
}

static workspace *workspace_get(rows_cache *r, uint64_t packed_bytes, uint64_t bytes)
{
    pthread_mutex_lock(&r->lock);
    workspace *w = r->spare;
    if (w) r->spare = w->next;
    pthread_mutex_unlock(&r->lock);
    if (!w) w = calloc(1, sizeof *w);
    if (w && !w->z) w->z = libdeflate_alloc_decompressor();
    if (w && w->packed_bytes < packed_bytes) {
        free(w->packed);
        w->packed = malloc(packed_bytes);
        w->packed_bytes = packed_bytes;
    }
    if (w && w->bytes < bytes) {
        free(w->a);
        free(w->b);
        w->a = malloc(bytes);
        w->b = malloc(bytes);
        w->bytes = bytes;
    }
    if (!w || !w->z || !w->packed || !w->a || !w->b) {
        if (w) workspace_free(w);
        return NULL;
    }
    return w;
}

static void workspace_put(rows_cache *r, workspace *w)
{
    pthread_mutex_lock(&r->lock);
    w->next = r->spare;
    r->spare = w;
    pthread_mutex_unlock(&r->lock);
}

/* LZF as h5py writes it (Marc Lehmann's liblzf). */
static bool inflate_lzf(const uint8_t *in, uint64_t in_bytes, uint8_t *out, uint64_t bytes)
{
    const uint8_t *end = in + in_bytes;
    uint64_t n = 0;
    while (in < end) {
        uint32_t head = *in++;
        if (head < 32) {
            uint64_t run = head + 1;
            if (run > (uint64_t)(end - in) || run > bytes - n) return false;
            memcpy(out + n, in, run);
            in += run, n += run;
            continue;
        }
        uint64_t run = head >> 5, back = (head & 31) << 8;
        if (run == 7) {
            if (in == end) return false;
            run += *in++;
        }
        if (in == end) return false;
        back += *in++ + 1;
        run += 2;
        if (back > n || run > bytes - n) return false;
        for (; run; run--, n++) /* runs may overlap themselves */
            memmove(out + n, out + n - back, 1);
    }
    return n == bytes;
}

/* Undoes the filters of one chunk, last one first. *out is where the elements end up: in
 * w->a, w->b, or in `direct` when given (the last step then writes there). */
static const uint8_t *unpack(const h5set *s, const h5chunk *k, workspace *w,
                             uint8_t *direct)
{
    const uint8_t *from = w->packed;
    uint64_t n = k->bytes;
    int32_t last = -1; /* the filter that is undone last and moves bytes */
    for (int32_t i = s->n_filters - 1; i >= 0; i--)
        if (!(k->skips >> i & 1) && s->filter[i].id != H5_FLETCHER32 &&
            !(s->filter[i].id == H5_SHUFFLE && s->filter[i].value == 1))
            last = i;
    for (int32_t i = s->n_filters - 1; i >= 0; i--) {
        uint8_t *to = direct && i == last ? direct : from == w->a ? w->b : w->a;
        if (k->skips >> i & 1) continue;
        switch (s->filter[i].id) {
        case H5_FLETCHER32:
            if (n < 4) return NULL;
            n -= 4;
            break;
        case H5_SHUFFLE:
            if (s->filter[i].value == 1) break;
            if (n > s->chunk_bytes) return NULL;
            pack_unshuffle(from, n, s->filter[i].value, to);
            from = to;
            break;
        case H5_DEFLATE: {
            size_t got = 0;
            /* fletcher32 below deflate makes the stream 4 bytes longer than the chunk */
            if (libdeflate_zlib_decompress(w->z, from, n, to,
                                           s->chunk_bytes + (to == direct ? 0 : 4), &got))
                return NULL;
            n = got;
            from = to;
            break;
        }
        default:
            if (!inflate_lzf(from, n, to, s->chunk_bytes)) return NULL;
            n = s->chunk_bytes;
            from = to;
        }
    }
    return n == s->chunk_bytes ? from : NULL;
}

/* Copies the part of a chunk that lies in rows [first, first + n). at: the chunk's first
 * element. */
static void copy_box(const h5set *s, const int64_t *at, const uint8_t *chunk, int64_t first,
                     int64_t n, uint8_t *out)
{
    int64_t from[8], count[8] = {0}, index[8] = {0}, element = s->type.bytes;
    int32_t last = s->rank - 1;
    for (int32_t a = 0; a < s->rank; a++) {
        int64_t low = at[a], high = at[a] + s->chunk[a];
        if (high > s->shape[a]) high = s->shape[a];
        if (a == 0 && low < first) low = first;
        if (a == 0 && high > first + n) high = first + n;
        from[a] = low;
        count[a] = high - low;
        if (count[a] <= 0) return;
    }
    for (;;) {
        int64_t source = 0, target = 0;
        for (int32_t a = 0; a < s->rank; a++) {
            int64_t x = from[a] + index[a];
            source = source * s->chunk[a] + (x - at[a]);
            target = target * s->shape[a] + (a == 0 ? x - first : x);
        }
        memcpy(out + target * element, chunk + source * element,
               (size_t)(count[last] * element));
        int32_t a = last - 1;
        while (a >= 0 && ++index[a] == count[a])
            index[a--] = 0;
        if (a < 0) return;
    }
}

static int32_t one_chunk(const evla_host *h, const h5file *f, const char *name,
                         const h5set *s, const int64_t *at, const h5chunk *k, int64_t first,
                         int64_t n, workspace *w, uint8_t *out)
{
    uint64_t row = s->bytes / (uint64_t)s->shape[0]; /* shape[0] > 0: there is a chunk */
    bool is_rows = true, is_whole = at[0] >= first && at[0] + s->chunk[0] <= first + n;
    for (int32_t a = 1; a < s->rank; a++)
        is_rows = is_rows && s->chunk[a] == s->shape[a];
    uint8_t *direct = is_rows && is_whole ? out + (uint64_t)(at[0] - first) * row : NULL;
    if (k->at == 0) return EVLA_OK; /* never written: zeros, which is what out holds */
    int32_t st;
    if (s->n_filters == 0 && is_rows) { /* straight from the file */
        int64_t low = at[0] > first ? at[0] : first, high = at[0] + s->chunk[0];
        if (high > first + n) high = first + n;
        return h5file_read(h, f, k->at + (uint64_t)(low - at[0]) * row,
                           (uint64_t)(high - low) * row,
                           out + (uint64_t)(low - first) * row);
    }
    if ((st = h5file_read(h, f, k->at, k->bytes, w->packed)) != 0) return st;
    const uint8_t *plain = unpack(s, k, w, direct);
    if (!plain)
        return say(h, EVLA_E_FORMAT,
                   "hdf5: %s: a chunk of %s at byte %llu does not unpack: the file is "
                   "damaged; copy "
                   "it again or make it anew",
                   f->path, name, (unsigned long long)k->at);
    if (is_rows) {
        int64_t low = at[0] > first ? at[0] : first, high = at[0] + s->chunk[0];
        if (high > first + n) high = first + n;
        if (plain != direct)
            memcpy(out + (uint64_t)(low - first) * row,
                   plain + (uint64_t)(low - at[0]) * row, (uint64_t)(high - low) * row);
    } else {
        copy_box(s, at, plain, first, n, out);
    }
    return EVLA_OK;
}

static int32_t chunked_rows(const evla_host *h, rows_cache *r, const h5file *f,
                            const char *name, const h5set *s, int64_t first, int64_t n,
                            uint8_t *out)
{
    int64_t per_row = 1, low = first / s->chunk[0], high = (first + n - 1) / s->chunk[0];
    uint64_t packed = 0;
    int32_t st = EVLA_OK;
    for (int32_t a = 1; a < s->rank; a++)
        per_row *= s->grid[a];
    for (int64_t i = low * per_row; i < (high + 1) * per_row; i++) {
        if (s->chunks[i].bytes > packed) packed = s->chunks[i].bytes;
        if (s->chunks[i].at == 0)
            memset(out, 0, (uint64_t)n * (s->bytes / (uint64_t)s->shape[0]));
    }
    workspace *w = workspace_get(r, packed + 1, s->chunk_bytes + 8);
    if (!w) return say_nomem(h, "a chunk");
    for (int64_t i = low * per_row; !st && i < (high + 1) * per_row; i++) {
        int64_t at[8] = {0}, rest = i;
        for (int32_t a = s->rank - 1; a >= 0; a--) {
            at[a] = rest % s->grid[a] * s->chunk[a];
            rest /= s->grid[a];
        }
        st = one_chunk(h, f, name, s, at, &s->chunks[i], first, n, w, out);
    }
    workspace_put(r, w);
    return st;
}

static void swap_bytes(uint8_t *p, uint64_t bytes, uint32_t element)
{
    for (uint64_t at = 0; at + element <= bytes; at += element)
        for (uint32_t i = 0; i < element / 2; i++) {
            uint8_t x = p[at + i];
            p[at + i] = p[at + element - 1 - i];
            p[at + element - 1 - i] = x;
        }
}

void rows_open(rows_cache *r)
{
    pthread_mutex_init(&r->lock, NULL);
    r->spare = NULL;
}

void rows_close(rows_cache *r)
{
    while (r->spare) {
        workspace *w = r->spare;
        r->spare = w->next;
        workspace_free(w);
    }
    pthread_mutex_destroy(&r->lock);
}

int32_t rows_read(const evla_host *h, const h5file *f, rows_cache *r, const char *name,
                  const h5set *s, int64_t first, int64_t n, void *out)
{
    int64_t rows = s->rank ? s->shape[0] : 1;
    int32_t st = EVLA_OK;
    if (first < 0 || n < 0 || n > rows || first > rows - n)
        return say(h, EVLA_E_RANGE,
                   "hdf5: %s: %s has %lld rows, but %lld from %lld were asked for", f->path,
                   name, (long long)rows, (long long)n, (long long)first);
    if (n == 0 || s->bytes == 0) return EVLA_OK;
    uint64_t row = s->bytes / (uint64_t)rows, at = (uint64_t)first * row,
             bytes = (uint64_t)n * row;
    if (s->layout == H5_COMPACT)
        memcpy(out, s->compact + at, bytes);
    else if (s->layout == H5_CHUNKED)
        st = chunked_rows(h, r, f, name, s, first, n, out);
    else if (s->at == UINT64_MAX)
        memset(out, 0, bytes);
    else
        st = h5file_read(h, f, s->at + at, bytes, out);
    if (!st && s->type.is_big_endian) swap_bytes(out, bytes, s->type.bytes);
    return st;
}
