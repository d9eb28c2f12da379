build-san/core/job/files.o: core/job/files.c core/job/job.h \
 core/job/../param.h core/job/../tensor.h core/job/../ctx.h \
 core/job/../arena.h core/job/../evla/abi.h core/job/../value.h
core/job/job.h:
core/job/../param.h:
core/job/../tensor.h:
core/job/../ctx.h:
core/job/../arena.h:
core/job/../evla/abi.h:
core/job/../value.h:
