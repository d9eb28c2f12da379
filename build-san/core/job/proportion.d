build-san/core/job/proportion.o: core/job/proportion.c \
 core/job/proportion.h
core/job/proportion.h:
