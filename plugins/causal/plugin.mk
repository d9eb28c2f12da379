causal_LIBS := -lm
t_causal_SRC  := $(addprefix plugins/causal/,causal.c judge.c chain.c shape.c rules.c rules_coffee.c track.c bound.c relate.c)
bench_causal_SRC := $(t_causal_SRC)
