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

void ext4rs_helper_inode_set_iversion(struct inode *inode, u64 version)
{
	inode_set_iversion(inode, version);
}

void ext4rs_helper_inode_set_iversion_queried(struct inode *inode, u64 version)
{
	inode_set_iversion_queried(inode, version);
}

unsigned int ext4rs_helper_inode_state_read_once(struct inode *inode)
{
	return inode_state_read_once(inode);
}

bool ext4rs_helper_in_compat_syscall(void)
{
	return in_compat_syscall();
}

int ext4rs_helper_finish_open_simple(struct file *file, int error)
{
	return finish_open_simple(file, error);
}

void ext4rs_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

void ext4rs_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

/* Credentials. */
kuid_t ext4rs_helper_current_fsuid(void)
{
	return current_fsuid();
}

bool ext4rs_helper_WARN_ON(bool condition)
{
	return WARN_ON(condition);
}

/* One file a topic, as rooms grow. */
#include "helpers/jbd2.c"
#include "helpers/sysfs.c"

/* File data: page cache, iomap, completion. */

void ext4rs_helper_filemap_invalidate_lock(struct address_space *mapping)
{
	filemap_invalidate_lock(mapping);
}

void ext4rs_helper_filemap_invalidate_unlock(struct address_space *mapping)
{
	filemap_invalidate_unlock(mapping);
}

void ext4rs_helper_filemap_invalidate_lock_shared(struct address_space *mapping)
{
	filemap_invalidate_lock_shared(mapping);
}

void ext4rs_helper_filemap_invalidate_unlock_shared(struct address_space *mapping)
{
	filemap_invalidate_unlock_shared(mapping);
}

void ext4rs_helper_sb_start_pagefault(struct super_block *sb)
{
	sb_start_pagefault(sb);
}

void ext4rs_helper_sb_end_pagefault(struct super_block *sb)
{
	sb_end_pagefault(sb);
}

void ext4rs_helper_mapping_set_large_folios(struct address_space *mapping)
{
	mapping_set_large_folios(mapping);
}

bool ext4rs_helper_filemap_range_needs_writeback(struct address_space *mapping,
						 loff_t first, loff_t last)
{
	return filemap_range_needs_writeback(mapping, first, last);
}

loff_t ext4rs_helper_folio_next_pos(const struct folio *folio)
{
	return folio_next_pos(folio);
}

ssize_t ext4rs_helper_iomap_dio_read_simple(struct kiocb *iocb, struct iov_iter *iter,
					    iomap_iter_begin_fn begin)
{
	return iomap_dio_read_simple(iocb, iter, begin);
}

ssize_t ext4rs_helper_generic_write_sync(struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

void ext4rs_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

struct inode *ext4rs_helper_file_inode(const struct file *file)
{
	return file_inode(file);
}

void ext4rs_helper_inode_lock_shared(struct inode *inode)
{
	inode_lock_shared(inode);
}

void ext4rs_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

int ext4rs_helper_inode_trylock(struct inode *inode)
{
	return inode_trylock(inode);
}

int ext4rs_helper_inode_trylock_shared(struct inode *inode)
{
	return inode_trylock_shared(inode);
}

bool ext4rs_helper_is_nosec(struct inode *inode)
{
	return IS_NOSEC(inode);
}

unsigned int ext4rs_helper_bdev_write_zeroes_unmap_sectors(struct block_device *bdev)
{
	return bdev_write_zeroes_unmap_sectors(bdev);
}

unsigned int ext4rs_helper_bdev_max_discard_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

unsigned int ext4rs_helper_bdev_discard_granularity(struct block_device *bdev)
{
	return bdev_discard_granularity(bdev);
}

int ext4rs_helper_bdev_dma_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev);
}

unsigned int ext4rs_helper_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

bool ext4rs_helper_iocb_is_dsync(const struct kiocb *iocb)
{
	return iocb_is_dsync(iocb);
}

size_t ext4rs_helper_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

void ext4rs_helper_iov_iter_truncate(struct iov_iter *iter, u64 count)
{
	iov_iter_truncate(iter, count);
}

void ext4rs_helper_iov_iter_reexpand(struct iov_iter *iter, size_t count)
{
	iov_iter_reexpand(iter, count);
}

void ext4rs_helper_INIT_WORK(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

tid_t ext4rs_helper_jbd2_get_latest_transaction(journal_t *journal)
{
	return jbd2_get_latest_transaction(journal);
}

void ext4rs_helper_sb_start_intwrite(struct super_block *sb)
{
	sb_start_intwrite(sb);
}

bool ext4rs_helper_sb_start_intwrite_trylock(struct super_block *sb)
{
	return sb_start_intwrite_trylock(sb);
}

void ext4rs_helper_sb_end_intwrite(struct super_block *sb)
{
	sb_end_intwrite(sb);
}

u64 ext4rs_helper_bdev_sectors_written(struct block_device *bdev)
{
	return part_stat_read(bdev, sectors[STAT_WRITE]);
}

void ext4rs_helper_super_set_uuid(struct super_block *sb, const u8 *uuid,
				  unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

void ext4rs_helper_super_set_sysfs_name_bdev(struct super_block *sb)
{
	super_set_sysfs_name_bdev(sb);
}

bool ext4rs_helper_queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	return queue_work(wq, work);
}

struct workqueue_struct *ext4rs_helper_alloc_reclaim_workqueue(const char *name,
							       const char *instance)
{
	return alloc_workqueue("%s/%s", WQ_MEM_RECLAIM | WQ_PERCPU, 0, name, instance);
}

void ext4rs_helper_bio_first_folio(struct folio_iter *fi, struct bio *bio, int i)
{
	bio_first_folio(fi, bio, i);
}

void ext4rs_helper_bio_next_folio(struct folio_iter *fi, struct bio *bio)
{
	bio_next_folio(fi, bio);
}

void ext4rs_helper_INIT_LIST_HEAD(struct list_head *list)
{
	INIT_LIST_HEAD(list);
}

void ext4rs_helper_list_add(struct list_head *item, struct list_head *head)
{
	list_add(item, head);
}

void ext4rs_helper_list_del_init(struct list_head *item)
{
	list_del_init(item);
}

bool ext4rs_helper_schedule_work(struct work_struct *work)
{
	return schedule_work(work);
}

#ifndef CONFIG_LOCKDEP
void ext4rs_helper_lockdep_register_key(struct lock_class_key *key)
{
	lockdep_register_key(key);
}

void ext4rs_helper_lockdep_unregister_key(struct lock_class_key *key)
{
	lockdep_unregister_key(key);
}
#endif

/* Access control lists. */
struct posix_acl *ext4rs_helper_posix_acl_dup(struct posix_acl *acl)
{
	return posix_acl_dup(acl);
}

void ext4rs_helper_posix_acl_release(struct posix_acl *acl)
{
	posix_acl_release(acl);
}
