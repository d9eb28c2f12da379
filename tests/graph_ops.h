/*
 * graph_ops.h -- a handful of operators for tests of graphs, plans and sessions, as a table
 * that a registry takes without a file.
 *
 *   t_add    a b -> y    element-wise, b may broadcast as a scalar; works in place
 *   t_relu   x -> y      element-wise; works in place
 *   t_dot    x w b? -> y y = x w^T + b; takes t_add and t_relu as a tail; types w and b
 *   t_stat   x -> y      two phases over shared and worker scratch: sum of each row, then
 * their sum t_two    x -> lo hi  x - 1 and x + 1 t_cat    xs* -> y    sum of all t_store  s
 * x -> s2   writes a state t_fail   x -> y      tile i fails when bit i of `mask` is set;
 * counts its runs t_none   x -> y      has no kernel t_iota   -> y        0, 1, 2, ... of a
 * shape t_needs  x n -> y    x repeated: n must be a known constant
 */
#ifndef EVLA_TESTS_GRAPH_OPS_H
#define EVLA_TESTS_GRAPH_OPS_H
#include "evla/abi.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct t_fail_params {
    int64_t mask;
    int64_t tiles;
} t_fail_params;

static int64_t t_count(const evla_type *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static int32_t t_refuse(const evla_host *h, const evla_node *n, int32_t code,
                        const char *what)
{
    char text[200];
    snprintf(text, sizeof text, "%s: %s", n->label, what);
    return h->fail(h, code, text);
}

static int32_t t_same_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    for (int32_t i = 0; i < n->n_in; i++) {
        int untyped = n->in[i].rank < 0 && n->in[i].dtype;
        if (n->in[i].dtype != EVLA_F32 || (untyped && i == 0))
            return t_refuse(h, n, EVLA_E_DTYPE, "x must be f32");
        if (i && in[i].rank >= 0 && t_count(&in[i]) != t_count(&in[0]) &&
            (in[i].rank || strcmp(n->op, "t_add") != 0))
            return t_refuse(h, n, EVLA_E_SHAPE, "a and b differ");
    }
    for (int32_t i = 0; i < n->n_out; i++)
        out[i] = in[0];
    return 0;
}

static int32_t t_dot_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    const int64_t *width = n->params;
    if (in[0].rank != 2 || in[0].dtype != EVLA_F32 || in[1].dtype != EVLA_F32)
        return t_refuse(h, n, EVLA_E_SHAPE, "x must be f32[M,K]");
    if (in[1].rank < 0) in[1] = (evla_type){EVLA_F32, 2, {*width, in[0].shape[1]}};
    if (in[1].rank != 2 || in[1].shape[1] != in[0].shape[1])
        return t_refuse(h, n, EVLA_E_SHAPE, "w must be f32[N,K]");
    if (in[2].rank >= 0 && (in[2].dtype != EVLA_F32 || t_count(&in[2]) != in[1].shape[0]))
        return t_refuse(h, n, EVLA_E_SHAPE, "b must be f32[N]");
    if (in[2].dtype && in[2].rank < 0) in[2] = (evla_type){EVLA_F32, 1, {in[1].shape[0]}};
    out[0] = (evla_type){EVLA_F32, 2, {in[0].shape[0], in[1].shape[0]}};
    return 0;
}

static double t_dot_cost(const evla_node *n)
{
    return 2.0 * (double)t_count(&n->in[0]) * (double)n->in[1].shape[0];
}

static int32_t t_stat_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    if (in[0].rank < 1) return t_refuse(h, n, EVLA_E_SHAPE, "x must have rows");
    out[0] = (evla_type){.dtype = EVLA_F32};
    return 0;
}

static int32_t t_iota_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    (void)h, (void)in;
    const evla_shape *s = n->params;
    out[0] = (evla_type){.dtype = EVLA_F32, .rank = s->rank};
    memcpy(out[0].shape, s->dim, sizeof s->dim);
    return 0;
}

static int32_t t_needs_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    if (!n->value[1] || in[1].dtype != EVLA_F32 || t_count(&in[1]) < 1)
        return t_refuse(h, n, EVLA_E_ARG, "n must be a constant");
    float many = *(const float *)n->value[1];
    if (in[0].dtype != EVLA_F32 || !(many >= 0 && many < 1000))
        return t_refuse(h, n, EVLA_E_RANGE, "want 0 to 1000 times");
    out[0] = in[0];
    out[0].rank = 1;
    out[0].shape[0] = (int64_t)many * t_count(&in[0]);
    return 0;
}

static int32_t t_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_offer *offer)
{
    (void)h, (void)m, (void)n;
    *offer = (evla_offer){1, -1, "plain"};
    return 0;
}

static int32_t t_accepts_in_place(const evla_host *h, const evla_machine *m,
                                  const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m, (void)n;
    *offer = (evla_offer){1, 0, "plain"};
    return 0;
}

/* Rows of up to 16 numbers, so that small tensors have several tiles. */
enum { T_TILE = 16 };
static int32_t t_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                      evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = (t_count(&n->out[0]) + T_TILE - 1) / T_TILE;
    return 0;
}

static int32_t t_stat_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 2;
    work->tiles[0] = n->in[0].shape[0];
    work->tiles[1] = 1;
    work->shared_bytes = (uint64_t)n->in[0].shape[0] * sizeof(double);
    work->worker_bytes = 100;
    return 0;
}

static int32_t t_dot_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                          evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = n->out[0].shape[0];
    return 0;
}

static int32_t t_fail_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = ((const t_fail_params *)n->params)->tiles;
    return 0;
}

#define T_ROWS(a, i, n)                                                                    \
    int64_t n = t_count(&(a)->node->out[0]), i = tile * T_TILE;                            \
    if (n > i + T_TILE) n = i + T_TILE

static int32_t t_add_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    const float *x = a->in[0].data[0], *b = a->in[1].data[0];
    float *y = a->out[0].data[0];
    T_ROWS(a, i, n);
    for (; i < n; i++)
        y[i] = x[i] + b[a->node->in[1].rank ? i : 0];
    return 0;
}

static int32_t t_relu_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    const float *x = a->in[0].data[0];
    float *y = a->out[0].data[0];
    T_ROWS(a, i, n);
    for (; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
    return 0;
}

static int32_t t_dot_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    int64_t k_n = a->node->in[1].shape[1], n = a->node->in[1].shape[0];
    const float *x = (const float *)a->in[0].data[0] + tile * k_n, *w = a->in[1].data[0];
    const float *b = a->node->n_in > 2 ? a->in[2].data[0] : NULL;
    float *y = (float *)a->out[0].data[0] + tile * n;
    for (int64_t o = 0; o < n; o++) {
        float sum = 0;
        for (int64_t k = 0; k < k_n; k++)
            sum += x[k] * w[o * k_n + k];
        if (b) sum += b[o];
        for (int32_t t = 0; t < a->node->n_tail; t++) {
            const evla_tail *tail = &a->node->tail[t];
            if (!strcmp(tail->op, "t_relu"))
                sum = sum > 0 ? sum : 0;
            else {
                const float *other = a->in[tail->other].data[0];
                float v = other[a->node->in[tail->other].rank ? tile * n + o : 0];
                sum = tail->is_rhs ? v + sum : sum + v;
            }
        }
        y[o] = sum;
    }
    return 0;
}

static int32_t t_stat_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h;
    int64_t rows = a->node->in[0].shape[0],
            cols = rows ? t_count(&a->node->in[0]) / rows : 0;
    double *sums = a->shared;
    memset(a->scratch, 0xee, 100); /* whoever shares it would notice */
    if (phase == 0) {
        sums[tile] = 0;
        for (int64_t i = 0; i < cols; i++)
            sums[tile] += ((const float *)a->in[0].data[0])[tile * cols + i];
        return 0;
    }
    double all = 0;
    for (int64_t i = 0; i < rows; i++)
        all += sums[i];
    *(float *)a->out[0].data[0] = (float)all;
    return 0;
}

static int32_t t_two_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    const float *x = a->in[0].data[0];
    T_ROWS(a, i, n);
    for (; i < n; i++) {
        ((float *)a->out[0].data[0])[i] = x[i] - 1;
        ((float *)a->out[1].data[0])[i] = x[i] + 1;
    }
    return 0;
}

static int32_t t_cat_run(const evla_host *h, const evla_args *a, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    T_ROWS(a, i, n);
    for (; i < n; i++) {
        float sum = 0;
        for (int32_t k = 0; k < a->node->n_in; k++)
            sum += ((const float *)a->in[k].data[0])[i];
        ((float *)a->out[0].data[0])[i] = sum;
    }
    return 0;
}

static int32_t t_store_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)h, (void)phase;
    T_ROWS(a, i, n);
    memmove((float *)a->out[0].data[0] + i, (const float *)a->in[1].data[0] + i,
            (size_t)(n - i) * sizeof(float));
    return 0;
}

static int32_t t_fail_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)phase;
    const t_fail_params *p = a->node->params;
    if (tile == 0)
        memcpy(a->out[0].data[0], a->in[0].data[0],
               (size_t)t_count(&a->node->in[0]) * sizeof(float));
    if (p->mask >> tile & 1) {
        char text[80];
        snprintf(text, sizeof text, "tile %d of phase %d is told to fail", (int)tile,
                 phase);
        return h->fail(h, EVLA_E_RANGE, text);
    }
    return 0;
}

static int32_t t_iota_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    T_ROWS(a, i, n);
    for (; i < n; i++)
        ((float *)a->out[0].data[0])[i] = (float)i;
    return 0;
}

static int32_t t_needs_run(const evla_host *h, const evla_args *a, int32_t phase,
                           int64_t tile)
{
    (void)h, (void)phase;
    int64_t of = t_count(&a->node->in[0]);
    T_ROWS(a, i, n);
    for (; i < n; i++)
        ((float *)a->out[0].data[0])[i] = ((const float *)a->in[0].data[0])[i % of];
    return 0;
}

static const evla_param t_dot_params[] = {
    {.name = "out", .doc = "width", .preset = "0", .type = EVLA_P_INT, .max = 1e9}};
static const evla_param t_iota_params[] = {
    {.name = "shape", .doc = "of y", .type = EVLA_P_SHAPE}};
static const evla_param t_fail_table[] = {
    {.name = "mask", .doc = "tiles that fail", .preset = "0", .type = EVLA_P_INT},
    {.name = "tiles",
     .doc = "how many",
     .preset = "1",
     .type = EVLA_P_INT,
     .offset = offsetof(t_fail_params, tiles)}};

#define T_OP(id, ...)                                                                      \
    static const evla_op id##_op = {.size = sizeof id##_op, .source = "a test", __VA_ARGS__}
#define T_KERNEL(id, ...)                                                                  \
    static const evla_kernel id##_kernel = {                                               \
        .size = sizeof id##_kernel, .op = #id, .run = id##_run, __VA_ARGS__}
T_OP(t_add, .inputs = "a b", .outputs = "y", .infer = t_same_infer, .elementwise = 1);
T_OP(t_relu, .inputs = "x", .outputs = "y", .infer = t_same_infer, .elementwise = 1);
T_OP(t_dot, .inputs = "x w b?", .outputs = "y", .infer = t_dot_infer, .cost = t_dot_cost);
T_OP(t_stat, .inputs = "x", .outputs = "y", .infer = t_stat_infer);
T_OP(t_two, .inputs = "x", .outputs = "lo hi", .infer = t_same_infer);
T_OP(t_cat, .inputs = "xs*", .outputs = "y", .infer = t_same_infer);
T_OP(t_store, .inputs = "s x", .outputs = "s2", .infer = t_same_infer,
     .effect = EVLA_WRITES);
T_OP(t_fail, .inputs = "x", .outputs = "y", .infer = t_same_infer);
T_OP(t_none, .inputs = "x", .outputs = "y", .infer = t_same_infer);
T_OP(t_iota, .inputs = "", .outputs = "y", .infer = t_iota_infer);
T_OP(t_needs, .inputs = "x n", .outputs = "y", .infer = t_needs_infer);
T_KERNEL(t_add, .accepts = t_accepts_in_place, .plan = t_plan);
T_KERNEL(t_relu, .accepts = t_accepts_in_place, .plan = t_plan);
T_KERNEL(t_dot, .accepts = t_accepts, .plan = t_dot_plan, .max_tail = 3,
         .tail_ops = "t_add t_relu");
T_KERNEL(t_stat, .accepts = t_accepts, .plan = t_stat_plan);
T_KERNEL(t_two, .accepts = t_accepts, .plan = t_plan);
T_KERNEL(t_cat, .accepts = t_accepts, .plan = t_plan);
T_KERNEL(t_store, .accepts = t_accepts, .plan = t_plan);
T_KERNEL(t_fail, .accepts = t_accepts, .plan = t_fail_plan);
T_KERNEL(t_iota, .accepts = t_accepts, .plan = t_plan);
T_KERNEL(t_needs, .accepts = t_accepts, .plan = t_plan);

#define T_ITEM(id)                                                                         \
    {                                                                                      \
        EVLA_OP, #id, &id##_op, "a test", NULL, 0, 0                                       \
    }
#define T_CODE(id)                                                                         \
    {                                                                                      \
        EVLA_KERNEL, #id ".plain", &id##_kernel, NULL, NULL, 0, 0                          \
    }
static const evla_item t_items[] = {
    T_ITEM(t_add),
    T_ITEM(t_relu),
    {EVLA_OP, "t_dot", &t_dot_op, "a test", t_dot_params, 1, sizeof(int64_t)},
    T_ITEM(t_stat),
    T_ITEM(t_two),
    T_ITEM(t_cat),
    T_ITEM(t_store),
    {EVLA_OP, "t_fail", &t_fail_op, "a test", t_fail_table, 2, sizeof(t_fail_params)},
    T_ITEM(t_none),
    {EVLA_OP, "t_iota", &t_iota_op, "a test", t_iota_params, 1, sizeof(evla_shape)},
    T_ITEM(t_needs),
    T_CODE(t_add),
    T_CODE(t_relu),
    T_CODE(t_dot),
    T_CODE(t_stat),
    T_CODE(t_two),
    T_CODE(t_cat),
    T_CODE(t_store),
    T_CODE(t_fail),
    T_CODE(t_iota),
    T_CODE(t_needs),
};
static const evla_plugin t_plugin = {
    .magic = EVLA_MAGIC,
    .size = sizeof t_plugin,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
    .id = "test.graph",
    .version = "0",
    .license = "Apache-2.0",
    .items = t_items,
    .n_items = sizeof t_items / sizeof *t_items,
};

#endif
