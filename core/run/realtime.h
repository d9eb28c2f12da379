/*
 * realtime.h -- a loop on the wall clock: absolute-time ticks at the body's rate.
 *
 * A thread of its own does the ticks: it sleeps to the moment of a tick, senses, decides
 * (fast graph and guard, inline), acts, and counts. Between ticks it does nothing else; it
 * allocates nothing, takes no lock and makes no system call but that sleep, as far as the
 * body's functions do not. It runs first-in first-out when the system permits, its memory
 * is locked when the system permits, and the report says which. Episodes follow each other;
 * what lies between them (resets) is no tick.
 *
 * A tick is missed when its action was not decided before the next tick was due. One that
 * starts a whole period late or more is not made up for: it is skipped, and missed. A
 * simulator stands for the robot, so the time of its act() is measured apart; it counts
 * when it makes the next tick late.
 */
#ifndef EVLA_RUN_REALTIME_H
#define EVLA_RUN_REALTIME_H
#include "histogram.h"
#include "loop.h"
#include "watch.h"

typedef struct realtime_report {
    int64_t ticks, missed; /* missed: of ticks + skipped */
    int64_t skipped;
    int64_t late_results;  /* a graph beside the ticks had not answered when asked again */
    int64_t episodes, cut; /* cut: the clock ran out in it */
    int64_t page_faults;   /* of the tick thread, during ticks */
    int64_t waits;     /* times it gave up the processor other than to wait for a tick */
    int64_t preempted; /* times it was taken away */
    int64_t mallocs;   /* on the tick thread, during ticks; -1: nobody counts them */
    int is_fifo, is_locked;
    const char *why_normal, *why_unlocked; /* what the system said */
    histogram step;                        /* from waking to the decided action */
    histogram jitter;                      /* from when the tick was due to waking */
    histogram body;                        /* of act() */
    histogram
        answer; /* of calls beside the ticks: from the tick that asked to the result */
} realtime_report;

/* What happens between episodes, on the tick thread. */
typedef struct realtime_events {
    void *to;
    /* Fills seed and instruction (NULL: the body's own) of episode i. */
    int32_t (*begin)(void *to, loop *l, int64_t i, uint64_t *seed,
                     const char **instruction);
    /* An episode came to its end; is_cut 1: the clock ran out. */
    int32_t (*end)(void *to, loop *l, const watch *w, int64_t i, int is_cut);
    /* Called now and then by the thread that called realtime_run. */
    void (*progress)(void *to, double seconds);
} realtime_events;

typedef struct realtime_spec {
    double seconds;       /* of ticks and resets together */
    int64_t max_episodes; /* 0: as many as there is time for */
    uint64_t bad;         /* events that are violations */
    /* Allocations this thread has made so far; NULL: nobody counts. */
    int64_t (*count_mallocs)(void);
} realtime_spec;

/* The loop was opened with beside 1. Returns when the time is over. */
int32_t realtime_run(ctx *cx, loop *l, const realtime_spec *s, const realtime_events *e,
                     realtime_report *out);

#endif
