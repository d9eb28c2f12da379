build-san/core/run/loop.o: core/run/loop.c core/run/loop.h \
 core/run/../host.h core/run/../ctx.h core/run/../arena.h \
 core/run/../evla/abi.h core/run/pilot.h core/run/policy.h \
 core/run/../graph/plan.h core/run/../graph/infer.h \
 core/run/../graph/choose.h core/run/../graph/../ctx.h \
 core/run/../graph/graph.h core/run/../graph/model.h \
 core/run/../graph/../param.h core/run/../graph/../tensor.h \
 core/run/../graph/../ctx.h core/run/../graph/../value.h \
 core/run/../graph/../arena.h core/run/../graph/op.h \
 core/run/../graph/../evla/abi.h core/run/../graph/pack.h \
 core/run/../mem.h
core/run/loop.h:
core/run/../host.h:
core/run/../ctx.h:
core/run/../arena.h:
core/run/../evla/abi.h:
core/run/pilot.h:
core/run/policy.h:
core/run/../graph/plan.h:
core/run/../graph/infer.h:
core/run/../graph/choose.h:
core/run/../graph/../ctx.h:
core/run/../graph/graph.h:
core/run/../graph/model.h:
core/run/../graph/../param.h:
core/run/../graph/../tensor.h:
core/run/../graph/../ctx.h:
core/run/../graph/../value.h:
core/run/../graph/../arena.h:
core/run/../graph/op.h:
core/run/../graph/../evla/abi.h:
core/run/../graph/pack.h:
core/run/../mem.h:
