/*
 * shards.h -- opens a model: a safetensors file, or the index of several.
 */
#ifndef EVLA_SAFETENSORS_SHARDS_H
#define EVLA_SAFETENSORS_SHARDS_H
#include "evla/abi.h"

/* Is a file that starts with these n bytes JSON, as an index is? Else it starts with the
 * length of a header, eight bytes of which one at least is zero. */
int shards_is_json(const void *head, uint64_t n);
/* evla_format.open and close. Of several files, the attributes are those of the first by
 * name. Fails as header_read and index_read do; EVLA_E_FORMAT also when a file does not
 * hold just what the index says, EVLA_E_MISSING when it is not there. */
int32_t shards_open(const evla_host *h, const char *path, void **self, evla_archive *out);
void shards_close(const evla_host *h, void *self);

#endif
