build-san/core/run/pilot.o: core/run/pilot.c core/run/pilot.h \
 core/run/policy.h core/run/../graph/plan.h core/run/../graph/infer.h \
 core/run/../graph/choose.h core/run/../graph/../ctx.h \
 core/run/../graph/../arena.h core/run/../graph/../evla/abi.h \
 core/run/../graph/graph.h core/run/../graph/model.h \
 core/run/../graph/../param.h core/run/../graph/../tensor.h \
 core/run/../graph/../ctx.h core/run/../graph/../value.h \
 core/run/../graph/op.h core/run/../graph/../evla/abi.h \
 core/run/../graph/pack.h core/run/../mem.h core/run/clock.h \
 core/run/mailbox.h core/run/../ctx.h core/run/session.h \
 core/run/profile.h
core/run/pilot.h:
core/run/policy.h:
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
core/run/../mem.h:
core/run/clock.h:
core/run/mailbox.h:
core/run/../ctx.h:
core/run/session.h:
core/run/profile.h:
