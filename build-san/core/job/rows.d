build-san/core/job/rows.o: core/job/rows.c core/job/rows.h \
 core/job/../host.h core/job/../ctx.h core/job/../arena.h \
 core/job/../evla/abi.h core/job/job.h core/job/../param.h \
 core/job/../tensor.h core/job/../value.h core/job/../data/record.h \
 core/job/../data/../tensor.h core/job/../mem.h core/job/../near.h \
 core/job/../registry.h core/job/types.h core/job/../graph/model.h \
 core/job/../graph/../param.h
core/job/rows.h:
core/job/../host.h:
core/job/../ctx.h:
core/job/../arena.h:
core/job/../evla/abi.h:
core/job/job.h:
core/job/../param.h:
core/job/../tensor.h:
core/job/../value.h:
core/job/../data/record.h:
core/job/../data/../tensor.h:
core/job/../mem.h:
core/job/../near.h:
core/job/../registry.h:
core/job/types.h:
core/job/../graph/model.h:
core/job/../graph/../param.h:
