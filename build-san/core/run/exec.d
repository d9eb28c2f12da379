build-san/core/run/exec.o: core/run/exec.c core/run/exec.h \
 core/run/../host.h core/run/../ctx.h core/run/../arena.h \
 core/run/../evla/abi.h core/run/pool.h core/run/../ctx.h \
 core/run/profile.h core/run/../graph/plan.h core/run/../graph/infer.h \
 core/run/../graph/choose.h core/run/../graph/../ctx.h \
 core/run/../graph/graph.h core/run/../graph/model.h \
 core/run/../graph/../param.h core/run/../graph/../tensor.h \
 core/run/../graph/../ctx.h core/run/../graph/../value.h \
 core/run/../graph/../arena.h core/run/../graph/op.h \
 core/run/../graph/../evla/abi.h core/run/../graph/pack.h \
 core/run/clock.h
core/run/exec.h:
core/run/../host.h:
core/run/../ctx.h:
core/run/../arena.h:
core/run/../evla/abi.h:
core/run/pool.h:
core/run/../ctx.h:
core/run/profile.h:
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
core/run/clock.h:
