/*
 * flat.c -- kernels of element-wise operators that stand alone, of slopes, of casts from
 * bytes to f32 and from f32 to bf16, and of adamw.
 *
 * Tiles of 16384 numbers. The bits are those of the portable kernels (numerics
 * "f32.element").
 */
#include "flat.h"
#include "list.h"
#include "node.h"
#include <math.h>
#include <string.h>

enum { TILE = 16384 };

typedef struct flat_isa {
    const x86_isa *lanes;
    const x86_flat *flat;
} flat_isa;

static int32_t offer_of(const flat_isa *isa, int32_t alias_in, evla_offer *offer)
{
    *offer = (evla_offer){
        .score = isa->lanes->score, .alias_in = alias_in, .numerics = "f32.element"};
    return EVLA_OK;
}

static int32_t plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = (node_count(&n->out[0]) + TILE - 1) / TILE;
    return EVLA_OK;
}

static int64_t part(const evla_node *n, int64_t tile)
{
    int64_t left = node_count(&n->out[0]) - tile * TILE;
    return left < TILE ? left : TILE;
}

static int is_same(const evla_type *a, const evla_type *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

static int is_ours(const flat_isa *isa, const evla_machine *m, const evla_node *n)
{
    return !n->n_tail && node_has(m, isa->lanes->feature) && n->out[0].dtype == EVLA_F32;
}

/* ---- one operand ---- */

static int32_t unary_accepts(const evla_host *h, const flat_isa *isa, const evla_machine *m,
                             const evla_node *n, evla_offer *offer)
{
    (void)h;
    if (!is_ours(isa, m, n) || n->in[0].dtype != EVLA_F32) return EVLA_E_MISSING;
    return offer_of(isa, 0, offer);
}

static int32_t unary_run(const evla_host *h, const flat_isa *isa, const evla_args *a,
                         int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    isa->lanes->unary(n->op)(n->params, (const float *)a->in[0].data[0] + tile * TILE,
                             (float *)a->out[0].data[0] + tile * TILE, part(n, tile));
    return EVLA_OK;
}

/* ---- two operands: of equal shape, or one of a single number ---- */

static int32_t binary_accepts(const evla_host *h, const flat_isa *isa,
                              const evla_machine *m, const evla_node *n, evla_offer *offer)
{
    (void)h;
    int32_t alias = -1, whole = 0;
    if (!is_ours(isa, m, n)) return EVLA_E_MISSING;
    for (int32_t i = 1; i >= 0; i--) {
        if (n->in[i].dtype != EVLA_F32) return EVLA_E_MISSING;
        if (is_same(&n->in[i], &n->out[0]))
            alias = i, whole++;
        else if (node_count(&n->in[i]) != 1)
            return EVLA_E_MISSING;
    }
    return whole ? offer_of(isa, alias, offer) : EVLA_E_MISSING;
}

static int32_t binary_run(const evla_host *h, const flat_isa *isa, const evla_args *a,
                          int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const float *in[2];
    int64_t step[2];
    for (int i = 0; i < 2; i++) {
        step[i] = is_same(&n->in[i], &n->out[0]);
        in[i] = (const float *)a->in[i].data[0] + step[i] * tile * TILE;
    }
    isa->lanes->binary(n->op)(in[0], step[0], in[1], step[1],
                              (float *)a->out[0].data[0] + tile * TILE, part(n, tile));
    return EVLA_OK;
}

/* ---- slopes ---- */

static int32_t slope_accepts(const evla_host *h, const flat_isa *isa, const evla_machine *m,
                             const evla_node *n, evla_offer *offer)
{
    (void)h;
    if (!is_ours(isa, m, n) || n->in[0].dtype != EVLA_F32 || n->in[1].dtype != EVLA_F32)
        return EVLA_E_MISSING;
    return offer_of(isa, 0, offer);
}

static int32_t slope_run(const evla_host *h, const flat_isa *isa, const evla_args *a,
                         int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    isa->flat->slope(n->op, n->params)((const float *)a->in[0].data[0] + tile * TILE,
                                       (const float *)a->in[1].data[0] + tile * TILE,
                                       (float *)a->out[0].data[0] + tile * TILE,
                                       part(n, tile));
    return EVLA_OK;
}

/* ---- cast, of pixels to f32 and of f32 to bf16 ---- */

static int32_t cast_accepts(const evla_host *h, const flat_isa *isa, const evla_machine *m,
                            const evla_node *n, evla_offer *offer)
{
    int32_t from = n->in[0].dtype, to = n->out[0].dtype;
    int is_known = from == EVLA_U8 ? to == EVLA_F32
                                   : from == EVLA_F32 && to >= EVLA_DTYPE_FIRST &&
                                         to == h->dtype(h, "bf16");
    if (!is_known || n->n_tail || !node_has(m, isa->lanes->feature)) return EVLA_E_MISSING;
    offer_of(isa, -1, offer);
    offer->numerics = "exact";
    return EVLA_OK;
}

static int32_t cast_run(const evla_host *h, const flat_isa *isa, const evla_args *a,
                        int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    int64_t from = tile * TILE, some = part(a->node, tile);
    if (a->node->out[0].dtype == EVLA_F32)
        isa->flat->from_u8((const uint8_t *)a->in[0].data[0] + from,
                           (float *)a->out[0].data[0] + from, some);
    else
        isa->flat->to_bf16((const float *)a->in[0].data[0] + from,
                           (uint16_t *)a->out[0].data[0] + from, some);
    return EVLA_OK;
}

/* ---- adamw ---- */

static int32_t adamw_accepts(const evla_host *h, const flat_isa *isa, const evla_machine *m,
                             const evla_node *n, evla_offer *offer)
{
    (void)h;
    if (!is_ours(isa, m, n)) return EVLA_E_MISSING;
    return offer_of(isa, 0, offer);
}

/* As in plugins/ops, whose bits these are. */
static double power(double b, int64_t t)
{
    double y = 1;
    for (; t > 0; t >>= 1, b *= b)
        if (t & 1) y *= b;
    return y;
}

static int32_t refuse_time(const evla_host *h, const evla_node *n)
{
    char why[200] = "";
    size_t room = sizeof why - 60, k = strlen(n->label);
    memcpy(why, n->label, k < room ? k : room);
    strcat(why, ": adamw: t is below 1; want 1 at the first update");
    return h->fail(h, EVLA_E_RANGE, why);
}

static int32_t adamw_run(const evla_host *h, const flat_isa *isa, const evla_args *a,
                         int32_t phase, int64_t tile)
{
    (void)phase;
    const evla_node *n = a->node;
    const evla_adamw_params *p = n->params;
    int64_t t = n->in[5].dtype == EVLA_I32 ? *(const int32_t *)a->in[5].data[0]
                                           : *(const int64_t *)a->in[5].data[0];
    double lr = *(const float *)a->in[4].data[0];
    if (t < 1) return refuse_time(h, n);
    const x86_rates r = {.beta1 = (float)p->beta1,
                         .rest1 = (float)(1 - p->beta1),
                         .beta2 = (float)p->beta2,
                         .rest2 = (float)(1 - p->beta2),
                         .eps = (float)p->eps,
                         .keep = (float)(1 - lr * p->weight_decay),
                         .step = (float)(lr / (1 - power(p->beta1, t))),
                         .root = (float)(1 / sqrt(1 - power(p->beta2, t))),
                         .scale =
                             node_present(n, 6) ? *(const float *)a->in[6].data[0] : 1.0f};
    float *out[3];
    int64_t from = tile * TILE, some = part(n, tile);
    for (int k = 0; k < 3; k++) { /* states lie where they lay; elsewhere they are copied */
        out[k] = (float *)a->out[k].data[0] + from;
        const float *in = (const float *)a->in[k].data[0] + from;
        if (in != out[k]) memcpy(out[k], in, (size_t)some * sizeof *in);
    }
    isa->flat->adamw(&r, (const float *)a->in[3].data[0] + from, out[0], out[1], out[2],
                     some);
    return EVLA_OK;
}

/* ---- tables ---- */

static const flat_isa isa_avx2 = {&x86_avx2, &x86_flat_avx2};
static const flat_isa isa_avx512 = {&x86_avx512, &x86_flat_avx512};

#define KIND(kind, id)                                                                     \
    NODE_ACCEPTS(kind##_accepts, id, &isa_##id)                                            \
    NODE_RUN(kind##_run, id, &isa_##id)
KIND(unary, avx2)
KIND(unary, avx512)
KIND(binary, avx2)
KIND(binary, avx512)
KIND(slope, avx2)
KIND(slope, avx512)
KIND(cast, avx2)
KIND(cast, avx512)
KIND(adamw, avx2)
KIND(adamw, avx512)

#define TABLE(name, kind, id)                                                              \
    const evla_kernel name##_##id = {.size = sizeof(evla_kernel),                          \
                                     .op = #name,                                          \
                                     .accepts = kind##_accepts_##id,                       \
                                     .plan = plan,                                         \
                                     .run = kind##_run_##id};
#define X(name) TABLE(name, unary, avx2) TABLE(name, unary, avx512)
X86_FLAT_UNARY(X)
#undef X
#define X(name) TABLE(name, binary, avx2) TABLE(name, binary, avx512)
X86_FLAT_BINARY(X)
#undef X
#define X(name) TABLE(name, slope, avx2) TABLE(name, slope, avx512)
X86_FLAT_SLOPE(X)
#undef X
TABLE(cast, cast, avx2)
TABLE(cast, cast, avx512)
TABLE(adamw, adamw, avx2)
TABLE(adamw, adamw, avx512)
