/*
 * chunk_runner.c -- plays answers that a script on stdin gives (core/run/chunk.h); the
 * oracle speaks numpy.
 *
 *   law MODE ROWS WIDTH N_KEPT N_FIXED PER_TICK DECAY    first
 *   add TICK NUMBER...          an answer to the observation of that tick has arrived
 *   play TICK                   prints the action, or "dry"
 *   previous TICKS NUMBER...    prints the rows of that answer that one asked for so much
 *                               later overlaps, then their weights; no numbers: there is
 * none
 */
#include "run/chunk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 };

static int read_numbers(char *at, float *out)
{
    int n = 0;
    for (char *end; n < MOST; n++, at = end) {
        out[n] = strtof(at, &end);
        if (end == at) break;
    }
    return n;
}

static void print(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        printf("%.9g ", (double)x[i]);
}

int main(void)
{
    static char line[1 << 20];
    static float numbers[MOST], weights[MOST];
    chunk_law law = {.mode = CHUNK_NONE};
    chunk_player *p = NULL;
    while (fgets(line, sizeof line, stdin)) {
        int mode, at = 0;
        long long tick = 0;
        if (sscanf(line, "law %d %d %d %d %d %lf %lf", &mode, &law.rows, &law.width,
                   &law.n_kept, &law.n_fixed, &law.per_tick, &law.decay) == 7) {
            law.mode = (chunk_mode)mode;
            p = chunk_place(aligned_alloc(64, (chunk_bytes(&law) + 63) / 64 * 64), &law);
        } else if (p && sscanf(line, "add %lld%n", &tick, &at) == 1) {
            if (read_numbers(line + at, numbers) == law.rows * law.width)
                chunk_add(p, numbers, tick);
        } else if (p && sscanf(line, "play %lld", &tick) == 1) {
            const float *action = chunk_play(p, tick);
            if (action)
                print(action, law.width);
            else
                printf("dry");
            printf("\n");
        } else if (p && sscanf(line, "previous %lld%n", &tick, &at) == 1) {
            static float previous[MOST];
            int has = read_numbers(line + at, numbers) == law.rows * law.width;
            chunk_previous(&law, has ? numbers : NULL, tick, previous, weights);
            print(previous, law.rows * law.width);
            print(weights, law.rows);
            printf("\n");
        }
    }
    free(p);
    return 0;
}
