/*
 * shape.h -- convex shapes and the distance between two of them.
 */
#ifndef CAUSAL_SHAPE_H
#define CAUSAL_SHAPE_H

#include <stdint.h>

enum {
    SHAPE_CAPSULE,  /* size[2]: half length along z, size[0]: radius */
    SHAPE_BOX,      /* size: half extents */
    SHAPE_CYLINDER, /* size[0]: radius, size[2]: half length along z */
    SHAPE_PLANE,    /* everything below z = 0 of its frame */
    SHAPE_HULL      /* what lies between two boxes: rot, pos and rot2, pos2, same size */
};

typedef struct shape {
    int32_t type;
    int32_t reserved;
    double pos[3], rot[9];
    double size[3];
    double pos2[3], rot2[9];
    double reach; /* m, radius of a ball about pos that holds all of it */
} shape;

/* Distance in m, below 0 when they overlap (then no deeper than about the rounding of their
 * edges), and the unit vector along which `a` moves away from `b` fastest, with the points
 * that are nearest. Returns 0, or -1 when both are further apart than `most`: nothing
 * written. */
int32_t shape_distance(const shape *a, const shape *b, double most, double *distance,
                       double away[3], double on_a[3], double on_b[3]);

/* How far a's lowest point lies above b's highest, and a's. */
double shape_above(const shape *a, const shape *b, double on_a[3]);

/* Fills reach. */
void shape_measure(shape *s);

#endif
