/*
 * matrix.c -- the operators linear and matmul, and coded_linear between numbers in bf16:
 * tiles, batches, bias and tails.
 *
 * Few rows are read straight from memory, many by packed panels (matrix_inner.h); both sum
 * in the same order (x86.h). The tiles depend on the shapes only. Weights may lie in panels
 * that were packed when they were loaded; those in 16 bits always become panels, if need be
 * here. Only where an instruction multiplies bf16 by bf16 is x rounded to it as well
 * (coded_linear); elsewhere linear takes x as it is.
 */
#include "list.h"
#include "node.h"
#include "packed.h"
#include <string.h>

static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }

static int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

/* A node as products of equal size: matrices of the batch one after the other. */
typedef struct shape {
    x86_product p; /* without pointers */
    int64_t batch;
    int64_t rows, cols;   /* of a tile */
    int64_t down, across; /* tiles of one matrix */
    int is_thin, has_panels;
    int32_t w, bias; /* inputs */
} shape;

static int is_coded(const evla_node *n) { return n->op[0] == 'c'; }

static int is_linear(const evla_node *n) { return n->op[0] == 'l' || is_coded(n); }

uint64_t x86_scratch(const x86_isa *isa, int64_t k, int64_t n)
{
    int64_t depth = k < X86_DEPTH ? k : X86_DEPTH;
    int64_t width = round_up(n < X86_WIDTH ? n : X86_WIDTH, isa->cols);
    return sizeof(float) * (uint64_t)(isa->rows * X86_DEPTH + depth * width);
}

static void find_tiles(const x86_isa *isa, shape *s)
{
    const x86_product *p = &s->p;
    enum { FEW = 64 << 10 }; /* numbers of b worth a tile of its own */
    s->is_thin = p->m <= isa->thin;
    s->rows = p->m > 0 ? p->m : 1;
    if (s->is_thin) {
        int64_t least = FEW / (p->k > 0 ? p->k : 1);
        s->cols = round_up(least < 1 ? 1 : least, 2 * isa->cols);
    } else {
        const double worth = 1 << 20; /* multiplications */
        s->cols = X86_WIDTH;
        const int64_t most = s->has_panels ? 64 : 256;
        s->rows = ceil_div(p->m, ceil_div(p->m, most));
        while (s->rows > 64 && (double)s->rows * (double)p->k * X86_WIDTH > 4 * worth &&
               ceil_div(p->m, s->rows) * ceil_div(p->n, s->cols) * s->batch < 8)
            s->rows = ceil_div(s->rows, 2);
    }
    s->across = ceil_div(p->n, s->cols);
    s->down = ceil_div(p->m, s->rows);
}

/* linear is a product with w transposed; a matmul whose b is one matrix for all of a's rows
 * is one product. */
static shape shape_of(const x86_isa *isa, const evla_node *n)
{
    shape s = {.batch = 1, .w = is_coded(n) ? 2 : 1};
    x86_product *p = &s.p;
    const evla_type *a = &n->in[0], *b = &n->in[s.w], *out = &n->out[0];
    s.bias = is_linear(n) ? s.w + 1 : n->n_in;
    s.has_panels = packed_is(n, s.w) || b->dtype != EVLA_F32;
    p->n = p->y_row = node_last(out);
    if (is_linear(n)) {
        p->m = node_rows(out);
        p->k = node_last(a);
        p->a_row = p->k, p->a_k = 1;
        p->b_k = 1, p->b_col = p->k;
    } else {
        const evla_matmul_params *how = n->params;
        int turn_a = how && how->transpose_a, turn_b = how && how->transpose_b;
        p->m = out->shape[out->rank - 2];
        p->k = a->shape[a->rank - (turn_a ? 2 : 1)];
        p->a_row = turn_a ? 1 : p->k, p->a_k = turn_a ? p->m : 1;
        p->b_k = turn_b ? 1 : p->n, p->b_col = turn_b ? p->k : 1;
        s.batch = node_span(out->shape, 0, out->rank - 2);
        if (!turn_a && node_span(b->shape, 0, b->rank - 2) == 1 &&
            node_span(a->shape, 0, a->rank - 2) == s.batch) {
            p->m *= s.batch;
            s.batch = 1;
        }
    }
    find_tiles(isa, &s);
    return s;
}

/* A format of numbers, not of codes. */
static int is_number(int32_t id) { return id >= PACKED_F32 && id <= PACKED_F16; }

/* What this kernel reads in panels; NULL: nothing, all numbers are f32 in plain rows. */
static const packed_format *panels_of(const evla_host *h, const evla_node *n)
{
    int32_t w = is_coded(n) ? 2 : 1;
    if (!is_linear(n) || (n->in[w].dtype == EVLA_F32 && !packed_is(n, w))) return NULL;
    return packed_of(h, n, w);
}

static int takes_formats(const evla_host *h, const x86_isa *isa, const evla_node *n)
{
    const packed_format *f = panels_of(h, n);
    int32_t id = f ? packed_id(f) : PACKED_F32;
    if (n->out[0].dtype != EVLA_F32 || !is_number(id)) return 0;
    if (isa == &x86_bf16)
        return is_coded(n) && id == PACKED_BF16 && n->in[0].dtype == n->in[2].dtype &&
               !node_present(n, 1) && (!node_present(n, 3) || n->in[3].dtype == EVLA_F32);
    if (!f) return node_all_f32(n) && !packed_is(n, 0) && !packed_is(n, 1);
    return n->in[0].dtype == EVLA_F32 &&
           (!node_present(n, 2) || n->in[2].dtype == EVLA_F32);
}

static int32_t accepts(const evla_host *h, const x86_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    if (!node_has(m, isa->feature) || !takes_formats(h, isa, n) ||
        !node_takes_tails(isa, n))
        return EVLA_E_MISSING;
    offer->score = isa->score;
    offer->alias_in = -1;
    offer->numerics = isa == &x86_bf16 ? X86_BF16_NUMERICS : X86_NUMERICS;
    return EVLA_OK;
}

/* f32 only where the rows that a last panel lacks are few. */
static const evla_layout *layout(const evla_host *h, const x86_isa *isa,
                                 const evla_machine *m, const evla_node *n, int32_t i)
{
    if (i != (is_coded(n) ? 2 : 1) || !is_linear(n) || !node_has(m, isa->feature) ||
        n->in[i].rank != 2)
        return NULL;
    const packed_format *f = packed_of(h, n, i);
    if (!f || !is_number(packed_id(f))) return NULL;
    return packed_id(f) != PACKED_F32 || packed_fills(&n->in[i]) ? &f->layout : NULL;
}

/* A panel is packed on the way. */
static int packs(const packed_format *f, const shape *s, const evla_node *n)
{
    return f && !packed_is(n, s->w);
}

static int32_t plan(const evla_host *h, const x86_isa *isa, const evla_node *n,
                    evla_work *work)
{
    shape s = shape_of(isa, n);
    const packed_format *f = panels_of(h, n);
    work->n_phases = 1;
    work->tiles[0] = s.batch * s.down * s.across;
    if (packs(f, &s, n))
        work->worker_bytes = (uint64_t)packed_panel(f, s.p.k);
    else if (!f && !s.is_thin)
        work->worker_bytes = x86_scratch(isa, s.p.k, s.p.n);
    work->blob_bytes = sizeof f;
    return EVLA_OK;
}

/* run may not ask for formats. */
static int32_t prepare(const evla_host *h, const evla_node *n, void *blob)
{
    *(const packed_format **)blob = panels_of(h, n);
    return EVLA_OK;
}

static void columns(const x86_isa *isa, const x86_product *p, const shape *s,
                    float *scratch, int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
    if (p->panels)
        isa->packed(p, r0, r1, c0, c1);
    else if (s->is_thin)
        isa->slim(p, c0, c1);
    else
        isa->thick(p, scratch, r0, r1, c0, c1);
}

/* The same, from plain rows of a weight that is read in panels. */
static int32_t columns_packed(const evla_host *h, const x86_isa *isa, const evla_args *a,
                              const x86_product *p, const shape *s, const packed_format *f,
                              int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
    uint8_t *panel = a->scratch;
    const uint8_t *rows = a->in[s->w].data[0];
    for (int64_t c = c0; c < c1; c += PACKED_ROWS) {
        int64_t n = c1 - c < PACKED_ROWS ? c1 - c : PACKED_ROWS;
        int32_t st = f->layout.pack(h, &a->node->in[s->w], n,
                                    rows + c * (p->k / f->elements * f->bytes), panel);
        if (st < 0) return st;
        x86_product one = *p;
        one.panels = panel;
        one.y = p->y + c;
        isa->packed(&one, r0, r1, 0, n);
    }
    return EVLA_OK;
}

static int32_t run(const evla_host *h, const x86_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    const evla_node *n = a->node;
    const packed_format *f = *(const packed_format *const *)a->blob;
    shape s = shape_of(isa, n);
    (void)phase;
    int64_t batch = tile / (s.down * s.across), place = tile % (s.down * s.across);
    int64_t r0 = place / s.across * s.rows, c0 = place % s.across * s.cols;
    int64_t r1 = r0 + s.rows < s.p.m ? r0 + s.rows : s.p.m;
    int64_t c1 = c0 + s.cols < s.p.n ? c0 + s.cols : s.p.n;
    x86_product p = s.p;
    p.a = a->in[0].data[0];
    p.halves = a->in[0].data[0];
    if (f) {
        p.format = packed_id(f);
        p.panels = a->in[s.w].data[0];
    } else {
        p.b = a->in[s.w].data[0];
    }
    if (s.batch > 1) {
        p.a += node_offset(&n->in[0], &n->out[0], 2, batch);
        p.b += node_offset(&n->in[1], &n->out[0], 2, batch);
    }
    p.y = (float *)a->out[0].data[0] + batch * p.m * p.n;
    int32_t st = EVLA_OK;
    if (!p.k)
        for (int64_t r = r0; r < r1; r++)
            memset(p.y + r * p.n + c0, 0, (size_t)(c1 - c0) * sizeof *p.y);
    else if (packs(f, &s, n))
        st = columns_packed(h, isa, a, &p, &s, f, r0, r1, c0, c1);
    else
        columns(isa, &p, &s, a->scratch, r0, r1, c0, c1);
    int64_t row = batch * p.m;
    node_finish(isa, a, s.bias, row + r0, row + r1, c0, c1);
    return st;
}

/* ---- tables ---- */

#define ISA(id)                                                                            \
    NODE_ACCEPTS(accepts, id, &x86_##id)                                                   \
    NODE_PLAN(plan, id, &x86_##id)                                                         \
    NODE_RUN(run, id, &x86_##id)                                                           \
    NODE_LAYOUT(layout, id, &x86_##id)
#define KERNEL(name, of, id)                                                               \
    const evla_kernel name##_##id = {.size = sizeof name##_##id,                           \
                                     .max_tail = NODE_TAIL_MAX,                            \
                                     .op = #of,                                            \
                                     .tail_ops = NODE_TAIL_OPS,                            \
                                     .accepts = accepts_##id,                              \
                                     .plan = plan_##id,                                    \
                                     .prepare = prepare,                                   \
                                     .run = run_##id,                                      \
                                     .layout = layout_##id};
ISA(avx2)
ISA(avx512)
ISA(bf16)
KERNEL(linear, linear, avx2)
KERNEL(linear, linear, avx512)
KERNEL(matmul, matmul, avx2)
KERNEL(matmul, matmul, avx512)
KERNEL(half_linear, coded_linear, bf16)
