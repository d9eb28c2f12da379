/*
 * t_x86_paged.c -- paged_attention of plugins/cpu-x86 beside the portable kernel, on heads
 * and blocks that fit no vector; and its promise that bits depend on positions alone.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

static kit k;
static evla_machine machine;
static const char *isa;

static void *room(int64_t bytes)
{
    void *p = calloc(1, (size_t)bytes + 64);
    if (!p) abort();
    return p;
}

/* ---- a sequence in a pool ---- */

typedef struct shape {
    int64_t heads, kv_heads, d, dv, block, length;
} shape;

typedef struct cache {
    shape s;
    int32_t dtype;
    int64_t blocks, used; /* of the pool, of the table */
    char *k, *v;
    int32_t *table;
} cache;

static int64_t row_bytes(int32_t dtype, int64_t n)
{
    return op_host_dtype_bytes(&k.host.table, dtype, n);
}

/* Rows of x in random blocks of a pool; what lies between them is NaN, or the codes 0xff.
 */
static char *scatter(const cache *c, const float *x, int64_t width)
{
    int64_t bytes = row_bytes(c->dtype, width);
    const evla_dtype *d = op_host_dtype_table(&k.host.table, c->dtype);
    char *pool = room(c->blocks * c->s.block * bytes);
    memset(pool, 0xff, (size_t)(c->blocks * c->s.block * bytes));
    for (int64_t j = 0; j < c->s.length; j++) {
        char *row = pool + (c->table[j / c->s.block] * c->s.block + j % c->s.block) * bytes;
        if (d)
            d->encode(&k.host.table, x + j * width, width, row);
        else
            memcpy(row, x + j * width, (size_t)bytes);
    }
    return pool;
}

static cache cache_of(shape s, int32_t dtype, const float *keys, const float *values)
{
    cache c = {.s = s, .dtype = dtype, .used = (s.length + s.block - 1) / s.block};
    c.blocks = c.used + 3;
    c.table = room((c.used + 1) * (int64_t)sizeof *c.table);
    int32_t *all = room(c.blocks * (int64_t)sizeof *all);
    for (int64_t i = 0; i < c.blocks; i++) {
        int64_t j = kit_draw() % (uint64_t)(i + 1);
        all[i] = all[j];
        all[j] = (int32_t)i;
    }
    memcpy(c.table, all, (size_t)c.used * sizeof *all);
    c.table[c.used] = -9; /* behind the last row: not to be looked at */
    free(all);
    c.k = scatter(&c, keys, s.kv_heads * s.d);
    c.v = scatter(&c, values, s.kv_heads * s.dv);
    return c;
}

static void cache_free(cache *c)
{
    free(c->k);
    free(c->v);
    free(c->table);
}

/* y[tokens,heads*dv] by the kernel of this name. */
static int32_t attend(const cache *c, const char *kernel, const float *q,
                      const int32_t *last, int64_t tokens, float *y, int32_t workers,
                      int backwards)
{
    const shape *s = &c->s;
    evla_paged_attention_params p = {.heads = s->heads, .kv_heads = s->kv_heads};
    kit_node n = {.op = "paged_attention", .params = &p, .n_in = 5};
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){tokens, s->heads * s->d});
    n.in[1] = kit_type(c->dtype, 3, (int64_t[]){c->blocks, s->block, s->kv_heads * s->d});
    n.in[2] = kit_type(c->dtype, 3, (int64_t[]){c->blocks, s->block, s->kv_heads * s->dv});
    n.in[3] = kit_type(EVLA_I32, 1, (int64_t[]){c->used + 1});
    n.in[4] = kit_type(EVLA_I32, 1, (int64_t[]){tokens});
    n.data[0] = (void *)(uintptr_t)q;
    n.data[1] = c->k, n.data[2] = c->v, n.data[3] = c->table;
    n.data[4] = (void *)(uintptr_t)last;
    n.made[0] = y;
    int32_t st = kit_infer(&k, &n);
    return st < 0 ? st : kit_once(&k, kernel, &machine, &n, workers, backwards);
}

/* ---- one shape ---- */

/* FNV-1a over all outputs of one instruction set. */
static uint64_t digest;

static void digest_add(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        digest = (digest ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

typedef struct tally {
    int cases, near, alone, together, moved;
    double worst;
} tally;

/* Largest difference over what two orders of sums may differ by: scores of d terms, of
 * which e^score errs relatively, and two sums over positions; values are at most 1. */
static double beside(const float *have, const float *want, int64_t n, const shape *s)
{
    double terms = (double)s->d * sqrt((double)s->d) + 128 + (double)s->length / 64,
           worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)have[i] - (double)want[i]) / (terms * 0x1p-24);
        worst = fmax(worst, d == d ? d : INFINITY);
    }
    return worst;
}

static void one_shape(tally *t, shape s, int32_t dtype, int64_t tokens)
{
    int64_t width = s.heads * s.dv;
    float *q = room(tokens * s.heads * s.d * 4),
          *keys = room(s.length * s.kv_heads * s.d * 4);
    float *values = room(s.length * s.kv_heads * s.dv * 4), *y = room(tokens * width * 4);
    float *other = room(tokens * width * 4);
    int32_t *last = room(tokens * 4);
    size_t bytes = (size_t)(tokens * width) * sizeof *y;
    char name[64];
    snprintf(name, sizeof name, "paged_attention.%s", isa);
    for (int64_t i = 0; i < tokens * s.heads * s.d; i++)
        q[i] = kit_number() * 2;
    for (int64_t i = 0; i < s.length * s.kv_heads * s.d; i++)
        keys[i] = kit_number();
    for (int64_t i = 0; i < s.length * s.kv_heads * s.dv; i++)
        values[i] = kit_number();
    for (int64_t i = 0; i < tokens; i++)
        last[i] = (int32_t)(s.length - tokens + i);
    if (tokens > 2) last[1] = -1; /* a place that nobody needs */
    cache c = cache_of(s, dtype, keys, values);
    t->cases++;
    double worst = INFINITY;
    if (attend(&c, name, q, last, tokens, y, 1, 0) >= 0 &&
        attend(&c, "paged_attention.portable", q, last, tokens, other, 1, 0) >= 0)
        worst = beside(y, other, tokens * width, &s);
    t->worst = fmax(t->worst, worst);
    t->near += worst <= 1;
    if (worst > 1)
        note("%s %lld heads %lld x %lld/%lld, length %lld, %lld at once: %g",
             op_host_dtype_name(&k.host.table, dtype), (long long)s.heads,
             (long long)s.kv_heads, (long long)s.d, (long long)s.dv, (long long)s.length,
             (long long)tokens, worst);
    t->together +=
        attend(&c, name, q, last, tokens, other, 3, 1) >= 0 && !memcmp(y, other, bytes);
    int alone = 1;
    for (int64_t i = 0, some; i < tokens; i += some) { /* one by one, and in threes */
        some = i % 2 && i + 3 <= tokens ? 3 : 1;
        alone &= attend(&c, name, q + i * s.heads * s.d, last + i, some, other + i * width,
                        1, 0) >= 0;
    }
    t->alone += alone && !memcmp(y, other, bytes);
    digest_add(y, bytes);
    cache moved = cache_of(s, dtype, keys, values);
    t->moved +=
        attend(&moved, name, q, last, tokens, other, 1, 0) >= 0 && !memcmp(y, other, bytes);
    cache_free(&c);
    cache_free(&moved);
    free(q), free(keys), free(values), free(y), free(other), free(last);
}

static void test_shapes(const char *format)
{
    static const shape shapes[] = {
        {32, 4, 64, 64, 16, 0}, {15, 5, 64, 64, 16, 0}, {2, 2, 128, 128, 16, 0},
        {8, 1, 32, 96, 16, 0},  {3, 3, 32, 32, 5, 0},   {70, 1, 32, 32, 16, 0},
        {9, 3, 80, 48, 16, 0},  {4, 2, 20, 7, 3, 0},    {1, 1, 1, 1, 1, 0}};
    static const int64_t lengths[] = {1, 15, 16, 17, 63, 65, 200, 511, 513, 1100};
    static const int64_t tokens[] = {1, 3, 40, 70};
    int32_t dtype = op_host_dtype(&k.host.table, format);
    const evla_dtype *d = op_host_dtype_table(&k.host.table, dtype);
    int64_t block = d ? d->block_elements : 1;
    tally t = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            shape s = shapes[i];
            int64_t some = tokens[(i + j) % 4];
            s.length = lengths[j];
            if (s.kv_heads * s.d % block || s.kv_heads * s.dv % block) continue;
            one_shape(&t, s, dtype, some < s.length ? some : s.length);
        }
    ok(t.near == t.cases,
       "%s: in %s it is near the portable kernel in %d of %d cases, worst at %.2f of the "
       "bound",
       isa, format, t.near, t.cases, t.worst);
    ok(t.alone == t.cases,
       "%s: in %s a query has the same bits alone, in threes and among all", isa, format);
    ok(t.together == t.cases,
       "%s: in %s three threads from the other end give the same bits", isa, format);
    ok(t.moved == t.cases, "%s: in %s other blocks give the same bits", isa, format);
}

/* ---- numbers that are none ---- */

static void test_special(void)
{
    shape s = {4, 2, 16, 16, 16, 100};
    float q[64], keys[3200], values[3200], y[64];
    char name[64];
    snprintf(name, sizeof name, "paged_attention.%s", isa);
    for (int i = 0; i < 64; i++)
        q[i] = kit_number();
    for (int i = 0; i < 3200; i++)
        keys[i] = kit_number(), values[i] = kit_number();
    keys[50 * 32 + 3] = NAN; /* head 0 of position 50 */
    values[70 * 32 + 20] = NAN;
    cache c = cache_of(s, EVLA_F32, keys, values);
    int good = 1;
    for (int32_t last = 48; last < 100; last++) {
        good &= attend(&c, name, q, &last, 1, y, 1, 0) >= 0;
        for (int i = 0; i < 64; i++) {
            int nan = i < 32 ? last >= 50 : last >= 70 && i % 16 == 4;
            good &= (y[i] != y[i]) == nan;
        }
    }
    ok(good,
       "%s: NaN shows in the heads and entries that attend to it, and only from its "
       "position on",
       isa);
    cache_free(&c);
    for (int i = 0; i < 3200; i++)
        keys[i] = i % 32 < 16 ? -INFINITY : 0;
    for (int i = 0; i < 64; i++)
        q[i] = 1, values[i] = 1;
    values[50 * 32 + 3] = 0, values[70 * 32 + 20] = 0;
    cache none = cache_of(s, EVLA_F32, keys, values);
    int32_t last = 99;
    good = attend(&none, name, q, &last, 1, y, 1, 0) >= 0;
    for (int i = 0; i < 32; i++)
        good &= y[i] == 0 && y[32 + i] == y[32 + i];
    ok(good, "%s: scores of -inf weigh nothing; all of them give 0", isa);
    last = 112;
    ok(attend(&none, name, q, &last, 1, y, 1, 0) == EVLA_E_RANGE &&
           strstr(k.host.why, "table has block -9 at place 7"),
       "%s: %s", isa, k.host.why);
    last = 128;
    ok(attend(&none, name, q, &last, 1, y, 1, 0) == EVLA_E_RANGE &&
           strstr(k.host.why, "last is 128 for query 0"),
       "%s: %s", isa, k.host.why);
    cache_free(&none);
}

static uint64_t test_machine(const char *name)
{
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return 0;
    }
    isa = name;
    *kit_seed() = digest = 1;
    test_shapes("f32");
    test_shapes("bf16");
    test_shapes("f16");
    test_shapes("q8_0");
    test_shapes("q5_0"); /* read by its own decode */
    test_special();
    return digest;
}

int main(void)
{
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    ok(kit_load(&k, "ops") && kit_load(&k, "half") && kit_load(&k, "gguf"),
       "the portable kernel and the formats are there");
    uint64_t narrow = test_machine("avx2"), wide = test_machine("avx512");
    ok(narrow == wide || !narrow || !wide, "both give the same bits");
    return tap_done();
}
