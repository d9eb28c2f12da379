/*
 * paged.c -- the kernels of paged_attention. See paged.h for what they compute.
 *
 * A tile is some queries of the heads that share a key and value head, about 64 rows: keys
 * and values of a piece are decoded once for all of them, keys as columns. Where there are
 * few tiles, because there are few queries, a tile is one part only; a second phase adds
 * the parts up.
 */
#include "paged.h"
#include "list.h"
#include "node.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { Q = 0, K = 1, V = 2, TABLE = 3, LAST = 4 };
enum { ROWS = 64 /* of a tile, or one query's */, FEW = 32 /* tiles */ };

typedef struct paged_isa {
    const x86_isa *lanes;
    const x86_paged *paged;
} paged_isa;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }

typedef struct sizes {
    int64_t tokens, kv_heads, group, d, dv, wide; /* wide: dv in whole vectors */
    int64_t pool, block, places, parts;
    int64_t batch, batches,
        rows; /* queries of a tile, tiles of a kv head, rows of a tile */
    float scale;
} sizes;

static sizes sizes_of(const evla_node *n)
{
    const evla_paged_attention_params *p = n->params;
    int64_t heads = p->heads, kv = p->kv_heads ? p->kv_heads : heads;
    sizes s = {.tokens = n->in[Q].shape[0], .kv_heads = kv, .group = heads / kv};
    s.d = n->in[Q].shape[1] / heads;
    s.dv = n->in[V].shape[2] / kv;
    s.wide = ceil_div(s.dv, PAGED_LANES) * PAGED_LANES;
    s.pool = n->in[K].shape[0];
    s.block = n->in[K].shape[1];
    s.places = n->in[TABLE].shape[0] * s.block;
    s.parts = ceil_div(s.places, PAGED_PART);
    s.batch = s.group < ROWS ? ROWS / s.group : 1;
    s.batch = least(s.batch, s.tokens);
    s.batches = s.batch ? ceil_div(s.tokens, s.batch) : 0;
    s.rows = s.batch * s.group;
    s.scale = (float)(p->scale != 0 ? p->scale : 1.0 / sqrt(s.d ? (double)s.d : 1.0));
    return s;
}

/* What a row knows of some positions: the largest score, the sum of weights, values mixed
 * by them. */
typedef struct part {
    float *top, *sum, *mix; /* [rows], [rows], [rows,wide] */
} part;

static int64_t part_floats(const sizes *s) { return s->rows * (2 + s->wide); }

static part part_at(const sizes *s, float *at)
{
    return (part){at, at + s->rows, at + 2 * s->rows};
}

/* A tile's scratch. */
typedef struct desk {
    part now, all;
    float *q;      /* [rows,d], times scale */
    float *score;  /* [rows,PIECE] */
    float *lanes;  /* [rows,LANES] */
    float *keep;   /* [rows] */
    float *mixed;  /* [rows,wide] */
    float *plain;  /* [PIECE,d], and a row of whole blocks of any format */
    float *keys;   /* [d,PIECE] */
    float *values; /* [PIECE,wide] */
} desk;

static int64_t desk_floats(const sizes *s, int64_t row)
{
    return 2 * part_floats(s) + s->rows * (s->d + PAGED_PIECE + PAGED_LANES + 1 + s->wide) +
           PAGED_PIECE * (2 * s->d + s->wide) + row;
}

static desk desk_at(const sizes *s, float *at, int64_t row)
{
    desk d = {.now = part_at(s, at), .all = part_at(s, at + part_floats(s))};
    d.q = at + 2 * part_floats(s);
    d.score = d.q + s->rows * s->d;
    d.lanes = d.score + s->rows * PAGED_PIECE;
    d.keep = d.lanes + s->rows * PAGED_LANES;
    d.mixed = d.keep + s->rows;
    d.plain = d.mixed + s->rows * s->wide;
    d.keys = d.plain + PAGED_PIECE * s->d + row;
    d.values = d.keys + s->d * PAGED_PIECE;
    return d;
}

/* How one of the pools is read. */
typedef struct pool {
    x86_read *read;           /* NULL: by the format's own decode */
    const evla_dtype *format; /* NULL: f32 */
    int64_t row_bytes, block, block_bytes;
} pool;

typedef struct kept {
    pool k, v;
    int64_t room; /* floats of a row in whole blocks */
} kept;

static pool pool_of(const evla_host *h, const paged_isa *isa, const evla_node *n, int32_t i,
                    int64_t numbers)
{
    const evla_type *t = &n->in[i];
    pool p = {.block = 1, .block_bytes = sizeof(float)};
    if (t->dtype != EVLA_F32) p.format = h->dtype_table(h, t->dtype);
    if (p.format) p.block = p.format->block_elements, p.block_bytes = p.format->block_bytes;
    p.row_bytes = h->dtype_bytes(h, t->dtype, t->shape[2]);
    if (numbers % p.block == 0) p.read = isa->paged->read(h->dtype_name(h, t->dtype));
    return p;
}

static kept kept_of(const evla_host *h, const paged_isa *isa, const evla_node *n)
{
    sizes s = sizes_of(n);
    kept c = {.k = pool_of(h, isa, n, K, s.d), .v = pool_of(h, isa, n, V, s.dv)};
    c.room =
        (s.d > s.dv ? s.d : s.dv) + 2 * (c.k.block > c.v.block ? c.k.block : c.v.block);
    return c;
}

/* ---- choosing and planning ---- */

static int32_t accepts(const evla_host *h, const paged_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    if (n->n_tail || !node_has(m, isa->lanes->feature)) return EVLA_E_MISSING;
    if (n->in[K].dtype != EVLA_F32 && !h->dtype_table(h, n->in[K].dtype))
        return EVLA_E_MISSING;
    sizes s = sizes_of(n);
    if (s.d < 1 || s.dv < 1) return EVLA_E_MISSING;
    *offer = (evla_offer){
        .score = isa->lanes->score, .alias_in = -1, .numerics = PAGED_NUMERICS};
    return EVLA_OK;
}

/* Parts are tiles of their own where whole queries would be too few to share. */
static int by_parts(const sizes *s) { return s->batches * s->kv_heads < FEW; }

static int32_t plan(const evla_host *h, const paged_isa *isa, const evla_node *n,
                    evla_work *work)
{
    sizes s = sizes_of(n);
    kept c = kept_of(h, isa, n);
    work->blob_bytes = sizeof c;
    work->worker_bytes = (uint64_t)desk_floats(&s, c.room) * sizeof(float);
    work->n_phases = 1;
    work->tiles[0] = s.batches * s.kv_heads;
    if (!by_parts(&s)) return EVLA_OK;
    work->n_phases = 2;
    work->tiles[1] = work->tiles[0];
    work->tiles[0] *= s.parts;
    work->shared_bytes = (uint64_t)(work->tiles[0] * part_floats(&s)) * sizeof(float);
    return EVLA_OK;
}

/* ---- one tile ---- */

/* The queries of a tile. */
typedef struct batch {
    int64_t t0, t1, kv, seen; /* seen: positions that the last of them sees */
    const int32_t *last;
} batch;

__attribute__((format(printf, 3, 4))) static int32_t fail(const evla_host *h, int32_t code,
                                                          const char *format, ...)
{
    char why[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    return h->fail(h, code, why);
}

static int32_t batch_of(const evla_host *h, const evla_args *a, const sizes *s,
                        int64_t tile, batch *b)
{
    *b = (batch){.kv = tile % s->kv_heads, .last = a->in[LAST].data[0]};
    b->t0 = tile / s->kv_heads * s->batch;
    b->t1 = least(s->tokens, b->t0 + s->batch);
    for (int64_t t = b->t0; t < b->t1; t++) {
        if (b->last[t] < -1 || b->last[t] >= s->places)
            return fail(h, EVLA_E_RANGE,
                        "%s: paged_attention: last is %d for query %lld; the table's %lld "
                        "blocks want -1 to %lld",
                        a->node->label, b->last[t], (long long)t,
                        (long long)(s->places / s->block), (long long)s->places - 1);
        if (b->last[t] >= b->seen) b->seen = b->last[t] + 1;
    }
    return EVLA_OK;
}

/* Rows of one block, one kv head's part of them, as f32. */
static int32_t read_rows(const evla_host *h, const pool *p, const char *row, int64_t rows,
                         int64_t from, int64_t n, float *room, float *to, int64_t to_row)
{
    int64_t first = from / p->block, blocks = ceil_div(from + n, p->block) - first;
    row += first * p->block_bytes;
    if (p->read) {
        p->read(row, p->row_bytes, rows, n, to, to_row);
        return EVLA_OK;
    }
    for (int64_t r = 0; r < rows; r++) {
        int32_t st = p->format->decode(h, row + r * p->row_bytes, blocks * p->block, room);
        if (st < 0) return st;
        memcpy(to + r * to_row, room + from % p->block, (size_t)n * sizeof *to);
    }
    return EVLA_OK;
}

/* Asks for the same part of rows that will be read soon: it is scattered, so the processor
 * does not see it coming. */
static void ahead(const pool *p, const char *row, int64_t rows, int64_t from, int64_t n)
{
    enum { LINE = 64 };
    row += from / p->block * p->block_bytes;
    for (int64_t r = 0; r < rows; r++, row += p->row_bytes)
        for (int64_t i = 0; i < n / p->block * p->block_bytes; i += LINE)
            __builtin_prefetch(row + i);
}

/* Positions [from, from + n) of one kv head: keys as columns, values as rows. */
static int32_t read_piece(const evla_host *h, const paged_isa *isa, const evla_args *a,
                          const sizes *s, const batch *b, int64_t from, int64_t n,
                          const desk *d)
{
    const kept *c = a->blob;
    const int32_t *table = a->in[TABLE].data[0];
    const char *keys = a->in[K].data[0], *values = a->in[V].data[0];
    int64_t k = b->kv * s->d, v = b->kv * s->dv;
    float *room = d->plain + PAGED_PIECE * s->d;
    for (int64_t j = from, some; j < from + n; j += some) {
        int64_t at = j / s->block, block = table[at], place = j - at * s->block;
        some = least(s->block - place, from + n - j);
        if (block < 0 || block >= s->pool)
            return fail(
                h, EVLA_E_RANGE,
                "%s: paged_attention: table has block %lld at place %lld; want 0 to "
                "%lld",
                a->node->label, (long long)block, (long long)at, (long long)s->pool - 1);
        int64_t row = block * s->block + place;
        int32_t st = read_rows(h, &c->k, keys + row * c->k.row_bytes, some, k, s->d, room,
                               d->plain + (j - from) * s->d, s->d);
        if (st >= 0)
            st = read_rows(h, &c->v, values + row * c->v.row_bytes, some, v, s->dv, room,
                           d->values + (j - from) * s->wide, s->wide);
        if (st < 0) return st;
        int64_t next = j + PAGED_PIECE, soon = next < b->seen ? table[next / s->block] : -1;
        if (soon < 0 || soon >= s->pool) continue;
        row = soon * s->block + next % s->block;
        ahead(&c->k, keys + row * c->k.row_bytes, some, k, s->d);
        ahead(&c->v, values + row * c->v.row_bytes, some, v, s->dv);
    }
    isa->paged->turn(d->plain, s->d, n, s->d, d->keys, PAGED_PIECE);
    return EVLA_OK;
}

/* y[rows,n] = a[rows,k] b[k,n] */
static void multiply(const paged_isa *isa, const float *a, int64_t a_row, const float *b,
                     int64_t b_k, float *y, int64_t y_row, int64_t rows, int64_t k,
                     int64_t n)
{
    for (int64_t r = 0; r < rows; r += isa->lanes->thin) {
        x86_product p = {.a = a + r * a_row,
                         .b = b,
                         .y = y + r * y_row,
                         .m = least(rows - r, isa->lanes->thin),
                         .n = n,
                         .k = k,
                         .a_row = a_row,
                         .a_k = 1,
                         .b_k = b_k,
                         .b_col = 1,
                         .y_row = y_row};
        isa->lanes->slim(&p, 0, n);
    }
}

/* Rows [r0, r1) take the first n positions of the piece at hand; no other is touched. */
static void attend(const paged_isa *isa, const sizes *s, const desk *d, const part *to,
                   int64_t r0, int64_t r1, int64_t n)
{
    multiply(isa, d->q + r0 * s->d, s->d, d->keys, PAGED_PIECE, d->score + r0 * PAGED_PIECE,
             PAGED_PIECE, r1 - r0, s->d, ceil_div(n, PAGED_LANES) * PAGED_LANES);
    for (int64_t r = r0; r < r1; r++)
        d->keep[r] = isa->paged->weigh(d->score + r * PAGED_PIECE, n, to->top + r,
                                       d->lanes + r * PAGED_LANES);
    multiply(isa, d->score + r0 * PAGED_PIECE, PAGED_PIECE, d->values, s->wide,
             d->mixed + r0 * s->wide, s->wide, r1 - r0, n, s->wide);
    for (int64_t r = r0; r < r1; r++)
        isa->paged->blend(to->mix + r * s->wide, d->keep[r], d->mixed + r * s->wide, 1,
                          s->wide);
}

/* One part of the positions, for all rows of a tile. */
static int32_t attend_part(const evla_host *h, const paged_isa *isa, const evla_args *a,
                           const sizes *s, const batch *b, int64_t index, const desk *d,
                           const part *out)
{
    int64_t start = index * PAGED_PART, end = least(b->seen, start + PAGED_PART);
    memset(d->lanes, 0, (size_t)(s->rows * PAGED_LANES) * sizeof(float));
    memset(out->mix, 0, (size_t)(s->rows * s->wide) * sizeof(float));
    for (int64_t r = 0; r < s->rows; r++)
        out->top[r] = -INFINITY;
    for (int64_t from = start; from < end; from += PAGED_PIECE) {
        int32_t st = read_piece(h, isa, a, s, b, from, least(end - from, PAGED_PIECE), d);
        if (st < 0) return st;
        for (int64_t t = b->t0, u; t < b->t1; t = u) { /* those that see equally far */
            int64_t n = least(b->last[t] + 1 - from, PAGED_PIECE);
            for (u = t + 1; u < b->t1 && least(b->last[u] + 1 - from, PAGED_PIECE) == n;)
                u++;
            if (n > 0)
                attend(isa, s, d, out, (t - b->t0) * s->group, (u - b->t0) * s->group, n);
        }
    }
    for (int64_t r = 0; r < s->rows; r++) {
        const float *l = d->lanes + r * PAGED_LANES;
        float half[8];
        for (int i = 0; i < 8; i++)
            half[i] = l[i] + l[i + 8];
        out->sum[r] = ((half[0] + half[4]) + (half[2] + half[6])) +
                      ((half[1] + half[5]) + (half[3] + half[7]));
    }
    return EVLA_OK;
}

static void begin(const sizes *s, const part *all)
{
    memset(all->top, 0, (size_t)part_floats(s) * sizeof(float));
    for (int64_t r = 0; r < s->rows; r++)
        all->top[r] = -INFINITY;
}

/* all = all and one more part, for the rows that see some of it. */
static void merge(const paged_isa *isa, const sizes *s, const batch *b, int64_t index,
                  const part *one, const part *all)
{
    for (int64_t r = 0; r < (b->t1 - b->t0) * s->group; r++) {
        if (b->last[b->t0 + r / s->group] < index * PAGED_PART) continue;
        float top = one->top[r] > all->top[r] ? one->top[r] : all->top[r];
        float base = top == -INFINITY ? 0 : top;
        float keep = isa->paged->weight(all->top[r] - base);
        float take = isa->paged->weight(one->top[r] - base);
        all->top[r] = top;
        all->sum[r] = all->sum[r] * keep + one->sum[r] * take;
        isa->paged->blend(all->mix + r * s->wide, keep, one->mix + r * s->wide, take,
                          s->wide);
    }
}

static void finish(const evla_args *a, const sizes *s, const batch *b, const part *all)
{
    int64_t heads = s->kv_heads * s->group;
    for (int64_t r = 0; r < (b->t1 - b->t0) * s->group; r++) {
        int64_t t = b->t0 + r / s->group, head = b->kv * s->group + r % s->group;
        float *y = (float *)a->out[0].data[0] + (t * heads + head) * s->dv;
        const float *mix = all->mix + r * s->wide;
        float sum = all->sum[r], share = 1 / sum;
        int attends = sum > 0 || sum != sum;
        for (int64_t i = 0; attends && i < s->dv; i++)
            y[i] = mix[i] * share;
        if (!attends) memset(y, 0, (size_t)s->dv * sizeof *y);
    }
}

static void take_queries(const evla_args *a, const sizes *s, const batch *b, const desk *d)
{
    int64_t heads = s->kv_heads * s->group, each = s->group * s->d;
    for (int64_t t = b->t0; t < b->t1; t++) {
        const float *q = (const float *)a->in[Q].data[0] + t * heads * s->d + b->kv * each;
        float *to = d->q + (t - b->t0) * each;
        for (int64_t i = 0; i < each; i++)
            to[i] = q[i] * s->scale;
    }
}

static int32_t run(const evla_host *h, const paged_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    sizes s = sizes_of(a->node);
    desk d = desk_at(&s, a->scratch, ((const kept *)a->blob)->room);
    int parted = by_parts(&s);
    /* neighbouring heads lie side by side: tiles of one part follow each other */
    int64_t all = s.batches * s.kv_heads;
    if (all < 1) return EVLA_OK; /* and nobody asks */
    int64_t one = parted && phase == 0 ? tile / all : -1;
    batch b;
    int32_t st = batch_of(h, a, &s, tile % all, &b);
    if (st < 0) return st;
    if (one >= 0) {
        part to = part_at(&s, (float *)a->shared + tile * part_floats(&s));
        if (one * PAGED_PART >= b.seen) return EVLA_OK;
        take_queries(a, &s, &b, &d);
        return attend_part(h, isa, a, &s, &b, one, &d, &to);
    }
    if (!parted) take_queries(a, &s, &b, &d);
    begin(&s, &d.all);
    for (int64_t i = 0; i * PAGED_PART < b.seen; i++) {
        part now = d.now;
        if (parted)
            now = part_at(&s, (float *)a->shared + (i * all + tile) * part_floats(&s));
        else if ((st = attend_part(h, isa, a, &s, &b, i, &d, &now)) < 0)
            return st;
        merge(isa, &s, &b, i, &now, &d.all);
    }
    finish(a, &s, &b, &d.all);
    return EVLA_OK;
}

/* ---- tables ---- */

#define KERNEL(id)                                                                         \
    static const paged_isa isa_##id = {&x86_##id, &x86_paged_##id};                        \
    NODE_ACCEPTS(accepts, id, &isa_##id)                                                   \
    NODE_PLAN(plan, id, &isa_##id)                                                         \
    NODE_RUN(run, id, &isa_##id)                                                           \
    static int32_t prepare_##id(const evla_host *h, const evla_node *n, void *blob)        \
    {                                                                                      \
        return *(kept *)blob = kept_of(h, &isa_##id, n), EVLA_OK;                          \
    }                                                                                      \
    const evla_kernel paged_attention_##id = {.size = sizeof(evla_kernel),                 \
                                              .op = "paged_attention",                     \
                                              .accepts = accepts_##id,                     \
                                              .plan = plan_##id,                           \
                                              .prepare = prepare_##id,                     \
                                              .run = run_##id};
KERNEL(avx2)
KERNEL(avx512)
