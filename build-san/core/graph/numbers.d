build-san/core/graph/numbers.o: core/graph/numbers.c core/graph/numbers.h \
 core/graph/../tensor.h core/graph/../ctx.h core/graph/../arena.h \
 core/graph/../evla/abi.h core/graph/../value.h
core/graph/numbers.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/../value.h:
