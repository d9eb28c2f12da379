/*
 * pilot.h -- flies a policy: a mailbox behind each of its calls.
 *
 * On a virtual clock (pilot_open with beside 0) one thread does everything, and a result is
 * delivered its declared latency after the tick whose observation it came from. On the wall
 * clock (beside 1) calls with a latency run on threads of their own at normal priority,
 * and their results are delivered when they are done; the thread that calls pilot_tick
 * never waits for them, takes no lock and makes no system call.
 *
 * Before the first tick of an episode every call runs once, and its result is there: a
 * robot stands still until its policy has spoken.
 */
#ifndef EVLA_RUN_PILOT_H
#define EVLA_RUN_PILOT_H
#include "histogram.h"
#include "policy.h"

typedef struct pilot pilot;

/* What the policy sees of the body: the newest sample of each channel and when it was
 * captured. Times are ns of one clock, which goes on from episode to episode or starts
 * anew with each. */
typedef struct pilot_view {
    const void *const *samples; /* by channel */
    const int64_t *captured_ns; /* by channel */
    int64_t tick;
    int64_t now_ns; /* of this tick */
} pilot_view;

typedef struct pilot_answer {
    const float *action; /* n_action floats, as the graph made them; NULL: a chunk ended
                            before the next one came */
    int64_t age_ns;      /* of the oldest observation behind it */
} pilot_answer;

int32_t pilot_open(ctx *cx, const policy *p, int beside, pilot **out);
void pilot_close(pilot *p);
/* Starts an episode: states to their init, mailboxes empty; then runs every call once on
 * the view of tick 0 and starts the threads. Not for the tick thread's time. */
int32_t pilot_reset(ctx *cx, pilot *p, const char *instruction, const pilot_view *first);
/* [tick thread] One tick, from tick 0 on. */
int32_t pilot_tick(ctx *cx, pilot *p, const pilot_view *v, pilot_answer *out);
/* A call that runs beside the ticks failed: its sentence. Not for the tick thread. */
int32_t pilot_trouble(ctx *cx, pilot *p);
/* How often a call beside the ticks had not answered when it was asked again. */
int64_t pilot_late(const pilot *p);
/* Ends what runs beside the ticks, and adds how long answers took there, from the tick that
 * asked, of all calls and episodes. Only pilot_reset may follow. */
void pilot_land(pilot *p, histogram *took);
/* Bytes it holds, with the mailboxes; NULL: those it holds whatever the policy. */
uint64_t pilot_held(const pilot *p);

#endif
