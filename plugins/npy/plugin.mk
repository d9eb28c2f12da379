fuzz_npy_SRC := plugins/npy/head.c
