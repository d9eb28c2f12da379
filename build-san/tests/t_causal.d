build-san/tests/t_causal: plugins/causal/relate.c plugins/causal/relate.h \
 plugins/causal/track.h plugins/causal/rules.h plugins/causal/chain.h \
 plugins/causal/shape.h plugins/causal/vec.h
plugins/causal/relate.h:
plugins/causal/track.h:
plugins/causal/rules.h:
plugins/causal/chain.h:
plugins/causal/shape.h:
plugins/causal/vec.h:
