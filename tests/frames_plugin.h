/*
 * frames_plugin.h -- a plugin whose one item is the service "frames", over the functions
 * fr_* that a test defines before it includes this: datasets of the test's own.
 */
#ifndef EVLA_FRAMES_PLUGIN_H
#define EVLA_FRAMES_PLUGIN_H
#include "evla/abi.h"

static const evla_frames_service frames_service = {.size = sizeof frames_service,
                                                   .open = fr_open,
                                                   .close = fr_close,
                                                   .count = fr_count,
                                                   .type = fr_type,
                                                   .read = fr_read,
                                                   .attr = fr_attr};
static const evla_item frames_items[] = {
    {EVLA_SERVICE, "frames", &frames_service, "test", NULL, 0, 0}};
static const evla_plugin frames_plugin = {.magic = EVLA_MAGIC,
                                          .size = sizeof frames_plugin,
                                          .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
                                          .needs = EVLA_ABI_MAJOR << 16,
                                          .id = "test.frames",
                                          .version = "0",
                                          .license = "Apache-2.0",
                                          .items = frames_items,
                                          .n_items = 1};

#endif
