/*
 * pilot.c -- flies a policy: a session per graph, a mailbox behind each. See pilot.h.
 *
 * A graph beside the ticks has a mailbox on either side: requests (all its inputs, put
 * there by the tick thread when it is due) and results. Its thread sleeps to absolute times
 * and looks into its mailbox; nobody wakes anybody.
 */
#include "pilot.h"
#include "../mem.h"
#include "clock.h"
#include "mailbox.h"
#include "session.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>

/* How often a thread beside the ticks looks for a request, per period of the body. */
enum { LOOKS_PER_TICK = 4, STACK_BYTES = 2 << 20 };

typedef struct flyer {
    pilot *of;
    const policy_graph *g;
    session *s;
    mailbox *requests, *results; /* requests: NULL on the tick's own thread */
    const unsigned char *news;   /* the newest result that was delivered */
    mail_stamp news_at;
    int64_t asked_ns;   /* time of the newest request; 0: none */
    uint64_t n_answers; /* in this episode */
    pthread_t thread;
    int has_thread;
    /* written by its own thread */
    atomic_llong answered_ns; /* time of the newest request it has done */
    atomic_int failed;
    ctx cx;
} flyer;

struct pilot {
    const policy *of;
    unsigned char *block; /* mailboxes, instruction */
    size_t block_bytes;
    unsigned char *instruction;
    flyer flyers[POLICY_MOST_GRAPHS];
    int32_t n;
    int beside;
    int64_t n_late;
    atomic_int is_over; /* threads leave */
};

/* ---- running one graph ---- */

/* Copies a graph's inputs from where they come from; says when the oldest was captured. */
static int64_t gather(const pilot *p, const flyer *f, const pilot_view *v,
                      unsigned char *to, session *s)
{
    int64_t oldest = v->now_ns;
    for (int32_t i = 0; i < f->g->plan->graph->n_inputs; i++) {
        const source *from = &f->g->sources[i];
        const unsigned char *data = NULL;
        int64_t at = v->now_ns;
        switch (from->kind) {
        case SOURCE_CHANNEL:
            data = v->samples[from->index];
            at = v->captured_ns[from->index];
            break;
        case SOURCE_INSTRUCTION:
            data = p->instruction;
            break;
        case SOURCE_GRAPH:
            data = p->flyers[from->index].news + from->offset;
            at = p->flyers[from->index].news_at.captured_ns;
            break;
        case SOURCE_NONE:
        case SOURCE_NOISE:
            continue;
        }
        if (at < oldest) oldest = at;
        memcpy(s ? session_input(s, 0, i)->data[0] : to + from->place, data, from->bytes);
    }
    return oldest;
}

/* All runs of an answer; noise depends on how many answers there were. */
static int32_t run_graph(ctx *cx, flyer *f)
{
    const plan *p = f->g->plan;
    int32_t st = 0;
    for (int32_t i = 0; st >= 0 && i < p->graph->n_inputs; i++)
        if (f->g->sources[i].kind == SOURCE_NOISE)
            st = model_fill_one(cx, p->graph->wires[p->graph->inputs[i]].name, "normal:1",
                                plan_input_type(p, i), f->n_answers,
                                session_input(f->s, 0, i)->data[0]);
    f->n_answers++;
    return st < 0 ? st : turns_run(cx, f->s, 0, &f->g->loop);
}

static void post_result(flyer *f, mail_stamp at)
{
    unsigned char *to = mailbox_begin(f->results);
    const plan *p = f->g->plan;
    for (int32_t i = 0; i < p->graph->n_outputs; i++)
        memcpy(to + f->g->output_places[i], session_output(f->s, 0, i)->data[0],
               (size_t)type_bytes(p->reg, plan_output_type(p, i)));
    mailbox_post(f->results, at);
}

/* ---- beside the ticks ---- */

static int32_t answer(flyer *f, const unsigned char *request, int64_t captured_ns)
{
    for (int32_t i = 0; i < f->g->plan->graph->n_inputs; i++) {
        const source *from = &f->g->sources[i];
        if (from->kind == SOURCE_NONE || from->kind == SOURCE_NOISE) continue;
        memcpy(session_input(f->s, 0, i)->data[0], request + from->place, from->bytes);
    }
    int32_t st = run_graph(&f->cx, f);
    if (st >= 0) post_result(f, (mail_stamp){captured_ns, clock_ns()});
    return st;
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
            if (answer(f, request, at.captured_ns) < 0) {
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
    pthread_attr_destroy(&how);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return ctx_fail(cx, EVLA_E_LIMIT, "graph %s: no thread for it: %s", f->g->name,
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

static int is_beside(const pilot *p, const policy_graph *g)
{
    return p->beside && g->line.latency_ns > 0;
}

static int32_t place_all(ctx *cx, pilot *p)
{
    const policy *of = p->of;
    size_t widest = 0, at = 0;
    for (int32_t i = 0; i < of->n_graphs; i++) {
        const policy_graph *g = &of->graphs[i];
        p->block_bytes += mailbox_bytes(g->n_slots, g->message_bytes);
        if (is_beside(p, g))
            p->block_bytes += mailbox_bytes(MAILBOX_LEAST, g->request_bytes);
        if (g->request_bytes > widest) widest = g->request_bytes;
    }
    p->block_bytes += of->instruction_bytes + 1;
    p->block = mem_alloc_aligned(p->block_bytes, 64);
    if (!p->block) return ctx_fail(cx, EVLA_E_NOMEM, "mailboxes");
    memset(p->block, 0, p->block_bytes); /* also touches every page */
    for (int32_t i = 0; i < of->n_graphs; i++) {
        const policy_graph *g = &of->graphs[i];
        flyer *f = &p->flyers[i];
        f->results = mailbox_place(p->block + at, g->n_slots, g->message_bytes);
        at += mailbox_bytes(g->n_slots, g->message_bytes);
        if (!is_beside(p, g)) continue;
        f->requests = mailbox_place(p->block + at, MAILBOX_LEAST, g->request_bytes);
        at += mailbox_bytes(MAILBOX_LEAST, g->request_bytes);
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
    for (; st >= 0 && p->n < of->n_graphs; p->n++) {
        flyer *f = &p->flyers[p->n];
        f->of = p;
        f->g = &of->graphs[p->n];
        ctx_init_child(&f->cx, cx);
        st = session_open(cx, &f->g->plan, 1, &(session_options){.n_workers = 1}, &f->s);
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
        session_close(p->flyers[i].s);
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
        n += session_held(p->flyers[i].s);
    return n;
}

/* ---- flying ---- */

/* Runs a graph here and now; others may read the result from due_ns on. */
static int32_t fly(ctx *cx, pilot *p, flyer *f, const pilot_view *v, int64_t due_ns)
{
    int64_t oldest = gather(p, f, v, NULL, f->s);
    int32_t st = run_graph(cx, f);
    if (st >= 0) post_result(f, (mail_stamp){oldest, due_ns});
    return st;
}

static void request(pilot *p, flyer *f, const pilot_view *v)
{
    if (atomic_load_explicit(&f->answered_ns, memory_order_acquire) < f->asked_ns)
        p->n_late++;
    int64_t oldest = gather(p, f, v, mailbox_begin(f->requests), NULL);
    /* the due time only tells it from the one before */
    mailbox_post(f->requests, (mail_stamp){oldest, v->now_ns});
    f->asked_ns = v->now_ns;
}

int32_t pilot_reset(ctx *cx, pilot *p, const char *instruction, const pilot_view *first)
{
    size_t n = strlen(instruction), room = p->of->instruction_bytes;
    int32_t st = 0;
    stop_threads(p);
    memset(p->instruction, 0, room);
    memcpy(p->instruction, instruction, n < room ? n : room);
    for (int32_t i = 0; st >= 0 && i < p->n; i++) {
        flyer *f = &p->flyers[i];
        mailbox_clear(f->results);
        if (f->requests) mailbox_clear(f->requests);
        f->asked_ns = 0;
        f->n_answers = 0;
        atomic_store(&f->answered_ns, 0);
        if ((st = session_reset(cx, f->s)) < 0) break;
        if ((st = fly(cx, p, f, first, first->now_ns)) < 0) break;
        f->news = mailbox_take(f->results, first->now_ns, &f->news_at);
        if (f->requests) st = start_thread(cx, f);
    }
    return st;
}

int32_t pilot_tick(ctx *cx, pilot *p, const pilot_view *v, pilot_answer *out)
{
    for (int32_t i = 0; i < p->n; i++) {
        flyer *f = &p->flyers[i];
        const policy_line *line = &f->g->line;
        int is_due = v->tick > 0 && policy_is_due(line->rate_hz, p->of->rate_hz, v->tick);
        int32_t st = 0;
        if (is_due && f->requests)
            request(p, f, v);
        else if (is_due)
            st = fly(cx, p, f, v, v->now_ns + line->latency_ns);
        if (st < 0) return st;
        f->news =
            mailbox_take(f->results, f->requests ? INT64_MAX : v->now_ns, &f->news_at);
    }
    const flyer *acts = &p->flyers[p->of->acts];
    out->action = (const float *)(const void *)(acts->news +
                                                acts->g->output_places[p->of->action_slot]);
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
