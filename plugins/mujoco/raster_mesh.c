/*
 * raster_mesh.c -- unit shapes made of planar quads, with the corners that MuJoCo's own
 * renderer uses, so that silhouettes agree with it.
 *
 * Reads: numslices and numstacks of the model's visual quality.  Writes: a mesh per shape.
 * Not here: sizes and poses (raster.c).
 */
#include "raster_inner.h"

#include <math.h>

static const double half_pi = 1.57079632679489661923;

static size_t padded(size_t n, size_t size_bytes)
{
    return ((n + LANES - 1) / LANES * LANES * size_bytes + 63) / 64 * 64;
}

void mesh_sincos(double a, double *s, double *c)
{
    /* Reduce to [-pi/4, pi/4], then Taylor: the first term left out is below 1e-17 there.
     */
    int quarter = (int)(a / half_pi + (a < 0 ? -0.5 : 0.5));
    double x = a - quarter * half_pi, xx = x * x;
    double sn = 1, cs = 1;
    for (int k = 8; k > 0; k--) {
        sn = 1 - sn * xx / (2 * k * (2 * k + 1));
        cs = 1 - cs * xx / (2 * k * (2 * k - 1));
    }
    sn *= x;
    quarter &= 3;
    *s = quarter == 0 ? sn : quarter == 1 ? cs : quarter == 2 ? -sn : -cs;
    *c = quarter == 0 ? cs : quarter == 1 ? -sn : quarter == 2 ? -cs : sn;
}

/* Rings from bottom to top, each of n_slices vertices; a pole is a ring of equal points, so
 * that triangles are quads with two equal corners. */
static int32_t half_stacks(int32_t n_stacks) { return n_stacks < 4 ? 2 : n_stacks / 2; }

static void mesh_size(int32_t shape, int32_t n_slices, int32_t n_stacks, int32_t *n_vert,
                      int32_t *n_face)
{
    int32_t half = half_stacks(n_stacks);
    int32_t bands = shape == MESH_SPHERE                        ? 2 * half
                    : shape == MESH_TOP || shape == MESH_BOTTOM ? half
                    : shape == MESH_SIDE                        ? 1
                                                                : 0;
    if (bands) {
        *n_vert = (bands + 1) * n_slices;
        *n_face = bands * n_slices;
    } else if (shape == MESH_BOX) {
        *n_vert = 8;
        *n_face = 6;
    } else if (shape == MESH_SQUARE) {
        *n_vert = 4;
        *n_face = 1;
    } else { /* disk: quads across the polygon */
        *n_vert = n_slices;
        *n_face = (n_slices - 1) / 2;
    }
}

int32_t mesh_max_vert(int32_t n_slices, int32_t n_stacks)
{
    int32_t n_vert, n_face;
    mesh_size(MESH_SPHERE, n_slices, n_stacks, &n_vert, &n_face);
    return n_vert < 8 ? 8 : n_vert;
}

int32_t mesh_max_face(int32_t n_slices, int32_t n_stacks)
{
    int32_t n_vert, n_face;
    mesh_size(MESH_SPHERE, n_slices, n_stacks, &n_vert, &n_face);
    return n_face < 6 ? 6 : n_face;
}

size_t mesh_bytes(int32_t n_slices, int32_t n_stacks)
{
    size_t bytes = 0;
    for (int32_t s = 0; s < N_MESHES; s++) {
        int32_t n_vert, n_face;
        mesh_size(s, n_slices, n_stacks, &n_vert, &n_face);
        bytes += 3 * padded((size_t)n_vert, sizeof(float)) +
                 4 * padded((size_t)n_face, sizeof(float)) +
                 padded((size_t)n_face, sizeof(int32_t[4]));
    }
    return bytes;
}

static void set_vert(mesh *me, int32_t i, double x, double y, double z)
{
    me->x[i] = (float)x;
    me->y[i] = (float)y;
    me->z[i] = (float)z;
}

static void set_face(mesh *me, int32_t f, int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32_t *k = me->corner[f];
    k[0] = a, k[1] = b, k[2] = c, k[3] = d;
    /* Newell's method with diagonals: two equal corners do no harm. */
    double p[3] = {(double)me->x[c] - me->x[a], (double)me->y[c] - me->y[a],
                   (double)me->z[c] - me->z[a]};
    double q[3] = {(double)me->x[d] - me->x[b], (double)me->y[d] - me->y[b],
                   (double)me->z[d] - me->z[b]};
    double n[3] = {p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2],
                   p[0] * q[1] - p[1] * q[0]};
    double len = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]), off = 0;
    for (int i = 0; i < 3; i++)
        n[i] /= len;
    for (int i = 0; i < 4; i++)
        off += 0.25 * (n[0] * me->x[k[i]] + n[1] * me->y[k[i]] + n[2] * me->z[k[i]]);
    me->nx[f] = (float)n[0];
    me->ny[f] = (float)n[1];
    me->nz[f] = (float)n[2];
    me->off[f] = (float)off;
}

static void make_bands(mesh *me, int32_t n_slices, int32_t n_bands, const double *radius,
                       const double *height)
{
    for (int32_t i = 0; i <= n_bands; i++)
        for (int32_t j = 0; j < n_slices; j++) {
            double s, c;
            mesh_sincos(4 * half_pi * j / n_slices, &s, &c);
            set_vert(me, i * n_slices + j, c * radius[i], s * radius[i], height[i]);
        }
    for (int32_t i = 0; i < n_bands; i++)
        for (int32_t j = 0; j < n_slices; j++) {
            int32_t next = (j + 1) % n_slices, at = i * n_slices, above = at + n_slices;
            set_face(me, at + j, at + j, at + next, above + next, above + j);
        }
}

/* Latitudes from -pi/2 * below/half to pi/2 * above/half. */
static void make_ball(mesh *me, int32_t n_slices, int32_t half, int32_t below,
                      int32_t above)
{
    double radius[RASTER_MAX_FINE + 3], height[RASTER_MAX_FINE + 3];
    for (int32_t i = -below; i <= above; i++) {
        mesh_sincos(half_pi * i / half, &height[i + below], &radius[i + below]);
        if (i == -half || i == half) radius[i + below] = 0;
    }
    make_bands(me, n_slices, below + above, radius, height);
}

static void make_disk(mesh *me, int32_t n, int up)
{
    for (int32_t j = 0; j < n; j++) {
        double s, c;
        mesh_sincos(4 * half_pi * j / n, &s, &c);
        set_vert(me, j, c, up ? s : -s, 0); /* the polygon is its own mirror image */
    }
    for (int32_t f = 0; f < me->n_face; f++)
        set_face(me, f, f, f + 1, n - 2 - f, n - 1 - f);
}

static void make_box(mesh *me)
{
    static const int32_t side[6][4] = {{0, 4, 6, 2}, {1, 3, 7, 5}, {0, 1, 5, 4},
                                       {2, 6, 7, 3}, {0, 2, 3, 1}, {4, 5, 7, 6}};
    for (int32_t i = 0; i < 8; i++)
        set_vert(me, i, i & 1 ? 1 : -1, i & 2 ? 1 : -1, i & 4 ? 1 : -1);
    for (int32_t f = 0; f < 6; f++)
        set_face(me, f, side[f][0], side[f][1], side[f][2], side[f][3]);
}

static void make_shape(mesh *me, int32_t shape, int32_t n_slices, int32_t half)
{
    static const double one[2] = {1, 1}, ends[2] = {-1, 1};
    switch (shape) {
    case MESH_SPHERE:
        make_ball(me, n_slices, half, half, half);
        break;
    case MESH_TOP:
        make_ball(me, n_slices, half, 0, half);
        break;
    case MESH_BOTTOM:
        make_ball(me, n_slices, half, half, 0);
        break;
    case MESH_SIDE:
        make_bands(me, n_slices, 1, one, ends);
        break;
    case MESH_DISK_UP:
        make_disk(me, n_slices, 1);
        break;
    case MESH_DISK_DOWN:
        make_disk(me, n_slices, 0);
        break;
    case MESH_BOX:
        make_box(me);
        break;
    default:
        set_vert(me, 0, -1, -1, 0);
        set_vert(me, 1, 1, -1, 0);
        set_vert(me, 2, 1, 1, 0);
        set_vert(me, 3, -1, 1, 0);
        set_face(me, 0, 0, 1, 2, 3);
    }
}

void mesh_make_all(mesh meshes[N_MESHES], int32_t n_slices, int32_t n_stacks,
                   unsigned char *at)
{
    for (int32_t s = 0; s < N_MESHES; s++) {
        mesh *me = &meshes[s];
        mesh_size(s, n_slices, n_stacks, &me->n_vert, &me->n_face);
        float **vert[3] = {&me->x, &me->y, &me->z};
        float **face[4] = {&me->nx, &me->ny, &me->nz, &me->off};
        for (int i = 0; i < 3; i++) {
            *vert[i] = (float *)(void *)at;
            at += padded((size_t)me->n_vert, sizeof(float));
        }
        for (int i = 0; i < 4; i++) {
            *face[i] = (float *)(void *)at;
            at += padded((size_t)me->n_face, sizeof(float));
        }
        me->corner = (int32_t(*)[4])(void *)at;
        at += padded((size_t)me->n_face, sizeof(int32_t[4]));
        make_shape(me, s, n_slices, half_stacks(n_stacks));
        for (int32_t f = me->n_face; f % LANES; f++) { /* padding is never seen */
            me->nx[f] = me->ny[f] = me->nz[f] = 0;
            me->off[f] = 1;
        }
        for (int32_t v = me->n_vert; v % LANES; v++) {
            me->x[v] = me->x[0];
            me->y[v] = me->y[0];
            me->z[v] = me->z[0];
        }
    }
}
