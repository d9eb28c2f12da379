/*
 * rows_cache.c -- columns of a dataset in memory, in the format they are stored in. See
 * rows.h.
 */
#include "../mem.h"
#include "rows_inner.h"
#include <string.h>

static int64_t set_rows(const rows *r, int32_t set)
{
    return (set + 1 < r->n_sets ? r->sets[set + 1].first : r->n) - r->sets[set].first;
}

/* In a row of the table; numbers of every format are aligned. */
static int64_t cached_bytes(const rows *r, const rows_column *c, int32_t set)
{
    return (rows_stored_bytes(r, c, set) + 7) / 8 * 8;
}

/* One episode of a column, checked, into the table. */
static int32_t load_episode(ctx *cx, const rows *r, host *h, const rows_column *c,
                            const rows_episode *e, unsigned char *raw)
{
    const rows_set *s = &r->sets[e->set];
    int64_t each = rows_stored_bytes(r, c, e->set), n = e[1].first - e->first;
    unsigned char *to = s->table + (e->first - s->first) * s->stride + c->offset[e->set];
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = r->frames->read(&h->table, s->file, e->at, c->name, 0, n, raw,
                                 (uint64_t)(n * each));
    host_done(h, mark);
    if (st >= 0) st = rows_check_finite(cx, r, h, c, e, 0, raw, n);
    for (int64_t t = 0; st >= 0 && t < n; t++)
        memcpy(to + t * s->stride, raw + t * each, (size_t)each);
    return st;
}

static int32_t load(ctx *cx, rows *r, host *h)
{
    int64_t longest = 0;
    int32_t st = 0;
    for (int64_t i = 0; i < r->n_episodes; i++) {
        int64_t n = r->episodes[i + 1].first - r->episodes[i].first;
        if (n > longest) longest = n;
    }
    for (int32_t k = 0; st >= 0 && k < r->n_columns; k++) {
        const rows_column *c = &r->columns[k];
        int64_t most = 0;
        if (!c->is_cached) continue;
        for (int32_t s = 0; s < r->n_sets; s++)
            if (rows_stored_bytes(r, c, s) > most) most = rows_stored_bytes(r, c, s);
        unsigned char *raw = mem_alloc((size_t)(longest * most) + 1);
        if (!raw) return rows_no_room(cx);
        for (int64_t i = 0; st >= 0 && i < r->n_episodes; i++) {
            st = load_episode(cx, r, h, c, &r->episodes[i], raw);
            if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
        }
        mem_free(raw);
    }
    return st;
}

/* Which fields are cached: smallest first, until the next one does not fit. A row's fields
 * lie side by side, since a shuffled row is a miss of the processor's caches. */
int32_t rows_fill_cache(ctx *cx, rows *r, host *h, uint64_t most)
{
    for (;;) {
        rows_column *least = NULL;
        uint64_t least_bytes = 0;
        for (int32_t k = 0; k < r->n_columns; k++) {
            rows_column *c = &r->columns[k];
            uint64_t bytes = 0;
            if (c->is_text || c->is_cached) continue;
            for (int32_t s = 0; s < r->n_sets; s++)
                bytes += (uint64_t)(set_rows(r, s) * cached_bytes(r, c, s));
            if (!least || bytes < least_bytes) least = c, least_bytes = bytes;
        }
        if (!least || r->cached + least_bytes > most) break;
        least->is_cached = 1;
        r->cached += least_bytes;
        for (int32_t s = 0; s < r->n_sets; s++) {
            least->offset[s] = r->sets[s].stride;
            r->sets[s].stride += cached_bytes(r, least, s);
        }
    }
    for (int32_t s = 0; s < r->n_sets; s++) {
        r->sets[s].table = mem_alloc((size_t)(set_rows(r, s) * r->sets[s].stride) + 1);
        if (!r->sets[s].table) return rows_no_room(cx);
    }
    return load(cx, r, h);
}
