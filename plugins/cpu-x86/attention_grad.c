/*
 * attention_grad.c -- the kernel of attention's derivative, of f32.
 *
 * A first phase lays keys and values of each kv head out in panels (packed.h): both as
 * columns, for scores and the gradient of weights, and keys scaled as rows, for dq. Then a
 * tile is one head. It takes its queries 64 at a time: weights p and the gradient ds of
 * scores come row by row between products, then dq = ds (scale k), and to dv and dk come
 * p^T dy and ds^T (scale q). Of kv heads with several query heads all but the first have
 * sums of their own, which a third phase adds up.
 *
 * Numerics id "f32.attention_grad64": scores, weights and their sums as attention.c says,
 * products as x86.h says. The sum of p (dy v) over keys goes by 16 lanes (paged.h). Over
 * queries blocks of 64 add up in ascending order from 0, then the heads of a group. So the
 * bits do not depend on threads. Where p is 0, nothing that is not finite leaves a trace:
 * rows of dq, dk and dv that it would reach are made again without it.
 */
#include "attention.h"
#include "list.h"
#include "node.h"
#include "packed.h"
#include "paged.h"
#include <math.h>
#include <string.h>

enum { DY = 0, Q = 1, K = 2, V = 3, MASK = 4 };
enum { DQ = 0, DK = 1, DV = 2 };
enum { ROWS = 64 };

typedef struct grad_isa {
    const x86_isa *lanes;
    const x86_paged *rows;
} grad_isa;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t whole(int64_t n, int64_t of) { return (n + of - 1) / of * of; }

typedef struct sizes {
    int64_t batch, tq, tk, heads, kv_heads, group, d, dv;
    int64_t score;                /* floats from one row of scores to the next */
    int64_t keys, values, scaled; /* floats of a kv head's panels */
    float scale;
    int32_t causal;
} sizes;

static sizes sizes_of(const evla_node *n)
{
    const evla_attention_params *p = n->params;
    const evla_type *q = &n->in[Q];
    sizes s = {.heads = p->heads, .kv_heads = p->kv_heads ? p->kv_heads : p->heads};
    s.group = s.heads / s.kv_heads;
    s.batch = node_span(q->shape, 0, q->rank - 2);
    s.tq = q->shape[q->rank - 2];
    s.tk = n->in[K].shape[n->in[K].rank - 2];
    s.d = node_last(q) / s.heads;
    s.dv = node_last(&n->in[V]) / s.kv_heads;
    s.score = whole(s.tk, PAGED_LANES) + PAGED_LANES; /* as in attention.c */
    s.keys = whole(s.tk, PACKED_ROWS) * s.d;
    s.values = whole(s.tk, PACKED_ROWS) * s.dv;
    s.scaled = whole(s.d, PACKED_ROWS) * s.tk;
    s.scale = (float)(p->scale != 0 ? p->scale : 1.0 / sqrt((double)s.d));
    s.causal = p->causal;
    return s;
}

static int32_t accepts(const evla_host *h, const grad_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    (void)h;
    if (n->n_tail || !node_has(m, isa->lanes->feature)) return EVLA_E_MISSING;
    for (int32_t i = DY; i <= V; i++)
        if (n->in[i].dtype != EVLA_F32) return EVLA_E_MISSING;
    if (node_last(&n->in[Q]) < 1 || node_last(&n->in[V]) < 1) return EVLA_E_MISSING;
    *offer = (evla_offer){
        .score = isa->lanes->score, .alias_in = -1, .numerics = "f32.attention_grad64"};
    return EVLA_OK;
}

/* What a tile of the second phase has at hand; all begin at a multiple of 64 bytes. */
typedef struct scratch {
    float *p, *ds;   /* [ROWS][score] */
    float *turned;   /* [tk][ROWS] */
    float *q;        /* [ROWS][d], scaled */
    float *q_panels; /* of d columns and as many rows as there are queries */
    float *dy_panels;
    float *copy; /* of a panel */
    int64_t floats;
} scratch;

static scratch scratch_of(const sizes *s, float *at)
{
    scratch t = {0};
    int64_t row = whole(s->score, PAGED_LANES), n = 0;
    int64_t floats[] = {ROWS * row,
                        ROWS * row,
                        s->tk * ROWS,
                        ROWS * whole(s->d, PAGED_LANES),
                        ROWS * whole(s->d, PACKED_ROWS),
                        ROWS * whole(s->dv, PACKED_ROWS),
                        (s->tk > ROWS ? s->tk : ROWS) * PACKED_ROWS};
    float **parts[] = {&t.p, &t.ds, &t.turned, &t.q, &t.q_panels, &t.dy_panels, &t.copy};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; n += floats[i++])
        if (at) *parts[i] = at + n;
    t.floats = n;
    return t;
}

static int64_t part_floats(const sizes *s) { return s->tk * (s->d + s->dv); }

static int32_t plan(const evla_host *h, const grad_isa *isa, const evla_node *n,
                    evla_work *work)
{
    (void)h, (void)isa;
    sizes s = sizes_of(n);
    int64_t places = s.batch * s.kv_heads;
    work->n_phases = s.group > 1 ? 3 : 2;
    work->tiles[0] = places;
    work->tiles[1] = s.batch * s.heads;
    if (s.group > 1) work->tiles[2] = places;
    work->shared_bytes = (uint64_t)(places * (s.keys + s.values + s.scaled +
                                              (s.group - 1) * part_floats(&s))) *
                         sizeof(float);
    work->worker_bytes = (uint64_t)scratch_of(&s, NULL).floats * sizeof(float);
    return EVLA_OK;
}

/* ---- the first phase: panels of one kv head ---- */

/* Columns of rows that lie `row` floats apart, times scale. */
static void lay(const float *from, int64_t row, int64_t rows, int64_t n, float scale,
                float *to)
{
    for (int64_t c = 0; c < n; c += PACKED_ROWS)
        for (int64_t r = 0; r < rows; r++, to += PACKED_ROWS) {
            attention_take(from + r * row + c, least(n - c, PACKED_ROWS), to);
            for (int i = 0; i < PACKED_ROWS; i++)
                to[i] *= scale;
        }
}

static void turn(const grad_isa *isa, const float *from, int64_t row, int64_t rows,
                 int64_t n, float *to)
{
    for (int64_t j = 0; j < rows; j += PACKED_ROWS, to += PACKED_ROWS * n) {
        int64_t have = least(rows - j, PACKED_ROWS);
        if (have < PACKED_ROWS) memset(to, 0, (size_t)(PACKED_ROWS * n) * sizeof *to);
        isa->rows->turn(from + j * row, row, have, n, to, PACKED_ROWS);
    }
}

static void pack(const grad_isa *isa, const evla_args *a, const sizes *s, int64_t place)
{
    int64_t batch = place / s->kv_heads, head = place % s->kv_heads;
    int64_t k_row = s->kv_heads * s->d, v_row = s->kv_heads * s->dv;
    const float *k = (const float *)a->in[K].data[0] + batch * s->tk * k_row + head * s->d;
    const float *v = (const float *)a->in[V].data[0] + batch * s->tk * v_row + head * s->dv;
    float *to = (float *)a->shared + place * (s->keys + s->values + s->scaled);
    turn(isa, k, k_row, s->tk, s->d, to);
    turn(isa, v, v_row, s->tk, s->dv, to + s->keys);
    lay(k, k_row, s->tk, s->d, s->scale, to + s->keys + s->values);
}

/* ---- the second: one head ---- */

/* Keys from this one on are hidden by causality. */
static int64_t seen_by(const sizes *s, int64_t query)
{
    int64_t n = s->causal ? query + 1 + s->tk - s->tq : s->tk;
    return n < 0 ? 0 : least(n, s->tk);
}

/* Something in these rows is not finite. */
static int has_trace(const float *x, int64_t row, int64_t rows, int64_t n)
{
    int32_t any = 0;
    for (int64_t r = 0; r < rows; r++, x += row)
        for (int64_t i = 0; i < n; i++) {
            int32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            any |= (bits & 0x7f800000) == 0x7f800000;
        }
    return any;
}

/* y[rows,n] = x[rows,k] b, or y += it, where a panel of b has k rows */
static void multiply(const grad_isa *isa, const float *x, int64_t x_row, const float *b,
                     int64_t rows, int64_t k, int64_t n, float *y, int64_t y_row, int adds)
{
    x86_product p = {.a = x,
                     .a_row = x_row,
                     .a_k = 1,
                     .panels = (const uint8_t *)b,
                     .format = PACKED_F32,
                     .y = y,
                     .y_row = y_row,
                     .m = rows,
                     .n = n,
                     .k = k,
                     .adds = adds};
    isa->lanes->packed(&p, 0, rows, 0, n);
}

/* One row of a product, from copies of b's panels, `size` apart, without rows whose weight
 * is 0. weights lie w_step apart. */
