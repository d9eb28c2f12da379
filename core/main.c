/*
 * main.c -- the command line: words, folders, plugins, signals; then one verb.
 *
 * Here: options of the engine, where its plugins and scripts are, Ctrl-C.
 * Not here: what the verbs do (lua/verb_*.c, lua/repl.c).
 */
#include "lua/verbs.h"
#include "machine.h"
#include "near.h"
#include "param.h"
#include "plugin.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct verb {
    const char *name, *args, *doc, *example;
    int (*run)(call *c);
    int needs_file;
} verb;

// clang-format off
static const verb verbs[] = {
    {"run", "FILE.lua [--OPTION VALUE]...", "declare, check and run a program", "evla run pipelines/coffee.lua --episodes 8", verb_run, 1},
    {"check", "FILE.lua [--OPTION VALUE]...", "declare and check it; nothing runs", "evla check pipelines/coffee.lua", verb_check, 1},
    {"repl", "[FILE.lua]", "the same objects, one line at a time", "evla repl", verb_repl, 0},
    {"plugins", "[NAME]", "what is loaded, with parameters", "evla plugins ops", verb_plugins, 0},
    {"ops", "FILE [--train]", "operator, chosen kernel and fallback of every node", "evla ops out/mlp/mlp/mlp.evla", verb_ops, 1},
    {"show", "FILE [--train]", "draw its graphs and their arenas as SVG", "evla show out/mlp/mlp/mlp.evla", verb_show, 1},
    {"inspect", "FILE|FOLDER", "what a dataset, model or checkpoint holds", "evla inspect policy.evla", verb_inspect, 1},
    {"pack", "MODEL [--type FORMAT] [-o FILE]", "a model's weights as this machine reads them", "evla pack models/policy --type bf16 -o policy.evla", verb_pack, 1},
    {"golden", "write MODEL | check FOLDER", "records a model's stages, and replays them", "evla golden write policy.evla -o golden", verb_golden, 1},
    {"new", "plugin NAME | weights MODEL", "a plugin to start from; seeded weights", "evla new plugin relu6", verb_new, 1},
    {"doctor", "", "what this machine has and lacks", "evla doctor", verb_doctor, 0},
};
enum { N_VERBS = sizeof verbs / sizeof *verbs, MOST_PLUGINS = 32, MOST_OPTIONS = 64 };
// clang-format on

static atomic_int stop;

static void on_signal(int sig)
{
    (void)sig;
    /* the second one means it */
    if (atomic_fetch_add(&stop, 1)) _exit(EXIT_STOPPED);
}

static void help(void)
{
    puts("evla -- from demonstrations to a guarded policy, in one engine\n\nusage: evla "
         "VERB ...");
    for (int i = 0; i < N_VERBS; i++)
        printf("  %-8s %-30s %s\n", verbs[i].name, verbs[i].args, verbs[i].doc);
    puts("options:\n"
         "  --out DIR      folder for results, default out     --json     summary as JSON\n"
         "  --plugins DIR  more plugins; may be repeated       -q, -v     say less, say "
         "more\n"
         "  --workers N    threads; 0: one per processor       --only JOB that one and its "
         "needs\n"
         "  --memory SIZE, --deadline TIME  caps while declaring, 256MiB and 10s\n"
         "  --trust        scripts may use any file\n"
         "  --version      --help      evla VERB --help shows an example\n"
         "exit: 0 done, 1 a job failed, 2 wrong script, 3 plugin or file refused, 130 "
         "stopped");
}

static void help_verb(const verb *v)
{
    printf("usage: evla %s %s\n%s\n\nexample:\n  %s\n", v->name, v->args, v->doc,
           v->example);
    if (!strcmp(v->name, "run") || !strcmp(v->name, "check"))
        printf("\nevla %s FILE.lua --help lists the options which that program declares.\n",
               v->name);
}

int call_fail(call *c)
{
    fprintf(stderr, "evla: %s\n", c->cx->why);
    switch (c->cx->code) {
    case EVLA_E_STOPPED:
        return EXIT_STOPPED;
    case EVLA_E_PLUGIN:
    case EVLA_E_FORMAT:
        return EXIT_REFUSED;
    default:
        return EXIT_WRONG;
    }
}

/* ---- words ---- */

typedef struct words {
    const char *plugins[MOST_PLUGINS];
    int32_t n_plugins;
    script_option options[MOST_OPTIONS];
    int wants_help;
} words;

static int wrong(const char *format, const char *a)
{
    fputs("evla: ", stderr);
    fprintf(stderr, format, a);
    fputc('\n', stderr);
    return EXIT_WRONG;
}

/* The engine's own option at argv[i]; returns how many words it took, 0: not one, -1:
 * wrong. */
static int own_option(call *c, words *w, int argc, char **argv, int i)
{
    static const char *const flags[] = {"--json", "-q", "-v", "--trust", "--help", "-h"};
    static const char *const with[] = {"--out",  "--plugins", "--workers",
                                       "--only", "--memory",  "--deadline"};
    const char *a = argv[i];
    for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
        if (strcmp(a, flags[k]) != 0) continue;
        if (k == 0) c->is_json = 1;
        if (k == 1) c->is_quiet = 1;
        if (k == 2) c->is_verbose = 1;
        if (k == 3) c->setup.is_trusted = 1;
        if (k >= 4) w->wants_help = 1;
        return 1;
    }
    for (size_t k = 0; k < sizeof with / sizeof *with; k++) {
        size_t n = strlen(with[k]);
        int joined = !strncmp(a, with[k], n) && a[n] == '=';
        if (!joined && strcmp(a, with[k]) != 0) continue;
        const char *v = joined ? a + n + 1 : i + 1 < argc ? argv[i + 1] : NULL;
        int64_t number;
        char *end;
        if (!v) return wrong("%s wants a value", a), -1;
        if (k == 0) c->setup.out = v;
        if (k == 1 && w->n_plugins == MOST_PLUGINS) return wrong("%s: too many", a), -1;
        if (k == 1) w->plugins[w->n_plugins++] = v;
        if (k == 2) {
            long n_workers = strtol(v, &end, 10);
            if (*end || !*v || n_workers < 0 || n_workers > 64)
                return wrong("--workers: want 0 to 64, got \"%s\"", v), -1;
            c->setup.workers = (int32_t)n_workers;
        }
        if (k == 3) c->only = v;
        if (k == 4) {
            if (param_size(v, &number) < 0 || number < 1 << 20)
                return wrong("--memory: want a size such as \"256MiB\", got \"%s\"", v), -1;
            c->setup.memory = (uint64_t)number;
        }
        if (k == 5) {
            if (param_duration(v, &number) < 0 || number < 100000000)
                return wrong("--deadline: want a duration such as \"10s\", got \"%s\"", v),
                       -1;
            c->setup.seconds = (double)number * 1e-9;
        }
        return joined ? 1 : 2;
    }
    return 0;
}

static int read_words(call *c, words *w, int argc, char **argv)
{
    c->setup.options = w->options;
    for (int i = 2; i < argc;) {
        int took = own_option(c, w, argc, argv, i);
        if (took < 0) return EXIT_WRONG;
        if (took) {
            i += took;
            continue;
        }
        char *a = argv[i++];
        int is_output =
            !strcmp(a, "-o"); /* where a verb's file goes, as compilers say it */
        if (is_output || (a[0] == '-' && a[1] == '-' && a[2])) { /* the program's own */
            if (c->setup.n_options == MOST_OPTIONS) return wrong("%s: too many options", a);
            script_option *o = &w->options[c->setup.n_options++];
            char *equals = strchr(a, '=');
            o->name = a + (is_output ? 1 : 2);
            if (equals) {
                *equals = 0;
                o->value = equals + 1;
            } else if (i < argc && strncmp(argv[i], "--", 2) != 0)
                o->value = argv[i++];
        } else if (!c->file)
            c->file = a;
        else if (c->n_words < (int32_t)(sizeof c->word / sizeof *c->word))
            c->word[c->n_words++] = a;
        else
            return wrong("%s: too many words", a);
    }
    return EXIT_DONE;
}

/* ---- folders ---- */

static int is_folder(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The environment's, else beside the executable: first as built, then as installed. */
static const char *find_folder(arena *a, const char *variable, const char *self,
                               const char *built, const char *installed)
{
    const char *given = getenv(variable);
    if (given && *given) return given;
    const char *slash = strrchr(self, '/');
    int n = slash ? (int)(slash - self) : 0;
    const char *first = arena_text(a, "%.*s/%s", n, self, built);
    const char *second = arena_text(a, "%.*s/%s", n, self, installed);
    return is_folder(first) ? first : second;
}

static int32_t load_plugins(call *c, const words *w, int is_doctor)
{
    ctx *cx = c->cx;
    int32_t st = plugin_add(cx, c->reg, "core", &job_builtin);
    if (st >= 0) st = plugin_load_folder(cx, c->reg, c->plugins);
    for (int32_t i = 0; st >= 0 && i < w->n_plugins; i++)
        st = is_folder(w->plugins[i]) ? plugin_load_folder(cx, c->reg, w->plugins[i])
                                      : plugin_load(cx, c->reg, w->plugins[i]);
    for (int found = 0; st >= 0 || is_doctor; found = 1) {
        if (st < 0) { /* the patient need not be well */
            if (!c->refused) c->refused = arena_copy(&cx->mem, cx->why);
            ctx_clear(cx);
        }
        if (found) return 0;
        st = plugin_seal(cx, c->reg);
        if (st >= 0) st = machine_find(cx, c->reg, getenv("EVLA_MACHINE"));
    }
    return st;
}

static const verb *find_verb(const char *name)
{
    const char *names[N_VERBS];
    for (int i = 0; i < N_VERBS; i++) {
        if (!strcmp(verbs[i].name, name)) return &verbs[i];
        names[i] = verbs[i].name;
    }
    const char *near = near_miss(name, names, N_VERBS);
    fprintf(stderr, "evla: there is no verb \"%s\"%s%s%s\n", name,
            near ? "; did you mean \"" : "; evla --help lists them", near ? near : "",
            near ? "\"?" : "");
    return NULL;
}

static int dispatch(call *c, words *w, const verb *v, int argc, char **argv)
{
    int code = read_words(c, w, argc, argv);
    if (code) return code;
    /* with a file the program tells its own options */
    if (w->wants_help && (!c->file || (v->run != verb_run && v->run != verb_check)))
        return help_verb(v), EXIT_DONE;
    if (v->needs_file && !c->file) {
        fprintf(stderr, "evla: evla %s wants %s, for example: %s\n", v->name, v->args,
                v->example);
        return EXIT_WRONG;
    }
    char self[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    arena *a = &c->cx->mem;
    c->program = arena_copy(a, self);
    c->plugins = find_folder(a, "EVLA_PLUGINS", self, "plugins", "../lib/evla/plugins");
    c->setup.scripts =
        find_folder(a, "EVLA_SCRIPTS", self, "../scripts", "../share/evla/scripts");
    if (!is_folder(c->setup.scripts)) /* a build folder inside a build folder (make san) */
        c->setup.scripts =
            find_folder(a, "EVLA_SCRIPTS", self, "../../scripts", "../scripts");
    char scripts[PATH_MAX]; /* one spelling, so that messages know the engine's own lines */
    if (realpath(c->setup.scripts, scripts)) c->setup.scripts = arena_copy(a, scripts);
    c->setup.wants_help = w->wants_help;
    c->setup.is_quiet = c->is_json;
    c->cx->log_level = c->is_quiet     ? EVLA_LOG_ERROR
                       : c->is_verbose ? EVLA_LOG_DEBUG
                                       : EVLA_LOG_INFO;
    if (load_plugins(c, w, v->run == verb_doctor) < 0) return call_fail(c);
    return v->run(c);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help(), argc < 2 ? EXIT_WRONG : EXIT_DONE;
    if (!strcmp(argv[1], "--version"))
        return printf("evla %s, ABI %d.%d\n", EVLA_VERSION, EVLA_ABI_MAJOR, EVLA_ABI_MINOR),
               EXIT_DONE;
    const verb *v = find_verb(argv[1]);
    if (!v) return EXIT_WRONG;
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    static registry reg;
    static ctx cx;
    static words w;
    registry_init(&reg);
    ctx_init(&cx, &reg);
    cx.stop = &stop;
    call c = {.cx = &cx,
              .reg = &reg,
              .setup = {.out = "out", .memory = SCRIPT_MEMORY, .seconds = SCRIPT_SECONDS}};
    int code = dispatch(&c, &w, v, argc, argv);
    if (fflush(stdout) != 0 && code == EXIT_DONE) code = EXIT_FAILED;
    ctx_free(&cx);
    registry_free(&reg);
    return code;
}
