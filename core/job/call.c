/*
 * call.c -- from declared parameters to a schedule. See call.h.
 */
#include "call.h"
#include "../graph/save.h"

// clang-format off
const evla_param call_line_fields[3] = {
    {.name = "graph", .doc = "its name", .type = EVLA_P_STRING,
     .offset = offsetof(schedule_line, graph)},
    {.name = "times", .doc = "runs in a row: its input `step` counts them from 0, and outputs go "
     "back into inputs of the same name", .type = EVLA_P_INT, .preset = "1", .min = 1,
     .max = TURNS_MOST, .offset = offsetof(schedule_line, times)},
    {.name = "phase", .doc = "what its time is counted as; \"\": the graph's name",
     .type = EVLA_P_STRING, .preset = "", .offset = offsetof(schedule_line, phase)},
};
// clang-format on

int32_t call_model(ctx *cx, const job *from, const evla_value *v, model **out)
{
    model *m = from ? job_model_graphs(from) : NULL;
    if (m && (m->file || m->map)) return model_keep(m), *out = m, 0;
    return save_open(cx, v->path, out);
}

int32_t call_open(ctx *cx, model *m, const call_params *p, int32_t workers, int only_plan,
                  schedule **out)
{
    symbols extents = {0};
    for (int64_t i = 0; i < p->symbols.n && extents.n < TENSOR_MAX_SYMBOLS; i++) {
        const job_symbol *s = (const job_symbol *)p->symbols.items + i;
        extents.name[extents.n] = s->name;
        extents.extent[extents.n++] = s->extent;
    }
    const schedule_options how = {.n_workers = workers,
                                  .budget = (uint64_t)p->memory,
                                  .extents = &extents,
                                  .profile = 1};
    const schedule_line only = {.graph = m->n_graphs ? m->graphs[0]->name : ""};
    if (!p->schedule.n && m->n_graphs != 1)
        return ctx_fail(cx, EVLA_E_ARG,
                        "schedule: is missing; model %s has %d graphs, so say which run: "
                        "schedule = { { graph = \"%s\" } }",
                        m->name, m->n_graphs, only.graph);
    const schedule_line *lines = p->schedule.n ? p->schedule.items : &only;
    int32_t n = p->schedule.n ? (int32_t)p->schedule.n : 1;
    if (m->file || m->map) m->packs = 1; /* nobody trains what lies in a file */
    return only_plan ? schedule_plan(cx, m, lines, n, &how, out)
                     : schedule_open(cx, m, lines, n, &how, out);
}

int call_put_number(const evla_tensor *t, int64_t i, double v)
{
#define CASE(id, type, least, most)                                                        \
    case id:                                                                               \
        if (!(v >= (least) && v <= (most))) return 0;                                      \
        if (t->data[0]) ((type *)t->data[0])[i] = (type)v;                                 \
        return 1
    switch (t->dtype) {
    case EVLA_F32:
        if (t->data[0]) ((float *)t->data[0])[i] = (float)v;
        return 1;
    case EVLA_F64:
        if (t->data[0]) ((double *)t->data[0])[i] = v;
        return 1;
        CASE(EVLA_I32, int32_t, INT32_MIN, INT32_MAX);
        CASE(EVLA_I64, int64_t, -0x1p53, 0x1p53);
        CASE(EVLA_U8, uint8_t, 0, UINT8_MAX);
        CASE(EVLA_BOOL, uint8_t, 0, 1);
    }
#undef CASE
    return 0;
}
