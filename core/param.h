/*
 * param.h -- typed parameters: from a tree of values to a plugin's struct, with a sentence
 * when they do not fit, and help from the same table.
 */
#ifndef EVLA_PARAM_H
#define EVLA_PARAM_H
#include "tensor.h"
#include "value.h"

typedef struct param_site {
    const char *where;      /* "coffee.lua:31", or NULL */
    const char *what;       /* "stage.rollout" */
    const symbols *symbols; /* for sizes in shapes; NULL: none are known */
    int32_t lenient; /* 1: unknown symbols count as 1 (a check before they are bound) */
    /* Finds what a VALUE parameter refers to: the job's result. NULL: refs hold evla_value.
     */
    const evla_value *(*resolve)(void *to, const value *v);
    void *to;
} param_site;

/* An item with its parameters, as a script made it. Values refer to it as "choice". */
typedef struct choice {
    evla_choice item;  /* first: plugins see this part only */
    value given;       /* what the user wrote, for keys and saved files */
    const char *where; /* "coffee.lua:31" */
} choice;

/* Fills a zeroed struct from a table; out_size bytes. Unknown names are refused, the
 * nearest one is suggested. v may be NIL: all presets. */
int32_t param_fill(ctx *cx, arena *a, const param_site *site, const evla_param *params,
                   int32_t n, const value *v, void *out, size_t out_size);
/* Fills the parameters of an item; *out is NULL when it has none. */
int32_t param_fill_item(ctx *cx, arena *a, const param_site *site, const evla_item *item,
                        const value *v, const void **out);
/* The table itself is sane (a plugin's author made it): names, types, offsets within size,
 * presets that parse. */
int32_t param_check_table(ctx *cx, const char *what, const evla_param *params, int32_t n,
                          size_t size);
/* "size, default "2GiB", at least 1 MiB": one line about the type, for help and docs. */
const char *param_type_text(arena *a, const evla_param *p);
/* Several lines: names, types, docs. */
const char *param_help(arena *a, const char *what, const char *doc,
                       const evla_param *params, int32_t n);

/* Units as users write them. 0, or -1. */
int32_t param_size(const char *text, int64_t *bytes);
int32_t param_duration(const char *text, int64_t *ns);
int32_t param_rate(const char *text, double *hz);

#endif
