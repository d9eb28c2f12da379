/*
 * linear.c -- linear and matmul.
 *
 * Every output is a sum over K in the order of order.h; tiles are 16 rows by 64 columns,
 * tails are applied to a tile's rows while they are in the cache. A weight in a plugin's
 * format, or packed for another kernel, is decoded four rows at a time.
 */
#include "linear.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include "tail.h"
#include <string.h>

enum { ROWS = LINEAR_ROWS, COLS = LINEAR_COLS, ABREAST = 4 /* rows of w at a time */ };

/* ---- linear ---- */

static int32_t linear_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    const evla_linear_params *p = n->params;
    int32_t st = types_real(h, n, in, 0, "x");
    if (st < 0) return st;
    if (in[0].rank < 1)
        return types_fail(h, EVLA_E_SHAPE, "%s: linear: x is %s; want [...,in]", n->label,
                          TEXT(h, &in[0]));
    int64_t features = p ? p->out : 0;
    if (features < 0)
        return types_fail(h, EVLA_E_ARG, "%s: linear: out is %lld; want at least 1",
                          n->label, (long long)features);
    if (!features && types_present(n, in, 1) && in[1].rank == 2) features = in[1].shape[0];
    if (!features && types_present(n, in, 1) && in[1].rank < 0)
        return types_fail(h, EVLA_E_ARG,
                          "%s: linear: out is missing, and w has no type to take it from",
                          n->label);
    int64_t w[2] = {features, types_last(&in[0])};
    if ((st = types_weight(h, n, in, 1, "w", 2, w)) < 0 ||
        (st = rows_infer(h, n, in, 1, "w")) < 0)
        return st;
    if (in[1].dtype >= EVLA_DTYPE_FIRST && in[0].dtype != EVLA_F32 &&
        in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: linear: x is %s, w is %s; want x in f32 or in w's format",
                          n->label, TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (types_present(n, in, 2) && !tail_owns(n, 2) &&
        (st = types_weight(h, n, in, 2, "b", 1, w)) < 0)
        return st;
    out[0] = in[0];
    out[0].shape[out[0].rank - 1] = features;
    return EVLA_OK;
}

static double linear_cost(const evla_node *n)
{
    return 2.0 * (double)types_count(&n->out[0]) * (double)types_last(&n->in[0]);
}

static int32_t linear_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)m;
    if (n->in[0].dtype != EVLA_F32 || n->out[0].dtype != EVLA_F32 || !rows_accepts(h, n, 1))
        return EVLA_E_MISSING;
    if (types_present(n, n->in, 2) && n->in[2].dtype != EVLA_F32) return EVLA_E_MISSING;
    return tail_accepts(n) ? types_offer(offer, -1, ORDER_NUMERICS) : EVLA_E_MISSING;
}

int64_t linear_tiles(const evla_node *n)
{
    return types_ceil(types_rows(&n->out[0]), ROWS) *
           types_ceil(types_last(&n->out[0]), COLS);
}

linear_box linear_box_of(const evla_node *n, int64_t tile)
{
    int64_t rows = types_rows(&n->out[0]), cols = types_last(&n->out[0]);
    int64_t across = types_ceil(cols, COLS);
    int64_t r = tile / across * ROWS, c = tile % across * COLS;
    return (linear_box){{r, order_least(rows, r + ROWS)}, {c, order_least(cols, c + COLS)}};
}

int64_t linear_room(const evla_host *h, const evla_node *n, int32_t w)
{
    return ABREAST * rows_room(h, n, w, types_last(&n->in[w]));
}

/* Up to four rows of the weight, `stride` floats apart: in place, or side by side in room.
 */
static int32_t weight_rows(const evla_host *h, const rows_source *weight,
                           const evla_args *a, int32_t w, int64_t row, int64_t n,
                           float *room, const float **out, int64_t *stride)
{
    int32_t st = rows_read(h, weight, a, w, row, 0, weight->width, room, out);
    *stride = weight->width;
    for (int64_t i = 1; st >= 0 && *out == room && i < n; i++) {
        const float *next;
        st = rows_read(h, weight, a, w, row + i, 0, weight->width, room + i * *stride,
                       &next);
    }
    return st;
}

int32_t linear_tile(const evla_host *h, const evla_args *a, const linear_box *box,
                    const float *x, const rows_source *weight, int32_t w, float *room)
{
    const evla_node *n = a->node;
    int64_t k = weight->width, cols = types_last(&n->out[0]), c0 = box->col[0];
    int64_t r0 = box->row[0], r1 = box->row[1], c1 = box->col[1], stride = 0;
    const float *b = types_present(n, n->in, w + 1) && !tail_owns(n, w + 1)
                         ? a->in[w + 1].data[0]
                         : NULL;
    float *y = a->out[0].data[0];
    for (int64_t c = c0; c < c1; c += ABREAST) {
        int64_t here = order_least(ABREAST, c1 - c);
        const float *p;
        int32_t st = weight_rows(h, weight, a, w, c, here, room, &p, &stride);
        if (st < 0) return st;
        for (int64_t r = r0; r < r1; r++) {
            const float *row = x + (r - r0) * k;
            if (here == ABREAST) order_dot4(row, p, stride, k, y + r * cols + c);
            for (int64_t i = 0; here < ABREAST && i < here; i++)
                y[r * cols + c + i] = order_dot(row, p + i * stride, k);
        }
    }
    for (int64_t r = r0; r < r1; r++) {
        float *row = y + r * cols;
        for (int64_t i = c0; b && i < c1; i++)
            row[i] += b[i];
        tail_apply(a, r, c0, row + c0, c1 - c0);
    }
    return EVLA_OK;
}

static int32_t linear_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)m;
    work->blob_bytes = sizeof(rows_source);
    work->worker_bytes = (uint64_t)linear_room(h, n, 1) * sizeof(float);
    return types_tiles(work, linear_tiles(n));
}

static int32_t linear_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(rows_source *)blob = rows_of(h, n, 1);
    return EVLA_OK;
}

static int32_t linear_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)phase;
    linear_box box = linear_box_of(a->node, tile);
    const float *x =
        (const float *)a->in[0].data[0] + box.row[0] * types_last(&a->node->in[0]);
    return linear_tile(h, a, &box, x, a->blob, 1, a->scratch);
}

const evla_op linear_op = {.size = sizeof linear_op,
                           .inputs = "x w b?",
                           .outputs = "y",
                           .source = "torch.nn.Linear",
                           .infer = linear_infer,
                           .cost = linear_cost,
                           .grad = back_linear};
const evla_kernel linear_kernel = {.size = sizeof linear_kernel,
                                   .max_tail = TAIL_MAX,
                                   .op = "linear",
                                   .tail_ops = TAIL_OPS,
                                   .accepts = linear_accepts,
                                   .plan = linear_plan,
                                   .prepare = linear_prepare,
                                   .run = linear_run,
                                   .layout = rows_layout};

/* ---- matmul ---- */

typedef struct product {
    int64_t m, n, k;
    int32_t transpose_a, transpose_b;
} product;

/* What a tile has in its scratch: parts of a and b, side by side where matrices are wide.
 */
typedef struct panels {
    float a[ROWS][ORDER_BLOCK], b[ORDER_BLOCK][ORDER_WIDTH];
} panels;

static product product_of(const evla_node *n, const evla_type *in)
{
    const evla_matmul_params *p = n->params;
    product s = {.transpose_a = p && p->transpose_a, .transpose_b = p && p->transpose_b};
    const int64_t *a = in[0].shape + in[0].rank - 2, *b = in[1].shape + in[1].rank - 2;
    s.m = a[s.transpose_a];
    s.k = a[!s.transpose_a];
    s.n = b[!s.transpose_b];
    return s;
}

static int32_t matmul_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    for (int32_t i = 0; i < 2; i++) {
        int32_t st = types_real(h, n, in, i, i ? "b" : "a");
        if (st < 0) return st;
        if (in[i].rank < 2)
            return types_fail(h, EVLA_E_SHAPE, "%s: matmul: %s is %s; want rank 2 or more",
                              n->label, i ? "b" : "a", TEXT(h, &in[i]));
    }
    if (in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: matmul: a is %s, b is %s; want one number format", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    product s = product_of(n, in);
    evla_type a = in[0], b = in[1];
    int64_t k = b.shape[b.rank - 2 + s.transpose_b];
    a.rank -= 2, b.rank -= 2;
    out[0].dtype = in[0].dtype;
    if (s.k != k || !types_broadcast(&a, &b, &out[0]))
        return types_fail(h, EVLA_E_SHAPE, "%s: matmul: a %s%s and b %s%s do not meet",
                          n->label, TEXT(h, &in[0]), s.transpose_a ? " transposed" : "",
                          TEXT(h, &in[1]), s.transpose_b ? " transposed" : "");
    out[0].shape[out[0].rank++] = s.m;
    out[0].shape[out[0].rank++] = s.n;
    return EVLA_OK;
}

static double matmul_cost(const evla_node *n)
{
    return 2.0 * (double)types_count(&n->out[0]) * (double)product_of(n, n->in).k;
}

static int32_t matmul_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || !tail_accepts(n)) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

static int32_t matmul_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m;
    product s = product_of(n, n->in);
    int64_t batch = types_span(n->out[0].shape, 0, n->out[0].rank - 2);
    if (!s.transpose_b)
        work->worker_bytes = sizeof(panels);
    else if (s.transpose_a)
        work->worker_bytes = (uint64_t)s.k * sizeof(float);
    return types_tiles(work, batch * types_ceil(s.m, ROWS) * types_ceil(s.n, COLS));
}

/* Where the matrix of an input begins that meets matrix `batch` of the output. */
static int64_t matrix_of(const evla_type *t, const evla_type *out, int64_t batch)
{
    int64_t at = 0, stride = t->shape[t->rank - 1] * t->shape[t->rank - 2];
    for (int32_t i = out->rank - 3; i >= 0; i--) {
        int32_t axis = i - (out->rank - t->rank);
        int64_t index = batch % out->shape[i];
        batch /= out->shape[i];
        if (axis < 0) break;
        if (t->shape[axis] != 1) at += index * stride;
        stride *= t->shape[axis];
    }
    return at;
}

/* Rows r0 to r1 times the columns of b from c0 to c1, which lie side by side in memory. */
static void by_columns(const product *s, const float *a, const float *b, float *y,
                       panels *p, const int64_t r[2], const int64_t c[2])
{
    for (int64_t i = r[0]; i < r[1]; i++)
        memset(y + i * s->n + c[0], 0, (size_t)(c[1] - c[0]) * sizeof *y);
    for (int64_t at = 0; at < s->k; at += ORDER_BLOCK) {
        int64_t depth = order_least(s->k - at, ORDER_BLOCK);
        for (int64_t k = 0; k < depth; k++)
            for (int64_t i = r[0]; i < r[1]; i++)
                p->a[i - r[0]][k] =
                    s->transpose_a ? a[(at + k) * s->m + i] : a[i * s->k + at + k];
        for (int64_t col = c[0]; col < c[1]; col += ORDER_WIDTH) {
            int64_t width = order_least(ORDER_WIDTH, c[1] - col);
            const float *from = b + at * s->n + col;
            if (r[1] - r[0] == 1) { /* a panel would cost more than it saves */
                order_mix_block(p->a[0], from, s->n, depth, width, width == ORDER_WIDTH, 0,
                                y + r[0] * s->n + col);
                continue;
            }
            for (int64_t k = 0; k < depth; k++) {
                memcpy(p->b[k], from + k * s->n, (size_t)width * sizeof *b);
                for (int64_t i = width; i < ORDER_WIDTH; i++)
                    p->b[k][i] = 0;
            }
            for (int64_t i = r[0]; i < r[1]; i++)
                order_mix_block(p->a[i - r[0]], p->b[0], ORDER_WIDTH, depth, width, 1, 0,
                                y + i * s->n + col);
        }
    }
}

/* The same where b is transposed: both rows lie side by side, or are copied to. */
static void by_rows(const product *s, const float *a, const float *b, float *y, float *copy,
                    const int64_t r[2], const int64_t c[2])
{
    for (int64_t i = r[0]; i < r[1]; i++) {
        const float *x = s->transpose_a ? copy : a + i * s->k;
        for (int64_t k = 0; s->transpose_a && k < s->k; k++)
            copy[k] = a[k * s->m + i];
        int64_t col = c[0];
        for (; col + 4 <= c[1]; col += 4)
            order_dot4(x, b + col * s->k, s->k, s->k, y + i * s->n + col);
        for (; col < c[1]; col++)
            y[i * s->n + col] = order_dot(x, b + col * s->k, s->k);
    }
}

static int32_t matmul_run(const evla_host *h, const evla_args *args, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = args->node;
    product s = product_of(n, n->in);
    int64_t across = types_ceil(s.n, COLS), down = types_ceil(s.m, ROWS);
    int64_t batch = tile / (across * down), place = tile % (across * down);
    int64_t r0 = place / across * ROWS, c0 = place % across * COLS;
    int64_t r[2] = {r0, order_least(s.m, r0 + ROWS)},
            c[2] = {c0, order_least(s.n, c0 + COLS)};
    const evla_type *out = &n->out[0];
    const float *a = (const float *)args->in[0].data[0] + matrix_of(&n->in[0], out, batch);
    const float *b = (const float *)args->in[1].data[0] + matrix_of(&n->in[1], out, batch);
    float *y = (float *)args->out[0].data[0] + batch * s.m * s.n;
    if (s.transpose_b)
        by_rows(&s, a, b, y, args->scratch, r, c);
    else
        by_columns(&s, a, b, y, args->scratch, r, c);
    for (int64_t i = r[0]; i < r[1]; i++)
        tail_apply(args, batch * s.m + i, c0, y + i * s.n + c0, c[1] - c0);
    return EVLA_OK;
}

const evla_op matmul_op = {.size = sizeof matmul_op,
                           .inputs = "a b",
                           .outputs = "y",
                           .source = "ONNX MatMul; transposes as in BLAS",
                           .infer = matmul_infer,
                           .cost = matmul_cost,
                           .grad = back_matmul};
const evla_kernel matmul_kernel = {.size = sizeof matmul_kernel,
                                   .max_tail = TAIL_MAX,
                                   .op = "matmul",
                                   .tail_ops = TAIL_OPS,
                                   .accepts = matmul_accepts,
                                   .plan = matmul_plan,
                                   .run = matmul_run};
