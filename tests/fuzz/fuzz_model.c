/*
 * fuzz_model.c -- core/graph/{bundle,save}.c on hostile files; what opens is planned, and
 * run when it is small. The first byte chooses between raw bytes and a header's text with
 * right lengths.
 */
#include "../graph_ops.h"
#include "graph/save.h"
#include "plugin.h"
#include "run/session.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_graph(ctx *cx, graph *g)
{
    symbols s = {0};
    plan *p;
    for (int32_t i = 0; i < g->n_symbols; i++) {
        s.name[i] = g->symbols[i].name;
        s.extent[i] = 2;
        s.n = i + 1;
    }
    if (plan_make(cx, g, &s, NULL, &p) < 0) {
        if (!cx->code || !*cx->why || cx->code == EVLA_E_BUG) {
            fprintf(stderr, "%d: %s\n", cx->code, cx->why);
            abort();
        }
        return;
    }
    session *se;
    if (p->arena_bytes + p->state_bytes < 1 << 20 && p->flops < 1e7 &&
        session_open(cx, &p, 1, NULL, &se) >= 0) {
        session_run(cx, se, 0);
        session_close(se);
    }
    plan_drop(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static registry reg;
    ctx cx;
    model *m;
    if (!reg.n_items) {
        ctx_init(&cx, &reg);
        registry_init(&reg);
        if (plugin_add(&cx, &reg, "fuzz.so", &t_plugin) < 0 || plugin_seal(&cx, &reg) < 0)
            abort();
        ctx_free(&cx);
    }
    if (!n) return 0;
    ctx_init(&cx, &reg);
    size_t room = (n + 200) / 64 * 64 + 256;
    unsigned char *file = aligned_alloc(64, room);
    if (!file) abort();
    memset(file, 0, room);
    size_t size = n - 1;
    if (data[0] & 1)
        memcpy(file, data + 1, size);
    else {
        size = (32 + n - 1 + 63) / 64 * 64 + 64;
        memcpy(file, "evla\r\n\x1a\n\1", 9);
        for (int i = 0; i < 8; i++) {
            file[16 + i] = (unsigned char)((n - 1) >> 8 * i);
            file[24 + i] = (unsigned char)(size >> 8 * i);
        }
        memcpy(file + 32, data + 1, n - 1);
    }
    if (save_read(&cx, "f.evla", file, size, &m) >= 0) {
        for (int32_t i = 0; i < m->n_graphs; i++) {
            ctx_clear(&cx);
            try_graph(&cx, m->graphs[i]);
        }
        model_drop(m);
    } else if (!cx.code || !*cx.why)
        abort();
    free(file);
    ctx_free(&cx);
    return 0;
}
