// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for what Rust cannot name: static inlines and macros. Each does
 * nothing but call the one that it is named after. bindgen reads this file
 * too (through bindings_helper.h) and drops the prefix from the names.
 */
#include "bindings_helper.h"

DEFINE_RATELIMIT_STATE(ext4rs_ratelimit, DEFAULT_RATELIMIT_INTERVAL,
		       DEFAULT_RATELIMIT_BURST);

unsigned int ext4rs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void ext4rs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

bool ext4rs_helper_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

loff_t ext4rs_helper_bdev_nr_bytes(struct block_device *bdev)
{
	return bdev_nr_bytes(bdev);
}
