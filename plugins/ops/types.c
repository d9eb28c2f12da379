/*
 * types.c -- what every infer needs: sentences about types, broadcasting, untyped weights.
 */
#include "types.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int32_t types_fail(const evla_host *h, int32_t code, const char *format, ...)
{
    char sentence[1024];
    va_list ap;
    va_start(ap, format);
    /* clang-tidy 14 loses va_start when it has read another file before */
    vsnprintf(sentence, sizeof sentence, format, ap); // NOLINT(clang-analyzer-valist*)
    va_end(ap);
    return h->fail(h, code, sentence);
}

const char *types_text(const evla_host *h, const evla_type *t, char *text)
{
    if (t->rank < 0) return "(no type yet)";
    const char *name = h->dtype_name(h, t->dtype);
    int at = snprintf(text, TYPES_TEXT, "%s", name ? name : "?");
    for (int32_t i = 0; i < t->rank && at < TYPES_TEXT; i++)
        at += snprintf(text + at, (size_t)(TYPES_TEXT - at), "%s%lld", i ? "," : "[",
                       (long long)t->shape[i]);
    if (t->rank && at < TYPES_TEXT) snprintf(text + at, (size_t)(TYPES_TEXT - at), "]");
    return text;
}

int types_present(const evla_node *n, const evla_type *in, int32_t i)
{
    return i < n->n_in && (in[i].rank >= 0 || in[i].dtype != EVLA_NONE);
}

int32_t types_need(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                   const char *name)
{
    if (!types_present(n, in, i))
        return types_fail(h, EVLA_E_ARG, "%s: %s: input %s is missing", n->label, n->op,
                          name);
    if (in[i].rank < 0)
        return types_fail(
            h, EVLA_E_ARG,
            "%s: %s: input %s has no type, and this operator cannot give it one", n->label,
            n->op, name);
    return EVLA_OK;
}

int types_is_real(const evla_host *h, int32_t dtype)
{
    if (dtype < EVLA_DTYPE_FIRST) return dtype == EVLA_F32 || dtype == EVLA_F64;
    return dtype == h->dtype(h, "f16") || dtype == h->dtype(h, "bf16");
}

int types_is_index(int32_t dtype) { return dtype == EVLA_I32 || dtype == EVLA_I64; }

int32_t types_real(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                   const char *name)
{
    int32_t st = types_need(h, n, in, i, name);
    if (st < 0) return st;
    if (!types_is_real(h, in[i].dtype))
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: %s: %s is %s; want real numbers such as f32", n->label,
                          n->op, name, TEXT(h, &in[i]));
    return EVLA_OK;
}

int32_t types_index(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                    const char *name)
{
    int32_t st = types_need(h, n, in, i, name);
    if (st < 0) return st;
    if (!types_is_index(in[i].dtype))
        return types_fail(h, EVLA_E_DTYPE, "%s: %s: %s is %s; want i32 or i64", n->label,
                          n->op, name, TEXT(h, &in[i]));
    return EVLA_OK;
}

int types_is_weight(const evla_type *t, int32_t rank, const int64_t *shape)
{
    return t->rank == rank &&
           (!rank || !memcmp(t->shape, shape, (size_t)rank * sizeof *shape));
}

int32_t types_weight(const evla_host *h, const evla_node *n, evla_type *in, int32_t i,
                     const char *name, int32_t rank, const int64_t *shape)
{
    if (!types_present(n, in, i)) return types_need(h, n, in, i, name);
    evla_type want = types_make(in[i].dtype, rank, shape);
    if (in[i].rank < 0) {
        want.dtype = EVLA_F32;
        in[i] = want;
    }
    if (!types_is_weight(&in[i], rank, shape))
        return types_fail(h, EVLA_E_SHAPE, "%s: %s: %s is %s, x %s wants %s", n->label,
                          n->op, name, TEXT(h, &in[i]), TEXT(h, &in[0]), TEXT(h, &want));
    if (in[i].dtype < EVLA_DTYPE_FIRST && !types_is_real(h, in[i].dtype))
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: %s: %s is %s; want real numbers such as f32", n->label,
                          n->op, name, TEXT(h, &in[i]));
    return EVLA_OK;
}

int32_t types_axis(const evla_host *h, const evla_node *n, int64_t axis, int32_t rank,
                   int32_t *out)
{
    if (axis < -rank || axis >= rank)
        return types_fail(h, EVLA_E_ARG, "%s: %s: axis %lld of a tensor of rank %d",
                          n->label, n->op, (long long)axis, rank);
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return EVLA_OK;
}

evla_type types_make(int32_t dtype, int32_t rank, const int64_t *shape)
{
    evla_type t = {.dtype = dtype, .rank = rank};
    for (int32_t i = 0; i < rank; i++)
        t.shape[i] = shape[i];
    return t;
}

int types_equal_shape(const evla_type *a, const evla_type *b)
{
    return a->rank >= 0 && types_is_weight(a, b->rank, b->shape);
}

int types_equal(const evla_type *a, const evla_type *b)
{
    return a->dtype == b->dtype && types_equal_shape(a, b);
}

int types_broadcast(const evla_type *a, const evla_type *b, evla_type *out)
{
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int32_t i = 0; i < out->rank; i++) {
        int32_t ia = i - (out->rank - a->rank), ib = i - (out->rank - b->rank);
        int64_t da = ia < 0 ? 1 : a->shape[ia], db = ib < 0 ? 1 : b->shape[ib];
        if (da != db && da != 1 && db != 1) return 0;
        out->shape[i] = da == 1 ? db : da;
    }
    return 1;
}

int64_t types_span(const int64_t *shape, int32_t from, int32_t to)
{
    int64_t n = 1;
    for (int32_t i = from; i < to; i++)
        if (__builtin_mul_overflow(n, shape[i], &n)) n = INT64_MAX;
    return n;
}

int64_t types_count(const evla_type *t) { return types_span(t->shape, 0, t->rank); }

int64_t types_last(const evla_type *t) { return t->rank > 0 ? t->shape[t->rank - 1] : 1; }

int64_t types_rows(const evla_type *t) { return types_span(t->shape, 0, t->rank - 1); }

int32_t types_bytes(int32_t dtype)
{
    static const int8_t bytes[] = {0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1};
    return dtype >= 0 && dtype <= EVLA_BOOL ? bytes[dtype] : 0;
}

int32_t types_element_bytes(const evla_host *h, int32_t dtype)
{
    if (dtype < EVLA_DTYPE_FIRST) return types_bytes(dtype);
    int64_t bytes = h->dtype_bytes(h, dtype, 1);
    return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8 ? (int32_t)bytes : 0;
}

int32_t types_offer(evla_offer *offer, int32_t alias_in, const char *numerics)
{
    *offer = (evla_offer){.score = 1, .alias_in = alias_in, .numerics = numerics};
    return EVLA_OK;
}

int types_all_plain(const evla_node *n)
{
    for (int32_t i = 0; n->layout && i < n->n_in; i++)
        if (n->layout[i]) return 0;
    return 1;
}

int types_all_f32(const evla_node *n)
{
    for (int32_t i = 0; i < n->n_in; i++)
        if (types_present(n, n->in, i) && n->in[i].dtype != EVLA_F32) return 0;
    if (!types_all_plain(n)) return 0;
    return n->out[0].dtype == EVLA_F32;
}

int32_t types_tiles(evla_work *work, int64_t tiles)
{
    work->n_phases = 1;
    work->tiles[0] = tiles;
    return EVLA_OK;
}

int32_t types_movable(const evla_host *h, const evla_node *n, const evla_type *in,
                      int32_t i, const char *name)
{
    int32_t st = types_need(h, n, in, i, name);
    if (st < 0 || types_element_bytes(h, in[i].dtype)) return st;
    return types_fail(h, EVLA_E_DTYPE,
                      "%s: %s: %s is %s, a block format; want whole bytes per element",
                      n->label, n->op, name, TEXT(h, &in[i]));
}

int32_t types_exact(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_offer *offer)
{
    (void)m;
    if (n->n_tail || !types_element_bytes(h, n->out[0].dtype) || !types_all_plain(n))
        return EVLA_E_MISSING;
    for (int32_t i = 0; i < n->n_in; i++)
        if (!types_present(n, n->in, i) || !types_element_bytes(h, n->in[i].dtype))
            return EVLA_E_MISSING;
    return types_offer(offer, -1, "exact");
}
