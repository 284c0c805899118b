# ringmain: a plain Makefile. `make help` lists the targets.
#
# Objects live in build/ (build/asan, build/tsan ... for the variants), dependency files beside them.
# VARIANT= asan | ubsan | tsan chooses a sanitizer, cover counts lines; DEVELOPER=1 the strict warnings as errors.

CC       ?= cc
ifeq ($(origin CC),default)
CC       := gcc
endif
PREFIX   ?= /usr/local
DESTDIR  ?=
VARIANT  ?=
SECONDS  ?=
B        := build$(if $(VARIANT),/$(VARIANT))

PROGRAMS := ringmaind ringctl mqttdump ringdump plantsim
LIB_SRC  := $(wildcard core/*.c proto/*.c tls/*.c io/*.c hw/*.c) \
            $(filter-out $(PROGRAMS:%=tools/%.c),$(wildcard tools/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$B/obj/%.o)
LIB      := $B/libringmain.a
UNIT     := $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/test_*.c))
BENCHES  := $(patsubst perf/%.c,$B/perf/%,$(wildcard perf/bench_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# The customer's libraries; jemalloc stays out of sanitizer builds, whose allocator it would replace.
PKGS     := liburing libmodbus yaml-0.1 jansson
ifeq ($(VARIANT),)
PKGS     += jemalloc
endif
LDLIBS    = $(shell pkg-config --libs $(PKGS)) -lpthread -lm

WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wvla \
            -Wno-unused-parameter -Wimplicit-fallthrough
STRICT   := -Werror -Wcast-align -Wcast-qual -Wwrite-strings -Wswitch-enum -Wformat=2 -Wnull-dereference
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fPIE -fno-common
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -I. $(CFLAGS) $(WARN) $(HARDEN) -fno-strict-aliasing -fno-omit-frame-pointer
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(LDFLAGS)
ifdef DEVELOPER
ALL_CFLAGS += $(STRICT) -DDEVELOPER
endif
ifeq ($(VARIANT),)
ALL_CFLAGS += -D_FORTIFY_SOURCE=2
endif
SAN_asan  := -fsanitize=address
SAN_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SAN_tsan  := -fsanitize=thread
SAN_cover := --coverage -O0
ALL_CFLAGS  += $(SAN_$(VARIANT))
ALL_LDFLAGS += $(SAN_$(VARIANT))

# Compiler and flags in one word: a change of either rebuilds.
FLAGS_ID := $(shell echo '$(CC) $(CFLAGS) $(LDFLAGS) $(DEVELOPER) $(VARIANT)' | cksum | cut -d' ' -f1)
FLAGS_STAMP := $B/.flags-$(FLAGS_ID)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PRECIOUS: $B/obj/%.o build/fuzz/obj/%.o
MAKEFLAGS += --no-builtin-rules

## all: the programs, release flags, assertions on
.PHONY: all
all: $(PROGRAMS:%=$B/%)

## deps: install the Debian packages that are missing (through sudo where not root)
DEPS_BUILD := gcc libc6-dev pkg-config liburing-dev libmodbus-dev libyaml-dev libjansson-dev libjemalloc-dev \
              systemtap-sdt-dev mosquitto mosquitto-clients
DEPS_TEST  := $(DEPS_BUILD) check clang libclang-rt-14-dev clang-format spin socat mbpoll tshark procps iproute2 libxml2-utils jq
DEPS_PERF  := libck-dev valgrind linux-perf bpftrace libmosquitto-dev libpaho-mqtt-dev
.PHONY: deps
deps: build/.deps-test build/.deps-perf build/ejabberd/.unpacked

build/.deps-build: Makefile
	@mkdir -p $(@D)
	@tools/install-deps $(DEPS_BUILD)
	@touch $@

build/.deps-test: Makefile
	@mkdir -p $(@D)
	@tools/install-deps $(DEPS_TEST)
	@touch $@ build/.deps-build

# ck_ring and the client libraries are peers, valgrind counts instructions, perf samples: of the benchmarks alone.
build/.deps-perf: Makefile
	@mkdir -p $(@D)
	@tools/install-deps $(DEPS_PERF)
	@touch $@

# The second broker of the end-to-end tests: unpacked, not installed.
build/ejabberd/.unpacked: tests/e2e/get-ejabberd | build/.deps-test
	@$< $(@D)

$(FLAGS_STAMP): | build/.deps-build
	@mkdir -p $(@D)
	@rm -f $B/.flags-*
	@touch $@

$B/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(PROGRAMS:%=$B/%): $B/%: $B/obj/tools/%.o $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

# ---------------------------------------------------------------------------------------------- tests
$B/tests/%: $B/obj/tests/unit/%.o $B/obj/tests/test_main.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(LDLIBS)

$B/obj/tests/%.o: | build/.deps-test

## unit: the unit tests
.PHONY: unit
unit: $(UNIT)
	@tests/run-unit $B/tests

# The simulator has its own loop and clock; they come first, so the archive's are never pulled in.
SIM_OBJ := $(patsubst %.c,$B/obj/%.o,$(wildcard tests/sim/*.c))
$B/sim: $(SIM_OBJ) $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

## sim: the simulated world, SEEDS=n runs (default 300), or one with SEED=n
SEEDS ?= 300
.PHONY: sim
sim: $B/sim
	$B/sim $(if $(SEED),--seed $(SEED),--kept tests/sim/seeds --seeds $(SEEDS))

## sim-long: seeds that nobody has run, for MINUTES; those that fail go to build/sim-failed.txt
MINUTES ?= 10
.PHONY: sim-long
sim-long: $B/sim
	@tests/sim/long $B/sim $(MINUTES) $B/sim-failed.txt

## sim-cover: which transitions of session and target the simulator takes; fails where one is never taken
COVER_SEEDS ?= 2000
.PHONY: sim-cover
sim-cover: build/.deps-test
	@$(MAKE) --no-print-directory -s VARIANT=cover build/cover/sim
	@tests/sim/cover $(COVER_SEEDS)

## sim-mutants: deliberate errors in the client, and the seed that finds each
.PHONY: sim-mutants
sim-mutants: build/.deps-test
	@tests/sim/mutants

## model: the exhaustive check of the real core/ring.c
.PHONY: model
model: build/.deps-test
	@CC=$(CC) tests/model/run

## promela: the ring written a second time, searched by spin (two minutes, 2.2 GiB)
.PHONY: promela
promela: build/.deps-test
	@CC=$(CC) tests/model/promela

## race: the ring under ThreadSanitizer with more threads than cores
RACE_SECONDS ?= 10
.PHONY: race
race: build/.deps-test
	@$(MAKE) --no-print-directory VARIANT=tsan build/tsan/race
	build/tsan/race --seconds $(RACE_SECONDS)

$B/race: $B/obj/tests/race/race.o $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

## crash: a process with a ring in a file is killed ROUNDS times (default 200), and recovered
ROUNDS ?= 200
.PHONY: crash
crash: $B/crash
	$B/crash --rounds $(ROUNDS)

$B/crash: $B/obj/tests/crash/crash.o $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

## crash-mutants: deliberate errors in the ring and its file, and the kill that finds each
.PHONY: crash-mutants
crash-mutants: build/.deps-test
	@tests/crash/mutants

## mutate: every single error that can be made in the ring, and the test that finds it (COUNT=n, ONLY=pattern; all: an hour)
MUTATE_UNIT := test_ring test_ring_corners test_ring_keep test_ring_split test_ring_file test_ring_file_bad test_loss test_loss_split
.PHONY: mutate
mutate: build/.deps-test
	@$(MAKE) --no-print-directory -s $(MUTATE_UNIT:%=$B/tests/%) $B/race $B/crash
	@$(MAKE) --no-print-directory -s VARIANT=tsan build/tsan/race
	@CC=$(CC) COUNT=$(COUNT) ONLY=$(if $(ONLY),'$(ONLY)') UNIT='$(MUTATE_UNIT)' \
		LDLIBS="$(shell pkg-config --libs check) $(LDLIBS)" tests/mutate/run

## fuzz: each libFuzzer target for FUZZ_SECONDS (default 5)
FUZZ_SECONDS ?= 5
FUZZ_LIB_OBJ := $(LIB_SRC:%.c=build/fuzz/obj/%.o)
FUZZ_FLAGS   := -std=gnu11 -D_GNU_SOURCE -I. -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
build/fuzz/obj/%.o: %.c | build/.deps-test
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
build/fuzz/libringmain.a: $(FUZZ_LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o build/fuzz/libringmain.a
	clang -fsanitize=fuzzer,address,undefined -o $@ $^ $(shell pkg-config --libs $(filter-out jemalloc,$(PKGS))) -lpthread -lm
.PHONY: fuzz
fuzz: $(FUZZERS)
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZERS)

## e2e: the daemon against mosquitto, ejabberd, libmodbus slaves, ptys
RECORDER := $B/tests/recorder
E2E_BENCHES := $(addprefix $B/perf/,$(addprefix bench_,sample idle scale latency matrix peers) peer_mosquitto peer_paho)
.PHONY: e2e
e2e: all $(RECORDER) $(E2E_BENCHES) build/.deps-test build/ejabberd/.unpacked
	@tests/e2e/run $B

# An MQTT server that remembers across its own end. Nothing of ours is in it: it is to judge the rest.
$(RECORDER): tests/e2e/recorder.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $<

## check-style: layering, format, header contracts, file sizes (under 30 s)
.PHONY: check-style
check-style: build/.deps-test
	@tests/style

## check-probes: the static probes of the program against their documentation, and the scripts against both
.PHONY: check-probes
check-probes: $B/ringmaind
	@tests/probes $B/ringmaind $(CC) $(CFLAGS)

## check: style, unit tests, probes, simulation seeds (under 60 s)
.PHONY: check
check: check-style all unit check-probes
	@$(MAKE) --no-print-directory sim SEEDS=100

## test: everything that must hold before a change lands
.PHONY: test
test: build/.deps-test
	@tests/run-all

## asan ubsan tsan: unit tests and simulation under a sanitizer
.PHONY: asan ubsan tsan
asan ubsan tsan: build/.deps-test
	@$(MAKE) --no-print-directory VARIANT=$@ unit
	@$(MAKE) --no-print-directory VARIANT=$@ sim SEEDS=50
tsan: race

# -------------------------------------------------------------------------------------------- perf, run
PERF_OBJ := $(patsubst %.c,$B/obj/%.o,$(filter-out perf/bench_%.c perf/peer_%.c,$(wildcard perf/*.c)))
$(patsubst %.c,$B/obj/%.o,$(wildcard perf/*.c)): | build/.deps-perf
$B/perf/%: $B/obj/perf/%.o $(PERF_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

# Other clients, each a program of its own with nothing of ours in it: Paho's licence does not admit it.
PEERS := $B/perf/peer_mosquitto $B/perf/peer_paho $B/perf/peer_libmodbus
$B/perf/peer_mosquitto: LDLIBS = -lmosquitto
$B/perf/peer_paho: LDLIBS = -lpaho-mqtt3c
$B/perf/peer_libmodbus: LDLIBS = -lmodbus
$(PEERS): $B/perf/%: $B/obj/perf/%.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

## bench: every benchmark: the whole way beside a plain send loop, the ring beside other queues, a sampler's work
.PHONY: bench
bench: all $(BENCHES) $(PEERS)
	@perf/run $B

## bench-NAME: one of them: any perf/bench_NAME.c
BENCH_NAMES := $(patsubst perf/bench_%.c,bench-%,$(wildcard perf/bench_*.c))
.PHONY: $(BENCH_NAMES)
$(BENCH_NAMES): bench-%: $B/perf/bench_% $(PEERS) | all
	@perf/run $B $*

## bench-compare: what has changed since REV=revision, beyond the noise: both in pairs (NAMES="sample encode ring publish")
.PHONY: bench-compare
bench-compare: all $(BENCHES) $(PEERS)
	@perf/compare $B '$(REV)' $(NAMES)

## profile: where bench_NAME spends its time (NAME=publish ARGS="..."): a table, and a flame graph in build/profile
# A name that is none is left out; perf/profile says which ones there are.
PROFILE_NAME := $(if $(word 2,$(NAME)),,$(filter $(BENCH_NAMES:bench-%=%),$(NAME)))
.PHONY: profile
profile: $(if $(PROFILE_NAME),$B/perf/bench_$(PROFILE_NAME) $(PEERS) all)
	@perf/profile $B $(if $(PROFILE_NAME),$(PROFILE_NAME) $(ARGS))

## run: the whole thing alive: plant simulator, broker, daemon, subscriber (SECONDS=n to stop by itself)
.PHONY: run
run: all
	@SECONDS_TO_RUN='$(SECONDS)' tools/demo/run $B

## install: programs and documentation under $(DESTDIR)$(PREFIX)
.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/ringmain
	install -m 755 $B/ringmaind $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $B/ringctl $B/mqttdump $B/ringdump $B/plantsim $(DESTDIR)$(PREFIX)/bin/
	install -m 644 README.md ARCHITECTURE.md CHANGELOG.md LICENSE tools/demo/ringmain.yaml \
		$(DESTDIR)$(PREFIX)/share/doc/ringmain/
	install -d $(DESTDIR)$(PREFIX)/share/doc/ringmain/probes
	install -m 644 perf/probes/README.md $(DESTDIR)$(PREFIX)/share/doc/ringmain/probes/
	install -m 755 perf/probes/*.bt $(DESTDIR)$(PREFIX)/share/doc/ringmain/probes/

## clean: remove build/
.PHONY: clean
clean:
	rm -rf build

.PHONY: help
help:
	@sed -n 's/^## //p' Makefile

-include $(shell find build -name ejabberd -prune -o -name '*.d' -type f -print 2>/dev/null)
