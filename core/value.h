/*
 * value.h -- a tree of plain values: what a script, a saved graph or a JSON text says,
 * before it is checked. The core never sees Lua; the host turns its tables into these.
 */
#ifndef EVLA_VALUE_H
#define EVLA_VALUE_H
#include "arena.h"

typedef enum value_kind {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_TEXT,
    VALUE_TABLE, /* items by position and by name, either may be empty */
    VALUE_REF    /* an object of the core, see `ref_type` */
} value_kind;

typedef struct value value;
typedef struct value_pair value_pair;

struct value {
    value_kind kind;
    int32_t n_items;
    int32_t n_pairs;
    union {
        int64_t i; /* BOOL, INT */
        double f;
        const char *text;
        value *items;
        void *ref;
    } as;
    value_pair *pairs; /* TABLE; sorted by name; not NULL: an object, even an empty one */
    const char *ref_type; /* REF: "choice" (evla_choice), "job" (job), ... */
};

struct value_pair {
    const char *name;
    value v;
};

static inline value value_bool(int is)
{
    return (value){.kind = VALUE_BOOL, .as.i = is != 0};
}
static inline value value_int(int64_t i) { return (value){.kind = VALUE_INT, .as.i = i}; }
static inline value value_float(double f)
{
    return (value){.kind = VALUE_FLOAT, .as.f = f};
}
static inline value value_text(const char *t)
{
    return (value){.kind = VALUE_TEXT, .as.text = t};
}

/* The named entry, or NULL. */
const value *value_get(const value *table, const char *name);
/* The named whole number or truth; 0 when there is none. */
int64_t value_get_int(const value *table, const char *name);
/* An object of copies of the pairs, sorted by name; names and what values point to are
 * borrowed. Nothing (VALUE_NIL) when memory is out. */
value value_table(arena *a, const value_pair *pairs, int32_t n);
/* An empty list with room for n items: write as.items, count in n_items. as.items is NULL
 * when memory is out. */
value value_list(arena *a, int64_t n);
/* Sorts pairs by name; returns the name that stands there twice, or NULL. */
const char *value_sort(value *table);
/* What it is, for messages: `the text "two"`, `the number 3`, `a table`. */
const char *value_describe(arena *a, const value *v);
/* A canonical one-line JSON-like text: names sorted, floats with 17 digits. Refs are
 * printed by `ref`, NULL prints their type. Same text, same meaning: it goes into keys of
 * jobs and into saved graphs. NULL when memory is out. */
typedef const char *value_ref_text(arena *a, const char *ref_type, const void *ref);
const char *value_print(arena *a, const value *v, value_ref_text *ref);
/* Reads JSON, which is what value_print writes; a name may not stand twice. at: where the
 * mistake is, when it returns -1; depth is limited to 64. */
int32_t value_parse(arena *a, const char *text, size_t n, value *out, size_t *at);
/* A deep copy into another arena. 0, or -1 when memory is out. */
int32_t value_copy(arena *a, const value *from, value *to);

#endif
