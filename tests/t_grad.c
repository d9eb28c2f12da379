/*
 * The training step as one plan: against PyTorch's AdamW, its bits, memory, states, and
 * what is refused. Gradients of single operators are in grad_numpy.t.
 */
#include "golden/adamw_torch.h"
#include "graph/grad.h"
#include "plugin.h"
#include "run/learn.h"
#include "says.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static registry reg;
static ctx cx;
static model *m;
static graph *g;

/* ---- declaring ---- */

static void fresh(void)
{
    model_drop(m);
    ctx_clear(&cx);
    model_new(&cx, "m", &m);
    graph_new(&cx, m, "loss", "m.lua:1", &g);
}

static int32_t weight(const char *name, const char *type, const char *init)
{
    int32_t w = -1;
    graph_weight(&cx, g, name, type, init, "m.lua:2", &w);
    return w;
}

static int32_t input(const char *name, const char *type)
{
    int32_t w = -1;
    graph_input(&cx, g, name, type, "m.lua:3", &w);
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
    graph_add(&cx, g, name, args, n, &v, "m.lua:4", &out);
    return out;
}

static void output(const char *name, int32_t w)
{
    graph_output(&cx, g, name, w, "m.lua:5");
}

/* ---- numbers: splitmix64, as grad_torch.py draws them ---- */

static uint64_t drawn;

static float draw(void)
{
    uint64_t z = drawn += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)((z ^ z >> 31) >> 40) / 8388608.0f - 1;
}

static void draw_all(float *x, int n, float scale)
{
    for (int i = 0; i < n; i++)
        x[i] = draw() * scale;
}

/* ---- the regression of grad_torch.py ---- */

static float mlp_x[32 * 6], mlp_y[32 * 2];

static void mlp(void)
{
    static const struct {
        const char *name;
        int rank;
        int64_t shape[2];
    } w[] = {{"a.w", 2, {16, 6}}, {"a.b", 1, {16}}, {"b.w", 2, {2, 16}}, {"b.b", 1, {2}}};
    int32_t in[4], h;
    fresh();
    for (int i = 0; i < 4; i++)
        in[i] = weight(w[i].name, NULL, NULL);
    h = op("linear", "{\"out\":16}", input("x", "f32[B,6]"), in[0], in[1]);
    h = op("linear", "{\"out\":2}", op("tanh", NULL, h, -1, -1), in[2], in[3]);
    output("loss", op("mse_loss", NULL, h, input("y", "f32[B,2]"), -1));
    output("pred", h);
    drawn = 3;
    draw_all(mlp_x, 32 * 6, 1);
    draw_all(mlp_y, 32 * 2, 1);
    for (int i = 0; i < 4; i++) {
        float v[96];
        evla_type t = {.dtype = EVLA_F32, .rank = w[i].rank};
        memcpy(t.shape, w[i].shape, sizeof w[i].shape);
        draw_all(v, (int)type_count(&t), 0.5f);
        model_set_weight(&cx, m, model_weight(m, w[i].name), &t, v, 1);
    }
}

static int32_t make(int64_t batch, const grad_options *go, const plan_options *o,
                    grad **out)
{
    symbols s = {.n = 1, .name = {"B"}, .extent = {batch}};
    return grad_make(&cx, g, &s, go, o, out);
}

/* One update; returns the mean loss of its batches. */
static double step(const grad *gr, session *s, int t, double *norm)
{
    int batch = 32 / gr->accumulate;
    float loss, n, lr = 0.01f * fminf(1, (float)t / 10);
    double sum = 0;
    int64_t at = t;
    int good = 1;
    for (int k = 0; good && k < gr->accumulate; k++) {
        size_t from = (size_t)(k * batch), some = (size_t)batch * sizeof(float);
        good = session_set(&cx, s, gr->batch, "x", mlp_x + from * 6, some * 6) >= 0 &&
               session_set(&cx, s, gr->batch, "y", mlp_y + from * 2, some * 2) >= 0;
        if (good && gr->update == gr->batch)
            good = session_set(&cx, s, gr->update, "lr", &lr, sizeof lr) >= 0 &&
                   session_set(&cx, s, gr->update, "t", &at, sizeof at) >= 0;
        good = good && session_run(&cx, s, gr->batch) >= 0 &&
               session_get(&cx, s, gr->batch, "loss", &loss, sizeof loss) >= 0;
        if (good) sum += loss;
    }
    if (good && gr->update != gr->batch)
        good = session_set(&cx, s, gr->update, "lr", &lr, sizeof lr) >= 0 &&
               session_set(&cx, s, gr->update, "t", &at, sizeof at) >= 0 &&
               session_run(&cx, s, gr->update) >= 0;
    if (!good || session_get(&cx, s, gr->update, "grad_norm", &n, sizeof n) < 0) {
        note("%s", cx.why);
        return NAN;
    }
    *norm = n;
    return sum / gr->accumulate;
}

static session *begin(grad *gr, int workers)
{
    session *s = NULL;
    if (grad_frozen(&cx, gr) < 0 ||
        session_open(&cx, gr->plans, gr->n_plans, &(session_options){.n_workers = workers},
                     &s) < 0 ||
        learn_begin(&cx, gr, s) < 0)
        note("%s", cx.why);
    return s;
}

static const grad_options plain = {.weight_decay = 0.1, .beta2 = 0.95};

static void test_torch(const char *what, const grad_options *go, const double *loss,
                       const double *norm)
{
    grad *gr = NULL;
    double worst = 0, worst_norm = 0;
    mlp();
    if (make(32 / (go->accumulate ? go->accumulate : 1), go, NULL, &gr) < 0) {
        ok(0, "%s: %s", what, cx.why);
        return;
    }
    session *s = begin(gr, 1);
    for (int t = 1; t <= 50; t++) {
        double n = 0, l = step(gr, s, t, &n);
        double off = fabs(l / loss[t - 1] - 1), off_norm = fabs(n / norm[t - 1] - 1);
        worst = off > worst || off != off ? off : worst;
        worst_norm = off_norm > worst_norm || off_norm != off_norm ? off_norm : worst_norm;
    }
    ok(worst < 1e-4, "%s: the losses of 50 steps are PyTorch's within %.1e, allowed 1e-4",
       what, worst);
    ok(worst_norm < 1e-4, "%s: gradient norms are PyTorch's within %.1e, allowed 1e-4",
       what, worst_norm);
    session_close(s);
    grad_free(gr);
}

/* ---- bits, resuming, and the way back into weights ---- */

static uint64_t states_of(const grad *gr, session *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (int32_t i = 0; i < gr->model->n_states; i++) {
        evla_tensor *t = session_state(s, gr->model->states[i].name, NULL);
        int64_t n = 4;
        if (!t) continue;
        for (int32_t k = 0; k < t->rank; k++)
            n *= t->shape[k];
        for (int64_t k = 0; k < n; k++)
            h = (h ^ ((unsigned char *)t->data[0])[k]) * 0x100000001b3u;
    }
    return h;
}

static void test_bits(void)
{
    grad *gr = NULL;
    grad_options go = plain;
    plan_options o = {.n_workers = 3};
    uint64_t bits[3];
    double n;
    go.clip_norm = 0.25;
    go.evaluate = 1;
    mlp();
    if (make(32, &go, &o, &gr) < 0) note("%s", cx.why);
    for (int w = 0; w < 3; w++) {
        session *s = begin(gr, w + 1);
        for (int t = 1; t <= 20; t++)
            step(gr, s, t, &n);
        bits[w] = states_of(gr, s);
        session_close(s);
    }
    ok(bits[0] == bits[1] && bits[0] == bits[2],
       "weights and moments are the same bits for 1, 2 and 3 workers");
    ok(gr->n_weights == 4 && gr->parameters == 146 && gr->weights[0].decays &&
           !gr->weights[1].decays,
       "matrices decay, biases do not");

    char path[] = "/tmp/t_gradXXXXXX";
    close(mkstemp(path));
    session *s = begin(gr, 1);
    for (int t = 1; t <= 8; t++)
        step(gr, s, t, &n);
    int saved = session_save(&cx, s, path) >= 0;
    session_close(s);
    s = begin(gr, 2);
    int loaded = session_load(&cx, s, path) >= 0;
    for (int t = 9; t <= 20; t++)
        step(gr, s, t, &n);
    ok(saved && loaded && states_of(gr, s) == bits[0],
       "states saved after step 8 and loaded go on to the same bits");
    unlink(path);

    float eval = 0, direct = 0;
    plan *p = NULL;
    session *f = NULL;
    symbols sy = {.n = 1, .name = {"B"}, .extent = {32}};
    session_set(&cx, s, gr->evaluate, "x", mlp_x, sizeof mlp_x);
    session_set(&cx, s, gr->evaluate, "y", mlp_y, sizeof mlp_y);
    int good = session_run(&cx, s, gr->evaluate) >= 0 &&
               session_get(&cx, s, gr->evaluate, "loss", &eval, sizeof eval) >= 0 &&
               learn_end(&cx, gr, s) >= 0 && plan_make(&cx, g, &sy, NULL, &p) >= 0 &&
               session_open(&cx, &p, 1, NULL, &f) >= 0;
    good = good && session_set(&cx, f, 0, "x", mlp_x, sizeof mlp_x) >= 0 &&
           session_set(&cx, f, 0, "y", mlp_y, sizeof mlp_y) >= 0 &&
           session_run(&cx, f, 0) >= 0 &&
           session_get(&cx, f, 0, "loss", &direct, sizeof direct) >= 0;
    ok(good && eval == direct && eval > 0, "learn_end gives the model the trained weights: "
                                           "its own plan finds the evaluated loss");
    session_close(f);
    plan_drop(p);

    int64_t zero = 0;
    session_set(&cx, s, gr->update, "t", &zero, sizeof zero);
    session_run(&cx, s, gr->update);
    ok(cx.code == EVLA_E_RANGE && strstr(cx.why, "t is 0; want 1 at the first update"),
       "t = 0 is refused when it runs");
    ctx_clear(&cx);
    learn_end(&cx, gr, s);
    ok(cx.code == EVLA_E_STATE, "and what that step left is not taken for weights");
    ctx_clear(&cx);
    session_close(s);
    grad_free(gr);
}

/* ---- memory and recomputation ---- */

/* Blocks of attention and a feed-forward part over [B,12,32]. */
static void transformer(void)
{
    char name[32];
    fresh();
    int32_t x = input("x", "f32[B,12,32]");
    for (int i = 0; i < 4; i++) {
        int32_t w[7], h;
        for (int k = 0; k < 7; k++) {
            snprintf(name, sizeof name, "%d.%d", i, k);
            w[k] = weight(name, NULL, k == 0 || k == 5 ? "ones" : NULL);
        }
        h = op("layer_norm", NULL, x, w[0], -1);
        h = op("attention", "{\"heads\":4,\"causal\":true}",
               op("linear", "{\"out\":32}", h, w[1], -1),
               op("linear", "{\"out\":32}", h, w[2], -1),
               op("linear", "{\"out\":32}", h, w[3], -1));
        x = op("add", NULL, x, op("linear", "{\"out\":32}", h, w[4], -1), -1);
        h = op("rms_norm", NULL, x, w[5], -1);
        snprintf(name, sizeof name, "%d.down", i);
        h = op("gelu", NULL, op("linear", "{\"out\":96}", h, w[6], -1), -1, -1);
        x = op("add", NULL, x,
               op("linear", "{\"out\":32}", h, weight(name, NULL, NULL), -1), -1);
    }
    output("loss", op("mse_loss", NULL, x, input("y", "f32[B,12,32]"), -1));
}

static uint64_t train_blocks(grad *gr, int workers)
{
    static float x[8 * 12 * 32];
    int64_t one;
    float lr = 0.01f;
    session *s = begin(gr, workers);
    drawn = 9;
    draw_all(x, 8 * 12 * 32, 1);
    for (one = 1; s && one <= 3; one++) {
        session_set(&cx, s, 0, "x", x, sizeof x);
        session_set(&cx, s, 0, "y", x, sizeof x);
        session_set(&cx, s, 0, "lr", &lr, sizeof lr);
        session_set(&cx, s, 0, "t", &one, sizeof one);
        if (session_run(&cx, s, 0) < 0) note("%s", cx.why);
    }
    uint64_t h = s ? states_of(gr, s) : 0;
    session_close(s);
    return h;
}

static void test_recompute(void)
{
    static const char *const mode[] = {"keep", "cheap", "deep"};
    uint64_t bits[3] = {0}, bytes[3] = {0};
    double ratio[3] = {0}, repeated[3] = {0};
    plan_options o = {.n_workers = 2};
    transformer();
    for (int32_t i = 0; i < 3; i++) {
        grad *gr = NULL;
        grad_options go = {.recompute = i};
        if (make(8, &go, &o, &gr) < 0) note("%s", cx.why);
        if (model_fill(&cx, m, 2) < 0) note("%s", cx.why);
        if (!ok(gr != NULL, "%s: the transformer is planned", mode[i])) return;
        bits[i] = train_blocks(gr, 1 + i % 2);
        bytes[i] = gr->recomputed_bytes;
        repeated[i] = gr->repeated_flops;
        const plan *p = gr->plans[0];
        ratio[i] = (double)p->arena_bytes / (double)p->lower_bound;
        note("%s: arena %llu of %llu bytes, %.4f of the lower bound; %.0f%% of %.1f MFLOP "
             "repeated",
             mode[i], (unsigned long long)gr->recomputed_bytes,
             (unsigned long long)gr->kept_bytes, ratio[i],
             100 * gr->repeated_flops / (gr->flops - gr->repeated_flops), gr->flops * 1e-6);
        ok(gr->kept_bytes >= bytes[i] && p->arena_bytes == bytes[i],
           "%s: the figures are the plan's", mode[i]);
        grad_free(gr);
    }
    ok(bits[0] && bits[0] == bits[1] && bits[0] == bits[2],
       "weights after 3 steps are the same bits with and without recomputation");
    ok(bytes[1] < bytes[0] && bytes[2] < bytes[1],
       "which needs less memory, and less again");
    ok(repeated[0] == 0 && repeated[1] > 0 && repeated[2] > repeated[1],
       "at the price of operations");
    ok(ratio[0] <= 1.05 && ratio[1] <= 1.05 && ratio[2] <= 1.05,
       "arenas of training steps within 1.05x of their lower bounds");
    grad *gr = NULL;
    o.without = "recompute";
    if (make(8, &(grad_options){.recompute = GRAD_DEEP}, &o, &gr) < 0) note("%s", cx.why);
    ok(gr && gr->recomputed_bytes == bytes[0] && gr->repeated_flops == 0,
       "recompute is switched off by its name");
    grad_free(gr);
    gr = NULL;
    o = (plan_options){.n_workers = 2, .budget = bytes[0] + (1 << 20)};
    make(8, &(grad_options){.recompute = GRAD_KEEP}, &o, &gr);
    uint64_t states = 0;
    if (gr) states = gr->plans[0]->state_bytes;
    grad_free(gr);
    gr = NULL;
    o.budget = bytes[2] + states;
    ok(states &&
           make(8, &(grad_options){.recompute = GRAD_KEEP}, &o, &gr) == EVLA_E_NOMEM &&
           strstr(cx.why, "the budget is"),
       "a budget that the kept activations miss is refused");
    ctx_clear(&cx);
    ok(make(8, &(grad_options){.recompute = GRAD_DEEP}, &o, &gr) >= 0,
       "and met by recomputation");
    grad_free(gr);
    o.budget = bytes[2] + states - 1;
    ok(make(8, &(grad_options){.recompute = GRAD_DEEP}, &o, &gr) == EVLA_E_NOMEM &&
           strstr(cx.why, "the budget is"),
       "one that recomputation misses, too, is refused in the same words");
    ctx_clear(&cx);
    gr = NULL;
    mlp(); /* too small to gain anything */
    o.budget = 0;
    if (make(4, &plain, &o, &gr) < 0) note("%s", cx.why);
    bytes[0] = gr ? gr->plans[0]->arena_bytes : 0;
    states = gr ? gr->plans[0]->state_bytes : 0;
    grad_free(gr);
    for (int32_t i = 1; i < 3; i++) {
        grad_options go = plain;
        go.recompute = i;
        gr = NULL;
        o.budget = bytes[0] + states;
        int32_t st = make(4, &go, &o, &gr);
        if (!ok(st >= 0 && gr->plans[0]->arena_bytes <= bytes[0],
                "%s: what fits without recomputation fits with it", mode[i]))
            note("%s", cx.why);
        ctx_clear(&cx);
        grad_free(gr);
    }
}

/* Readers of a state that the forward pass overwrites are not repeated. */
static void test_recurrent(void)
{
    uint64_t bits[2] = {0};
    for (int32_t i = 0; i < 2; i++) {
        int32_t h, x;
        grad *gr = NULL;
        fresh();
        x = input("x", "f32[B,12,32]");
        graph_state(&cx, g, "h", "f32[B,12,32]", NULL, "m.lua:7", &h);
        int32_t a = op("gelu", NULL, op("add", NULL, x, h, -1), -1, -1);
        a = op("linear", "{\"out\":32}", a, weight("w", NULL, NULL), -1);
        a = op("assign", NULL, h, op("gelu", NULL, a, -1, -1), -1);
        a = op("linear", "{\"out\":32}", op("silu", NULL, a, -1, -1),
               weight("u", NULL, NULL), -1);
        output("loss", op("mse_loss", NULL, a, input("y", "f32[B,12,32]"), -1));
        grad_options go = {.recompute = i ? GRAD_DEEP : GRAD_KEEP};
        if (make(8, &go, NULL, &gr) < 0 || model_fill(&cx, m, 2) < 0) note("%s", cx.why);
        if (gr) bits[i] = train_blocks(gr, 1);
        grad_free(gr);
    }
    ok(bits[0] && bits[0] == bits[1],
       "a graph with a state trains, through what it writes; recomputation keeps the bits");
}

/* ---- frozen weights ---- */

static void test_frozen(void)
{
    static const float mean[6] = {1, 2, 3, 4, 5, 6};
    const evla_type six = {.dtype = EVLA_F32, .rank = 1, .shape = {6}};
    const char *const names[] = {"b.b", "a*"};
    grad *gr = NULL;
    double n;
    fresh();
    int32_t x =
        op("sub", NULL, input("x", "f32[B,6]"), weight("m", "f32[6]", "mean:x"), -1);
    x = op("div", NULL, x, weight("s", "f32[6]", "std:x"), -1);
    x = op("linear", "{\"out\":3}", x, weight("a.w", NULL, NULL),
           weight("a.b", NULL, NULL));
    x = op("linear", "{\"out\":2}", x, weight("b.w", NULL, NULL),
           weight("b.b", NULL, NULL));
    output("loss", op("mse_loss", NULL, x, input("y", "f32[B,2]"), -1));
    if (make(32, &(grad_options){.frozen = names, .n_frozen = 2}, NULL, &gr) < 0)
        note("%s", cx.why);
    ok(gr && gr->n_weights == 1 && !strcmp(gr->weights[0].name, "b.w") && gr->n_frozen == 5,
       "statistics are not trained, nor names and beginnings of names that are frozen");
    session *s = NULL;
    session_open(&cx, gr->plans, gr->n_plans, NULL, &s);
    ok(cx.code == EVLA_E_STATE && strstr(cx.why, "weight m"),
       "a session wants the data of weights that are not trained");
    ctx_clear(&cx);
    model_set_weight(&cx, m, model_weight(m, "m"), &six, mean, 1);
    model_set_weight(&cx, m, model_weight(m, "s"), &six, mean, 1);
    for (int32_t i = 0; i < m->n_weights; i++)
        m->weights[i].init = NULL; /* what is left gets the usual first values */
    if (model_fill(&cx, m, 1) < 0) note("%s", cx.why);
    s = begin(gr, 1);
    double first = step(gr, s, 1, &n), last = 0;
    for (int t = 2; t < 40; t++)
        last = step(gr, s, t, &n);
    ok(last < first, "training the rest lowers the loss");
    float was[18], is[18];
    const weight_info *w = &m->weights[model_weight(m, "a.w")];
    memcpy(was, w->data, sizeof was);
    int ended = learn_end(&cx, gr, s) >= 0;
    memcpy(is, w->data, sizeof is);
    ok(ended && !memcmp(was, is, sizeof was), "and leaves the frozen ones alone");
    session_close(s);
    grad_free(gr);
}

/* ---- operators that err ---- */

enum { ODD_TYPE, ODD_WIRE, ODD_OP, ODD_ROOM, ODD_SILENT, ODD_INPUT, ODD_SUM };
static const evla_param odd_params[] = {
    {.name = "how", .doc = "it errs", .preset = "0", .type = EVLA_P_INT}};

static int32_t odd_infer(const evla_host *h, const evla_node *n, evla_type *in,
                         evla_type *out)
{
    (void)h, (void)n;
    out[0] = out[1] = in[0];
    return EVLA_OK;
}

static int32_t odd_grad(const evla_host *h, evla_grad *gr)
{
    int64_t how = *(const int64_t *)gr->node->params;
    int32_t out[2], one = gr->d_out[0];
    gr->d_in[0] = one;
    switch (how) {
    case ODD_TYPE:
        return gr->emit(h, gr, "reduce_sum", NULL, &one, 1, gr->d_in, 1);
    case ODD_WIRE:
        gr->d_in[0] = 1 << 20;
        return EVLA_OK;
    case ODD_OP:
        return gr->emit(h, gr, "frobnicate", NULL, &one, 1, out, 1);
    case ODD_ROOM:
        return gr->emit(h, gr, "odd", NULL, &one, 1, out, 1);
    case ODD_SILENT:
        return EVLA_E_RANGE;
    case ODD_INPUT:
        one = -7;
        return gr->emit(h, gr, "neg", NULL, &one, 1, out, 1);
    default: /* as it should be: nothing reaches y2 */
        return gr->d_out[1] == -1 ? EVLA_OK : EVLA_E_BUG;
    }
}

static const evla_op odd_op = {.size = sizeof odd_op,
                               .inputs = "x",
                               .outputs = "y y2",
                               .source = "a test",
                               .infer = odd_infer,
                               .grad = odd_grad};
static const evla_item odd_items[] = {
    {EVLA_OP, "odd", &odd_op, "errs", odd_params, 1, sizeof(int64_t)}};
static const evla_plugin odd_plugin = {.magic = EVLA_MAGIC,
                                       .size = sizeof odd_plugin,
                                       .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                       .needs = EVLA_ABI_MAJOR << 16,
                                       .id = "test.odd",
                                       .version = "0",
                                       .license = "Apache-2.0",
                                       .items = odd_items,
                                       .n_items = 1};

static void test_odd(void)
{
    static const struct {
        int32_t code;
        const char *why;
    } want[] = {
        [ODD_TYPE] = {EVLA_E_PLUGIN, "the gradient of input 1 by odd is f32; want f32[3]"},
        [ODD_WIRE] = {EVLA_E_PLUGIN,
                      "the gradient of input 1 by odd is no value; want f32[3]"},
        [ODD_OP] = {EVLA_E_MISSING, "frobnicate"},
        [ODD_ROOM] = {EVLA_E_PLUGIN, "has 2 outputs, there is room for 1"},
        [ODD_SILENT] = {EVLA_E_RANGE, "loss/odd.0: gradient of odd: "},
        [ODD_INPUT] = {EVLA_E_PLUGIN, "input 1 is no value of the graph"},
        [ODD_SUM] = {EVLA_E_MISSING, "loss/odd.0: no kernel takes odd(f32[3])"},
    };
    for (int how = 0; how <= ODD_SUM; how++) {
        char params[32];
        grad *gr = NULL;
        fresh();
        snprintf(params, sizeof params, "{\"how\":%d}", how);
        int32_t y = op("odd", params, weight("w", "f32[3]", NULL), -1, -1);
        output("loss", op("reduce_sum", NULL, y, -1, -1));
        int32_t st = grad_make(&cx, g, &(symbols){0}, &plain, NULL, &gr);
        int good = st == want[how].code && strstr(cx.why, want[how].why);
        if (!good) note("said %d: %s", st, cx.why);
        ok(good, "an operator that errs: %s", want[how].why);
        ctx_clear(&cx);
    }
}

/* An operator that writes several states declared in a graph. */
static void test_writes(void)
{
    static const char *const names[] = {"w", "m", "v"};
    graph_arg args[6];
    int32_t out;
    for (int same = 0; same < 3; same++) {
        fresh();
        for (int i = 0; i < 3; i++)
            graph_state(&cx, g, names[i], "f32[4]", NULL, "m.lua:7", &args[i].wire);
        args[3].wire = input("g", "f32[4]");
        args[4].wire = input("rate", "f32[]");
        args[5].wire = input("n", "i64[]");
        for (int i = 0; i < 6; i++)
            args[i].name = NULL;
        if (same == 1) args[2].wire = args[0].wire;
        if (same == 2) args[1].wire = args[3].wire;
        int32_t st = graph_add(&cx, g, "adamw", args, 6, NULL, "m.lua:8", &out);
        if (same == 0) {
            graph_output(&cx, g, "w", out, NULL);
            plan *p = NULL;
            ok(st >= 0 && plan_make(&cx, g, &(symbols){0}, NULL, &p) >= 0,
               "a graph may declare a node that writes three states");
            plan_drop(p);
        } else
            ok(says(&cx, same == 1 ? EVLA_E_STATE : EVLA_E_ARG,
                    same == 1
                        ? "m.lua:8: loss/adamw.0: this version of the state w was already "
                          "written by loss/adamw.0; write what that returned"
                        : "m.lua:8: loss/adamw.0: writes its second input, which must be "
                          "a state; g is an input"),
               same == 1 ? "but not one of them twice" : "nor what is no state");
    }
}

/* ---- what is refused ---- */

static void refuse(int32_t code, const char *says_what, const grad_options *go)
{
    grad *gr = NULL;
    int32_t st = make(4, go, NULL, &gr);
    int good = st == code && cx.code == code && strstr(cx.why, says_what);
    if (!good) note("said %d: %s", cx.code, cx.why);
    ok(good, "refused: %s", says_what);
    if (st >= 0) grad_free(gr);
    ctx_clear(&cx);
}

static void test_refusals(void)
{
    mlp();
    refuse(EVLA_E_MISSING,
           "graph loss: has no output \"los\" to train; its first is \"loss\"",
           &(grad_options){.loss = "los"});
    refuse(
        EVLA_E_SHAPE,
        "m.lua:1: graph loss: gradients start from one real number; linear.2 is f32[4,2]",
        &(grad_options){.loss = "pred"});
    refuse(EVLA_E_ARG, "beta1 is 1; want a number below 1", &(grad_options){.beta1 = 1});
    refuse(EVLA_E_ARG, "beta2 is 2; want a number below 1", &(grad_options){.beta2 = 2});
    refuse(EVLA_E_ARG, "clip_norm is nan; want a finite number",
           &(grad_options){.clip_norm = NAN});
    refuse(EVLA_E_ARG, "eps is inf; want a finite number",
           &(grad_options){.eps = INFINITY});
    refuse(EVLA_E_ARG, "weight_decay is inf", &(grad_options){.weight_decay = INFINITY});
    refuse(EVLA_E_ARG, "recompute is 3; want 0 to 2", &(grad_options){.recompute = 3});
    const char *const all[] = {"*"};
    refuse(EVLA_E_STATE,
           "m.lua:1: graph loss: output loss depends on no weight that could be trained (4 "
           "are "
           "frozen or out of its reach)",
           &(grad_options){.frozen = all, .n_frozen = 1});
    output("grad_norm", 0);
    refuse(EVLA_E_EXISTS, "training adds an output \"grad_norm\"", &plain);
    mlp();
    input("lr", "f32[]");
    refuse(EVLA_E_EXISTS, "training adds an input \"lr\"", &plain);
    mlp();
    input("t", "i64[]");
    refuse(EVLA_E_EXISTS, "training adds an input \"t\"", &plain);

    fresh();
    int32_t h, x = op("linear", "{\"out\":2}", input("x", "f32[B,6]"),
                      weight("w", NULL, NULL), -1);
    graph_state(&cx, g, "m:w", "f32[B,2]", NULL, "m.lua:7", &h);
    x = op("assign", NULL, h, x, -1);
    output("loss", op("reduce_sum", NULL, x, -1, -1));
    refuse(EVLA_E_EXISTS,
           "training keeps a state \"m:w\", and the model has one of that name", &plain);

    fresh();
    x = op("conv2d", "{\"out\":2,\"kernel_size\":[3]}", input("x", "f32[B,1,5,5]"),
           weight("w", NULL, NULL), -1);
    output("loss", op("reduce_sum", NULL, x, -1, -1));
    refuse(
        EVLA_E_MISSING,
        "loss/conv2d.0: the operator conv2d has no gradient, and what one is "
        "asked for lies behind it; freeze that if it is a weight, or leave conv2d out of "
        "this graph",
        &plain);

    fresh();
    x = op("linear", "{\"out\":2}", input("x", "f64[B,6]"), weight("w", "f64[2,6]", NULL),
           -1);
    output("loss", op("reduce_sum", NULL, x, -1, -1));
    refuse(EVLA_E_DTYPE, "weight w: is f64[2,6], and only f32 can be trained", &plain);

    /* the index of what comes through an integer has no gradient, the weight behind it none
     */
    fresh();
    x = op("cast", "{\"to\":\"i32\"}", weight("w", "f32[3]", NULL), -1, -1);
    x = op("cast", "{\"to\":\"f32\"}", x, -1, -1);
    input("x", "f32[B]");
    output("loss", op("reduce_sum", NULL, x, -1, -1));
    refuse(EVLA_E_STATE, "depends on no weight that could be trained", &plain);

    mlp();
    grad *gr = NULL;
    session *s = NULL;
    if (make(32, &plain, NULL, &gr) >= 0) {
        m->weights[0].data = NULL;
        session_open(&cx, gr->plans, gr->n_plans, NULL, &s);
        learn_begin(&cx, gr, s);
        ok(says(&cx, EVLA_E_STATE,
                "weight a.w: has no data to start from; load it or give it first values"),
           "refused: starting from a weight without data");
    }
    session_close(s);
    grad_free(gr);
}

int main(void)
{
    char path[4096];
    const char *build = getenv("EVLA_BUILD");
    snprintf(path, sizeof path, "%s/plugins/ops.so", build ? build : "build");
    if (access(path, R_OK)) return skip_all("plugins/ops.so is not built");
    registry_init(&reg);
    ctx_init(&cx, &reg);
    if (plugin_load(&cx, &reg, path) < 0 ||
        plugin_add(&cx, &reg, "odd.so", &odd_plugin) < 0 || plugin_seal(&cx, &reg) < 0)
        note("%s", cx.why);
    grad_options clipped = plain, two = plain, both = plain;
    clipped.clip_norm = both.clip_norm = 0.25;
    two.accumulate = both.accumulate = 2;
    test_torch("plain", &plain, torch_plain_loss, torch_plain_norm);
    test_torch("clipped", &clipped, torch_clipped_loss, torch_clipped_norm);
    test_torch("two half batches", &two, torch_plain_loss, torch_plain_norm);
    test_torch("two half batches, clipped", &both, torch_clipped_loss, torch_clipped_norm);
    test_bits();
    test_recompute();
    test_recurrent();
    test_frozen();
    test_odd();
    test_writes();
    test_refusals();
    model_drop(m);
    ctx_free(&cx);
    registry_free(&reg);
    return tap_done();
}
