/*
 * h5tree.c -- what group and attribute messages point to: B-trees and heaps.
 *
 * Reads: old groups (version 1 B-tree, symbol nodes, local heap), dense groups and
 * attributes (version 2 B-tree over a fractal heap), long texts (global heap). See
 * h5file.h.
 */
#include "h5file.h"
#include <string.h>

enum { MAX_LEVEL = 16, MAX_WIDTH = 1 << 12 };

/* ---- old groups -------------------------------------------------------------------- */

static int32_t symbol_node(h5walk *w, uint64_t at, cursor names, h5links *out)
{
    uint32_t ob = w->f->offset_bytes;
    cursor c = h5file_at(w, at, 8);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "SNOD")) return h5file_damaged(w, "no symbol node", at);
    cursor_take(&c, 6);
    uint64_t n = cursor_get(&c, 2);
    c = h5file_at(w, at + 8, n * (2 * ob + 24));
    if (!c.p) return EVLA_E_FORMAT;
    for (; n; n--) {
        uint64_t name = cursor_get(&c, ob), object = cursor_get(&c, ob),
                 kind = cursor_get(&c, 4);
        cursor_take(&c, 20);
        if (kind == 2) continue; /* a soft link */
        uint64_t room = (uint64_t)(names.end - names.p);
        const uint8_t *text = name < room ? names.p + name : NULL;
        const uint8_t *nul = text ? memchr(text, 0, room - name) : NULL;
        if (!nul) return h5file_damaged(w, "a name outside its heap", at);
        /* as the link message that a newer group would hold: version 1, length in 4 bytes
         */
        uint8_t head[6] = {1, 2}, *m = pool_push(w->mem, 6 + (uint64_t)(nul - text) + 8, 1);
        if (!m) return say_nomem(w->h, w->f->path);
        for (int i = 0; i < 4; i++)
            head[2 + i] = (uint8_t)((uint64_t)(nul - text) >> 8 * i);
        memcpy(m, head, 6);
        memcpy(m + 6, text, (size_t)(nul - text));
        for (uint32_t i = 0; i < ob; i++)
            m[6 + (nul - text) + i] = (uint8_t)(object >> 8 * i);
        int32_t st =
            h5file_link_message(w, (cursor){m, m + 6 + (nul - text) + ob, false}, out);
        if (st) return st;
    }
    return EVLA_OK;
}

static int32_t group_node(h5walk *w, uint64_t at, int level, cursor names, h5links *out)
{
    uint32_t ob = w->f->offset_bytes, lb = w->f->length_bytes;
    cursor c = h5file_at(w, at, 8 + 2 * ob);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "TREE") || c.p[4] != 0 || c.p[5] > MAX_LEVEL ||
        (level >= 0 && c.p[5] != level))
        return h5file_damaged(w, "no B-tree node of a group", at);
    level = c.p[5];
    cursor_take(&c, 6);
    uint64_t n = cursor_get(&c, 2);
    c = h5file_at(w, at + 8 + 2 * ob, n * (ob + lb));
    if (!c.p) return EVLA_E_FORMAT;
    for (; n; n--) {
        cursor_get(&c, lb);
        uint64_t child = cursor_get(&c, ob);
        int32_t st = level ? group_node(w, child, level - 1, names, out)
                           : symbol_node(w, child, names, out);
        if (st) return st;
    }
    return EVLA_OK;
}

int32_t h5tree_old_group(h5walk *w, uint64_t tree, uint64_t heap, h5links *out)
{
    uint32_t ob = w->f->offset_bytes, lb = w->f->length_bytes;
    cursor c = h5file_at(w, heap, 8 + 2 * lb + ob);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "HEAP")) return h5file_damaged(w, "no heap of names", heap);
    cursor_take(&c, 8);
    uint64_t n = cursor_get(&c, lb);
    cursor_get(&c, lb);
    cursor names = h5file_at(w, cursor_get(&c, ob), n);
    return names.p ? group_node(w, tree, -1, names, out) : EVLA_E_FORMAT;
}

/* ---- fractal heap ------------------------------------------------------------------ */

typedef struct heap {
    uint64_t at, start_block, max_direct, max_managed, root;
    uint32_t id_bytes, width, rows, offset_bytes, length_bytes;
} heap;

static uint32_t log2_of(uint64_t x)
{
    uint32_t n = 0;
    while (x >>= 1)
        n++;
    return n;
}

static int32_t heap_open(h5walk *w, uint64_t at, heap *out)
{
    uint32_t ob = w->f->offset_bytes, lb = w->f->length_bytes, bits;
    uint64_t n = 22 + 12 * lb + 3 * ob + 4; /* without filters */
    cursor c = h5file_at(w, at, n);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "FRHP")) return h5file_damaged(w, "no fractal heap", at);
    const uint8_t *start = c.p;
    *out = (heap){.at = at};
    cursor_take(&c, 5);
    out->id_bytes = (uint32_t)cursor_get(&c, 2);
    if (cursor_get(&c, 2)) return h5file_unknown(w, "a compressed heap of names");
    cursor_take(&c, 1);
    out->max_managed = cursor_get(&c, 4);
    cursor_take(&c, 10 * lb + 2 * ob);
    out->width = (uint32_t)cursor_get(&c, 2);
    out->start_block = cursor_get(&c, lb);
    out->max_direct = cursor_get(&c, lb);
    bits = (uint32_t)cursor_get(&c, 2);
    cursor_take(&c, 2);
    out->root = cursor_get(&c, ob);
    out->rows = (uint32_t)cursor_get(&c, 2);
    if (c.is_short || !h5file_is_sealed(start, n) || bits < 1 || bits > 64 ||
        out->rows > 64 || out->width < 1 || out->width > MAX_WIDTH ||
        out->width & (out->width - 1) || !out->start_block ||
        out->start_block & (out->start_block - 1) || !out->max_direct ||
        out->max_direct & (out->max_direct - 1) || out->max_direct < out->start_block ||
        !out->max_managed)
        return h5file_damaged(w, "a fractal heap that fails its checks", at);
    out->offset_bytes = (bits + 7) / 8;
    out->length_bytes = (log2_of(out->max_direct) + 7) / 8;
    uint32_t managed = log2_of(out->max_managed) / 8 + 1;
    if (managed < out->length_bytes) out->length_bytes = managed;
    return EVLA_OK;
}

/* The file address of heap offset `offset`, and the bytes up to the end of its block. */
static int32_t heap_find(h5walk *w, const heap *p, uint64_t offset, uint64_t *at,
                         uint64_t *room)
{
    uint32_t ob = w->f->offset_bytes, rows = p->rows;
    uint32_t direct_rows = log2_of(p->max_direct) - log2_of(p->start_block) + 2;
    uint64_t block = p->root, size = p->start_block;
    for (int level = 0; rows; level++) {
        uint64_t row_start = 0, row;
        if (level > MAX_LEVEL || rows > 64)
            return h5file_damaged(w, "a heap without end", p->at);
        size = p->start_block;
        for (row = 0; row < rows && offset - row_start >= size * p->width; row++) {
            row_start += size * p->width;
            if (row) size *= 2;
            if (size > (uint64_t)1 << 40)
                return h5file_damaged(w, "a heap too large", p->at);
        }
        if (row == rows) return h5file_damaged(w, "an object outside its heap", p->at);
        uint64_t entry = row * p->width + (offset - row_start) / size;
        cursor c = h5file_at(w, block, 5 + ob);
        if (!c.p) return EVLA_E_FORMAT;
        if (!h5file_is(c.p, "FHIB"))
            return h5file_damaged(w, "no block of a fractal heap", block);
        c = h5file_at(w, block + 5 + ob + p->offset_bytes + entry * ob, ob);
        if (!c.p) return EVLA_E_FORMAT;
        block = cursor_get(&c, ob);
        offset = (offset - row_start) % size;
        if (row < direct_rows) break;
        rows = log2_of(size) - log2_of(p->start_block * p->width) + 1;
    }
    if (offset >= size) return h5file_damaged(w, "an object outside its heap", p->at);
    *at = block + offset;
    *room = size - offset;
    return EVLA_OK;
}

typedef struct dense {
    heap heap;
    h5each each;
    void *data;
    uint32_t id_from, record, node;
    uint64_t max_records[MAX_LEVEL + 1]; /* of a node by level; 0: leaves */
    uint32_t count_bytes, total_bytes[MAX_LEVEL + 1];
} dense;

static int32_t dense_record(h5walk *w, const dense *d, cursor c)
{
    uint64_t at = 0, room = 0;
    cursor_take(&c, d->id_from);
    uint64_t kind = cursor_get(&c, 1);
    if (kind & 0xf0) return h5file_unknown(w, "a huge or tiny heap object");
    uint64_t offset = cursor_get(&c, d->heap.offset_bytes);
    uint64_t n = cursor_get(&c, d->heap.length_bytes);
    if (c.is_short) return h5file_damaged(w, "an id that is cut short", d->heap.at);
    int32_t st = heap_find(w, &d->heap, offset, &at, &room);
    if (st) return st;
    if (n > room) return h5file_damaged(w, "an object longer than its block", at);
    cursor object = h5file_at(w, at, n);
    return object.p ? d->each(w, object, d->data) : EVLA_E_FORMAT;
}

static int32_t dense_node(h5walk *w, const dense *d, uint64_t at, int level, uint64_t n)
{
    uint32_t ob = w->f->offset_bytes;
    if (n > d->max_records[level])
        return h5file_damaged(w, "a B-tree node that is overfull", at);
    cursor c = h5file_at(w, at, d->node);
    if (!c.p) return EVLA_E_FORMAT;
    uint64_t used = 6 + n * d->record + 4;
    if (level) used += (n + 1) * (ob + d->count_bytes + d->total_bytes[level - 1]);
    if (!h5file_is(c.p, level ? "BTIN" : "BTLF") || used > d->node ||
        !h5file_is_sealed(c.p, used))
        return h5file_damaged(w, "a B-tree node that fails its checks", at);
    cursor_take(&c, 6);
    for (uint64_t i = 0; i < n; i++) {
        cursor r = {cursor_take(&c, d->record), NULL, false};
        r.end = r.p + d->record;
        int32_t st = dense_record(w, d, r);
        if (st) return st;
    }
    for (uint64_t i = 0; level && i <= n; i++) {
        uint64_t child = cursor_get(&c, ob), count = cursor_get(&c, d->count_bytes);
        cursor_take(&c, d->total_bytes[level - 1]);
        int32_t st = dense_node(w, d, child, level - 1, count);
        if (st) return st;
    }
    return EVLA_OK;
}

/* Calls each with every object that the name index lists. */
int32_t h5tree_dense(h5walk *w, uint64_t heap_at, uint64_t tree, uint32_t id_from,
                     h5each each, void *data)
{
    uint32_t ob = w->f->offset_bytes, lb = w->f->length_bytes;
    dense d = {.each = each, .data = data, .id_from = id_from};
    int32_t st = heap_open(w, heap_at, &d.heap);
    if (st) return st;
    uint64_t n = 16 + ob + 2 + lb + 4;
    cursor c = h5file_at(w, tree, n);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "BTHD") || !h5file_is_sealed(c.p, n))
        return h5file_damaged(w, "no B-tree of names", tree);
    cursor_take(&c, 6);
    d.node = (uint32_t)cursor_get(&c, 4);
    d.record = (uint32_t)cursor_get(&c, 2);
    int depth = (int)cursor_get(&c, 2);
    cursor_take(&c, 2);
    uint64_t root = cursor_get(&c, ob), n_root = cursor_get(&c, 2);
    if (d.node < 64 || d.node > 1 << 24 || d.record < id_from + 1 ||
        d.record > d.node / 4 || depth > MAX_LEVEL)
        return h5file_damaged(w, "a B-tree that fails its checks", tree);
    uint64_t below = d.max_records[0] = (d.node - 10) / d.record;
    d.count_bytes = log2_of(below) / 8 + 1;
    for (int level = 1; level <= depth; level++) {
        uint32_t pointer = ob + d.count_bytes + d.total_bytes[level - 1];
        d.max_records[level] = (d.node - 10 - pointer) / (d.record + pointer);
        if (below > (uint64_t)1 << 40) return h5file_damaged(w, "a B-tree too deep", tree);
        below = (d.max_records[level] + 1) * below + d.max_records[level];
        d.total_bytes[level] = log2_of(below) / 8 + 1;
    }
    return h5file_is_nowhere(w->f, root) ? EVLA_OK : dense_node(w, &d, root, depth, n_root);
}

/* ---- global heap ------------------------------------------------------------------- */

int32_t h5tree_heap_text(h5walk *w, uint64_t at, uint32_t index, uint64_t n,
                         const char **out)
{
    uint32_t lb = w->f->length_bytes;
    cursor c = h5file_at(w, at, 8 + lb);
    if (!c.p) return EVLA_E_FORMAT;
    if (!h5file_is(c.p, "GCOL")) return h5file_damaged(w, "no global heap", at);
    cursor_take(&c, 8);
    uint64_t size = cursor_get(&c, lb);
    if (size < 8 + lb) return h5file_damaged(w, "a global heap of no size", at);
    for (uint64_t from = 8 + lb; from + 8 + lb <= size;) {
        c = h5file_at(w, at + from, 8 + lb);
        if (!c.p) return EVLA_E_FORMAT;
        uint32_t id = (uint32_t)cursor_get(&c, 2);
        cursor_take(&c, 6);
        uint64_t bytes = cursor_get(&c, lb), room = size - from - 8 - lb;
        if (id == 0) break; /* the free rest */
        if (bytes > room)
            return h5file_damaged(w, "an object longer than its global heap", at);
        if (id != index) {
            from += 8 + lb + ((bytes + 7) & ~(uint64_t)7);
            continue;
        }
        if (n > bytes) return h5file_damaged(w, "a text longer than its object", at);
        c = h5file_at(w, at + from + 8 + lb, n);
        *out = c.p ? cursor_text(w, &c, n) : NULL;
        return *out ? EVLA_OK : c.p ? say_nomem(w->h, w->f->path) : EVLA_E_FORMAT;
    }
    return h5file_damaged(w, "a text that is not in its global heap", at);
}
