/*
 * graph_kit.h -- short ways to declare graphs in tests, over the operators of graph_ops.h.
 */
#ifndef EVLA_TESTS_GRAPH_KIT_H
#define EVLA_TESTS_GRAPH_KIT_H
#include "graph/graph.h"
#include "graph_ops.h"
#include "plugin.h"
#include "says.h"

typedef struct kit {
    registry reg;
    ctx cx;
    model *m;
    graph *g;
} kit;

static inline void kit_open(kit *k)
{
    *k = (kit){0};
    registry_init(&k->reg);
    ctx_init(&k->cx, &k->reg);
    if (plugin_add(&k->cx, &k->reg, "test.so", &t_plugin) < 0 ||
        plugin_seal(&k->cx, &k->reg) < 0)
        note("%s", k->cx.why);
}

/* A fresh model with one graph "g". */
static inline graph *kit_graph(kit *k)
{
    model_drop(k->m);
    k->m = NULL;
    ctx_clear(&k->cx);
    if (model_new(&k->cx, "m", &k->m) < 0 ||
        graph_new(&k->cx, k->m, "g", "m.lua:1", &k->g) < 0)
        note("%s", k->cx.why);
    return k->g;
}

static inline void kit_close(kit *k)
{
    model_drop(k->m);
    ctx_free(&k->cx);
    registry_free(&k->reg);
}

static inline int32_t kit_input(kit *k, const char *name, const char *type)
{
    int32_t w = -1;
    graph_input(&k->cx, k->g, name, type, "m.lua:2", &w);
    return w;
}

static inline int32_t kit_weight(kit *k, const char *name, const char *type)
{
    int32_t w = -1;
    graph_weight(&k->cx, k->g, name, type, NULL, "m.lua:3", &w);
    return w;
}

static inline int32_t kit_state(kit *k, const char *name, const char *type)
{
    int32_t w = -1;
    graph_state(&k->cx, k->g, name, type, NULL, "m.lua:4", &w);
    return w;
}

/* A node by position; params as JSON or NULL; c and b may be -1. */
static inline int32_t kit_node(kit *k, const char *op, const char *params, int32_t a,
                               int32_t b, int32_t c)
{
    graph_arg args[3];
    int32_t n = 0, out = -1, wires[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (wires[i] >= 0) args[n++] = (graph_arg){NULL, wires[i]};
    value v = {0};
    if (params) value_parse(&k->cx.mem, params, strlen(params), &v, NULL);
    graph_add(&k->cx, k->g, op, args, n, &v, "m.lua:5", &out);
    return out;
}

static inline int32_t kit_output(kit *k, const char *name, int32_t w)
{
    return graph_output(&k->cx, k->g, name, w, "m.lua:6");
}

#endif
