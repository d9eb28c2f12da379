/*
 * matrix.c -- the operators linear and matmul: tiles, batches, bias and tails.
 *
 * Few rows are read straight from memory, many by packed panels (matrix_inner.h); both sum
 * in the same order (x86.h). The tiles depend on the shapes only.
 */
#include "list.h"
#include "node.h"
#include <string.h>

static int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }

static int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

/* A node as products of equal size: matrices of the batch one after the other. */
typedef struct shape {
    x86_product p; /* without pointers */
    int64_t batch;
    int64_t rows, cols;   /* of a tile */
    int64_t down, across; /* tiles of one matrix */
    int is_thin;
} shape;

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
        s->rows = ceil_div(p->m, ceil_div(p->m, 256));
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
    shape s = {.batch = 1};
    x86_product *p = &s.p;
    const evla_type *a = &n->in[0], *b = &n->in[1], *out = &n->out[0];
    p->n = p->y_row = node_last(out);
    if (n->op[0] == 'l') {
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

static int32_t accepts(const x86_isa *isa, const evla_machine *m, const evla_node *n,
                       evla_offer *offer)
{
    if (!node_has(m, isa->feature) || !node_all_f32(n) || !node_takes_tails(isa, n))
        return EVLA_E_MISSING;
    offer->score = isa->score;
    offer->alias_in = -1;
    offer->numerics = X86_NUMERICS;
    return EVLA_OK;
}

static int32_t plan(const x86_isa *isa, const evla_node *n, evla_work *work)
{
    shape s = shape_of(isa, n);
    work->n_phases = 1;
    work->tiles[0] = s.batch * s.down * s.across;
    if (!s.is_thin) work->worker_bytes = x86_scratch(isa, s.p.k, s.p.n);
    return EVLA_OK;
}

static int32_t run(const x86_isa *isa, const evla_args *a, int64_t tile)
{
    const evla_node *n = a->node;
    shape s = shape_of(isa, n);
    int64_t batch = tile / (s.down * s.across), place = tile % (s.down * s.across);
    int64_t r0 = place / s.across * s.rows, c0 = place % s.across * s.cols;
    int64_t r1 = r0 + s.rows < s.p.m ? r0 + s.rows : s.p.m;
    int64_t c1 = c0 + s.cols < s.p.n ? c0 + s.cols : s.p.n;
    x86_product p = s.p;
    p.a = a->in[0].data[0];
    p.b = a->in[1].data[0];
    if (s.batch > 1) {
        p.a += node_offset(&n->in[0], &n->out[0], 2, batch);
        p.b += node_offset(&n->in[1], &n->out[0], 2, batch);
    }
    p.y = (float *)a->out[0].data[0] + batch * p.m * p.n;
    if (!p.k)
        for (int64_t r = r0; r < r1; r++)
            memset(p.y + r * p.n + c0, 0, (size_t)(c1 - c0) * sizeof *p.y);
    else if (s.is_thin)
        isa->slim(&p, c0, c1);
    else
        isa->thick(&p, a->scratch, r0, r1, c0, c1);
    int64_t row = batch * p.m;
    node_finish(isa, a, n->op[0] == 'l' ? 2 : n->n_in, row + r0, row + r1, c0, c1);
    return EVLA_OK;
}

/* ---- tables ---- */

#define ISA(id)                                                                            \
    static int32_t accepts_##id(const evla_host *h, const evla_machine *m,                 \
                                const evla_node *n, evla_offer *offer)                     \
    {                                                                                      \
        return (void)h, accepts(&x86_##id, m, n, offer);                                   \
    }                                                                                      \
    static int32_t plan_##id(const evla_host *h, const evla_machine *m,                    \
                             const evla_node *n, evla_work *work)                          \
    {                                                                                      \
        return (void)h, (void)m, plan(&x86_##id, n, work);                                 \
    }                                                                                      \
    static int32_t run_##id(const evla_host *h, const evla_args *a, int32_t phase,         \
                            int64_t tile)                                                  \
    {                                                                                      \
        return (void)h, (void)phase, run(&x86_##id, a, tile);                              \
    }
#define KERNEL(name, id)                                                                   \
    const evla_kernel name##_##id = {.size = sizeof name##_##id,                           \
                                     .max_tail = NODE_TAIL_MAX,                            \
                                     .op = #name,                                          \
                                     .tail_ops = NODE_TAIL_OPS,                            \
                                     .accepts = accepts_##id,                              \
                                     .plan = plan_##id,                                    \
                                     .run = run_##id};
ISA(avx2)
ISA(avx512)
KERNEL(linear, avx2)
KERNEL(linear, avx512)
KERNEL(matmul, avx2)
KERNEL(matmul, avx512)
