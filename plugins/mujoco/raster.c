/*
 * raster.c -- from a MuJoCo scene to colour, depth and labels: cameras, culling, placing
 * unit meshes, light. The method is told in raster_inner.h.
 *
 * Reads: mjModel (geom types, sizes, colours, groups, cameras), mjData (geom and camera
 * poses). Writes: the caller's pictures, its own memory. Not here: unit shapes
 * (raster_mesh.c), loops over vertices, faces and pixels (raster_lanes.h).
 */
#include "raster.h"

#include <math.h>
#include <string.h>

#include "evla/abi.h"
#include "raster_inner.h"

// clang-format off
#define LANES_ISA sse2
#define LANES_TARGET
#include "raster_lanes.h"
#define LANES_ISA avx2
#define LANES_TARGET __attribute__((target("avx2")))
#include "raster_lanes.h"
#define LANES_ISA avx512
#define LANES_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#include "raster_lanes.h"
// clang-format on

static const raster_isa isas[] = {
    {mesh_sse2, plane_sse2, resolve_sse2},
    {mesh_avx2, plane_avx2, resolve_avx2},
    {mesh_avx512, plane_avx512, resolve_avx512},
};

enum { MAX_GROUP = 2, PARTS_PER_GEOM = 6 };

/* Unit directions towards the lights, in the world. */
static const double world_key[3] = {-0.36, -0.48, 0.8},
                    world_fill[3] = {0.768, 0.512, 0.384};
/* Light per channel: from below, added from above, key, fill. A white face that looks
 * straight at the key light comes out just below 255. */
static const float light_low[3] = {0.30f, 0.29f, 0.29f},
                   light_high[3] = {0.46f, 0.48f, 0.52f};
static const float light_key[3] = {0.52f, 0.50f, 0.46f},
                   light_fill[3] = {0.10f, 0.12f, 0.15f};
static const float sky_above[3] = {196, 208, 222}, sky_below[3] = {232, 234, 236};

/* A camera as the drawing needs it. */
typedef struct eye {
    double rot[3][3]; /* world to camera, camera axes in rows */
    double pos[3];
    double fx, fy, off_x, off_y;                 /* pixel - mid = f X/Z + off */
    double left[2], right[2], top[2], bottom[2]; /* unit normals of the frustum's sides */
    double near_m, far_m;
} eye;

/* ---- memory
 * ------------------------------------------------------------------------------- */

static int32_t fine(int v) { return v < 3 ? 3 : v; }

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Lays out everything behind the struct; `r` NULL only counts. */
static size_t lay_out(raster *r, const mjModel *m, int32_t max_width, int32_t max_height)
{
    const int32_t slices = fine(m->vis.quality.numslices),
                  stacks = fine(m->vis.quality.numstacks);
    const size_t n_vert = (size_t)mesh_max_vert(slices, stacks) + LANES;
    const size_t n_face = (size_t)mesh_max_face(slices, stacks) + LANES;
    const size_t n_parts = 1 + (size_t)PARTS_PER_GEOM * (size_t)m->ngeom;
    const size_t stride = ((size_t)max_width + 2 * LANES - 1) / LANES * LANES;
    const size_t n_pixels = stride * (size_t)max_height;
    const size_t of_mesh = mesh_bytes(slices, stacks);
    const size_t size[] = {
        n_parts * sizeof(part),   n_parts,
        n_pixels * sizeof(float), n_pixels * sizeof(int32_t),
        n_vert * sizeof(float),   n_vert * sizeof(float),
        n_vert * sizeof(float),   n_vert * sizeof(float),
        n_vert * sizeof(float),   n_face * sizeof(float),
        n_face * sizeof(int32_t), stride * sizeof(uint32_t),
    };
    void *place[sizeof size / sizeof size[0]];
    size_t at = rounded(sizeof(raster));
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        place[i] = r ? (unsigned char *)r + at : NULL;
        at += rounded(size[i]);
    }
    if (!r) return at + of_mesh;
    r->parts = place[0];
    r->part_label = place[1];
    r->inv_z = place[2];
    r->seen = place[3];
    r->vx = place[4];
    r->vy = place[5];
    r->vz = place[6];
    r->px = place[7];
    r->py = place[8];
    r->facing = place[9];
    r->front = place[10];
    r->line = place[11];
    mesh_make_all(r->mesh, slices, stacks, (unsigned char *)r + at);
    return at + of_mesh;
}

size_t raster_bytes(const mjModel *m, int32_t max_width, int32_t max_height)
{
    if (max_width < 1 || max_height < 1 || max_width > RASTER_MAX_SIDE ||
        max_height > RASTER_MAX_SIDE || m->vis.quality.numslices > RASTER_MAX_FINE ||
        m->vis.quality.numstacks > RASTER_MAX_FINE)
        return 0;
    return lay_out(NULL, m, max_width, max_height) + 63;
}

int32_t raster_limit(raster *r, int32_t isa)
{
    __builtin_cpu_init();
    int32_t has = RASTER_SSE2;
    if (__builtin_cpu_supports("avx2")) has = RASTER_AVX2;
    if (has == RASTER_AVX2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        has = RASTER_AVX512;
    r->isa = isa < has ? isa : has;
    r->run = isas[r->isa];
    return r->isa;
}

raster *raster_make(void *memory, const mjModel *m, int32_t max_width, int32_t max_height)
{
    raster *r = (raster *)(((uintptr_t)memory + 63) / 64 * 64);
    memset(r, 0, sizeof *r);
    lay_out(r, m, max_width, max_height);
    r->max_width = max_width;
    r->max_height = max_height;
    r->n_geom = m->ngeom;
    memset(&r->parts[0], 0, sizeof r->parts[0]);
    r->parts[0].geom = -1;
    r->parts[0].is_flat = 1;
    raster_limit(r, RASTER_AVX512);
    return r;
}

/* ---- cameras
 * ------------------------------------------------------------------------------ */

void raster_intrinsics(const mjModel *m, int32_t cam, int32_t width, int32_t height,
                       double fx_fy_cx_cy[4])
{
    double s, c;
    mesh_sincos(m->cam_fovy[cam] * (3.14159265358979323846 / 360), &s, &c);
    fx_fy_cx_cy[0] = fx_fy_cx_cy[1] = 0.5 * height * c / s;
    fx_fy_cx_cy[2] = 0.5 * (width - 1);
    fx_fy_cx_cy[3] = 0.5 * (height - 1);
}

void raster_extrinsics(const mjData *d, int32_t cam, double to_world[16])
{
    const mjtNum *rot = d->cam_xmat + 9 * cam, *pos = d->cam_xpos + 3 * cam;
    for (int i = 0; i < 3; i++) { /* MuJoCo's cameras look along -z with y up */
        to_world[4 * i] = rot[3 * i];
        to_world[4 * i + 1] = -rot[3 * i + 1];
        to_world[4 * i + 2] = -rot[3 * i + 2];
        to_world[4 * i + 3] = pos[i];
        to_world[12 + i] = 0;
    }
    to_world[15] = 1;
}

void raster_view_of(const mjModel *m, const mjData *d, int32_t cam, int32_t width,
                    int32_t height, raster_view *out)
{
    double k[4];
    raster_intrinsics(m, cam, width, height, k);
    out->fx = k[0];
    out->fy = k[1];
    out->cx = k[2];
    out->cy = k[3];
    raster_extrinsics(d, cam, out->to_world);
    out->near_m = m->vis.map.znear * m->stat.extent;
    out->far_m = m->vis.map.zfar * m->stat.extent;
}

static int32_t eye_of(const raster *r, const raster_view *v, eye *e)
{
    const double *t = v->to_world;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            e->rot[k][i] = t[4 * i + k];
    for (int i = 0; i < 3; i++) {
        e->pos[i] = t[4 * i + 3];
        const double *a = e->rot[i], *b = e->rot[(i + 1) % 3];
        const double unit = a[0] * a[0] + a[1] * a[1] + a[2] * a[2];
        const double cross = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        if (!(fabs(unit - 1) < 1e-4 && fabs(cross) < 1e-4 && fabs(e->pos[i]) < 1e9))
            return EVLA_E_RANGE;
    }
    if (!(v->fx > 1e-3 && v->fy > 1e-3 && v->fx < 1e9 && v->fy < 1e9 && fabs(v->cx) < 1e6 &&
          fabs(v->cy) < 1e6 && v->near_m > 0 && v->far_m > v->near_m && v->far_m < 1e9))
        return EVLA_E_RANGE;
    e->fx = v->fx;
    e->fy = v->fy;
    e->off_x = v->cx - r->mid_x;
    e->off_y = v->cy - r->mid_y;
    e->near_m = v->near_m;
    e->far_m = v->far_m;
    /* Sides of the frustum, half a pixel outside the outermost centres. */
    const double x0 = -0.5 - v->cx, x1 = r->width - 0.5 - v->cx;
    const double y0 = -0.5 - v->cy, y1 = r->height - 0.5 - v->cy;
    const double side[4][2] = {{v->fx, -x0}, {-v->fx, x1}, {v->fy, -y0}, {-v->fy, y1}};
    double *to[4] = {e->left, e->right, e->top, e->bottom};
    for (int i = 0; i < 4; i++) {
        const double len = sqrt(side[i][0] * side[i][0] + side[i][1] * side[i][1]);
        to[i][0] = side[i][0] / len;
        to[i][1] = side[i][1] / len;
    }
    return EVLA_OK;
}

int32_t raster_near_box(const raster *r, const int32_t corner[4], float box[4])
{
    const float near = 1 / r->inv_near;
    int32_t n = 0;
    for (int32_t i = 0; i < 4; i++) {
        const int32_t a = corner[i], b = corner[(i + 1) & 3];
        float p[2][2];
        int32_t n_here = 0;
        if (r->vz[a] >= near) {
            p[n_here][0] = r->vx[a] / r->vz[a];
            p[n_here++][1] = r->vy[a] / r->vz[a];
        }
        if ((r->vz[a] >= near) != (r->vz[b] >= near)) {
            const float t = (near - r->vz[a]) / (r->vz[b] - r->vz[a]);
            p[n_here][0] = (r->vx[a] + t * (r->vx[b] - r->vx[a])) * r->inv_near;
            p[n_here++][1] = (r->vy[a] + t * (r->vy[b] - r->vy[a])) * r->inv_near;
        }
        for (int32_t k = 0; k < n_here; k++, n++) {
            /* a pixel more on each side: the cut is rounded, the edges are not */
            const float lo[2] = {p[k][0] - 1, p[k][1] - 1},
                        hi[2] = {p[k][0] + 1, p[k][1] + 1};
            for (int32_t c = 0; c < 2; c++) {
                if (!n || lo[c] < box[c]) box[c] = lo[c];
                if (!n || hi[c] > box[2 + c]) box[2 + c] = hi[c];
            }
        }
    }
    return n > 0;
}

/* ---- light
 * -------------------------------------------------------------------------------- */

static void light_frame(raster *r, const eye *e)
{
    for (int i = 0; i < 3; i++) {
        double key = 0, fill = 0;
        for (int k = 0; k < 3; k++) {
            key += e->rot[i][k] * world_key[k];
            fill += e->rot[i][k] * world_fill[k];
        }
        r->light.up[i] = (float)e->rot[i][2];
        r->light.key[i] = (float)key;
        r->light.fill[i] = (float)fill;
        r->sky_top[i] = sky_above[i];
        r->sky_step[i] = (sky_below[i] - sky_above[i]) / (float)r->height;
    }
}

/* The colour rule of a part with this surface colour (0 to 1). */
static void light_part(part *pt, const float rgb[3])
{
    for (int i = 0; i < 3; i++) {
        const float c = 255 * (rgb[i] < 0 ? 0 : rgb[i] > 1 ? 1 : rgb[i]);
        pt->base[i] = c * 0.5f * (light_low[i] + light_high[i]);
        pt->up[i] = c * 0.5f * (light_high[i] - light_low[i]);
        pt->key[i] = c * light_key[i];
        pt->fill[i] = c * light_fill[i];
    }
}

static float dot3(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* n: unit normal in camera space. */
static void light_flat(const raster *r, part *pt, const float n[3])
{
    const float up = dot3(n, r->light.up);
    float key = dot3(n, r->light.key), fill = dot3(n, r->light.fill);
    key = key > 0 ? key : 0;
    fill = fill > 0 ? fill : 0;
    pt->is_flat = 1;
    pt->flat_rgb = 0;
    for (int i = 0; i < 3; i++) {
        const float c =
            pt->base[i] + pt->up[i] * up + pt->key[i] * key + pt->fill[i] * fill;
        const int32_t v = (int32_t)(c + 0.5f);
        pt->flat_rgb |= (uint32_t)(v > 255 ? 255 : v) << (8 * i);
    }
}

/* A curved part: normal at camera point P = rot diag(axes) rot^T (P - centre). */
static void light_curved(const raster *r, part *pt, const eye *e, const double rot[3][3],
                         const double centre[3], const double axes[3])
{
    double m[3][3], h[3], len = 0;
    for (int i = 0; i < 3; i++) {
        double off = 0;
        for (int k = 0; k < 3; k++) {
            m[i][k] = rot[i][0] * axes[0] * rot[k][0] + rot[i][1] * axes[1] * rot[k][1] +
                      rot[i][2] * axes[2] * rot[k][2];
            off -= m[i][k] * centre[k];
        }
        pt->normal_ray[i][0] = (float)(m[i][0] / e->fx);
        pt->normal_ray[i][1] = (float)(m[i][1] / e->fy);
        pt->normal_ray[i][2] =
            (float)(m[i][2] - m[i][0] * e->off_x / e->fx - m[i][1] * e->off_y / e->fy);
        pt->normal_off[i] = (float)off;
    }
    const double far =
        sqrt(centre[0] * centre[0] + centre[1] * centre[1] + centre[2] * centre[2]);
    for (int i = 0; i < 3; i++) {
        h[i] = (double)r->light.key[i] - centre[i] / (far + 1e-9);
        len += h[i] * h[i];
    }
    len = sqrt(len + 1e-9);
    for (int i = 0; i < 3; i++)
        pt->half[i] = (float)(h[i] / len);
    pt->is_flat = 0;
}

/* ---- placing
 * ------------------------------------------------------------------------------ */

/* A geom in camera space, about to be drawn. */
typedef struct body {
    double rot[3][3]; /* geom to camera */
    double pos[3];
    double size[3];
    float rgb[3];
    int32_t geom;
    int32_t may_cross;
} body;

static part *new_part(raster *r, const body *b)
{
    part *pt = &r->parts[r->n_parts++];
    pt->geom = b->geom;
    light_part(pt, b->rgb);
    return pt;
}

/* Draws a unit mesh, scaled by `size` and moved by `shift` along the geom's z; its parts
 * start at `first`. */
static void place(raster *r, const eye *e, const body *b, int32_t shape,
                  const double size[3], double shift, int32_t first, int32_t step)
{
    placed p = {.mesh = &r->mesh[shape], .part = first, .part_step = step};
    double t[3], to_unit[3];
    p.may_cross = b->may_cross;
    for (int i = 0; i < 3; i++)
        t[i] = b->pos[i] + shift * b->rot[i][2];
    for (int k = 0; k < 3; k++) {
        const double x = b->rot[0][k], y = b->rot[1][k], z = b->rot[2][k];
        to_unit[k] = 1 / size[k];
        p.to_pixel[0][k] = (float)((e->fx * x + e->off_x * z) * size[k]);
        p.to_pixel[1][k] = (float)((e->fy * y + e->off_y * z) * size[k]);
        p.to_pixel[2][k] = (float)(z * size[k]);
        p.eye[k] = (float)(-(x * t[0] + y * t[1] + z * t[2]) * to_unit[k]);
        p.to_plane[0][k] = (float)(x / e->fx * to_unit[k]);
        p.to_plane[1][k] = (float)(y / e->fy * to_unit[k]);
        p.to_plane[2][k] =
            (float)((z - x * e->off_x / e->fx - y * e->off_y / e->fy) * to_unit[k]);
    }
    p.shift[0] = (float)(e->fx * t[0] + e->off_x * t[2]);
    p.shift[1] = (float)(e->fy * t[1] + e->off_y * t[2]);
    p.shift[2] = (float)t[2];
    r->run.mesh(r, &p);
}

static int32_t flat_part(raster *r, const body *b, int axis, float sign)
{
    float n[3];
    for (int i = 0; i < 3; i++)
        n[i] = sign * (float)b->rot[i][axis];
    part *pt = new_part(r, b);
    light_flat(r, pt, n);
    return (int32_t)(pt - r->parts);
}

static int32_t curved_part(raster *r, const eye *e, const body *b, const double axes[3],
                           double shift)
{
    double centre[3];
    for (int i = 0; i < 3; i++)
        centre[i] = b->pos[i] + shift * b->rot[i][2];
    part *pt = new_part(r, b);
    light_curved(r, pt, e, (const double(*)[3])b->rot, centre, axes);
    return (int32_t)(pt - r->parts);
}

static void draw_plane(raster *r, const eye *e, const body *b)
{
    const double above =
        -(b->rot[0][2] * b->pos[0] + b->rot[1][2] * b->pos[1] + b->rot[2][2] * b->pos[2]);
    if (above <= 0) return; /* one-sided */
    const int32_t id = flat_part(r, b, 2, 1);
    if (b->size[0] > 0 || b->size[1] > 0) {
        const double big = 4 * e->far_m;
        const double size[3] = {b->size[0] > 0 ? b->size[0] : big,
                                b->size[1] > 0 ? b->size[1] : big, 1};
        place(r, e, b, MESH_SQUARE, size, 0, id, 0);
        return;
    }
    const double x = b->rot[0][2], y = b->rot[1][2], z = b->rot[2][2];
    const float w[3] = {
        (float)(-x / e->fx / above), (float)(-y / e->fy / above),
        (float)(-(z - x * e->off_x / e->fx - y * e->off_y / e->fy) / above)};
    r->run.plane(r, w, id);
}

static void draw_round(raster *r, const eye *e, const body *b, int32_t type)
{
    const double s = b->size[0], h = b->size[1], ball[3] = {s, s, s}, round[3] = {s, s, h};
    const double near_one[3] = {1 / s, 1 / s, 1 / s}, side[3] = {1 / s, 1 / s, 0};
    if (type == mjGEOM_SPHERE) {
        place(r, e, b, MESH_SPHERE, ball, 0, curved_part(r, e, b, near_one, 0), 0);
    } else if (type == mjGEOM_ELLIPSOID) {
        const double *a = b->size;
        const double axes[3] = {a[0] / (a[0] * a[0]), a[0] / (a[1] * a[1]),
                                a[0] / (a[2] * a[2])};
        place(r, e, b, MESH_SPHERE, a, 0, curved_part(r, e, b, axes, 0), 0);
    } else {
        place(r, e, b, MESH_SIDE, round, 0, curved_part(r, e, b, side, 0), 0);
        if (type == mjGEOM_CAPSULE) {
            place(r, e, b, MESH_TOP, ball, h, curved_part(r, e, b, near_one, h), 0);
            place(r, e, b, MESH_BOTTOM, ball, -h, curved_part(r, e, b, near_one, -h), 0);
        } else {
            place(r, e, b, MESH_DISK_UP, ball, h, flat_part(r, b, 2, 1), 0);
            place(r, e, b, MESH_DISK_DOWN, ball, -h, flat_part(r, b, 2, -1), 0);
        }
    }
}

static void draw_box(raster *r, const eye *e, const body *b)
{
    const int32_t first = r->n_parts;
    for (int k = 0; k < 6; k++)
        flat_part(r, b, k / 2, k & 1 ? 1.0f : -1.0f);
    place(r, e, b, MESH_BOX, b->size, 0, first, 1);
}

/* Radius of the sphere around a geom; 0 when there is none or nothing to draw. */
static double reach(int32_t type, const mjtNum *s)
{
    switch (type) {
    case mjGEOM_PLANE:
        return s[0] > 0 && s[1] > 0 ? sqrt(s[0] * s[0] + s[1] * s[1]) : 0;
    case mjGEOM_SPHERE:
        return s[0];
    case mjGEOM_CAPSULE:
        return s[0] + s[1];
    case mjGEOM_CYLINDER:
        return sqrt(s[0] * s[0] + s[1] * s[1]);
    case mjGEOM_ELLIPSOID:
        return fmax(s[0], fmax(s[1], s[2]));
    case mjGEOM_BOX:
        return sqrt(s[0] * s[0] + s[1] * s[1] + s[2] * s[2]);
    default:
        return -1;
    }
}

static const float *colour_of(const mjModel *m, int32_t g)
{
    const float *c = m->geom_rgba + 4 * g;
    const int is_default = c[0] == 0.5f && c[1] == 0.5f && c[2] == 0.5f && c[3] == 1;
    return is_default && m->geom_matid[g] >= 0 ? m->mat_rgba + 4 * m->geom_matid[g] : c;
}

/* 0 when the geom cannot be seen from here. */
static int32_t body_of(const mjModel *m, const mjData *d, const eye *e, int32_t g, body *b)
{
    const int32_t type = m->geom_type[g];
    const mjtNum *size = m->geom_size + 3 * g, *rot = d->geom_xmat + 9 * g;
    const mjtNum *pos = d->geom_xpos + 3 * g;
    const double radius = reach(type, size);
    const float *rgba = colour_of(m, g);
    if (m->geom_group[g] > MAX_GROUP || radius < 0 || rgba[3] == 0) return 0;
    for (int i = 0; i < 3; i++) {
        b->pos[i] = 0;
        for (int k = 0; k < 3; k++)
            b->pos[i] += e->rot[i][k] * (pos[k] - e->pos[k]);
        b->size[i] = size[i];
        b->rgb[i] = rgba[i];
    }
    const double x = b->pos[0], y = b->pos[1], z = b->pos[2];
    b->may_cross = 1;
    if (radius > 0) {
        if (z + radius < e->near_m || z - radius > e->far_m ||
            e->left[0] * x + e->left[1] * z < -radius ||
            e->right[0] * x + e->right[1] * z < -radius ||
            e->top[0] * y + e->top[1] * z < -radius ||
            e->bottom[0] * y + e->bottom[1] * z < -radius)
            return 0;
        b->may_cross = z - radius < 1.001 * e->near_m;
    }
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            b->rot[i][k] = e->rot[i][0] * rot[k] + e->rot[i][1] * rot[3 + k] +
                           e->rot[i][2] * rot[6 + k];
    b->geom = g;
    return 1;
}

/* ---- drawing
 * ------------------------------------------------------------------------------ */

static void clear(raster *r)
{
    const size_t n = (size_t)r->stride * (size_t)r->height;
    for (size_t i = 0; i < n; i++)
        r->inv_z[i] = r->inv_far; /* what is farther loses against it */
    memset(r->seen, 0, n * sizeof *r->seen);
    r->n_parts = 1;
}

int32_t raster_draw(raster *r, const mjModel *m, const mjData *d, const raster_view *view,
                    const raster_image *out)
{
    if (out->width < 1 || out->height < 1 || out->width > r->max_width ||
        out->height > r->max_height || m->ngeom > r->n_geom ||
        (out->label && !out->label_of))
        return EVLA_E_SHAPE;
    r->width = out->width;
    r->height = out->height;
    r->stride = (out->width + LANES - 1) / LANES * LANES;
    r->mid_x = out->width / 2;
    r->mid_y = out->height / 2;
    eye e;
    if (eye_of(r, view, &e) != EVLA_OK) return EVLA_E_RANGE;
    r->inv_near = (float)(1 / e.near_m);
    r->inv_far = (float)(1 / e.far_m);
    clear(r);
    light_frame(r, &e);
    for (int32_t g = 0; g < m->ngeom; g++) {
        body b;
        if (!body_of(m, d, &e, g, &b)) continue;
        const int32_t type = m->geom_type[g];
        if (type == mjGEOM_PLANE)
            draw_plane(r, &e, &b);
        else if (type == mjGEOM_BOX)
            draw_box(r, &e, &b);
        else
            draw_round(r, &e, &b, type);
    }
    if (out->label) {
        r->part_label[0] = out->label_none;
        for (int32_t i = 1; i < r->n_parts; i++)
            r->part_label[i] = out->label_of[r->parts[i].geom];
    }
    r->run.resolve(r, out);
    return EVLA_OK;
}

uint16_t raster_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (bits >= 0x477ff000) return 0x7c00;
    if (bits < 0x38800000) {
        const float shifted = x + 0.5f; /* the addition rounds at the half's last place */
        memcpy(&bits, &shifted, sizeof bits);
        return (uint16_t)(bits - 0x3f000000);
    }
    return (uint16_t)((bits + 0xfff + ((bits >> 13) & 1) - (112u << 23)) >> 13);
}
