/*
 * kv.c -- keys and values in blocks of a pool: kv_write and paged_attention.
 *
 * A tile of paged_attention is one query of the heads that share a key and value head. Its
 * sums run over positions in the order of order.h, so the bits are those of attention over
 * the same rows side by side: how a prompt is cut, and where its blocks lie, leave no
 * trace. What lies behind the last row is not read, nor are the table's entries for it.
 */
#include "elementwise.h"
#include "list.h"
#include "order.h"
#include "rows.h"
#include <math.h>
#include <string.h>

/* A pool: [N,S,W], f32 or a format that a plugin decodes and encodes. */
static int32_t pool_infer(const evla_host *h, const evla_node *n, const evla_type *in,
                          int32_t i, const char *name)
{
    int32_t st = types_need(h, n, in, i, name);
    if (st < 0) return st;
    if (in[i].rank != 3 || in[i].shape[1] < 1)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: %s: %s is %s; want [N,S,W] with blocks of one row or more",
                          n->label, n->op, name, TEXT(h, &in[i]));
    if (in[i].dtype != EVLA_F32 && in[i].dtype < EVLA_DTYPE_FIRST)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: %s: %s is %s; want f32 or a format that a plugin brings",
                          n->label, n->op, name, TEXT(h, &in[i]));
    return rows_infer(h, n, in, i, name);
}

/* An i32 vector; extent -1: any. */
static int32_t indices_infer(const evla_host *h, const evla_node *n, const evla_type *in,
                             int32_t i, const char *name, int64_t extent)
{
    int32_t st = types_need(h, n, in, i, name);
    if (st < 0) return st;
    if (in[i].dtype != EVLA_I32)
        return types_fail(h, EVLA_E_DTYPE, "%s: %s: %s is %s; want i32", n->label, n->op,
                          name, TEXT(h, &in[i]));
    if (in[i].rank != 1 || (extent >= 0 && in[i].shape[0] != extent))
        return types_fail(h, EVLA_E_SHAPE,
                          extent < 0 ? "%s: %s: %s is %s; want [M]"
                                     : "%s: %s: %s is %s; want one for each of %lld tokens",
                          n->label, n->op, name, TEXT(h, &in[i]), (long long)extent);
    return EVLA_OK;
}

/* ---- kv_write ---- */

enum { COLUMNS = 64 };

static int32_t kv_write_infer(const evla_host *h, const evla_node *n, evla_type *in,
                              evla_type *out)
{
    int32_t st = pool_infer(h, n, in, 0, "pool");
    if (st < 0 || (st = types_need(h, n, in, 1, "x")) < 0) return st;
    if (in[1].dtype != EVLA_F32)
        return types_fail(h, EVLA_E_DTYPE, "%s: kv_write: x is %s; want f32", n->label,
                          TEXT(h, &in[1]));
    if (in[1].rank != 2 || in[1].shape[1] != in[0].shape[2])
        return types_fail(h, EVLA_E_SHAPE, "%s: kv_write: x is %s, pool %s wants [T,%lld]",
                          n->label, TEXT(h, &in[1]), TEXT(h, &in[0]),
                          (long long)in[0].shape[2]);
    if ((st = indices_infer(h, n, in, 2, "slot", in[1].shape[0])) < 0) return st;
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t kv_write_accepts(const evla_host *h, const evla_machine *m,
                                const evla_node *n, evla_offer *offer)
{
    (void)m;
    if (n->n_tail || !rows_accepts(h, n, 0)) return EVLA_E_MISSING;
    return types_offer(offer, 0, "exact");
}

/* Columns of one tile, whole blocks: all tokens of a column have one writer, so that of
 * equal slots the last one stays. */
static int64_t columns_of(const rows_source *pool)
{
    int64_t block = pool->format ? pool->format->block_elements : 1;
    return types_ceil(COLUMNS, block) * block;
}

static int32_t kv_write_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_work *work)
{
    (void)m;
    rows_source pool = rows_of(h, n, 0);
    work->blob_bytes = sizeof pool;
    return types_tiles(work, types_ceil(pool.width, columns_of(&pool)));
}

static int32_t kv_write_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(rows_source *)blob = rows_of(h, n, 0);
    return EVLA_OK;
}

static int32_t kv_write_run(const evla_host *h, const evla_args *a, int32_t phase,
                            int64_t tile)
{
    (void)phase;
    const evla_node *n = a->node;
    const rows_source *pool = a->blob;
    int64_t slots = n->in[0].shape[0] * n->in[0].shape[1], step = columns_of(pool);
    int64_t from = tile * step, count = order_least(pool->width - from, step);
    const int32_t *slot = a->in[2].data[0];
    for (int64_t t = 0; t < n->in[1].shape[0]; t++) {
        if (slot[t] == -1) continue;
        if (slot[t] < -1 || slot[t] >= slots)
            return types_fail(h, EVLA_E_RANGE,
                              "%s: kv_write: slot %d of token %lld; want -1 to %lld",
                              n->label, slot[t], (long long)t, (long long)slots - 1);
        const float *x = (const float *)a->in[1].data[0] + t * pool->width + from;
        char *row = (char *)a->out[0].data[0] + slot[t] * pool->bytes;
        if (!pool->format) {
            memcpy(row + from * (int64_t)sizeof *x, x, (size_t)count * sizeof *x);
            continue;
        }
        row += from / pool->format->block_elements * pool->format->block_bytes;
        int32_t st = pool->format->encode(h, x, count, row);
        if (st < 0) return st;
    }
    return EVLA_OK;
}

const evla_op kv_write_op = {.size = sizeof kv_write_op,
                             .effect = EVLA_WRITES,
                             .inputs = "pool x slot",
                             .outputs = "pool",
                             .source = "Kwon et al. 2023, section 4",
                             .infer = kv_write_infer};
const evla_kernel kv_write_kernel = {.size = sizeof kv_write_kernel,
                                     .op = "kv_write",
                                     .accepts = kv_write_accepts,
                                     .plan = kv_write_plan,
                                     .prepare = kv_write_prepare,
                                     .run = kv_write_run};

/* ---- paged_attention ---- */

enum { Q = 0, K = 1, V = 2, TABLE = 3, LAST = 4 };

typedef struct sizes {
    int64_t tokens, heads, kv_heads, group, d, dv; /* group: heads that share keys */
    int64_t pool, block, places; /* blocks, rows of one, rows of a table */
    float scale;
} sizes;

static sizes sizes_of(const evla_node *n, const evla_type *in)
{
    const evla_paged_attention_params *p = n->params;
    sizes s = {.heads = p->heads, .kv_heads = p->kv_heads ? p->kv_heads : p->heads};
    s.tokens = in[Q].shape[0];
    s.group = s.heads / s.kv_heads;
    s.d = types_last(&in[Q]) / s.heads;
    s.dv = types_last(&in[V]) / s.kv_heads;
    s.pool = in[K].shape[0];
    s.block = in[K].shape[1];
    s.places = in[TABLE].shape[0] * s.block;
    s.scale = (float)(p->scale != 0 ? p->scale : 1.0 / sqrt(s.d ? (double)s.d : 1.0));
    return s;
}

