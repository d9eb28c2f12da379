/*
 * pilot.c -- flies a policy: a mailbox behind each of its calls. See pilot.h.
 *
 * A call beside the ticks has a mailbox on either side: requests (all its inputs, put
 * there by the tick thread when it is due) and results. Its thread sleeps to absolute times
 * and looks into its mailbox; nobody wakes anybody.
 */
#include "pilot.h"
#include "../mem.h"
#include "clock.h"
#include "mailbox.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

/* How often a thread beside the ticks looks for a request, per period of the body. */
enum { LOOKS_PER_TICK = 4, STACK_BYTES = 2 << 20 };

typedef struct flyer {
    pilot *of;
    const policy_call *c;
    schedule *s;
    mailbox *requests, *results; /* requests: NULL on the tick's own thread */
    const unsigned char *news;   /* the newest result that was delivered */
    mail_stamp news_at;
    int64_t asked_ns;   /* time of the newest request; 0: none */
    int is_waiting;     /* an answer is due, but the one before is not there */
    uint64_t n_answers; /* in this episode */
    int64_t told_tick;  /* at which the newest answer was asked for */
    pthread_t thread;
    int has_thread;
    /* written by its own thread */
    atomic_llong answered_ns; /* time of the newest request it has done */
    atomic_int failed;
    histogram took; /* ns from the request to the answer */
    ctx cx;
} flyer;

struct pilot {
    const policy *of;
    unsigned char *block; /* mailboxes, instruction */
    size_t block_bytes;
    unsigned char *instruction;
    chunk_player *player; /* NULL: the newest answer is the action */
    flyer flyers[POLICY_MOST_CALLS];
    int32_t n;
    int beside;
    int64_t n_late;
    atomic_int is_over; /* threads leave */
};

/* ---- running one call ---- */

/* Where an input comes from, and when that was captured; NULL: not from outside. */
static const unsigned char *fetch(const pilot *p, const source *from, const pilot_view *v,
                                  int64_t *captured_ns)
{
    *captured_ns = v->now_ns;
    switch (from->kind) {
    case SOURCE_CHANNEL:
        *captured_ns = v->captured_ns[from->index];
        return v->samples[from->index];
    case SOURCE_INSTRUCTION:
        return p->instruction;
    case SOURCE_GRAPH:
        *captured_ns = p->flyers[from->index].news_at.captured_ns;
        return p->flyers[from->index].news + from->offset;
    case SOURCE_NONE:
    case SOURCE_NOISE:
    case SOURCE_PREVIOUS:
    case SOURCE_PREVIOUS_WEIGHT:
        break;
    }
    return NULL;
}

/* Copies a call's inputs, into a request or to where it reads them; says when the oldest
 * was captured. */
static int64_t gather(const pilot *p, const flyer *f, const pilot_view *v,
                      unsigned char *request)
{
    int64_t oldest = v->now_ns, at;
    for (int32_t i = 0; i < schedule_n_inputs(f->c->made); i++) {
        const source *from = &f->c->sources[i];
        const unsigned char *data = fetch(p, from, v, &at);
        if (!data) continue;
        if (at < oldest) oldest = at;
        memcpy(request ? request + from->place : schedule_input(f->s, i)->view.data[0],
               data, from->bytes);
    }
    return oldest;
}

/* The answer before is still where the call left it. */
static void tell_previous(flyer *f, int64_t tick)
{
    const float *last = schedule_output(f->s, f->c->told_slot)->view.data[0];
    float *previous = NULL, *weight = NULL;
    for (int32_t i = 0; i < schedule_n_inputs(f->s); i++) {
        if (f->c->sources[i].kind == SOURCE_PREVIOUS)
            previous = schedule_input(f->s, i)->view.data[0];
        if (f->c->sources[i].kind == SOURCE_PREVIOUS_WEIGHT)
            weight = schedule_input(f->s, i)->view.data[0];
    }
    chunk_previous(&f->c->told, f->n_answers ? last : NULL, tick - f->told_tick, previous,
                   weight);
}

/* An answer; its noise depends on how many there were. tick: at which it was asked for. */
static int32_t run_call(ctx *cx, flyer *f, int64_t tick)
{
    int32_t st = 0;
    if (f->c->told_slot >= 0) tell_previous(f, tick);
    for (int32_t i = 0; st >= 0 && i < schedule_n_inputs(f->s); i++) {
        const schedule_port *in = schedule_input(f->s, i);
        if (f->c->sources[i].kind == SOURCE_NOISE)
            st = model_fill_one(cx, in->name, "normal:1", &in->type, f->n_answers,
                                in->view.data[0]);
    }
    f->n_answers++;
    f->told_tick = tick;
    return st < 0 ? st : schedule_run(cx, f->s, NULL, NULL);
}

static void post_result(flyer *f, mail_stamp at)
{
    unsigned char *to = mailbox_begin(f->results);
    for (int32_t i = 0; i < schedule_n_outputs(f->s); i++) {
        const schedule_port *out = schedule_output(f->s, i);
        if (f->c->places[i] != POLICY_NOT_SENT)
            memcpy(to + f->c->places[i], out->view.data[0],
                   (size_t)type_bytes(f->of->of->reg, &out->type));
    }
    mailbox_post(f->results, at);
}

/* ---- beside the ticks ---- */

static int32_t answer(flyer *f, const unsigned char *request, const mail_stamp *at)
{
    for (int32_t i = 0; i < schedule_n_inputs(f->s); i++) {
        const source *from = &f->c->sources[i];
        if (policy_is_sent(from))
            memcpy(schedule_input(f->s, i)->view.data[0], request + from->place,
                   from->bytes);
    }
    int32_t st = run_call(&f->cx, f, at->tick);
    if (st < 0) return st;
    int64_t now = clock_ns();
    post_result(f, (mail_stamp){at->captured_ns, now, at->tick});
    histogram_add(&f->took, now - at->due_ns);
    return 0;
}

static void *fly_beside(void *self)
{
    flyer *f = self;
    int64_t period = (int64_t)(1e9 / f->of->of->rate_hz / LOOKS_PER_TICK);
    int64_t next = clock_ns(), done = 0;
    while (!atomic_load_explicit(&f->of->is_over, memory_order_acquire)) {
        mail_stamp at;
        const unsigned char *request = mailbox_take(f->requests, INT64_MAX, &at);
        if (request && at.due_ns != done) {
            if (answer(f, request, &at) < 0) {
                atomic_store(&f->failed, 1);
                return NULL;
            }
            done = at.due_ns;
            atomic_store_explicit(&f->answered_ns, done, memory_order_release);
        }
        next += period;
        int64_t now = clock_ns();
        if (next < now) next = now + period;
        struct timespec t = {next / 1000000000, next % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    return NULL;
}

static int32_t start_thread(ctx *cx, flyer *f)
{
    pthread_attr_t how;
    sigset_t all, before; /* signals are for the threads of the program */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK_BYTES);
    /* whatever the priority of the tick thread, which may be the one that starts it */
    pthread_attr_setinheritsched(&how, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&how, SCHED_OTHER);
    pthread_attr_setschedparam(&how, &(struct sched_param){0});
    int failed = pthread_create(&f->thread, &how, fly_beside, f);
    if (failed == EPERM) { /* started below normal priority, without the right to rise */
        pthread_attr_setinheritsched(&how, PTHREAD_INHERIT_SCHED);
        failed = pthread_create(&f->thread, &how, fly_beside, f);
    }
    pthread_attr_destroy(&how);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return ctx_fail(cx, EVLA_E_LIMIT, "graph %s: no thread for it: %s", f->c->name,
                        strerror(failed));
    f->has_thread = 1;
    return 0;
}

static void stop_threads(pilot *p)
{
    atomic_store_explicit(&p->is_over, 1, memory_order_release);
    for (int32_t i = 0; i < p->n; i++)
        if (p->flyers[i].has_thread) {
            pthread_join(p->flyers[i].thread, NULL);
            p->flyers[i].has_thread = 0;
        }
    atomic_store_explicit(&p->is_over, 0, memory_order_release);
}

/* ---- opening ---- */

static int is_beside(const pilot *p, const policy_call *c)
{
    return p->beside && c->line.latency_ns > 0;
}

static int32_t place_all(ctx *cx, pilot *p)
{
    const policy *of = p->of;
    const chunk_law *chunk = &of->calls[of->acts].chunk;
    size_t at = 0;
    for (int32_t i = 0; i < of->n_calls; i++) {
        const policy_call *c = &of->calls[i];
        p->block_bytes += mailbox_bytes(c->n_slots, c->message_bytes);
        if (is_beside(p, c))
            p->block_bytes += mailbox_bytes(MAILBOX_LEAST, c->request_bytes);
    }
    if (chunk->mode) p->block_bytes += chunk_bytes(chunk);
    p->block_bytes += of->instruction_bytes + 1;
    p->block = mem_alloc_aligned(p->block_bytes, 64);
    if (!p->block) return ctx_fail(cx, EVLA_E_NOMEM, "mailboxes");
    memset(p->block, 0, p->block_bytes); /* also touches every page */
    for (int32_t i = 0; i < of->n_calls; i++) {
        const policy_call *c = &of->calls[i];
        flyer *f = &p->flyers[i];
        f->results = mailbox_place(p->block + at, c->n_slots, c->message_bytes);
        at += mailbox_bytes(c->n_slots, c->message_bytes);
        if (!is_beside(p, c)) continue;
        f->requests = mailbox_place(p->block + at, MAILBOX_LEAST, c->request_bytes);
        at += mailbox_bytes(MAILBOX_LEAST, c->request_bytes);
    }
    if (chunk->mode) {
        p->player = chunk_place(p->block + at, chunk);
        at += chunk_bytes(chunk);
    }
    p->instruction = p->block + at;
    return 0;
}

int32_t pilot_open(ctx *cx, const policy *of, int beside, pilot **out)
{
    pilot *p = mem_alloc_aligned(sizeof *p, 64);
    if (!p) return ctx_fail(cx, EVLA_E_NOMEM, "pilot");
    memset(p, 0, sizeof *p);
    p->of = of;
    p->beside = beside;
    int32_t st = place_all(cx, p);
    for (; st >= 0 && p->n < of->n_calls; p->n++) {
        flyer *f = &p->flyers[p->n];
        f->of = p;
        f->c = &of->calls[p->n];
        const schedule_options how = {.n_workers = (int32_t)f->c->line.workers};
        ctx_init_child(&f->cx, cx);
        st = schedule_share(cx, f->c->made, &how, &f->s);
    }
    if (st < 0)
        pilot_close(p);
    else
        *out = p;
    return st;
}

void pilot_close(pilot *p)
{
    if (!p) return;
    stop_threads(p);
    for (int32_t i = 0; i < p->n; i++) {
        schedule_close(p->flyers[i].s);
        ctx_free(&p->flyers[i].cx);
    }
    mem_free(p->block);
    mem_free(p);
}

uint64_t pilot_held(const pilot *p)
{
    uint64_t n = sizeof *p;
    if (p) n += p->block_bytes;
    for (int32_t i = 0; p && i < p->n; i++)
        n += schedule_held(p->flyers[i].s);
    return n;
}

/* ---- flying ---- */

static const float *action_in(const flyer *f)
{
    const policy *p = f->of->of;
    return (const float *)(const void *)(f->news + f->c->places[p->action_slot]);
}

/* Runs a call here and now; others may read the result from due_ns on. */
static int32_t fly(ctx *cx, pilot *p, flyer *f, const pilot_view *v, int64_t due_ns)
{
    int64_t oldest = gather(p, f, v, NULL);
    int32_t st = run_call(cx, f, v->tick);
    if (st >= 0) post_result(f, (mail_stamp){oldest, due_ns, v->tick});
    return st;
}

/* Asks for an answer when one is due; as long as the one before is not there, later: then
 * the observation is as new as it can be. */
static void ask(pilot *p, flyer *f, const pilot_view *v, int is_due)
{
    int is_free =
        atomic_load_explicit(&f->answered_ns, memory_order_acquire) >= f->asked_ns;
    p->n_late += is_due && !is_free;
    f->is_waiting |= is_due;
    if (!f->is_waiting || !is_free) return;
    int64_t oldest = gather(p, f, v, mailbox_begin(f->requests));
    /* the due time tells it from the one before, and how long it took */
    mailbox_post(f->requests, (mail_stamp){oldest, v->now_ns, v->tick});
    f->asked_ns = v->now_ns;
    f->is_waiting = 0;
}

/* The newest result that has arrived. */
static void look(pilot *p, flyer *f, int64_t now_ns)
{
    const unsigned char *before = f->news;
    f->news = mailbox_take(f->results, f->requests ? INT64_MAX : now_ns, &f->news_at);
    if (p->player && f == &p->flyers[p->of->acts] && f->news != before)
        chunk_add(p->player, action_in(f), f->news_at.tick);
}

int32_t pilot_reset(ctx *cx, pilot *p, const char *instruction, const pilot_view *first)
{
    size_t n = strlen(instruction), room = p->of->instruction_bytes;
    int32_t st = 0;
    stop_threads(p);
    if (p->player) chunk_clear(p->player);
    memset(p->instruction, 0, room);
    memcpy(p->instruction, instruction, n < room ? n : room);
    for (int32_t i = 0; st >= 0 && i < p->n; i++) {
        flyer *f = &p->flyers[i];
        mailbox_clear(f->results);
        if (f->requests) mailbox_clear(f->requests);
        f->asked_ns = 0;
        f->is_waiting = 0;
        f->n_answers = 0;
        atomic_store(&f->answered_ns, 0);
        f->news = NULL;
        if ((st = schedule_reset(cx, f->s)) < 0) break;
        if ((st = fly(cx, p, f, first, first->now_ns)) < 0) break;
        look(p, f, first->now_ns);
        if (f->requests) st = start_thread(cx, f);
    }
    return st;
}

int32_t pilot_tick(ctx *cx, pilot *p, const pilot_view *v, pilot_answer *out)
{
    for (int32_t i = 0; i < p->n; i++) {
        flyer *f = &p->flyers[i];
        const policy_line *line = &f->c->line;
        int is_due = v->tick > 0 && policy_is_due(line->rate_hz, p->of->rate_hz, v->tick);
        int32_t st = 0;
        if (f->requests)
            ask(p, f, v, is_due);
        else if (is_due)
            st = fly(cx, p, f, v, v->now_ns + line->latency_ns);
        if (st < 0) return st;
        look(p, f, v->now_ns);
    }
    const flyer *acts = &p->flyers[p->of->acts];
    out->action = p->player ? chunk_play(p->player, v->tick) : action_in(acts);
    out->age_ns = v->now_ns - acts->news_at.captured_ns;
    return 0;
}

int32_t pilot_trouble(ctx *cx, pilot *p)
{
    for (int32_t i = 0; i < p->n; i++)
        if (atomic_load(&p->flyers[i].failed)) {
            const ctx *its = &p->flyers[i].cx;
            return ctx_fail(cx, its->code ? its->code : EVLA_E_BUG, "%s", its->why);
        }
    return 0;
}

int64_t pilot_late(const pilot *p) { return p->n_late; }

void pilot_land(pilot *p, histogram *took)
{
    stop_threads(p);
    for (int32_t i = 0; i < p->n; i++)
        histogram_merge(took, &p->flyers[i].took);
}
