/*
 * rows_stats.c -- means and deviations of a field over all rows. See rows.h.
 */
#include "../mem.h"
#include "convert.h"
#include "rows_inner.h"
#include <math.h>

static int32_t add_episode(ctx *cx, const rows *r, host *h, const rows_episode *e,
                           const char *field, int64_t n, int64_t *seen, double *mean,
                           double *sum)
{
    const rows_set *s = &r->sets[e->set];
    evla_type t;
    int32_t st = r->frames->type(&h->table, s->file, e->at, field, &t);
    if (st < 0)
        return cx->code ? cx->code
                        : ctx_fail(cx, st, "data: %s: episode %lld has no field %s", s->job,
                                   (long long)e->at, field);
    evla_type one = rows_sample(&t);
    int64_t count = type_count(&one), each = dtype_bytes(cx->reg, t.dtype, 1);
    if (t.rank < 1 || !convert_is_plain(cx->reg, t.dtype) ||
        t.shape[0] != e[1].first - e->first || (n != 1 && n != count))
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "data: %s: episode %lld: %s has %lld rows of %lld numbers; want %lld of "
            "%lld",
            s->job, (long long)e->at, field, (long long)(t.rank < 1 ? 0 : t.shape[0]),
            (long long)count, (long long)(e[1].first - e->first), (long long)n);
    unsigned char *raw = mem_alloc((size_t)(count * each) * (size_t)t.shape[0] + 1);
    if (!raw) return rows_no_room(cx);
    double some[CONVERT_MOST];
    st = r->frames->read(&h->table, s->file, e->at, field, 0, t.shape[0], raw,
                         (uint64_t)(count * each * t.shape[0]));
    for (int64_t i = 0; st >= 0 && i < t.shape[0]; i++)
        for (int64_t from = 0; st >= 0 && from < count; from += CONVERT_MOST) {
            int64_t k = count - from < CONVERT_MOST ? count - from : CONVERT_MOST;
            st = convert_to_f64(&h->table, cx->reg, t.dtype,
                                raw + (i * count + from) * each, k, some);
            for (int64_t a = 0; st >= 0 && a < k; a++) {
                int64_t slot = n == 1 ? 0 : from + a;
                double d = some[a] - mean[slot];
                if (n == 1 || from + a == 0) ++*seen;
                mean[slot] += d / (double)*seen;
                sum[slot] += d * (some[a] - mean[slot]);
            }
        }
    mem_free(raw);
    return st;
}

int32_t rows_statistics(ctx *cx, const rows *r, const char *field, int64_t n, double *mean,
                        double *deviation)
{
    host h;
    int64_t seen = 0;
    int32_t st = 0;
    host_init(&h, cx, NULL);
    for (int64_t i = 0; i < n; i++)
        mean[i] = deviation[i] = 0;
    for (int64_t i = 0; st >= 0 && i < r->n_episodes; i++) {
        arena_place mark = arena_mark(&cx->scratch);
        st = add_episode(cx, r, &h, &r->episodes[i], field, n, &seen, mean, deviation);
        host_done(&h, mark);
        if (st >= 0 && ctx_stopping(cx)) st = ctx_fail(cx, EVLA_E_STOPPED, "stopped");
    }
    for (int64_t i = 0; st >= 0 && i < n; i++) {
        deviation[i] = seen ? sqrt(deviation[i] / (double)seen) : 0;
        if (!isfinite(mean[i]) || !isfinite(deviation[i]))
            st = ctx_fail(
                cx, EVLA_E_RANGE,
                "data: the mean of %s is not finite: the data holds NaN or infinity",
                field);
    }
    return st;
}
