/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of the data path, in the style of <trace/events/ext4.h>.
 * src/kern/trace.rs calls them; Documentation/writeback.md explains them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ext4rs

#if !defined(_EXT4RS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _EXT4RS_TRACE_H

#include <linux/fs.h>
#include <linux/tracepoint.h>

/* The order of `mapper::Intent`. */
#define ext4rs_show_intent(intent) __print_symbolic(intent,		\
	{ 0, "READ" },							\
	{ 1, "REPORT" },						\
	{ 2, "RESERVE_DELAYED" },					\
	{ 3, "WRITEBACK" },						\
	{ 4, "ALLOCATE_UNWRITTEN" },					\
	{ 5, "ALLOCATE_WRITTEN" })

/* `kern::trace::flags` */
#define ext4rs_show_mflags(flags) __print_flags(flags, "",		\
	{ 1, "N" },							\
	{ 2, "W" },							\
	{ 4, "U" },							\
	{ 8, "D" },							\
	{ 16, "H" })

TRACE_EVENT(ext4rs_map_blocks_enter,
	TP_PROTO(struct inode *inode, u32 lblk, u32 len, u32 intent),

	TP_ARGS(inode, lblk, len, intent),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	dev_t,	dev			)
		__field(	u32,	lblk			)
		__field(	u32,	len			)
		__field(	u32,	intent			)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->lblk	= lblk;
		__entry->len	= len;
		__entry->intent	= intent;
	),

	TP_printk("dev %d,%d ino %llu lblk %u len %u intent %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->lblk, __entry->len,
		  ext4rs_show_intent(__entry->intent))
);

TRACE_EVENT(ext4rs_map_blocks_exit,
	TP_PROTO(struct inode *inode, u32 lblk, u32 len, u64 pblk, u32 mflags,
		 u64 seq, u32 intent, int ret),

	TP_ARGS(inode, lblk, len, pblk, mflags, seq, intent, ret),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	u64,	pblk			)
		__field(	u64,	seq			)
		__field(	dev_t,	dev			)
		__field(	u32,	lblk			)
		__field(	u32,	len			)
		__field(	u32,	mflags			)
		__field(	u32,	intent			)
		__field(	int,	ret			)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->lblk	= lblk;
		__entry->len	= len;
		__entry->pblk	= pblk;
		__entry->mflags	= mflags;
		__entry->seq	= seq;
		__entry->intent	= intent;
		__entry->ret	= ret;
	),

	TP_printk("dev %d,%d ino %llu lblk %u pblk %llu len %u mflags %s "
		  "seq %llu intent %s ret %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->lblk, __entry->pblk, __entry->len,
		  ext4rs_show_mflags(__entry->mflags), __entry->seq,
		  ext4rs_show_intent(__entry->intent), __entry->ret)
);

TRACE_EVENT(ext4rs_map_retry,
	TP_PROTO(struct inode *inode, u32 lblk, u32 len, u64 seq, u64 now),

	TP_ARGS(inode, lblk, len, seq, now),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	u64,	seq			)
		__field(	u64,	now			)
		__field(	dev_t,	dev			)
		__field(	u32,	lblk			)
		__field(	u32,	len			)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->lblk	= lblk;
		__entry->len	= len;
		__entry->seq	= seq;
		__entry->now	= now;
	),

	TP_printk("dev %d,%d ino %llu lblk %u len %u seq %llu now %llu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->lblk, __entry->len, __entry->seq, __entry->now)
);

TRACE_EVENT(ext4rs_writeback_range,
	TP_PROTO(struct inode *inode, u64 pos, u64 len, u64 limit, bool kept),

	TP_ARGS(inode, pos, len, limit, kept),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	u64,	pos			)
		__field(	u64,	len			)
		__field(	u64,	limit			)
		__field(	dev_t,	dev			)
		__field(	bool,	kept			)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->pos	= pos;
		__entry->len	= len;
		__entry->limit	= limit;
		__entry->kept	= kept;
	),

	TP_printk("dev %d,%d ino %llu pos %llu len %llu limit %llu mapping %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos, __entry->len, __entry->limit,
		  __entry->kept ? "kept" : "wanted")
);

DECLARE_EVENT_CLASS(ext4rs__ioend,
	TP_PROTO(struct inode *inode, u64 pos, u64 len, bool unwritten,
		 u32 merged, int error),

	TP_ARGS(inode, pos, len, unwritten, merged, error),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	u64,	pos			)
		__field(	u64,	len			)
		__field(	dev_t,	dev			)
		__field(	u32,	merged			)
		__field(	int,	error			)
		__field(	bool,	unwritten		)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->pos	= pos;
		__entry->len	= len;
		__entry->unwritten = unwritten;
		__entry->merged	= merged;
		__entry->error	= error;
	),

	TP_printk("dev %d,%d ino %llu pos %llu len %llu unwritten %d merged %u "
		  "error %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos, __entry->len, __entry->unwritten,
		  __entry->merged, __entry->error)
);

DEFINE_EVENT(ext4rs__ioend, ext4rs_ioend_queue,
	TP_PROTO(struct inode *inode, u64 pos, u64 len, bool unwritten,
		 u32 merged, int error),

	TP_ARGS(inode, pos, len, unwritten, merged, error)
);

DEFINE_EVENT(ext4rs__ioend, ext4rs_ioend_merge,
	TP_PROTO(struct inode *inode, u64 pos, u64 len, bool unwritten,
		 u32 merged, int error),

	TP_ARGS(inode, pos, len, unwritten, merged, error)
);

TRACE_EVENT(ext4rs_ioend_convert,
	TP_PROTO(struct inode *inode, u32 lblk, u32 len, int ret),

	TP_ARGS(inode, lblk, len, ret),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	dev_t,	dev			)
		__field(	u32,	lblk			)
		__field(	u32,	len			)
		__field(	int,	ret			)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->lblk	= lblk;
		__entry->len	= len;
		__entry->ret	= ret;
	),

	TP_printk("dev %d,%d ino %llu lblk %u len %u ret %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->lblk, __entry->len, __entry->ret)
);

TRACE_EVENT(ext4rs_size_grow,
	TP_PROTO(struct inode *inode, u64 from, u64 to, bool pending),

	TP_ARGS(inode, from, to, pending),

	TP_STRUCT__entry(
		__field(	u64,	ino			)
		__field(	u64,	from			)
		__field(	u64,	to			)
		__field(	dev_t,	dev			)
		__field(	bool,	pending			)
	),

	TP_fast_assign(
		__entry->dev	= inode->i_sb->s_dev;
		__entry->ino	= inode->i_ino;
		__entry->from	= from;
		__entry->to	= to;
		__entry->pending = pending;
	),

	TP_printk("dev %d,%d ino %llu from %llu to %llu pending %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->from, __entry->to, __entry->pending)
);

#endif /* _EXT4RS_TRACE_H */

/* This part must be outside protection. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
