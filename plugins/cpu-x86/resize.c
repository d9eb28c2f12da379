/*
 * resize.c -- the kernels of resize, for pictures of up to four channels.
 *
 * A tile is a band of rows of one picture: the rows that it reads go through the first pass
 * into the worker's scratch, four at a time, and from there through the second. Bands of
 * fewer rows would read more of them twice.
 */
#include "resize.h"
#include "list.h"
#include "node.h"
#include <string.h>

enum { BAND = 56 };

typedef struct resize_isa {
    const x86_isa *lanes;
    const x86_resize *resize;
} resize_isa;

static int64_t extent(const evla_type *t, int32_t from_end)
{
    return t->shape[t->rank - from_end];
}

static void axes(const evla_node *n, windows *down, windows *across)
{
    *down = windows_of(n->params, extent(&n->in[0], 3), extent(&n->out[0], 3));
    *across = windows_of(n->params, extent(&n->in[0], 2), extent(&n->out[0], 2));
}

static int64_t bands(const windows *down) { return (down->out + BAND - 1) / BAND; }

/* Rows [*from, *to) of a band; it reads so many, from *first on. */
static int64_t band(const windows *down, int64_t at, int64_t *from, int64_t *to,
                    int64_t *first)
{
    int64_t last;
    *from = at * down->out / bands(down);
    *to = (at + 1) * down->out / bands(down);
    windows_at(down, *from, first);
    int64_t n = windows_at(down, *to - 1, &last);
    return last + n - *first;
}

static int64_t bytes_of(const evla_node *n) { return n->in[0].dtype == EVLA_U8 ? 1 : 4; }

/* Bytes of a row between the passes, and of a copied row of x. */
static int64_t row_bytes(const evla_node *n, int64_t width)
{
    return (width * extent(&n->in[0], 1) * bytes_of(n) + RESIZE_SPARE + 63) / 64 * 64;
}

static int32_t accepts(const evla_host *h, const resize_isa *isa, const evla_machine *m,
                       const evla_node *n, evla_offer *offer)
{
    (void)h;
    int64_t c = extent(&n->in[0], 1);
    if (n->n_tail || !node_has(m, isa->lanes->feature) || c < 1 || c > RESIZE_CHANNELS)
        return EVLA_E_MISSING;
    *offer = (evla_offer){.score = isa->lanes->score, .alias_in = -1};
    offer->numerics = n->in[0].dtype == EVLA_U8 ? "u8.point22" : "f32.windows";
    return EVLA_OK;
}

static int32_t plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                    evla_work *work)
{
    (void)h, (void)m;
    windows down, across;
    int64_t most = 0, from, to, first;
    axes(n, &down, &across);
    for (int64_t i = 0; i < bands(&down); i++) {
        int64_t rows = band(&down, i, &from, &to, &first);
        if (rows > most) most = rows;
    }
    work->n_phases = 1;
    work->tiles[0] = node_span(n->in[0].shape, 0, n->in[0].rank - 3) * bands(&down);
    work->worker_bytes =
        (uint64_t)(most * row_bytes(n, across.out) + RESIZE_ROWS * row_bytes(n, across.in));
    work->blob_bytes = (uint64_t)(windows_bytes(&down) + windows_bytes(&across));
    return EVLA_OK;
}

static int32_t prepare(const evla_host *h, const evla_node *n, void *blob)
{
    windows down, across;
    int is_whole = n->in[0].dtype == EVLA_U8;
    axes(n, &down, &across);
    int32_t st = windows_fill(h, &down, is_whole, blob);
    return st < 0 ? st
                  : windows_fill(h, &across, is_whole, (char *)blob + windows_bytes(&down));
}

/* Up to four rows through the first pass; what is missing of four is the last one again. */
static void four_rows(const x86_resize *isa, const evla_args *a, const windows *across,
                      int64_t row, int64_t rows, char *to, char *copies)
{
    const evla_node *n = a->node;
    int64_t c = extent(&n->in[0], 1), bytes = across->in * c * bytes_of(n);
    int64_t wide = row_bytes(n, across->in), step = row_bytes(n, across->out);
    int64_t after = node_count(&n->in[0]) * bytes_of(n) - (row + rows) * bytes;
    const void *x[RESIZE_ROWS];
    void *y[RESIZE_ROWS];
    for (int64_t r = 0; r < RESIZE_ROWS; r++) {
        int64_t i = r < rows ? r : rows - 1;
        x[r] = (const char *)a->in[0].data[0] + (row + i) * bytes;
        y[r] = to + i * step;
        if (after >= RESIZE_SPARE) continue;
        /* behind the last rows of x nothing may be read */
        char *copy = copies + i * wide;
        memset(copy + bytes, 0, (size_t)(wide - bytes));
        x[r] = memcpy(copy, x[r], (size_t)bytes);
    }
    (n->in[0].dtype == EVLA_U8 ? isa->across_u8 : isa->across_f32)(across, c, x, y);
}

static int32_t run(const evla_host *h, const resize_isa *isa, const evla_args *a,
                   int32_t phase, int64_t tile)
{
    (void)h, (void)phase;
    const evla_node *n = a->node;
    const windows *down = a->blob;
    const windows *across = (const void *)((const char *)a->blob + windows_bytes(down));
    int64_t from, to, first, step = row_bytes(n, across->out);
    int64_t image = tile / bands(down), row = across->out * extent(&n->in[0], 1);
    int64_t rows = band(down, tile % bands(down), &from, &to, &first);
    char *between = (char *)a->scratch + RESIZE_ROWS * row_bytes(n, across->in);
    for (int64_t r = 0; r < rows; r += RESIZE_ROWS)
        four_rows(isa->resize, a, across, image * down->in + first + r,
                  rows - r < RESIZE_ROWS ? rows - r : RESIZE_ROWS, between + r * step,
                  a->scratch);
    for (int64_t i = from; i < to; i++) {
        const int32_t *w = windows_weights(down) + i * down->most;
        const char *x = between + (windows_starts(down)[i] - first) * step;
        char *y = (char *)a->out[0].data[0] + (image * down->out + i) * row * bytes_of(n);
        (n->in[0].dtype == EVLA_U8 ? isa->resize->down_u8 : isa->resize->down_f32)(
            x, step, w, windows_counts(down)[i], row, y);
    }
    return EVLA_OK;
}

/* ---- tables ---- */

static const resize_isa isa_avx2 = {&x86_avx2, &x86_resize_avx2};
static const resize_isa isa_avx512 = {&x86_avx512, &x86_resize_avx512};

#define KERNEL(id)                                                                         \
    NODE_ACCEPTS(accepts, id, &isa_##id)                                                   \
    NODE_RUN(run, id, &isa_##id)                                                           \
    const evla_kernel resize_##id = {.size = sizeof(evla_kernel),                          \
                                     .op = "resize",                                       \
                                     .accepts = accepts_##id,                              \
                                     .plan = plan,                                         \
                                     .prepare = prepare,                                   \
                                     .run = run_##id};
KERNEL(avx2)
KERNEL(avx512)