static void again(const grad_isa *isa, const float *x, const float *weights, int64_t w_step,
                  const float *b, int64_t size, int64_t k, int64_t n, float *copy, float *y,
                  int adds)
{
    for (int64_t c = 0; c < n; c += PACKED_ROWS, b += size) {
        for (int64_t i = 0; i < k; i++)
            if (weights[i * w_step] != 0)
                memcpy(copy + i * PACKED_ROWS, b + i * PACKED_ROWS,
                       PACKED_ROWS * sizeof *copy);
            else
                memset(copy + i * PACKED_ROWS, 0, PACKED_ROWS * sizeof *copy);
        multiply(isa, x, 0, copy, 1, k, least(n - c, PACKED_ROWS), y + c, 0, adds);
    }
}

/* A block of queries of one head. */
typedef struct block {
    int64_t batch, head, query, rows, n; /* n: keys that some of them see */
    const float *dy;
    float *dq, *dk, *dv;
    int64_t dk_row, dv_row;
    const float *keys, *values, *scaled;
} block;

/* p and ds of the block. */
static void weigh(const grad_isa *isa, const evla_args *a, const sizes *s, const block *b,
                  const scratch *t)
{
    const evla_node *node = a->node;
    multiply(isa, t->q, s->d, b->keys, b->rows, s->d, b->n, t->p, s->score, 0);
    multiply(isa, b->dy, s->heads * s->dv, b->values, b->rows, s->dv, b->n, t->ds, s->score,
             0);
    for (int64_t r = 0; r < b->rows; r++) {
        float *p = t->p + r * s->score, *ds = t->ds + r * s->score;
        float lanes[PAGED_LANES] = {0}, top = -INFINITY;
        int64_t seen = least(b->n, seen_by(s, b->query + r));
        if (node_present(node, MASK))
            attention_hide(&node->in[MASK], a->in[MASK].data[0], &node->in[Q], s->heads,
                           s->tk, (b->batch * s->heads + b->head) * s->tq + b->query + r,
                           seen, p);
        isa->rows->weigh(p, seen, &top, lanes);
        float sum = paged_fold(lanes);
        if (sum > 0 || sum != sum)
            isa->rows->score_grad(p, ds, sum, seen);
        else
            seen = 0; /* attends to nothing */
        memset(p + seen, 0, (size_t)(b->n - seen) * sizeof *p);
        memset(ds + seen, 0, (size_t)(b->n - seen) * sizeof *ds);
    }
}

static void make_dq(const grad_isa *isa, const sizes *s, const block *b, const scratch *t)
{
    int64_t row = s->heads * s->d, size = s->tk * PACKED_ROWS; /* panels of all tk rows */
    for (int64_t c = 0; c < s->d; c += PACKED_ROWS)
        multiply(isa, t->ds, s->score, b->scaled + c * s->tk, b->rows, b->n,
                 least(s->d - c, PACKED_ROWS), b->dq + c, row, 0);
    for (int64_t r = 0; r < b->rows; r++)
        if (has_trace(b->dq + r * row, 0, 1, s->d))
            again(isa, t->ds + r * s->score, t->p + r * s->score, 1, b->scaled, size, b->n,
                  s->d, t->copy, b->dq + r * row, 0);
}

/* y[n keys, width] += w^T x, w p or ds, x in panels of the block's rows. */
static void add_turned(const grad_isa *isa, const sizes *s, const block *b,
                       const scratch *t, const float *w, const float *x, int64_t width,
                       float *y, int64_t y_row)
{
    isa->rows->turn(w, s->score, b->rows, b->n, t->turned, ROWS);
    if (!has_trace(x, 0, 1, whole(width, PACKED_ROWS) * b->rows)) {
        multiply(isa, t->turned, ROWS, x, b->n, b->rows, width, y, y_row, 1);
        return;
    }
    for (int64_t j = 0; j < b->n; j++)
        again(isa, t->turned + j * ROWS, t->p + j, s->score, x, PACKED_ROWS * b->rows,
              b->rows, width, t->copy, y + j * y_row, 1);
}

static void clear(float *y, int64_t row, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        memset(y + r * row, 0, (size_t)n * sizeof *y);
}

/* Sums of a group's heads but the first. */
static float *part_of(const evla_args *a, const sizes *s, int64_t place, int64_t i)
{
    float *parts =
        (float *)a->shared + s->batch * s->kv_heads * (s->keys + s->values + s->scaled);
    return parts + (place * (s->group - 1) + i - 1) * part_floats(s);
}

