/*
 * dataset.c -- the job type "dataset": episodes that are there already, in a person's own
 * file.
 *
 * Nothing is copied: the result is the file itself, and its content keys the jobs behind
 * it.
 */
#include "../host.h"
#include "../registry.h"
#include "types.h"

typedef struct dataset_params {
    const char *path;
} dataset_params;

static const evla_param params[] = {
    {.name = "path",
     .doc = "a file of episodes, written by a pipeline or by another program",
     .type = EVLA_P_PATH,
     .flags = EVLA_PF_INPUT,
     .offset = offsetof(dataset_params, path)},
};

const char *job_dataset_path(const job *j)
{
    const dataset_params *p = j->type == &job_dataset ? j->checked : NULL;
    return p ? p->path : NULL;
}

/* Opens the file and counts; what is no dataset is refused here. */
static int32_t count(ctx *cx, const job *j, int64_t *n)
{
    const dataset_params *p = j->params;
    const evla_item *item = registry_find(cx->reg, EVLA_SERVICE, "frames");
    const evla_frames_service *frames = item ? item->table : NULL;
    host h;
    void *file = NULL;
    if (!frames)
        return ctx_fail(cx, EVLA_E_MISSING,
                        "dataset \"%s\": no plugin here reads stored rows (the service "
                        "\"frames\"); evla doctor says which package is missing",
                        j->name);
    host_init(&h, cx, NULL);
    arena_place mark = arena_mark(&cx->scratch);
    int32_t st = frames->open(&h.table, p->path, NULL, &file);
    if (st >= 0) *n = frames->count(&h.table, file);
    if (st >= 0 && *n < 1)
        st = ctx_fail(cx, EVLA_E_MISSING, "dataset \"%s\": %s holds no episode", j->name,
                      p->path);
    if (file) frames->close(&h.table, file);
    host_done(&h, mark);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "%s: %s", p->path, ctx_code_text(st));
    return st;
}

static int32_t dataset_check(ctx *cx, job *j)
{
    int64_t n;
    j->result.path = ((const dataset_params *)j->params)->path;
    int32_t st = count(cx, j, &n);
    j->checked = st < 0 ? NULL : j->params; /* what is refused here is told once */
    return st;
}

static int32_t dataset_run(ctx *cx, job *j)
{
    int64_t n = 0;
    int32_t st = count(cx, j, &n);
    return st < 0 ? st : job_figure(j, "episodes", value_int(n));
}

const job_type job_dataset = {
    .name = "dataset",
    .result = "episodes",
    .doc = "episodes in a file that is there already",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(dataset_params),
    .check = dataset_check,
    .run = dataset_run,
};
