/*
 * row.c -- the kernels of rms_norm, layer_norm and rope. A tile is some whole rows, about
 * 16384 numbers.
 */
#include "row.h"
#include "list.h"
#include "node.h"

enum { TILE = 16384 };

typedef struct row_isa {
    const x86_isa *lanes;
    const x86_row *row;
} row_isa;

static int32_t accepts(const row_isa *isa, const evla_machine *m, const evla_node *n,
                       const char *numerics, evla_offer *offer)
{
    if (n->n_tail || !node_has(m, isa->lanes->feature) || !node_all_f32(n))
        return EVLA_E_MISSING;
    *offer = (evla_offer){.score = isa->lanes->score, .alias_in = 0, .numerics = numerics};
    return EVLA_OK;
}

static int64_t rows_of_tile(const evla_node *n)
{
    int64_t d = node_last(&n->in[0]);
    return d >= TILE ? 1 : TILE / (d ? d : 1);
}

static int32_t plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_work *work)
{
    (void)h, (void)m;
    int64_t rows = node_count(&n->in[0]) ? node_rows(&n->in[0]) : 0;
    work->n_phases = 1;
    work->tiles[0] = (rows + rows_of_tile(n) - 1) / rows_of_tile(n);
    return EVLA_OK;
}

/* Numerics are those of the portable kernels, whose bits these are. */
static int32_t norm_accepts(const evla_host *h, const row_isa *isa, const evla_machine *m,
                            const evla_node *n, evla_offer *offer)
{
    return (void)h, accepts(isa, m, n, "f32.lane8", offer);
}

static int32_t rope_accepts(const evla_host *h, const row_isa *isa, const evla_machine *m,
                            const evla_node *n, evla_offer *offer)
{
    return (void)h, accepts(isa, m, n, "f32.turn", offer);
}

/* Rows [*from, *to) of a tile. */
static void rows_of(const evla_node *n, int64_t tile, int64_t *from, int64_t *to)
{
    int64_t rows = node_rows(&n->in[0]);
    *from = tile * rows_of_tile(n);
    *to = *from + rows_of_tile(n) < rows ? *from + rows_of_tile(n) : rows;
}

static int32_t rms_norm_run(const evla_host *h, const row_isa *isa, const evla_args *a,
                            int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_norm_params *p = a->node->params;
    const float *x = a->in[0].data[0],
                *w = node_present(a->node, 1) ? a->in[1].data[0] : NULL;
    float *y = a->out[0].data[0];
    int64_t d = node_last(&a->node->in[0]), r, end;
    rows_of(a->node, tile, &r, &end);
    isa->row->rms_norm(x + r * d, end - r, w, (float)p->eps, y + r * d, d);
    return EVLA_OK;
}

static int32_t layer_norm_run(const evla_host *h, const row_isa *isa, const evla_args *a,
                              int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_norm_params *p = a->node->params;
    const float *x = a->in[0].data[0],
                *w = node_present(a->node, 1) ? a->in[1].data[0] : NULL,
                *b = node_present(a->node, 2) ? a->in[2].data[0] : NULL;
    float *y = a->out[0].data[0];
    int64_t d = node_last(&a->node->in[0]), r, end;
    rows_of(a->node, tile, &r, &end);
    isa->row->layer_norm(x + r * d, end - r, w, b, (float)p->eps, y + r * d, d);
    return EVLA_OK;
}

static int32_t rope_run(const evla_host *h, const row_isa *isa, const evla_args *a,
                        int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const evla_rope_params *p = n->params;
    int64_t columns = node_last(&n->in[0]), width = columns / p->heads, r, end;
    int64_t tokens = n->in[1].shape[0], pairs = n->in[1].shape[1];
    for (rows_of(n, tile, &r, &end); r < end; r++)
        for (int64_t head = 0; head < p->heads; head++) {
            const float *cosine = (const float *)a->in[1].data[0] + r % tokens * pairs;
            const float *sine = (const float *)a->in[2].data[0] + r % tokens * pairs;
            const float *x = (const float *)a->in[0].data[0] + r * columns + head * width;
            float *y = (float *)a->out[0].data[0] + r * columns + head * width;
            (p->pairs == EVLA_ROPE_HALF ? isa->row->turn_half : isa->row->turn_interleaved)(
                x, cosine, sine, pairs, y);
            for (int64_t i = 2 * pairs; i < width; i++)
                y[i] = x[i];
        }
    return EVLA_OK;
}

/* ---- tables ---- */

static const row_isa isa_avx2 = {&x86_avx2, &x86_row_avx2};
static const row_isa isa_avx512 = {&x86_avx512, &x86_row_avx512};

NODE_ACCEPTS(norm_accepts, avx2, &isa_avx2)
NODE_ACCEPTS(norm_accepts, avx512, &isa_avx512)
NODE_ACCEPTS(rope_accepts, avx2, &isa_avx2)
NODE_ACCEPTS(rope_accepts, avx512, &isa_avx512)

#define KERNEL(name, kind, id)                                                             \
    NODE_RUN(name##_run, id, &isa_##id)                                                    \
    const evla_kernel name##_##id = {.size = sizeof(evla_kernel),                          \
                                     .op = #name,                                          \
                                     .accepts = kind##_accepts_##id,                       \
                                     .plan = plan,                                         \
                                     .run = name##_run_##id};
KERNEL(rms_norm, norm, avx2)
KERNEL(rms_norm, norm, avx512)
KERNEL(layer_norm, norm, avx2)
KERNEL(layer_norm, norm, avx512)
KERNEL(rope, rope, avx2)
KERNEL(rope, rope, avx512)
