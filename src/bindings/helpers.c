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

/* Inodes. */
loff_t ext4rs_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

void ext4rs_helper_i_size_write(struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

uid_t ext4rs_helper_i_uid_read(const struct inode *inode)
{
	return i_uid_read(inode);
}

gid_t ext4rs_helper_i_gid_read(const struct inode *inode)
{
	return i_gid_read(inode);
}

void ext4rs_helper_i_uid_write(struct inode *inode, uid_t uid)
{
	i_uid_write(inode, uid);
}

void ext4rs_helper_i_gid_write(struct inode *inode, gid_t gid)
{
	i_gid_write(inode, gid);
}

long ext4rs_helper_inode_get_ctime_nsec(const struct inode *inode)
{
	return inode_get_ctime_nsec(inode);
}

u64 ext4rs_helper_inode_peek_iversion(const struct inode *inode)
{
	return inode_peek_iversion(inode);
}

void ext4rs_helper_inode_set_iversion_queried(struct inode *inode, u64 version)
{
	inode_set_iversion_queried(inode, version);
}

unsigned int ext4rs_helper_inode_state_read_once(struct inode *inode)
{
	return inode_state_read_once(inode);
}

void ext4rs_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

void ext4rs_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

/* One file a topic, as rooms grow. */
#include "helpers/jbd2.c"
