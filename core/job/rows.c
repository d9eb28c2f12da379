/*
 * rows.c -- rows of stored episodes as the inputs of a graph: opening and reading. See
 * rows.h.
 *
 * Reads: datasets through the service "frames".
 * Not here: what is checked before (rows_check.c), the cache (rows_cache.c), the order
 * (rows_order.c), statistics (rows_stats.c), batches ahead of time (feed.c).
 */
#include "../mem.h"
#include "convert.h"
#include "rows_inner.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* ---- opening ---- */

int32_t rows_no_room(ctx *cx) { return ctx_fail(cx, EVLA_E_NOMEM, "rows of the data"); }

int64_t rows_stored_bytes(const rows *r, const rows_column *c, int32_t set)
{
    return dtype_bytes(r->cx->reg, c->stored[set], c->count);
}

static int32_t open_sets(ctx *cx, rows *r, host *h, const evla_value *const *data,
                         int32_t n_data, const rows_options *how)
{
    int64_t most = 0;
    r->sets = arena_push(&r->mem, (size_t)n_data + 1, sizeof *r->sets);
    if (!r->sets) return rows_no_room(cx);
    for (int32_t i = 0; i < n_data; i++) {
        rows_set *s = &r->sets[r->n_sets];
        *s = (rows_set){.path = data[i]->path, .job = data[i]->job};
        int32_t st = rows_open_file(cx, h, r->frames, s->path, how, s->job, 1, &s->file);
        if (st < 0) return st;
        if (!s->file) continue;
        s->mask = st == 1 ? "" : how->mask;
        int64_t n = r->frames->count(&h->table, s->file);
        if (n < 1) { /* an empty mask, which a small dataset may well have */
            r->frames->close(&h->table, s->file);
            continue;
        }
        r->n_sets++;
        most += n;
    }
    r->episodes = arena_push(&r->mem, (size_t)most + 1, sizeof *r->episodes);
    return r->episodes ? 0 : rows_no_room(cx);
}

/* Rows of a field in an episode; its type must be the dataset's. */
static int32_t field_rows(ctx *cx, const rows *r, host *h, const rows_episode *e,
                          rows_column *c, int is_first, int64_t *n)
{
    const rows_set *s = &r->sets[e->set];
    evla_type t;
    int32_t st = r->frames->type(&h->table, s->file, e->at, c->name, &t);
    if (st == EVLA_E_MISSING && !cx->code)
        return ctx_fail(cx, st, "data: %s: episode %lld has no field %s", s->job,
                        (long long)e->at, c->name);
    if (st < 0) return st;
    if (t.rank < 1)
        return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s has no rows", s->job, c->name);
    if ((st = rows_compare(cx, s->job, c->name, &c->sample, &t)) < 0) return st;
    if (is_first) c->stored[e->set] = t.dtype;
    if (c->stored[e->set] != t.dtype)
        return ctx_fail(cx, EVLA_E_DTYPE,
                        "data: %s: %s is %s in episode %lld, but %s in the first", s->job,
                        c->name, dtype_name(cx->reg, t.dtype), (long long)e->at,
                        dtype_name(cx->reg, c->stored[e->set]));
    *n = t.shape[0];
    return 0;
}

static int32_t read_text(ctx *cx, const rows *r, host *h, const rows_episode *e,
                         rows_column *c, int64_t i)
{
    const rows_set *s = &r->sets[e->set];
    evla_attr a;
    int32_t st = r->frames->attr(&h->table, s->file, e->at, c->name, &a);
    if ((st == EVLA_E_MISSING && !cx->code) || (st >= 0 && a.type != EVLA_ATTR_TEXT))
        return ctx_fail(cx, EVLA_E_MISSING, "data: %s: episode %lld has no text %s", s->job,
                        (long long)e->at, c->name);
    if (st < 0) return st;
    size_t n = strlen(a.text);
    if (n > (size_t)c->count) n = (size_t)c->count;
    memcpy(c->text + i * c->count, a.text, n);
    return 0;
}

