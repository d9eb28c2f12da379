# Built where the compiler makes code for x86-64. Each instruction set has a file of its own, and
# only that file may use it: what runs is chosen by what the processor has (detect.c).
cpu-x86_ARCH   := x86_64
cpu-x86_LIBS   := -lm
# -O3 for the kernels, unless this is a build at -O1, which nobody measures.
cpu-x86_CFLAGS := $(if $(filter -O1,$(OPT)),,-O3) -fno-math-errno -fno-trapping-math -Wno-psabi
x86_AVX2   := -mavx2 -mfma -mf16c
x86_AVX512 := $(x86_AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
$(B)/plugins/cpu-x86/with_avx2.o:      CFLAGS_ALL += $(x86_AVX2)
$(B)/plugins/cpu-x86/with_avx2_vnni.o: CFLAGS_ALL += $(x86_AVX2) -mavxvnni
$(B)/plugins/cpu-x86/with_avx512.o:    CFLAGS_ALL += $(x86_AVX512)
$(B)/plugins/cpu-x86/with_vnni.o:      CFLAGS_ALL += $(x86_AVX512) -mavx512vnni
$(B)/plugins/cpu-x86/with_bf16.o:      CFLAGS_ALL += $(x86_AVX512) -mavx512bf16
