/*
 * mjcf.h -- a growing text in which the scenes write their MJCF.
 *
 * The text grows by realloc and stays valid until mjcf_free. A failed allocation is
 * remembered in `failed`, so that a scene writes on without checks and world_open looks
 * once.
 */
#ifndef MUJOCO_MJCF_H
#define MUJOCO_MJCF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mjcf {
    char *text; /* always ends with a zero byte once something was written */
    size_t length;
    size_t capacity;
    bool failed;
} mjcf;

/* Appends formatted text. */
__attribute__((format(printf, 2, 3))) void mjcf_add(mjcf *x, const char *format, ...);

/* A hollow wall of `n` boxes around the z axis, from z0 to z1, which a round thing meets on
 * flat faces: MuJoCo gives a cylinder on a box one contact point only, and it rocks. radius
 * inner radius in m;  wall  thickness in m;  attributes  more geom attributes */
void mjcf_ring(mjcf *x, int n, double radius, double wall, double z0, double z1,
               const char *attributes);

/* A full prism of n sides (even), made of n / 2 crossed boxes from z0 to z1, `radius` to
 * its corners in m. */
void mjcf_prism(mjcf *x, int n, double radius, double z0, double z1,
                const char *attributes);

void mjcf_free(mjcf *x);

#endif
