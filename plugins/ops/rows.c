/*
 * rows.c -- rows of a tensor as f32, however they lie.
 */
#include "rows.h"

static const evla_layout *layout_of(const evla_node *n, int32_t i)
{
    return n->layout ? n->layout[i] : NULL;
}

int32_t rows_infer(const evla_host *h, const evla_node *n, const evla_type *in, int32_t i,
                   const char *name)
{
    if (in[i].dtype < EVLA_DTYPE_FIRST ||
        h->dtype_bytes(h, in[i].dtype, types_last(&in[i])) >= 0)
        return EVLA_OK;
    const evla_dtype *format = h->dtype_table(h, in[i].dtype);
    return types_fail(h, EVLA_E_SHAPE,
                      "%s: %s: %s is %s; rows of %s want whole blocks of %d numbers",
                      n->label, n->op, name, TEXT(h, &in[i]), h->dtype_name(h, in[i].dtype),
                      format ? format->block_elements : 1);
}

int rows_accepts(const evla_host *h, const evla_node *n, int32_t i)
{
    if (layout_of(n, i) || n->in[i].dtype == EVLA_F32) return 1;
    return n->in[i].dtype >= EVLA_DTYPE_FIRST && h->dtype_table(h, n->in[i].dtype);
}

const evla_layout *rows_layout(const evla_host *h, const evla_machine *m,
                               const evla_node *n, int32_t i)
{
    return (void)h, (void)m, (void)n, (void)i, NULL;
}

rows_source rows_of(const evla_host *h, const evla_node *n, int32_t i)
{
    const evla_type *t = &n->in[i];
    rows_source r = {.layout = layout_of(n, i), .width = types_last(t)};
    if (!r.layout && t->dtype >= EVLA_DTYPE_FIRST) r.format = h->dtype_table(h, t->dtype);
    if (!r.layout) r.bytes = h->dtype_bytes(h, t->dtype, r.width);
    return r;
}

int64_t rows_room(const evla_host *h, const evla_node *n, int32_t i, int64_t numbers)
{
    rows_source r = rows_of(h, n, i);
    if (r.layout) return numbers;
    return r.format ? numbers + 2 * (int64_t)r.format->block_elements : 0;
}

int32_t rows_read(const evla_host *h, const rows_source *r, const evla_args *a, int32_t i,
                  int64_t row, int64_t from, int64_t n, float *room, const float **out)
{
    *out = room;
    if (r->layout) {
        r->layout->row(&a->node->in[i], a->in[i].data[0], row, room);
        return EVLA_OK;
    }
    const char *at = (const char *)a->in[i].data[0] + row * r->bytes;
    if (!r->format) {
        *out = (const float *)(const void *)at + from;
        return EVLA_OK;
    }
    int64_t block = r->format->block_elements, first = from / block;
    int64_t end = types_ceil(from + n, block) * block;
    if (end > r->width) end = r->width; /* a row may end inside its last block */
    *out = room + from % block;
    return r->format->decode(h, at + first * r->format->block_bytes, end - first * block,
                             room);
}
