/*
 * resize.c -- pictures to another height and width, [...,H,W,C].
 *
 * Along an axis every output is a sum over a window of neighbouring inputs, each times a
 * weight; what the modes differ in is these windows. prepare makes a table of them for
 * either axis. Rows are done first, then columns, as Pillow and PyTorch do it. u8 is
 * rounded after either and computed in integers of 22 bits behind the point, which are
 * Pillow's bits; sums in f32 take their terms in ascending order, each product rounded by
 * itself.
 *
 * A tile is a band of rows of one picture: the rows that it reads go through the first pass
 * into the worker's scratch.
 */
#include "list.h"
#include "types.h"
#include <math.h>
#include <string.h>

enum { MOST = 65536, BAND = 56, POINT = 22 };

/* One axis, and the table that follows it in the blob: start[out], n[out], weight[out *
 * most], where weights are f32, or integers with POINT bits behind the point. */
typedef struct axis {
    int64_t in, out, most; /* extents; inputs that a window may have */
    int32_t mode, antialias;
} axis;

/* ---- windows ---- */

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

static double triangle(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

/* Keys 1981, eq. 4, with his free parameter a. */
static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double antialias_weight(int32_t mode, double x)
{
    return mode == EVLA_RESIZE_AREA       ? box(x)
           : mode == EVLA_RESIZE_BILINEAR ? triangle(x)
                                          : cubic(x, -0.5);
}

/* Half a window's width, in inputs. */
static double antialias_reach(const axis *a)
{
    double reach = a->mode == EVLA_RESIZE_AREA       ? 0.5
                   : a->mode == EVLA_RESIZE_BILINEAR ? 1
                                                     : 2;
    return a->in > a->out ? reach * ((double)a->in / (double)a->out) : reach;
}

static int64_t clamp(int64_t i, int64_t low, int64_t high)
{
    return i < low ? low : i > high ? high : i;
}

static axis axis_of(const evla_resize_params *p, int64_t in, int64_t out)
{
    axis a = {.in = in, .out = out, .mode = p->mode, .antialias = p->antialias};
    a.most = a.antialias                      ? 2 * (int64_t)ceil(antialias_reach(&a)) + 1
             : a.mode == EVLA_RESIZE_BILINEAR ? 2
             : a.mode == EVLA_RESIZE_BICUBIC  ? 4
             : a.mode == EVLA_RESIZE_AREA     ? in / out + 2
                                              : 1;
    if (a.most > in) a.most = in;
    return a;
}

/* The inputs that output i is made of: from *start on, so many. */
static int64_t window(const axis *a, int64_t i, int64_t *start)
{
    int64_t end = 0;
    double scale = (double)a->in / (double)a->out, middle = ((double)i + 0.5) * scale;
    if (a->antialias) {
        double reach = antialias_reach(a);
        *start = clamp((int64_t)(middle - reach + 0.5), 0, a->in);
        end = clamp((int64_t)(middle + reach + 0.5), 0, a->in);
    } else if (a->mode == EVLA_RESIZE_NEAREST) {
        *start = (2 * i + 1) * a->in / (2 * a->out);
    } else if (a->mode == EVLA_RESIZE_NEAREST_FLOOR) {
        *start = i * a->in / a->out;
    } else if (a->mode == EVLA_RESIZE_AREA) {
        *start = i * a->in / a->out;
        end = ((i + 1) * a->in + a->out - 1) / a->out;
    } else { /* pixels are where their middles are */
        int64_t left = (int64_t)floor(middle - 0.5), more = a->mode == EVLA_RESIZE_BICUBIC;
        *start = clamp(left - more, 0, a->in - 1);
        end = clamp(left + 1 + more, 0, a->in - 1) + 1;
    }
    return end > *start ? end - *start : 1;
}

/* Their weights, which add up to 1. */
static void window_weights(const axis *a, int64_t i, int64_t start, int64_t n, double *w)
{
    double scale = (double)a->in / (double)a->out, middle = ((double)i + 0.5) * scale;
    double sum = 0, shrink = scale > 1 ? 1 / scale : 1;
    for (int64_t k = 0; k < n; k++)
        w[k] = 1 / (double)n;
    if (a->antialias) {
        for (int64_t k = 0; k < n; k++)
            sum += w[k] =
                antialias_weight(a->mode, ((double)(k + start) - middle + 0.5) * shrink);
        for (int64_t k = 0; k < n && sum != 0; k++)
            w[k] /= sum;
    } else if (a->mode == EVLA_RESIZE_BILINEAR || a->mode == EVLA_RESIZE_BICUBIC) {
        double left = floor(middle - 0.5), part = middle - 0.5 - left;
        int more = a->mode == EVLA_RESIZE_BICUBIC;
        memset(w, 0, (size_t)n * sizeof *w);
        for (int k = -more; k <= 1 + more; k++) { /* beyond the edge the edge goes on */
            int64_t at = clamp((int64_t)left + k, 0, a->in - 1) - start;
            w[at] += more ? cubic(part - k, -0.75) : triangle(part - k);
        }
    }
}

/* ---- tables ---- */

static int64_t table_bytes(const axis *a)
{
    return (int64_t)sizeof *a + a->out * (2 + a->most) * (int64_t)sizeof(int32_t);
}

static const axis *next_axis(const axis *a)
{
    return (const axis *)(const void *)((const char *)a + (table_bytes(a) + 7) / 8 * 8);
}

static const int32_t *starts(const axis *a) { return (const int32_t *)(a + 1); }
static const int32_t *counts(const axis *a) { return starts(a) + a->out; }
static const void *weights(const axis *a, int64_t i)
{
    return counts(a) + a->out + i * a->most;
}

static int32_t fill(const evla_host *h, const axis *a, int is_whole, void *blob)
{
    double *w = h->scratch(h, (uint64_t)a->most * sizeof *w);
    if (!w) return EVLA_E_NOMEM;
    memcpy(blob, a, sizeof *a);
    int32_t *start = (int32_t *)(void *)((char *)blob + sizeof *a), *n = start + a->out;
    for (int64_t i = 0; i < a->out; i++) {
        int64_t from, count = window(a, i, &from);
        int32_t *whole = n + a->out + i * a->most;
        float *real = (float *)(void *)whole;
        window_weights(a, i, from, count, w);
        start[i] = (int32_t)from;
        n[i] = (int32_t)count;
        for (int64_t k = 0; k < a->most; k++)
            if (!is_whole)
                real[k] = k < count ? (float)w[k] : 0;
            else
                whole[k] = k < count
                               ? (int32_t)(w[k] * (1 << POINT) + (w[k] < 0 ? -0.5 : 0.5))
                               : 0;
    }
    return EVLA_OK;
}

/* ---- the operator ---- */

/* Axes of a node: height, width. */
static void axes(const evla_node *n, const evla_type *x, axis out[2])
{
    const evla_resize_params *p = n->params;
    out[0] = axis_of(p, x->shape[x->rank - 3], p->size.dim[0]);
    out[1] = axis_of(p, x->shape[x->rank - 2], p->size.dim[p->size.rank - 1]);
}

static int fits(int64_t extent) { return extent >= 1 && extent <= MOST; }

static int32_t resize_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    const evla_resize_params *p = n->params;
    int32_t st = types_need(h, n, in, 0, "x");
    if (st < 0) return st;
    if (in[0].dtype != EVLA_U8 && in[0].dtype != EVLA_F32)
        return types_fail(h, EVLA_E_DTYPE, "%s: resize: x is %s; want u8 or f32", n->label,
                          TEXT(h, &in[0]));
    if (in[0].rank < 3 || !fits(in[0].shape[in[0].rank - 3]) ||
        !fits(in[0].shape[in[0].rank - 2]))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: resize: x is %s; want [...,H,W,C], H and W 1 to %d",
                          n->label, TEXT(h, &in[0]), MOST);
    if (p->size.rank < 1 || p->size.rank > 2 || !fits(p->size.dim[0]) ||
        !fits(p->size.dim[p->size.rank - 1]))
        return types_fail(h, EVLA_E_ARG,
                          "%s: resize: size: want {height, width} or {both}, 1 to %d each",
                          n->label, MOST);
    if (p->antialias &&
        (p->mode == EVLA_RESIZE_NEAREST || p->mode == EVLA_RESIZE_NEAREST_FLOOR))
        return types_fail(h, EVLA_E_ARG,
                          "%s: resize: antialias: one nearest pixel knows none; want it "
                          "with bilinear, bicubic or area",
                          n->label);
    out[0] = in[0];
    out[0].shape[in[0].rank - 3] = p->size.dim[0];
    out[0].shape[in[0].rank - 2] = p->size.dim[p->size.rank - 1];
    return EVLA_OK;
}

static double resize_cost(const evla_node *n)
{
    const evla_type *y = &n->out[0];
    axis a[2];
    axes(n, &n->in[0], a);
    double row = (double)types_span(y->shape, y->rank - 2, y->rank);
    return 2 * (double)types_span(y->shape, 0, y->rank - 3) * row *
           ((double)a[0].in * (double)a[1].most + (double)a[0].out * (double)a[0].most);
}

/* ---- the portable kernel ---- */

static int64_t bands(const axis *down) { return (down->out + BAND - 1) / BAND; }

/* Rows [*from, *to) of band `at`, and of x what they read. */
static int64_t band(const axis *down, int64_t at, int64_t *from, int64_t *to,
                    int64_t *first)
{
    int64_t last;
    *from = at * down->out / bands(down);
    *to = (at + 1) * down->out / bands(down);
    window(down, *from, first);
    int64_t n = window(down, *to - 1, &last);
    return last + n - *first;
}

static int32_t resize_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, n->in[0].dtype == EVLA_U8 ? "u8.point22" : "f32.windows");
}

static int32_t resize_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m;
    const evla_type *y = &n->out[0];
    int64_t most = 0, from, to, first, bytes = types_bytes(y->dtype);
    axis a[2];
    axes(n, &n->in[0], a);
    for (int64_t i = 0; i < bands(&a[0]); i++) {
        int64_t rows = band(&a[0], i, &from, &to, &first);
        if (rows > most) most = rows;
    }
    work->worker_bytes =
        (uint64_t)(most * types_span(y->shape, y->rank - 2, y->rank) * bytes);
    work->blob_bytes = (uint64_t)(table_bytes(&a[0]) + 8 + table_bytes(&a[1]));
    return types_tiles(
        work, types_count(y) ? types_span(y->shape, 0, y->rank - 3) * bands(&a[0]) : 0);
}

static int32_t resize_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    axis a[2];
    axes(n, &n->in[0], a);
    int is_whole = n->in[0].dtype == EVLA_U8;
    int32_t st = fill(h, &a[0], is_whole, blob);
    if (st < 0) return st;
    return fill(h, &a[1], is_whole, (char *)blob + (table_bytes(&a[0]) + 7) / 8 * 8);
}

static uint8_t settle(int32_t sum)
{
    sum = (sum + (1 << (POINT - 1))) >> POINT;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* y[i] = sum over k of x[k * step + i] w[k], i < n */
static void mix_u8(const uint8_t *x, int64_t step, const int32_t *w, int64_t taps,
                   int64_t n, uint8_t *y)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < taps; k++)
            sum += x[k * step + i] * w[k];
        y[i] = settle(sum);
    }
}

static void mix_f32(const float *x, int64_t step, const float *w, int64_t taps, int64_t n,
                    float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++)
            sum += x[k * step + i] * w[k];
        y[i] = sum;
    }
}

static void mix(int32_t dtype, const void *x, int64_t at, int64_t step, const void *w,
                int64_t taps, int64_t n, void *y, int64_t to)
{
    if (dtype == EVLA_U8)
        mix_u8((const uint8_t *)x + at, step, w, taps, n, (uint8_t *)y + to);
    else
        mix_f32((const float *)x + at, step, w, taps, n, (float *)y + to);
}

static int32_t resize_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    const axis *down = a->blob, *across = next_axis(down);
    const evla_type *x = &a->node->in[0];
    int64_t from, to, first, c = x->shape[x->rank - 1], row = across->out * c;
    int64_t image = tile / bands(down);
    int64_t rows = band(down, tile % bands(down), &from, &to, &first);
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = (image * down->in + first + r) * across->in * c;
        for (int64_t i = 0; i < across->out; i++)
            mix(x->dtype, a->in[0].data[0], at + starts(across)[i] * c, c,
                weights(across, i), counts(across)[i], c, a->scratch, r * row + i * c);
    }
    for (int64_t i = from; i < to; i++)
        mix(x->dtype, a->scratch, (starts(down)[i] - first) * row, row, weights(down, i),
            counts(down)[i], row, a->out[0].data[0], (image * down->out + i) * row);
    return EVLA_OK;
}

const evla_op resize_op = {.size = sizeof resize_op,
                           .inputs = "x",
                           .outputs = "y",
                           .source =
                               "Pillow's Image.resize; torch.nn.functional.interpolate",
                           .infer = resize_infer,
                           .cost = resize_cost};
const evla_kernel resize_kernel = {.size = sizeof resize_kernel,
                                   .op = "resize",
                                   .accepts = resize_accepts,
                                   .plan = resize_plan,
                                   .prepare = resize_prepare,
                                   .run = resize_run};
