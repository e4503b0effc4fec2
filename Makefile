# SPDX-License-Identifier: MIT
# `make help` lists the targets.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
FUZZ_SECONDS ?= 60
VERSION := 0.1.0

WARN := -Wall -Wextra -Wundef -Wshadow -Wconversion -Werror
CFLAGS ?= -O2 -g
COMMON := -std=gnu11 $(WARN) -I. -DPEAKLINE_VERSION='"$(VERSION)"' -D_GNU_SOURCE -MMD -MP
# The shim: hidden symbols unless a hook exports them; a frame pointer, because unwinding starts at our own frame;
# initial-exec TLS, because anything else may allocate; general registers only, because the compiler copies small structs by
# vector registers else, each load waiting for the two stores before it (native stacks take 4 % longer then).
SHIM_FLAGS := -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-omit-frame-pointer -momit-leaf-frame-pointer -fno-builtin-malloc \
	-fno-stack-protector -fno-plt -fno-tree-vectorize -mgeneral-regs-only
SHIM_LINK := -shared -Wl,-z,defs -Wl,-z,now -Wl,-z,nodelete -Wl,--hash-style=gnu
REPORTER_LIBS := -ldw -lelf -lstdc++ -liberty

SHIM_SRC := $(wildcard shim/*.c shim/hooks/*.c shim/python/*.c)
REPORTER_SRC := $(wildcard reporter/*.c reporter/cmd/*.c reporter/render/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
SHIM_OBJ := $(SHIM_SRC:%.c=$(BUILD)/%.o)
REPORTER_OBJ := $(REPORTER_SRC:%.c=$(BUILD)/%.o)
UNIT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/*.c))
UNIT := $(UNIT_SRC:%.c=$(BUILD)/%)
SOURCES := $(wildcard shim/*.[ch] shim/*/*.[ch] reporter/*.[ch] reporter/*/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])

.PHONY: all
all: $(BUILD)/peakline $(BUILD)/libpeakline.so $(BUILD)/python ## build the program and the shim

$(BUILD)/libpeakline.so: $(SHIM_OBJ)
	$(CC) $(CFLAGS) $(SHIM_LINK) -o $@ $^

# What Python programs find under `peakline run`, beside the shim as it is when installed.
PYTHON_FILES := $(wildcard shim/python-package/peakline/*.py shim/python-startup/*.py)
$(BUILD)/python: $(PYTHON_FILES) Makefile
	@mkdir -p '$@/peakline'
	install -m 644 shim/python-package/peakline/*.py '$@/peakline'
	install -m 644 shim/python-startup/*.py '$@'
	@touch '$@'

$(BUILD)/peakline: $(REPORTER_OBJ)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(REPORTER_LIBS)

$(BUILD)/shim/sampling.o: SHIM_FLAGS := $(filter-out -mgeneral-regs-only,$(SHIM_FLAGS)) # logarithms

$(BUILD)/shim/%.o: shim/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(CFLAGS) $(SHIM_FLAGS) -c -o $@ $<

$(BUILD)/reporter/%.o: reporter/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(CFLAGS) -c -o $@ $<

$(BUILD)/tests/unit/%.o: tests/unit/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(CFLAGS) -c -o $@ $<

# A unit test, like a fuzz target, names what it is linked with in a comment: `// needs: reporter/text.c -ldw …`.
needs = $(shell sed -n 's,^// needs: *,,p' $(1))
define unit_rule
$(BUILD)/tests/unit/$(1): $(BUILD)/tests/unit/$(1).o $(patsubst %.c,$(BUILD)/%.o,$(filter %.c,$(2)))
	$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ -Wl,--as-needed $(filter -%,$(2)) $$(REPORTER_LIBS) -lcmocka -lpthread
endef
$(foreach test,$(UNIT_SRC),$(eval $(call unit_rule,$(basename $(notdir $(test))),$(call needs,$(test)))))

-include $(SHIM_OBJ:.o=.d) $(REPORTER_OBJ:.o=.d) $(UNIT_OBJ:.o=.d)

.PHONY: check check-unit
check: all $(UNIT) ## build and run all tests
	BUILD='$(abspath $(BUILD))' tests/run.sh

check-unit: $(UNIT) ## the unit tests alone
	BUILD='$(abspath $(BUILD))' tests/run.sh unit

.PHONY: asan tsan fuzz bench
asan: ## the unit tests and the reporter under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) BUILD='$(BUILD)/asan' CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
		-fno-sanitize-recover=all' '$(BUILD)/asan/peakline' check-unit

tsan: ## the unit tests of the shim's parts under ThreadSanitizer
	$(MAKE) BUILD='$(BUILD)/tsan' CFLAGS='-O1 -g -fsanitize=thread' \
		UNIT_SRC="$$(grep -l '^// needs:.*shim/' $(UNIT_SRC) | tr '\n' ' ')" check-unit

fuzz: export CLANG := $(CLANG)
fuzz: export FLAGS := $(filter-out -MMD -MP,$(COMMON))
fuzz: export LIBS := $(REPORTER_LIBS)
fuzz: ## run each fuzz target for FUZZ_SECONDS
	tests/fuzz/run.sh '$(BUILD)/fuzz' $(FUZZ_SECONDS) $(FUZZ_SRC)

bench: all ## measure the cost: ratios to the plain run
	BUILD='$(abspath $(BUILD))' tests/bench/run.sh

.PHONY: lint lint-format lint-shim lint-reporter lint-cppcheck format
# Raw system calls and foreign memory: no analyzer sees what fills them in.
LINT_SHIM := -clang-analyzer-core.uninitialized.Assign,-clang-analyzer-unix.cstring.NullArg
LINT_CPPCHECK := missingIncludeSystem uninitvar allocaCalled arrayIndexThenCheck identicalInnerCondition shiftTooManyBitsSigned
LINT_FLAGS := -I. -D_GNU_SOURCE -DPEAKLINE_VERSION='"$(VERSION)"'
lint: lint-format lint-shim lint-reporter lint-cppcheck ## clang-format, clang-tidy, cppcheck (with -k: all of it, whatever fails)
lint-format:
	clang-format --dry-run -Werror $(SOURCES)
lint-reporter:
	printf '%s\n' $(REPORTER_SRC) | xargs -P 2 -I '{}' clang-tidy --quiet '{}' -- -std=gnu11 $(LINT_FLAGS)
lint-shim:
	printf '%s\n' $(SHIM_SRC) | xargs -P 2 -I '{}' clang-tidy --quiet --checks='$(LINT_SHIM)' '{}' -- -std=gnu11 $(LINT_FLAGS)
lint-cppcheck:
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability -j 2 \
		$(LINT_CPPCHECK:%=--suppress=%) -D__x86_64__ $(LINT_FLAGS) $(SHIM_SRC) $(REPORTER_SRC)

format: ## format the C sources
	clang-format -i $(SOURCES)

.PHONY: install uninstall clean help
BIN := $(DESTDIR)$(PREFIX)/bin
LIB := $(DESTDIR)$(PREFIX)/lib/peakline
MAN := $(DESTDIR)$(PREFIX)/share/man/man1
COMPLETIONS := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
SHARE := $(DESTDIR)$(PREFIX)/share/peakline
INCLUDE := $(DESTDIR)$(PREFIX)/include
HEADER := $(wildcard shim/peakline.h)

install: all ## install below DESTDIR/PREFIX
	install -d '$(BIN)' '$(LIB)/python/peakline' '$(MAN)' '$(COMPLETIONS)' '$(SHARE)'
	install -m 755 '$(BUILD)/peakline' '$(BIN)/peakline'
	install -m 644 '$(BUILD)/libpeakline.so' '$(LIB)/libpeakline.so'
	install -m 644 '$(BUILD)'/python/*.py '$(LIB)/python'
	install -m 644 '$(BUILD)'/python/peakline/*.py '$(LIB)/python/peakline'
	$(if $(DESTDIR),,umask 022; python3 -I -m compileall -q '$(LIB)/python' >/dev/null 2>&1 || true) # to start sooner
	install -m 644 reporter/peakline.1 '$(MAN)/peakline.1'
	install -m 644 reporter/completion.bash '$(COMPLETIONS)/peakline'
	install -m 644 reporter/report-schema.json '$(SHARE)/report-schema.json'
	$(if $(HEADER),install -d '$(INCLUDE)' && install -m 644 $(HEADER) '$(INCLUDE)/peakline.h')

uninstall: ## remove what install put there
	rm -f '$(BIN)/peakline' '$(LIB)/libpeakline.so' '$(MAN)/peakline.1' '$(COMPLETIONS)/peakline' \
		'$(SHARE)/report-schema.json' '$(INCLUDE)/peakline.h'
	rm -rf '$(LIB)/python'
	rmdir '$(LIB)' '$(SHARE)' 2>/dev/null || true

clean: ## remove what was built
	rm -rf '$(BUILD)'

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
