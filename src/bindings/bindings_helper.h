/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads. bindgen_parameters says which of it becomes Rust.
 */
#ifndef EXT4RS_BINDINGS_HELPER_H
#define EXT4RS_BINDINGS_HELPER_H

#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/bug.h>
#include <linux/compat.h>
#include <linux/crc32.h>
#include <linux/crc32c.h>
#include <linux/dcache.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/iversion.h>
#include <linux/jbd2.h>
#include <linux/kobject.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/mpage.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/part_stat.h>
#include <linux/percpu_counter.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/proc_fs.h>
#include <linux/quotaops.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/swap.h>
#include <linux/sysfs.h>
#include <linux/uio.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>
#include <linux/writeback.h>
#include <linux/xattr.h>
#include <uapi/linux/magic.h>

#ifdef __BINDGEN__
/*
 * Values that are casts or other expressions, which bindgen does not work out.
 * The sed in Kbuild takes the prefix off.
 */
#define EXT4RS_CONST(type, name) static const type EXT4RS_CONST_##name = name
EXT4RS_CONST(fmode_t, FMODE_CAN_ODIRECT);
EXT4RS_CONST(unsigned long, SB_RDONLY);
EXT4RS_CONST(unsigned long, SB_SYNCHRONOUS);
EXT4RS_CONST(unsigned long, SB_DIRSYNC);
EXT4RS_CONST(unsigned long, SB_NOATIME);
EXT4RS_CONST(unsigned long, SB_NODIRATIME);
EXT4RS_CONST(unsigned long, SB_SILENT);
EXT4RS_CONST(unsigned long, SB_POSIXACL);
EXT4RS_CONST(unsigned long, SB_I_VERSION);
EXT4RS_CONST(unsigned long, SB_LAZYTIME);
EXT4RS_CONST(unsigned long, SB_ACTIVE);
EXT4RS_CONST(unsigned long, SB_BORN);
EXT4RS_CONST(unsigned long, SB_NOSEC);
EXT4RS_CONST(fmode_t, FMODE_READ);
EXT4RS_CONST(fmode_t, FMODE_WRITE);
EXT4RS_CONST(fmode_t, FMODE_32BITHASH);
EXT4RS_CONST(fmode_t, FMODE_64BITHASH);
EXT4RS_CONST(fmode_t, FMODE_NOWAIT);
EXT4RS_CONST(fmode_t, FMODE_CAN_ATOMIC_WRITE);
EXT4RS_CONST(fop_flags_t, FOP_BUFFER_RASYNC);
EXT4RS_CONST(fop_flags_t, FOP_BUFFER_WASYNC);
EXT4RS_CONST(fop_flags_t, FOP_MMAP_SYNC);
EXT4RS_CONST(fop_flags_t, FOP_DIO_PARALLEL_WRITE);
EXT4RS_CONST(fop_flags_t, FOP_DONTCACHE);
EXT4RS_CONST(int, IOCB_HIPRI);
EXT4RS_CONST(int, IOCB_DSYNC);
EXT4RS_CONST(int, IOCB_SYNC);
EXT4RS_CONST(int, IOCB_NOWAIT);
EXT4RS_CONST(int, IOCB_APPEND);
EXT4RS_CONST(int, IOCB_ATOMIC);
EXT4RS_CONST(int, IOCB_DONTCACHE);
EXT4RS_CONST(blk_opf_t, REQ_SYNC);
EXT4RS_CONST(blk_opf_t, REQ_META);
EXT4RS_CONST(blk_opf_t, REQ_PRIO);
EXT4RS_CONST(blk_opf_t, REQ_FUA);
EXT4RS_CONST(blk_opf_t, REQ_PREFLUSH);
EXT4RS_CONST(blk_opf_t, REQ_RAHEAD);
EXT4RS_CONST(blk_opf_t, REQ_BACKGROUND);
EXT4RS_CONST(blk_opf_t, REQ_NOWAIT);
EXT4RS_CONST(blk_status_t, BLK_STS_NOSPC);
EXT4RS_CONST(blk_status_t, BLK_STS_IOERR);
EXT4RS_CONST(blk_status_t, BLK_STS_RESOURCE);
EXT4RS_CONST(blk_status_t, BLK_STS_AGAIN);
EXT4RS_CONST(gfp_t, GFP_KERNEL);
EXT4RS_CONST(gfp_t, GFP_NOFS);
EXT4RS_CONST(gfp_t, GFP_ATOMIC);
EXT4RS_CONST(gfp_t, __GFP_ZERO);
EXT4RS_CONST(gfp_t, __GFP_NOFAIL);
EXT4RS_CONST(gfp_t, __GFP_NOWARN);
EXT4RS_CONST(gfp_t, __GFP_MOVABLE);
EXT4RS_CONST(gfp_t, __GFP_HIGH);
EXT4RS_CONST(gfp_t, __GFP_RECLAIMABLE);
EXT4RS_CONST(slab_flags_t, SLAB_RECLAIM_ACCOUNT);
EXT4RS_CONST(slab_flags_t, SLAB_ACCOUNT);
EXT4RS_CONST(slab_flags_t, SLAB_TEMPORARY);
EXT4RS_CONST(int, I_DIRTY);
EXT4RS_CONST(size_t, PAGE_SIZE);
EXT4RS_CONST(loff_t, MAX_LFS_FILESIZE);
EXT4RS_CONST(unsigned long, HZ);

#include "helpers.c"
#include "trace.h"
#endif

#endif
