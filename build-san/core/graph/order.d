build-san/core/graph/order.o: core/graph/order.c core/graph/order.h \
 core/graph/infer.h core/graph/choose.h core/graph/../ctx.h \
 core/graph/../arena.h core/graph/../evla/abi.h core/graph/graph.h \
 core/graph/model.h core/graph/../param.h core/graph/../tensor.h \
 core/graph/../ctx.h core/graph/../value.h core/graph/op.h \
 core/graph/../evla/abi.h core/graph/../registry.h
core/graph/order.h:
core/graph/infer.h:
core/graph/choose.h:
core/graph/../ctx.h:
core/graph/../arena.h:
core/graph/../evla/abi.h:
core/graph/graph.h:
core/graph/model.h:
core/graph/../param.h:
core/graph/../tensor.h:
core/graph/../ctx.h:
core/graph/../value.h:
core/graph/op.h:
core/graph/../evla/abi.h:
core/graph/../registry.h:
