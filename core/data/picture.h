/*
 * picture.h -- picture files as tensors, through items of kind evla.codec.
 */
#ifndef EVLA_DATA_PICTURE_H
#define EVLA_DATA_PICTURE_H
#include "../ctx.h"

/* A file that was found to be a picture of so many pixels; nothing of them is decoded. */
typedef struct picture {
    const evla_item *codec;
    evla_picture_file file; /* its bytes are ours */
    int64_t height, width;
} picture;

/* Reads the file and measures it. most: pixels of a picture, more are refused.
 * picture_close also after failures. name must outlive the picture. */
int32_t picture_open(ctx *cx, const char *name, int64_t most, picture *out);
void picture_close(picture *p);
/* rgb: height * width * 3 bytes. behind: the colour that shows through. */
int32_t picture_decode(ctx *cx, const picture *p, const uint8_t behind[3], uint8_t *rgb);

#endif
