/*
 * core/run/realtime: the tick thread allocates nothing and makes no system call but its
 * sleep; one of each and a late tick are put in on purpose and seen. Slow work beside the
 * ticks delays none of them.
 */
#include "loop_kit.h" /* first: it includes mem.h before the allocators are replaced */

#include "count_malloc.h"
#include "run/clock.h"
#include "run/realtime.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef EVLA_LIBC_MALLOC
static int64_t counted_here;
enum { COUNTS = 0 };
#else
enum { COUNTS = 1 };
#endif

static kit k;
static arena hold;
static evla_body_info info;
static int64_t count_mallocs(void) { return counted_here; }

static int32_t begin(void *to, loop *l, int64_t i, uint64_t *seed, const char **told)
{
    (void)to, (void)l;
    *seed = (uint64_t)i;
    *told = NULL;
    return 0;
}

static int n_ended;
static void *volatile left; /* by a tick; freeing it there would count, too */
static int32_t end(void *to, loop *l, const watch *w, int64_t i, int is_cut)
{
    (void)to, (void)l, (void)w, (void)i;
    n_ended += !is_cut;
    free(left);
    left = NULL;
    return 0;
}

static realtime_report report;
static int32_t status;

/* A loop of the two rates for so long. */
static void go(double seconds, const policy_line *lines, int32_t n)
{
    policy *p = NULL;
    loop *l = NULL;
    loop_spec s = kit_spec(&k, &info, &hold);
    s.guard.item = &kit_scene_item;
    s.beside = 1;
    ctx_clear(&k.cx);
    status = policy_new(&k.cx, k.m, &info, lines, n, &p);
    s.policy = p;
    if (status >= 0) status = loop_open(&k.cx, &s, &l);
    const realtime_spec how = {
        .seconds = seconds, .bad = 1, .count_mallocs = COUNTS ? count_mallocs : NULL};
    const realtime_events e = {.begin = begin, .end = end};
    n_ended = 0;
    if (status >= 0) status = realtime_run(&k.cx, l, &how, &e, &report);
    if (status < 0) note("%s", k.cx.why);
    loop_close(&k.cx, l);
    policy_free(p);
}

static const policy_line two_rates[] = {
    {.graph = "slow", .rate_hz = 30, .latency_ns = 10000000},
    {.graph = "fast", .rate_hz = 100}};

/* ---- on purpose ---- */

static void spin_ns(int64_t ns)
{
    for (int64_t until = clock_ns() + ns; clock_ns() < until;)
        ;
}

static void one_malloc(int64_t tick, int in_act)
{
    if (tick != 20 || in_act) return;
    left = malloc(24);
}

static void one_late_tick(int64_t tick, int in_act)
{
    if (tick == 20 && !in_act) spin_ns(14000000);
}

static void three_periods_late(int64_t tick, int in_act)
{
    if (tick == 20 && in_act) spin_ns(34000000);
}

/* ---- system calls: a filter that tells ---- */

static volatile sig_atomic_t n_calls, last_call;

static void on_call(int signal_number, siginfo_t *about, void *context)
{
    (void)signal_number, (void)context;
    n_calls++;
    last_call = about->si_syscall;
}

/* From now on this thread may sleep, return from signals and end the process; all else is
 * told and not done. */
