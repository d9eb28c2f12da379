/*
 * channel.h -- what a world lets others observe: the list of channels and their samples.
 *
 * Two halves: the list is made from a scene's table alone, before anything is compiled; an
 * eye draws one camera's picture once per tick for all the channels that show it.
 */
#ifndef MUJOCO_CHANNEL_H
#define MUJOCO_CHANNEL_H

#include "evla/abi.h"
#include "raster.h"
#include "sensor.h"
#include "world.h"

enum { CHANNEL_CAMERAS = 8, CHANNEL_MOST = 24 + 3 * CHANNEL_CAMERAS };

/* One entry of the parameter `cameras`. */
typedef struct camera_request {
    const char *name;
    evla_shape size; /* width, height */
    double rate;     /* Hz */
    int32_t depth, labels;
} camera_request;

typedef struct channel_list {
    evla_channel channel[CHANNEL_MOST];
    int32_t kind[CHANNEL_MOST];   /* private to channel.c */
    int32_t camera[CHANNEL_MOST]; /* index of the request */
    int32_t n;
} channel_list;

/* Writes the list; texts live in the host's hold memory. Fails: EVLA_E_ARG for a camera
 * that the scene does not have or that is asked for twice, EVLA_E_RANGE for a size or rate,
 * naming it. */
int32_t channel_make(const evla_host *h, const scene *s, double control_hz,
                     const camera_request *cameras, int64_t n_cameras, channel_list *out);

/* A camera at work. stamp tells for which moment the buffers hold a picture; 0: none. */
typedef struct eye {
    raster *raster;
    int32_t camera; /* id in the model */
    int32_t width, height;
    uint64_t stamp;
    uint8_t *rgb, *label; /* label, depth: NULL when nobody asked */
    float *depth;
} eye;

int32_t channel_eye_make(const evla_host *h, const world *w, const camera_request *c,
                         eye *out);

/* Writes the current sample of channel i. `now` changes whenever the world does. */
int32_t channel_sample(const evla_host *h, const channel_list *list, int32_t i,
                       const world *w, const sensor *sensed, eye *eyes, uint64_t now,
                       void *out);

#endif
