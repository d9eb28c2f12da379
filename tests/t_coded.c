/*
 * core/graph/coded.c, core/graph/layout.c: linears with weights in codes become the
 * operators that their format names; weights are laid out once, as all who read them can.
 *
 * A format of four values a block, i8 eighths. t_twice doubles, so that a linear that was
 * rewritten gives twice as much and shows itself.
 */
#include "graph/layout.h"
#include "graph/save.h"
#include "graph_kit.h"
#include "run/session.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { N = 5, K = 8, B = 3, PANEL = 2 };

static registry reg;
static ctx cx;
static atomic_int n_packed; /* panels */
static int packs_slowly;
static int32_t linear_score = 1;

/* ---- the format ---- */

static int32_t decode(const evla_host *h, const void *codes, int64_t n, float *out)
{
    (void)h;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)((const int8_t *)codes)[i] / 8;
    return 0;
}

static int32_t encode(const evla_host *h, const float *values, int64_t n, void *codes)
{
    (void)h;
    for (int64_t i = 0; i < n; i++)
        ((int8_t *)codes)[i] = (int8_t)(values[i] * 8);
    return 0;
}

static const evla_dtype t_eighths = {.size = sizeof t_eighths,
                                     .block_elements = 4,
                                     .block_bytes = 4,
                                     .decode = decode,
                                     .encode = encode,
                                     .source = "this test",
                                     .linear = "t_coded",
                                     .activation = "t_twice",
                                     .activation_params = "{\"by\":2}"};

/* ---- a layout: two rows, element by element ---- */

static int64_t layout_bytes(const evla_host *h, const evla_type *t)
{
    (void)h;
    return (t->shape[0] + PANEL - 1) / PANEL * PANEL * t->shape[1];
}

static int32_t layout_rows(const evla_host *h, const evla_type *t, int64_t n,
                           const void *rows, void *panel)
{
    (void)h;
    n_packed++;
    if (packs_slowly) usleep(20000);
    for (int64_t k = 0; k < t->shape[1]; k++)
        for (int64_t r = 0; r < PANEL; r++)
            ((int8_t *)panel)[k * PANEL + r] =
                r < n ? ((const int8_t *)rows)[r * t->shape[1] + k] : 0;
    return 0;
}

static void layout_row(const evla_type *t, const void *packed, int64_t row, float *out)
{
    const int8_t *panel = (const int8_t *)packed + row / PANEL * PANEL * t->shape[1];
    for (int64_t k = 0; k < t->shape[1]; k++)
        out[k] = (float)panel[k * PANEL + row % PANEL] / 8;
}

static const evla_layout pairs = {.size = sizeof pairs,
                                  .panel = PANEL,
                                  .name = "pairs.1",
                                  .bytes = layout_bytes,
                                  .pack = layout_rows,
                                  .row = layout_row};

/* ---- the operators ---- */

/* Row r of a weight, however it lies. */
static void row_of(const evla_args *a, int32_t i, int64_t r, float *out)
{
    const evla_type *t = &a->node->in[i];
    if (a->in[i].layout)
        a->node->layout[i]->row(t, a->in[i].data[0], r, out);
    else
        decode(NULL, (const int8_t *)a->in[i].data[0] + r * t->shape[1], t->shape[1], out);
}

/* y = x w^T + b; weight and bias stand at `w` and `w` + 1. */
static int32_t dot(const evla_args *a, int32_t w)
{
    const float *x = a->in[0].data[0], *b = a->in[w + 1].data[0];
    float *y = a->out[0].data[0], row[K];
    for (int64_t m = 0; m < B; m++)
        for (int64_t n = 0; n < N; n++) {
            row_of(a, w, n, row);
            float sum = b ? b[n] : 0;
            for (int64_t k = 0; k < K; k++)
                sum += x[m * K + k] * row[k];
            y[m * N + n] = sum;
        }
    return 0;
}

static int32_t dot_infer(const evla_host *h, const evla_node *n, evla_type *in,
                         evla_type *out)
{
    (void)h;
    int32_t w = !strcmp(n->op, "linear") ? 1 : 2;
    if (n->n_in > w + 1 && in[w + 1].dtype && in[w + 1].rank < 0)
        in[w + 1] = (evla_type){EVLA_F32, 1, {N}};
    out[0] = (evla_type){EVLA_F32, 2, {in[0].shape[0], in[w].shape[0]}};
    return 0;
}

static int32_t twice_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    (void)h, (void)n;
    return out[0] = in[0], 0;
}

static int32_t rows_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    (void)h, (void)n;
    return out[0] = (evla_type){EVLA_F32, 2, {in[0].shape[0], in[0].shape[1]}}, 0;
}

static int32_t any(const evla_host *h, const evla_machine *m, const evla_node *n,
                   evla_offer *offer)
{
    (void)h, (void)m;
    int is_linear = !strcmp(n->op, "linear");
    return *offer = (evla_offer){is_linear ? linear_score : 1, -1, "plain"}, 0;
}

static int32_t one_tile(const evla_host *h, const evla_machine *m, const evla_node *n,
                        evla_work *work)
{
    (void)h, (void)m, (void)n;
    return work->n_phases = 1, work->tiles[0] = 1, 0;
}

static int32_t linear_run(const evla_host *h, const evla_args *a, int32_t p, int64_t t)
{
    (void)h, (void)p, (void)t;
    return dot(a, 1);
}

static int32_t coded_run(const evla_host *h, const evla_args *a, int32_t p, int64_t t)
{
    (void)h, (void)p, (void)t;
    return dot(a, 2);
}

static int32_t twice_run(const evla_host *h, const evla_args *a, int32_t p, int64_t t)
{
    (void)h, (void)p, (void)t;
    for (int64_t i = 0; i < B * K; i++)
        ((float *)a->out[0].data[0])[i] =
            ((const float *)a->in[0].data[0])[i] * (float)*(const int64_t *)a->node->params;
    return 0;
}

static int32_t rows_run(const evla_host *h, const evla_args *a, int32_t p, int64_t t)
{
    (void)h, (void)p, (void)t;
    for (int64_t r = 0; r < N; r++)
        row_of(a, 0, r, (float *)a->out[0].data[0] + r * K);
    return 0;
}

static const evla_layout *wants_pairs(const evla_host *h, const evla_machine *m,
                                      const evla_node *n, int32_t i)
{
    (void)h, (void)m, (void)n;
    return i == 2 ? &pairs : NULL;
}

static const evla_layout *wants_none(const evla_host *h, const evla_machine *m,
                                     const evla_node *n, int32_t i)
{
    return (void)h, (void)m, (void)n, (void)i, NULL;
}

// clang-format off
static const evla_op linear = {.size = sizeof linear, .inputs = "x w b?", .outputs = "y", .source = "this test", .infer = dot_infer};
static const evla_op coded = {.size = sizeof coded, .inputs = "q s? w b?", .outputs = "y", .source = "this test", .infer = dot_infer};
static const evla_op twice = {.size = sizeof twice, .inputs = "x", .outputs = "y", .source = "this test", .infer = twice_infer};
static const evla_op rows = {.size = sizeof rows, .inputs = "w", .outputs = "y", .source = "this test", .infer = rows_infer};
static const evla_kernel linear_k = {.size = sizeof linear_k, .op = "linear", .accepts = any, .plan = one_tile, .run = linear_run};
static const evla_kernel coded_k = {.size = sizeof coded_k, .op = "t_coded", .accepts = any, .plan = one_tile, .run = coded_run, .layout = wants_pairs};
static const evla_kernel twice_k = {.size = sizeof twice_k, .op = "t_twice", .accepts = any, .plan = one_tile, .run = twice_run};
static const evla_kernel any_k = {.size = sizeof any_k, .op = "t_any_rows", .accepts = any, .plan = one_tile, .run = rows_run, .layout = wants_none};
static const evla_kernel plain_k = {.size = sizeof plain_k, .op = "t_plain_rows", .accepts = any, .plan = one_tile, .run = rows_run};
static const evla_param by[] = {{.name = "by", .doc = "factor", .type = EVLA_P_INT, .preset = "3"}};
static const evla_item items[] = {
    {EVLA_DTYPE, "t_eighths", &t_eighths, "", NULL, 0, 0},
    {EVLA_OP, "linear", &linear, "", NULL, 0, 0}, {EVLA_OP, "t_coded", &coded, "", NULL, 0, 0},
    {EVLA_OP, "t_twice", &twice, "", by, 1, sizeof(int64_t)},
    {EVLA_OP, "t_any_rows", &rows, "", NULL, 0, 0}, {EVLA_OP, "t_plain_rows", &rows, "", NULL, 0, 0},
    {EVLA_KERNEL, "linear.t", &linear_k, NULL, NULL, 0, 0}, {EVLA_KERNEL, "t_coded.t", &coded_k, NULL, NULL, 0, 0},
    {EVLA_KERNEL, "t_twice.t", &twice_k, NULL, NULL, 0, 0}, {EVLA_KERNEL, "t_any_rows.t", &any_k, NULL, NULL, 0, 0},
    {EVLA_KERNEL, "t_plain_rows.t", &plain_k, NULL, NULL, 0, 0},
};
static const evla_plugin plugin_table = {
    .magic = EVLA_MAGIC, .size = sizeof plugin_table, .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "test.coded", .version = "0", .license = "Apache-2.0", .items = items, .n_items = sizeof items / sizeof *items};
// clang-format on

/* ---- the model: two linears of x over w and v, then rows of w ---- */

static int8_t w_codes[N * K], v_codes[N * K];
static float x_values[B * K];

static model *declare(const char *reader)
{
    static const float bias[N] = {1, 2, 3, 4, 5};
    const evla_type t = {
        .dtype = dtype_find(&reg, "t_eighths", 9), .rank = 2, .shape = {N, K}};
    kit k = {.cx = cx};
    model *m = NULL;
    int32_t x, w, v, b, y, z;
    model_new(&cx, "m", &m);
    graph_new(&cx, m, "g", NULL, &k.g);
    graph_input(&cx, k.g, "x", "f32[3,8]", NULL, &x);
    graph_weight(&cx, k.g, "w", NULL, NULL, NULL, &w);
    graph_weight(&cx, k.g, "v", NULL, NULL, NULL, &v);
    graph_weight(&cx, k.g, "b", NULL, NULL, NULL, &b);
    model_set_weight(&cx, m, 0, &t, w_codes, 0);
    model_set_weight(&cx, m, 1, &t, v_codes, 0);
    model_set_weight(&cx, m, 2, &(evla_type){EVLA_F32, 1, {N}}, bias, 0);
    value none = {0};
    graph_add(&cx, k.g, "linear", (graph_arg[]){{NULL, x}, {NULL, w}, {NULL, b}}, 3, &none,
              NULL, &y);
    graph_add(&cx, k.g, "linear", (graph_arg[]){{NULL, x}, {NULL, v}}, 2, &none, NULL, &z);
    graph_output(&cx, k.g, "y", y, NULL);
    graph_output(&cx, k.g, "z", z, NULL);
    if (reader) {
        graph_add(&cx, k.g, reader, (graph_arg[]){{NULL, w}}, 1, &none, NULL, &y);
        graph_output(&cx, k.g, "rows", y, NULL);
    }
    return m;
}

/* What y or z should be, times `factor` but for the bias. */
static int is_right(session *s, const char *name, const int8_t *codes, float factor,
                    int has_bias)
{
    float got[B * N];
    session_get(&cx, s, 0, name, got, sizeof got);
    for (int m = 0; m < B; m++)
        for (int n = 0; n < N; n++) {
            float sum = 0;
            for (int k = 0; k < K; k++)
                sum += x_values[m * K + k] * (float)codes[n * K + k] / 8;
            if (got[m * N + n] != factor * sum + (has_bias ? (float)n + 1 : 0)) return 0;
        }
    return 1;
}

static int rows_are_right(session *s)
{
    float got[N * K];
    session_get(&cx, s, 0, "rows", got, sizeof got);
    for (int i = 0; i < N * K; i++)
        if (got[i] != (float)w_codes[i] / 8) return 0;
    return 1;
}

static session *open(model *m, const char *without, plan **p)
{
    session *s = NULL;
    const plan_options o = {.without = without};
    *p = NULL;
    if (plan_make(&cx, m->graphs[0], &(symbols){0}, &o, p) < 0 ||
        session_open(&cx, p, 1, NULL, &s) < 0) {
        note("%s", cx.why);
        return NULL;
    }
    session_set(&cx, s, 0, "x", x_values, sizeof x_values);
    session_run(&cx, s, 0);
    return s;
}

static int32_t count(const plan *p, const char *op)
{
    int32_t n = 0;
    for (int32_t t = 0; t < p->n_steps; t++)
        n += !strcmp(p->steps[t].node.op, op);
    return n;
}

static void test_rewrite(void)
{
    plan *p;
    model *m = declare(NULL);
    session *s = open(m, NULL, &p);
    ok(s && count(p, "t_twice") == 1 && count(p, "t_coded") == 2 && !count(p, "linear") &&
           p->graph->n_coded == 2,
       "two linears become two operators of their weights' format over one activation");
    ok(s && is_right(s, "y", w_codes, 2, 1) && is_right(s, "z", v_codes, 2, 0),
       "with the activation's parameters, the bias and the place of the scales empty");
    ok(!m->weights[0].layout && !n_packed,
       "a model that does not allow it keeps plain rows");
    session_close(s);
    plan_drop(p);
    s = open(m, "coded", &p);
    ok(s && count(p, "linear") == 2 && is_right(s, "y", w_codes, 1, 1),
       "without the rewrite linear reads the codes");
    session_close(s);
    plan_drop(p);
    model_drop(m);
}

/* A machine that multiplies such weights as well without coding x. */
static void test_plain(void)
{
    plan *p;
    model *m = declare(NULL);
    linear_score = 2;
    session *s = open(m, NULL, &p);
    ok(s && count(p, "linear") == 2 && !count(p, "t_twice") && !count(p, "t_coded") &&
           p->graph->n_coded == 0 && is_right(s, "y", w_codes, 1, 1) &&
           is_right(s, "z", v_codes, 1, 0),
       "where linear's own kernel scores higher, linear stays, and no activation is made");
    linear_score = 1;
    session_close(s);
    plan_drop(p);
    model_drop(m);
}

/* A thread that opens a session of a plan. */
typedef struct opener {
    pthread_t thread;
    plan *p;
    int is_good;
} opener;

static void *open_one(void *self)
{
    opener *o = self;
    session *s = NULL;
    ctx own;
    ctx_init(&own, &reg);
    o->is_good = session_open(&own, &o->p, 1, NULL, &s) >= 0;
    session_close(s);
    ctx_free(&own);
    return NULL;
}

static void test_at_once(void)
{
    enum { MANY = 4 };
    opener all[MANY] = {{0}};
    plan *p = NULL;
    model *m = declare(NULL);
    int n_good = 0;
    m->packs = 1;
    plan_make(&cx, m->graphs[0], &(symbols){0}, &(plan_options){0}, &p);
    atomic_store(&n_packed, 0);
    packs_slowly = 1;
    for (int i = 0; i < MANY; i++) {
        all[i].p = p;
        pthread_create(&all[i].thread, NULL, open_one, &all[i]);
    }
    for (int i = 0; i < MANY; i++) {
        pthread_join(all[i].thread, NULL);
        n_good += all[i].is_good;
    }
    packs_slowly = 0;
    ok(n_good == MANY && n_packed == 2 * (N + 1) / PANEL,
       "threads that open sessions at once lay each weight out once (%d panels)", n_packed);
    plan_drop(p);
    model_drop(m);
}

static void test_layout(void)
{
    plan *p, *q;
    model *m = declare("t_any_rows");
    m->packs = 1;
    session *s = open(m, NULL, &p);
    ok(s && m->weights[0].layout == &pairs && m->weights[1].layout == &pairs &&
           n_packed == 2 * (N + 1) / PANEL,
       "weights are laid out as their kernel likes, panel by panel");
    ok(s && is_right(s, "y", w_codes, 2, 1) && is_right(s, "z", v_codes, 2, 0) &&
           rows_are_right(s),
       "and every reader sees the same numbers");
    ok(session_swap_weight(&cx, s, "w", &m->weights[0].type, v_codes) < 0 &&
           says(&cx, EVLA_E_STATE,
                "weight w: lies in panels (pairs.1) and cannot be swapped"),
       "such a weight is not swapped");
    session *t = open(m, NULL, &q);
    ok(t && n_packed == 2 * (N + 1) / PANEL && is_right(t, "y", w_codes, 2, 1),
       "a second session shares them");
    session_close(t);
    plan_drop(q);
    session_close(s);
    plan_drop(p);
    model_drop(m);
}

static void test_retract(void)
{
    plan *p;
    model *m = declare("t_plain_rows");
    m->packs = 1;
    session *s = open(m, NULL, &p);
    ok(s && !m->weights[0].layout && m->weights[1].layout == &pairs,
       "a weight that somebody can only read in plain rows stays in them");
    ok(s && is_right(s, "y", w_codes, 2, 1) && is_right(s, "z", v_codes, 2, 0) &&
           rows_are_right(s),
       "and every reader sees the same numbers");
    session_close(s);
    plan_drop(p);
    model_drop(m);
}

/* To a file and back: attributes of every kind, and weights as they lie. */
static void test_file(void)
{
    static const float numbers[3] = {1, 2.5f, -3};
    static const evla_text texts[3] = {{"a", 1}, {"", 0}, {"b\0c", 3}};
    const evla_attr attrs[] = {
        {.name = "text", .type = EVLA_ATTR_TEXT, .text = "hello"},
        {.name = "whole", .type = EVLA_ATTR_INT, .integer = 1LL << 40},
        {.name = "real", .type = EVLA_ATTR_FLOAT, .number = 0.1},
        {.name = "numbers",
         .type = EVLA_ATTR_NUMBERS,
         .element = EVLA_F32,
         .items = numbers,
         .n_items = 3},
        {.name = "texts", .type = EVLA_ATTR_TEXTS, .items = texts, .n_items = 3},
    };
    enum { MANY = sizeof attrs / sizeof *attrs };
    char path[] = "/tmp/evla-coded-XXXXXX";
    int fd = mkstemp(path);
    close(fd);
    plan *p;
    model *m = declare("t_any_rows"), *back = NULL;
    m->packs = 1;
    m->attrs = attrs;
    m->n_attrs = MANY;
    session *s = open(m, NULL, &p);
    ok(s && save_model(&cx, m, path) == 0, "a model whose weights lie in panels is saved");
    session_close(s);
    plan_drop(p);
    model_drop(m);
    n_packed = 0;
    ok(save_open(&cx, path, &back) == 0 && back->n_attrs == MANY, "and opened");
    const evla_attr *a = back->attrs;
    ok(!strcmp(a[0].name, "text") && !strcmp(a[0].text, "hello") &&
           a[1].integer == 1LL << 40 && a[2].number == 0.1 && a[3].element == EVLA_F32 &&
           a[3].n_items == 3 && !memcmp(a[3].items, numbers, sizeof numbers),
       "its attributes come back");
    const evla_text *t = a[4].items;
    ok(a[4].type == EVLA_ATTR_TEXTS && a[4].n_items == 3 && t[0].n == 1 &&
           *t[0].at == 'a' && t[1].n == 0 && t[2].n == 3 && !memcmp(t[2].at, "b\0c", 3),
       "lists of texts, too, with what is in them");
    s = open(back, NULL, &p);
    ok(s && n_packed == 0 && is_right(s, "y", w_codes, 2, 1) &&
           is_right(s, "z", v_codes, 2, 0) && rows_are_right(s),
       "it runs from the file's own bytes");
    session_close(s);
    plan_drop(p);
    model_drop(back);
    save_open(&cx, path, &back);
    ok(plan_make(&cx, back->graphs[0], &(symbols){0}, &(plan_options){.without = "coded"},
                 &p) < 0 &&
           says(&cx, EVLA_E_PLUGIN,
                "weight w: lies in its file as pairs.1, which not every kernel that reads "
                "it "
                "here can; pack the model on this machine"),
       "where no kernel asks for these panels the file is refused");
    model_drop(back);
    unlink(path);
}

int main(void)
{
    registry_init(&reg);
    ctx_init(&cx, &reg);
    if (plugin_add(&cx, &reg, "test.so", &plugin_table) < 0 || plugin_seal(&cx, &reg) < 0)
        note("%s", cx.why);
    for (int i = 0; i < N * K; i++) {
        w_codes[i] = (int8_t)(i * 37 % 113 - 56);
        v_codes[i] = (int8_t)(i * 53 % 97 - 48);
    }
    for (int i = 0; i < B * K; i++)
        x_values[i] = (float)(i % 7) - 3;
    test_rewrite();
    test_plain();
    test_layout();
    test_at_once();
    test_retract();
    test_file();
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
