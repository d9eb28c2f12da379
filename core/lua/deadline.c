/*
 * deadline.c -- a script that declares for too long is stopped, whatever it does.
 *
 * A thread waits for the deadline. Lua's count hook then names the line; inside a pattern
 * match no hook runs, so after a moment the thread reports without the line and leaves with
 * code 2. In the REPL nobody leaves: the hook throws, and keeps throwing until the line is
 * over.
 *
 * The state is the process's, as signals are: only the command line uses this file.
 */
#include "script.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SCRIPT = 2, EXIT_STOPPED = 130, GRACE_MS = 300 };

atomic_int deadline_interrupted;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    atomic_int is_late, has_reported, n_paused;
    int is_on, is_repl, depth;
    double seconds;
    char what[256];
} self = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* Says it once and leaves; from the hook with a line, from the thread without. */
static void leave(const char *source, int line)
{
    char text[512], at[300];
    if (atomic_exchange(&self.has_reported, 1)) return;
    if (source)
        snprintf(at, sizeof at, "%s:%d", source, line);
    else
        snprintf(at, sizeof at, "%s", self.what);
    int n =
        snprintf(text, sizeof text,
                 "evla: %s: still declaring after %g s, which is the deadline%s; a script "
                 "only declares, jobs do the work\n",
                 at, self.seconds, source ? "" : " (inside a library function)");
    if (write(STDERR_FILENO, text, (size_t)n) < 0) {
    }
    _exit(EXIT_SCRIPT);
}

/* Ctrl-C before anything has run. */
static void stop_declaring(void)
{
    static const char text[] = "evla: stopped while declaring; nothing had run\n";
    if (atomic_exchange(&self.has_reported, 1)) return;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
    }
    _exit(EXIT_STOPPED);
}

void deadline_hook(lua_State *L, lua_Debug *ar)
{
    if (atomic_load_explicit(&deadline_interrupted, memory_order_relaxed))
        luaL_error(L, "interrupted");
    if (self.is_on && !self.is_repl && ctx_stopping(script_of(L)->cx)) stop_declaring();
    if (!atomic_load_explicit(&self.is_late, memory_order_relaxed)) return;
    if (self.is_repl) {
        atomic_store(&deadline_interrupted, 2);
        luaL_error(L, "interrupted: the line ran for %d s, which is the deadline",
                   (int)self.seconds);
    }
    for (int level = 0; lua_getstack(L, level, ar); level++)
        if (lua_getinfo(L, "Sl", ar) && ar->currentline > 0) {
            leave(*ar->source == '@' ? ar->source + 1 : ar->short_src, ar->currentline);
            return;
        }
    leave(NULL, 0);
}

static struct timespec in_future(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_nsec + (int64_t)(seconds * 1e9);
    return (struct timespec){t.tv_sec + ns / 1000000000, ns % 1000000000};
}

static void *watch(void *unused)
{
    (void)unused;
    struct timespec until = in_future(self.seconds);
    pthread_mutex_lock(&self.lock);
    for (;;) {
        while (self.is_on &&
               pthread_cond_clockwait(&self.wake, &self.lock, CLOCK_MONOTONIC, &until) == 0)
            continue;
        if (!self.is_on) break;
        if (atomic_load(&self.n_paused)) { /* the core is at work: count anew */
            until = in_future(self.seconds);
            continue;
        }
        if (!atomic_exchange(&self.is_late, 1)) {
            until = in_future(GRACE_MS * 1e-3);
            continue;
        }
        if (!self.is_repl) leave(NULL, 0);
        until = in_future(3600);
    }
    pthread_mutex_unlock(&self.lock);
    return NULL;
}

void deadline_start(script *s, const char *what)
{
    if (self.depth++ || s->setup.seconds <= 0) return;
    snprintf(self.what, sizeof self.what, "%s.lua", what);
    self.seconds = s->setup.seconds;
    self.is_repl = s->setup.is_repl;
    atomic_store(&self.is_late, 0);
    self.is_on = 1;
    if (pthread_create(&self.thread, NULL, watch, NULL) != 0) self.is_on = 0;
}

void deadline_stop(void)
{
    if (--self.depth) return;
    pthread_mutex_lock(&self.lock);
    int was_on = self.is_on;
    self.is_on = 0;
    pthread_cond_signal(&self.wake);
    pthread_mutex_unlock(&self.lock);
    if (was_on) pthread_join(self.thread, NULL);
    atomic_store(&self.is_late, 0);
}

void deadline_pause(int n) { atomic_fetch_add(&self.n_paused, n); }
