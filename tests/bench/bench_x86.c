/*
 * bench_x86.c -- the matrix kernels of plugins/cpu-x86 beside OpenBLAS, the processor's
 * peak and the memory's bandwidth, all in one run.
 *
 * Contestants take turns and the best time of each counts, so that another process's load
 * hits both. OpenBLAS is loaded when it is there and nothing depends on it. Prints one JSON
 * object.
 */
#include "crew.h"
#include <unistd.h>

static kit k;
static evla_machine machine;

/* ---- contestants ---- */

static void kernel_part(void *to, int32_t w)
{
    kit_hand hand = {to, 0, w};
    kit_work(&hand);
}

static void kernel_run(kit_run *r)
{
    atomic_store(&r->next, 0);
    crew_run(kernel_part, r);
}

typedef void sgemm(int order, int ta, int tb, int m, int n, int k, float alpha,
                   const float *a, int lda, const float *b, int ldb, float beta, float *c,
                   int ldc);
static sgemm *blas;
static void (*blas_threads)(int n);
static const char *blas_core = "absent";

static void find_blas(void)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    char *(*core)(void) = NULL;
    for (int i = 0; i < 2 && !blas; i++) {
        void *so = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!so) continue;
        *(void **)&blas = dlsym(so, "cblas_sgemm");
        *(void **)&blas_threads = dlsym(so, "openblas_set_num_threads");
        *(void **)&core = dlsym(so, "openblas_get_corename");
    }
    if (core) blas_core = core();
}

static volatile float sink;

/* Register-only fused multiply-adds: 12 chains. */
#define PEAK(name, isa, type, set, fma, lanes)                                             \
    __attribute__((target(isa))) static double name(void)                                  \
    {                                                                                      \
        type a[12], x = set(1.0001f), y = set(1e-9f);                                      \
        double best = 0;                                                                   \
        for (int i = 0; i < 12; i++)                                                       \
            a[i] = set((float)i);                                                          \
        for (int turn = 0; turn < 10; turn++) {                                            \
            double from = now();                                                           \
            for (int n = 0; n < 1000000; n++) {                                            \
                _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++)                      \
                {                                                                          \
                    a[i] = fma(a[i], x, y);                                                \
                }                                                                          \
            }                                                                              \
            for (int i = 0; i < 12; i++)                                                   \
                sink = ((float *)&a[i])[0];                                                \
            double rate = 12e6 * 2 * (lanes) / (now() - from);                             \
            if (rate > best) best = rate;                                                  \
        }                                                                                  \
        return best;                                                                       \
    }
PEAK(peak_512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, 16)
PEAK(peak_256, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, 8)

/* The same of 8-bit products added to 32 bits; 0 where it takes more than one instruction.
 */
__attribute__((target("avx512vnni"))) static double peak_codes(void)
{
    __m512i a[12] = {0}, x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-2);
    double best = 0;
    if (!__builtin_cpu_supports("avx512vnni")) return 0;
    for (int turn = 0; turn < 10; turn++) {
        double from = now();
        for (int n = 0; n < 1000000; n++) {
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++)
            {
                a[i] = _mm512_dpbusd_epi32(a[i], x, y);
            }
        }
        double rate = 1e6 * 12 * 64 * 2 / (now() - from);
        best = rate > best ? rate : best;
        for (int i = 0; i < 12; i++)
            sink = (float)_mm512_reduce_add_epi32(a[i]);
    }
    return best;
}

/* ---- measurements ---- */

static float *floats(size_t n)
{
    float *x = memory(n * sizeof *x);
    uint32_t s = 1;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)s * 0x1p-31f;
    }
    return x;
}

/* The best kernel of this plugin that takes the node; text of its name. */
static const char *best_kernel(kit_node *n, int32_t n_workers, kit_run *out)
{
    static const char *const endings[] = {"vnni", "avx512", "avx2_vnni", "avx2"};
    static char name[64];
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(name, sizeof name, "%s.%s", n->op, endings[i]);
        if (kit_open(&k, name, &machine, n, n_workers, out) >= 0) return name;
        kit_close(out);
    }
    return NULL;
}

typedef struct field {
    const int64_t m, n, k;
    float *x, *w, *y, *z;
    int8_t *q, *wq;
    float *qs, *ws;
} field;

static kit_node linear_node(field *f)
{
    static const evla_linear_params p;
    kit_node n = {.op = "linear", .params = &p, .n_in = 2};
    n.in[0] = kit_type(EVLA_F32, 2, (int64_t[]){f->m, f->k});
    n.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){f->n, f->k});
    n.data[0] = f->x, n.data[1] = f->w, n.made[0] = f->y;
    if (kit_infer(&k, &n) < 0) fprintf(stderr, "%s\n", k.host.why), exit(1);
    return n;
}

static kit_node code_node(field *f)
{
    kit_node n = {.op = "quantized_linear", .n_in = 4};
    n.in[0] = kit_type(EVLA_I8, 2, (int64_t[]){f->m, f->k});
    n.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){f->m, 1});
    n.in[2] = kit_type(EVLA_I8, 2, (int64_t[]){f->n, f->k});
    n.in[3] = kit_type(EVLA_F32, 2, (int64_t[]){f->n, 1});
    n.data[0] = f->q, n.data[1] = f->qs, n.data[2] = f->wq, n.data[3] = f->ws;
    n.made[0] = f->z;
    if (kit_infer(&k, &n) < 0) fprintf(stderr, "%s\n", k.host.why), exit(1);
    return n;
}

static double seconds_of(kit_run *r)
{
    double from = now();
    kernel_run(r);
    return now() - from;
}

static void square(int32_t n_workers, double seconds)
{
    field f = {.m = 256, .n = 1024, .k = 1024};
    size_t mk = (size_t)(f.m * f.k), nk = (size_t)(f.n * f.k), mn = (size_t)(f.m * f.n);
    f.x = floats(mk), f.w = floats(nk), f.y = floats(mn), f.z = floats(mn);
    f.q = memory(mk), f.wq = memory(nk);
    f.qs = floats((size_t)f.m), f.ws = floats((size_t)f.n);
    for (size_t i = 0; i < mk; i++)
        f.q[i] = (int8_t)(f.x[i] * 127);
    for (size_t i = 0; i < nk; i++)
        f.wq[i] = (int8_t)(f.w[i] * 127);
    kit_node real = linear_node(&f), codes = code_node(&f);
    kit_run r, c;
    const char *name = best_kernel(&real, n_workers, &r);
    if (!name) fprintf(stderr, "bench_x86: no kernel takes linear\n"), exit(1);
    printf("\"linear_kernel\":\"%s\",", name);
    int has_codes = best_kernel(&codes, n_workers, &c) != NULL;
    double ours = 1e9, theirs = 1e9, eight = 1e9, work = 2.0 * (double)mn * (double)f.k;
    if (blas_threads) blas_threads(n_workers);
    crew_start(n_workers);
    for (double end = now() + seconds; now() < end;) {
        for (int i = 0; i < 3; i++)
            ours = least(ours, seconds_of(&r));
        for (int i = 0; has_codes && i < 3; i++)
            eight = least(eight, seconds_of(&c));
        crew_stop(); /* OpenBLAS has threads of its own */
        for (int i = 0; blas && i < 4; i++) {
            double from = now();
            blas(101, 111, 112, (int)f.m, (int)f.n, (int)f.k, 1, f.x, (int)f.k, f.w,
                 (int)f.k, 0, f.z, (int)f.n);
            theirs = least(theirs, now() - from);
        }
        crew_start(n_workers);
    }
    crew_stop();
    printf("\"linear_%d\":{\"gflops\":%.1f,\"openblas_gflops\":%.1f,\"ratio\":%.3f",
           n_workers, work / ours * 1e-9, blas ? work / theirs * 1e-9 : 0,
           blas ? theirs / ours : 0);
    if (has_codes)
        printf(",\"int8_gops\":%.1f,\"int8_over_f32\":%.3f", work / eight * 1e-9,
               ours / eight);
    printf("},");
    kit_close(&r), kit_close(&c);
    free(f.x), free(f.w), free(f.y), free(f.z), free(f.q), free(f.wq), free(f.qs),
        free(f.ws);
}

/* Weights of 128 MiB at one row: bytes of weights per second beside reading them. Both in
 * pieces of 8 MiB, of which each has its best time, so that a moment of somebody else's
 * does not spoil a whole pass; a pass flushes what the last one left in the caches. */
enum { WEIGHTS = 128 << 20, PIECE = 8 << 20, PIECES = WEIGHTS / PIECE };