static int watch_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    struct sigaction how = {.sa_flags = SA_SIGINFO};
    how.sa_sigaction = on_call;
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    return !sigaction(SIGSYS, &how, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int sins; /* system calls put in on purpose */

static void filtered(int64_t tick, int in_act)
{
    if (tick == 2 && !in_act && !watch_calls()) _exit(8);
    if (tick == 50 && !in_act && sins) syscall(SYS_getppid);
    if (tick == 150 && in_act)
        syscall(SYS_exit_group, n_calls == 0                               ? 0
                                : n_calls == 1 && last_call == SYS_getppid ? 1
                                                                           : 7);
}

/* How a child ends whose tick thread does 148 ticks under the filter. */
static int child(int with_sins)
{
    int state = 0;
    pid_t pid = fork();
    if (pid == 0) {
        sins = with_sins;
        deeds.deed = filtered;
        go(3, two_rates, 2);
        _exit(9);
    }
    waitpid(pid, &state, 0);
    if (WIFSIGNALED(state)) note("killed by signal %d", WTERMSIG(state));
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

static void test_calls(void)
{
    int seen = COUNTS ? child(0) : 8; /* sanitizers make calls of their own */
    if (seen == 8) {
        ok(1, "system calls are counted # SKIP not here");
        return;
    }
    ok(seen == 0, "148 ticks make no system call but their sleep (%d)", seen);
    seen = child(1);
    ok(seen == 1, "one that does is seen (%d)", seen);
}

/* ---- slow work ---- */

static atomic_int n_slow;

/* Takes 60 ms, two periods of a graph at 30 Hz. */
static int32_t slow_run(const evla_host *h, const evla_args *a, int32_t phase, int64_t tile)
{
    struct timespec nap = {0, 60000000};
    nanosleep(&nap, NULL);
    atomic_fetch_add(&n_slow, 1);
    return t_two_run(h, a, phase, tile);
}

static evla_kernel slow_kernel;
static evla_item slow_items[sizeof t_items / sizeof *t_items];

static void test_slow_work(void)
{
    registry reg;
    evla_plugin other = t_plugin;
    slow_kernel = t_two_kernel;
    slow_kernel.run = slow_run;
    memcpy(slow_items, t_items, sizeof slow_items);
    for (size_t i = 0; i < sizeof slow_items / sizeof *slow_items; i++)
        if (slow_items[i].table == &t_two_kernel) slow_items[i].table = &slow_kernel;
    other.items = slow_items;
    registry_init(&reg);
    plugin_add(&k.cx, &reg, "slow.so", &other);
    plugin_seal(&k.cx, &reg);
    k.cx.reg = &reg;
    kit_graph(&k);
    int32_t lo = kit_node(&k, "t_two", NULL, kit_input(&k, "obs/tick", "f32[B,1]"), -1, -1);
    kit_output(&k, "seen", lo + 1); /* obs/tick + 1 */
    graph_new(&k.cx, k.m, "fast", "m.lua:1", &k.g);
    kit_output(&k, "action",
               kit_node(&k, "t_relu", NULL, kit_input(&k, "seen", "f32[B,1]"), -1, -1));
    const policy_line lines[] = {{.graph = "g", .rate_hz = 30, .latency_ns = 10000000},
                                 {.graph = "fast", .rate_hz = 100}};
    deeds.deed = NULL;
    atomic_store(&n_slow, 0);
    go(2, lines, 2);
    ok(status == 0 && report.missed <= report.ticks / 50,
       "a graph that takes 60 ms delays no tick of 10 ms (%lld missed of %lld)",
       (long long)report.missed, (long long)report.ticks);
    ok(atomic_load(&n_slow) > 15, "it runs as often as it can (%d in 2 s)",
       atomic_load(&n_slow));
    ok(report.late_results > 10, "and its lateness is counted (%lld)",
       (long long)report.late_results);
    double oldest = 0;
    int future = 0;
    for (int64_t t = 0; t < report.ticks && t < KIT_TICKS; t++) {
        oldest = fmax(oldest, deeds.slow_age[t]);
        future += deeds.slow_age[t] < 0;
    }
    ok(oldest > 0.06 && oldest < 1 && !future,
       "the guard is told: results are up to %.0f ms old", oldest * 1e3);
    kit_graph(&k);
    k.cx.reg = &k.reg;
    registry_free(&reg);
    kit_two_rates(&k);
}

/* ---- a failing graph beside the ticks ---- */

static void test_trouble(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "obs/tick", "f32[B,1]");
    kit_output(&k, "seen", kit_node(&k, "t_fail", "{\"mask\":1}", x, -1, -1));
    graph_new(&k.cx, k.m, "fast", "m.lua:1", &k.g);
    kit_output(&k, "action",
               kit_node(&k, "t_relu", NULL, kit_input(&k, "seen", "f32[B,1]"), -1, -1));
    go(0.3,
       (policy_line[]){{.graph = "g", .rate_hz = 30, .latency_ns = 10000000},
                       {.graph = "fast", .rate_hz = 100}},
       2);
    ok(status == EVLA_E_RANGE && strstr(k.cx.why, "told to fail"),
       "a graph that fails ends the run: %s", k.cx.why);
    kit_two_rates(&k);
}

/* ---- answers beside the ticks ---- */

static void test_chunk(void)
{
    const policy_line plays = {.graph = "g",
                               .rate_hz = 30,
                               .latency_ns = 10000000,
                               .pace_hz = 10,
                               .chunk = CHUNK_QUEUE,
                               .workers = 2};
    go(0.4, &plays, 1);
    ok(status >= 0 && (!COUNTS || report.mallocs == 0),
       "a call beside the ticks makes the actions: %lld answers, no tick allocates (%lld)",
       (long long)report.answer.n, (long long)report.mallocs);
    ok(report.answer.n == 0 || report.answer.max_ns > 0, "how long they took is counted");
}

int main(void)
{
    deeds.veto_at = -1;
    deeds.max_ticks = 160;
    hold = arena_growing(4096);
    kit_open(&k);
    kit_two_rates(&k);

    go(2, two_rates, 2);
    note("%s scheduling%s%s, memory %s%s; step p50 %.3f max %.3f ms, jitter p50 %.3f p99 "
         "%.3f max %.3f ms",
         report.is_fifo ? "fifo" : "normal", report.is_fifo ? "" : ": ", report.why_normal,
         report.is_locked ? "locked" : "not locked: ", report.why_unlocked,
         1e-6 * (double)histogram_at(&report.step, 0.5), 1e-6 * (double)report.step.max_ns,
         1e-6 * (double)histogram_at(&report.jitter, 0.5),
         1e-6 * (double)histogram_at(&report.jitter, 0.99),
         1e-6 * (double)report.jitter.max_ns);
    ok(status == 0 && report.ticks + report.skipped >= 180 && report.ticks <= 201,
       "2 s are 200 ticks of 10 ms, with a reset in between (%lld)",
       (long long)report.ticks);
    ok(report.episodes == 1 && report.cut == 1 && n_ended == 1,
       "an episode of 160 ticks ends, the next is cut");
    ok(report.step.n == report.ticks && report.jitter.n == report.ticks,
       "every tick is in the histograms");
    ok(!COUNTS || report.mallocs == 0, "no tick allocates (%lld)",
       (long long)report.mallocs);
    int64_t usual = report.missed;
    ok(usual <= 4, "ticks are not missed but by the machine's own doing (%lld)",
       (long long)usual);

    deeds.deed = one_malloc;
    go(0.5, two_rates, 2);
    ok(!COUNTS || report.mallocs == 1, "one allocation put in is counted (%lld)",
       (long long)report.mallocs);
    deeds.deed = one_late_tick;
    go(0.5, two_rates, 2);
    ok(report.missed >= 1 && report.missed <= 1 + usual + 2,
       "one late tick put in is counted (%lld)", (long long)report.missed);
    ok(report.step.max_ns >= 14000000, "and is the longest step (%.1f ms)",
       1e-6 * (double)report.step.max_ns);
    deeds.deed = three_periods_late;
    go(0.5, two_rates, 2);
    ok(report.skipped >= 2 && report.missed >= 2,
       "a body that blocks for three periods costs two ticks (%lld), "
       "which are not made up for",
       (long long)report.skipped);
    deeds.deed = NULL;
    test_calls();
    test_slow_work();
    test_chunk();
    test_trouble();
    arena_free(&hold);
    kit_close(&k);
    return tap_done();
}
