/*
 * verb_graph.c -- evla ops and evla show: the graphs of a saved model, a model file or a
 * program.
 *
 * Words that start with a capital letter bind symbols, --B 32; the others are options of
 * the model file or of the program. Symbols that nobody binds get the smallest extent their
 * rule names, or 1. --train, or --train=OUTPUT, shows the training step of the graphs that
 * have that output ("loss") instead.
 */
#include "../graph/grad.h"
#include "../graph/plan.h"
#include "../graph/save.h"
#include "../graph/show.h"
#include "../job/types.h"
#include "../registry.h"
#include "bind_graph.h"
#include "verbs.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_GRAPHS = 256 };

/* A graph at the extents it is looked at with. */
typedef struct seen {
    const graph *g;
    symbols at;
    plan *p;
} seen;

typedef struct looking {
    call *c;
    ctx *cx;
    script *s;
    model *own; /* opened here, dropped here */
    seen list[MOST_GRAPHS];
    int32_t n;
    int has_lines;     /* nodes know lines of a script */
    const char *train; /* the output to train, or NULL */
} looking;

/* ---- finding graphs ---- */

static int is_symbol(const script_option *o) { return isupper((unsigned char)o->name[0]); }

/* The command line's extents first, then what a job says, then presets. */
static int32_t add_graph(looking *l, const graph *g, const job *maker,
                         const evla_list *given)
{
    const script_setup *setup = &l->c->setup;
    job_symbol first[TENSOR_MAX_SYMBOLS];
    evla_list list = {first, 0};
    if (l->n == MOST_GRAPHS)
        return ctx_fail(l->cx, EVLA_E_LIMIT, "more than %d graphs", MOST_GRAPHS);
    for (int32_t i = 0; i < setup->n_options; i++) {
        const script_option *o = &setup->options[i];
        char *end = NULL;
        if (!is_symbol(o) || list.n == TENSOR_MAX_SYMBOLS) continue;
        long long extent = o->value ? strtoll(o->value, &end, 10) : -1;
        if (extent < 0 || !end || *end)
            return ctx_fail(l->cx, EVLA_E_ARG,
                            "--%s: want an extent such as 32, got \"%s\"", o->name,
                            o->value ? o->value : "");
        first[list.n++] = (job_symbol){o->name, extent};
    }
    for (int64_t i = 0; given && i < given->n && list.n < TENSOR_MAX_SYMBOLS; i++)
        first[list.n++] = ((const job_symbol *)given->items)[i];
    seen *out = &l->list[l->n];
    out->g = g;
    int32_t st = job_model_symbols(l->cx, maker, g, &list, 1, &out->at);
    if (st >= 0) l->n++;
    return st;
}

/* In a program a graph is looked at as the first job that runs it does. */
static int32_t add_model(looking *l, const model *m, const job *maker)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < m->n_graphs; i++) {
        const evla_list *given = NULL;
        for (int32_t k = 0; maker && !given && k < maker->in->n_jobs; k++)
            given = job_apply_symbols(maker->in->jobs[k], maker, m->graphs[i]->name);
        st = add_graph(l, m->graphs[i], maker, given);
    }
    return st;
}

static int32_t add_program(looking *l)
{
    program *p = l->s->prog;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < p->n_jobs; i++) {
        const model *m = job_model_graphs(p->jobs[i]);
        if (m) st = add_model(l, m, p->jobs[i]);
    }
    if (st >= 0 && !l->n)
        st = ctx_fail(l->cx, EVLA_E_MISSING, "%s: it declares no model", l->c->file);
    return st;
}

/* Loads and calls a file; what it returns tells a model file from a program. */
static int l_run_file(lua_State *L)
{
    script *s = script_of(L);
    const char *path = lua_tostring(L, 1);
    script_load_text(L, s, path, path);
    lua_call(L, 0, 1);
    return 1;
}

static int l_build_file(lua_State *L)
{
    script *s = script_of(L);
    looking *l = lua_touserdata(L, 1);
    lua_newtable(L);
    for (int32_t i = 0; i < s->setup.n_options; i++) {
        const script_option *o = &s->setup.options[i];
        value v = value_bool(1);
        if (is_symbol(o)) continue;
        if (o->value && value_parse(&s->cx->mem, o->value, strlen(o->value), &v, NULL) < 0)
            v = value_text(o->value);
        tree_push(L, s, &v);
        lua_setfield(L, 2, o->name);
    }
    model *m =
        bind_graph_build(L, s, l->c->file, l->c->file, s->prog->name, "command line", 2);
    lua_setfield(L, LUA_REGISTRYINDEX, "evla.looked at");
    if (add_model(l, m, NULL) < 0) script_throw(L, s);
    return 0;
}

static int is_model_file(lua_State *L)
{
    if (lua_isfunction(L, 1)) return 1;
    int found = lua_istable(L, 1) && lua_getfield(L, 1, "graphs") == LUA_TFUNCTION;
    lua_settop(L, 1);
    return found;
}

static int32_t look_script(looking *l)
{
    l->s = script_open(l->cx, l->c->file, &l->c->setup);
    if (!l->s) return l->cx->code;
    lua_State *L = l->s->L;
    l->has_lines = 1;
    lua_settop(L, 0);
    lua_pushcfunction(L, l_run_file);
    lua_pushstring(L, l->c->file);
    int32_t st = script_call(l->s, 1, 1);
    if (st < 0) return st;
    if (is_model_file(L)) {
        lua_settop(L, 0);
        lua_pushcfunction(L, l_build_file);
        lua_pushlightuserdata(L, l);
        return script_call(l->s, 1, 0);
    }
    st = bind_collect(l->s, 1, l->c->file);
    return st < 0 ? st : add_program(l);
}

/* Takes --train out of the options, the rest is the file's own. */
static int32_t take_train(looking *l)
{
    script_setup *setup = &l->c->setup;
    script_option *rest =
        arena_push(&l->cx->mem, (size_t)setup->n_options + 1, sizeof *rest);
    int32_t n = 0;
    if (!rest) return ctx_fail(l->cx, EVLA_E_NOMEM, "options");
    for (int32_t i = 0; i < setup->n_options; i++) {
        const script_option *o = &setup->options[i];
        if (strcmp(o->name, "train") != 0)
            rest[n++] = *o;
        else
            l->train = o->value ? o->value : "loss";
    }
    setup->options = rest;
    setup->n_options = n;
    return 0;
}

static int has_output(const graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) return 1;
    return 0;
}

static int32_t plan_training(looking *l, const plan_options *how)
{
    int32_t n = 0, st = 0;
    for (int32_t i = 0; i < l->n; i++)
        if (has_output(l->list[i].g, l->train)) l->list[n++] = l->list[i];
    l->n = n;
    if (!n)
        return ctx_fail(l->cx, EVLA_E_MISSING,
                        "%s: no graph has an output \"%.60s\" to train; name one, such as "
                        "--train=loss",
                        l->c->file, l->train);
    for (int32_t i = 0; st >= 0 && i < n; i++) {
        const grad_options go = {.loss = l->train, .clip_norm = 1};
        grad *g;
        if ((st = grad_make(l->cx, l->list[i].g, &l->list[i].at, &go, how, &g)) < 0) break;
        l->list[i].p = g->plans[g->batch];
        plan_keep(l->list[i].p);
        grad_free(g);
    }
    return st;
}

static int32_t look(looking *l)
{
    size_t n = strlen(l->c->file);
    int32_t st = take_train(l);
    if (st < 0) return st;
    if (n > 5 && !strcmp(l->c->file + n - 5, ".evla")) {
        st = save_open(l->cx, l->c->file, &l->own);
        if (st >= 0) st = add_model(l, l->own, NULL);
    } else
        st = look_script(l);
    int64_t workers =
        l->c->setup.workers ? l->c->setup.workers : sysconf(_SC_NPROCESSORS_ONLN);
    plan_options how = {.n_workers = (int32_t)workers};
    if (st >= 0 && l->train) return plan_training(l, &how);
    for (int32_t i = 0; st >= 0 && i < l->n; i++)
        st = plan_make(l->cx, l->list[i].g, &l->list[i].at, &how, &l->list[i].p);
    return st;
}

static int leave(looking *l, int32_t st)
{
    int code = st < 0 ? call_fail(l->c) : EXIT_DONE;
    for (int32_t i = 0; i < l->n; i++)
        plan_drop(l->list[i].p);
    model_drop(l->own);
    script_close(l->s);
    return code;
}

/* ---- evla ops ---- */

/* What would compute a node if its kernel were not there. */
static const char *fallback(looking *l, const plan *p, const plan_step *s)
{
    int32_t n, score = INT32_MIN;
    const char *best = NULL;
    const evla_item *const *all = registry_kind(l->cx->reg, EVLA_KERNEL, &n);
    for (int32_t i = 0; i < n; i++) {
        pick other;
        plan_options only = {.kernels = all[i]->name, .n_workers = p->n_workers};
        if (all[i] == s->item ||
            strcmp(((const evla_kernel *)all[i]->table)->op, s->node.op) != 0)
            continue;
        int32_t st = choose_kernel(l->cx, &only, &s->node, 1, &other);
        ctx_clear(l->cx);
        if (st < 0 || other.item != all[i] || other.offer.score <= score) continue;
        score = other.offer.score;
        best = all[i]->name;
    }
    if (best) return best;
    int32_t parts = p->graph->nodes[s->of].n_body;
    return parts ? arena_text(&l->cx->mem, "its %d parts", parts) : "none";
}

static const char *op_text(looking *l, const plan_step *s)
{
    const char *t = s->node.op;
    for (int32_t i = 0; t && i < s->node.n_tail; i++)
        t = arena_text(&l->cx->mem, "%s+%s", t, s->node.tail[i].op);
    return t ? t : s->node.op;
}

static void print_table(looking *l, const seen *g)
{
    const plan *p = g->p;
    printf("graph %s", g->g->name);
    for (int32_t i = 0; i < g->at.n; i++)
        printf("%s%s = %lld", i ? ", " : ": ", g->at.name[i], (long long)g->at.extent[i]);
    printf("\n  %-20s %-16s %-22s %-22s %-16s %9s %9s%s\n", "node", "operator", "kernel",
           "fallback", "output", "MFLOP", "KiB", l->has_lines ? "  line" : "");
    for (int32_t i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        const char *label = strchr(s->node.label, '/'); /* the graph's name stands above */
        printf("  %-20s %-16s %-22s %-22s %-16s %9.3f %9.1f%s%s\n",
               label ? label + 1 : s->node.label, op_text(l, s), s->item->name,
               fallback(l, p, s), type_text(l->cx->reg, &l->cx->mem, &s->node.out[0]),
               s->flops * 1e-6, (double)s->bytes / 1024, l->has_lines ? "  " : "",
               l->has_lines && s->where ? s->where : "");
    }
    const evla_machine *m = &l->cx->reg->machine;
    printf("  machine %s%s%s\n", m->name, *m->features ? ": " : "", m->features);
    printf(
        "  %d nodes, %.3f MFLOP; arena %llu bytes, lower bound %llu, states %llu, weights "
        "%llu; folded %d, coded %d, dead %d, fused %d\n",
        p->n_steps, p->flops * 1e-6, (unsigned long long)p->arena_bytes,
        (unsigned long long)p->lower_bound, (unsigned long long)p->state_bytes,
        (unsigned long long)p->weight_bytes, p->graph->n_folded, p->graph->n_coded,
        p->graph->n_dead, p->graph->n_fused);
}

static value json_of(looking *l, const seen *g)
{
    const plan *p = g->p;
    value_pair extents[TENSOR_MAX_SYMBOLS];
    value nodes = value_list(&l->cx->mem, p->n_steps);
    for (int32_t i = 0; nodes.as.items && i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        const value_pair row[] = {
            {"node", value_text(s->node.label)},
            {"op", value_text(op_text(l, s))},
            {"kernel", value_text(s->item->name)},
            {"fallback", value_text(fallback(l, p, s))},
            {"output", value_text(type_text(l->cx->reg, &l->cx->mem, &s->node.out[0]))},
            {"flops", value_float(s->flops)},
            {"bytes", value_int((int64_t)s->bytes)},
            {"where", value_text(l->has_lines && s->where ? s->where : "")},
        };
        nodes.as.items[nodes.n_items++] =
            value_table(&l->cx->mem, row, sizeof row / sizeof *row);
    }
    for (int32_t i = 0; i < g->at.n; i++)
        extents[i] = (value_pair){g->at.name[i], value_int(g->at.extent[i])};
    const value_pair whole[] = {
        {"graph", value_text(g->g->name)},
        {"machine", value_text(l->cx->reg->machine.name)},
        {"features", value_text(l->cx->reg->machine.features)},
        {"symbols", value_table(&l->cx->mem, extents, g->at.n)},
        {"nodes", nodes},
        {"arena_bytes", value_int((int64_t)p->arena_bytes)},
        {"lower_bound_bytes", value_int((int64_t)p->lower_bound)},
        {"state_bytes", value_int((int64_t)p->state_bytes)},
        {"weight_bytes", value_int((int64_t)p->weight_bytes)},
    };
    return value_table(&l->cx->mem, whole, sizeof whole / sizeof *whole);
}

static int32_t print_json(looking *l)
{
    value list = value_list(&l->cx->mem, l->n);
    for (int32_t i = 0; list.as.items && i < l->n; i++)
        list.as.items[list.n_items++] = json_of(l, &l->list[i]);
    const char *text = value_print(&l->cx->mem, &list, NULL);
    if (!text) return ctx_fail(l->cx, EVLA_E_NOMEM, "evla ops: its JSON");
    puts(text);
    return 0;
}

int verb_ops(call *c)
{
    looking l = {.c = c, .cx = c->cx};
    int32_t st = look(&l);
    if (st >= 0 && c->is_json) st = print_json(&l);
    for (int32_t i = 0; st >= 0 && !c->is_json && i < l.n; i++)
        print_table(&l, &l.list[i]);
    return leave(&l, st);
}

/* ---- evla show ---- */

static int32_t write_picture(looking *l, const seen *g, const char *what, const char *svg)
{
    arena *a = &l->cx->mem;
    const char *folder = arena_text(a, "%s/show/%s", l->c->setup.out, g->g->of->name);
    const char *path =
        folder ? arena_text(a, "%s/%s.%s.svg", folder, g->g->name, what) : NULL;
    if (!svg || !path)
        return ctx_fail(l->cx, EVLA_E_NOMEM, "picture of graph %s", g->g->name);
    int32_t st = folder_make(l->cx, folder);
    if (st >= 0) st = file_replace(l->cx, path, svg, strlen(svg));
    if (st >= 0 && !l->c->is_quiet) puts(path);
    return st;
}

/* As declared, as it is planned, and its arena. */
static int32_t draw(looking *l, const seen *g)
{
    static const plan_options plain = {.without = "fold dead fuse"};
    const char *name = g->g->name;
    arena *a = &l->cx->mem, mem = arena_growing(64 << 10);
    bound *b;
    int32_t st = infer_bind(l->cx, &mem, g->g, &g->at, &plain, &b);
    if (st >= 0)
        st = write_picture(l, g, "before",
                           show_graph(l->cx, a, b, arena_text(a, "%s, as declared", name)));
    arena_free(&mem);
    if (st >= 0)
        st = write_picture(
            l, g, "after",
            show_graph(l->cx, a, g->p->graph, arena_text(a, "%s, as planned", name)));
    if (st >= 0)
        st = write_picture(l, g, "arena",
                           show_arena(l->cx, a, g->p, arena_text(a, "%s, arena", name)));
    return st;
}

int verb_show(call *c)
{
    looking l = {.c = c, .cx = c->cx};
    int32_t st = look(&l);
    for (int32_t i = 0; st >= 0 && i < l.n; i++)
        st = draw(&l, &l.list[i]);
    return leave(&l, st);
}
