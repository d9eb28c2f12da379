/*
 * chunk.c -- answers of many actions, played one after the other. See chunk.h.
 */
#include "chunk.h"
#include <math.h>
#include <string.h>

struct chunk_player {
    const chunk_law *law;
    int32_t n, next; /* answers that are kept; where the next one goes */
    int64_t *ticks;  /* of their observations */
    double *weights; /* exp(-decay i) */
    double *sum;     /* width */
    float *mean;     /* width */
    float *answers;  /* n_kept x rows x width */
};

int64_t chunk_row(const chunk_law *law, int64_t ticks)
{
    return (int64_t)floor((double)ticks * law->per_tick + 1e-9);
}

/* ---- what the next answer has to keep to ---- */

/* Equation 5: from 1 at the last row that is fixed down to 0 where `last` ends. */
static double firmness(int64_t row, int64_t n_fixed, int64_t end)
{
    if (row >= end) return 0;
    if (row < n_fixed) return 1;
    double c = (double)(end - row) / (double)(end - n_fixed + 1);
    return c * expm1(c) / expm1(1);
}

void chunk_previous(const chunk_law *law, const float *last, int64_t ticks, float *previous,
                    float *weight)
{
    size_t width = (size_t)law->width;
    int64_t past = last ? chunk_row(law, ticks) : law->rows;
    int64_t end = past < law->rows ? law->rows - past : 0;
    memset(previous, 0, (size_t)law->rows * width * sizeof *previous);
    if (end)
        memcpy(previous, last + (size_t)past * width,
               (size_t)end * width * sizeof *previous);
    for (int64_t i = 0; i < law->rows; i++)
        weight[i] = (float)firmness(i, law->n_fixed, end);
}

/* ---- playing ---- */

static size_t round_up(size_t n) { return (n + 63) & ~(size_t)63; }

static size_t answer_floats(const chunk_law *law)
{
    return (size_t)law->rows * (size_t)law->width;
}

size_t chunk_bytes(const chunk_law *law)
{
    size_t kept = (size_t)law->n_kept, width = (size_t)law->width;
    return round_up(sizeof(chunk_player)) + 2 * round_up(kept * sizeof(double)) +
           round_up(width * sizeof(double)) + round_up(width * sizeof(float)) +
           round_up(kept * answer_floats(law) * sizeof(float));
}

static void *take(unsigned char **at, size_t bytes)
{
    void *p = *at;
    *at += round_up(bytes);
    return p;
}

chunk_player *chunk_place(void *memory, const chunk_law *law)
{
    size_t kept = (size_t)law->n_kept, width = (size_t)law->width;
    unsigned char *at = memory;
    memset(memory, 0, chunk_bytes(law)); /* also touches every page */
    chunk_player *p = take(&at, sizeof *p);
    p->law = law;
    p->ticks = take(&at, kept * sizeof *p->ticks);
    p->weights = take(&at, kept * sizeof *p->weights);
    p->sum = take(&at, width * sizeof *p->sum);
    p->mean = take(&at, width * sizeof *p->mean);
    p->answers = take(&at, kept * answer_floats(law) * sizeof *p->answers);
    for (int32_t i = 0; i < law->n_kept; i++)
        p->weights[i] = exp(-law->decay * i);
    return p;
}

void chunk_clear(chunk_player *p) { p->n = p->next = 0; }

void chunk_add(chunk_player *p, const float *rows, int64_t tick)
{
    size_t n = answer_floats(p->law);
    memcpy(p->answers + (size_t)p->next * n, rows, n * sizeof *rows);
    p->ticks[p->next] = tick;
    p->next = (p->next + 1) % p->law->n_kept;
    if (p->n < p->law->n_kept) p->n++;
}

/* Of the answer that came i-th of those that are kept, the row for a tick, or NULL. */
static const float *row_of(const chunk_player *p, int32_t i, int64_t tick)
{
    int32_t kept = p->law->n_kept, k = (p->next - p->n + i + kept) % kept;
    int64_t row = chunk_row(p->law, tick - p->ticks[k]);
    if (row >= p->law->rows) return NULL;
    return p->answers + (size_t)k * answer_floats(p->law) + row * p->law->width;
}

static const float *mean_of(chunk_player *p, int64_t tick)
{
    int32_t n = 0, width = p->law->width;
    double all = 0;
    memset(p->sum, 0, (size_t)width * sizeof *p->sum);
    for (int32_t i = 0; i < p->n; i++) {
        const float *row = row_of(p, i, tick);
        if (!row) continue;
        for (int32_t k = 0; k < width; k++)
            p->sum[k] += p->weights[n] * (double)row[k];
        all += p->weights[n++];
    }
    for (int32_t k = 0; n && k < width; k++)
        p->mean[k] = (float)(p->sum[k] / all);
    return n ? p->mean : NULL;
}

const float *chunk_play(chunk_player *p, int64_t tick)
{
    if (p->law->mode == CHUNK_ENSEMBLE) return mean_of(p, tick);
    return p->n ? row_of(p, p->n - 1, tick) : NULL;
}
