/*
 * job_checkpoint.c -- the job type "checkpoint": graphs that a model file declared over the
 * weights of a file, which stay where they are.
 *
 * Weights have the file's number formats, unless some are to be rounded; the file is
 * mapped, and kernels may lay them out for themselves once (graph/layout.h). The host
 * adopts the weights when it has built the graphs, so that mistakes name the user's line;
 * here nothing is left to do.
 */
#include "types.h"

typedef struct checkpoint_params {
    const char *file, *options, *weights, *beside, *tokenizer;
    evla_list formats; /* weights_format */
} checkpoint_params;

// clang-format off
static const evla_param format_fields[] = {
    {.name = "name", .doc = "a weight", .type = EVLA_P_STRING, .offset = offsetof(weights_format, name)},
    {.name = "format", .doc = "a number format that a plugin encodes", .type = EVLA_P_STRING,
     .offset = offsetof(weights_format, format)},
};
static const evla_param params[] = {
    {.name = "file", .doc = "the model file, as messages show it", .type = EVLA_P_STRING,
     .offset = offsetof(checkpoint_params, file)},
    {.name = "options", .doc = "what the model file got, as JSON; scripts write it beside these",
     .type = EVLA_P_STRING, .preset = "{}", .offset = offsetof(checkpoint_params, options)},
    {.name = "weights", .doc = "a file with a tensor for each weight, of any format that is loaded",
     .type = EVLA_P_PATH, .flags = EVLA_PF_INPUT, .offset = offsetof(checkpoint_params, weights)},
    {.name = "beside", .doc = "another file, for the weights that the first one lacks",
     .type = EVLA_P_PATH, .flags = EVLA_PF_OPTIONAL | EVLA_PF_INPUT,
     .offset = offsetof(checkpoint_params, beside)},
    {.name = "tokenizer", .doc = "a tokenizer.json; without, what the file of weights says of its own",
     .type = EVLA_P_PATH, .flags = EVLA_PF_OPTIONAL | EVLA_PF_INPUT,
     .offset = offsetof(checkpoint_params, tokenizer)},
    {.name = "formats", .doc = "weights that are rounded to another number format when they are read, { { \"w\", \"bf16\" } }",
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = format_fields, .n_fields = 2,
     .fields_size = sizeof(weights_format), .offset = offsetof(checkpoint_params, formats)},
};
// clang-format on

static int32_t checkpoint_check(ctx *cx, job *j)
{
    const checkpoint_params *given = j->params;
    if (!job_model_graphs(j))
        return ctx_fail(cx, EVLA_E_ARG,
                        "checkpoint \"%s\": it has no graphs; a script declares them with "
                        "evla.checkpoint",
                        j->name);
    j->result.path = given->weights;
    return 0;
}

static int32_t checkpoint_run(ctx *cx, job *j)
{
    const model *m = job_model_graphs(j);
    int64_t numbers = 0, bytes = 0;
    for (int32_t i = 0; i < m->n_weights; i++) {
        numbers += type_count(&m->weights[i].type);
        bytes += type_bytes(cx->reg, &m->weights[i].type);
    }
    int32_t st = job_figure(j, "parameters", value_int(numbers));
    if (st >= 0) st = job_figure(j, "weights", value_int(m->n_weights));
    return st < 0 ? st : job_figure(j, "weight_bytes", value_int(bytes));
}

const char *job_checkpoint_tokenizer(const job *j)
{
    return j->type == &job_checkpoint ? ((const checkpoint_params *)j->params)->tokenizer
                                      : NULL;
}

const weights_format *job_checkpoint_formats(const job *j, int64_t *n)
{
    const checkpoint_params *given = j->params;
    *n = given->formats.n;
    return given->formats.items;
}

const job_type job_checkpoint = {
    .name = "checkpoint",
    .result = "model",
    .doc = "named graphs over the weights of a file of another tool, in place",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(checkpoint_params),
    .has_graphs = 1,
    .is_live = 1,
    .check = checkpoint_check,
    .run = checkpoint_run,
};
