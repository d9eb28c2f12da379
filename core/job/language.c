/*
 * language.c -- from declared parameters to a completer. See language.h.
 */
#include "language.h"
#include <string.h>

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

symbols language_symbols(const language_params *p, const graph *g)
{
    symbols s = {0};
    for (int64_t k = 0; k < p->symbols.n; k++) {
        const job_symbol *given = (const job_symbol *)p->symbols.items + k;
        for (int32_t w = 0; w < g->n_symbols && s.n < TENSOR_MAX_SYMBOLS; w++)
            if (!strcmp(g->symbols[w].name, given->name)) {
                s.name[s.n] = given->name;
                s.extent[s.n++] = given->extent;
            }
    }
    return s;
}

static int32_t find_others(ctx *cx, model *m, const language_params *p, decoder_graph *out)
{
    for (int64_t i = 0; i < p->others.n; i++) {
        graph *g;
        out[i].name = ((const char *const *)p->others.items)[i];
        int32_t st = model_want_graph(cx, m, out[i].name, &g);
        if (st < 0) return st;
        out[i].symbols = language_symbols(p, g);
    }
    return 0;
}

int32_t language_open(ctx *cx, const job *from, const language_params *p, int32_t workers,
                      completer **out)
{
    model *m;
    decoder_graph others[LANGUAGE_OTHERS];
    int32_t st = language_model(cx, from ? from->name : "text", from, &m);
    if (st >= 0 && p->others.n > LANGUAGE_OTHERS)
        st = ctx_fail(cx, EVLA_E_LIMIT, "text: others: want at most %d graphs",
                      LANGUAGE_OTHERS);
    if (st >= 0) st = find_others(cx, m, p, others);
    if (st < 0) return st;
    m->packs = 1;
    completer_options o = {.decode = {.graph = p->graph,
                                      .others = others,
                                      .n_others = (int32_t)p->others.n,
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
