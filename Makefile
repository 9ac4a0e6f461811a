# durable: PGXS build, and the targets of tools/ (see "make help").
#
# "make" and "make install" take PG_CONFIG=/path/to/pg_config. "make test" and
# "make demo" need nothing but git and make: they install what is missing.

EXTENSION  = durable durable_pgtap
MODULE_big = durable
PG_CONFIG ?= pg_config

# VPATH builds (pg_buildext) find the sources through "root".
root     := $(if $(VPATH),$(VPATH)/)
sources  := $(sort $(wildcard $(root)src/*.c $(root)src/*/*.c))
OBJS      = $(sources:$(root)%.c=%.o)
DATA      = $(patsubst $(root)%,%,$(sort $(wildcard $(root)sql/durable--*.sql $(root)sql/durable_pgtap--*.sql)))
condition_names = src/core/condition_names.h
modules_leave   = $(addprefix test/modules/*/*.,o d so)

# make WARNINGS= for a compiler that knows more warnings than ours.
WARNINGS ?= -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
PG_CPPFLAGS = $(sort -I$(root)src -Isrc) -MMD -MP
PG_CFLAGS   = $(WARNINGS)
SHLIB_LINK  = -Wl,--version-script=$(srcdir)/src/durable.map
EXTRA_CLEAN = $(condition_names) $(OBJS:.o=.d) $(modules_leave) results regression.diffs regression.out output_iso tmp_check tmp_check_iso

# JIT bitcode costs a clang run a file and would only inline what is rarely called.
override with_llvm := no

# installcheck: an own server for each runner, so it needs no running one, but
# "make install" first and another user than root ("make test" sees to both).
# T=name runs one test.
test_names     = $(sort $(basename $(notdir $(wildcard $(root)test/$(1)/$(or $(T),*).$(2)))))
temp_server    = --temp-instance=$(1) --temp-config=$(srcdir)/test/durable.conf --no-locale --encoding=UTF8
REGRESS        = $(call test_names,sql,sql)
REGRESS_OPTS   = --inputdir=$(srcdir)/test --load-extension=durable $(call temp_server,tmp_check)
ISOLATION      = $(call test_names,specs,spec)
# Without the --outputdir the expected files would have to be in test/expected.
ISOLATION_OPTS = --inputdir=$(srcdir)/test --outputdir=. --load-extension=durable $(call temp_server,tmp_check_iso)
PROVE_TESTS    = $(patsubst $(root)%,%,$(sort $(wildcard $(root)test/t/$(or $(T),*).pl)))
TAP_TESTS      = $(if $(PROVE_TESTS),1)

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq (,$(and $(wildcard $(PGXS)),$(wildcard $(shell $(PG_CONFIG) --includedir-server)/postgres.h)))
include $(PGXS)

$(condition_names): $(root)tools/gen_condition_names.sh $(datadir)/errcodes.txt
	@mkdir -p $(@D)
	bash $< $(datadir)/errcodes.txt >$@.tmp && mv $@.tmp $@

# In a VPATH build the directories of the objects are still to be made.
$(if $(root),$(shell mkdir -p $(dir $(OBJS))))
$(OBJS): $(condition_names) $(MAKEFILE_LIST)
$(shlib): $(root)src/durable.map

# Libraries for the tests alone, never installed.
.PHONY: test-modules
test-modules: $(OBJS)
	@$(MAKE) --no-print-directory -C test/modules/core_test PG_CONFIG='$(PG_CONFIG)' WARNINGS='$(WARNINGS)'
	@$(MAKE) --no-print-directory -C test/modules/points PG_CONFIG='$(PG_CONFIG)' WARNINGS='$(WARNINGS)'
	@$(MAKE) --no-print-directory -C test/modules/full_disk WARNINGS='$(WARNINGS)'

-include $(OBJS:.o=.d)
else
all install installcheck:
	@echo 'No PGXS and server headers found by "$(PG_CONFIG)": install postgresql-server-dev-15 (tools/install-deps.sh does), or say PG_CONFIG=...' >&2; exit 1
clean:
	@rm -rf $(EXTRA_CLEAN) $(OBJS) durable.so
endif

# ---------------------------------------------------------------------------
# What tools/ does. The scripts call make again, with dependencies in place.

suites      = regress isolation pgtap replay deep ubsan tap packaging
test_suites = $(addprefix test-,$(suites))
tool        = PG_CONFIG='$(PG_CONFIG)' T='$(T)' KEEP='$(KEEP)' bash tools/

.PHONY: help deps demo test $(test_suites) soak bench matrix sqlsmith valgrind format

help:
	@echo 'make                 build'
	@echo 'make install         install into the PostgreSQL of pg_config (or PG_CONFIG=...)'
	@echo 'make demo            build, install, and see examples/orders run through a crash; KEEP=1 keeps its server'
	@echo 'make test            build, install, run every test; T=name: only the tests of that name'
	@echo 'make test-regress    one suite (also test-isolation, test-pgtap, test-replay, test-deep, test-ubsan, test-tap, test-packaging), with T=name one test of it'
	@echo 'make soak MINUTES=10 SEED=7   run instances while processes and servers die, by a schedule of that seed'
	@echo 'make test-modules    build the libraries that only tests load (make test does)'
	@echo 'make bench           measure what durable costs, against a bound (bench/README.md); CASE=steps: one case'
	@echo 'make matrix          every suite on PostgreSQL 15, 17 and 18, in Debian chroots that it makes; M=18 or M="17:regress,tap 18" for some'
	@echo 'make sqlsmith        random queries against the schema: MINUTES=n, SEED=n'
	@echo 'make valgrind        pgTAP tests on a server under valgrind: T="timers retry", VALGRIND_PG=pg_config of one built for it'
	@echo 'make installcheck    the PGXS way, after make install, not as root: regress, isolation and TAP tests'
	@echo 'make deps            install the Debian packages that build, test and demo need'
	@echo 'make format          clang-format the C code'
	@echo 'make clean           remove what all of these leave'

deps:
	@$(tool)install-deps.sh
demo:
	@$(tool)demo.sh
test:
	@$(tool)test.sh $(suites)
$(test_suites): test-%:
	@$(tool)test.sh $*
soak:
	@SOAK_MINUTES='$(or $(MINUTES),10)' SOAK_SEED='$(or $(SEED),$(shell date +%s))' SUITE_TIMEOUT=$$((120 * $(or $(MINUTES),10) + 600)) \
		PG_CONFIG='$(PG_CONFIG)' T=034_soak bash tools/test.sh tap
bench:
	@PG_CONFIG='$(PG_CONFIG)' CASE='$(CASE)' ROUNDS='$(or $(ROUNDS),5)' SLEEPING='$(or $(SLEEPING),1000000)' bash bench/run.sh
matrix:
	@$(tool)matrix.sh $(M)
sqlsmith:
	@MINUTES='$(MINUTES)' SEED='$(SEED)' SQLSMITH='$(SQLSMITH)' $(tool)sqlsmith.sh
valgrind:
	@VALGRIND_PG='$(VALGRIND_PG)' VALGRIND_SUPPRESSIONS='$(VALGRIND_SUPPRESSIONS)' $(tool)valgrind.sh
format:
	clang-format -i src/*.[ch] src/*/*.[ch]
