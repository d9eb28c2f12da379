/*
 * call.h -- what is declared about a model that is called, as a job and in the hand: one
 * table of parameters, one way to a schedule.
 */
#ifndef EVLA_JOB_CALL_H
#define EVLA_JOB_CALL_H
#include "../run/schedule.h"
#include "types.h"

typedef struct call_params {
    const evla_value *model;
    evla_list schedule; /* schedule_line */
    evla_list symbols;  /* job_symbol */
    int64_t memory, workers;
} call_params;

extern const evla_param call_line_fields[3];

/* Rows of a parameter table whose struct begins with a call_params. */
// clang-format off
#define CALL_PARAMS                                                                           \
    {.name = "model", .doc = "whose graphs are called", .type = EVLA_P_VALUE,                 \
     .choices = "model", .offset = offsetof(call_params, model)},                             \
    {.name = "schedule", .doc = "graphs in the order in which a call runs them, and how "     \
     "often each: { { graph = \"see\" }, { graph = \"act\", times = 10 } }; none: the "       \
     "model's only one", .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL,                   \
     .fields = call_line_fields, .n_fields = 3, .fields_size = sizeof(schedule_line),         \
     .offset = offsetof(call_params, schedule)},                                              \
    {.name = "symbols", .doc = "extents of the graphs' symbols, { B = 1 }",                   \
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = job_symbol_fields,          \
     .n_fields = 2, .fields_size = sizeof(job_symbol),                                        \
     .offset = offsetof(call_params, symbols)},                                               \
    {.name = "memory", .doc = "budget for weights, arena, states and what lines hand on; 0: " \
     "no limit", .type = EVLA_P_SIZE, .preset = "0", .offset = offsetof(call_params, memory)},\
    {.name = "workers", .doc = "threads; 0: as the program says. Bits do not depend on it",   \
     .type = EVLA_P_INT, .preset = "0", .max = 256, .offset = offsetof(call_params, workers)}
// clang-format on

/* The graphs behind a job that makes a model: a checkpoint's own, or else those of the file
 * that the job wrote. One reference. */
int32_t call_model(ctx *cx, const job *from, const evla_value *v, model **out);
/* Plans everything, and opens it unless only_plan, so that what does not fit is known
 * before anything runs. */
int32_t call_open(ctx *cx, model *m, const call_params *p, int32_t workers, int only_plan,
                  schedule **out);
/* Element i of a dense tensor from a number of a script; without data it is only checked.
 * 0: its format cannot hold it. */
int call_put_number(const evla_tensor *t, int64_t i, double v);

#endif
