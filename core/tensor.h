/*
 * tensor.h -- number formats, types written as text, and views of memory.
 *
 * A type as text is `f32[B,3,2*W]`: a number format and extents, each an expression of
 * integers and symbols. A symbol is a capital letter, then letters and digits.
 */
#ifndef EVLA_TENSOR_H
#define EVLA_TENSOR_H
#include "ctx.h"

enum { TENSOR_MAX_SYMBOLS = 16, TENSOR_MAX_DTYPES = 64 };

/* The extents that symbols stand for. */
typedef struct symbols {
    int32_t n;
    const char *name[TENSOR_MAX_SYMBOLS];
    int64_t extent[TENSOR_MAX_SYMBOLS];
} symbols;

const int64_t *symbols_get(const symbols *s, const char *name, size_t n);

/* The number formats of an engine: C's own, then what plugins registered. */
typedef struct dtype_info {
    const char *name;
    int32_t block_elements, block_bytes;
    const evla_dtype *table; /* NULL for C's own */
} dtype_info;

/* NULL when there is no such id. */
const dtype_info *dtype_get(const registry *reg, int32_t dtype);
int32_t dtype_find(const registry *reg, const char *name,
                   size_t n); /* EVLA_NONE when absent */
const char *dtype_name(const registry *reg, int32_t dtype);
/* Blocks that hold n elements of a row. */
int64_t dtype_blocks(const dtype_info *d, int64_t n);
/* Bytes of n elements in a row; -1 for a part of a block, unless the format is ragged, and
 * for overflow. */
int64_t dtype_bytes(const registry *reg, int32_t dtype, int64_t n);

/* Evaluates "2*D+1". Unknown symbols are an error that names them. [0, 2^48] */
int32_t size_eval(ctx *cx, const char *text, size_t n, const symbols *s, int64_t *out);
/* Parses "f32[B,7]" and binds its symbols. With s NULL symbolic extents become -1. */
int32_t type_parse(ctx *cx, const char *text, const symbols *s, evla_type *out);
/* Calls `found` for every symbol in a type's text. */
int32_t type_symbols(ctx *cx, const char *text,
                     int32_t (*found)(void *to, const char *name, size_t n), void *to);
/* Binds the symbols that stand alone as an extent so that the text describes the type. */
int32_t type_match(ctx *cx, const char *text, const evla_type *type, symbols *s);
/* "f32[32,7]" in the arena, "?" when memory is out. */
const char *type_text(const registry *reg, arena *a, const evla_type *t);
int64_t type_count(const evla_type *t); /* elements; -1 on overflow */
int64_t type_bytes(const registry *reg,
                   const evla_type *t); /* -1: overflow, or rows that no block can end */
/* Elements of a dense tensor whose blocks lie without a gap: all of them, or one row where
 * rows end inside a block. */
int64_t type_run(const registry *reg, const evla_type *t);
int type_equal(const evla_type *a, const evla_type *b);
/* A dense view of memory. */
evla_tensor tensor_view(const registry *reg, const evla_type *t, void *data);

#endif
