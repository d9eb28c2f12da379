# Built where the compiler makes code for x86-64. Each instruction set has a file of its own, and
# only that file may use it: what runs is chosen by what the processor has (detect.c).
cpu-x86_ARCH   := x86_64
cpu-x86_CFLAGS := -O3 -fno-math-errno -fno-trapping-math -Wno-psabi
$(B)/plugins/cpu-x86/with_avx2.o:   CFLAGS_ALL += -mavx2 -mfma
$(B)/plugins/cpu-x86/with_avx512.o: CFLAGS_ALL += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512
