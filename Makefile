# SPDX-License-Identifier: MIT
# What people type. The build itself is cmake's (CMakeLists.txt, CMakePresets.json); the longer recipes are in scripts/.
#
#   make            installs what is missing and builds build/warmslot
#   make demo       plays two agent conversations through one slot, with the cache and without
#   make check      format, static analysis, layers            make test    all tests in their short forms
#   make soak       long tests, SOAK_SECONDS each (300)        make fuzz    fuzzers, FUZZ_SECONDS each (300)
#   make bench      all of bench/, minutes                     make peer    llama-server, to compare with, in build/peer/bin
#   make bench PEER=/path/to/llama-server                      only the comparison with it: bench/RESULTS.md
#   make install    PREFIX=/usr/local DESTDIR=                 make clean   all of build/ but the engine; distclean: that too
#
# WARMSLOT_LLAMA=DIR builds on a llama.cpp tree with its own build, WARMSLOT_ENGINE_PACKAGE=linux-x64-cuda on a GPU engine package,
# WARMSLOT_WERROR=ON makes warnings errors. CMAKE_FLAGS are handed to cmake as they are. cmake remembers each until another is given.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 300
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)

cmake_flags := $(foreach name,WARMSLOT_LLAMA WARMSLOT_ENGINE_PACKAGE WARMSLOT_WERROR,$(if $($(name)),-D$(name)=$($(name)))) $(CMAKE_FLAGS)
# cmake reports what it finds on stdout, and what is wrong on stderr.
build = cmake --preset $(1) $(cmake_flags) >/dev/null && cmake --build --preset $(1)

.PHONY: all deps engine release dev tsan install demo bench soak fuzz peer check test clean distclean
.NOTPARALLEL:

all: release

deps:
	@scripts/deps build

engine: deps
	@$(if $(WARMSLOT_LLAMA),true,scripts/engine)

release dev tsan: engine
	@$(call build,$@)

dev tsan: test-deps

.PHONY: test-deps
test-deps:
	@scripts/deps build test

install: release
	@cmake --install build --prefix $(abspath $(PREFIX)) >/dev/null && echo "installed $(DESTDIR)$(abspath $(PREFIX))/bin/warmslot"

demo: release
	@WARMSLOT_BIN=$(CURDIR)/build/warmslot node bench/demo.js

bench: release
	@if [ -n "$(PEER)" ] || [ -x build/peer/bin/llama-server ]; then echo "== bench/compare.js" && scripts/bench-peer "$(or $(PEER),build/peer/bin/llama-server)" && \
		PEER="$(PEER)" WARMSLOT_BIN=$(CURDIR)/build/warmslot node bench/compare.js --write $(COMPARE); \
	else echo "no llama-server to compare with: make peer, or make bench PEER=/path/to/llama-server"; fi
ifndef PEER
	@cmake --build build --target benches
	@for file in bench/*.c; do echo "== $$file"; build/bench/$$(basename $$file .c) || exit 1; done
	@for file in $(filter-out bench/demo.js bench/compare.js,$(wildcard bench/*.js)); do echo "== $$file"; WARMSLOT_BIN=$(CURDIR)/build/warmslot node $$file || exit 1; done
endif

# The sanitizers' shadow memory does not fit every random placement of libraries; where it may be switched off, it is.
soak: dev
	@fixed=; if setarch $$(uname -m) -R true 2>/dev/null; then fixed="setarch $$(uname -m) -R"; fi; \
	WARMSLOT_BIN=$(CURDIR)/build/dev/warmslot $$fixed node tests/e2e/soak.js

fuzz: engine test-deps
	@$(call build,fuzz)
	@scripts/fuzz $(FUZZ_SECONDS)

peer: engine
	@scripts/peer

check: engine
	@scripts/deps build check
	@scripts/check

test: engine test-deps
	@scripts/test $(cmake_flags)

clean:
	@find build -mindepth 1 -maxdepth 1 ! -name engine -exec rm -rf {} + 2>/dev/null || true

distclean:
	@rm -rf build engine/node_modules engine/arm64/node_modules
