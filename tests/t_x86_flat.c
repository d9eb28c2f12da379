/*
 * t_x86_flat.c -- plugins/cpu-x86: element-wise operators, slopes and adamw have the bits
 * of the portable kernels, for every length of a vector's rest, in place and apart, at
 * special numbers.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

enum { SPECIALS = 14 };

static kit k;
static evla_machine machine;
static const char *isa;
/* Of all sizes; the first ones special. Positive when asked. */
static float *numbers(int64_t n, int is_positive)
{
    static const float special[SPECIALS] = {0.0f,   -0.0f,  1.0f,    -1.0f,   INFINITY,
                                            NAN,    1e-40f, -1e-40f, 3.0e38f, -INFINITY,
                                            -88.0f, 103.0f, 0.625f,  -3.0e38f};
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        float v = kit_number() * (i % 3 == 0 ? 1.0f : i % 3 == 1 ? 8.0f : 0.01f);
        x[i] = n > 100 && i < SPECIALS ? special[i] : v;
        if (is_positive) x[i] = fabsf(x[i]);
    }
    return x;
}

static const char *named(const char *op, const char *ending)
{
    static char name[4][64];
    static int at;
    char *to = name[at++ % 4];
    snprintf(to, sizeof name[0], "%s.%s", op, ending);
    return to;
}

static int alike(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) && !(a[i] != a[i] && b[i] != b[i])) {
            note("%.9g, want %.9g at %lld of %lld", (double)a[i], (double)b[i],
                 (long long)i, (long long)n);
            return 0;
        }
    return 1;
}

/* Portable apart, ours apart with two workers, ours in place: all outputs alike. */
static int compare(kit_node *n, int n_written)
{
    int64_t count = kit_count(&n->in[0]);
    int good = kit_infer(&k, n) >= 0;
    float *want[3], *have[3];
    for (int i = 0; good && i < n->n_out; i++) {
        count = kit_count(&n->out[i]);
        want[i] = malloc((size_t)(count + 1) * sizeof **want);
        have[i] = malloc((size_t)(count + 1) * sizeof **have);
    }
    for (int i = 0; good && i < n->n_out; i++)
        n->made[i] = want[i];
    good = good && kit_once(&k, named(n->op, "portable"), &machine, n, 1, 0) >= 0;
    for (int i = 0; good && i < n->n_out; i++)
        n->made[i] = have[i];
    good = good && kit_once(&k, named(n->op, isa), &machine, n, 2, 1) >= 0;
    for (int i = 0; good && i < n->n_out; i++)
        good = alike(have[i], want[i], count);
    void *was[3];
    for (int i = 0; good && i < n_written; i++) {
        was[i] = n->data[i];
        memcpy(have[i], n->data[i], (size_t)count * sizeof **have);
        n->data[i] = have[i];
    }
    good = good && kit_once(&k, named(n->op, isa), &machine, n, 2, 0) >= 0;
    for (int i = 0; good && i < n->n_out; i++)
        good = alike(have[i], want[i], count);
    for (int i = 0; good && i < n_written; i++)
        n->data[i] = was[i];
    if (!good) note("%s of %lld: %s", n->op, (long long)count, k.host.why);
    for (int i = 0; good && i < n->n_out; i++)
        free(want[i]), free(have[i]);
    return good;
}

static int64_t length(int i) { return i < 40 ? i : i == 40 ? 16384 : 40000 + i; }
enum { LENGTHS = 43 };

static void test_rows(const char *op, int n_in, const void *params)
{
    int good = 0;
    for (int i = 0; i < LENGTHS; i++) {
        int64_t n = length(i);
        kit_node node = {.op = op, .params = params, .n_in = n_in};
        for (int q = 0; q < n_in; q++) {
            node.in[q] = kit_type(EVLA_F32, 1, &n);
            node.data[q] = numbers(n, 0);
        }
        good += compare(&node, 1);
        for (int q = 0; q < n_in; q++)
            free(node.data[q]);
    }
    ok(good == LENGTHS, "%s: %s has the bits of the portable kernel in %d of %d cases", isa,
       op, good, LENGTHS);
}

static void test_scalars(const char *op)
{
    int good = 0;
    for (int which = 0; which < 2; which++) {
        int64_t n = 20003;
        kit_node node = {.op = op, .n_in = 2};
        node.in[which] = kit_type(EVLA_F32, 1, &n);
        node.in[1 - which] = kit_type(EVLA_F32, 0, NULL);
        node.data[which] = numbers(n, 0);
        node.data[1 - which] = numbers(1, 0);
        good += compare(&node, which == 0);
        free(node.data[0]), free(node.data[1]);
    }
    ok(good == 2, "%s: %s with a single number on either side", isa, op);
}

static void test_adamw(void)
{
    const evla_adamw_params p = {
        .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1};
    int good = 0, cases = 0;
    for (int i = 0; i < LENGTHS; i++)
        for (int scaled = 0; scaled < 2; scaled++) {
            int64_t n = length(i), t = i * i + 1;
            float lr = 0.01f, scale = 0.3f;
            kit_node node = {.op = "adamw", .params = &p, .n_in = 6 + scaled};
            for (int q = 0; q < 4; q++) {
                node.in[q] = kit_type(EVLA_F32, 1, &n);
                node.data[q] = numbers(n, q == 2);
            }
            node.in[4] = node.in[6] = kit_type(EVLA_F32, 0, NULL);
            node.in[5] = kit_type(EVLA_I64, 0, NULL);
            node.data[4] = &lr, node.data[5] = &t, node.data[6] = &scale;
            good += compare(&node, 3);
            cases++;
            for (int q = 0; q < 4; q++)
                free(node.data[q]);
        }
    ok(good == cases, "%s: adamw has the bits of the portable kernel in %d of %d cases",
       isa, good, cases);
    int64_t n = 5, t = 0;
    float x[5] = {0}, y[3][5], lr = 0.1f;
    kit_node node = {.op = "adamw", .params = &p, .n_in = 6};
    for (int q = 0; q < 4; q++)
        node.in[q] = kit_type(EVLA_F32, 1, &n), node.data[q] = x;
    node.in[4] = kit_type(EVLA_F32, 0, NULL);
    node.in[5] = kit_type(EVLA_I64, 0, NULL);
    node.data[4] = &lr, node.data[5] = &t;
    for (int q = 0; q < 3; q++)
        node.made[q] = y[q];
    int st = kit_infer(&k, &node);
    if (st >= 0) st = kit_once(&k, named("adamw", isa), &machine, &node, 1, 0);
    ok(st == EVLA_E_RANGE && strstr(k.host.why, "want 1 at the first update"),
       "%s: adamw refuses t = 0", isa);
}

static void test_cast(void)
{
    const evla_cast_params to = {"f32"};
    int good = 0;
    for (int i = 0; i < LENGTHS; i++) {
        int64_t n = length(i);
        kit_node node = {.op = "cast", .params = &to, .n_in = 1};
        uint8_t *x = malloc((size_t)n + 1);
        for (int64_t q = 0; q < n; q++)
            x[q] = (uint8_t)(q * 7);
        node.in[0] = kit_type(EVLA_U8, 1, &n);
        node.data[0] = x;
        good += compare(&node, 0);
        free(x);
    }
    ok(good == LENGTHS,
       "%s: cast of u8 to f32 is that of the portable kernel at %d of %d lengths", isa,
       good, LENGTHS);
}

static void test_cast_to_bf16(void)
{
    enum { N = 40000 };
    const evla_cast_params to = {"bf16"};
    static uint32_t x[N];
    static uint16_t want[N], have[N];
    for (uint32_t i = 0; i < N; i++) /* all exponents, halves between two codes, NaN */
        x[i] = i % 3 ? i * 107377u : i << 16 | (i % 2 ? 0x8000u : 0x7fffu + i % 7);
    x[5] = 0x7f800001u, x[6] = 0xffffffffu, x[7] = 0x7f7fffffu;
    kit_node node = {.op = "cast", .params = &to, .n_in = 1, .data = {x}, .made = {want}};
    node.in[0] = kit_type(EVLA_F32, 1, (int64_t[]){N});
    int good =
        kit_infer(&k, &node) >= 0 && kit_once(&k, "cast.half", &machine, &node, 1, 0) >= 0;
    node.made[0] = have;
    good = good && kit_once(&k, named("cast", isa), &machine, &node, 2, 1) >= 0;
    ok(good && !memcmp(want, have, sizeof want),
       "%s: cast of f32 to bf16 has the bits of plugins/half", isa);
}

static void test_machine(const char *name)
{
    static const char *const unary[] = {"neg", "abs",  "exp",  "sqrt",    "rsqrt", "square",
                                        "erf", "relu", "silu", "sigmoid", "tanh"};
    static const char *const binary[] = {"add", "sub", "mul", "div", "maximum", "minimum"};
    static const char *const slope[] = {"relu_grad", "sigmoid_grad", "tanh_grad",
                                        "silu_grad"};
    const evla_gelu_params none = {EVLA_GELU_NONE, 0}, by_tanh = {EVLA_GELU_TANH, 0};
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    isa = name;
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++)
        test_rows(unary[i], 1, NULL);
    test_rows("gelu", 1, &none);
    test_rows("gelu", 1, &by_tanh);
    for (size_t i = 0; i < sizeof binary / sizeof *binary; i++) {
        test_rows(binary[i], 2, NULL);
        test_scalars(binary[i]);
    }
    for (size_t i = 0; i < sizeof slope / sizeof *slope; i++)
        test_rows(slope[i], 2, NULL);
    test_rows("gelu_grad", 2, &none);
    test_rows("gelu_grad", 2, &by_tanh);
    test_cast();
    if (kit_find(&k, EVLA_KERNEL, "cast.half")) test_cast_to_bf16();
    test_adamw();
}

int main(void)
{
    if (!kit_load(&k, "ops")) return skip_all("plugins/ops.so is not built");
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    kit_load(&k, "half");
    test_machine("avx2");
    test_machine("avx512");
    return tap_done();
}