static double piece_of(kit_run *r, int64_t all, int64_t i)
{
    r->work.tiles[0] = all * (i + 1) / PIECES;
    atomic_store(&r->next, all * i / PIECES);
    double from = now();
    crew_run(kernel_part, r);
    return now() - from;
}

static void one_row(int32_t n_workers, double seconds)
{
    field f = {.m = 1, .n = 8192, .k = 4096}, g = {.m = 1, .n = 32768, .k = 4096};
    f.x = floats(4096), f.w = floats(WEIGHTS / 4), f.y = floats(8192);
    g.q = memory(4096), g.qs = floats(1), g.ws = floats(32768), g.z = floats(32768);
    g.wq = (int8_t *)f.w; /* any codes will do */
    memset(g.q, 3, 4096);
    kit_node real = linear_node(&f), codes = code_node(&g);
    kit_run r, c;
    if (!best_kernel(&real, n_workers, &r)) exit(1);
    int has_codes = best_kernel(&codes, n_workers, &c) != NULL;
    int64_t r_tiles = r.work.tiles[0], c_tiles = has_codes ? c.work.tiles[0] : 0;
    double best[3][PIECES], sum[3] = {0};
    for (int i = 0; i < 3 * PIECES; i++)
        best[i / PIECES][i % PIECES] = 1e9;
    crew_start(n_workers);
    for (double end = now() + seconds; now() < end;) {
        for (int i = 0; i < PIECES; i++) {
            reading part = {.from = (const unsigned char *)f.w + (size_t)i * PIECE,
                            .bytes = PIECE};
            double from = now();
            crew_run(read_part, &part);
            best[0][i] = least(best[0][i], now() - from);
        }
        for (int i = 0; i < PIECES; i++)
            best[1][i] = least(best[1][i], piece_of(&r, r_tiles, i));
        for (int i = 0; has_codes && i < PIECES; i++)
            best[2][i] = least(best[2][i], piece_of(&c, c_tiles, i));
    }
    crew_stop();
    for (int i = 0; i < 3 * PIECES; i++)
        sum[i / PIECES] += best[i / PIECES][i % PIECES];
    printf("\"row_%d\":{\"read_gbs\":%.2f,\"f32_gbs\":%.2f,\"f32_share\":%.3f", n_workers,
           WEIGHTS / sum[0] * 1e-9, WEIGHTS / sum[1] * 1e-9, sum[0] / sum[1]);
    if (has_codes)
        printf(",\"int8_gbs\":%.2f,\"int8_share\":%.3f", WEIGHTS / sum[2] * 1e-9,
               sum[0] / sum[2]);
    printf("},");
    kit_close(&r), kit_close(&c);
    free(f.x), free(f.w), free(f.y), free(g.q), free(g.qs), free(g.ws), free(g.z);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    const char *wanted = argc > 2 ? argv[2] : NULL;
    static const char *const names[] = {"vnni", "avx512", "avx2_vnni", "avx2"};
    int is_there = 0;
    if (!kit_load(&k, "ops") || !kit_load(&k, "cpu-x86"))
        return fprintf(stderr, "bench_x86: EVLA_BUILD has no plugins ops and cpu-x86\n"), 1;
    for (size_t i = 0; i < sizeof names / sizeof *names && !is_there; i++) {
        const evla_item *item = kit_find(&k, EVLA_MACHINE, names[i]);
        if (wanted && strcmp(wanted, names[i]) != 0) continue;
        machine = (evla_machine){.size = sizeof machine, .n_workers = 2, .name = names[i]};
        op_host_init(&k.host);
        is_there =
            item &&
            ((const evla_machine_kind *)item->table)->detect(&k.host.table, &machine) >= 0;
    }
    if (!is_there) return fprintf(stderr, "bench_x86: %s\n", k.host.why), 1;
    find_blas();
    int is_wide = strstr(machine.features, "avx512") != NULL;
    printf("{\"machine\":\"%s\",\"openblas\":\"%s\",\"peak_gflops\":%.1f,"
           "\"int8_peak_gops\":%.1f,",
           machine.name, blas_core, (is_wide ? peak_512() : peak_256()) * 1e-9,
           peak_codes() * 1e-9);
    int n = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    for (int32_t w = 1; w <= n; w++) {
        square(w, seconds);
        one_row(w, seconds);
    }
    printf("\"workers\":%d}\n", n);
    return 0;
}
