/*
 * learn.c -- between a model's weights and the states of a session that trains them. See
 * learn.h.
 */
#include "learn.h"
#include <string.h>

static int32_t find(ctx *cx, const grad *g, session *s, int32_t slot, evla_tensor **out,
                    int *is_valid)
{
    const char *name = g->model->states[slot].name;
    if ((*out = session_state(s, name, is_valid))) return 0;
    return ctx_fail(
        cx, EVLA_E_ARG,
        "training: the session holds no state %s; open it over the plans of the "
        "training",
        name);
}

int32_t learn_begin(ctx *cx, const grad *g, session *s)
{
    int32_t st = session_reset(cx, s);
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++) {
        const weight_info *from = &g->of->weights[g->weights[i].weight];
        evla_tensor *to;
        if (!from->data)
            return ctx_fail(
                cx, EVLA_E_STATE,
                "weight %s: has no data to start from; load it or give it first "
                "values",
                from->name);
        if ((st = find(cx, g, s, g->weights[i].state, &to, NULL)) >= 0)
            memcpy(to->data[0], from->data, (size_t)type_bytes(cx->reg, &from->type));
    }
    return st;
}

int32_t learn_end(ctx *cx, const grad *g, session *s)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < g->n_weights; i++) {
        const grad_weight *w = &g->weights[i];
        evla_tensor *from;
        int is_valid = 0;
        if ((st = find(cx, g, s, w->state, &from, &is_valid)) < 0) break;
        if (!is_valid)
            return ctx_fail(cx, EVLA_E_STATE,
                            "weight %s: is invalid since a training step failed", w->name);
        st = model_set_weight(cx, g->of, w->weight, &w->type, from->data[0], 1);
    }
    return st;
}
