/*
 * conv.c -- conv2d, max_pool2d and avg_pool2d on images in [N,C,H,W].
 *
 * A tile is one row of output pixels of one image. conv2d copies the patch under a pixel
 * (channels, then rows, then columns; zeros outside) into the worker's scratch and takes
 * dot products with the rows of w, in the order of order.h.
 */
#include "list.h"
#include "order.h"
#include "types.h"
#include <math.h>

/* One window: what conv2d and the pools have in common, {height, width} each. */
typedef struct window {
    int64_t kernel[2], stride[2], before[2], after[2], dilation[2], in[2], out[2];
} window;

static int pair(const evla_shape *s, const int64_t preset[2], int64_t out[2])
{
    out[0] = s->rank ? s->dim[0] : preset[0];
    out[1] = s->rank ? s->dim[s->rank - 1] : preset[1];
    return s->rank <= 2;
}

static int sides(const evla_shape *s, window *w)
{
    for (int i = 0; i < 2; i++) {
        w->before[i] = s->rank == 0 ? 0 : s->rank == 1 ? s->dim[0] : s->dim[i];
        w->after[i] = s->rank == 4 ? s->dim[2 + i] : w->before[i];
    }
    return s->rank != 3 && s->rank <= 4;
}

/* Fills w from the parameters and x; what is wrong with them, or NULL. */
static const char *window_fill(window *w, const evla_type *x, const evla_shape *kernel,
                               const int64_t *typed, const evla_shape *stride,
                               const evla_shape *padding, const evla_shape *dilation)
{
    static const int64_t one[2] = {1, 1}, none[2] = {0, 0};
    *w = (window){.kernel = {0}};
    static const evla_shape empty = {.rank = 0};
    if (!pair(kernel, typed ? typed : none, w->kernel))
        return "kernel_size: want 1 or 2 entries";
    if (!pair(stride, dilation ? one : w->kernel, w->stride))
        return "stride: want 1 or 2 entries";
    if (!pair(dilation ? dilation : &empty, one, w->dilation))
        return "dilation: want 1 or 2 entries";
    if (!sides(padding, w)) return "padding: want 1, 2 or 4 entries";
    for (int i = 0; i < 2; i++) {
        if (w->kernel[i] > INT32_MAX || w->stride[i] > INT32_MAX ||
            w->dilation[i] > INT32_MAX || w->before[i] > INT32_MAX ||
            w->after[i] > INT32_MAX)
            return "kernel_size, stride, padding and dilation: want at most 2147483647";
        if (w->kernel[i] < 1) return "kernel_size: want at least 1";
        if (w->stride[i] < 1) return "stride: want at least 1";
        if (w->dilation[i] < 1) return "dilation: want at least 1";
        if (w->before[i] < 0 || w->after[i] < 0) return "padding: want at least 0";
        w->in[i] = x->shape[2 + i];
        int64_t room =
            w->in[i] + w->before[i] + w->after[i] - w->dilation[i] * (w->kernel[i] - 1) - 1;
        w->out[i] = room < 0 ? 0 : room / w->stride[i] + 1;
    }
    return NULL;
}

static int32_t image(const evla_host *h, const evla_node *n, const evla_type *in)
{
    int32_t st = types_real(h, n, in, 0, "x");
    if (st < 0 || in[0].rank == 4) return st;
    return types_fail(h, EVLA_E_SHAPE, "%s: %s: x is %s; want [N,C,H,W]", n->label, n->op,
                      TEXT(h, &in[0]));
}

static int32_t window_fail(const evla_host *h, const evla_node *n, const evla_type *x,
                           const window *w, const char *wrong)
{
    if (wrong) return types_fail(h, EVLA_E_ARG, "%s: %s: %s", n->label, n->op, wrong);
    if (w->out[0] && w->out[1]) return EVLA_OK;
    return types_fail(h, EVLA_E_SHAPE,
                      "%s: %s: a kernel of %lld x %lld does not fit into x %s", n->label,
                      n->op, (long long)w->kernel[0], (long long)w->kernel[1], TEXT(h, x));
}

static int32_t image_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

/* ---- conv2d ---- */

