/*
 * cache.c -- a policy over the rows of a sequence. See cache.h.
 */
#include "cache.h"
#include "../host.h"
#include "../mem.h"

/* A refusal without a sentence gets one. */
static int32_t told(ctx *cx, const cache *c, int32_t st)
{
    if (st < 0 && !cx->code)
        ctx_fail(cx, st, "cache %s: %s", c->item->name, ctx_code_text(st));
    return st;
}

static int32_t check_plan(ctx *cx, const cache *c, const evla_cache_plan *p,
                          int32_t context)
{
    const evla_cache *policy = c->item->table;
    if (p->wants != EVLA_CACHE_NOTHING || p->lists != EVLA_CACHE_SAME)
        return ctx_fail(cx, EVLA_E_PLUGIN,
                        "cache %s: wants %s; this core asks policies that want nothing for "
                        "one list of rows",
                        c->item->name,
                        p->wants != EVLA_CACHE_NOTHING ? "to know what attention looks at"
                                                       : "a list for each layer or head");
    if (p->budget < 1 || p->budget > context || (p->budget < context && !policy->keep))
        return ctx_fail(cx, EVLA_E_PLUGIN, "cache %s: leaves %d rows of a context of %d%s",
                        c->item->name, p->budget, context,
                        p->budget < 1 || p->budget > context
                            ? "; want 1 or more, and no more than that"
                            : ", but does not say which");
    return 0;
}

int32_t cache_open(ctx *cx, const evla_choice *policy, int32_t context, cache *out)
{
    *out = (cache){.item = policy->item, .params = policy->params, .budget = context};
    if (!policy->item) return 0;
    const evla_cache_place at = {.size = sizeof at, .context = context, .layer = -1};
    evla_cache_plan plan = {.size = sizeof plan};
    host h;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = ((const evla_cache *)policy->item->table)
                     ->plan(&h.table, policy->params, &at, &plan);
    host_done(&h, mark);
    if (st < 0) return told(cx, out, st);
    if ((st = check_plan(cx, out, &plan, context)) < 0) return st;
    out->budget = plan.budget;
    out->rows = mem_alloc((size_t)context * sizeof *out->rows);
    return out->rows ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "a cache of %d rows", context);
}

void cache_close(cache *c) { mem_free(c->rows); }

int cache_drops(const cache *c, int32_t context) { return c->budget < context; }

static int32_t check_rows(ctx *cx, const cache *c, int32_t n, int32_t have)
{
    if (n < 1 || n > c->budget)
        return ctx_fail(cx, EVLA_E_PLUGIN, "cache %s: keeps %d rows; want 1 to %d",
                        c->item->name, n, c->budget);
    for (int32_t i = 0; i < n; i++)
        if (c->rows[i] < (i ? c->rows[i - 1] + 1 : 0) || c->rows[i] >= have)
            return ctx_fail(cx, EVLA_E_PLUGIN,
                            "cache %s: row %d of those that it keeps is %d; want them "
                            "ascending, from 0 to %d",
                            c->item->name, i, c->rows[i], have - 1);
    return 0;
}

int32_t cache_make_room(ctx *cx, const cache *c, sequence *s, sequence_copy *copy, void *to)
{
    const evla_cache_view v = {
        .size = sizeof v, .n = s->n, .place = s->place, .n_tokens = s->n_tokens};
    int32_t n = 0;
    host h;
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st =
        ((const evla_cache *)c->item->table)->keep(&h.table, c->params, &v, c->rows, &n);
    host_done(&h, mark);
    if (st < 0) return told(cx, c, st);
    if ((st = check_rows(cx, c, n, s->n)) < 0) return st;
    return sequence_keep(cx, s, c->rows, n, copy, to);
}
