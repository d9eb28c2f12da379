build-san/core/graph/op.o: core/graph/op.c core/graph/op.h \
 core/graph/../evla/abi.h
core/graph/op.h:
core/graph/../evla/abi.h:
