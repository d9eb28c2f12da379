/*
 * image.c -- the plugin evla.image: picture files for models, and the service "image",
 * pictures for people.
 *
 * Not here: reading JPEG (jpeg.c) and PNG (png_read.c); writing PNG (png.c), film strips
 * (strip.c), colours (colour.c).
 */
#include "codec.h"
#include "colour.h"
#include "png.h"
#include "strip.h"

static const evla_image_service image = {
    .size = sizeof image,
    .png_write = png_write,
    .strip_write = strip_write,
    .depth_colours = colour_depth,
    .label_colours = colour_labels,
};
static const evla_item items[] = {
    {EVLA_CODEC, "jpeg", &jpeg_codec, "JPEG files: grey, colour, CMYK, turned as they say",
     0, 0, 0},
    {EVLA_CODEC, "png", &png_codec, "PNG files: 1 to 16 bits, palettes, transparency", 0, 0,
     0},
    {EVLA_SERVICE, "image", &image, "PNG files, film strips, depth and labels in colour", 0,
     0, 0},
};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .id = "evla.image",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .items = items,
    .n_items = sizeof items / sizeof items[0],
};
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
