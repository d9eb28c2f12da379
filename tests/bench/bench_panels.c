/*
 * bench_panels.c -- products with packed weights, as shares of what this processor can do
 * at most and of what its memory gives, all in one run.
 *
 * The measures: fused multiply-adds, vdpbf16ps (where there is such an instruction) and
 * vpdpbusd on registers alone, and reading the weights' own memory. Contestants take turns
 * and the best time of each counts. Prints the rows of `make bench`.
 */
#include "crew.h"
#include <unistd.h>

static kit k;
static evla_machine machine;

/* ---- peaks: 16 chains on registers, of zeros: whatever else stands there may be slow ----
 */

#define CLEAR(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define CHAIN(n) "%%zmm30, %%zmm31, %%zmm" #n "\n\t"
#define NOTHING
#define EACH(X, i)                                                                         \
    X i(0) X i(1) X i(2) X i(3) X i(4) X i(5) X i(6) X i(7) X i(8) X i(9) X i(10) X i(11)  \
        X i(12) X i(13) X i(14) X i(15)
enum { TURNS = 1 << 16 };
#define PEAK(name, text)                                                                   \
    static void name(void *to, int32_t w)                                                  \
    {                                                                                      \
        (void)to, (void)w;                                                                 \
        long n = TURNS;                                                                    \
        __asm__ volatile(EACH(NOTHING, CLEAR) CLEAR(30)                                    \
                             CLEAR(31) "1:\n\t" EACH(text, CHAIN) "dec %0\n\tjnz 1b"       \
                         : "+r"(n)::"cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5",  \
                           "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12",      \
                           "zmm13", "zmm14", "zmm15");                                     \
    }
// clang-format off
PEAK(peak_f32, "vfmadd231ps ")
PEAK(peak_bf16, "vdpbf16ps ")
PEAK(peak_codes, "vpdpbusd ")
// clang-format on

/* Operations per second, lanes * 2 * terms each. */
static double peak(void (*loop)(void *to, int32_t w), int terms)
{
    double best = 1e9;
    for (int i = 0; i < 200; i++) {
        double from = now();
        crew_run(loop, NULL);
        best = least(best, now() - from);
    }
    return (double)team.n * TURNS * 16 * 16 * 2 * terms / best;
}

/* ---- kernels ---- */

typedef struct phase {
    kit_run *r;
    int32_t p;
} phase;

static void phase_part(void *to, int32_t w)
{
    phase *at = to;
    kit_hand hand = {at->r, at->p, w};
    kit_work(&hand);
}

static double seconds_of(kit_run *r)
{
    double from = now();
    for (int32_t p = 0; p < r->work.n_phases; p++) {
        phase at = {r, p};
        atomic_store(&r->next, 0);
        crew_run(phase_part, &at);
    }
    return now() - from;
}

typedef struct contest {
    const char *format, *kernel, *limit;
    void (*loop)(void *to, int32_t w);
    int terms; /* products of one instruction and lane */
} contest;

/* y = x w^T with m rows and so many of w, which lie packed in memory that was random
 * before: at small scales all numbers will do. */
static int node_of(const contest *c, int64_t m, int64_t n, int64_t d, void *w,
                   kit_node *out)
{
    static const evla_linear_params p;
    const evla_host *h = &k.host.table;
    int32_t id = h->dtype(h, c->format);
    int is_f32 = c->kernel[0] == 'l', is_codes = c->terms == 4, is_row = id == EVLA_I8;
    const evla_kernel *table = kit_find(&k, EVLA_KERNEL, c->kernel)->table;
    int32_t at = is_f32 ? 1 : 2;
    *out =
        (kit_node){.op = table->op, .params = is_f32 ? &p : NULL, .n_in = at + 1 + is_row};
    out->in[0] = kit_type(is_f32     ? EVLA_F32
                          : is_codes ? EVLA_I8
                                     : id,
                          2, (int64_t[]){m, d});
    out->in[1] = (evla_type){.rank = -1};
    int64_t scales = is_row ? 1 : d / 32; /* of a row of x */
    if (is_codes) out->in[1] = kit_type(EVLA_F32, 2, (int64_t[]){m, scales});
    out->in[at] = kit_type(id, 2, (int64_t[]){n, d});
    if (is_row) out->in[3] = kit_type(EVLA_F32, 2, (int64_t[]){n, 1});
    out->data[0] = memory((size_t)(m * d) * 4);
    out->made[0] = memory((size_t)(m * n) * 4);
    memset(out->data[0], 0, (size_t)(m * d) * 4);
    if (is_codes) {
        out->data[1] = memory((size_t)(m * scales) * 4);
        memset(out->data[1], 0, (size_t)(m * scales) * 4);
        memset(out->data[0], 3, (size_t)(m * d));
    }
    if (is_row) {
        out->data[3] = memory((size_t)n * 4);
        memset(out->data[3], 0, (size_t)n * 4);
    }
    out->data[at] = w;
    if (kit_infer(&k, out) < 0) return 0;
    evla_node seen = kit_view_node(out);
    out->layout[at] = table->layout(h, &machine, &seen, at);
    return out->layout[at] != NULL;
}

static void node_free(kit_node *n)
{
    free(n->data[0]), free(n->made[0]), free(n->data[3]);
    if (n->in[1].rank == 2 && n->in[1].dtype == EVLA_F32 && n->n_in > 2) free(n->data[1]);
}

static double best_of(const contest *c, int64_t m, int64_t n, int64_t d, void *w,
                      double seconds, double *pass)
{
    kit_node node;
    kit_run r;
    double best = 1e9;
    if (!node_of(c, m, n, d, w, &node) ||
        kit_open(&k, c->kernel, &machine, &node, team.n, &r) < 0) {
        fprintf(stderr, "bench_panels: %s does not take %s\n", c->kernel, c->format);
        exit(1);
    }
    const evla_type *t = &node.in[c->kernel[0] == 'l' ? 1 : 2];
    reading part = {.from = w, .bytes = (size_t)op_host_type_bytes(&k.host.table, t)};
    for (double end = now() + seconds; now() < end;) {
        best = least(best, seconds_of(&r));
        if (!pass) continue;
        double from = now();
        crew_run(read_part, &part);
        *pass = least(*pass, now() - from);
    }
    kit_close(&r), node_free(&node);
    return best;
}

/* ---- the table ---- */

static void compare(const contest *c, void *w, size_t bytes, double seconds)
{
    enum { WIDE = 2048 };
    static const int64_t rows[] = {4, 16, 64, 512};
    enum { SIZES = sizeof rows / sizeof *rows };
    char line[128], shares[64] = "", *at = shares;
    crew_start(team.n);
    double most = peak(c->loop, c->terms), last = 0;
    for (int i = 0; i < SIZES; i++) {
        double s = best_of(c, rows[i], WIDE, WIDE, w, seconds, NULL);
        last = 2.0 * (double)rows[i] * WIDE * WIDE / s;
        at += snprintf(at, 16, "%s%.0f", i ? " " : "", 100 * last / most);
    }
    const evla_host *h = &k.host.table;
    int64_t row = h->dtype_bytes(h, h->dtype(h, c->format), WIDE);
    int64_t n = (int64_t)bytes / row / 32 * 32;
    double pass = 1e9, s = best_of(c, 1, n, WIDE, w, 2 * seconds, &pass);
    crew_stop();
    snprintf(line, sizeof line, "%s, %d thread%s, %% of %s at M = 4 16 64 512", c->format,
             team.n, team.n > 1 ? "s" : "", c->limit);
    printf("%-58s %14s   %.0f of %.0f Gop/s\n", line, shares, last * 1e-9, most * 1e-9);
    snprintf(line, sizeof line, "  one row from memory, %d thread%s, GB/s", team.n,
             team.n > 1 ? "s" : "");
    printf("%-58s %14.1f   %.0f %% of reading, %.1f\n", line, (double)(n * row) / s * 1e-9,
           100 * pass / s, (double)(n * row) / pass * 1e-9);
}

static int detect(const char *name)
{
    const evla_machine_kind *kind = kit_find(&k, EVLA_MACHINE, name)->table;
    machine = (evla_machine){.size = sizeof machine, .n_workers = 2, .name = name};
    return kind->detect(&k.host.table, &machine) >= 0;
}

int main(int argc, char **argv)
{
    static const contest all[] = {
        {"i8", "quantized_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q8_0", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q4_0", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q4_1", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q5_0", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q5_1", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q4_k", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q5_k", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"q6_k", "coded_linear.vnni", "vpdpbusd", peak_codes, 4},
        {"bf16", "half_linear.bf16", "vdpbf16ps", peak_bf16, 2},
        {"bf16", "linear.avx512", "fma", peak_f32, 1},
        {"f16", "linear.avx512", "fma", peak_f32, 1},
        {"f32", "linear.avx512", "fma", peak_f32, 1},
    };
    const char *only = argc > 2 ? argv[2] : NULL;
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.2;
    size_t bytes = (size_t)256 << 20;
    if (!kit_load(&k, "ops") || !kit_load(&k, "gguf") || !kit_load(&k, "half") ||
        !kit_load(&k, "cpu-x86"))
        return fprintf(stderr, "bench_panels: EVLA_BUILD lacks plugins\n"), 1;
    op_host_init(&k.host);
    int has_bf16 = detect("bf16");
    if (!has_bf16 && !detect("vnni"))
        return printf("packed weights: not measured, %s\n", k.host.why), 0;
    uint8_t *w = memory(bytes + 65536);
    memset(w, 0x11, bytes + 65536);
    int most = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (only && strcmp(only, all[i].format) != 0) continue;
        if (!strcmp(all[i].format, "bf16") && (all[i].terms == 2) != has_bf16) continue;
        for (team.n = 1; team.n <= most; team.n++)
            compare(&all[i], w, bytes, seconds);
    }
    free(w);
    return 0;
}
