/*
 * camera.c -- camera poses as MJCF and as JSON, from one table entry.
 *
 * Not here: pictures (raster.c), which cameras there are (arm.c and the scenes).
 */
#include "camera.h"

#include <math.h>
#include <mujoco/mujoco.h>

static const double degree = 3.14159265358979323846 / 180;

static void axes(const camera *c, double right[3], double down[3], double ahead[3])
{
    mju_copy3(right, c->right);
    mju_normalize3(right);
    mju_cross(ahead, c->up, right);
    mju_normalize3(ahead);
    mju_cross(down, ahead, right);
}

void camera_mjcf(mjcf *x, const camera *c)
{
    double r[3], d[3], a[3];
    axes(c, r, d, a);
    mjcf_add(x, "<camera name='%s' pos='%.9g %.9g %.9g' fovy='%g' ", c->name, c->pos[0],
             c->pos[1], c->pos[2], c->fovy);
    mjcf_add(x, "xyaxes='%.9g %.9g %.9g %.9g %.9g %.9g'/>\n", r[0], r[1], r[2], -d[0],
             -d[1], -d[2]);
}

void camera_json(mjcf *x, const camera *c, int64_t width, int64_t height, double rate_hz)
{
    double r[3], d[3], a[3];
    axes(c, r, d, a);
    double focal = (double)height / 2 / tan(c->fovy * degree / 2);
    mjcf_add(x, "\"%s\":{\"width\":%lld,\"height\":%lld,\"rate_hz\":%g,", c->name,
             (long long)width, (long long)height, rate_hz);
    mjcf_add(x, "\"fx\":%.9g,\"fy\":%.9g,\"cx\":%.9g,\"cy\":%.9g,", focal, focal,
             ((double)width - 1) / 2, ((double)height - 1) / 2);
    mjcf_add(x, "\"parent\":\"%s\",\"position\":[%.9g,%.9g,%.9g],",
             c->body ? c->body : "world", c->pos[0], c->pos[1], c->pos[2]);
    mjcf_add(x, "\"rotation\":[[%.9g,%.9g,%.9g],[%.9g,%.9g,%.9g],[%.9g,%.9g,%.9g]]}", r[0],
             d[0], a[0], r[1], d[1], a[1], r[2], d[2], a[2]);
}
