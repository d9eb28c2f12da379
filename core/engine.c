/*
 * engine.c -- the engine inside another program. See evla/evla.h.
 */
#include "engine.h"
#include "graph/save.h"
#include "machine.h"
#include "mem.h"
#include "run/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifndef EVLA_VERSION
#define EVLA_VERSION "0.0.0"
#endif

struct evla_model {
    evla_engine *of;
    model *m;
};

struct evla_session {
    evla_engine *of;
    plan *p;
    session *s;
};

/* Every call starts with a clean sentence. */
static ctx *begin(evla_engine *e)
{
    ctx_clear(&e->cx);
    arena_reset(&e->answers, (arena_place){NULL, 0});
    return &e->cx;
}

/* A field is read only if the caller's struct is long enough to have it. */
#define HAS(o, field)                                                                      \
    ((o) && (o)->size >= offsetof(__typeof__(*(o)), field) + sizeof(o)->field)

/* ---- engines ---- */

static int32_t load(evla_engine *e, const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return plugin_load_folder(&e->cx, &e->reg, path);
    return plugin_load(&e->cx, &e->reg, path);
}

int32_t evla_engine_new(const evla_engine_options *o, evla_engine **out)
{
    *out = NULL;
    evla_engine *e = mem_alloc(sizeof *e);
    if (!e) return EVLA_E_NOMEM;
    registry_init(&e->reg);
    ctx_init(&e->cx, &e->reg);
    e->answers = arena_growing(4 << 10);
    if (HAS(o, log_level)) e->cx.log_level = o->log_level;
    if (HAS(o, log)) e->cx.log = o->log;
    if (HAS(o, log_to)) e->cx.log_to = o->log_to;
    const char *kernels =
        HAS(o, kernels) && o->kernels ? o->kernels : getenv("EVLA_KERNEL");
    int32_t st = 0;
    if (kernels && !(e->kernels = arena_copy(&e->cx.mem, kernels)))
        st = ctx_fail(&e->cx, EVLA_E_NOMEM, "engine");
    for (int i = 0; st >= 0 && HAS(o, plugins) && o->plugins && o->plugins[i]; i++)
        st = load(e, o->plugins[i]);
    if (st >= 0) st = plugin_seal(&e->cx, &e->reg);
    const char *machine =
        HAS(o, machine) && o->machine ? o->machine : getenv("EVLA_MACHINE");
    if (st >= 0) st = machine_find(&e->cx, &e->reg, machine);
    e->is_up = st >= 0;
    *out = e;
    return st;
}

void evla_engine_free(evla_engine *e)
{
    if (!e) return;
    arena_free(&e->answers);
    ctx_free(&e->cx);
    registry_free(&e->reg);
    mem_free(e);
}

const char *evla_why(const evla_engine *e) { return e ? e->cx.why : "out of memory"; }

const char *evla_version(void) { return EVLA_VERSION; }

const evla_plugin *evla_engine_plugin(const evla_engine *e, int32_t i)
{
    return i >= 0 && i < e->reg.n_plugins ? e->reg.plugins[i].table : NULL;
}

const evla_item *evla_engine_item(const evla_engine *e, int32_t i)
{
    return i >= 0 && i < e->reg.n_items ? e->reg.items[i] : NULL;
}

int32_t evla_dtype_id(const evla_engine *e, const char *name)
{
    return dtype_find(&e->reg, name, strlen(name));
}

const char *evla_dtype_text(const evla_engine *e, int32_t dtype)
{
    const dtype_info *d = dtype_get(&e->reg, dtype);
    return d ? d->name : NULL;
}

/* ---- models ---- */

int32_t evla_model_open(evla_engine *e, const char *path, evla_model **out)
{
    ctx *cx = begin(e);
    *out = NULL;
    if (!e->is_up)
        return ctx_fail(cx, EVLA_E_STATE,
                        "the engine did not start; nothing can be opened");
    evla_model *m = mem_alloc(sizeof *m);
    if (!m) return ctx_fail(cx, EVLA_E_NOMEM, "%s", path);
    m->of = e;
    int32_t st = save_open(cx, path, &m->m);
    if (st < 0)
        mem_free(m);
    else
        *out = m;
    return st;
}

void evla_model_close(evla_model *m)
{
    if (!m) return;
    model_drop(m->m);
    mem_free(m);
}

const char *evla_model_graph(const evla_model *m, int32_t i)
{
    return i >= 0 && i < m->m->n_graphs ? m->m->graphs[i]->name : NULL;
}

const char *evla_model_input(const evla_model *m, const char *name, int32_t i)
{
    const graph *g = model_graph(m->m, name);
    return g && i >= 0 && i < g->n_inputs ? g->wires[g->inputs[i]].name : NULL;
}

const char *evla_model_output(const evla_model *m, const char *name, int32_t i)
{
    const graph *g = model_graph(m->m, name);
    return g && i >= 0 && i < g->n_outputs ? g->outputs[i].name : NULL;
}

/* ---- sessions ---- */

static int32_t open_session(ctx *cx, evla_model *m, const char *name,
                            const evla_session_options *o, evla_session *s)
{
    graph *g;
    symbols sizes = {0};
    int32_t st = model_want_graph(cx, m->m, name, &g);
    if (st < 0) return st;
    int32_t n = HAS(o, n_symbols) ? o->n_symbols : 0;
    if (n < 0 || n > TENSOR_MAX_SYMBOLS)
        return ctx_fail(cx, EVLA_E_ARG, "session: %d symbols, want 0 to %d", n,
                        TENSOR_MAX_SYMBOLS);
    for (int32_t i = 0; i < n; i++) {
        sizes.name[i] = o->symbols[i].name;
        sizes.extent[i] = o->symbols[i].extent;
        sizes.n = i + 1;
    }
    plan_options how = {.n_workers = HAS(o, n_workers) ? o->n_workers : 1,
                        .kernels = m->of->kernels,
                        .without = HAS(o, without) ? o->without : NULL,
                        .budget = HAS(o, budget_bytes) ? o->budget_bytes : 0};
    session_options run = {.n_workers = how.n_workers,
                           .profile = HAS(o, profile) && o->profile};
    if ((st = plan_make(cx, g, &sizes, &how, &s->p)) < 0) return st;
    return session_open(cx, &s->p, 1, &run, &s->s);
}

int32_t evla_session_new(evla_model *m, const char *name, const evla_session_options *o,
                         evla_session **out)
{
    ctx *cx = begin(m->of);
    *out = NULL;
    evla_session *s = mem_alloc(sizeof *s);
    if (!s) return ctx_fail(cx, EVLA_E_NOMEM, "session");
    s->of = m->of;
    int32_t st = open_session(cx, m, name, o, s);
    if (st < 0)
        evla_session_free(s);
    else
        *out = s;
    return st;
}

void evla_session_free(evla_session *s)
{
    if (!s) return;
    session_close(s->s);
    plan_drop(s->p);
    mem_free(s);
}

int32_t evla_session_input(evla_session *s, const char *name, evla_tensor *out)
{
    ctx *cx = begin(s->of);
    int32_t slot = plan_input(s->p, name);
    const evla_tensor *t = slot < 0 ? NULL : session_input(s->s, 0, slot);
    if (slot < 0) return session_set(cx, s->s, 0, name, NULL, 0); /* says what there is */
    if (!t)
        return ctx_fail(cx, EVLA_E_STATE, "input %s: nothing reads it, so it has no memory",
                        name);
    *out = *t;
    return 0;
}

int32_t evla_session_output(evla_session *s, const char *name, evla_tensor *out)
{
    ctx *cx = begin(s->of);
    int32_t slot = plan_output(s->p, name);
    if (slot < 0) return session_get(cx, s->s, 0, name, NULL, 0);
    *out = *session_output(s->s, 0, slot);
    return 0;
}

int32_t evla_session_set(evla_session *s, const char *name, const void *data,
                         uint64_t bytes)
{
    return session_set(begin(s->of), s->s, 0, name, data, bytes);
}

int32_t evla_session_get(evla_session *s, const char *name, void *data, uint64_t bytes)
{
    return session_get(begin(s->of), s->s, 0, name, data, bytes);
}

int32_t evla_session_run(evla_session *s) { return session_run(begin(s->of), s->s, 0); }

int32_t evla_session_reset(evla_session *s) { return session_reset(begin(s->of), s->s); }

int32_t evla_session_save(evla_session *s, const char *path)
{
    return session_save(begin(s->of), s->s, path);
}

int32_t evla_session_load(evla_session *s, const char *path)
{
    return session_load(begin(s->of), s->s, path);
}

uint64_t evla_session_bytes(const evla_session *s) { return session_bytes(s->s); }

const char *evla_session_report(evla_session *s)
{
    begin(s->of);
    const profile *p = session_profile(s->s, 0);
    return p ? profile_table(p, &s->of->answers) : plan_table(s->p, &s->of->answers);
}

/* ---- one operator ---- */

static evla_type type_of(const evla_tensor *t)
{
    evla_type type = {.dtype = t->dtype, .rank = t->rank};
    memcpy(type.shape, t->shape, sizeof type.shape);
    return type;
}

/* A graph of one node: an input per tensor that is there, all outputs. */
static int32_t one_node(ctx *cx, graph *g, const char *op, const value *params,
                        const evla_tensor *in, int32_t n_in, int32_t *n_out)
{
    const evla_item *item = registry_want(cx, EVLA_OP, op);
    graph_arg args[EVLA_MAX_PORTS];
    op_port ports[EVLA_MAX_PORTS];
    char names[EVLA_MAX_PORTS][16];
    int32_t n = 0, w, st = 0;
    if (!item) return cx->code;
    int32_t n_ports = op_ports(op_of(item)->inputs, ports);
    if (n_in > EVLA_MAX_PORTS || n_ports < 0 ||
        (n_in > n_ports && !(n_ports && ports[n_ports - 1].variadic)))
        return ctx_fail(cx, EVLA_E_ARG, "%s: %d inputs given; its inputs are: %s", op, n_in,
                        op_of(item)->inputs);
    for (int32_t i = 0; st >= 0 && i < n_in; i++) {
        if (!in[i].data[0]) continue;
        evla_type t = type_of(&in[i]);
        snprintf(names[i], sizeof names[i], "in.%d", i);
        const char *text = type_text(cx->reg, &cx->scratch, &t);
        st = graph_input(cx, g, names[i], text, NULL, &w);
        const op_port *p = &ports[i < n_ports ? i : n_ports - 1];
        args[n++] = (graph_arg){arena_copy_n(&cx->scratch, p->name, (size_t)p->n), w};
    }
    if (st < 0 || (st = graph_add(cx, g, op, args, n, params, NULL, &w)) < 0) return st;
    *n_out = g->nodes[0].n_out;
    for (int32_t i = 0; st >= 0 && i < *n_out; i++) {
        snprintf(names[0], sizeof names[0], "out.%d", i);
        st = graph_output(cx, g, names[0], g->nodes[0].out[i], NULL);
    }
    return st;
}

static int32_t run_node(evla_engine *e, graph *g, const evla_tensor *in, int32_t n_in,
                        evla_tensor *out, int32_t n_out)
{
    ctx *cx = &e->cx;
    plan_options how = {.kernels = e->kernels, .without = "fold dead"};
    plan *p;
    session *s = NULL;
    int asks = 0;
    int32_t st = plan_make(cx, g, &(symbols){0}, &how, &p);
    if (st < 0) return st;
    for (int32_t i = 0; st >= 0 && i < n_out; i++) {
        const evla_type *t = plan_output_type(p, i);
        if (!out[i].data[0]) {
            asks = 1;
            out[i] = tensor_view(cx->reg, t, NULL);
            continue;
        }
        evla_type given = type_of(&out[i]);
        if (!type_equal(&given, t))
            st = ctx_fail(cx, EVLA_E_SHAPE, "%s: output %d: makes %s, given memory for %s",
                          g->nodes[0].op->name, i, type_text(cx->reg, &cx->scratch, t),
                          type_text(cx->reg, &cx->scratch, &given));
    }
    if (st >= 0 && !asks) st = session_open(cx, &p, 1, NULL, &s);
    if (s) {
        for (int32_t i = 0; st >= 0 && i < n_in; i++) {
            if (!in[i].data[0]) continue;
            evla_type t = type_of(&in[i]);
            char name[16];
            snprintf(name, sizeof name, "in.%d", i);
            st =
                session_set(cx, s, 0, name, in[i].data[0], (size_t)type_bytes(cx->reg, &t));
        }
        if (st >= 0) st = session_run(cx, s, 0);
        for (int32_t i = 0; st >= 0 && i < n_out; i++) {
            const evla_tensor *from = session_output(s, 0, i);
            memcpy(out[i].data[0], from->data[0],
                   (size_t)type_bytes(cx->reg, plan_output_type(p, i)));
        }
        session_close(s);
    }
    plan_drop(p);
    return st;
}

int32_t evla_op_run(evla_engine *e, const char *op, const char *params,
                    const evla_tensor *in, int32_t n_in, evla_tensor *out, int32_t n_out)
{
    ctx *cx = begin(e);
    arena_place mark = arena_mark(&cx->scratch);
    model *m;
    graph *g;
    value given = {0};
    size_t at;
    int32_t made = 0, st;
    if (!e->is_up) return ctx_fail(cx, EVLA_E_STATE, "the engine did not start");
    if (params && value_parse(&cx->scratch, params, strlen(params), &given, &at) < 0)
        return ctx_fail(cx, EVLA_E_ARG, "%s: parameters: no JSON from byte %zu on: %.60s",
                        op, at, params);
    if ((st = model_new(cx, "op", &m)) < 0) return st;
    if ((st = graph_new(cx, m, "op", NULL, &g)) >= 0 &&
        (st = one_node(cx, g, op, &given, in, n_in, &made)) >= 0) {
        if (made != n_out)
            st = ctx_fail(cx, EVLA_E_ARG, "%s: has %d outputs, room was given for %d", op,
                          made, n_out);
        else
            st = run_node(e, g, in, n_in, out, n_out);
    }
    model_drop(m);
    arena_reset(&cx->scratch, mark);
    return st;
}
