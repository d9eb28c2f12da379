/*
 * write.h -- writes a GGUF file of version 3.
 */
#ifndef EVLA_GGUF_WRITE_H
#define EVLA_GGUF_WRITE_H
#include "evla/abi.h"

/* evla_format.write. Keys and tensors by name, data at multiples of 32 bytes. A number is
 * written as its attribute's `element` says; one that says nothing as other tools expect
 * it: an integer as u32, i32, u64 or i64, the first that holds it, a real as f32. Fails:
 * EVLA_E_EXISTS when a name stands twice or is the format's own, EVLA_E_DTYPE for a number
 * format that has no type there, EVLA_E_SHAPE for more than 4 extents, EVLA_E_LIMIT for a
 * tensor's name of more than 63 bytes, which no reader holds, EVLA_E_RANGE for a number
 * that its element cannot hold, EVLA_E_FORMAT for a name or text that is no UTF-8 or a name
 * with control characters, or what the sink says. */
int32_t write_archive(const evla_host *h, const evla_archive *in, evla_sink *to);

#endif
