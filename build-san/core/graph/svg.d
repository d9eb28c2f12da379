build-san/core/graph/svg.o: core/graph/svg.c core/graph/svg.h \
 core/graph/../arena.h
core/graph/svg.h:
core/graph/../arena.h:
