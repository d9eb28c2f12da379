/*
 * bad_newer.c -- a plugin that needs a newer core.
 */
#include "evla/abi.h"

static const uint32_t service = sizeof service;
static const evla_item items[] = {{.kind = EVLA_SERVICE, .name = "bad", .table = &service}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16 | (EVLA_ABI_MINOR + 3),
    .n_items = 1,
    .items = items,
    .id = "test.bad",
    .version = "0.1.0",
    .license = "Apache-2.0",
};
__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return &self;
}
