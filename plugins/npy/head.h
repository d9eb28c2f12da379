/*
 * head.h -- what stands before the rows of an npy file: read from bytes that nobody trusts.
 *
 *   0  6 bytes  "\x93NUMPY", then the version: 1.0, 2.0 or 3.0
 *   8  u16      bytes of the header; u32 from version 2.0 on
 *  10  header   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, blanks and a
 * line feed up to a multiple of 64, then the rows
 *
 * Source: NumPy enhancement proposal 1, numpy/lib/format.py
 */
#ifndef EVLA_NPY_HEAD_H
#define EVLA_NPY_HEAD_H
#include "evla/abi.h"

/* A number format by the file's name and the engine's. */
typedef struct head_format {
    int32_t dtype, bytes; /* bytes of one number */
    const char *name;
} head_format;
extern const head_format head_formats[];
extern const int32_t head_n_formats;

/* Reads a whole file of n bytes; the tensor points into it.
 * Fails: EVLA_E_FORMAT when anything is not as above or rows are missing, EVLA_E_DTYPE for
 * numbers that the engine lacks or whose bytes are swapped, EVLA_E_LIMIT for more than 8
 * extents. */
int32_t head_read(const evla_host *h, const char *path, const void *file, uint64_t n,
                  evla_tensor *out);
/* Refuses a file with a sentence that starts with its path. */
__attribute__((format(printf, 4, 5))) int32_t
head_refuse(const evla_host *h, int32_t code, const char *path, const char *format, ...);

#endif
