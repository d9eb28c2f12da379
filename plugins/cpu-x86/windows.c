/*
 * windows.c -- the windows of resize: as plugins/ops has them, to the bit. What they mean
 * is in evla/ops.h.
 */
#include "windows.h"
#include <math.h>
#include <string.h>

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double hat(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static double smooth(int32_t mode, double x)
{
    return mode == EVLA_RESIZE_AREA       ? x > -0.5 && x <= 0.5
           : mode == EVLA_RESIZE_BILINEAR ? hat(x)
                                          : cubic(x, -0.5);
}

/* Half a window's width with antialias, in inputs. */
static double reach_of(const windows *a)
{
    double reach = a->mode == EVLA_RESIZE_AREA       ? 0.5
                   : a->mode == EVLA_RESIZE_BILINEAR ? 1
                                                     : 2;
    return a->in > a->out ? reach * ((double)a->in / (double)a->out) : reach;
}

static int64_t within(int64_t i, int64_t most) { return i < 0 ? 0 : i > most ? most : i; }

windows windows_of(const evla_resize_params *p, int64_t in, int64_t out)
{
    windows a = {.in = in, .out = out, .mode = p->mode, .antialias = p->antialias};
    a.most = a.antialias                      ? 2 * (int64_t)ceil(reach_of(&a)) + 1
             : a.mode == EVLA_RESIZE_BILINEAR ? 2
             : a.mode == EVLA_RESIZE_AREA     ? in / out + 2
                                              : 4;
    a.most = (a.most < in ? a.most : in) + WINDOWS_STEP - 1;
    a.most -= a.most % WINDOWS_STEP;
    return a;
}

int64_t windows_at(const windows *a, int64_t i, int64_t *start)
{
    int64_t end = 0, more = a->mode == EVLA_RESIZE_BICUBIC;
    double middle = ((double)i + 0.5) * ((double)a->in / (double)a->out);
    if (a->antialias) {
        double reach = reach_of(a);
        *start = within((int64_t)(middle - reach + 0.5), a->in);
        end = within((int64_t)(middle + reach + 0.5), a->in);
    } else if (a->mode == EVLA_RESIZE_NEAREST) {
        *start = (2 * i + 1) * a->in / (2 * a->out);
    } else if (a->mode == EVLA_RESIZE_NEAREST_FLOOR) {
        *start = i * a->in / a->out;
    } else if (a->mode == EVLA_RESIZE_AREA) {
        *start = i * a->in / a->out;
        end = ((i + 1) * a->in + a->out - 1) / a->out;
    } else {
        int64_t left = (int64_t)floor(middle - 0.5);
        *start = within(left - more, a->in - 1);
        end = within(left + 1 + more, a->in - 1) + 1;
    }
    return end > *start ? end - *start : 1;
}

static void weights_at(const windows *a, int64_t i, int64_t start, int64_t n, double *w)
{
    double scale = (double)a->in / (double)a->out, middle = ((double)i + 0.5) * scale;
    double sum = 0, shrink = scale > 1 ? 1 / scale : 1;
    int more = a->mode == EVLA_RESIZE_BICUBIC;
    if (a->antialias) {
        for (int64_t k = 0; k < n; k++)
            sum += w[k] = smooth(a->mode, ((double)(k + start) - middle + 0.5) * shrink);
        for (int64_t k = 0; k < n && sum != 0; k++)
            w[k] /= sum;
    } else if (a->mode == EVLA_RESIZE_BILINEAR || more) {
        double left = floor(middle - 0.5), part = middle - 0.5 - left;
        memset(w, 0, (size_t)n * sizeof *w);
        for (int k = -more; k <= 1 + more; k++)
            w[within((int64_t)left + k, a->in - 1) - start] +=
                more ? cubic(part - k, -0.75) : hat(part - k);
    } else {
        for (int64_t k = 0; k < n; k++)
            w[k] = 1 / (double)n;
    }
}

int64_t windows_bytes(const windows *a)
{
    int64_t bytes = (int64_t)sizeof *a + a->out * (2 + a->most) * (int64_t)sizeof(int32_t);
    return (bytes + 63) / 64 * 64;
}

int32_t windows_fill(const evla_host *h, const windows *a, int is_whole, void *blob)
{
    double *w = h->scratch(h, (uint64_t)a->most * sizeof *w);
    if (!w) return EVLA_E_NOMEM;
    memset(blob, 0, (size_t)windows_bytes(a));
    memcpy(blob, a, sizeof *a);
    int32_t *start = (int32_t *)(void *)((char *)blob + sizeof *a), *n = start + a->out;
    for (int64_t i = 0; i < a->out; i++) {
        int64_t from, count = windows_at(a, i, &from);
        int32_t *whole = n + a->out + i * a->most;
        float *real = (float *)(void *)whole;
        weights_at(a, i, from, count, w);
        start[i] = (int32_t)from;
        n[i] = (int32_t)count;
        for (int64_t k = 0; k < count; k++)
            if (is_whole)
                whole[k] = (int32_t)(w[k] * (1 << WINDOWS_POINT) + (w[k] < 0 ? -0.5 : 0.5));
            else
                real[k] = (float)w[k];
    }
    return EVLA_OK;
}
