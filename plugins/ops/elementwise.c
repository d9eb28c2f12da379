/*
 * elementwise.c -- operators whose output element depends on the same elements of the
 * inputs.
 *
 * Rows are computed in blocks of 64 through a local array: y may be x itself, and the
 * compiler needs no alias check to use vectors. No reductions here, so numerics is "exact
 * order": "f32.element".
 */
#include "elementwise.h"
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "walk.h"

enum { BLOCK = 64 };

/* ---- scalar meanings ---- */

/* gelu is x/2 (1 + e(x)) with e(x) = x P(x^2) / Q(x^2): minimax fits of e's absolute error,
 * since 1 is added to it, by Lawson's iteration, up to where e is 1 in f32. Coefficients of
 * P and Q from the highest on; Q's last is 1. */
typedef struct gelu_fit {
    float end; /* x^2 there */
    float p[6], q[5];
} gelu_fit;

static const gelu_fit gelu_by_erf = {
    29.7025f,
    {4.6128541e-08f, 1.27092171e-05f, 0.000333019503f, 0.00932723004f, 0.0672141835f,
     0.797884464f},
    {1.20684081e-06f, 7.29987296e-05f, 0.00187133555f, 0.0285089333f, 0.250906497f}};
static const gelu_fit gelu_by_tanh = {
    26.5225f,
    {4.78724722e-08f, 1.40618686e-05f, 0.000266167073f, 0.00726025645f, 0.0607230105f,
     0.797884643f},
    {1.31113734e-06f, 7.55465517e-05f, 0.00129637844f, 0.0243267603f, 0.243597358f}};

static inline float e_gelu(const gelu_fit *f, float x)
{
    float u = x * x, p = f->p[0], q = f->q[0];
    u = u < f->end ? u : f->end;
    for (int i = 1; i < 5; i++) {
        p = p * u + f->p[i];
        q = q * u + f->q[i];
    }
    p = p * u + f->p[5];
    q = q * u + 1.0f;
    float e = x * p / q;
    e = e > 1.0f ? 1.0f : e;
    e = e < -1.0f ? -1.0f : e;
    return 0.5f * x * (1.0f + e);
}

static inline float e_sigmoid(float x) { return 1.0f / (1.0f + fmath_exp(-x)); }

static inline float bound(double v)
{
    return v > 3.4028234663852886e38    ? INFINITY
           : v < -3.4028234663852886e38 ? -INFINITY
                                        : (float)v;
}

/* ---- rows with one operand ---- */

#define ROW(id, expression)                                                                \
    static inline float one_##id(float v) { return (expression); }                         \
    static void row_##id(const void *params, const float *x, float *y, int64_t n)          \
    {                                                                                      \
        float t[BLOCK];                                                                    \
        int64_t at = 0;                                                                    \
        (void)params;                                                                      \
        for (; at + BLOCK <= n; at += BLOCK) {                                             \
            for (int i = 0; i < BLOCK; i++)                                                \
                t[i] = one_##id(x[at + i]);                                                \
            memcpy(y + at, t, sizeof t);                                                   \
        }                                                                                  \
        for (; at < n; at++)                                                               \
            y[at] = one_##id(x[at]);                                                       \
    }
ROW(neg, -v)
ROW(abs, fabsf(v))
ROW(exp, fmath_exp(v))
ROW(log, fmath_log(v))
ROW(sqrt, sqrtf(v))
ROW(rsqrt, 1.0f / sqrtf(v))
ROW(square, v *v)
ROW(sin, fmath_sin(v))
ROW(cos, fmath_cos(v))
ROW(erf, fmath_erf(v))
ROW(relu, v > 0.0f ? v : v != v ? v : 0.0f)
ROW(sign, v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v)
ROW(silu, v / (1.0f + fmath_exp(-v)))
ROW(sigmoid, e_sigmoid(v))
ROW(tanh, fmath_tanh(v))
ROW(gelu_none, e_gelu(&gelu_by_erf, v))
ROW(gelu_tanh, e_gelu(&gelu_by_tanh, v))

static void row_gelu(const void *params, const float *x, float *y, int64_t n)
{
    const evla_gelu_params *p = params;
    (p && p->approximate == EVLA_GELU_TANH ? row_gelu_tanh : row_gelu_none)(NULL, x, y, n);
}

static void row_clamp(const void *params, const float *x, float *y, int64_t n)
{
    const evla_clamp_params *p = params;
    float low = bound(p->min), high = bound(p->max);
    for (int64_t i = 0; i < n; i++) {
        float v = x[i];
        v = v < low ? low : v;
        y[i] = v > high ? high : v;
    }
}

/* ---- rows with two operands ---- */

#define PAIR(id, in_type, out_type, expression)                                            \
    static inline out_type both_##id(in_type l, in_type r)                                 \
    {                                                                                      \
        return (out_type)(expression);                                                     \
    }                                                                                      \
    static void pair_##id(const void *a_, int64_t a_step, const void *b_, int64_t b_step,  \
                          void *y, int64_t n)                                              \
    {                                                                                      \
        const in_type *a = a_, *b = b_;                                                    \
        out_type t[BLOCK];                                                                 \
        int64_t at = 0;                                                                    \
        in_type a0 = n ? *a : 0, b0 = n ? *b : 0;                                          \
        for (; at + BLOCK <= n; at += BLOCK) {                                             \
            if (a_step && b_step)                                                          \
                for (int i = 0; i < BLOCK; i++)                                            \
                    t[i] = both_##id(a[at + i], b[at + i]);                                \
            else if (a_step)                                                               \
                for (int i = 0; i < BLOCK; i++)                                            \
                    t[i] = both_##id(a[at + i], b0);                                       \
            else if (b_step)                                                               \
                for (int i = 0; i < BLOCK; i++)                                            \
                    t[i] = both_##id(a0, b[at + i]);                                       \
            else                                                                           \
                for (int i = 0; i < BLOCK; i++)                                            \
                    t[i] = both_##id(a0, b0);                                              \
            memcpy((char *)y + at * (int64_t)sizeof *t, t, sizeof t);                      \
        }                                                                                  \
        for (int64_t i = 0; at + i < n; i++)                                               \
            t[i] = both_##id(a_step ? a[at + i] : a0, b_step ? b[at + i] : b0);            \
        memcpy((char *)y + at * (int64_t)sizeof *t, t, (size_t)(n - at) * sizeof *t);      \
    }
/* Integers wrap: computed unsigned. */
#define PAIRS(id, real, integer, whole)                                                    \
    PAIR(id##_f32, float, float, real)                                                     \
    PAIR(id##_i32, int32_t, int32_t, integer(uint32_t, whole))                             \
    PAIR(id##_i64, int64_t, int64_t, integer(uint64_t, whole))
#define WRAP(type, op)          ((type)l op(type) r)
#define PLAIN(type, expression) (expression)

PAIRS(add, l + r, WRAP, +)
PAIRS(sub, l - r, WRAP, -)
PAIRS(mul, (l * r), WRAP, *)
PAIRS(maximum, l != l || l > r ? l : r, PLAIN, l > r ? l : r)
PAIRS(minimum, l != l || l < r ? l : r, PLAIN, l < r ? l : r)
PAIR(div_f32, float, float, l / r)
PAIR(less_f32, float, uint8_t, l < r)
PAIR(less_i32, int32_t, uint8_t, l < r)
PAIR(less_i64, int64_t, uint8_t, l < r)
PAIR(equal_f32, float, uint8_t, l == r)
PAIR(equal_i32, int32_t, uint8_t, l == r)
PAIR(equal_i64, int64_t, uint8_t, l == r)

void elementwise_exp(const float *x, float shift, float *y, int64_t n)
{
    float t[BLOCK];
    int64_t at = 0;
    for (; at + BLOCK <= n; at += BLOCK) {
        for (int i = 0; i < BLOCK; i++)
            t[i] = fmath_exp(x[at + i] - shift);
        memcpy(y + at, t, sizeof t);
    }
    for (; at < n; at++)
        y[at] = fmath_exp(x[at] - shift);
}

static const struct {
    const char *op;
    elementwise_unary *row;
} unary_rows[] = {
#define X(id) {#id, row_##id},
    OPS_UNARY(X)
#undef X
};

static const struct {
    const char *op;
    elementwise_binary *f32, *i32, *i64;
} binary_rows[] = {
#define X(id) {#id, pair_##id##_f32, pair_##id##_i32, pair_##id##_i64},
    OPS_BINARY(X) OPS_COMPARE(X)
#undef X
        {"div", pair_div_f32, NULL, NULL},
};

elementwise_unary *elementwise_find_unary(const char *op)
{
    for (size_t i = 0; i < sizeof unary_rows / sizeof *unary_rows; i++)
        if (!strcmp(op, unary_rows[i].op)) return unary_rows[i].row;
    return NULL;
}

elementwise_binary *elementwise_find_binary(const char *op, int32_t dtype)
{
    for (size_t i = 0; i < sizeof binary_rows / sizeof *binary_rows; i++)
        if (!strcmp(op, binary_rows[i].op))
            return dtype == EVLA_F32   ? binary_rows[i].f32
                   : dtype == EVLA_I32 ? binary_rows[i].i32
                   : dtype == EVLA_I64 ? binary_rows[i].i64
                                       : NULL;
    return NULL;
}

/* ---- one operand: operator and kernel ---- */

static int32_t unary_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    int32_t st = types_real(h, n, in, 0, "x");
    if (st < 0) return st;
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t clamp_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    const evla_clamp_params *p = n->params;
    if (!(p->min <= p->max))
        return types_fail(h, EVLA_E_ARG, "%s: clamp: min %g is above max %g", n->label,
                          p->min, p->max);
    return unary_infer(h, n, in, out);
}

static int32_t unary_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, 0, "f32.element");
}

static int32_t flat_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_count(&n->out[0]), WALK_TILE));
}

static int32_t unary_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    int64_t from = tile * WALK_TILE, n = types_count(&a->node->out[0]) - from;
    elementwise_find_unary(a->node->op)(
        a->node->params, (const float *)a->in[0].data[0] + from,
        (float *)a->out[0].data[0] + from, n < WALK_TILE ? n : WALK_TILE);
    return EVLA_OK;
}

/* ---- two operands ---- */

static int32_t binary_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    int is_div = !strcmp(n->op, "div");
    int is_compare = !strcmp(n->op, "less") || !strcmp(n->op, "equal");
    for (int32_t i = 0; i < 2; i++) {
        const char *name = i ? "b" : "a";
        int32_t st = types_need(h, n, in, i, name);
        if (st < 0) return st;
        if (types_is_real(h, in[i].dtype) || (!is_div && types_is_index(in[i].dtype)))
            continue;
        return types_fail(h, EVLA_E_DTYPE, "%s: %s: %s is %s; want %s", n->label, n->op,
                          name, TEXT(h, &in[i]),
                          is_div ? "real numbers such as f32"
                                 : "f32 or the like, i32 or i64");
    }
    if (in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: %s: a is %s, b is %s; cast one to the other's number format",
                          n->label, n->op, TEXT(h, &in[0]), TEXT(h, &in[1]));
    out[0].dtype = is_compare ? EVLA_BOOL : in[0].dtype;
    if (!types_broadcast(&in[0], &in[1], &out[0]))
        return types_fail(h, EVLA_E_SHAPE, "%s: %s: a %s and b %s do not broadcast",
                          n->label, n->op, TEXT(h, &in[0]), TEXT(h, &in[1]));
    return EVLA_OK;
}

static int32_t binary_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || !elementwise_find_binary(n->op, n->in[0].dtype)) return EVLA_E_MISSING;
    int32_t alias = types_equal(&n->out[0], &n->in[0])   ? 0
                    : types_equal(&n->out[0], &n->in[1]) ? 1
                                                         : -1;
    return types_offer(offer, alias, "f32.element");
}

static int32_t binary_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    elementwise_binary *row = elementwise_find_binary(n->op, n->in[0].dtype);
    int64_t in_bytes = types_bytes(n->in[0].dtype),
            out_bytes = types_bytes(n->out[0].dtype);
    int64_t at = tile * WALK_TILE, end = at + WALK_TILE, all = types_count(&n->out[0]);
    walk w;
    walk_run r;
    walk_plan(&w, &n->out[0], (const evla_type *[]){&n->in[0], &n->in[1]}, 2);
    while (walk_next(&w, &at, end < all ? end : all, &r))
        row((const char *)a->in[0].data[0] + r.from[0] * in_bytes, r.step[0],
            (const char *)a->in[1].data[0] + r.from[1] * in_bytes, r.step[1],
            (char *)a->out[0].data[0] + r.at * out_bytes, r.n);
    return EVLA_OK;
}

/* ---- where ---- */

static int32_t where_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    static const char *const names[] = {"cond", "a", "b"};
    for (int32_t i = 0; i < 3; i++) {
        int32_t st = types_need(h, n, in, i, names[i]);
        if (st < 0) return st;
    }
    if (in[0].dtype != EVLA_BOOL)
        return types_fail(h, EVLA_E_DTYPE, "%s: where: cond is %s; want bool", n->label,
                          TEXT(h, &in[0]));
    if (in[1].dtype != in[2].dtype || !types_element_bytes(h, in[1].dtype))
        return types_fail(
            h, EVLA_E_DTYPE,
            "%s: where: a is %s, b is %s; want one number format of whole bytes", n->label,
            TEXT(h, &in[1]), TEXT(h, &in[2]));
    evla_type ab = {.dtype = in[1].dtype};
    out[0].dtype = in[1].dtype;
    if (!types_broadcast(&in[1], &in[2], &ab) || !types_broadcast(&ab, &in[0], &out[0]))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: where: cond %s, a %s and b %s do not broadcast", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]), TEXT(h, &in[2]));
    return EVLA_OK;
}

static int32_t where_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_offer *offer)
{
    (void)m;
    if (n->n_tail || !types_element_bytes(h, n->out[0].dtype)) return EVLA_E_MISSING;
    return types_offer(offer, -1, "exact");
}

static int32_t where_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                          evla_work *work)
{
    work->blob_bytes = sizeof(int32_t);
    return flat_plan(h, m, n, work);
}

static int32_t where_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(int32_t *)blob = types_element_bytes(h, n->out[0].dtype);
    return EVLA_OK;
}

#define PICK(type)                                                                         \
    for (int64_t i = 0; i < r.n; i++)                                                      \
    ((type *)y)[i] = c[i * r.step[0]] ? ((const type *)p)[i * r.step[1]]                   \
                                      : ((const type *)q)[i * r.step[2]]

static int32_t where_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    int64_t bytes = *(const int32_t *)a->blob;
    int64_t at = tile * WALK_TILE, end = at + WALK_TILE, all = types_count(&n->out[0]);
    walk w;
    walk_run r;
    walk_plan(&w, &n->out[0], (const evla_type *[]){&n->in[0], &n->in[1], &n->in[2]}, 3);
    while (walk_next(&w, &at, end < all ? end : all, &r)) {
        const uint8_t *c = (const uint8_t *)a->in[0].data[0] + r.from[0];
        const char *p = (const char *)a->in[1].data[0] + r.from[1] * bytes;
        const char *q = (const char *)a->in[2].data[0] + r.from[2] * bytes;
        char *y = (char *)a->out[0].data[0] + r.at * bytes;
        switch (bytes) {
        case 1:
            PICK(uint8_t);
            break;
        case 2:
            PICK(uint16_t);
            break;
        case 4:
            PICK(uint32_t);
            break;
        default:
            PICK(uint64_t);
            break;
        }
    }
    return EVLA_OK;
}

/* ---- tables ---- */

static double flat_cost(const evla_node *n) { return (double)types_count(&n->out[0]); }

#define UNARY(id, infer_fn)                                                                \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = "x",                                                \
                             .outputs = "y",                                               \
                             .source = "evla/ops.h, element by element",                   \
                             .infer = (infer_fn),                                          \
                             .cost = flat_cost,                                            \
                             .elementwise = 1,                                             \
                             .grad = back_##id};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = unary_accepts,                             \
                                     .plan = flat_plan,                                    \
                                     .run = unary_run};
#define BINARY(id, back)                                                                   \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = "a b",                                              \
                             .outputs = "y",                                               \
                             .source = "evla/ops.h, element by element",                   \
                             .infer = binary_infer,                                        \
                             .cost = flat_cost,                                            \
                             .elementwise = 1,                                             \
                             .grad = (back)};                                              \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = binary_accepts,                            \
                                     .plan = flat_plan,                                    \
                                     .run = binary_run};
#define X(id) UNARY(id, unary_infer)
OPS_PLAIN_UNARY(X)
#undef X
UNARY(clamp, clamp_infer)
#define X(id) BINARY(id, back_##id)
OPS_BINARY(X)
X(div)
#undef X
#define X(id) BINARY(id, NULL) /* true or false has no gradient */
OPS_COMPARE(X)
#undef X

const evla_op where_op = {.size = sizeof where_op,
                          .inputs = "cond a b",
                          .outputs = "y",
                          .source = "ONNX Where",
                          .infer = where_infer,
                          .elementwise = 1,
                          .grad = back_where};
const evla_kernel where_kernel = {.size = sizeof where_kernel,
                                  .op = "where",
                                  .accepts = where_accepts,
                                  .plan = where_plan,
                                  .prepare = where_prepare,
                                  .run = where_run};
