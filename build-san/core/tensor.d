build-san/core/tensor.o: core/tensor.c core/registry.h core/tensor.h \
 core/ctx.h core/arena.h core/evla/abi.h
core/registry.h:
core/tensor.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
