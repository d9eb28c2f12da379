/*
 * shape.c -- operators that move elements without computing: reshape, transpose, broadcast,
 * concat, slice.
 *
 * Elements are 1, 2, 4 or 8 bytes of any number format. prepare leaves the element's size
 * (and what else run needs) in the blob, because run may not ask the host.
 */
#include "grad.h"
#include "list.h"
#include "types.h"
#include "walk.h"
#include <string.h>

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Everything here: elements seen as `before` blocks of `axis` rows of `after` elements. */
typedef struct view {
    int64_t bytes; /* of one element */
    int64_t before, axis, after;
    int64_t perm_extent[8], perm_step[8]; /* transpose: output extents, input steps */
    int64_t start;                        /* slice */
} view;

static int32_t one_tile(const evla_host *h, const evla_machine *m, const evla_node *n,
                        evla_work *work)
{
    (void)h, (void)m, (void)n;
    work->blob_bytes = sizeof(view);
    return types_tiles(work, 1);
}

/* ---- reshape ---- */

static int32_t reshape_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    const evla_reshape_params *p = n->params;
    int32_t st = types_movable(h, n, in, 0, "x"), open = -1;
    if (st < 0) return st;
    evla_type want = types_make(in[0].dtype, p->shape.rank, p->shape.dim);
    int64_t all = types_count(&in[0]), known = 1;
    for (int32_t i = 0; i < want.rank; i++) {
        if (want.shape[i] < -1 || (want.shape[i] == -1 && open >= 0))
            return types_fail(h, EVLA_E_ARG, "%s: reshape: shape %s; want at most one -1",
                              n->label, TEXT(h, &want));
        if (want.shape[i] == -1)
            open = i;
        else if (__builtin_mul_overflow(known, want.shape[i], &known))
            known = INT64_MAX; /* more than there is, whatever follows */
    }
    if (open >= 0 && known && all % known == 0) want.shape[open] = all / known;
    if ((open >= 0 && want.shape[open] < 0) || types_count(&want) != all)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: reshape: x %s has %lld elements, shape %s does not",
                          n->label, TEXT(h, &in[0]), (long long)all, TEXT(h, &want));
    out[0] = want;
    return EVLA_OK;
}

static int32_t reshape_accepts(const evla_host *h, const evla_machine *m,
                               const evla_node *n, evla_offer *offer)
{
    int32_t st = types_exact(h, m, n, offer);
    offer->alias_in = st < 0 ? -1 : 0;
    return st;
}

static int32_t flat_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    view v = {.bytes = types_element_bytes(h, n->out[0].dtype)};
    v.after = types_count(&n->out[0]);
    memcpy(blob, &v, sizeof v);
    return EVLA_OK;
}

static int32_t reshape_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)h, (void)phase, (void)tile;
    const view *v = a->blob;
    size_t bytes = (size_t)(v->after * v->bytes);
    if (bytes && a->out[0].data[0] != a->in[0].data[0])
        memcpy(a->out[0].data[0], a->in[0].data[0], bytes);
    return EVLA_OK;
}

/* ---- transpose ---- */

static int32_t order_of(const evla_node *n, int32_t rank, int32_t perm[8])
{
    const evla_transpose_params *p = n->params;
    const int64_t *items = p ? p->perm.items : NULL;
    uint32_t seen = 0;
    if (p && p->perm.n && p->perm.n != rank) return 0;
    for (int32_t i = 0; i < rank; i++) {
        int64_t axis = p && p->perm.n ? items[i] : rank - 1 - i;
        if (axis < 0) axis += rank;
        if (axis < 0 || axis >= rank || seen >> axis & 1) return 0;
        seen |= 1u << axis;
        perm[i] = (int32_t)axis;
    }
    return 1;
}

static int32_t transpose_infer(const evla_host *h, const evla_node *n, evla_type *in,
                               evla_type *out)
{
    int32_t perm[8], st = types_movable(h, n, in, 0, "x");
    if (st < 0) return st;
    if (!order_of(n, in[0].rank, perm))
        return types_fail(h, EVLA_E_ARG,
                          "%s: transpose: perm does not name each axis of x %s once",
                          n->label, TEXT(h, &in[0]));
    out[0].dtype = in[0].dtype;
    out[0].rank = in[0].rank;
    for (int32_t i = 0; i < in[0].rank; i++)
        out[0].shape[i] = in[0].shape[perm[i]];
    return EVLA_OK;
}

static int32_t transpose_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_work *work)
{
    (void)h, (void)m;
    work->blob_bytes = sizeof(view);
    return types_tiles(work, types_ceil(types_count(&n->out[0]), WALK_TILE));
}

static int32_t transpose_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    const evla_type *x = &n->in[0];
    view v = {.bytes = types_element_bytes(h, x->dtype), .axis = x->rank};
    int32_t perm[8] = {0};
    order_of(n, x->rank, perm);
    for (int32_t i = 0; i < x->rank; i++) {
        v.perm_extent[i] = n->out[0].shape[i];
        v.perm_step[i] = types_span(x->shape, perm[i] + 1, x->rank);
    }
    v.after = types_count(x);
    memcpy(blob, &v, sizeof v);
    return EVLA_OK;
}

#define STEP(type)                                                                         \
    for (int64_t i = 0; i < m; i++)                                                        \
    ((type *)y)[i] = ((const type *)x)[i * step]

/* m elements, `step` apart, to neighbouring places. */
static void gather_steps(const char *x, int64_t step, char *y, int64_t m, int64_t bytes)
{
    switch (bytes) {
    case 1:
        STEP(uint8_t);
        break;
    case 2:
        STEP(uint16_t);
        break;
    case 4:
        STEP(uint32_t);
        break;
    default:
        STEP(uint64_t);
        break;
    }
}

static int32_t transpose_run(const evla_host *h, const evla_args *a, int32_t phase,
                             int64_t tile)
{
    (void)h, (void)phase;
    const view *v = a->blob;
    const char *x = a->in[0].data[0];
    char *y = a->out[0].data[0];
    int32_t last = (int32_t)v->axis - 1;
    int64_t inner = last < 0 ? 1 : v->perm_extent[last];
    int64_t step = last < 0 ? 1 : v->perm_step[last];
    for (int64_t i = tile * WALK_TILE, end = least(v->after, i + WALK_TILE); i < end;) {
        int64_t in_run = i % inner, m = least(inner - in_run, end - i);
        int64_t left = i / inner, from = in_run * step;
        for (int32_t k = last - 1; k >= 0; k--) {
            from += left % v->perm_extent[k] * v->perm_step[k];
            left /= v->perm_extent[k];
        }
        gather_steps(x + from * v->bytes, step, y + i * v->bytes, m, v->bytes);
        i += m;
    }
    return EVLA_OK;
}

/* ---- broadcast ---- */

static int32_t broadcast_infer(const evla_host *h, const evla_node *n, evla_type *in,
                               evla_type *out)
{
    const evla_broadcast_params *p = n->params;
    int32_t st = types_movable(h, n, in, 0, "x");
    if (st < 0) return st;
    evla_type want = types_make(in[0].dtype, p->shape.rank, p->shape.dim), both;
    if (!types_broadcast(&in[0], &want, &both) || !types_equal_shape(&both, &want))
        return types_fail(h, EVLA_E_SHAPE, "%s: broadcast: x %s does not broadcast to %s",
                          n->label, TEXT(h, &in[0]), TEXT(h, &want));
    out[0] = want;
    return EVLA_OK;
}

static int32_t broadcast_run(const evla_host *h, const evla_args *a, int32_t phase,
                             int64_t tile)
{
    (void)h, (void)phase;
    const view *v = a->blob;
    int64_t at = tile * WALK_TILE, end = least(at + WALK_TILE, v->after);
    walk w;
    walk_run r;
    walk_plan(&w, &a->node->out[0], (const evla_type *[]){&a->node->in[0]}, 1);
    while (walk_next(&w, &at, end, &r))
        gather_steps((const char *)a->in[0].data[0] + r.from[0] * v->bytes, r.step[0],
                     (char *)a->out[0].data[0] + r.at * v->bytes, r.n, v->bytes);
    return EVLA_OK;
}

/* ---- concat ---- */

static int32_t concat_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    const evla_concat_params *p = n->params;
    int32_t axis, st = types_movable(h, n, in, 0, "xs[1]");
    if (st < 0 || (st = types_axis(h, n, p->axis, in[0].rank, &axis)) < 0) return st;
    out[0] = in[0];
    for (int32_t i = 1; i < n->n_in; i++) {
        if ((st = types_need(h, n, in, i, "xs")) < 0) return st;
        evla_type other = in[i];
        if (other.rank == in[0].rank) other.shape[axis] = in[0].shape[axis];
        if (!types_equal_shape(&other, &in[0]))
            return types_fail(
                h, EVLA_E_SHAPE,
                "%s: concat: xs[1] is %s, xs[%d] is %s; want equal shapes but for "
                "axis %d",
                n->label, TEXT(h, &in[0]), i + 1, TEXT(h, &in[i]), axis);
        if (in[i].dtype != in[0].dtype)
            return types_fail(
                h, EVLA_E_DTYPE,
                "%s: concat: xs[1] is %s, xs[%d] is %s; want one number format", n->label,
                TEXT(h, &in[0]), i + 1, TEXT(h, &in[i]));
        out[0].shape[axis] += in[i].shape[axis];
    }
    return EVLA_OK;
}

static int32_t concat_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    const evla_type *y = &n->out[0];
    int32_t axis, st = types_axis(h, n, ((const evla_concat_params *)n->params)->axis,
                                  y->rank, &axis);
    if (st < 0) return st;
    view v = {.bytes = types_element_bytes(h, y->dtype), .axis = axis};
    v.before = types_span(y->shape, 0, axis);
    v.after = types_span(y->shape, axis + 1, y->rank);
    memcpy(blob, &v, sizeof v);
    return EVLA_OK;
}