/* A text when the first episode has no field of that name. */
static int32_t start_column(ctx *cx, rows *r, host *h, const rows_input *in, rows_column *c,
                            int64_t most)
{
    evla_type t;
    *c = (rows_column){.name = in->name, .sample = rows_sample(&in->type)};
    c->count = type_count(&c->sample);
    c->bytes = type_bytes(cx->reg, &c->sample);
    c->stored = arena_push(&r->mem, (size_t)r->n_sets + 1, sizeof *c->stored);
    c->offset = arena_push(&r->mem, (size_t)r->n_sets + 1, sizeof *c->offset);
    if (!c->stored || !c->offset) return rows_no_room(cx);
    if (!rows_is_text(&c->sample) || !r->n_sets) return 0;
    int32_t st = r->frames->type(&h->table, r->sets[0].file, 0, c->name, &t);
    if (st >= 0 || cx->code) return st < 0 ? st : 0;
    c->is_text = 1;
    c->text = arena_push(&r->mem, (size_t)most + 1, (size_t)c->count);
    return c->text ? 0 : rows_no_room(cx);
}

/* All episodes: how long they are, and that every input is in every one. */
static int32_t list_episodes(ctx *cx, rows *r, host *h)
{
    for (int32_t s = 0; s < r->n_sets; s++) {
        int64_t count = r->frames->count(&h->table, r->sets[s].file);
        r->sets[s].first = r->n;
        for (int64_t i = 0; i < count; i++) {
            rows_episode *e = &r->episodes[r->n_episodes];
            *e = (rows_episode){.first = r->n, .at = i, .set = s};
            int64_t length = -1, n = 0;
            const char *by = NULL;
            arena_place mark = arena_mark(&cx->scratch);
            for (int32_t k = 0; k < r->n_columns; k++) {
                rows_column *c = &r->columns[k];
                int32_t st = c->is_text ? read_text(cx, r, h, e, c, r->n_episodes)
                                        : field_rows(cx, r, h, e, c, i == 0, &n);
                if (st < 0) return st;
                if (c->is_text) continue;
                if (length >= 0 && n != length)
                    return ctx_fail(cx, EVLA_E_SHAPE,
                                    "data: %s: episode %lld: %s has %lld rows, but %s has "
                                    "%lld; want one row per tick",
                                    r->sets[s].job, (long long)i, c->name, (long long)n, by,
                                    (long long)length);
                length = n;
                by = c->name;
            }
            host_done(h, mark);
            if (length < 0)
                return ctx_fail(cx, EVLA_E_SHAPE,
                                "data: no input is fed from a field, so there are no rows");
            r->n += length;
            r->n_episodes++;
            if (ctx_stopping(cx)) return ctx_fail(cx, EVLA_E_STOPPED, "stopped");
        }
    }
    r->episodes[r->n_episodes].first = r->n;
    return 0;
}

int32_t rows_open(ctx *cx, const evla_value *const *data, int32_t n_data,
                  const rows_options *how, const rows_input *in, int32_t n_in, rows **out)
{
    host h;
    *out = NULL;
    const evla_frames_service *frames = rows_frames(cx);
    rows *r = frames ? mem_alloc(sizeof *r) : NULL;
    if (!frames) return cx->code;
    if (!r) return rows_no_room(cx);
    *r = (rows){.mem = arena_growing(64 << 10), .cx = cx, .frames = frames};
    host_init(&h, cx, &r->mem);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = open_sets(cx, r, &h, data, n_data, how);
    int64_t most = 0;
    for (int32_t s = 0; st >= 0 && s < r->n_sets; s++)
        most += frames->count(&h.table, r->sets[s].file);
    r->columns = arena_push(&r->mem, (size_t)n_in + 1, sizeof *r->columns);
    if (st >= 0 && !r->columns) st = rows_no_room(cx);
    for (int32_t i = 0; st >= 0 && i < n_in; i++)
        st = start_column(cx, r, &h, &in[i], &r->columns[r->n_columns++], most);
    if (st >= 0) st = list_episodes(cx, r, &h);
    if (st >= 0) st = rows_fill_cache(cx, r, &h, how->cache);
    for (int32_t k = 0; st >= 0 && k < r->n_columns; k++)
        for (int32_t s = 0; !r->columns[k].is_text && s < r->n_sets; s++) {
            int64_t bytes = rows_stored_bytes(r, &r->columns[k], s);
            if (bytes > r->most_raw) r->most_raw = bytes;
        }
    host_done(&h, mark);
    if (st < 0)
        rows_close(r);
    else
        *out = r;
    return st;
}

void rows_close(rows *r)
{
    host h;
    if (!r) return;
    host_init(&h, r->cx, &r->mem);
    for (int32_t s = 0; s < r->n_sets; s++) {
        r->frames->close(&h.table, r->sets[s].file);
        mem_free(r->sets[s].table);
    }
    arena_free(&r->mem);
    mem_free(r);
}

int64_t rows_count(const rows *r) { return r->n; }
int64_t rows_episodes(const rows *r) { return r->n_episodes; }
uint64_t rows_cached(const rows *r) { return r->cached; }

int rows_all_cached(const rows *r)
{
    int all = 1;
    for (int32_t k = 0; k < r->n_columns; k++)
        all &= r->columns[k].is_text || r->columns[k].is_cached;
    return all;
}

/* ---- reading rows ---- */

int32_t rows_check_finite(ctx *cx, const rows *r, host *h, const rows_column *c,
                          const rows_episode *e, int64_t first, const unsigned char *data,
                          int64_t n)
{
    int32_t from = c->stored[e->set];
    int64_t each = dtype_bytes(cx->reg, from, 1), count = n * c->count;
    const char *mask = r->sets[e->set].mask;
    double some[CONVERT_MOST];
    if (!convert_is_plain(cx->reg, from) ||
        (from != EVLA_F32 && from != EVLA_F64 && from < EVLA_DTYPE_FIRST))
        return 0;
    const double most = c->sample.dtype == EVLA_F32 ? (double)FLT_MAX : DBL_MAX;
    for (int64_t i = 0; i < count; i += CONVERT_MOST) {
        int64_t k = count - i < CONVERT_MOST ? count - i : CONVERT_MOST;
        int32_t st = convert_to_f64(&h->table, cx->reg, from, data + i * each, k, some);
        if (st < 0) return st;
        for (int64_t at = 0; at < k; at++)
            if (!(fabs(some[at]) <= most))
                return ctx_fail(
                    cx, EVLA_E_RANGE,
                    "data: %s: %s is %g at tick %lld of episode %lld%s%s; leave such "
                    "episodes out of the dataset",
                    r->sets[e->set].job, c->name, some[at],
                    (long long)(first + (i + at) / c->count), (long long)e->at,
                    *mask ? " of mask " : "", mask);
    }
    return 0;
}

int32_t rows_reader_open(ctx *cx, const rows *r, rows_reader *q)
{
    ctx_init_child(&q->cx, cx);
    host_init(&q->h, &q->cx, NULL);
    q->of = r;
    q->raw = mem_alloc((size_t)r->most_raw + 1);
    return q->raw ? 0 : rows_no_room(cx);
}

void rows_reader_close(rows_reader *q)
{
    if (!q->of) return;
    mem_free(q->raw);
    ctx_free(&q->cx);
    q->of = NULL;
}

/* The episode that row i lies in. */
static int64_t episode_of(const rows *r, int64_t i)
{
    int64_t low = 0, high = r->n_episodes;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (r->episodes[middle].first <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int32_t rows_gather(rows_reader *q, const int64_t *which, int64_t n, int32_t k, void *out)
{
    const rows *r = q->of;
    const rows_column *c = &r->columns[k];
    unsigned char *to = out;
    for (int64_t i = 0; i < n; i++, to += c->bytes) {
        int64_t at = episode_of(r, which[i]);
        const rows_episode *e = &r->episodes[at];
        if (c->is_text) {
            memcpy(to, c->text + at * c->count, (size_t)c->count);
            continue;
        }
        int32_t from = c->stored[e->set], st;
        int64_t each = dtype_bytes(q->cx.reg, from, c->count);
        const unsigned char *raw = q->raw;
        if (c->is_cached) {
            const rows_set *s = &r->sets[e->set];
            raw = s->table + (which[i] - s->first) * s->stride + c->offset[e->set];
        } else {
            arena_place mark = arena_mark(&q->cx.scratch);
            st = r->frames->read(&q->h.table, r->sets[e->set].file, e->at, c->name,
                                 which[i] - e->first, 1, q->raw, (uint64_t)each);
            host_done(&q->h, mark);
            if (st >= 0)
                st = rows_check_finite(&q->cx, r, &q->h, c, e, which[i] - e->first, raw, 1);
            if (st < 0) return st;
        }
        st = convert_numbers(&q->h.table, q->cx.reg, from, raw, c->sample.dtype, c->count,
                             to);
        if (st < 0) return st;
    }
    return 0;
}
