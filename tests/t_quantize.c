/*
 * core/graph/quantize.c with the plugins ops and int8: what becomes codes and why not, the
 * new model against sums computed here, sharing, tables, static scales, files, memory that
 * runs out.
 */
#include "graph/plan.h"
#include "graph/quantize.h"
#include "graph/save.h"
#include "plugin.h"
#include "registry.h"
#include "run/session.h"
#include "says.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { B = 5, IN = 24, HID = 40, OUT = 6, ROWS = 11 };

static registry reg;
static ctx cx;
static model *m;
static graph *g;
static evla_choice dynamic, fixed, percentile;

/* ---- declaring ---- */

static int32_t weight_of(const char *name)
{
    int32_t w = -1;
    graph_weight(&cx, g, name, NULL, "uniform:0.4", NULL, &w);
    return w;
}

static int32_t op(const char *name, const char *params, int32_t a, int32_t b, int32_t c)
{
    graph_arg args[3];
    int32_t n = 0, out = -1, in[] = {a, b, c};
    value v = {0};
    for (int i = 0; i < 3; i++)
        if (in[i] >= 0) args[n++] = (graph_arg){NULL, in[i]};
    if (params) value_parse(&cx.mem, params, strlen(params), &v, NULL);
    graph_add(&cx, g, name, args, n, &v, NULL, &out);
    return out;
}

/* Two linears that read the same value, one behind them, a table whose rows are scores as
 * well, a state, a matrix that a product reads, a constant. */
static void declare(void)
{
    int32_t x, ids, h, half;
    graph_new(&cx, m, "fast", "m.lua:1", &g);
    graph_symbol(&cx, g, "B", "bucket{5,9}", NULL);
    graph_input(&cx, g, "x", "f32[B,24]", NULL, &x);
    graph_input(&cx, g, "ids", "i32[B]", NULL, &ids);
    graph_state(&cx, g, "h", "f32[B,40]", NULL, NULL, &h);
    graph_const_value(&cx, g, "f32[]", &(value){.kind = VALUE_FLOAT, .as.f = 0.5}, NULL,
                      &half);
    int32_t a = op("linear", "{\"out\":40}", x, weight_of("a.w"), weight_of("a.b"));
    int32_t b = op("linear", "{\"out\":40}", x, weight_of("b.w"), -1);
    int32_t e = op("embedding", "{\"embedding_dim\":40,\"num_embeddings\":11}",
                   weight_of("table"), ids, -1);
    a = op("add", NULL, op("relu", NULL, a, -1, -1), op("mul", NULL, b, half, -1), -1);
    a = op("add", NULL, op("add", NULL, a, e, -1), h, -1);
    op("assign", NULL, h, a, -1);
    graph_output(&cx, g, "y",
                 op("linear", "{\"out\":6}", a, weight_of("c.w"), weight_of("c.b")), NULL);
    graph_output(&cx, g, "scores", op("linear", "{\"out\":11}", a, weight_of("table"), -1),
                 NULL);
    graph_new(&cx, m, "other", "m.lua:2", &g);
    graph_input(&cx, g, "x", "f32[N,24]", NULL, &x);
    int32_t w;
    graph_weight(&cx, g, "d.w", "f32[40,3]", "uniform:0.4", NULL, &w);
    a = op("linear", NULL, x, weight_of("a.w"), weight_of("a.b"));
    graph_output(&cx, g, "y", op("matmul", NULL, a, w, -1), NULL);
}

static void make_model(void)
{
    model_drop(m);
    ctx_clear(&cx);
    model_new(&cx, "m", &m);
    declare();
    for (int32_t i = 0; i < m->n_graphs; i++) { /* binding types the weights */
        plan *p;
        symbols s = {
            .n = 1, .name = {m->graphs[i]->symbols[0].name}, .extent = {i ? 2 : B}};
        if (plan_make(&cx, m->graphs[i], &s, NULL, &p) >= 0) plan_drop(p);
    }
    model_fill(&cx, m, 3);
    if (cx.code) note("%s", cx.why);
}

static quantize_layer *find(quantize_layer *list, int32_t n, const char *name)
{
    for (int32_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

static const weight_info *weight(const model *of, const char *name)
{
    int32_t slot = model_weight(of, name);
    return slot < 0 ? NULL : &of->weights[slot];
}

static const float *data_of(const char *name) { return weight(m, name)->data; }

/* ---- running ---- */

typedef struct answers {
    float y[B * OUT], scores[B * ROWS], x[B * IN];
    int32_t ids[B];
} answers;

/* Two runs of "fast", so that its state counts. */
static int32_t run(const model *of, const plan_options *o, answers *out)
{
    plan *p;
    session *s;
    symbols at = {.n = 1, .name = {"B"}, .extent = {B}};
    for (int i = 0; i < B * IN; i++)
        out->x[i] = (float)((i * 37) % 101) * 0.03f - 1.4f;
    for (int i = 0; i < B; i++)
        out->ids[i] = (i * 7) % ROWS;
    int32_t st = plan_make(&cx, model_graph(of, "fast"), &at, o, &p);
    if (st < 0) return st;
    if ((st = session_open(&cx, &p, 1, NULL, &s)) < 0) return plan_drop(p), st;
    st = session_set(&cx, s, 0, "x", out->x, sizeof out->x);
    if (st >= 0) st = session_set(&cx, s, 0, "ids", out->ids, sizeof out->ids);
    for (int i = 0; st >= 0 && i < 2; i++)
        st = session_run(&cx, s, 0);
    if (st >= 0) st = session_get(&cx, s, 0, "y", out->y, sizeof out->y);
    if (st >= 0) st = session_get(&cx, s, 0, "scores", out->scores, sizeof out->scores);
    session_close(s);
    plan_drop(p);
    return st;
}

/* Bit for bit; -0 and NaN count as themselves. */
static int same(const void *a, const void *b) { return !memcmp(a, b, sizeof(answers)); }

static double apart(const float *a, const float *b, int n)
{
    double d = 0, s = 0;
    for (int i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    return sqrt(d / s);
}

static int count_ops(const graph *of, const char *name)
{
    int n = 0;
    for (int32_t i = 0; i < of->n_nodes; i++)
        n += !strcmp(of->nodes[i].op->name, name);
    return n;
}

/* ---- the same sums, as ops.h says, computed here ---- */

static void code_row(const float *x, int n, float scale, int8_t *q, float *s)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    *s = scale > 0 ? scale : most > 0 ? most / 127.0f : 1.0f;
    for (int i = 0; i < n; i++) {
        float v = rintf(x[i] / *s);
        q[i] = (int8_t)(v > 127 ? 127 : v < -127 ? -127 : v);
    }
}

static void linear(const float *x, int in, const float *w, const float *b, int out,
                   float scale, float *y)
{
    int8_t q[64], c[64];
    float qs, ws;
    for (int r = 0; r < B; r++) {
        code_row(x + r * in, in, scale, q, &qs);
        for (int o = 0; o < out; o++) {
            int32_t sum = 0;
            code_row(w + o * in, in, 0, c, &ws);
            for (int i = 0; i < in; i++)
                sum += q[i] * c[i];
            float scaled = qs * ws, product = (float)sum * scaled;
            y[r * out + o] = b ? product + b[o] : product;
        }
    }
}

static void oracle(answers *out, float scale)
{
    static float a[B * HID], b[B * HID], h[B * HID];
    memset(h, 0, sizeof h);
    for (int t = 0; t < 2; t++) {
        linear(out->x, IN, data_of("a.w"), data_of("a.b"), HID, scale, a);
        linear(out->x, IN, data_of("b.w"), NULL, HID, scale, b);
        for (int r = 0; r < B; r++) {
            int8_t q[64];
            float s;
            code_row(data_of("table") + out->ids[r] * HID, HID, 0, q, &s);
            for (int i = 0; i < HID; i++) {
                float v = a[r * HID + i], e = (float)q[i] * s;
                float u = (v > 0 ? v : 0) + b[r * HID + i] * 0.5f;
                u = u + e;
                h[r * HID + i] = u + h[r * HID + i];
            }
        }
        linear(h, HID, data_of("c.w"), data_of("c.b"), OUT, 0, out->y);
        linear(h, HID, data_of("table"), NULL, ROWS, 0, out->scores);
    }
}

/* ---- tests ---- */

static void test_layers(void)
{
    arena a = arena_growing(4096);
    quantize_layer *l;
    int32_t n = 0;
    make_model();
    ok(quantize_layers(&cx, &a, m, &l, &n) == 0 && n == 5,
       "weights of rank 2 are listed, biases are not");
    quantize_layer *w = find(l, n, "a.w"), *t = find(l, n, "table"), *d = find(l, n, "d.w");
    ok(w && !w->why && w->n_linears == 2 && !w->n_tables,
       "a linear's weight can become codes, with its readers in all graphs");
    ok(t && !t->why && t->n_linears == 1 && t->n_tables == 1,
       "so can a table that a linear reads too");
    ok(d && d->why && !strcmp(d->why, "other/matmul.1 reads it as it is"),
       "a weight that another operator reads stays: %s", d && d->why ? d->why : "?");
    ok(!strcmp(quantize_bias(m, w), "a.b") && !quantize_bias(m, t), "biases are found");
    arena_free(&a);
}

/* Codes for all layers but those named. */
static quantize_layer *code(arena *a, const evla_choice *with, const char *but, int32_t *n)
{
    quantize_layer *l = NULL;
    int32_t st = quantize_layers(&cx, a, m, &l, n);
    for (int32_t i = 0; st >= 0 && i < *n; i++) {
        if (l[i].why || (but && strstr(but, l[i].name))) continue;
        st = quantize_open(&cx, a, m, &l[i], with);
        if (st >= 0 && l[i].with) st = quantize_encode(&cx, a, m, &l[i]);
    }
    return st < 0 ? NULL : l;
}

static void drop(quantize_layer *l, int32_t n)
{
    for (int32_t i = 0; l && i < n; i++)
        quantize_close(&l[i]);
}

static void test_bits(void)
{
    arena a = arena_growing(4096);
    int32_t n = 0;
    model *coded = NULL, *apart_ = NULL, *off = NULL;
    static answers f32, got, want, other;
    make_model();
    run(m, NULL, &f32);
    quantize_layer *l = code(&a, &dynamic, NULL, &n);
    ok(l && quantize_apply(&cx, m, l, n, NULL, &coded) == 0, "the model is rewritten");
    if (!coded) note("%s", cx.why);
    ok(run(coded, NULL, &got) == 0, "and runs: %s", cx.why);
    want = got;
    oracle(&want, 0);
    ok(same(&want, &got),
       "linears, a tied table, a bias and a state: the bits of the same sums in C");
    double gap = apart(got.y, f32.y, B * OUT);
    ok(gap > 0 && gap < 0.02, "within 2%% of f32 (found %.3f%%)", 100 * gap);
    const graph *now = model_graph(coded, "fast");
    ok(count_ops(now, "quantized_linear") == 4 && !count_ops(now, "linear") &&
           count_ops(now, "quantize") == 2 && count_ops(now, "dequantize") == 1 &&
           count_ops(now, "gather") == 2 && !count_ops(now, "embedding"),
       "linears that read the same value share its codes");
    ok(count_ops(model_graph(coded, "other"), "quantized_linear") == 1 &&
           count_ops(model_graph(coded, "other"), "matmul") == 1,
       "all graphs are rewritten alike, other operators stay");
    ok(!weight(coded, "a.w") && weight(coded, "a.w.codes") && weight(coded, "a.w.scale") &&
           weight(coded, "a.b") && weight(coded, "d.w") && now->n_symbols == 1 &&
           now->symbols[0].n_bucket == 2,
       "codes take the place of the weights; symbols, biases and others are as they were");
    ok(quantize_apply(&cx, m, l, n, "share", &apart_) == 0 &&
           count_ops(model_graph(apart_, "fast"), "quantize") == 4 &&
           run(apart_, NULL, &other) == 0 && same(&got, &other),
       "without sharing there are more nodes and the same bits");
    ok(run(coded, &(plan_options){.without = "fuse fold dead"}, &other) == 0 &&
           same(&got, &other),
       "and without fusing too");
    ok(quantize_apply(&cx, m, l, n, "quantize", &off) == 0 && run(off, NULL, &other) == 0 &&
           same(&f32, &other) && off->n_weights == m->n_weights,
       "switched off, the rewrite makes a copy with the bits of f32");
    ok(quantize_apply(&cx, m, l, n, "quantise", &off) < 0 &&
           says(&cx, EVLA_E_ARG,
                "no rewrite of a model is called \"quantise\"; want quantize or share"),
       "other names of rewrites are refused");
    int64_t before = 0, after = 0;
    for (int32_t i = 0; i < n; i++)
        if (l[i].is_on) {
            before += quantize_bytes(&cx, m, &l[i], 0);
            after += quantize_bytes(&cx, m, &l[i], 1);
        }
    ok(before == 4 * (2 * HID * IN + OUT * HID + ROWS * HID) &&
           after == 2 * HID * (IN + 4) + (OUT + ROWS) * (HID + 4),
       "bytes before and after are counted: %d, %d", (int)before, (int)after);
    model_drop(coded), model_drop(apart_), model_drop(off);
    drop(l, n);
    arena_free(&a);
}

static void test_partly(void)
{
    arena a = arena_growing(4096);
    int32_t n = 0;
    model *coded = NULL, *pair = NULL, *probe = NULL;
    make_model();
    quantize_layer *l = code(&a, &dynamic, "a.w table", &n);
    ok(l && quantize_apply(&cx, m, l, n, NULL, &coded) == 0 &&
           count_ops(model_graph(coded, "fast"), "linear") == 2 &&
           count_ops(model_graph(coded, "fast"), "embedding") == 1 &&
           weight(coded, "a.w") && !weight(coded, "b.w"),
       "layers without codes stay as they are");
    quantize_layer *c = find(l, n, "c.w");
    ok(quantize_pair(&cx, m, c, quantize_bias(m, c), &pair) == 0 && pair->n_graphs == 2 &&
           count_ops(model_graph(pair, "codes"), "quantized_linear") == 1 &&
           count_ops(model_graph(pair, "f32"), "linear") == 1 && pair->n_weights == 4,
       "a pair of graphs holds one layer before and after");
    ok(quantize_probe(&cx, m, "fast", l, n, &probe) == 0 &&
           model_graph(probe, "fast")->n_outputs == 4 &&
           !strcmp(model_graph(probe, "fast")->outputs[0].name, "reads/0.0"),
       "a probe shows what the linears of every layer read");
    model_drop(coded), model_drop(pair), model_drop(probe);
    drop(l, n);
    arena_free(&a);
}

static void test_static(void)
{
    arena a = arena_growing(4096);
    int32_t n = 0;
    static answers got, want;
    static float wide[10000 * IN];
    model *coded = NULL;
    make_model();
    quantize_layer *l = NULL;
    quantize_layers(&cx, &a, m, &l, &n);
    quantize_layer *aw = find(l, n, "a.w"), *bw = find(l, n, "b.w");
    run(m, NULL, &got); /* for x */
    quantize_open(&cx, &a, m, aw, &fixed);
    ok(quantize_encode(&cx, &a, m, aw) < 0 &&
           says(&cx, EVLA_E_STATE,
                "weight a.w: int8: a static scale needs calibration, which saw no value"),
       "a static scale needs calibration");
    quantize_open(&cx, &a, m, bw, &fixed);
    quantize_observe(&cx, aw, got.x, B);
    quantize_observe(&cx, bw, got.x + 2 * IN, B - 2);
    quantize_observe(&cx, bw, got.x, 2);
    ok(quantize_encode(&cx, &a, m, aw) == 0 && quantize_encode(&cx, &a, m, bw) == 0 &&
           aw->scale == bw->scale && aw->scale > 0 && aw->observed == B,
       "the same rows in any batches give the same scale");
    quantize_layer *t = find(l, n, "table"), *c = find(l, n, "c.w");
    for (quantize_layer *x = t; x; x = x == t ? c : NULL) {
        quantize_open(&cx, &a, m, x, &dynamic);
        quantize_encode(&cx, &a, m, x);
    }
    quantize_apply(&cx, m, l, n, NULL, &coded);
    ok(coded && run(coded, NULL, &got) == 0 &&
           count_ops(model_graph(coded, "fast"), "quantize") == 2,
       "equal static scales are shared");
    want = got;
    oracle(&want, aw->scale);
    ok(same(&want, &got), "static codes: the bits of the same sums in C");
    const char *said = quantize_report(aw);
    ok(said && strstr(said, "per_tensor"), "it reports: %s", said ? said : "");
    got.x[7] = NAN;
    ok(quantize_observe(&cx, aw, got.x, B) < 0 &&
           says(&cx, EVLA_E_RANGE,
                "weight a.w: int8: calibration: row 0 holds a NaN or Inf at 7"),
       "calibration refuses NaN");
    /* 1 value in 1000 is far out; the percentile leaves those out */
    for (int i = 0; i < 10000 * IN; i++)
        wide[i] = i % 1000 == 999 ? 80.0f : (float)(i % 999) / 999.0f;
    quantize_close(bw);
    quantize_open(&cx, &a, m, bw, &percentile);
    quantize_observe(&cx, bw, wide, 10000);
    ok(quantize_encode(&cx, &a, m, bw) == 0 && bw->scale >= 0.98f / 127 &&
           bw->scale <= 1.02f / 127,
       "a percentile of 99.5 leaves outliers out");
    model_drop(coded);
    drop(l, n);
    arena_free(&a);
}

static void test_refusals(void)
{
    arena a = arena_growing(4096);
    quantize_layer *l = NULL;
    int32_t n = 0;
    make_model();
    float *w = (float *)(uintptr_t)data_of("a.w");
    w[IN + 3] = INFINITY;
    quantize_layers(&cx, &a, m, &l, &n);
    quantize_layer *aw = find(l, n, "a.w");
    quantize_open(&cx, &a, m, aw, &dynamic);
    ok(quantize_encode(&cx, &a, m, aw) < 0 &&
           says(&cx, EVLA_E_RANGE,
                "weight a.w: int8: the weight holds a NaN or Inf at [1,3]"),
       "a weight with Inf is refused by name and place");
    drop(l, n);
    int32_t x;
    graph_new(&cx, m, "third", NULL, &g);
    graph_input(&cx, g, "x", "f32[B,200000]", NULL, &x);
    graph_weight(&cx, g, "wide", "f32[2,200000]", "zeros", NULL, &(int32_t){0});
    graph_output(&cx, g, "y", op("linear", NULL, x, weight_of("b.w.scale"), -1), NULL);
    graph_output(&cx, g, "z", op("linear", NULL, x, 1, -1), NULL);
    evla_type t = {.dtype = EVLA_F32, .rank = 2, .shape = {2, 200000}};
    static float zeros[400000];
    model_set_weight(&cx, m, model_weight(m, "wide"), &t, zeros, 0);
    model_set_weight(&cx, m, model_weight(m, "b.w.scale"), &t, zeros, 0);
    quantize_layers(&cx, &a, m, &l, &n);
    quantize_layer *wide = find(l, n, "wide");
    ok(quantize_open(&cx, &a, m, wide, &dynamic) == 0 && !wide->with && wide->why &&
           strstr(wide->why, "rows of 200000"),
       "a quantiser that refuses gives a reason, no failure");
    ok(quantize_open(&cx, &a, m, find(l, n, "b.w"), &dynamic) < 0 &&
           says(&cx, EVLA_E_EXISTS,
                "weight b.w: its codes would be called b.w.scale, and there is such a "
                "weight; rename one"),
       "names of codes may not be taken");
    drop(l, n);
    arena_free(&a);
}

static void test_file(void)
{
    char path[64];
    arena a = arena_growing(4096);
    int32_t n = 0;
    model *coded = NULL, *back = NULL;
    static answers got, again;
    snprintf(path, sizeof path, "/tmp/evla-t-quantize-%d", (int)getpid());
    make_model();
    quantize_layer *l = code(&a, &dynamic, NULL, &n);
    quantize_apply(&cx, m, l, n, NULL, &coded);
    ok(coded && save_model(&cx, coded, path) == 0 && save_open(&cx, path, &back) == 0 &&
           run(coded, NULL, &got) == 0 && run(back, NULL, &again) == 0 &&
           same(&got, &again),
       "the new model survives its file");
    model_drop(coded), model_drop(back);
    unlink(path);
    drop(l, n);
    arena_free(&a);
}

static void test_no_memory(void)
{
    arena a = arena_growing(4096);
    int32_t n = 0;
    int clean = 1, done = 0, tries = 0;
    make_model();
    quantize_layer *l = code(&a, &dynamic, NULL, &n);
    for (int which = 0; which < 2; which++)
        for (int64_t at = 1, going = 1; going && at < 2000; at++, tries++) {
            arena *full = which ? &cx.scratch : &cx.mem;
            model *coded = NULL;
            full->fail_in = at;
            int32_t st = quantize_apply(&cx, m, l, n, NULL, &coded);
            full->fail_in = 0;
            if (st == 0) {
                model_drop(coded);
                going = 0;
                done++;
            } else if (st != EVLA_E_NOMEM || !*cx.why) {
                note("push %d: %d %s", (int)at, st, cx.why);
                clean = 0;
            }
            ctx_clear(&cx);
        }
    ok(clean && done == 2, "memory that runs out at any push is one clean refusal");
    note("%d points of failure", tries);
    drop(l, n);
    arena_free(&a);
}

static int32_t choose(const char *params, evla_choice *out)
{
    value v = {0};
    param_site site = {.what = "quant.int8"};
    out->item = registry_want(&cx, EVLA_QUANT, "int8");
    value_parse(&cx.mem, params, strlen(params), &v, NULL);
    return out->item ? param_fill_item(&cx, &cx.mem, &site, out->item, &v, &out->params)
                     : cx.code;
}

int main(void)
{
    static const char *const needed[] = {"ops", "int8"};
    char path[4096];
    const char *build = getenv("EVLA_BUILD");
    registry_init(&reg);
    ctx_init(&cx, &reg);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/plugins/%s.so", build ? build : "build", needed[i]);
        if (access(path, R_OK)) return skip_all("plugins ops and int8 are not built");
        if (plugin_load(&cx, &reg, path) < 0) note("%s", cx.why);
    }
    if (plugin_seal(&cx, &reg) < 0 || choose("{}", &dynamic) < 0 ||
        choose("{\"activations\":\"per_tensor\"}", &fixed) < 0 ||
        choose("{\"activations\":\"per_tensor\",\"calibration\":\"percentile\","
               "\"percentile\":99.5}",
               &percentile) < 0)
        note("%s", cx.why);
    test_layers();
    test_bits();
    test_partly();
    test_static();
    test_refusals();
    test_file();
    test_no_memory();
    model_drop(m);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
