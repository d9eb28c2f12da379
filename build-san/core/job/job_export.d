build-san/core/job/job_export.o: core/job/job_export.c \
 core/job/../data/format.h core/job/../data/../host.h \
 core/job/../data/../ctx.h core/job/../data/../arena.h \
 core/job/../data/../evla/abi.h core/job/../data/../tensor.h \
 core/job/../graph/save.h core/job/../graph/graph.h \
 core/job/../graph/model.h core/job/../graph/../param.h \
 core/job/../graph/../tensor.h core/job/../graph/../value.h \
 core/job/../graph/../arena.h core/job/../graph/op.h \
 core/job/../graph/../evla/abi.h core/job/../graph/weights.h \
 core/job/types.h core/job/../graph/model.h core/job/job.h \
 core/job/../param.h
core/job/../data/format.h:
core/job/../data/../host.h:
core/job/../data/../ctx.h:
core/job/../data/../arena.h:
core/job/../data/../evla/abi.h:
core/job/../data/../tensor.h:
core/job/../graph/save.h:
core/job/../graph/graph.h:
core/job/../graph/model.h:
core/job/../graph/../param.h:
core/job/../graph/../tensor.h:
core/job/../graph/../value.h:
core/job/../graph/../arena.h:
core/job/../graph/op.h:
core/job/../graph/../evla/abi.h:
core/job/../graph/weights.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/job.h:
core/job/../param.h:
