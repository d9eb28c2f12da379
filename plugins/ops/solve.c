/*
 * solve.c -- systems of linear equations, and the gradient of their solutions.
 *
 * Gaussian elimination with partial pivoting (Golub and Van Loan 2013, algorithm 3.4.1) in
 * f64 whatever comes in, so that a badly conditioned f32 matrix costs digits of its own and
 * none of the method's. Meant for matrices of a few dozen rows, such as a robot's Jacobian.
 */
#include "grad.h"
#include "list.h"
#include <math.h>

enum { MATRICES = 16 }; /* of one tile */

static int32_t solve_infer(const evla_host *h, const evla_node *n, evla_type *in,
                           evla_type *out)
{
    for (int32_t i = 0; i < 2; i++) {
        int32_t st = types_real(h, n, in, i, i ? "b" : "a");
        if (st < 0) return st;
        if (in[i].rank < 2)
            return types_fail(h, EVLA_E_SHAPE, "%s: solve: %s is %s; want rank 2 or more",
                              n->label, i ? "b" : "a", TEXT(h, &in[i]));
    }
    if (in[0].dtype != in[1].dtype)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: solve: a is %s, b is %s; want one number format", n->label,
                          TEXT(h, &in[0]), TEXT(h, &in[1]));
    const evla_type *a = &in[0], *b = &in[1];
    int64_t rows = types_last(a);
    int fits = a->rank == b->rank && a->shape[a->rank - 2] == rows;
    for (int32_t i = 0; fits && i < a->rank - 1; i++)
        fits = a->shape[i] == b->shape[i];
    if (!fits)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: solve: a is %s, b is %s; want [...,N,N] and [...,N,K]",
                          n->label, TEXT(h, a), TEXT(h, b));
    out[0] = *b;
    return EVLA_OK;
}

static int64_t matrices(const evla_node *n)
{
    return types_span(n->in[0].shape, 0, n->in[0].rank - 2);
}

static double solve_cost(const evla_node *n)
{
    double rows = (double)types_last(&n->in[0]), k = (double)types_last(&n->in[1]);
    return (double)matrices(n) * (2.0 / 3.0 * rows + 2 * k) * rows * rows;
}

static int32_t solve_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                             evla_offer *offer)
{
    (void)h, (void)m;
    if (!types_all_f32(n) || n->n_tail) return EVLA_E_MISSING;
    return types_offer(offer, -1, "f64.pivot");
}

static int32_t solve_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                          evla_work *work)
{
    (void)h, (void)m;
    uint64_t rows = (uint64_t)types_last(&n->in[0]), k = (uint64_t)types_last(&n->in[1]);
    work->worker_bytes = rows * (rows + k) * sizeof(double);
    return types_tiles(work, types_ceil(matrices(n), MATRICES));
}

/* m holds [a | b], `width` numbers a row; b becomes a^-1 b. A singular a leaves what
 * division by zero gives: infinities and NaN, which the run's checks see. */
static void eliminate(double *m, int64_t rows, int64_t width)
{
    for (int64_t p = 0; p < rows; p++) {
        int64_t best = p;
        for (int64_t r = p + 1; r < rows; r++)
            if (fabs(m[r * width + p]) > fabs(m[best * width + p])) best = r;
        for (int64_t c = p; c < width && best != p; c++) {
            double t = m[p * width + c];
            m[p * width + c] = m[best * width + c];
            m[best * width + c] = t;
        }
        for (int64_t r = p + 1; r < rows; r++) {
            double f = m[r * width + p] / m[p * width + p];
            for (int64_t c = p + 1; c < width; c++)
                m[r * width + c] -= f * m[p * width + c];
        }
    }
    for (int64_t p = rows - 1; p >= 0; p--)
        for (int64_t c = rows; c < width; c++) {
            double sum = m[p * width + c];
            for (int64_t r = p + 1; r < rows; r++)
                sum -= m[p * width + r] * m[r * width + c];
            m[p * width + c] = sum / m[p * width + p];
        }
}

static int32_t solve_run(const evla_host *h, const evla_args *args, int32_t phase,
                         int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = args->node;
    const evla_solve_params *p = n->params;
    int64_t rows = types_last(&n->in[0]), k = types_last(&n->in[1]), width = rows + k;
    int64_t end = (tile + 1) * MATRICES, all = matrices(n);
    double *m = args->scratch;
    for (int64_t i = tile * MATRICES; i < (end < all ? end : all); i++) {
        const float *a = (const float *)args->in[0].data[0] + i * rows * rows;
        const float *b = (const float *)args->in[1].data[0] + i * rows * k;
        float *y = (float *)args->out[0].data[0] + i * rows * k;
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < rows; c++)
                m[r * width + c] =
                    (double)(p->transpose_a ? a[c * rows + r] : a[r * rows + c]);
            for (int64_t c = 0; c < k; c++)
                m[r * width + rows + c] = (double)b[r * k + c];
        }
        eliminate(m, rows, width);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < k; c++)
                y[r * k + c] = (float)m[r * width + rows + c];
    }
    return EVLA_OK;
}

/* db = a^-T dy, da = -db y^T (Giles 2008, section 2.3.1); transposed a, transposed da. */
int32_t back_solve(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    const evla_solve_params *p = g->node->params;
    int32_t db = chain_op(&c, "solve", &(evla_solve_params){.transpose_a = !p->transpose_a},
                          g->in[0], g->d_out[0]);
    if (g->wanted[1]) chain_back(&c, 1, db);
    if (!g->wanted[0]) return c.st;
    int32_t y = g->out[0], left = p->transpose_a ? y : db, right = p->transpose_a ? db : y;
    int32_t da =
        chain_op(&c, "matmul", &(evla_matmul_params){.transpose_b = 1}, left, right);
    chain_back(&c, 0, chain_op(&c, "neg", NULL, da, -1));
    return c.st;
}

const evla_op solve_op = {.size = sizeof solve_op,
                          .inputs = "a b",
                          .outputs = "y",
                          .source = "torch.linalg.solve",
                          .infer = solve_infer,
                          .cost = solve_cost,
                          .grad = back_solve};
const evla_kernel solve_kernel = {.size = sizeof solve_kernel,
                                  .op = "solve",
                                  .accepts = solve_accepts,
                                  .plan = solve_plan,
                                  .run = solve_run};
