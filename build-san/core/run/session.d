build-san/core/run/session.o: core/run/session.c core/run/session.h \
 core/run/../graph/plan.h core/run/../graph/infer.h \
 core/run/../graph/choose.h core/run/../graph/../ctx.h \
 core/run/../graph/../arena.h core/run/../graph/../evla/abi.h \
 core/run/../graph/graph.h core/run/../graph/model.h \
 core/run/../graph/../param.h core/run/../graph/../tensor.h \
 core/run/../graph/../ctx.h core/run/../graph/../value.h \
 core/run/../graph/op.h core/run/../graph/../evla/abi.h \
 core/run/../graph/pack.h core/run/profile.h core/run/../graph/bundle.h \
 core/run/../graph/../tensor.h core/run/../graph/../value.h \
 core/run/../mem.h core/run/../near.h core/run/../registry.h \
 core/run/../tensor.h core/run/exec.h core/run/../host.h \
 core/run/../ctx.h core/run/pool.h core/run/../ctx.h
core/run/session.h:
core/run/../graph/plan.h:
core/run/../graph/infer.h:
core/run/../graph/choose.h:
core/run/../graph/../ctx.h:
core/run/../graph/../arena.h:
core/run/../graph/../evla/abi.h:
core/run/../graph/graph.h:
core/run/../graph/model.h:
core/run/../graph/../param.h:
core/run/../graph/../tensor.h:
core/run/../graph/../ctx.h:
core/run/../graph/../value.h:
core/run/../graph/op.h:
core/run/../graph/../evla/abi.h:
core/run/../graph/pack.h:
core/run/profile.h:
core/run/../graph/bundle.h:
core/run/../graph/../tensor.h:
core/run/../graph/../value.h:
core/run/../mem.h:
core/run/../near.h:
core/run/../registry.h:
core/run/../tensor.h:
core/run/exec.h:
core/run/../host.h:
core/run/../ctx.h:
core/run/pool.h:
core/run/../ctx.h:
