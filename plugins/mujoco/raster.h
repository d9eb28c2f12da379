/*
 * raster.h -- pictures of a MuJoCo scene without a graphics library: colour, depth and
 * labels of every pixel in one pass.
 *
 * Draws planes, spheres, capsules, ellipsoids, cylinders and boxes of geom groups 0 to 2
 * whose alpha is not 0 (any other alpha counts as opaque); meshes and height fields are
 * left out. The same scene gives the same bits on every x86-64 processor. One raster per
 * thread; two share nothing.
 */
#ifndef EVLA_MUJOCO_RASTER_H
#define EVLA_MUJOCO_RASTER_H
#include <stddef.h>
#include <stdint.h>

#include <mujoco/mujoco.h>

enum {
    RASTER_MAX_SIDE = 4096, /* pixels */
    RASTER_SSE2 = 0,        /* instruction sets, see raster_limit */
    RASTER_AVX2 = 1,
    RASTER_AVX512 = 2
};

typedef struct raster raster;

/* A pinhole with square pixels. Pixel (column i, row j) has its centre at x = i, y = j, as
 * in OpenCV: x = fx X/Z + cx,  y = fy Y/Z + cy. to_world: row-major 4x4, camera to world,
 * metres; camera axes x right, y down, z forward. */
typedef struct raster_view {
    double fx, fy, cx, cy; /* pixels */
    double to_world[16];
    double near_m, far_m; /* only 0 < near < Z < far is drawn */
} raster_view;

/* What to fill; NULL where nobody asks. All dense, top row first. */
typedef struct raster_image {
    int32_t width, height;
    uint8_t *rgb;        /* [H,W,3] */
    float *depth;        /* [H,W] metres along the camera's z; 0 where nothing was seen */
    uint16_t *depth_f16; /* [H,W] the same as IEEE half bits, rounded to nearest even */
    int32_t *geom;       /* [H,W] geom id; -1 where nothing was seen */
    uint8_t *label;      /* [H,W] label_of[geom id]; label_none where nothing was seen */
    const uint8_t *label_of; /* [ngeom], needed with label */
    uint8_t label_none;
} raster_image;

/* Bytes that raster_make needs for pictures of up to max_width x max_height of this model;
 * 0 when a side is outside 1..RASTER_MAX_SIDE or the model asks for more than 256 slices or
 * stacks. */
size_t raster_bytes(const mjModel *m, int32_t max_width, int32_t max_height);

/* Builds a raster inside `memory` (raster_bytes of it, any alignment, kept by the caller
 * until the last call). It holds no pointer to m. Nothing is allocated here or later. */
raster *raster_make(void *memory, const mjModel *m, int32_t max_width, int32_t max_height);

/* fx, fy, cx, cy of camera `cam` at this picture size, from its vertical field of view. */
void raster_intrinsics(const mjModel *m, int32_t cam, int32_t width, int32_t height,
                       double fx_fy_cx_cy[4]);

/* Camera to world of camera `cam`, as raster_view.to_world; needs mj_kinematics and
 * mj_camlight. */
void raster_extrinsics(const mjData *d, int32_t cam, double to_world[16]);

/* Both together, with the near and far planes of the model's visual settings. */
void raster_view_of(const mjModel *m, const mjData *d, int32_t cam, int32_t width,
                    int32_t height, raster_view *out);

/* Draws the scene at d's geom poses (mj_kinematics is enough). Reads sizes, colours and
 * groups from m each time, so both may change between frames; the number of geoms may not.
 * Returns 0; EVLA_E_SHAPE when the picture is larger than the raster or m has more geoms
 * than the model it was made for; EVLA_E_RANGE when the view is not a camera. */
int32_t raster_draw(raster *r, const mjModel *m, const mjData *d, const raster_view *view,
                    const raster_image *out);

/* Uses no instruction set beyond RASTER_*, for tests; returns the one in use. */
int32_t raster_limit(raster *r, int32_t isa);

/* IEEE half bits of x >= 0, rounded to nearest even; infinity from 65520 on. */
uint16_t raster_half(float x);

#endif
