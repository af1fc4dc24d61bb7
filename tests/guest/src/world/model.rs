// SPDX-License-Identifier: GPL-2.0

//! Every state that a world goes through, operation by operation.

use super::content::{mapped_byte, Value};
use super::op::{parent, How, Op, Space};
use anyhow::{bail, ensure, Context, Result};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Cells of a file-system block.
pub const BLOCK: u32 = 8;

pub type NodeId = usize;

/// Index of a cell's history: a place in a file, from its birth until it is cut off or punched
/// out. Collapse and insert move it.
type CellId = usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    Symlink(String),
}

/// The world after a number of operations.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// All paths; the world's own directory is none of them.
    pub names: Rc<BTreeMap<String, NodeId>>,
    /// The cells of each file that has a name.
    pub files: BTreeMap<NodeId, Rc<Vec<CellId>>>,
}

/// A sync that covers a node.
#[derive(Clone, Copy, Debug)]
struct Synced {
    node: NodeId,
    /// The operation that did it.
    op: usize,
    /// The number of operations after which the node's size had last changed.
    since: usize,
}

/// A list of operations, followed from state to state.
pub struct World {
    number: u32,
    kinds: Vec<Kind>,
    /// For each cell the operations that wrote it, and what; the first is its birth as zeros.
    cells: Vec<Vec<(usize, Value)>>,
    /// For a cell the one that it replaced at the same place of the same block on the disk: what is
    /// written to it overwrites that one, and may be on disk before the replacement is.
    replaced: BTreeMap<CellId, CellId>,
    /// Cells that were cut off, and are in a block that the file keeps, by their places.
    cut_off: BTreeMap<(NodeId, usize), CellId>,
    states: Vec<State>,
    /// For each node the number of operations after which it had last changed in a way that a
    /// sync of it has to make durable.
    changed: Vec<usize>,
    /// The same for what `fdatasync()` has to make durable: content and size, names in a directory;
    /// not another name of a file.
    data_changed: Vec<usize>,
    synced: Vec<Synced>,
    /// For each number of ended operations, how many are durable at least.
    durable: Vec<usize>,
}

