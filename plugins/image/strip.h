/*
 * strip.h -- film strips; see strip.c.
 */
#ifndef EVLA_IMAGE_STRIP_H
#define EVLA_IMAGE_STRIP_H
#include "evla/abi.h"

/* Draws the strip and writes it as PNG.
 *   s->frames  [F,H,W,3] u8, any strides, top row first
 *   s->picks   n_picks frame numbers in 0..F-1; NULL: spread evenly, first and last
 * included; more picks than frames are cut to F Frames stand left to right, top to bottom,
 * 4 pixels apart (times scale), captions below them, title above. Fails: EVLA_E_SHAPE,
 * EVLA_E_DTYPE on other tensors; EVLA_E_RANGE on picks outside the film, n_picks < 1, scale
 * outside 1..64; EVLA_E_LIMIT when the picture would exceed 64 Mi pixels; EVLA_E_NOMEM;
 * EVLA_E_IO. */
int32_t strip_write(const evla_host *h, const char *path, const evla_strip *s);

#endif
