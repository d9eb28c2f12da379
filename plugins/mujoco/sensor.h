/*
 * sensor.h -- object poses as a tracking camera would report them: noisy, biased, late, and
 * now and then not at all.
 *
 * Frame k is taken at the first control tick at or after k / rate and delivered `latency`
 * later; the newest delivered one is held until the next. Before the first arrives, one of
 * the scene at rest (frame -1) counts as delivered. Noise is a function of the episode's
 * seed, the frame and the object only, so all there is to remember are true poses of frames
 * under way: they are part of a saved state.
 */
#ifndef MUJOCO_SENSOR_H
#define MUJOCO_SENSOR_H

#include "evla/abi.h"
#include "world.h"

/* The parameter `sensor`. Deviations are per coordinate: x, y, z of the position, and x, y,
 * z of a rotation vector that turns the true orientation in the world frame. */
typedef struct sensor_params {
    double rate;               /* Hz */
    double sigma, sigma_angle; /* m, rad: standard deviation of one reading */
    double bias, bias_angle;   /* m, rad: of the error that an object keeps all episode */
    double dropout;            /* probability that a frame is lost, 0 to 1 */
    int64_t latency_ns;
} sensor_params;

enum { SENSOR_PARAMS = 7 };
extern const evla_param sensor_fields[SENSOR_PARAMS];

typedef struct sensor {
    sensor_params given;
    double control_hz;
    int32_t n_moving; /* described bodies whose pose can change */
    int32_t n_slots;  /* frames: the delivered one and those under way */
    int32_t late;     /* ticks from taking to delivery */
    double *slots;    /* [n_slots][1 + 7 n_moving]: frame number, poses; oldest first */
} sensor;

/* Doubles of its saved state, from parameters alone. EVLA_E_RANGE when the rate is above
 * the control rate or more than 16 frames would be under way. */
int32_t sensor_size(const evla_host *h, const scene *s, const sensor_params *p,
                    double control_hz, int32_t *n_state);
int32_t sensor_open(const evla_host *h, const scene *s, const sensor_params *p,
                    double control_hz, sensor *out);

/* After the world's reset; after each of its ticks. */
void sensor_reset(sensor *s, const world *w);
void sensor_tick(sensor *s, const world *w);

/* The newest delivered reading, f32[n,7], rows as in obs/object_pose, quaternions with w >=
 * 0; and the seconds since it was taken. */
void sensor_read(const sensor *s, const world *w, float *out);
double sensor_age(const sensor *s, const world *w);

void sensor_save(const sensor *s, double *state);
/* Returns -1 when the numbers cannot be a state of this sensor; s is then unchanged. */
int32_t sensor_restore(sensor *s, const double *state);

#endif
