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
 *
 * Products of bf16: the same with operands rounded on their way into panels; where there is
 * an instruction for pairs of them, in its order (with_bf16.c): "bf16.attention256". A word
 * below is an f32, or such a pair.
 */
#include "attention.h"
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
    const x86_halves *halves; /* NULL: products are of f32 */
} attention_isa;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }
static int64_t whole(int64_t n, int64_t of) { return ceil_div(n, of) * of; }

typedef struct sizes {
    int64_t batch, tq, tk, heads, kv_heads, d, dv;
    int64_t blocks;       /* tiles of one head */
    int64_t score;        /* floats from one row of scores to the next */
    int64_t deep, far;    /* words of d, of tk */
    int64_t keys, values; /* words of a kv head's panels */
    float scale;
    int32_t causal, rounds;
} sizes;

static int64_t words(const attention_isa *isa, int64_t n)
{
    return isa->halves ? (n + 1) / 2 : n;
}

static sizes sizes_of(const attention_isa *isa, const evla_node *n)
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
    s.deep = words(isa, s.d);
    s.far = words(isa, s.tk);
    s.keys = whole(s.tk, PACKED_ROWS) * s.deep;
    s.values = whole(s.dv, PACKED_ROWS) * s.far;
    s.scale = (float)(p->scale != 0 ? p->scale : 1.0 / sqrt((double)s.d));
    s.causal = p->causal;
    s.rounds = p->products == EVLA_PRODUCTS_BF16;
    return s;
}

static int32_t accepts(const evla_host *h, const attention_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    (void)h;
    const evla_attention_params *p = n->params;
    if (n->n_tail || !node_has(m, isa->lanes->feature) ||
        (isa->halves && p->products != EVLA_PRODUCTS_BF16))
        return EVLA_E_MISSING;
    for (int32_t i = Q; i <= V; i++)
        if (n->in[i].dtype != EVLA_F32) return EVLA_E_MISSING;
    if (node_last(&n->in[Q]) < 1 || node_last(&n->in[V]) < 1) return EVLA_E_MISSING;
    *offer =
        (evla_offer){.score = isa->lanes->score,
                     .alias_in = -1,
                     .numerics = isa->halves ? "bf16.attention256" : "f32.attention256"};
    return EVLA_OK;
}

static int32_t plan(const evla_host *h, const attention_isa *isa, const evla_node *n,
                    evla_work *work)
{
    (void)h;
    sizes s = sizes_of(isa, n);
    int64_t rows = ceil_div(s.tq, s.blocks ? s.blocks : 1);
    work->n_phases = 2;
    work->tiles[0] = s.batch * s.kv_heads;
    work->tiles[1] = s.batch * s.heads * s.blocks;
    work->shared_bytes = (uint64_t)(work->tiles[0] * (s.keys + s.values)) * sizeof(float);
    int64_t turning = isa->halves ? PACKED_ROWS * s.deep : 0; /* keys on their way */
    int64_t attending = rows * (s.score + s.deep + 1) + s.far * PACKED_ROWS;
    work->worker_bytes =
        (uint64_t)(turning > attending ? turning : attending) * sizeof(float);
    return EVLA_OK;
}

/* ---- the first phase: panels of one kv head ---- */

/* Rows of n numbers times scale in bf16, each in whole words. */
static const float *halve(const attention_isa *isa, const float *from, int64_t row,
                          int64_t rows, int64_t n, float scale, float *to)
{
    for (int64_t r = 0; r < rows; r++) {
        uint16_t *y = (uint16_t *)(void *)(to + r * words(isa, n));
        isa->halves->row(from + r * row, scale, n, y);
        if (n % 2) y[n] = 0;
    }
    return to;
}

void attention_take(const float *from, int64_t n, float *to)
{
    if (n == PACKED_ROWS) {
        memcpy(to, from, PACKED_ROWS * sizeof *to);
        return;
    }
    memcpy(to, from, (size_t)n * sizeof *to);
    memset(to + n, 0, (size_t)(PACKED_ROWS - n) * sizeof *to);
}

static void pack(const attention_isa *isa, const evla_args *a, const sizes *s, int64_t tile)
{
    int64_t batch = tile / s->kv_heads, head = tile % s->kv_heads;
    int64_t k_row = s->kv_heads * s->d, v_row = s->kv_heads * s->dv;
    const float *k = (const float *)a->in[K].data[0] + batch * s->tk * k_row + head * s->d;
    const float *v = (const float *)a->in[V].data[0] + batch * s->tk * v_row + head * s->dv;
    float *to = (float *)a->shared + tile * (s->keys + s->values), *from = to;
    for (int64_t j = 0; j < s->tk; j += PACKED_ROWS, to += PACKED_ROWS * s->deep) {
        int64_t n = least(s->tk - j, PACKED_ROWS);
        const float *rows = k + j * k_row;
        if (n < PACKED_ROWS) memset(to, 0, (size_t)(PACKED_ROWS * s->deep) * sizeof *to);
        if (isa->halves) rows = halve(isa, rows, k_row, n, s->d, 1, a->scratch);
        isa->rows->turn(rows, isa->halves ? s->deep : k_row, n, s->deep, to, PACKED_ROWS);
    }
    for (int64_t c = 0; c < s->dv; c += PACKED_ROWS) {
        int64_t n = least(s->dv - c, PACKED_ROWS);
        const float *row = v + c;
        for (int64_t j = 0; isa->halves && j < s->tk; j += 2, row += 2 * v_row)
            isa->halves->pairs(row, j + 1 < s->tk ? row + v_row : NULL, n,
                               (uint16_t *)(void *)(to + j / 2 * PACKED_ROWS));
        for (int64_t j = 0; !isa->halves && j < s->tk; j++, row += v_row)
            attention_take(row, n, to + j * PACKED_ROWS);
        to += s->far * PACKED_ROWS;
    }
    if (s->rounds && !isa->halves) isa->rows->round(from, to - from);
}

/* ---- the second: some queries of one head ---- */

/* Keys from this one on are hidden by causality. */
static int64_t seen_by(const sizes *s, int64_t query)
{
    int64_t n = s->causal ? query + 1 + s->tk - s->tq : s->tk;
    return n < 0 ? 0 : n;
}

/* y[rows,n] = x[rows,k] times a matrix in panels; k and x_row count words */
static void multiply(const attention_isa *isa, const float *x, int64_t x_row,
                     const float *panels, int64_t rows, int64_t k, int64_t n, float *y,
                     int64_t y_row)
{
    int64_t each = isa->halves ? 2 : 1;
    x86_product p = {.a = x,
                     .halves = (const uint16_t *)(const void *)x,
                     .a_row = x_row * each,
                     .a_k = 1,
                     .panels = (const uint8_t *)panels,
                     .format = isa->halves ? PACKED_BF16 : PACKED_F32,
                     .y = y,
                     .y_row = y_row,
                     .m = rows,
                     .n = n,
                     .k = k * each};
    isa->lanes->packed(&p, 0, rows, 0, n);
}

void attention_hide(const evla_type *m, const void *mask, const evla_type *q, int64_t heads,
                    int64_t tk, int64_t index, int64_t n, float *score)
{
    evla_type all = {.rank = q->rank + 1};
    memcpy(all.shape, q->shape, sizeof all.shape);
    all.shape[all.rank - 3] = heads;
    all.shape[all.rank - 2] = q->shape[q->rank - 2];
    all.shape[all.rank - 1] = tk;
    int64_t at = node_offset(m, &all, 1, index), step = node_last(m) != 1;
    if (m->dtype == EVLA_BOOL) {
        const uint8_t *allow = (const uint8_t *)mask + at;
        for (int64_t j = 0; j < n; j++)
            if (!allow[j * step]) score[j] = -INFINITY;
    } else {
        const float *add = (const float *)mask + at;
        for (int64_t j = 0; j < n; j++)
            score[j] = add[j * step] == -INFINITY ? -INFINITY : score[j] + add[j * step];
    }
}

/* The mix of one row p of k words, from a copy of the values without those that have no
 * weight. */
static void mix_again(const attention_isa *isa, const sizes *s, const float *p,
                      const float *values, int64_t k, float *copy, float *y)
{
    const uint16_t *halves = (const uint16_t *)(const void *)p;
    for (int64_t c = 0; c < s->dv; c += PACKED_ROWS, values += s->far * PACKED_ROWS) {
        memcpy(copy, values, (size_t)(k * PACKED_ROWS) * sizeof *copy);
        for (int64_t j = 0; j < k; j++)
            for (int64_t i = 0; i < PACKED_ROWS; i++) {
                uint16_t *pair = (uint16_t *)(void *)(copy + j * PACKED_ROWS + i);
                if (isa->halves ? !halves[2 * j] : p[j] == 0) pair[0] = 0;
                if (isa->halves ? !halves[2 * j + 1] : p[j] == 0) pair[1] = 0;
            }
        multiply(isa, p, 0, copy, 1, k, least(s->dv - c, PACKED_ROWS), y + c, 0);
    }
}

/* A row whose weights sum up to `sum`: y of its k words becomes a mean. */
static void finish(const attention_isa *isa, const sizes *s, const float *p,
                   const float *values, int64_t k, float sum, int has_hidden, float *copy,
                   float *y)
{
    if (!(sum > 0 || sum != sum)) {
        memset(y, 0, (size_t)s->dv * sizeof *y);
        return;
    }
    float trace = 0;
    for (int64_t c = 0; has_hidden && c < s->dv; c++)
        trace += y[c] - y[c]; /* NaN where y is not finite */
    if (trace != 0) mix_again(isa, s, p, values, k, copy, y);
    isa->rows->divide(y, sum, s->dv);
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
    float *score = a->scratch, *q = score + rows * s->score, *sum = q + rows * s->deep,
          *copy = sum + rows;
    int has_mask = node_present(a->node, MASK);
    if (isa->halves)
        halve(isa, from, row, rows, s->d, s->scale, q);
    else
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < s->d; i++)
                q[r * s->d + i] = from[r * row + i] * s->scale;
    if (s->rounds && !isa->halves) isa->rows->round(q, rows * s->d);
    if (n > 0) multiply(isa, q, s->deep, keys, rows, s->deep, n, score, s->score);
    for (int64_t r = 0; r < rows; r++) {
        float *p = score + r * s->score, lanes[PAGED_LANES] = {0}, top = -INFINITY;
        int64_t seen = least(n, seen_by(s, q0 + r));
        if (has_mask)
            attention_hide(&a->node->in[MASK], a->in[MASK].data[0], &a->node->in[Q],
                           s->heads, s->tk, (batch * s->heads + head) * s->tq + q0 + r,
                           seen, p);
        isa->rows->weigh(p, seen, &top, lanes);
        for (int64_t j = seen; j < n; j++)
            p[j] = 0;
        sum[r] = paged_fold(lanes);
        if (isa->halves)
            halve(isa, p, 0, 1, n, 1, p);
        else if (s->rounds)
            isa->rows->round(p, n);
    }
    int64_t k = words(isa, n);
    for (int64_t c = 0; n > 0 && c < s->dv; c += PACKED_ROWS) /* panels of all tk rows */
        multiply(isa, score, s->score, values + c * s->far, rows, k,
                 least(s->dv - c, PACKED_ROWS), y + c, y_row);
    for (int64_t r = 0; r < rows; r++)
        finish(isa, s, score + r * s->score, values, k, sum[r], has_mask || s->causal, copy,
               y + r * y_row);
}

static int32_t run(const evla_host *h, const attention_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    (void)h;
    sizes s = sizes_of(isa, a->node);
    if (phase == 0)
        pack(isa, a, &s, tile);
    else
        attend(isa, a, &s, tile);
    return EVLA_OK;
}

/* ---- tables ---- */

static const attention_isa isa_avx2 = {&x86_avx2, &x86_paged_avx2, NULL};
static const attention_isa isa_avx512 = {&x86_avx512, &x86_paged_avx512, NULL};
static const attention_isa isa_bf16 = {&x86_bf16, &x86_paged_avx512, &x86_halves_bf16};

#define KERNEL(id)                                                                         \
    NODE_ACCEPTS(accepts, id, &isa_##id)                                                   \
    NODE_PLAN(plan, id, &isa_##id)                                                         \
    NODE_RUN(run, id, &isa_##id)                                                           \
    const evla_kernel attention_##id = {.size = sizeof(evla_kernel),                       \
                                        .op = "attention",                                 \
                                        .accepts = accepts_##id,                           \
                                        .plan = plan_##id,                                 \
                                        .run = run_##id};
KERNEL(avx2)
KERNEL(avx512)
KERNEL(bf16)
