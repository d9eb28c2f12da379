/*
 * watch.c -- what happened in an episode. See watch.h.
 */
#include "watch.h"

void watch_reset(watch *w, uint64_t bad)
{
    *w = (watch){.bad = bad, .first_violation = -1};
}

static void keep_span(watch *w, int64_t tick, const evla_verdict *v)
{
    watch_span *last = w->n_spans ? &w->spans[w->n_spans - 1] : NULL;
    if (last && last->tick + last->n_ticks == tick && last->verdict.kind == v->kind &&
        last->verdict.rule == v->rule) {
        last->n_ticks++;
        return;
    }
    if (w->n_spans == WATCH_MOST_SPANS)
        w->n_lost++;
    else
        w->spans[w->n_spans++] = (watch_span){tick, 1, *v};
}

void watch_tick(watch *w, const loop *l)
{
    int64_t tick = l->tick - 1; /* the one that has just ended */
    w->events |= l->now.events;
    if (w->first_violation < 0 && l->now.events & w->bad) w->first_violation = tick;
    if (!l->guard || l->verdict.kind == EVLA_ALLOW) return;
    if (l->verdict.kind == EVLA_VETO)
        w->n_vetoed++;
    else
        w->n_replaced++;
    if (l->verdict.rule >= 0 && l->verdict.rule < 64) w->ticks_of_rule[l->verdict.rule]++;
    keep_span(w, tick, &l->verdict);
}
