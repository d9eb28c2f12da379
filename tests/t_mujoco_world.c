/*
 * t_mujoco_world.c -- plugins/mujoco below the ABI: the simulation, its state and its
 * teachers.
 */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "../plugins/mujoco/coffee.h"
#include "../plugins/mujoco/world.h"
#include "tap.h"

enum { MOST = 512, EPISODES = 36 };

static world *open_or_die(const scene *s)
{
    char why[WORLD_WHY];
    world *w = world_open(s, 100, 0.005, why);
    if (!w) {
        printf("Bail out! %s: %s\n", s->name, why);
        exit(1);
    }
    return w;
}

static int32_t tick(world *w)
{
    float action[ARM_ACTIONS];
    w->scene->expert(w, action);
    return world_act(w, action);
}

static bool same_state(const world *a, const world *b)
{
    double x[MOST], y[MOST];
    world_save(a, x);
    world_save(b, y);
    return memcmp(x, y, (size_t)world_state_size(a->scene) * sizeof *x) == 0;
}

/* ---- a state is the whole truth ---- */

/* Restores every moment of an episode in a world that has lived through something else,
 * goes on for half a second, and compares bits. */
static void test_restore(const scene *s, uint64_t seed)
{
    world *a = open_or_die(s), *b = open_or_die(s), *c = open_or_die(s);
    double state[MOST];
    int32_t n_wrong = 0, n_contact = 0, n = 0, end = 0;
    world_reset(c, seed + 77, NULL, 0);
    world_reset(a, seed, NULL, 0);
    for (int32_t i = 0; i < 30; i++)
        tick(c);
    for (int32_t t = 0; !end && t < 2500; t++) {
        if (t % 23 == 0) {
            world_save(a, state);
            n++;
            n_wrong += world_restore(c, state) != 0 || !same_state(a, c);
            n_wrong += world_restore(b, state) != 0;
            for (int32_t k = 0; k < 50; k++) {
                tick(b);
                tick(c);
                n_contact += b->touch.by_finger[0][PART_OBJECT] > 0;
                n_wrong +=
                    b->events != c->events || memcmp(&b->touch, &c->touch, sizeof b->touch);
            }
            n_wrong += !same_state(b, c);
        }
        end = tick(a);
        if (t % 23 == 22) { /* b and c went 50 ticks on from the last save, a only 23 */
            n_wrong += world_restore(b, state) != 0;
            for (int32_t k = 0; k < 23; k++)
                tick(b);
            n_wrong += !same_state(a, b);
        }
    }
    ok(end == 1 && n_wrong == 0,
       "%s: %d moments restored into worlds with another past go on bit by bit the same",
       s->name, n);
    if (n_contact) note("%d of these ticks were in the middle of a grasp", n_contact);
    world_save(b, state);
    state[3] = NAN;
    ok(world_restore(b, state) < 0, "%s: a state with a NaN is refused", s->name);
    world_save(b, state);
    state[world_state_size(s) - 2] = 1e6;
    ok(world_restore(b, state) < 0, "%s: a state with an unknown goal is refused", s->name);
    world_close(a);
    world_close(b);
    world_close(c);
}

/* ---- a seed is an episode ---- */

typedef struct job {
    const scene *scene;
    uint64_t seed;
    double state[MOST];
} job;

static void *live(void *arg)
{
    job *j = arg;
    world *w = open_or_die(j->scene);
    world_reset(w, j->seed + 1, NULL, 0);
    for (int32_t t = 0; t < 20; t++)
        tick(w);
    world_reset(w, j->seed, NULL, 0);
    for (int32_t t = 0; t < 300; t++)
        tick(w);
    world_save(w, j->state);
    world_close(w);
    return NULL;
}

static void test_seeds(void)
{
    static job j[3];
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        j[i] = (job){.scene = &scene_coffee, .seed = i == 2 ? 6 : 5};
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, live, &j[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    ok(!memcmp(j[0].state, j[1].state, sizeof j[0].state),
       "two threads make the same episode of one seed");
    ok(memcmp(j[0].state, j[2].state, sizeof j[0].state) != 0,
       "another seed is another episode");
}

/* ---- the teacher meets the judge ---- */

static void test_expert(const scene *s)
{
    world *w = open_or_die(s);
    int32_t n_good = 0, n_event = 0, seen[32] = {0};
    double seconds = 0;
    for (int32_t i = 0; i < EPISODES; i++) {
        int32_t goal = i % s->n_goals, end = 0;
        uint64_t events = 0;
        world_reset(w, 500 + (uint64_t)i, &goal, 1);
        while (!end && (double)w->tick * w->period < s->seconds) {
            end = tick(w);
            events |= w->events;
        }
        if (end != 1 || events)
            note("seed %d, %s: end %d, events %llx", 500 + i, s->goals[goal], end,
                 (unsigned long long)events);
        n_good += end == 1;
        seen[goal] += end == 1;
        n_event += events != 0;
        seconds += (double)w->tick * w->period;
    }
    ok(n_good >= EPISODES - 1, "%s: the teacher meets the goal in %d of %d episodes",
       s->name, n_good, EPISODES);
    ok(n_event <= 1, "%s: %d of %d episodes show an event that a filter would reject",
       s->name, n_event, EPISODES);
    int32_t n_goals = 0;
    for (int32_t g = 0; g < s->n_goals; g++)
        n_goals += seen[g] > 0;
    ok(n_goals == s->n_goals, "%s: every one of %d goals was met", s->name, s->n_goals);
    note("%.1f s per episode", seconds / EPISODES);
    world_close(w);
}

static void test_other_goal(void)
{
    /* The red mug under the spout is a success for serve_red alone. */
    world *w = open_or_die(&scene_coffee);
    double state[MOST];
    int32_t goal = 6, met[COFFEE_GOALS] = {0};
    world_reset(w, 3, &goal, 1);
    while (tick(w) == 0 && w->tick < 2500) {
    }
    world_save(w, state);
    for (int32_t g = 0; g < COFFEE_GOALS; g++) {
        state[world_state_size(&scene_coffee) - 2] = g;
        world_restore(w, state);
        const float still[ARM_ACTIONS] = {0, 0, 0, 0, 0, 0, 0, -1};
        world_act(w, still);
        met[g] = w->is_met;
    }
    ok(met[6] && !met[0] && !met[1] && !met[7] && !met[4] && !met[10] && !met[11],
       "a served red mug counts for that instruction and not for the others");
    world_close(w);
}

static void test_idle(const scene *s)
{
    world *w = open_or_die(s);
    const float still[ARM_ACTIONS] = {0, 0, 0, 0, 0, 0, 0, -1};
    int32_t n_met = 0, n_event = 0;
    for (int32_t g = 0; g < s->n_goals; g++) {
        world_reset(w, 40 + (uint64_t)g, &g, 1);
        for (int32_t t = 0; t < 150; t++)
            n_met += world_act(w, still) != 0 || w->is_met;
        n_event += w->events != 0;
    }
    ok(n_met == 0 && n_event == 0, "%s: doing nothing meets no goal and breaks no rule",
       s->name);
    world_close(w);
}

static void test_abuse(void)
{
    world *w = open_or_die(&scene_coffee);
    float action[ARM_ACTIONS];
    uint64_t events = 0;
    int32_t n_bad = 0;
    rng r = {9, 0};
    for (int32_t e = 0; e < 3; e++) {
        world_reset(w, (uint64_t)e, NULL, 0);
        for (int32_t i = 0; i < ARM_ACTIONS; i++)
            action[i] = 0;
        for (int32_t t = 0; t < 600; t++) {
            if (t % 40 == 0)
                for (int32_t i = 0; i < ARM_ACTIONS; i++)
                    action[i] = t % 200 == 80 ? NAN : (float)rng_uniform(&r, -1e3, 1e3);
            n_bad += world_act(w, action) < 0;
            events |= w->events;
            for (int32_t i = 0; i < w->m->nq; i++)
                n_bad += !isfinite(w->d->qpos[i]);
        }
    }
    ok(n_bad == 0, "wild actions, even NaN, leave a finite world");
    ok(events >> EVENT_FORBIDDEN_CONTACT & 1 && events >> EVENT_EXCESSIVE_FORCE & 1 &&
           events >> EVENT_VELOCITY_LIMIT & 1,
       "a robot that thrashes about is reported");
    note("events seen: %llx", (unsigned long long)events);
    world_close(w);
}

/* ---- words ---- */

static void test_words(const scene *s)
{
    int32_t n_twice = 0, n_bad = 0;
    for (int32_t g = 0; g < s->n_goals; g++)
        for (int32_t p = 0; p < s->n_phrasings; p++) {
            char a[200], b[200];
            s->instruct(g, p, a, sizeof a);
            n_bad += strlen(a) < 5 || strlen(a) > 150;
            for (int32_t q = 0; q < g * s->n_phrasings + p; q++) {
                s->instruct(q / s->n_phrasings, q % s->n_phrasings, b, sizeof b);
                n_twice += !strcmp(a, b);
            }
        }
    ok(s->n_phrasings >= 5 && !n_twice && !n_bad,
       "%s: %d goals x %d phrasings, no sentence means two things", s->name, s->n_goals,
       s->n_phrasings);
    char tiny[8];
    s->instruct(0, 0, tiny, sizeof tiny);
    ok(strlen(tiny) == 7, "%s: an instruction is cut to its buffer", s->name);
}

static void test_refusals(void)
{
    char why[WORLD_WHY];
    ok(!world_open(&scene_coffee, 100, 0.004, why) && strstr(why, "does not divide"),
       "a step that does not divide the period is refused: %s", why);
    scene odd = scene_coffee;
    odd.nq++;
    ok(!world_open(&odd, 100, 0.005, why) && strstr(why, "nq"),
       "a scene with a wrong table: %s", why);
    rng r = {1, 0};
    double sum = 0;
    for (int32_t i = 0; i < 10000; i++)
        sum += rng_uniform(&r, 0, 1);
    ok(fabs(sum / 10000 - 0.5) < 0.01, "the generator is uniform: mean %.4f", sum / 10000);
}

int main(void)
{
    test_refusals();
    test_words(&scene_coffee);
    test_words(&scene_reach);
    test_idle(&scene_coffee);
    test_idle(&scene_reach);
    test_seeds();
    test_restore(&scene_coffee, 0); /* a brew: grasps, insertion, lid */
    test_restore(&scene_reach, 4);
    test_expert(&scene_coffee);
    test_expert(&scene_reach);
    test_other_goal();
    test_abuse();
    return tap_done();
}
