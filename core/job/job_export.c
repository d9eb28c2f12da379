/*
 * job_export.c -- the job type "export": a model's weights as a file that other tools read.
 *
 * Every weight is written under its name and in its own number format, so a quantised model
 * keeps its codes and scales. The graphs stay in the model's own file.
 */
#include "../data/format.h"
#include "../graph/save.h"
#include "../graph/weights.h"
#include "types.h"
#include <string.h>
#include <sys/stat.h>

typedef struct note {
    const char *name, *text;
} note;

typedef struct export_params {
    const evla_value *model;
    const char *path;
    evla_list metadata; /* note */
} export_params;

// clang-format off
static const evla_param note_fields[2] = {
    {.name = "name", .doc = "the key", .type = EVLA_P_STRING, .offset = offsetof(note, name)},
    {.name = "text", .doc = "what it says", .type = EVLA_P_STRING, .offset = offsetof(note, text)},
};

static const evla_param params[] = {
    {.name = "model", .doc = "whose weights are written", .type = EVLA_P_VALUE, .choices = "model",
     .offset = offsetof(export_params, model)},
    {.name = "path", .doc = "name of the file in the job's folder; its ending says the format",
     .type = EVLA_P_PATH, .offset = offsetof(export_params, path)},
    {.name = "metadata", .doc = "what else the file says, { format = \"pt\" }",
     .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, .fields = note_fields, .n_fields = 2,
     .fields_size = sizeof(note), .offset = offsetof(export_params, metadata)},
};
// clang-format on

static int32_t export_check(ctx *cx, job *j)
{
    const export_params *given = j->params;
    const evla_item *format;
    if (path_leaves(given->path))
        return ctx_fail(cx, EVLA_E_ARG,
                        "export \"%s\": path: want a name below the job's folder, got "
                        "\"%.200s\"; --out moves the folder",
                        j->name, given->path);
    int32_t st = format_writer(cx, given->path, &format);
    if (st < 0) {
        ctx_prefix(cx, "export \"%s\": path", j->name);
        return st;
    }
    j->checked = (void *)(uintptr_t)format;
    j->result.path = arena_text(&cx->mem, "%s/%s", j->folder, given->path);
    return j->result.path ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "export %s", j->name);
}

static int32_t make_folder_of(ctx *cx, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? arena_copy_n(&cx->scratch, path, (size_t)(slash - path)) : NULL;
    return folder ? folder_make(cx, folder)
                  : ctx_fail(cx, EVLA_E_NOMEM, "%s: its folder", path);
}

static int32_t export_run(ctx *cx, job *j)
{
    const export_params *given = j->params;
    int32_t n = (int32_t)given->metadata.n;
    const note *notes = given->metadata.items;
    evla_attr *attrs = arena_push(&cx->scratch, (size_t)n + 1, sizeof *attrs);
    struct stat file;
    model *m = NULL;
    if (!attrs) return ctx_fail(cx, EVLA_E_NOMEM, "export %s", j->name);
    for (int32_t i = 0; i < n; i++)
        attrs[i] = (evla_attr){
            .name = notes[i].name, .text = notes[i].text, .type = EVLA_ATTR_TEXT};
    int32_t st = save_open(cx, given->model->path, &m);
    if (st >= 0) st = make_folder_of(cx, j->result.path);
    if (st >= 0) st = weights_write(cx, j->checked, m, j->result.path, attrs, n);
    if (st >= 0) st = job_figure(j, "tensors", value_int(m->n_weights));
    if (st >= 0 && stat(j->result.path, &file) == 0)
        st = job_figure(j, "bytes", value_int(file.st_size));
    model_drop(m);
    return st;
}

const job_type job_export = {
    .name = "export",
    .result = "weights",
    .doc = "a model's weights as a file that other tools read",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(export_params),
    .has_graphs = 1, /* the format's plugin is part of what it makes */
    .check = export_check,
    .run = export_run,
};
