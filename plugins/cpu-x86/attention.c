/*
 * attention.c -- the kernels of attention: whole sequences of queries, keys and values.
 *
 * A first phase lays keys, as columns, and values of each kv head out in panels (packed.h),
 * once for all queries. Then a tile is some queries of one head: their scores with all
 * keys, softmax, and the mix of the values are two products and a pass over the rows
 * between them, which stay in the second cache.
 *
 * Numerics id "f32.attention256": scores (scale q) k and mixes p v are summed as x86.h
 * says, over the head's width and over key positions; weights p = e^(score - largest) add
 * up in 16 lanes, position j in lane j mod 16, folded at the end. So the bits do not depend
 * on tiles, threads, or how many queries there are. What is masked out has weight 0; where
 * it is not finite and would leave a trace, the row is mixed without it.
 */
#include "list.h"
#include "node.h"
#include "packed.h"
#include "paged.h"
#include <math.h>
#include <string.h>

enum { Q = 0, K = 1, V = 2, MASK = 3 };
enum { ROWS = 64, SCORES = 32 << 10 /* of a tile, at most, if that is not one query's */ };

typedef struct attention_isa {
    const x86_isa *lanes;
    const x86_paged *rows;
} attention_isa;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }
static int64_t whole(int64_t n, int64_t of) { return ceil_div(n, of) * of; }

typedef struct sizes {
    int64_t batch, tq, tk, heads, kv_heads, d, dv;
    int64_t blocks;       /* tiles of one head */
    int64_t score;        /* floats from one row of scores to the next */
    int64_t keys, values; /* floats of a kv head's panels */
    float scale;
    int32_t causal;
} sizes;

static sizes sizes_of(const evla_node *n)
{
    const evla_attention_params *p = n->params;
    const evla_type *q = &n->in[Q];
    sizes s = {.heads = p->heads, .kv_heads = p->kv_heads ? p->kv_heads : p->heads};
    s.batch = node_span(q->shape, 0, q->rank - 2);
    s.tq = q->shape[q->rank - 2];
    s.tk = n->in[K].shape[n->in[K].rank - 2];
    s.d = node_last(q) / s.heads;
    s.dv = node_last(&n->in[V]) / s.kv_heads;
    /* a line more than needed: rows of a power of two would share places in the cache */
    s.score = whole(s.tk, PAGED_LANES) + PAGED_LANES;
    int64_t rows = least(ROWS, SCORES / s.score);
    s.blocks = ceil_div(s.tq, rows < 1 ? 1 : rows);
    s.keys = whole(s.tk, PACKED_ROWS) * s.d;
    s.values = whole(s.dv, PACKED_ROWS) * s.tk;
    s.scale = (float)(p->scale != 0 ? p->scale : 1.0 / sqrt((double)s.d));
    s.causal = p->causal;
    return s;
}

static int32_t accepts(const evla_host *h, const attention_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    (void)h;
    if (n->n_tail || !node_has(m, isa->lanes->feature)) return EVLA_E_MISSING;
    for (int32_t i = Q; i <= V; i++)
        if (n->in[i].dtype != EVLA_F32) return EVLA_E_MISSING;
    if (node_last(&n->in[Q]) < 1 || node_last(&n->in[V]) < 1) return EVLA_E_MISSING;
    *offer = (evla_offer){
        .score = isa->lanes->score, .alias_in = -1, .numerics = "f32.attention256"};
    return EVLA_OK;
}

static int32_t plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_work *work)
{
    (void)h, (void)m;
    sizes s = sizes_of(n);
    int64_t rows = ceil_div(s.tq, s.blocks ? s.blocks : 1);
    work->n_phases = 2;
    work->tiles[0] = s.batch * s.kv_heads;
    work->tiles[1] = s.batch * s.heads * s.blocks;
    work->shared_bytes = (uint64_t)(work->tiles[0] * (s.keys + s.values)) * sizeof(float);
    work->worker_bytes = (uint64_t)(rows * (s.score + s.d + 1)) * sizeof(float);
    return EVLA_OK;
}

/* ---- the first phase: panels of one kv head ---- */

static void pack(const attention_isa *isa, const evla_args *a, const sizes *s, int64_t tile)
{
    int64_t batch = tile / s->kv_heads, head = tile % s->kv_heads;
    int64_t k_row = s->kv_heads * s->d, v_row = s->kv_heads * s->dv;
    const float *k = (const float *)a->in[K].data[0] + batch * s->tk * k_row + head * s->d;
    const float *v = (const float *)a->in[V].data[0] + batch * s->tk * v_row + head * s->dv;
    float *to = (float *)a->shared + tile * (s->keys + s->values);
    for (int64_t j = 0; j < s->tk; j += PACKED_ROWS, to += PACKED_ROWS * s->d) {
        int64_t n = least(s->tk - j, PACKED_ROWS);
        if (n < PACKED_ROWS) memset(to, 0, (size_t)(PACKED_ROWS * s->d) * sizeof *to);
        isa->rows->turn(k + j * k_row, k_row, n, s->d, to, PACKED_ROWS);
    }
    for (int64_t c = 0; c < s->dv; c += PACKED_ROWS) {
        size_t n = (size_t)least(s->dv - c, PACKED_ROWS);
        for (int64_t j = 0; j < s->tk; j++, to += PACKED_ROWS) {
            memcpy(to, v + j * v_row + c, n * sizeof *to);
            memset(to + n, 0, (PACKED_ROWS - n) * sizeof *to);
        }
    }
}

/* ---- the second: some queries of one head ---- */

/* Keys from this one on are hidden by causality. */
static int64_t seen_by(const sizes *s, int64_t query)
{
    int64_t n = s->causal ? query + 1 + s->tk - s->tq : s->tk;
    return n < 0 ? 0 : n;
}

/* y[rows,n] = x[rows,k] times a matrix in panels */
static void multiply(const attention_isa *isa, const float *x, int64_t x_row,
                     const float *panels, int64_t rows, int64_t k, int64_t n, float *y,
                     int64_t y_row)
{
    x86_product p = {.a = x,
                     .a_row = x_row,
                     .a_k = 1,
                     .panels = (const uint8_t *)panels,
                     .format = PACKED_F32,
                     .y = y,
                     .y_row = y_row,
                     .m = rows,
                     .n = n,
                     .k = k};
    isa->lanes->packed(&p, 0, rows, 0, n);
}

/* Row `index` of all heads' scores: what the mask hides becomes -infinity. */
static void apply_mask(const evla_args *a, const sizes *s, int64_t index, int64_t n,
                       float *score)
{
    const evla_type *m = &a->node->in[MASK], *q = &a->node->in[Q];
    evla_type all = {.rank = q->rank + 1};
    memcpy(all.shape, q->shape, sizeof all.shape);
    all.shape[all.rank - 3] = s->heads;
    all.shape[all.rank - 2] = s->tq;
    all.shape[all.rank - 1] = s->tk;
    int64_t at = node_offset(m, &all, 1, index), step = node_last(m) != 1;
    if (m->dtype == EVLA_BOOL) {
        const uint8_t *allow = (const uint8_t *)a->in[MASK].data[0] + at;
        for (int64_t j = 0; j < n; j++)
            if (!allow[j * step]) score[j] = -INFINITY;
    } else {
        const float *add = (const float *)a->in[MASK].data[0] + at;
        for (int64_t j = 0; j < n; j++)
            score[j] = add[j * step] == -INFINITY ? -INFINITY : score[j] + add[j * step];
    }
}

static float folded(const float *l)
{
    float half[8];
    for (int i = 0; i < 8; i++)
        half[i] = l[i] + l[i + 8];
    return ((half[0] + half[4]) + (half[2] + half[6])) +
           ((half[1] + half[5]) + (half[3] + half[7]));
}

