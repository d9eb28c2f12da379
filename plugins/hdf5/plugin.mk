# The HDF5 library is loaded when the first file is written (h5lib.c), so only its headers are used:
# -z defs makes a call that slipped past h5lib.h an error here, not at the user's.
hdf5_HEADER := hdf5.h
hdf5_CFLAGS := $(shell pkg-config --cflags hdf5-serial 2>/dev/null)
hdf5_LIBS    = -ldeflate -lpthread $(if $(SAN),,-Wl$(comma)-z$(comma)defs)
fuzz_hdf5_SRC  := $(filter-out %/h5lib.c %/image.c %/window.c %/part.c %/sink.c %/found.c %/join.c %/hdf5.c,$(wildcard plugins/hdf5/*.c))
fuzz_hdf5_LIBS := -ldeflate
