/*
 * raster_scene.h -- the scene that the rasteriser's test and bench draw: a seven-joint arm
 * of capsules and cylinders over a table with boxes, balls, an ellipsoid, rings of boxes
 * and loose bodies. About 90 geoms, every primitive, no two coplanar faces.
 */
#ifndef EVLA_TESTS_RASTER_SCENE_H
#define EVLA_TESTS_RASTER_SCENE_H
#include <mujoco/mujoco.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct scene_text {
    char xml[32768];
    size_t n;
} scene_text;

__attribute__((format(printf, 2, 3))) static inline void scene_add(scene_text *t,
                                                                   const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    t->n += (size_t)vsnprintf(t->xml + t->n, sizeof t->xml - t->n, f, ap);
    va_end(ap);
}

/* A cup or holder: a ring of n thin boxes around the z axis. */
static inline void scene_ring(scene_text *t, int n, double radius, double z, double h,
                              const char *rgba)
{
    for (int i = 0; i < n; i++) {
        const double a = 360.0 * i / n, rad = a * 3.14159265358979 / 180;
        scene_add(
            t,
            "<geom type='box' size='.004 %g %g' pos='%g %g %g' euler='0 0 %g' rgba='%s'/>",
            radius * 3.3 / n, h, radius * mju_cos(rad), radius * mju_sin(rad), z, a, rgba);
    }
}

static inline mjModel *scene_model(void)
{
    static const char *const white = ".92 .92 .9 1", *const dark = ".25 .27 .3 1";
    static const double link[7] = {.17, .15, .14, .13, .12, .09, .05};
    scene_text *t = calloc(1, sizeof *t);
    mjVFS *vfs = calloc(1, sizeof *vfs);
    if (!t || !vfs) return NULL;
    scene_add(t,
              "<mujoco><compiler angle='degree' eulerseq='xyz'/>"
              "<visual><quality shadowsize='0' offsamples='0'/><map znear='.01' zfar='50'/>"
              "<global offwidth='640' offheight='640'/></visual>"
              "<size njmax='3000' nconmax='800'/><option timestep='.002'/>"
              "<statistic extent='1.5' center='.4 0 .2'/>"
              "<asset><material name='steel' rgba='.6 .63 .68 1'/></asset>"
              "<default><geom friction='1 .01 .001'/></default><worldbody>"
              "<geom type='plane' size='0 0 .1' rgba='.62 .64 .6 1' pos='0 0 -.7'/>"
              "<geom type='plane' size='.3 .2 .1' rgba='.3 .5 .45 1' pos='.45 .1 .0101'/>"
              "<geom type='box' size='.5 .6 .02' pos='.4 0 -.01' rgba='.72 .58 .43 1'/>"
              "<camera name='probe' fovy='50'/>");
    for (int i = 0; i < 4; i++)
        scene_add(t, "<geom type='cylinder' size='.025 .33' pos='%g %g -.361' rgba='%s'/>",
                  i & 1 ? .8 : 0., i & 2 ? .5 : -.5, dark);
    scene_add(
        t,
        "<geom type='box' size='.08 .1 .13' pos='.62 .33 .16' rgba='%s'/>"
        "<geom type='box' size='.12 .1 .02' pos='.55 .33 .31' rgba='.7 .16 .14 1'/>"
        "<geom type='cylinder' size='.015 .03' pos='.5 .33 .26' rgba='%s'/>"
        "<geom type='ellipsoid' size='.05 .03 .07' pos='.2 .42 .081' rgba='.9 .7 .2 1'/>"
        "<geom type='box' size='.1 .1 .1' pos='.4 0 .5' group='3'/>"
        "<geom type='sphere' size='.1' pos='.4 0 .5' rgba='1 1 1 0'/>",
        dark, dark);
    scene_add(t, "<body pos='.5 -.3 .0301'>");
    scene_ring(t, 14, .05, .04, .04, ".55 .2 .6 1");
    scene_add(t, "<geom type='cylinder' size='.048 .005' rgba='.5 .18 .55 1'/></body>");
    scene_add(t, "<body pos='.38 -.1 .15'><freejoint/>");
    scene_ring(t, 12, .035, .0, .045, ".2 .45 .75 1");
    scene_add(
        t,
        "<geom type='box' size='.03 .03 .004' pos='0 0 -.041' rgba='.2 .45 .75 1'/></body>"
        "<body pos='.3 .15 .2'><freejoint/>"
        "<geom type='capsule' size='.02 .05' rgba='.3 .65 .35 1'/></body>"
        "<body pos='.42 .2 .2'><freejoint/>"
        "<geom type='sphere' size='.035' rgba='.85 .3 .25 1'/></body>"
        "<body pos='.35 .32 .2'><freejoint/>"
        "<geom type='ellipsoid' size='.05 .03 .02' rgba='.9 .55 .2 1'/></body>"
        "<body pos='.65 -.05 .2' euler='20 30 0'><freejoint/>"
        "<geom type='cylinder' size='.03 .02' rgba='.45 .3 .2 1'/></body>"
        "<body pos='.6 .1 .2' euler='20 30 50'><freejoint/>"
        "<geom type='box' size='.03 .02 .025' rgba='.2 .2 .6 1'/></body>");
    scene_add(t, "<geom type='cylinder' size='.09 .05' pos='0 0 .061' material='steel'/>");
    scene_add(t, "<body pos='0 0 .1'>");
    for (int i = 0; i < 7; i++) {
        const double r = .06 - .005 * i;
        scene_add(
            t,
            "<joint axis='%s' damping='5' springref='%d' stiffness='50'/>"
            "<geom type='capsule' size='%g' fromto='0 0 0 0 0 %g' rgba='%s' contype='0' "
            "conaffinity='0'/>"
            "<geom type='cylinder' size='%g %g' pos='0 0 %g' euler='90 0 0' rgba='%s' "
            "contype='0' conaffinity='0'/>"
            "<geom type='sphere' size='%g' pos='0 0 %g' rgba='%s' contype='0' "
            "conaffinity='0'/><body pos='0 0 %g'>",
            i & 1 ? "0 1 0" : "0 0 1", i & 1 ? 40 : 10, r, link[i], white, r * .8, r * 1.15,
            link[i], dark, r * .5, link[i] * .55, dark, link[i]);
    }
    scene_add(t,
              "<geom type='box' size='.02 .09 .03' pos='0 0 .06' material='steel'/>"
              "<geom type='box' size='.01 .008 .03' pos='0 .04 .12' rgba='%s'/>"
              "<geom type='box' size='.01 .008 .03' pos='0 -.04 .12' rgba='%s'/>"
              "<camera name='wrist' pos='.07 0 .02' euler='180 0 0' fovy='75'/>",
              dark, dark);
    for (int i = 0; i < 8; i++)
        scene_add(t, "</body>");
    for (int i = 0; i < 10; i++) /* a rack in the back */
        scene_add(t, "<geom type='%s' size='.02 .05' pos='%g -.48 .09' rgba='%g .5 %g 1'/>",
                  i % 3 ? "capsule" : "cylinder", .1 + .07 * i, .2 + .07 * i, .9 - .07 * i);
    scene_add(t, "</worldbody></mujoco>");
    char why[500] = "";
    mj_defaultVFS(vfs);
    mj_makeEmptyFileVFS(vfs, "m.xml", (int)t->n);
    memcpy(vfs->filedata[0], t->xml, t->n);
    mjModel *m = mj_loadXML("m.xml", vfs, why, sizeof why);
    if (!m) fprintf(stderr, "scene: %s\n", why);
    mj_deleteVFS(vfs);
    free(vfs);
    free(t);
    return m;
}

/* Points camera 0 from `from` at `to`. */
static inline void scene_look(mjModel *m, const double from[3], const double to[3],
                              double fovy)
{
    mjtNum z[3], x[3], y[3], up[3] = {0, 0, 1}, rot[9];
    for (int i = 0; i < 3; i++)
        z[i] = from[i] - to[i];
    mju_normalize3(z);
    mju_cross(x, up, z);
    mju_normalize3(x);
    mju_cross(y, z, x);
    for (int i = 0; i < 3; i++) {
        rot[3 * i] = x[i];
        rot[3 * i + 1] = y[i];
        rot[3 * i + 2] = z[i];
        m->cam_pos[i] = from[i];
    }
    mju_mat2Quat(m->cam_quat, rot);
    m->cam_fovy[0] = fovy;
}
#endif
