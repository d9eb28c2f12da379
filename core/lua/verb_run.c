/*
 * verb_run.c -- evla run and evla check: declare, check, order, run, report.
 */
#include "../registry.h"
#include "verbs.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- progress: one line on a terminal ---- */

typedef struct meter {
    const job *job;
    double from, last;
    int is_terminal, is_quiet, is_drawn;
} meter;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The most that was resident so far. */
static int64_t peak_rss(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (int64_t)used.ru_maxrss * 1024; /* Linux counts in KiB */
}

static void clear_line(meter *m);

/* Text that a job writes goes to the standard output, and to nobody else. */
static void hear(void *to, const job *j, const char *text, size_t n)
{
    (void)j;
    clear_line(to);
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

static void clear_line(meter *m)
{
    if (m->is_drawn) fputs("\r\033[K", stderr);
    m->is_drawn = 0;
}

static void progress(void *to, const job *j, int64_t done, int64_t total, const char *text)
{
    meter *m = to;
    double t = now();
    if (m->job != j) {
        m->job = j;
        m->from = t;
        m->last = 0;
    }
    if (!m->is_terminal || (t - m->last < 0.05 && done < total)) return;
    m->last = t;
    char bar[25];
    int full = total > 0 ? (int)((sizeof bar - 1) * (size_t)done / (size_t)total) : 0;
    for (int i = 0; i < (int)sizeof bar - 1; i++)
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[sizeof bar - 1] = 0;
    double spent = t - m->from,
           left = done > 0 ? spent * (double)(total - done) / (double)done : 0;
    fprintf(stderr, "\r\033[K%-12.12s [%s] %lld/%lld", j->name, bar, (long long)done,
            (long long)total);
    if (text)
        fprintf(stderr, "  %s", text);
    else if (spent > 0.5 && done)
        fprintf(stderr, "  %.0f/min, %d:%02d left", 60 * (double)done / spent,
                (int)left / 60, (int)left % 60);
    m->is_drawn = 1;
}

/* ---- after the run ---- */

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* Summary, manifest and report are Lua: scripts/evla/finish.lua gets what the core knows.
 */
static int32_t finish(call *c, script *s, int64_t declared_rss)
{
    lua_State *L = s->L;
    program *p = s->prog;
    char here[4096];
    lua_settop(L, 0);
    lua_newtable(L);
    set_text(L, "here", getcwd(here, sizeof here));
    set_text(L, "program", p->name);
    set_text(L, "out", p->out);
    set_text(L, "file", c->file);
    set_text(L, "jobs", program_summary(p, &s->cx->mem));
    set_text(L, "sources", p->sources);
    set_text(L, "version", EVLA_VERSION);
    set_text(L, "plugins_folder", c->plugins);
    tree_push(L, s, &p->options);
    lua_setfield(L, -2, "options");
    lua_newtable(L);
    for (int32_t i = 0; i < c->reg->n_plugins; i++) {
        const plugin *q = &c->reg->plugins[i];
        char hex[65] = "";
        lua_newtable(L);
        set_text(L, "id", q->table->id);
        set_text(L, "version", q->table->version);
        set_text(L, "license", q->table->license);
        if (q->handle && sha256_file(q->path, hex) == 0) set_text(L, "sha256", hex);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "plugins");
    lua_pushinteger(L, peak_rss());
    lua_setfield(L, -2, "peak_rss_bytes");
    lua_pushinteger(L, declared_rss);
    lua_setfield(L, -2, "declared_rss_bytes");
    lua_getfield(L, LUA_REGISTRYINDEX, "evla.report");
    lua_setfield(L, -2, "report");
    lua_pushboolean(L, c->is_json);
    lua_setfield(L, -2, "json");
    lua_pushboolean(L, c->is_quiet);
    lua_setfield(L, -2, "quiet");
    return script_engine(s, "finish", 1, 0);
}

static int failed(script *s, int code)
{
    if (s) script_close(s);
    return code;
}

/* One mistake a line, each with its place. */
static int report_mistakes(call *c, const char *report)
{
    ctx *cx = c->cx;
    int refused = cx->code == EVLA_E_PLUGIN || cx->code == EVLA_E_FORMAT;
    for (const char *line = report ? report : cx->why; *line;) {
        size_t n = strcspn(line, "\n");
        fprintf(stderr, "evla: %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    return refused ? EXIT_REFUSED : EXIT_WRONG;
}

static script *declare(call *c, int *code)
{
    script *s = script_open(c->cx, c->file, &c->setup);
    *code = EXIT_DONE;
    if (!s || script_load(s, c->file) < 0)
        *code = call_fail(c);
    else if (!s->help_shown) {
        const char *report;
        if (program_check(s->prog, &report) < 0) *code = report_mistakes(c, report);
    } else
        return script_close(s), NULL;
    if (*code == EXIT_DONE) return s;
    failed(s, *code);
    return NULL;
}

int verb_check(call *c)
{
    int code;
    script *s = declare(c, &code);
    if (!s) return code;
    if (c->is_json)
        printf("%s\n", program_summary(s->prog, &s->cx->mem));
    else if (!c->is_quiet)
        printf("%s: %d job%s, no mistakes\n", s->prog->name, s->prog->n_jobs,
               s->prog->n_jobs == 1 ? "" : "s");
    script_close(s);
    return EXIT_DONE;
}

int verb_run(call *c)
{
    int code;
    script *s = declare(c, &code);
    if (!s) return code;
    program *p = s->prog;
    meter m = {.is_terminal = isatty(STDERR_FILENO) && !c->is_quiet && !c->is_json,
               .is_quiet = c->is_quiet};
    p->progress = progress;
    p->progress_to = &m;
    p->hear = c->is_json ? NULL : hear;
    p->hear_to = &m;
    int64_t declared_rss = peak_rss(); /* engine, plugins and script, and no job yet */
    int32_t st = program_run(p, c->only);
    clear_line(&m);
    for (int32_t i = 0; i < p->n_jobs && !c->is_quiet && !c->is_json; i++) {
        const job *j = p->jobs[i];
        if (j->state == JOB_DONE)
            fprintf(stderr, "%s: done in %.1f s\n", j->name, j->seconds);
        if (j->state == JOB_SKIPPED)
            fprintf(stderr, "%s: up to date (made in %.1f s)\n", j->name, j->seconds);
    }
    if (st == EVLA_E_STOPPED) {
        fprintf(
            stderr,
            "evla: %s; what was finished is kept in %s, run the same command to go on\n",
            c->cx->why, p->out);
        return failed(s, EXIT_STOPPED);
    }
    if (st < 0) {
        code = call_fail(c);
        return failed(s, code == EXIT_WRONG && st != EVLA_E_ARG ? EXIT_FAILED : code);
    }
    if (finish(c, s, declared_rss) < 0) {
        call_fail(c);
        return failed(s, EXIT_FAILED);
    }
    script_close(s);
    return EXIT_DONE;
}
