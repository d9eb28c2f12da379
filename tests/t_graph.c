/*
 * core/graph/graph.c, model.c, infer.c: declaring graphs, and every refusal with its
 * sentence.
 */
#include "graph/infer.h"
#include "graph_kit.h"
#include <math.h>

static kit k;

static void test_declares(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[B,9]");
    int32_t w = kit_weight(&k, "w", NULL),
            y = kit_node(&k, "t_dot", "{\"out\":4}", x, w, -1);
    ok(x == 0 && w == 1 && y == 2, "wires count up");
    ok(k.g->nodes[0].n_in == 3 && k.g->nodes[0].in[2] == WIRE_ABSENT,
       "an optional input that is not given is absent");
    ok(!strcmp(k.g->nodes[0].label, "g/t_dot.0"),
       "a node's label names graph, operator, number");
    ok(kit_weight(&k, "w", NULL) == w, "the same weight is the same wire");
    ok(kit_output(&k, "y", y) == 0, "an output");
    graph *other;
    graph_new(&k.cx, k.m, "h", NULL, &other);
    int32_t shared;
    graph_weight(&k.cx, other, "w", NULL, NULL, NULL, &shared);
    ok(k.m->n_weights == 1 && other->wires[shared].slot == 0,
       "two graphs of a model share a weight by its name");
    graph_arg named[] = {{"w", w}, {"x", x}};
    int32_t out;
    ok(graph_add(&k.cx, k.g, "t_dot", named, 2, NULL, NULL, &out) == 0 &&
           k.g->nodes[1].in[0] == x && k.g->nodes[1].in[1] == w,
       "inputs are placed by name");
    int32_t lo = kit_node(&k, "t_two", NULL, x, -1, -1);
    ok(!strcmp(k.g->wires[lo].name, "t_two.2.lo") &&
           !strcmp(k.g->wires[lo + 1].name, "t_two.2.hi"),
       "outputs of one node follow each other and carry their names");
}

static void test_refusals(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[B,9]"), y;
    kit_node(&k, "t_rely", NULL, x, -1, -1);
    ok(says(&k.cx, EVLA_E_MISSING,
            "m.lua:5: graph g: no op is called \"t_rely\"; did you mean \"t_relu\"?"),
       "unknown operator");
    kit_node(&k, "t_add", NULL, x, -1, -1);
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:5: g/t_add.0: input \"b\" is missing; t_add wants: a b"),
       "missing input");
    kit_node(&k, "t_relu", NULL, x, x, -1);
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:5: g/t_relu.0: 2 inputs given, t_relu takes at most 1: x"),
       "too many inputs");
    graph_arg odd[] = {{"z", x}};
    graph_add(&k.cx, k.g, "t_relu", odd, 1, NULL, "m.lua:5", &y);
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:5: g/t_relu.0: has no input \"z\"; its inputs are: x"),
       "unknown input name");
    graph_arg twice[] = {{NULL, x}, {"a", x}};
    graph_add(&k.cx, k.g, "t_add", twice, 2, NULL, "m.lua:5", &y);
    ok(says(&k.cx, EVLA_E_ARG, "m.lua:5: g/t_add.0: input \"a\" is given twice"),
       "an input given by position and by name");
    graph_arg far[] = {{NULL, 77}};
    graph_add(&k.cx, k.g, "t_relu", far, 1, NULL, "m.lua:5", &y);
    ok(says(&k.cx, EVLA_E_ARG, "m.lua:5: g/t_relu.0: input 1 is no value of graph g"),
       "a wire of another graph");
    kit_node(&k, "t_cat", NULL, -1, -1, -1);
    ok(says(&k.cx, EVLA_E_ARG, "m.lua:5: g/t_cat.0: wants at least one of \"xs\""),
       "variadic input without any");
    kit_node(&k, "t_dot", "{\"aut\":4}", x, x, -1);
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:5: g/t_dot.0: aut: there is no such parameter; did you mean \"out\"?"),
       "unknown parameter, with file and line");
    kit_node(&k, "t_dot", "{\"out\":-4}", x, x, -1);
    ok(says(&k.cx, EVLA_E_RANGE, "m.lua:5: g/t_dot.0: out: want 0 to 1000000000, got -4"),
       "parameter out of range");
    kit_input(&k, "x", "f32");
    ok(says(&k.cx, EVLA_E_EXISTS,
            "m.lua:2: graph g: the name \"x\" is taken by an input declared at m.lua:2; "
            "choose "
            "another"),
       "an input's name twice");
    kit_weight(&k, "x", NULL);
    ok(k.cx.code == EVLA_E_EXISTS, "a weight with an input's name");
    ctx_clear(&k.cx);
    kit_input(&k, "bad name", "f32");
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:2: graph g: input name \"bad name\": want 1 to 120 letters without "
            "blanks or "
            "quotes"),
       "a name with a blank");
    kit_input(&k, "z", "f33[2]");
    ok(k.cx.code == EVLA_E_DTYPE &&
           strstr(k.cx.why, "m.lua:2: graph g: input z: type \"f33[2]\""),
       "a number format nobody knows");
    ctx_clear(&k.cx);
    kit_weight(&k, "w", "f32[2,2]");
    ctx_clear(&k.cx);
    kit_weight(&k, "w", "f32[2,3]");
    ok(says(&k.cx, EVLA_E_EXISTS,
            "m.lua:3: weight w: is f32[2,3] here, but f32[2,2] where it was declared "
            "before, at "
            "m.lua:3"),
       "a weight with two types");
    kit_output(&k, "y", 99);
    ok(k.cx.code == EVLA_E_ARG, "an output that is no value");
    ctx_clear(&k.cx);
    kit_output(&k, "y", x);
    kit_output(&k, "y", x);
    ok(says(&k.cx, EVLA_E_EXISTS, "m.lua:6: graph g: the output y is declared twice"),
       "an output's name twice");
    graph *again;
    graph_new(&k.cx, k.m, "g", "m.lua:9", &again);
    ok(says(&k.cx, EVLA_E_EXISTS, "m.lua:9: model m: the graph g is declared twice"),
       "a graph's name twice");
    graph_new(&k.cx, k.m, "a/b", NULL, &again);
    ok(k.cx.code == EVLA_E_ARG, "a graph's name with a slash");
    ctx_clear(&k.cx);
    model_want_graph(&k.cx, k.m, "gg", &again);
    ok(says(&k.cx, EVLA_E_MISSING,
            "model m: no graph is called \"gg\"; did you mean \"g\"?"),
       "a graph that is not there");
}

static void test_symbols(void)
{
    kit_graph(&k);
    ok(graph_symbol(&k.cx, k.g, "B", "bucket{1,32,512}", NULL) == 0, "a bucketed symbol");
    ok(graph_symbol(&k.cx, k.g, "T", "upto 64", NULL) == 0, "a symbol with a capacity");
    graph_symbol(&k.cx, k.g, "T", "exact", "m.lua:3");
    ok(says(&k.cx, EVLA_E_EXISTS, "m.lua:3: graph g: the symbol T is declared twice"),
       "a symbol twice");
    static const char *const bad[] = {"bucket{}", "bucket{4,2}", "upto",       "upto 0",
                                      "upto 4 5", "exactly",     "bucket{1,x}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ok(graph_symbol(&k.cx, k.g, "Q", bad[i], NULL) == EVLA_E_ARG, "rule %s is refused",
           bad[i]);
        ctx_clear(&k.cx);
    }
    ok(graph_symbol(&k.cx, k.g, "b", "exact", NULL) == EVLA_E_ARG, "symbols are capital");
    ctx_clear(&k.cx);
    int32_t x = kit_input(&k, "x", "f32[B,T,K]");
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, x, -1, -1));
    bound *b;
    arena *a = &k.cx.mem;
    symbols s = {.n = 2, .name = {"B", "K"}, .extent = {17, 3}};
    ok(infer_bind(&k.cx, a, k.g, &s, NULL, &b) == 0, "binds");
    const evla_type *t = &b->wires[x].type;
    ok(t->shape[0] == 32 && t->shape[1] == 64 && t->shape[2] == 3,
       "a bucket is rounded up, a capacity taken whole, the rest exact");
    ok(*symbols_get(&b->asked, "B", 1) == 17, "what was asked is kept");
    s.extent[0] = 513;
    infer_bind(&k.cx, a, k.g, &s, NULL, &b);
    ok(says(&k.cx, EVLA_E_RANGE,
            "graph g: symbol B: 513 is more than its largest bucket of 512"),
       "beyond the largest bucket");
    s = (symbols){.n = 1, .name = {"B"}, .extent = {1}};
    infer_bind(&k.cx, a, k.g, &s, NULL, &b);
    ok(says(&k.cx, EVLA_E_MISSING,
            "graph g: the symbol K has no extent; bind it, such as K = 1"),
       "an unbound symbol");
    s = (symbols){.n = 3, .name = {"B", "K", "M"}, .extent = {1, 1, 1}};
    infer_bind(&k.cx, a, k.g, &s, NULL, &b);
    ok(k.cx.code == EVLA_E_MISSING && strstr(k.cx.why, "there is no symbol M"),
       "a symbol the graph does not have");
    ctx_clear(&k.cx);
    kit_weight(&k, "w", "f32[Z]");
    infer_bind(&k.cx, a, k.g, &s, NULL, &b);
    ok(says(&k.cx, EVLA_E_MISSING,
            "m.lua:3: graph g: weight w: the symbol Z stands in no input's or state's type "
            "and "
            "was not declared"),
       "a weight over a symbol without origin");

    kit_graph(&k);
    kit_input(&k, "x", "f32[B,9]");
    kit_input(&k, "y", "f32[B,K]");
    symbols found = {0};
    evla_type in[] = {{EVLA_F32, 2, {5, 9}}, {EVLA_F32, 2, {5, 2}}};
    ok(infer_symbols(&k.cx, k.g, in, &found) == 0 && *symbols_get(&found, "B", 1) == 5 &&
           *symbols_get(&found, "K", 1) == 2,
       "symbols are found from the inputs' types");
    in[1].shape[0] = 6;
    found.n = 0;
    infer_symbols(&k.cx, k.g, in, &found);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph g: input y: want f32[B,K], found f32[6,2]: extent 0 should be 5"),
       "inputs that contradict each other");
}

static int32_t bind(bound **b)
{
    return infer_bind(&k.cx, &k.cx.mem, k.g,
                      &(symbols){.n = 1, .name = {"B"}, .extent = {3}}, NULL, b);
}

static void test_infer(void)
{
    bound *b;
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[B,9]"), w = kit_weight(&k, "w", NULL),
            bias = kit_weight(&k, "b", NULL);
    int32_t y = kit_node(&k, "t_dot", "{\"out\":\"2*B\"}", x, w, bias);
    kit_output(&k, "y", y);
    ok(bind(&b) == 0, "infers");
    if (k.cx.code) note("%s", k.cx.why);
    ok(b->wires[y].type.shape[0] == 3 && b->wires[y].type.shape[1] == 6,
       "a whole number may be an expression over symbols");
    ok(b->wires[w].type.rank == 2 && b->wires[w].type.shape[1] == 9 &&
           k.m->weights[0].type.shape[0] == 6,
       "a weight nobody typed is typed by its reader");
    graph *first = k.g;
    graph_new(&k.cx, k.m, "h", NULL, &k.g);
    x = kit_input(&k, "x", "f32[B,9]");
    kit_output(&k, "y",
               kit_node(&k, "t_dot", "{\"out\":5}", x, kit_weight(&k, "w", NULL), -1));
    ok(bind(&b) == 0,
       "a weight keeps the type it has, whatever a later reader would prefer");
    kit_weight(&k, "b2", "f32[4]");
    (void)first;
    int32_t bad = kit_node(&k, "t_add", NULL, x, kit_weight(&k, "b2", NULL), -1);
    kit_output(&k, "z", bad);
    bind(&b);
    ok(says(&k.cx, EVLA_E_SHAPE, "m.lua:5: h/t_add.1: a and b differ"),
       "shapes that do not meet: file, line, node");

    kit_graph(&k);
    x = kit_input(&k, "x", "f32[B]");
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, x, kit_weight(&k, "w", NULL), -1));
    bind(&b);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "m.lua:5: g/t_add.0: weight w has no type, and t_add cannot tell; declare it, "
            "such "
            "as \"f32[16,16]\""),
       "a weight nobody types");
    kit_graph(&k);
    kit_output(&k, "y", kit_node(&k, "t_relu", NULL, kit_input(&k, "x", "f64[B]"), -1, -1));
    bind(&b);
    ok(says(&k.cx, EVLA_E_DTYPE, "m.lua:5: g/t_relu.0: x must be f32"),
       "a wrong number format");
    kit_graph(&k);
    kit_input(&k, "x", "f32[B]");
    bind(&b);
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:1: graph g: has no output and writes no state, so it would compute "
            "nothing"),
       "a graph without an output");
}

static void test_fold(void)
{
    bound *b;
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[B]"), two, three;
    graph_const_value(&k.cx, k.g, "f32", &(value){.kind = VALUE_INT, .as.i = 2}, NULL,
                      &two);
    graph_const_value(&k.cx, k.g, "f32", &(value){.kind = VALUE_FLOAT, .as.f = 3}, NULL,
                      &three);
    int32_t five = kit_node(&k, "t_add", NULL, two, three, -1);
    int32_t y = kit_node(&k, "t_needs", NULL, x, five, -1);
    kit_output(&k, "y", y);
    ok(bind(&b) == 0 && b->wires[y].type.shape[0] == 15,
       "constants fold while types are inferred, and infer sees their values");
    ok(b->n_folded == 1 && b->nodes[0].is_gone && b->wires[five].kind == WIRE_CONST &&
           *(const float *)b->wires[five].data == 5,
       "a folded node is gone and its output a constant");
    plan_options off = {.without = "fold"};
    symbols s = {.n = 1, .name = {"B"}, .extent = {3}};
    ok(infer_bind(&k.cx, &k.cx.mem, k.g, &s, &off, &b) == EVLA_E_ARG,
       "with fold switched off the value is not known");
    ok(says(&k.cx, EVLA_E_ARG, "m.lua:5: g/t_needs.1: n must be a constant"),
       "and that is told");
    value nested;
    const char *text = "[[1,2],[3,4.5]]";
    value_parse(&k.cx.mem, text, strlen(text), &nested, NULL);
    int32_t c;
    ok(graph_const_value(&k.cx, k.g, "f32[2,2]", &nested, NULL, &c) == 0 &&
           ((const float *)k.g->wires[c].data)[3] == 4.5f,
       "a constant from nested lists");
    ok(graph_const_value(&k.cx, k.g, "f32[2,3]", &nested, "m.lua:8", &c) == EVLA_E_ARG,
       "nested lists of another shape are refused");
    ctx_clear(&k.cx);
    ok(graph_const_value(&k.cx, k.g, "i8[2,2]", &nested, "m.lua:8", &c) == EVLA_E_ARG,
       "numbers that do not fit are refused");
    ctx_clear(&k.cx);
}

static void test_states(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[4]"), s = kit_state(&k, "h", "f32[4]");
    int32_t s2 = kit_node(&k, "t_store", NULL, s, x, -1);
    ok(k.g->wires[s2].kind == WIRE_STATE && k.g->wires[s2].slot == k.g->wires[s].slot,
       "a write makes a new version of the state");
    kit_node(&k, "t_store", NULL, s, x, -1);
    ok(says(&k.cx, EVLA_E_STATE,
            "m.lua:5: g/t_store.1: this version of the state h was already written by "
            "g/t_store.0; write what that returned"),
       "one version is written once");
    kit_node(&k, "t_store", NULL, x, x, -1);
    ok(says(&k.cx, EVLA_E_ARG,
            "m.lua:5: g/t_store.1: writes its first input, which must be a state; x is an "
            "input"),
       "only states are written");
    graph *other;
    graph_new(&k.cx, k.m, "other", NULL, &other);
    k.g = other;
    s = kit_state(&k, "h", "f32[4]");
    x = kit_input(&k, "x", "f32[4]");
    s2 = kit_node(&k, "t_store", NULL, s, x, -1);
    ok(s2 >= 0 && k.g->wires[s2].kind == WIRE_STATE && k.m->n_states == 1,
       "another graph may write the same state");
    kit_graph(&k);
    s = kit_state(&k, "h", "f32[4]");
    graph_new(&k.cx, k.m, "other", NULL, &other);
    k.g = other;
    kit_state(&k, "h", "f32[5]");
    ok(k.cx.code == EVLA_E_EXISTS, "a state has one type");
    ctx_clear(&k.cx);
}

static void test_first_values(void)
{
    evla_type t = {EVLA_F32, 2, {64, 100}}, line = {EVLA_F32, 1, {50}};
    static float a[6400], b[6400];
    model_fill_one(&k.cx, "w", NULL, &t, 7, a);
    model_fill_one(&k.cx, "w", NULL, &t, 7, b);
    double sum = 0, most = 0;
    for (int i = 0; i < 6400; i++) {
        sum += a[i];
        if (fabsf(a[i]) > most) most = fabsf(a[i]);
    }
    ok(!memcmp(a, b, sizeof a), "first values depend on seed and name only");
    ok(most <= 0.1 && most > 0.099 && fabs(sum / 6400) < 0.005,
       "a matrix starts uniform within 1/sqrt(its last extent)");
    model_fill_one(&k.cx, "v", NULL, &t, 7, b);
    ok(memcmp(a, b, sizeof a) != 0, "another name, other values");
    model_fill_one(&k.cx, "b", NULL, &line, 7, a);
    ok(a[0] == 0 && a[49] == 0, "a vector starts as zeros");
    model_fill_one(&k.cx, "b", "ones", &line, 7, a);
    ok(a[0] == 1 && a[49] == 1, "ones");
    model_fill_one(&k.cx, "n", "normal:2", &t, 7, a);
    sum = 0;
    for (int i = 0; i < 6400; i++)
        sum += (double)a[i] * a[i];
    ok(fabs(sqrt(sum / 6400) - 2) < 0.1, "normal:2 has deviation 2");
    model_fill_one(&k.cx, "n", "gauss", &t, 7, a);
    ok(says(&k.cx, EVLA_E_ARG,
            "n: init \"gauss\": want zeros, ones, uniform:0.1, normal:0.02, "
            "mean:FIELD or std:FIELD"),
       "an init nobody knows");
}

int main(void)
{
    kit_open(&k);
    test_declares();
    test_refusals();
    test_symbols();
    test_infer();
    test_fold();
    test_states();
    test_first_values();
    kit_close(&k);
    return tap_done();
}
