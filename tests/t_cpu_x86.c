/*
 * t_cpu_x86.c -- plugins/cpu-x86: every kernel beside the portable one, and beside its own
 * definition, on shapes that fit no vector.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

static kit k;
static evla_machine machine;
static char isa[16]; /* "avx512": the kernels at hand are called linear.avx512, ... */

static const char *named(const char *op, const char *ending)
{
    static char name[4][64];
    static int at;
    char *to = name[at++ % 4];
    snprintf(to, sizeof name[0], "%s.%s", op, ending);
    return to;
}

static const char *kernel(const char *op) { return named(op, isa); }
static const char *portable(const char *op) { return named(op, "portable"); }

/* ---- products ---- */

/* The order that x86.h defines: blocks of 256 terms, fused, ascending. */
static float defined(const float *a, int64_t a_step, const float *b, int64_t b_step,
                     int64_t n)
{
    float total = 0;
    for (int64_t from = 0; from < n; from += 256) {
        float s = 0;
        for (int64_t i = from; i < n && i < from + 256; i++)
            s = fmaf(a[i * a_step], b[i * b_step], s);
        total = from ? total + s : s;
    }
    return total;
}

/* Most that two orders of n roundings each may differ, per unit of sum |a b|: the portable
 * one needs at most 64 + n / 512 + 4, ours 256 + n / 256 + 1; unit 2^-24. */
static double tolerance(int64_t n)
{
    double mine = (double)(n < 256 ? n : 256) + (double)n / 256 + 1;
    double portable = (double)(n < 512 ? n : 512) / 8 + (double)n / 512 + 5;
    return (mine + portable) * 0x1p-24;
}

typedef struct tally {
    int cases, same, near, alone, together;
    double worst;
} tally;

/* Beside the portable kernel: the largest difference over what is allowed. */
static double beside(const float *have, const float *want, const float *size, int64_t count,
                     int64_t terms)
{
    double worst = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)have[i] - (double)want[i]);
        double most = tolerance(terms) * (double)size[i] + 1e-30;
        if (!(d <= most)) worst = fmax(worst, d == d ? d / most : INFINITY);
        worst = fmax(worst, d / most);
    }
    return worst;
}

static void one_linear(tally *t, int64_t m, int64_t cols, int64_t depth, int with_bias)
{
    evla_linear_params p = {cols};
    kit_node n = {.op = "linear", .params = &p, .n_in = 2 + with_bias};
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){m, depth});
    n.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){cols, depth});
    n.in[2] = kit_type(EVLA_F32, 1, (int64_t[]){cols});
    float *x = n.data[0] = kit_numbers(m * depth),
          *w = n.data[1] = kit_numbers(cols * depth);
    float *b = n.data[2] = kit_numbers(cols);
    float *y = n.made[0] = kit_numbers(m * cols), *again = kit_numbers(m * cols),
          *slow = kit_numbers(m * cols), *size = kit_numbers(m * cols);
    size_t bytes = (size_t)(m * cols) * sizeof *y;
    t->cases++;
    int32_t st = kit_infer(&k, &n);
    if (st >= 0) st = kit_once(&k, kernel("linear"), &machine, &n, 1, 0);
    int same = st >= 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < cols; j++) {
            float want = defined(x + i * depth, 1, w + j * depth, 1, depth), s = 0;
            if (with_bias) want += b[j];
            if (memcmp(&want, &y[i * cols + j], sizeof want)) same = 0;
            for (int64_t q = 0; q < depth; q++)
                s += fabsf(x[i * depth + q] * w[j * depth + q]);
            size[i * cols + j] = s + fabsf(b[j]);
        }
    if (!same)
        note("linear %lld x %lld x %lld", (long long)m, (long long)cols, (long long)depth);
    t->same += same;
    n.made[0] = slow;
    if (kit_once(&k, "linear.portable", &machine, &n, 1, 0) >= 0) {
        double worst = beside(y, slow, size, m * cols, depth);
        t->worst = fmax(t->worst, worst);
        t->near += worst <= 1;
    }
    n.made[0] = again;
    t->together +=
        kit_once(&k, kernel("linear"), &machine, &n, 2, 1) >= 0 && !memcmp(again, y, bytes);
    /* the last row alone */
    n.in[0].shape[0] = n.out[0].shape[0] = 1;
    n.data[0] = x + (m - 1) * depth;
    t->alone += kit_once(&k, kernel("linear"), &machine, &n, 1, 0) >= 0 &&
                !memcmp(again, y + (m - 1) * cols, (size_t)cols * sizeof *y);
    free(x), free(w), free(b), free(y), free(again), free(slow), free(size);
}

static void test_linear(void)
{
    static const int64_t ms[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 29, 65, 257};
    static const int64_t ns[] = {1,  3,  7,  8,  9,  15,  16,  17,
                                 31, 32, 33, 47, 64, 100, 129, 300};
    static const int64_t ks[] = {1,  2,  7,   8,   9,   15,  16, 17,
                                 31, 64, 255, 256, 257, 300, 520};
    tally t = {0};
    for (int i = 0; i < 260; i++) {
        int64_t m = ms[kit_draw() % 14], n = ns[kit_draw() % 16], d = ks[kit_draw() % 15];
        one_linear(&t, m, n, d, (int)(kit_draw() % 2));
    }
    one_linear(&t, 3, 5, 0, 1); /* nothing to add up: the bias */
    ok(t.same == t.cases, "%s: linear has the bits of its definition in %d of %d cases",
       isa, t.same, t.cases);
    ok(t.near == t.cases,
       "%s: linear is as near to the portable kernel as roundings of both orders allow: "
       "(257 + K/256 + 69 + K/512) 2^-24 sum|x w|; worst is %.3f of it",
       isa, t.worst);
    ok(t.alone == t.cases, "%s: linear: a row alone has the bits it has in the batch", isa);
    ok(t.together == t.cases,
       "%s: linear: two workers taking tiles backwards give the same bits", isa);
}

static int one_matmul(int batch_a, int batch_b, int64_t m, int64_t cols, int64_t depth,
                      int turn_a, int turn_b, double *worst)
{
    evla_matmul_params p = {turn_a, turn_b};
    kit_node n = {.op = "matmul", .params = &p, .n_in = 2};
    int64_t a_shape[] = {batch_a, turn_a ? depth : m, turn_a ? m : depth};
    int64_t b_shape[] = {batch_b, turn_b ? cols : depth, turn_b ? depth : cols};
    n.in[0] = kit_type(EVLA_F32, 3, a_shape);
    n.in[1] = kit_type(EVLA_F32, 3, b_shape);
    if (batch_b == 0) n.in[1] = kit_type(EVLA_F32, 2, b_shape + 1);
    int64_t batch = batch_a > batch_b ? batch_a : batch_b, each = m * cols;
    float *a = n.data[0] = kit_numbers(batch_a * m * depth);
    float *b = n.data[1] = kit_numbers((batch_b ? batch_b : 1) * cols * depth);
    float *y = n.made[0] = kit_numbers(batch * each), *again = kit_numbers(batch * each),
          *slow = kit_numbers(batch * each), *size = kit_numbers(batch * each);
    int good =
        kit_infer(&k, &n) >= 0 && kit_once(&k, kernel("matmul"), &machine, &n, 1, 0) >= 0;
    for (int64_t q = 0; q < batch; q++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < cols; j++) {
                const float *pa = a + (batch_a > 1 ? q * m * depth : 0),
                            *pb = b + (batch_b > 1 ? q * cols * depth : 0);
                int64_t sa = turn_a ? m : 1, sb = turn_b ? 1 : cols;
                pa += turn_a ? i : i * depth;
                pb += turn_b ? j * depth : j;
                float want = defined(pa, sa, pb, sb, depth), s = 0;
                for (int64_t d = 0; d < depth; d++)
                    s += fabsf(pa[d * sa] * pb[d * sb]);
                size[q * each + i * cols + j] = s;
                if (memcmp(&want, &y[q * each + i * cols + j], sizeof want)) good = 0;
            }
    n.made[0] = again;
    good = good && kit_once(&k, kernel("matmul"), &machine, &n, 2, 1) >= 0 &&
           !memcmp(again, y, (size_t)(batch * each) * sizeof *y);
    n.made[0] = slow;
    if (kit_once(&k, "matmul.portable", &machine, &n, 1, 0) < 0) good = 0;
    *worst = fmax(*worst, beside(y, slow, size, batch * each, depth));
    if (!good)
        note("matmul %d %d: %lld x %lld x %lld, %d %d", batch_a, batch_b, (long long)m,
             (long long)cols, (long long)depth, turn_a, turn_b);
    free(a), free(b), free(y), free(again), free(slow), free(size);
    return good;
}

static void test_matmul(void)
{
    static const int64_t ms[] = {1, 2, 5, 8, 9, 14, 15, 33, 100};
    static const int64_t ns[] = {1, 8, 9, 16, 31, 32, 33, 65, 140};
    static const int64_t ks[] = {1, 3, 8, 16, 17, 64, 256, 300};
    static const int pairs[][2] = {{1, 1}, {3, 3}, {1, 4}, {4, 1}, {3, 0}};
    int good = 0, cases = 0;
    double worst = 0;
    for (int i = 0; i < 300; i++, cases++) {
        const int *pair = pairs[kit_draw() % 5];
        int64_t m = ms[kit_draw() % 9], n = ns[kit_draw() % 9], d = ks[kit_draw() % 8];
        good += one_matmul(pair[0], pair[1], m, n, d, i & 1, i >> 1 & 1, &worst);
    }
    ok(good == cases,
       "%s: matmul with either side turned, in batches and broadcast, has the bits of its "
       "definition on one and two workers in %d of %d cases",
       isa, good, cases);
    ok(worst <= 1,
       "%s: matmul is near to the portable kernel; worst is %.3f of what is allowed", isa,
       worst);
}

/* ---- element-wise tails ---- */

static void test_tails(void)
{
    static const char *const unary[] = {"relu", "gelu", "silu",   "sigmoid", "tanh", "exp",
                                        "neg",  "abs",  "square", "sqrt",    "rsqrt"};
    static const char *const binary[] = {"add", "sub", "mul", "div", "maximum", "minimum"};
    static const evla_gelu_params gelu[2] = {{EVLA_GELU_NONE, 0}, {EVLA_GELU_TANH, 0}};
    int good = 0, cases = 0;
    for (int i = 0; i < 120; i++, cases++) {
        int64_t m = 1 + kit_draw() % 20, cols = 1 + kit_draw() % 150,
                d = 1 + kit_draw() % 40;
        evla_linear_params p = {cols};
        kit_node n = {.op = "linear", .params = &p, .n_in = 3};
        n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){m, d});
        n.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){cols, d});
        n.in[2] = kit_type(EVLA_F32, 1, (int64_t[]){cols});
        for (int q = 0; q < 3; q++)
            n.data[q] = kit_numbers(kit_count(&n.in[q]));
        float *y = kit_numbers(m * cols), *have = kit_numbers(m * cols);
        n.made[0] = y;
        int fine = kit_infer(&k, &n) >= 0 &&
                   kit_once(&k, kernel("linear"), &machine, &n, 1, 0) >= 0;
        /* the same with tails, and the portable operators one after the other */
        int tails = 1 + (int)(kit_draw() % 3);
        for (int q = 0; q < tails; q++) {
            kit_node one = {.n_in = 1, .in = {n.out[0]}, .data = {y}, .made = {y}};
            evla_tail *t = &n.tail[n.n_tail++];
            *t = (evla_tail){.other = -1};
            if (kit_draw() % 2) {
                one.op = t->op = unary[kit_draw() % 11];
                one.params = t->params = &gelu[kit_draw() % 2];
            } else {
                static const int64_t one_of = 1;
                t->op = one.op = binary[kit_draw() % 6];
                t->other = n.n_in;
                t->is_rhs = (int32_t)(kit_draw() % 2);
                int kind = (int)(kit_draw() % 4);
                n.in[n.n_in] = kind == 0   ? n.out[0]
                               : kind == 1 ? kit_type(EVLA_F32, 1, &cols)
                               : kind == 2 ? kit_type(EVLA_F32, 2, (int64_t[]){m, 1})
                                           : kit_type(EVLA_F32, 1, &one_of);
                n.data[n.n_in] = kit_numbers(kit_count(&n.in[n.n_in]));
                one.n_in = 2;
                one.in[!t->is_rhs] = n.in[n.n_in];
                one.in[t->is_rhs] = n.out[0];
                one.data[!t->is_rhs] = n.data[n.n_in];
                one.data[t->is_rhs] = y;
                n.n_in++;
            }
            float *next = kit_numbers(m * cols);
            one.made[0] = next;
            fine = fine && kit_infer(&k, &one) >= 0 &&
                   kit_once(&k, portable(one.op), &machine, &one, 1, 0) >= 0;
            free(y);
            y = next;
        }
        n.made[0] = have;
        fine = fine && kit_once(&k, kernel("linear"), &machine, &n, 2, 0) >= 0;
        for (int64_t q = 0; q < m * cols && fine; q++)
            if (memcmp(&y[q], &have[q], sizeof *y) && !(y[q] != y[q] && have[q] != have[q]))
                fine = 0;
        if (!fine) {
            note("tails %s %s %s", n.tail[0].op, tails > 1 ? n.tail[1].op : "",
                 tails > 2 ? n.tail[2].op : "");
            if (*k.host.why) note("%s", k.host.why);
        }
        good += fine;
        for (int q = 0; q < n.n_in; q++)
            free(n.data[q]);
        free(y), free(have);
    }
    ok(good == cases,
       "%s: tails give the bits of the portable operators standing alone in %d of %d cases",
       isa, good, cases);
}

/* ---- eight-bit codes ---- */

static int8_t *code_numbers(int64_t n, int extreme)
{
    int8_t *q = malloc((size_t)n + 1);
    for (int64_t i = 0; i < n; i++)
        q[i] = extreme ? (kit_draw() % 2 ? -128 : 127) : (int8_t)(kit_draw() & 255);
    return q;
}

/* The same with weights as the kernel wants them to lie, if it does: in rows of whole
 * words, and few that a last panel lacks. */
static int packed_codes(kit_node *n, const float *slow, size_t bytes)
{
    const evla_kernel *table = kit_find(&k, EVLA_KERNEL, kernel("quantized_linear"))->table;
    evla_node seen = kit_view_node(n);
    const evla_layout *l = table->layout(&k.host.table, &machine, &seen, 2);
    int64_t rows = n->in[2].shape[0], d = n->in[2].shape[1], lacks = (32 - rows % 32) % 32;
    if (!l) return d % 4 || !d || lacks * 8 > rows;
    kit_node other = *n;
    float *row = malloc((size_t)d * sizeof *row);
    const int8_t *plain = n->data[2];
    void *panels = other.data[2] = kit_pack(&k, l, &n->in[2], plain);
    other.layout[2] = l;
    int good = d % 4 == 0 && lacks * 8 <= rows;
    for (int64_t r = 0; r < rows; r++) {
        l->row(&n->in[2], panels, r, row);
        for (int64_t i = 0; i < d; i++)
            good = good && row[i] == (float)plain[r * d + i];
    }
    for (int workers = 1; workers < 3; workers++) {
        memset(n->made[0], 0, bytes);
        good = good &&
               kit_once(&k, kernel("quantized_linear"), &machine, &other, workers,
                        workers > 1) >= 0 &&
               !memcmp(n->made[0], slow, bytes);
    }
    free(row), free(panels);
    return good;
}

static int one_codes(int64_t m, int64_t cols, int64_t d, int per_token, int bias, int tail,
                     int extreme)
{
    static const evla_gelu_params gelu;
    kit_node n = {.op = "quantized_linear", .n_in = 4 + bias};
    n.in[0] = kit_type(EVLA_I8, 2, (int64_t[]){m, d});
    n.in[1] = kit_type(EVLA_F32, per_token ? 2 : 0, (int64_t[]){m, 1});
    n.in[2] = kit_type(EVLA_I8, 2, (int64_t[]){cols, d});
    n.in[3] = kit_type(EVLA_F32, 2, (int64_t[]){cols, 1});
    n.in[4] = kit_type(EVLA_F32, 1, (int64_t[]){cols});
    n.data[0] = code_numbers(m * d, extreme), n.data[2] = code_numbers(cols * d, extreme);
    n.data[1] = kit_numbers(m), n.data[3] = kit_numbers(cols),
    n.data[4] = kit_numbers(cols);
    float *y = n.made[0] = kit_numbers(m * cols), *slow = kit_numbers(m * cols);
    size_t bytes = (size_t)(m * cols) * sizeof *y;
    if (tail) {
        n.n_tail = 1;
        n.tail[0] = (evla_tail){.op = "gelu", .params = &gelu, .other = -1};
    }
    int good = kit_infer(&k, &n) >= 0;
    n.made[0] = slow;
    good = good && kit_once(&k, portable("quantized_linear"), &machine, &n, 1, 0) >= 0;
    n.made[0] = y;
    good = good && kit_once(&k, kernel("quantized_linear"), &machine, &n, 1, 0) >= 0 &&
           !memcmp(y, slow, bytes);
    memset(y, 0, bytes);
    good = good && kit_once(&k, kernel("quantized_linear"), &machine, &n, 2, 1) >= 0 &&
           !memcmp(y, slow, bytes) && packed_codes(&n, slow, bytes);
    if (!good)
        note("codes %lld x %lld x %lld %s", (long long)m, (long long)cols, (long long)d,
             k.host.why);
    for (int i = 0; i < 5; i++)
        free(n.data[i]);
    free(y), free(slow);
    return good;
}

static void test_codes(void)
{
    static const int64_t ms[] = {1, 2, 3, 4, 5, 7, 9, 12, 13, 61, 65, 130};
    static const int64_t ns[] = {1, 3, 4, 5, 15, 16, 17, 21, 29, 32, 60, 64, 131, 253, 260};
    static const int64_t ks[] = {1,  3,  4,  8,  20,  31,  32,   33,
                                 60, 63, 64, 65, 127, 256, 1000, 1100};
    int good = 0, cases = 0;
    for (; cases < 350; cases++) {
        int64_t m = ms[kit_draw() % 12], cols = ns[kit_draw() % 15],
                d = ks[kit_draw() % 16];
        good += one_codes(m, cols, d, (int)(kit_draw() % 2), (int)(kit_draw() % 2),
                          (int)(kit_draw() % 2), kit_draw() % 8 == 0);
    }
    ok(good == cases,
       "%s: quantized_linear has the bits of the portable kernel in %d of %d cases, "
       "from plain rows and panels, on one and two workers",
       isa, good, cases);
    ok(one_codes(2, 3, EVLA_QUANTIZED_MAX, 1, 1, 0, 1) &&
           one_codes(2, 31, EVLA_QUANTIZED_MAX / 4 * 4, 1, 1, 0, 1),
       "%s: also at the longest rows allowed, full of -128 and 127", isa);
    ok(one_codes(2, 5, 0, 1, 1, 0, 0), "%s: and of rows without terms: the bias", isa);
    ok(one_codes(1, 600, 1024, 0, 1, 1, 0) && one_codes(1, 200, 4100, 0, 1, 0, 0),
       "%s: and of weights beyond the second cache at one row", isa);
}

static int one_quantize(int64_t rows, int64_t d, int is_static, int odd)
{
    static const float specials[] = {NAN,   INFINITY, -INFINITY, 0.0f,
                                     -0.0f, 1e-44f,   3e38f,     -3e38f};
    kit_node n = {.op = "quantize", .n_in = 1 + is_static};
    float scale = 0.007f;
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){rows, d});
    n.in[1] = kit_type(EVLA_F32, 0, NULL);
    float *x = n.data[0] = kit_numbers(rows * d);
    n.data[1] = &scale;
    for (int64_t i = 0; i < rows * d; i++) {
        if (kit_draw() % 16 == 0)
            x[i] = ((float)(kit_draw() % 255) - 127.5f) * 0.007f; /* halves */
        if (odd && kit_draw() % 64 == 0) x[i] = specials[kit_draw() % 8];
        if (odd && i / d == 0) x[i] = 0;
        if (odd && i / d == 1) x[i] *= 2.66e-43f; /* the scale is rounded by a third */
    }
    int8_t *q = malloc((size_t)(rows * d) + 1), *slow = malloc((size_t)(rows * d) + 1);
    float *s = kit_numbers(rows), *slow_s = kit_numbers(rows);
    int good = kit_infer(&k, &n) >= 0;
    n.made[0] = slow, n.made[1] = slow_s;
    good = good && kit_once(&k, portable("quantize"), &machine, &n, 1, 0) >= 0;
    n.made[0] = q, n.made[1] = s;
    good = good && kit_once(&k, kernel("quantize"), &machine, &n, 2, 1) >= 0 &&
           !memcmp(q, slow, (size_t)(rows * d));
    for (int64_t i = 0; good && i < (is_static ? 1 : rows); i++)
        if (memcmp(&s[i], &slow_s[i], sizeof *s) &&
            !(s[i] != s[i] && slow_s[i] != slow_s[i]))
            good = 0;
    free(x), free(q), free(slow), free(s), free(slow_s);
    return good;
}

/* lacks: numbers, fewer than a group, that the last group of a row is short of */
static int one_quantize_blocks(int64_t rows, int64_t group, int64_t groups, int64_t lacks,
                               int bad)
{
    evla_quantize_blocks_params p = {group};
    kit_node n = {.op = "quantize_blocks", .params = &p, .n_in = 1};
    int64_t d = group * groups - lacks, given = rows * d, count = rows * groups * group;
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){rows, d});
    float *x = n.data[0] = kit_numbers(given);
    for (int64_t i = 0; i < given; i++)
        x[i] *= (float)(kit_draw() % 9);
    if (bad && given) x[kit_draw() % (uint32_t)given] = kit_draw() % 2 ? NAN : INFINITY;
    int8_t *q = malloc((size_t)count + 1), *slow = malloc((size_t)count + 1);
    float *s = kit_numbers(rows * groups), *slow_s = kit_numbers(rows * groups);
    int good = kit_infer(&k, &n) >= 0;
    n.made[0] = slow, n.made[1] = slow_s;
    good = good && kit_once(&k, portable("quantize_blocks"), &machine, &n, 1, 0) >= 0;
    n.made[0] = q, n.made[1] = s;
    good = good && kit_once(&k, kernel("quantize_blocks"), &machine, &n, 2, 1) >= 0 &&
           !memcmp(q, slow, (size_t)count);
    for (int64_t i = 0; good && i < rows * groups; i++)
        good = !memcmp(&s[i], &slow_s[i], sizeof *s) ||
               (s[i] != s[i] && slow_s[i] != slow_s[i]);
    free(x), free(q), free(slow), free(s), free(slow_s);
    return good;
}

static void test_quantize_blocks(void)
{
    int good = 0, cases = 0;
    for (; cases < 100; cases++) {
        int64_t group = kit_draw() % 3 ? 32 : 1 + kit_draw() % 50,
                lacks = kit_draw() % group;
        good += one_quantize_blocks(1 + kit_draw() % 20, group, 1 + kit_draw() % 40,
                                    kit_draw() % 2 ? lacks : 0, (int)(kit_draw() % 2));
    }
    good += one_quantize_blocks(0, 32, 4, 0, 0) + one_quantize_blocks(900, 32, 2, 7, 0);
    cases += 2;
    ok(good == cases,
       "%s: quantize_blocks has the bits of the portable kernel in %d of %d cases, NaN and "
       "Inf among them",
       isa, good, cases);
}

static void test_quantize(void)
{
    int good = 0, cases = 0;
    for (; cases < 200; cases++)
        good += one_quantize(1 + kit_draw() % 40, 1 + kit_draw() % 300,
                             (int)(kit_draw() % 2), (int)(kit_draw() % 2));
    good += one_quantize(3, 20000, 0, 1), cases++;
    ok(good == cases,
       "%s: quantize has the bits of the portable kernel in %d of %d cases, NaN, Inf, "
       "rows of zeros and of the smallest numbers among them",
       isa, good, cases);
}

/* ---- machines ---- */

enum { REALS = 1, CODES = 2 };

static void test_machine(const char *name, const char *kernels, int what)
{
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    note("%s: %s", name, machine.features);
    snprintf(isa, sizeof isa, "%s", kernels);
    *kit_seed() = 1;
    if (what & REALS) {
        test_linear();
        test_matmul();
        test_tails();
        test_quantize();
        test_quantize_blocks();
    }
    if (what & CODES) test_codes();
}

int main(void)
{
    if (!kit_load(&k, "ops")) return skip_all("plugins/ops.so is not built");
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    test_machine("avx2", "avx2", REALS | CODES);
    test_machine("avx2_vnni", "avx2_vnni", CODES);
    test_machine("avx512", "avx512", REALS | CODES);
    test_machine("vnni", "vnni", CODES);
    return tap_done();
}
