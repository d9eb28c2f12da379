/*
 * core/engine.c: the embedding API, two engines side by side, and the programs of docs/
 * that use it.
 */
#include "engine.h"
#include "graph/save.h"
#include "run/session.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char plugins[4096], folder[4096], model_path[128];

static evla_engine *start(const char *kernels)
{
    const char *paths[] = {plugins, NULL};
    evla_engine_options o = {.size = sizeof o, .plugins = paths, .kernels = kernels};
    evla_engine *e;
    if (evla_engine_new(&o, &e) < 0) note("%s", evla_why(e));
    return e;
}

/* Declares y = relu(x w^T + b), h = h + y and saves it. */
static void save(evla_engine *e)
{
    ctx *cx = &e->cx;
    model *m;
    graph *g;
    int32_t x, w, b, h, y, sum;
    value v;
    const char *out = "{\"out\":5}";
    model_new(cx, "tiny", &m);
    graph_new(cx, m, "policy", NULL, &g);
    graph_input(cx, g, "state", "f32[B,3]", NULL, &x);
    graph_state(cx, g, "h", "f32[B,5]", NULL, NULL, &h);
    graph_weight(cx, g, "w", NULL, NULL, NULL, &w);
    graph_weight(cx, g, "b", NULL, "uniform:1", NULL, &b);
    value_parse(&cx->mem, out, strlen(out), &v, NULL);
    graph_add(cx, g, "linear", (graph_arg[]){{NULL, x}, {NULL, w}, {NULL, b}}, 3, &v, NULL,
              &y);
    graph_add(cx, g, "relu", (graph_arg[]){{NULL, y}}, 1, NULL, NULL, &y);
    graph_add(cx, g, "add", (graph_arg[]){{NULL, h}, {NULL, y}}, 2, NULL, NULL, &sum);
    graph_add(cx, g, "assign", (graph_arg[]){{NULL, h}, {NULL, sum}}, 2, NULL, NULL, &h);
    graph_output(cx, g, "action", y, NULL);
    graph_output(cx, g, "sum", h, NULL);
    plan *p = NULL;
    symbols one = {.n = 1, .name = {"B"}, .extent = {1}};
    if (plan_make(cx, g, &one, NULL, &p) < 0 || model_fill(cx, m, 11) < 0 ||
        save_model(cx, m, model_path) < 0)
        note("%s", cx->why);
    plan_drop(p);
    model_drop(m);
}

static void test_model(void)
{
    evla_engine *e = start(NULL);
    evla_model *m;
    evla_session *s;
    save(e);
    ok(evla_model_open(e, model_path, &m) == 0, "a saved model opens");
    ok(!strcmp(evla_model_graph(m, 0), "policy") && !evla_model_graph(m, 1) &&
           !strcmp(evla_model_input(m, "policy", 0), "state") &&
           !evla_model_input(m, "policy", 1) && !evla_model_input(m, "nothing", 0) &&
           !strcmp(evla_model_output(m, "policy", 1), "sum"),
       "and names its graphs, inputs and outputs");
    evla_symbol two = {"B", 2};
    evla_session_options o = {
        .size = sizeof o, .symbols = &two, .n_symbols = 1, .n_workers = 2};
    ok(evla_session_new(m, "policy", &o, &s) == 0, "a session binds a graph");
    if (*evla_why(e)) note("%s", evla_why(e));
    evla_model_close(m);
    float x[6] = {1, 2, 3, 4, 5, 6}, y[10], sum[10];
    evla_tensor in, out;
    ok(evla_session_input(s, "state", &in) == 0 && in.rank == 2 && in.shape[0] == 2 &&
           evla_session_output(s, "action", &out) == 0 && out.shape[1] == 5,
       "views of inputs and outputs, after the model was closed");
    ok(evla_session_set(s, "state", x, sizeof x) == 0 && evla_session_run(s) == 0 &&
           evla_session_run(s) == 0 && evla_session_get(s, "action", y, sizeof y) == 0 &&
           evla_session_get(s, "sum", sum, sizeof sum) == 0,
       "set, run, get");
    int twice = 1, any = 0;
    for (int i = 0; i < 10; i++) {
        twice &= sum[i] == 2 * y[i];
        any |= y[i] != 0;
    }
    ok(twice && any, "a state adds up over two runs");
    ok(evla_session_bytes(s) > 0 && strstr(evla_session_report(s), "policy/linear.0"),
       "bytes and a report");
    ok(evla_session_reset(s) == 0 && evla_session_run(s) == 0 &&
           evla_session_get(s, "sum", sum, sizeof sum) == 0 && !memcmp(sum, y, sizeof y),
       "reset starts again");
    ok(evla_session_set(s, "stats", x, sizeof x) == EVLA_E_MISSING &&
           !strcmp(evla_why(e),
                   "graph policy: has no input called \"stats\"; did you mean \"state\"?"),
       "a wrong name, with the right one");
    ok(evla_session_input(s, "stats", &in) == EVLA_E_MISSING &&
           evla_session_output(s, "actoin", &out) == EVLA_E_MISSING,
       "views of wrong names");
    evla_session_free(s);
    ok(evla_model_open(e, "/nowhere.evla", &m) == EVLA_E_MISSING && !m &&
           strstr(evla_why(e), "/nowhere.evla: cannot be opened"),
       "a file that is not there");
    evla_model_open(e, model_path, &m);
    ok(evla_session_new(m, "polcy", NULL, &s) == EVLA_E_MISSING && !s &&
           strstr(evla_why(e), "did you mean \"policy\"?"),
       "a graph that is not there");
    ok(evla_session_new(m, "policy", NULL, &s) == EVLA_E_MISSING &&
           strstr(evla_why(e), "the symbol B has no extent"),
       "an unbound symbol");
    o.budget_bytes = 100;
    ok(evla_session_new(m, "policy", &o, &s) == EVLA_E_NOMEM &&
           strstr(evla_why(e), "the budget is 100"),
       "a missed budget");
    o.size = offsetof(evla_session_options, budget_bytes); /* an older caller's struct */
    ok(evla_session_new(m, "policy", &o, &s) == EVLA_E_MISSING,
       "fields beyond the caller's size are not read");
    evla_model_close(m);
    evla_engine_free(e);
}

