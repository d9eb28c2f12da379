build-san/core/data/stream.o: core/data/stream.c core/data/stream.h \
 core/data/../mem.h
core/data/stream.h:
core/data/../mem.h:
