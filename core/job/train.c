/*
 * train.c -- the job type "train": a model whose weights are learned from episodes.
 *
 * Here is what it is told, and everything that can be checked before anything has run: the
 * training plans are made, every input has a source, budgets hold. The steps are in
 * train_run.c, checkpoints in train_keep.c.
 */
#include "train.h"
#include "../graph/infer.h"
#include "../near.h"
#include "../run/pool.h"
#include <math.h>
#include <string.h>

enum { MOST_STEPS = 100000000 };

#define AT(field) offsetof(train_params, field)
// clang-format off
static const evla_param params[] = {
    {.name = "model", .doc = "what is trained; of another train job: with its weights to start from",
     .type = EVLA_P_VALUE, .choices = "model", .offset = AT(model)},
    {.name = "data", .doc = "datasets, one or several: all rows of all of them are equally likely",
     .type = EVLA_P_LIST, .element = EVLA_P_VALUE, .choices = "episodes", .offset = AT(data)},
    {.name = "init", .doc = "another model of the same weights to start from", .type = EVLA_P_VALUE,
     .choices = "model", .flags = EVLA_PF_OPTIONAL, .offset = AT(init)},
    {.name = "graph", .doc = "the graph whose output loss is made small", .type = EVLA_P_STRING,
     .preset = "loss", .offset = AT(graph)},
    {.name = "symbols", .doc = "extents of the graph's symbols but B, the batch",
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = job_symbol_fields, .n_fields = 2,
     .fields_size = sizeof(job_symbol), .offset = AT(symbols)},
    {.name = "mask", .doc = "the episodes to learn from; \"\": all, as in a file without masks",
     .type = EVLA_P_STRING, .preset = "train", .offset = AT(mask)},
    {.name = "valid", .doc = "the episodes to measure on; \"\": none", .type = EVLA_P_STRING,
     .preset = "valid", .offset = AT(valid)},
    {.name = "valid_every", .doc = "steps between two such measurements; 0: a tenth of all steps",
     .type = EVLA_P_INT, .preset = "0", .max = MOST_STEPS, .offset = AT(valid_every)},
    {.name = "valid_rows", .doc = "rows that are measured, the same every time, in whole batches",
     .type = EVLA_P_INT, .preset = "4096", .min = 1, .max = 1e9, .offset = AT(valid_rows)},
    {.name = "steps", .doc = "updates of the weights", .type = EVLA_P_INT, .preset = "1000",
     .min = 1, .max = MOST_STEPS, .offset = AT(steps)},
    {.name = "batch", .doc = "rows computed together", .type = EVLA_P_INT, .preset = "64",
     .min = 1, .max = 1e6, .offset = AT(batch)},
    {.name = "accumulate", .doc = "batches whose gradients are averaged for one update",
     .type = EVLA_P_INT, .preset = "1", .min = 1, .max = 1e6, .offset = AT(accumulate)},
    {.name = "lr", .doc = "learning rate after the warm-up", .type = EVLA_P_FLOAT, .preset = "0.001",
     .min = 0, .max = 1e30, .offset = AT(lr)},
    {.name = "warmup", .doc = "steps over which the learning rate rises to lr", .type = EVLA_P_INT,
     .preset = "0", .max = MOST_STEPS, .offset = AT(warmup)},
    {.name = "schedule", .doc = "of the learning rate afterwards", .type = EVLA_P_ENUM,
     .choices = "constant|cosine", .preset = "constant", .offset = AT(schedule)},
    {.name = "final", .doc = "of a cosine: the last learning rate as a fraction of lr",
     .type = EVLA_P_FLOAT, .preset = "0.0", .min = 0, .max = 1, .offset = AT(final)},
    {.name = "weight_decay", .doc = "decoupled, of weights with two axes or more", .type = EVLA_P_FLOAT,
     .preset = "0.01", .min = 0, .max = 1e6, .offset = AT(weight_decay)},
    {.name = "clip", .doc = "gradients are scaled down to this global norm; 0: never",
     .type = EVLA_P_FLOAT, .preset = "1.0", .min = 0, .max = 1e300, .offset = AT(clip)},
    {.name = "beta1", .doc = "decay of the first moment", .type = EVLA_P_FLOAT, .preset = "0.9",
     .min = 0, .max = 0.9999999, .offset = AT(beta1)},
    {.name = "beta2", .doc = "decay of the second moment", .type = EVLA_P_FLOAT, .preset = "0.999",
     .min = 0, .max = 0.9999999, .offset = AT(beta2)},
    {.name = "eps", .doc = "added to the root of the second moment", .type = EVLA_P_FLOAT,
     .preset = "1e-8", .min = 1e-30, .max = 1, .offset = AT(eps)},
    {.name = "seed", .doc = "of the order of rows", .type = EVLA_P_INT, .preset = "1",
     .offset = AT(seed)},
    {.name = "freeze", .doc = "weights that are not trained: names, or beginnings that end in *",
     .type = EVLA_P_LIST, .element = EVLA_P_STRING, .flags = EVLA_PF_OPTIONAL, .offset = AT(freeze)},
    {.name = "statistics", .doc = "means and deviations: of the data, or kept as they come with the "
     "weights; auto keeps those of a trained model", .type = EVLA_P_ENUM, .choices = "auto|data|keep",
     .preset = "auto", .offset = AT(statistics)},
    {.name = "recompute", .doc = "what is computed again rather than kept for the backward pass",
     .type = EVLA_P_ENUM, .choices = "none|cheap|deep", .preset = "none", .offset = AT(recompute)},
    {.name = "checkpoint", .doc = "time between two checkpoints; a killed run goes on from the last one",
     .type = EVLA_P_DURATION, .preset = "30s", .max = 1e9, .offset = AT(checkpoint)},
    {.name = "checkpoint_steps", .doc = "steps between two checkpoints; 0: by time alone",
     .type = EVLA_P_INT, .preset = "0", .max = MOST_STEPS, .offset = AT(checkpoint_steps)},
    {.name = "workers", .doc = "threads of a step; 0: as the program says. The weights do not depend on it",
     .type = EVLA_P_INT, .preset = "0", .max = POOL_MOST, .offset = AT(workers)},
    {.name = "memory", .doc = "budget for plans and states; 0: no limit", .type = EVLA_P_SIZE,
     .preset = "0", .offset = AT(memory)},
    {.name = "cache", .doc = "memory that fields of the data may take; the others are read row by row",
     .type = EVLA_P_SIZE, .preset = "1GiB", .offset = AT(cache)},
};
// clang-format on
#undef AT

double train_lr(const train_params *p, int64_t step)
{
    if (step <= p->warmup) return p->lr * (double)step / (double)p->warmup;
    if (p->schedule == TRAIN_CONSTANT || p->steps <= p->warmup) return p->lr;
    double at = (double)(step - p->warmup) / (double)(p->steps - p->warmup);
    return p->lr *
           (p->final + (1 - p->final) * 0.5 * (1 + cos(3.14159265358979323846 * at)));
}

int32_t train_workers(const job *j)
{
    return job_workers(j, ((const train_params *)j->params)->workers, POOL_MOST);
}

const job *job_train_root(const job *j)
{
    while (j && j->type == &job_train)
        j = job_given(j, "model");
    return j;
}

/* A mask that was asked for must be there; the presets may be missing in a person's file.
 */
rows_options train_rows_options(const job *j, int is_valid)
{
    const train_params *given = j->params;
    int is_asked = value_get(&j->given, is_valid ? "valid" : "mask") != NULL;
    return (rows_options){.mask = is_valid ? given->valid : given->mask,
                          .without = is_asked   ? ROWS_REFUSE
                                     : is_valid ? ROWS_NONE
                                                : ROWS_ALL,
                          .cache = (uint64_t)given->cache};
}

char train_statistic(const weight_info *w, const char **field)
{
    if (!w->init) return 0;
    int is_mean = !strncmp(w->init, "mean:", 5), is_std = !strncmp(w->init, "std:", 4);
    *field = w->init + (is_mean ? 5 : 4);
    return is_mean ? 'm' : is_std ? 's' : 0;
}

int train_keeps_statistics(const job *j)
{
    const train_params *given = j->params;
    if (given->statistics != STATS_AUTO) return given->statistics == STATS_KEEP;
    const job *from = job_given(j, given->init ? "init" : "model");
    return from && (from->type != &job_model || job_model_is_given(from));
}

/* ---- plans ---- */

static int32_t bind_symbols(ctx *cx, const job *j, const graph *g, symbols *out)
{
    const train_params *given = j->params;
    evla_list all = {.n = given->symbols.n + 1};
    job_symbol *list = arena_push(&cx->mem, (size_t)all.n, sizeof *list);
    if (!list) return ctx_fail(cx, EVLA_E_NOMEM, "train %s", j->name);
    for (int64_t i = 0; i < given->symbols.n; i++) {
        list[i] = ((const job_symbol *)given->symbols.items)[i];
        if (!strcmp(list[i].name, "B"))
            return ctx_fail(cx, EVLA_E_ARG,
                            "train \"%s\": symbols: B is the batch; say batch = %lld",
                            j->name, (long long)list[i].extent);
    }
    list[all.n - 1] = (job_symbol){"B", given->batch};
    all.items = list;
    int32_t found = 0;
    for (int32_t i = 0; i < g->n_symbols; i++)
        found |= !strcmp(g->symbols[i].name, "B");
    if (!found)
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "train \"%s\": graph %s has no symbol B; want inputs with the batch in "
            "front, such as f32[B,7]",
            j->name, g->name);
    return job_model_symbols(cx, job_train_root(job_given(j, "model")), g, &all, 0, out);
}

int32_t train_plans(ctx *cx, const job *j, model *m, grad **out)
{
    const train_params *given = j->params;
    graph *g;
    symbols s;
    plan_options how = {.n_workers = train_workers(j), .budget = (uint64_t)given->memory};
    /* 0 stands for a preset there, a negative number for nought */
    grad_options go = {.clip_norm = given->clip,
                       .weight_decay = given->weight_decay,
                       .beta1 = given->beta1 > 0 ? given->beta1 : -1,
                       .beta2 = given->beta2 > 0 ? given->beta2 : -1,
                       .eps = given->eps,
                       .accumulate = (int32_t)given->accumulate,
                       .recompute = given->recompute,
                       .evaluate = *given->valid != 0,
                       .frozen = given->freeze.items,
                       .n_frozen = (int32_t)given->freeze.n};
    int32_t st = model_want_graph(cx, m, given->graph, &g);
    if (st >= 0) st = bind_symbols(cx, j, g, &s);
    return st < 0 ? st : grad_make(cx, g, &s, &go, &how, out);
}

static int32_t add_input(ctx *cx, const job *j, const char *name, const char *text,
                         const evla_type *t, rows_input *in, int32_t *n)
{
    const train_params *given = j->params;
    for (int32_t i = 0; i < *n; i++)
        if (!strcmp(in[i].name, name)) return 0;
    const char *open = text ? strchr(text, '[') : NULL;
    if (!open || open[1] != 'B' || (open[2] != ',' && open[2] != ']') ||
        t->shape[0] != given->batch)
        return ctx_fail(
            cx, EVLA_E_SHAPE,
            "train \"%s\": graph %s: input %s is %s; want the batch in front, such "
            "as f32[B,7]%s",
            j->name, given->graph, name, text ? text : "untyped",
            open && open[1] == 'B' ? ", and a batch that B's rule leaves as it is" : "");
    if (*n == ROWS_MOST_INPUTS)
        return ctx_fail(cx, EVLA_E_LIMIT, "train \"%s\": more than %d inputs", j->name,
                        ROWS_MOST_INPUTS);
    in[(*n)++] = (rows_input){name, *t};
    return 0;
}

int32_t train_inputs(ctx *cx, const job *j, const grad *g, rows_input *in, int32_t *n)
{
    const int32_t plans[] = {g->batch, g->evaluate};
    int32_t st = 0;
    *n = 0;
    for (int k = 0; k < 2; k++) {
        if (plans[k] < 0) continue;
        const plan *p = g->plans[plans[k]];
        for (int32_t i = 0; st >= 0 && i < p->graph->n_inputs; i++) {
            int32_t w = p->graph->inputs[i];
            if (w < 0) continue; /* nobody reads it */
            const char *name = p->graph->wires[w].name, *text = NULL;
            if (plans[k] == g->update && (!strcmp(name, "lr") || !strcmp(name, "t")))
                continue;
            const graph *from = p->graph->from;
            for (int32_t x = 0; x < from->n_inputs; x++)
                if (!strcmp(from->wires[from->inputs[x]].name, name))
                    text = from->wires[from->inputs[x]].type;
            st = add_input(cx, j, name, text, plan_input_type(p, i), in, n);
        }
    }
    if (st >= 0 && !*n)
        st = ctx_fail(cx, EVLA_E_SHAPE, "train \"%s\": graph %s reads no input", j->name,
                      ((const train_params *)j->params)->graph);
    return st;
}

/* ---- check ---- */

/* Arenas of all plans and the states they share, as a session holds them. */
static uint64_t session_need(ctx *cx, const grad *g)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < g->n_plans; i++)
        bytes += (g->plans[i]->arena_bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    for (int32_t k = 0; k < g->model->n_states; k++)
        for (int32_t i = 0; i < g->n_plans; i++) {
            const plan *p = g->plans[i];
            if (k >= p->n_states || p->state_types[k].rank < 0) continue;
            uint64_t each = (uint64_t)type_bytes(cx->reg, &p->state_types[k]);
            bytes += (each + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
            break;
        }
    return bytes;
}

static int32_t check_memory(ctx *cx, const job *j, const grad *g)
{
    const train_params *given = j->params;
    uint64_t need = session_need(cx, g);
    if (!given->memory || need <= (uint64_t)given->memory) return 0;
    return ctx_fail(cx, EVLA_E_NOMEM,
                    "train \"%s\": memory: plans and states need %llu bytes, the budget is "
                    "%lld; take a smaller batch, or recompute = \"deep\"",
                    j->name, (unsigned long long)need, (long long)given->memory);
}

/* A name that freezes nothing is a slip of the pen, and what was meant would be trained. */
static int32_t check_freeze(ctx *cx, const job *j, const model *m)
{
    const train_params *given = j->params;
    const char *const *names = given->freeze.items;
    const char *all[256];
    for (int64_t i = 0; i < given->freeze.n; i++) {
        int32_t n = 0, found = 0;
        for (int32_t k = 0; !found && k < m->n_weights; k++) {
            found = grad_freezes(names[i], m->weights[k].name);
            if (n < 256) all[n++] = m->weights[k].name;
        }
        if (found) continue;
        const char *near = near_miss(names[i], all, n);
        return ctx_fail(cx, EVLA_E_MISSING,
                        "train \"%s\": freeze: no weight is called \"%.60s\"%s%s%s",
                        j->name, names[i],
                        near ? "; did you mean \""
                             : "; want a name, or its "
                               "beginning and a *",
                        near ? near : "", near ? "\"?" : "");
    }
    return 0;
}

/* Rows are ticks in any order: what a state would carry from one to the next is of another
 * episode. */
static int32_t check_states(ctx *cx, const job *j, const grad *g)
{
    const plan *p = g->plans[g->batch];
    for (int32_t i = 0; i < g->of->n_states && i < p->n_states; i++)
        if (p->state_types[i].rank >= 0)
            return ctx_fail(
                cx, EVLA_E_STATE,
                "train \"%s\": graph %s keeps a state %s, but rows are drawn in "
                "any order and do not follow each other; feed it as an input",
                j->name, ((const train_params *)j->params)->graph, g->of->states[i].name);
    return 0;
}

/* Every weight is in the model to start from, with the same type. */
static int32_t check_init(ctx *cx, const job *j, const model *m)
{
    const job *from = job_given(j, "init");
    const model *init = from && !job_model_failed(from) ? job_model_graphs(from) : NULL;
    for (int32_t i = 0; init && i < m->n_weights; i++) {
        const weight_info *w = &m->weights[i];
        int32_t k = model_weight(init, w->name);
        if (k < 0)
            return ctx_fail(
                cx, EVLA_E_MISSING,
                "train \"%s\": init: %s has no weight %s; want a model of the same "
                "weights",
                j->name, from->name, w->name);
        const evla_type *have = &init->weights[k].type;
        if (have->rank < 0 || w->type.rank < 0 || type_equal(have, &w->type)) continue;
        arena_place mark = arena_mark(&cx->scratch);
        ctx_fail(cx, EVLA_E_SHAPE, "train \"%s\": init: weight %s is %s in %s; want %s",
                 j->name, w->name, type_text(cx->reg, &cx->scratch, have), from->name,
                 type_text(cx->reg, &cx->scratch, &w->type));
        arena_reset(&cx->scratch, mark);
        return EVLA_E_SHAPE;
    }
    return 0;
}

static int32_t check_statistics(ctx *cx, const job *j, const model *m, const job *maker,
                                const rows_options *how)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < m->n_weights; i++) {
        const weight_info *w = &m->weights[i];
        const char *field;
        if (!train_statistic(w, &field) || w->type.rank < 0) continue;
        if (w->type.dtype != EVLA_F32)
            return ctx_fail(cx, EVLA_E_DTYPE,
                            "train \"%s\": weight %s, %s: a statistic is f32", j->name,
                            w->name, w->init);
        st = rows_check_field(cx, maker, how, field, type_count(&w->type));
        if (st < 0) ctx_prefix(cx, "weight %s, %s", w->name, w->init);
    }
    return st;
}

static int32_t check_data(ctx *cx, const job *j, const model *m, const grad *g)
{
    const train_params *given = j->params;
    const value *list = value_get(&j->given, "data");
    rows_options how = train_rows_options(j, 0), valid = train_rows_options(j, 1);
    rows_input in[ROWS_MOST_INPUTS];
    int32_t n, st = train_inputs(cx, j, g, in, &n);
    if (st >= 0 && given->data.n < 1)
        st = ctx_fail(cx, EVLA_E_ARG, "train \"%s\": data: names no dataset", j->name);
    for (int32_t i = 0; st >= 0 && list && i < list->n_items; i++) {
        const job *maker = list->as.items[i].as.ref;
        st = rows_check(cx, maker, &how, in, n);
        if (st >= 0 && *given->valid) st = rows_check(cx, maker, &valid, in, n);
        if (st >= 0 && !train_keeps_statistics(j))
            st = check_statistics(cx, j, m, maker, &how);
    }
    return st;
}

static int32_t train_check(ctx *cx, job *j)
{
    const job *from = job_given(j, "model");
    model *m = from ? job_model_graphs(from) : NULL;
    grad *g = NULL;
    j->result.path = arena_text(&cx->mem, "%s/%s.evla", j->folder, j->name);
    if (!j->result.path) return ctx_fail(cx, EVLA_E_NOMEM, "train %s", j->name);
    if (from && job_model_failed(from)) return 0; /* which has been told */
    if (!m)
        return ctx_fail(
            cx, EVLA_E_ARG,
            "train \"%s\": model: %s \"%s\" has no graphs before it has run; want "
            "a model of evla.model or evla.train",
            j->name, from ? from->type->name : "the job", from ? from->name : "?");
    int32_t st = train_plans(cx, j, m, &g);
    if (st >= 0) st = check_memory(cx, j, g);
    if (st >= 0) st = check_freeze(cx, j, m);
    if (st >= 0) st = check_states(cx, j, g);
    if (st >= 0) st = check_init(cx, j, m);
    if (st >= 0) st = check_data(cx, j, m, g);
    if (st < 0 && !strstr(cx->why, j->name)) ctx_prefix(cx, "train \"%s\"", j->name);
    grad_free(g);
    return st;
}

const job_type job_train = {
    .name = "train",
    .result = "model",
    .doc = "learns a model's weights from stored episodes",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(train_params),
    .has_graphs = 1,
    .check = train_check,
    .run = train_run,
};
