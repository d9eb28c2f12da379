build-san/core/job/pipeline.o: core/job/pipeline.c \
 core/job/../data/record.h core/job/../data/../tensor.h \
 core/job/../data/../ctx.h core/job/../data/../arena.h \
 core/job/../data/../evla/abi.h core/job/../data/stream.h \
 core/job/../host.h core/job/../ctx.h core/job/../mem.h \
 core/job/../registry.h core/job/../tensor.h core/job/types.h \
 core/job/../graph/model.h core/job/../graph/../param.h \
 core/job/../graph/../tensor.h core/job/../graph/../value.h \
 core/job/../graph/../arena.h core/job/job.h core/job/../param.h
core/job/../data/record.h:
core/job/../data/../tensor.h:
core/job/../data/../ctx.h:
core/job/../data/../arena.h:
core/job/../data/../evla/abi.h:
core/job/../data/stream.h:
core/job/../host.h:
core/job/../ctx.h:
core/job/../mem.h:
core/job/../registry.h:
core/job/../tensor.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/../graph/../param.h:
core/job/../graph/../tensor.h:
core/job/../graph/../value.h:
core/job/../graph/../arena.h:
core/job/job.h:
core/job/../param.h:
