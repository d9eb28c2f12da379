/*
 * A step allocates nothing: every allocator the process could reach is counted, with a run
 * that allocates on purpose as proof that counting works.
 */
#include "count_malloc.h"
#include "graph_kit.h"
#include "run/learn.h"
#include "run/session.h"

#ifdef EVLA_LIBC_MALLOC
int main(void) { return skip_all("sanitizers bring an allocator of their own"); }
#else

/* ---- a session over a net with a state, scratch, a tail ---- */

static kit k;

static int32_t leak_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    void *volatile p = malloc(24);
    free(p);
    return t_relu_run(h, a, phase, tile);
}

static session *open_net(int32_t workers)
{
    plan *p;
    session *s;
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[8,16]"), h = kit_state(&k, "h", "f32[8,16]");
    for (int i = 0; i < 3; i++) {
        x = kit_node(&k, "t_dot", "{\"out\":16}", x, kit_weight(&k, "w", NULL), -1);
        x = kit_node(&k, "t_relu", NULL, kit_node(&k, "t_add", NULL, x, h, -1), -1, -1);
    }
    kit_output(&k, "h", kit_node(&k, "t_store", NULL, h, x, -1));
    kit_output(&k, "y", kit_node(&k, "t_stat", NULL, x, -1, -1));
    plan_options o = {.n_workers = workers, .without = "fuse"};
    if (plan_make(&k.cx, k.g, &(symbols){0}, &o, &p) < 0 || model_fill(&k.cx, k.m, 1) < 0 ||
        session_open(&k.cx, &p, 1, &(session_options){.n_workers = workers, .profile = 1},
                     &s) < 0) {
        note("%s", k.cx.why);
        exit(1);
    }
    plan_drop(p);
    return s;
}

static long long count_steps(session *s, int n)
{
    float x[128];
    for (int i = 0; i < 128; i++)
        x[i] = (float)i;
    long long before = atomic_load(&counted);
    for (int i = 0; i < n; i++) {
        if (session_set(&k.cx, s, 0, "x", x, sizeof x) < 0 ||
            session_run(&k.cx, s, 0) < 0 || session_get(&k.cx, s, 0, "y", x, sizeof *x) < 0)
            return -1;
    }
    return atomic_load(&counted) - before;
}

/* ---- a training step: forward, backward, clipping, update ---- */

static int32_t net(graph *g, int32_t x)
{
    static const char *const tail[] = {"gelu", "layer_norm", "tanh"};
    value v = {0};
    value_parse(&k.cx.mem, "{\"out\":24}", 10, &v, NULL);
    for (int i = 0; i < 3; i++) {
        char name[16];
        int32_t w;
        snprintf(name, sizeof name, "%d.w", i);
        graph_weight(&k.cx, g, name, NULL, NULL, NULL, &w);
        graph_add(&k.cx, g, "linear", (graph_arg[]){{NULL, x}, {NULL, w}}, 2, &v, NULL, &x);
        graph_add(&k.cx, g, tail[i], (graph_arg[]){{NULL, x}}, 1, NULL, NULL, &x);
    }
    return x;
}

/* Counts over 500 steps with two batches per update; -1: something failed. */
static long long count_training(int32_t workers)
{
    char path[4096];
    const char *build = getenv("EVLA_BUILD");
    registry reg;
    model *m = NULL;
    graph *g;
    grad *gr = NULL;
    session *s = NULL;
    int32_t x, y;
    long long n = -1;
    snprintf(path, sizeof path, "%s/plugins/ops.so", build ? build : "build");
    registry_init(&reg);
    k.cx.reg = &reg;
    plugin_load(&k.cx, &reg, path);
    plugin_seal(&k.cx, &reg);
    model_new(&k.cx, "m", &m);
    graph_new(&k.cx, m, "loss", NULL, &g);
    graph_input(&k.cx, g, "x", "f32[40,24]", NULL, &x);
    y = net(g, x);
    graph_add(&k.cx, g, "mse_loss", (graph_arg[]){{NULL, y}, {NULL, x}}, 2, NULL, NULL, &y);
    graph_output(&k.cx, g, "loss", y, NULL);
    plan_options po = {.n_workers = workers};
    if (!k.cx.code &&
        grad_make(&k.cx, g, &(symbols){0},
                  &(grad_options){.clip_norm = 1, .accumulate = 2, .recompute = GRAD_CHEAP},
                  &po, &gr) >= 0 &&
        model_fill(&k.cx, m, 1) >= 0 &&
        session_open(&k.cx, gr->plans, gr->n_plans,
                     &(session_options){.n_workers = workers, .profile = 1}, &s) >= 0 &&
        learn_begin(&k.cx, gr, s) >= 0) {
        float lr = 1e-3f;
        n = atomic_load(&counted);
        for (int64_t t = 1; t <= 500 && !k.cx.code; t++) {
            session_run(&k.cx, s, gr->batch);
            session_run(&k.cx, s, gr->batch);
            session_set(&k.cx, s, gr->update, "lr", &lr, sizeof lr);
            session_set(&k.cx, s, gr->update, "t", &t, sizeof t);
            session_run(&k.cx, s, gr->update);
        }
        n = k.cx.code ? -1 : atomic_load(&counted) - n;
    }
    if (k.cx.code) note("%s", k.cx.why);
    session_close(s);
    grad_free(gr);
    model_drop(m);
    registry_free(&reg);
    ctx_clear(&k.cx);
    k.cx.reg = &k.reg;
    return n;
}

int main(void)
{
    kit_open(&k);
    for (int w = 1; w <= 2; w++) {
        long long some = count_training(w);
        ok(some == 0, "500 training steps of two batches with %d worker%s allocate nothing",
           w, w > 1 ? "s" : "");
        if (some) note("%lld", some);
    }
    session *s = open_net(1);
    long long n = count_steps(s, 10000);
    ok(n == 0, "10,000 steps with one worker allocate nothing");
    if (n) note("%lld", n);
    session_close(s);
    s = open_net(3);
    n = count_steps(s, 2000);
    ok(n == 0, "2,000 steps with three workers allocate nothing");
    if (n) note("%lld", n);
    session_close(s);

    static evla_kernel leaky;
    leaky = t_relu_kernel;
    leaky.run = leak_run;
    evla_item items[sizeof t_items / sizeof *t_items];
    memcpy(items, t_items, sizeof items);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        if (items[i].table == &t_relu_kernel) items[i].table = &leaky;
    evla_plugin other = t_plugin;
    other.items = items;
    registry reg;
    registry_init(&reg);
    plugin_add(&k.cx, &reg, "leaky.so", &other);
    plugin_seal(&k.cx, &reg);
    k.cx.reg = &reg;
    s = open_net(1);
    n = count_steps(s, 1);
    ok(n == 48, "a kernel that allocates once per tile is seen: 24 tiles, malloc and free");
    if (n != 48) note("%lld", n);
    session_close(s);
    registry_free(&reg);
    k.cx.reg = &k.reg;
    long long before = atomic_load(&counted);
    s = open_net(1);
    ok(atomic_load(&counted) > before, "and opening a session is");
    session_close(s);
    kit_close(&k);
    return tap_done();
}
#endif