/* The mix of one row from the values that have a weight, in the same order. */
static void mix_again(const float *p, const float *panels, const sizes *s, int64_t n,
                      float *y)
{
    for (int64_t c = 0; c < s->dv; c++) {
        const float *v = panels + c / PACKED_ROWS * s->tk * PACKED_ROWS + c % PACKED_ROWS;
        for (int64_t from = 0; from < n; from += X86_DEPTH) {
            float sum = 0;
            for (int64_t j = from; j < least(n, from + X86_DEPTH); j++)
                if (p[j] != 0) sum = fmaf(p[j], v[j * PACKED_ROWS], sum);
            y[c] = from ? y[c] + sum : sum;
        }
    }
}

static void finish(const sizes *s, const float *p, const float *values, int64_t n,
                   float sum, int has_hidden, float *y)
{
    if (!(sum > 0 || sum != sum)) {
        memset(y, 0, (size_t)s->dv * sizeof *y);
        return;
    }
    float trace = 0;
    for (int64_t c = 0; has_hidden && c < s->dv; c++)
        trace += y[c] - y[c]; /* NaN where y is not finite */
    if (trace != 0) mix_again(p, values, s, n, y);
    for (int64_t c = 0; c < s->dv; c++)
        y[c] /= sum;
}

static void attend(const attention_isa *isa, const evla_args *a, const sizes *s,
                   int64_t tile)
{
    int64_t place = tile / s->blocks, block = tile % s->blocks;
    int64_t batch = place / s->heads, head = place % s->heads;
    int64_t q0 = s->tq * block / s->blocks, q1 = s->tq * (block + 1) / s->blocks;
    int64_t rows = q1 - q0, n = least(s->tk, seen_by(s, q1 - 1));
    int64_t row = s->heads * s->d, y_row = s->heads * s->dv;
    int64_t kv = batch * s->kv_heads + head / (s->heads / s->kv_heads);
    const float *keys = (const float *)a->shared + kv * (s->keys + s->values);
    const float *values = keys + s->keys;
    const float *from =
        (const float *)a->in[Q].data[0] + (batch * s->tq + q0) * row + head * s->d;
    float *y = (float *)a->out[0].data[0] + (batch * s->tq + q0) * y_row + head * s->dv;
    float *score = a->scratch, *q = score + rows * s->score, *sum = q + rows * s->d;
    int has_mask = node_present(a->node, MASK);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < s->d; i++)
            q[r * s->d + i] = from[r * row + i] * s->scale;
    if (n > 0) multiply(isa, q, s->d, keys, rows, s->d, n, score, s->score);
    for (int64_t r = 0; r < rows; r++) {
        float *p = score + r * s->score, lanes[PAGED_LANES] = {0}, top = -INFINITY;
        int64_t seen = least(n, seen_by(s, q0 + r));
        if (has_mask) apply_mask(a, s, (batch * s->heads + head) * s->tq + q0 + r, seen, p);
        isa->rows->weigh(p, seen, &top, lanes);
        for (int64_t j = seen; j < n; j++)
            p[j] = 0;
        sum[r] = folded(lanes);
    }
    for (int64_t c = 0; n > 0 && c < s->dv; c += PACKED_ROWS) /* panels of all tk rows */
        multiply(isa, score, s->score, values + c * s->tk, rows, n,
                 least(s->dv - c, PACKED_ROWS), y + c, y_row);
    for (int64_t r = 0; r < rows; r++)
        finish(s, score + r * s->score, values, n, sum[r], has_mask || s->causal,
               y + r * y_row);
}

static int32_t run(const evla_host *h, const attention_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    (void)h;
    sizes s = sizes_of(a->node);
    if (phase == 0)
        pack(isa, a, &s, tile);
    else
        attend(isa, a, &s, tile);
    return EVLA_OK;
}

/* ---- tables ---- */

#define KERNEL(id)                                                                         \
    static const attention_isa isa_##id = {&x86_##id, &x86_paged_##id};                    \
    NODE_ACCEPTS(accepts, id, &isa_##id)                                                   \
    NODE_RUN(run, id, &isa_##id)                                                           \
    const evla_kernel attention_##id = {.size = sizeof(evla_kernel),                       \
                                        .op = "attention",                                 \
                                        .accepts = accepts_##id,                           \
                                        .plan = plan,                                      \
                                        .run = run_##id};
KERNEL(avx2)
KERNEL(avx512)