static float *out_of(const evla_args *a, const sizes *s, int32_t i, int64_t place,
                     int64_t width)
{
    int64_t batch = place / s->kv_heads, head = place % s->kv_heads;
    return (float *)a->out[i].data[0] + (batch * s->tk * s->kv_heads + head) * width;
}

static void one_head(const grad_isa *isa, const evla_args *a, const sizes *s, int64_t tile)
{
    int64_t batch = tile / s->heads, head = tile % s->heads, i = head % s->group;
    int64_t place = batch * s->kv_heads + head / s->group;
    int64_t row = s->heads * s->d, y_row = s->heads * s->dv;
    scratch t = scratch_of(s, a->scratch);
    block b = {.batch = batch, .head = head};
    b.keys = (const float *)a->shared + place * (s->keys + s->values + s->scaled);
    b.values = b.keys + s->keys;
    b.scaled = b.values + s->values;
    b.dk_row = i ? s->d : s->kv_heads * s->d;
    b.dv_row = i ? s->dv : s->kv_heads * s->dv;
    b.dk = i ? part_of(a, s, place, i) : out_of(a, s, DK, place, s->d);
    b.dv = i ? b.dk + s->tk * s->d : out_of(a, s, DV, place, s->dv);
    clear(b.dk, b.dk_row, s->tk, s->d);
    clear(b.dv, b.dv_row, s->tk, s->dv);
    for (b.query = 0; b.query < s->tq; b.query += ROWS) {
        int64_t at = batch * s->tq + b.query;
        const float *q = (const float *)a->in[Q].data[0] + at * row + head * s->d;
        b.rows = least(ROWS, s->tq - b.query);
        b.n = seen_by(s, b.query + b.rows - 1);
        b.dy = (const float *)a->in[DY].data[0] + at * y_row + head * s->dv;
        b.dq = (float *)a->out[DQ].data[0] + at * row + head * s->d;
        if (!b.n) {
            clear(b.dq, row, b.rows, s->d);
            continue;
        }
        for (int64_t r = 0; r < b.rows; r++)
            for (int64_t c = 0; c < s->d; c++)
                t.q[r * s->d + c] = q[r * row + c] * s->scale;
        lay(q, row, b.rows, s->d, s->scale, t.q_panels);
        lay(b.dy, y_row, b.rows, s->dv, 1, t.dy_panels);
        weigh(isa, a, s, &b, &t);
        make_dq(isa, s, &b, &t);
        add_turned(isa, s, &b, &t, t.p, t.dy_panels, s->dv, b.dv, b.dv_row);
        add_turned(isa, s, &b, &t, t.ds, t.q_panels, s->d, b.dk, b.dk_row);
    }
}

/* ---- the third: heads of a group add up ---- */

static void add_parts(const grad_isa *isa, const evla_args *a, const sizes *s,
                      int64_t place)
{
    x86_binary *add = isa->lanes->binary("add");
    float *dk = out_of(a, s, DK, place, s->d), *dv = out_of(a, s, DV, place, s->dv);
    for (int64_t i = 1; i < s->group; i++) {
        const float *from = part_of(a, s, place, i);
        for (int64_t j = 0; j < s->tk; j++) {
            float *to = dk + j * s->kv_heads * s->d;
            add(to, 1, from + j * s->d, 1, to, s->d);
        }
        from += s->tk * s->d;
        for (int64_t j = 0; j < s->tk; j++) {
            float *to = dv + j * s->kv_heads * s->dv;
            add(to, 1, from + j * s->dv, 1, to, s->dv);
        }
    }
}

static int32_t run(const evla_host *h, const grad_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    (void)h;
    sizes s = sizes_of(a->node);
    if (phase == 0) pack(isa, a, &s, tile);
    if (phase == 1) one_head(isa, a, &s, tile);
    if (phase == 2) add_parts(isa, a, &s, tile);
    return EVLA_OK;
}

/* ---- tables ---- */

static const grad_isa isa_avx2 = {&x86_avx2, &x86_paged_avx2};
static const grad_isa isa_avx512 = {&x86_avx512, &x86_paged_avx512};

#define KERNEL(id)                                                                         \
    NODE_ACCEPTS(accepts, id, &isa_##id)                                                   \
    NODE_PLAN(plan, id, &isa_##id)                                                         \
    NODE_RUN(run, id, &isa_##id)                                                           \
    const evla_kernel attention_grad_##id = {.size = sizeof(evla_kernel),                  \
                                             .op = "attention_grad",                       \
                                             .accepts = accepts_##id,                      \
                                             .plan = plan_##id,                            \
                                             .run = run_##id};
KERNEL(avx2)
KERNEL(avx512)