static int32_t paged_attention_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                     evla_type *out)
{
    const evla_paged_attention_params *p = n->params;
    int64_t kv = p->kv_heads ? p->kv_heads : p->heads;
    if (p->heads < 1 || kv < 1 || p->heads % kv)
        return types_fail(
            h, EVLA_E_ARG,
            "%s: paged_attention: heads is %lld, kv_heads %lld; want a multiple of it",
            n->label, (long long)p->heads, (long long)kv);
    int32_t st = types_need(h, n, in, Q, "q");
    if (st < 0) return st;
    if (in[Q].dtype != EVLA_F32)
        return types_fail(h, EVLA_E_DTYPE, "%s: paged_attention: q is %s; want f32",
                          n->label, TEXT(h, &in[Q]));
    if (in[Q].rank != 2 || in[Q].shape[1] % p->heads)
        return types_fail(
            h, EVLA_E_SHAPE,
            "%s: paged_attention: q is %s; want [T,C] with C a multiple of %lld heads",
            n->label, TEXT(h, &in[Q]), (long long)p->heads);
    if ((st = pool_infer(h, n, in, K, "k")) < 0 || (st = pool_infer(h, n, in, V, "v")) < 0)
        return st;
    if (in[K].dtype != in[V].dtype)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: paged_attention: k is %s, v is %s; want one number format",
                          n->label, TEXT(h, &in[K]), TEXT(h, &in[V]));
    if (in[K].shape[2] != in[Q].shape[1] / p->heads * kv || in[V].shape[2] % kv ||
        in[K].shape[0] != in[V].shape[0] || in[K].shape[1] != in[V].shape[1])
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: paged_attention: q %s, k %s and v %s do not meet with %lld "
                          "heads, %lld kv_heads",
                          n->label, TEXT(h, &in[Q]), TEXT(h, &in[K]), TEXT(h, &in[V]),
                          (long long)p->heads, (long long)kv);
    if ((st = indices_infer(h, n, in, TABLE, "table", -1)) < 0 ||
        (st = indices_infer(h, n, in, LAST, "last", in[Q].shape[0])) < 0)
        return st;
    out[0] = in[Q];
    out[0].shape[1] = in[V].shape[2] / kv * p->heads;
    return EVLA_OK;
}

/* As if every query saw all that the table can hold. */
static double paged_attention_cost(const evla_node *n)
{
    sizes s = sizes_of(n, n->in);
    return 2.0 * (double)(s.tokens * s.heads) * (double)s.places * (double)(s.d + s.dv);
}

static int32_t paged_attention_accepts(const evla_host *h, const evla_machine *m,
                                       const evla_node *n, evla_offer *offer)
{
    (void)m;
    if (n->n_tail || !rows_accepts(h, n, K) || !rows_accepts(h, n, V))
        return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

/* What a tile has in its scratch. */
typedef struct desk {
    float *weight; /* [group,places] scores, then e^(score - largest) */
    float *sum;    /* [group] of them */
    float *lane;   /* [8,group * dv] running sums of a block of positions */
    float *room;   /* for rows_read */
} desk;

static desk desk_of(const sizes *s, float *at)
{
    desk d = {.weight = at, .sum = at + s->group * s->places};
    d.lane = d.sum + s->group;
    d.room = d.lane + ORDER_LANES * s->group * s->dv;
    return d;
}

typedef struct pools {
    rows_source k, v;
} pools;

static int32_t paged_attention_plan(const evla_host *h, const evla_machine *m,
                                    const evla_node *n, evla_work *work)
{
    (void)m;
    sizes s = sizes_of(n, n->in);
    int64_t k = rows_room(h, n, K, s.d), v = rows_room(h, n, V, s.dv);
    int64_t floats = s.group * (s.places + 1 + ORDER_LANES * s.dv) + (k > v ? k : v);
    work->blob_bytes = sizeof(pools);
    work->worker_bytes = (uint64_t)floats * sizeof(float);
    return types_tiles(work, s.tokens * s.kv_heads);
}

static int32_t paged_attention_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(pools *)blob = (pools){.k = rows_of(h, n, K), .v = rows_of(h, n, V)};
    return EVLA_OK;
}

/* The row of the pool that holds position j, in *row. */
static int32_t find_row(const evla_host *h, const evla_args *a, const sizes *s, int64_t j,
                        int64_t *row)
{
    int64_t at = j / s->block;
    int32_t block = ((const int32_t *)a->in[TABLE].data[0])[at];
    *row = block * s->block + j % s->block;
    if (block >= 0 && block < s->pool) return EVLA_OK;
    return types_fail(
        h, EVLA_E_RANGE,
        "%s: paged_attention: table has block %d at place %lld; want 0 to %lld",
        a->node->label, block, (long long)at, (long long)s->pool - 1);
}

