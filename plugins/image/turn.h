/*
 * turn.h -- how a picture is to be turned before people see it: EXIF's orientation.
 */
#ifndef EVLA_IMAGE_TURN_H
#define EVLA_IMAGE_TURN_H
#include <stdint.h>

/* Where pixels of a stored picture go: pixel (y, x) to place first + y down + x right of
 * the picture that is seen, of so many pixels down and across. */
typedef struct turn {
    int64_t height, width, first, down, right;
} turn;

/* 1 to 8 from a TIFF header and what follows; 1, as it lies, when it says nothing or makes
 * no sense. Source: EXIF 2.32, section 4.6.4 (tag 274); TIFF 6.0, section 2. */
int turn_orientation(const uint8_t *tiff, uint64_t n);
/* Of a stored picture of this size. */
turn turn_of(int orientation, int64_t height, int64_t width);

#endif
