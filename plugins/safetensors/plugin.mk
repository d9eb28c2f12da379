t_safetensors_SRC   := plugins/safetensors/header.c plugins/safetensors/write.c
fuzz_safetensors_SRC := plugins/safetensors/header.c plugins/safetensors/write.c
