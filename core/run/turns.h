/*
 * turns.h -- a graph that runs several times in a row, as a loop that takes noise away
 * does.
 *
 * Its input `step`, an i32 of rank 0, counts from 0. An input that has the name of one of
 * its outputs gets, from the second run on, what the run before made of it. Nothing is
 * allocated.
 */
#ifndef EVLA_RUN_TURNS_H
#define EVLA_RUN_TURNS_H
#include "session.h"

enum { TURNS_MOST = 1 << 20, TURNS_MOST_LINKS = 8 };

typedef struct turns {
    int64_t times;
    int32_t step; /* slot of the input that counts; -1: none */
    int32_t n_links;
    struct {
        int32_t in, out; /* slots */
        size_t bytes;
    } links[TURNS_MOST_LINKS];
} turns;

/* times 0 counts as 1. Fails when an output is not what the input of its name wants. */
int32_t turns_of(ctx *cx, const plan *p, int64_t times, turns *out);
/* 1 when the loop itself feeds that input in every run. */
int turns_feeds(const turns *t, int32_t input);
/* Makes plan i of the session ready for its run number `time`, from 0, and runs it. */
int32_t turns_run_one(ctx *cx, session *s, int32_t i, const turns *t, int64_t time);
/* All of them. */
int32_t turns_run(ctx *cx, session *s, int32_t i, const turns *t);

#endif
