/*
 * t_x86_panels.c -- plugins/cpu-x86: linear and coded_linear with weights in f32, f16 and
 * bf16 that lie in panels, beside the product of plain f32 rows.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

static kit k;
static evla_machine machine;
enum { CASES = 40 };

/* Numbers that bf16 and f16 hold exactly, a few, or any. */
static float *numbers(int64_t n, int is_coarse)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = is_coarse ? (float)(kit_draw() % 511) / 256.0f - 1.0f : kit_number();
    return x;
}

static void *encoded(const char *format, const float *x, int64_t n)
{
    const evla_host *h = &k.host.table;
    void *to = malloc((size_t)n * 2 + 64);
    h->dtype_table(h, h->dtype(h, format))->encode(h, x, n, to);
    return to;
}

static void decode(const char *format, const void *codes, int64_t n, float *x)
{
    const evla_host *h = &k.host.table;
    h->dtype_table(h, h->dtype(h, format))->decode(h, codes, n, x);
}

/* ---- one node in all its ways ---- */

typedef struct tally {
    int cases, packed, plain, alone, together, rows;
    double worst;
} tally;

static int same(const char *kernel, kit_node n, int workers, const float *want,
                int64_t count)
{
    float *y = malloc((size_t)count * sizeof *y + 64);
    n.made[0] = y;
    int good = kit_once(&k, kernel, &machine, &n, workers, workers > 1) >= 0 &&
               !memcmp(y, want, (size_t)count * sizeof *y);
    free(y);
    return good;
}

/* Input i as the kernel wants it to lie, after a look at what it then holds. */
static void *pack(const char *kernel, kit_node *n, int32_t i, const float *decoded,
                  tally *t)
{
    const evla_kernel *table = kit_find(&k, EVLA_KERNEL, kernel)->table;
    evla_node seen = kit_view_node(n);
    const evla_layout *l = table->layout(&k.host.table, &machine, &seen, i);
    int64_t width = n->in[i].shape[1];
    if (!l) return NULL;
    void *packed = kit_pack(&k, l, &n->in[i], n->data[i]);
    float *row = malloc((size_t)width * sizeof *row);
    int good = 1;
    for (int64_t r = 0; r < n->in[i].shape[0]; r++) {
        l->row(&n->in[i], packed, r, row);
        good &= !memcmp(row, decoded + r * width, (size_t)width * sizeof *row);
    }
    free(row);
    t->rows += good;
    n->layout[i] = l;
    return n->data[i] = packed;
}

/* want: NULL: the kernel's own bits count, with plain rows; else it has to have these. */
static void try_node(const char *kernel, kit_node *n, int32_t w, const float *decoded,
                     float *want, int is_oracle, tally *t)
{
    int64_t m = n->in[0].shape[0], cols = n->in[w].shape[0], count = m * cols;
    int64_t cut = kit_draw() % (uint32_t)m;
    n->made[0] = want;
    t->cases++;
    if (!is_oracle)
        t->plain += kit_once(&k, kernel, &machine, n, 1, 0) >= 0;
    else
        t->plain += same(kernel, *n, 1, want, count);
    void *packed = pack(kernel, n, w, decoded, t);
    t->packed += packed && same(kernel, *n, 1, want, count);
    t->together += same(kernel, *n, 2, want, count);
    kit_node some = *n;
    some.in[0].shape[0] = some.out[0].shape[0] = m - cut;
    some.data[0] =
        (char *)n->data[0] +
        cut * op_host_dtype_bytes(&k.host.table, n->in[0].dtype, n->in[0].shape[1]);
    t->alone += same(kernel, some, 1, want + cut * cols, (m - cut) * cols);
    free(packed);
}

/* y = x w^T + b, then relu, of f32 in plain rows: what t_cpu_x86 holds to its definition.
 */
static void multiply(const char *isa, int64_t m, int64_t cols, int64_t d, float *x,
                     float *w, float *b, float *y)
{
    static const evla_linear_params p;
    static const evla_tail relu = {.op = "relu", .other = -1};
    char kernel[32];
    kit_node n = {.op = "linear", .params = &p, .n_in = 3, .n_tail = 1, .tail = {relu}};
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){m, d});
    n.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){cols, d});
    n.in[2] = kit_type(EVLA_F32, 1, (int64_t[]){cols});
    n.data[0] = x, n.data[1] = w, n.data[2] = b, n.made[0] = y;
    snprintf(kernel, sizeof kernel, "linear.%s", isa);
    if (kit_infer(&k, &n) < 0 || kit_once(&k, kernel, &machine, &n, 1, 0) < 0) exit(1);
}

/* ---- claims ---- */

static void one_case(const char *isa, const char *format, tally *t)
{
    static const evla_linear_params p;
    int64_t m = 1 + kit_draw() % 40, cols = 1 + kit_draw() % 200,
            d = 2 * (1 + kit_draw() % 400);
    int is_f32 = !strcmp(format, "f32");
    if (is_f32) cols = cols < 32 ? 32 : cols / 32 * 32 - kit_draw() % 4;
    float *x = numbers(m * d, 0), *w = numbers(cols * d, 0), *b = numbers(cols, 0);
    float *y = numbers(m * cols, 0);
    void *wc = w;
    op_host_init(&k.host);
    if (!is_f32) decode(format, wc = encoded(format, w, cols * d), cols * d, w);
    multiply(isa, m, cols, d, x, w, b, y);
    int32_t id = k.host.table.dtype(&k.host.table, format);
    char kernel[32];
    snprintf(kernel, sizeof kernel, "linear.%s", isa);
    kit_node n = {.op = "linear",
                  .params = &p,
                  .n_in = 3,
                  .n_tail = 1,
                  .tail = {{.op = "relu", .other = -1}}};
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){m, d});
    n.in[1] = kit_type(id, 2, (int64_t[]){cols, d});
    n.in[2] = kit_type(EVLA_F32, 1, (int64_t[]){cols});
    n.data[0] = x, n.data[1] = wc, n.data[2] = b;
    if (kit_infer(&k, &n) < 0) note("%s", k.host.why);
    try_node(kernel, &n, 1, w, y, 1, t);
    if (wc != w) free(wc);
    free(x), free(w), free(b), free(y);
}

static void report(const char *isa, const char *what, const tally *t)
{
    ok(t->rows == t->cases, "%s: %s: rows of panels decode to the same bits", isa, what);
    ok(t->packed == t->cases && t->plain == t->cases,
       "%s: %s has the bits of linear on plain f32 rows with a bias and relu, from panels "
       "and from plain rows",
       isa, what);
    ok(t->alone == t->cases && t->together == t->cases,
       "%s: %s: some rows alone, or two workers backwards: the same bits", isa, what);
}

/* Beside the exact sum: 128 pairs of a block and the blocks are rounded one after the
 * other, a pair itself up to twice. */
static double bf16_distance(const float *x, const float *w, const float *y, int64_t m,
                            int64_t cols, int64_t d)
{
    double worst = 0, unit = (2 * 128 + (double)d / 256 + 1) * 0x1p-24;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0, size = 0;
            for (int64_t e = 0; e < d; e++) {
                double v = (double)x[i * d + e] * (double)w[j * d + e];
                sum += v;
                size += fabs(v);
            }
            double off = fabs((double)y[i * cols + j] - sum) / (unit * size + 1e-30);
            worst = off == off ? fmax(worst, off) : INFINITY;
        }
    return worst;
}

static void test_bf16(void)
{
    tally t = {0};
    int exact = 0, n_exact = 0;
    for (int c = 0; c < CASES; c++) {
        int64_t m = 1 + kit_draw() % 40, cols = 1 + kit_draw() % 100,
                d = 2 * (1 + kit_draw() % 400);
        int is_coarse = c % 2;
        float *x = numbers(m * d, is_coarse), *w = numbers(cols * d, is_coarse),
              *y = numbers(m * cols, 0);
        op_host_init(&k.host);
        void *xc = encoded("bf16", x, m * d), *wc = encoded("bf16", w, cols * d);
        decode("bf16", xc, m * d, x), decode("bf16", wc, cols * d, w);
        int32_t id = k.host.table.dtype(&k.host.table, "bf16");
        kit_node n = {.op = "coded_linear", .n_in = 3, .data = {xc, NULL, wc}};
        n.in[0] = kit_type(id, 2, (int64_t[]){m, d});
        n.in[1] = (evla_type){.rank = -1};
        n.in[2] = kit_type(id, 2, (int64_t[]){cols, d});
        if (kit_infer(&k, &n) < 0) note("%s", k.host.why);
        try_node("half_linear.bf16", &n, 2, w, y, 0, &t);
        double off = bf16_distance(x, w, y, m, cols, d);
        t.worst = fmax(t.worst, off);
        /* multiples of 2^-16 below 2^8: every sum is exact */
        if (is_coarse && d <= 256) n_exact++, exact += off == 0;
        free(x), free(w), free(y), free(xc), free(wc);
    }
    ok(t.rows == t.cases, "bf16: rows of panels decode to the same bits");
    ok(t.worst <= 1,
       "bf16: as near to the exact product as (257 + K/256) 2^-24 sum|x w|; worst is %.3f "
       "of "
       "it",
       t.worst);
    ok(n_exact > 2 && exact == n_exact, "bf16: sums that need no rounding are exact");
    ok(t.plain == t.cases && t.packed == t.cases && t.alone == t.cases &&
           t.together == t.cases,
       "bf16: plain rows, some rows alone, two workers backwards: the same bits");
}

static void test_machine(const char *name, const char *isa)
{
    static const struct {
        const char *format, *what;
    } all[] = {{"f32", "linear with packed f32"},
               {"f16", "linear with f16"},
               {"bf16", "linear with bf16"}};
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    *kit_seed() = 1;
    for (size_t i = 0; i < sizeof all / sizeof *all && strcmp(isa, "bf16") != 0; i++) {
        tally t = {0};
        for (int c = 0; c < CASES; c++)
            one_case(isa, all[i].format, &t);
        report(isa, all[i].what, &t);
    }
    if (!strcmp(isa, "bf16")) test_bf16();
}

/* Seven rows in a panel of 32 would be read four times as long. */
static void test_small(void)
{
    const evla_kernel *linear = kit_find(&k, EVLA_KERNEL, "linear.avx2")->table;
    evla_machine m = {.size = sizeof m, .name = "avx2", .features = "avx2 fma"};
    static const evla_linear_params p;
    kit_node n = {.op = "linear", .params = &p, .n_in = 2};
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){3, 64});
    n.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){7, 64});
    kit_infer(&k, &n);
    evla_node seen = kit_view_node(&n);
    ok(!linear->layout(&k.host.table, &m, &seen, 1), "few rows of f32 stay as they are");
    n.in[1].shape[0] = 64;
    ok(linear->layout(&k.host.table, &m, &seen, 1) != NULL, "64 rows become panels");
    ok(!linear->layout(&k.host.table, &m, &seen, 0), "x does not");
}

int main(void)
{
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    if (!kit_load(&k, "ops") || !kit_load(&k, "half"))
        return skip_all("plugins ops and half are not both built");
    test_machine("avx2", "avx2");
    test_machine("avx512", "avx512");
    test_machine("bf16", "bf16");
    test_small();
    return tap_done();
}
