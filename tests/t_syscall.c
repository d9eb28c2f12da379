/*
 * A step makes no system call with one worker; with more only futex, and getrusage after
 * one kept the others waiting for a millisecond. A child process gives up the right to all
 * others (seccomp) and is killed if it tries.
 */
#include "graph_kit.h"
#include "run/session.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static kit k;

/* All threads of the process may from now on leave, and do two more things. */
static int lock_down(const int allowed[2])
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[0], 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[1], 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 0;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
                   &program) == 0;
}

static session *open_net(int32_t workers)
{
    plan *p;
    session *s;
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[8,16]"), h = kit_state(&k, "h", "f32[8,16]");
    for (int i = 0; i < 3; i++) {
        x = kit_node(&k, "t_dot", "{\"out\":16}", x, kit_weight(&k, "w", NULL), -1);
        x = kit_node(&k, "t_relu", NULL, kit_node(&k, "t_add", NULL, x, h, -1), -1, -1);
    }
    kit_output(&k, "h", kit_node(&k, "t_store", NULL, h, x, -1));
    kit_output(&k, "y", kit_node(&k, "t_stat", NULL, x, -1, -1));
    plan_options o = {.n_workers = workers};
    if (plan_make(&k.cx, k.g, &(symbols){0}, &o, &p) < 0 || model_fill(&k.cx, k.m, 1) < 0 ||
        session_open(&k.cx, &p, 1, &(session_options){.n_workers = workers}, &s) < 0)
        _exit(9);
    return s;
}

/* How a child ends that does `steps` steps and then, maybe, something forbidden. */
static int child(int32_t workers, const int allowed[2], int steps, int sins)
{
    pid_t pid = fork();
    if (pid == 0) {
        session *s = open_net(workers);
        session_run(&k.cx, s, 0); /* all workers are up when this returns */
        if (!lock_down(allowed)) _exit(8);
        for (int i = 0; i < steps; i++)
            if (session_run(&k.cx, s, 0) < 0) _exit(7);
        if (sins) syscall(SYS_getppid);
        syscall(SYS_exit_group, 0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

int main(void)
{
#ifdef EVLA_LIBC_MALLOC
    return skip_all("sanitizers make system calls of their own");
#endif
    static const int nothing[2] = {SYS_exit_group, SYS_exit_group};
    static const int waiting[2] = {SYS_futex, SYS_getrusage};
    kit_open(&k);
    int status = child(1, nothing, 0, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 8)
        return skip_all("this kernel does not let a process give up system calls");
    status = child(1, nothing, 10000, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
       "10,000 steps with one worker make no system call");
    if (!WIFEXITED(status)) note("killed by signal %d", WTERMSIG(status));
    status = child(1, nothing, 10, 1);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "one that does is caught");
    status = child(3, waiting, 2000, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
       "2,000 steps with three workers make no system call but futex, and getrusage after "
       "a millisecond of waiting");
    if (!WIFEXITED(status)) note("killed by signal %d", WTERMSIG(status));
    kit_close(&k);
    return tap_done();
}
