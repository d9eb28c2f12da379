/*
 * track.h -- where things are, from noisy and late readings and from what the joints say.
 *
 * What stands still is averaged, what is held follows the hand, a lid is an angle. All
 * memory is inside; nothing depends on a clock.
 */
#ifndef CAUSAL_TRACK_H
#define CAUSAL_TRACK_H

#include "rules.h"

enum { TRACK_ROWS = 64, TRACK_PAST = 64, TRACK_SAMPLE = 7 };

typedef struct track_thing {
    double pos[3], rot[9];             /* now, world frame */
    double mean[3], turn[9];           /* of readings since it last moved */
    double recent[3];                  /* of the last few readings */
    double n;                          /* readings in `mean`; 0: never seen */
    double angle;                      /* rad, of a lid */
    double in_pos[3], in_rot[9], n_in; /* in the hand's frame, while held */
    int32_t astray;                    /* readings in a row that do not fit a held thing */
    int32_t is_touched;                /* something may be moving it */
} track_thing;

typedef struct track {
    const rules *r;
    int32_t row_of[RULES_NODES]; /* of the reading; -1: not observed */
    track_thing thing[RULES_NODES];
    struct {
        double pos[3], rot[9];
    } past[TRACK_PAST]; /* of the hand, the newest at `newest` */
    int32_t newest, n_past;
    double period;               /* s */
    double taken;                /* when the newest reading was taken */
    int32_t held;                /* node, -1 */
    int32_t gripped;             /* node: held, or a lid whose knob both pads press; -1 */
    double opening, rate, force; /* m, m/s, N of the gripper */
    chain_pose now;              /* from measured joints */
} track;

void track_reset(track *t, const rules *r, const int32_t row_of[RULES_NODES],
                 double period);

/* One tick. reading [rows,7] or NULL; age in s; joints rad[7], fingers m[2], force N. */
void track_tick(track *t, double time, const float *reading, double age,
                const double joints[CHAIN_JOINTS], const float fingers[2], double force);

/* PRESS_*: what the hand does. */
int32_t track_load(const track *t);

/* A point of an object where the TCP belongs; the same seen from the TCP, in hand axes. */
void track_grip_point(const track *t, int32_t node, double out[3]);
void track_from_tcp(const track *t, const double point[3], double out[3]);

#endif
