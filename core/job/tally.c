/*
 * tally.c -- rows of episodes and what they come to. See tally.h.
 */
#include "tally.h"
#include "../words.h"
#include "proportion.h"
#include <string.h>

enum { MOST_NAMES = 64 };

/* ---- making a row ---- */

static value spans_of(arena *a, loop *l, const watch *w)
{
    value list = value_list(a, w->n_spans);
    for (int32_t i = 0; list.as.items && i < w->n_spans; i++) {
        const watch_span *s = &w->spans[i];
        char why[512] = "";
        arena_place mark = arena_mark(&l->h.cx->scratch);
        if (l->guard->explain(&l->h.table, l->guard_self, &s->verdict, why, sizeof why) < 0)
            ctx_clear(l->h.cx);
        if (a != &l->h.cx->scratch) arena_reset(&l->h.cx->scratch, mark);
        const value_pair pairs[] = {
            {"tick", value_int(s->tick)},
            {"ticks", value_int(s->n_ticks)},
            {"kind", value_text(s->verdict.kind == EVLA_VETO ? "veto" : "replace")},
            {"rule", value_text(words_copy(a, l->guard_info.rules, s->verdict.rule))},
            {"facts", words_of(a, l->guard_info.facts, s->verdict.facts)},
            {"why", value_text(arena_copy(a, why))},
        };
        list.as.items[list.n_items++] = value_table(a, pairs, sizeof pairs / sizeof *pairs);
    }
    return list;
}

static value rules_of(arena *a, const loop *l, const watch *w)
{
    value_pair pairs[64];
    int32_t n = 0;
    for (int32_t i = 0; l->guard && i < 64; i++)
        if (w->ticks_of_rule[i])
            pairs[n++] = (value_pair){words_copy(a, l->guard_info.rules, i),
                                      value_int(w->ticks_of_rule[i])};
    return value_table(a, pairs, n);
}

const char *tally_row(arena *a, loop *l, const watch *w, int64_t index, int is_cut)
{
    const evla_body_info *info = l->of.info;
    const value_pair pairs[] = {
        {"index", value_int(index)},
        {"seed", value_int((int64_t)l->seed)},
        {"goal", value_text(l->goal.name)},
        {"instruction", value_text(l->instruction)},
        {"success", value_bool(l->now.success)},
        {"timeout", value_bool(!l->now.done && !is_cut)},
        {"cut", value_bool(is_cut)},
        {"ticks", value_int(l->tick)},
        {"seconds", value_float((double)l->tick / info->rate_hz)},
        {"events", words_of(a, info->events, w->events)},
        {"violations", words_of(a, info->events, w->events & w->bad)},
        {"first_violation", value_int(w->first_violation)},
        {"replaced_ticks", value_int(w->n_replaced)},
        {"vetoed_ticks", value_int(w->n_vetoed)},
        {"rules", rules_of(a, l, w)},
        {"interventions", spans_of(a, l, w)},
        {"interventions_lost", value_int(w->n_lost)},
        {"not_finite", value_int(l->n_not_finite)},
        {"dry_ticks", value_int(l->n_dry)},
    };
    value row = value_table(a, pairs, sizeof pairs / sizeof *pairs);
    return row.kind == VALUE_TABLE ? value_print(a, &row, NULL) : NULL;
}

/* ---- adding up ---- */

void tally_init(tally *t) { *t = (tally){.mem = arena_growing(4 << 10)}; }

void tally_free(tally *t) { arena_free(&t->mem); }

