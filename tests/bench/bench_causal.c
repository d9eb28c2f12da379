/*
 * bench_causal.c -- what a tick of the guard costs with 32 objects around the hand: observe
 * and judge, 20,000 ticks, p50 and p99 in microseconds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../plugins/causal/rules.h"
#include "evla/abi.h"

enum { OBJECTS = 32, ROWS = OBJECTS + 4, TICKS = 20000 };

static int32_t fail(const evla_host *h, int32_t code, const char *why)
{
    (void)h;
    fprintf(stderr, "%s\n", why);
    exit(code ? 1 : 0);
}

static void *hold(const evla_host *h, uint64_t bytes)
{
    (void)h;
    return calloc(1, bytes);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

int main(void)
{
    static char text[65536], names[4096] = "mug_red mug_blue pod_green pod_orange block";
    static double took[TICKS];
    char path[] = "/tmp/evla-bench-causal-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) return perror(path), 1;
    /* the coffee rules with more cups, declared where objects stand */
    for (int i = 0; rules_coffee[i]; i++) {
        fprintf(f, "%s\n", rules_coffee[i]);
        if (strncmp(rules_coffee[i], "shape block", 11) != 0) continue;
        for (int k = 5; k < OBJECTS; k++) {
            fprintf(f, "node cup%d object stands 0 grip 0.0335 0.04 tall 0.04\n", k);
            fprintf(f, "shape cup%d cylinder 0 0 0  0 0 0.04  0.02\n", k);
            snprintf(names + strlen(names), sizeof names - strlen(names), " cup%d", k);
        }
    }
    fclose(f);
    strcat(names, " jar machine lid marker");
    snprintf(text, sizeof text, "f32[%d,7]", ROWS);
    const evla_channel channels[] = {{"obs/joint_pos", "f32[7]", "", "", 0},
                                     {"obs/joint_command", "f32[7]", "", "", 0},
                                     {"obs/gripper_pos", "f32[2]", "", "", 0},
                                     {"obs/gripper_force", "f32[1]", "", "", 0},
                                     {"obs/sensed_pose", text, "", "", 0},
                                     {"obs/sensed_age", "f32[1]", "", "", 0}};
    const evla_attr attr = {.name = "object_names", .type = EVLA_ATTR_TEXT, .text = names};
    const evla_body_info body = {.size = sizeof body,
                                 .n_channels = 6,
                                 .n_action = 8,
                                 .rate_hz = 100,
                                 .channels = channels,
                                 .attrs = &attr,
                                 .n_attrs = 1};
    const evla_host h = {.size = sizeof h, .fail = fail, .hold = hold, .scratch = hold};
    const struct {
        const char *rules, *file;
        int64_t slow_late_ns;
    } params = {"crowd", path, 0};
    const evla_scene *guard = evla_plugin_entry()->items[0].table;
    void *self = NULL;
    uint64_t state = 11;
    float q[7] = {0, 0.1f, 0, -2.3f, 0, 2.4f, 0.785f}, fingers[2] = {0.02f, 0.02f},
          force = -5;
    float pose[ROWS * 7] = {0}, age = 0.03f, out[8];
    guard->open(&h, &params, &body, &self);
    guard->reset(&h, self, "put the red mug under the spout");
    for (int i = 0; i < ROWS; i++) {
        float *p = pose + 7 * i;
        p[0] = (float)(0.36 + 0.06 * (i % 6));
        p[1] = (float)(-0.18 + 0.06 * (i / 6));
        p[3] = 1;
    }
    pose[7 * (OBJECTS + 1)] = pose[7 * (OBJECTS + 2)] = 0.75f; /* the machine, its lid */
    for (int t = 0; t < TICKS; t++) {
        float a[8];
        for (int k = 0; k < 8; k++)
            a[k] = (float)(0.6 * sin(0.01 * t * (k + 1)) + 0.2 * (unit(&state) - 0.5));
        a[1] += 0.05f; /* down, into the crowd */
        for (int i = 0; i < ROWS * 7; i += 7)
            pose[i] += (float)(1e-5 * (unit(&state) - 0.5));
        age = t % 3 ? age + 0.01f : 0.03f;
        const void *samples[] = {q, q, fingers, &force, pose, &age};
        const evla_proposal p = {.size = sizeof p, .n_action = 8, .action = a};
        evla_verdict v;
        double from = now();
        guard->observe(&h, self, samples, 0.01 * t);
        guard->judge(&h, self, &p, out, &v);
        took[t] = now() - from;
        for (int k = 0; k < 7; k++)
            q[k] += out[k] * 0.025f;
    }
    qsort(took, TICKS, sizeof *took, by_size);
    remove(path);
    printf("%.1f %.1f\n", 1e6 * took[TICKS / 2], 1e6 * took[TICKS * 99 / 100]);
    return 0;
}
