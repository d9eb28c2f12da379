/*
 * bad_params.c -- a parameter that lies outside its struct.
 */
#include "evla/abi.h"

typedef struct bad_params {
    int64_t n;
} bad_params;
static const uint32_t service = sizeof service;
static const evla_param params[] = {
    {.name = "n", .doc = "a number", .type = EVLA_P_INT, .offset = sizeof(bad_params)}};
static const evla_item items[] = {{.kind = EVLA_SERVICE,
                                   .name = "bad",
                                   .table = &service,
                                   .params = params,
                                   .n_params = 1,
                                   .params_size = sizeof(bad_params)}};
static const evla_plugin self = {
    .magic = EVLA_MAGIC,
    .size = sizeof self,
    .built = EVLA_ABI_MAJOR << 16 | EVLA_ABI_MINOR,
    .needs = EVLA_ABI_MAJOR << 16,
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
