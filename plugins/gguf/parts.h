/*
 * parts.h -- opens a model: one file, or all of several, NAME-00001-of-00003.gguf, by any
 * of them.
 */
#ifndef EVLA_GGUF_PARTS_H
#define EVLA_GGUF_PARTS_H
#include "evla/abi.h"

/* evla_format.open and close. The attributes are those of the first part. Fails as
 * head_read does; EVLA_E_FORMAT also for a part that is not the first, or does not belong
 * to it; EVLA_E_MISSING for one that is not there. */
int32_t parts_open(const evla_host *h, const char *path, void **self, evla_archive *out);
void parts_close(const evla_host *h, void *self);

#endif
