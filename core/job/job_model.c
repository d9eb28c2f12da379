/*
 * job_model.c -- the job type "model": graphs that a model file declared, with first
 * weights, as one .evla file.
 *
 * First weights depend on the seed and the weight's name alone, so they are the same bits
 * on every machine and do not change when another weight is added (graph/model.h). Without
 * an init of its own a weight of rank 2 or more is uniform within 1/sqrt(last extent)
 * (LeCun et al. 1998, section 4.6, with the fan-in last); of lower rank it starts as ones
 * when its name ends in ".w", the gain of a norm, else as zeros.
 */
#include "../graph/infer.h"
#include "../graph/save.h"
#include "../graph/weights.h"
#include "types.h"
#include <string.h>
#include <sys/stat.h>

typedef struct model_params {
    const char *file, *options, *weights;
    evla_list symbols; /* job_symbol */
    int64_t seed;
    int32_t others; /* index */
} model_params;

// clang-format off
const evla_param job_symbol_fields[2] = {
    {.name = "name", .doc = "of the symbol", .type = EVLA_P_STRING,
     .offset = offsetof(job_symbol, name)},
    {.name = "extent", .doc = "what it stands for", .type = EVLA_P_INT, .max = 1e12,
     .offset = offsetof(job_symbol, extent)},
};

static const evla_param params[] = {
    {.name = "file", .doc = "the model file, as messages show it", .type = EVLA_P_STRING,
     .offset = offsetof(model_params, file)},
    {.name = "options", .doc = "what the model file got, as JSON; scripts write it beside these",
     .type = EVLA_P_STRING, .preset = "{}", .offset = offsetof(model_params, options)},
    {.name = "seed", .doc = "of the first weights", .type = EVLA_P_INT, .preset = "1",
     .offset = offsetof(model_params, seed)},
    {.name = "symbols", .doc = "extents to check the graphs with, { B = 32 }; others: the smallest",
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = job_symbol_fields, .n_fields = 2,
     .fields_size = sizeof(job_symbol), .offset = offsetof(model_params, symbols)},
    {.name = "weights", .doc = "a file whose tensors are taken by name instead of new weights: a "
     "saved model, or of any format that is loaded; f32 also takes f16 and the like",
     .type = EVLA_P_PATH, .flags = EVLA_PF_OPTIONAL | EVLA_PF_INPUT,
     .offset = offsetof(model_params, weights)},
    {.name = "others", .doc = "what tensors in that file are whose name no weight has: a mistake, "
     "or left out", .type = EVLA_P_ENUM, .choices = "refuse|leave", .preset = "refuse",
     .offset = offsetof(model_params, others)},
};
// clang-format on

/* What the host left for check and run. */
typedef struct model_work {
    model *m;
    int failed;
} model_work;

void job_model_give(job *j, model *m)
{
    model_work *w = arena_push(&j->in->cx->mem, 1, sizeof *w);
    if (w) w->m = m;
    j->checked = w; /* NULL: check will say so */
}

model *job_model_graphs(const job *j)
{
    j = job_train_root(j);
    int has = j && (j->type == &job_model || j->type == &job_checkpoint);
    const model_work *w = has ? j->checked : NULL;
    return w ? w->m : NULL;
}

int job_model_failed(const job *j)
{
    j = job_train_root(j);
    const model_work *w = j && j->type == &job_model ? j->checked : NULL;
    return w && w->failed;
}

int job_model_is_given(const job *j)
{
    const model_params *own = j->type == &job_model ? j->params : NULL;
    return own && own->weights;
}

const model *job_model_behind(const evla_value *v)
{
    const job *j = job_of(v);
    for (int32_t depth = 0; j && depth < 64; depth++, j = job_given(j, "model"))
        if (job_model_graphs(j)) return job_model_failed(j) ? NULL : job_model_graphs(j);
    return NULL;
}

/* ---- symbols ---- */

static int has_symbol(const graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n_symbols; i++)
        if (!strcmp(g->symbols[i].name, name)) return 1;
    return 0;
}

int32_t job_model_symbols(ctx *cx, const job *j, const graph *g, const evla_list *given,
                          int preset, symbols *out)
{
    j = job_train_root(j);
    const model_params *own = j && j->type == &job_model ? j->params : NULL;
    const evla_list *lists[] = {given, own ? &own->symbols : NULL};
    *out = (symbols){0};
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; lists[k] && i < lists[k]->n; i++) {
            const job_symbol *s = (const job_symbol *)lists[k]->items + i;
            if (symbols_get(out, s->name, strlen(s->name))) continue;
            if (k && !has_symbol(g, s->name)) continue; /* of another graph */
            if (out->n == TENSOR_MAX_SYMBOLS)
                return ctx_fail(cx, EVLA_E_LIMIT, "graph %s: more than %d symbols", g->name,
                                TENSOR_MAX_SYMBOLS);
            out->name[out->n] = s->name;
            out->extent[out->n++] = s->extent;
        }
    for (int32_t i = 0; preset && i < g->n_symbols && out->n < TENSOR_MAX_SYMBOLS; i++) {
        const symbol_info *s = &g->symbols[i];
        if (symbols_get(out, s->name, strlen(s->name))) continue;
        out->name[out->n] = s->name;
        out->extent[out->n++] = s->n_bucket ? s->bucket[0] : 1;
    }
    return 0;
}

/* A symbol that no graph has is a slip of the pen. */
static int32_t check_symbols(ctx *cx, const job *j, const model *m)
{
    const model_params *given = j->params;
    for (int64_t i = 0; i < given->symbols.n; i++) {
        const char *name = ((const job_symbol *)given->symbols.items)[i].name;
        int found = 0;
        for (int32_t k = 0; k < m->n_graphs; k++)
            found |= has_symbol(m->graphs[k], name);
        if (!found)
            return ctx_fail(cx, EVLA_E_MISSING,
                            "model \"%s\": symbols: no graph of %s has a symbol %.40s",
                            j->name, given->file, name);
    }
    return 0;
}

/* ---- weights ---- */

/* Every weight has a type and a first value that can be read. */
static int32_t check_weights(ctx *cx, const model *m)
{
    const evla_type one = {.dtype = EVLA_F32};
    for (int32_t i = 0; i < m->n_weights; i++) {
        weight_info *w = &m->weights[i];
        size_t n = strlen(w->name);
        float probe;
        if (w->type.rank < 0)
            return ctx_fail(cx, EVLA_E_SHAPE,
                            "%s%sweight %s: no node uses it and it has no type",
                            w->where ? w->where : "", w->where ? ": " : "", w->name);
        if (!w->init && w->type.rank == 1 && n > 2 && !strcmp(w->name + n - 2, ".w"))
            w->init = "ones";
        int32_t st = model_fill_one(cx, w->name, w->init, &one, 1, &probe);
        if (st < 0) {
            ctx_prefix(cx, "%s%sweight", w->where ? w->where : "", w->where ? ": " : "");
            return st;
        }
    }
    return 0;
}

/* ---- the job ---- */

static int32_t check_graphs(ctx *cx, const job *j, model *m)
{
    const model_params *given = j->params;
    int32_t st = check_symbols(cx, j, m);
    for (int32_t i = 0; st >= 0 && i < m->n_graphs; i++) {
        arena mem = arena_growing(64 << 10);
        symbols s;
        bound *b;
        st = job_model_symbols(cx, j, m->graphs[i], NULL, 1, &s);
        if (st >= 0) st = infer_bind(cx, &mem, m->graphs[i], &s, NULL, &b);
        arena_free(&mem);
    }
    if (st >= 0) st = check_weights(cx, m);
    if (st >= 0 && given->weights)
        st = weights_take(cx, m, given->weights, given->others, 1);
    return st;
}

static int32_t model_check(ctx *cx, job *j)
{
    model_work *w = j->checked;
    if (!w)
        return ctx_fail(
            cx, EVLA_E_ARG,
            "model \"%s\": it has no graphs; a script declares them with evla.model",
            j->name);
    j->result.path = arena_text(&cx->mem, "%s/%s.evla", j->folder, j->name);
    int32_t st = j->result.path ? check_graphs(cx, j, w->m)
                                : ctx_fail(cx, EVLA_E_NOMEM, "model %s", j->name);
    w->failed = st < 0;
    return st;
}

static int32_t add_figures(job *j, const model *m)
{
    int64_t numbers = 0, bytes = 0, nodes = 0;
    struct stat file;
    for (int32_t i = 0; i < m->n_weights; i++) {
        numbers += type_count(&m->weights[i].type);
        bytes += type_bytes(j->in->cx->reg, &m->weights[i].type);
    }
    for (int32_t i = 0; i < m->n_graphs; i++)
        nodes += m->graphs[i]->n_nodes;
    int32_t st = job_figure(j, "parameters", value_int(numbers));
    if (st >= 0) st = job_figure(j, "weights", value_int(m->n_weights));
    if (st >= 0) st = job_figure(j, "weight_bytes", value_int(bytes));
    if (st >= 0) st = job_figure(j, "graphs", value_int(m->n_graphs));
    if (st >= 0) st = job_figure(j, "nodes", value_int(nodes));
    if (st >= 0 && stat(j->result.path, &file) == 0)
        st = job_figure(j, "bytes", value_int(file.st_size));
    return st;
}

static int32_t model_run(ctx *cx, job *j)
{
    const model_work *w = j->checked;
    const model_params *given = j->params;
    int32_t st = given->weights ? weights_take(cx, w->m, given->weights, given->others, 0)
                                : model_fill(cx, w->m, (uint64_t)given->seed);
    if (st >= 0) st = save_model(cx, w->m, j->result.path);
    return st < 0 ? st : add_figures(j, w->m);
}

const job_type job_model = {
    .name = "model",
    .result = "model",
    .doc = "named graphs over one table of weights, from a model file, with first weights",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(model_params),
    .has_graphs = 1,
    .check = model_check,
    .run = model_run,
};
