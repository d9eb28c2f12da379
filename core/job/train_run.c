/*
 * train_run.c -- the steps of a training job: rows in, plans run, weights out.
 *
 * The loop copies a batch that the feed has ready, sets lr and t, and runs one static plan.
 * It allocates nothing; progress, measurements on held-out rows and checkpoints are between
 * steps.
 */
#include "../graph/save.h"
#include "../graph/weights.h"
#include "../mem.h"
#include "../run/clock.h"
#include "feed.h"
#include "train.h"
#include <math.h>
#include <string.h>

enum { LEAST_AHEAD = 4, MOST_AHEAD = 1024, AHEAD_BYTES = 4 << 20 };
enum { LEAST_WINDOW = 1, MOST_WINDOW = 100 };
/* A spread below this is that of a constant: it divides by 1, not by almost nothing. */
static const double least_deviation = 1e-4;

/* Where a plan takes an input from. */
typedef struct port {
    evla_tensor *to; /* NULL: this plan does not read it */
    size_t bytes;
} port;

typedef struct trainer {
    ctx *cx;
    ctx quiet; /* without the stop flag: a step is run to its end */
    job *j;
    const train_params *given;
    model *m;
    grad *g;
    session *s;
    rows *rows, *valid_rows;
    rows_reader reader; /* of valid_rows */
    feed *feed;
    rows_input in[ROWS_MOST_INPUTS];
    port batch_in[ROWS_MOST_INPUTS], valid_in[ROWS_MOST_INPUTS];
    int32_t n_in;
    evla_tensor *lr, *t;
    const evla_tensor *loss, *norm, *valid_loss;
    int64_t *which; /* rows of a batch that is measured */
    train_log log;
    int64_t resumed, plan_ns, loop_ns, valid_ns;
    int is_kept; /* there is a checkpoint of this training */
} trainer;

/* ---- before the first step ---- */

/* The file has names and bytes; which weights are statistics is written in the model file.
 */
static void copy_inits(model *to, const model *declared)
{
    for (int32_t i = 0; declared && i < to->n_weights; i++) {
        int32_t k = model_weight(declared, to->weights[i].name);
        if (k >= 0) to->weights[i].init = declared->weights[k].init;
    }
}

static int32_t open_model(trainer *r)
{
    const job *from = job_given(r->j, "model");
    int32_t st = save_open(r->cx, r->given->model->path, &r->m);
    if (st < 0) return st;
    copy_inits(r->m, from ? job_model_graphs(from) : NULL);
    return r->given->init ? weights_take(r->cx, r->m, r->given->init->path, 1, 0) : 0;
}

static int32_t open_rows(trainer *r)
{
    const evla_value *const *data = r->given->data.items;
    rows_options how = train_rows_options(r->j, 0), valid = train_rows_options(r->j, 1);
    int32_t st =
        rows_open(r->cx, data, (int32_t)r->given->data.n, &how, r->in, r->n_in, &r->rows);
    if (st < 0) return st;
    if (rows_count(r->rows) < 1)
        return ctx_fail(r->cx, EVLA_E_MISSING,
                        "train \"%s\": data: no row to learn from in mask \"%s\"",
                        r->j->name, r->given->mask);
    if (r->g->evaluate < 0) return 0;
    uint64_t used = rows_cached(r->rows);
    valid.cache = valid.cache > used ? valid.cache - used : 0;
    return rows_open(r->cx, data, (int32_t)r->given->data.n, &valid, r->in, r->n_in,
                     &r->valid_rows);
}

/* Means and deviations become weights like any other, and constants of the training. */
static int32_t fill_statistics(trainer *r)
{
    ctx *cx = r->cx;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < r->m->n_weights; i++) {
        const weight_info *w = &r->m->weights[i];
        const char *field;
        char which = train_statistic(w, &field);
        if (!which) continue;
        arena_place mark = arena_mark(&cx->scratch);
        int64_t n = type_count(&w->type);
        double *mean = arena_push(&cx->scratch, (size_t)n + 1, sizeof *mean),
               *deviation = arena_push(&cx->scratch, (size_t)n + 1, sizeof *deviation);
        float *out = arena_push(&cx->scratch, (size_t)n + 1, sizeof *out);
        st = mean && deviation && out
                 ? rows_statistics(cx, r->rows, field, n, mean, deviation)
                 : ctx_fail(cx, EVLA_E_NOMEM, "weight %s", w->name);
        for (int64_t k = 0; st >= 0 && k < n; k++)
            out[k] = (float)(which == 'm'                      ? mean[k]
                             : deviation[k] >= least_deviation ? deviation[k]
                                                               : 1);
        const evla_type type = w->type;
        if (st >= 0) st = model_set_weight(cx, r->m, i, &type, out, 1);
        arena_reset(&cx->scratch, mark);
        if (st < 0) ctx_prefix(cx, "weight %s, %s", w->name, w->init);
    }
    return st;
}

static void find_ports(trainer *r, int32_t plan_index, port *ports)
{
    const plan *p = r->g->plans[plan_index];
    for (int32_t i = 0; i < r->n_in; i++) {
        ports[i].to = session_input(r->s, plan_index, plan_input(p, r->in[i].name));
        ports[i].bytes = (size_t)type_bytes(r->cx->reg, &r->in[i].type);
    }
}

static int32_t find_all_ports(trainer *r)
{
    const grad *g = r->g;
    const plan *batch = g->plans[g->batch], *update = g->plans[g->update];
    find_ports(r, g->batch, r->batch_in);
    r->loss = session_output(r->s, g->batch, plan_output(batch, "loss"));
    r->norm = session_output(r->s, g->update, plan_output(update, "grad_norm"));
    r->lr = session_input(r->s, g->update, plan_input(update, "lr"));
    r->t = session_input(r->s, g->update, plan_input(update, "t"));
    if (g->evaluate >= 0) {
        find_ports(r, g->evaluate, r->valid_in);
        r->valid_loss =
            session_output(r->s, g->evaluate, plan_output(g->plans[g->evaluate], "loss"));
    }
    if (r->loss && r->norm && r->lr && r->t && (g->evaluate < 0 || r->valid_loss)) return 0;
    return ctx_fail(r->cx, EVLA_E_BUG, "train \"%s\": the training plan lacks a port",
                    r->j->name);
}

static int64_t valid_every(const train_params *p)
{
    return p->valid_every ? p->valid_every : (p->steps + 9) / 10;
}

static int32_t make_log(trainer *r)
{
    train_log *l = &r->log;
    size_t n = (size_t)r->given->steps;
    l->most_valid = r->given->steps / valid_every(r->given) + 2;
    l->loss = mem_alloc(n * sizeof *l->loss);
    l->norm = mem_alloc(n * sizeof *l->norm);
    l->valid = mem_alloc((size_t)l->most_valid * sizeof *l->valid);
    r->which = mem_alloc((size_t)r->given->batch * sizeof *r->which);
    return l->loss && l->norm && l->valid && r->which
               ? 0
               : ctx_fail(r->cx, EVLA_E_NOMEM, "train \"%s\": %lld steps", r->j->name,
                          (long long)r->given->steps);
}

/* Batches that wait in a few megabytes. */
static int32_t batches_ahead(const trainer *r)
{
    int64_t each = 1;
    for (int32_t i = 0; i < r->n_in; i++)
        each += type_bytes(r->cx->reg, &r->in[i].type);
    int64_t n = AHEAD_BYTES / each;
    return (int32_t)(n < LEAST_AHEAD ? LEAST_AHEAD : n > MOST_AHEAD ? MOST_AHEAD : n);
}

static int32_t prepare(trainer *r)
{
    ctx *cx = r->cx;
    const train_params *given = r->given;
    session_options how = {.n_workers = train_workers(r->j),
                           .budget = (uint64_t)given->memory};
    int32_t st = open_model(r);
    if (st >= 0) st = train_plans(cx, r->j, r->m, &r->g);
    if (st >= 0) st = train_inputs(cx, r->j, r->g, r->in, &r->n_in);
    if (st >= 0) st = open_rows(r);
    if (st >= 0 && !train_keeps_statistics(r->j)) st = fill_statistics(r);
    if (st >= 0) st = grad_frozen(cx, r->g);
    if (st >= 0) st = session_open(cx, r->g->plans, r->g->n_plans, &how, &r->s);
    if (st >= 0) st = learn_begin(cx, r->g, r->s);
    if (st >= 0) st = find_all_ports(r);
    if (st >= 0 && r->valid_rows) st = rows_reader_open(cx, r->valid_rows, &r->reader);
    if (st >= 0) st = make_log(r);
    if (st >= 0) st = train_load(cx, r->j, r->g, r->s, &r->log);
    if (st < 0) return st;
    if (st == 1 && r->log.n)
        ctx_say(cx, EVLA_LOG_INFO, "%s: goes on from step %lld of an earlier run",
                r->j->name, (long long)r->log.n);
    r->resumed = r->log.n;
    r->is_kept = st == 1;
    feed_options fo = {.in = r->in,
                       .n_in = r->n_in,
                       .ahead = batches_ahead(r),
                       .batch = given->batch,
                       .seed = (uint64_t)given->seed,
                       .from = r->log.n * given->accumulate,
                       .until = given->steps * given->accumulate};
    return feed_open(cx, r->rows, &fo, &r->feed);
}

/* ---- steps ---- */

static int32_t run_plan(trainer *r, int32_t i)
{
    int64_t from = clock_ns();
    int32_t st = session_run(&r->quiet, r->s, i);
    r->plan_ns += clock_ns() - from;
    return st < 0 ? ctx_fail(r->cx, st, "%s", r->quiet.why) : 0;
}

static int32_t not_finite(trainer *r, const char *what, double x)
{
    const train_params *p = r->given;
    int64_t rows_each = p->batch * p->accumulate;
    return ctx_fail(r->cx, EVLA_E_RANGE,
                    "train \"%s\": the %s is %g at step %lld (learning rate %.3g, seed "
                    "%lld, draws %lld to "
                    "%lld); take a smaller lr, a longer warmup, or clip = 1%s",
                    r->j->name, what, x, (long long)r->log.n + 1, train_lr(p, r->log.n + 1),
                    (long long)p->seed, (long long)(r->log.n * rows_each),
                    (long long)((r->log.n + 1) * rows_each - 1),
                    r->is_kept ? "; the last checkpoint is kept" : "");
}

/* One update. */
static int32_t step(trainer *r)
{
    const grad *g = r->g;
    unsigned char *const *data;
    double loss = 0;
    int32_t st = 0;
    *(float *)r->lr->data[0] = (float)train_lr(r->given, r->log.n + 1);
    *(int64_t *)r->t->data[0] = r->log.n + 1;
    for (int64_t k = 0; k < r->given->accumulate; k++) {
        if ((st = feed_next(r->cx, r->feed, &data)) < 0) return st;
        for (int32_t i = 0; i < r->n_in; i++)
            if (r->batch_in[i].to)
                memcpy(r->batch_in[i].to->data[0], data[i], r->batch_in[i].bytes);
        feed_done(r->feed);
        if ((st = run_plan(r, g->batch)) < 0) return st;
        loss += (double)*(const float *)r->loss->data[0];
    }
    loss /= (double)r->given->accumulate;
    if (!isfinite(loss)) return not_finite(r, "loss", loss);
    if (g->update != g->batch && (st = run_plan(r, g->update)) < 0) return st;
    float norm = *(const float *)r->norm->data[0];
    if (!isfinite(norm)) return not_finite(r, "norm of the gradients", (double)norm);
    r->log.loss[r->log.n] = (float)loss;
    r->log.norm[r->log.n] = norm;
    r->log.n++;
    return 0;
}

/* The mean loss over the same held-out rows every time, in whole batches. */
static int32_t measure(trainer *r)
{
    const train_params *p = r->given;
    int64_t n = rows_count(r->valid_rows), from = clock_ns(), plan_ns = r->plan_ns;
    int64_t batches = (n < p->valid_rows ? n : p->valid_rows) / p->batch;
    double sum = 0;
    int32_t st = 0;
    if (batches < 1) batches = 1; /* some rows then count twice */
    for (int64_t k = 0; st >= 0 && k < batches; k++) {
        for (int64_t i = 0; i < p->batch; i++)
            r->which[i] = rows_shuffled((uint64_t)p->seed, n, k * p->batch + i);
        for (int32_t i = 0; st >= 0 && i < r->n_in; i++)
            if (r->valid_in[i].to)
                st = rows_gather(&r->reader, r->which, p->batch, i,
                                 r->valid_in[i].to->data[0]);
        if (st < 0) return ctx_fail(r->cx, st, "%s", r->reader.cx.why);
        st = run_plan(r, r->g->evaluate);
        sum += (double)*(const float *)r->valid_loss->data[0];
    }
    r->plan_ns = plan_ns;
    r->valid_ns += clock_ns() - from;
    if (st >= 0 && !isfinite(sum))
        return ctx_fail(
            r->cx, EVLA_E_RANGE,
            "train \"%s\": the loss on held-out rows is %g after step %lld, "
            "though it is %.3g on those that are learned from; take a smaller lr",
            r->j->name, sum, (long long)r->log.n, (double)r->log.loss[r->log.n - 1]);
    if (st >= 0 && r->log.n_valid < r->log.most_valid)
        r->log.valid[r->log.n_valid++] =
            (train_valid){(double)r->log.n, sum / (double)batches};
    return st;
}

static void tell(trainer *r, int64_t ns, int64_t steps)
{
    char text[120];
    int n = snprintf(text, sizeof text, "loss %.4g, %.0f steps/s",
                     (double)r->log.loss[r->log.n - 1],
                     ns > 0 ? 1e9 * (double)steps / (double)ns : 0);
    if (r->log.n_valid)
        snprintf(text + n, sizeof text - (size_t)n, ", valid %.4g",
                 r->log.valid[r->log.n_valid - 1].loss);
    job_report_progress(r->j, r->log.n, r->given->steps, text);
}

static int32_t keep(trainer *r, double earlier, int64_t began)
{
    r->log.seconds = earlier + 1e-9 * (double)(clock_ns() - began);
    int32_t st = train_save(r->cx, r->j, r->g, r->s, &r->log);
    r->is_kept |= st >= 0;
    return st;
}

static int32_t loop(trainer *r)
{
    const train_params *p = r->given;
    const int64_t began = clock_ns(), every = valid_every(p);
    const double earlier = r->log.seconds;
    int64_t saved_at = began, told_at = began, told_n = r->log.n;
    int32_t st = 0;
    while (st >= 0 && r->log.n < p->steps) {
        if ((st = step(r)) < 0) return st;
        int64_t n = r->log.n, now = clock_ns();
        if (r->valid_rows && rows_count(r->valid_rows) &&
            (n % every == 0 || n == p->steps)) {
            if ((st = measure(r)) < 0) return st;
        }
        if (now - told_at > 100000000 || n == p->steps) {
            tell(r, now - told_at, n - told_n);
            told_at = now;
            told_n = n;
        }
        int is_stopped = ctx_stopping(r->cx) && n < p->steps;
        if (is_stopped || n == p->steps ||
            (p->checkpoint && now - saved_at > p->checkpoint) ||
            (p->checkpoint_steps && n % p->checkpoint_steps == 0)) {
            st = keep(r, earlier, began);
            saved_at = clock_ns();
        }
        if (st >= 0 && is_stopped)
            st = ctx_fail(r->cx, EVLA_E_STOPPED, "%s: stopped after %lld of %lld steps",
                          r->j->name, (long long)n, (long long)p->steps);
    }
    r->loop_ns = clock_ns() - began;
    r->log.seconds = earlier + 1e-9 * (double)r->loop_ns;
    return st;
}

/* ---- afterwards ---- */

static int64_t window_of(int64_t steps)
{
    int64_t w = steps / 10;
    return w < LEAST_WINDOW ? LEAST_WINDOW : w > MOST_WINDOW ? MOST_WINDOW : w;
}

static double mean_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / (double)n;
}

static int32_t add_figures(trainer *r)
{
    job *j = r->j;
    const grad *g = r->g;
    const train_params *p = r->given;
    const train_log *l = &r->log;
    const int64_t w = window_of(l->n), made = l->n - r->resumed;
    const plan *batch = g->plans[g->batch];
    /* the time of this run, without what was measured on held-out rows */
    const double seconds = 1e-9 * (double)(r->loop_ns - r->valid_ns);
    const double rate = seconds > 0 ? (double)made / seconds : 0;
    const struct {
        const char *name;
        value v;
    } rows_of[] = {
        {"steps", value_int(l->n)},
        {"step_rows", value_int(p->batch * p->accumulate)},
        {"resumed_at", value_int(r->resumed)},
        {"loss_first", value_float(mean_of(l->loss, w))},
        {"loss_last", value_float(mean_of(l->loss + l->n - w, w))},
        {"loss_window", value_int(w)},
        {"seconds", value_float(l->seconds)},
        {"steps_per_second", value_float(rate)},
        {"rows_per_second", value_float(rate * (double)(p->batch * p->accumulate))},
        {"plan_share",
         value_float(r->loop_ns > r->valid_ns
                         ? (double)r->plan_ns / (double)(r->loop_ns - r->valid_ns)
                         : 0)},
        {"feed_waits", value_int(feed_waits(r->feed))},
        {"rows", value_int(rows_count(r->rows))},
        {"episodes", value_int(rows_episodes(r->rows))},
        {"cached_bytes", value_int((int64_t)rows_cached(r->rows))},
        {"all_cached", value_bool(rows_all_cached(r->rows))},
        {"parameters", value_int(g->parameters)},
        {"weights", value_int(g->n_weights)},
        {"arena_bytes", value_int((int64_t)batch->arena_bytes)},
        {"lower_bound_bytes", value_int((int64_t)batch->lower_bound)},
        {"session_bytes", value_int((int64_t)session_bytes(r->s))},
        {"flops", value_float(g->flops)},
        {"workers", value_int(session_workers(r->s))},
        {"kept_bytes", value_int((int64_t)g->kept_bytes)},
        {"recomputed_bytes", value_int((int64_t)g->recomputed_bytes)},
        {"statistics", value_text(train_keeps_statistics(j) ? "kept" : "data")},
    };
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows_of / sizeof *rows_of; i++)
        st = job_figure(j, rows_of[i].name, rows_of[i].v);
    if (st >= 0 && l->n_valid) {
        st = job_figure(j, "valid_rows", value_int(rows_count(r->valid_rows)));
        if (st >= 0)
            st = job_figure(j, "valid_loss", value_float(l->valid[l->n_valid - 1].loss));
    }
    return st;
}

static void close_all(trainer *r)
{
    feed_close(r->feed);
    rows_reader_close(&r->reader);
    session_close(r->s);
    grad_free(r->g);
    rows_close(r->rows);
    rows_close(r->valid_rows);
    model_drop(r->m);
    mem_free(r->log.loss);
    mem_free(r->log.norm);
    mem_free(r->log.valid);
    mem_free(r->which);
    ctx_free(&r->quiet);
}

int32_t train_run(ctx *cx, job *j)
{
    trainer *r = mem_alloc(sizeof *r);
    if (!r) return ctx_fail(cx, EVLA_E_NOMEM, "train \"%s\"", j->name);
    *r = (trainer){.cx = cx, .j = j, .given = j->params};
    ctx_init_child(&r->quiet, cx);
    r->quiet.stop = NULL;
    int32_t st = prepare(r);
    if (st >= 0) st = loop(r);
    if (st >= 0) st = learn_end(cx, r->g, r->s);
    if (st >= 0) st = save_model(cx, r->m, j->result.path);
    if (st >= 0) st = train_curve(cx, j, &r->log);
    if (st >= 0) st = add_figures(r);
    close_all(r);
    mem_free(r);
    return st;
}
