/*
 * half.c -- the 16-bit number formats f16 (IEEE 754 binary16) and bf16 (the upper half of
 * an f32), and the cast kernel between them and f32.
 *
 * decode is exact and keeps NaN payloads. encode rounds to nearest even, subnormals
 * included; f16 overflows to infinity from 65520 on; a NaN stays a NaN and becomes quiet.
 */
#include "evla/ops.h"
#include <string.h>

enum { TILE = 16384 };

/* ---- one number ---- */

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float f16_decode(uint16_t code)
{
    uint32_t sign = (uint32_t)(code & 0x8000u) << 16, e = code >> 10 & 31u,
             m = code & 0x3ffu;
    if (e == 31) return float_of(sign | 0x7f800000u | m << 13);
    if (e) return float_of(sign | (e + 112u) << 23 | m << 13);
    return float_of(sign | bits_of((float)m * 0x1p-24f)); /* subnormal, or zero: exact */
}

static uint16_t f16_encode(float x)
{
    uint32_t u = bits_of(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu)); /* NaN */
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* from 65520 on */
    if (a < 0x38800000u)                                     /* below 2^-14 */
        /* adding 1/2 leaves units of 2^-24 in the low bits, rounded by the addition itself
         */
        return (uint16_t)(sign | (bits_of(float_of(a) + 0.5f) - 0x3f000000u));
    uint32_t rounded = a + 0xfffu + (a >> 13 & 1u);
    return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
}

static float bf16_decode(uint16_t code) { return float_of((uint32_t)code << 16); }

static uint16_t bf16_encode(float x)
{
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* ---- rows ---- */

#define ROWS(id)                                                                           \
    static int32_t id##_decode_row(const evla_host *h, const void *codes, int64_t n,       \
                                   float *out)                                             \
    {                                                                                      \
        (void)h;                                                                           \
        for (int64_t i = 0; i < n; i++)                                                    \
            out[i] = id##_decode(((const uint16_t *)codes)[i]);                            \
        return EVLA_OK;                                                                    \
    }                                                                                      \
    static int32_t id##_encode_row(const evla_host *h, const float *values, int64_t n,     \
                                   void *codes)                                            \
    {                                                                                      \
        (void)h;                                                                           \
        for (int64_t i = 0; i < n; i++)                                                    \
            ((uint16_t *)codes)[i] = id##_encode(values[i]);                               \
        return EVLA_OK;                                                                    \
    }
ROWS(f16)
ROWS(bf16)

static const evla_dtype f16 = {.size = sizeof f16,
                               .block_elements = 1,
                               .block_bytes = 2,
                               .decode = f16_decode_row,
                               .encode = f16_encode_row,
                               .source = "IEEE 754-2019, binary16"};
static const evla_dtype bf16 = {.size = sizeof bf16,
                                .block_elements = 1,
                                .block_bytes = 2,
                                .decode = bf16_decode_row,
                                .encode = bf16_encode_row,
                                .source = "the upper 16 bits of IEEE 754 binary32",
                                .linear = "coded_linear",
                                .activation = "cast",
                                .activation_params = "{\"to\":\"bf16\"}"};

/* ---- cast ---- */

/* The format that this node converts from or to; the other side is f32. NULL: not ours. */
static const evla_dtype *ours(const evla_host *h, const evla_node *n, int *is_decode)
{
    *is_decode = n->out[0].dtype == EVLA_F32;
    int32_t code = *is_decode ? n->in[0].dtype : n->out[0].dtype;
    if (!*is_decode && n->in[0].dtype != EVLA_F32) return NULL;
    return code < EVLA_DTYPE_FIRST       ? NULL
           : code == h->dtype(h, "f16")  ? &f16
           : code == h->dtype(h, "bf16") ? &bf16
                                         : NULL;
}

static int64_t count(const evla_type *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static int32_t cast_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)m;
    int is_decode;
    if (n->n_tail || !ours(h, n, &is_decode)) return EVLA_E_MISSING;
    *offer = (evla_offer){.score = 1, .alias_in = -1, .numerics = "exact"};
    return EVLA_OK;
}

static int32_t cast_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = (count(&n->out[0]) + TILE - 1) / TILE;
    work->blob_bytes = sizeof(int32_t);
    return EVLA_OK;
}

/* run may not ask for ids, so which format it is goes into the blob. */
static int32_t cast_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    int is_decode;
    *(int32_t *)blob = ours(h, n, &is_decode) == &f16;
    return EVLA_OK;
}

static int32_t cast_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)phase;
    const evla_dtype *format = *(const int32_t *)a->blob ? &f16 : &bf16;
    int64_t from = tile * TILE, n = count(&a->node->out[0]) - from;
    if (n > TILE) n = TILE;
    if (a->node->out[0].dtype == EVLA_F32)
        return format->decode(h, (const uint16_t *)a->in[0].data[0] + from, n,
                              (float *)a->out[0].data[0] + from);
    return format->encode(h, (const float *)a->in[0].data[0] + from, n,
                          (uint16_t *)a->out[0].data[0] + from);
}

static const evla_kernel cast_half = {.size = sizeof cast_half,
                                      .op = "cast",
                                      .accepts = cast_accepts,
                                      .plan = cast_plan,
                                      .prepare = cast_prepare,
                                      .run = cast_run};

/* ---- table ---- */

static const evla_item items[] = {
    {.kind = EVLA_DTYPE,
     .name = "bf16",
     .table = &bf16,
     .doc = "f32's range in 16 bits, 8 of them exact"},
    {.kind = EVLA_DTYPE,
     .name = "f16",
     .table = &f16,
     .doc = "16-bit floats, 11 bits exact, up to 65504"},
    {.kind = EVLA_KERNEL, .name = "cast.half", .table = &cast_half},
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.half",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
