# Looking for codes is worth vectors, unless this is a build at -O1, which nobody measures.
gguf_CFLAGS := $(if $(filter -O1,$(OPT)),,-O3) -fno-math-errno
gguf_LIBS   := -lm
t_gguf_SRC    := $(addprefix plugins/gguf/,head.c types.c parts.c write.c)
fuzz_gguf_SRC := $(t_gguf_SRC)
