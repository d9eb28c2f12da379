/*
 * grad_elementwise.c -- derivatives of element-wise operators, and the kernels relu_grad,
 * sigmoid_grad, tanh_grad, silu_grad, gelu_grad, clamp_grad.
 *
 * Those whose derivative is short in the output use it, so that the input need not be kept.
 */
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "walk.h"

enum { BLOCK = 64 };

/* ---- kernels: dx from dy and one value of the forward pass ---- */

static inline float d_silu(float x)
{
    float s = 1.0f / (1.0f + fmath_exp(-x));
    return s * (1.0f + x * (1.0f - s));
}

/* Phi(x) + x phi(x) */
static inline float d_gelu_none(float x)
{
    float phi = 0.398942280f * fmath_exp(-0.5f * (x * x));
    return 0.5f * (1.0f + fmath_erf(x * 0.707106781f)) + x * phi;
}

static inline float d_gelu_tanh(float x)
{
    float t = fmath_tanh(0.797884561f * (x + 0.044715f * (x * x * x)));
    float inner = 0.797884561f * (1.0f + 0.134145f * (x * x));
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
}

#define ROW(id, expression)                                                                \
    static inline float one_##id(float d, float v) { return (expression); }                \
    static void row_##id(const float *dy, const float *x, float *dx, int64_t n)            \
    {                                                                                      \
        float t[BLOCK];                                                                    \
        int64_t at = 0;                                                                    \
        for (; at + BLOCK <= n; at += BLOCK) {                                             \
            for (int i = 0; i < BLOCK; i++)                                                \
                t[i] = one_##id(dy[at + i], x[at + i]);                                    \
            memcpy(dx + at, t, sizeof t);                                                  \
        }                                                                                  \
        for (; at < n; at++)                                                               \
            dx[at] = one_##id(dy[at], x[at]);                                              \
    }
ROW(relu, v > 0.0f ? d : 0.0f)
ROW(sigmoid, d *(v *(1.0f - v)))
ROW(tanh, d *(1.0f - v * v))
ROW(silu, d *d_silu(v))
ROW(gelu_none, d *d_gelu_none(v))
ROW(gelu_tanh, d *d_gelu_tanh(v))

static void row_clamp(const evla_clamp_params *p, const float *dy, const float *x,
                      float *dx, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] = (double)x[i] >= p->min && (double)x[i] <= p->max ? dy[i] : 0.0f;
}

static int32_t pair_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    int32_t st = types_real(h, n, in, 0, "dy");
    if (st < 0 || (st = types_real(h, n, in, 1, "x")) < 0) return st;
    if (!types_equal_shape(&in[0], &in[1]))
        return types_fail(h, EVLA_E_SHAPE, "%s: %s: dy is %s, x is %s", n->label, n->op,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE, "%s: %s: dy is %s, x is %s", n->label, n->op,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t pair_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, 0, "f32.element");
}

static int32_t pair_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_count(&n->out[0]), WALK_TILE));
}

static int32_t pair_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t from = tile * WALK_TILE, all = types_count(&n->out[0]) - from;
    int64_t m = all < WALK_TILE ? all : WALK_TILE;
    const float *dy = (const float *)a->in[0].data[0] + from;
    const float *x = (const float *)a->in[1].data[0] + from;
    float *dx = (float *)a->out[0].data[0] + from;
    const evla_gelu_params *gelu = n->params;
    switch (n->op[0]) {
    case 'r':
        row_relu(dy, x, dx, m);
        break;
    case 't':
        row_tanh(dy, x, dx, m);
        break;
    case 'c':
        row_clamp(n->params, dy, x, dx, m);
        break;
    case 'g':
        (gelu && gelu->approximate == EVLA_GELU_TANH ? row_gelu_tanh
                                                     : row_gelu_none)(dy, x, dx, m);
        break;
    default:
        (n->op[2] == 'g' ? row_sigmoid : row_silu)(dy, x, dx, m);
    }
    return EVLA_OK;
}

static double pair_cost(const evla_node *n)
{
    return 4.0 * (double)types_count(&n->out[0]);
}

#define PAIR(id, ports)                                                                    \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = (ports),                                            \
                             .outputs = "dx",                                              \
                             .source = "evla/ops.h, derivatives",                          \
                             .infer = pair_infer,                                          \
                             .cost = pair_cost,                                            \
                             .elementwise = 1};                                            \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = pair_accepts,                              \
                                     .plan = pair_plan,                                    \
                                     .run = pair_run};
#define X(id) PAIR(id, "dy y")
OPS_BACK_Y(X)
#undef X
#define X(id) PAIR(id, "dy x")
OPS_BACK_X(X)
#undef X

/* ---- one operand ---- */

#define BACK(id)                                                                           \
    int32_t back_##id(const evla_host *h, evla_grad *g)                                    \
    {                                                                                      \
        chain c_ = {h, g, 0}, *c = &c_;                                                    \
        int32_t dy = g->d_out[0], x = g->in[0], y = g->out[0];                             \
        (void)x, (void)y;                                                                  \
        chain_back(c, 0, WITH_##id);                                                       \
        return c->st;                                                                      \
    }
#define OP(op, a, b)     chain_op(c, op, NULL, a, b)
#define TIMES(a, v)      chain_times(c, 0, a, v)
#define WITH_neg         OP("neg", dy, -1)
#define WITH_abs         OP("mul", dy, OP("sign", x, -1))
#define WITH_exp         OP("mul", dy, y)
#define WITH_log         OP("div", dy, x)
#define WITH_sqrt        OP("div", TIMES(dy, 0.5), y)
#define WITH_rsqrt       OP("mul", TIMES(dy, -0.5), OP("mul", y, OP("square", y, -1)))
#define WITH_square      OP("mul", TIMES(dy, 2), x)
#define WITH_sin         OP("mul", dy, OP("cos", x, -1))
#define WITH_cos         OP("neg", OP("mul", dy, OP("sin", x, -1)), -1)
#define TWO_OVER_SQRT_PI 1.1283791670955126
#define WITH_erf                                                                           \
    OP("mul", TIMES(dy, TWO_OVER_SQRT_PI),                                                 \
       OP("exp", OP("neg", OP("square", x, -1), -1), -1))
#define WITH_relu    OP("relu_grad", dy, y)
#define WITH_sigmoid OP("sigmoid_grad", dy, y)
#define WITH_tanh    OP("tanh_grad", dy, y)
#define WITH_silu    OP("silu_grad", dy, x)
#define WITH_gelu    chain_op(c, "gelu_grad", g->node->params, dy, x)
#define WITH_clamp   chain_op(c, "clamp_grad", g->node->params, dy, x)
BACK(neg)
BACK(abs)
BACK(exp)
BACK(log)
BACK(sqrt)
BACK(rsqrt)
BACK(square)
BACK(sin)
BACK(cos)
BACK(erf)
BACK(relu)
BACK(sigmoid)
BACK(tanh)
BACK(silu)
BACK(gelu)
BACK(clamp)
#undef OP

int32_t back_sign(const evla_host *h, evla_grad *g)
{
    (void)h, (void)g; /* 0 wherever it is defined */
    return EVLA_OK;
}

/* ---- two operands ---- */

int32_t back_add(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    for (int32_t k = 0; k < 2; k++)
        if (g->wanted[k]) chain_back(&c, k, g->d_out[0]);
    return c.st;
}

int32_t back_sub(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    if (g->wanted[0]) chain_back(&c, 0, g->d_out[0]);
    if (g->wanted[1]) /* summed first: less to negate */
        chain_back(
            &c, 1,
            chain_op(&c, "neg", NULL, chain_reduce(&c, g->d_out[0], &g->node->in[1]), -1));
    return c.st;
}

int32_t back_mul(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    for (int32_t k = 0; k < 2; k++)
        if (g->wanted[k])
            chain_back(&c, k, chain_op(&c, "mul", NULL, g->d_out[0], g->in[1 - k]));
    return c.st;
}

/* d(a / b) = da / b - y db / b */
int32_t back_div(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    int32_t q = chain_op(&c, "div", NULL, g->d_out[0], g->in[1]);
    if (g->wanted[0]) chain_back(&c, 0, q);
    if (g->wanted[1])
        chain_back(&c, 1,
                   chain_op(&c, "neg", NULL,
                            chain_reduce(&c, chain_op(&c, "mul", NULL, q, g->out[0]),
                                         &g->node->in[1]),
                            -1));
    return c.st;
}

/* Equal operands share the gradient. */
static int32_t back_extreme(const evla_host *h, evla_grad *g, int is_min)
{
    chain c = {h, g, 0};
    int32_t dy = g->d_out[0], a = g->in[0], b = g->in[1], share, da;
    int32_t first = chain_op(&c, "less", NULL, is_min ? a : b, is_min ? b : a);
    int32_t both = chain_op(&c, "equal", NULL, a, b);
    int32_t half = chain_times(&c, 0, dy, 0.5), zero = chain_number(&c, 0, 0);
    chain_all(&c, "where", NULL, (int32_t[]){both, half, zero}, 3, &share, 1);
    chain_all(&c, "where", NULL, (int32_t[]){first, dy, share}, 3, &da, 1);
    if (g->wanted[0]) chain_back(&c, 0, da);
    if (g->wanted[1]) chain_back(&c, 1, chain_op(&c, "sub", NULL, dy, da));
    return c.st;
}

int32_t back_maximum(const evla_host *h, evla_grad *g) { return back_extreme(h, g, 0); }
int32_t back_minimum(const evla_host *h, evla_grad *g) { return back_extreme(h, g, 1); }

int32_t back_where(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    int32_t zero = chain_number(&c, 1, 0);
    for (int32_t k = 1; k < 3; k++) {
        int32_t w, in[3] = {g->in[0], zero, zero};
        if (!g->wanted[k]) continue;
        in[k] = g->d_out[0];
        chain_all(&c, "where", NULL, in, 3, &w, 1);
        chain_back(&c, k, w);
    }
    return c.st;
}

/* ---- number formats and states ---- */

int32_t back_cast(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    evla_cast_params p = {.to = h->dtype_name(h, g->node->in[0].dtype)};
    chain_back(&c, 0, chain_op(&c, "cast", &p, g->d_out[0], -1));
    return c.st;
}

int32_t back_assign(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    if (g->wanted[1]) chain_back(&c, 1, g->d_out[0]);
    return c.st;
}
