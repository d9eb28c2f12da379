/*
 * core/run/schedule.c, turns.c: graphs as one call: who feeds whom, a graph that runs
 * several times, memory of the parts, what is refused, and that a call allocates nothing.
 */
#include "graph_kit.h"
#include "mem.h"
#include "run/schedule.h"

static kit k;

static int32_t begin(const char *name) { return graph_new(&k.cx, k.m, name, NULL, &k.g); }

/* see: seen = x + x. act: y = y + seen, any number of times. judge: good = y + seen. */
static void declare(void)
{
    kit_graph(&k);
    int32_t x = kit_input(&k, "x", "f32[4]");
    kit_output(&k, "seen", kit_node(&k, "t_add", NULL, x, x, -1));
    begin("act");
    int32_t y = kit_input(&k, "y", "f32[4]"), seen = kit_input(&k, "seen", "f32[4]");
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, y, seen, -1));
    begin("judge");
    y = kit_input(&k, "y", "f32[4]"), seen = kit_input(&k, "seen", "f32[4]");
    kit_output(&k, "good", kit_node(&k, "t_add", NULL, y, seen, -1));
    begin("wide");
    seen = kit_input(&k, "seen", "f32[8]");
    kit_output(&k, "more", kit_node(&k, "t_add", NULL, seen, seen, -1));
    begin("grow");
    y = kit_input(&k, "y", "f32[4]");
    x = kit_input(&k, "x", "f32[8]");
    kit_node(&k, "t_add", NULL, y, y, -1);
    kit_output(&k, "y", kit_node(&k, "t_add", NULL, x, x, -1));
    kit_output(&k, "z", kit_node(&k, "t_add", NULL, y, y, -1));
    begin("alone");
    y = kit_input(&k, "y", "f32[4]");
    x = kit_input(&k, "v", "f32[2]");
    kit_output(&k, "w", kit_node(&k, "t_add", NULL, y, y, -1));
    kit_output(&k, "u", kit_node(&k, "t_add", NULL, x, x, -1));
    if (k.cx.code) note("%s", k.cx.why);
}

static float *in(const schedule *s, const char *name)
{
    const schedule_port *p = NULL;
    return schedule_want_input(&k.cx, s, name, &p) < 0 ? NULL : p->view.data[0];
}

static float out(const schedule *s, const char *name)
{
    const schedule_port *p = NULL;
    if (schedule_want_output(&k.cx, s, name, &p) < 0) return -1;
    return ((const float *)p->view.data[0])[3];
}

typedef struct ear {
    const schedule *of;
    int n;
    float y[8];
    int32_t line[8];
    int64_t time[8];
} ear;

static int32_t hear(void *to, ctx *cx, int32_t line, int64_t time)
{
    ear *e = to;
    (void)cx;
    e->line[e->n] = line;
    e->time[e->n] = time;
    e->y[e->n++] = line == 1 ? out(e->of, "y") : 0;
    return 0;
}

static void test_call(void)
{
    const schedule_line lines[] = {{.graph = "g"},
                                   {.graph = "act", .times = 3, .phase = "expert"},
                                   {.graph = "judge"}};
    schedule *s = NULL;
    declare();
    ok(schedule_open(&k.cx, k.m, lines, 3, &(schedule_options){0}, &s) == 0,
       "three graphs, one call");
    if (!s) return;
    ok(schedule_n_inputs(s) == 2 && in(s, "x") && in(s, "y"),
       "what no line makes is an input of the call");
    for (int i = 0; i < 4; i++)
        in(s, "x")[i] = 1, in(s, "y")[i] = 10;
    ok(schedule_run(&k.cx, s, NULL, NULL) == 0 && out(s, "y") == 16,
       "a graph that runs three times adds three times");
    ok(out(s, "good") == 18 && out(s, "seen") == 2,
       "a line reads what an earlier line made, not the call's input of that name");
    ok(schedule_run(&k.cx, s, NULL, NULL) == 0 && out(s, "y") == 16,
       "the next call starts from its inputs again");
    ear e = {.of = s};
    schedule_run(&k.cx, s, hear, &e);
    ok(e.n == 5 && e.line[1] == 1 && e.time[3] == 2 && e.y[1] == 12 && e.y[2] == 14 &&
           e.y[3] == 16,
       "who listens sees every run as it was");
    int64_t sum = 0;
    for (int i = 0; i < 3; i++)
        sum += schedule_line_at(s, i).ns;
    ok(sum == schedule_ns(s) && sum > 0, "the lines' times sum to the call's");
    ok(!strcmp(schedule_line_at(s, 0).name, "g") &&
           !strcmp(schedule_line_at(s, 1).name, "expert"),
       "a line is called as it says, or as its graph");
    int64_t made = mem_made;
    schedule_run(&k.cx, s, NULL, NULL);
    ok(mem_made == made, "a call allocates nothing");
    schedule_bytes b = schedule_size(s);
    ok(b.total == b.weights + b.arena + b.states + b.values && b.arena > 0 && b.values > 0,
       "bytes by part");
    schedule_close(s);
}

static void refuse(const schedule_line *lines, int32_t n, uint64_t budget, int32_t code,
                   const char *why, const char *title)
{
    schedule *s = NULL;
    ctx_clear(&k.cx);
    int32_t st =
        schedule_open(&k.cx, k.m, lines, n, &(schedule_options){.budget = budget}, &s);
    ok(st == code && says(&k.cx, code, why), "%s", title);
    schedule_close(st < 0 ? NULL : s);
}

static void test_refusals(void)
{
    declare();
    const schedule_line back[] = {{.graph = "act"}, {.graph = "g"}};
    refuse(back, 2, 0, EVLA_E_ARG,
           "schedule: graph act: input seen is made by graph g, which stands behind it; "
           "want it before",
           "a line cannot read what a later one makes");
    const schedule_line wide[] = {{.graph = "g"}, {.graph = "wide"}};
    refuse(wide, 2, 0, EVLA_E_SHAPE,
           "schedule: graph wide: input seen is f32[8], but graph g makes f32[4]",
           "types that do not meet");
    const schedule_line grow[] = {{.graph = "grow", .times = 2}};
    refuse(grow, 1, 0, EVLA_E_SHAPE,
           "graph grow: runs 2 times and hands y on, which is f32[8] as an output but "
           "f32[4] as an input",
           "a loop whose output does not fit its input");
    const schedule_line act[] = {{.graph = "act", .times = -1}};
    refuse(act, 1, 0, EVLA_E_RANGE, "graph act: times: want 1 to 1048576, got -1",
           "a graph cannot run less than once");
    const schedule_line unknown[] = {{.graph = "atc"}};
    schedule *s = NULL;
    ctx_clear(&k.cx);
    ok(schedule_open(&k.cx, k.m, unknown, 1, &(schedule_options){0}, &s) ==
               EVLA_E_MISSING &&
           strstr(k.cx.why, "act"),
       "an unknown graph is refused with the nearest name");
    const schedule_line one[] = {{.graph = "g"}};
    ctx_clear(&k.cx);
    ok(schedule_open(&k.cx, k.m, one, 1, &(schedule_options){.budget = 10}, &s) ==
               EVLA_E_NOMEM &&
           strstr(k.cx.why, "memory: 10 bytes are allowed, but the call needs "),
       "a missed budget names the parts");
    ctx_clear(&k.cx);
    ok(schedule_open(&k.cx, k.m, one, 0, &(schedule_options){0}, &s) == EVLA_E_LIMIT,
       "a schedule without a line");
    ctx_clear(&k.cx);
    ok(schedule_plan(&k.cx, k.m, one, 1, &(schedule_options){0}, &s) == 0 &&
           schedule_run(&k.cx, s, NULL, NULL) == EVLA_E_STATE,
       "what was only planned does not run");
    ctx_clear(&k.cx);
    const schedule_port *p;
    ok(schedule_want_input(&k.cx, s, "xx", &p) == EVLA_E_MISSING &&
           says(&k.cx, EVLA_E_MISSING,
                "schedule: has no input called \"xx\"; did you mean \"x\"?"),
       "an unknown input is refused with the nearest name");
    schedule_close(s);
}

int main(void)
{
    kit_open(&k);
    test_call();
    test_refusals();
    kit_close(&k);
    return tap_done();
}
