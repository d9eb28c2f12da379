/*
 * pack.h -- bytes to other bytes: half floats, byte shuffling, deflate.
 */
#ifndef EVLA_HDF5_PACK_H
#define EVLA_HDF5_PACK_H
#include "episode.h"

/* Round to nearest even, as IEEE 754 does; overflow becomes infinity. */
void pack_f32_to_f16(const float *in, int64_t n, uint16_t *out);
void pack_f16_to_f32(const uint16_t *in, int64_t n, float *out);
/* HDF5's shuffle filter: all first bytes, then all second bytes, ... and back. */
void pack_shuffle(const uint8_t *in, uint64_t bytes, uint32_t element, uint8_t *out);
void pack_unshuffle(const uint8_t *in, uint64_t bytes, uint32_t element, uint8_t *out);
/* Fills c->chunk from c->data: shuffle (when elements have several bytes) and deflate. */
int32_t pack_column(const evla_host *h, pool *mem, column *c, int level);
/* Inflates a zlib stream that must give exactly `bytes`. False when it does not. */
bool pack_inflate(const void *in, uint64_t in_bytes, void *out, uint64_t bytes);
#endif
