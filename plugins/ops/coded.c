/*
 * coded.c -- coded_linear: a linear whose x comes in codes that suit its weight's format.
 *
 * The portable kernel decodes both sides and multiplies as linear does. Kernels that
 * multiply the codes themselves are in plugins for some machine.
 */
#include "linear.h"
#include "list.h"
#include "order.h"
#include "tail.h"

enum { Q = 0, S = 1, W = 2, B = 3 };

/* q in i8 has its scales beside it. */
static int32_t scales_infer(const evla_host *h, const evla_node *n, const evla_type *in)
{
    int32_t st = types_need(h, n, in, S, "s");
    if (st < 0) return st;
    if (in[S].dtype != EVLA_F32)
        return types_fail(h, EVLA_E_DTYPE, "%s: coded_linear: s is %s; want f32", n->label,
                          TEXT(h, &in[S]));
    evla_type want = in[Q];
    int64_t k = types_last(&in[Q]), groups = types_last(&in[S]);
    want.shape[want.rank - 1] = groups;
    if (!types_equal_shape(&in[S], &want) || (k && (!groups || k % groups)))
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: coded_linear: s is %s, q %s; want one scale for each group "
                          "of a row",
                          n->label, TEXT(h, &in[S]), TEXT(h, &in[Q]));
    return EVLA_OK;
}

/* q is in w's own format: 16-bit numbers, which need no scales. */
static int32_t codes_infer(const evla_host *h, const evla_node *n, const evla_type *in)
{
    if (types_present(n, in, S))
        return types_fail(h, EVLA_E_ARG,
                          "%s: coded_linear: q is %s, which needs no scales; leave s out",
                          n->label, TEXT(h, &in[Q]));
    if (in[Q].dtype != in[W].dtype || types_element_bytes(h, in[Q].dtype) != 2)
        return types_fail(
            h, EVLA_E_DTYPE,
            "%s: coded_linear: q is %s, w is %s; want q in i8, or both in one "
            "16-bit format",
            n->label, TEXT(h, &in[Q]), TEXT(h, &in[W]));
    return EVLA_OK;
}

/* Codes that share a scale. */
static int64_t group_of(const evla_type *in)
{
    int64_t groups = in[Q].dtype == EVLA_I8 ? types_last(&in[S]) : 0;
    return groups ? types_last(&in[Q]) / groups : 1;
}

static int32_t coded_linear_infer(const evla_host *h, const evla_node *n, evla_type *in,
                                  evla_type *out)
{
    int32_t st = types_need(h, n, in, Q, "q");
    if (st < 0 || (st = types_need(h, n, in, W, "w")) < 0) return st;
    if (in[Q].rank < 1)
        return types_fail(h, EVLA_E_SHAPE, "%s: coded_linear: q is %s; want [...,in]",
                          n->label, TEXT(h, &in[Q]));
    if (in[W].dtype < EVLA_DTYPE_FIRST)
        return types_fail(h, EVLA_E_DTYPE,
                          "%s: coded_linear: w is %s; want a format that a plugin decodes",
                          n->label, TEXT(h, &in[W]));
    st = in[Q].dtype == EVLA_I8 ? scales_infer(h, n, in) : codes_infer(h, n, in);
    if (st < 0) return st;
    int64_t k = types_last(&in[Q]), group = group_of(in);
    if (in[W].rank != 2 || in[W].shape[1] > k || in[W].shape[1] + group <= k)
        return types_fail(h, EVLA_E_SHAPE,
                          "%s: coded_linear: w is %s, q %s wants [out,%lld]", n->label,
                          TEXT(h, &in[W]), TEXT(h, &in[Q]), (long long)k);
    if ((st = rows_infer(h, n, in, W, "w")) < 0) return st;
    if (types_present(n, in, B) && !tail_owns(n, B) &&
        (st = types_weight(h, n, in, B, "b", 1, in[W].shape)) < 0)
        return st;
    out[0] = types_make(EVLA_F32, in[Q].rank, in[Q].shape);
    out[0].shape[out[0].rank - 1] = in[W].shape[0];
    return EVLA_OK;
}

static double coded_linear_cost(const evla_node *n)
{
    return 2.0 * (double)types_count(&n->out[0]) * (double)types_last(&n->in[Q]);
}

static int32_t coded_linear_accepts(const evla_host *h, const evla_machine *m,
                                    const evla_node *n, evla_offer *offer)
{
    (void)m;
    int is_i8 = n->in[Q].dtype == EVLA_I8;
    if ((!is_i8 && !rows_accepts(h, n, Q)) || !rows_accepts(h, n, W) || !tail_accepts(n))
        return EVLA_E_MISSING;
    if (types_present(n, n->in, B) && n->in[B].dtype != EVLA_F32) return EVLA_E_MISSING;
    return types_offer(offer, -1, ORDER_NUMERICS);
}

static int32_t coded_linear_plan(const evla_host *h, const evla_machine *m,
                                 const evla_node *n, evla_work *work)
{
    (void)m;
    int64_t x = LINEAR_ROWS * types_last(&n->in[Q]);
    work->blob_bytes = sizeof(rows_source[2]);
    work->worker_bytes = (uint64_t)(x + linear_room(h, n, W)) * sizeof(float);
    return types_tiles(work, linear_tiles(n));
}

static int32_t coded_linear_prepare(const evla_host *h, const evla_node *n, void *blob)
{
    rows_source *of = blob;
    of[0] = rows_of(h, n, Q);
    of[1] = rows_of(h, n, W);
    return EVLA_OK;
}

/* Row r of x as f32, as long as w's. */
static int32_t decode_row(const evla_host *h, const evla_args *a, int64_t r, float *x)
{
    const rows_source *of = a->blob;
    if (a->node->in[Q].dtype != EVLA_I8) {
        const float *there;
        return rows_read(h, of, a, Q, r, 0, of->width, x, &there);
    }
    int64_t group = group_of(a->node->in);
    const int8_t *q = (const int8_t *)a->in[Q].data[0] + r * of->width;
    const float *s = (const float *)a->in[S].data[0] + r * (of->width / group);
    for (int64_t i = 0; i < of[1].width; i++)
        x[i] = (float)q[i] * s[i / group];
    return EVLA_OK;
}

static int32_t coded_linear_run(const evla_host *h, const evla_args *a, int32_t phase,
                                int64_t tile)
{
    (void)phase;
    const rows_source *of = a->blob;
    linear_box box = linear_box_of(a->node, tile);
    float *x = a->scratch;
    for (int64_t r = box.row[0]; r < box.row[1]; r++) {
        int32_t st = decode_row(h, a, r, x + (r - box.row[0]) * of[1].width);
        if (st < 0) return st;
    }
    return linear_tile(h, a, &box, x, of + 1, W, x + LINEAR_ROWS * of[1].width);
}

const evla_op coded_linear_op = {.size = sizeof coded_linear_op,
                                 .inputs = "q s? w b?",
                                 .outputs = "y",
                                 .source = "Dettmers et al. 2022, section 2.1",
                                 .infer = coded_linear_infer,
                                 .cost = coded_linear_cost};
const evla_kernel coded_linear_kernel = {.size = sizeof coded_linear_kernel,
                                         .max_tail = TAIL_MAX,
                                         .op = "coded_linear",
                                         .tail_ops = TAIL_OPS,
                                         .accepts = coded_linear_accepts,
                                         .plan = coded_linear_plan,
                                         .prepare = coded_linear_prepare,
                                         .run = coded_linear_run,
                                         .layout = rows_layout};
