/*
 * recipe_cases.c -- a recipe for a model that is called: several graphs in the order of a
 * schedule, measured on cases.
 *
 * Every f32 output of every run of every line is a stage. The f32 model's stages are kept;
 * a model in codes runs the same cases, and each stage has its error. The metric is that of
 * what the call is for, the action. Both models run with the kernels and layouts that
 * calls of them use.
 */
#include "../run/clock.h"
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_NS = 2000000000, /* of timing, as long as there were LEAST_RUNS */
    LEAST_RUNS = 3
};

static const char *const metrics[] = {"max_error", "rms_error", "output_error"};

static int64_t n_cases(const recipe_params *p)
{
    return p->cases.n ? p->cases.n : p->drawn;
}

/* The call of the f32 model: the budget is for what is delivered. */
static call_params call_of_f32(const recipe_params *p)
{
    call_params how = p->call;
    how.memory = 0;
    return how;
}

static int32_t open_model(recipe_work *w, model *m, int is_f32, schedule **out)
{
    const call_params f32 = call_of_f32(w->p);
    m->packs = 1;
    return call_open(w->cx, m, is_f32 ? &f32 : &w->p->call, w->n_workers, 0, out);
}

/* Inputs of a case that it does not name are zeros, as in a call. */
static int32_t set_case(recipe_work *w, schedule *s, int64_t i)
{
    int32_t st = schedule_reset(w->cx, s);
    if (st < 0) return st;
    for (int32_t k = 0; k < schedule_n_inputs(s); k++) {
        const schedule_port *p = schedule_input(s, k);
        memset(p->view.data[0], 0, (size_t)type_bytes(w->cx->reg, &p->type));
    }
    if (!w->p->cases.n) return call_case_draw(w->cx, s, (uint64_t)i + 1);
    st = call_case_set(w->cx, s, (const call_case *)w->p->cases.items + i);
    if (st < 0) ctx_prefix(w->cx, "cases[%lld]", (long long)i + 1);
    return st;
}

/* All cases of a model, each run heard by `heard`. */
static int32_t run_cases(recipe_work *w, model *m, int is_f32, schedule_heard *heard,
                         void *to, schedule **s, int64_t *at)
{
    int32_t st = open_model(w, m, is_f32, s);
    for (*at = 0; st >= 0 && *at < n_cases(w->p); ++*at) {
        st = set_case(w, *s, *at);
        if (st >= 0) st = schedule_run(w->cx, *s, heard, to);
        if (st >= 0 && ctx_stopping(w->cx)) st = ctx_fail(w->cx, EVLA_E_STOPPED, "stopped");
    }
    schedule_close(*s);
    return st;
}

/* ---- stages ---- */

typedef struct hearing {
    recipe_work *w;
    schedule *s;
    int64_t at; /* the case */
    int is_f32;
} hearing;

static void compare(recipe_stage *g, const float *v, const float *f32)
{
    for (int64_t i = 0; i < g->n; i++) {
        double gap = (double)v[i] - (double)f32[i], size = fabs((double)f32[i]);
        g->gaps += gap * gap;
        g->all += size * size;
        if (fabs(gap) > g->most) g->most = fabs(gap);
        if (size > g->largest) g->largest = size;
    }
}

static int32_t hear(void *to, ctx *cx, int32_t line, int64_t time)
{
    const hearing *h = to;
    (void)cx;
    for (int32_t i = 0; i < h->w->n_stages; i++) {
        recipe_stage *g = &h->w->stages[i];
        if (g->line != line || g->time != time) continue;
        const float *v = schedule_output(h->s, g->port)->view.data[0];
        float *f32 = g->f32 + h->at * g->n;
        if (h->is_f32) memcpy(f32, v, (size_t)g->n * sizeof *v);
        compare(g, v, f32);
    }
    return 0;
}

static int32_t add_stage(recipe_work *w, const schedule *s, int32_t port, int64_t time)
{
    const schedule_port *p = schedule_output(s, port);
    int64_t n = type_count(&p->type), times = schedule_line_at(s, p->line).times;
    recipe_stage *g = &w->stages[w->n_stages++];
    *g = (recipe_stage){.line = p->line, .port = port, .time = time, .n = n};
    g->output = arena_copy(&w->mem, p->name);
    g->name =
        times > 1 ? arena_text(&w->mem, "s%lld_%s", (long long)time, p->name) : g->output;
    g->f32 = arena_push(&w->mem, (size_t)(n * n_cases(w->p)) + 1, sizeof *g->f32);
    return g->output && g->name && g->f32
               ? 0
               : ctx_fail(w->cx, EVLA_E_NOMEM, "stage %s", p->name);
}

static int32_t list_stages(recipe_work *w, const schedule *s)
{
    int64_t most = 0;
    int32_t st = 0, n_out = schedule_n_outputs(s);
    for (int32_t i = 0; i < n_out; i++)
        most += schedule_line_at(s, schedule_output(s, i)->line).times;
    w->stages = arena_push(&w->mem, (size_t)most + 1, sizeof *w->stages);
    w->n_phases = schedule_n_lines(s);
    w->phases = arena_push(&w->mem, (size_t)w->n_phases, sizeof *w->phases);
    if (!w->stages || !w->phases) return ctx_fail(w->cx, EVLA_E_NOMEM, "stages");
    for (int32_t line = 0; line < w->n_phases; line++) {
        schedule_phase p = schedule_line_at(s, line);
        recipe_phase *f = &w->phases[line];
        *f = (recipe_phase){.times = p.times,
                            .name = arena_copy(&w->mem, p.name),
                            .graph = arena_copy(&w->mem, p.graph)};
        if (!f->name || !f->graph) return ctx_fail(w->cx, EVLA_E_NOMEM, "phases");
        for (int64_t time = 0; st >= 0 && time < p.times; time++)
            for (int32_t i = 0; st >= 0 && i < n_out; i++) {
                const schedule_port *o = schedule_output(s, i);
                if (o->line == line && o->type.dtype == EVLA_F32)
                    st = add_stage(w, s, i, time);
            }
    }
    return st;
}

/* What the metric is of: the newest output of that name; without a name all of the last
 * line's last run. */
static int is_judged(const recipe_work *w, const recipe_stage *g)
{
    const char *name = w->p->accept.output;
    int32_t line = w->n_phases - 1;
    for (int32_t i = w->n_stages - 1; *name && i >= 0; i--)
        if (!strcmp(w->stages[i].output, name)) {
            line = w->stages[i].line;
            break;
        }
    return g->line == line && g->time == w->phases[line].times - 1 &&
           (!*name || !strcmp(g->output, name));
}

/* ---- public ---- */

int32_t recipe_cases_check(ctx *cx, const job *j, model *m)
{
    const recipe_params *p = j->params;
    const char *name = p->accept.output;
    const schedule_port *out;
    schedule *s;
    int known = 0;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        known |= !strcmp(recipe_metric(p), metrics[i]);
    if (!known || p->accept.better != RECIPE_LOWER)
        return ctx_fail(cx, EVLA_E_ARG,
                        "recipe \"%s\": accept: want the metric max_error, rms_error or "
                        "output_error of a schedule, lower is better; got %s, %s",
                        j->name, recipe_metric(p),
                        p->accept.better == RECIPE_LOWER ? "lower" : "higher");
    const call_params f32 = call_of_f32(p);
    int32_t st = call_open(cx, m, &f32, 1, 1, &s);
    if (st < 0) return ctx_prefix(cx, "recipe \"%s\"", j->name), st;
    if (*name) st = schedule_want_output(cx, s, name, &out);
    if (st >= 0 && *name && out->type.dtype != EVLA_F32)
        st = ctx_fail(cx, EVLA_E_DTYPE, "output %s is not f32", name);
    if (st < 0) ctx_prefix(cx, "recipe \"%s\": accept", j->name);
    for (int64_t i = 0; st >= 0 && i < p->cases.n; i++) {
        st = call_case_set(cx, s, (const call_case *)p->cases.items + i);
        if (st < 0) ctx_prefix(cx, "recipe \"%s\": cases[%lld]", j->name, (long long)i + 1);
    }
    schedule_close(s);
    return st;
}

static int32_t watch(void *to, ctx *cx, int32_t line, int64_t time)
{
    const hearing *h = to;
    int32_t st = 0;
    (void)cx, (void)time;
    for (int32_t k = 0; st >= 0 && k < schedule_n_outputs(h->s); k++) {
        const schedule_port *p = schedule_output(h->s, k);
        if (p->line == line) st = recipe_observe(h->w, p->name, &p->type, p->view.data[0]);
    }
    return st;
}

int32_t recipe_cases_watch(recipe_work *w, model *probe)
{
    hearing h = {.w = w};
    return run_cases(w, probe, 1, watch, &h, &h.s, &h.at);
}

static double judged(const recipe_work *w, double *unit)
{
    double gaps = 0, all = 0, most = 0, largest = 0;
    int64_t n = 0;
    for (int32_t i = 0; i < w->n_stages; i++) {
        const recipe_stage *g = &w->stages[i];
        if (!is_judged(w, g)) continue;
        gaps += g->gaps, all += g->all, n += g->n * n_cases(w->p);
        if (g->most > most) most = g->most;
        if (g->largest > largest) largest = g->largest;
    }
    const char *name = recipe_metric(w->p);
    int is_share = recipe_is_output_error(w->p), is_max = !strcmp(name, "max_error");
    double rms = n ? sqrt(all / (double)n) : 0;
    if (unit) *unit = is_share ? 1 : is_max ? largest : rms;
    if (!isfinite(gaps)) return NAN;
    if (is_max) return most;
    if (!is_share) return n ? sqrt(gaps / (double)n) : NAN;
    return all > 0 ? sqrt(gaps / all) : gaps > 0 ? INFINITY : 0;
}

int32_t recipe_cases_begin(recipe_work *w, double *unit)
{
    hearing h = {.w = w, .is_f32 = 1};
    schedule *s;
    const call_params f32 = call_of_f32(w->p);
    int32_t st = call_open(w->cx, w->f32, &f32, w->n_workers, 1, &s);
    if (st < 0) return st;
    st = list_stages(w, s);
    schedule_close(s);
    if (st >= 0) st = run_cases(w, w->f32, 1, hear, &h, &h.s, &h.at);
    if (st < 0) return st;
    for (int32_t i = 0; i < w->n_stages; i++)
        if (!isfinite(w->stages[i].all))
            return ctx_fail(w->cx, EVLA_E_RANGE,
                            "stage %s of the f32 model holds a NaN or Inf; want numbers to "
                            "compare with",
                            w->stages[i].name);
    judged(w, unit);
    return 0;
}

int32_t recipe_cases_metric(recipe_work *w, model *m, double *out)
{
    hearing h = {.w = w};
    for (int32_t i = 0; i < w->n_stages; i++) {
        recipe_stage *g = &w->stages[i];
        g->gaps = g->all = g->most = g->largest = 0;
    }
    int32_t st = run_cases(w, m, 0, hear, &h, &h.s, &h.at);
    if (st >= 0) *out = judged(w, NULL);
    return st;
}

static int32_t time_once(recipe_work *w, schedule *s, int side, int64_t *ns)
{
    int32_t st = schedule_run(w->cx, s, NULL, NULL);
    *ns = schedule_ns(s);
    for (int32_t i = 0; st >= 0 && i < w->n_phases; i++) {
        double ms = 1e-6 * (double)schedule_line_at(s, i).ns;
        if (!(w->phases[i].ms[side] <= ms)) w->phases[i].ms[side] = ms;
    }
    return st;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int32_t recipe_cases_time(recipe_work *w)
{
    schedule *s[2] = {NULL, NULL};
    model *of[2] = {w->f32, w->coded};
    int64_t *ns[2], n = 0, unused, began = 0;
    int32_t st = 0;
    for (int k = 0; k < 2; k++)
        if (!(ns[k] = arena_push(&w->mem, (size_t)w->p->runs, sizeof **ns)))
            return ctx_fail(w->cx, EVLA_E_NOMEM, "%lld runs", (long long)w->p->runs);
    for (int k = 0; st >= 0 && k < 2; k++) {
        st = open_model(w, of[k], !k, &s[k]);
        if (st >= 0) st = set_case(w, s[k], 0);
        if (st >= 0) st = time_once(w, s[k], k, &unused); /* warms up */
        for (int32_t i = 0; st >= 0 && i < w->n_phases; i++) {
            w->phases[i].ms[k] = NAN;
            w->phases[i].bytes[k] = (int64_t)schedule_line_weights(s[k], i);
        }
    }
    for (began = clock_ns(); st >= 0 && n < w->p->runs; n++) {
        if (n >= LEAST_RUNS && clock_ns() - began > MOST_NS) break;
        for (int k = 0; st >= 0 && k < 2; k++)
            st = time_once(w, s[k], k, &ns[k][n]);
        if (st >= 0 && ctx_stopping(w->cx)) st = ctx_fail(w->cx, EVLA_E_STOPPED, "stopped");
    }
    for (int k = 0; st >= 0 && k < 2; k++) {
        int64_t middle = (n - 1) / 2;
        qsort(ns[k], (size_t)n, sizeof **ns, by_time);
        w->step[k] = (measure_time){.best_us = 1e-3 * (double)ns[k][0],
                                    .p50_us = 1e-3 * (double)ns[k][middle]};
    }
    w->step[2] = w->step[0];
    schedule_close(s[0]);
    schedule_close(s[1]);
    return st;
}
