/*
 * t_x86_row.c -- rms_norm, layer_norm and rope of plugins/cpu-x86 beside the portable
 * kernels: the same bits.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

static kit k;
static evla_machine machine;
static const char *isa;

static float *numbers(int64_t n)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = kit_number() * (kit_draw() % 7 ? 1.0f : 1e3f);
    return x;
}

/* The kernel at hand: twice the bits of the portable one, once in place. */
static int same_bits(kit_node *n, float *x, int64_t count)
{
    char name[64], slow[64];
    size_t bytes = (size_t)count * sizeof *x;
    float *want = numbers(count), *have = numbers(count);
    snprintf(name, sizeof name, "%s.%s", n->op, isa);
    snprintf(slow, sizeof slow, "%s.portable", n->op);
    n->data[0] = x;
    n->made[0] = want;
    int good = kit_infer(&k, n) >= 0 && kit_once(&k, slow, &machine, n, 1, 0) >= 0;
    n->made[0] = have;
    good = good && kit_once(&k, name, &machine, n, 2, 1) >= 0 && !memcmp(have, want, bytes);
    n->made[0] = x;
    good = good && kit_once(&k, name, &machine, n, 1, 0) >= 0 && !memcmp(x, want, bytes);
    free(want), free(have);
    return good;
}

static void test_norm(const char *op, int32_t most_in)
{
    static const int64_t rows[] = {0, 1, 3, 42},
                         widths[] = {1,   7,   8,   9,   15,   16,   17,   100,
                                     511, 512, 513, 960, 1030, 2048, 17000};
    const evla_norm_params p = {1e-5};
    int good = 0, cases = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int32_t n_in = 1; n_in <= most_in; n_in++) {
            int64_t m = rows[(i + (size_t)n_in) % 4], d = widths[i];
            kit_node n = {.op = op, .params = &p, .n_in = n_in};
            float *x = numbers(m * d), *w = numbers(d), *b = numbers(d);
            n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){m, d});
            n.in[1] = n.in[2] = kit_type(EVLA_F32, 1, (int64_t[]){d});
            n.data[1] = w, n.data[2] = b;
            good += same_bits(&n, x, m * d);
            cases++;
            free(x), free(w), free(b);
        }
    ok(good == cases,
       "%s: %s has the bits of the portable kernel, in place too, in %d of %d cases", isa,
       op, good, cases);
}

static void test_rope(int32_t pairs, const char *which)
{
    static const int64_t shapes[][5] = {
        /* lead, tokens, heads, width, D */
        {1, 1, 1, 2, 2},   {1, 5, 4, 64, 64},   {3, 7, 2, 80, 32},
        {1, 300, 3, 6, 4}, {2, 4, 5, 128, 126}, {1, 0, 2, 4, 4},
        {1, 9, 1, 34, 34}, {1, 3, 2, 18, 14},   {1, 64, 32, 64, 64}};
    int good = 0, cases = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i], count = s[0] * s[1] * s[2] * s[3];
        const evla_rope_params p = {s[2], pairs, 0};
        kit_node n = {.op = "rope", .params = &p, .n_in = 3};
        float *x = numbers(count), *cosine = numbers(s[1] * s[4] / 2),
              *sine = numbers(s[1] * s[4] / 2);
        n.in[0] = kit_type(EVLA_F32, 3, (int64_t[]){s[0], s[1], s[2] * s[3]});
        n.in[1] = n.in[2] = kit_type(EVLA_F32, 2, (int64_t[]){s[1], s[4] / 2});
        n.data[1] = cosine, n.data[2] = sine;
        good += same_bits(&n, x, count);
        cases++;
        free(x), free(cosine), free(sine);
    }
    ok(good == cases,
       "%s: rope of %s pairs has the bits of the portable kernel, in place too, in %d of "
       "%d cases",
       isa, which, good, cases);
}

static void test_machine(const char *name)
{
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    isa = name;
    test_norm("rms_norm", 2);
    test_norm("layer_norm", 3);
    test_rope(EVLA_ROPE_HALF, "half");
    test_rope(EVLA_ROPE_INTERLEAVED, "interleaved");
}

int main(void)
{
    if (!kit_load(&k, "ops")) return skip_all("plugins/ops.so is not built");
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    test_machine("avx2");
    test_machine("avx512");
    return tap_done();
}
