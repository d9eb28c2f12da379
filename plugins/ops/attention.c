/*
 * attention.c -- scaled dot-product attention with grouped heads, a mask, and causality;
 * and its derivative, attention_grad.
 *
 * A tile is 16 queries of one head of one batch entry; scores of one query live in the
 * worker's scratch. Every sum runs over key positions (or the head's width) in the order of
 * order.h, and a masked position leaves no trace, so the bits do not depend on how far the
 * keys are padded.
 */
#include "elementwise.h"
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include "types.h"

enum { QUERIES = 16 };

typedef struct sizes {
    int64_t batch, tq, tk, heads, kv_heads, d, dv;
    float scale;
    int32_t causal, rounds;
} sizes;

static sizes sizes_of(const evla_node *n, const evla_type *in)
{
    const evla_attention_params *p = n->params;
    sizes s = {.heads = p->heads, .kv_heads = p->kv_heads ? p->kv_heads : p->heads};
    s.batch = types_span(in[0].shape, 0, in[0].rank - 2);
    s.tq = in[0].shape[in[0].rank - 2];
    s.tk = in[1].shape[in[1].rank - 2];
    s.d = types_last(&in[0]) / s.heads;
    s.dv = types_last(&in[2]) / s.kv_heads;
    s.scale = (float)(p->scale != 0 ? p->scale : 1.0 / sqrt(s.d ? (double)s.d : 1.0));
    s.causal = p->causal;
    s.rounds = p->products == EVLA_PRODUCTS_BF16;
    return s;
}

static int32_t attention_infer(const evla_host *h, const evla_node *n, evla_type *in,
                               evla_type *out)
{
    static const char *const names[] = {"q", "k", "v"};
    const evla_attention_params *p = n->params;
    int64_t kv = p->kv_heads ? p->kv_heads : p->heads;
    if (p->heads < 1 || kv < 1 || p->heads % kv)
        return types_fail(
            h, EVLA_E_ARG,
            "%s: attention: heads is %lld, kv_heads %lld; want a multiple of it", n->label,
            (long long)p->heads, (long long)kv);
    for (int32_t i = 0; i < 3; i++) {
        int32_t st = types_real(h, n, in, i, names[i]);
        if (st < 0) return st;
        if (in[i].dtype != in[0].dtype)
            return types_fail(h, EVLA_E_DTYPE, "%s: attention: q is %s, %s is %s", n->label,
                              TEXT(h, &in[0]), names[i], TEXT(h, &in[i]));
        if (in[i].rank < 2 || types_last(&in[i]) % (i ? kv : p->heads))
            return types_fail(
                h, EVLA_E_SHAPE,
                "%s: attention: %s is %s; want [...,T,C] with C a multiple of %lld "
                "heads",
                n->label, names[i], TEXT(h, &in[i]), (long long)(i ? kv : p->heads));
    }
    evla_type k = in[0], v = in[1]; /* what k and v should look like */
    if (in[1].rank == k.rank) k.shape[k.rank - 2] = in[1].shape[k.rank - 2];
    k.shape[k.rank - 1] = types_last(&in[0]) / p->heads * kv;
    v.shape[v.rank - 1] = types_last(&in[2]);
    if (!types_equal_shape(&in[1], &k) || !types_equal_shape(&in[2], &v))
        return types_fail(
            h, EVLA_E_SHAPE,
            "%s: attention: q %s, k %s and v %s do not meet with %lld heads, %lld "
            "kv_heads",
            n->label, TEXT(h, &in[0]), TEXT(h, &in[1]), TEXT(h, &in[2]),
            (long long)p->heads, (long long)kv);
    out[0] = in[0];
    out[0].shape[out[0].rank - 1] = types_last(&in[2]) / kv * p->heads;
    if (!types_present(n, in, 3)) return EVLA_OK;
    int32_t st = types_need(h, n, in, 3, "mask");
    if (st < 0) return st;
    if (in[3].dtype != EVLA_BOOL && in[3].dtype != in[0].dtype)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: attention: mask is %s; want bool or q's format", n->label,
                          TEXT(h, &in[3]));
    evla_type want = in[0], both;
    if (want.rank == EVLA_MAX_RANK)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: attention: q is %s; with a mask at most rank %d", n->label,
                          TEXT(h, &in[0]), EVLA_MAX_RANK - 1);
    want.rank++;
    want.shape[want.rank - 3] = p->heads;
    want.shape[want.rank - 2] = in[0].shape[in[0].rank - 2];
    want.shape[want.rank - 1] = in[1].shape[in[1].rank - 2];
    want.dtype = in[3].dtype;
    if (!types_broadcast(&in[3], &want, &both) || !types_equal_shape(&both, &want))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: attention: mask %s does not broadcast to %s", n->label,
                          TEXT(h, &in[3]), TEXT(h, &want));
    return EVLA_OK;
}

