/*
 * loop.h -- the one loop that joins body, policy, guard and clock: demonstrations, rounds
 * in which a teacher labels what a policy visits, evaluation and deployment.
 *
 * A tick has three parts: loop_sense (what does the body show), loop_decide (what shall it
 * do: teacher, chance or policy, then noise, then the guard), loop_act. Nothing in them
 * depends on who calls, or when: an episode follows from its seed. On a wall clock only the
 * moments at which slow results arrive differ.
 *
 * A loop belongs to one thread at a time. After loop_reset, a tick allocates nothing and
 * makes no system call, as far as the body's own functions do not.
 */
#ifndef EVLA_RUN_LOOP_H
#define EVLA_RUN_LOOP_H
#include "../host.h"
#include "pilot.h"

enum { LOOP_MOST_CHANNELS = 64, LOOP_MOST_WANTS = 64 };

typedef enum loop_driver { LOOP_EXPERT, LOOP_RANDOM, LOOP_ZERO, LOOP_MODEL } loop_driver;

/* What a loop is made of. Borrowed: it outlives the loops. */
typedef struct loop_spec {
    evla_choice body;
    const evla_body_info *info;
    evla_choice guard;    /* item NULL: none */
    const policy *policy; /* for LOOP_MODEL */
    loop_driver driver;
    double noise; /* standard deviation added to actions */
    double mix;   /* probability that the teacher drives a segment instead */
    int64_t segment_ns;
    double late;   /* probability that a tick's observations do not come */
    int label;     /* 1: ask the teacher at every tick */
    int all;       /* 1: sense every channel; 0: those that policy and guard read */
    uint64_t also; /* bit i: sense channel i, too */
    int beside;    /* see pilot_open */
} loop_spec;

typedef struct loop {
    loop_spec of;
    const evla_body *body;
    const evla_scene *guard; /* NULL: none */
    evla_scene_info guard_info;
    void *self, *guard_self;
    pilot *pilot;    /* NULL: no model acts */
    arena hold;      /* of samples and guard */
    arena body_hold; /* of the body */
    host h;
    /* of the episode */
    uint64_t seed;
    evla_goal goal;          /* the body's own */
    const char *instruction; /* what policy and guard are told */
    /* of the tick */
    int64_t tick; /* the one that comes, or is going on */
    int64_t now_ns;
    evla_tick now;        /* after the last act */
    void **samples;       /* newest sample by channel */
    int64_t *captured_ns; /* by channel */
    int64_t *n_samples;   /* by channel, of this episode */
    uint64_t fresh;       /* bit i: channel i has a new sample in this tick */
    int is_late;          /* this tick's observations did not come */
    int teacher_drives;
    float *label;    /* the teacher's clean action, when it was asked */
    float *proposed; /* before the guard */
    float *action;   /* what is carried out */
    evla_verdict verdict;
    int64_t age_ns;       /* of the oldest observation behind the proposal */
    int is_dry;           /* the policy had no action for this tick: its chunk has ended */
    int64_t n_dry;        /* such ticks of this episode */
    int64_t n_not_finite; /* ticks of this episode with an action that was not */
    uint64_t wanted;      /* channels sensed */
    const void *guard_samples[LOOP_MOST_WANTS];
    int32_t guard_channel[LOOP_MOST_WANTS];
} loop;

/* SplitMix64 (Steele, Lea, Flood 2014): a hash of a seed and a counter; and a number in
 * (0, 1) from it. */
uint64_t loop_hash(uint64_t seed, uint64_t i);
double loop_unit(uint64_t bits);
/* The seed of episode i; fits an int64_t. */
uint64_t loop_episode_seed(uint64_t seed, int64_t i);
/* ns since tick 0, on a virtual clock. */
int64_t loop_time_ns(double rate_hz, int64_t tick);

/* Asks a body and refuses what no loop can run. Texts live in hold. */
int32_t loop_describe(ctx *cx, arena *hold, const evla_choice *body, evla_body_info *out);
/* Refuses what does not fit together: a teacher that the body lacks, a guard that wants
 * channels it does not have. */
int32_t loop_check(ctx *cx, const loop_spec *s);

/* Bytes that samples and guard will hold, known before a loop is opened. */
int32_t loop_needs(ctx *cx, const loop_spec *s, uint64_t *bytes);
int32_t loop_open(ctx *cx, const loop_spec *s, loop **out);
void loop_close(ctx *cx, loop *l);
/* Bytes it holds, but for the body and the policy's plans and weights. */
uint64_t loop_held(const loop *l);
/* A new episode. instruction: what policy and guard are told instead of the body's own
 * sentence; NULL: that one. cx serves until the next reset. now_ns: 0 on a virtual
 * clock. */
int32_t loop_reset(ctx *cx, loop *l, uint64_t seed, const char *instruction,
                   int64_t now_ns);
/* [tick thread] now_ns: of this tick, on whatever clock. */
int32_t loop_sense(loop *l, int64_t now_ns);
int32_t loop_decide(loop *l);
int32_t loop_act(loop *l);
/* 1 when the episode is over: done, or as long as it may be. */
int loop_is_over(const loop *l);
/* All three on a virtual clock. */
int32_t loop_tick(loop *l);

#endif