static void test_operator(void)
{
    evla_engine *e = start(NULL);
    float x[4] = {-1, 2, -3, 4}, y[4] = {9, 9, 9, 9};
    evla_tensor in = {.data = {x}, .dtype = EVLA_F32, .rank = 2, .shape = {2, 2}},
                out = {0};
    ok(evla_op_run(e, "relu", NULL, &in, 1, &out, 1) == 0 && out.rank == 2 &&
           out.shape[1] == 2 && out.dtype == EVLA_F32,
       "an operator tells its output's type first");
    out.data[0] = y;
    ok(evla_op_run(e, "relu", NULL, &in, 1, &out, 1) == 0 && y[0] == 0 && y[3] == 4,
       "and then runs");
    ok(evla_op_run(e, "reduce_sum", "{\"axes\":[1]}", &in, 1, &(evla_tensor){0}, 1) == 0,
       "with parameters as JSON");
    if (*evla_why(e)) note("%s", evla_why(e));
    ok(evla_op_run(e, "relu", "{", &in, 1, &out, 1) == EVLA_E_ARG,
       "parameters that are no JSON");
    ok(evla_op_run(e, "relo", NULL, &in, 1, &out, 1) == EVLA_E_MISSING &&
           strstr(evla_why(e), "did you mean \"relu\"?"),
       "an operator nobody loaded");
    ok(evla_op_run(e, "relu", NULL, &in, 1, &out, 2) == EVLA_E_ARG,
       "outputs it does not have");
    evla_tensor wrong = {.data = {y}, .dtype = EVLA_F32, .rank = 1, .shape = {4}};
    ok(evla_op_run(e, "relu", NULL, &in, 1, &wrong, 1) == EVLA_E_SHAPE &&
           strstr(evla_why(e), "makes f32[2,2], given memory for f32[4]"),
       "memory of another shape");
    ok(evla_dtype_id(e, "f32") == EVLA_F32 && !strcmp(evla_dtype_text(e, EVLA_I8), "i8") &&
           !evla_dtype_text(e, 9999) && evla_dtype_id(e, "f33") == EVLA_NONE,
       "number formats by name and id");
    evla_engine_free(e);
}

static void test_two_engines(void)
{
    evla_engine *a = start(NULL), *b = start("nobody"), *c, *d;
    float x = -1, y = 9;
    evla_tensor in = {.data = {&x}, .dtype = EVLA_F32},
                out = {.data = {&y}, .dtype = EVLA_F32};
    ok(evla_op_run(b, "relu", NULL, &in, 1, &out, 1) == EVLA_E_MISSING &&
           strstr(evla_why(b), "kernels are limited to \"nobody\""),
       "one engine may run no kernel");
    ok(!*evla_why(a) && evla_op_run(a, "relu", NULL, &in, 1, &out, 1) == 0 && y == 0,
       "and another, beside it, runs all of them");
    ok(*evla_why(b) && !*evla_why(a), "each has its own sentence");
    ok(evla_engine_new(NULL, &c) == 0 && !evla_engine_plugin(c, 0) &&
           !evla_engine_item(c, 0),
       "a third has no plugin at all");
    ok(evla_engine_plugin(a, 0) && !strcmp(evla_engine_plugin(a, 0)->id, "evla.ops") &&
           !evla_engine_plugin(a, 1) && evla_engine_item(a, 0) &&
           !evla_engine_item(a, 9999),
       "plugins and items are listed");
    evla_engine_free(a);
    ok(evla_op_run(b, "relu", NULL, &in, 1, &out, 1) == EVLA_E_MISSING,
       "one outlives the other");
    const char *paths[] = {"/nowhere/x.so", NULL};
    evla_engine_options o = {.size = sizeof o, .plugins = paths};
    ok(evla_engine_new(&o, &d) == EVLA_E_PLUGIN && d && strstr(evla_why(d), "plugin x.so:"),
       "a plugin that cannot be loaded: the engine still says why");
    evla_model *m;
    ok(evla_model_open(d, model_path, &m) == EVLA_E_STATE, "but does nothing else");
    ok(strcmp(evla_version(), "0") > 0 && !strcmp(evla_why(NULL), "out of memory"),
       "a version");
    evla_engine_free(b);
    evla_engine_free(c);
    evla_engine_free(d);
    evla_engine_free(NULL);
}

/* What a command prints, or NULL when it fails. */
static char *output_of(const char *command)
{
    static char text[2][4096];
    static int which;
    char *to = text[which = !which];
    FILE *f = popen(command, "r");
    size_t n = f ? fread(to, 1, sizeof *text - 1, f) : 0;
    to[n] = 0;
    int status = f ? pclose(f) : -1;
    if (status) note("%s: %d", command, status);
    return status ? NULL : to;
}

static void test_programs(void)
{
    char command[12000], program[128];
    if (getenv("EVLA_SAN")) {
        ok(1, "docs/embed.c and docs/embed.lua # SKIP libevla.so is built for a sanitizer");
        return;
    }
    const char *cc = getenv("CC") ? getenv("CC") : "cc";
    snprintf(program, sizeof program, "/tmp/evla-t-embed-%d", (int)getpid());
    snprintf(command, sizeof command,
             "%s -std=c11 -Wall -Wextra -Wpedantic -Werror -Icore docs/embed.c -o %s "
             "%s/libevla.so "
             "-Wl,-rpath,%s",
             cc, program, folder, folder);
    ok(output_of(command) != NULL, "docs/embed.c builds against libevla.so");
    snprintf(command, sizeof command, "%s %s %s policy state action", program, model_path,
             plugins);
    char *c = output_of(command), *lua = NULL;
    ok(c && strlen(c) > 10, "and runs the saved graph");
    if (system("command -v luajit >/dev/null 2>&1"))
        ok(1, "docs/embed.lua # SKIP there is no luajit");
    else {
        snprintf(command, sizeof command,
                 "luajit docs/embed.lua %s/libevla.so core/evla %s %s policy state action",
                 folder, model_path, plugins);
        lua = output_of(command);
        ok(c && lua && !strcmp(c, lua), "docs/embed.lua prints the same numbers");
    }
    snprintf(command, sizeof command, "nm -D --defined-only %s/libevla.so", folder);
    char *names = output_of(command);
    int only = names != NULL;
    for (char *line = names; line && *line;) {
        char *end = strchr(line, '\n'), *name = strstr(line, " T ");
        if (!name || strncmp(name, " T evla_", 8) != 0) only = 0;
        line = end ? end + 1 : NULL;
    }
    ok(only, "libevla.so exports evla_* and nothing else");
    snprintf(command, sizeof command, "%s %s %s policy stat action 2>&1; true", program,
             model_path, plugins);
    char *why = output_of(command);
    ok(why && strstr(why, "embed: graph policy: has no input called \"stat\""),
       "a wrong name is told by the program too");
    unlink(program);
}

int main(void)
{
    const char *build = getenv("EVLA_BUILD");
    if (build)
        snprintf(folder, sizeof folder, "%s", build);
    else if (!realpath("build", folder))
        return skip_all("run it from the project's folder, or set EVLA_BUILD");
    snprintf(plugins, sizeof plugins, "%.4000s/plugins/ops.so", folder);
    snprintf(model_path, sizeof model_path, "/tmp/evla-t-engine-%d.evla", (int)getpid());
    if (access(plugins, R_OK)) return skip_all("plugins/ops.so is not built");
    test_model();
    test_operator();
    test_two_engines();
    test_programs();
    unlink(model_path);
    return tap_done();
}