static double attention_cost(const evla_node *n)
{
    sizes s = sizes_of(n, n->in);
    return 2.0 * (double)(s.batch * s.heads) * (double)s.tq * (double)s.tk *
           (double)(s.d + s.dv);
}

static int32_t attention_accepts(const evla_host *h, const evla_machine *m,
                                 const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    for (int32_t i = 0; i < 3; i++)
        if (n->in[i].dtype != EVLA_F32) return EVLA_E_MISSING;
    if (n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

static int32_t attention_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_work *work)
{
    (void)h, (void)m;
    sizes s = sizes_of(n, n->in);
    int64_t rounded = s.rounds ? (s.tk + 1) * s.d + s.tk * s.dv : 0; /* q, k and v */
    work->worker_bytes = (uint64_t)(s.tk + rounded) * sizeof(float);
    return types_tiles(work, s.batch * s.heads * types_ceil(s.tq, QUERIES));
}

/* to[r,:n] = from[r * row + :n] times scale in bf16: the upper half of an f32. */
static void round_rows(const float *from, int64_t row, int64_t rows, int64_t n, float scale,
                       float *to)
{
    for (int64_t r = 0; r < rows; r++, from += row)
        for (int64_t i = 0; i < n; i++) {
            uint32_t u = fmath_bits(from[i] * scale), near = u + 0x7fffu + (u >> 16 & 1u);
            *to++ = fmath_float(((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : near) &
                                0xffff0000u);
        }
}

/* The mask's row for one query: its first entry, and the step along the keys. */
static int64_t mask_row(const evla_node *n, const sizes *s, int64_t batch, int64_t head,
                        int64_t query, int64_t *step)
{
    const evla_type *m = &n->in[3], *q = &n->in[0];
    int64_t at = 0, stride = 1;
    *step = m->rank && types_last(m) != 1;
    for (int32_t i = 1; i <= m->rank; i++) { /* axes from the last one on */
        int64_t extent = m->shape[m->rank - i], index = 0;
        if (i == 2) index = query;
        if (i == 3) index = head;
        if (i > 3) {
            int64_t whole = q->shape[q->rank + 1 - i];
            index = batch % whole;
            batch /= whole;
        }
        if (extent != 1) at += index * stride;
        stride *= extent;
    }
    (void)s;
    return at;
}

/* Keys before this one may be attended, as far as causality goes. */
static int64_t keys_seen(const sizes *s, int64_t query)
{
    int64_t seen = s->causal ? query + 1 + s->tk - s->tq : s->tk;
    return seen < 0 ? 0 : seen;
}

/* Scores of one query, in place to e^(score - largest); masked ones become 0. k: the head's
 * keys, kc floats apart. */
static float weigh(const evla_args *a, const sizes *s, int64_t batch, int64_t head,
                   int64_t query, const float *q, const float *k, int64_t kc, float *p)
{
    const evla_node *n = a->node;
    int64_t step = 0;
    int has_mask = types_present(n, n->in, 3),
        is_bool = has_mask && n->in[3].dtype == EVLA_BOOL;
    int64_t from = has_mask ? mask_row(n, s, batch, head, query, &step) : 0;
    const uint8_t *allow = is_bool ? (const uint8_t *)a->in[3].data[0] + from : NULL;
    const float *add = has_mask && !is_bool ? (const float *)a->in[3].data[0] + from : NULL;
    int64_t seen = keys_seen(s, query);
    float most = -INFINITY;
    for (int64_t j = 0; j < s->tk; j++) {
        p[j] = -INFINITY;
        if (j >= seen || (allow && !allow[j * step]) || (add && add[j * step] == -INFINITY))
            continue;
        float score = order_dot(q, k + j * kc, s->d) * (s->rounds ? 1.0f : s->scale);
        p[j] = add ? score + add[j * step] : score;
        if (p[j] > most || p[j] != p[j]) most = p[j];
    }
    if (most == -INFINITY) most = 0; /* nothing may be attended: all weights become 0 */
    elementwise_exp(p, most, p, s->tk);
    return order_sum(p, s->tk);
}

static int32_t attention_run(const evla_host *h, const evla_args *a, int32_t phase,
                             int64_t tile)
{
    (void)h, (void)phase;
    sizes s = sizes_of(a->node, a->node->in);
    int64_t blocks = types_ceil(s.tq, QUERIES), head = tile / blocks % s.heads;
    int64_t batch = tile / blocks / s.heads, q0 = tile % blocks * QUERIES;
    int64_t q1 = order_least(s.tq, q0 + QUERIES), group = head / (s.heads / s.kv_heads);
    int64_t kc = s.kv_heads * s.d, vc = s.kv_heads * s.dv;
    const float *k = (const float *)a->in[1].data[0] + batch * s.tk * kc + group * s.d;
    const float *v = (const float *)a->in[2].data[0] + batch * s.tk * vc + group * s.dv;
    int has_mask = types_present(a->node, a->node->in, 3);
    float *p = a->scratch, *row = p + s.tk, *keys = row + s.d, *values = keys + s.tk * s.d;
    if (s.rounds) {
        round_rows(k, kc, s.tk, s.d, 1, keys);
        round_rows(v, vc, s.tk, s.dv, 1, values);
        k = keys, kc = s.d, v = values, vc = s.dv;
    }
    for (int64_t q = q0; q < q1; q++) {
        const float *at =
            (const float *)a->in[0].data[0] + ((batch * s.tq + q) * s.heads + head) * s.d;
        if (s.rounds) round_rows(at, 0, 1, s.d, s.scale, row);
        float sum = weigh(a, &s, batch, head, q, s.rounds ? row : at, k, kc, p);
        if (s.rounds) round_rows(p, 0, 1, s.tk, 1, p);
        float *y =
            (float *)a->out[0].data[0] + ((batch * s.tq + q) * s.heads + head) * s.dv;
        for (int64_t c = 0; c < s.dv; c += ORDER_WIDTH)
            order_mix(p, v + c, vc, keys_seen(&s, q), order_least(ORDER_WIDTH, s.dv - c),
                      has_mask, y + c);
        for (int64_t c = 0; c < s.dv; c++)
            y[c] = sum > 0 || sum != sum ? y[c] / sum : 0.0f;
    }
    return EVLA_OK;
}

const evla_op attention_op = {.size = sizeof attention_op,
                              .inputs = "q k v mask?",
                              .outputs = "y",
                              .source = "Vaswani et al. 2017, eq. 1; Ainslie et al. 2023",
                              .infer = attention_infer,
                              .cost = attention_cost,
                              .grad = back_attention};
const evla_kernel attention_kernel = {.size = sizeof attention_kernel,
                                      .op = "attention",
                                      .accepts = attention_accepts,
                                      .plan = attention_plan,
                                      .run = attention_run};

/* ---- the derivative ---- */

static int32_t attention_grad_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                    evla_type *out)
{
    evla_node forward = *n;
    evla_type y = {.rank = -1};
    int32_t st = types_real(h, n, in, 0, "dy");
    if (st < 0) return st;
    forward.n_in--;
    forward.in = n->in ? n->in + 1 : NULL;
    if ((st = attention_infer(h, &forward, in + 1, &y)) < 0) return st;
    if (!types_equal(&in[0], &y))
        return types_fail(h, EVLA_E_SHAPE, "%s: attention_grad: dy is %s; want %s",
                          n->label, TEXT(h, &in[0]), TEXT(h, &y));
    for (int32_t i = 0; i < 3; i++)
        out[i] = in[1 + i];
    return EVLA_OK;
}

static double attention_grad_cost(const evla_node *n)
{
    sizes s = sizes_of(n, n->in + 1);
    return 2.0 * (double)(s.batch * s.heads) * (double)s.tq * (double)s.tk *
           (3.0 * (double)s.d + 2.0 * (double)s.dv);
}

static int32_t attention_grad_accepts(const evla_host *h, const evla_machine *m,
                                      const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    for (int32_t i = 0; i < 4; i++)
        if (n->in[i].dtype != EVLA_F32) return EVLA_E_MISSING;
    if (n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

/* A tile is one kv head of one batch entry, so that the sums over queries have one owner.
 */
static int32_t attention_grad_plan(const evla_host *h, const evla_machine *m,
                                   const evla_node *n, evla_work *work)
{
    (void)h, (void)m;
    sizes s = sizes_of(n, n->in + 1);
    work->worker_bytes = 2 * (uint64_t)s.tk * sizeof(float);
    return types_tiles(work, s.batch * s.kv_heads);
}

static void axpy(float a, const float *restrict x, float *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* One query: with p its weights and ds the gradient of its scores, dv += p dy, dq = ds k,
 * dk += ds q. */
static void query_grad(const evla_args *a, const sizes *s, int64_t batch, int64_t head,
                       int64_t query, float *p, float *ds, float *dk, float *dv)
{
    evla_node forward = *a->node;
    evla_args seen = *a;
    forward.n_in--;
    forward.in++;
    seen.node = &forward;
    seen.in++;
    int64_t kc = s->kv_heads * s->d, vc = s->kv_heads * s->dv;
    int64_t kv = head / (s->heads / s->kv_heads);
    int64_t row = (batch * s->tq + query) * s->heads + head;
    const float *dy = (const float *)a->in[0].data[0] + row * s->dv;
    const float *q = (const float *)a->in[1].data[0] + row * s->d;
    const float *k = (const float *)a->in[2].data[0] + batch * s->tk * kc + kv * s->d;
    const float *v = (const float *)a->in[3].data[0] + batch * s->tk * vc + kv * s->dv;
    float *dq = (float *)a->out[0].data[0] + row * s->d;
    float sum = weigh(&seen, s, batch, head, query, q, k, kc, p);
    for (int64_t i = 0; i < s->d; i++)
        dq[i] = 0;
    if (sum == 0) return; /* attends to nothing */
    for (int64_t j = 0; j < s->tk; j++) {
        p[j] = p[j] / sum;
        ds[j] = p[j] != 0 ? order_dot(dy, v + j * vc, s->dv) : 0.0f; /* masked: not read */
    }
    float along = order_dot(p, ds, s->tk);
    for (int64_t j = 0; j < s->tk; j++) {
        if (p[j] == 0) continue;
        float d = p[j] * (ds[j] - along) * s->scale;
        axpy(p[j], dy, dv + j * vc, s->dv);
        axpy(d, k + j * kc, dq, s->d);
        axpy(d, q, dk + j * kc, s->d);
    }
}

static int32_t attention_grad_run(const evla_host *h, const evla_args *a, int32_t phase,
                                  int64_t tile)
{
    (void)h, (void)phase;
    sizes s = sizes_of(a->node, a->node->in + 1);
    s.rounds = 0;
    int64_t batch = tile / s.kv_heads, kv = tile % s.kv_heads, group = s.heads / s.kv_heads;
    int64_t kc = s.kv_heads * s.d, vc = s.kv_heads * s.dv;
    float *dk = (float *)a->out[1].data[0] + batch * s.tk * kc + kv * s.d;
    float *dv = (float *)a->out[2].data[0] + batch * s.tk * vc + kv * s.dv;
    float *p = a->scratch, *ds = p + s.tk;
    for (int64_t j = 0; j < s.tk; j++) {
        for (int64_t i = 0; i < s.d; i++)
            dk[j * kc + i] = 0;
        for (int64_t i = 0; i < s.dv; i++)
            dv[j * vc + i] = 0;
    }
    for (int64_t head = kv * group; head < (kv + 1) * group; head++)
        for (int64_t query = 0; query < s.tq; query++)
            query_grad(a, &s, batch, head, query, p, ds, dk, dv);
    return EVLA_OK;
}

int32_t back_attention(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_node *n = g->node;
    int32_t in[5] = {g->d_out[0], g->in[0], g->in[1], g->in[2], -1}, d[3];
    if (chain_wants(g, 3))
        return types_fail(
            h, EVLA_E_MISSING,
            "%s: attention passes no gradient to its mask; freeze what the mask "
            "is made of",
            n->label);
    if (n->n_in > 3) in[4] = g->in[3];
    chain_all(&c, "attention_grad", n->params, in, in[4] < 0 ? 4 : 5, d, 3);
    for (int32_t k = 0; k < 3; k++)
        if (g->wanted[k]) chain_back(&c, k, d[k]);
    return c.st;
}

const evla_op attention_grad_op = {.size = sizeof attention_grad_op,
                                   .inputs = "dy q k v mask?",
                                   .outputs = "dq dk dv",
                                   .source = "the derivative of attention",
                                   .infer = attention_grad_infer,
                                   .cost = attention_grad_cost};
const evla_kernel attention_grad_kernel = {.size = sizeof attention_grad_kernel,
                                           .op = "attention_grad",
                                           .accepts = attention_grad_accepts,
                                           .plan = attention_grad_plan,
                                           .run = attention_grad_run};
