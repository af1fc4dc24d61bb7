// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for what Rust cannot name: static inlines and macros. Each does
 * nothing but call the one that it is named after. bindgen reads this file
 * too (through bindings_helper.h) and drops the prefix from the names.
 */
#include "bindings_helper.h"

