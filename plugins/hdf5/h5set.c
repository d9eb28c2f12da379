/*
 * h5set.c -- datasets: element types, shapes, filters, and where the bytes lie. See
 * h5file.h.
 */
#include "h5file.h"
#include <string.h>

enum { M_SPACE = 1, M_TYPE = 3, M_FILL = 5, M_LAYOUT = 8, M_FILTERS = 11, SHARED = 2 };
enum {
    MAX_LEVEL = 16,
    UNWRITTEN_MAX = 1 << 28, /* zeros a file may claim without holding them */
    RATIO = 1100             /* deflate makes at most 1032 bytes of one; lzf fewer */
};

/* ---- types ------------------------------------------------------------------------- */

static void float_type(cursor c, uint64_t bits, h5type *t)
{
    uint64_t offset = cursor_get(&c, 2), precision = cursor_get(&c, 2),
             e_at = cursor_get(&c, 1);
    uint64_t e_bits = cursor_get(&c, 1), m_at = cursor_get(&c, 1),
             m_bits = cursor_get(&c, 1);
    uint64_t bias = cursor_get(&c, 4), sign_at = bits >> 8 & 0xff;
    if (c.is_short || offset || m_at || precision != 8 * t->bytes ||
        sign_at != precision - 1 || e_at != m_bits ||
        (bits >> 4 & 3) != 2) /* the leading 1 is implied */
        return;
    if (precision == 16 && e_bits == 5 && bias == 15) t->dtype = H5_F16;
    if (precision == 32 && e_bits == 8 && bias == 127) t->dtype = EVLA_F32;
    if (precision == 64 && e_bits == 11 && bias == 1023) t->dtype = EVLA_F64;
}

static void int_type(cursor c, uint64_t bits, h5type *t)
{
    static const int32_t plain[2][4] = {{EVLA_U8, EVLA_U16, EVLA_U32, EVLA_U64},
                                        {EVLA_I8, EVLA_I16, EVLA_I32, EVLA_I64}};
    uint64_t offset = cursor_get(&c, 2), precision = cursor_get(&c, 2);
    if (c.is_short || offset || precision != 8 * t->bytes) return;
    for (int i = 0; i < 4; i++)
        if (t->bytes == 1u << i) t->dtype = plain[bits >> 3 & 1][i];
}

/* numpy's bool: an enumeration {FALSE = 0, TRUE = 1} over one byte. */
static void enum_type(cursor c, uint64_t bits, uint64_t version, h5type *t)
{
    h5type base;
    uint64_t pad = version < 3 ? 8 : 6;
    cursor names = c;
    h5file_type(c, &base);
    if (bits != 2 || base.bytes != 1 || t->bytes != 1) return;
    cursor_take(&names, 12); /* the base: an integer */
    const uint8_t *no = cursor_take(&names, pad),
                  *yes = cursor_take(&names, pad - (version >= 3));
    const uint8_t *value = cursor_take(&names, 2);
    if (value && !memcmp(no, "FALSE", 6) && !memcmp(yes, "TRUE", 5) && !value[0] &&
        value[1] == 1)
        t->dtype = EVLA_BOOL;
}

void h5file_type(cursor c, h5type *t)
{
    uint64_t head = cursor_get(&c, 1), bits = cursor_get(&c, 3);
    *t = (h5type){.dtype = H5_OTHER, .bytes = (uint32_t)cursor_get(&c, 4)};
    if (c.is_short || t->bytes == 0 || head >> 4 < 1 || head >> 4 > 3) return;
    switch (head & 15) {
    case 0:
        int_type(c, bits, t);
        break;
    case 1:
        float_type(c, bits & ~(uint64_t)1, t);
        break;
    case 3:
        t->dtype = H5_TEXT;
        break;
    case 8:
        enum_type(c, bits & 0xffff, head >> 4, t);
        break;
    case 9:
        t->dtype = (bits & 15) == 1 ? H5_TEXT : H5_OTHER;
        t->is_variable = 1;
        break;
    default:
        break;
    }
    t->is_big_endian = (head & 15) < 2 && bits & 1;
}

/* rank -1: the null space, which holds nothing. */
int32_t h5file_space(h5walk *w, cursor c, int32_t *rank, int64_t *shape)
{
    uint64_t version = cursor_get(&c, 1), n = cursor_get(&c, 1);
    cursor_take(&c, 1);
    uint64_t kind = cursor_get(&c, 1);
    *rank = version == 2 && kind == 2 ? -1 : (int32_t)n;
    if (version == 1) cursor_take(&c, 4);
    if (version < 1 || version > 2 || n > 32)
        return h5file_damaged(w, "a shape of unknown version", 0);
    if (n > EVLA_MAX_RANK) return h5file_unknown(w, "an array of more than 8 axes");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = cursor_get(&c, w->f->length_bytes);
        if (x > (uint64_t)1 << 48)
            return h5file_damaged(w, "an extent beyond all sense", 0);
        shape[i] = (int64_t)x;
    }
    return c.is_short ? h5file_damaged(w, "a shape that is cut short", 0) : EVLA_OK;
}

/* ---- filters ----------------------------------------------------------------------- */

static int32_t read_filters(h5walk *w, cursor c, h5set *s)
{
    uint64_t version = cursor_get(&c, 1), n = cursor_get(&c, 1);
    if (version == 1) cursor_take(&c, 6);
    if (version < 1 || version > 2)
        return h5file_damaged(w, "filters of unknown version", 0);
    if (n > H5_MAX_FILTERS) return h5file_unknown(w, "more than 4 filters on a dataset");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = cursor_get(&c, 2),
                 name = version == 1 || id >= 256 ? cursor_get(&c, 2) : 0;
        uint64_t flags = cursor_get(&c, 2), n_values = cursor_get(&c, 2);
        (void)flags;
        cursor_take(&c, version == 1 ? (name + 7) & ~(uint64_t)7 : name);
        s->filter[i] = (h5filter){(uint32_t)id, 1};
        for (uint64_t k = 0; k < n_values && !c.is_short; k++) {
            uint32_t value = (uint32_t)cursor_get(&c, 4);
            if (k == 0) s->filter[i].value = value;
        }
        if (version == 1 && n_values & 1) cursor_take(&c, 4);
        if (id == H5_SHUFFLE && (s->filter[i].value == 0 || s->filter[i].value > 64))
            return h5file_damaged(w, "a shuffle filter without element size", 0);
        if (id != H5_DEFLATE && id != H5_SHUFFLE && id != H5_FLETCHER32 && id != H5_LZF)
            return h5file_unknown(w, "filter number %u on a dataset", (unsigned)id);
    }
    s->n_filters = (int32_t)n;
    return c.is_short ? h5file_damaged(w, "filters that are cut short", 0) : EVLA_OK;
}

/* ---- chunks ------------------------------------------------------------------------ */

static int32_t keep_chunk(h5walk *w, h5set *s, const uint64_t *offset, h5chunk k)
{
    int64_t i = 0;
    for (int32_t a = 0; a < s->rank; a++) {
        uint64_t at = offset[a] / (uint64_t)s->chunk[a];
        if (offset[a] % (uint64_t)s->chunk[a] || at >= (uint64_t)s->grid[a])
            return h5file_damaged(w, "a chunk outside its dataset", k.at);
        i = i * s->grid[a] + (int64_t)at;
    }
    uint64_t room = w->f->size - w->f->base;
    if (k.at == 0 || k.at > room || k.bytes > room - k.at)
        return h5file_damaged(w, "a chunk past the end", k.at);
    if ((s->n_filters == 0 && k.bytes != s->chunk_bytes) ||
        s->chunk_bytes / RATIO > (uint64_t)k.bytes)
        return h5file_damaged(w, "a chunk too small for what it should hold", k.at);
    s->chunks[i] = k;
    return EVLA_OK;
}

static int32_t chunk_node(h5walk *w, uint64_t at, int level, h5set *s)
{
    uint32_t ob = w->f->offset_bytes, key = 8 + 8 * ((uint32_t)s->rank + 1);
    cursor c = h5file_at(w, at, 8 + 2 * ob);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "TREE") || c.p[4] != 1 || c.p[5] > MAX_LEVEL ||
        (level >= 0 && c.p[5] != level))
        return h5file_damaged(w, "no B-tree node of chunks", at);
    level = c.p[5];
    cursor_take(&c, 6);
    uint64_t n = cursor_get(&c, 2);
    c = h5file_at(w, at + 8 + 2 * ob, n * (key + ob));
    if (!c.p) return EVLA_E_FORMAT;
    for (; n; n--) {
        uint64_t offset[9] = {0};
        h5chunk k = {.bytes = (uint32_t)cursor_get(&c, 4)};
        k.skips = (uint32_t)cursor_get(&c, 4);
        for (int32_t a = 0; a <= s->rank; a++)
            offset[a] = cursor_get(&c, 8);
        k.at = cursor_get(&c, ob);
        int32_t st =
            level ? chunk_node(w, k.at, level - 1, s) : keep_chunk(w, s, offset, k);
        if (st) return st;
    }
    return EVLA_OK;
}

/* Extents of chunks: rank + 1 numbers, the last one the element's size. */
static int32_t chunk_shape(h5walk *w, cursor *c, uint64_t n, uint32_t bytes_each, h5set *s)
{
    uint64_t all = s->type.bytes;
    if (n != (uint64_t)s->rank + 1 || s->rank == 0)
        return h5file_damaged(w, "chunks of another rank than their dataset", 0);
    s->n_chunks = 1;
    for (int32_t a = 0; a < s->rank; a++) {
        uint64_t x = cursor_get(c, bytes_each);
        if (x == 0 || x > UINT32_MAX || all > UINT32_MAX / x)
            return h5file_damaged(w, "chunks beyond all sense", 0);
        all *= x;
        s->chunk[a] = (int64_t)x;
        s->grid[a] = (s->shape[a] + s->chunk[a] - 1) / s->chunk[a];
        /* every chunk that exists takes 24 bytes of index at least */
        if (s->grid[a] && s->n_chunks > (int64_t)(w->f->size / 16 + 4096) / s->grid[a])
            return h5file_damaged(w, "more chunks than the file can hold", 0);
        s->n_chunks *= s->grid[a];
    }
    if (cursor_get(c, bytes_each) != s->type.bytes)
        return h5file_damaged(w, "chunks of another element than their dataset", 0);
    if (s->bytes / RATIO > w->f->size + UNWRITTEN_MAX)
        return h5file_damaged(w, "more data than the file can hold", 0);
    s->chunk_bytes = all;
    s->chunks = pool_push(w->mem, (uint64_t)s->n_chunks + 1, sizeof *s->chunks);
    return s->chunks ? EVLA_OK : say_nomem(w->h, w->f->path);
}

/* The i-th chunk of a list that has no keys. */
static int32_t listed_chunk(h5walk *w, h5set *s, int64_t i, h5chunk k)
{
    uint64_t offset[9] = {0};
    for (int32_t a = s->rank - 1; a >= 0; a--) {
        offset[a] = (uint64_t)(i % s->grid[a] * s->chunk[a]);
        i /= s->grid[a];
    }
    return h5file_is_nowhere(w->f, k.at) ? EVLA_OK : keep_chunk(w, s, offset, k);
}

/* A fixed array: header, then one data block, paged when it is long. */
static int32_t fixed_array(h5walk *w, uint64_t at, h5set *s)
{
    uint32_t ob = w->f->offset_bytes, lb = w->f->length_bytes;
    cursor c = h5file_at(w, at, 8 + lb + ob + 4);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "FAHD") || !h5file_is_sealed(c.p, 12 + lb + ob))
        return h5file_damaged(w, "no fixed array of chunks", at);
    cursor_take(&c, 5);
    uint64_t has_filters = cursor_get(&c, 1), entry = cursor_get(&c, 1),
             bits = cursor_get(&c, 1);
    uint64_t n = cursor_get(&c, lb), block = cursor_get(&c, ob);
    if (n != (uint64_t)s->n_chunks || bits < 1 || bits > 31 || entry < ob ||
        entry > ob + 12 || has_filters > 1 || (!has_filters && entry != ob) ||
        (has_filters && entry < ob + 5))
        return h5file_damaged(w, "a fixed array that fails its checks", at);
    if (h5file_is_nowhere(w->f, block)) return EVLA_OK;
    uint64_t page = (uint64_t)1 << (bits & 31),
             n_pages = n > page ? ((n - 1) >> bits) + 1 : 0;
    uint64_t head = 6 + ob + (n_pages + 7) / 8, from = block + head + (n_pages ? 4 : 0);
    c = h5file_at(w, block, head);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "FADB"))
        return h5file_damaged(w, "no block of a fixed array", block);
    const uint8_t *is_there = c.p + 6 + ob;
    for (uint64_t p = 0; p < (n_pages ? n_pages : 1); p++) {
        uint64_t first = p * page, here = n_pages == 0       ? n
                                          : n - first < page ? n - first
                                                             : page;
        bool is_written = !n_pages || is_there[p / 8] >> (7 - p % 8) & 1;
        cursor e = h5file_at(w, from, is_written ? here * entry : 0);
        if (!e.p) return EVLA_E_FORMAT;
        for (uint64_t i = 0; is_written && i < here; i++) {
            h5chunk k = {.at = cursor_get(&e, ob), .bytes = (uint32_t)s->chunk_bytes};
            if (has_filters) {
                uint64_t bytes = cursor_get(&e, (uint32_t)(entry - ob - 4));
                if (bytes > UINT32_MAX) return h5file_damaged(w, "a chunk too long", k.at);
                k.bytes = (uint32_t)bytes;
                k.skips = (uint32_t)cursor_get(&e, 4);
            }
            int32_t st = listed_chunk(w, s, (int64_t)(first + i), k);
            if (st) return st;
        }
        from += page * entry + 4; /* every page ends in a checksum */
    }
    return EVLA_OK;
}

/* Layout message version 4: the index by its number. */
static int32_t chunks_v4(h5walk *w, cursor c, h5set *s)
{
    uint32_t ob = w->f->offset_bytes, lb = w->f->length_bytes;
    uint64_t flags = cursor_get(&c, 1), n = cursor_get(&c, 1);
    uint32_t each = (uint32_t)cursor_get(&c, 1);
    if (each < 1 || each > 8) return h5file_damaged(w, "chunks beyond all sense", 0);
    int32_t st = chunk_shape(w, &c, n, each, s);
    if (st) return st;
    h5chunk k = {.bytes = (uint32_t)s->chunk_bytes};
    switch (cursor_get(&c, 1)) {
    case 1: /* one chunk */
        if (flags & 2) {
            k.bytes = (uint32_t)cursor_get(&c, lb);
            k.skips = (uint32_t)cursor_get(&c, 4);
        }
        k.at = cursor_get(&c, ob);
        if (s->n_chunks == 0) return EVLA_OK;
        if (s->n_chunks != 1 || c.is_short)
            return h5file_damaged(w, "an index of one chunk", k.at);
        return listed_chunk(w, s, 0, k);
    case 2: /* one after the other */
        k.at = cursor_get(&c, ob);
        if (c.is_short) return h5file_damaged(w, "an index that is cut short", 0);
        for (int64_t i = 0; i < s->n_chunks; i++, k.at += s->chunk_bytes)
            if (h5file_is_nowhere(w->f, k.at))
                return EVLA_OK;
            else if ((st = listed_chunk(w, s, i, k)) != 0)
                return st;
        return EVLA_OK;
    case 3:
        cursor_take(&c, 1);
        k.at = cursor_get(&c, ob);
        if (c.is_short) return h5file_damaged(w, "an index that is cut short", 0);
        return h5file_is_nowhere(w->f, k.at) ? EVLA_OK : fixed_array(w, k.at, s);
    default:
        return h5file_unknown(w, "a growing dataset with the newest chunk index");
    }
}

/* ---- layout ------------------------------------------------------------------------ */

static int32_t read_layout(h5walk *w, cursor c, h5set *s)
{
    uint64_t version = cursor_get(&c, 1), room = w->f->size - w->f->base, n;
    if (version < 3 || version > 4)
        return h5file_unknown(w, "a dataset layout of version %d", (int)version);
    s->layout = (int32_t)cursor_get(&c, 1);
    switch (s->layout) {
    case H5_COMPACT:
        n = cursor_get(&c, 2);
        s->compact = cursor_take(&c, n);
        return n == s->bytes && s->compact
                   ? EVLA_OK
                   : h5file_damaged(w, "a small dataset of wrong size", 0);
    case H5_CONTIGUOUS:
        s->at = cursor_get(&c, w->f->offset_bytes);
        n = cursor_get(&c, w->f->length_bytes);
        if (c.is_short) return h5file_damaged(w, "a dataset that is cut short", 0);
        if (h5file_is_nowhere(w->f, s->at)) {
            s->at = UINT64_MAX;
            return s->bytes <= UNWRITTEN_MAX
                       ? EVLA_OK
                       : h5file_damaged(w, "a large dataset without data", 0);
        }
        return n < s->bytes || s->at > room || s->bytes > room - s->at
                   ? h5file_damaged(w, "a dataset that reaches past the end", s->at)
                   : EVLA_OK;
    case H5_CHUNKED:
        if (version == 4) return chunks_v4(w, c, s);
        n = cursor_get(&c, 1);
        s->at = cursor_get(&c, w->f->offset_bytes);
        int32_t st = chunk_shape(w, &c, n, 4, s);
        if (st || c.is_short)
            return st ? st : h5file_damaged(w, "chunks that are cut short", 0);
        return h5file_is_nowhere(w->f, s->at) ? EVLA_OK : chunk_node(w, s->at, -1, s);
    default:
        return h5file_unknown(w, "a virtual dataset");
    }
}

/* True when what was never written reads as zeros. */
static bool is_filled_with_zeros(const h5message *m)
{
    cursor c = {m->body, m->body + m->bytes, false};
    uint64_t version = cursor_get(&c, 1), is_defined;
    if (version == 3) {
        is_defined = cursor_get(&c, 1) & 32;
    } else {
        cursor_take(&c, 2);
        is_defined = cursor_get(&c, 1);
    }
    uint64_t n = is_defined ? cursor_get(&c, 4) : 0;
    const uint8_t *value = cursor_take(&c, n);
    for (uint64_t i = 0; value && i < n; i++)
        if (value[i]) return false;
    return true;
}

static int32_t check_unwritten(h5walk *w, const h5object *o, const h5set *s)
{
    const h5message *fill = h5file_message(o, M_FILL);
    uint64_t n = s->layout == H5_CONTIGUOUS && s->at == UINT64_MAX && s->bytes ? 1 : 0;
    if (s->layout == H5_CHUNKED)
        for (int64_t i = 0; i < s->n_chunks; i++)
            n += s->chunks[i].at == 0;
    if (n && fill && !is_filled_with_zeros(fill))
        return say(w->h, EVLA_E_FORMAT,
                   "hdf5: %s: found unwritten data with a fill value that is not 0, want "
                   "data; write "
                   "it out, in h5py by d[...] = d[...]",
                   w->f->path);
    if (s->layout == H5_CHUNKED && n && n > UNWRITTEN_MAX / s->chunk_bytes)
        return h5file_damaged(w, "a large dataset without data", o->at);
    return EVLA_OK;
}

int32_t h5file_set(h5walk *w, const h5object *o, h5set *out)
{
    const h5message *space = h5file_message(o, M_SPACE), *type = h5file_message(o, M_TYPE);
    const h5message *layout = h5file_message(o, M_LAYOUT),
                    *filters = h5file_message(o, M_FILTERS);
    *out = (h5set){.at = UINT64_MAX};
    if (!space || !type || !layout) return EVLA_E_MISSING;
    if ((space->flags | type->flags | layout->flags) & SHARED)
        return EVLA_OK; /* H5_OTHER */
    h5file_type((cursor){type->body, type->body + type->bytes, false}, &out->type);
    if (out->type.dtype == H5_OTHER) return EVLA_OK;
    int32_t st = h5file_space(w, (cursor){space->body, space->body + space->bytes, false},
                              &out->rank, out->shape);
    if (st) return st;
    if (out->rank < 0) {
        out->rank = 0;
        out->type.dtype = H5_OTHER;
        return EVLA_OK;
    }
    out->bytes = out->type.bytes;
    for (int32_t i = 0; i < out->rank; i++) {
        if (out->shape[i] && out->bytes > ((uint64_t)1 << 60) / (uint64_t)out->shape[i])
            return h5file_damaged(w, "a dataset beyond all sense", o->at);
        out->bytes *= (uint64_t)out->shape[i];
    }
    if (filters)
        st = read_filters(w, (cursor){filters->body, filters->body + filters->bytes, false},
                          out);
    if (!st)
        st = read_layout(w, (cursor){layout->body, layout->body + layout->bytes, false},
                         out);
    return st ? st : check_unwritten(w, o, out);
}
