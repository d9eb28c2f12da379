/*
 * exec.c -- runs the steps of a plan on a pool. See exec.h.
 *
 * Workers claim tiles of the current phase. The last to finish looks for failures, moves
 * on, and does phases of a single tile itself while the others wait, so that a chain of
 * small nodes costs no meeting at all.
 */
#include "exec.h"
#include "clock.h"

static void run_tile(exec *x, int32_t w, int64_t tile)
{
    const plan_step *s = &x->of->steps[x->step];
    exec_worker *me = &x->workers[w];
    evla_args args = x->args[x->step];
    args.scratch = x->base + s->scratch_at + (uint64_t)w * s->scratch_stride;
    int32_t st = s->kernel->run(&me->h.table, &args, x->phase, tile);
    /* tiles come in ascending order, so a worker's first failure is its lowest */
    if (st >= 0 || me->code) return;
    me->code = st;
    me->tile = tile;
    if (!me->cx.code) ctx_fail(&me->cx, st, "%s", ctx_code_text(st));
}

static int found_failure(exec *x)
{
    for (int32_t w = 0; !x->is_stopped && w < pool_size(x->workers_pool); w++) {
        const exec_worker *e = &x->workers[w];
        if (e->code && (!x->code || e->tile < x->workers[x->who].tile)) {
            x->code = e->code;
            x->who = w;
        }
    }
    return x->code != 0;
}

static void step_begins(exec *x)
{
    if (x->times) x->step_began_ns = clock_ns();
    if (ctx_stopping(x->asker)) {
        x->code = EVLA_E_STOPPED;
        x->is_stopped = 1;
    }
}

static void step_ends(exec *x)
{
    if (x->times) profile_add(&x->times->rows[x->step], clock_ns() - x->step_began_ns);
    x->step++;
    x->phase = -1;
}

/* Enters the next phase that has tiles; 0 at the end and when the user asked to stop. */
static int next_phase(exec *x)
{
    for (x->phase++;; x->phase++) {
        const evla_work *work = &x->of->steps[x->step].work;
        if (x->phase < work->n_phases) {
            x->tiles = work->tiles[x->phase];
            if (x->tiles > 0) return 1;
            continue;
        }
        step_ends(x);
        if (x->step == x->of->n_steps) return 0;
        step_begins(x);
        if (x->code) return 0;
    }
}

static int is_over(const exec *x) { return x->code || x->step == x->of->n_steps; }

/* Moves on to the next phase worth sharing, or to the end. */
static void advance(void *to, int32_t w)
{
    exec *x = to;
    while (!found_failure(x) && next_phase(x)) {
        if (x->tiles > 1 && (x->n_workers > 1 || pool_is_rested(x->workers_pool))) break;
        for (int64_t tile = 0; tile < x->tiles; tile++)
            run_tile(x, w, tile);
    }
    atomic_store_explicit(&x->next, 0, memory_order_relaxed);
}

static void work(void *to, int32_t w)
{
    exec *x = to;
    do {
        for (;;) {
            int64_t tile = atomic_fetch_add_explicit(&x->next, 1, memory_order_relaxed);
            if (tile >= x->tiles) break;
            run_tile(x, w, tile);
        }
    } while (pool_meet(x->workers_pool, w, advance, x) && !is_over(x));
}

static int32_t tell(ctx *cx, const exec *x)
{
    const plan_step *s = &x->of->steps[x->step < x->of->n_steps ? x->step : 0];
    if (x->is_stopped)
        return ctx_fail(cx, x->code, "%s: stopped before it ran", s->node.label);
    ctx_fail(cx, x->code, "%s", x->workers[x->who].cx.why);
    choose_blame(cx, &s->node, s->item, x->code);
    if (s->where) ctx_prefix(cx, "%s", s->where);
    return x->code;
}

/* What many products are made of is made n times as fast by n workers, and being alone
 * costs much; where weights are read for few products, all wait for memory, and one worker
 * is nearly as fast (pool_bear). Half of the way there: trying to be alone costs, too. */
static double bearable(const plan *p, int32_t n)
{
    const double many = 32; /* FLOPs for a byte: some cores' rates over memory's */
    int is_few = p->flops < many * (double)p->weight_bytes;
    return is_few || n < 2 ? POOL_LEAST_BEARABLE : 0.5 * (1 - 1.0 / n);
}

int32_t exec_run(ctx *cx, exec *x, int32_t *failed_step)
{
    int32_t n = pool_size(x->workers_pool);
    int64_t began = x->times ? clock_ns() : 0;
    for (int32_t w = 0; w < n; w++) {
        x->workers[w].code = 0;
        ctx_clear(&x->workers[w].cx);
    }
    pool_bear(x->workers_pool, bearable(x->of, n));
    x->n_workers = pool_next(x->workers_pool);
    x->asker = cx;
    x->code = 0;
    x->is_stopped = 0;
    x->who = 0;
    x->step = 0;
    x->phase = -1;
    if (x->of->n_steps) {
        step_begins(x);
        advance(x, 0);
    }
    while (!is_over(x)) {
        pool_run(x->workers_pool, x->n_workers, work, x);
        x->n_workers = pool_next(x->workers_pool);
    }
    if (x->code) {
        *failed_step = x->step;
        return tell(cx, x);
    }
    if (x->times) {
        x->times->runs++;
        x->times->ns += clock_ns() - began;
    }
    return 0;
}
