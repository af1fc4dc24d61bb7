// SPDX-License-Identifier: GPL-2.0
/* The tracepoints of trace.h; there is nothing else here. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace.h"
