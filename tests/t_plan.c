/*
 * core/graph/{rewrite,order,pack,plan,verify}.c: rewrites, kernel choice, places, refusals.
 */
#include "graph/pack.h"
#include "graph/plan.h"
#include "graph/rewrite.h"
#include "graph/verify.h"
#include "graph_kit.h"
#include "run/session.h"

static kit k;

static plan *make(const plan_options *o)
{
    plan *p = NULL;
    if (plan_make(&k.cx, k.g, &(symbols){0}, o, &p) < 0) return NULL;
    return p;
}

static int32_t chain(int32_t x, int n)
{
    for (int i = 0; i < n; i++)
        x = kit_node(&k, "t_relu", NULL, x, -1, -1);
    return x;
}

/* ---- packing against an oracle ---- */

static uint64_t luck = 1;
static uint32_t draw(uint32_t n)
{
    luck = luck * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(luck >> 33) % n;
}

/* Most bytes alive, by looking at every step. */
static uint64_t alive_most(const region *r, int32_t n, int32_t steps)
{
    uint64_t most = 0;
    for (int32_t t = -1; t <= steps; t++) {
        uint64_t live = 0;
        for (int32_t i = 0; i < n; i++)
            if (r[i].first <= t && t <= r[i].last) live += r[i].bytes;
        if (live > most) most = live;
    }
    return most;
}

static int overlap(const region *r, int32_t n, uint64_t total)
{
    for (int32_t i = 0; i < n; i++) {
        if (r[i].offset % 64 || r[i].offset + r[i].bytes > total) return 1;
        for (int32_t j = 0; j < i; j++)
            if (r[i].first <= r[j].last && r[j].first <= r[i].last &&
                r[i].offset < r[j].offset + r[j].bytes &&
                r[j].offset < r[i].offset + r[i].bytes)
                return 1;
    }
    return 0;
}

static void test_pack(void)
{
    int bad = 0, bad_bound = 0;
    double worst = 1, sum = 0;
    enum { RUNS = 400 };
    for (int run = 0; run < RUNS; run++) {
        region r[60];
        int32_t n = 1 + (int32_t)draw(60), steps = 1 + (int32_t)draw(50), peak;
        for (int32_t i = 0; i < n; i++) {
            r[i] = (region){
                .bytes = 64 * (1 + draw(run % 2 ? 4 : 100)), .wire = i, .step = -1};
            r[i].first = (int32_t)draw((uint32_t)steps) - 1;
            r[i].last = r[i].first + (int32_t)draw(run % 3 ? 5 : 30);
        }
        uint64_t total, lower = pack_lower_bound(r, n, &peak);
        const char *order;
        pack_regions(&k.cx, r, n, 64, &total, &order);
        bad += overlap(r, n, total) || total < lower;
        bad_bound += lower != alive_most(r, n, 100);
        double ratio = (double)total / (double)lower;
        sum += ratio;
        if (ratio > worst) worst = ratio;
    }
    ok(!bad, "400 random packings: aligned, inside, nothing alive overlaps");
    ok(!bad_bound, "the lower bound is the most bytes alive at any step");
    ok(sum / RUNS < 1.02, "on average within 2%% of the lower bound");
    note("arena / lower bound: mean %.4f, worst %.4f", sum / RUNS, worst);

    /* 200 layers deep with a long-lived value in every eighth: like a network with skips */
    region net[232];
    int32_t n = 0;
    for (int32_t t = 0; t < 200; t++) {
        net[n++] = (region){.bytes = 64 * (16 + draw(64)), .first = t, .last = t + 1};
        if (t % 8 == 0 && n < 232)
            net[n++] = (region){.bytes = 64 * 32, .first = t, .last = t + 12};
    }
    uint64_t total;
    const char *order;
    pack_regions(&k.cx, net, n, 64, &total, &order);
    double ratio = (double)total / (double)pack_lower_bound(net, n, NULL);
    ok(ratio <= 1.05, "a deep graph with skips packs within 5%% of the lower bound");
    note("%d regions: %.4f by %s", n, ratio, order);
}

/* ---- rewrites ---- */

static void test_dead(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[64]");
    chain(x, 3);
    kit_output(&k, "y", chain(x, 1));
    plan *p = make(NULL);
    ok(p && p->n_steps == 1 && p->graph->n_dead == 3, "nodes nobody needs are removed");
    plan_drop(p);
    p = make(&(plan_options){.without = "dead"});
    ok(p && p->n_steps == 4, "unless that is switched off");
    plan_drop(p);
    p = make(&(plan_options){.without = "fuse,daed"});
    ok(!p && says(&k.cx, EVLA_E_ARG,
                  "no rewrite is called \"daed\"; want some of fold, coded, dead, "
                  "fuse, recompute; did you mean "
                  "\"dead\"?"),
       "an unknown rewrite is refused by name");
}

static void test_fuse(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[8,4]"), w = kit_weight(&k, "w", "f32[5,4]");
    int32_t z = kit_input(&k, "z", "f32[8,5]");
    int32_t y = kit_node(&k, "t_dot", NULL, x, w, -1);
    y = kit_node(&k, "t_relu", NULL, y, -1, -1);
    y = kit_node(&k, "t_add", NULL, z, y, -1);
    y = kit_node(&k, "t_relu", NULL, y, -1, -1);
    y = kit_node(&k, "t_relu", NULL, y, -1, -1);
    kit_output(&k, "y", y);
    plan *p = make(NULL);
    ok(p && p->n_steps == 2, "an anchor takes as long a tail as its kernel allows");
    const evla_node *n = &p->steps[0].node;
    ok(n->n_tail == 3 && n->n_in == 4 && n->tail[1].other == 3 && n->tail[1].is_rhs == 1 &&
           n->in[2].rank == -1,
       "a second operand becomes a further input, and its side is kept");
    ok(p->graph->nodes[p->steps[0].of].n_body == 4 &&
           !strcmp(p->graph->nodes[p->steps[0].of].body[0].op->name, "t_dot"),
       "the fused node keeps those it stands for");
    ok(p->flops == 2.0 * 8 * 4 * 5, "operations are counted through the body");
    plan_drop(p);
    p = make(&(plan_options){.without = "fuse"});
    ok(p && p->n_steps == 5, "fusing can be switched off");
    plan_drop(p);

    /* rewritten for a kernel with tails, planned where there is none: the body runs */
    plan_options o = {0};
    bound *b;
    plan_new(&k.cx, k.m, &o, &p);
    infer_bind(&k.cx, &p->mem, k.g, &(symbols){0}, &o, &b);
    rewrite_apply(&k.cx, &p->mem, &o, b);
    evla_kernel bare = t_dot_kernel;
    bare.max_tail = 0;
    evla_item items[sizeof t_items / sizeof *t_items];
    memcpy(items, t_items, sizeof items);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        if (items[i].table == &t_dot_kernel) items[i].table = &bare;
    evla_plugin other = t_plugin;
    other.items = items;
    registry reg;
    registry_init(&reg);
    plugin_add(&k.cx, &reg, "other.so", &other);
    plugin_seal(&k.cx, &reg);
    k.cx.reg = &reg;
    ok(plan_finish(&k.cx, p, b, &o) == 0 && p->n_steps == 5 && p->steps[1].node.n_tail == 0,
       "a fused node that no kernel takes runs as its body");
    k.cx.reg = &k.reg;
    plan_drop(p);
    registry_free(&reg);

    kit_graph(&k);
    x = kit_input(&k, "x", "f32[8,4]");
    y = kit_node(&k, "t_dot", NULL, x, kit_weight(&k, "w", "f32[5,4]"), -1);
    int32_t r = kit_node(&k, "t_relu", NULL, y, -1, -1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, r, y, -1));
    p = make(NULL);
    ok(p && p->n_steps == 3, "a value with two readers is not fused away");
    plan_drop(p);
    kit_output(&k, "r", r);
    kit_graph(&k);
    x = kit_input(&k, "x", "f32[8,4]");
    y = kit_node(&k, "t_dot", NULL, x, kit_weight(&k, "w", "f32[5,4]"), -1);
    kit_output(&k, "raw", y);
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, y, -1, -1));
    p = make(NULL);
    ok(p && p->n_steps == 2, "an output is not fused away");
    plan_drop(p);
}

/* ---- kernels ---- */

static int32_t fast_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)n;
    if (!strstr(m->features, "quick")) return EVLA_E_MISSING;
    *offer = (evla_offer){9, -1, "quick"};
    return 0;
}

static void test_kernels(void)
{
    static evla_kernel fast, same;
    fast = t_dot_kernel;
    fast.accepts = fast_accepts;
    fast.max_tail = 0;
    same = t_relu_kernel;
    const evla_item items[] = {{EVLA_KERNEL, "t_dot.quick", &fast, NULL, NULL, 0, 0},
                               {EVLA_KERNEL, "t_relu.a", &same, NULL, NULL, 0, 0}};
    evla_plugin quick = t_plugin;
    quick.items = items;
    quick.n_items = 2;
    quick.id = "test.quick";
    registry reg;
    registry_init(&reg);
    plugin_add(&k.cx, &reg, "quick.so", &quick);
    plugin_add(&k.cx, &reg, "test.so", &t_plugin);
    plugin_seal(&k.cx, &reg);
    k.cx.reg = &reg;
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[8,4]");
    int32_t y = kit_node(&k, "t_dot", NULL, x, kit_weight(&k, "w", "f32[5,4]"), -1);
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, y, -1, -1));
    evla_machine m = {.size = sizeof m, .name = "fast", .features = "quick"};
    plan *p = make(&(plan_options){.machine = &m});
    ok(p && p->n_steps == 2 && !strcmp(p->steps[0].item->name, "t_dot.quick"),
       "the best score wins, and a fusion that would lose it is not made");
    ok(!strcmp(p->steps[1].item->name, "t_relu.a"), "equal scores go by name");
    plan_drop(p);
    p = make(NULL);
    ok(p && !strcmp(p->steps[0].item->name, "t_dot.plain") && p->n_steps == 1,
       "a kernel may refuse a machine");
    plan_drop(p);
    p = make(&(plan_options){.machine = &m, .kernels = "graph"});
    ok(p && !strcmp(p->steps[0].item->name, "t_dot.plain"),
       "kernels can be limited to a plugin by the end of its id");
    plan_drop(p);
    ok(!make(&(plan_options){.kernels = "nobody"}) &&
           says(&k.cx, EVLA_E_MISSING,
                "m.lua:5: g/t_dot.0: no kernel takes t_dot(f32[8,4], f32[5,4], -); asked: "
                "none "
                "is loaded (kernels are limited to \"nobody\")"),
       "limited too far");
    k.cx.reg = &k.reg;
    kit_graph(&k);
    kit_output(&k, "y", kit_node(&k, "t_none", NULL, kit_input(&k, "x", "f32[3]"), -1, -1));
    ok(!make(NULL) &&
           says(&k.cx, EVLA_E_MISSING,
                "m.lua:5: g/t_none.0: no kernel takes t_none(f32[3]); asked: none is "
                "loaded"),
       "an operator without a kernel");
    registry_free(&reg);
    ok(list_has("a, b|c", "b") && list_has("a, b|c", "c") && !list_has("ab", "a") &&
           !list_has(NULL, "a") && !list_has("", ""),
       "words of a list");
}

/* ---- plugins that do not keep their word ---- */

static int32_t nothing_infer(const evla_host *h, const evla_node *n, evla_type *in,
                             evla_type *out)
{
    (void)h, (void)n, (void)in, (void)out;
    return 0;
}

static int32_t mute_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    (void)h, (void)n, (void)in, (void)out;
    return EVLA_E_RANGE;
}

static int32_t wild_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m, (void)n;
    work->n_phases = 9;
    return 0;
}

static int32_t huge_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m, (void)n;
    work->n_phases = 1;
    work->shared_bytes = UINT64_MAX;
    return 0;
}

static int32_t blob_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    work->blob_bytes = 8;
    return t_plan(h, m, n, work);
}

static int32_t bad_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    (void)n, (void)blob;
    return h->fail(h, EVLA_E_RANGE, "no table for this");
}

static int32_t bad_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_offer *offer)
{
    (void)h, (void)m, (void)n, (void)offer;
    return EVLA_E_BUG;
}

/* Plans x -> t_relu with another table for its operator or its kernel. */
static int refuses(const evla_op *op, const evla_kernel *kernel, int32_t code,
                   const char *sentence)
{
    evla_item items[sizeof t_items / sizeof *t_items];
    memcpy(items, t_items, sizeof items);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (op && items[i].table == &t_relu_op) items[i].table = op;
        if (kernel && items[i].table == &t_relu_kernel) items[i].table = kernel;
    }
    evla_plugin other = t_plugin;
    other.items = items;
    registry reg;
    registry_init(&reg);
    plugin_add(&k.cx, &reg, "other.so", &other);
    plugin_seal(&k.cx, &reg);
    k.cx.reg = &reg;
    kit_graph(&k);
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, kit_input(&k, "x", "f32[8]"), -1, -1));
    plan *p = make(NULL);
    int good = !p && says(&k.cx, code, sentence);
    plan_drop(p);
    kit_graph(&k);
    k.cx.reg = &k.reg;
    registry_free(&reg);
    return good;
}

static void test_bad_plugins(void)
{
    evla_op op = t_relu_op;
    evla_kernel kernel = t_relu_kernel;
    op.infer = nothing_infer;
    ok(refuses(&op, NULL, EVLA_E_PLUGIN,
               "m.lua:5: g/t_relu.0: infer of t_relu left output t_relu.0 without a whole "
               "type"),
       "infer that types nothing");
    op.infer = mute_infer;
    ok(refuses(&op, NULL, EVLA_E_RANGE, "m.lua:5: g/t_relu.0: out of range"),
       "infer that fails without a word");
    kernel.plan = wild_plan;
    ok(refuses(NULL, &kernel, EVLA_E_PLUGIN,
               "m.lua:5: g/t_relu.0: kernel t_relu.plain planned 9 phases, 0 shared and 0 "
               "worker "
               "bytes; want at most 4 phases, tiles >= 0 and sizes below 2^46"),
       "a kernel with too many phases");
    kernel.plan = huge_plan;
    ok(refuses(
           NULL, &kernel, EVLA_E_PLUGIN,
           "m.lua:5: g/t_relu.0: kernel t_relu.plain planned 1 phases, "
           "18446744073709551615 "
           "shared and 0 worker bytes; want at most 4 phases, tiles >= 0 and sizes below "
           "2^46"),
       "a kernel with endless scratch");
    kernel.plan = blob_plan;
    kernel.prepare = bad_prepare;
    ok(refuses(NULL, &kernel, EVLA_E_RANGE,
               "m.lua:5: g/t_relu.0: kernel t_relu.plain: no table for this"),
       "a kernel that cannot prepare");
    kernel = t_relu_kernel;
    kernel.accepts = bad_accepts;
    ok(refuses(NULL, &kernel, EVLA_E_BUG,
               "m.lua:5: g/t_relu.0: kernel t_relu.plain failed: a mistake of ours"),
       "a kernel that fails while it is asked");
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[1048576,1048576]");
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, x, -1, -1));
    plan *p = make(NULL);
    ok(p && p->arena_bytes == (uint64_t)1 << 43,
       "a plan of 8 TiB holds no data and is fine");
    session *s;
    ok(session_open(&k.cx, &p, 1, &(session_options){.budget = 1 << 30}, &s) ==
           EVLA_E_NOMEM,
       "a session of it is not");
    ctx_clear(&k.cx);
    plan_drop(p);
    kit_graph(&k);
    x = kit_input(&k, "x", "f32[1048576,1048576,1048576]");
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, x, -1, -1));
    ok(!make(NULL) && k.cx.code == EVLA_E_SHAPE, "a tensor larger than any memory");
    ctx_clear(&k.cx);
}

/* ---- places ---- */

static void test_places(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[1024]");
    kit_output(&k, "y", chain(x, 10));
    plan *p = make(NULL);
    ok(p->arena_bytes == 2 * 4096, "a chain in place: one input, kept, and one buffer");
    ok(p->steps[0].aliased == -1 && p->steps[5].aliased == 0,
       "a kept input is not overwritten, a dying value is");
    plan_drop(p);
    p = make(&(plan_options){.inputs_consumed = 1});
    ok(p->arena_bytes == 4096, "a consumed input's memory is used again");
    plan_drop(p);

    kit_graph(&k);
    x = kit_input(&k, "x", "f32[64]");
    int32_t a = chain(x, 1), b = chain(a, 1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, a, b, -1));
    p = make(NULL);
    ok(p->steps[1].aliased == -1 && p->steps[2].aliased == 0,
       "what is read again later is not overwritten");
    plan_drop(p);
    kit_graph(&k);
    x = chain(kit_input(&k, "x", "f32[64]"), 1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, x, x, -1));
    p = make(NULL);
    ok(p->steps[1].aliased == -1, "a value that stands twice in a node is not overwritten");
    plan_drop(p);

    kit_graph(&k);
    x = kit_input(&k, "x", "f32[10,10]");
    kit_input(&k, "idle", "f32[10]");
    kit_output(&k, "x", x);
    kit_output(&k, "s", kit_node(&k, "t_stat", NULL, x, -1, -1));
    kit_output(&k, "w", kit_weight(&k, "w", "f32[3]"));
    p = make(&(plan_options){.n_workers = 3});
    ok(p && p->steps[0].scratch_stride == 128 && p->steps[0].work.shared_bytes == 128,
       "scratch comes per worker and in whole lines");
    ok(p && p->arena_bytes == 448 + 64 + 128 + 3 * 128, "and lies in the arena");
    ok(p && p->places[p->graph->inputs[1]].home == HOME_NONE,
       "an unread input has no place");
    ok(p && p->places[p->graph->outputs[2].wire].home == HOME_WEIGHT,
       "an output may be a weight or an input");
    plan_drop(p);
}

static void test_budget(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[256]");
    int32_t y = kit_node(&k, "t_two", NULL, x, -1, -1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, y, y + 1, -1));
    ok(!make(&(plan_options){.budget = 3000}), "a missed budget is refused");
    ok(says(
           &k.cx, EVLA_E_NOMEM,
           "m.lua:1: graph g: needs 3072 bytes (3072 of arena, 0 of states), the budget is "
           "3000; at the peak, step 1 of 2 (g/t_two.0), 3 regions are alive: x f32[256] "
           "(1024), t_two.0.lo f32[256] (1024), t_two.0.hi f32[256] (1024)"),
       "with the peak's step and tensors");
    plan *p = make(&(plan_options){.budget = 3072});
    ok(p != NULL, "a budget that is just met");
    plan_drop(p);
}

static void test_effects(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[16]"), s = kit_state(&k, "h", "f32[16]");
    kit_node(&k, "t_store", NULL, s, x, -1);
    kit_output(&k, "old", kit_node(&k, "t_relu", NULL, s, -1, -1));
    plan *p = make(NULL);
    ok(p && !strcmp(p->steps[0].node.op, "t_relu") && p->state_bytes == 64,
       "readers of the old version run before the write, whatever the script's order");
    plan_drop(p);
    kit_graph(&k);
    x = kit_input(&k, "x", "f32[16]");
    s = kit_state(&k, "h", "f32[16]");
    int32_t s2 = kit_node(&k, "t_store", NULL, s, x, -1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, s, s2, -1));
    ok(!make(NULL) &&
           says(&k.cx, EVLA_E_STATE,
                "m.lua:5: g/t_add.1: reads the state h as it was before g/t_store.0 "
                "wrote it, but needs what came after; read what g/t_store.0 returned"),
       "an old version that can no longer be had");
    /* the anchor reads the old version, the tail what depends on the new one: not fused */
    kit_graph(&k);
    x = kit_input(&k, "x", "f32[4,4]");
    s = kit_state(&k, "h", "f32[4,4]");
    int32_t y = kit_node(&k, "t_dot", NULL, s, kit_weight(&k, "w", "f32[4,4]"), -1);
    s2 = kit_node(&k, "t_store", NULL, s, x, -1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, y, s2, -1));
    p = make(NULL);
    ok(p && p->n_steps == 3, "a fusion that would contradict a write is not made");
    plan_drop(p);
}

/* ---- the checker finds what is broken ---- */

static void test_verify(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[64]");
    int32_t y = kit_node(&k, "t_two", NULL, x, -1, -1);
    kit_output(&k, "y", kit_node(&k, "t_cat", NULL, y, y + 1, x));
    plan *p = make(NULL);
    ok(verify_plan(&k.cx, p) == 0, "a good plan passes");
    place keep = p->places[y], *lo = &p->places[y], *hi = &p->places[y + 1];
    lo->offset = hi->offset;
    ok(verify_plan(&k.cx, p) == EVLA_E_BUG, "two outputs in one place");
    ctx_clear(&k.cx);
    *lo = keep;
    lo->offset = p->places[x].offset;
    ok(verify_plan(&k.cx, p) == EVLA_E_BUG, "an output on an input");
    ctx_clear(&k.cx);
    *lo = keep;
    lo->offset += 4;
    ok(verify_plan(&k.cx, p) == EVLA_E_BUG, "an unaligned place");
    ctx_clear(&k.cx);
    *lo = keep;
    lo->offset = p->arena_bytes;
    ok(verify_plan(&k.cx, p) == EVLA_E_BUG, "a place outside the arena");
    ctx_clear(&k.cx);
    *lo = keep;
    plan_step first = p->steps[0];
    p->steps[0] = p->steps[1];
    p->steps[1] = first;
    ok(verify_plan(&k.cx, p) == EVLA_E_BUG, "a value read before it is written");
    ctx_clear(&k.cx);
    plan_drop(p);
}

/* ---- random graphs ---- */

static void test_random(void)
{
    int failed = 0, over = 0, graphs = 0;
    double worst = 1, sum = 0;
    for (int run = 0; run < 200; run++) {
        kit_graph(&k);
        int32_t wires[80], n = 0, s = kit_state(&k, "h", "f32[8,8]");
        wires[n++] = kit_input(&k, "x", "f32[8,8]");
        wires[n++] = s;
        int nodes = 3 + (int)draw(60);
        for (int i = 0; i < nodes; i++) {
            int32_t a = wires[draw((uint32_t)n)], b = wires[draw((uint32_t)n)];
            switch (draw(6)) {
            case 0:
                wires[n++] = kit_node(&k, "t_add", NULL, a, b, -1);
                break;
            case 1:
                wires[n++] = kit_node(&k, "t_relu", NULL, a, -1, -1);
                break;
            case 2:
                wires[n++] = kit_node(&k, "t_cat", NULL, a, b, a);
                break;
            case 3:
                wires[n++] =
                    kit_node(&k, "t_dot", NULL, a, kit_weight(&k, "w", "f32[8,8]"), -1);
                break;
            case 4:
                wires[n] = kit_node(&k, "t_two", NULL, a, -1, -1);
                if (wires[n] >= 0 && draw(2)) wires[n]++;
                n++;
                break;
            default:
                wires[n++] = kit_node(&k, "t_relu", NULL, b, -1, -1);
                break;
            }
        }
        kit_output(&k, "a", wires[n - 1]);
        kit_output(&k, "b", wires[n - 2]);
        plan_options o = {.inputs_consumed = run % 2,
                          .without = run % 3 ? NULL : "fuse dead"};
        plan *p = make(&o);
        failed += !p;
        if (!p) {
            note("%s", k.cx.why);
            ctx_clear(&k.cx);
            continue;
        }
        double ratio = p->lower_bound ? (double)p->arena_bytes / (double)p->lower_bound : 1;
        graphs++;
        sum += ratio;
        over += ratio > 1.05;
        if (ratio > worst) worst = ratio;
        plan_drop(p);
    }
    ok(!failed, "200 random graphs plan and pass the checker");
    ok(over == 0, "all within 5%% of their lower bound");
    note("arena / lower bound: mean %.4f, worst %.4f over %d graphs", sum / graphs, worst,
         graphs);
}

/* ---- out of memory at every push ---- */

static void test_no_memory(void)
{
    int clean = 1, tries = 0, done = 0;
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[8,4]"), w = kit_weight(&k, "w", NULL);
    int32_t y = kit_node(&k, "t_dot", "{\"out\":5}", x, w, -1);
    y = kit_node(&k, "t_add", NULL, chain(y, 1), y, -1);
    kit_output(&k, "y", y);
    kit_output(&k, "s", kit_node(&k, "t_stat", NULL, y, -1, -1));
    for (int which = 0; which < 2; which++)
        for (int64_t at = 1, going = 1; going && at < 5000; at++, tries++) {
            arena *a = which ? &k.cx.scratch : &k.cx.mem;
            a->fail_in = at;
            plan *p = NULL;
            int32_t st = plan_make(&k.cx, k.g, &(symbols){0}, NULL, &p);
            a->fail_in = 0;
            if (st == 0) {
                plan_drop(p);
                going = 0;
                done++;
            } else if (st != EVLA_E_NOMEM || k.cx.code != EVLA_E_NOMEM || !*k.cx.why) {
                note("push %d: %d %s", (int)at, st, k.cx.why);
                clean = 0;
            }
            ctx_clear(&k.cx);
        }
    ok(clean && done == 2, "memory that runs out at any push is one clean refusal");
    note("%d points of failure", tries);
}

int main(void)
{
    kit_open(&k);
    test_pack();
    test_dead();
    test_fuse();
    test_kernels();
    test_bad_plugins();
    test_places();
    test_budget();
    test_effects();
    test_verify();
    test_random();
    test_no_memory();
    kit_close(&k);
    return tap_done();
}
