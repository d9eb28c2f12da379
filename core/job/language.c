/*
 * language.c -- from declared parameters to a completer. See language.h.
 */
#include "language.h"

int32_t language_check(ctx *cx, const char *what, const language_params *p)
{
    cache c;
    int32_t st = cache_open(cx, &p->cache, (int32_t)p->context, &c);
    if (st < 0) ctx_prefix(cx, "%s", what);
    cache_close(&c);
    return st;
}

int32_t language_model(ctx *cx, const char *what, const job *from, model **out)
{
    model *m = from ? job_model_graphs(from) : NULL;
    if (!m || (!m->file && !m->map))
        return ctx_fail(cx, EVLA_E_ARG,
                        "%s: model: want a checkpoint, evla.load \"FILE\", whose weights "
                        "stay in their file; got %s %s",
                        what, from ? "the job" : "nothing", from ? from->name : "");
    return *out = m, 0;
}

int32_t language_open(ctx *cx, const job *from, const language_params *p, int32_t workers,
                      completer **out)
{
    model *m;
    int32_t st = language_model(cx, from ? from->name : "text", from, &m);
    if (st < 0) return st;
    m->packs = 1;
    completer_options o = {.decode = {.graph = p->graph,
                                      .all = p->all,
                                      .context = (int32_t)p->context,
                                      .cache = p->cache,
                                      .n_blocks = (int32_t)p->blocks,
                                      .n_workers = workers,
                                      .budget = (uint64_t)p->memory},
                           .tokenizer = job_checkpoint_tokenizer(from),
                           .attrs = m->attrs,
                           .n_attrs = m->n_attrs};
    return completer_open(cx, m, &o, out);
}