/* Scores of one query's heads to the first `seen` positions, turned into weights. */
static int32_t weigh(const evla_host *h, const evla_args *a, const sizes *s, const float *q,
                     int64_t kv, int64_t seen, const desk *d)
{
    const pools *c = a->blob;
    for (int64_t j = 0; j < seen; j++) {
        int64_t row;
        const float *k;
        int32_t st = find_row(h, a, s, j, &row);
        if (st >= 0) st = rows_read(h, &c->k, a, K, row, kv * s->d, s->d, d->room, &k);
        if (st < 0) return st;
        for (int64_t g = 0; g < s->group; g++)
            d->weight[g * s->places + j] = order_dot(q + g * s->d, k, s->d) * s->scale;
    }
    for (int64_t g = 0; g < s->group; g++) {
        float most = -INFINITY, *p = d->weight + g * s->places;
        for (int64_t j = 0; j < seen; j++)
            if (p[j] > most || p[j] != p[j]) most = p[j];
        if (most == -INFINITY) most = 0;
        elementwise_exp(p, most, p, seen);
        d->sum[g] = order_sum(p, seen);
    }
    return EVLA_OK;
}

/* y[group,dv] = weights times values, in the order of order_mix. */
static int32_t mix(const evla_host *h, const evla_args *a, const sizes *s, int64_t kv,
                   int64_t seen, const desk *d, float *y)
{
    const pools *c = a->blob;
    int64_t wide = s->group * s->dv;
    for (int64_t at = 0; at < seen; at += ORDER_BLOCK) {
        memset(d->lane, 0, (size_t)(ORDER_LANES * wide) * sizeof *d->lane);
        for (int64_t j = at; j < order_least(seen, at + ORDER_BLOCK); j++) {
            float *lane = d->lane + j % ORDER_LANES * wide;
            int64_t row;
            const float *v;
            int32_t st = find_row(h, a, s, j, &row);
            if (st >= 0)
                st = rows_read(h, &c->v, a, V, row, kv * s->dv, s->dv, d->room, &v);
            if (st < 0) return st;
            for (int64_t g = 0; g < s->group; g++)
                for (int64_t i = 0; i < s->dv; i++)
                    lane[g * s->dv + i] += d->weight[g * s->places + j] * v[i];
        }
        for (int64_t i = 0; i < wide; i++) {
            float lanes[ORDER_LANES];
            for (int64_t l = 0; l < ORDER_LANES; l++)
                lanes[l] = d->lane[l * wide + i];
            y[i] += order_fold(lanes);
        }
    }
    return EVLA_OK;
}

static int32_t paged_attention_run(const evla_host *h, const evla_args *a, int32_t phase,
                                   int64_t tile)
{
    (void)phase;
    sizes s = sizes_of(a->node, a->node->in);
    int64_t t = tile / s.kv_heads, kv = tile % s.kv_heads, wide = s.group * s.dv;
    desk d = desk_of(&s, a->scratch);
    int64_t last = ((const int32_t *)a->in[LAST].data[0])[t];
    const float *q = (const float *)a->in[Q].data[0] + (t * s.heads + kv * s.group) * s.d;
    float *y = (float *)a->out[0].data[0] + (t * s.heads + kv * s.group) * s.dv;
    if (last < -1 || last >= s.places)
        return types_fail(
            h, EVLA_E_RANGE,
            "%s: paged_attention: last is %lld for query %lld; the table's %lld "
            "blocks want -1 to %lld",
            a->node->label, (long long)last, (long long)t, (long long)(s.places / s.block),
            (long long)s.places - 1);
    for (int64_t i = 0; i < wide; i++)
        y[i] = 0;
    int32_t st = weigh(h, a, &s, q, kv, last + 1, &d);
    if (st >= 0) st = mix(h, a, &s, kv, last + 1, &d, y);
    for (int64_t i = 0; st >= 0 && i < wide; i++) {
        float sum = d.sum[i / s.dv];
        y[i] = sum > 0 || sum != sum ? y[i] / sum : 0.0f;
    }
    return st;
}

const evla_op paged_attention_op = {.size = sizeof paged_attention_op,
                                    .inputs = "q k v table last",
                                    .outputs = "y",
                                    .source = "Kwon et al. 2023, section 4",
                                    .infer = paged_attention_infer,
                                    .cost = paged_attention_cost};
const evla_kernel paged_attention_kernel = {.size = sizeof paged_attention_kernel,
                                            .op = "paged_attention",
                                            .accepts = paged_attention_accepts,
                                            .plan = paged_attention_plan,
                                            .prepare = paged_attention_prepare,
                                            .run = paged_attention_run};
