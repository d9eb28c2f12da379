/*
 * codec.h -- the picture formats that this plugin reads, and what their readers share.
 */
#ifndef EVLA_IMAGE_CODEC_H
#define EVLA_IMAGE_CODEC_H
#include "evla/abi.h"

extern const evla_codec jpeg_codec, png_codec;

/* host->fail with "NAME: no whole FORMAT picture: WHY". */
int32_t codec_fail(const evla_host *h, int32_t code, const evla_picture_file *f,
                   const char *format, const char *why);

/* Nearest a / 255 of a number up to 255 * 255, half up. */
static inline uint8_t codec_255(uint32_t a)
{
    a += 128;
    return (uint8_t)(((a >> 8) + a) >> 8);
}

#endif
