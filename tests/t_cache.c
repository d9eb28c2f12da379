/*
 * core/run/cache.c: what a policy over keys and values may answer, and what a core says to
 * one that answers otherwise.
 */
#include "mem.h"
#include "registry.h"
#include "run/cache.h"
#include "says.h"

static ctx cx;

/* A policy that answers as it is told. */
typedef struct told {
    evla_cache_plan plan;
    int32_t plan_code, keep_code;
    int32_t rows[8], n;
    evla_cache_view *saw;
} told;

static int32_t told_plan(const evla_host *h, const void *params, const evla_cache_place *at,
                         evla_cache_plan *out)
{
    const told *t = params;
    ok(at->context == 8 && at->layer == -1 && out->size == sizeof *out,
       "a policy is asked about a context of 8, all layers");
    uint32_t size = out->size;
    *out = t->plan;
    out->size = size;
    (void)h;
    return t->plan_code;
}

static int32_t told_keep(const evla_host *h, const void *params, const evla_cache_view *v,
                         int32_t *rows, int32_t *n)
{
    const told *t = params;
    (void)h;
    *t->saw = *v;
    for (int32_t i = 0; i < t->n && i < v->n; i++)
        rows[i] = t->rows[i];
    return *n = t->n, t->keep_code;
}

static const evla_cache table = {
    .size = sizeof table, .plan = told_plan, .keep = told_keep};
static const evla_cache mute_table = {.size = sizeof mute_table, .plan = told_plan};
static const evla_item item = {.kind = EVLA_CACHE, .name = "told", .table = &table};
static const evla_item mute = {.kind = EVLA_CACHE, .name = "mute", .table = &mute_table};

static int32_t open_as(const evla_item *it, const told *t, cache *c)
{
    return cache_open(&cx, &(evla_choice){it, t}, 8, c);
}

static void test_plans(void)
{
    cache c;
    ok(cache_open(&cx, &(evla_choice){0}, 8, &c) == 0 && !cache_drops(&c, 8),
       "no policy drops nothing");
    cache_close(&c);
    ok(open_as(&mute, &(told){.plan.budget = 8}, &c) == 0 && !cache_drops(&c, 8),
       "nor does one that leaves the whole context; it need not say which rows");
    cache_close(&c);
    ok(open_as(&item, &(told){.plan.budget = 7}, &c) == 0 && cache_drops(&c, 8),
       "one that leaves 7 rows does");
    cache_close(&c);
    const struct {
        const evla_item *item;
        told t;
        int32_t code;
        const char *words;
    } bad[] = {
        {&mute,
         {.plan.budget = 7},
         EVLA_E_PLUGIN,
         "cache mute: leaves 7 rows of a context of 8, but does not say which"},
        {&item,
         {.plan.budget = 0},
         EVLA_E_PLUGIN,
         "cache told: leaves 0 rows of a context of 8; want 1 or more, and no more than "
         "that"},
        {&item,
         {.plan.budget = 9},
         EVLA_E_PLUGIN,
         "cache told: leaves 9 rows of a context of 8; want 1 or more, and no more than "
         "that"},
        {&item,
         {.plan = {.budget = 4, .wants = EVLA_CACHE_MASS}},
         EVLA_E_PLUGIN,
         "cache told: wants to know what attention looks at; this core asks policies that "
         "want nothing for one list of rows"},
        {&item,
         {.plan = {.budget = 4, .lists = EVLA_CACHE_HEAD}},
         EVLA_E_PLUGIN,
         "cache told: wants a list for each layer or head; this core asks policies that "
         "want nothing for one list of rows"},
        {&item, {.plan_code = EVLA_E_ARG}, EVLA_E_ARG, NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char silent[80];
        snprintf(silent, sizeof silent, "cache told: %s", ctx_code_text(bad[i].code));
        const char *words = bad[i].words ? bad[i].words : silent;
        ok(open_as(bad[i].item, &bad[i].t, &c) == bad[i].code &&
               says(&cx, bad[i].code, words),
           "%s", words);
        cache_close(&c);
    }
}

static void no_copy(void *to, int32_t from, int32_t at, int32_t n)
{
    (void)to, (void)from, (void)at, (void)n;
}

static void test_rows(void)
{
    blocks *b;
    sequence *s;
    cache c;
    int32_t tokens[8] = {5, 6, 7, 8, 9, 10, 11, 12}, slots[8];
    evla_cache_view saw = {0};
    told t = {.plan.budget = 4, .saw = &saw};
    blocks_new(&cx, 2, &b);
    sequence_new(&cx, b, 8, 20, &s);
    sequence_extend(&cx, s, tokens, 8, slots, no_copy, NULL);
    open_as(&item, &t, &c);
    const struct {
        int32_t rows[8], n;
        const char *words;
    } bad[] = {
        {{0}, 0, "cache told: keeps 0 rows; want 1 to 4"},
        {{0, 1, 2, 3, 4}, 5, "cache told: keeps 5 rows; want 1 to 4"},
        {{-1, 1},
         2,
         "cache told: row 0 of those that it keeps is -1; want them ascending, from 0 to "
         "7"},
        {{3, 3},
         2,
         "cache told: row 1 of those that it keeps is 3; want them ascending, from 0 to 7"},
        {{3, 8},
         2,
         "cache told: row 1 of those that it keeps is 8; want them ascending, from 0 to 7"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t.n = bad[i].n;
        memcpy(t.rows, bad[i].rows, sizeof t.rows);
        ok(cache_make_room(&cx, &c, s, no_copy, NULL) < 0 &&
               says(&cx, EVLA_E_PLUGIN, bad[i].words) && s->n == 8,
           "%s; the sequence is as before", bad[i].words);
    }
    t.keep_code = EVLA_E_STATE;
    ok(cache_make_room(&cx, &c, s, no_copy, NULL) == EVLA_E_STATE && cx.code && s->n == 8,
       "a policy that fails says so: %s", cx.why);
    ctx_clear(&cx);
    t = (told){.plan.budget = 4, .rows = {0, 3, 6, 7}, .n = 4, .saw = &saw};
    int64_t before = mem_made;
    ok(cache_make_room(&cx, &c, s, no_copy, NULL) == 0 && s->n == 4 && s->place[1] == 3 &&
           s->place[3] == 7 && mem_made == before,
       "the rows that it names stay; nothing is allocated");
    sequence_extend(&cx, s, tokens, 4, slots, no_copy, NULL);
    t.rows[1] = 1;
    ok(cache_make_room(&cx, &c, s, no_copy, NULL) == 0 && saw.n == 8 &&
           saw.n_tokens == 12 && s->n == 4 && s->place[1] == 3 && s->place[3] == 11,
       "it sees rows and tokens, and rows keep their places in the text");
    cache_close(&c);
    sequence_free(s);
    blocks_free(b);
}

int main(void)
{
    registry reg;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    test_plans();
    test_rows();
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
