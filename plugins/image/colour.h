/*
 * colour.h -- depth and labels as colours that people can read; see colour.c.
 */
#ifndef EVLA_IMAGE_COLOUR_H
#define EVLA_IMAGE_COLOUR_H
#include "evla/abi.h"

/*   depth  [n] f32 metres; 0, negative or not finite: nothing was seen, drawn dark gray
 *   rgb    [n,3] u8; warm is near, cold is far, clamped to [near_m, far_m]
 * Fails: EVLA_E_RANGE unless 0 <= near_m < far_m, both finite; EVLA_E_ARG when n < 0. */
int32_t colour_depth(const evla_host *h, const float *depth, int64_t n, float near_m,
                     float far_m, uint8_t *rgb);

/*   labels [n] u8; rgb [n,3] u8. Label 0 is dark gray; the others differ from one another,
 * and neighbours in number differ most. The same label has the same colour in every
 * picture. Fails: EVLA_E_ARG when n < 0. */
int32_t colour_labels(const evla_host *h, const uint8_t *labels, int64_t n, uint8_t *rgb);

#endif
