/*
 * state.c -- assign, and the two that make or change number formats: fill, cast.
 *
 * cast knows C's own formats, and decodes rows of others to f32; plugins that bring a
 * format bring a faster kernel, and the way back.
 */
#include "grad.h"
#include "list.h"
#include "rows.h"
#include "types.h"
#include <string.h>

enum { TILE = 16384, BLOCK = 64 };

/* ---- assign ---- */

static int32_t assign_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    int32_t st = types_need(h, n, in, 0, "state");
    if (st < 0 || (st = types_need(h, n, in, 1, "x")) < 0) return st;
    if (!types_equal_shape(&in[0], &in[1]))
        return types_fail(h, EVLA_E_SHAPE, "%s: assign: state is %s, x is %s", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (in[0].dtype != in[1].dtype || !types_element_bytes(h, in[0].dtype))
        return types_fail(
            h, EVLA_E_DTYPE,
            "%s: assign: state is %s, x is %s; want one number format of whole "
            "bytes",
            n->label, TEXT(h, &in[0]), TEXT(h, &in[1]));
    out[0] = in[0];
    return EVLA_OK;
}

static int32_t assign_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)m;
    if (n->n_tail || !types_element_bytes(h, n->out[0].dtype)) return EVLA_E_MISSING;
    return types_offer(offer, 0, "exact");
}

static int32_t assign_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m, (void)n;
    work->blob_bytes = sizeof(int64_t);
    return types_tiles(work, 1);
}

static int32_t assign_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(int64_t *)blob = types_count(&n->out[0]) * types_element_bytes(h, n->out[0].dtype);
    return EVLA_OK;
}

static int32_t assign_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase, (void)tile;
    size_t bytes = (size_t) * (const int64_t *)a->blob;
    if (bytes) memmove(a->out[0].data[0], a->in[1].data[0], bytes);
    return EVLA_OK;
}

const evla_op assign_op = {.size = sizeof assign_op,
                           .effect = EVLA_WRITES,
                           .inputs = "state x",
                           .outputs = "y",
                           .source = "evla/ops.h",
                           .infer = assign_infer,
                           .grad = back_assign};
const evla_kernel assign_kernel = {.size = sizeof assign_kernel,
                                   .op = "assign",
                                   .accepts = assign_accepts,
                                   .plan = assign_plan,
                                   .prepare = assign_prepare,
                                   .run = assign_run};

/* ---- cast ---- */

/* A block of 64 numbers on their way: reals as double, integers as 64 bits (unsigned for
 * u64). */
typedef union numbers {
    double real[BLOCK];
    int64_t whole[BLOCK];
} numbers;

// clang-format off
#define REALS(X) X(F32, float) X(F64, double)
#define WHOLES(X) X(I8, int8_t) X(I16, int16_t) X(I32, int32_t) X(I64, int64_t) \
                  X(U8, uint8_t) X(U16, uint16_t) X(U32, uint32_t) X(U64, uint64_t)
// clang-format on

static int is_real(int32_t dtype) { return dtype == EVLA_F32 || dtype == EVLA_F64; }

static void take(int32_t dtype, const void *x, int64_t at, int64_t m, numbers *to)
{
    switch (dtype) {
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < m; i++)                                                    \
            to->real[i] = (double)((const type *)x)[at + i];                               \
        break;
        REALS(X)
#undef X
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < m; i++)                                                    \
            to->whole[i] = (int64_t)((const type *)x)[at + i];                             \
        break;
        WHOLES(X)
#undef X
    default: /* bool */
        for (int64_t i = 0; i < m; i++)
            to->whole[i] = ((const uint8_t *)x)[at + i] != 0;
    }
}

/* Integers to reals, once: through double only where that is exact or rounds but once. */
static void give_real(int32_t from, int32_t dtype, const numbers *v, void *y, int64_t at,
                      int64_t m)
{
    for (int64_t i = 0; i < m; i++) {
        if (dtype == EVLA_F32)
            ((float *)y)[at + i] = is_real(from)      ? (float)v->real[i]
                                   : from == EVLA_U64 ? (float)(uint64_t)v->whole[i]
                                                      : (float)v->whole[i];
        else
            ((double *)y)[at + i] = is_real(from)      ? v->real[i]
                                    : from == EVLA_U64 ? (double)(uint64_t)v->whole[i]
                                                       : (double)v->whole[i];
    }
}

/* Towards zero, to the nearest end of [low, high] outside it; NaN gives 0. top is 2^bits.
 */
static int64_t saturate(double v, double bottom, double top, int64_t low, int64_t high)
{
    if (v != v) return 0;
    if (v <= bottom) return low;
    if (v >= top) return high;
    return v >= 9223372036854775808.0 ? (int64_t)(uint64_t)v : (int64_t)v;
}

static int64_t whole_of(int32_t dtype, double v)
{
    switch (dtype) {
    case EVLA_I8:
        return saturate(v, -128, 127, INT8_MIN, INT8_MAX);
    case EVLA_I16:
        return saturate(v, -32768, 32767, INT16_MIN, INT16_MAX);
    case EVLA_I32:
        return saturate(v, -2147483648.0, 2147483647.0, INT32_MIN, INT32_MAX);
    case EVLA_I64:
        return saturate(v, -9223372036854775808.0, 9223372036854775808.0, INT64_MIN,
                        INT64_MAX);
    case EVLA_U8:
        return saturate(v, 0, 255, 0, UINT8_MAX);
    case EVLA_U16:
        return saturate(v, 0, 65535, 0, UINT16_MAX);
    case EVLA_U32:
        return saturate(v, 0, 4294967295.0, 0, UINT32_MAX);
    default:
        return saturate(v, 0, 18446744073709551616.0, 0, -1);
    }
}

static void give_whole(int32_t dtype, const numbers *v, void *y, int64_t at, int64_t m)
{
    switch (dtype) {
#define X(id, type)                                                                        \
    case EVLA_##id:                                                                        \
        for (int64_t i = 0; i < m; i++)                                                    \
            ((type *)y)[at + i] = (type)(uint64_t)v->whole[i];                             \
        break;
        WHOLES(X)
#undef X
    default:
        break;
    }
}

static void cast_block(int32_t from, int32_t to, const void *x, void *y, int64_t at,
                       int64_t m)
{
    numbers v;
    take(from, x, at, m, &v);
    if (is_real(to)) {
        give_real(from, to, &v, y, at, m);
    } else if (to == EVLA_BOOL) {
        for (int64_t i = 0; i < m; i++)
            ((uint8_t *)y)[at + i] = is_real(from) ? v.real[i] != 0 : v.whole[i] != 0;
    } else {
        for (int64_t i = 0; is_real(from) && i < m; i++)
            v.whole[i] = whole_of(to, v.real[i]);
        give_whole(to, &v, y, at, m);
    }
}

static int32_t cast_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    const evla_cast_params *p = n->params;
    int32_t st = types_need(h, n, in, 0, "x");
    if (st < 0) return st;
    int32_t dtype = h->dtype(h, p->to);
    int is_decoded = dtype == EVLA_F32 && in[0].rank > 0 && h->dtype_table(h, in[0].dtype);
    if (is_decoded && (st = rows_infer(h, n, in, 0, "x")) < 0) return st;
    if (!is_decoded &&
        (!types_element_bytes(h, dtype) || !types_element_bytes(h, in[0].dtype)))
        return types_fail(
            h, EVLA_E_DTYPE,
            "%s: cast: from %s to \"%s\"; want number formats of whole bytes per "
            "element, or rows that a plugin decodes and \"f32\"",
            n->label, TEXT(h, &in[0]), p->to);
    out[0] = in[0];
    out[0].dtype = dtype;
    return EVLA_OK;
}

/* It reads rows as f32 however they lie. */
static int is_rows(const evla_node *n)
{
    int is_coded = n->in[0].dtype >= EVLA_DTYPE_FIRST || (n->layout && n->layout[0]);
    return is_coded && n->in[0].rank > 0 && n->out[0].dtype == EVLA_F32;
}

static int64_t rows_per_tile(const evla_node *n)
{
    int64_t width = types_last(&n->in[0]);
    return width >= TILE ? 1 : TILE / (width ? width : 1);
}

static int32_t cast_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)m;
    if (is_rows(n))
        return rows_accepts(h, n, 0) && !n->n_tail ? types_offer(offer, -1, "exact")
                                                   : EVLA_E_MISSING;
    if (n->n_tail || !types_bytes(n->in[0].dtype) || !types_bytes(n->out[0].dtype))
        return EVLA_E_MISSING;
    int same = types_bytes(n->in[0].dtype) == types_bytes(n->out[0].dtype);
    return types_offer(offer, same ? 0 : -1, "exact");
}

static int32_t cast_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(work, types_ceil(types_count(&n->out[0]), TILE));
}

static int32_t decode_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    if (!is_rows(n)) return cast_plan(h, m, n, work);
    work->blob_bytes = sizeof(rows_source);
    int64_t rows = types_count(&n->in[0]) ? types_rows(&n->in[0]) : 0;
    return types_tiles(work, types_ceil(rows, rows_per_tile(n)));
}

static int32_t cast_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(rows_source *)blob = rows_of(h, n, 0);
    return EVLA_OK;
}

static int32_t decode_run(const evla_host *h, const evla_args *a, int64_t tile)
{
    const rows_source *of = a->blob;
    int64_t rows = types_rows(&a->node->in[0]), at = tile * rows_per_tile(a->node);
    int64_t end = at + rows_per_tile(a->node);
    for (end = end < rows ? end : rows; at < end; at++) {
        float *y = (float *)a->out[0].data[0] + at * of->width;
        const float *there;
        int32_t st = rows_read(h, of, a, 0, at, 0, of->width, y, &there);
        if (st < 0) return st;
        if (there != y) memcpy(y, there, (size_t)of->width * sizeof *y);
    }
    return EVLA_OK;
}

static int32_t cast_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)phase;
    if (is_rows(a->node)) return decode_run(h, a, tile);
    int64_t at = tile * TILE, all = types_count(&a->node->out[0]), end = at + TILE;
    for (end = end < all ? end : all; at < end; at += BLOCK)
        cast_block(a->node->in[0].dtype, a->node->out[0].dtype, a->in[0].data[0],
                   a->out[0].data[0], at, end - at < BLOCK ? end - at : BLOCK);
    return EVLA_OK;
}

const evla_op cast_op = {.size = sizeof cast_op,
                         .inputs = "x",
                         .outputs = "y",
                         .source = "evla/ops.h; ONNX Cast where it is defined",
                         .infer = cast_infer,
                         .grad = back_cast};
const evla_kernel cast_kernel = {.size = sizeof cast_kernel,
                                 .op = "cast",
                                 .accepts = cast_accepts,
                                 .plan = decode_plan,
                                 .prepare = cast_prepare,
                                 .run = cast_run,
                                 .layout = rows_layout};

/* ---- fill ---- */

static int32_t fill_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    (void)in;
    const evla_fill_params *p = n->params;
    int32_t dtype = h->dtype(h, p->dtype ? p->dtype : "f32");
    if (!types_bytes(dtype))
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: fill: dtype \"%s\"; want one of C's own, then cast",
                          n->label, p->dtype);
    out[0] = types_make(dtype, p->shape.rank, p->shape.dim);
    for (int32_t i = 0; i < out[0].rank; i++)
        if (out[0].shape[i] < 0)
            return types_fail(h, EVLA_E_ARG,
                              "%s: fill: shape %s; want extents of 0 or more", n->label,
                              TEXT(h, &out[0]));
    return EVLA_OK;
}

static int32_t fill_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || !types_bytes(n->out[0].dtype)) return EVLA_E_MISSING;
    return types_offer(offer, -1, "exact");
}

static int32_t fill_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_fill_params *p = a->node->params;
    int64_t at = tile * TILE, all = types_count(&a->node->out[0]), end = at + TILE;
    double values[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        values[i] = p->value;
    int64_t bytes = types_bytes(a->node->out[0].dtype);
    for (end = end < all ? end : all; at < end; at += BLOCK)
        cast_block(EVLA_F64, a->node->out[0].dtype, values,
                   (char *)a->out[0].data[0] + at * bytes, 0,
                   end - at < BLOCK ? end - at : BLOCK);
    return EVLA_OK;
}

const evla_op fill_op = {.size = sizeof fill_op,
                         .inputs = "",
                         .outputs = "y",
                         .source = "ONNX ConstantOfShape",
                         .infer = fill_infer};
const evla_kernel fill_kernel = {.size = sizeof fill_kernel,
                                 .op = "fill",
                                 .accepts = fill_accepts,
                                 .plan = cast_plan,
                                 .run = fill_run};
