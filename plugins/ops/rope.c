/*
 * rope.c -- rotary positions: rope_angles (the cosines and sines of a forward's tokens,
 * made once) and rope (which turns pairs of a head's entries by them).
 */
#include "fmath.h"
#include "grad.h"
#include "list.h"
#include "order.h"
#include "types.h"

enum { TILE = 16384 };

/* ---- rope_angles ---- */

static int32_t rope_angles_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                 evla_type *out)
{
    const evla_rope_angles_params *p = n->params;
    int32_t st = types_index(h, n, in, 0, "position");
    if (st < 0) return st;
    if (p->dims < 2 || p->dims % 2)
        return types_fail(h, EVLA_E_ARG,
                          "%s: rope_angles: dims is %lld; want an even number of 2 or more",
                          n->label, (long long)p->dims);
    if (!(p->base > 0) || !(fabs(p->scale) < INFINITY))
        return types_fail(
            h, EVLA_E_ARG,
            "%s: rope_angles: base is %g, scale %g; want a base above 0 and a "
            "finite scale",
            n->label, p->base, p->scale);
    if (in[0].rank != 1)
        return types_fail(h, EVLA_E_SHAPE, "%s: rope_angles: position is %s; want [T]",
                          n->label, TEXT(h, &in[0]));
    int64_t pairs = p->dims / 2;
    if (types_present(n, in, 1) &&
        (st = types_weight(h, n, in, 1, "factors", 1, &pairs)) < 0)
        return st;
    out[0] = out[1] = types_make(EVLA_F32, 2, (const int64_t[]){in[0].shape[0], pairs});
    return EVLA_OK;
}

static int32_t rope_angles_accepts(const evla_host *h, const evla_machine *m,
                                   const evla_node *n, evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || (types_present(n, n->in, 1) && n->in[1].dtype != EVLA_F32))
        return EVLA_E_MISSING;
    return types_offer(offer, -1, "f64.angle");
}

static int64_t tokens_per_tile(int64_t numbers)
{
    return numbers >= TILE ? 1 : TILE / (numbers ? numbers : 1);
}

static int32_t rope_angles_plan(const evla_host *h, const evla_machine *m,
                                const evla_node *n, evla_work *work)
{
    (void)h, (void)m;
    int64_t pairs = types_last(&n->out[0]);
    work->blob_bytes = (uint64_t)pairs * sizeof(double);
    return types_tiles(work, types_ceil(n->in[0].shape[0], tokens_per_tile(pairs)));
}

/* Radians per position of each pair, before factors. */
static int32_t rope_angles_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    (void)h;
    const evla_rope_angles_params *p = n->params;
    double *step = blob;
    for (int64_t i = 0; i < p->dims / 2; i++)
        step[i] = p->scale * pow(p->base, -2.0 * (double)i / (double)p->dims);
    return EVLA_OK;
}

static int32_t rope_angles_run(const evla_host *h, const evla_args *a, int32_t phase,
                               int64_t tile)
{
    (void)phase;
    const evla_node *n = a->node;
    int64_t pairs = types_last(&n->out[0]), step = tokens_per_tile(pairs);
    int64_t from = tile * step, end = order_least(n->in[0].shape[0], from + step);
    int is_i32 = n->in[0].dtype == EVLA_I32;
    const double *per_position = a->blob;
    const float *factors = types_present(n, n->in, 1) ? a->in[1].data[0] : NULL;
    float *cosine = a->out[0].data[0], *sine = a->out[1].data[0];
    for (int64_t t = from; t < end; t++) {
        int64_t position = is_i32 ? ((const int32_t *)a->in[0].data[0])[t]
                                  : ((const int64_t *)a->in[0].data[0])[t];
        for (int64_t i = 0; i < pairs; i++) {
            double angle = (double)position * per_position[i];
            if (factors) angle = angle / (double)factors[i];
            if (!(fabs(angle) < FMATH_TURNS))
                return types_fail(h, EVLA_E_RANGE,
                                  "%s: rope_angles: position %lld at place %lld turns pair "
                                  "%lld by %g rad; want less than %g",
                                  n->label, (long long)position, (long long)t, (long long)i,
                                  angle, FMATH_TURNS);
            fmath_turn(angle, cosine + t * pairs + i, sine + t * pairs + i);
        }
    }
    return EVLA_OK;
}

const evla_op rope_angles_op = {.size = sizeof rope_angles_op,
                                .inputs = "position factors?",
                                .outputs = "cos sin",
                                .source = "Su et al. 2021, section 3.2.2",
                                .infer = rope_angles_infer};
const evla_kernel rope_angles_kernel = {.size = sizeof rope_angles_kernel,
                                        .op = "rope_angles",
                                        .accepts = rope_angles_accepts,
                                        .plan = rope_angles_plan,
                                        .prepare = rope_angles_prepare,
                                        .run = rope_angles_run};

/* ---- rope ---- */

static int32_t rope_infer(const evla_host *h, const evla_node *n, evla_type *in,
                          evla_type *out)
{
    static const char *const names[] = {"x", "cos", "sin"};
    const evla_rope_params *p = n->params;
    int32_t st = types_real(h, n, in, 0, "x");
    for (int32_t i = 1; st >= 0 && i < 3; i++) {
        st = types_need(h, n, in, i, names[i]);
        if (st >= 0 && in[i].dtype != EVLA_F32)
            st = types_fail(h, EVLA_E_DTYPE, "%s: rope: %s is %s; want f32", n->label,
                            names[i], TEXT(h, &in[i]));
    }
    if (st < 0) return st;
    if (p->heads < 1 || in[0].rank < 2 || types_last(&in[0]) % p->heads)
        return types_fail(
            h, p->heads < 1 ? EVLA_E_ARG : EVLA_E_SHAPE,
            "%s: rope: x is %s; want [...,T,C] with C a multiple of %lld heads", n->label,
            TEXT(h, &in[0]), (long long)p->heads);
    int64_t width = types_last(&in[0]) / p->heads;
    if (in[1].rank != 2 || !types_equal_shape(&in[1], &in[2]) ||
        in[1].shape[0] != in[0].shape[in[0].rank - 2] || in[1].shape[1] > width / 2)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: rope: cos is %s, sin %s, x %s; want [T,D/2] with D at most "
                          "the %lld entries of a head",
                          n->label, TEXT(h, &in[1]), TEXT(h, &in[2]), TEXT(h, &in[0]),
                          (long long)width);
    out[0] = in[0];
    return EVLA_OK;
}

static double rope_cost(const evla_node *n)
{
    const evla_rope_params *p = n->params;
    return 6.0 * (double)(types_rows(&n->in[0]) * p->heads * types_last(&n->in[1]));
}

static int32_t rope_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                            evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || !types_all_f32(n)) return EVLA_E_MISSING;
    return types_offer(offer, 0, "f32.turn");
}

static int32_t rope_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                         evla_work *work)
{
    (void)h, (void)m;
    return types_tiles(
        work, types_ceil(types_rows(&n->in[0]), tokens_per_tile(types_last(&n->in[0]))));
}

/* One head: pair i is x[first * i] and x[first * i + apart]. y may be x. */
static void turn(const float *x, const float *cosine, const float *sine, int64_t pairs,
                 int64_t first, int64_t apart, float *y)
{
    for (int64_t i = 0; i < pairs; i++) {
        float a = x[first * i], b = x[first * i + apart];
        y[first * i] = a * cosine[i] - b * sine[i];
        y[first * i + apart] = a * sine[i] + b * cosine[i];
    }
}

static int32_t rope_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const evla_rope_params *p = n->params;
    int64_t columns = types_last(&n->in[0]), width = columns / p->heads;
    int64_t tokens = n->in[1].shape[0], pairs = n->in[1].shape[1];
    int64_t step = tokens_per_tile(columns), from = tile * step;
    int64_t end = order_least(types_rows(&n->in[0]), from + step);
    int is_half = p->pairs == EVLA_ROPE_HALF;
    for (int64_t r = from; r < end; r++) {
        const float *cosine = (const float *)a->in[1].data[0] + r % tokens * pairs;
        const float *sine = (const float *)a->in[2].data[0] + r % tokens * pairs;
        for (int64_t k = 0; k < p->heads; k++) {
            const float *x = (const float *)a->in[0].data[0] + r * columns + k * width;
            float *y = (float *)a->out[0].data[0] + r * columns + k * width;
            turn(x, cosine, sine, pairs, is_half ? 1 : 2, is_half ? pairs : 1, y);
            for (int64_t i = 2 * pairs; i < width; i++)
                y[i] = x[i];
        }
    }
    return EVLA_OK;
}

/* A turn by the same angle backwards. */
int32_t back_rope(const evla_host *h, evla_grad *g)
{
    chain c = {h, g, 0};
    int32_t dx, back = chain_op(&c, "neg", NULL, g->in[2], -1);
    if (chain_wants(g, 1) || chain_wants(g, 2))
        return types_fail(h, EVLA_E_MISSING,
                          "%s: rope passes no gradient to its angles; freeze what they are "
                          "made of",
                          g->node->label);
    chain_all(&c, "rope", g->node->params, (int32_t[]){g->d_out[0], g->in[1], back}, 3, &dx,
              1);
    chain_back(&c, 0, dx);
    return c.st;
}

const evla_op rope_op = {.size = sizeof rope_op,
                         .inputs = "x cos sin",
                         .outputs = "y",
                         .source = "Su et al. 2021, eq. 34",
                         .infer = rope_infer,
                         .cost = rope_cost,
                         .grad = back_rope};
const evla_kernel rope_kernel = {.size = sizeof rope_kernel,
                                 .op = "rope",
                                 .accepts = rope_accepts,
                                 .plan = rope_plan,
                                 .run = rope_run};
