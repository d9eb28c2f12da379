/*
 * png.h -- pictures as PNG files and as text for web pages; see png.c.
 */
#ifndef EVLA_IMAGE_PNG_H
#define EVLA_IMAGE_PNG_H
#include "evla/abi.h"

enum { PNG_MAX_SIDE = 65536 }; /* pixels */

/* Writes the picture to path: first beside it (".part"), then by rename, so that readers
 * see the old file or the whole new one. What is no regular file (a device) is written
 * directly. p  1, 3 or 4 channels of 8 or 16 bits (native endian), top row first Fails:
 * EVLA_E_SHAPE on channels, bits, sides or row_bytes that are no picture; EVLA_E_NOMEM;
 * EVLA_E_IO when the system refuses, leaving nothing behind. */
int32_t png_write(const evla_host *h, const char *path, const evla_picture *p);

#endif