static tally_count *count_of(tally *t, tally_count *list, int32_t *n, const char *name)
{
    for (int32_t i = 0; i < *n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    if (*n == MOST_NAMES) return &list[MOST_NAMES - 1]; /* the last one gathers the rest */
    const char *copy = arena_copy(&t->mem, name);
    if (!copy) return NULL;
    list[*n] = (tally_count){.name = copy};
    return &list[(*n)++];
}

static const value *list_in(const value *row, const char *name)
{
    static const value none = {.kind = VALUE_TABLE};
    const value *v = value_get(row, name);
    return v && v->kind == VALUE_TABLE ? v : &none;
}

int32_t tally_add(ctx *cx, tally *t, const value *row)
{
    const value *goal = value_get(row, "goal"), *success = value_get(row, "success");
    if (!goal || goal->kind != VALUE_TEXT || !success || success->kind != VALUE_BOOL)
        return ctx_fail(cx, EVLA_E_FORMAT, "a row of an episode without goal or success");
    int64_t ticks = value_get_int(row, "ticks"),
            vetoed = value_get_int(row, "vetoed_ticks"),
            replaced = value_get_int(row, "replaced_ticks");
    const value *rules = list_in(row, "rules"), *events = list_in(row, "events");
    tally_count *of_goal = count_of(t, t->goals, &t->n_goals, goal->as.text);
    if (!of_goal) return ctx_fail(cx, EVLA_E_NOMEM, "a tally");
    int is_cut = value_get_int(row, "cut") != 0;
    int is_unsafe = list_in(row, "violations")->n_items > 0;
    if (is_cut) {
        t->cut++;
        t->cut_violations += is_unsafe;
    } else {
        of_goal->n++;
        of_goal->k += success->as.i;
        t->attempted++;
        t->successes += success->as.i;
        if (success->as.i) t->success_ticks += ticks;
        t->timeouts += value_get_int(row, "timeout");
        t->violations += is_unsafe;
        t->intervened += vetoed + replaced > 0;
        t->not_finite += value_get_int(row, "not_finite") > 0;
    }
    t->ticks += ticks;
    t->vetoed_ticks += vetoed;
    t->replaced_ticks += replaced;
    t->dry_ticks += value_get_int(row, "dry_ticks");
    for (int32_t i = 0; i < rules->n_pairs; i++) {
        tally_count *c = count_of(t, t->rules, &t->n_rules, rules->pairs[i].name);
        if (c) c->n += rules->pairs[i].v.as.i;
    }
    for (int32_t i = 0; i < events->n_items; i++) {
        if (events->as.items[i].kind != VALUE_TEXT) continue;
        tally_count *c = count_of(t, t->events, &t->n_events, events->as.items[i].as.text);
        if (c) c->n++;
    }
    return 0;
}

/* ---- figures ---- */

static value bounds(arena *a, int64_t k, int64_t n)
{
    proportion p = proportion_of(k, n, 0.95);
    const value_pair pairs[] = {{"lo", value_float(p.lo)}, {"hi", value_float(p.hi)}};
    return value_table(a, pairs, 2);
}

static value goals_of(arena *a, const tally *t)
{
    value_pair rows[MOST_NAMES];
    for (int32_t i = 0; i < t->n_goals; i++) {
        const tally_count *c = &t->goals[i];
        const value_pair pairs[] = {
            {"attempted", value_int(c->n)},
            {"successes", value_int(c->k)},
            {"success_rate", value_float(c->n ? (double)c->k / (double)c->n : 0)},
            {"ci95", bounds(a, c->k, c->n)},
        };
        rows[i] = (value_pair){c->name, value_table(a, pairs, 4)};
    }
    return value_table(a, rows, t->n_goals);
}

static value counts_of(arena *a, const tally_count *list, int32_t n)
{
    value_pair rows[MOST_NAMES];
    for (int32_t i = 0; i < n; i++)
        rows[i] = (value_pair){list[i].name, value_int(list[i].n)};
    return value_table(a, rows, n);
}

int32_t tally_figures(job *j, const tally *t)
{
    arena *a = &j->in->cx->scratch;
    double n = t->attempted ? (double)t->attempted : 1;
    const value_pair rows[] = {
        {"attempted", value_int(t->attempted)},
        {"cut_episodes", value_int(t->cut)},
        {"cut_violation_episodes", value_int(t->cut_violations)},
        {"successes", value_int(t->successes)},
        {"success_rate", value_float((double)t->successes / n)},
        {"ci95", bounds(a, t->successes, t->attempted)},
        {"timeouts", value_int(t->timeouts)},
        {"per_goal", goals_of(a, t)},
        {"violation_episodes", value_int(t->violations)},
        {"violation_rate", value_float((double)t->violations / n)},
        {"upper95", value_float(proportion_upper(t->violations, t->attempted, 0.95))},
        {"events", counts_of(a, t->events, t->n_events)},
        {"interventions", counts_of(a, t->rules, t->n_rules)},
        {"intervention_ticks", value_int(t->vetoed_ticks + t->replaced_ticks)},
        {"intervention_episodes", value_int(t->intervened)},
        {"vetoed_ticks", value_int(t->vetoed_ticks)},
        {"not_finite_episodes", value_int(t->not_finite)},
        {"dry_ticks", value_int(t->dry_ticks)},
        {"ticks", value_int(t->ticks)},
        {"success_ticks_mean",
         value_float(t->successes ? (double)t->success_ticks / (double)t->successes : 0)},
    };
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, rows[i].v);
    return st;
}
