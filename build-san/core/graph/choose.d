build-san/core/graph/choose.o: core/graph/choose.c core/graph/choose.h \
 core/graph/../ctx.h core/graph/../arena.h core/graph/../evla/abi.h \
 core/graph/../host.h core/graph/../ctx.h core/graph/../registry.h \
 core/graph/../tensor.h
core/graph/choose.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/../host.h:
core/graph/../ctx.h:
core/graph/../registry.h:
core/graph/../tensor.h:
