/*
 * rows.c -- rows of stored episodes as the inputs of a graph. See rows.h.
 *
 * Reads: datasets through the service "frames".
 * Not here: batches ahead of time (feed.c).
 */
#include "rows.h"
#include "../data/record.h"
#include "../mem.h"
#include "../mix.h"
#include "../near.h"
#include "../registry.h"
#include "types.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { CHUNK = 256 }; /* numbers converted at once */

typedef struct dataset {
    const char *path, *job;
    const char *mask; /* its episodes are numbered within; "": all there are */
    void *file;
    int64_t first;        /* number of its first row */
    unsigned char *table; /* its rows with all fields that are cached, side by side */
    int64_t stride;       /* bytes from one row to the next there */
} dataset;

typedef struct episode {
    int64_t first; /* number of its first row */
    int64_t at;    /* its place in its dataset */
    int32_t set;
    int32_t reserved;
} episode;

/* An input and what feeds it. */
typedef struct column {
    const char *name;
    evla_type sample; /* of the input, without the batch */
    int64_t count;    /* numbers of a sample */
    int64_t bytes;    /* of a sample as the input wants it */
    int32_t is_text;
    int32_t is_cached;
    unsigned char *text; /* by episode */
    int32_t *stored;     /* number format, by dataset */
    int64_t *offset;     /* by dataset: in a row of its table, when cached */
} column;

struct rows {
    arena mem;
    ctx *cx;
    const evla_frames_service *frames;
    dataset *sets;
    episode *episodes; /* n_episodes + 1: the last one ends the rows */
    column *columns;
    int64_t n, n_episodes, most_raw;
    uint64_t cached;
    int32_t n_sets, n_columns;
};

/* ---- numbers ---- */

static int is_plain(const registry *reg, int32_t dtype)
{
    const dtype_info *d = dtype_get(reg, dtype);
    return d && d->block_elements == 1 && (!d->table || d->table->decode);
}

static int can_convert(const registry *reg, int32_t from, int32_t to)
{
    return from == to || (is_plain(reg, from) && (to == EVLA_F32 || to == EVLA_F64));
}

// clang-format off
#define OWN_FORMATS(X)                                                                     \
    X(F32, float) X(F64, double) X(I8, int8_t) X(I16, int16_t) X(I32, int32_t)             \
    X(I64, int64_t) X(U8, uint8_t) X(U16, uint16_t) X(U32, uint32_t) X(U64, uint64_t)      \
    X(BOOL, uint8_t)
// clang-format on

/* n numbers, at most CHUNK when a plugin decodes them. */
static int32_t to_f64(const evla_host *h, const registry *reg, int32_t from,
                      const void *codes, int64_t n, double *out)
{
    switch (from) {
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < n; i++)                                                    \
            out[i] = (double)((const type *)codes)[i];                                     \
        return 0;
        OWN_FORMATS(X)
#undef X
    default: {
        float some[CHUNK];
        int32_t st = dtype_get(reg, from)->table->decode(h, codes, n, some);
        for (int64_t i = 0; st >= 0 && i < n; i++)
            out[i] = (double)some[i];
        return st;
    }
    }
}

static int32_t to_f32(const evla_host *h, const registry *reg, int32_t from,
                      const void *codes, int64_t n, float *out)
{
    switch (from) {
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < n; i++)                                                    \
            out[i] = (float)((const type *)codes)[i];                                      \
        return 0;
        OWN_FORMATS(X)
#undef X
    default:
        return dtype_get(reg, from)->table->decode(h, codes, n, out);
    }
}

static int32_t convert(const evla_host *h, const registry *reg, int32_t from,
                       const unsigned char *codes, int32_t to, int64_t n, void *out)
{
    int64_t each = dtype_bytes(reg, from, 1);
    int32_t st = 0;
    if (from == to) return memcpy(out, codes, (size_t)(n * each)), 0;
    if (to == EVLA_F32) return to_f32(h, reg, from, codes, n, out);
    for (int64_t i = 0; st >= 0 && i < n; i += CHUNK)
        st = to_f64(h, reg, from, codes + i * each, n - i < CHUNK ? n - i : CHUNK,
                    (double *)out + i);
    return st;
}

/* ---- what is known before anything has run ---- */

static evla_type sample_of(const evla_type *batched)
{
    evla_type t = {.dtype = batched->dtype, .rank = batched->rank - 1};
    for (int32_t i = 0; i < t.rank; i++)
        t.shape[i] = batched->shape[i + 1];
    return t;
}

static int is_text_input(const evla_type *sample)
{
    return sample->dtype == EVLA_U8 && sample->rank == 1;
}

/* "[T,7]" of a type's text: one row per tick. */
static int is_per_tick(const char *type)
{
    const char *open = strchr(type, '[');
    return open && open[1] == 'T' && (open[2] == ',' || open[2] == ']');
}

static int32_t no_field(ctx *cx, const char *job_name, const char *name, const char *near)
{
    return ctx_fail(
        cx, EVLA_E_MISSING, "data: %s has no field %s to feed the input of that name%s%s%s",
        job_name, name, near ? "; did you mean \"" : "; evla inspect lists what it has",
        near ? near : "", near ? "\"?" : "");
}

/* `stored` has the ticks in front; the sample must have the input's extents. */
static int32_t compare(ctx *cx, const char *job_name, const char *name,
                       const evla_type *sample, const evla_type *stored)
{
    evla_type found = sample_of(stored);
    int same = found.rank == sample->rank;
    for (int32_t i = 0; same && i < found.rank; i++)
        same = found.shape[i] == sample->shape[i];
    if (same && can_convert(cx->reg, found.dtype, sample->dtype)) return 0;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = ctx_fail(cx, same ? EVLA_E_DTYPE : EVLA_E_SHAPE,
                          "data: %s: a row of %s is %s, but the input wants %s%s", job_name,
                          name, type_text(cx->reg, &cx->scratch, &found),
                          type_text(cx->reg, &cx->scratch, sample),
                          same ? "; only f32 and f64 are converted to" : "");
    arena_reset(&cx->scratch, mark);
    return st;
}

static int32_t check_schema(ctx *cx, const job *maker, const evla_schema *s,
                            const char *name, const evla_type *sample, int64_t n)
{
    const evla_schema_field *f = schema_field(s, name);
    evla_type stored;
    if (!f && sample && is_text_input(sample)) {
        if (!strcmp(name, "instruction") || schema_attr(s, name)) return 0;
        return ctx_fail(
            cx, EVLA_E_MISSING,
            "data: %s has neither a field nor a text %s; the text every episode "
            "has is \"instruction\"",
            maker->name, name);
    }
    if (!f) {
        const char *names[256];
        int32_t k = 0;
        for (; k < s->n_fields && k < 256; k++)
            names[k] = s->fields[k].name;
        return no_field(cx, maker->name, name, near_miss(name, names, k));
    }
    if (!is_per_tick(f->type))
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "data: %s: %s is %s; want one row per tick, [T,...], so sample it at "
            "every tick",
            maker->name, name, f->type);
    if (type_parse(cx, f->type, NULL, &stored) < 0) return cx->code;
    if (sample) return compare(cx, maker->name, name, sample, &stored);
    evla_type one = sample_of(&stored);
    if (is_plain(cx->reg, one.dtype) && (n <= 0 || n == 1 || type_count(&one) == n))
        return 0;
    return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s is %s; want %lld numbers per tick",
                    maker->name, name, f->type, (long long)n);
}

static const evla_frames_service *frames_of(ctx *cx)
{
    const evla_item *item = registry_find(cx->reg, EVLA_SERVICE, "frames");
    const evla_frames_service *f = item ? item->table : NULL;
    if (f && f->size >= sizeof *f) return f;
    ctx_fail(
        cx, EVLA_E_MISSING,
        "data: no plugin here reads stored rows (the service \"frames\"%s); evla doctor "
        "says which package is missing",
        f ? " is older than this core" : "");
    return NULL;
}

/* Opens a dataset; *file is NULL when it has no such mask and that is no mistake. 1: all
 * episodes are open instead of a mask. */
static int32_t open_file(ctx *cx, host *h, const evla_frames_service *frames,
                         const char *path, const rows_options *how, const char *job_name,
                         int is_told, void **file)
{
    const char *mask = how->mask && *how->mask ? how->mask : NULL;
    arena_place mark = arena_mark(&cx->scratch);
    *file = NULL;
    int32_t is_all = !mask;
    int32_t st = frames->open(&h->table, path, mask, file);
    if (st == EVLA_E_MISSING && mask && how->without != ROWS_REFUSE) {
        ctx_clear(cx);
        is_all = 1;
        st = frames->open(&h->table, path, NULL, file);
        if (st >= 0 && how->without == ROWS_NONE) {
            frames->close(&h->table, *file);
            *file = NULL;
        } else if (st >= 0 && is_told) {
            ctx_say(cx, EVLA_LOG_INFO, "%s: has no mask %s: all episodes are taken",
                    job_name, mask);
        }
    }
    host_done(h, mark);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "data: %s: %s", path, ctx_code_text(st));
    return st < 0 ? st : is_all;
}

/* The first episode of an open file stands for all; rows_open looks at every one. */
static int32_t check_stored(ctx *cx, host *h, const evla_frames_service *frames, void *file,
                            const char *job_name, const char *name, const evla_type *sample,
                            int64_t n)
{
    evla_type stored;
    evla_attr attr;
    int32_t st = frames->type(&h->table, file, 0, name, &stored);
    if (st == EVLA_E_MISSING && !cx->code && sample && is_text_input(sample)) {
        st = frames->attr(&h->table, file, 0, name, &attr);
        if (st >= 0 && attr.type != EVLA_ATTR_TEXT)
            return ctx_fail(cx, EVLA_E_DTYPE, "data: %s: the attribute %s is no text",
                            job_name, name);
        if (st == EVLA_E_MISSING && !cx->code)
            return ctx_fail(cx, st, "data: %s has neither a field nor a text %s", job_name,
                            name);
        return st;
    }
    if (st == EVLA_E_MISSING && !cx->code) return no_field(cx, job_name, name, NULL);
    if (st < 0) return st;
    if (stored.rank < 1)
        return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s has no rows", job_name, name);
    if (sample) return compare(cx, job_name, name, sample, &stored);
    evla_type one = sample_of(&stored);
    if (is_plain(cx->reg, one.dtype) && (n <= 0 || n == 1 || type_count(&one) == n))
        return 0;
    return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s has %lld numbers per tick; want %lld",
                    job_name, name, (long long)type_count(&one), (long long)n);
}

/* Looks for inputs (n_in of them), or for one field of n numbers. */
static int32_t look(ctx *cx, const job *maker, const rows_options *how,
                    const rows_input *in, int32_t n_in, const char *field, int64_t n)
{
    const evla_schema *schema = job_pipeline_schema(maker);
    int32_t st = 0;
    if (maker->type == &job_pipeline) {
        for (int32_t i = 0; schema && st >= 0 && i < n_in; i++) {
            evla_type sample = sample_of(&in[i].type);
            st = check_schema(cx, maker, schema, in[i].name, &sample, 0);
        }
        return schema && st >= 0 && field ? check_schema(cx, maker, schema, field, NULL, n)
                                          : st;
    }
    const char *path = job_dataset_path(maker);
    if (!path) return 0; /* known when it has been made */
    const evla_frames_service *frames = frames_of(cx);
    host h;
    void *file;
    if (!frames) return cx->code;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    st = open_file(cx, &h, frames, path, how, maker->name, 0, &file);
    if (st > 0) st = 0; /* all episodes instead of a mask */
    if (st >= 0 && file && frames->count(&h.table, file) < 1) { /* see open_sets */
        if (how->without == ROWS_REFUSE)
            st = ctx_fail(cx, EVLA_E_MISSING, "data: %s: no episode is in the mask %s",
                          maker->name, how->mask ? how->mask : "");
        frames->close(&h.table, file);
        file = NULL;
    }
    for (int32_t i = 0; file && st >= 0 && i < n_in; i++) {
        evla_type sample = sample_of(&in[i].type);
        st = check_stored(cx, &h, frames, file, maker->name, in[i].name, &sample, 0);
    }
    if (file && st >= 0 && field)
        st = check_stored(cx, &h, frames, file, maker->name, field, NULL, n);
    if (file) frames->close(&h.table, file);
    host_done(&h, mark);
    return st;
}

int32_t rows_check(ctx *cx, const job *maker, const rows_options *how, const rows_input *in,
                   int32_t n_in)
{
    return look(cx, maker, how, in, n_in, NULL, 0);
}

int32_t rows_check_field(ctx *cx, const job *maker, const rows_options *how,
                         const char *field, int64_t n)
{
    return look(cx, maker, how, NULL, 0, field, n);
}

/* ---- opening ---- */

static int32_t no_room(ctx *cx) { return ctx_fail(cx, EVLA_E_NOMEM, "rows of the data"); }

static int32_t open_sets(ctx *cx, rows *r, host *h, const evla_value *const *data,
                         int32_t n_data, const rows_options *how)
{
    int64_t most = 0;
    r->sets = arena_push(&r->mem, (size_t)n_data + 1, sizeof *r->sets);
    if (!r->sets) return no_room(cx);
    for (int32_t i = 0; i < n_data; i++) {
        dataset *s = &r->sets[r->n_sets];
        *s = (dataset){.path = data[i]->path, .job = data[i]->job};
        int32_t st = open_file(cx, h, r->frames, s->path, how, s->job, 1, &s->file);
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
    return r->episodes ? 0 : no_room(cx);
}

/* Rows of a field in an episode; its type must be the dataset's. */
static int32_t field_rows(ctx *cx, const rows *r, host *h, const episode *e, column *c,
                          int is_first, int64_t *n)
{
    const dataset *s = &r->sets[e->set];
    evla_type t;
    int32_t st = r->frames->type(&h->table, s->file, e->at, c->name, &t);
    if (st == EVLA_E_MISSING && !cx->code)
        return ctx_fail(cx, st, "data: %s: episode %lld has no field %s", s->job,
                        (long long)e->at, c->name);
    if (st < 0) return st;
    if (t.rank < 1)
        return ctx_fail(cx, EVLA_E_SHAPE, "data: %s: %s has no rows", s->job, c->name);
    if ((st = compare(cx, s->job, c->name, &c->sample, &t)) < 0) return st;
    if (is_first) c->stored[e->set] = t.dtype;
    if (c->stored[e->set] != t.dtype)
        return ctx_fail(cx, EVLA_E_DTYPE,
                        "data: %s: %s is %s in episode %lld, but %s in the first", s->job,
                        c->name, dtype_name(cx->reg, t.dtype), (long long)e->at,
                        dtype_name(cx->reg, c->stored[e->set]));
    *n = t.shape[0];
    return 0;
}

static int32_t read_text(ctx *cx, const rows *r, host *h, const episode *e, column *c,
                         int64_t i)
{
    const dataset *s = &r->sets[e->set];
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
static int32_t start_column(ctx *cx, rows *r, host *h, const rows_input *in, column *c,
                            int64_t most)
{
    evla_type t;
    *c = (column){.name = in->name, .sample = sample_of(&in->type)};
    c->count = type_count(&c->sample);
    c->bytes = type_bytes(cx->reg, &c->sample);
    c->stored = arena_push(&r->mem, (size_t)r->n_sets + 1, sizeof *c->stored);
    c->offset = arena_push(&r->mem, (size_t)r->n_sets + 1, sizeof *c->offset);
    if (!c->stored || !c->offset) return no_room(cx);
    if (!is_text_input(&c->sample) || !r->n_sets) return 0;
    int32_t st = r->frames->type(&h->table, r->sets[0].file, 0, c->name, &t);
    if (st >= 0 || cx->code) return st < 0 ? st : 0;
    c->is_text = 1;
    c->text = arena_push(&r->mem, (size_t)most + 1, (size_t)c->count);
    return c->text ? 0 : no_room(cx);
}

/* All episodes: how long they are, and that every input is in every one. */
static int32_t list_episodes(ctx *cx, rows *r, host *h)
{
    for (int32_t s = 0; s < r->n_sets; s++) {
        int64_t count = r->frames->count(&h->table, r->sets[s].file);
        r->sets[s].first = r->n;
        for (int64_t i = 0; i < count; i++) {
            episode *e = &r->episodes[r->n_episodes];
            *e = (episode){.first = r->n, .at = i, .set = s};
            int64_t length = -1, n = 0;
            const char *by = NULL;
            arena_place mark = arena_mark(&cx->scratch);
            for (int32_t k = 0; k < r->n_columns; k++) {
                column *c = &r->columns[k];
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

/* ---- the cache ---- */

static int64_t stored_bytes(const rows *r, const column *c, int32_t set)
{
    return dtype_bytes(r->cx->reg, c->stored[set], c->count);
}

static int64_t set_rows(const rows *r, int32_t set)
{
    return (set + 1 < r->n_sets ? r->sets[set + 1].first : r->n) - r->sets[set].first;
}

/* In a row of the table; numbers of every format are aligned. */
static int64_t cached_bytes(const rows *r, const column *c, int32_t set)
{
    return (stored_bytes(r, c, set) + 7) / 8 * 8;
}

/* n rows of a column from tick `first` on are numbers that the input can hold. */
static int32_t check_finite(ctx *cx, const rows *r, host *h, const column *c,
                            const episode *e, int64_t first, const unsigned char *data,
                            int64_t n)
{
    int32_t from = c->stored[e->set];
    int64_t each = dtype_bytes(cx->reg, from, 1), count = n * c->count;
    const char *mask = r->sets[e->set].mask;
    double some[CHUNK];
    if (!is_plain(cx->reg, from) ||
        (from != EVLA_F32 && from != EVLA_F64 && from < EVLA_DTYPE_FIRST))
        return 0;
    const double most = c->sample.dtype == EVLA_F32 ? (double)FLT_MAX : DBL_MAX;
    for (int64_t i = 0; i < count; i += CHUNK) {
        int64_t k = count - i < CHUNK ? count - i : CHUNK;
        int32_t st = to_f64(&h->table, cx->reg, from, data + i * each, k, some);
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

/* One episode of a column, checked, into the table. */
static int32_t load_episode(ctx *cx, const rows *r, host *h, const column *c,
                            const episode *e, unsigned char *raw)
{
    const dataset *s = &r->sets[e->set];
    int64_t each = stored_bytes(r, c, e->set), n = e[1].first - e->first;
    unsigned char *to = s->table + (e->first - s->first) * s->stride + c->offset[e->set];
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = r->frames->read(&h->table, s->file, e->at, c->name, 0, n, raw,
                                 (uint64_t)(n * each));
    host_done(h, mark);
    if (st >= 0) st = check_finite(cx, r, h, c, e, 0, raw, n);
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
        const column *c = &r->columns[k];
        int64_t most = 0;
        if (!c->is_cached) continue;
        for (int32_t s = 0; s < r->n_sets; s++)
            if (stored_bytes(r, c, s) > most) most = stored_bytes(r, c, s);
        unsigned char *raw = mem_alloc((size_t)(longest * most) + 1);
        if (!raw) return no_room(cx);
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
static int32_t fill_cache(ctx *cx, rows *r, host *h, uint64_t most)
{
    for (;;) {
        column *least = NULL;
        uint64_t least_bytes = 0;
        for (int32_t k = 0; k < r->n_columns; k++) {
            column *c = &r->columns[k];
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
        if (!r->sets[s].table) return no_room(cx);
    }
    return load(cx, r, h);
}

int32_t rows_open(ctx *cx, const evla_value *const *data, int32_t n_data,
                  const rows_options *how, const rows_input *in, int32_t n_in, rows **out)
{
    host h;
    *out = NULL;
    const evla_frames_service *frames = frames_of(cx);
    rows *r = frames ? mem_alloc(sizeof *r) : NULL;
    if (!frames) return cx->code;
    if (!r) return no_room(cx);
    *r = (rows){.mem = arena_growing(64 << 10), .cx = cx, .frames = frames};
    host_init(&h, cx, &r->mem);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = open_sets(cx, r, &h, data, n_data, how);
    int64_t most = 0;
    for (int32_t s = 0; st >= 0 && s < r->n_sets; s++)
        most += frames->count(&h.table, r->sets[s].file);
    r->columns = arena_push(&r->mem, (size_t)n_in + 1, sizeof *r->columns);
    if (st >= 0 && !r->columns) st = no_room(cx);
    for (int32_t i = 0; st >= 0 && i < n_in; i++)
        st = start_column(cx, r, &h, &in[i], &r->columns[r->n_columns++], most);
    if (st >= 0) st = list_episodes(cx, r, &h);
    if (st >= 0) st = fill_cache(cx, r, &h, how->cache);
    for (int32_t k = 0; st >= 0 && k < r->n_columns; k++)
        for (int32_t s = 0; !r->columns[k].is_text && s < r->n_sets; s++) {
            int64_t bytes = stored_bytes(r, &r->columns[k], s);
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

/* ---- order ---- */

/* A keyed permutation of [0, n): a Feistel network over the next power of 4, walked until
 * it lands inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). It
 * needs no memory, and any place of it can be computed, so a place is all that a checkpoint
 * keeps. */
int64_t rows_shuffled(uint64_t seed, int64_t n, int64_t at)
{
    uint64_t key = mix(seed * MIX_STEP + (uint64_t)(at / n) + 1), x;
    int half = 1;
    while (half < 31 && (uint64_t)1 << (2 * half) < (uint64_t)n)
        half++;
    const uint64_t low = ((uint64_t)1 << half) - 1;
    x = (uint64_t)(at % n);
    do {
        uint64_t left = x >> half, right = x & low;
        for (uint64_t round = 1; round <= 6; round++) {
            uint64_t next = left ^ (mix(right + key + round * 0xd1342543de82ef95u) & low);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}

/* ---- reading rows ---- */

int32_t rows_reader_open(ctx *cx, const rows *r, rows_reader *q)
{
    ctx_init_child(&q->cx, cx);
    host_init(&q->h, &q->cx, NULL);
    q->of = r;
    q->raw = mem_alloc((size_t)r->most_raw + 1);
    return q->raw ? 0 : no_room(cx);
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
    const column *c = &r->columns[k];
    unsigned char *to = out;
    for (int64_t i = 0; i < n; i++, to += c->bytes) {
        int64_t at = episode_of(r, which[i]);
        const episode *e = &r->episodes[at];
        if (c->is_text) {
            memcpy(to, c->text + at * c->count, (size_t)c->count);
            continue;
        }
        int32_t from = c->stored[e->set], st;
        int64_t each = dtype_bytes(q->cx.reg, from, c->count);
        const unsigned char *raw = q->raw;
        if (c->is_cached) {
            const dataset *s = &r->sets[e->set];
            raw = s->table + (which[i] - s->first) * s->stride + c->offset[e->set];
        } else {
            arena_place mark = arena_mark(&q->cx.scratch);
            st = r->frames->read(&q->h.table, r->sets[e->set].file, e->at, c->name,
                                 which[i] - e->first, 1, q->raw, (uint64_t)each);
            host_done(&q->h, mark);
            if (st >= 0)
                st = check_finite(&q->cx, r, &q->h, c, e, which[i] - e->first, raw, 1);
            if (st < 0) return st;
        }
        st = convert(&q->h.table, q->cx.reg, from, raw, c->sample.dtype, c->count, to);
        if (st < 0) return st;
    }
    return 0;
}

/* ---- statistics ---- */

static int32_t add_episode(ctx *cx, const rows *r, host *h, const episode *e,
                           const char *field, int64_t n, int64_t *seen, double *mean,
                           double *sum)
{
    const dataset *s = &r->sets[e->set];
    evla_type t;
    int32_t st = r->frames->type(&h->table, s->file, e->at, field, &t);
    if (st < 0)
        return cx->code ? cx->code
                        : ctx_fail(cx, st, "data: %s: episode %lld has no field %s", s->job,
                                   (long long)e->at, field);
    evla_type one = sample_of(&t);
    int64_t count = type_count(&one), each = dtype_bytes(cx->reg, t.dtype, 1);
    if (t.rank < 1 || !is_plain(cx->reg, t.dtype) || t.shape[0] != e[1].first - e->first ||
        (n != 1 && n != count))
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "data: %s: episode %lld: %s has %lld rows of %lld numbers; want %lld of "
            "%lld",
            s->job, (long long)e->at, field, (long long)(t.rank < 1 ? 0 : t.shape[0]),
            (long long)count, (long long)(e[1].first - e->first), (long long)n);
    unsigned char *raw = mem_alloc((size_t)(count * each) * (size_t)t.shape[0] + 1);
    if (!raw) return no_room(cx);
    double some[CHUNK];
    st = r->frames->read(&h->table, s->file, e->at, field, 0, t.shape[0], raw,
                         (uint64_t)(count * each * t.shape[0]));
    for (int64_t i = 0; st >= 0 && i < t.shape[0]; i++)
        for (int64_t from = 0; st >= 0 && from < count; from += CHUNK) {
            int64_t k = count - from < CHUNK ? count - from : CHUNK;
            st = to_f64(&h->table, cx->reg, t.dtype, raw + (i * count + from) * each, k,
                        some);
            for (int64_t a = 0; st >= 0 && a < k; a++) {
                int64_t slot = n == 1 ? 0 : from + a;
                double d = some[a] - mean[slot];
                if (n == 1 || from + a == 0) ++*seen;
                mean[slot] += d / (double)*seen;
                sum[slot] += d * (some[a] - mean[slot]);
            }
        }
    mem_free(raw);
    return st;
}

int32_t rows_statistics(ctx *cx, const rows *r, const char *field, int64_t n, double *mean,
                        double *deviation)
{
    host h;
    int64_t seen = 0;
    int32_t st = 0;
    host_init(&h, cx, NULL);
    for (int64_t i = 0; i < n; i++)
        mean[i] = deviation[i] = 0;
    for (int64_t i = 0; st >= 0 && i < r->n_episodes; i++) {
        arena_place mark = arena_mark(&cx->scratch);
        st = add_episode(cx, r, &h, &r->episodes[i], field, n, &seen, mean, deviation);
        host_done(&h, mark);
        if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    }
    for (int64_t i = 0; st >= 0 && i < n; i++) {
        deviation[i] = seen ? sqrt(deviation[i] / (double)seen) : 0;
        if (!isfinite(mean[i]) || !isfinite(deviation[i]))
            st = ctx_fail(
                cx, EVLA_E_RANGE,
                "data: the mean of %s is not finite: the data holds NaN or infinity",
                field);
    }
    return st;
}
