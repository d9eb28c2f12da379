/*
 * t_mujoco_sensor.c -- plugins/mujoco/sensor.c: do readings err as much, arrive as late and
 * get lost as often as declared, and are they a function of the saved state?
 */
#include <math.h>
#include <stdbool.h>

#include "../plugins/mujoco/sensor.h"
#include "stage_host.h"
#include "tap.h"

enum { EPISODES = 120, TICKS = 120, ROWS = 9, MOST_STATE = 2048 };

#define DEGREE 0.017453292519943295

static stage_host host;
static const evla_host *h;

static const sensor_params preset = {.rate = 30,
                                     .sigma = 0.002,
                                     .sigma_angle = DEGREE,
                                     .bias = 0.001,
                                     .bias_angle = DEGREE / 2,
                                     .dropout = 0.01,
                                     .latency_ns = 33000000};

static world *open_or_die(void)
{
    char why[WORLD_WHY];
    world *w = world_open(&scene_coffee, 100, 0.005, why);
    if (w) return w;
    printf("Bail out! %s\n", why);
    exit(1);
}

static sensor sensor_or_die(const sensor_params *p)
{
    sensor s;
    if (sensor_open(h, &scene_coffee, p, 100, &s) == 0) return s;
    printf("Bail out! %s\n", host.why);
    exit(1);
}

static void truth(const world *w, double out[ROWS][7])
{
    int32_t row = 0;
    for (int32_t i = 0; i < w->scene->n_bodies; i++) {
        if (!w->scene->bodies[i].is_described) continue;
        memcpy(out[row], w->d->xpos + 3 * w->body[i], 3 * sizeof(double));
        memcpy(out[row++] + 3, w->d->xquat + 4 * w->body[i], 4 * sizeof(double));
    }
}

static void act(world *w, sensor *s)
{
    float action[ARM_ACTIONS];
    w->scene->expert(w, action);
    world_act(w, action);
    sensor_tick(s, w);
}

/* Error of a reading: position, and the rotation vector from the true orientation. */
static void difference(const float got[7], const double real[7], double e[6])
{
    double q[4], back[4], turn[4];
    for (int k = 0; k < 4; k++)
        q[k] = (double)got[3 + k];
    for (int k = 0; k < 3; k++)
        e[k] = (double)got[k] - real[k];
    mju_negQuat(back, real + 3);
    mju_mulQuat(turn, q, back);
    mju_quat2Vel(e + 3, turn, 1);
}

/* Sums over frames of one episode and over all, of one kind of error. */
typedef struct spread {
    double mean2, within, step;
    int64_t n_means, n_within, n_step;
} spread;

/* One coordinate of one object over an episode. What frames share is bias, what they do not
 * is noise; two frames next to each other must not have more in common than any two. */
static void add_series(spread *s, const double *e, int32_t n)
{
    double mean = 0, var = 0;
    for (int32_t i = 0; i < n; i++)
        mean += e[i] / n;
    for (int32_t i = 0; i < n; i++)
        var += (e[i] - mean) * (e[i] - mean);
    for (int32_t i = 1; i < n; i++, s->n_step++)
        s->step += (e[i] - e[i - 1]) * (e[i] - e[i - 1]);
    s->within += var;
    s->n_within += n - 1;
    s->mean2 += mean * mean - var / (n - 1) / n; /* without the noise left in the mean */
    s->n_means++;
}

static void test_statistics(void)
{
    world *w = open_or_die();
    sensor s = sensor_or_die(&preset);
    static double real[TICKS + 1][ROWS][7], series[ROWS][6][TICKS];
    spread place = {0}, angle = {0};
    int64_t n_frames = 0, n_expected = 0, n_wrong_age = 0;
    double youngest = 1, oldest = 0;
    for (int32_t episode = 0; episode < EPISODES; episode++) {
        int32_t n = 0;
        int64_t last = -1000;
        world_reset(w, (uint64_t)episode * 7919 + 3, NULL, 0);
        sensor_reset(&s, w);
        for (int32_t t = 0; t <= TICKS; t++) {
            float got[ROWS][7];
            truth(w, real[t]);
            sensor_read(&s, w, got[0]);
            double age = sensor_age(&s, w);
            int64_t taken = t - lround(age * 100);
            if (taken >= 0) { /* what counts as read before was never taken */
                youngest = fmin(youngest, age);
                oldest = fmax(oldest, age);
                n_wrong_age += taken * 3 % 10 > 2; /* ticks 0, 4, 7, 10, 14, ... */
            }
            if (taken >= 0 && taken != last) {
                for (int32_t i = 0; i < ROWS; i++) {
                    double e[6];
                    difference(got[i], real[taken][i], e);
                    for (int k = 0; k < 6; k++)
                        series[i][k][n] = e[k];
                }
                n++;
                last = taken;
            }
            if (t < TICKS) act(w, &s);
        }
        n_frames += n;
        n_expected += 35; /* taken at 0, 4, ..., 114 and there by tick 120 */
        for (int32_t i = 0; i < ROWS; i++)
            for (int k = 0; k < 6; k++)
                add_series(k < 3 ? &place : &angle, series[i][k], n);
    }
    double sigma = sqrt(place.within / (double)place.n_within);
    double turn = sqrt(angle.within / (double)angle.n_within);
    double bias = sqrt(place.mean2 / (double)place.n_means);
    double turn_bias = sqrt(angle.mean2 / (double)angle.n_means);
    double step = sqrt(place.step / (double)place.n_step / 2);
    double lost = 1 - (double)n_frames / (double)n_expected;
    ok(fabs(sigma / 0.002 - 1) < 0.02, "a position reading errs by %.3f mm (2)",
       sigma * 1e3);
    ok(fabs(turn / DEGREE - 1) < 0.02, "an orientation reading by %.3f degrees (1)",
       turn / DEGREE);
    ok(fabs(step / sigma - 1) < 0.02, "frames in succession err independently (%.3f mm)",
       step * 1e3);
    ok(fabs(bias / 0.001 - 1) < 0.06, "all of an episode's share %.3f mm (1)", bias * 1e3);
    ok(fabs(turn_bias / DEGREE * 2 - 1) < 0.06, "and %.3f degrees (0.5)",
       turn_bias / DEGREE);
    /* 4200 frames: the standard deviation of the share is 0.15 % */
    ok(fabs(lost - 0.01) < 0.006, "%.2f %% of %lld frames are lost (1)", lost * 100,
       (long long)n_expected);
    ok(fabs(youngest - 0.04) < 1e-9 && oldest > 0.079 && !n_wrong_age,
       "readings are %.0f to %.0f ms old, taken at the sensor's ticks", youngest * 1e3,
       oldest * 1e3);
    world_close(w);
}

static void test_perfect(void)
{
    static const sensor_params perfect = {.rate = 100};
    world *w = open_or_die();
    sensor s = sensor_or_die(&perfect);
    int32_t n_wrong = 0;
    world_reset(w, 5, NULL, 0);
    sensor_reset(&s, w);
    for (int32_t t = 0; t < 200; t++) {
        float got[ROWS][7];
        double real[ROWS][7];
        sensor_read(&s, w, got[0]);
        truth(w, real);
        for (int32_t i = 0; i < ROWS; i++)
            for (int k = 0; k < 7; k++) {
                double sign = k > 2 && real[i][3] < 0 ? -1 : 1;
                n_wrong += fabs((double)got[i][k] - sign * real[i][k]) > 1e-7;
            }
        n_wrong += sensor_age(&s, w) > 0;
        act(w, &s);
    }
    ok(!n_wrong, "without errors and latency the reading is the true pose");
    world_close(w);
}

/* A restored state reads on as the original does. */
static void test_state(void)
{
    world *a = open_or_die(), *b = open_or_die();
    sensor s = sensor_or_die(&preset), r = sensor_or_die(&preset);
    static double state[MOST_STATE], first[ROWS * 7];
    int32_t n_state = 0, n_wrong = 0, n_world = world_state_size(&scene_coffee);
    sensor_size(h, &scene_coffee, &preset, 100, &n_state);
    ok(n_state == s.n_slots * (1 + 7 * 6) && n_world + n_state <= MOST_STATE,
       "%d doubles remember %d frames of 6 moving things", n_state, s.n_slots);
    world_reset(b, 99, NULL, 0);
    sensor_reset(&r, b);
    world_reset(a, 7, NULL, 0);
    sensor_reset(&s, a);
    for (int32_t t = 0; t < 300; t++) {
        if (t % 11 == 0) {
            world_save(a, state);
            sensor_save(&s, state + n_world);
            n_wrong += world_restore(b, state) < 0;
            n_wrong += sensor_restore(&r, state + n_world) < 0;
        }
        float x[ROWS * 7], y[ROWS * 7];
        sensor_read(&s, a, x);
        sensor_read(&r, b, y);
        n_wrong += memcmp(x, y, sizeof x) != 0 || sensor_age(&s, a) != sensor_age(&r, b);
        if (t == 0)
            for (int k = 0; k < ROWS * 7; k++)
                first[k] = (double)x[k];
        act(a, &s);
        act(b, &r);
    }
    ok(!n_wrong, "a restored state goes on with the same readings, bit for bit");
    int32_t n_same = 0, n_again = 0;
    for (int pass = 0; pass < 2; pass++) {
        float x[ROWS * 7];
        world_reset(a, pass ? 7 : 8, NULL, 0);
        sensor_reset(&s, a);
        sensor_read(&s, a, x);
        for (int k = 0; k < ROWS * 7; k++)
            *(pass ? &n_again : &n_same) += (double)x[k] == first[k];
    }
    ok(n_again == ROWS * 7 && n_same == 0, "the seed decides: same seed, same reading");
    static const double wrong[] = {NAN, -3, 1.5, 1e11};
    int32_t n_taken = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sensor_save(&s, state);
        state[0] = wrong[i];
        n_taken += sensor_restore(&s, state) == 0;
    }
    ok(!n_taken, "frames that cannot be are refused");
    world_close(a);
    world_close(b);
}

static void test_refusals(void)
{
    int32_t n;
    sensor_params p = preset;
    p.rate = 101;
    ok(sensor_size(h, &scene_coffee, &p, 100, &n) == EVLA_E_RANGE &&
           strstr(host.why, "above the control rate"),
       "faster than control: %s", host.why);
    host_clear(&host);
    p = preset;
    p.latency_ns = 1000000000;
    ok(sensor_size(h, &scene_coffee, &p, 100, &n) == EVLA_E_RANGE &&
           strstr(host.why, "under way"),
       "too late: %s", host.why);
    host_clear(&host);
}

int main(void)
{
    h = host_init(&host);
    test_statistics();
    test_perfect();
    test_state();
    test_refusals();
    host_free(&host);
    return tap_done();
}
