/*
 * rewrite.c -- rewrites of a bound graph that leave its meaning alone. See rewrite.h.
 */
#include "rewrite.h"
#include "../near.h"
#include "../registry.h"
#include "coded.h"
#include "order.h"
#include <string.h>

static const char *const rewrite_names[] = {"fold", "coded", "dead", "fuse", "recompute"};

int32_t rewrite_check_names(ctx *cx, const char *without)
{
    enum { N = sizeof rewrite_names / sizeof *rewrite_names };
    char word[40];
    while (without && *without) {
        size_t n = strcspn(without, " ,|\t");
        int known = n == 0;
        for (int i = 0; i < N; i++)
            if (strlen(rewrite_names[i]) == n && !memcmp(rewrite_names[i], without, n))
                known = 1;
        if (!known) {
            size_t k = n < sizeof word - 1 ? n : sizeof word - 1;
            memcpy(word, without, k);
            word[k] = 0;
            const char *near = near_miss(word, rewrite_names, N);
            return ctx_fail(cx, EVLA_E_ARG,
                            "no rewrite is called \"%s\"; want some of fold, coded, dead, "
                            "fuse, recompute%s%s%s",
                            word, near ? "; did you mean \"" : "", near ? near : "",
                            near ? "\"?" : "");
        }
        without += n + (without[n] != 0);
    }
    return 0;
}

/* ---- dead ---- */

static int32_t remove_dead(ctx *cx, bound *b)
{
    arena_place mark = arena_mark(&cx->scratch);
    unsigned char *needed = arena_push(&cx->scratch, (size_t)b->n_wires + 1, 1);
    if (!needed) return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: dead nodes", b->from->name);
    for (int32_t i = 0; i < b->n_outputs; i++)
        needed[b->outputs[i].wire] = 1;
    for (int32_t i = b->n_nodes - 1; i >= 0; i--) {
        bound_node *n = &b->nodes[i];
        if (n->is_gone) continue;
        int keep = op_of(n->op)->effect != EVLA_PURE;
        for (int32_t k = 0; k < n->n_out; k++)
            keep |= needed[n->out[k]];
        if (!keep) {
            n->is_gone = 1;
            b->n_dead++;
        }
        for (int32_t k = 0; keep && k < n->n_in; k++)
            if (n->in[k] >= 0) needed[n->in[k]] = 1;
    }
    arena_reset(&cx->scratch, mark);
    return 0;
}

/* ---- fuse ---- */

typedef struct use {
    int32_t node, port, n; /* the last user found, and how many there are */
} use;

/* The anchor with what has been folded onto it so far. */
typedef struct fusing {
    bound_node node;
    evla_tail tail[EVLA_MAX_PORTS];
    int32_t body[EVLA_MAX_PORTS + 1]; /* indices of nodes, anchor first */
    pick best;
} fusing;

static int any_tail(const registry *reg, const char *op)
{
    int32_t n;
    const evla_item *const *items = registry_kind(reg, EVLA_KERNEL, &n);
    for (int32_t i = 0; i < n; i++) {
        const evla_kernel *k = items[i]->table;
        if (k->max_tail > 0 && k->tail_ops && !strcmp(k->op, op)) return 1;
    }
    return 0;
}

static int is_pointwise(const bound_node *n)
{
    const evla_op *op = op_of(n->op);
    return op->elementwise && op->effect == EVLA_PURE && n->n_out == 1 && n->n_tail == 0 &&
           n->n_in >= 1 && n->n_in <= 2;
}

/* Appends node c, which reads the running value at `port`. 0 when the form does not allow
 * it. */
static int append(const bound *b, fusing *f, int32_t c, int32_t port)
{
    const bound_node *n = &b->nodes[c];
    int32_t running = f->node.out[0], other = -1, t = f->node.n_tail;
    if (!is_pointwise(n) || t == EVLA_MAX_PORTS ||
        !type_equal(&b->wires[n->out[0]].type, &b->wires[running].type))
        return 0;
    if (n->n_in == 2 && n->in[1 - port] >= 0) {
        if (f->node.n_in == EVLA_MAX_PORTS) return 0;
        other = f->node.n_in;
        f->node.in[f->node.n_in++] = n->in[1 - port];
    } else if (port != 0)
        return 0;
    f->tail[t] = (evla_tail){.op = n->op->name,
                             .params = n->params,
                             .other = other,
                             .is_rhs = other >= 0 && port == 1};
    f->body[t + 1] = c;
    f->node.n_tail = t + 1;
    f->node.tail = f->tail;
    f->node.out[0] = n->out[0];
    return 1;
}

/* 1: the best kernel for the longer node is as good and rounds alike. */
static int32_t is_better(ctx *cx, const plan_options *o, const bound *b, fusing *f)
{
    evla_node seen;
    pick k = {0};
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = infer_node(cx, &cx->scratch, b, &f->node, &seen);
    if (st >= 0) st = choose_kernel(cx, o, &seen, 1, &k);
    if (st >= 0) {
        st = k.offer.score >= f->best.offer.score &&
             ((o && o->bits_free) || !strcmp(k.offer.numerics, f->best.offer.numerics));
        if (st == 1) f->best = k;
    } else if (st == EVLA_E_MISSING)
        st = 0;
    arena_reset(&cx->scratch, mark);
    return st;
}

/* With effects about, moving a node that reads a state behind others may contradict them:
 * the state could be written in between. One that reads none may go where its inputs are:
 * only the chain itself uses what its parts make, so nothing that waits for them is waited
 * for. */
static int can_order(ctx *cx, const bound *b, const fusing *f)
{
    int reads_state = 0;
    for (int32_t k = 0; k < f->node.n_in; k++)
        reads_state |= f->node.in[k] >= 0 && b->wires[f->node.in[k]].kind == WIRE_STATE;
    if (!reads_state) return 1;
    arena_place mark = arena_mark(&cx->scratch);
    const bound_node **list =
        arena_push(&cx->scratch, (size_t)b->n_nodes + 1, sizeof *list);
    int32_t *out = arena_push(&cx->scratch, (size_t)b->n_nodes + 1, sizeof *out), n = 0;
    int effects = 0, good = list && out;
    for (int32_t i = 0; good && i < b->n_nodes; i++) {
        int inside = 0;
        for (int32_t k = 0; k <= f->node.n_tail; k++)
            inside |= f->body[k] == i;
        if (i == f->body[f->node.n_tail])
            list[n++] = &f->node;
        else if (!inside && !b->nodes[i].is_gone)
            list[n++] = &b->nodes[i];
        effects |= !b->nodes[i].is_gone && op_of(b->nodes[i].op)->effect != EVLA_PURE;
    }
    if (good && effects) good = order_nodes(cx, b, list, n, ORDER_DECLARED, 1, out) >= 0;
    arena_reset(&cx->scratch, mark);
    return good;
}

static int32_t commit(ctx *cx, arena *a, bound *b, const fusing *f)
{
    int32_t n = f->node.n_tail;
    evla_tail *tail = arena_push(a, (size_t)n, sizeof *tail);
    bound_node *body = arena_push(a, (size_t)n + 1, sizeof *body);
    if (!tail || !body) return ctx_fail(cx, EVLA_E_NOMEM, "%s: fusing", f->node.label);
    memcpy(tail, f->tail, (size_t)n * sizeof *tail);
    for (int32_t i = 0; i <= n; i++) {
        body[i] = b->nodes[f->body[i]];
        b->nodes[f->body[i]].is_gone = 1;
    }
    bound_node *to = &b->nodes[f->body[n]];
    *to = f->node;
    to->is_gone = 0;
    to->tail = tail;
    to->body = body;
    to->n_body = n + 1;
    b->wires[to->out[0]].node = f->body[n];
    b->wires[to->out[0]].port = 0;
    b->n_fused += n;
    return 0;
}

static int32_t fuse_from(ctx *cx, arena *a, const plan_options *o, bound *b,
                         const use *uses, int32_t anchor)
{
    fusing f = {.node = b->nodes[anchor], .body = {anchor}};
    const bound_node *n = &b->nodes[anchor];
    if (n->is_gone || n->n_out != 1 || n->n_tail || op_of(n->op)->effect != EVLA_PURE ||
        !any_tail(cx->reg, n->op->name))
        return 0;
    int32_t st = is_better(cx,
                           &(plan_options){.machine = o ? o->machine : NULL,
                                           .n_workers = o ? o->n_workers : 0,
                                           .kernels = o ? o->kernels : NULL,
                                           .bits_free = 1},
                           b, &f); /* finds the kernel of the anchor alone */
    if (st <= 0) return st;
    for (;;) {
        fusing longer = f;
        const use *u = &uses[f.node.out[0]];
        if (u->n != 1 || u->node < 0 || b->nodes[u->node].is_gone) break;
        if (!append(b, &longer, u->node, u->port)) break;
        if ((st = is_better(cx, o, b, &longer)) < 0) return st;
        if (st == 0 || !can_order(cx, b, &longer)) break;
        f = longer;
        f.node.tail = f.tail;
    }
    return f.node.n_tail ? commit(cx, a, b, &f) : 0;
}

static int32_t fuse(ctx *cx, arena *a, const plan_options *o, bound *b)
{
    arena_place mark = arena_mark(&cx->scratch);
    use *uses = arena_push(&cx->scratch, (size_t)b->n_wires + 1, sizeof *uses);
    int32_t st = 0;
    if (!uses) return ctx_fail(cx, EVLA_E_NOMEM, "graph %s: fusing", b->from->name);
    for (int32_t i = 0; i < b->n_nodes; i++)
        for (int32_t k = 0; !b->nodes[i].is_gone && k < b->nodes[i].n_in; k++)
            if (b->nodes[i].in[k] >= 0) {
                use *u = &uses[b->nodes[i].in[k]];
                *u = (use){i, k, u->n + 1};
            }
    for (int32_t i = 0; i < b->n_outputs; i++)
        uses[b->outputs[i].wire] = (use){-1, -1, 2};
    for (int32_t i = 0; st >= 0 && i < b->n_nodes; i++)
        st = fuse_from(cx, a, o, b, uses, i);
    arena_reset(&cx->scratch, mark);
    return st;
}

int32_t rewrite_apply(ctx *cx, arena *a, const plan_options *o, bound *b)
{
    const char *without = o ? o->without : NULL;
    int32_t st = rewrite_check_names(cx, without);
    if (st >= 0 && !list_has(without, "coded")) st = coded_apply(cx, a, o, b);
    if (st >= 0 && !list_has(without, "dead")) st = remove_dead(cx, b);
    if (st >= 0 && !list_has(without, "fuse")) st = fuse(cx, a, o, b);
    return st;
}
