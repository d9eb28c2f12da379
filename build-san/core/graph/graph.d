build-san/core/graph/graph.o: core/graph/graph.c core/graph/graph.h \
 core/graph/model.h core/graph/../param.h core/graph/../tensor.h \
 core/graph/../ctx.h core/graph/../arena.h core/graph/../evla/abi.h \
 core/graph/../value.h core/graph/op.h core/graph/../evla/abi.h \
 core/graph/../registry.h core/graph/numbers.h core/graph/../tensor.h \
 core/graph/../value.h
core/graph/graph.h:
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/../value.h:
core/graph/op.h:
core/graph/../evla/abi.h:
core/graph/../registry.h:
core/graph/numbers.h:
core/graph/../tensor.h:
core/graph/../value.h:
