/*
 * layout.c -- arrangements of weights. See layout.h.
 */
#include "layout.h"
#include "../host.h"
#include "../mem.h"
#include "../registry.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_TRIES = 3, HUGE_PAGE = 2 << 20 };

static weight_info *weight_of(const bound *b, int32_t at)
{
    const bound_wire *w = at < 0 ? NULL : &b->wires[at];
    return w && w->kind == WIRE_WEIGHT ? &b->from->of->weights[w->slot] : NULL;
}

/* What the kernel of a node would like; nothing is asked about weights that are settled. */
static int32_t ask(ctx *cx, const plan_options *o, const bound *b, const bound_node *n)
{
    evla_node seen;
    pick k = {0};
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = infer_node(cx, &cx->scratch, b, n, &seen);
    if (st >= 0) st = choose_kernel(cx, o, &seen, 1, &k);
    const evla_kernel *table = st < 0 ? NULL : k.item->table;
    if (table && table->size >= sizeof *table && table->layout) {
        evla_machine machine = choose_machine(cx->reg, o);
        host h;
        host_init(&h, cx, &cx->scratch);
        for (int32_t i = 0; i < n->n_in; i++) {
            weight_info *w = weight_of(b, n->in[i]);
            if (!w || w->is_settled || w->layout || seen.in[i].rank != 2) continue;
            const evla_layout *l = table->layout(&h.table, &machine, &seen, i);
            int64_t bytes = l ? l->bytes(&h.table, &seen.in[i]) : -1;
            if (bytes >= 0 && (!w->packed_as || (!strcmp(w->packed_as, l->name) &&
                                                 w->packed_bytes == bytes)))
                w->layout = l;
        }
    }
    arena_reset(&cx->scratch, mark);
    return st == EVLA_E_MISSING ? 0 : st;
}

/* A weight whose layout this node cannot read goes back to plain rows. 1: one did. */
static int32_t retract(ctx *cx, const plan_options *o, const bound *b, const bound_node *n)
{
    evla_node seen;
    pick k;
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = infer_node(cx, &cx->scratch, b, n, &seen), n_back = 0;
    if (st >= 0 && seen.layout && (st = choose_kernel(cx, o, &seen, 1, &k)) < 0 &&
        st == EVLA_E_MISSING) {
        for (int32_t i = 0; i < n->n_in; i++) {
            weight_info *w = weight_of(b, n->in[i]);
            if (!w || w->is_settled || !w->layout) continue;
            w->layout = NULL;
            w->is_settled = 1;
            n_back++;
        }
        st = 0; /* with settled weights the planner will say what is wrong */
    }
    arena_reset(&cx->scratch, mark);
    return st < 0 ? st : n_back > 0;
}

int32_t layout_settle(ctx *cx, const plan_options *o, const bound *b)
{
    if (!b->from->of->packs) return 0;
    int32_t st = 0, again = 1;
    for (int32_t i = 0; st >= 0 && i < b->n_nodes; i++)
        if (!b->nodes[i].is_gone) st = ask(cx, o, b, &b->nodes[i]);
    for (int32_t tries = 0; st >= 0 && again && tries < MOST_TRIES; tries++) {
        again = 0;
        for (int32_t i = 0; st >= 0 && i < b->n_nodes; i++) {
            if (b->nodes[i].is_gone) continue;
            st = retract(cx, o, b, &b->nodes[i]);
            again |= st > 0;
        }
    }
    for (int32_t w = 0; st >= 0 && w < b->n_wires; w++) {
        weight_info *info = weight_of(b, w);
        if (!info) continue;
        info->is_settled = 1;
        if (info->packed_as && !info->layout)
            st = ctx_fail(cx, EVLA_E_PLUGIN,
                          "weight %s: lies in its file as %s, which not every kernel that "
                          "reads it here can; pack the model on this machine",
                          info->name, info->packed_as);
    }
    return st < 0 ? st : 0;
}

/* ---- packing ---- */

/* The whole pages of a mapped file between two addresses; the file has them still. */
static void give_back(const model *m, const void *from, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = ((uintptr_t)from + page - 1) / page * page,
              end = ((uintptr_t)from + bytes) / page * page;
    if ((m->file || m->map) && end > at) madvise((void *)at, end - at, MADV_DONTNEED);
}

int32_t layout_pack(ctx *cx, model *m, int32_t slot)
{
    weight_info *w = &m->weights[slot];
    const evla_layout *l = w->layout;
    if (!l || w->packed || !w->data) return 0;
    host h;
    host_init(&h, cx, NULL);
    int64_t rows = w->type.shape[0], bytes = l->bytes(&h.table, &w->type);
    int64_t plain = type_bytes(cx->reg, &w->type),
            panels = (rows + l->panel - 1) / l->panel;
    unsigned char *to = bytes < 0 ? NULL : mem_alloc_aligned((size_t)bytes + 1, HUGE_PAGE);
    if (!to)
        return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %lld bytes as %s", w->name,
                        (long long)bytes, l->name);
    madvise(to, (size_t)bytes, MADV_HUGEPAGE);
    int64_t each = panels ? bytes / panels : 0, row = rows ? plain / rows : 0;
    int32_t st = 0;
    for (int64_t i = 0; st >= 0 && i < panels; i++) {
        int64_t n = rows - i * l->panel < l->panel ? rows - i * l->panel : l->panel;
        const unsigned char *from = (const unsigned char *)w->data + i * l->panel * row;
        st = l->pack(&h.table, &w->type, n, from, to + i * each);
    }
    if (st < 0) {
        mem_free(to);
        if (!cx->code) ctx_fail(cx, st, "weight %s: as %s", w->name, l->name);
        return st;
    }
    if (!w->is_own) give_back(m, w->data, (size_t)plain);
    w->packed = to;
    return 0;
}
