# Vectors without reordering: O3, and no promises about errno or floating-point traps, neither of
# which changes a bit of any result.
ops_CFLAGS := -O3 -fno-math-errno -fno-trapping-math
ops_LIBS   := -lm
