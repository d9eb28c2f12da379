/*
 * drive.h -- what rollouts declare about body and driver, as a stage and as a job: one
 * table of parameters, one way to a loop_spec.
 */
#ifndef EVLA_JOB_DRIVE_H
#define EVLA_JOB_DRIVE_H
#include "../run/loop.h"
#include "types.h"

typedef struct drive_params {
    evla_choice body, guard;
    const evla_value *model;
    evla_list schedule; /* drive_line */
    int64_t segment_ns, limit_ns, seed;
    double noise, mix;
    int32_t policy; /* loop_driver */
    int32_t reserved;
} drive_params;

/* A line as it is written. */
typedef struct drive_line {
    policy_line line;
    const evla_value *model; /* whose graph it is; NULL: that of the rollout's model */
} drive_line;

extern const evla_param drive_line_fields[10];

/* Rows of a parameter table whose struct begins with a drive_params. */
// clang-format off
#define DRIVE_PARAMS(preset_policy)                                                           \
    {.name = "body", .doc = "what acts", .type = EVLA_P_ITEM, .choices = EVLA_BODY,           \
     .offset = offsetof(drive_params, body)},                                                 \
    {.name = "guard", .doc = "judges every action before the body gets it",                   \
     .type = EVLA_P_ITEM, .choices = EVLA_SCENE, .flags = EVLA_PF_OPTIONAL,                   \
     .offset = offsetof(drive_params, guard)},                                                \
    {.name = "seed", .doc = "start of all randomness", .preset = "1", .type = EVLA_P_INT,     \
     .offset = offsetof(drive_params, seed)},                                                 \
    {.name = "policy", .doc = "who chooses the actions: the body's teacher, chance, nobody, " \
     "or a model", .preset = preset_policy, .type = EVLA_P_ENUM,                              \
     .choices = "expert|random|zero|model", .offset = offsetof(drive_params, policy)},        \
    {.name = "model", .doc = "whose graphs act when policy = \"model\"",                      \
     .type = EVLA_P_VALUE, .choices = "model", .flags = EVLA_PF_OPTIONAL,                     \
     .offset = offsetof(drive_params, model)},                                                \
    {.name = "schedule", .doc = "its graphs in order: { graph = \"slow\", rate = 30, "        \
     "latency = \"10ms\" }; may be left out when there is one", .type = EVLA_P_STRUCTS,       \
     .flags = EVLA_PF_OPTIONAL, .fields = drive_line_fields, .n_fields = 10,                  \
     .fields_size = sizeof(drive_line), .offset = offsetof(drive_params, schedule)},          \
    {.name = "noise", .doc = "standard deviation of noise added to actions", .preset = "0.0", \
     .type = EVLA_P_FLOAT, .min = 0, .max = 2, .offset = offsetof(drive_params, noise)},      \
    {.name = "mix", .doc = "probability that the teacher drives a segment instead",           \
     .preset = "0.0", .type = EVLA_P_FLOAT, .min = 0, .max = 1,                               \
     .offset = offsetof(drive_params, mix)},                                                  \
    {.name = "segment", .doc = "length of such a segment", .preset = "500ms", .unit = "s",    \
     .type = EVLA_P_DURATION, .min = 1e-3, .max = 3600,                                       \
     .offset = offsetof(drive_params, segment_ns)},                                           \
    {.name = "limit", .doc = "an episode is cut here at the latest; 0: where the body cuts it", \
     .preset = "0", .unit = "s", .type = EVLA_P_DURATION, .min = 0, .max = 86400,             \
     .offset = offsetof(drive_params, limit_ns)}
// clang-format on

/* A drive that is open: describes the body and, when a model acts, fits it. */
typedef struct drive {
    evla_body_info info;
    loop_spec spec;
    policy *policy; /* NULL: no model acts, or its graphs are not known yet */
    model *model;
    model **others; /* of lines that have one of their own, in hold */
    int32_t n_others;
} drive;

/* What can be known before any job has run: texts of info live in hold. what:
 * "stage.rollout" or `rollout "robot"`, for messages. Free it with drive_free. */
int32_t drive_check(ctx *cx, arena *hold, const char *what, const drive_params *p,
                    drive *out);
/* The same with the weights that the model's job left. */
int32_t drive_open(ctx *cx, arena *hold, const char *what, const drive_params *p,
                   drive *out);
void drive_free(drive *d);

#endif
