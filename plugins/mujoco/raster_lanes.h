/*
 * raster_lanes.h -- the rasteriser's loops, compiled once per instruction set: raster.c
 * includes this file with LANES_ISA (a suffix) and LANES_TARGET (an attribute) set.
 *
 * Every variant performs the same IEEE operations in the same order (no fused multiply-add,
 * no approximate reciprocal), so they agree in every bit. Vectors of 16 floats are a
 * compiler extension of gcc and clang, which split them where registers are narrower. They
 * stay inside functions: passing them by value would depend on the instruction set.
 */
#define LANES_JOIN2(a, b) a##_##b
#define LANES_JOIN(a, b)  LANES_JOIN2(a, b)
#define FN(name)          LANES_JOIN(name, LANES_ISA)

#ifndef LANES_ONCE
#define LANES_ONCE
typedef float vf __attribute__((vector_size(64), may_alias));
typedef int32_t vi __attribute__((vector_size(64), may_alias));
typedef float vfu __attribute__((vector_size(64), may_alias, aligned(4)));
typedef int32_t viu __attribute__((vector_size(64), may_alias, aligned(4)));
typedef uint16_t vh __attribute__((vector_size(32), may_alias, aligned(2)));

static const vf lane_f = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* SIGN: -1 where negative.  PICK, PICKI: mask ? a : b.  POSITIVE: max(0, v). */
#define SIGN(v)           ((vi)(v) >> 31)
#define PICK(mask, a, b)  ((vf)(((vi)(a) & (mask)) | ((vi)(b) & ~(mask))))
#define PICKI(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))
#define POSITIVE(v)       ((vf)((vi)(v) & ~SIGN(v)))
#endif

/* Fills the face's pixels; box is clamped to the picture. */
LANES_TARGET static inline void FN(fill)(raster *r, const int32_t box[4],
                                         const float e[4][3], const float w[3],
                                         int32_t part_id)
{
    const int32_t first = box[0] & ~(LANES - 1), last = box[2];
    const float near = r->inv_near;
    const vi id = part_id + (vi){0};
    for (int32_t y = box[1]; y <= box[3]; y++) {
        const float fy = (float)(y - r->mid_y);
        const float e0 = e[0][1] * fy + e[0][2], e1 = e[1][1] * fy + e[1][2];
        const float e2 = e[2][1] * fy + e[2][2], e3 = e[3][1] * fy + e[3][2];
        const float w0 = w[1] * fy + w[2];
        float *row = r->inv_z + (size_t)y * (size_t)r->stride;
        int32_t *ids = r->seen + (size_t)y * (size_t)r->stride;
        for (int32_t x = first; x <= last; x += LANES) {
            vf *at = (vf *)(row + x), old = *at;
            vi *at_id = (vi *)(ids + x), old_id = *at_id;
            const vf fx = lane_f + (float)(x - r->mid_x);
            const vf now = w[0] * fx + w0;
            /* the sign bit of `out` says: outside an edge, hidden, or nearer than allowed
             */
            vi out = (vi)(e[0][0] * fx + e0) | (vi)(e[1][0] * fx + e1);
            out |= (vi)(e[2][0] * fx + e2) | (vi)(e[3][0] * fx + e3);
            out |= (vi)(now - old) | (vi)(near - now);
            out >>= 31;
            *at = PICK(out, old, now);
            *at_id = PICKI(out, old_id, id);
        }
    }
}

LANES_TARGET static void FN(plane)(raster *r, const float w[3], int32_t part_id)
{
    static const float everywhere[4][3] = {{0}};
    const int32_t box[4] = {0, 0, r->width - 1, r->height - 1};
    FN(fill)(r, box, everywhere, w, part_id);
}

LANES_TARGET static inline void FN(transform)(raster *r, const placed *p)
{
    const mesh *me = p->mesh;
    for (int32_t i = 0; i < me->n_vert; i += LANES) {
        const vf x = *(const vf *)(me->x + i), y = *(const vf *)(me->y + i);
        const vf z = *(const vf *)(me->z + i);
        const float(*a)[3] = p->to_pixel;
        const vf cx = a[0][0] * x + a[0][1] * y + a[0][2] * z + p->shift[0];
        const vf cy = a[1][0] * x + a[1][1] * y + a[1][2] * z + p->shift[1];
        const vf cz = a[2][0] * x + a[2][1] * y + a[2][2] * z + p->shift[2];
        const vf inv = 1.0f / cz;
        *(vf *)(r->vx + i) = cx;
        *(vf *)(r->vy + i) = cy;
        *(vf *)(r->vz + i) = cz;
        *(vf *)(r->px + i) = cx * inv;
        *(vf *)(r->py + i) = cy * inv;
    }
}

/* Lists the faces that look at the camera. */
LANES_TARGET static inline int32_t FN(front)(raster *r, const placed *p)
{
    const mesh *me = p->mesh;
    int32_t n = 0;
    for (int32_t i = 0; i < me->n_face; i += LANES) {
        const vf s = p->eye[0] * *(const vf *)(me->nx + i) +
                     p->eye[1] * *(const vf *)(me->ny + i) +
                     p->eye[2] * *(const vf *)(me->nz + i) - *(const vf *)(me->off + i);
        *(vf *)(r->facing + i) = s;
        for (int32_t k = 0; k < LANES; k++) {
            r->front[n] = i + k;
            n += r->facing[i + k] > 0;
        }
    }
    return n;
}

#define MIN2(a, b) ((a) < (b) ? (a) : (b))
#define MAX2(a, b) ((a) > (b) ? (a) : (b))

LANES_TARGET static void FN(mesh)(raster *r, const placed *p)
{
    const mesh *me = p->mesh;
    FN(transform)(r, p);
    const int32_t n = FN(front)(r, p);
    const float left = (float)-r->mid_x - 1, right = (float)(r->width - r->mid_x);
    const float top = (float)-r->mid_y - 1, bottom = (float)(r->height - r->mid_y);
    for (int32_t i = 0; i < n; i++) {
        const int32_t f = r->front[i], *k = me->corner[f];
        float b[4];
        if (p->may_cross) {
            if (!raster_near_box(r, k, b)) continue;
        } else {
            const float x0 = r->px[k[0]], x1 = r->px[k[1]], x2 = r->px[k[2]],
                        x3 = r->px[k[3]];
            const float y0 = r->py[k[0]], y1 = r->py[k[1]], y2 = r->py[k[2]],
                        y3 = r->py[k[3]];
            const float xa = MIN2(x0, x1), xb = MAX2(x0, x1), xc = MIN2(x2, x3);
            const float xd = MAX2(x2, x3), ya = MIN2(y0, y1), yb = MAX2(y0, y1);
            const float yc = MIN2(y2, y3), yd = MAX2(y2, y3);
            b[0] = MIN2(xa, xc), b[1] = MIN2(ya, yc);
            b[2] = MAX2(xb, xd), b[3] = MAX2(yb, yd);
        }
        b[0] = MAX2(b[0], left), b[1] = MAX2(b[1], top);
        b[2] = MIN2(b[2], right), b[3] = MIN2(b[3], bottom);
        /* Ceiling and floor, a hundredth of a pixel generous; the edges decide. */
        int32_t box[4] = {(int32_t)(b[0] + (float)(r->mid_x + 2) + 0.99f) - 2,
                          (int32_t)(b[1] + (float)(r->mid_y + 2) + 0.99f) - 2,
                          (int32_t)(b[2] + (float)(r->mid_x + 2) + 0.01f) - 2,
                          (int32_t)(b[3] + (float)(r->mid_y + 2) + 0.01f) - 2};
        box[0] = MAX2(box[0], 0), box[1] = MAX2(box[1], 0);
        box[2] = MIN2(box[2], r->width - 1), box[3] = MIN2(box[3], r->height - 1);
        if (box[0] > box[2] || box[1] > box[3]) continue;

        float e[4][3], w[3];
        for (int32_t c = 0; c < 4; c++) {
            const int32_t s = k[c], t = k[(c + 1) & 3];
            e[c][0] = r->vy[t] * r->vz[s] - r->vz[t] * r->vy[s];
            e[c][1] = r->vz[t] * r->vx[s] - r->vx[t] * r->vz[s];
            e[c][2] = r->vx[t] * r->vy[s] - r->vy[t] * r->vx[s];
        }
        const float scale = -1.0f / r->facing[f];
        const float nx = me->nx[f] * scale, ny = me->ny[f] * scale, nz = me->nz[f] * scale;
        for (int32_t c = 0; c < 3; c++)
            w[c] = p->to_plane[c][0] * nx + p->to_plane[c][1] * ny + p->to_plane[c][2] * nz;
        FN(fill)(r, box, (const float(*)[3])e, w, p->part + f * p->part_step);
    }
}

/* Colours of pixels x0 <= x < x1 of row y, all on the curved part pt. */
LANES_TARGET static inline void FN(shade)(const raster *r, const part *pt, int32_t x0,
                                          int32_t x1, int32_t y)
{
    const float fy = (float)(y - r->mid_y);
    const float *row = r->inv_z + (size_t)y * (size_t)r->stride;
    const lights *l = &r->light;
    for (int32_t x = x0; x < x1; x += LANES) {
        const vf z = 1.0f / *(const vfu *)(row + x);
        const vf fx = lane_f + (float)(x - r->mid_x);
        vf n[3];
        for (int32_t i = 0; i < 3; i++) {
            const float at_row = pt->normal_ray[i][1] * fy + pt->normal_ray[i][2];
            n[i] = z * (pt->normal_ray[i][0] * fx + at_row) + pt->normal_off[i];
        }
        /* 1/sqrt by Newton's method: 2e-6 is far below one step of 8-bit colour */
        const vf nn = n[0] * n[0] + n[1] * n[1] + n[2] * n[2] + 1e-20f;
        vf inv = (vf)(0x5f375a86 - ((vi)nn >> 1));
        inv = inv * (1.5f - 0.5f * nn * inv * inv);
        inv = inv * (1.5f - 0.5f * nn * inv * inv);
        for (int32_t i = 0; i < 3; i++)
            n[i] = n[i] * inv;
        const vf up = n[0] * l->up[0] + n[1] * l->up[1] + n[2] * l->up[2];
        const vf key = POSITIVE(n[0] * l->key[0] + n[1] * l->key[1] + n[2] * l->key[2]);
        const vf fill = POSITIVE(n[0] * l->fill[0] + n[1] * l->fill[1] + n[2] * l->fill[2]);
        vf shine = POSITIVE(n[0] * pt->half[0] + n[1] * pt->half[1] + n[2] * pt->half[2]);
        for (int32_t i = 0; i < 5; i++) /* to the power of 32 */
            shine = shine * shine;
        shine = 40.0f * shine + 0.5f;
        vi rgb = {0};
        for (int32_t i = 0; i < 3; i++) {
            const vf c =
                pt->base[i] + pt->up[i] * up + pt->key[i] * key + pt->fill[i] * fill;
            /* lanes behind x1 see no surface and may hold anything, NaN included */
            const vf light = c + shine;
            const vi low = (vi)(light < 255.0f);
            const vi v = __builtin_convertvector((vf)((vi)light & low), vi);
            rgb |= ((v & low) | (255 & ~low)) << (8 * i);
        }
        if (x + LANES <= x1) {
            *(viu *)(r->line + x) = rgb;
        } else {
            uint32_t part_line[LANES];
            *(viu *)part_line = rgb;
            for (int32_t i = 0; x + i < x1; i++)
                r->line[x + i] = part_line[i];
        }
    }
}

LANES_TARGET static inline void FN(colour_row)(const raster *r, int32_t y, uint8_t *rgb)
{
    const int32_t *ids = r->seen + (size_t)y * (size_t)r->stride;
    uint32_t sky = 0;
    for (int32_t i = 0; i < 3; i++) {
        const float c = r->sky_top[i] + r->sky_step[i] * (float)y;
        sky |= (uint32_t)(c + 0.5f) << (8 * i);
    }
    for (int32_t x = 0; x < r->width;) {
        const int32_t id = ids[x], start = x;
        const part *pt = r->parts + id;
        for (x++; x < r->width && ids[x] == id; x++) {
        }
        if (id && !pt->is_flat) {
            FN(shade)(r, pt, start, x, y);
            continue;
        }
        const uint32_t c = id ? pt->flat_rgb : sky;
        for (int32_t i = start; i < x; i++)
            r->line[i] = c;
    }
    /* Four bytes are written for three, the next pixel mends the fourth; the last has none.
     */
    for (int32_t x = 0; x < r->width - 1; x++)
        memcpy(rgb + 3 * (size_t)x, r->line + x, 4);
    memcpy(rgb + 3 * (size_t)(r->width - 1), r->line + r->width - 1, 3);
}

LANES_TARGET static inline void FN(depth_row)(const raster *r, int32_t y, float *depth,
                                              uint16_t *half)
{
    const size_t at = (size_t)y * (size_t)r->stride;
    for (int32_t x = 0; x < r->width; x += LANES) {
        const vf inv = *(const vf *)(r->inv_z + at + (size_t)x);
        const vi none = *(const vi *)(r->seen + at + (size_t)x) == 0;
        const vf z = (vf)((vi)(1.0f / inv) & ~none);
        const int32_t n = MIN2(LANES, r->width - x);
        if (depth) memcpy(depth + x, &z, (size_t)n * sizeof *depth);
        if (half) {
            /* As raster_half: normal numbers by adding half a step, small ones by a float
             * addition that rounds for us, everything from 65520 on to infinity. */
            const vi bits = (vi)z;
            const vi normal = (bits + 0xfff + ((bits >> 13) & 1) - (112 << 23)) >> 13;
            const vi small = (vi)(z + 0.5f) - 0x3f000000;
            const vi is_small = (bits - 0x38800000) >> 31,
                     is_huge = (0x477fefff - bits) >> 31;
            const vi h = PICKI(is_small, small, PICKI(is_huge, 0x7c00 + (vi){0}, normal));
            const vh h16 = __builtin_convertvector(h, vh);
            memcpy(half + x, &h16, (size_t)n * sizeof *half);
        }
    }
}

LANES_TARGET static void FN(resolve)(raster *r, const raster_image *out)
{
    for (int32_t y = 0; y < r->height; y++) {
        const size_t at = (size_t)y * (size_t)r->width;
        const int32_t *ids = r->seen + (size_t)y * (size_t)r->stride;
        if (out->rgb) FN(colour_row)(r, y, out->rgb + 3 * at);
        float *depth = out->depth ? out->depth + at : NULL;
        uint16_t *half = out->depth_f16 ? out->depth_f16 + at : NULL;
        if (depth || half) FN(depth_row)(r, y, depth, half);
        if (out->label)
            for (int32_t x = 0; x < r->width; x++)
                out->label[at + (size_t)x] = r->part_label[ids[x]];
        if (out->geom)
            for (int32_t x = 0; x < r->width; x++)
                out->geom[at + (size_t)x] = r->parts[ids[x]].geom;
    }
}

#undef FN
#undef LANES_JOIN
#undef LANES_JOIN2
#undef LANES_ISA
#undef LANES_TARGET
#undef MIN2
#undef MAX2
