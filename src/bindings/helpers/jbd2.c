// SPDX-License-Identifier: GPL-2.0
/* Buffer heads and the journal. */

void ext4rs_helper_lock_buffer(struct buffer_head *bh)
{
	lock_buffer(bh);
}

void ext4rs_helper_wait_on_buffer(struct buffer_head *bh)
{
	wait_on_buffer(bh);
}

void ext4rs_helper_get_bh(struct buffer_head *bh)
{
	get_bh(bh);
}

int ext4rs_helper_buffer_uptodate(const struct buffer_head *bh)
{
	return buffer_uptodate(bh);
}

void ext4rs_helper_set_buffer_uptodate(struct buffer_head *bh)
{
	set_buffer_uptodate(bh);
}

void ext4rs_helper_clear_buffer_dirty(struct buffer_head *bh)
{
	clear_buffer_dirty(bh);
}

int ext4rs_helper_buffer_verified(const struct buffer_head *bh)
{
	return buffer_verified(bh);
}

void ext4rs_helper_set_buffer_verified(struct buffer_head *bh)
{
	set_buffer_verified(bh);
}

int ext4rs_helper_jbd2_handle_buffer_credits(handle_t *handle)
{
	return jbd2_handle_buffer_credits(handle);
}

void ext4rs_helper_write_lock(rwlock_t *lock)
{
	write_lock(lock);
}

void ext4rs_helper_write_unlock(rwlock_t *lock)
{
	write_unlock(lock);
}

void ext4rs_helper_read_lock(rwlock_t *lock)
{
	read_lock(lock);
}

void ext4rs_helper_read_unlock(rwlock_t *lock)
{
	read_unlock(lock);
}
