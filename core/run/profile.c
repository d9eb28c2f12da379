/*
 * profile.c -- time, calls, bytes and floating-point operations of every step. See
 * profile.h.
 */
#include "profile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void profile_clear(profile *p)
{
    memset(p->rows, 0, (size_t)p->of->n_steps * sizeof *p->rows);
    p->runs = p->ns = 0;
}

void profile_add(profile_row *r, int64_t ns)
{
    if (!r->calls || ns < r->least_ns) r->least_ns = ns;
    if (ns > r->most_ns) r->most_ns = ns;
    r->calls++;
    r->ns += ns;
}

typedef struct ranked {
    int64_t ns;
    int32_t step;
} ranked;

static int slowest_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->ns != y->ns) return x->ns > y->ns ? -1 : 1;
    return x->step < y->step ? -1 : 1;
}

const char *profile_table(const profile *p, arena *a)
{
    const plan *of = p->of;
    size_t room = 1024 + (size_t)of->n_steps * 220, n = 0;
    char *text = arena_push(a, room, 1);
    ranked *order = arena_push(a, (size_t)of->n_steps + 1, sizeof *order);
    if (!text || !order) return "?";
    int64_t sum = 0;
    for (int32_t i = 0; i < of->n_steps; i++) {
        order[i] = (ranked){p->rows[i].ns, i};
        sum += p->rows[i].ns;
    }
    qsort(order, (size_t)of->n_steps, sizeof *order, slowest_first);
    n += (size_t)snprintf(text, room, "%-28s %-20s %8s %6s %9s %9s %8s %8s\n", "node",
                          "kernel", "calls", "share", "us/call", "least us", "GFLOP/s",
                          "GB/s");
    for (int32_t i = 0; i < of->n_steps && n < room; i++) {
        const plan_step *s = &of->steps[order[i].step];
        const profile_row *r = &p->rows[order[i].step];
        double each = r->calls ? (double)r->ns / (double)r->calls : 0;
        n += (size_t)snprintf(text + n, room - n,
                              "%-28.60s %-20.40s %8lld %5.1f%% %9.2f %9.2f %8.3f %8.3f\n",
                              s->node.label, s->item->name, (long long)r->calls,
                              sum ? 100.0 * (double)r->ns / (double)sum : 0, each * 1e-3,
                              (double)r->least_ns * 1e-3, each > 0 ? s->flops / each : 0,
                              each > 0 ? (double)s->bytes / each : 0);
    }
    if (n < room)
        snprintf(text + n, room - n, "%lld runs, %.2f us each, %.1f%% of it in nodes\n",
                 (long long)p->runs, p->runs ? (double)p->ns * 1e-3 / (double)p->runs : 0,
                 p->ns ? 100.0 * (double)sum / (double)p->ns : 0);
    return text;
}
