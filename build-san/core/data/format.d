build-san/core/data/format.o: core/data/format.c core/data/format.h \
 core/data/../host.h core/data/../ctx.h core/data/../arena.h \
 core/data/../evla/abi.h core/data/../tensor.h core/data/../registry.h \
 core/data/../tensor.h
core/data/format.h:
core/data/../host.h:
core/data/../ctx.h:
core/data/../arena.h:
core/data/../evla/abi.h:
core/data/../tensor.h:
core/data/../registry.h:
core/data/../tensor.h:
