/*
 * recipe_fit.c -- from rules to a model in codes that passes: layers, calibration, codes,
 * metric, and putting back what costs too much.
 */
#include "../graph/bundle.h"
#include "../graph/choose.h"
#include "../graph/save.h"
#include "../mem.h"
#include "recipe.h"
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_ROWS = 256 }; /* of what a linear reads, kept to measure its error */

static int32_t no_room(const recipe_work *w)
{
    return ctx_fail(w->cx, EVLA_E_NOMEM, "recipe %s", w->j->name);
}

/* ---- rules ---- */

static int32_t apply_rule(recipe_work *w, int32_t i)
{
    quantize_layer *l = &w->layers[i];
    recipe_layer *n = &w->notes[i];
    for (int64_t k = 0; k < w->p->rules.n; k++) {
        const recipe_rule *r = (const recipe_rule *)w->p->rules.items + k;
        if (fnmatch(r->weights, l->name, 0) != 0) continue;
        n->rule = r;
        n->rule_number = (int32_t)k + 1;
        break;
    }
    if (l->why)
        n->reason = l->why;
    else if (!n->rule)
        n->reason = "no rule names it";
    else if (n->rule->keep == RECIPE_KEEP_F32)
        n->reason = arena_text(&w->mem, "rule %d keeps it", n->rule_number);
    else if (list_has(w->p->without, "quantize"))
        n->reason = "without quantize";
    else {
        int32_t st = quantize_open(w->cx, &w->mem, w->f32, l, &n->rule->quant);
        if (st < 0) return st;
        n->reason = l->why ? l->why : arena_text(&w->mem, "rule %d", n->rule_number);
    }
    return n->reason ? 0 : no_room(w);
}

/* A pattern without a weight is probably a slip of the pen. */
static void warn_unused(const recipe_work *w)
{
    for (int64_t k = 0; k < w->p->rules.n; k++) {
        const recipe_rule *r = (const recipe_rule *)w->p->rules.items + k;
        int found = 0;
        for (int32_t i = 0; i < w->n_layers; i++)
            found |= fnmatch(r->weights, w->layers[i].name, 0) == 0;
        if (!found)
            ctx_say(w->cx, EVLA_LOG_WARN,
                    "%s: rule %d: no weight of rank 2 or more is called \"%s\"", w->j->name,
                    (int)k + 1, r->weights);
    }
}

/* ---- calibration ---- */

static int32_t keep_sample(recipe_work *w, int32_t i, const float *x, int64_t n_rows)
{
    recipe_layer *n = &w->notes[i];
    int64_t in = w->f32->weights[w->layers[i].slot].type.shape[1];
    if (!n->x && !(n->x = arena_push(&w->mem, SAMPLE_ROWS, (size_t)in * sizeof *n->x)))
        return no_room(w);
    if (n_rows > SAMPLE_ROWS - n->n_x) n_rows = SAMPLE_ROWS - n->n_x;
    memcpy(n->x + n->n_x * in, x, (size_t)(n_rows * in) * sizeof *n->x);
    n->n_x += n_rows;
    return 0;
}

int32_t recipe_observe(recipe_work *w, const char *output, const evla_type *t,
                       const float *x)
{
    if (t->dtype != EVLA_F32 ||
        strncmp(output, QUANTIZE_PROBE, strlen(QUANTIZE_PROBE)) != 0)
        return 0;
    int32_t i = (int32_t)strtol(output + strlen(QUANTIZE_PROBE), NULL, 10);
    int64_t in = t->shape[t->rank - 1], n_rows = type_count(t) / (in ? in : 1);
    quantize_layer *l = &w->layers[i];
    if (!l->with) return 0;
    int32_t st = keep_sample(w, i, x, n_rows);
    if (st >= 0 && l->layout.calibrates) st = quantize_observe(w->cx, l, x, n_rows);
    return st;
}

static int32_t watch(void *to, session *s, const plan *p, int64_t batch)
{
    recipe_work *w = to;
    int32_t st = 0;
    (void)batch;
    for (int32_t k = 0; st >= 0 && k < p->graph->n_outputs; k++)
        st = recipe_observe(w, p->graph->outputs[k].name, plan_output_type(p, k),
                            session_output(s, 0, k)->data[0]);
    return st;
}

static int32_t watch_rows(recipe_work *w, const model *probe)
{
    const recipe_params *p = w->p;
    measure m = {0};
    int32_t st =
        measure_open(w->cx, w->f32, p->accept.graph, &p->call.symbols, &p->calibrate.data,
                     p->calibrate.mask, p->calibrate.samples, w->n_workers, &m);
    if (st >= 0) st = measure_run(&m, probe, watch, w);
    measure_close(&m);
    return st;
}

static int32_t calibrate(recipe_work *w)
{
    model *probe = NULL;
    const char *only = recipe_is_called(w->p) ? NULL : w->p->accept.graph;
    int32_t st = quantize_probe(w->cx, w->f32, only, w->layers, w->n_layers, &probe);
    if (st < 0 || !probe) return st;
    job_report_progress(w->j, 0, 0, "calibrating");
    st = only ? watch_rows(w, probe) : recipe_cases_watch(w, probe);
    if (st < 0) ctx_prefix(w->cx, "calibrate");
    model_drop(probe);
    return st;
}

/* Layers that calibration did not reach stay; others get their codes. */
static int32_t encode(recipe_work *w)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < w->n_layers; i++) {
        quantize_layer *l = &w->layers[i];
        if (!l->with) continue;
        if (l->layout.calibrates && l->n_linears && !l->observed) {
            l->why = w->notes[i].reason =
                arena_text(&w->mem, "%s %s does not reach it, so nothing calibrates it",
                           recipe_is_called(w->p) ? "the" : "graph",
                           recipe_is_called(w->p) ? "schedule" : w->p->accept.graph);
            if (!l->why) return no_room(w);
            continue;
        }
        st = quantize_encode(w->cx, &w->mem, w->f32, l);
        const char *said = st >= 0 ? quantize_report(l) : NULL;
        if (said && !(w->notes[i].report = arena_copy(&w->mem, said))) st = no_room(w);
    }
    return st;
}

/* ---- one layer by itself ---- */

static int32_t look_at_layer(recipe_work *w, int32_t i)
{
    quantize_layer *l = &w->layers[i];
    recipe_layer *n = &w->notes[i];
    model *pair = NULL;
    const evla_type *t = &w->f32->weights[l->slot].type;
    int64_t n_rows = n->n_x;
    const void *x = n->x;
    arena_place mark = arena_mark(&w->cx->scratch);
    if (!l->n_linears) { /* every row of a table */
        int32_t *ids = arena_push(&w->cx->scratch, (size_t)t->shape[0] + 1, sizeof *ids);
        for (int64_t k = 0; ids && k < t->shape[0]; k++)
            ids[k] = (int32_t)k;
        x = ids, n_rows = t->shape[0];
    } else if (!n_rows) { /* the measured graph does not reach it: times only */
        x = arena_push(&w->cx->scratch, (size_t)t->shape[1] + 1, sizeof(float));
        n_rows = 1;
    }
    int32_t st =
        x ? quantize_pair(w->cx, w->f32, l, quantize_bias(w->f32, l), &pair) : no_room(w);
    if (st >= 0) st = measure_pair(w->cx, pair, x, n_rows, w->p->runs, &n->error, n->time);
    if (l->n_linears && !n->n_x) n->error = NAN;
    model_drop(pair);
    arena_reset(&w->cx->scratch, mark);
    return st;
}

static int32_t look_at_layers(recipe_work *w)
{
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < w->n_layers; i++) {
        if (!w->layers[i].is_on) continue;
        job_report_progress(w->j, i, w->n_layers, w->layers[i].name);
        st = look_at_layer(w, i);
        if (st >= 0 && ctx_stopping(w->cx)) st = ctx_fail(w->cx, EVLA_E_STOPPED, "stopped");
    }
    return st;
}

/* ---- the metric ---- */

typedef struct judging {
    recipe_work *w;
    int is_f32;
    double sum, all; /* of the metric; for output_error squares: of gaps, of f32's */
    int64_t n;       /* outputs seen */
} judging;

static int32_t see_metric(judging *g, session *s, const plan *p)
{
    const recipe_accept *a = &g->w->p->accept;
    const char *name = recipe_metric(g->w->p);
    int32_t k = plan_output(p, name);
    const evla_type *t = k < 0 ? NULL : plan_output_type(p, k);
    if (!t || t->dtype != EVLA_F32)
        return ctx_fail(g->w->cx, EVLA_E_ARG,
                        "recipe \"%s\": accept: graph %s has no f32 output \"%s\" to "
                        "measure",
                        g->w->j->name, a->graph, name);
    const float *v = session_output(s, 0, k)->data[0];
    int64_t n = type_count(t);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i];
    g->sum += n ? sum / (double)n : 0;
    g->n++;
    return 0;
}

static int32_t see_outputs(judging *g, session *s, const plan *p, int64_t batch)
{
    recipe_work *w = g->w;
    for (int32_t k = 0; k < p->graph->n_outputs; k++) {
        const evla_type *t = plan_output_type(p, k);
        if (t->dtype != EVLA_F32) continue;
        int64_t n = type_count(t);
        g->n++;
        const float *v = session_output(s, 0, k)->data[0];
        float **mine = &w->outputs[batch * p->graph->n_outputs + k];
        if (g->is_f32 && !*mine) {
            *mine = arena_push(&w->mem, (size_t)n + 1, sizeof **mine);
            if (!*mine) return no_room(w);
            memcpy(*mine, v, (size_t)n * sizeof *v);
        }
        for (int64_t i = 0; i < n; i++) {
            double gap = (double)v[i] - (double)(*mine)[i];
            g->sum += gap * gap;
            g->all += (double)(*mine)[i] * (double)(*mine)[i];
        }
    }
    return 0;
}

static int32_t judge(void *to, session *s, const plan *p, int64_t batch)
{
    judging *g = to;
    return recipe_is_output_error(g->w->p) ? see_outputs(g, s, p, batch)
                                           : see_metric(g, s, p);
}

static int32_t metric_of(recipe_work *w, const model *m, int is_f32, double *out)
{
    judging g = {.w = w, .is_f32 = is_f32};
    int32_t st = measure_run(&w->held_out, m, judge, &g);
    if (st >= 0 && !g.n)
        st = ctx_fail(w->cx, EVLA_E_ARG,
                      "recipe \"%s\": accept: graph %s has no f32 output to compare",
                      w->j->name, w->p->accept.graph);
    if (st < 0) return st;
    *out = !recipe_is_output_error(w->p) ? g.sum / (double)g.n
           : g.all > 0                   ? sqrt(g.sum / g.all)
                                         : (g.sum > 0 ? INFINITY : 0);
    return 0;
}

/* The metric of the model with what is on now. */
static int32_t metric_now(recipe_work *w, double *out)
{
    model_drop(w->coded);
    w->coded = NULL;
    int32_t st =
        quantize_apply(w->cx, w->f32, w->layers, w->n_layers, w->p->without, &w->coded);
    if (st < 0) return st;
    return recipe_is_called(w->p) ? recipe_cases_metric(w, w->coded, out)
                                  : metric_of(w, w->coded, 0, out);
}

/* How much worse than f32, positive is worse; NaN is worst. */
static double harm(const recipe_work *w, double metric)
{
    double d =
        w->p->accept.better == RECIPE_LOWER ? metric - w->metric[0] : w->metric[0] - metric;
    return isnan(d) ? INFINITY : d;
}

static int passes(const recipe_work *w, double metric)
{
    return w->p->accept.better == RECIPE_LOWER ? metric <= w->allowed
                                               : metric >= w->allowed;
}

/* *unit: what a share of the metric is a share of. */
static int32_t begin_rows(recipe_work *w, double *unit)
{
    const recipe_accept *a = &w->p->accept;
    graph *g;
    int32_t st = measure_open(w->cx, w->f32, a->graph, &w->p->call.symbols,
                              a->data.n ? &a->data : &w->p->calibrate.data, a->mask,
                              a->samples, w->n_workers, &w->held_out);
    if (st >= 0) st = model_want_graph(w->cx, w->f32, a->graph, &g);
    if (st < 0) return st;
    w->outputs = arena_push(&w->mem, (size_t)(w->held_out.n_batches * g->n_outputs) + 1,
                            sizeof *w->outputs);
    if (!w->outputs) return no_room(w);
    st = metric_of(w, w->f32, 1, &w->metric[0]);
    /* a relative error already is a share, so its limit is one */
    *unit = recipe_is_output_error(w->p) ? 1 : fabs(w->metric[0]);
    return st;
}

static int32_t measure_f32(recipe_work *w)
{
    const recipe_accept *a = &w->p->accept;
    recipe_limit limit;
    double unit = 1;
    int32_t st = recipe_read_limit(w->cx, w->j, a->worse_by, &limit);
    if (st >= 0)
        st = recipe_is_called(w->p) ? recipe_cases_begin(w, &unit) : begin_rows(w, &unit);
    if (st >= 0 && !isfinite(w->metric[0]))
        st = ctx_fail(w->cx, EVLA_E_RANGE,
                      "%s of the f32 model is %g; want a number to compare with",
                      recipe_metric(w->p), w->metric[0]);
    if (st < 0) return ctx_prefix(w->cx, "accept"), st;
    double room = limit.is_relative ? limit.amount * unit : limit.amount;
    w->allowed = a->better == RECIPE_LOWER ? w->metric[0] + room : w->metric[0] - room;
    return 0;
}

/* ---- putting back ---- */

static int32_t measure_alone(recipe_work *w, int32_t n_on)
{
    int32_t done = 0, st = 0;
    int *on = arena_push(&w->mem, (size_t)w->n_layers + 1, sizeof *on);
    if (!on) return no_room(w);
    for (int32_t i = 0; i < w->n_layers; i++)
        on[i] = w->layers[i].is_on;
    for (int32_t i = 0; st >= 0 && i < w->n_layers; i++) {
        if (!on[i]) continue;
        job_report_progress(w->j, done++, n_on, "one layer at a time");
        for (int32_t k = 0; k < w->n_layers; k++)
            w->layers[k].is_on = k == i;
        st = metric_now(w, &w->notes[i].alone);
    }
    for (int32_t i = 0; i < w->n_layers; i++)
        w->layers[i].is_on = on[i];
    return st;
}

static int32_t put_back_worst(recipe_work *w)
{
    int32_t worst = -1;
    for (int32_t i = 0; i < w->n_layers; i++)
        if (w->layers[i].is_on &&
            (worst < 0 || harm(w, w->notes[i].alone) > harm(w, w->notes[worst].alone)))
            worst = i;
    if (worst < 0) return EVLA_E_MISSING;
    recipe_layer *n = &w->notes[worst];
    w->layers[worst].is_on = 0;
    n->was_put_back = 1;
    n->reason = arena_text(&w->mem, "put back: alone it takes %s from %.6g to %.6g",
                           recipe_metric(w->p), w->metric[0], n->alone);
    w->n_put_back++;
    return n->reason ? 0 : no_room(w);
}

static int32_t settle(recipe_work *w)
{
    int32_t n_on = 0;
    job_report_progress(w->j, 0, 0, "measuring");
    int32_t st = metric_now(w, &w->metric[1]);
    w->first = w->metric[1];
    for (int32_t i = 0; i < w->n_layers; i++)
        n_on += w->layers[i].is_on;
    if (st < 0 || passes(w, w->metric[1])) return st;
    if ((st = measure_alone(w, n_on)) < 0) return st;
    while (st >= 0) {
        if ((st = put_back_worst(w)) == EVLA_E_MISSING)
            return ctx_fail(w->cx, EVLA_E_BUG,
                            "without a layer in codes %s is %g, but %g in f32",
                            recipe_metric(w->p), w->metric[1], w->metric[0]);
        if (st >= 0) st = metric_now(w, &w->metric[1]);
        if (st >= 0 && passes(w, w->metric[1])) break;
    }
    return st;
}

/* ---- public ---- */

/* Weights that lie as one machine's kernels read them are nobody else's to read. */
static int32_t check_plain(recipe_work *w)
{
    for (int32_t i = 0; i < w->f32->n_weights; i++)
        if (w->f32->weights[i].packed_as)
            return ctx_fail(
                w->cx, EVLA_E_ARG,
                "recipe \"%s\": weight %s of %s is packed as %s; want the model "
                "that it was packed from",
                w->j->name, w->f32->weights[i].name, w->p->call.model->path,
                w->f32->weights[i].packed_as);
    return 0;
}

static int32_t time_step(recipe_work *w)
{
    const recipe_params *p = w->p;
    job_report_progress(w->j, 0, 0, "timing");
    int32_t st = recipe_step_graphs(w->cx, &w->mem, p, w->f32, &w->step_graphs);
    if (st < 0) return st;
    return recipe_is_called(p) ? recipe_cases_time(w)
                               : measure_step(w->cx, w->f32, w->coded, &w->step_graphs,
                                              &p->call.symbols, p->runs, w->step);
}

int32_t recipe_fit(recipe_work *w)
{
    int32_t st = call_model(w->cx, job_given(w->j, "model"), w->p->call.model, &w->f32);
    if (st >= 0) st = check_plain(w);
    if (st >= 0) st = quantize_layers(w->cx, &w->mem, w->f32, &w->layers, &w->n_layers);
    if (st < 0) return st;
    w->notes = arena_push(&w->mem, (size_t)w->n_layers + 1, sizeof *w->notes);
    if (!w->notes) return no_room(w);
    for (int32_t i = 0; st >= 0 && i < w->n_layers; i++) {
        w->notes[i].error = w->notes[i].alone = NAN;
        st = apply_rule(w, i);
    }
    warn_unused(w);
    if (st >= 0) st = calibrate(w);
    if (st >= 0) st = encode(w);
    if (st >= 0) st = look_at_layers(w);
    if (st >= 0) st = measure_f32(w);
    if (st >= 0) st = settle(w);
    return st < 0 ? st : time_step(w);
}

void recipe_done(recipe_work *w)
{
    for (int32_t i = 0; i < w->n_layers; i++)
        quantize_close(&w->layers[i]);
    measure_close(&w->held_out);
    model_drop(w->coded);
    model_drop(w->f32);
    arena_free(&w->mem);
}