static int32_t concat_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase, (void)tile;
    const view *v = a->blob;
    char *y = a->out[0].data[0];
    for (int64_t r = 0; r < v->before; r++)
        for (int32_t i = 0; i < a->node->n_in; i++) {
            size_t bytes = (size_t)(a->node->in[i].shape[v->axis] * v->after * v->bytes);
            if (bytes) memcpy(y, (const char *)a->in[i].data[0] + (size_t)r * bytes, bytes);
            y += bytes;
        }
    return EVLA_OK;
}

/* ---- slice ---- */

static int32_t bounds(const evla_host *h, const evla_node *n, const evla_type *x,
                      int32_t *axis, int64_t *start, int64_t *stop)
{
    const evla_slice_params *p = n->params;
    int32_t st = types_axis(h, n, p->axis, x->rank, axis);
    if (st < 0) return st;
    int64_t extent = x->shape[*axis];
    *start = p->start < 0 ? p->start + extent : p->start;
    *stop = p->stop <= 0 ? p->stop + extent : p->stop;
    if (*start < 0 || *start > *stop || *stop > extent)
        return types_fail(
            h, EVLA_E_SHAPE, "%s: slice: [%lld:%lld] does not lie in axis %d of x %s",
            n->label, (long long)p->start, (long long)p->stop, *axis, TEXT(h, x));
    return EVLA_OK;
}

static int32_t slice_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    int32_t axis, st = types_movable(h, n, in, 0, "x");
    int64_t start, stop;
    if (st < 0 || (st = bounds(h, n, &in[0], &axis, &start, &stop)) < 0) return st;
    out[0] = in[0];
    out[0].shape[axis] = stop - start;
    return EVLA_OK;
}

/* Rows before the axis that a tile cuts, of so many elements each. */
static int64_t slice_rows(int64_t each)
{
    return each < 1 || each > WALK_TILE ? 1 : WALK_TILE / each;
}

static int32_t slice_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                          evla_work *work)
{
    (void)m;
    const evla_type *y = &n->out[0];
    int64_t start, stop;
    int32_t axis, st = bounds(h, n, &n->in[0], &axis, &start, &stop);
    if (st < 0) return st;
    work->blob_bytes = sizeof(view);
    return types_tiles(work, types_ceil(types_span(y->shape, 0, axis),
                                        slice_rows(types_span(y->shape, axis, y->rank))));
}

static int32_t slice_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    const evla_type *x = &n->in[0];
    int32_t axis;
    view v = {.bytes = types_element_bytes(h, x->dtype)};
    int64_t stop;
    int32_t st = bounds(h, n, x, &axis, &v.start, &stop);
    if (st < 0) return st;
    v.before = types_span(x->shape, 0, axis);
    v.after = types_span(x->shape, axis + 1, x->rank);
    v.axis = axis;
    memcpy(blob, &v, sizeof v);
    return EVLA_OK;
}

static int32_t slice_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    const view *v = a->blob;
    int64_t row = v->after * v->bytes, extent = a->node->out[0].shape[v->axis];
    int64_t bytes = extent * row, block = a->node->in[0].shape[v->axis] * row;
    int64_t some = slice_rows(extent * v->after), end = least(v->before, (tile + 1) * some);
    for (int64_t r = tile * some; bytes && r < end; r++)
        memcpy((char *)a->out[0].data[0] + r * bytes,
               (const char *)a->in[0].data[0] + r * block + v->start * row, (size_t)bytes);
    return EVLA_OK;
}

/* ---- tables ---- */

#define MOVE(id, ports, from, infer_fn, accepts_fn, plan_fn, prepare_fn, run_fn)           \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = (ports),                                            \
                             .outputs = "y",                                               \
                             .source = (from),                                             \
                             .infer = (infer_fn),                                          \
                             .grad = back_##id};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = (accepts_fn),                              \
                                     .plan = (plan_fn),                                    \
                                     .prepare = (prepare_fn),                              \
                                     .run = (run_fn)};
// clang-format off
MOVE(reshape, "x", "ONNX Reshape", reshape_infer, reshape_accepts, one_tile, flat_prepare, reshape_run)
MOVE(transpose, "x", "ONNX Transpose", transpose_infer, types_exact, transpose_plan, transpose_prepare, transpose_run)
MOVE(broadcast, "x", "ONNX Expand", broadcast_infer, types_exact, transpose_plan, flat_prepare, broadcast_run)
MOVE(concat, "xs*", "ONNX Concat", concat_infer, types_exact, one_tile, concat_prepare, concat_run)
MOVE(slice, "x", "ONNX Slice, one axis, step 1", slice_infer, types_exact, slice_plan, slice_prepare, slice_run)
// clang-format on
