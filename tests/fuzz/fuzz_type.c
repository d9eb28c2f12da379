/*
 * fuzz_type.c -- types, size expressions, sizes, durations and rates from hostile text.
 *
 * A type that parses prints as text that parses to the same type; a refusal has a sentence.
 */
#include "near.h"
#include "param.h"
#include "registry.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int32_t seen(void *to, const char *name, size_t n)
{
    *(size_t *)to += n && name ? n : 0;
    return 0;
}

static void types(ctx *cx, const char *text, const symbols *s)
{
    evla_type t, again;
    size_t letters = 0;
    int32_t st = type_parse(cx, text, s, &t);
    if (st < 0 && (!cx->code || !*cx->why)) abort();
    ctx_clear(cx);
    if (st == 0) {
        const char *print = type_text(cx->reg, &cx->mem, &t);
        int is_open = 0;
        for (int32_t i = 0; i < t.rank; i++)
            if (t.shape[i] < 0) is_open = 1;
        if (!is_open &&
            (type_parse(cx, print, NULL, &again) < 0 || !type_equal(&t, &again)))
            abort();
        int64_t count = type_count(&t), bytes = type_bytes(cx->reg, &t);
        if (bytes >= 0 && count < 0) abort();
        if (bytes >= 0 && !is_open) tensor_view(cx->reg, &t, NULL);
        symbols bound = {0};
        type_match(cx, text, &t, &bound);
        ctx_clear(cx);
    }
    type_symbols(cx, text, seen, &letters);
    ctx_clear(cx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const near[] = {"count", "scale",
                                       "a_rather_long_name_of_a_parameter"};
    const symbols s = {.n = 2, .name = {"B", "Long_1"}, .extent = {3, 1 << 20}};
    registry reg;
    ctx cx;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    char *text = malloc(n + 1);
    if (!text) abort();
    if (n) memcpy(text, data, n);
    text[n] = 0;
    int64_t v = -1;
    double hz = -1;
    if (size_eval(&cx, text, strlen(text), &s, &v) == 0 && (v < 0 || v > (int64_t)1 << 48))
        abort();
    ctx_clear(&cx);
    types(&cx, text, &s);
    types(&cx, text, NULL);
    if (param_size(text, &v) == 0 && v < 0) abort();
    if (param_duration(text, &v) == 0 && v < 0) abort();
    if (param_rate(text, &hz) == 0 && !(hz >= 0)) abort();
    near_miss(text, near, 3);
    free(text);
    ctx_free(&cx);
    registry_free(&reg);
    return 0;
}
