build-san/core/graph/save.o: core/graph/save.c core/graph/save.h \
 core/graph/graph.h core/graph/model.h core/graph/../param.h \
 core/graph/../tensor.h core/graph/../ctx.h core/graph/../arena.h \
 core/graph/../evla/abi.h core/graph/../value.h core/graph/op.h \
 core/graph/../evla/abi.h core/graph/../registry.h core/graph/bundle.h \
 core/graph/../tensor.h core/graph/../value.h
core/graph/save.h:
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
core/graph/bundle.h:
core/graph/../tensor.h:
core/graph/../value.h:
