build-san/core/host.o: core/host.c core/host.h core/ctx.h core/arena.h \
 core/evla/abi.h core/data/record.h core/data/../tensor.h \
 core/data/../ctx.h core/registry.h core/tensor.h
core/host.h:
core/ctx.h:
core/arena.h:
core/evla/abi.h:
core/data/record.h:
core/data/../tensor.h:
core/data/../ctx.h:
core/registry.h:
core/tensor.h:
