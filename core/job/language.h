/*
 * language.h -- what is declared about a model that reads and writes text, as a job and in
 * the hand: one table of parameters, one way to a completer.
 */
#ifndef EVLA_JOB_LANGUAGE_H
#define EVLA_JOB_LANGUAGE_H
#include "../run/completion.h"
#include "types.h"

enum { LANGUAGE_OTHERS = 8 };

typedef struct language_params {
    const evla_value *model;
    const char *graph;
    evla_list others;  /* const char * */
    evla_list symbols; /* job_symbol */
    int64_t context, blocks, memory, workers;
    evla_choice cache;
    int32_t all, reserved;
} language_params;

/* Rows of a parameter table whose struct begins with a language_params. */
// clang-format off
#define LANGUAGE_PARAMS                                                                       \
    {.name = "model", .doc = "a checkpoint whose graph reads tokens", .type = EVLA_P_VALUE,   \
     .choices = "model", .offset = offsetof(language_params, model)},                         \
    {.name = "graph", .doc = "the one that reads tokens", .type = EVLA_P_STRING,              \
     .preset = "tokens", .offset = offsetof(language_params, graph)},                         \
    {.name = "others", .doc = "further graphs of the model to plan into the same memory, "    \
     "those that turn pictures into rows of embeddings", .type = EVLA_P_LIST, .element = EVLA_P_STRING,              \
     .flags = EVLA_PF_OPTIONAL, .offset = offsetof(language_params, others)},                 \
    {.name = "symbols", .doc = "extents of their symbols, { { \"H\", 480 } }",              \
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = job_symbol_fields,          \
     .n_fields = 2, .fields_size = sizeof(job_symbol),                                        \
     .offset = offsetof(language_params, symbols)},                                           \
    {.name = "all", .doc = "plan for the logits of every token, too, as loss() needs",        \
     .type = EVLA_P_BOOL, .preset = "false", .offset = offsetof(language_params, all)},       \
    {.name = "context", .doc = "most tokens of a text, its beginning included, unless the "   \
     "cache drops some", .type = EVLA_P_INT, .preset = "512", .min = 1, .max = 1 << 24,       \
     .offset = offsetof(language_params, context)},                                           \
    {.name = "cache", .doc = "which keys and values stay when the context is full; absent: "  \
     "all, and the text ends", .type = EVLA_P_ITEM, .choices = EVLA_CACHE,                    \
     .flags = EVLA_PF_OPTIONAL, .offset = offsetof(language_params, cache)},                  \
    {.name = "blocks", .doc = "blocks of 16 tokens' keys and values that are kept; 0: as "    \
     "many as one text can need", .type = EVLA_P_INT, .preset = "0", .max = 1 << 20,          \
     .offset = offsetof(language_params, blocks)},                                            \
    {.name = "memory", .doc = "budget for arena, keys and values; 0: no limit",               \
     .type = EVLA_P_SIZE, .preset = "0", .offset = offsetof(language_params, memory)},        \
    {.name = "workers", .doc = "threads; 0: as the program says. Bits do not depend on it",   \
     .type = EVLA_P_INT, .preset = "0", .max = 256,                                           \
     .offset = offsetof(language_params, workers)}
// clang-format on

/* Do the parameters go together? `what` is for messages. */
int32_t language_check(ctx *cx, const char *what, const language_params *p);
/* Those of its symbols that a graph has. */
symbols language_symbols(const language_params *p, const graph *g);
/* The model behind the parameters, a checkpoint of this program. */
int32_t language_model(ctx *cx, const char *what, const job *from, model **out);
/* Plans everything, so that what does not fit is known before anything runs. */
int32_t language_open(ctx *cx, const job *from, const language_params *p, int32_t workers,
                      completer **out);

#endif
