/*
 * t_x86_attention.c -- attention of plugins/cpu-x86 beside the portable kernel, on heads
 * that fit no vector, with masks of every shape, with products of f32 and of bf16; its
 * derivative beside the portable kernel and sums in f64; and what their bits do not depend
 * on.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

static kit k;
static evla_machine machine;
static const char *isa;
static int32_t products; /* EVLA_PRODUCTS_* */

static float *numbers(int64_t n)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = 3 * kit_number();
    return x;
}

typedef struct shape {
    int64_t batch, tq, tk, heads, kv_heads, d, dv;
    int32_t causal;
    int32_t mask; /* 0: none; 1: bool [tk]; 2: f32 [heads,tq,tk]; 3: bool [tq,1] */
} shape;

typedef struct tensors {
    float *q, *k, *v, *y;
    void *mask;
    int64_t n_y;
} tensors;

static tensors tensors_of(const shape *s)
{
    tensors t = {.q = numbers(s->batch * s->tq * s->heads * s->d),
                 .k = numbers(s->batch * s->tk * s->kv_heads * s->d),
                 .v = numbers(s->batch * s->tk * s->kv_heads * s->dv),
                 .n_y = s->batch * s->tq * s->heads * s->dv};
    int64_t n = s->mask == 2 ? s->heads * s->tq * s->tk : s->mask == 1 ? s->tk : s->tq;
    t.y = numbers(t.n_y);
    float *add = numbers(n);
    uint8_t *allow = malloc((size_t)n + 1);
    for (int64_t i = 0; i < n; i++) {
        allow[i] = kit_draw() % 3 > 0;
        if (kit_draw() % 4 == 0) add[i] = -INFINITY;
    }
    t.mask = s->mask == 2 ? (void *)add : allow;
    free(s->mask == 2 ? (void *)allow : add);
    return t;
}

static void forget(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->y), free(t->mask);
}

static int32_t attend(const char *kernel, const shape *s, const tensors *t, float *y,
                      int32_t workers, int backwards)
{
    const evla_attention_params p = {.heads = s->heads,
                                     .kv_heads = s->kv_heads,
                                     .causal = s->causal,
                                     .products = products};
    kit_node n = {.op = "attention", .params = &p, .n_in = s->mask ? 4 : 3, .made = {y}};
    n.in[0] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tq, s->heads * s->d});
    n.in[1] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tk, s->kv_heads * s->d});
    n.in[2] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tk, s->kv_heads * s->dv});
    if (s->mask == 1) n.in[3] = kit_type(EVLA_BOOL, 1, (int64_t[]){s->tk});
    if (s->mask == 2) n.in[3] = kit_type(EVLA_F32, 3, (int64_t[]){s->heads, s->tq, s->tk});
    if (s->mask == 3) n.in[3] = kit_type(EVLA_BOOL, 2, (int64_t[]){s->tq, 1});
    n.data[0] = t->q, n.data[1] = t->k, n.data[2] = t->v, n.data[3] = t->mask;
    int32_t st = kit_infer(&k, &n);
    return st < 0 ? st : kit_once(&k, kernel, &machine, &n, workers, backwards);
}

static const char *fast(void)
{
    static char name[64];
    snprintf(name, sizeof name, "attention.%s", isa);
    return name;
}

/* The largest difference, and the root of the mean square; 1 where a kernel failed. Bits by
 * two workers, tiles from the last on, are the same. */
static double far(const shape *s, double *rms)
{
    tensors t = tensors_of(s);
    float *want = numbers(t.n_y), *again = numbers(t.n_y);
    double most = 0, squares = 0;
    int good = attend("attention.portable", s, &t, want, 1, 0) >= 0 &&
               attend(fast(), s, &t, t.y, 1, 0) >= 0 &&
               attend(fast(), s, &t, again, 2, 1) >= 0 &&
               !memcmp(again, t.y, (size_t)t.n_y * sizeof *again);
    for (int64_t i = 0; i < t.n_y; i++) {
        double d = fabs((double)t.y[i] - (double)want[i]);
        if (!(d <= most)) most = d == d ? d : 1;
        squares += d * d;
    }
    *rms = t.n_y ? sqrt(squares / (double)t.n_y) : 0;
    free(want), free(again);
    forget(&t);
    return good ? most : 1;
}

static void test_portable(void)
{
    static const shape shapes[] = {
        {1, 197, 197, 6, 6, 64, 64, 0, 0}, {2, 65, 65, 4, 4, 72, 72, 0, 0},
        {1, 50, 241, 5, 5, 80, 80, 0, 1},  {1, 33, 33, 2, 2, 128, 128, 1, 0},
        {3, 17, 40, 6, 2, 64, 32, 0, 2},   {1, 1, 1, 1, 1, 1, 1, 0, 0},
        {2, 9, 5, 4, 1, 7, 3, 1, 0},       {1, 40, 577, 2, 2, 64, 64, 0, 1},
        {1, 12, 1025, 1, 1, 20, 50, 1, 2}, {1, 30, 30, 3, 3, 16, 33, 0, 3},
        {1, 4, 0, 2, 2, 8, 8, 0, 0},       {0, 4, 4, 2, 2, 8, 8, 0, 0},
        {1, 0, 4, 2, 2, 8, 8, 0, 0},       {1, 2, 40000, 1, 1, 4, 4, 0, 0},
        {1, 200, 220, 2, 2, 64, 72, 1, 0}};
    double most = 0, mean = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double rms, d = far(&shapes[i], &rms);
        if (d > most) most = d;
        if (rms > mean) mean = rms;
    }
    if (products == EVLA_PRODUCTS_PLAIN)
        ok(most < 3e-5,
           "%s: attention is within 3e-5 of the portable kernel on values up to 3 (found "
           "%.1e: scores up to 9 sqrt(d) round in f32), the same bits by two workers",
           isa, most);
    else
        ok(most < 0x1p-7 && mean < 1e-4,
           "%s: with products of bf16 within 2^-7 (found %.1e: a weight that an f32's last "
           "bit takes to its neighbour), on the mean within 1e-4 (%.1e)",
           isa, most, mean);
}

/* Keys that are masked out may be absent or hold anything; queries may come one by one. */
static void test_bits(void)
{
    shape s = {1, 20, 700, 2, 2, 64, 40, 0, 1}, less = s;
    tensors t = tensors_of(&s);
    float *want = numbers(t.n_y);
    uint8_t *allow = t.mask;
    int64_t row_k = s.heads * s.d, row_v = s.heads * s.dv;
    for (int64_t j = 0; j < s.tk; j++)
        allow[j] = j < 300;
    less.tk = 300;
    less.mask = 0;
    int good = attend(fast(), &less, &t, want, 1, 0) >= 0;
    t.k[500 * row_k] = t.v[400 * row_v + 3] = NAN;
    t.v[600 * row_v + 50] = INFINITY;
    good = good && attend(fast(), &s, &t, t.y, 1, 0) >= 0;
    ok(good && !memcmp(want, t.y, (size_t)t.n_y * sizeof *want),
       "%s: keys masked out change no bit, whatever they hold", isa);
    int same = 1;
    less.tq = 1;
    for (int64_t r = 0; r < s.tq; r++) {
        tensors one = t;
        one.q = t.q + r * row_k;
        same = same && attend(fast(), &less, &one, one.y, 1, 0) >= 0 &&
               !memcmp(one.y, want + r * row_v, (size_t)row_v * sizeof *want);
    }
    ok(same, "%s: a query's bits do not depend on how many there are", isa);
    memset(allow, 0, (size_t)s.tk);
    good = attend(fast(), &s, &t, t.y, 1, 0) >= 0;
    for (int64_t i = 0; i < t.n_y; i++)
        good = good && t.y[i] == 0;
    ok(good, "%s: a row that sees nothing is 0", isa);
    free(want);
    forget(&t);
}

/* ---- the derivative ---- */

static int64_t count_of(const shape *s, int32_t i) /* of dq, dk, dv */
{
    return i == 0 ? s->batch * s->tq * s->heads * s->d
                  : s->batch * s->tk * s->kv_heads * (i == 1 ? s->d : s->dv);
}

/* t->y is dy. */
static int32_t derive(const char *set, const shape *s, const tensors *t, float *const *d,
                      int32_t workers, int backwards)
{
    const evla_attention_params p = {
        .heads = s->heads, .kv_heads = s->kv_heads, .causal = s->causal};
    kit_node n = {.op = "attention_grad",
                  .params = &p,
                  .n_in = s->mask ? 5 : 4,
                  .made = {d[0], d[1], d[2]}};
    n.in[0] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tq, s->heads * s->dv});
    n.in[1] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tq, s->heads * s->d});
    n.in[2] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tk, s->kv_heads * s->d});
    n.in[3] = kit_type(EVLA_F32, 3, (int64_t[]){s->batch, s->tk, s->kv_heads * s->dv});
    if (s->mask == 1) n.in[4] = kit_type(EVLA_BOOL, 1, (int64_t[]){s->tk});
    if (s->mask == 2) n.in[4] = kit_type(EVLA_F32, 3, (int64_t[]){s->heads, s->tq, s->tk});
    if (s->mask == 3) n.in[4] = kit_type(EVLA_BOOL, 2, (int64_t[]){s->tq, 1});
    n.data[0] = t->y, n.data[1] = t->q, n.data[2] = t->k, n.data[3] = t->v;
    n.data[4] = t->mask;
    char kernel[64];
    snprintf(kernel, sizeof kernel, "attention_grad.%s", set);
    int32_t st = kit_infer(&k, &n);
    return st < 0 ? st : kit_once(&k, kernel, &machine, &n, workers, backwards);
}

static double allowed(const shape *s, const tensors *t, int64_t head, int64_t query,
                      int64_t key)
{
    if (s->causal && key > query + s->tk - s->tq) return -INFINITY;
    const uint8_t *allow = t->mask;
    if (s->mask == 2) return ((const float *)t->mask)[(head * s->tq + query) * s->tk + key];
    if (s->mask == 1) return allow[key] ? 0 : -INFINITY;
    return !s->mask || allow[query] ? 0 : -INFINITY;
}

/* The same in f64, one query after the other. */
static void derive_exactly(const shape *s, const tensors *t, double *const *d)
{
    double *p = malloc((size_t)(s->tk + 1) * sizeof *p),
           *dp = malloc((size_t)(s->tk + 1) * sizeof *dp), scale = 1 / sqrt((double)s->d);
    for (int32_t i = 0; i < 3; i++)
        memset(d[i], 0, (size_t)count_of(s, i) * sizeof **d);
    for (int64_t row = 0; row < s->batch * s->tq * s->heads; row++) {
        int64_t head = row % s->heads, query = row / s->heads % s->tq;
        int64_t batch = row / s->heads / s->tq, kv = head / (s->heads / s->kv_heads);
        const float *q = t->q + row * s->d, *dy = t->y + row * s->dv;
        double top = -INFINITY, sum = 0, along = 0;
        for (int64_t j = 0; j < s->tk; j++) {
            int64_t at = (batch * s->tk + j) * s->kv_heads + kv;
            p[j] = dp[j] = 0;
            for (int64_t c = 0; c < s->d; c++)
                p[j] += (double)q[c] * (double)t->k[at * s->d + c];
            for (int64_t c = 0; c < s->dv; c++)
                dp[j] += (double)dy[c] * (double)t->v[at * s->dv + c];
            p[j] = p[j] * scale + allowed(s, t, head, query, j);
            if (p[j] > top) top = p[j];
        }
        for (int64_t j = 0; j < s->tk; j++)
            sum += p[j] = top > -INFINITY ? exp(p[j] - top) : 0;
        for (int64_t j = 0; j < s->tk && sum > 0; j++)
            along += (p[j] /= sum) * dp[j];
        for (int64_t j = 0; j < s->tk; j++) {
            int64_t at = (batch * s->tk + j) * s->kv_heads + kv;
            double ds = p[j] * (dp[j] - along) * scale;
            for (int64_t c = 0; c < s->d; c++) {
                d[0][row * s->d + c] += ds * (double)t->k[at * s->d + c];
                d[1][at * s->d + c] += ds * (double)q[c];
            }
            for (int64_t c = 0; c < s->dv; c++)
                d[2][at * s->dv + c] += p[j] * (double)dy[c];
        }
    }
    free(p), free(dp);
}

/* How far the kernel and the portable one are from f64 and from each other, in parts of the
 * largest of a gradient; 1 where one failed. */
static double far_grad(const shape *s, double *portable, double *apart)
{
    tensors t = tensors_of(s);
    float *fast_d[3], *want[3], *again[3];
    double *exact[3], most = 0;
    for (int32_t i = 0; i < 3; i++) {
        fast_d[i] = numbers(count_of(s, i));
        want[i] = numbers(count_of(s, i));
        again[i] = numbers(count_of(s, i));
        exact[i] = malloc((size_t)(count_of(s, i) + 1) * sizeof **exact);
    }
    int good = derive("portable", s, &t, want, 1, 0) >= 0 &&
               derive(isa, s, &t, fast_d, 1, 0) >= 0 &&
               derive(isa, s, &t, again, 2, 1) >= 0;
    derive_exactly(s, &t, exact);
    *portable = *apart = 0;
    for (int32_t i = 0; i < 3; i++) {
        int64_t n = count_of(s, i);
        double largest = 1e-30;
        good = good && !memcmp(again[i], fast_d[i], (size_t)n * sizeof **again);
        for (int64_t j = 0; j < n; j++)
            largest = fmax(largest, fabs(exact[i][j]));
        if (largest < 1) largest = 1;
        for (int64_t j = 0; j < n; j++) {
            double x = (double)fast_d[i][j], y = (double)want[i][j];
            double off[] = {fabs(x - exact[i][j]), fabs(y - exact[i][j]), fabs(x - y)};
            double *to[] = {&most, portable, apart};
            for (int e = 0; e < 3; e++)
                if (!(off[e] / largest <= *to[e]))
                    *to[e] = off[e] == off[e] ? off[e] / largest : 1;
        }
        free(fast_d[i]), free(want[i]), free(again[i]), free(exact[i]);
    }
    forget(&t);
    return good ? most : 1;
}

static void test_grad(void)
{
    static const shape shapes[] = {
        {1, 50, 291, 15, 5, 64, 64, 0, 1}, {2, 65, 65, 4, 4, 72, 72, 0, 0},
        {1, 33, 33, 2, 2, 128, 128, 1, 0}, {3, 17, 40, 6, 2, 64, 32, 0, 2},
        {1, 1, 1, 1, 1, 1, 1, 0, 0},       {2, 9, 5, 4, 1, 7, 3, 1, 0},
        {1, 12, 600, 1, 1, 20, 50, 1, 2},  {1, 30, 30, 3, 3, 16, 33, 0, 3},
        {1, 4, 0, 2, 2, 8, 8, 0, 0},       {0, 4, 4, 2, 2, 8, 8, 0, 0},
        {1, 0, 4, 2, 2, 8, 8, 0, 0},       {1, 150, 160, 4, 2, 64, 72, 1, 0}};
    double most = 0, portable = 0, apart = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double of_portable, between, d = far_grad(&shapes[i], &of_portable, &between);
        most = fmax(most, d);
        portable = fmax(portable, of_portable);
        apart = fmax(apart, between);
    }
    ok(most < 1e-5 && portable < 1e-5,
       "%s: attention_grad is within 1e-5 of the largest of f64's, for values up to 3 "
       "(found "
       "%.1e, the portable kernel %.1e), the same bits by two workers",
       isa, most, portable);
    ok(apart < 2e-5, "%s: within 2e-5 of the portable kernel (found %.1e)", isa, apart);
}

/* A key that is hidden from all, and a query that sees nothing, may hold anything. */
static void test_hidden(void)
{
    shape keys = {1, 70, 300, 4, 2, 64, 40, 0, 1}, queries = keys;
    queries.mask = 3;
    for (int of_queries = 0; of_queries < 2; of_queries++) {
        shape *s = of_queries ? &queries : &keys;
        tensors t = tensors_of(s);
        uint8_t *allow = t.mask;
        float *want[3], *found[3];
        for (int32_t i = 0; i < 3; i++) {
            want[i] = numbers(count_of(s, i));
            found[i] = numbers(count_of(s, i));
        }
        for (int64_t j = 0; j < (of_queries ? s->tq : s->tk); j++)
            allow[j] = j % 7 != 3;
        int good = derive(isa, s, &t, want, 1, 0) >= 0;
        if (of_queries) {
            t.q[10 * s->heads * s->d + 5] = t.y[66 * s->heads * s->dv] = NAN;
            t.y[3 * s->heads * s->dv + 50] = INFINITY;
        } else {
            t.k[10 * s->kv_heads * s->d + 5] = t.v[66 * s->kv_heads * s->dv] = NAN;
            t.k[297 * s->kv_heads * s->d + 70] = INFINITY;
        }
        good = good && derive(isa, s, &t, found, 2, 0) >= 0;
        for (int32_t i = 0; i < 3; i++)
            for (int64_t j = 0; j < count_of(s, i); j++)
                good = good && found[i][j] == want[i][j];
        ok(good, "%s: attention_grad: %s change no number, whatever they hold", isa,
           of_queries ? "queries that see nothing" : "keys masked out");
        for (int32_t i = 0; i < 3; i++)
            free(want[i]), free(found[i]);
        forget(&t);
    }
}

static void test_machine(const char *name)
{
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    isa = name;
    for (products = strcmp(name, "bf16") == 0; products <= EVLA_PRODUCTS_BF16; products++) {
        test_portable();
        test_bits();
    }
    if (strcmp(name, "bf16") == 0) return; /* has no derivative of its own */
    test_grad();
    test_hidden();
}

int main(void)
{
    if (!kit_load(&k, "ops")) return skip_all("plugins/ops.so is not built");
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    test_machine("avx2");
    test_machine("avx512");
    test_machine("bf16");
    return tap_done();
}
