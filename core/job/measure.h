/*
 * measure.h -- what a recipe measures: a graph over rows of data, one layer before and
 * after, a whole step.
 *
 * Times are of one worker, alternating between the two sides, the best of many: other load
 * on the machine then takes from both alike.
 */
#ifndef EVLA_JOB_MEASURE_H
#define EVLA_JOB_MEASURE_H
#include "../graph/quantize.h"
#include "../run/session.h"
#include "rows.h"
#include "types.h"

enum { MEASURE_BATCH = 32 };

/* Extents for the symbols of a graph: what `given` says (a list of job_symbol; names that
 * the graph lacks are left out), then the batch for symbols that stand first in a type of
 * an input, then the smallest. */
int32_t measure_symbols(ctx *cx, const graph *g, const evla_list *given, int64_t batch,
                        symbols *out);
/* The inputs that a row of data must feed, with their bound types, on `a`; `slots` says
 * which inputs of the graph they are. Refuses inputs whose first extent is not the batch,
 * which is *batch or, where a rule or the type rounds it, more. */
int32_t measure_inputs(ctx *cx, arena *a, const graph *g, const evla_list *given,
                       int64_t *batch, symbols *at, rows_input **out, int32_t **slots,
                       int32_t *n);

/* One graph over rows of data, for several models that have it alike. */
typedef struct measure {
    ctx *cx;
    arena mem;
    const char *graph;
    symbols at;
    rows_input *in;
    int32_t *slots;
    int64_t *which; /* rows of a batch */
    rows *rows;     /* NULL: inputs are drawn from a seed */
    rows_reader reader;
    int64_t batch, n_batches;
    int32_t n_in, n_workers, has_reader;
} measure;

/* At most `samples` rows, evenly spread, in whole batches. Without data the rows are drawn:
 * reals uniform in [-1, 1), others zeros. */
int32_t measure_open(ctx *cx, const model *m, const char *graph_name,
                     const evla_list *given, const evla_list *data, const char *mask,
                     int64_t samples, int32_t n_workers, measure *out);
void measure_close(measure *w);
/* Called after each batch; the session has run plan 0. */
typedef int32_t measure_see(void *to, session *s, const plan *p, int64_t batch);
int32_t measure_run(measure *w, const model *m, measure_see *see, void *to);

/* One side of what is compared. */
typedef struct measure_time {
    double best_us, p50_us;
    const char *kernel; /* of the linear; lives as long as the engine */
} measure_time;

/* Runs a pair (quantize.h) on n rows x, of f32 or i32 as its input says. *error is
 * |codes - f32| / |f32|, Euclidean over all outputs; times are of one row. */
int32_t measure_pair(ctx *cx, const model *pair, const void *x, int64_t n, int64_t runs,
                     double *error, measure_time time[2]);
/* One run of all these graphs, one after the other, at the smallest extents; inputs are
 * drawn. time: f32, codes, and f32 with the kernels that any machine has, since a faster
 * kernel for large batches may be a slower one here. */
int32_t measure_step(ctx *cx, const model *f32, const model *codes, const evla_list *graphs,
                     const evla_list *given, int64_t runs, measure_time time[3]);

#endif
