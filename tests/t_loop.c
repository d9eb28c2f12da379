/*
 * core/run: policy, pilot and loop on a virtual clock: which observation moves the body,
 * what the guard is shown, what is refused before anything runs, what it all holds.
 */
#include "loop_kit.h"
#include "mem.h"
#include "run/watch.h"

static kit k;
static arena hold;
static evla_body_info info;

static loop *open_loop(loop_spec s, policy **p, const policy_line *lines, int32_t n)
{
    loop *l = NULL;
    ctx_clear(&k.cx);
    if (policy_new(&k.cx, k.m, &info, lines, n, p) < 0) note("%s", k.cx.why);
    s.policy = *p;
    if (*p && loop_open(&k.cx, &s, &l) < 0) note("%s", k.cx.why);
    if (l && loop_reset(&k.cx, l, 77, NULL, 0) < 0) note("%s", k.cx.why);
    return l;
}

static void close_loop(loop *l, policy *p)
{
    loop_close(&k.cx, l);
    policy_free(p);
}

/* ---- latency ---- */

/* The newest tick at which a graph of this rate ran and whose result has arrived by now:
 * told from the definition, tick by tick. */
static int64_t newest(double rate, double latency, int64_t now)
{
    int64_t best = 0;
    for (int64_t frame = 0, t;
         (t = (int64_t)ceil((double)frame * 100 / rate - 1e-9)) <= now; frame++)
        if (t == 0 || (double)t / 100 + latency <= (double)now / 100 + 1e-12) best = t;
    return best;
}

static void test_latency(void)
{
    static const struct {
        double rate;
        int64_t latency_ms;
    } cases[] = {{30, 10},  {30, 0},   {30, 33}, {30, 100},
                 {100, 10}, {100, 25}, {7, 200}, {100, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        policy *p = NULL;
        loop_spec s = kit_spec(&k, &info, &hold);
        s.guard.item = &kit_scene_item;
        const policy_line lines[] = {{.graph = "slow",
                                      .rate_hz = cases[c].rate,
                                      .latency_ns = cases[c].latency_ms * 1000000},
                                     {.graph = "fast", .rate_hz = 100}};
        loop *l = open_loop(s, &p, lines, 2);
        int64_t wrong = -1;
        double worst = 0;
        while (l && !loop_is_over(l))
            if (loop_tick(l) < 0) break;
        for (int64_t t = 0; t < KIT_TICKS && wrong < 0; t++) {
            int64_t want = newest(cases[c].rate, (double)cases[c].latency_ms / 1000, t);
            if (deeds.acted[t] != (float)want / 1024) wrong = t;
            worst = fmax(worst, fabs(deeds.slow_age[t] - (double)(t - want) / 100));
        }
        ok(wrong < 0,
           "%g Hz, %lld ms: the body is moved by the newest result that has arrived",
           cases[c].rate, (long long)cases[c].latency_ms);
        if (wrong >= 0)
            note("tick %lld: moved by what was seen at %g", (long long)wrong,
                 (double)deeds.acted[wrong] * 1024);
        ok(worst < 1e-9, "and the guard is told how old it is (%.2g s off)", worst);
        close_loop(l, p);
    }
}

/* ---- the guard ---- */

static void test_guard(void)
{
    policy *p = NULL;
    watch w;
    loop_spec s = kit_spec(&k, &info, &hold);
    const policy_line now = {.graph = "g", .rate_hz = 100};
    s.guard.item = &kit_scene_item;
    s.late = 0.2;
    deeds.veto_at = 50;
    deeds.n_observed = 0;
    loop *l = open_loop(s, &p, &now, 1);
    watch_reset(&w, 1);
    int late = 0, wrong = 0, slow = 0;
    float last = 0;
    while (l && !loop_is_over(l)) {
        int64_t t = l->tick;
        if (loop_tick(l) < 0) break;
        watch_tick(&w, l);
        late += l->is_late;
        wrong += (deeds.came[t] & 2) != (l->is_late ? 0 : 2);
        slow += deeds.came[t] & 1;
        if (l->is_late) wrong += deeds.proposed[t] != last;
        wrong += !l->is_late && deeds.proposed[t] != (float)t / 1024;
        last = deeds.proposed[t];
    }
    ok(late > 40 && late < 130, "a fifth of the observations does not come (%d of 400)",
       late);
    ok(wrong == 0, "then the guard gets none, and the policy works with the last one (%d)",
       wrong);
    ok(slow > 80 && slow < 120, "a channel at 30 Hz comes at 30 Hz (%d in 4 s)", slow);
    ok(deeds.acted[49] == deeds.proposed[49] && deeds.acted[50] == 0.25f &&
           deeds.acted[52] == 0.25f && deeds.acted[53] == deeds.proposed[53],
       "the body is told what the guard says");
    ok(w.n_vetoed == 3 && w.n_replaced == 0 && w.n_spans == 1 && w.spans[0].tick == 50 &&
           w.spans[0].n_ticks == 3 && w.ticks_of_rule[1] == 3,
       "ticks with one reason are one span");
    ok(w.events == 1 && w.first_violation == 7, "the first violation is remembered");
    ok(!strcmp(deeds.told, "wind it up"), "the guard hears the sentence");
    ok(deeds.n_observed == 0, "a channel that nobody reads is never asked for");
    deeds.veto_at = -1;
    ok(loop_reset(&k.cx, l, 77, "another one", 0) == 0 &&
           !strcmp(deeds.told, "another one") && !strcmp(l->goal.instruction, "wind it up"),
       "told another sentence, the goal stays its own");
    close_loop(l, p);
}

static void test_not_finite(void)
{
    policy *p = NULL;
    loop_spec s = kit_spec(&k, &info, &hold);
    kit_graph(&k);
    int32_t big = -1;
    evla_type one = {.dtype = EVLA_F32, .rank = 2, .shape = {1, 1}};
    float nan_value = NAN;
    graph_const(&k.cx, k.g, &one, &nan_value, "m.lua:2", &big);
    kit_output(&k, "action",
               kit_node(&k, "t_add", NULL, kit_input(&k, "obs/tick", "f32[B,1]"), big, -1));
    loop *l = open_loop(s, &p, NULL, 0);
    ok(l && loop_tick(l) == 0 && deeds.acted[0] == 0 && l->n_not_finite == 1,
       "unguarded, an action that is no number moves nothing and is counted");
    loop_close(&k.cx, l);
    s.guard.item = &kit_scene_item;
    s.policy = p;
    ok(loop_open(&k.cx, &s, &l) == 0 && loop_reset(&k.cx, l, 1, NULL, 0) == 0 &&
           loop_tick(l) == 0 && isnan(deeds.proposed[0]) && deeds.acted[0] == 0.125f,
       "guarded, the guard sees it and answers");
    close_loop(l, p);
    kit_two_rates(&k);
}

/* ---- teachers ---- */

static void test_teacher(void)
{
    policy *p = NULL;
    loop_spec s = kit_spec(&k, &info, &hold);
    const policy_line now = {.graph = "g", .rate_hz = 100};
    s.mix = 0.5;
    s.label = 1;
    int teacher = 0, wrong = 0, changes = 0, before = -1, same = 0;
    loop *l = open_loop(s, &p, &now, 1);
    float first[KIT_TICKS];
    for (int round = 0; l && round < 2; round++) {
        loop_reset(&k.cx, l, 5, NULL, 0);
        teacher = changes = 0;
        while (!loop_is_over(l)) {
            int64_t t = l->tick;
            if (loop_tick(l) < 0) break;
            teacher += l->teacher_drives;
            wrong += deeds.acted[t] != (l->teacher_drives ? -0.5f : (float)t / 1024);
            wrong += l->label[0] != -0.5f;
            if (before >= 0 && before != l->teacher_drives && t % 10) wrong++;
            changes += before != l->teacher_drives;
            before = l->teacher_drives;
            if (!round)
                first[t] = deeds.acted[t];
            else
                same += first[t] == deeds.acted[t];
        }
    }
    ok(wrong == 0, "the teacher drives whole segments, and labels every tick");
    ok(teacher > 100 && teacher < 300 && changes > 8,
       "about half of them (%d of 400 ticks)", teacher);
    ok(same == KIT_TICKS, "the same seed gives the same episode");
    close_loop(l, p);
    s = kit_spec(&k, &info, &hold);
    s.driver = LOOP_EXPERT;
    s.noise = 0.1;
    ok(loop_open(&k.cx, &s, &l) == 0 && loop_reset(&k.cx, l, 5, NULL, 0) == 0,
       "a teacher drives");
    double sum = 0, squares = 0;
    while (!loop_is_over(l) && loop_tick(l) >= 0) {
        double d = (double)l->action[0] + 0.5;
        sum += d;
        squares += d * d;
    }
    ok(fabs(sum / KIT_TICKS) < 0.02 && fabs(sqrt(squares / KIT_TICKS) - 0.1) < 0.015,
       "noise has the deviation asked for (%.3f)", sqrt(squares / KIT_TICKS));
    loop_close(&k.cx, l);
}

/* ---- a graph that runs several times ---- */

/* again: action = action + tick; what it begins with is noise. */
static void fly_again(int64_t times, float acted[KIT_TICKS])
{
    policy *p = NULL;
    loop_spec s = kit_spec(&k, &info, &hold);
    const policy_line again = {.graph = "again", .rate_hz = 100, .times = times};
    loop *l = open_loop(s, &p, &again, 1);
    while (l && !loop_is_over(l))
        if (loop_tick(l) < 0) break;
    memcpy(acted, deeds.acted, sizeof deeds.acted);
    close_loop(l, p);
}

static void test_again(void)
{
    static float two[KIT_TICKS], six[KIT_TICKS], same[KIT_TICKS];
    double off = 0;
    int inside = 0;
    kit_graph(&k);
    graph_new(&k.cx, k.m, "again", "m.lua:1", &k.g);
    int32_t x = kit_input(&k, "action", "f32[1,1]"),
            t = kit_input(&k, "obs/tick", "f32[1,1]");
    kit_output(&k, "action", kit_node(&k, "t_add", NULL, x, t, -1));
    fly_again(2, two);
    fly_again(6, six);
    fly_again(6, same);
    for (int i = 0; i < KIT_TICKS; i++) { /* actions end at -1 and 1 */
        if (fabsf(two[i]) < 1 && fabsf(six[i]) < 1)
            off = fmax(off, fabs((double)six[i] - two[i] - 4 * i / 1024.));
        inside += i < 100 && fabsf(two[i]) < 1;
    }
    ok(off < 1e-6,
       "a graph that runs six times adds four times more than one that runs two "
       "(%.2g off)",
       off);
    ok(!memcmp(six, same, sizeof six), "the same seed, the same actions");
    ok(inside > 53 && inside < 83 && memcmp(two, two + 1, 99 * sizeof *two) != 0,
       "what it begins with is standard normal noise, drawn anew: %d of 100 within one "
       "deviation",
       inside);
    kit_two_rates(&k);
}

/* ---- refusals ---- */

static int32_t try(const policy_line *lines, int32_t n)
{
    policy *p = NULL;
    ctx_clear(&k.cx);
    int32_t st = policy_new(&k.cx, k.m, &info, lines, n, &p);
    policy_free(p);
    return st;
}

static void add_graph(const char *name, const char *input, const char *type,
                      const char *output)
{
    graph_new(&k.cx, k.m, name, "m.lua:1", &k.g);
    kit_output(&k, output,
               kit_node(&k, "t_relu", NULL, kit_input(&k, input, type), -1, -1));
}

static void test_refusals(void)
{
    const policy_line slow = {.graph = "slow", .rate_hz = 30, .latency_ns = 10000000},
                      fast = {.graph = "fast", .rate_hz = 100};
    kit_spec(&k, &info, &hold);
    kit_two_rates(&k);
    try((policy_line[]){fast, slow}, 2);
    ok(says(&k.cx, EVLA_E_ARG,
            "graph fast: input seen is made by graph slow, which does not stand "
            "before it in the schedule"),
       "a graph before what it needs");
    try(&fast, 1);
    ok(says(&k.cx, EVLA_E_MISSING,
            "graph fast: input seen is made by graph slow, which is not in the "
            "schedule; want it there, before fast"),
       "a graph that is left out");
    graph *maker;
    model_want_graph(&k.cx, k.m, "slow", &maker);
    const char *name = maker->outputs[0].name;
    maker->outputs[0].name = "sight";
    try(&fast, 1);
    ok(says(&k.cx, EVLA_E_MISSING,
            "graph fast: nothing feeds input seen: it is no channel of the body, "
            "no output of an earlier graph, and not \"instruction\""),
       "an input without a source");
    maker->outputs[0].name = name;
    try(&slow, 1);
    ok(says(&k.cx, EVLA_E_MISSING,
            "schedule: no graph of it has an output called \"action\""),
       "no action");
    try((policy_line[]){slow, {.graph = "fast", .rate_hz = 100, .latency_ns = 1}}, 2);
    ok(says(&k.cx, EVLA_E_RANGE,
            "schedule: graph fast makes the action on the tick itself; its latency "
            "must be 0, got 1e-09 s"),
       "a late action");
    try((policy_line[]){{.graph = "slow", .rate_hz = 101}, fast}, 2);
    ok(says(&k.cx, EVLA_E_RANGE,
            "schedule: graph slow at 101 Hz; the body's control rate is 100 Hz, and "
            "nothing runs faster"),
       "faster than the body");
    try((policy_line[]){slow, slow, fast}, 3);
    ok(says(&k.cx, EVLA_E_EXISTS, "schedule: graph slow stands there twice"),
       "a graph twice");
    try((policy_line[]){{.graph = "slwo", .rate_hz = 30}}, 1);
    ok(k.cx.code == EVLA_E_MISSING && strstr(k.cx.why, "did you mean \"slow\"?"), "%s",
       k.cx.why);
    try(NULL, 0);
    ok(says(&k.cx, EVLA_E_ARG,
            "schedule: is missing; model m has 3 graphs, so say which run and how "
            "often: schedule = { { graph = \"g\", rate = 100 } }"),
       "no schedule");
    try((policy_line[]){{.graph = "slow", .rate_hz = 30, .latency_ns = 10000000000}, fast},
        2);
    ok(says(&k.cx, EVLA_E_RANGE,
            "schedule: graph slow: a latency of 10 s at 30 Hz; want at most 64 "
            "results under way"),
       "a latency that fills any mailbox");
    try((policy_line[]){slow, fast, {.graph = "g", .rate_hz = 100}}, 3);
    ok(says(&k.cx, EVLA_E_ARG, "schedule: graphs fast and g both make \"action\""),
       "two actions");

    add_graph("wide", "obs/tick", "f32[B,2]", "action");
    try((policy_line[]){{.graph = "wide"}}, 1);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph wide: input obs/tick is f32[1,2], but the body's channel is f32[1]"),
       "a channel of another shape");
    add_graph("odd", "obs/bytes", "f32[B,4]", "action");
    try((policy_line[]){{.graph = "odd"}}, 1);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph odd: input obs/bytes is f32[1,4], but the body's channel is u8[4]"),
       "a channel of another number format");
    add_graph("open", "obs/tick", "f32[B,T]", "action");
    try((policy_line[]){{.graph = "open"}}, 1);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph open: a rollout binds the batch B = 1, but nothing tells the "
            "extent of T"),
       "a symbol nobody binds");
    add_graph("two", "seen", "f32[B,2]", "action");
    try((policy_line[]){slow, {.graph = "two"}}, 2);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph two: input seen is f32[1,2], but what graph slow makes is f32[1,1]"),
       "another graph's output of another shape");
    add_graph("word", "instruction", "f32[B,96]", "action");
    try((policy_line[]){{.graph = "word"}}, 1);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph word: input instruction is f32[1,96], but a sentence, for instance, "
            "is u8[1,96]"),
       "a sentence is bytes");
    graph_new(&k.cx, k.m, "broad", "m.lua:1", &k.g);
    kit_output(&k, "action",
               kit_node(&k, "t_two", NULL, kit_input(&k, "obs/tick", "f32[B,1]"), -1, -1));
    graph_new(&k.cx, k.m, "many", "m.lua:1", &k.g);
    int32_t x = kit_input(&k, "obs/tick", "f32[B,1]");
    kit_output(&k, "action",
               kit_node(&k, "t_dot", "{\"out\":3}", x, kit_weight(&k, "many.w", NULL), -1));
    try((policy_line[]){{.graph = "many"}}, 1);
    ok(says(&k.cx, EVLA_E_SHAPE,
            "graph many: input \"action\" of the body is f32[1], but the graph's "
            "output is f32[1,3]"),
       "an action that does not fit the body");
    for (int i = 0; i < 2; i++) {
        graph_new(&k.cx, k.m, i ? "writer" : "reader", "m.lua:1", &k.g);
        int32_t h = kit_state(&k, "h", "f32[1,1]");
        x = kit_input(&k, "obs/tick", "f32[B,1]");
        kit_output(&k, i ? "h2" : "action",
                   i ? kit_node(&k, "t_store", NULL, h, x, -1)
                     : kit_node(&k, "t_add", NULL, x, h, -1));
    }
    try((policy_line[]){{.graph = "writer", .rate_hz = 30},
                        {.graph = "reader", .rate_hz = 100}},
        2);
    ok(says(&k.cx, EVLA_E_STATE,
            "schedule: graphs writer and reader share the state h; hand it from one "
            "to the other as an output"),
       "a state that two graphs share");
    kit_two_rates(&k);
}

/* ---- memory ---- */

static void test_memory(void)
{
    policy *p = NULL;
    loop_spec s = kit_spec(&k, &info, &hold);
    s.guard.item = &kit_scene_item;
    kit_graph(&k);
    int32_t x = kit_input(&k, "obs/tick", "f32[B,1]");
    x = kit_node(&k, "t_dot", "{\"out\":1024}", x, kit_weight(&k, "a", NULL), -1);
    x = kit_node(&k, "t_dot", "{\"out\":1024}", x, kit_weight(&k, "b", NULL), -1);
    kit_output(&k, "action",
               kit_node(&k, "t_dot", "{\"out\":1}", x, kit_weight(&k, "c", NULL), -1));
    ctx_clear(&k.cx);
    uint64_t rest = 0;
    ok(policy_new(&k.cx, k.m, &info, NULL, 0, &p) == 0, "a policy of 4 MiB (%s)", k.cx.why);
    s.policy = p;
    ok(loop_needs(&k.cx, &s, &rest) == 0 && rest > 4096,
       "guard and samples are weighed (%llu)", (unsigned long long)rest);
    policy_memory m = policy_needs(p);
    ok(m.weights == (1024 + 1024 * 1024 + 1024) * 4 && m.total > m.weights,
       "and so are weights");
    ok(policy_promise(&k.cx, p, rest, m.total + rest) == 0,
       "a promise of just that is kept");
    ok(policy_promise(&k.cx, p, rest, m.total + rest - 1) == EVLA_E_NOMEM,
       "of a byte less it is not");
    ok(strstr(k.cx.why, "weights 4202496, plans ") && strstr(k.cx.why, "mailboxes ") &&
           strstr(k.cx.why, "samples and guard "),
       "and the parts are named: %s", k.cx.why);
    ctx_clear(&k.cx);
    model_fill(&k.cx, k.m, 1);
    loop *l[3] = {NULL};
    uint64_t held = 0;
    for (int i = 0; i < 3; i++) {
        if (loop_open(&k.cx, &s, &l[i]) < 0) note("%s", k.cx.why);
        held = l[i] ? loop_held(l[i]) : 0;
    }
    ok(held && held < m.total - m.weights - m.plans + rest + 1,
       "a loop holds no more than it said (%llu)", (unsigned long long)held);
    ok(held < (1 << 18), "and no copy of the weights");
    for (int i = 0; i < 3; i++)
        loop_close(&k.cx, l[i]);
    policy_free(p);
    kit_two_rates(&k);
}

int main(void)
{
    deeds.veto_at = -1;
    hold = arena_growing(4096);
    kit_open(&k);
    kit_two_rates(&k);
    test_latency();
    test_guard();
    test_not_finite();
    test_teacher();
    test_again();
    test_refusals();
    test_memory();
    arena_free(&hold);
    kit_close(&k);
    return tap_done();
}
