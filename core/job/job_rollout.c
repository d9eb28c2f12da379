/*
 * job_rollout.c -- the job type "rollout": a driver, a guard and a clock on a body;
 * evaluation on a virtual clock, deployment on the wall's.
 *
 * Virtual: workers claim episodes and one thread puts their rows back in order into
 * episodes.jsonl, so that a killed run goes on where it was and the figures do not depend
 * on the number of workers. Wall: episodes one after the other in real time
 * (run/realtime.h). rollout.json holds all rows, the figures' names and, for the wall
 * clock, histograms.
 */
#include "../data/stream.h"
#include "../mem.h"
#include "../run/realtime.h"
#include "../words.h"
#include "drive.h"
#include "film.h"
#include "tally.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { MOST_WORKERS = 64, MOST_SENTENCE = 512 };
enum { CLOCK_VIRTUAL, CLOCK_WALL };
enum { INSTRUCTIONS_OWN, INSTRUCTIONS_SHUFFLED };

typedef struct rollout_params {
    drive_params drive;
    evla_list violations; /* const char * */
    int64_t episodes, seconds_ns, memory, keep, workers;
    double late;
    int32_t clock, instructions;
} rollout_params;

// clang-format off
static const evla_param params[] = {
    DRIVE_PARAMS("model"),
    {.name = "episodes", .doc = "episodes attempted; on the wall clock at most so many, 0: as many "
     "as there is time for", .preset = "100", .type = EVLA_P_INT, .min = 0, .max = 1e9,
     .offset = offsetof(rollout_params, episodes)},
    {.name = "clock", .doc = "virtual: as fast as it goes, slow results after their declared "
     "latency; wall: in real time", .preset = "virtual", .type = EVLA_P_ENUM,
     .choices = "virtual|wall", .offset = offsetof(rollout_params, clock)},
    {.name = "seconds", .doc = "how long, on the wall clock", .preset = "60s", .unit = "s",
     .type = EVLA_P_DURATION, .min = 0.1, .max = 86400, .offset = offsetof(rollout_params, seconds_ns)},
    {.name = "memory", .doc = "a promise: weights, plans, sessions, mailboxes, guard of one loop fit "
     "it; 0: none", .preset = "0", .type = EVLA_P_SIZE, .offset = offsetof(rollout_params, memory)},
    {.name = "instructions", .doc = "what the policy is told: the episode's own sentence, or that of "
     "another one", .preset = "own", .type = EVLA_P_ENUM, .choices = "own|shuffled",
     .offset = offsetof(rollout_params, instructions)},
    {.name = "late", .doc = "probability that a tick's observations do not come", .preset = "0.0",
     .type = EVLA_P_FLOAT, .min = 0, .max = 1, .offset = offsetof(rollout_params, late)},
    {.name = "violations", .doc = "events after which an episode counts as unsafe; none: those the "
     "body names", .type = EVLA_P_LIST, .element = EVLA_P_STRING, .flags = EVLA_PF_OPTIONAL,
     .offset = offsetof(rollout_params, violations)},
    {.name = "keep", .doc = "episodes of which pictures are kept: a success, a veto, a failure first",
     .preset = "0", .type = EVLA_P_INT, .max = 64, .offset = offsetof(rollout_params, keep)},
    {.name = "workers", .doc = "episodes at once on the virtual clock; 0: one per processor. The "
     "result does not depend on it", .preset = "0", .type = EVLA_P_INT, .max = MOST_WORKERS,
     .offset = offsetof(rollout_params, workers)},
};
// clang-format on

typedef struct rollout {
    job *j;
    ctx *cx;
    const rollout_params *given;
    const char *what;
    drive drive;
    arena hold;
    uint64_t bad;     /* events that are violations */
    int64_t *told_by; /* by episode: whose sentence it gets; NULL: its own */
    tally sum;
    int journal;
    const char *journal_path;
    int64_t n, n_before; /* episodes; those settled by an earlier run */
    stream *stream;
    uint64_t held_bytes;          /* by one loop and its policy */
    char sentence[MOST_SENTENCE]; /* of the episode on the wall clock */
    realtime_report *timing;
} rollout;

/* ---- check ---- */

static int32_t find_violations(rollout *r)
{
    const evla_body_info *info = &r->drive.info;
    const char *const *names = r->given->violations.items;
    r->bad = 0;
    size_t n;
    const char *word;
    for (int32_t i = 0;
         !r->given->violations.n && (word = words_at(info->violations, i, &n)); i++) {
        int32_t bit = words_find(info->events, word, n);
        if (bit >= 0 && bit < 64) r->bad |= (uint64_t)1 << bit;
    }
    for (int64_t i = 0; i < r->given->violations.n; i++) {
        int32_t bit = words_find(info->events, names[i], strlen(names[i]));
        if (bit < 0 || bit > 63)
            return ctx_fail(r->cx, EVLA_E_MISSING,
                            "%s: violations: body.%s knows no event \"%.60s\", but: %s",
                            r->what, r->given->drive.body.item->name, names[i],
                            info->events ? info->events : "none");
        r->bad |= (uint64_t)1 << bit;
    }
    return 0;
}

/* With the policy's plans at hand: does all of it fit? */
static int32_t fit(rollout *r)
{
    ctx *cx = r->cx;
    loop_spec *s = &r->drive.spec;
    s->late = r->given->late;
    s->beside = r->given->clock == CLOCK_WALL;
    uint64_t bytes = 0;
    int32_t st = loop_check(cx, s);
    if (st >= 0) st = loop_needs(cx, s, &bytes);
    if (st >= 0)
        st = policy_promise(cx, r->drive.policy, bytes, (uint64_t)r->given->memory);
    if (st >= 0 && r->given->instructions == INSTRUCTIONS_SHUFFLED && r->n < 2)
        st = ctx_fail(cx, EVLA_E_ARG,
                      "instructions: to shuffle them takes at least 2 episodes, got "
                      "episodes = %lld",
                      (long long)r->n);
    if (st < 0) ctx_prefix(cx, "%s", r->what);
    return st < 0 ? st : find_violations(r);
}

static int32_t rollout_check(ctx *cx, job *j)
{
    rollout r = {.j = j, .cx = cx, .given = j->params};
    r.n = r.given->episodes;
    j->result.path = arena_text(&cx->mem, "%s/rollout.json", j->folder);
    r.what = arena_text(&cx->mem, "rollout \"%s\"", j->name);
    if (!j->result.path || !r.what)
        return ctx_fail(cx, EVLA_E_NOMEM, "rollout %s", j->name);
    r.hold = arena_growing(64 << 10);
    int32_t st = drive_check(cx, &r.hold, r.what, &r.given->drive, &r.drive);
    if (st >= 0) st = fit(&r);
    drive_free(&r.drive);
    arena_free(&r.hold);
    return st;
}

/* ---- rows ---- */

/* The journal of an earlier run of the same key: whole good lines are kept. */
static int32_t read_journal(rollout *r)
{
    ctx *cx = r->cx;
    char *text = NULL;
    size_t n = 0, at = 0;
    if (access(r->journal_path, F_OK) == 0 &&
        file_read(cx, &r->hold, r->journal_path, 1u << 30, &text, &n) < 0)
        return cx->code;
    r->journal =
        open(r->journal_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (r->journal < 0)
        return ctx_fail(cx, EVLA_E_IO, "%s: cannot open it: %s", r->journal_path,
                        strerror(errno));
    while (at < n && r->n_before < r->n) {
        char *end = memchr(text + at, '\n', n - at);
        arena_place mark = arena_mark(&cx->scratch);
        value row;
        if (!end) break;
        size_t length = (size_t)(end - text) - at;
        if (value_parse(&cx->scratch, text + at, length, &row, NULL) < 0) break;
        const value *index = value_get(&row, "index");
        if (!index || index->kind != VALUE_INT || index->as.i != r->n_before) break;
        if (tally_add(cx, &r->sum, &row) < 0) {
            if (cx->code != EVLA_E_FORMAT) return cx->code;
            ctx_clear(cx); /* not ours; this episode runs again */
            break;
        }
        char *line = arena_copy_n(&cx->scratch, text + at, length + 1);
        if (!line) return ctx_fail(cx, EVLA_E_NOMEM, "%s", r->journal_path);
        int32_t st = file_append(cx, r->journal, r->journal_path, line);
        if (st < 0) return st;
        arena_reset(&cx->scratch, mark);
        at += length + 1;
        r->n_before++;
    }
    if (r->n_before)
        ctx_say(cx, EVLA_LOG_INFO, "%s: %lld of %lld episodes were run before", r->j->name,
                (long long)r->n_before, (long long)r->n);
    return 0;
}

/* A row in its turn. */
static int32_t settle(rollout *r, const char *line)
{
    ctx *cx = r->cx;
    value row;
    arena_place mark = arena_mark(&cx->scratch);
    const char *whole = arena_text(&cx->scratch, "%s\n", line);
    int32_t st = !whole || value_parse(&cx->scratch, line, strlen(line), &row, NULL) < 0
                     ? ctx_fail(cx, EVLA_E_NOMEM, "a row")
                     : tally_add(cx, &r->sum, &row);
    if (st >= 0) st = file_append(cx, r->journal, r->journal_path, whole);
    arena_reset(&cx->scratch, mark);
    return st;
}

/* ---- whose sentence ---- */

/* One cycle through all episodes (Sattolo 1986): nobody gets its own. */
static int32_t shuffle(rollout *r)
{
    uint64_t seed = (uint64_t)r->given->drive.seed ^ 0x73656e74656e6365;
    if (r->given->instructions == INSTRUCTIONS_OWN) return 0;
    r->told_by = arena_push(&r->hold, (size_t)r->n + 1, sizeof *r->told_by);
    if (!r->told_by) return ctx_fail(r->cx, EVLA_E_NOMEM, "%lld episodes", (long long)r->n);
    for (int64_t i = 0; i < r->n; i++)
        r->told_by[i] = i;
    for (int64_t i = r->n - 1; i > 0; i--) {
        int64_t k = (int64_t)(loop_hash(seed, (uint64_t)i) % (uint64_t)i);
        int64_t t = r->told_by[i];
        r->told_by[i] = r->told_by[k];
        r->told_by[k] = t;
    }
    return 0;
}

static uint64_t seed_of(const rollout *r, int64_t i)
{
    return loop_episode_seed((uint64_t)r->given->drive.seed, i);
}

/* The sentence of another episode, or NULL for its own. */
static int32_t find_sentence(const rollout *r, ctx *cx, loop *l, int64_t i,
                             char text[MOST_SENTENCE], const char **out)
{
    evla_goal goal = {.instruction = ""};
    *out = NULL;
    if (!r->told_by) return 0;
    host_init(&l->h, cx, &l->body_hold);
    int32_t st = l->body->reset(&l->h.table, l->self, seed_of(r, r->told_by[i]), &goal);
    if (st < 0)
        return ctx_fail(cx, st, "body.%s: it cannot be reset",
                        r->given->drive.body.item->name);
    snprintf(text, MOST_SENTENCE, "%s", goal.instruction);
    *out = text;
    return 0;
}

/* ---- virtual clock ---- */

typedef struct outcome {
    char *line;
    int32_t status;
    char why[1024];
} outcome;

static int32_t run_episode(const rollout *r, ctx *cx, loop *l, int64_t i, outcome *o)
{
    watch w;
    char text[MOST_SENTENCE];
    const char *sentence;
    watch_reset(&w, r->bad);
    int32_t st = find_sentence(r, cx, l, i, text, &sentence);
    if (st >= 0) st = loop_reset(cx, l, seed_of(r, i), sentence, 0);
    while (st >= 0 && !loop_is_over(l)) {
        st = loop_tick(l);
        if (st >= 0) watch_tick(&w, l);
    }
    if (st < 0) return st;
    arena_place mark = arena_mark(&cx->scratch);
    const char *line = tally_row(&cx->scratch, l, &w, i, 0);
    o->line = line ? mem_alloc(strlen(line) + 1) : NULL;
    if (o->line) strcpy(o->line, line);
    arena_reset(&cx->scratch, mark);
    return o->line ? 0 : ctx_fail(cx, EVLA_E_NOMEM, "a row");
}

static void *worker(void *to)
{
    rollout *r = to;
    ctx cx;
    loop *l = NULL;
    ctx_init_child(&cx, r->cx);
    int32_t st = loop_open(&cx, &r->drive.spec, &l);
    for (int64_t i; (i = stream_claim(r->stream)) >= 0;) {
        outcome *o = mem_alloc(sizeof *o);
        if (o && st >= 0) {
            ctx_clear(&cx);
            o->status = run_episode(r, &cx, l, r->n_before + i, o);
        } else if (o)
            o->status = st;
        if (o && o->status < 0)
            snprintf(o->why, sizeof o->why, "%s",
                     cx.code ? cx.why : ctx_code_text(o->status));
        stream_put(r->stream, i, o);
    }
    loop_close(&cx, l);
    ctx_free(&cx);
    return NULL;
}

static int32_t take(rollout *r, int64_t i, const outcome *o)
{
    if (!o) return ctx_fail(r->cx, EVLA_E_NOMEM, "episode %lld", (long long)i);
    if (o->status == EVLA_E_STOPPED || ctx_stopping(r->cx))
        return ctx_fail(r->cx, EVLA_E_STOPPED, "%s: stopped after %lld of %lld episodes",
                        r->j->name, (long long)r->sum.attempted, (long long)r->n);
    if (o->status < 0) {
        ctx_fail(r->cx, o->status, "%s", o->why);
        ctx_prefix(r->cx, "episode %lld", (long long)i);
        return o->status;
    }
    return settle(r, o->line);
}

static int32_t run_virtual(rollout *r)
{
    pthread_t threads[MOST_WORKERS];
    int32_t n = 0, n_workers = job_workers(r->j, r->given->workers, MOST_WORKERS), st = 0;
    int64_t i;
    void *o;
    r->stream = stream_new(r->n - r->n_before, 2 * n_workers);
    if (!r->stream) return ctx_fail(r->cx, EVLA_E_NOMEM, "rollout");
    while (n < n_workers && pthread_create(&threads[n], NULL, worker, r) == 0)
        n++;
    if (!n) {
        st = ctx_fail(r->cx, EVLA_E_LIMIT, "no thread could be started");
        stream_stop(r->stream);
    }
    while (stream_next(r->stream, &i, &o)) {
        outcome *got = o;
        if (st >= 0) st = take(r, r->n_before + i, got);
        if (got) mem_free(got->line);
        mem_free(got);
        if (st < 0)
            stream_stop(r->stream);
        else
            job_report_progress(r->j, r->n_before + i + 1, r->n, NULL);
    }
    for (int32_t k = 0; k < n; k++)
        pthread_join(threads[k], NULL);
    stream_free(r->stream);
    return st < 0 ? st : job_figure(r->j, "workers", value_int(n));
}

/* ---- wall clock ---- */

static int32_t wall_begin(void *to, loop *l, int64_t i, uint64_t *seed, const char **told)
{
    rollout *r = to;
    *seed = seed_of(r, i);
    return find_sentence(r, l->h.cx, l, i, r->sentence, told);
}

/* Rows are small and between episodes there is time. */
static int32_t wall_end(void *to, loop *l, const watch *w, int64_t i, int is_cut)
{
    rollout *r = to;
    arena *a = &l->h.cx->scratch; /* a robot runs for days: nothing may pile up */
    arena_place mark = arena_mark(a);
    const char *line = tally_row(a, l, w, i, is_cut);
    int32_t st = line ? settle(r, line) : ctx_fail(r->cx, EVLA_E_NOMEM, "a row");
    arena_reset(a, mark);
    if (st < 0) ctx_fail(l->h.cx, st, "%s", r->cx->why);
    return st;
}

static void wall_progress(void *to, double seconds)
{
    const rollout *r = to;
    job_report_progress(r->j, (int64_t)seconds, r->given->seconds_ns / 1000000000, NULL);
}

static int64_t count_mallocs(void) { return mem_made; }

static int32_t run_wall(rollout *r)
{
    loop *l = NULL;
    const realtime_spec s = {.seconds = 1e-9 * (double)r->given->seconds_ns,
                             .max_episodes = r->given->episodes,
                             .bad = r->bad,
                             .count_mallocs = mem_counts_all() ? count_mallocs : NULL};
    const realtime_events e = {
        .to = r, .begin = wall_begin, .end = wall_end, .progress = wall_progress};
    r->timing = mem_alloc(sizeof *r->timing);
    if (!r->timing) return ctx_fail(r->cx, EVLA_E_NOMEM, "histograms");
    int32_t st = loop_open(r->cx, &r->drive.spec, &l);
    if (st >= 0) st = realtime_run(r->cx, l, &s, &e, r->timing);
    loop_close(r->cx, l);
    if (st == EVLA_E_STOPPED) { /* not the sentence of whatever node was about to run */
        ctx_clear(r->cx);
        ctx_fail(r->cx, st, "%s: stopped; it starts anew, since real time does not go on",
                 r->j->name);
    }
    return st;
}

/* ---- what comes out ---- */

static int32_t quantiles(job *j, const char *name, const histogram *h)
{
    static const struct {
        const char *name;
        double q;
    } rows[] = {{"p50_ms", 0.5}, {"p95_ms", 0.95}, {"p99_ms", 0.99}, {"max_ms", 1}};
    int32_t st = 0;
    for (int i = 0; st >= 0 && i < 4; i++) {
        int64_t ns = i == 3 ? h->max_ns : histogram_at(h, rows[i].q);
        const char *full = arena_text(&j->in->cx->scratch, "%s%s", name, rows[i].name);
        st = full ? job_figure(j, full, value_float(1e-6 * (double)ns)) : EVLA_E_NOMEM;
    }
    return st;
}

static int32_t timing_figures(rollout *r)
{
    const realtime_report *t = r->timing;
    job *j = r->j;
    if (!t) return 0;
    int64_t due = t->ticks + t->skipped;
    const struct {
        const char *name;
        value v;
    } rows[] = {
        {"rate_hz", value_float(r->drive.info.rate_hz)},
        {"scheduling", value_text(t->is_fifo ? "fifo" : "normal")},
        {"why_not_fifo", value_text(t->why_normal)},
        {"memory_locked", value_bool(t->is_locked)},
        {"missed", value_int(t->missed)},
        {"skipped", value_int(t->skipped)},
        {"miss_rate", value_float(due ? (double)t->missed / (double)due : 0)},
        {"late_results", value_int(t->late_results)},
        {"answers", value_int(t->answer.n)},
        {"control_ticks", value_int(t->ticks)},
        {"page_faults", value_int(t->page_faults)},
        {"other_waits", value_int(t->waits)},
        {"preempted", value_int(t->preempted)},
        {"mallocs", value_int(t->mallocs)},
    };
    int32_t st = quantiles(j, "", &t->step);
    if (st >= 0) st = quantiles(j, "jitter_", &t->jitter);
    if (st >= 0) st = quantiles(j, "body_", &t->body);
    if (st >= 0 && t->answer.n) st = quantiles(j, "answer_", &t->answer);
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, rows[i].v);
    return st;
}

static int32_t memory_figures(rollout *r)
{
    job *j = r->j;
    policy_memory m = policy_needs(r->drive.policy);
    const struct {
        const char *name;
        uint64_t n;
    } rows[] = {{"memory_bytes", r->held_bytes},      {"arena_bytes", m.arenas},
                {"lower_bound_bytes", m.lower_bound}, {"state_bytes", m.states},
                {"weight_bytes", m.weights},          {"plan_bytes", m.plans},
                {"mailbox_bytes", m.mailboxes}};
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(j, rows[i].name, value_int((int64_t)rows[i].n));
    return st;
}

/* What it was, for whoever compares rollouts. */
static int32_t setting_figures(rollout *r)
{
    static const char *const drivers[] = {"expert", "random", "zero", "model"};
    static const char *const clocks[] = {"virtual", "wall"}, *const told[] = {"own",
                                                                              "shuffled"};
    const rollout_params *p = r->given;
    const struct {
        const char *name;
        value v;
    } rows[] = {
        {"policy", value_text(drivers[p->drive.policy])},
        {"model", value_text(p->drive.model ? p->drive.model->job : "")},
        {"guard", value_text(p->drive.guard.item ? p->drive.guard.item->name : "")},
        {"clock", value_text(clocks[p->clock])},
        {"instructions", value_text(told[p->instructions])},
    };
    int32_t st = 0;
    for (size_t i = 0; st >= 0 && i < sizeof rows / sizeof *rows; i++)
        st = job_figure(r->j, rows[i].name, rows[i].v);
    return st;
}

/* Opens one loop to see what it really holds: the promise is kept or nothing runs. */
static int32_t weigh(rollout *r)
{
    loop *l = NULL;
    int32_t st = loop_open(r->cx, &r->drive.spec, &l);
    if (st < 0) return st;
    policy_memory m = policy_needs(r->drive.policy);
    r->held_bytes = m.plans + m.weights + loop_held(l);
    loop_close(r->cx, l);
    if (!r->given->memory || r->held_bytes <= (uint64_t)r->given->memory) return 0;
    return ctx_fail(r->cx, EVLA_E_NOMEM,
                    "%s: memory: %lld bytes are promised, but the loop holds %llu", r->what,
                    (long long)r->given->memory, (unsigned long long)r->held_bytes);
}

typedef struct text {
    char *s;
    size_t n, room;
    int failed;
} text;

static void say(text *t, const char *s, size_t n)
{
    if (t->n + n + 1 > t->room && !t->failed) {
        size_t room = 2 * (t->n + n) + 4096;
        char *wide = mem_grow(t->s, room);
        t->failed = !wide;
        if (wide) t->s = wide, t->room = room;
    }
    if (t->failed) return;
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

static void say_histogram(text *t, const char *name, const histogram *h)
{
    char line[96];
    int any = 0;
    say(t, line, (size_t)snprintf(line, sizeof line, ",\n\"%s\":[", name));
    for (int32_t i = 0; i < HISTOGRAM_BINS; i++) {
        int64_t low, high;
        if (!h->bins[i]) continue;
        histogram_bin(i, &low, &high);
        say(t, line,
            (size_t)snprintf(line, sizeof line, "%s[%lld,%lld,%u]", any ? "," : "",
                             (long long)low, (long long)high, h->bins[i]));
        any = 1;
    }
    say(t, "]", 1);
}

/* {"clock":..., "episodes":[...], "films":[...], "jitter_ns":[[from,to,n],...], ...} */
static int32_t write_result(rollout *r, const char *films)
{
    ctx *cx = r->cx;
    char *rows = NULL;
    size_t n = 0;
    text t = {0};
    int32_t st = file_read(cx, &r->hold, r->journal_path, 1u << 30, &rows, &n);
    if (st < 0) return st;
    const char *head = arena_text(
        &r->hold, "{\"clock\":\"%s\",\n\"rate_hz\":%.17g,\n\"episodes\":[",
        r->given->clock == CLOCK_WALL ? "wall" : "virtual", r->drive.info.rate_hz);
    if (!head) return ctx_fail(cx, EVLA_E_NOMEM, "rollout.json");
    say(&t, head, strlen(head));
    for (size_t at = 0; at < n;) {
        const char *end = memchr(rows + at, '\n', n - at);
        size_t length = end ? (size_t)(end - rows) - at : n - at;
        say(&t, at ? ",\n" : "\n", at ? 2 : 1);
        say(&t, rows + at, length);
        at += length + 1;
    }
    say(&t, "],\n\"films\":", 11);
    say(&t, films, strlen(films));
    if (r->timing) {
        say_histogram(&t, "step_ns", &r->timing->step);
        say_histogram(&t, "jitter_ns", &r->timing->jitter);
        say_histogram(&t, "body_ns", &r->timing->body);
        say_histogram(&t, "answer_ns", &r->timing->answer);
    }
    say(&t, "}\n", 2);
    st = t.failed ? ctx_fail(cx, EVLA_E_NOMEM, "rollout.json")
                  : file_replace(cx, r->j->result.path, t.s, t.n);
    mem_free(t.s);
    return st;
}

static int32_t run_all(rollout *r)
{
    ctx *cx = r->cx;
    const char *films = "[]";
    int is_wall = r->given->clock == CLOCK_WALL;
    int32_t st = drive_open(cx, &r->hold, r->what, &r->given->drive, &r->drive);
    if (st >= 0) st = fit(r);
    if (st >= 0) st = weigh(r);
    if (is_wall) unlink(r->journal_path); /* real time does not go on where it was */
    if (st >= 0) st = read_journal(r);
    if (st >= 0) st = shuffle(r);
    if (st >= 0) st = is_wall ? run_wall(r) : run_virtual(r);
    if (st >= 0 && r->given->keep)
        st = film_make(r->j, &r->hold, &r->drive.spec, r->journal_path, r->given->keep,
                       &films);
    if (st >= 0) st = write_result(r, films);
    if (st >= 0) st = setting_figures(r);
    if (st >= 0) st = tally_figures(r->j, &r->sum);
    if (st >= 0) st = timing_figures(r);
    if (st >= 0) st = memory_figures(r);
    return st;
}

static int32_t rollout_run(ctx *cx, job *j)
{
    rollout r = {.j = j, .cx = cx, .given = j->params, .journal = -1};
    r.n = r.given->episodes;
    r.hold = arena_growing(64 << 10);
    r.what = arena_text(&r.hold, "rollout \"%s\"", j->name);
    r.journal_path = arena_text(&r.hold, "%s/episodes.jsonl", j->folder);
    tally_init(&r.sum);
    int32_t st = r.what && r.journal_path
                     ? run_all(&r)
                     : ctx_fail(cx, EVLA_E_NOMEM, "rollout %s", j->name);
    if (st < 0 && !cx->code) ctx_fail(cx, st, "%s", ctx_code_text(st));
    if (r.journal >= 0) close(r.journal);
    drive_free(&r.drive);
    mem_free(r.timing);
    tally_free(&r.sum);
    arena_free(&r.hold);
    return st;
}

const job_type job_rollout = {
    .name = "rollout",
    .result = "rollout",
    .doc = "a driver and a guard on a body: evaluation in virtual time, deployment in real "
           "time",
    .params = params,
    .n_params = sizeof params / sizeof *params,
    .params_size = sizeof(rollout_params),
    .has_graphs = 1,
    .check = rollout_check,
    .run = rollout_run,
};
