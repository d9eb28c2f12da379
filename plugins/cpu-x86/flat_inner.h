/*
 * flat_inner.h -- slopes of activations and adamw for one instruction set; included last,
 * with FLAT the name of the table. Terms in the order of the portable kernels, nothing
 * fused.
 */
#include "flat.h"

INLINE vec d_relu(vec d, vec v) { return v_pick(v, _CMP_GT_OQ, v_zero(), d, v_zero()); }
INLINE vec d_sigmoid(vec d, vec v) { return d * (v * (v_all(1.0f) - v)); }
INLINE vec d_tanh(vec d, vec v) { return d * (v_all(1.0f) - v * v); }
INLINE vec d_silu(vec d, vec x)
{
    vec one = v_all(1.0f), s = v_sigmoid(x);
    return d * (s * (one + x * (one - s)));
}
INLINE vec d_gelu_none(vec d, vec x)
{
    vec phi = v_all(0.398942280f) * v_exp(v_all(-0.5f) * (x * x));
    return d * (v_all(0.5f) * (v_all(1.0f) + v_erf(x * v_all(0.707106781f))) + x * phi);
}
INLINE vec d_gelu_tanh(vec d, vec x)
{
    vec one = v_all(1.0f), half = v_all(0.5f), c = v_all(0.797884561f);
    vec t = v_tanh(c * (x + v_all(0.044715f) * (x * x * x)));
    vec inner = c * (one + v_all(0.134145f) * (x * x));
    return d * (half * (one + t) + half * x * (one - t * t) * inner);
}

#define SLOPE(id)                                                                          \
    static void slope_##id(const float *dy, const float *v, float *dx, int64_t n)          \
    {                                                                                      \
        int64_t i = 0;                                                                     \
        for (; i + LANES <= n; i += LANES)                                                 \
            v_store(dx + i, d_##id(v_load(dy + i), v_load(v + i)));                        \
        if (i == n) return;                                                                \
        vmask m = v_first(n - i);                                                          \
        v_store_some(dx + i, m, d_##id(v_load_some(dy + i, m), v_load_some(v + i, m)));    \
    }
SLOPE(relu)
SLOPE(sigmoid)
SLOPE(tanh)
SLOPE(silu)
SLOPE(gelu_none)
SLOPE(gelu_tanh)

static x86_slope *find_slope(const char *op, const void *params)
{
    const evla_gelu_params *p = params;
    if (!strcmp(op, "gelu_grad"))
        return p && p->approximate == EVLA_GELU_TANH ? slope_gelu_tanh : slope_gelu_none;
    if (!strcmp(op, "relu_grad")) return slope_relu;
    if (!strcmp(op, "sigmoid_grad")) return slope_sigmoid;
    if (!strcmp(op, "tanh_grad")) return slope_tanh;
    return strcmp(op, "silu_grad") ? NULL : slope_silu;
}

INLINE void adamw_lanes(const x86_rates *r, vec g, vec *w, vec *m, vec *v)
{
    vec d = g * v_all(r->scale);
    *m = v_all(r->beta1) * *m + v_all(r->rest1) * d;
    *v = v_all(r->beta2) * *v + v_all(r->rest2) * (d * d);
    *w = v_all(r->keep) * *w -
         v_all(r->step) * (*m / (v_sqrt(*v) * v_all(r->root) + v_all(r->eps)));
}

static void adamw_all(const x86_rates *r, const float *g, float *w, float *m, float *v,
                      int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec w1 = v_load(w + i), m1 = v_load(m + i), v1 = v_load(v + i);
        adamw_lanes(r, v_load(g + i), &w1, &m1, &v1);
        v_store(w + i, w1);
        v_store(m + i, m1);
        v_store(v + i, v1);
    }
    if (i == n) return;
    vmask k = v_first(n - i);
    vec w1 = v_load_some(w + i, k), m1 = v_load_some(m + i, k), v1 = v_load_some(v + i, k);
    adamw_lanes(r, v_load_some(g + i, k), &w1, &m1, &v1);
    v_store_some(w + i, k, w1);
    v_store_some(m + i, k, m1);
    v_store_some(v + i, k, v1);
}

static void from_u8(const uint8_t *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) /* the compiler knows how */
        y[i] = (float)x[i];
}

/* A NaN stays one, quiet. */
static void to_bf16(const float *x, uint16_t *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t near = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
        y[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : near);
    }
}

const x86_flat FLAT = {
    .slope = find_slope, .from_u8 = from_u8, .to_bf16 = to_bf16, .adamw = adamw_all};