impl World {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            kinds: vec![Kind::Directory],
            cells: Vec::new(),
            replaced: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            states: vec![State::default()],
            changed: vec![0],
            data_changed: vec![0],
            synced: Vec::new(),
            durable: vec![0],
        }
    }

    /// Follows a whole list.
    pub fn follow(number: u32, ops: &[Op]) -> Result<Self> {
        let mut world = Self::new(number);
        for (i, op) in ops.iter().enumerate() {
            world
                .apply(op)
                .with_context(|| format!("operation {i}, {op:?}"))?;
        }
        Ok(world)
    }

    /// The state after `ops` operations.
    pub fn state(&self, ops: usize) -> Option<&State> {
        self.states.get(ops)
    }

    /// The state after the last operation.
    pub fn last(&self) -> Result<&State> {
        self.states.last().context("no state")
    }

    pub fn kind(&self, node: NodeId) -> Option<&Kind> {
        self.kinds.get(node)
    }

    /// How many operations are durable at least once `ended` have ended.
    pub fn durable(&self, ended: usize) -> usize {
        self.durable.get(ended).copied().unwrap_or(0)
    }

    fn node(&self, path: &str) -> Result<NodeId> {
        if path.is_empty() {
            return Ok(0);
        }
        let found = self.last()?.names.get(path);
        found.copied().with_context(|| format!("no `{path}`"))
    }

    fn cells_of(&self, node: NodeId) -> Result<&Rc<Vec<CellId>>> {
        self.last()?.files.get(&node).context("no such file")
    }

    fn touch(&mut self, node: NodeId) {
        self.touch_name(node);
        let now = self.states.len();
        if let Some(changed) = self.data_changed.get_mut(node) {
            *changed = now;
        }
    }

    /// Of what a node is called, and nothing in it.
    fn touch_name(&mut self, node: NodeId) {
        let now = self.states.len();
        if let Some(changed) = self.changed.get_mut(node) {
            *changed = now;
        }
    }

    fn touch_parent(&mut self, path: &str) -> Result<()> {
        let node = self.node(parent(path))?;
        self.touch(node);
        Ok(())
    }

    fn new_node(&mut self, kind: Kind, path: &str, next: &mut State) -> Result<NodeId> {
        ensure!(!next.names.contains_key(path), "`{path}` is there");
        let node = self.kinds.len();
        if kind == Kind::File {
            next.files.insert(node, Rc::default());
        }
        self.kinds.push(kind);
        self.changed.push(self.states.len());
        self.data_changed.push(self.states.len());
        Rc::make_mut(&mut next.names).insert(path.to_owned(), node);
        self.touch_parent(path)?;
        Ok(node)
    }

    fn new_cell(&mut self) -> CellId {
        self.cells.push(vec![(self.states.len() - 1, Value::Zero)]);
        self.cells.len() - 1
    }

    /// Takes a name away, and the file with its last one.
    fn remove(&mut self, path: &str, next: &mut State) -> Result<()> {
        let node = self.node(path)?;
        Rc::make_mut(&mut next.names).remove(path);
        self.touch_name(node);
        self.touch_parent(path)?;
        if !next.names.values().any(|n| *n == node) {
            next.files.remove(&node);
        }
        Ok(())
    }

    /// Follows one operation.
    pub fn apply(&mut self, op: &Op) -> Result<()> {
        let mut next = self.last()?.clone();
        let before = self.durable.last().copied().unwrap_or(0);
        let mut durable = before;
        match op {
            Op::Create(path) => {
                self.new_node(Kind::File, path, &mut next)?;
            }
            Op::Mkdir(path) => {
                self.new_node(Kind::Directory, path, &mut next)?;
            }
            Op::Symlink { path, target } => {
                self.new_node(Kind::Symlink(target.clone()), path, &mut next)?;
            }
            Op::Link { from, to } => {
                let node = self.node(from)?;
                ensure!(!next.names.contains_key(to), "`{to}` is there");
                Rc::make_mut(&mut next.names).insert(to.clone(), node);
                self.touch_name(node);
                self.touch_parent(to)?;
            }
            Op::Rename { from, to } => self.rename(from, to, &mut next)?,
            Op::Unlink(path) | Op::Orphan(path) | Op::Rmdir(path) => {
                self.remove(path, &mut next)?
            }
            Op::Write {
                path,
                at,
                cells,
                how,
            } => self.write(path, *at, *cells, *how, &mut next)?,
            Op::Truncate { path, cells } => {
                let node = self.node(path)?;
                self.resize(node, *cells as usize, &mut next)?;
            }
            Op::Space {
                path,
                what,
                at,
                cells,
            } => self.space(path, *what, *at, *cells, &mut next)?,
            Op::Fsync(path) | Op::Fdatasync(path) => {
                let node = self.node(path)?;
                durable = self.sync_node(node, matches!(op, Op::Fdatasync(_)));
            }
            Op::Sync => {
                let files: Vec<NodeId> = next.files.keys().copied().collect();
                for node in files {
                    self.sync_node(node, false);
                }
                durable = self.states.len();
            }
        }
        self.states.push(next);
        self.durable.push(durable.max(before));
        Ok(())
    }

    /// Notes that the operation in progress syncs a node; what it makes durable.
    fn sync_node(&mut self, node: NodeId, data_only: bool) -> usize {
        let changed = if data_only {
            &self.data_changed
        } else {
            &self.changed
        };
        let since = changed.get(node).copied().unwrap_or(0);
        self.synced.push(Synced {
            node,
            op: self.states.len() - 1,
            since,
        });
        since
    }

    fn rename(&mut self, from: &str, to: &str, next: &mut State) -> Result<()> {
        let node = self.node(from)?;
        if next.names.get(to) == Some(&node) {
            return Ok(()); // two names of one file: nothing happens
        }
        if next.names.contains_key(to) {
            self.remove(to, next)?;
        }
        let below = format!("{from}/");
        let names = Rc::make_mut(&mut next.names);
        let moved: Vec<String> = names
            .keys()
            .filter(|name| *name == from || name.starts_with(&below))
            .cloned()
            .collect();
        for name in moved {
            let rest = name.get(from.len()..).unwrap_or_default();
            let new = format!("{to}{rest}");
            if let Some(node) = names.remove(&name) {
                names.insert(new, node);
            }
        }
        self.touch_name(node);
        self.touch_parent(from)?;
        self.touch_parent(to)
    }

    /// Gives a file this many cells.
    fn resize(&mut self, node: NodeId, cells: usize, next: &mut State) -> Result<()> {
        let old = self.cells_of(node)?.clone();
        if old.len() == cells {
            return Ok(());
        }
        let mut new = old.to_vec();
        let kept = cells.next_multiple_of(BLOCK as usize);
        if cells < old.len() {
            self.cut_off.retain(|(n, at), _| *n != node || *at < kept);
        }
        // The rest of the last block is zeroed, and that may be on disk before the size is: C ext4
        // and XFS promise no more either.
        for cell in cells..kept.min(old.len()) {
            self.put(&old, cell, Value::Zero)?;
            let id = *old.get(cell).context("beyond the file")?;
            self.cut_off.insert((node, cell), id);
        }
        new.truncate(cells);
        while new.len() < cells {
            let id = self.new_cell();
            if let Some(before) = self.cut_off.remove(&(node, new.len())) {
                self.replaced.insert(id, before);
            }
            new.push(id);
        }
        next.files.insert(node, Rc::new(new));
        self.touch(node);
        Ok(())
    }

    fn write(&mut self, path: &str, at: u32, cells: u32, how: How, next: &mut State) -> Result<()> {
        let node = self.node(path)?;
        let end = (at + cells) as usize;
        if self.cells_of(node)?.len() < end {
            ensure!(how != How::Mapped, "a mapping ends with its file");
            self.resize(node, end, next)?;
        }
        let op = u32::try_from(self.states.len() - 1)?;
        let list = next.files.get(&node).context("no such file")?.clone();
        for cell in at..at + cells {
            let value = match how {
                How::Mapped => Value::Bytes(mapped_byte(op)),
                _ => Value::Stamp {
                    world: self.number,
                    op,
                    cell,
                },
            };
            self.put(&list, cell as usize, value)?;
        }
        Ok(())
    }

    /// Notes that the operation in progress writes a cell.
    fn put(&mut self, list: &[CellId], cell: usize, value: Value) -> Result<()> {
        let op = self.states.len() - 1;
        let mut next = list.get(cell).copied();
        ensure!(next.is_some(), "beyond the file");
        while let Some(id) = next {
            let history = self.cells.get_mut(id).context("no such cell")?;
            history.push((op, value));
            next = self.replaced.get(&id).copied();
        }
        Ok(())
    }

    fn space(
        &mut self,
        path: &str,
        what: Space,
        at: u32,
        cells: u32,
        next: &mut State,
    ) -> Result<()> {
        let node = self.node(path)?;
        let len = self.cells_of(node)?.len();
        let (from, end) = (at as usize, (at + cells) as usize);
        if matches!(what, Space::Allocate | Space::Zero) && end > len {
            self.resize(node, end, next)?;
        }
        let mut list = next.files.get(&node).context("no such file")?.to_vec();
        match what {
            Space::Allocate | Space::Reserve => return Ok(()),
            Space::Punch | Space::Zero => {
                // whole blocks are taken away, the rest is written with zeros
                let block = BLOCK as usize;
                let whole = from.next_multiple_of(block)..end / block * block;
                for cell in from..end.min(list.len()) {
                    // Zeroed blocks stay where they are: whatever is written to a part of one zeroes
                    // the others of its cells, and that may be on disk before this is.
                    if what == Space::Zero || !whole.contains(&cell) {
                        self.put(&list, cell, Value::Zero)?;
                    }
                    if whole.contains(&cell) {
                        let new = self.new_cell();
                        let place = list.get_mut(cell).context("beyond the file")?;
                        let before = std::mem::replace(place, new);
                        // Others are freed.
                        if what == Space::Zero {
                            self.replaced.insert(new, before);
                        }
                    }
                }
            }
            Space::Collapse => {
                ensure!(end < len, "collapse up to the end");
                list.drain(from..end);
                self.move_cut_off(node, |place| place.checked_sub(end - from));
                self.touch(node);
            }
            Space::Insert => {
                ensure!(from < len, "insert at the end");
                self.move_cut_off(node, |place| place.checked_add(end - from));
                let new: Vec<CellId> = (0..cells).map(|_| self.new_cell()).collect();
                list.splice(from..from, new);
                self.touch(node);
            }
        }
        next.files.insert(node, Rc::new(list));
        Ok(())
    }

    /// The last block of a file, which has what was cut off in it, goes to another place.
    fn move_cut_off(&mut self, node: NodeId, to: impl Fn(usize) -> Option<usize>) {
        let all = std::mem::take(&mut self.cut_off);
        let moved = all.into_iter().filter_map(|((n, place), id)| {
            let place = if n == node { to(place)? } else { place };
            Some(((n, place), id))
        });
        self.cut_off = moved.collect();
    }

    /// The least size of a file, in cells, that a crash may leave after `ops` operations when
    /// `ended` have ended.
    pub fn floor(&self, node: NodeId, ops: usize, ended: usize) -> usize {
        let len =
            |at: usize| -> Option<usize> { Some(self.states.get(at)?.files.get(&node)?.len()) };
        let done = |s: &&Synced| s.node == node && s.op < ended;
        let mut floor = 0;
        let mut syncs = self.synced.iter().filter(done).peekable();
        for at in 0..=ops {
            let Some(now) = len(at) else {
                continue;
            };
            floor = floor.min(now);
            while let Some(s) = syncs.next_if(|s| s.op < at) {
                floor = len(s.op).unwrap_or(floor).min(now);
            }
        }
        // a sync of what had not changed since
        let covers = |s: &Synced| s.since <= ops && ops <= s.op;
        if self.synced.iter().filter(done).any(covers) {
            floor = len(ops).unwrap_or(floor);
        }
        floor
    }

    /// What may be in cell `cell` of a file after `ops` operations, when `begun` have begun and
    /// `ended` have ended.
    pub fn allowed(
        &self,
        node: NodeId,
        cell: usize,
        ops: usize,
        begun: usize,
        ended: usize,
    ) -> Result<&[(usize, Value)]> {
        let list = self.states.get(ops).and_then(|s| s.files.get(&node));
        let id = list.and_then(|l| l.get(cell)).context("no such cell")?;
        let history = self.cells.get(*id).context("no such cell")?;
        let to = history.partition_point(|(op, _)| *op < begun);
        let synced = self
            .synced
            .iter()
            .rev()
            .find(|s| s.node == node && s.op < ended);
        let from = synced.map_or(0, |s| {
            history
                .partition_point(|(op, _)| *op < s.op)
                .saturating_sub(1)
        });
        history.get(from..to).context("a cell of the future")
    }

    /// What a file holds where nothing is lost.
    pub fn content(&self, node: NodeId) -> Result<Vec<Value>> {
        let list = self.cells_of(node)?;
        list.iter()
            .map(|id| {
                let history = self.cells.get(*id).context("no such cell")?;
                Ok(history.last().context("no history")?.1)
            })
            .collect()
    }

    /// Whether an operation suits the state now; those that this says no to are never carried
    /// out.
    pub fn suits(&self, op: &Op) -> bool {
        self.check(op).is_ok()
    }

    fn check(&self, op: &Op) -> Result<()> {
        let names = &self.last()?.names;
        let kind = |path: &str| -> Result<&Kind> {
            let node = self.node(path)?;
            self.kind(node).context("no such node")
        };
        let is_file = |path: &str| kind(path).is_ok_and(|k| *k == Kind::File);
        let is_dir = |path: &str| kind(path).is_ok_and(|k| *k == Kind::Directory);
        let is_free = |path: &str| !names.contains_key(path) && is_dir(parent(path));
        let is_empty = |path: &str| !names.keys().any(|n| parent(n) == path);
        let len = |path: &str| -> Result<u32> {
            Ok(u32::try_from(self.cells_of(self.node(path)?)?.len())?)
        };
        let good = match op {
            Op::Create(p) | Op::Mkdir(p) | Op::Symlink { path: p, .. } => is_free(p),
            Op::Link { from, to } => !is_dir(from) && names.contains_key(from) && is_free(to),
            Op::Rename { from, to } => {
                let replaced = match (kind(from)?, names.get(to)) {
                    (_, None) => true,
                    (Kind::Directory, Some(_)) => is_dir(to) && is_empty(to),
                    (_, Some(_)) => !is_dir(to),
                };
                let inside = to.starts_with(&format!("{from}/"));
                replaced && !inside && from != to && !from.is_empty() && is_dir(parent(to))
            }
            Op::Unlink(p) => names.contains_key(p) && !is_dir(p),
            Op::Orphan(p) => is_file(p),
            Op::Rmdir(p) => !p.is_empty() && is_dir(p) && is_empty(p),
            Op::Write {
                path,
                at,
                cells,
                how: How::Mapped,
            } => is_file(path) && *cells > 0 && at + cells <= len(path)?,
            Op::Write { path, cells, .. } => is_file(path) && *cells > 0,
            Op::Truncate { path, .. } => is_file(path),
            Op::Space {
                path,
                what: what @ (Space::Collapse | Space::Insert),
                at,
                cells,
            } => {
                let aligned = at % BLOCK == 0 && cells % BLOCK == 0;
                let end = if *what == Space::Collapse {
                    at + cells
                } else {
                    *at
                };
                is_file(path) && *cells > 0 && aligned && end < len(path)?
            }
            Op::Space { path, cells, .. } => is_file(path) && *cells > 0,
            Op::Fsync(p) => is_file(p) || is_dir(p),
            Op::Fdatasync(p) => is_file(p),
            Op::Sync => true,
        };
        if !good {
            bail!("does not suit");
        }
        Ok(())
    }
}
