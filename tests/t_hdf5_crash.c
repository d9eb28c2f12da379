/*
 * t_hdf5_crash.c -- plugins/hdf5 killed, and its disk full, at every operation that changes
 * a file.
 *
 * Three runs are interrupted: one that stores four episodes into two shards; one that finds
 * two in one file and makes two shards of four; and one that fills a shard of two up to
 * three. For every N a child process runs into operation N; a later run must find every
 * episode whose put had returned 0, and leave the same bytes as a run that nothing
 * interrupted.
 */
#include "hdf5_episodes.h"
#include "tap.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    COUNT = 0,
    KILL_BEFORE = 1,
    KILL_INSIDE = 2,
    FULL = 3,
    FULL_INSIDE = 4,
    ONE_EIO = 5,
    MODES
};
static const char *const mode_text[MODES] = {"",
                                             "killed before",
                                             "killed halfway through",
                                             "disk full from",
                                             "disk full halfway through",
                                             "one I/O error at"};

typedef struct seen {
    int32_t is_put[8]; /* put returned 0 */
    int32_t status;
    long count;
    char why[1024];
} seen;

static const evla_stage *g;
static void (*arm)(long n, int mode);
static long (*count)(void);
static seen *shared;
static char root[64];
static hdf5_params params;

static void in_folder(const char *folder, int64_t n)
{
    stage_host s;
    evla_site site = {.size = sizeof site,
                      .n_workers = 1,
                      .folder = folder,
                      .job = "test",
                      .in = &ep_schema};
    void *self = NULL;
    host_init(&s);
    int32_t st = g->open(&s.h, &params, &site, &self);
    for (int64_t i = 0; !st && i < n; i++) {
        if (g->has(&s.h, self, i)) {
            shared->is_put[i] |= 2;
            continue;
        }
        evla_record *r = ep_make(&s.h, i, 1);
        st = g->put(&s.h, self, r);
        s.h.record_drop(&s.h, r);
        if (!st) shared->is_put[i] |= 1;
    }
    if (!st) st = g->finish(&s.h, self);
    g->close(&s.h, self);
    shared->status = st;
    shared->count = count();
    memcpy(shared->why, s.why, sizeof s.why);
    host_free(&s);
}

/* Runs in a child; returns waitpid's status. */
static int child(const char *folder, int64_t n, long at, int mode)
{
    int status = -1;
    memset(shared, 0, sizeof *shared);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        arm(at, mode);
        in_folder(folder, n);
        arm(0, COUNT);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return status;
}

static int shell(const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, format, a, b);
    return system(command);
}

static long read_all(const char *path, char *out, long max)
{
    int fd = open(path, O_RDONLY);
    long n = fd < 0 ? -1 : read(fd, out, (size_t)max);
    if (fd >= 0) close(fd);
    return n;
}

/* The same files with the same bytes, and no others. */
static int same_folders(const char *a, const char *b)
{
    static char x[1 << 20], y[1 << 20];
    int n[2] = {0, 0}, is_same = 1;
    for (int k = 0; k < 2; k++) {
        DIR *d = opendir(k ? b : a);
        for (struct dirent *e; d && (e = readdir(d));) {
            char p[256], q[256];
            if (e->d_name[0] == '.') continue;
            n[k]++;
            if (k) continue;
            snprintf(p, sizeof p, "%s/%.100s", a, e->d_name);
            snprintf(q, sizeof q, "%s/%.100s", b, e->d_name);
            long m = read_all(p, x, sizeof x);
            if (m <= 0 || m != read_all(q, y, sizeof y) || memcmp(x, y, (size_t)m)) {
                note("%s differs", p);
                is_same = 0;
            }
        }
        if (d) closedir(d);
    }
    return is_same && n[0] == n[1];
}

static void copy_start(const char *start, const char *folder)
{
    shell("rm -rf %s; mkdir %s", folder, folder);
    if (start) shell("cp %s/d*.hdf5 %s", start, folder);
}

/* One operation, one mode: 1 when everything held. */
static int interrupted(const char *start, const char *want, int64_t n, long at, int mode)
{
    char folder[128];
    int32_t is_put[8];
    snprintf(folder, sizeof folder, "%s/now", root);
    copy_start(start, folder);
    int status = child(folder, n, at, mode);
    int is_kill = mode == KILL_BEFORE || mode == KILL_INSIDE, is_good = 1;
    if (is_kill != (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
        (!is_kill && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))) {
        note("operation %ld: the process ended with %#x", at, (unsigned)status);
        is_good = 0;
    }
    if (!is_kill && mode != FULL_INSIDE && mode != ONE_EIO &&
        (shared->status != EVLA_E_IO || !strstr(shared->why, root) ||
         !strstr(shared->why, "free some"))) {
        note("operation %ld: %d %s", at, shared->status, shared->why);
        is_good = 0;
    }
    /* halfway through the last write, or removing what is superfluous, may still succeed */
    if (!is_kill && shared->status && shared->status != EVLA_E_IO) {
        note("operation %ld: %d %s", at, shared->status, shared->why);
        is_good = 0;
    }
    memcpy(is_put, shared->is_put, sizeof is_put);
    status = child(folder, n, 0, COUNT);
    if (status || shared->status) {
        note("operation %ld: the run after it: %#x %d %s", at, (unsigned)status,
             shared->status, shared->why);
        is_good = 0;
    }
    for (int64_t i = 0; i < n; i++)
        if (is_put[i] && !(shared->is_put[i] & 2)) {
            note("operation %ld: episode %lld was committed and is lost", at, (long long)i);
            is_good = 0;
        }
    return is_good && same_folders(folder, want);
}

static void every_operation(const char *title, const char *start, int64_t n)
{
    char want[128];
    snprintf(want, sizeof want, "%s/want", root);
    copy_start(start, want);
    child(want, n, 1L << 30, COUNT);
    long total = shared->count;
    ok(shared->status == 0 && total > 20, "%s: %ld operations when nothing happens %s",
       title, total, shared->why);
    for (int mode = KILL_BEFORE; mode < MODES; mode++) {
        long n_bad = 0;
        for (long at = 1; at <= total; at++) {
            /* unlink and rmdir work on a full disk: past the last write there is nothing to
             * fail */
            if (mode == FULL || mode == FULL_INSIDE) {
                char folder[128];
                snprintf(folder, sizeof folder, "%s/now", root);
                copy_start(start, folder);
                child(folder, n, at, mode);
                if (shared->status == 0) continue;
            }
            n_bad += !interrupted(start, want, n, at, mode);
        }
        ok(n_bad == 0,
           "%s: %s each of %ld operations: nothing committed is lost, same bytes after",
           title, mode_text[mode], total);
    }
}

int main(int argc, char **argv)
{
    char so[512], path[128];
    const char *build = getenv("EVLA_BUILD");
    void *f;
    (void)argc;
    snprintf(so, sizeof so, "%s/tests/preload_io.so", build ? build : "build");
    f = dlsym(RTLD_DEFAULT, "preload_io_arm");
    if (!f) {
        if (getenv("EVLA_PRELOADED") || access(so, R_OK))
            skip_all("preload_io.so is not there");
        setenv("EVLA_PRELOADED", "1", 1);
        setenv("LD_PRELOAD", so, 1);
        /* in a sanitized build its library then comes second, which it would refuse */
        if (getenv("EVLA_SAN"))
            setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
        execv(argv[0], argv);
        skip_all("cannot start anew with LD_PRELOAD");
    }
    memcpy(&arm, &f, sizeof arm);
    f = dlsym(RTLD_DEFAULT, "preload_io_count");
    memcpy(&count, &f, sizeof count);
    unsetenv("LD_PRELOAD");
    const evla_item *stage = host_item("hdf5", EVLA_STAGE, "hdf5");
    if (!stage) skip_all("the plugin hdf5 is not built");
    g = stage->table;
    /* tmpfs is quick but refuses O_DIRECT; TMPDIR=/var/tmp tries that too */
    const char *temp = getenv("TMPDIR");
    if (!temp) temp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(root, sizeof root, "%.40s/evla-crash-XXXXXX", temp);
    if (!mkdtemp(root)) skip_all("no temporary folder");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    params = ep_params("d.hdf5");
    params.shard = 65536; /* two episodes */
    snprintf(path, sizeof path, "%s/two", root);
    mkdir(path, 0777);
    in_folder(path, 2); /* here, so that children find the HDF5 library loaded */
    every_operation("four new episodes", NULL, 4);
    every_operation("four of two", path, 4);
    params.shard = 98304; /* three */
    snprintf(path, sizeof path, "%s/five", root);
    mkdir(path, 0777);
    in_folder(path, 5);
    every_operation("six of five", path, 6);
    shell("rm -rf %s%s", root, "");
    return tap_done();
}
