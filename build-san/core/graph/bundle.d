build-san/core/graph/bundle.o: core/graph/bundle.c core/graph/bundle.h \
 core/graph/../tensor.h core/graph/../ctx.h core/graph/../arena.h \
 core/graph/../evla/abi.h core/graph/../value.h core/graph/../registry.h \
 core/graph/../tensor.h
core/graph/bundle.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/../value.h:
core/graph/../registry.h:
core/graph/../tensor.h:
