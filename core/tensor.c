/*
 * tensor.c -- number formats, types written as text, and views of memory. See tensor.h.
 */
#include "registry.h"
#include <ctype.h>
#include <string.h>

/* ---- number formats ---- */

const dtype_info *dtype_get(const registry *reg, int32_t dtype)
{
    if (dtype <= 0 || dtype >= reg->n_dtypes || !reg->dtypes[dtype].name) return NULL;
    return &reg->dtypes[dtype];
}

int32_t dtype_find(const registry *reg, const char *name, size_t n)
{
    for (int32_t i = 1; i < reg->n_dtypes; i++) {
        const char *have = reg->dtypes[i].name;
        if (have && strlen(have) == n && !memcmp(have, name, n)) return i;
    }
    return EVLA_NONE;
}

const char *dtype_name(const registry *reg, int32_t dtype)
{
    const dtype_info *d = dtype_get(reg, dtype);
    return d ? d->name : "?";
}

int64_t dtype_blocks(const dtype_info *d, int64_t n)
{
    return n / d->block_elements + (n % d->block_elements > 0);
}

int64_t dtype_bytes(const registry *reg, int32_t dtype, int64_t n)
{
    const dtype_info *d = dtype_get(reg, dtype);
    int64_t bytes;
    if (!d || n < 0) return -1;
    if (n % d->block_elements && !(d->table && d->table->is_ragged)) return -1;
    if (__builtin_mul_overflow(dtype_blocks(d, n), (int64_t)d->block_bytes, &bytes))
        return -1;
    return bytes;
}

/* ---- size expressions: sum of products of integers, symbols and parentheses ---- */

const int64_t *symbols_get(const symbols *s, const char *name, size_t n)
{
    for (int32_t i = 0; s && i < s->n; i++)
        if (strlen(s->name[i]) == n && !memcmp(s->name[i], name, n)) return &s->extent[i];
    return NULL;
}

typedef struct expr {
    ctx *cx;
    const char *s;
    size_t n, at;
    const symbols *symbols;
    int depth;
} expr;

static int32_t expr_sum(expr *e, int64_t *out);

static char expr_peek(expr *e)
{
    while (e->at < e->n && e->s[e->at] == ' ')
        e->at++;
    return e->at < e->n ? e->s[e->at] : 0;
}

static int32_t expr_bad(expr *e)
{
    return ctx_fail(
        e->cx, EVLA_E_ARG,
        "size \"%.*s\": want integers and symbols joined by + - * /, found \"%.*s\"",
        (int)(e->n > 80 ? 80 : e->n), e->s, (int)(e->n - e->at > 20 ? 20 : e->n - e->at),
        e->s + e->at);
}

static int32_t expr_factor(expr *e, int64_t *out)
{
    *out = 0;
    char c = expr_peek(e);
    if (c == '(') {
        if (++e->depth > 32) return expr_bad(e);
        e->at++;
        int32_t st = expr_sum(e, out);
        if (st < 0) return st;
        if (expr_peek(e) != ')') return expr_bad(e);
        e->at++;
        e->depth--;
        return 0;
    }
    size_t from = e->at;
    if (isdigit((unsigned char)c)) {
        int64_t v = 0;
        while (e->at < e->n && isdigit((unsigned char)e->s[e->at]))
            if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
                __builtin_add_overflow(v, (int64_t)(e->s[e->at++] - '0'), &v))
                return expr_bad(e);
        *out = v;
        return 0;
    }
    if (!isupper((unsigned char)c)) return expr_bad(e);
    while (e->at < e->n && (isalnum((unsigned char)e->s[e->at]) || e->s[e->at] == '_'))
        e->at++;
    const int64_t *v = symbols_get(e->symbols, e->s + from, e->at - from);
    if (!v)
        return ctx_fail(
            e->cx, EVLA_E_MISSING, "size \"%.*s\": the symbol %.*s has no value",
            (int)(e->n > 80 ? 80 : e->n), e->s, (int)(e->at - from), e->s + from);
    *out = *v;
    return 0;
}

static int32_t expr_product(expr *e, int64_t *out)
{
    int32_t st = expr_factor(e, out);
    for (char c; st >= 0 && ((c = expr_peek(e)) == '*' || c == '/');) {
        int64_t a = *out, b = 0;
        e->at++;
        if ((st = expr_factor(e, &b)) < 0) break;
        /* the smallest number over -1 traps, so divisors are positive */
        if (c == '*' ? __builtin_mul_overflow(a, b, out) : b <= 0 || a % b)
            return ctx_fail(
                e->cx, EVLA_E_RANGE, "size \"%.*s\": %lld %c %lld is no whole size",
                (int)(e->n > 80 ? 80 : e->n), e->s, (long long)a, c, (long long)b);
        if (c == '/') *out = a / b;
    }
    return st;
}

static int32_t expr_sum(expr *e, int64_t *out)
{
    int32_t st = expr_product(e, out);
    for (char c; st >= 0 && ((c = expr_peek(e)) == '+' || c == '-');) {
        int64_t b = 0;
        e->at++;
        if ((st = expr_product(e, &b)) < 0) break;
        if (c == '+' ? __builtin_add_overflow(*out, b, out)
                     : __builtin_sub_overflow(*out, b, out))
            return expr_bad(e);
    }
    return st;
}

int32_t size_eval(ctx *cx, const char *text, size_t n, const symbols *s, int64_t *out)
{
    expr e = {.cx = cx, .s = text, .n = n, .symbols = s};
    int32_t st = expr_sum(&e, out);
    if (st < 0) return st;
    if (expr_peek(&e)) return expr_bad(&e);
    if (*out < 0 || *out > (int64_t)1 << 48)
        return ctx_fail(cx, EVLA_E_RANGE, "size \"%.*s\": %lld is outside 0 to 2^48",
                        (int)(n > 80 ? 80 : n), text, (long long)*out);
    return 0;
}

/* ---- types ---- */

/* The parts of "f32[A,B]": the format's name and the extents' texts. */
typedef struct type_parts {
    const char *dtype, *dim[EVLA_MAX_RANK];
    size_t dtype_n, dim_n[EVLA_MAX_RANK];
    int32_t rank;
} type_parts;

static int32_t split(ctx *cx, const char *text, type_parts *out)
{
    size_t n = strcspn(text, "[");
    *out = (type_parts){.dtype = text, .dtype_n = n};
    const char *end = text + strlen(text);
    if (!text[n]) return 0; /* "f32": a scalar */
    if (n == 0 || end[-1] != ']')
        return ctx_fail(cx, EVLA_E_ARG, "type \"%.80s\": want a form such as \"f32[B,7]\"",
                        text);
    const char *p = text + n + 1, *last = end - 1;
    while (p < last || (p == last && out->rank)) {
        size_t k = 0;
        while (p + k < last && p[k] != ',')
            k++;
        if (k == 0 || out->rank == EVLA_MAX_RANK)
            return ctx_fail(cx, EVLA_E_ARG,
                            "type \"%.80s\": want up to %d extents, none of them empty",
                            text, EVLA_MAX_RANK);
        out->dim[out->rank] = p;
        out->dim_n[out->rank++] = k;
        p += k + 1;
        if (p > last) break;
    }
    return 0;
}

int32_t type_parse(ctx *cx, const char *text, const symbols *s, evla_type *out)
{
    type_parts part;
    int32_t st = split(cx, text, &part);
    if (st < 0) return st;
    *out = (evla_type){.rank = part.rank};
    out->dtype = dtype_find(cx->reg, part.dtype, part.dtype_n);
    if (!out->dtype)
        return ctx_fail(
            cx, EVLA_E_DTYPE,
            "type \"%.80s\": no number format is called \"%.*s\"; loaded plugins may "
            "add some (evla plugins)",
            text, (int)(part.dtype_n > 40 ? 40 : part.dtype_n), part.dtype);
    for (int32_t i = 0; i < part.rank; i++) {
        int is_plain = 1;
        for (size_t k = 0; k < part.dim_n[i]; k++)
            if (isupper((unsigned char)part.dim[i][k])) is_plain = 0;
        if (!s && !is_plain)
            out->shape[i] = -1;
        else if ((st = size_eval(cx, part.dim[i], part.dim_n[i], s, &out->shape[i])) < 0) {
            ctx_prefix(cx, "type \"%.80s\"", text);
            return st;
        }
    }
    return 0;
}

int32_t type_symbols(ctx *cx, const char *text,
                     int32_t (*found)(void *to, const char *name, size_t n), void *to)
{
    type_parts part;
    int32_t st = split(cx, text, &part);
    for (int32_t i = 0; st >= 0 && i < part.rank; i++)
        for (size_t k = 0; st >= 0 && k < part.dim_n[i];) {
            size_t n = 0;
            if (isupper((unsigned char)part.dim[i][k])) {
                while (k + n < part.dim_n[i] &&
                       (isalnum((unsigned char)part.dim[i][k + n]) ||
                        part.dim[i][k + n] == '_'))
                    n++;
                st = found(to, part.dim[i] + k, n);
            }
            k += n ? n : 1;
        }
    return st;
}

int32_t type_match(ctx *cx, const char *text, const evla_type *type, symbols *s)
{
    type_parts part;
    int32_t st = split(cx, text, &part);
    if (st < 0) return st;
    arena_place mark = arena_mark(&cx->scratch);
    const char *have = type_text(cx->reg, &cx->scratch, type);
    if (part.rank != type->rank ||
        dtype_find(cx->reg, part.dtype, part.dtype_n) != type->dtype)
        st = ctx_fail(cx, EVLA_E_SHAPE, "want %s, found %s", text, have);
    for (int32_t i = 0; st >= 0 && i < part.rank; i++) {
        size_t n = 0;
        while (n < part.dim_n[i] &&
               (isalnum((unsigned char)part.dim[i][n]) || part.dim[i][n] == '_'))
            n++;
        int alone = n == part.dim_n[i] && isupper((unsigned char)part.dim[i][0]);
        int64_t want = 0;
        if (alone && !symbols_get(s, part.dim[i], n)) {
            char *name = arena_copy_n(&cx->mem, part.dim[i], n);
            if (!name || s->n == TENSOR_MAX_SYMBOLS)
                st = ctx_fail(cx, EVLA_E_LIMIT, "type \"%s\": more than %d symbols", text,
                              TENSOR_MAX_SYMBOLS);
            else {
                s->name[s->n] = name;
                s->extent[s->n++] = type->shape[i];
            }
        } else if ((st = size_eval(cx, part.dim[i], part.dim_n[i], s, &want)) >= 0 &&
                   want != type->shape[i])
            st = ctx_fail(cx, EVLA_E_SHAPE, "want %s, found %s: extent %d should be %lld",
                          text, have, i, (long long)want);
    }
    arena_reset(&cx->scratch, mark);
    return st;
}

const char *type_text(const registry *reg, arena *a, const evla_type *t)
{
    if (t->rank < 0) return "unknown";
    const char *s = arena_text(a, "%s%s", dtype_name(reg, t->dtype), t->rank ? "[" : "");
    for (int32_t i = 0; s && i < t->rank; i++)
        s = arena_text(a, "%s%s%lld", s, i ? "," : "", (long long)t->shape[i]);
    if (s && t->rank) s = arena_text(a, "%s]", s);
    return s ? s : "?";
}

/* An extent of zero counts as `zero`: strides multiply the others whether or not there is
   an element, so an empty tensor whose strides cannot be held is refused too. */
static int64_t product(const evla_type *t, int64_t zero)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        if (t->shape[i] < 0 ||
            __builtin_mul_overflow(n, t->shape[i] ? t->shape[i] : zero, &n))
            return -1;
    return n;
}

int64_t type_count(const evla_type *t)
{
    if (t->rank < 0 || t->rank > EVLA_MAX_RANK || product(t, 1) < 0) return -1;
    return product(t, 0);
}

int64_t type_bytes(const registry *reg, const evla_type *t)
{
    const dtype_info *d = dtype_get(reg, t->dtype);
    int64_t n = type_count(t);
    if (!d || n < 0) return -1;
    int64_t last = t->rank ? t->shape[t->rank - 1] : 1,
            row = dtype_bytes(reg, t->dtype, last);
    /* bounds every stride: each is blocks of some extents, and there are no fewer elements
     */
    int64_t most;
    if (row < 0 || __builtin_mul_overflow(product(t, 1), (int64_t)d->block_bytes, &most))
        return -1;
    return n ? n / last * row : 0;
}

int64_t type_run(const registry *reg, const evla_type *t)
{
    const dtype_info *d = dtype_get(reg, t->dtype);
    int64_t last = t->rank ? t->shape[t->rank - 1] : 1;
    return d && last % d->block_elements ? last : type_count(t);
}

int type_equal(const evla_type *a, const evla_type *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return 0;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i]) return 0;
    return 1;
}

evla_tensor tensor_view(const registry *reg, const evla_type *t, void *data)
{
    evla_tensor v = {.data = {data}, .dtype = t->dtype, .rank = t->rank};
    const dtype_info *d = dtype_get(reg, t->dtype);
    int64_t stride = d ? d->block_bytes : 1;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        v.shape[i] = t->shape[i];
        v.stride[i] = stride;
        stride *= i == t->rank - 1 && d ? dtype_blocks(d, t->shape[i]) : t->shape[i];
    }
    return v;
}
