/*
 * node.c -- what kernels ask about a node. See node.h.
 */
#include "node.h"
#include <string.h>

int64_t node_span(const int64_t *shape, int32_t from, int32_t to)
{
    int64_t n = 1;
    for (int32_t i = from; i < to; i++)
        n *= shape[i];
    return n;
}

int64_t node_count(const evla_type *t) { return node_span(t->shape, 0, t->rank); }

int64_t node_last(const evla_type *t) { return t->rank ? t->shape[t->rank - 1] : 1; }

int64_t node_rows(const evla_type *t)
{
    return t->rank ? node_span(t->shape, 0, t->rank - 1) : 1;
}

int node_present(const evla_node *n, int32_t i)
{
    return i < n->n_in && (n->in[i].rank >= 0 || n->in[i].dtype != EVLA_NONE);
}

int node_all_f32(const evla_node *n)
{
    for (int32_t i = 0; i < n->n_in; i++)
        if (node_present(n, i) && n->in[i].dtype != EVLA_F32) return 0;
    for (int32_t i = 0; i < n->n_out; i++)
        if (n->out[i].dtype != EVLA_F32) return 0;
    return 1;
}

int node_meets(const evla_type *t, const evla_type *out)
{
    if (t->rank < 0 || t->rank > out->rank) return 0;
    for (int32_t i = 0; i < t->rank; i++) {
        int64_t e = t->shape[i];
        if (e != 1 && e != out->shape[i + out->rank - t->rank]) return 0;
    }
    return 1;
}

int64_t node_offset(const evla_type *t, const evla_type *out, int32_t inner, int64_t index)
{
    int64_t at = 0, step = 1;
    for (int32_t i = out->rank - 1; i >= 0; i--) {
        int32_t axis = i - (out->rank - t->rank);
        int64_t place = 0;
        if (i < out->rank - inner) {
            place = index % out->shape[i];
            index /= out->shape[i];
        }
        if (axis < 0) break;
        if (t->shape[axis] != 1) at += place * step;
        step *= t->shape[axis];
    }
    return at;
}

int node_has(const evla_machine *m, const char *feature)
{
    size_t n = strlen(feature);
    for (const char *s = m && m->features ? m->features : ""; *s;) {
        size_t k = strcspn(s, " ");
        if (k == n && !memcmp(s, feature, n)) return 1;
        s += k;
        s += strspn(s, " ");
    }
    return 0;
}

int node_takes_tails(const x86_isa *isa, const evla_node *n)
{
    isa = node_base(isa);
    if (n->n_tail > NODE_TAIL_MAX) return 0;
    for (int32_t i = 0; i < n->n_tail; i++) {
        const evla_tail *t = &n->tail[i];
        if (t->other < 0 ? !isa->unary(t->op) : !isa->binary(t->op)) return 0;
        if (t->other >= 0 && (t->other >= n->n_in || n->in[t->other].dtype != EVLA_F32 ||
                              !node_meets(&n->in[t->other], &n->out[0])))
            return 0;
    }
    return 1;
}

int node_is_operand(const evla_node *n, int32_t i)
{
    for (int32_t k = 0; k < n->n_tail; k++)
        if (n->tail[k].other == i) return 1;
    return 0;
}

/* A tail's function is found by name: once for a tile, not for each of its rows. */
typedef struct tail_at {
    x86_unary *unary;
    x86_binary *binary;
    const evla_type *type; /* of the second operand */
} tail_at;

static void apply(const evla_args *a, const tail_at *at, int64_t row, int64_t col, float *y,
                  int64_t n)
{
    const evla_node *node = a->node;
    for (int32_t i = 0; i < node->n_tail; i++) {
        const evla_tail *t = &node->tail[i];
        if (t->other < 0) {
            at[i].unary(t->params, y, y, n);
            continue;
        }
        int64_t step = node_last(at[i].type) != 1;
        const float *other = (const float *)a->in[t->other].data[0] +
                             node_offset(at[i].type, &node->out[0], 1, row) + col * step;
        if (t->is_rhs)
            at[i].binary(other, step, y, 1, y, n);
        else
            at[i].binary(y, 1, other, step, y, n);
    }
}

const x86_isa *node_base(const x86_isa *isa) { return isa->base ? isa->base : isa; }

void node_finish(const x86_isa *isa, const evla_args *a, int32_t bias, int64_t r0,
                 int64_t r1, int64_t c0, int64_t c1)
{
    const evla_node *n = a->node;
    int64_t width = node_last(&n->out[0]);
    const float *b = bias >= 0 && node_present(n, bias) && !node_is_operand(n, bias)
                         ? a->in[bias].data[0]
                         : NULL;
    if (!b && !n->n_tail) return;
    isa = node_base(isa);
    x86_binary *add = isa->binary("add");
    tail_at at[NODE_TAIL_MAX];
    for (int32_t i = 0; i < n->n_tail; i++) {
        const evla_tail *t = &n->tail[i];
        if (t->other < 0)
            at[i].unary = isa->unary(t->op);
        else
            at[i] = (tail_at){.binary = isa->binary(t->op), .type = &n->in[t->other]};
    }
    for (int64_t r = r0; r < r1; r++) {
        float *y = (float *)a->out[0].data[0] + r * width + c0;
        if (b) add(y, 1, b + c0, 1, y, c1 - c0);
        apply(a, at, r, c0, y, c1 - c0);
    }
}
