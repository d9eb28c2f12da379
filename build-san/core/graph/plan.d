build-san/core/graph/plan.o: core/graph/plan.c core/graph/plan.h \
 core/graph/infer.h core/graph/choose.h core/graph/../ctx.h \
 core/graph/../arena.h core/graph/../evla/abi.h core/graph/graph.h \
 core/graph/model.h core/graph/../param.h core/graph/../tensor.h \
 core/graph/../ctx.h core/graph/../value.h core/graph/op.h \
 core/graph/../evla/abi.h core/graph/pack.h core/graph/../host.h \
 core/graph/../mem.h core/graph/../registry.h core/graph/order.h \
 core/graph/rewrite.h core/graph/verify.h
core/graph/plan.h:
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
core/graph/pack.h:
core/graph/../host.h:
core/graph/../mem.h:
core/graph/../registry.h:
core/graph/order.h:
core/graph/rewrite.h:
core/graph/verify.h:
