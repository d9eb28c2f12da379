/*
 * write.h -- writes a safetensors file.
 */
#ifndef EVLA_SAFETENSORS_WRITE_H
#define EVLA_SAFETENSORS_WRITE_H
#include "evla/abi.h"

/* evla_format.write. Attributes become __metadata__: integers and reals as text. Fails:
 * EVLA_E_EXISTS when a name stands twice, EVLA_E_DTYPE when the format has no name for a
 * number format, EVLA_E_FORMAT for a name that is no UTF-8 or holds control characters,
 * or what the sink says. */
int32_t write_archive(const evla_host *h, const evla_archive *in, evla_sink *to);

#endif
