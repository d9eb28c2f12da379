/*
 * watch.h -- what happened in an episode: events, violations, what the guard did. Fixed
 * size, filled tick by tick without allocation.
 */
#ifndef EVLA_RUN_WATCH_H
#define EVLA_RUN_WATCH_H
#include "loop.h"

enum { WATCH_MOST_SPANS = 128 };

/* Ticks one after the other in which the guard did the same for the same reason. */
typedef struct watch_span {
    int64_t tick, n_ticks;
    evla_verdict verdict; /* of the first */
} watch_span;

typedef struct watch {
    uint64_t bad;                 /* events that are violations */
    uint64_t events;              /* all that happened */
    int64_t first_violation;      /* tick; -1: none */
    int64_t n_replaced, n_vetoed; /* ticks */
    int32_t n_spans;
    int32_t n_lost; /* spans there was no room for */
    int64_t ticks_of_rule[64];
    watch_span spans[WATCH_MOST_SPANS];
} watch;

void watch_reset(watch *w, uint64_t bad);
/* After loop_act. [tick thread] */
void watch_tick(watch *w, const loop *l);

#endif