static const char *conv_window(const evla_node *n, const evla_type *in, window *w)
{
    const evla_conv2d_params *p = n->params;
    const int64_t *typed =
        types_present(n, in, 1) && in[1].rank == 4 ? in[1].shape + 2 : NULL;
    return window_fill(w, &in[0], &p->kernel_size, typed, &p->stride, &p->padding,
                       &p->dilation);
}

static int32_t conv_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    const evla_conv2d_params *p = n->params;
    window w;
    int32_t st = image(h, n, in);
    if (st < 0) return st;
    if ((st = window_fail(h, n, &in[0], &w, conv_window(n, in, &w))) < 0) return st;
    int64_t c = in[0].shape[1], o = p->out;
    if (!o && types_present(n, in, 1) && in[1].rank == 4) o = in[1].shape[0];
    if (o < 1 || p->groups < 1 || c % p->groups || o % p->groups)
        return types_fail(
            h, EVLA_E_ARG,
            "%s: conv2d: out is %lld, groups %lld, x %s; groups must divide both "
            "counts of channels",
            n->label, (long long)o, (long long)p->groups, TEXT(h, &in[0]));
    int64_t weight[4] = {o, c / p->groups, w.kernel[0], w.kernel[1]};
    if ((st = types_weight(h, n, in, 1, "w", 4, weight)) < 0) return st;
    if (types_present(n, in, 2) && (st = types_weight(h, n, in, 2, "b", 1, weight)) < 0)
        return st;
    out[0] = in[0];
    out[0].shape[1] = o;
    out[0].shape[2] = w.out[0];
    out[0].shape[3] = w.out[1];
    return EVLA_OK;
}

static double conv_cost(const evla_node *n)
{
    return 2.0 * (double)types_count(&n->out[0]) *
           (double)types_span(n->in[1].shape, 1, n->in[1].rank);
}

static int32_t conv_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    work->worker_bytes = (uint64_t)types_span(n->in[1].shape, 1, 4) * sizeof(float);
    return types_tiles(work, n->out[0].shape[0] * n->out[0].shape[2]);
}

/* The patch under output pixel (oy, ox), `channels` planes of x. */
static void patch(const window *w, const float *x, int64_t channels, int64_t oy, int64_t ox,
                  float *to)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t ky = 0; ky < w->kernel[0]; ky++) {
            int64_t iy = oy * w->stride[0] + ky * w->dilation[0] - w->before[0];
            for (int64_t kx = 0; kx < w->kernel[1]; kx++) {
                int64_t ix = ox * w->stride[1] + kx * w->dilation[1] - w->before[1];
                int inside = iy >= 0 && iy < w->in[0] && ix >= 0 && ix < w->in[1];
                *to++ = inside ? x[(c * w->in[0] + iy) * w->in[1] + ix] : 0;
            }
        }
}

static int32_t conv_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const evla_conv2d_params *p = n->params;
    window w;
    conv_window(n, n->in, &w);
    int64_t down = n->out[0].shape[2], area = down * w.out[1];
    int64_t image_at = tile / down, oy = tile % down;
    int64_t planes = n->in[1].shape[1], k = planes * w.kernel[0] * w.kernel[1];
    int64_t outs = n->out[0].shape[1], each = outs / p->groups;
    const float *x =
        (const float *)a->in[0].data[0] + image_at * n->in[0].shape[1] * w.in[0] * w.in[1];
    const float *weight = a->in[1].data[0];
    const float *b = types_present(n, n->in, 2) ? a->in[2].data[0] : NULL;
    float *y = (float *)a->out[0].data[0] + image_at * outs * area + oy * w.out[1];
    for (int64_t ox = 0; ox < w.out[1]; ox++)
        for (int64_t g = 0; g < p->groups; g++) {
            patch(&w, x + g * planes * w.in[0] * w.in[1], planes, oy, ox, a->scratch);
            for (int64_t o = g * each, end = o + each; o < end;) {
                float sums[4];
                int64_t m = end - o < 4 ? 1 : 4;
                if (m == 4)
                    order_dot4(a->scratch, weight + o * k, k, k, sums);
                else
                    sums[0] = order_dot(a->scratch, weight + o * k, k);
                for (int64_t i = 0; i < m; i++, o++)
                    y[o * area + ox] = b ? sums[i] + b[o] : sums[i];
            }
        }
    return EVLA_OK;
}

const evla_op conv2d_op = {.size = sizeof conv2d_op,
                           .inputs = "x w b?",
                           .outputs = "y",
                           .source = "torch.nn.Conv2d",
                           .infer = conv_infer,
                           .cost = conv_cost};
const evla_kernel conv2d_kernel = {.size = sizeof conv2d_kernel,
                                   .op = "conv2d",
                                   .accepts = image_accepts,
                                   .plan = conv_plan,
                                   .run = conv_run};

/* ---- pools ---- */

static const char *pool_window(const evla_node *n, const evla_type *in, window *w)
{
    const evla_pool2d_params *p = n->params;
    const char *wrong =
        window_fill(w, &in[0], &p->kernel_size, NULL, &p->stride, &p->padding, NULL);
    for (int i = 0; !wrong && i < 2; i++)
        if (w->before[i] > w->kernel[i] / 2 || w->after[i] > w->kernel[i] / 2)
            return "padding: want at most half of kernel_size";
    return wrong;
}

static int32_t pool_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    window w;
    int32_t st = image(h, n, in);
    if (st < 0) return st;
    if ((st = window_fail(h, n, &in[0], &w, pool_window(n, in, &w))) < 0) return st;
    out[0] = in[0];
    out[0].shape[2] = w.out[0];
    out[0].shape[3] = w.out[1];
    return EVLA_OK;
}

static double pool_cost(const evla_node *n)
{
    window w;
    pool_window(n, n->in, &w);
    return (double)types_count(&n->out[0]) * (double)(w.kernel[0] * w.kernel[1]);
}

static int32_t pool_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    window w;
    pool_window(n, n->in, &w);
    work->worker_bytes = (uint64_t)(w.kernel[0] * w.kernel[1]) * sizeof(float);
    return types_tiles(work, n->out[0].shape[0] * n->out[0].shape[1] * w.out[0]);
}

/* The pixels under a window that exist, row by row. */
static int64_t pixels(const window *w, const float *x, int64_t oy, int64_t ox, float *to)
{
    int64_t m = 0;
    for (int64_t ky = 0; ky < w->kernel[0]; ky++) {
        int64_t iy = oy * w->stride[0] + ky - w->before[0];
        for (int64_t kx = 0; kx < w->kernel[1]; kx++) {
            int64_t ix = ox * w->stride[1] + kx - w->before[1];
            if (iy >= 0 && iy < w->in[0] && ix >= 0 && ix < w->in[1])
                to[m++] = x[iy * w->in[1] + ix];
        }
    }
    return m;
}

static int32_t pool_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_pool2d_params *p = a->node->params;
    window w;
    pool_window(a->node, a->node->in, &w);
    int64_t down = a->node->out[0].shape[2], plane = tile / down, oy = tile % down;
    const float *x = (const float *)a->in[0].data[0] + plane * w.in[0] * w.in[1];
    float *y = (float *)a->out[0].data[0] + (plane * down + oy) * w.out[1];
    float *e = a->scratch;
    for (int64_t ox = 0; ox < w.out[1]; ox++) {
        int64_t m = pixels(&w, x, oy, ox, e);
        if (a->node->op[0] == 'm') {
            float most = -INFINITY;
            for (int64_t i = 0; i < m; i++)
                most = e[i] != e[i] || e[i] > most ? e[i] : most;
            y[ox] = most;
        } else {
            int64_t all = w.kernel[0] * w.kernel[1];
            y[ox] = order_sum(e, m) / (float)(p->count_include_pad ? all : m);
        }
    }
    return EVLA_OK;
}

#define POOL(id, from)                                                                     \
    const evla_op id##_op = {.size = sizeof(evla_op),                                      \
                             .inputs = "x",                                                \
                             .outputs = "y",                                               \
                             .source = (from),                                             \
                             .infer = pool_infer,                                          \
                             .cost = pool_cost};                                           \
    const evla_kernel id##_kernel = {.size = sizeof(evla_kernel),                          \
                                     .op = #id,                                            \
                                     .accepts = image_accepts,                             \
                                     .plan = pool_plan,                                    \
                                     .run = pool_run};
POOL(max_pool2d, "torch.nn.MaxPool2d")
POOL(avg_pool2d, "torch.nn.AvgPool2d")
