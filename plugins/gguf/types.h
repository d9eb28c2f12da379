/*
 * types.h -- what numbers in a GGUF file mean: types of metadata values and of tensors.
 */
#ifndef EVLA_GGUF_TYPES_H
#define EVLA_GGUF_TYPES_H
#include "evla/abi.h"

/* Types of metadata values; those of numbers and bools are rows of types_values. */
enum { TYPES_BOOL = 7, TYPES_TEXT = 8, TYPES_LIST = 9, TYPES_VALUES = 13 };
typedef struct types_value {
    int32_t dtype, bytes; /* the engine's; EVLA_NONE for texts and lists */
} types_value;
extern const types_value types_values[TYPES_VALUES];

/* Types of tensors: the file's number, the name of the number format (ggml's in lower case
 * is the engine's) and how many elements share a block. */
typedef struct types_tensor {
    uint32_t id;
    int32_t elements;
    const char *name;
} types_tensor;
const types_tensor *types_by_id(uint64_t id);        /* NULL: none, or given up long ago */
const types_tensor *types_by_name(const char *name); /* NULL: the format has none */

/* Keys that tell how files are laid out, not what they hold: consumed when files are read,
 * refused when they are written. */
#define TYPES_ALIGNMENT     "general.alignment"
#define TYPES_PART          "split.no"
#define TYPES_PARTS         "split.count"
#define TYPES_PARTS_TENSORS "split.tensors.count"

#endif
