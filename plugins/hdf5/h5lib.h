/*
 * h5lib.h -- the HDF5 library, loaded when the first file is written.
 *
 * Loading it with its 35 dependencies costs 4 ms warm and 20 ms cold, which `evla check`
 * and programs that only read should not pay. It has one state per process, hence one lock
 * here.
 */
#ifndef EVLA_HDF5_H5LIB_H
#define EVLA_HDF5_H5LIB_H
#include "evla/abi.h"
#include <hdf5.h>

// clang-format off
#define H5LIB_CALLS(X) \
    X(H5open) X(H5dont_atexit) X(H5get_libversion) X(H5Eset_auto2) X(H5Ewalk2) X(H5Eclear2) \
    X(H5Fcreate) X(H5Fopen) X(H5Fclose) X(H5FDregister) \
    X(H5Gcreate2) X(H5Gclose) X(H5Ocopy) X(H5Lcreate_external) \
    X(H5Screate) X(H5Screate_simple) X(H5Sclose) \
    X(H5Tcopy) X(H5Tset_size) X(H5Tset_fields) X(H5Tset_ebias) X(H5Tset_cset) X(H5Tset_strpad) \
    X(H5Tenum_create) X(H5Tenum_insert) X(H5Tclose) \
    X(H5Acreate2) X(H5Awrite) X(H5Aclose) \
    X(H5Dcreate2) X(H5Dwrite) X(H5Dwrite_chunk) X(H5Dclose) \
    X(H5Pcreate) X(H5Pclose) X(H5Pset_driver) X(H5Pget_driver_info) X(H5Pset_alignment) \
    X(H5Pset_meta_block_size) X(H5Pset_obj_track_times) X(H5Pset_fill_time) X(H5Pset_chunk) \
    X(H5Pset_shuffle) X(H5Pset_deflate) X(H5Pset_create_intermediate_group) \
    X(H5Pset_fclose_degree) X(H5Pset_libver_bounds) X(H5Pset_alloc_time)
// clang-format on

/* H5F_ACC_... of the header are macros that call into the library. */
enum { H5LIB_READ = 0, H5LIB_TRUNCATE = 2, H5LIB_CREATE = 16 };

typedef struct h5lib {
#define X(name) __typeof__(&name) name;
    H5LIB_CALLS(X)
#undef X
    hid_t type[EVLA_BOOL + 1]; /* by EVLA_F32, ...; little endian */
    hid_t f16;                 /* reads as numpy.float16 */
    hid_t text;                /* variable-length UTF-8 */
    hid_t c_string;
    hid_t dcpl, fcpl, lcpl; /* without time stamps; missing groups are made */
    hid_t class_file_access, class_dataset_create;
    hid_t driver; /* image.c's */
} h5lib;

/* The library, loaded on first use. NULL after fail. */
const h5lib *h5lib_get(const evla_host *h);

/* Every call into the library happens between these two: it has one state per process. */
void h5lib_lock(void);
void h5lib_unlock(void);

/* What the library says about its last failure: the innermost sentence of its error stack.
 */
const char *h5lib_why(const h5lib *lib, char *buffer, size_t size);
#endif
