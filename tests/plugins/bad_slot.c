/*
 * bad_slot.c -- a stage that can be opened but not closed.
 */
#include "evla/abi.h"

static int32_t describe(const evla_host *h, const void *p, const evla_schema *in,
                        evla_schema *out)
{
    (void)h, (void)p, (void)in, (void)out;
    return EVLA_OK;
}
static int32_t open_it(const evla_host *h, const void *p, const evla_site *site, void **out)
{
    (void)h, (void)p, (void)site, (void)out;
    return EVLA_OK;
}
static const evla_stage stage = {
    .size = sizeof stage, .describe = describe, .open = open_it};
static const evla_item items[] = {{.kind = EVLA_STAGE, .name = "bad", .table = &stage}};
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
