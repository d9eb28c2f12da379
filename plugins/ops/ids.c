/*
 * ids.c -- operators whose second (or only) input names rows: gather, embedding,
 * scatter_add, one_hot.
 *
 * An id outside its table fails the run with a sentence that names the place.
 */
#include "grad.h"
#include "list.h"
#include "rows.h"
#include <string.h>

enum { TILE_BYTES = 65536, COLUMNS = 64 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* x seen as `before` blocks of `axis` rows of `after` elements, each of so many bytes. */
typedef struct view {
    int64_t bytes, before, axis, after;
} view;

static int64_t id_at(const evla_args *a, int32_t i, int64_t k)
{
    return a->node->in[i].dtype == EVLA_I32 ? ((const int32_t *)a->in[i].data[0])[k]
                                            : ((const int64_t *)a->in[i].data[0])[k];
}

static int32_t id_fail(const evla_host *h, const evla_node *n, int64_t k, int64_t id,
                       int64_t rows)
{
    return types_fail(h, EVLA_E_RANGE, "%s: %s: id %lld at place %lld; want 0 to %lld",
                      n->label, n->op, (long long)id, (long long)k, (long long)rows - 1);
}

static int32_t append_ids(const evla_host *h, const evla_node *n, const evla_type *ids,
                          evla_type *out)
{
    if (out->rank + ids->rank > EVLA_MAX_RANK)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: %s: ids %s make a tensor of more than rank %d", n->label,
                          n->op, TEXT(h, ids), EVLA_MAX_RANK);
    for (int32_t i = 0; i < ids->rank; i++)
        out->shape[out->rank++] = ids->shape[i];
    return EVLA_OK;
}

static int32_t gather_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    const evla_gather_params *p = n->params;
    int32_t axis, st = types_movable(h, n, in, 0, "x");
    if (st < 0 || (st = types_index(h, n, in, 1, "ids")) < 0 ||
        (st = types_axis(h, n, p->axis, in[0].rank, &axis)) < 0)
        return st;
    evla_type y = types_make(in[0].dtype, axis, in[0].shape);
    y.rank = in[0].rank - 1; /* as many more will follow: check the rank at once */
    if (y.rank + in[1].rank > EVLA_MAX_RANK) return append_ids(h, n, &in[1], &y);
    y.rank = axis;
    if ((st = append_ids(h, n, &in[1], &y)) < 0) return st;
    for (int32_t i = axis + 1; i < in[0].rank; i++)
        y.shape[y.rank++] = in[0].shape[i];
    out[0] = y;
    return EVLA_OK;
}

static int32_t embedding_infer(const evla_host *h, const evla_node *n, evla_type *in,
                               evla_type *out)
{
    const evla_embedding_params *p = n->params;
    int32_t st = types_index(h, n, in, 1, "ids");
    if (st < 0) return st;
    if (!types_present(n, in, 0)) return types_need(h, n, in, 0, "table");
    int typed = in[0].rank == 2;
    int64_t shape[2] = {p && p->num_embeddings ? p->num_embeddings
                        : typed                ? in[0].shape[0]
                                               : 0,
                        p && p->embedding_dim ? p->embedding_dim
                        : typed               ? in[0].shape[1]
                                              : 0};
    if (in[0].rank < 0 && (shape[0] <= 0 || shape[1] <= 0))
        return types_fail(
            h, EVLA_E_ARG,
            "%s: embedding: num_embeddings or embedding_dim is missing, and the "
            "table has no type to take them from",
            n->label);
    evla_type want = types_make(EVLA_F32, 2, shape);
    if (in[0].rank < 0) in[0] = want;
    want.dtype = in[0].dtype;
    if (!types_equal_shape(&in[0], &want))
        return types_fail(h, EVLA_E_SHAPE, "%s: embedding: table is %s, parameters want %s",
                          n->label, TEXT(h, &in[0]), TEXT(h, &want));
    if (in[0].dtype < EVLA_DTYPE_FIRST && !types_is_real(h, in[0].dtype))
        return types_fail(h, EVLA_E_DTYPE, "%s: embedding: table is %s; want real numbers",
                          n->label, TEXT(h, &in[0]));
    if ((st = rows_infer(h, n, in, 0, "table")) < 0) return st;
    evla_type y = {.dtype = in[0].dtype < EVLA_DTYPE_FIRST ? in[0].dtype : EVLA_F32};
    if (in[1].rank + 1 > EVLA_MAX_RANK) y.rank = 1;
    if ((st = append_ids(h, n, &in[1], &y)) < 0) return st;
    y.shape[y.rank++] = shape[1];
    out[0] = y;
    return EVLA_OK;
}

static int64_t ids_per_tile(int64_t row_bytes)
{
    return row_bytes >= TILE_BYTES ? 1 : TILE_BYTES / (row_bytes ? row_bytes : 1);
}

static int32_t gather_view(const evla_host *h, const evla_node *n, view *v)
{
    const evla_type *x = &n->in[0];
    const evla_gather_params *p = n->params;
    int32_t axis = 0, st = types_axis(h, n, p->axis, x->rank, &axis);
    *v = (view){.bytes = types_element_bytes(h, x->dtype), .axis = x->shape[axis]};
    v->before = types_span(x->shape, 0, axis);
    v->after = types_span(x->shape, axis + 1, x->rank);
    return st;
}

static int32_t gather_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)m;
    view v;
    int32_t st = gather_view(h, n, &v);
    if (st < 0) return st;
    work->blob_bytes = sizeof v;
    return types_tiles(work, types_ceil(v.before * types_count(&n->in[1]),
                                        ids_per_tile(v.after * v.bytes)));
}

static int32_t gather_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    view v;
    int32_t st = gather_view(h, n, &v);
    memcpy(blob, &v, sizeof v);
    return st;
}

static int32_t gather_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)phase;
    const view *v = a->blob;
    int64_t ids = types_count(&a->node->in[1]), row = v->after * v->bytes;
    int64_t step = ids_per_tile(row), from = tile * step,
            end = least(v->before * ids, from + step);
    for (int64_t i = from; i < end; i++) {
        int64_t id = id_at(a, 1, i % ids);
        if (id < 0 || id >= v->axis) return id_fail(h, a->node, i % ids, id, v->axis);
        if (row)
            memcpy((char *)a->out[0].data[0] + i * row,
                   (const char *)a->in[0].data[0] + (i / ids * v->axis + id) * row,
                   (size_t)row);
    }
    return EVLA_OK;
}

/* ---- embedding ---- */

/* Rows in f64 are moved, all others read as f32. */
static int32_t embedding_accepts(const evla_host *h, const evla_machine *m,
                                 const evla_node *n, evla_offer *offer)
{
    if (n->in[0].dtype == n->out[0].dtype && n->in[0].dtype != EVLA_F32)
        return types_exact(h, m, n, offer);
    if (n->n_tail || !rows_accepts(h, n, 0)) return EVLA_E_MISSING;
    return types_offer(offer, -1, "exact");
}

static int32_t embedding_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_work *work)
{
    (void)h, (void)m;
    int64_t row = types_last(&n->out[0]) * types_bytes(n->out[0].dtype);
    work->blob_bytes = sizeof(rows_source);
    return types_tiles(work, types_ceil(types_count(&n->in[1]), ids_per_tile(row)));
}

static int32_t embedding_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(rows_source *)blob = rows_of(h, n, 0);
    return EVLA_OK;
}

static int32_t embedding_run(const evla_host *h, const evla_args *a, int32_t phase,
                             int64_t tile)
{
    (void)phase;
    const evla_node *n = a->node;
    const rows_source *table = a->blob;
    int64_t size = types_bytes(n->out[0].dtype), row = table->width * size;
    int64_t step = ids_per_tile(row), from = tile * step;
    int64_t end = least(types_count(&n->in[1]), from + step);
    for (int64_t k = from; k < end; k++) {
        int64_t id = id_at(a, 1, k);
        char *y = (char *)a->out[0].data[0] + k * row;
        if (id < 0 || id >= n->in[0].shape[0])
            return id_fail(h, n, k, id, n->in[0].shape[0]);
        if (!table->format && !table->layout) {
            if (row) memcpy(y, (const char *)a->in[0].data[0] + id * row, (size_t)row);
            continue;
        }
        const float *there; /* is y: the row is decoded where it is wanted */
        int32_t st =
            rows_read(h, table, a, 0, id, 0, table->width, (float *)(void *)y, &there);
        if (st < 0) return st;
    }
    return EVLA_OK;
}

/* ---- scatter_add ---- */

static int32_t scatter_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    const evla_scatter_add_params *p = n->params;
    int32_t st = types_real(h, n, in, 0, "src");
    if (st < 0 || (st = types_index(h, n, in, 1, "ids")) < 0) return st;
    evla_type head = types_make(in[1].dtype, in[1].rank, in[0].shape);
    if (in[0].rank < in[1].rank || in[0].rank - in[1].rank >= EVLA_MAX_RANK ||
        !types_equal_shape(&head, &in[1]))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: scatter_add: src %s does not begin with ids %s", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    if (p->rows < 0)
        return types_fail(h, EVLA_E_ARG, "%s: scatter_add: rows is %lld; want at least 0",
                          n->label, (long long)p->rows);
    out[0] = types_make(in[0].dtype, 1, &p->rows);
    for (int32_t i = in[1].rank; i < in[0].rank; i++)
        out[0].shape[out[0].rank++] = in[0].shape[i];
    return EVLA_OK;
}

static int32_t scatter_accepts(const evla_host *h, const evla_machine *m,
                               const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || n->in[0].dtype != EVLA_F32) return EVLA_E_MISSING;
    return types_offer(offer, -1, "f32.ascending");
}

/* A tile is some columns of all rows, so that every sum runs over k in order. */
static int32_t scatter_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_work *work)
{
    (void)h, (void)m;
    int64_t after = types_span(n->in[0].shape, n->in[1].rank, n->in[0].rank);
    return types_tiles(work, types_ceil(after, COLUMNS));
}

static int32_t scatter_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)phase;
    const evla_node *n = a->node;
    int64_t after = types_span(n->in[0].shape, n->in[1].rank, n->in[0].rank);
    int64_t rows = n->out[0].shape[0], ids = types_count(&n->in[1]);
    int64_t from = tile * COLUMNS, width = least(after - from, COLUMNS);
    const float *x = (const float *)a->in[0].data[0] + from;
    float *y = (float *)a->out[0].data[0] + from;
    for (int64_t r = 0; r < rows; r++)
        memset(y + r * after, 0, (size_t)width * sizeof *y);
    for (int64_t k = 0; k < ids; k++) {
        int64_t id = id_at(a, 1, k);
        if (id < 0 || id >= rows) return id_fail(h, n, k, id, rows);
        for (int64_t c = 0; c < width; c++)
            y[id * after + c] += x[k * after + c];
    }
    return EVLA_OK;
}

/* ---- one_hot ---- */

static int32_t one_hot_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    const evla_one_hot_params *p = n->params;
    int32_t st = types_index(h, n, in, 0, "ids");
    if (st < 0) return st;
    if (p->classes < 1)
        return types_fail(h, EVLA_E_ARG, "%s: one_hot: classes is %lld; want at least 1",
                          n->label, (long long)p->classes);
    evla_type y = {.dtype = EVLA_F32, .rank = in[0].rank == EVLA_MAX_RANK};
    if ((st = append_ids(h, n, &in[0], &y)) < 0) return st;
    y.shape[y.rank++] = p->classes;
    out[0] = y;
    return EVLA_OK;
}

static int32_t one_hot_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)phase, (void)tile;
    int64_t classes = types_last(&a->node->out[0]), ids = types_count(&a->node->in[0]);
    float *y = a->out[0].data[0];
    for (int64_t i = 0; i < ids * classes; i++)
        y[i] = 0;
    for (int64_t k = 0; k < ids; k++) {
        int64_t id = id_at(a, 0, k);
        if (id < 0 || id >= classes) return id_fail(h, a->node, k, id, classes);
        y[k * classes + id] = 1;
    }
    return EVLA_OK;
}

static int32_t one_hot_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_work *work)
{
    (void)h, (void)m, (void)n;
    return types_tiles(work, 1);
}

/* ---- tables ---- */

#define ROWS(id, ports, from, back, infer_fn, accepts_fn, plan_fn, prepare_fn, run_fn,     \
             layout_fn)                                                                    \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = (ports),                                            \
                             .outputs = "y",                                               \
                             .source = (from),                                             \
                             .infer = (infer_fn),                                          \
                             .grad = (back)};                                              \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = (accepts_fn),                              \
                                     .plan = (plan_fn),                                    \
                                     .prepare = (prepare_fn),                              \
                                     .run = (run_fn),                                      \
                                     .layout = (layout_fn)};
// clang-format off
ROWS(gather, "x ids", "ONNX Gather", back_gather, gather_infer, types_exact, gather_plan, gather_prepare, gather_run, NULL)
ROWS(embedding, "table ids", "torch.nn.Embedding", back_embedding, embedding_infer, embedding_accepts, embedding_plan, embedding_prepare, embedding_run, rows_layout)
ROWS(scatter_add, "src ids", "the derivative of embedding", back_scatter_add, scatter_infer, scatter_accepts, scatter_plan, NULL, scatter_run, NULL)
ROWS(one_hot, "ids", "ONNX OneHot, axis = -1, values 0 and 1", NULL, one_hot_infer, types_exact, one_hot_plan, NULL, one_hot_run, NULL)
// clang-format on
