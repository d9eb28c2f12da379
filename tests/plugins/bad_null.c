/*
 * bad_null.c -- an entry that returns nothing.
 */
#include "evla/abi.h"

__attribute__((visibility("default"))) const evla_plugin *evla_plugin_entry(void)
{
    return NULL;
}
