/*
 * element_inner.h -- element-wise operators on rows, for one instruction set.
 *
 * exp, tanh, erf and gelu are the fits of the portable operators, term by term and without
 * fused multiply-adds, so that every result has the bits of the portable kernel; the
 * largest errors over all floats are 1.0, 1.4 and 1.1 units in the last place. The
 * polynomials are weighted minimax fits (Lawson's iteration).
 */
#include <string.h>

INLINE vec v_abs(vec x) { return v_float(v_and(v_bits(x), v_int(0x7fffffff))); }

/* |size| with the sign of x */
INLINE vec v_signed(vec size, vec x)
{
    vint sign = v_int((int32_t)0x80000000u);
    return v_float(v_or(v_and(v_bits(size), v_int(0x7fffffff)), v_and(v_bits(x), sign)));
}

/* The nearest bf16, to even, in the upper half; a NaN stays one, quiet. */
INLINE vint v_half_of(vec x)
{
    vint u = v_bits(x), odd = v_and(v_right(u, 16), v_int(1));
    vint near = v_iadd(v_iadd(u, v_int(0x7fff)), odd);
    return v_bits(
        v_pick(x, _CMP_UNORD_Q, x, v_float(v_or(u, v_int(0x400000))), v_float(near)));
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2. */
INLINE vec v_exp(vec x)
{
    const vec round = v_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vec c = v_max(v_all(-105.0f), v_min(v_all(90.0f), x));
    vec t = c * v_all(1.44269504f) + round;
    vec n = t - round;
    vec r = (c - n * v_all(0.693145752f)) - n * v_all(1.42860677e-6f);
    vec p = v_all(0.000197902438f);
    p = p * r + v_all(0.00139447581f);
    p = p * r + v_all(0.00833349768f);
    p = p * r + v_all(0.0416662954f);
    p = p * r + v_all(0.166666657f);
    p = p * r + v_all(0.5f);
    vec y = (p * (r * r) + r) + v_all(1.0f);
    /* 2^n in two halves, so that it may be subnormal or infinite in the end */
    vint k = v_iadd(v_isub(v_bits(t), v_bits(round)), v_int(256));
    vint half = v_right(k, 1), one = v_int(1);
    return y * v_float(v_left(v_isub(half, one), 23)) *
           v_float(v_left(v_isub(v_isub(k, half), one), 23));
}

INLINE vec v_tanh(vec x)
{
    vec a = v_abs(x), x2 = x * x;
    vec p = v_all(0.00214296207f);
    p = p * x2 + v_all(-0.0081773987f);
    p = p * x2 + v_all(0.0217007026f);
    p = p * x2 + v_all(-0.0539467633f);
    p = p * x2 + v_all(0.133332059f);
    p = p * x2 + v_all(-0.333333313f);
    vec small = (p * x2) * x + x;
    vec large = v_all(1.0f) - v_all(2.0f) / (v_exp(a + a) + v_all(1.0f));
    vec y = v_signed(v_pick(a, _CMP_LT_OQ, v_all(0.625f), small, large), x);
    return v_pick(x, _CMP_UNORD_Q, x, x, y);
}

INLINE vec v_erf(vec x)
{
    vec a = v_abs(x), x2 = x * x;
    vec p = v_all(-1.02413587e-5f);
    p = p * x2 + v_all(0.000114397568f);
    p = p * x2 + v_all(-0.000850466138f);
    p = p * x2 + v_all(0.00522223441f);
    p = p * x2 + v_all(-0.0268657897f);
    p = p * x2 + v_all(0.112837873f);
    p = p * x2 + v_all(-0.376126379f);
    p = p * x2 + v_all(0.128379166f);
    vec small = p * x + x;
    vec t = v_min(v_all(3.95f), a);
    vec q = v_all(1.14878894e-5f);
    q = q * t + v_all(-0.000325373752f);
    q = q * t + v_all(0.00365291559f);
    q = q * t + v_all(-0.023784196f);
    q = q * t + v_all(0.106262594f);
    q = q * t + v_all(0.63513577f);
    q = q * t + v_all(0.128652319f);
    vec large =
        v_all(1.0f) - v_exp(v_float(v_xor(v_bits(q * t + t), v_bits(v_all(-0.0f)))));
    vec y = v_signed(v_pick(a, _CMP_LT_OQ, v_all(0.9277f), small, large), x);
    return v_pick(x, _CMP_UNORD_Q, x, x, y);
}

INLINE vec v_neg(vec x) { return v_float(v_xor(v_bits(x), v_bits(v_all(-0.0f)))); }
INLINE vec v_sigmoid(vec x) { return v_all(1.0f) / (v_all(1.0f) + v_exp(v_neg(x))); }
INLINE vec v_silu(vec x) { return x / (v_all(1.0f) + v_exp(v_neg(x))); }
INLINE vec v_square(vec x) { return x * x; }
INLINE vec v_rsqrt(vec x) { return v_all(1.0f) / v_sqrt(x); }
/* NaN passes, -0 becomes 0 */
INLINE vec v_relu(vec x) { return v_pick(x, _CMP_NLE_UQ, v_zero(), x, v_zero()); }
/* x/2 (1 + e), e = x P(x^2) / Q(x^2), 1 from x^2 = end on; P's and Q's coefficients in
 * turn.
 */
INLINE vec v_gelu(vec x, float end, const float c[10], float p0)
{
    vec u = v_min(x * x, v_all(end)), p = v_all(c[0]), q = v_all(c[1]);
    UNROLL(4)
    for (int i = 2; i < 10; i += 2) {
        p = p * u + v_all(c[i]);
        q = q * u + v_all(c[i + 1]);
    }
    p = p * u + v_all(p0);
    q = q * u + v_all(1.0f);
    vec e = v_max(v_all(-1.0f), v_min(v_all(1.0f), x * p / q));
    return v_all(0.5f) * x * (v_all(1.0f) + e);
}
INLINE vec v_gelu_none(vec x)
{
    static const float c[] = {
        4.6128541e-08f, 1.20684081e-06f, 1.27092171e-05f, 7.29987296e-05f, 0.000333019503f,
        0.00187133555f, 0.00932723004f,  0.0285089333f,   0.0672141835f,   0.250906497f};
    return v_gelu(x, 29.7025f, c, 0.797884464f);
}
INLINE vec v_gelu_tanh(vec x)
{
    static const float c[] = {
        4.78724722e-08f, 1.31113734e-06f, 1.40618686e-05f, 7.55465517e-05f, 0.000266167073f,
        0.00129637844f,  0.00726025645f,  0.0243267603f,   0.0607230105f,   0.243597358f};
    return v_gelu(x, 26.5225f, c, 0.797884643f);
}

#define ROW(id)                                                                            \
    static void row_##id(const void *params, const float *x, float *y, int64_t n)          \
    {                                                                                      \
        int64_t i = 0;                                                                     \
        (void)params;                                                                      \
        for (; i + LANES <= n; i += LANES)                                                 \
            v_store(y + i, v_##id(v_load(x + i)));                                         \
        if (i == n) return;                                                                \
        vmask m = v_first(n - i);                                                          \
        v_store_some(y + i, m, v_##id(v_load_some(x + i, m)));                             \
    }
#define UNARIES(X)                                                                         \
    X(neg)                                                                                 \
    X(abs) X(exp) X(sqrt) X(rsqrt) X(square) X(erf) X(relu) X(silu) X(sigmoid) X(tanh)
UNARIES(ROW)
ROW(gelu_none)
ROW(gelu_tanh)

static void row_gelu(const void *params, const float *x, float *y, int64_t n)
{
    const evla_gelu_params *p = params;
    (p && p->approximate == EVLA_GELU_TANH ? row_gelu_tanh : row_gelu_none)(NULL, x, y, n);
}

static x86_unary *unary(const char *op)
{
    static const struct {
        const char *op;
        x86_unary *row;
    } all[] = {
#define NAMED(id) {#id, row_##id},
        UNARIES(NAMED) NAMED(gelu)
#undef NAMED
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(op, all[i].op)) return all[i].row;
    return NULL;
}

/* ---- two operands ---- */

INLINE vec v_sub(vec a, vec b) { return a - b; }
INLINE vec v_mul(vec a, vec b) { return a * b; }
INLINE vec v_div(vec a, vec b) { return a / b; }
/* NaN passes */
INLINE vec v_maximum(vec a, vec b) { return v_pick(a, _CMP_UNORD_Q, a, a, v_max(a, b)); }
INLINE vec v_minimum(vec a, vec b) { return v_pick(a, _CMP_UNORD_Q, a, a, v_min(a, b)); }

#define PAIR(id)                                                                           \
    static void pair_##id(const float *a, int64_t a_step, const float *b, int64_t b_step,  \
                          float *y, int64_t n)                                             \
    {                                                                                      \
        int64_t i = 0;                                                                     \
        if (!n) return;                                                                    \
        vec a0 = v_all(*a), b0 = v_all(*b);                                                \
        if (a_step && b_step)                                                              \
            for (; i + LANES <= n; i += LANES)                                             \
                v_store(y + i, v_##id(v_load(a + i), v_load(b + i)));                      \
        else                                                                               \
            for (; i + LANES <= n; i += LANES)                                             \
                v_store(y + i,                                                             \
                        v_##id(a_step ? v_load(a + i) : a0, b_step ? v_load(b + i) : b0)); \
        if (i == n) return;                                                                \
        vmask m = v_first(n - i);                                                          \
        v_store_some(y + i, m,                                                             \
                     v_##id(a_step ? v_load_some(a + i, m) : a0,                           \
                            b_step ? v_load_some(b + i, m) : b0));                         \
    }
#define BINARIES(X) X(add) X(sub) X(mul) X(div) X(maximum) X(minimum)
BINARIES(PAIR)

static x86_binary *binary(const char *op)
{
    static const struct {
        const char *op;
        x86_binary *pair;
    } all[] = {
#define NAMED(id) {#id, pair_##id},
        BINARIES(NAMED)
#undef NAMED
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(op, all[i].op)) return all[i].pair;
    return NULL;
}
