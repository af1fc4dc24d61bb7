# SPDX-License-Identifier: GPL-2.0
#
#   make           build ext4rs.ko for Debian's stock kernel
#   make run       the whole way once: real files, then e2fsck and C ext4 judge
#   make check     every check there is
#   make check-debug   the guest checks in the debug kernel, and what only it can check
#   make check-load    DURATION=1800 seconds of load in the debug kernel
#   make check-crash   ROUNDS=6000 crash states, recovered and looked at
#   make check-hostile thousands of damaged images in the debug kernel, ROUNDS=3000
#   make fuzz      the pure rooms on the host, DURATION=60 seconds a target
#   make bench     ext4rs, C ext4 and XFS side by side (Documentation/performance.md)
#   make mutants   what the tests are worth (Documentation/races.md)
#   make shell     a shell in a guest with ext4rs mounted at /mnt
#   make guest CMD='mount -t $FS $DEV /mnt && ls -la /mnt'
#                  one command in a fresh guest: ext4rs.ko is rebuilt and
#                  loaded, $DEV is a scratch disk with a new ext4. Prints the
#                  output and the kernel log, passes the exit code through.
#                  DISK=1G  FS=ext4 (compare with C ext4)  MKFS='-O ^64bit'
#                  TIMEOUT=300 (seconds)  KEEP=1 (keep the image)
#                  ON=uml|debug (User Mode Linux; also for check)
#                  DEBUG=1 (a module that checks invariants, with error tags)
#   make xfstests XFSTESTS_DIR=...
#                  run an installed xfstests in guests (Documentation/xfstests.md)
#                  CONFIG=4k,1k  GROUP=quick|auto  TESTS='generic/001 ...'
#                  FS=ext4rs|ext4|xfs  JOBS=2  TIMEOUT=600  FRESH=1  BASE=...
#   make xfstests-compare A=... B=...
#                  what differs between two results
#   make setup     only fetch and prepare what these need
#   make KDIR=...  build against another kernel tree prepared for Rust
#   make install   install the module for the running kernel
#
# The first command sets everything up under ~/.cache/ext4rs (README.md).

# CMD is for the guest's shell: make leaves its dollars alone.
override CMD := $(value CMD)
export DEBUG CMD DISK FS ON KEEP SEED ONLY CASE TIMEOUT MKFS MOUNT VERBOSE
export MODE ROUNDS BASE OUT REVISION DURATION

export XFSTESTS_DIR CONFIG GROUP TESTS JOBS FRESH A B

.PHONY: module run check check-debug check-load check-crash check-hostile fuzz bench mutants xfstests xfstests-compare
.PHONY: shell guest setup install clean

# Inside the tool tree already.
ifneq ($(wildcard /etc/ext4rs-packages),)
EXT4RS_CACHE ?= $(HOME)/.cache/ext4rs
KDIR ?= $(EXT4RS_CACHE)/kernel/src
KBUILD_ARGS ?= ARCH=x86 CC=x86_64-linux-gnu-gcc-14 LOCALVERSION=+deb13-amd64
endif

ifdef KDIR
module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KBUILD_ARGS) modules
clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KBUILD_ARGS) clean
else
module:
	@scripts/enter module
clean:
	@scripts/enter clean
endif

bench: REVISION = $(shell git describe --always --dirty 2>/dev/null)
check-debug: export ON = debug
check-debug:
	@scripts/enter check

run check check-load check-crash check-hostile fuzz bench mutants xfstests xfstests-compare shell guest setup:
	@scripts/enter $@

# Where modprobe, and so mount(8), looks for modules that did not come with
# the kernel.
install:
	install -D -m 644 ext4rs.ko /lib/modules/$(shell uname -r)/updates/ext4rs.ko
	depmod $(shell uname -r)
