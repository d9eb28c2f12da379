# evla -- one C engine from demonstrations to a guarded policy. `make help` lists what there is.

# Settings, e.g. make CC=clang PREFIX=/usr check
CC      ?= cc
PREFIX  ?= /usr/local
OPT     ?= -O2 -g
B       ?= build
# Sanitizers: address,undefined or thread. Give them a build folder of their own (make san does).
SAN     ?=
# Where tests find small real files that are no part of this project; they skip without it.
EVLA_TEST_DATA ?= $(abspath ../shared/data)
# Nothing below this line needs editing.

VERSION  := 0.1.0
comma    := ,
WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
BASE     := -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) -Icore -fPIC -ffp-contract=off -MMD -MP
ifneq ($(SAN),)
BASE     += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -DEVLA_LIBC_MALLOC
LINK     := -fsanitize=$(SAN)
MALLOC   :=
else
MALLOC   := -lmimalloc
endif
CFLAGS_ALL = $(BASE) $(CFLAGS)
LUA_PKG  := $(firstword $(foreach p,lua5.4 lua-5.4 lua54,$(shell pkg-config --exists $(p) 2>/dev/null && echo $(p))))

CORE_SRC := $(filter-out core/main.c core/malloc.c,$(wildcard core/*.c core/graph/*.c core/run/*.c core/scene/*.c \
            core/data/*.c core/job/*.c))
HOST_SRC := $(wildcard core/lua/*.c core/main.c core/malloc.c)
CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o)
HOST_OBJ := $(HOST_SRC:%.c=$(B)/%.o)

# A plugin is a folder. Its plugin.mk may set NAME_PKGS (pkg-config), NAME_LIBS, NAME_CFLAGS, NAME_ARCH, and
# t_TEST_SRC, t_TEST_LIBS, t_TEST_CFLAGS for tests that look inside it.
PLUGINS  := $(sort $(patsubst plugins/%/,%,$(dir $(wildcard plugins/*/*.c))))
-include $(wildcard plugins/*/plugin.mk)
# A plugin whose library is missing is not built; evla doctor says which package brings it.
has       = $(if $($(1)_PKGS),$(shell pkg-config --exists $($(1)_PKGS) 2>/dev/null && echo yes),yes)
has_head  = $(if $($(1)_HEADER),$(shell echo '\#include <$($(1)_HEADER)>' | $(CC) $($(1)_CFLAGS) -E -xc - >/dev/null 2>&1 && echo yes),yes)
# One for another machine is not built either (NAME_ARCH, as the compiler's triplet begins).
ARCH     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
has_arch  = $(if $($(1)_ARCH),$(filter $($(1)_ARCH),$(ARCH)),yes)
BUILT    := $(foreach p,$(PLUGINS),$(if $(and $(call has,$(p)),$(call has_head,$(p)),$(call has_arch,$(p))),$(p)))
PLUGIN_SO := $(BUILT:%=$(B)/plugins/%.so)

TEST_C   := $(sort $(patsubst tests/%.c,%,$(wildcard tests/t_*.c)))
TEST_T   := $(sort $(wildcard tests/*.t))
TEST_BIN := $(TEST_C:%=$(B)/tests/%)
TEST_SO  := $(patsubst tests/plugins/%.c,$(B)/tests/plugins/%.so,$(wildcard tests/plugins/*.c))
TEST_AUX := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/*_runner.c)) \
            $(patsubst tests/%.c,$(B)/tests/%.so,$(wildcard tests/preload_*.c))

.PHONY: all coffee check bench bench-peers bench-vla fuzz lint san install clean help deps deps-test format abi-layout
.DELETE_ON_ERROR:

all: $(B)/evla $(B)/libevla.so $(PLUGIN_SO)

help:
	@echo 'make           build build/evla, build/libevla.so and build/plugins/*.so'
	@echo 'make coffee    install what is missing, build, run pipelines/coffee.lua'
	@echo 'make check     install what is missing, build, run all tests'
	@echo 'make bench     the figures: rates and ratios against peers, in one run'
	@echo 'make bench-peers  language models beside llama.cpp; ROUNDS=3 PEER=/path/to/llama-bench'
	@echo 'make bench-vla    SmolVLA beside vla.cpp, a ViT beside onnxruntime; PEER=/path/to/vla-bench'
	@echo 'make fuzz      fuzz every parser; FUZZ_SECONDS=10 each'
	@echo 'make lint      formatting, clang-tidy, cppcheck, both compilers without warnings'
	@echo 'make san       all tests under ASan and UBSan; pool, queues and mailboxes under TSan'
	@echo 'make install   to PREFIX (now $(PREFIX)), with a pkg-config file and a man page'
	@echo 'make clean     remove $(B)/'
	@echo 'Settings: CC PREFIX OPT B SAN EVLA_TEST_DATA'

# ---- packages ----

deps:
	@sh tests/deps.sh run
deps-test:
	@sh tests/deps.sh test
	@sh tests/peers.sh $(B)

# ---- core ----

$(B)/core/lua/%.o: core/lua/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(shell pkg-config --cflags $(LUA_PKG) libedit) -DEVLA_VERSION='"$(VERSION)"' -c -o $@ $<
$(B)/core/main.o: core/main.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(shell pkg-config --cflags $(LUA_PKG) libedit) -DEVLA_VERSION='"$(VERSION)"' -c -o $@ $<
$(B)/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fvisibility=hidden -DEVLA_VERSION='"$(VERSION)"' -c -o $@ $<
$(B)/libcore.a: $(CORE_OBJ)
	rm -f $@ && $(AR) rcs $@ $^
$(B)/libevla.so: $(CORE_OBJ) $(wildcard core/libevla.map)
	$(CC) $(LINK) -shared -Wl,-soname,libevla.so.0 $(if $(wildcard core/libevla.map),-Wl$(comma)--version-script=core/libevla.map) \
	  -o $@ $(CORE_OBJ) $(MALLOC) -ldl -lpthread -lm
	ln -sf libevla.so $@.0
# What core/malloc.c counts is seen by plugins, too.
COUNTED  := $(if $(SAN),,$(patsubst %,-Wl$(comma)--export-dynamic-symbol=%,malloc calloc realloc reallocarray aligned_alloc posix_memalign memalign valloc pvalloc _Znwm* _Znam*))
$(B)/evla: $(HOST_OBJ) $(B)/libcore.a
	$(CC) $(LINK) $(COUNTED) -o $@ $(HOST_OBJ) $(B)/libcore.a $(shell pkg-config --libs $(LUA_PKG) libedit) $(MALLOC) -ldl -lpthread -lm -lrt

# ---- plugins ----

define plugin_rules
$(1)_OBJ := $$(patsubst %.c,$(B)/%.o,$$(wildcard plugins/$(1)/*.c))
$(B)/plugins/$(1)/%.o: plugins/$(1)/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS_ALL) -fvisibility=hidden $$(if $$($(1)_PKGS),$$$$(pkg-config --cflags $$($(1)_PKGS))) $$($(1)_CFLAGS) -c -o $$@ $$<
$(B)/plugins/$(1).so: $$($(1)_OBJ)
	$$(CC) $$(LINK) -shared -o $$@ $$($(1)_OBJ) $$(if $$($(1)_PKGS),$$$$(pkg-config --libs $$($(1)_PKGS))) $$($(1)_LIBS)
endef
$(foreach p,$(PLUGINS),$(eval $(call plugin_rules,$(p))))

# ---- tests ----

.SECONDEXPANSION:
$(B)/tests/t_%: tests/t_%.c $$(t_$$*_SRC) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(t_$*_CFLAGS) $(LINK) -rdynamic -o $@ $(filter %.c,$^) $(B)/libcore.a $(t_$*_LIBS) $(MALLOC) -ldl -lpthread -lm
$(B)/tests/grad_runner $(B)/tests/chunk_runner: $(B)/tests/%: tests/%.c $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LINK) -rdynamic -o $@ $< $(B)/libcore.a $(MALLOC) -ldl -lpthread -lm
$(B)/tests/%_runner: tests/%_runner.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LINK) -rdynamic -o $@ $< $(MALLOC) -ldl -lpthread -lm
$(B)/tests/plugins/%.so: tests/plugins/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fvisibility=hidden $(LINK) -shared -o $@ $< -lm
$(B)/tests/preload_%.so: tests/preload_%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -shared -o $@ $< -ldl

tests: $(TEST_BIN) $(TEST_SO) $(TEST_AUX)
.PHONY: tests

# One test more than there are processors: some wait most of the time.
WAITING := $(shell expr $$(nproc) + 1)
# Everything a test needs is built before prove starts, so tests never race with the compiler.
check: deps-test
	@$(MAKE) --no-print-directory -j$(shell nproc) all tests
	EVLA_TEST_DATA='$(EVLA_TEST_DATA)' EVLA_BUILD='$(abspath $(B))' CC='$(CC)' \
	  prove --timer --exec '' -j$(WAITING) $(TEST_BIN) $(TEST_T)

coffee: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	$(B)/evla run pipelines/coffee.lua

$(B)/bench/%: tests/bench/%.c $$($$*_SRC) $(B)/libevla.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $($*_CFLAGS) -o $@ $(filter %.c,$^) $(B)/libevla.so -Wl,-rpath,$(abspath $(B)) $($*_LIBS) -ldl -lpthread -lm
bench: all $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
	sh tests/bench/run.sh $(B)
bench-peers: all $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/bench_x86.c tests/bench/bench_panels.c))
	@sh tests/peers.sh $(B) bench
	@/usr/bin/python3 tests/bench/peers.py $(B)
	@echo 'linear, rows x 2048 x 2048, beside what registers alone can do'
	@EVLA_BUILD='$(abspath $(B))' $(B)/bench/bench_panels
bench-vla: all $(B)/bench/bench_x86
	@sh tests/peers.sh $(B) bench
	@/usr/bin/python3 tests/bench/smolvla.py $(B)
	@/usr/bin/python3 tests/bench/vit.py $(B)

# ---- fuzzing: clang's libFuzzer with ASan, sources of the core compiled in ----

FUZZ_SECONDS ?= 60
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CC  ?= clang
FUZZ_CFLAGS := -std=c11 -D_GNU_SOURCE -g -O1 $(WARN) -Icore -DEVLA_LIBC_MALLOC -DEVLA_VERSION='"$(VERSION)"' -fno-sanitize-recover=all
FUZZ_CORE   := $(CORE_SRC:%.c=$(B)/fuzz/%.o)
$(FUZZ_CORE): $(B)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
-include $(FUZZ_CORE:.o=.d)
# A fuzzer of a plugin names its sources in plugin.mk; the others get the core.
$(FUZZ:%=$(B)/fuzz/%): $(B)/fuzz/%: tests/fuzz/%.c $$(or $$($$*_SRC),$(FUZZ_CORE))
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) $($*_CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.c %.o,$^) $($*_LIBS) -ldl -lpthread -lm
# One for each processor at a time; the first that fails ends it.
fuzz: $(FUZZ:%=$(B)/fuzz/%)
	@printf '%s\n' $(FUZZ) | xargs -P $(shell nproc) -I {} sh -c 'f={}; mkdir -p $(B)/fuzz/corpus-$$f; \
	  $(B)/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
	    -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus-$$f $$(ls -d tests/fuzz/corpus/$${f#fuzz_} 2>/dev/null) >$(B)/fuzz/$$f.log 2>&1 && \
	  echo "== $$f, $(FUZZ_SECONDS) s" || { cat $(B)/fuzz/$$f.log; exit 255; }'

# ---- lint ----

C_FILES  := $(wildcard core/*.[ch] core/*/*.[ch] plugins/*/*.[ch] tests/*.[ch] tests/*/*.[ch] docs/*.c)
lint:
	@sh tests/lint.sh
format:
	clang-format -i $(filter-out core/evla/%,$(C_FILES))
abi-layout:
	sh tests/abi_layout.sh write

# ---- sanitizers ----

san:
	@$(MAKE) --no-print-directory B=$(B)/asan SAN=address,undefined OPT='-O2 -g' -j$(shell nproc) all tests
	ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 EVLA_SAN=1 \
	  EVLA_TEST_DATA='$(EVLA_TEST_DATA)' EVLA_BUILD='$(abspath $(B)/asan)' CC='$(CC)' \
	  prove --timer --exec '' -j$(WAITING) $(TEST_C:%=$(B)/asan/tests/%) $(TEST_T)
	@$(MAKE) --no-print-directory B=$(B)/tsan SAN=thread OPT='-O1 -g' -j$(shell nproc) \
	  $(TSAN:%=$(B)/tsan/tests/%) $(B)/tsan/tests/plugins/body_point.so
	EVLA_SAN=1 EVLA_BUILD='$(abspath $(B)/tsan)' prove --timer --exec '' $(TSAN:%=$(B)/tsan/tests/%)
TSAN := $(filter t_pool t_stream t_exec t_job t_rows t_mailbox t_loop t_realtime,$(TEST_C))

# ---- install ----

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/evla/plugins $(DESTDIR)$(PREFIX)/lib/pkgconfig \
	  $(DESTDIR)$(PREFIX)/include/evla $(DESTDIR)$(PREFIX)/share/evla $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(B)/evla $(DESTDIR)$(PREFIX)/bin/evla
	install -m 755 $(B)/libevla.so $(DESTDIR)$(PREFIX)/lib/libevla.so.0
	ln -sf libevla.so.0 $(DESTDIR)$(PREFIX)/lib/libevla.so
	install -m 755 $(PLUGIN_SO) $(DESTDIR)$(PREFIX)/lib/evla/plugins/
	install -m 644 core/evla/*.h $(DESTDIR)$(PREFIX)/include/evla/
	cp -r scripts pipelines $(DESTDIR)$(PREFIX)/share/evla/
	cp -r plugins/template $(DESTDIR)$(PREFIX)/share/evla/template
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' evla.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/evla.pc
	install -m 644 docs/evla.1 $(DESTDIR)$(PREFIX)/share/man/man1/

clean:
	rm -rf $(B)

-include $(CORE_OBJ:.o=.d) $(HOST_OBJ:.o=.d) $(foreach p,$(PLUGINS),$($(p)_OBJ:.o=.d)) $(wildcard $(B)/tests/*.d) $(TEST_SO:.so=.d)
