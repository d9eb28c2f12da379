/*
 * camera.h -- the cameras of a scene: into its MJCF, and into words for a dataset's
 * readers.
 */
#ifndef MUJOCO_CAMERA_H
#define MUJOCO_CAMERA_H

#include <stdint.h>

#include "mjcf.h"

typedef struct camera {
    const char *name;
    const char *body;       /* what it is mounted on; NULL: the world */
    double pos[3];          /* m, in the body's frame */
    double right[3], up[3]; /* picture axes in the body's frame, made orthonormal here */
    double fovy;            /* degrees, vertical */
} camera;

/* Writes the camera; the caller is inside its body's element. */
void camera_mjcf(mjcf *x, const camera *c);

/* One JSON member: intrinsics for this picture size and the pose in its body's frame, with
 * OpenCV's axes (x right, y down, z forward) and pixel (0,0) centred at x = 0, y = 0. */
void camera_json(mjcf *x, const camera *c, int64_t width, int64_t height, double rate_hz);

#endif
