/*
 * window.c -- which keys and values stay when a cache is full: all of them ("full"), or the
 * first few and the most recent ("window").
 *
 * Attention puts much of its weight on a text's first tokens, whatever they say; a window
 * that loses them loses the text. Source: Xiao et al. 2023 (StreamingLLM), sections 3.1 and
 * 3.2. Unlike there, rows keep the positions that they were read at: keys are stored
 * turned.
 */
#include "evla/abi.h"
#include <stdio.h>

/* ---- full ---- */

static int32_t full_plan(const evla_host *h, const void *params, const evla_cache_place *at,
                         evla_cache_plan *out)
{
    (void)h, (void)params;
    return out->budget = at->context, EVLA_OK;
}

static const evla_cache full = {.size = sizeof full, .plan = full_plan};

/* ---- window ---- */

typedef struct window_params {
    int64_t sinks;
    int64_t recent; /* 0: not told */
} window_params;

/* Three quarters of the cache, sinks included: the last quarter is what is read before rows
 * are dropped again. */
static int64_t recent_of(const window_params *p, int32_t context)
{
    return p->recent ? p->recent : (int64_t)context * 3 / 4 - p->sinks;
}

static int32_t window_plan(const evla_host *h, const void *params,
                           const evla_cache_place *at, evla_cache_plan *out)
{
    const window_params *p = params;
    int64_t recent = recent_of(p, at->context);
    char why[200];
    if (recent > 0 && p->sinks + recent < at->context)
        return out->budget = (int32_t)(p->sinks + recent), EVLA_OK;
    if (p->recent)
        snprintf(why, sizeof why,
                 "window: %lld sinks and %lld recent tokens of a context of %d: want fewer "
                 "together than the context, so that there is room for the next one",
                 (long long)p->sinks, (long long)recent, at->context);
    else
        snprintf(
            why, sizeof why,
            "window: %lld sinks leave no recent token in three quarters of a context of "
            "%d; want fewer sinks or a larger context",
            (long long)p->sinks, at->context);
    return h->fail(h, EVLA_E_ARG, why);
}

static int32_t window_keep(const evla_host *h, const void *params, const evla_cache_view *v,
                           int32_t *rows, int32_t *n)
{
    const window_params *p = params;
    int32_t sinks = (int32_t)p->sinks, recent = (int32_t)recent_of(p, v->n);
    (void)h;
    for (int32_t i = 0; i < sinks; i++)
        rows[i] = i;
    for (int32_t i = 0; i < recent; i++)
        rows[sinks + i] = v->n - recent + i;
    return *n = sinks + recent, EVLA_OK;
}

static const evla_cache window = {
    .size = sizeof window,
    .plan = window_plan,
    .keep = window_keep,
};

/* ---- the table ---- */

#define AT(field) .offset = offsetof(window_params, field)
// clang-format off
static const evla_param window_rows[] = {
    {.name = "sinks", .doc = "tokens at the beginning of the text that stay", .type = EVLA_P_INT,
     .preset = "4", .max = 1 << 24, AT(sinks)},
    {.name = "recent", .doc = "tokens at its end that stay; absent: three quarters of the context, less the sinks",
     .type = EVLA_P_INT, .flags = EVLA_PF_OPTIONAL, .min = 1, .max = 1 << 24, AT(recent)},
};
static const evla_item items[] = {
    {.kind = EVLA_CACHE, .name = "full", .table = &full,
     .doc = "all keys and values stay; a text ends where the context is full"},
    {.kind = EVLA_CACHE, .name = "window", .table = &window,
     .doc = "the first few and the most recent keys and values stay; a text may go on for ever",
     .params = window_rows, .n_params = sizeof window_rows / sizeof *window_rows,
     .params_size = sizeof(window_params)},
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC, .size = sizeof self, .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR, .id = "evla.window", .version = "0.1.0",
    .license = "Apache-2.0", .items = items, .n_items = sizeof items / sizeof *items,
};
// clang-format on

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
