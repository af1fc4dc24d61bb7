// SPDX-License-Identifier: GPL-2.0

//! Looking up: reads through the page cache, `FIEMAP`, `SEEK_HOLE` and `SEEK_DATA`, `FIBMAP`, and
//! the zeroing of what lies in the page cache. None of these changes a block.

use crate::{
    extent_status::State,
    format::{
        units::{LogicalBlock, PhysicalBlock},
        BlockSize,
    },
    inode::mapping_env::InodeEnv,
    kern::{
        inode::Inode,
        iomap::{Extent, Kind, Map, Mapper, Request, WriteCheck},
    },
    mapper::{map_blocks, map_cached, Intent, MapRequest, MapperEnv, Mapping},
    Ext4,
};
use core::ops::Range;
use kernel::prelude::*;

/// Asks the mapper about the bytes of `range`, for `intent`. `None` where the file cannot have
/// blocks there.
///
/// # Errors
///
/// Those of [`map_blocks`].
pub(crate) fn map_bytes(
    inode: &Inode<Ext4>,
    range: Range<u64>,
    intent: Intent,
) -> Result<Option<Mapping>> {
    map_in_line(&InodeEnv::new(inode), range, intent)
}

/// In line for the library's requests: most have their answer in the cache.
#[inline(always)]
fn map_in_line(env: &InodeEnv<'_>, range: Range<u64>, intent: Intent) -> Result<Option<Mapping>> {
    let Some(request) = blocks_to_map(env.blocks_of(range), intent) else {
        return Ok(None);
    };
    map_blocks(env, request, None).map(Some)
}

fn blocks_to_map(blocks: Range<LogicalBlock>, intent: Intent) -> Option<MapRequest> {
    let len = blocks.end.distance_from(blocks.start)?;
    (len > 0).then_some(MapRequest {
        start: blocks.start,
        len,
        intent,
    })
}

/// As [`map_bytes`], for `request` of the library, which may ask not to wait.
///
/// # Errors
///
/// `EAGAIN` where it would have to; as there.
#[inline(always)]
pub(super) fn map_for(
    env: &InodeEnv<'_>,
    request: &Request,
    range: Range<u64>,
    intent: Intent,
) -> Result<Option<Mapping>> {
    if request.purpose.nowait() {
        map_without_waiting(env, range, intent)
    } else {
        map_in_line(env, range, intent)
    }
}

#[inline(never)]
fn map_without_waiting(
    env: &InodeEnv<'_>,
    range: Range<u64>,
    intent: Intent,
) -> Result<Option<Mapping>> {
    let Some(request) = blocks_to_map(env.blocks_of(range), intent) else {
        return Ok(None);
    };
    map_cached(env, request).ok_or(EAGAIN).map(Some)
}

/// `mapping` in iomap's terms. Metadata that a synchronous write waits for is not tracked a file
/// at a time: `dirty` stays false, and `fsync()` looks at the inode's transaction.
pub(super) fn to_iomap(mapping: &Mapping, block: BlockSize) -> Extent {
    let device = |at: PhysicalBlock| block.bytes_of(at.0);
    let extent = &mapping.extent;
    Extent {
        offset: block.byte_of(extent.start()),
        length: block.bytes_of(extent.len().into()),
        kind: match extent.state() {
            State::Written(at) => Kind::Mapped(device(at)),
            State::Unwritten(at) => Kind::Unwritten(device(at)),
            State::Delayed => Kind::Delayed,
            State::Hole => Kind::Hole,
        },
        new: mapping.new,
        dirty: false,
        cookie: mapping.sequence,
    }
}

/// Nothing, from `pos` on: past the last block that a file can have.
fn nothing(request: &Request) -> Extent {
    Extent {
        offset: request.pos,
        length: request.len,
        kind: Kind::Hole,
        new: false,
        dirty: false,
        cookie: 0,
    }
}

#[inline]
fn look(inode: &Inode<Ext4>, request: &Request, intent: Intent) -> Result<Extent> {
    let end = request.pos.saturating_add(request.len);
    let mapping = map_for(&InodeEnv::new(inode), request, request.pos..end, intent)?;
    Ok(mapping.map_or_else(
        || nothing(request),
        |mapping| to_iomap(&mapping, inode.block_size()),
    ))
}

/// For reading into the page cache.
pub(crate) struct Read;

impl Mapper for Read {
    type Fs = Ext4;

    #[inline]
    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        look(inode, request, Intent::Read)
    }
}

/// For telling what is there, delayed blocks included.
pub(crate) struct Report;

impl Mapper for Report {
    type Fs = Ext4;

    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        look(inode, request, Intent::Report)
    }
}

/// For telling where the blocks of a directory lie. They are not in the status tree: who reads and
/// changes directories goes to the tree on disk.
pub(crate) struct ReportTree;

impl Mapper for ReportTree {
    type Fs = Ext4;

    fn begin(inode: &Inode<Ext4>, request: &Request) -> Result<Extent> {
        let end = request.pos.saturating_add(request.len);
        let wanted = inode.blocks_of(request.pos..end);
        let Some(wanted) = blocks_to_map(wanted, Intent::Report) else {
            return Ok(nothing(request));
        };
        let env = InodeEnv::new(inode);
        let data = env.lock_read();
        let mapping = Mapping {
            extent: env.tree_lookup(&data, wanted.start)?,
            sequence: 0,
            new: false,
        };
        Ok(to_iomap(&mapping, inode.block_size()))
    }
}

/// The check by which a buffered write or zeroing notices, with the folio locked, that the blocks
/// have changed since it looked them up. If not, it goes on to dirty the folio: a grow that was
/// announced hears of it here.
pub(crate) struct Valid;

impl WriteCheck for Valid {
    type Fs = Ext4;

    fn valid(inode: &Inode<Ext4>, map: &Map) -> bool {
        let valid = map.cookie() == inode.info().sequence();
        if valid {
            inode.info().growth(|grow| grow.dirtied());
        }
        valid
    }
}
