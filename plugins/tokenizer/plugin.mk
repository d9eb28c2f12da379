tokenizer_PKGS := libcjson
fuzz_tokenizer_SRC         := $(wildcard plugins/tokenizer/*.c)
fuzz_tokenizer_LIBS        := -lcjson
fuzz_tokenizer_file_SRC    := $(fuzz_tokenizer_SRC)
fuzz_tokenizer_file_LIBS   := $(fuzz_tokenizer_LIBS)
