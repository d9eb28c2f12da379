# The sum over a vocabulary is worth doing several at once.
generate_CFLAGS := $(if $(filter -O1,$(OPT)),,-O3) -fno-math-errno -fno-trapping-math
generate_LIBS   := -lm
