# SPDX-License-Identifier: GPL-2.0
#
# The kernel to build for: its tree, prepared for modules in Rust. The set-up
# makes one; else the running kernel's is taken.
EXT4RS_CACHE ?= $(HOME)/.cache/ext4rs
KDIR ?= $(firstword $(wildcard $(EXT4RS_CACHE)/kernel/src) /lib/modules/$(shell uname -r)/build)

# Debian's kernels are built with this compiler and carry this suffix.
KBUILD_ARGS ?= $(if $(findstring $(EXT4RS_CACHE),$(KDIR)),ARCH=x86 CC=x86_64-linux-gnu-gcc-14 LOCALVERSION=+deb13-amd64)

.PHONY: module install module-clean

module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KBUILD_ARGS) modules

install: module
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KBUILD_ARGS) modules_install

module-clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KBUILD_ARGS) clean
