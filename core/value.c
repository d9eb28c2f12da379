/*
 * value.c -- a tree of plain values, printed and read as JSON. See value.h.
 */
#include "value.h"
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lookup, order, making ---- */

const value *value_get(const value *table, const char *name)
{
    if (!table || table->kind != VALUE_TABLE) return NULL;
    for (int32_t i = 0; i < table->n_pairs; i++)
        if (!strcmp(table->pairs[i].name, name)) return &table->pairs[i].v;
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const value_pair *)a)->name, ((const value_pair *)b)->name);
}

int64_t value_get_int(const value *table, const char *name)
{
    const value *v = value_get(table, name);
    return v && (v->kind == VALUE_INT || v->kind == VALUE_BOOL) ? v->as.i : 0;
}

const char *value_sort(value *table)
{
    if (table->n_pairs > 1)
        qsort(table->pairs, (size_t)table->n_pairs, sizeof *table->pairs, by_name);
    for (int32_t i = 1; i < table->n_pairs; i++)
        if (!strcmp(table->pairs[i - 1].name, table->pairs[i].name))
            return table->pairs[i].name;
    return NULL;
}

value value_table(arena *a, const value_pair *pairs, int32_t n)
{
    value v = {.kind = VALUE_TABLE, .n_pairs = n};
    v.pairs = arena_push(a, (size_t)n, sizeof *pairs);
    if (!v.pairs) return (value){0};
    if (n) memcpy(v.pairs, pairs, (size_t)n * sizeof *pairs);
    value_sort(&v);
    return v;
}

value value_list(arena *a, int64_t n)
{
    return (value){.kind = VALUE_TABLE,
                   .as.items = arena_push(a, (size_t)n, sizeof(value))};
}

const char *value_describe(arena *a, const value *v)
{
    switch (v->kind) {
    case VALUE_NIL:
        return "nothing";
    case VALUE_BOOL:
        return v->as.i ? "true" : "false";
    case VALUE_INT:
        return arena_text(a, "%lld", (long long)v->as.i);
    case VALUE_FLOAT:
        return arena_text(a, "%g", v->as.f);
    case VALUE_TEXT:
        return arena_text(a, "\"%.60s\"", v->as.text);
    case VALUE_REF:
        return arena_text(a, "a %s", v->ref_type);
    case VALUE_TABLE:
        break;
    }
    return "a table";
}

/* ---- printing ---- */

typedef struct printer {
    char *to; /* NULL: only count */
    size_t n;
    arena *a;
    value_ref_text *ref;
    int failed;
} printer;

static void emit(printer *o, const char *s, size_t n)
{
    if (o->to) memcpy(o->to + o->n, s, n);
    o->n += n;
}

static void emit_text(printer *o, const char *s)
{
    char hex[8];
    emit(o, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            emit(o, c == '"' ? "\\\"" : "\\\\", 2);
        else if (c < 0x20)
            emit(o, hex, (size_t)snprintf(hex, sizeof hex, "\\u%04x", c));
        else
            emit(o, s, 1);
    }
    emit(o, "\"", 1);
}

/* The fewest digits that read back as the same number: 0.95, not 0.94999999999999996. 15
 * of a normal number always survive, so fewer need no trial. */
static void shortest(double x, char *out, size_t size)
{
    for (int digits = isnormal(x) ? 15 : 1; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, x);
        if (strtod(out, NULL) == x) return; // NOLINT: equal to the last bit is meant
    }
}

static void emit_value(printer *o, const value *v)
{
    char number[40];
    const char *t;
    int is_named = v->n_pairs || (v->pairs && !v->n_items); /* empty ones too */
    switch (v->kind) {
    case VALUE_NIL:
        emit(o, "null", 4);
        break;
    case VALUE_BOOL:
        emit(o, v->as.i ? "true" : "false", v->as.i ? 4 : 5);
        break;
    case VALUE_INT:
        emit(o, number,
             (size_t)snprintf(number, sizeof number, "%lld", (long long)v->as.i));
        break;
    case VALUE_FLOAT: /* a float stays one when read back; JSON has no infinities */
        if (!isfinite(v->as.f))
            snprintf(number, sizeof number,
                     isnan(v->as.f) ? "\"nan\""
                     : v->as.f > 0  ? "1e999"
                                    : "-1e999");
        else {
            shortest(v->as.f, number, sizeof number - 2);
            char *point = strchr(number, *localeconv()->decimal_point);
            if (point) *point = '.';
            if (!strpbrk(number, ".en")) strcat(number, ".0");
        }
        emit(o, number, strlen(number));
        break;
    case VALUE_TEXT:
        emit_text(o, v->as.text);
        break;
    case VALUE_REF:
        t = o->ref ? o->ref(o->a, v->ref_type, v->as.ref) : v->ref_type;
        if (t)
            emit(o, t, strlen(t));
        else
            o->failed = 1;
        break;
    case VALUE_TABLE:
        /* Positions alone: an array. Otherwise an object, positions under "1", "2", ... */
        emit(o, is_named ? "{" : "[", 1);
        for (int32_t i = 0; i < v->n_items; i++) {
            if (i) emit(o, ",", 1);
            if (v->n_pairs)
                emit(o, number, (size_t)snprintf(number, sizeof number, "\"%d\":", i + 1));
            emit_value(o, &v->as.items[i]);
        }
        for (int32_t i = 0; i < v->n_pairs; i++) {
            if (i || v->n_items) emit(o, ",", 1);
            emit_text(o, v->pairs[i].name);
            emit(o, ":", 1);
            emit_value(o, &v->pairs[i].v);
        }
        emit(o, is_named ? "}" : "]", 1);
        break;
    }
}

const char *value_print(arena *a, const value *v, value_ref_text *ref)
{
    printer o = {.a = a, .ref = ref};
    emit_value(&o, v);
    if (o.failed) return NULL;
    char *text = arena_push_aligned(a, o.n + 1, 1, 1);
    if (!text) return NULL;
    o.to = text;
    o.n = 0;
    emit_value(&o, v);
    return text;
}

/* ---- reading ---- */

typedef struct reader {
    arena *a;
    const char *s;
    size_t n, at;
    int depth;
} reader;

static void blanks(reader *p)
{
    while (p->at < p->n && strchr(" \t\r\n", p->s[p->at]) && p->s[p->at])
        p->at++;
}

static int next_is(reader *p, char c)
{
    blanks(p);
    if (p->at >= p->n || p->s[p->at] != c) return 0;
    p->at++;
    return 1;
}

static int hex4(reader *p, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        if (p->at >= p->n) return 0;
        char c = p->s[p->at];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return 0;
        *code = *code << 4 | (uint32_t)d;
    }
    return 1;
}

static size_t utf8(char *to, uint32_t c)
{
    if (c < 0x80) return to[0] = (char)c, 1;
    if (c < 0x800) return to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63));
        return to[2] = (char)(0x80 | (c & 63)), 3;
    }
    to[0] = (char)(0xf0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 63));
    return to[2] = (char)(0x80 | (c >> 6 & 63)), to[3] = (char)(0x80 | (c & 63)), 4;
}

/* The text after an opening quote. Its printed form is never shorter than what it means. */
static const char *read_text(reader *p)
{
    size_t end = p->at;
    while (end < p->n && p->s[end] != '"')
        end += p->s[end] == '\\' ? 2 : 1;
    if (end >= p->n) return NULL;
    char *text = arena_push_aligned(p->a, end - p->at + 1, 1, 1);
    if (!text) return NULL;
    size_t k = 0;
    while (p->s[p->at] != '"') {
        char c = p->s[p->at++];
        if ((unsigned char)c < 0x20) return NULL;
        if (c != '\\') {
            text[k++] = c;
            continue;
        }
        const char *found, *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t";
        c = p->s[p->at++];
        if (c && (found = strchr(from, c)))
            text[k++] = to[found - from];
        else {
            uint32_t code, low;
            if (c != 'u' || !hex4(p, &code) || !code)
                return NULL;                                  /* a NUL would end the text */
            if (code >= 0xdc00 && code < 0xe000) return NULL; /* half a pair */
            if (code >= 0xd800 && code < 0xdc00) {
                if (p->at + 1 >= p->n || p->s[p->at] != '\\' || p->s[p->at + 1] != 'u')
                    return NULL;
                p->at += 2;
                if (!hex4(p, &low) || low < 0xdc00 || low > 0xdfff) return NULL;
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
            k += utf8(text + k, code);
        }
        if (p->at >= p->n) return NULL;
    }
    p->at++;
    return text;
}

static int read_number(reader *p, value *v)
{
    char text[64];
    size_t k = 0;
    int is_float = 0;
    while (p->at < p->n && k < sizeof text - 1 && strchr("+-0123456789.eE", p->s[p->at]) &&
           p->s[p->at]) {
        if (strchr(".eE", p->s[p->at])) is_float = 1;
        text[k++] = p->s[p->at++];
    }
    text[k] = 0;
    /* C reads more than JSON writes: "+1", "01", "1.", ".5" */
    const char *digits = text + (*text == '-'), *dot = strchr(text, '.');
    if (!isdigit((unsigned char)*digits) ||
        (*digits == '0' && isdigit((unsigned char)digits[1])) ||
        (dot && !isdigit((unsigned char)dot[1])))
        return 0;
    char *end;
    errno = 0;
    if (!is_float) {
        *v = value_int(strtoll(text, &end, 10));
        if (!errno) return !*end;
    }
    /* a program that embeds the engine may have chosen a locale with another point */
    if (dot) text[dot - text] = *localeconv()->decimal_point;
    *v = value_float(strtod(text, &end));
    return !*end;
}

static int read_value(reader *p, value *v);

static int read_table(reader *p, value *v, int named)
{
    int32_t n = 0, cap = 0;
    value *items = NULL;
    value_pair *pairs = NULL;
    *v = (value){.kind = VALUE_TABLE};
    if (named && !(pairs = arena_push(p->a, 0, sizeof *pairs))) return 0;
    v->pairs = pairs;
    if (next_is(p, named ? '}' : ']')) return 1;
    do {
        if (n == cap) {
            int32_t more = cap ? cap * 2 : 4;
            size_t each = named ? sizeof *pairs : sizeof *items;
            void *wide = arena_push(p->a, (size_t)more, each);
            if (!wide) return 0;
            if (n) memcpy(wide, named ? (void *)pairs : (void *)items, (size_t)n * each);
            if (named)
                pairs = wide;
            else
                items = wide;
            cap = more;
        }
        if (named) {
            if (!next_is(p, '"') || !(pairs[n].name = read_text(p)) || !next_is(p, ':'))
                return 0;
        }
        if (!read_value(p, named ? &pairs[n].v : &items[n])) return 0;
        n++;
    } while (next_is(p, ','));
    if (!next_is(p, named ? '}' : ']')) return 0;
    v->as.items = items;
    v->pairs = pairs;
    v->n_items = named ? 0 : n;
    v->n_pairs = named ? n : 0;
    return !named || !value_sort(v);
}

static int word(reader *p, const char *w)
{
    size_t n = strlen(w);
    if (p->n - p->at < n || memcmp(p->s + p->at, w, n) != 0) return 0;
    p->at += n;
    return 1;
}

static int read_value(reader *p, value *v)
{
    int good;
    if (++p->depth > 64) return 0;
    blanks(p);
    if (next_is(p, '"')) {
        const char *t = read_text(p);
        *v = value_text(t);
        good = t != NULL;
    } else if (next_is(p, '{'))
        good = read_table(p, v, 1);
    else if (next_is(p, '['))
        good = read_table(p, v, 0);
    else if (word(p, "true") || word(p, "false")) {
        *v = value_bool(p->s[p->at - 2] == 'u');
        good = 1;
    } else if (word(p, "null")) {
        *v = (value){0};
        good = 1;
    } else
        good = read_number(p, v);
    p->depth--;
    return good;
}

int32_t value_parse(arena *a, const char *text, size_t n, value *out, size_t *at)
{
    reader p = {.a = a, .s = text, .n = n};
    int good = read_value(&p, out);
    blanks(&p);
    if (at) *at = p.at;
    return good && p.at == n ? 0 : -1;
}

int32_t value_copy(arena *a, const value *from, value *to)
{
    *to = *from;
    if (from->kind == VALUE_TEXT) {
        to->as.text = arena_copy(a, from->as.text);
        return to->as.text ? 0 : -1;
    }
    if (from->kind != VALUE_TABLE) return 0;
    to->as.items = arena_push(a, (size_t)from->n_items, sizeof(value));
    to->pairs =
        from->pairs ? arena_push(a, (size_t)from->n_pairs, sizeof(value_pair)) : NULL;
    if (!to->as.items || (!to->pairs && (from->pairs || from->n_pairs))) return -1;
    for (int32_t i = 0; i < from->n_items; i++)
        if (value_copy(a, &from->as.items[i], &to->as.items[i]) < 0) return -1;
    for (int32_t i = 0; i < from->n_pairs; i++) {
        to->pairs[i].name = arena_copy(a, from->pairs[i].name);
        if (!to->pairs[i].name || value_copy(a, &from->pairs[i].v, &to->pairs[i].v) < 0)
            return -1;
    }
    return 0;
}
