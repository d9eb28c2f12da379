build-san/core/graph/quantize.o: core/graph/quantize.c \
 core/graph/quantize.h core/graph/../host.h core/graph/../ctx.h \
 core/graph/../arena.h core/graph/../evla/abi.h core/graph/graph.h \
 core/graph/model.h core/graph/../param.h core/graph/../tensor.h \
 core/graph/../value.h core/graph/op.h core/graph/../evla/abi.h \
 core/graph/../registry.h core/graph/choose.h core/graph/../ctx.h
core/graph/quantize.h:
core/graph/../host.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/graph.h:
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../value.h:
core/graph/op.h:
core/graph/../evla/abi.h:
core/graph/../registry.h:
core/graph/choose.h:
core/graph/../ctx.h:
