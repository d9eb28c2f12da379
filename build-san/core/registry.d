build-san/core/registry.o: core/registry.c core/registry.h core/tensor.h \
 core/ctx.h core/arena.h core/evla/abi.h core/mem.h core/near.h
core/registry.h:
core/tensor.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
core/mem.h:
core/near.h:
