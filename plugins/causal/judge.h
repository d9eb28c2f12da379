/*
 * judge.h -- one tick of the guard: what was observed is taken in, what was proposed is
 * allowed, bent or vetoed.
 *
 * A tick follows from what came before and from its event alone, so it can be replayed.
 */
#ifndef CAUSAL_JUDGE_H
#define CAUSAL_JUDGE_H

#include "bound.h"
#include "evla/abi.h"

/* What is observed, in this order. */
enum {
    JUDGE_JOINTS,
    JUDGE_COMMAND,
    JUDGE_FINGERS,
    JUDGE_FORCE,
    JUDGE_POSE,
    JUDGE_AGE,
    JUDGE_WANTS,
    JUDGE_ACTIONS = CHAIN_JOINTS + 1
};

/* What was observed and proposed in a tick; rows of poses follow. */
typedef struct judge_event {
    double time, slow_age;
    uint32_t present; /* bit per want */
    int32_t has_action;
    float joints[CHAIN_JOINTS], command[CHAIN_JOINTS], fingers[2], force, age;
    float action[JUDGE_ACTIONS];
    float pose[];
} judge_event;

typedef struct judge {
    const rules *r; /* set before judge_start, like period and now */
    double period;  /* s */
    judge_event *now;
    track track;
    relate graph;
    bound bound;
    /* of the ticks before */
    double joints[CHAIN_JOINTS], command[CHAIN_JOINTS], step[CHAIN_VARS];
    double fingers[2], force;
    double free_at[CHAIN_JOINTS],
        free_speed[CHAIN_JOINTS]; /* of joints that meet nothing */
    float grip;                   /* last action of the fingers */
    double told[CHAIN_JOINTS];    /* rad, by the last action */
    int32_t is_started, is_close, is_blind, n_blind;
} judge;

/* A new episode; row_of: see track.h. */
void judge_start(judge *s, const int32_t row_of[RULES_NODES]);
/* Takes in what s->now says was observed. */
void judge_see(judge *s);
/* Judges what s->now says was proposed; action [JUDGE_ACTIONS] is written in full. */
void judge_decide(judge *s, float *action, evla_verdict *v);

#endif
