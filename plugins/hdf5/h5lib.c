/*
 * h5lib.c -- loads the HDF5 library and prepares the types and property lists all files
 * share.
 *
 * The statics here mirror the library's own: it keeps one state per process, whoever uses
 * it.
 */
#include "h5lib.h"
#include "common.h"
#include "image.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static h5lib lib;
static int is_loaded;

void h5lib_lock(void) { pthread_mutex_lock(&lock); }

void h5lib_unlock(void) { pthread_mutex_unlock(&lock); }

static int resolve(void *so, const char *name, void *slot)
{
    void *p = dlsym(so, name);
    memcpy(slot, &p, sizeof p); /* ISO C has no cast from data to function pointers */
    return p != NULL;
}

static hid_t constant(void *so, const char *name)
{
    hid_t *p = dlsym(so, name);
    return p ? *p : -1;
}

static hid_t half(void)
{
    hid_t t = lib.H5Tcopy(lib.type[EVLA_F32]); /* sign 15, exponent 10..14, bias 15 */
    if (lib.H5Tset_fields(t, 15, 10, 5, 0, 10) < 0 || lib.H5Tset_size(t, 2) < 0) return -1;
    return lib.H5Tset_ebias(t, 15) < 0 ? -1 : t;
}

static hid_t boolean(void) /* h5py's convention: numpy.bool_ */
{
    hid_t t = lib.H5Tenum_create(lib.type[EVLA_I8]);
    int8_t no = 0, yes = 1;
    if (lib.H5Tenum_insert(t, "FALSE", &no) < 0) return -1;
    return lib.H5Tenum_insert(t, "TRUE", &yes) < 0 ? -1 : t;
}

static int prepare(void *so)
{
    static const struct {
        int32_t dtype;
        const char *name;
    } plain[] = {{EVLA_F32, "H5T_IEEE_F32LE_g"}, {EVLA_F64, "H5T_IEEE_F64LE_g"},
                 {EVLA_I8, "H5T_STD_I8LE_g"},    {EVLA_I16, "H5T_STD_I16LE_g"},
                 {EVLA_I32, "H5T_STD_I32LE_g"},  {EVLA_I64, "H5T_STD_I64LE_g"},
                 {EVLA_U8, "H5T_STD_U8LE_g"},    {EVLA_U16, "H5T_STD_U16LE_g"},
                 {EVLA_U32, "H5T_STD_U32LE_g"},  {EVLA_U64, "H5T_STD_U64LE_g"}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        lib.type[plain[i].dtype] = constant(so, plain[i].name);
        if (lib.type[plain[i].dtype] < 0) return 0;
    }
    lib.c_string = constant(so, "H5T_C_S1_g");
    lib.class_file_access = constant(so, "H5P_CLS_FILE_ACCESS_ID_g");
    lib.class_dataset_create = constant(so, "H5P_CLS_DATASET_CREATE_ID_g");
    if ((lib.f16 = half()) < 0 || (lib.type[EVLA_BOOL] = boolean()) < 0) return 0;
    lib.text = lib.H5Tcopy(lib.c_string);
    lib.dcpl = lib.H5Pcreate(lib.class_dataset_create);
    lib.lcpl = lib.H5Pcreate(constant(so, "H5P_CLS_LINK_CREATE_ID_g"));
    lib.fcpl = lib.H5Pcreate(constant(so, "H5P_CLS_FILE_CREATE_ID_g"));
    return lib.H5Tset_size(lib.text, H5T_VARIABLE) >= 0 &&
           lib.H5Tset_cset(lib.text, H5T_CSET_UTF8) >= 0 &&
           lib.H5Pset_obj_track_times(lib.dcpl, 0) >= 0 && /* same data, same bytes */
           lib.H5Pset_obj_track_times(lib.fcpl, 0) >= 0 &&
           lib.H5Pset_fill_time(lib.dcpl, H5D_FILL_TIME_NEVER) >= 0 &&
           lib.H5Pset_create_intermediate_group(lib.lcpl, 1) >= 0 &&
           (lib.driver = image_register(&lib)) >= 0;
}

static int32_t load(const evla_host *h)
{
    static const char *const names[] = {"libhdf5_serial.so.103", "libhdf5.so.103",
                                        "libhdf5_serial.so", "libhdf5.so"};
    void *so = NULL;
    unsigned major = 0, minor = 0, patch = 0;
    for (size_t i = 0; !so && i < sizeof names / sizeof *names; i++)
        so = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return say(h, EVLA_E_MISSING,
                   "hdf5: %s cannot be loaded (%s); Debian's package is libhdf5-103-1",
                   names[0], dlerror());
#define X(name)                                                                            \
    if (!resolve(so, #name, &lib.name))                                                    \
        return say(h, EVLA_E_MISSING, "hdf5: the HDF5 library has no %s; want 1.10", #name);
    H5LIB_CALLS(X)
#undef X
    /* Else the library closes what a failure left open at exit, through drivers long gone.
     */
    lib.H5dont_atexit();
    lib.H5open();
    lib.H5get_libversion(&major, &minor, &patch);
    if (major != H5_VERS_MAJOR || minor != H5_VERS_MINOR)
        return say(h, EVLA_E_MISSING, "hdf5: built for HDF5 %d.%d, found %u.%u.%u",
                   H5_VERS_MAJOR, H5_VERS_MINOR, major, minor, patch);
    lib.H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (!prepare(so))
        return say(h, EVLA_E_MISSING, "hdf5: the HDF5 library cannot be set up");
    is_loaded = 1;
    return EVLA_OK;
}

const h5lib *h5lib_get(const evla_host *h)
{
    h5lib_lock();
    int32_t st = is_loaded ? EVLA_OK : load(h);
    h5lib_unlock();
    return st ? NULL : &lib;
}

typedef struct reason {
    char *text;
    size_t size;
} reason;

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *data)
{
    reason *r = data;
    if (n == 0 && e->desc) snprintf(r->text, r->size, "%s", e->desc);
    return 0;
}

const char *h5lib_why(const h5lib *l, char *buffer, size_t size)
{
    reason r = {buffer, size};
    snprintf(buffer, size, "no reason given");
    l->H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &r);
    l->H5Eclear2(H5E_DEFAULT);
    return buffer;
}
