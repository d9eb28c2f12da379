/*
 * template.c -- a plugin to copy: one operator, l2norm, and a kernel that computes it.
 *
 * `evla new plugin NAME --kind op` copies this folder and puts NAME in place of `template`
 * and `l2norm`. Then change three things: what infer demands, what run computes, and the
 * parameters. The contract is evla/abi.h; docs/write-a-plugin.md walks through it. Not
 * here: anything that runs when the plugin is loaded. There is no such place.
 */
#include "evla/abi.h"
#include <math.h>
#include <stdio.h>

/* What a user may set, as in g.l2norm { x, eps = 1e-6 }. The table at the end tells the
 * core how to check it and where it goes; a graph that says `esp = 1` is refused with a
 * suggestion. */
typedef struct l2norm_params {
    double eps; /* added to the length, so that a row of zeros stays zeros */
} l2norm_params;

/* How many rows one tile computes. A constant: tiles may depend on shapes, never on the
 * number of threads, or results would differ between machines. */
enum { TILE_ROWS = 64 };

/* ---- the operator: what it means ---- */

/* A failure is one sentence that names the node, what was found and what was wanted. */
static int32_t refuse(const evla_host *h, int32_t code, const evla_node *n, const char *why)
{
    char sentence[256];
    snprintf(sentence, sizeof sentence, "%s: l2norm: %s", n->label, why);
    return h->fail(h, code, sentence);
}

/* Types of the inputs in, types of the outputs out. Called while a graph is checked, long
 * before there is data; whatever cannot work is refused here. */
static int32_t l2norm_infer(const evla_host *h, const evla_node *n, evla_type *in,
                            evla_type *out)
{
    char why[96];
    if (in[0].dtype != EVLA_F32) return refuse(h, EVLA_E_DTYPE, n, "x must be f32");
    if (in[0].rank < 1) {
        snprintf(why, sizeof why, "x has rank %d; want [...,D]", in[0].rank);
        return refuse(h, EVLA_E_SHAPE, n, why);
    }
    out[0] = in[0];
    return EVLA_OK;
}

static const evla_op l2norm = {
    .size = sizeof l2norm,
    .effect = EVLA_PURE, /* same inputs, same outputs */
    .inputs = "x",       /* "x w b?" would be three, of which b may be absent */
    .outputs = "y",
    .source = "y = x / (|x| + eps), |x| the Euclidean length of a row; no paper",
    .infer = l2norm_infer,
};

/* ---- the kernel: how it is computed ---- */

static int64_t row_length(const evla_node *n) { return n->in[0].shape[n->in[0].rank - 1]; }

static int64_t row_count(const evla_node *n)
{
    int64_t rows = 1;
    for (int32_t i = 0; i < n->in[0].rank - 1; i++)
        rows *= n->in[0].shape[i];
    return rows;
}

/* Can it compute this node on this machine? Of all kernels that can, the highest score
 * wins; portable ones answer 1. */
static int32_t l2norm_accepts(const evla_host *h, const evla_machine *m, const evla_node *n,
                              evla_offer *offer)
{
    (void)h, (void)m;
    if (n->n_tail || n->in[0].dtype != EVLA_F32) return EVLA_E_MISSING;
    offer->score = 1;
    offer->alias_in = 0; /* y may overwrite x: a row is read before it is written */
    offer->numerics =
        "f64.ascending"; /* names the order of the sum; same name, same bits */
    return EVLA_OK;
}

/* How is the work cut? Tiles of one phase run at the same time, on any thread, in any
 * order. */
static int32_t l2norm_plan(const evla_host *h, const evla_machine *m, const evla_node *n,
                           evla_work *work)
{
    (void)h, (void)m;
    work->n_phases = 1;
    work->tiles[0] = (row_count(n) + TILE_ROWS - 1) / TILE_ROWS;
    return EVLA_OK;
}

/* One tile. No allocation, lock or system call here: this runs in a control loop. Memory
 * for intermediate results is asked for in plan (worker_bytes) and arrives as a->scratch.
 */
static int32_t l2norm_run(const evla_host *h, const evla_args *a, int32_t phase,
                          int64_t tile)
{
    (void)h, (void)phase;
    const l2norm_params *p = a->node->params;
    int64_t d = row_length(a->node), first = tile * TILE_ROWS, end = first + TILE_ROWS;
    if (end > row_count(a->node)) end = row_count(a->node);
    for (int64_t r = first; r < end; r++) {
        const float *x =
            (const float *)a->in[0].data[0] + r * d; /* inputs are dense rows */
        float *y = (float *)a->out[0].data[0] + r * d;
        double sum = 0;
        for (int64_t i = 0; i < d; i++)
            sum += (double)x[i] * (double)x[i];
        double length = sqrt(sum) + p->eps;
        for (int64_t i = 0; i < d; i++)
            y[i] = (float)((double)x[i] / length);
    }
    return EVLA_OK;
}

static const evla_kernel l2norm_portable = {
    .size = sizeof l2norm_portable,
    .op = "l2norm",
    .accepts = l2norm_accepts,
    .plan = l2norm_plan,
    .run = l2norm_run,
};

/* ---- the table: everything the plugin offers ---- */

static const evla_param l2norm_table[] = {
    {.name = "eps",
     .doc = "added to the length of a row",
     .preset = "1e-12",
     .max = 1e300, /* with min left at 0: at least 0 */
     .type = EVLA_P_FLOAT,
     .offset = offsetof(l2norm_params, eps)},
};

static const evla_item items[] = {
    {.kind = EVLA_OP,
     .name = "l2norm",
     .table = &l2norm,
     .doc = "rows scaled to length 1",
     .params = l2norm_table,
     .n_params = sizeof l2norm_table / sizeof *l2norm_table,
     .params_size = sizeof(l2norm_params)},
    {.kind = EVLA_KERNEL, .name = "l2norm.portable", .table = &l2norm_portable},
};

static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.template", /* the file is template.so */
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof *items,
};

/* The one symbol that is visible outside. */
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
