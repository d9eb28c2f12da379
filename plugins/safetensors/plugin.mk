t_safetensors_SRC   := $(addprefix plugins/safetensors/,json.c header.c index.c shards.c write.c)
fuzz_safetensors_SRC := $(addprefix plugins/safetensors/,json.c header.c write.c)
fuzz_safetensors_index_SRC := $(addprefix plugins/safetensors/,json.c index.c)
