/*
 * tally.h -- rows of episodes and what they come to.
 *
 * A row is a line of JSON (episodes.jsonl, and "episodes" in rollout.json):
 *   {"dry_ticks":0, "events":["dropped"], "first_violation":-1, "goal":"red", "index":0,
 *    "instruction":"...", "interventions":[{"facts":["near"], "kind":"veto", "rule":"...",
 *    "tick":12, "ticks":5, "why":"..."}], "not_finite":0, "replaced_ticks":0,
 * "rules":{"...":5}, "seconds":8.0, "seed":1, "success":true, "ticks":800, "timeout":false,
 *    "vetoed_ticks":5, "violations":["dropped"]}
 * "cut":true marks one that the clock ended: what happened in it counts, rates leave it
 * out. Figures are made from rows alone, whether they were made now or by an earlier run.
 */
#ifndef EVLA_JOB_TALLY_H
#define EVLA_JOB_TALLY_H
#include "../run/watch.h"
#include "job.h"

/* The row of the episode that a loop has just ended, as one line without its end, in `a`.
 * NULL: out of memory. */
const char *tally_row(arena *a, loop *l, const watch *w, int64_t index, int is_cut);

typedef struct tally_count {
    const char *name;
    int64_t n, k;
} tally_count;

typedef struct tally {
    arena mem;
    int64_t attempted, cut, cut_violations, successes, timeouts, violations, ticks,
        success_ticks;
    int64_t vetoed_ticks, replaced_ticks, dry_ticks, intervened; /* intervened: episodes */
    int64_t not_finite;                                          /* episodes */
    tally_count goals[64], rules[64], events[64];
    int32_t n_goals, n_rules, n_events;
} tally;

void tally_init(tally *t);
void tally_free(tally *t);
/* Adds one row. Fails: EVLA_E_FORMAT for what is no row. */
int32_t tally_add(ctx *cx, tally *t, const value *row);
/* attempted, successes, success_rate, ci95, per_goal, ... as figures of the job. */
int32_t tally_figures(job *j, const tally *t);

#endif
