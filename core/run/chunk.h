/*
 * chunk.h -- answers of many actions, played one after the other while the next is made.
 *
 * An answer is f32[rows, width]: its row i is the action for i rows after the tick whose
 * observation it came from. So rows that passed while it was made are skipped. Answers
 * overlap; what is played then is the mode:
 *
 *   QUEUE     the newest answer's row
 *   ENSEMBLE  the mean of all answers' rows for now, weighted exp(-decay i), i counted from
 *             the oldest on (Zhao et al. 2023, algorithm 2)
 *   REALTIME  as QUEUE; the next answer is told what is going to be played meanwhile, and
 *             how firmly it has to keep to it (Black, Galliker, Levine 2025, equation 5)
 *
 * When no answer has a row for now, there is nothing to play: it has run dry.
 */
#ifndef EVLA_RUN_CHUNK_H
#define EVLA_RUN_CHUNK_H
#include <stddef.h>
#include <stdint.h>

typedef enum chunk_mode {
    CHUNK_NONE,
    CHUNK_QUEUE,
    CHUNK_ENSEMBLE,
    CHUNK_REALTIME
} chunk_mode;

typedef struct chunk_law {
    chunk_mode mode;
    int32_t rows, width;
    int32_t n_kept;  /* answers that may overlap, >= 1 */
    int32_t n_fixed; /* rows that are begun before the next answer can arrive */
    double per_tick; /* rows per tick, above 0, at most 1 */
    double decay;
} chunk_law;

/* The row for so many ticks after the observation. */
int64_t chunk_row(const chunk_law *law, int64_t ticks);

/* Of an answer whose observation came `ticks` after that of the answer `last` (NULL: there
 * is none): the rows of that one which it overlaps, in its own order, zeros behind them;
 * and a weight for each, 1: that row will have been played when the answer arrives, 0:
 * nothing is known about it. previous [rows, width], weight [rows]. */
void chunk_previous(const chunk_law *law, const float *last, int64_t ticks, float *previous,
                    float *weight);

/* Plays answers. One thread's; nothing is allocated. */
typedef struct chunk_player chunk_player;
size_t chunk_bytes(const chunk_law *law);
/* memory: of chunk_bytes, 64-byte aligned, borrowed, as the law is. */
chunk_player *chunk_place(void *memory, const chunk_law *law);
void chunk_clear(chunk_player *p);
/* An answer, copied, to the observation of a tick later than that of the one before. */
void chunk_add(chunk_player *p, const float *rows, int64_t tick);
/* The action of a tick, valid until the next call; NULL: it has run dry. */
const float *chunk_play(chunk_player *p, int64_t tick);

#endif
