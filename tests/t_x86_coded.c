/*
 * t_x86_coded.c -- plugins/cpu-x86: coded_linear with weights in packed blocks, beside the
 * product of what both sides decode to, on every instruction set that is here.
 */
#include "kernel_kit.h"
#include "tap.h"
#include <math.h>

static kit k;
static evla_machine machine;
static char kernel[32];

static const char *const formats[] = {"q8_0", "q4_0", "q4_1", "q5_0",
                                      "q5_1", "q4_k", "q5_k", "q6_k"};
enum { FORMATS = sizeof formats / sizeof *formats, CASES = 14, ROWS = 40, DEFINED = 2 };

/* ---- a case ---- */

typedef struct trial {
    int64_t m, n, d; /* d: codes of a row of q */
    int64_t in;      /* of w; what q has behind is 0 */
    const evla_dtype *format;
    int64_t row; /* bytes of a row of w */
    int8_t *q;
    float *s, *y, *b, *other;
    uint8_t *w; /* plain */
    void *packed;
    float *decoded;
    kit_node node;
} trial;

static void *room(int64_t bytes) { return malloc((size_t)bytes + 64); }

static void trial_node(trial *t, const char *format)
{
    int32_t id = k.host.table.dtype(&k.host.table, format);
    t->node = (kit_node){.op = "coded_linear", .n_in = 3};
    t->node.in[0] = kit_type(EVLA_I8, 2, (int64_t[]){t->m, t->d});
    t->node.in[1] = kit_type(EVLA_F32, 2, (int64_t[]){t->m, t->d / 32});
    t->node.in[2] = kit_type(id, 2, (int64_t[]){t->n, t->in});
    t->node.data[0] = t->q, t->node.data[1] = t->s, t->node.data[2] = t->packed;
    t->node.made[0] = t->y;
}

static trial trial_new(const char *format)
{
    trial t = {.m = 1 + kit_draw() % ROWS, .n = 1 + kit_draw() % 70};
    const evla_host *h = &k.host.table;
    op_host_init(&k.host);
    t.format = h->dtype_table(h, h->dtype(h, format));
    /* beyond what the kernels take at once */
    t.d = t.format->block_elements *
          (1 + kit_draw() % (t.format->block_elements > 32 ? 5 : 45));
    t.in = t.d - (t.format->is_ragged && kit_draw() % 2 ? kit_draw() % 32 : 0);
    t.row = t.d / t.format->block_elements * t.format->block_bytes;
    t.q = room(t.m * t.d), t.s = room(t.m * t.d / 32 * 4), t.y = room(t.m * t.n * 4);
    t.b = room(t.n * 4), t.other = room(t.m * t.n * 4);
    t.w = room(t.n * t.row), t.decoded = room(t.n * t.d * 4);
    for (int64_t i = 0; i < t.m * t.d; i++)
        t.q[i] = i % t.d < t.in ? (int8_t)kit_draw() : 0;
    for (int64_t i = 0; i < t.m * t.d / 32; i++)
        t.s[i] = fabsf(kit_number()) + 1e-3f;
    for (int64_t i = 0; i < t.n; i++)
        t.b[i] = kit_number();
    for (int64_t i = 0; i < t.m * t.n; i++)
        t.other[i] = kit_number();
    for (int64_t i = 0; i < t.n * t.d; i++)
        t.decoded[i] = kit_number() * (i / 97 % 7 ? 1 : 20);
    for (int64_t r = 0; r < t.n; r++) {
        t.format->encode(h, t.decoded + r * t.d, t.in, t.w + r * t.row);
        t.format->decode(h, t.w + r * t.row, t.d, t.decoded + r * t.d);
    }
    trial_node(&t, format);
    kit_infer(&k, &t.node);
    return t;
}

static void trial_free(trial *t)
{
    free(t->q), free(t->s), free(t->y), free(t->w), free(t->packed), free(t->decoded);
    free(t->b), free(t->other);
}

/* Packs w as the kernel at hand likes it. */
static int trial_pack(trial *t)
{
    const evla_item *item = kit_find(&k, EVLA_KERNEL, kernel);
    const evla_kernel *table = item ? item->table : NULL;
    evla_node seen = kit_view_node(&t->node);
    const evla_layout *l = table ? table->layout(&k.host.table, &machine, &seen, 2) : NULL;
    if (!l) return 0;
    t->node.layout[2] = l;
    t->node.data[2] = t->packed = kit_pack(&k, l, &t->node.in[2], t->w);
    return t->packed != NULL;
}

/* ---- claims ---- */

/* A panel holds what its rows held, and rows decode to the same bits. */
static int layout_holds(const trial *t)
{
    const evla_layout *l = t->node.layout[2];
    int64_t panels = (t->n + l->panel - 1) / l->panel;
    int same = l->bytes(&k.host.table, &t->node.in[2]) == panels * l->panel * t->row;
    float *row = room(t->d * 4);
    for (int64_t r = 0; r < t->n; r++) {
        l->row(&t->node.in[2], t->packed, r, row);
        same &= !memcmp(row, t->decoded + r * t->d, (size_t)t->in * 4);
    }
    free(row);
    return same;
}

/* What a block adds up to is exact; it is then rounded up to three times, where a minimum
 * and a scale can each be twice the block's largest value, and once per block more: so (3 +
 * blocks) 2^-24 of 4 max|w| sum|x|. The largest difference over that. */
static double distance(const trial *t)
{
    double worst = 0;
    int64_t terms = 16, blocks = t->d / terms;
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t j = 0; j < t->n; j++) {
            double sum = 0, size = 0;
            for (int64_t b = 0; b < blocks; b++) {
                double x1 = 0, w1 = 0;
                for (int64_t e = b * terms; e < (b + 1) * terms; e++) {
                    double x =
                        (double)t->q[i * t->d + e] * (double)t->s[(i * t->d + e) / 32];
                    double w = (double)t->decoded[j * t->d + e];
                    sum += x * w;
                    x1 += fabs(x);
                    w1 = fmax(w1, fabs(w));
                }
                size += 4 * x1 * w1;
            }
            double most = (3 + (double)blocks) * 0x1p-24 * size + 1e-30;
            double d = fabs((double)t->y[i * t->n + j] - sum) / most;
            worst = d == d ? fmax(worst, d) : INFINITY;
        }
    return worst;
}

/* The order that coded_inner.h defines, for formats whose codes are easily had. */
static int is_defined(const trial *t, const char *format)
{
    int wide = !strcmp(format, "q8_0");
    const evla_host *h = &k.host.table;
    const evla_dtype *f16 = h->dtype_table(h, h->dtype(h, "f16"));
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t j = 0; j < t->n; j++) {
            float y = 0;
            for (int64_t b = 0; b < t->d / 32; b++) {
                const uint8_t *at = t->w + j * t->row + b * t->format->block_bytes;
                const int8_t *q = t->q + i * t->d + b * 32;
                float scale;
                int32_t sum = 0;
                uint16_t code;
                memcpy(&code, at, 2);
                f16->decode(h, &code, 1, &scale);
                for (int e = 0; e < 32; e++)
                    sum += q[e] * (wide     ? (int8_t)at[2 + e]
                                   : e < 16 ? (at[2 + e] & 15) - 8
                                            : (at[2 + e - 16] >> 4) - 8);
                float product = (float)sum * scale;
                y = fmaf(product, t->s[i * (t->d / 32) + b], y);
            }
            if (memcmp(&y, &t->y[i * t->n + j], sizeof y) != 0) return 0;
        }
    return 1;
}

static int same_output(trial *t, kit_node *n, int workers, const float *want, int64_t count)
{
    float *again = room(t->m * t->n * 4);
    n->made[0] = again;
    int same = kit_once(&k, kernel, &machine, n, workers, workers > 1) >= 0 &&
               !memcmp(again, want, (size_t)count * sizeof *again);
    free(again);
    return same;
}

/* Rows [from, to) by themselves. */
static int same_alone(trial *t, int64_t from, int64_t to)
{
    kit_node n = t->node;
    n.in[0].shape[0] = n.in[1].shape[0] = n.out[0].shape[0] = to - from;
    n.data[0] = t->q + from * t->d;
    n.data[1] = t->s + from * (t->d / 32);
    return same_output(t, &n, 1, t->y + from * t->n, (to - from) * t->n);
}

static int same_plain(trial *t)
{
    kit_node n = t->node;
    n.layout[2] = NULL;
    n.data[2] = t->w;
    return same_output(t, &n, 2, t->y, t->m * t->n);
}

/* y + b, larger than 0, times another tensor: rounded as C rounds. */
static int tails_hold(trial *t)
{
    kit_node n = t->node;
    float *want = room(t->m * t->n * 4);
    n.n_in = 5, n.n_tail = 2;
    n.in[3] = kit_type(EVLA_F32, 1, (int64_t[]){t->n});
    n.in[4] = n.out[0];
    n.data[3] = t->b, n.data[4] = t->other;
    n.tail[0] = (evla_tail){.op = "relu", .other = -1};
    n.tail[1] = (evla_tail){.op = "mul", .other = 4};
    for (int64_t i = 0; i < t->m * t->n; i++) {
        float y = t->y[i] + t->b[i % t->n];
        want[i] = (y > 0 ? y : 0) * t->other[i];
    }
    int good = same_output(t, &n, 2, want, t->m * t->n);
    free(want);
    return good;
}

/* A row whose scale is NaN is NaN, and a block whose 16-bit fields are all infinite makes
 * its column not finite; nothing else changes. */
static int not_finite_stays(trial *t)
{
    float *y = room(t->m * t->n * 4);
    int64_t bad = t->m / 2, column = t->n / 2;
    t->s[bad * (t->d / 32)] = NAN;
    /* of q6_k only d is one, and comes last */
    int64_t at = t->format->block_bytes == 210 ? 208 : 0;
    uint16_t infinite = 0x7c00;
    memcpy(t->w + column * t->row + at, &infinite, sizeof infinite);
    kit_node n = t->node;
    n.made[0] = y;
    void *packed = n.data[2] = kit_pack(&k, n.layout[2], &n.in[2], t->w);
    int good = kit_once(&k, kernel, &machine, &n, 1, 0) >= 0;
    for (int64_t i = 0; good && i < t->m; i++)
        for (int64_t j = 0; j < t->n; j++) {
            float v = y[i * t->n + j];
            good &= i == bad      ? v != v
                    : j == column ? !isfinite(v)
                                  : !memcmp(&v, &t->y[i * t->n + j], sizeof v);
        }
    free(y), free(packed);
    return good;
}

/* ---- all cases on one instruction set ---- */

static uint32_t first_bits[FORMATS][CASES]; /* of the first instruction set */
static const char *first_name;

static uint32_t bits_of(const trial *t)
{
    uint32_t sum = 2166136261u;
    for (int64_t i = 0; i < t->m * t->n; i++) {
        uint32_t u;
        memcpy(&u, &t->y[i], sizeof u);
        sum = (sum ^ u) * 16777619u;
    }
    return sum;
}

static void test_format(const char *name, int f)
{
    int layouts = 0, defined = 0, alone = 0, together = 0, plain = 0, tails = 0, nan = 0,
        same = 0, ran = 0;
    double worst = 0;
    for (int c = 0; c < CASES; c++) {
        trial t = trial_new(formats[f]);
        int64_t cut = kit_draw() % (uint32_t)t.m;
        if (trial_pack(&t) && kit_once(&k, kernel, &machine, &t.node, 1, 0) >= 0) {
            ran++;
            layouts += layout_holds(&t);
            worst = fmax(worst, distance(&t));
            if (f < DEFINED) defined += is_defined(&t, formats[f]);
            alone += same_alone(&t, cut, t.m) && same_alone(&t, 0, cut + 1) &&
                     same_alone(&t, cut, cut + 1);
            together += same_output(&t, &t.node, 2, t.y, t.m * t.n);
            plain += same_plain(&t);
            tails += tails_hold(&t);
            uint32_t bits = bits_of(&t);
            if (!first_name || first_name == name) first_bits[f][c] = bits;
            same += first_bits[f][c] == bits;
            nan += not_finite_stays(&t);
        }
        trial_free(&t);
    }
    const char *w = formats[f];
    ok(ran == CASES && layouts == CASES,
       "%s: %s packed takes its own bytes, and rows decode to the same bits", name, w);
    ok(ran == CASES && worst <= 1,
       "%s: %s is as near to the exact product as (3 + K/16) 2^-24 sum of 4 max|w| sum|x| "
       "of each 16; worst is %.3f of it",
       name, w, worst);
    if (f < DEFINED) ok(defined == CASES, "%s: %s has the bits of its definition", name, w);
    ok(alone == CASES && together == CASES,
       "%s: %s: rows alone, cut anywhere, or by two workers backwards: the same bits", name,
       w);
    ok(plain == CASES, "%s: %s: plain rows give the same bits", name, w);
    ok(same == CASES, "%s: %s has the bits of %s", name, w, first_name ? first_name : name);
    ok(tails == CASES, "%s: %s: bias, relu and mul are rounded in their order", name, w);
    ok(nan == CASES, "%s: %s: NaN and infinities stay in their row or column", name, w);
}

static void test_refusals(const char *name)
{
    *kit_seed() = 9;
    trial t = trial_new("q8_0");
    kit_run r;
    static const evla_layout foreign = {
        .size = sizeof foreign, .panel = 4, .name = "other"};
    t.node.data[2] = t.w;
    t.node.layout[2] = &foreign;
    int32_t st = kit_open(&k, kernel, &machine, &t.node, 1, &r);
    kit_close(&r);
    ok(st == EVLA_E_MISSING, "%s: a layout of somebody else is left to others", name);
    t.node.layout[2] = NULL;
    t.node.in[1].shape[1] = 1;
    t.node.in[0].shape[1] = t.node.in[2].shape[1] = 64;
    st = kit_open(&k, kernel, &machine, &t.node, 1, &r);
    kit_close(&r);
    ok(st == EVLA_E_MISSING, "%s: scales of 64 codes each are left to others", name);
    trial_free(&t);
}

static void test_machine(const char *name)
{
    if (kit_detect(&k, name, &machine) < 0) {
        ok(strstr(k.host.why, "has no") != NULL, "%s # SKIP %s", name, k.host.why);
        return;
    }
    snprintf(kernel, sizeof kernel, "coded_linear.%s", name);
    *kit_seed() = 1;
    for (int f = 0; f < FORMATS; f++)
        test_format(name, f);
    if (!first_name) first_name = name;
    test_refusals(name);
}

int main(void)
{
    if (!kit_load(&k, "cpu-x86")) return skip_all("plugins/cpu-x86.so is not built here");
    if (!kit_load(&k, "ops") || !kit_load(&k, "gguf") || !kit_load(&k, "half"))
        return skip_all("plugins ops, gguf and half are not all built");
    test_machine("avx2");
    test_machine("avx2_vnni");
    test_machine("avx512");
    test_machine("vnni");
    return tap_done();
}
