# filespacefs - build, lint, test, bench, install. `make help` lists the targets.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
DEBUG ?=
V ?=

comma := ,
variant := $(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(DEBUG),-debug)
B := build/$(variant)

PKGS := fuse3 sqlite3 libssl libcrypto inih libmariadb libcurl expat json-c libzstd libxxhash
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla
OPT := $(if $(SAN),-O1 -fno-omit-frame-pointer,-O2)
# The sanitizers' reports need lines, not variables.
DBG := $(if $(SAN),-g1,-g)
HARDEN := $(if $(SAN),,-fstack-protector-strong -D_FORTIFY_SOURCE=2) -fPIE
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 \
	-DFSP_VERSION='"$(VERSION)"' -Iinclude $(if $(DEBUG)$(SAN),-DFSP_DEBUG)
CFLAGS := -std=gnu11 $(DBG) $(OPT) $(WARN) $(HARDEN) -pthread \
	$(if $(SAN),-fsanitize=$(SAN)) \
	$(shell pkg-config --cflags $(PKGS)) $(EXTRA_CFLAGS)
LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))
LDLIBS := $(shell pkg-config --libs $(PKGS)) -lbz2

LIB_SRC := $(sort $(filter-out src/main_%,$(wildcard src/*.c src/*/*.c)))
WIRE_OBJ := $(patsubst %.c,$B/%.o,$(wildcard src/main_wire*.c))
MAINS := filespacefs filespacectl mount.filespacefs
LIB_OBJ := $(LIB_SRC:%.c=$B/%.o)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT := $(UNIT_SRC:tests/unit/%.c=$B/tests/%)

.PHONY: all check lint bench install clean help unit tools FORCE
all: $(MAINS:%=$B/%) bin

# bin/ always holds what was built last, so that scripts need no variant.
.PHONY: bin
bin: $(MAINS:%=$B/%)
	@mkdir -p bin && for p in $(MAINS); do ln -sf ../$B/$$p bin/$$p; done

$B/filespacefs: $B/src/main_mount.o $(WIRE_OBJ) $B/libfsp.a
$B/filespacectl: $B/src/main_ctl.o $(WIRE_OBJ) $B/libfsp.a
$B/mount.filespacefs: $B/src/main_helper.o $B/libfsp.a
$(MAINS:%=$B/%):
	@echo "  LD   $@"
	$(if $V,,@)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$B/libfsp.a: $(LIB_OBJ)
	@echo "  AR   $@"
	$(if $V,,@)rm -f $@ && ar rcs $@ $^

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(if $V,,@)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Rebuilds everything when the flags change.
$B/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(CPPFLAGS) $(CFLAGS)' > $@

unit: $(UNIT)
$B/tests/%: $B/tests/unit/%.o $(WIRE_OBJ) $B/libfsp.a
	@mkdir -p $(@D)
	@echo "  LD   $@"
	$(if $V,,@)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS) -ldl

# Small programs that the integration tests use.
TOOL_SRC := $(sort $(wildcard tests/tools/*.c))
TOOLS := $(TOOL_SRC:tests/tools/%.c=$B/tools/%)
LIBS_benchio := -lcrypto
LIBS_sqltime := $(shell pkg-config --libs libmariadb)
tools: $(TOOLS)
$B/tools/%.so: tests/tools/%.so.c
$B/tools/codecbench: $B/libfsp.a
LIBS_codecbench = $B/libfsp.a $(LDLIBS)
$B/tools/%: tests/tools/%.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(if $V,,@)$(CC) $(CPPFLAGS) $(CFLAGS) $(if $(filter preload_%,$*),-shared -fPIC -o $@,-pie -o $@) $< $(LIBS_$*) -ldl

# The daemon with the assertions of DEBUG=1, for the tests that ask for it: what
# they are in is compiled anew, the rest is that of this build.
CHECKED_OBJ := $(patsubst %.c,$B/checked/%.o,$(shell grep -l FSP_DEBUG $(LIB_SRC)))
tools: $B/checked/filespacefs
$B/checked/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC   $< (checked)"
	$(if $V,,@)$(CC) $(CPPFLAGS) -DFSP_DEBUG $(CFLAGS) -MMD -MP -c -o $@ $<
$B/checked/filespacefs: $B/src/main_mount.o $(WIRE_OBJ) $(CHECKED_OBJ) $B/libfsp.a
	@echo "  LD   $@"
	$(if $V,,@)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The POSIX suite, of several files.
POSIX_OBJ := $(patsubst %.c,$B/%.o,$(sort $(wildcard tests/posix/*.c)))
tools: $B/tools/posix
$B/tools/posix: $(POSIX_OBJ)
	@mkdir -p $(@D)
	@echo "  LD   $@"
	$(if $V,,@)$(CC) $(LDFLAGS) -o $@ $^

check: all unit tools
	tests/run $(TESTS)

lint: 
	scripts/lint

bench: all tools
	scripts/bench $(BENCH)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/doc/filespacefs
	install -m 755 $B/filespacefs $B/filespacectl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $B/mount.filespacefs $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 scripts/recover $(DESTDIR)$(PREFIX)/share/doc/filespacefs/
	install -m 644 README.md DESIGN.md LICENSE etc/filespacefs.conf \
		$(DESTDIR)$(PREFIX)/share/doc/filespacefs/
	install -m 644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/

clean:
	rm -rf build bin

help:
	@echo "make [CC=clang-14] [SAN=address,undefined|thread] [DEBUG=1] [V=1]"
	@echo "make unit tools check lint clean"
	@echo "make bench [BENCH='--quick -p tree -s through']"
	@echo "make install [DESTDIR=] [PREFIX=/usr/local]"

-include $(shell find $B -name '*.d' 2>/dev/null)
