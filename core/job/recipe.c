/*
 * recipe.c -- the job type "recipe": a model with weights in codes that proves itself.
 *
 * Rules say which weights get which quantiser; calibration rows fit it; the acceptance
 * metric is measured on rows held out, before and after, and layers are put back to f32
 * until it passes. scorecard.json in the job's folder has every layer: bytes, error, times,
 * decision and reason; the figures repeat it. GRAPH.before.svg and GRAPH.after.svg are the
 * graphs. Not here: finding out (recipe_fit.c), measuring (measure.c).
 */
#include "recipe.h"
#include "../graph/save.h"
#include "../graph/show.h"
#include "../run/pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// clang-format off
#define IN(owner, field, ...) {.name = #field, .offset = offsetof(owner, field), __VA_ARGS__}
static const evla_param rule_fields[] = {
    IN(recipe_rule, weights, .doc = "a pattern for names of weights: * and ? and [a-z]", .type = EVLA_P_STRING),
    IN(recipe_rule, quant, .doc = "what turns them into codes", .type = EVLA_P_ITEM, .choices = EVLA_QUANT, .flags = EVLA_PF_OPTIONAL),
    IN(recipe_rule, keep, .doc = "instead: leave them as they are", .type = EVLA_P_ENUM, .choices = "nothing|f32", .preset = "nothing"),
};
static const evla_param calibrate_fields[] = {
    IN(recipe_calibrate, data, .doc = "episodes whose rows feed the measured graph; none: inputs are drawn", .type = EVLA_P_LIST,
       .element = EVLA_P_VALUE, .choices = "episodes", .flags = EVLA_PF_OPTIONAL),
    IN(recipe_calibrate, mask, .doc = "which of them; \"\": all", .type = EVLA_P_STRING, .preset = "train"),
    IN(recipe_calibrate, samples, .doc = "most rows", .type = EVLA_P_INT, .preset = "256", .min = 1, .max = 1e7),
};
static const evla_param accept_fields[] = {
    IN(recipe_accept, graph, .doc = "the graph that is measured; it must reach what is calibrated", .type = EVLA_P_STRING, .preset = "loss"),
    IN(recipe_accept, output, .doc = "of a schedule: the output that counts, such as action; \"\": all of its last line",
       .type = EVLA_P_STRING, .preset = ""),
    IN(recipe_accept, metric, .doc = "its output, averaged over rows; or output_error: |codes - f32| / |f32| of all its outputs; of a "
       "schedule also max_error or rms_error, in the output's unit. none: loss; of a schedule max_error",
       .type = EVLA_P_STRING, .flags = EVLA_PF_OPTIONAL),
    IN(recipe_accept, better, .doc = "which way", .type = EVLA_P_ENUM, .choices = "lower|higher", .preset = "lower"),
    IN(recipe_accept, unit, .doc = "of the metric, for people", .type = EVLA_P_STRING, .preset = ""),
    IN(recipe_accept, worse_by, .doc = "how much worse than f32 it may be: \"2%\" of f32's, or an amount such as \"0.01\"",
       .type = EVLA_P_STRING, .preset = "2%"),
    IN(recipe_accept, data, .doc = "episodes to measure on; none: those of calibrate", .type = EVLA_P_LIST,
       .element = EVLA_P_VALUE, .choices = "episodes", .flags = EVLA_PF_OPTIONAL),
    IN(recipe_accept, mask, .doc = "which of them, held out; \"\": all", .type = EVLA_P_STRING, .preset = "valid"),
    IN(recipe_accept, samples, .doc = "most rows", .type = EVLA_P_INT, .preset = "1024", .min = 1, .max = 1e7),
};
static const evla_param about_fields[] = {
    IN(recipe_about, name, .doc = "of the attribute", .type = EVLA_P_STRING),
    IN(recipe_about, text, .doc = "what it says", .type = EVLA_P_STRING),
};
static const evla_param case_fields[] = {CASE_PARAMS(0)};
#define NESTED(list, owner) .fields = (list), .n_fields = sizeof (list) / sizeof *(list), .fields_size = sizeof(owner)
static const evla_param params[] = {
    CALL_PARAMS,
    IN(recipe_params, rules, .doc = "a pattern and a quantiser, or keep = \"f32\": the first that matches a weight's name counts",
       .type = EVLA_P_STRUCTS, NESTED(rule_fields, recipe_rule)),
    IN(recipe_params, calibrate, .doc = "what quantisers see", .type = EVLA_P_STRUCT, NESTED(calibrate_fields, recipe_calibrate)),
    IN(recipe_params, accept, .doc = "when the new model is good enough", .type = EVLA_P_STRUCT, NESTED(accept_fields, recipe_accept)),
    IN(recipe_params, cases, .doc = "with a schedule: inputs of calls, { { files = {...}, values = {...} } }; none: drawn by lot",
       .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, NESTED(case_fields, call_case)),
    IN(recipe_params, drawn, .doc = "how many cases are drawn when none is given", .type = EVLA_P_INT, .preset = "4", .min = 1, .max = 1e6),
    IN(recipe_params, step, .doc = "graphs that one step runs, for its time; none: all but the measured one", .type = EVLA_P_LIST,
       .element = EVLA_P_STRING, .flags = EVLA_PF_OPTIONAL),
    IN(recipe_params, about, .doc = "attributes of the new model's file, on top of those of the old one, { license = \"mit\" }",
       .type = EVLA_P_STRUCTS, .flags = EVLA_PF_OPTIONAL, NESTED(about_fields, recipe_about)),
    IN(recipe_params, texts, .doc = "the same for large ones, which become lists of one text", .type = EVLA_P_STRUCTS,
       .flags = EVLA_PF_OPTIONAL, NESTED(about_fields, recipe_about)),
    IN(recipe_params, without, .doc = "rewrites to leave out: quantize, share", .type = EVLA_P_STRING, .preset = ""),
    IN(recipe_params, runs, .doc = "how many are timed, at most a second of each, two of a call", .type = EVLA_P_INT, .preset = "300", .min = 1, .max = 1e6),
};
// clang-format on

int recipe_is_output_error(const recipe_params *p)
{
    return !strcmp(recipe_metric(p), "output_error");
}

int recipe_is_called(const recipe_params *p) { return p->call.schedule.n || p->cases.n; }

const char *recipe_metric(const recipe_params *p)
{
    return p->accept.metric ? p->accept.metric : recipe_is_called(p) ? "max_error" : "loss";
}

int32_t recipe_read_limit(ctx *cx, const job *j, const char *text, recipe_limit *out)
{
    char *end;
    out->amount = strtod(text, &end);
    out->is_relative = *end == '%';
    if (out->is_relative) out->amount /= 100;
    if (end != text && !end[out->is_relative] && out->amount >= 0 && isfinite(out->amount))
        return 0;
    return ctx_fail(cx, EVLA_E_ARG,
                    "recipe \"%s\": accept.worse_by: want a share such as \"2%%\" or an "
                    "amount such as \"0.01\", got \"%.40s\"",
                    j->name, text);
}

int32_t recipe_step_graphs(ctx *cx, arena *a, const recipe_params *p, const model *m,
                           evla_list *out)
{
    graph *g;
    int32_t st = 0;
    for (int64_t i = 0; st >= 0 && i < p->step.n; i++)
        st = model_want_graph(cx, m, ((const char *const *)p->step.items)[i], &g);
    if (st < 0) {
        ctx_prefix(cx, "recipe: step");
        return st;
    }
    *out = p->step;
    if (p->step.n) return 0;
    size_t most = (size_t)(m->n_graphs + p->call.schedule.n) + 1;
    const char **names = arena_push(a, most, sizeof *names);
    if (!names) return ctx_fail(cx, EVLA_E_NOMEM, "model %s", m->name);
    *out = (evla_list){names, 0};
    for (int64_t i = 0; i < p->call.schedule.n; i++)
        names[out->n++] = ((const schedule_line *)p->call.schedule.items)[i].graph;
    if (out->n) return 0;
    for (int32_t i = 0; i < m->n_graphs; i++)
        if (strcmp(m->graphs[i]->name, p->accept.graph) != 0)
            names[out->n++] = m->graphs[i]->name;
    if (!out->n) names[out->n++] = p->accept.graph;
    return 0;
}

/* ---- what is known before anything has run ---- */

static int32_t check_rules(ctx *cx, const job *j)
{
    const recipe_params *p = j->params;
    if (p->rules.n < 1)
        return ctx_fail(cx, EVLA_E_ARG,
                        "recipe \"%s\": rules: none is given; want at least one: a pattern "
                        "such as \"*\" and a quantiser",
                        j->name);
    for (int64_t i = 0; i < p->rules.n; i++) {
        const recipe_rule *r = (const recipe_rule *)p->rules.items + i;
        if ((r->quant.item != NULL) == (r->keep == RECIPE_KEEP_F32))
            return ctx_fail(cx, EVLA_E_ARG, "recipe \"%s\": rules[%d] (\"%s\"): want %s",
                            j->name, (int)i + 1, r->weights,
                            r->quant.item ? "a quantiser or keep = \"f32\", not both"
                                          : "a quantiser, or keep = \"f32\"");
    }
    return 0;
}

/* The jobs whose episodes a part of the parameters names; accept may use calibrate's. */
static int32_t check_data(ctx *cx, const job *j, const char *part, const char *of_part,
                          const char *mask, const rows_input *in, int32_t n_in)
{
    const value *of = value_get(&j->given, of_part);
    const value *data = of && of->kind == VALUE_TABLE ? value_get(of, "data") : NULL;
    rows_options how = {.mask = mask};
    int32_t n = data && data->kind == VALUE_TABLE ? data->n_items : data ? 1 : 0, st = 0;
    for (int32_t i = 0; st >= 0 && i < n; i++) {
        const job *maker =
            job_behind(data->kind == VALUE_TABLE ? &data->as.items[i] : data);
        if (maker) st = rows_check(cx, maker, &how, in, n_in);
    }
    if (st < 0) ctx_prefix(cx, "recipe \"%s\": %s", j->name, part);
    return st;
}

static int32_t check_graphs(ctx *cx, const job *j, const model *m)
{
    const recipe_params *p = j->params;
    arena mem = arena_growing(16 << 10);
    evla_list step;
    graph *g;
    symbols at;
    rows_input *in;
    int32_t *slots, n_in, found = recipe_is_output_error(p);
    int64_t batch = MEASURE_BATCH;
    int32_t st = model_want_graph(cx, m, p->accept.graph, &g);
    if (st < 0) ctx_prefix(cx, "recipe \"%s\": accept", j->name);
    for (int32_t i = 0; st >= 0 && i < g->n_outputs; i++)
        found |= !strcmp(g->outputs[i].name, recipe_metric(p));
    if (st >= 0 && !found)
        st = ctx_fail(cx, EVLA_E_MISSING,
                      "recipe \"%s\": accept: graph %s has no output \"%s\"; its first is "
                      "\"%s\"",
                      j->name, g->name, recipe_metric(p),
                      g->n_outputs ? g->outputs[0].name : "");
    if (st >= 0) st = recipe_step_graphs(cx, &mem, p, m, &step);
    if (st >= 0)
        st = measure_inputs(cx, &mem, g, &p->call.symbols, &batch, &at, &in, &slots, &n_in);
    if (st >= 0)
        st = check_data(cx, j, "calibrate", "calibrate", p->calibrate.mask, in, n_in);
    if (st >= 0)
        st = check_data(cx, j, "accept", p->accept.data.n ? "accept" : "calibrate",
                        p->accept.mask, in, n_in);
    arena_free(&mem);
    return st;
}

static int32_t recipe_check(ctx *cx, job *j)
{
    const recipe_params *p = j->params;
    recipe_limit limit;
    j->result.path = arena_text(&cx->mem, "%s/%s.evla", j->folder, j->name);
    if (!j->result.path) return ctx_fail(cx, EVLA_E_NOMEM, "recipe %s", j->name);
    int32_t st = check_rules(cx, j);
    if (st >= 0) st = recipe_read_limit(cx, j, p->accept.worse_by, &limit);
    if (st >= 0 && (st = quantize_check_names(cx, p->without)) < 0)
        ctx_prefix(cx, "recipe \"%s\": without", j->name);
    if (st >= 0 && recipe_is_called(p)) {
        const job *from = job_given(j, "model");
        model *own = from && !job_model_failed(from) ? job_model_graphs(from) : NULL;
        return own ? recipe_cases_check(cx, j, own) : 0; /* else known when it was made */
    }
    const model *m = st >= 0 ? job_model_behind(p->call.model) : NULL;
    return m ? check_graphs(cx, j, m) : st;
}

/* ---- the scorecard ---- */

/* JSON has no NaN: what was not measured is null. */
static value number(double v) { return isfinite(v) ? value_float(v) : (value){0}; }

static value layer_row(recipe_work *w, int32_t i)
{
    const quantize_layer *l = &w->layers[i];
    const recipe_layer *n = &w->notes[i];
    arena *a = &w->cx->scratch;
    const evla_type *t = &w->f32->weights[l->slot].type;
    value report = {0};
    int was_coded = l->plane[0] != NULL;
    if (n->report && value_parse(a, n->report, strlen(n->report), &report, NULL) < 0)
        report = (value){0};
    value_pair pairs[] = {
        {"weight", value_text(l->name)},
        {"type", value_text(type_text(w->cx->reg, a, t))},
        {"decision",
         value_text(l->is_on ? l->with->item->name : dtype_name(w->cx->reg, t->dtype))},
        {"reason", value_text(n->reason)},
        {"rule", n->rule ? value_int(n->rule_number) : (value){0}},
        {"put_back", value_bool(n->was_put_back)},
        {"linears", value_int(l->n_linears)},
        {"tables", value_int(l->n_tables)},
        {"bytes_before", value_int(quantize_bytes(w->cx, w->f32, l, 0))},
        {"bytes_after", value_int(quantize_bytes(w->cx, w->f32, l, l->is_on))},
        {"error", number(n->error)},
        {"metric_alone", number(n->alone)},
        {"us_f32", was_coded ? number(n->time[0].best_us) : (value){0}},
        {"us_codes", was_coded ? number(n->time[1].best_us) : (value){0}},
        {"kernel_f32", was_coded ? value_text(n->time[0].kernel) : (value){0}},
        {"kernel_codes", was_coded ? value_text(n->time[1].kernel) : (value){0}},
        {"quantiser", report},
    };
    return value_table(a, pairs, sizeof pairs / sizeof *pairs);
}

static value layer_rows(recipe_work *w)
{
    value list = value_list(&w->cx->scratch, w->n_layers);
    for (int32_t i = 0; list.as.items && i < w->n_layers; i++)
        list.as.items[list.n_items++] = layer_row(w, i);
    return list;
}

static value phase_rows(recipe_work *w)
{
    arena *a = &w->cx->scratch;
    value list = value_list(a, w->n_phases);
    for (int32_t i = 0; list.as.items && i < w->n_phases; i++) {
        const recipe_phase *f = &w->phases[i];
        const value_pair pairs[] = {
            {"phase", value_text(f->name)},          {"graph", value_text(f->graph)},
            {"times", value_int(f->times)},          {"bytes_f32", value_int(f->bytes[0])},
            {"bytes_coded", value_int(f->bytes[1])}, {"ms_f32", number(f->ms[0])},
            {"ms_coded", number(f->ms[1])},
        };
        list.as.items[list.n_items++] = value_table(a, pairs, sizeof pairs / sizeof *pairs);
    }
    return list;
}

static value stage_rows(recipe_work *w)
{
    arena *a = &w->cx->scratch;
    value list = value_list(a, w->n_stages);
    for (int32_t i = 0; list.as.items && i < w->n_stages; i++) {
        const recipe_stage *g = &w->stages[i];
        double share = g->gaps > 0 ? sqrt(g->gaps / g->all) : g->gaps;
        const value_pair pairs[] = {
            {"stage", value_text(g->name)},
            {"phase", value_text(w->phases[g->line].name)},
            {"run", value_int(g->time)},
            {"error", number(share)},
            {"max_abs", number(isfinite(g->gaps) ? g->most : NAN)},
            {"largest_f32", number(g->largest)},
        };
        list.as.items[list.n_items++] = value_table(a, pairs, sizeof pairs / sizeof *pairs);
    }
    return list;
}

static value texts_of(arena *a, const evla_list *list)
{
    value v = value_list(a, list->n);
    for (int64_t i = 0; v.as.items && i < list->n; i++)
        v.as.items[v.n_items++] = value_text(((const char *const *)list->items)[i]);
    return v;
}

static int64_t weight_bytes(ctx *cx, const model *m)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < m->n_weights; i++)
        sum += type_bytes(cx->reg, &m->weights[i].type);
    return sum;
}

static int64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static int32_t add_figures(recipe_work *w)
{
    const recipe_accept *a = &w->p->accept;
    int32_t on = 0, coded = 0, n = 0, st = 0, is_called = recipe_is_called(w->p);
    const measure_time *best = &w->step[w->step[2].best_us < w->step[0].best_us ? 2 : 0];
    int64_t before = weight_bytes(w->cx, w->f32), after = weight_bytes(w->cx, w->coded);
    for (int32_t i = 0; i < w->n_layers; i++) {
        on += w->layers[i].is_on;
        coded += w->layers[i].plane[0] != NULL;
    }
    const value_pair figures[] = {
        {"bytes_f32", value_int(before)},
        {"bytes_coded", value_int(after)},
        {"ratio", value_float((double)before / (double)(after ? after : 1))},
        {"file_bytes_f32", value_int(file_bytes(w->p->call.model->path))},
        {"file_bytes_coded", value_int(file_bytes(w->j->result.path))},
        {"metric", value_text(recipe_metric(w->p))},
        {"metric_graph", is_called ? (value){0} : value_text(a->graph)},
        {"metric_output", value_text(a->output)},
        {"metric_unit", value_text(a->unit)},
        {"metric_better", value_text(a->better == RECIPE_LOWER ? "lower" : "higher")},
        {"metric_worse_by", value_text(a->worse_by)},
        {"metric_rows",
         is_called ? (value){0} : value_int(w->held_out.n_batches * w->held_out.batch)},
        {"metric_cases",
         is_called ? value_int(w->p->cases.n ? w->p->cases.n : w->p->drawn) : (value){0}},
        {"metric_drawn", value_bool(is_called && !w->p->cases.n)},
        {"metric_mask", value_text(w->held_out.rows ? a->mask : "")},
        {"metric_f32", number(w->metric[0])},
        {"metric_coded", number(w->metric[1])},
        {"metric_without_fallback", number(w->first)},
        {"metric_allowed", number(w->allowed)},
        {"weights", value_int(w->n_layers)},
        {"weights_in_codes", value_int(on)},
        {"weights_put_back", value_int(w->n_put_back)},
        {"weights_tried", value_int(coded)},
        {"step_graphs", texts_of(&w->cx->scratch, &w->step_graphs)},
        {"step_f32_us", number(best->best_us)},
        {"step_f32_planned_us", number(w->step[0].best_us)},
        {"step_coded_us", number(w->step[1].best_us)},
        {"step_f32_p50_us", number(best->p50_us)},
        {"step_coded_p50_us", number(w->step[1].p50_us)},
        {"speedup", number(best->best_us / w->step[1].best_us)},
        {"without", value_text(w->p->without)},
        {"phases", phase_rows(w)},
        {"stages", stage_rows(w)},
        {"layers", layer_rows(w)},
    };
    n = sizeof figures / sizeof *figures;
    for (int32_t i = 0; st >= 0 && i < n; i++)
        st = job_figure(w->j, figures[i].name, figures[i].v);
    return st;
}

static int32_t write_scorecard(recipe_work *w)
{
    arena *a = &w->cx->scratch;
    const char *path = arena_text(a, "%s/scorecard.json", w->j->folder),
               *text = value_print(a, &w->j->figures, NULL);
    return path && text ? file_replace(w->cx, path, text, strlen(text))
                        : ctx_fail(w->cx, EVLA_E_NOMEM, "scorecard");
}

/* A graph as declared; file names get no slash from a name, graph.h refuses those. */
static int32_t draw(recipe_work *w, const graph *g, const char *when)
{
    ctx *cx = w->cx;
    arena mem = arena_growing(64 << 10);
    symbols at;
    bound *b;
    int32_t st = measure_symbols(cx, g, &w->p->call.symbols, 0, &at);
    if (st >= 0) st = infer_bind(cx, &mem, g, &at, &(plan_options){.without = "fold"}, &b);
    if (st >= 0) {
        const char *path = arena_text(&mem, "%s/%s.%s.svg", w->j->folder, g->name, when);
        const char *title = arena_text(&mem, "%s %s %s", g->name, when, w->j->name);
        const char *text = path && title ? show_graph(cx, &mem, b, title) : NULL;
        st = text ? file_replace(cx, path, text, strlen(text))
                  : ctx_fail(cx, EVLA_E_NOMEM, "picture of %s", g->name);
    }
    arena_free(&mem);
    return st;
}

/* ---- the job ---- */

static int is_told(const evla_list *about, const char *name)
{
    for (int64_t i = 0; i < about->n; i++)
        if (!strcmp(((const recipe_about *)about->items)[i].name, name)) return 1;
    return 0;
}

static int32_t save(recipe_work *w)
{
    const model *m = w->coded;
    const evla_list *about = &w->p->about, *texts = &w->p->texts;
    size_t most = (size_t)(m->n_attrs + about->n + texts->n) + 1;
    evla_attr *attrs = arena_push(&w->mem, most, sizeof *attrs);
    evla_text *ones = arena_push(&w->mem, (size_t)texts->n + 1, sizeof *ones);
    int32_t n = 0;
    if (!attrs || !ones) return ctx_fail(w->cx, EVLA_E_NOMEM, "recipe %s", w->j->name);
    for (int32_t i = 0; i < m->n_attrs; i++)
        if (!is_told(about, m->attrs[i].name) && !is_told(texts, m->attrs[i].name))
            attrs[n++] = m->attrs[i];
    for (int64_t i = 0; i < about->n; i++) {
        const recipe_about *a = (const recipe_about *)about->items + i;
        attrs[n++] = (evla_attr){.name = a->name, .text = a->text, .type = EVLA_ATTR_TEXT};
    }
    for (int64_t i = 0; i < texts->n; i++) {
        const recipe_about *a = (const recipe_about *)texts->items + i;
        ones[i] = (evla_text){.at = a->text, .n = strlen(a->text)};
        attrs[n++] = (evla_attr){
            .name = a->name, .type = EVLA_ATTR_TEXTS, .items = &ones[i], .n_items = 1};
    }
    return save_model_with(w->cx, m, w->j->result.path, attrs, n);
}

static int32_t recipe_run(ctx *cx, job *j)
{
    const recipe_params *p = j->params;
    recipe_work w = {.cx = cx,
                     .j = j,
                     .p = p,
                     .mem = arena_growing(256 << 10),
                     .n_workers = job_workers(j, p->call.workers, POOL_MOST)};
    int32_t st = recipe_fit(&w);
    if (st >= 0) st = save(&w);
    if (st >= 0) st = add_figures(&w);
    if (st >= 0) st = write_scorecard(&w);
    for (int32_t i = 0; st >= 0 && i < w.coded->n_graphs; i++) {
        st = draw(&w, w.f32->graphs[i], "before");
        if (st >= 0) st = draw(&w, w.coded->graphs[i], "after");
    }
    recipe_done(&w);
    return st;
}

const job_type job_recipe = {
    .name = "recipe",
    .result = "model",
    .doc =
        "a model with weights in codes, measured on data, put back where it costs too much",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(recipe_params),
    .has_graphs = 1,
    .check = recipe_check,
    .run = recipe_run,
};
