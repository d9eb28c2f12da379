/*
 * raster_inner.h -- what the rooms of the rasteriser share: raster.c (scene to placed
 * meshes), raster_mesh.c (unit shapes), raster_lanes.h (the loops over vertices, faces and
 * pixels).
 *
 * Method. Every shape is a fixed unit mesh of planar quads under an affine map. A face is
 * seen when the eye, taken back into the unit space, lies in front of its plane; that same
 * dot product scales the plane into 1/z = wx x + wy y + wc over pixels. Edges are planes
 * through the eye (cross products of neighbouring corners), so nothing is divided and
 * nothing needs clipping: a pixel is inside when all four are >= 0. Source: Olano and Greer
 * 1997, "Triangle scan conversion using 2D homogeneous coordinates". Each pixel keeps 1/z
 * and a part number; colour, depth and labels follow once per pixel at the end, with the
 * exact normal of the true shape.
 */
#ifndef EVLA_MUJOCO_RASTER_INNER_H
#define EVLA_MUJOCO_RASTER_INNER_H
#include "raster.h"

enum {
    LANES = 16, /* pixels, vertices or faces that a loop takes at a time */
    MESH_SPHERE = 0,
    MESH_TOP = 1, /* half spheres, z >= 0 and z <= 0 */
    MESH_BOTTOM = 2,
    MESH_SIDE = 3,    /* open cylinder, -1 <= z <= 1 */
    MESH_DISK_UP = 4, /* at z = 0, facing +z and -z */
    MESH_DISK_DOWN = 5,
    MESH_BOX = 6,    /* faces in the order -x +x -y +y -z +z */
    MESH_SQUARE = 7, /* at z = 0, facing +z */
    N_MESHES = 8,
    RASTER_MAX_FINE = 256
};

/* A unit shape. Arrays are padded to LANES; padding faces point away from everything. */
typedef struct mesh {
    int32_t n_vert, n_face;
    float *x, *y, *z;          /* [n_vert] */
    float *nx, *ny, *nz, *off; /* [n_face] plane n . p = off, outward */
    int32_t (*corner)[4];      /* [n_face] anticlockwise from outside; two may be equal */
} mesh;

/* A surface that one colour rule covers: a curved shape or one flat face. */
typedef struct part {
    int32_t geom;
    int32_t is_flat;
    uint32_t flat_rgb; /* r | g << 8 | b << 16 */
    float normal_ray[3]
                    [3]; /* normal (not unit) = z * normal_ray * (x, y, 1) + normal_off */
    float normal_off[3];
    float half[3]; /* unit, between key light and eye, for the highlight */
    float base[3]; /* colour = base + up n.up + key max(0, n.key) + fill max(0, n.fill) */
    float up[3], key[3], fill[3];
} part;

/* A mesh in front of the camera. Pixel coordinates are measured from (mid_x, mid_y). */
typedef struct placed {
    const mesh *mesh;
    float to_pixel[3][3]; /* unit space to (x z, y z, z) */
    float shift[3];
    float eye[3];         /* the camera in unit space */
    float to_plane[3][3]; /* unit normal to the (wx, wy, wc) of a face, up to the factor
                             -1/s */
    int32_t part;         /* of face 0 */
    int32_t part_step;    /* 0: all faces are one part; 1: each its own */
    int32_t may_cross;    /* some vertex may lie in front of the near plane */
} placed;

/* The lights in camera space; same for all parts of a frame. */
typedef struct lights {
    float up[3], key[3], fill[3];
} lights;

typedef struct raster_isa {
    void (*mesh)(raster *r, const placed *p);
    void (*plane)(raster *r, const float w[3], int32_t part);
    void (*resolve)(raster *r, const raster_image *out);
} raster_isa;

struct raster {
    mesh mesh[N_MESHES];
    int32_t max_width, max_height, n_geom, isa;
    raster_isa run;
    /* of the frame being drawn */
    int32_t width, height, stride; /* stride: elements from one row of inv_z to the next */
    int32_t mid_x, mid_y;
    int32_t n_parts;
    float inv_near, inv_far;
    lights light;
    float sky_top[3], sky_step[3]; /* background, 0..255, and its change per row */
    /* arrays, 64-byte aligned */
    part *parts;         /* [1 + 6 n_geom]; 0 is the background */
    uint8_t *part_label; /* [1 + 6 n_geom] */
    float *inv_z;        /* [height, stride] */
    int32_t *seen;       /* [height, stride] part number */
    float *vx, *vy, *vz; /* vertices of the mesh at hand: x z, y z, z */
    float *px, *py;      /* and their pixels */
    float *facing;       /* [faces] > 0: seen from the front */
    int32_t *front;      /* [faces] numbers of those */
    uint32_t *line;      /* [stride] colours of a row */
};

/* Bytes for all unit meshes; lays them out at `at` when not NULL. (raster_mesh.c) */
size_t mesh_bytes(int32_t n_slices, int32_t n_stacks);
void mesh_make_all(mesh meshes[N_MESHES], int32_t n_slices, int32_t n_stacks,
                   unsigned char *at);
int32_t mesh_max_vert(int32_t n_slices, int32_t n_stacks);
int32_t mesh_max_face(int32_t n_slices, int32_t n_stacks);
/* sin and cos of any small angle in radians, the same bits everywhere: libm picks its code
 * by processor. */
void mesh_sincos(double a, double *s, double *c);

/* Pixel box {x0, y0, x1, y1}, inclusive and relative to the middle, of the part of a face
 * behind the near plane; 0 when none is. (raster.c) */
int32_t raster_near_box(const raster *r, const int32_t corner[4], float box[4]);

#endif
