# nearbyintf becomes one instruction where there is one.
int8_CFLAGS := -fno-math-errno -fno-trapping-math
int8_LIBS   := -lm
