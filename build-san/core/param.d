build-san/core/param.o: core/param.c core/param.h core/tensor.h \
 core/ctx.h core/arena.h core/evla/abi.h core/value.h core/near.h \
 core/registry.h
core/param.h:
core/tensor.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
core/value.h:
core/near.h:
core/registry.h:
