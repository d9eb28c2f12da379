/*
 * call_case.h -- a case: the inputs of one call, from files of raw numbers, from pictures,
 * from numbers of the script, or drawn by lot.
 */
#ifndef EVLA_JOB_CALL_CASE_H
#define EVLA_JOB_CALL_CASE_H
#include "call.h"

typedef struct case_values {
    const char *name;
    evla_list numbers; /* double */
} case_values;

typedef struct call_case {
    evla_list files;    /* what case_file_fields describe */
    evla_list pictures; /* likewise */
    evla_list values;   /* case_values */
} call_case;

extern const evla_param case_file_fields[2], case_picture_fields[2], case_values_fields[2];

/* Rows of a parameter table; the struct holds a call_case at `at`. */
// clang-format off
#define CASE_PARAMS(at)                                                                       \
    {.name = "files", .doc = "inputs from files, { image = \"image.u8\" }",                   \
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = case_file_fields,           \
     .n_fields = 2, .fields_size = 2 * sizeof(const char *),                                  \
     .offset = (at) + offsetof(call_case, files)},                                            \
    {.name = "pictures", .doc = "inputs from picture files, { front = \"front.jpg\" }",       \
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = case_picture_fields,        \
     .n_fields = 2, .fields_size = 2 * sizeof(const char *),                                  \
     .offset = (at) + offsetof(call_case, pictures)},                                         \
    {.name = "values", .doc = "inputs as numbers, { state = { 0, 0.5 } }",                    \
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = case_values_fields,         \
     .n_fields = 2, .fields_size = sizeof(case_values),                                       \
     .offset = (at) + offsetof(call_case, values)}
// clang-format on

/* Gives a schedule's inputs what the case says. Sizes and formats are checked even when the
 * schedule is only planned. An input that the case does not name stays as it is. */
int32_t call_case_set(ctx *cx, const schedule *s, const call_case *c);
/* Fills every input of an open schedule with the lot of that seed: reals are normal with a
 * spread of 1, bytes and booleans anything, integers that choose rows of a table any of its
 * rows, other integers 0. The same bits for every model that reads its inputs alike. */
int32_t call_case_draw(ctx *cx, const schedule *s, uint64_t seed);

#endif
