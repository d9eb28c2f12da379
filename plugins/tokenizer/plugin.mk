tokenizer_PKGS := libcjson
