/*
 * sight.h -- a picture in a text: two graphs of a model turn a picture file into rows of
 * embeddings.
 *
 * Graph "image" has the input picture u8[H,W,3], with symbols for the file's extents, and
 * the output pixels; graph "vision" has that input and the output rows f32[N,W]. A model
 * whose text goes on with actions has a graph "action": ids i32[A] to action f32[A].
 */
#ifndef EVLA_JOB_SIGHT_H
#define EVLA_JOB_SIGHT_H
#include "../data/picture.h"
#include "language.h"

typedef struct sight {
    const char *path;
    language_params language; /* the text's, with these graphs beside it */
    const char *graphs[3];
    job_symbol extents[2];
    int has_action;
    int64_t began_ns;      /* when reading the file began, by clock_ns() */
    int64_t pixels_ns;     /* when it was read and prepared */
    int64_t seen_ns;       /* when its rows were there */
    uint64_t vision_bytes; /* of the weights of what sees it */
} sight;

/* The picture's size and the graphs that see it. `language` gets what s->language holds
 * more. EVLA_E_MISSING when the model has no such graphs. */
int32_t sight_open(ctx *cx, const model *m, const char *path, const language_params *given,
                   sight *s);
/* The rows of the picture, in the arena. */
int32_t sight_see(ctx *cx, sight *s, completer *c, arena *a, sequence_rows *out);
/* The action that tokens stand for, in the arena. */
int32_t sight_action(ctx *cx, const sight *s, completer *c, arena *a, const evla_token *t,
                     int32_t n, const float **action, int32_t *n_action);

#endif
