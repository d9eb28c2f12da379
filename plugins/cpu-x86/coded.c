/*
 * coded.c -- the operator coded_linear for eight-bit codes and packed weights in blocks:
 * layout, tiles, bias and tails.
 *
 * Many rows go in groups that fill the registers. What a group's codes add up to is found
 * once, in a first phase; a single row's is found by each tile again, which takes less time
 * than one more phase. Weights in plain rows are packed on the way, panel by panel. The
 * bits are the same each way: see coded_inner.h.
 */
#include "list.h"
#include "node.h"
#include "packed.h"

static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }

enum { Q, S, W, BIAS };

typedef struct tiles {
    x86_coded p;        /* without pointers */
    int64_t high, wide; /* groups and columns of a tile */
    int64_t down, across;
    uint64_t sums_bytes; /* x86_coded_scratch of a tile */
    uint64_t side_bytes; /* of all groups */
} tiles;

static tiles tiles_of(const x86_isa *isa, const evla_node *n, const packed_format *f)
{
    enum {
        HIGH = 22,
        WIDE = 128,
        FEW = 160 << 10 /* bytes of w worth a tile of one row */
    };
    x86_coded p = {.m = node_rows(&n->out[0]),
                   .n = node_last(&n->out[0]),
                   .k = node_last(&n->in[Q]),
                   .format = packed_id(f)};
    p.groups = ceil_div(p.m, isa->coded_rows);
    tiles t = {.p = p, .wide = WIDE, .high = ceil_div(p.groups, ceil_div(p.groups, HIGH))};
    if (p.groups == 1) t.wide = ceil_div(FEW, packed_panel(f, p.k)) * PACKED_ROWS;
    t.down = ceil_div(p.groups, t.high);
    t.across = ceil_div(p.n, t.wide);
    t.sums_bytes = sizeof(x86_coded_scratch) +
                   (uint64_t)(t.high * isa->coded_rows * PACKED_ROWS) * sizeof(float);
    t.side_bytes = (uint64_t)(p.m * (p.k / f->terms) * 2) * sizeof(float);
    t.side_bytes = (t.side_bytes + 63) / 64 * 64;
    return t;
}

/* The format of w; NULL: not a node for this kernel. */
static const packed_format *format_of(const evla_host *h, const x86_isa *isa,
                                      const evla_machine *m, const evla_node *n)
{
    if (!node_has(m, isa->feature) || !node_present(n, Q) || n->in[Q].dtype != EVLA_I8 ||
        !node_present(n, S) || n->in[S].dtype != EVLA_F32 ||
        node_last(&n->in[S]) * 32 != node_last(&n->in[Q]))
        return NULL;
    const packed_format *f = packed_of(h, n, W);
    return f && packed_id(f) < PACKED_BLOCKS ? f : NULL;
}

static const evla_layout *layout(const evla_host *h, const x86_isa *isa,
                                 const evla_machine *m, const evla_node *n, int32_t i)
{
    const packed_format *f = i == W ? format_of(h, isa, m, n) : NULL;
    return f ? &f->layout : NULL;
}

static int32_t accepts(const evla_host *h, const x86_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    if (!format_of(h, isa, m, n) || !node_takes_tails(isa, n)) return EVLA_E_MISSING;
    *offer =
        (evla_offer){.score = isa->score, .alias_in = -1, .numerics = X86_CODED_NUMERICS};
    return EVLA_OK;
}

static int32_t plan(const evla_host *h, const x86_isa *isa, const evla_node *n,
                    evla_work *work)
{
    const packed_format *f = packed_of(h, n, W);
    tiles t = tiles_of(isa, n, f);
    int32_t last = t.p.m > 1;
    work->n_phases = last + 1;
    work->tiles[0] = t.p.groups;
    work->tiles[last] = t.down * t.across;
    work->blob_bytes = sizeof f;
    work->worker_bytes = t.sums_bytes;
    *(last ? &work->shared_bytes : &work->worker_bytes) += t.side_bytes;
    if (!packed_is(n, W)) work->worker_bytes += (uint64_t)packed_panel(f, t.p.k);
    return EVLA_OK;
}

/* run may not ask for formats. */
static int32_t prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(const packed_format **)blob = packed_of(h, n, W);
    return EVLA_OK;
}

static void sums(const x86_isa *isa, const x86_coded *p, int64_t group, float *side)
{
    int64_t r = p->m * group / p->groups, rows = p->m * (group + 1) / p->groups - r;
    isa->coded_sums(p, r, rows, side + 2 * r * (p->k / packed_formats[p->format].terms));
}

/* Columns of w that lies in plain rows: panel by panel, each packed first. */
static int32_t run_plain(const evla_host *h, const x86_isa *isa, const evla_args *a,
                         const x86_coded *p, const float *side, x86_coded_scratch *to,
                         uint8_t *panel, const int64_t g[2], const int64_t c[2])
{
    const packed_format *f = &packed_formats[p->format];
    int64_t row = p->k / f->elements * f->bytes;
    for (int64_t at = c[0]; at < c[1]; at += PACKED_ROWS) {
        int64_t n = c[1] - at < PACKED_ROWS ? c[1] - at : PACKED_ROWS;
        int32_t st = f->layout.pack(h, &a->node->in[W], n, p->w + at * row, panel);
        if (st < 0) return st;
        x86_coded one = *p;
        one.w = panel;
        one.y = p->y + at;
        isa->coded(&one, side, to, g[0], g[1], 0, n);
    }
    return EVLA_OK;
}

static int32_t run(const evla_host *h, const x86_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    const evla_node *n = a->node;
    const packed_format *f = *(const packed_format *const *)a->blob;
    tiles t = tiles_of(isa, n, f);
    x86_coded p = t.p;
    uint8_t *at = a->scratch;
    x86_coded_scratch *to = a->scratch;
    float *side = p.m > 1 ? a->shared : (void *)(at + t.sums_bytes);
    p.q = a->in[Q].data[0];
    p.s = a->in[S].data[0];
    p.w = a->in[W].data[0];
    p.y = a->out[0].data[0];
    if (p.m > 1 && phase == 0) return sums(isa, &p, tile, side), EVLA_OK;
    if (p.m == 1) sums(isa, &p, 0, side);
    /* tiles that read the same weights come one after the other */
    int64_t down = tile % t.down, c0 = tile / t.down * t.wide;
    int64_t g[2] = {down * p.groups / t.down, (down + 1) * p.groups / t.down};
    int64_t c[2] = {c0, c0 + t.wide < p.n ? c0 + t.wide : p.n};
    int32_t st = EVLA_OK;
    if (packed_is(n, W))
        isa->coded(&p, side, to, g[0], g[1], c[0], c[1]);
    else
        st = run_plain(h, isa, a, &p, side, to,
                       at + t.sums_bytes + (p.m > 1 ? 0 : t.side_bytes), g, c);
    node_finish(isa, a, BIAS, p.m * g[0] / p.groups, p.m * g[1] / p.groups, c[0], c[1]);
    return st;
}

/* ---- tables ---- */

#define KERNEL(id)                                                                         \
    NODE_ACCEPTS(accepts, id, &x86_##id)                                                   \
    NODE_PLAN(plan, id, &x86_##id)                                                         \
    NODE_RUN(run, id, &x86_##id)                                                           \
    NODE_LAYOUT(layout, id, &x86_##id)                                                     \
    const evla_kernel coded_linear_##id = {.size = sizeof(evla_kernel),                    \
                                           .max_tail = NODE_TAIL_MAX,                      \
                                           .op = "coded_linear",                           \
                                           .tail_ops = NODE_TAIL_OPS,                      \
                                           .accepts = accepts_##id,                        \
                                           .plan = plan_##id,                              \
                                           .prepare = prepare,                             \
                                           .run = run_##id,                                \
                                           .layout = layout_##id};
KERNEL(avx2)
KERNEL(avx2_vnni)
KERNEL(avx512)
KERNEL(vnni)
