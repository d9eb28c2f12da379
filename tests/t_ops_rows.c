/*
 * t_ops_rows.c -- plugins/ops/rows.c: the portable kernels read a weight that is packed for
 * another kernel row by row, and give the bits that plain rows give; those that would
 * misread it do not accept.
 */
#include "kernel_kit.h"
#include "tap.h"

enum { PANEL = 4, ROWS = 10, WIDTH = 64, TOKENS = 3 };

static kit k;
static const evla_machine machine = {
    .size = sizeof machine, .n_workers = 1, .name = "portable", .features = ""};

/* ---- a layout: four rows as f32, number by number ---- */

static int64_t layout_bytes(const evla_host *h, const evla_type *t)
{
    (void)h;
    return (t->shape[0] + PANEL - 1) / PANEL * PANEL * t->shape[1] * (int64_t)sizeof(float);
}

static int32_t layout_pack(const evla_host *h, const evla_type *t, int64_t n,
                           const void *rows, void *panel)
{
    float row[WIDTH];
    int64_t bytes = h->dtype_bytes(h, t->dtype, t->shape[1]);
    for (int64_t r = 0; r < PANEL; r++) {
        int32_t st = r < n ? h->dtype_table(h, t->dtype)
                                 ->decode(h, (const char *)rows + r * bytes, WIDTH, row)
                           : 0;
        if (st < 0) return st;
        for (int64_t i = 0; i < WIDTH; i++)
            ((float *)panel)[i * PANEL + r] = r < n ? row[i] : 0;
    }
    return EVLA_OK;
}

static void layout_row(const evla_type *t, const void *packed, int64_t row, float *out)
{
    const float *panel = (const float *)packed + row / PANEL * PANEL * t->shape[1];
    for (int64_t i = 0; i < t->shape[1]; i++)
        out[i] = panel[i * PANEL + row % PANEL];
}

static const evla_layout layout = {.size = sizeof layout,
                                   .panel = PANEL,
                                   .name = "test.rows4.1",
                                   .bytes = layout_bytes,
                                   .pack = layout_pack,
                                   .row = layout_row};

/* ---- nodes ---- */

static float number(int64_t i) { return (float)(i * 7919 % 1009) / 504.0f - 1.0f; }

/* Plain and packed rows of input w give the same bytes. */
static int is_same(kit_node *n, int32_t w)
{
    char kernel[64], a[ROWS * WIDTH * 4], b[sizeof a];
    void *plain = n->data[w], *packed = kit_pack(&k, &layout, &n->in[w], plain);
    snprintf(kernel, sizeof kernel, "%s.portable", n->op);
    memset(a, 1, sizeof a);
    memset(b, 1, sizeof b);
    n->made[0] = a;
    int good =
        packed && kit_infer(&k, n) >= 0 && kit_once(&k, kernel, &machine, n, 1, 0) >= 0;
    n->made[0] = b;
    n->data[w] = packed;
    n->layout[w] = &layout;
    good = good && kit_once(&k, kernel, &machine, n, 1, 1) >= 0 && !memcmp(a, b, sizeof a);
    free(packed);
    n->data[w] = plain;
    n->layout[w] = NULL;
    return good;
}

static void test_format(const char *format)
{
    int32_t dtype = op_host_dtype(&k.host.table, format);
    const evla_dtype *d = op_host_dtype_table(&k.host.table, dtype);
    evla_type weight = kit_type(dtype, 2, (int64_t[]){ROWS, WIDTH});
    char *w = calloc(1, (size_t)kit_bytes(&k, &weight));
    float values[WIDTH], x[TOKENS * WIDTH], scale[TOKENS * WIDTH / 32];
    int8_t q[TOKENS * WIDTH];
    int32_t ids[] = {9, 0, 4};
    for (int64_t r = 0; r < ROWS; r++) {
        for (int64_t i = 0; i < WIDTH; i++)
            values[i] = number(r * WIDTH + i);
        d->encode(&k.host.table, values, WIDTH, w + r * kit_bytes(&k, &weight) / ROWS);
    }
    for (int64_t i = 0; i < TOKENS * WIDTH; i++)
        x[i] = number(i + 5), q[i] = (int8_t)(100 * number(i));
    for (int64_t i = 0; i < TOKENS * WIDTH / 32; i++)
        scale[i] = 0.01f * number(i + 3);
    evla_type rows = kit_type(EVLA_F32, 2, (int64_t[]){TOKENS, WIDTH});
    evla_type codes = kit_type(EVLA_I8, 2, rows.shape);
    evla_type scales = kit_type(EVLA_F32, 2, (int64_t[]){TOKENS, WIDTH / 32});
    evla_type names = kit_type(EVLA_I32, 1, (int64_t[]){TOKENS});
    kit_node linear = {.op = "linear", .n_in = 2, .in = {rows, weight}, .data = {x, w}};
    ok(is_same(&linear, 1), "linear reads %s packed as it reads it plain", format);
    kit_node coded = {.op = "coded_linear",
                      .n_in = 3,
                      .in = {codes, scales, weight},
                      .data = {q, scale, w}};
    ok(is_same(&coded, 2), "coded_linear reads %s packed as it reads it plain", format);
    kit_node table = {
        .op = "embedding", .n_in = 2, .in = {weight, names}, .data = {w, ids}};
    ok(is_same(&table, 0), "embedding reads %s packed as it reads it plain", format);
    free(w);
}

/* A kernel that knows nothing of layouts keeps off them. */
static void test_others(void)
{
    float a[WIDTH * WIDTH] = {0}, y[WIDTH * WIDTH];
    int32_t ids[] = {0};
    evla_gather_params axis = {0};
    evla_type square = kit_type(EVLA_F32, 2, (int64_t[]){WIDTH, WIDTH});
    evla_type one = kit_type(EVLA_I32, 1, (int64_t[]){1});
    kit_node gather = {.op = "gather",
                       .params = &axis,
                       .n_in = 2,
                       .in = {square, one},
                       .data = {a, ids},
                       .made = {y}};
    kit_node product = {
        .op = "matmul", .n_in = 2, .in = {square, square}, .data = {a, a}, .made = {y}};
    int plain = kit_infer(&k, &gather) >= 0 &&
                kit_once(&k, "gather.portable", &machine, &gather, 1, 0) >= 0 &&
                kit_infer(&k, &product) >= 0 &&
                kit_once(&k, "matmul.portable", &machine, &product, 1, 0) >= 0;
    gather.layout[0] = product.layout[1] = &layout;
    ok(plain &&
           kit_once(&k, "gather.portable", &machine, &gather, 1, 0) == EVLA_E_MISSING &&
           kit_once(&k, "matmul.portable", &machine, &product, 1, 0) == EVLA_E_MISSING,
       "gather and matmul take plain rows and no others");
}

int main(void)
{
    if (!kit_load(&k, "ops") || !kit_load(&k, "half") || !kit_load(&k, "gguf"))
        return skip_all("plugins ops, half and gguf are not built");
    test_format("bf16");
    test_format("q8_0");
    test_format("q4_0");
    test_others();
    return tap_done();
}
