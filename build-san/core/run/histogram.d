build-san/core/run/histogram.o: core/run/histogram.c core/run/histogram.h
core/run/histogram.h:
