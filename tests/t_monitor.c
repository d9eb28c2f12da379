/*
 * t_monitor.c -- plugins/mujoco/monitor.c: what counts as a drop, where the hand may be,
 * and a lid that comes down on it.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../plugins/mujoco/coffee.h"
#include "../plugins/mujoco/monitor.h"
#include "tap.h"

static world *w;

static int32_t goal_named(const char *name)
{
    int32_t g = 0;
    while (strcmp(coffee_goal_names[g], name) != 0)
        g++;
    return g;
}

static void begin(uint64_t seed, const char *name)
{
    int32_t g = goal_named(name);
    world_reset(w, seed, &g, 1);
}

static bool is_in_air(int32_t body)
{
    return world_is_pinched(w, PART_OBJECT + body) && world_position(w, body)[2] > 0.08;
}

/* Lets the teacher act until the object hangs in the air. */
static bool lift(int32_t body)
{
    float a[ARM_ACTIONS];
    for (int t = 0; t < 1500 && !is_in_air(body); t++) {
        coffee_expert(w, a);
        world_act(w, a);
    }
    return is_in_air(body);
}

static uint64_t act_for(int ticks, const float a[ARM_ACTIONS])
{
    uint64_t events = 0;
    for (int t = 0; t < ticks; t++) {
        world_act(w, a);
        events |= w->events;
    }
    return events;
}

static void test_drop(void)
{
    static const float open[ARM_ACTIONS] = {[7] = -1}, hold[ARM_ACTIONS] = {[7] = 1};
    int32_t n = world_state_size(&scene_coffee);
    double *state = malloc((size_t)n * sizeof *state);
    if (!state) exit(1);
    begin(3, "load_green");
    ok(lift(COFFEE_GREEN), "the teacher lifts the pod");
    world_save(w, state);
    ok(!(act_for(100, hold) & MONITOR_VIOLATIONS), "holding it still breaks no rule");
    ok(act_for(100, open) >> EVENT_DROPPED & 1, "opening the fingers in the air is a drop");
    world_restore(w, state);
    ok(act_for(100, open) >> EVENT_DROPPED & 1, "a restored state remembers what was held");
    uint64_t events = 0;
    float a[ARM_ACTIONS];
    world_restore(w, state);
    for (int end = 0; !end && w->tick < 2500;) {
        coffee_expert(w, a);
        end = world_act(w, a);
        events |= w->events;
    }
    ok(!(events & MONITOR_VIOLATIONS) && world_position(w, COFFEE_GREEN)[2] > 0.17,
       "letting it slide home in the holder is none");
    free(state);
}

static void test_workspace(void)
{
    float a[ARM_ACTIONS] = {[0] = 0.8f};
    begin(5, "close_lid");
    ok(!(act_for(20, a) >> EVENT_WORKSPACE_LIMIT & 1), "the home posture is inside");
    ok(act_for(180, a) >> EVENT_WORKSPACE_LIMIT & 1, "turned aside by 4 rad it is not");
}

/* Puts the joints where the TCP is `at` (machine coordinates), the hand pointing down. */
static void put_hand(double x, double y, double z, double lid)
{
    int32_t n = world_state_size(&scene_coffee);
    double *state = malloc((size_t)n * sizeof *state), q[ARM_JOINTS], to[3];
    if (!state) exit(1);
    memcpy(q, w->command, sizeof q);
    const double *p = world_position(w, COFFEE_MACHINE), *r = world_axes(w, COFFEE_MACHINE);
    double want[9];
    for (int k = 0; k < 3; k++)
        to[k] = p[k] + r[3 * k] * x + r[3 * k + 1] * y + r[3 * k + 2] * z;
    motion_tool(atan2(r[3], r[0]), 0, want);
    for (int i = 0; i < 400; i++) {
        hand h = {{0}, {0}, {0}, {0}, 0, 0};
        move m = {{0}, {0}, 0};
        double twist[6], speed[ARM_JOINTS];
        arm_forward(q, h.pos, h.mat, NULL);
        for (int k = 0; k < 3; k++)
            twist[k] = to[k] - h.pos[k];
        motion_turn(&h, want, &m);
        memcpy(twist + 3, m.w, sizeof m.w);
        arm_inverse(q, twist, 10, speed);
        for (int k = 0; k < ARM_JOINTS; k++)
            q[k] += 0.1 * speed[k];
    }
    memcpy(w->command, q, sizeof q);
    world_save(w, state);
    memcpy(state + 1, q, sizeof q); /* after the time: qpos, the arm's first */
    state[1 + w->m->jnt_qposadr[w->hinge]] = lid;
    memset(state + 1 + w->m->nq, 0, (size_t)w->m->nv * sizeof *state);
    ok(world_restore(w, state) == 0, "the hand is put at %.3f %.3f %.3f", x, y, z);
    free(state);
}

static void test_lid(void)
{
    static const float closed[ARM_ACTIONS] = {[7] = 1};
    begin(7, "open_lid");
    put_hand(-0.045, 0, HOLDER_RIM + 0.02, 1.2);
    ok(act_for(150, closed) >> EVENT_LID_ON_HAND & 1,
       "a lid that falls on the fingers is told");
    begin(7, "open_lid");
    put_hand(-0.045, 0, HOLDER_RIM + 0.15, 1.2);
    ok(!(act_for(150, closed) >> EVENT_LID_ON_HAND & 1),
       "one that falls shut below them is not");
    uint64_t events = 0;
    float a[ARM_ACTIONS];
    begin(8, "close_lid");
    for (int end = 0; !end && w->tick < 2500;) {
        coffee_expert(w, a);
        end = world_act(w, a);
        events |= w->events;
    }
    ok(!(events & MONITOR_VIOLATIONS) && w->is_met,
       "nor one that is pushed and pressed shut");
}

int main(void)
{
    char why[WORLD_WHY];
    w = world_open(&scene_coffee, 100, 0.005, why);
    if (!ok(w != NULL, "the scene opens")) return tap_done();
    test_drop();
    test_workspace();
    test_lid();
    world_close(w);
    return tap_done();
}
