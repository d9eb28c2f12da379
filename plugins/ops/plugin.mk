# No promises about errno or floating-point traps, so that selects and square roots become vectors;
# neither changes a bit of any result.
ops_CFLAGS := -fno-math-errno -fno-trapping-math
ops_LIBS   := -lm
