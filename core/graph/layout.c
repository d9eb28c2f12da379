/*
 * layout.c -- arrangements of weights. See layout.h.
 */
#include "layout.h"
#include "../host.h"
#include "../mem.h"
#include "../registry.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64, CHUNK_BYTES = 4 << 20 };

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
    while (st >= 0 && again) { /* each time round settles at least one weight */
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

void layout_drop_pages(const void *from, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = ((uintptr_t)from + page - 1) / page * page,
              end = ((uintptr_t)from + bytes) / page * page;
    if (end > at) madvise((void *)at, end - at, MADV_DONTNEED);
}

/* Plain rows that nobody wants any more once the weight is packed: what lies in a mapped
 * file, which has it still, and what was rounded while it was read. f32 stays: it is what
 * recipes read. */
static int goes(const model *m, const weight_info *w)
{
    if (!m->file && !m->map) return 0;
    return !w->is_own || (!w->is_lent && w->type.dtype != EVLA_F32);
}

/* Files may hold tensors anywhere; kernels and pack want their numbers where C wants them.
 */
static int is_aligned(const void *p) { return (uintptr_t)p % 8 == 0; }

/* Some panels of one weight. */
typedef struct chunk {
    int32_t slot;
    int64_t first, n;
} chunk;

typedef struct packer {
    _Alignas(64) atomic_llong next; /* chunk to claim */
    model *m;
    chunk *chunks;
    int64_t n_chunks;
    void **to; /* by slot: the new bytes; NULL: not packed now */
    ctx *own;  /* by worker */
} packer;

static int32_t pack_chunk(packer *p, ctx *cx, const chunk *c)
{
    const weight_info *w = &p->m->weights[c->slot];
    const evla_layout *l = w->layout;
    int64_t rows = w->type.shape[0], panels = (rows + l->panel - 1) / l->panel;
    host h;
    host_init(&h, cx, NULL);
    size_t row = (size_t)(type_bytes(cx->reg, &w->type) / rows);
    size_t each = (size_t)(l->bytes(&h.table, &w->type) / panels);
    int32_t st = 0;
    const unsigned char *from = w->data;
    arena_place mark = arena_mark(&cx->scratch);
    void *moved = NULL; /* one panel's rows, when they do not lie where they should */
    if (!is_aligned(from)) {
        moved = arena_push_aligned(&cx->scratch, (size_t)l->panel, row, 64);
        if (!moved) st = ctx_fail(cx, EVLA_E_NOMEM, "weight %s: as %s", w->name, l->name);
    }
    for (int64_t i = c->first; st >= 0 && i < c->first + c->n; i++) {
        int64_t n = rows - i * l->panel < l->panel ? rows - i * l->panel : l->panel;
        const void *plain = from + (size_t)(i * l->panel) * row;
        if (moved) plain = memcpy(moved, plain, (size_t)n * row);
        st = l->pack(&h.table, &w->type, n, plain,
                     (unsigned char *)p->to[c->slot] + (size_t)i * each);
    }
    arena_reset(&cx->scratch, mark);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "weight %s: as %s", w->name, l->name);
    int64_t end = (c->first + c->n) * l->panel;
    if (end > rows) end = rows;
    if (goes(p->m, w))
        layout_drop_pages(from + (size_t)(c->first * l->panel) * row,
                          (size_t)(end - c->first * l->panel) * row);
    return st;
}

static void pack_some(void *to, int32_t worker)
{
    packer *p = to;
    ctx *cx = &p->own[worker];
    while (!cx->code) {
        int64_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->n_chunks || pack_chunk(p, cx, &p->chunks[i]) < 0) break;
    }
}

/* Memory for every weight that is to be packed, and its panels in chunks. */
static int32_t divide(ctx *cx, packer *p)
{
    model *m = p->m;
    int64_t most = 0;
    host h;
    host_init(&h, cx, NULL);
    for (int pass = 0; pass < 2; pass++) {
        if (pass &&
            !(p->chunks = arena_push(&cx->scratch, (size_t)most + 1, sizeof(chunk))))
            return ctx_fail(cx, EVLA_E_NOMEM, "model %s: packing", m->name);
        for (int32_t i = 0; i < m->n_weights; i++) {
            const weight_info *w = &m->weights[i];
            const evla_layout *l = w->layout;
            if (!l || w->packed || !w->data || w->type.shape[0] < 1) continue;
            int64_t bytes = l->bytes(&h.table, &w->type);
            int64_t panels = (w->type.shape[0] + l->panel - 1) / l->panel;
            int64_t many = CHUNK_BYTES / (bytes / panels + 1) + 1;
            if (!pass) most += panels / many + 1;
            if (!pass) continue;
            if (!(p->to[i] = mem_alloc_pages((size_t)bytes + 1, ALIGN)))
                return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %lld bytes as %s", w->name,
                                (long long)bytes, l->name);
            for (int64_t k = 0; k < panels; k += many)
                p->chunks[p->n_chunks++] =
                    (chunk){i, k, panels - k < many ? panels - k : many};
        }
    }
    return 0;
}

/* Plain rows that do not lie where they should are moved. */
static int32_t align_plain(ctx *cx, model *m)
{
    for (int32_t i = 0; i < m->n_weights; i++) {
        weight_info *w = &m->weights[i];
        if (w->layout || !w->data || is_aligned(w->data)) continue;
        size_t bytes = (size_t)type_bytes(cx->reg, &w->type);
        void *own = arena_push_aligned(&m->mem, bytes + 1, 1, 64);
        if (!own) return ctx_fail(cx, EVLA_E_NOMEM, "weight %s: %zu bytes", w->name, bytes);
        w->data = memcpy(own, w->data, bytes);
        w->is_own = 1;
    }
    return 0;
}

int32_t layout_pack(ctx *cx, model *m, pool *workers)
{
    packer p = {.m = m};
    int32_t n = pool_size(workers);
    arena_place mark = arena_mark(&cx->scratch);
    p.to = arena_push(&cx->scratch, (size_t)m->n_weights + 1, sizeof *p.to);
    p.own = mem_alloc((size_t)n * sizeof *p.own);
    int32_t st = p.to && p.own ? divide(cx, &p)
                               : ctx_fail(cx, EVLA_E_NOMEM, "model %s: packing", m->name);
    for (int32_t w = 0; p.own && w < n; w++)
        ctx_init_child(&p.own[w], cx);
    if (st >= 0) st = align_plain(cx, m);
    if (st >= 0 && p.n_chunks) pool_run(workers, n, pack_some, &p);
    for (int32_t w = 0; p.own && w < n; w++) {
        if (st >= 0 && p.own[w].code) st = ctx_fail(cx, p.own[w].code, "%s", p.own[w].why);
        ctx_free(&p.own[w]);
    }
    for (int32_t i = 0; p.to && i < m->n_weights; i++) {
        weight_info *w = &m->weights[i];
        if (!p.to[i]) continue;
        /* dropped pages of the model's own come back as zeros */
        if (w->is_own && goes(m, w)) w->data = NULL, w->is_own = 0;
        if (st >= 0) w->packed = p.to[i];
        if (st < 0) mem_free(p.to[i]);
    }
    mem_free(p.own);
    arena_reset(&cx->scratch, mark);
    return st;
}
