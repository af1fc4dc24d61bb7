// SPDX-License-Identifier: GPL-2.0

//! Whether what a crash left is one of the states that a world may be in.

use super::content::{describe, Value, CELL};
use super::mark::Mark;
use super::model::{Kind, NodeId, State, World};
use anyhow::{bail, ensure, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is found under a name.
struct Entry {
    kind: Kind,
    inode: u64,
    links: u64,
    content: Vec<u8>,
}

/// Everything below a directory.
pub struct Found(BTreeMap<String, Entry>);

impl Found {
    pub fn read(top: &Path) -> Result<Self> {
        let mut all = BTreeMap::new();
        let mut todo = vec![String::new()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(top.join(&dir)).with_context(|| format!("reading `{dir}`"))? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_str().context("a name that is none of ours")?;
                let path = match dir.as_str() {
                    "" => name.to_owned(),
                    dir => format!("{dir}/{name}"),
                };
                let found = Entry::read(&entry.path()).with_context(|| path.clone())?;
                if found.kind == Kind::Directory {
                    todo.push(path.clone());
                }
                ensure!(
                    all.insert(path.clone(), found).is_none(),
                    "{path} is there twice"
                );
            }
        }
        Ok(Self(all))
    }
}

impl Entry {
    fn read(path: &Path) -> Result<Self> {
        let m = fs::symlink_metadata(path)?;
        let (kind, content) = if m.is_dir() {
            (Kind::Directory, Vec::new())
        } else if m.is_symlink() {
            let target = fs::read_link(path)?;
            (Kind::Symlink(target.display().to_string()), Vec::new())
        } else {
            let content = fs::read(path)?;
            ensure!(content.len() as u64 == m.len(), "reads shorter than it is");
            (Kind::File, content)
        };
        Ok(Self {
            kind,
            inode: m.ino(),
            links: m.nlink(),
            content,
        })
    }
}

/// Finds a state of `world` that `found` is, given how far the world had come. Returns the
/// number of operations after which that state was there.
pub fn verify(world: &World, mark: Mark, found: &Found) -> Result<usize> {
    let (begun, ended) = (mark.begun as usize, mark.ended as usize);
    let durable = world.durable(ended);
    let mut all = String::new();
    let mut why = None;
    // the newest first: mostly that is it
    for ops in (durable..=begun).rev() {
        let Some(state) = world.state(ops) else {
            continue;
        };
        let names = names_are(world, state, found);
        let result = names.and_then(|()| files_are(world, state, found, ops, begun, ended));
        match result {
            Ok(()) => return Ok(ops),
            Err((progress, text)) => {
                all.push_str(&format!("\n    {ops}: {text}"));
                let better = why.as_ref().is_none_or(|(best, _)| progress > *best);
                if better {
                    why = Some((progress, format!("after {ops} operations: {text}")));
                }
            }
        }
    }
    let why = why.map_or("there is no such state".into(), |(_, text)| text);
    bail!(
        "w{}: with {durable} operations durable, {ended} ended and {begun} begun, no state fits; nearest {why}{all}",
        mark.world
    )
}

/// How far a comparison came, and what was wrong there.
type Mismatch = (usize, String);

fn names_are(world: &World, state: &State, found: &Found) -> Result<(), Mismatch> {
    let wrong = |text: String| Err((0, text));
    for path in found.0.keys() {
        if !state.names.contains_key(path) {
            return wrong(format!("`{path}` should not be there"));
        }
    }
    let mut links: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut inodes: BTreeMap<NodeId, u64> = BTreeMap::new();
    for (path, node) in state.names.iter() {
        let Some(entry) = found.0.get(path) else {
            return wrong(format!("`{path}` is not there"));
        };
        if Some(&entry.kind) != world.kind(*node) {
            return wrong(format!("`{path}` is a {:?}", entry.kind));
        }
        if *inodes.entry(*node).or_insert(entry.inode) != entry.inode {
            return wrong(format!("`{path}` and another name are two files"));
        }
        let count = links.entry(*node).or_default();
        *count += match entry.kind {
            Kind::Directory => {
                let below = format!("{path}/");
                let is_sub = |(name, node): (&String, &NodeId)| {
                    let rest = name.strip_prefix(&below);
                    rest.is_some_and(|r| !r.contains('/'))
                        && world.kind(*node) == Some(&Kind::Directory)
                };
                2 + state.names.iter().filter(|e| is_sub(*e)).count() as u64
            }
            _ => 1,
        };
    }
    for (path, node) in state.names.iter() {
        let links = links.get(node).copied();
        let entry = found.0.get(path);
        if entry.map(|e| e.links) != links {
            return wrong(format!(
                "`{path}` has {:?} links, not {links:?}",
                entry.map(|e| e.links)
            ));
        }
    }
    Ok(())
}

fn files_are(
    world: &World,
    state: &State,
    found: &Found,
    ops: usize,
    begun: usize,
    ended: usize,
) -> Result<(), Mismatch> {
    let mut good = 1;
    for (path, node) in state.names.iter() {
        let (Some(cells), Some(entry)) = (state.files.get(node), found.0.get(path)) else {
            continue;
        };
        let wrong = |text: String| Err((good, format!("`{path}`: {text}")));
        let len = entry.content.len();
        let floor = world.floor(*node, ops, ended) * CELL;
        if len < floor || len > cells.len() * CELL || len % CELL != 0 {
            return wrong(format!(
                "{len} bytes, not {floor} to {}",
                cells.len() * CELL
            ));
        }
        for (i, cell) in entry.content.chunks(CELL).enumerate() {
            let allowed = match world.allowed(*node, i, ops, begun, ended) {
                Ok(allowed) => allowed,
                Err(e) => return wrong(format!("cell {i}: {e}")),
            };
            if !is_one_of(cell, allowed) {
                return wrong(format!(
                    "cell {i} of {} holds {}, not one of {allowed:?}",
                    cells.len(),
                    describe(cell)
                ));
            }
        }
        good += 1;
    }
    Ok(())
}

/// Whether a cell is one of these values. A page that was written to while it was on its way to
/// the disk may be of two: then each word must be of one of them.
fn is_one_of(cell: &[u8], allowed: &[(usize, Value)]) -> bool {
    let values = || allowed.iter().rev().map(|(_, v)| v.bytes());
    values().any(|v| v == cell)
        || cell.chunks(8).enumerate().all(|(i, word)| {
            let at = i * 8;
            values().any(|v| v.get(at..at + 8) == Some(word))
        })
}

#[cfg(test)]
mod tests {
    use super::super::generate::{list, Profile};
    use super::super::op::{Actor, How, Op, Space};
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("world-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mark(begun: usize, ended: usize) -> Mark {
        Mark {
            world: 1,
            begun: begun as u32,
            ended: ended as u32,
            over: false,
        }
    }

    fn act(dir: &Path, ops: &[Op]) {
        let mut actor = Actor::new(1, dir).unwrap();
        for (i, op) in ops.iter().enumerate() {
            actor
                .act(i as u32, op)
                .unwrap_or_else(|e| panic!("{i} {op:?}: {e:#}"));
        }
    }

    fn verdict(dir: &Path, ops: &[Op], begun: usize, ended: usize) -> Result<usize> {
        let world = World::follow(1, ops).unwrap();
        verify(&world, mark(begun, ended), &Found::read(dir).unwrap())
    }

    /// What is written behind a cut goes to the block that the cut has left, if there is one, and
    /// may be on disk before the cut is. Behind a cut between two blocks it goes elsewhere.
    #[test]
    fn a_write_behind_a_cut_may_come_first() {
        for (cut, possible) in [(10, true), (8, false)] {
            let dir = Dir::new(&format!("cut-{cut}"));
            let path = || "f".to_owned();
            let write = |at, cells| Op::Write {
                path: path(),
                at,
                cells,
                how: How::Buffered,
            };
            let truncate = Op::Truncate {
                path: path(),
                cells: cut,
            };
            let stage = [Op::Create(path()), write(0, 16), Op::Fsync(path())];
            let ops = [&stage[..], &[truncate, write(cut, 1)]].concat();
            act(&dir.0, &stage);
            let file = fs::File::options()
                .write(true)
                .open(dir.0.join("f"))
                .unwrap();
            let new = Value::Stamp {
                world: 1,
                op: 4,
                cell: cut,
            };
            file.write_all_at(&new.bytes(), u64::from(cut) * CELL as u64)
                .unwrap();
            let verdict = verdict(&dir.0, &ops, 5, 4);
            assert_eq!(verdict.is_ok(), possible, "{verdict:?}");
        }
    }

    /// A write to a part of a block that was zeroed as a whole writes all of the block, where it lies:
    /// so the zeros around it may be on disk before the zeroing is. Not so in another block.
    #[test]
    fn a_write_into_a_zeroed_block_may_come_first() {
        for (zeroed, possible) in [(8, true), (4, false)] {
            let dir = Dir::new(&format!("zeroed-{zeroed}"));
            let path = || "f".to_owned();
            let write = |at, cells, how| Op::Write {
                path: path(),
                at,
                cells,
                how,
            };
            let stage = [
                Op::Create(path()),
                write(0, 24, How::Buffered),
                Op::Fsync(path()),
            ];
            let zero = Op::Space {
                path: path(),
                what: Space::Zero,
                at: 8,
                cells: 8,
            };
            let ops = [&stage[..], &[zero, write(10, 1, How::Direct)]].concat();
            act(&dir.0, &stage);
            let file = fs::File::options()
                .write(true)
                .open(dir.0.join("f"))
                .unwrap();
            let put = |cell: u32, value: Value| {
                file.write_all_at(&value.bytes(), u64::from(cell) * CELL as u64)
                    .unwrap();
            };
            put(zeroed, Value::Zero);
            let (world, op) = (1, 4);
            put(
                10,
                Value::Stamp {
                    world,
                    op,
                    cell: 10,
                },
            );
            let verdict = verdict(&dir.0, &ops, 5, 4);
            assert_eq!(verdict.is_ok(), possible, "{verdict:?}");
        }
    }

    /// `fdatasync()` of a file is for what is in it; another name of it may be lost.
    #[test]
    fn names_are_for_fsync() {
        for data_only in [false, true] {
            let dir = Dir::new(&format!("names-{data_only}"));
            let path = || "f".to_owned();
            let rename = Op::Rename {
                from: path(),
                to: "g".to_owned(),
            };
            let sync = |path: &str| {
                let path = path.to_owned();
                if data_only {
                    Op::Fdatasync(path)
                } else {
                    Op::Fsync(path)
                }
            };
            // The first name is the file's, whichever of the two it is.
            let stage = [Op::Create(path()), sync("f")];
            act(&dir.0, &stage);
            let ops = [&stage[..], &[rename, sync("g")]].concat();
            let verdict = verdict(&dir.0, &ops, 4, 4);
            assert_eq!(verdict.is_ok(), data_only, "{verdict:?}");
            assert_eq!(World::follow(1, &ops).unwrap().durable(2), 1);
        }
    }

    /// What the machine's own file system has after a list is the last state of the world; and
    /// no state that lacks what was synced.
    #[test]
    fn lists_end_as_the_model_says() {
        for profile in Profile::ALL {
            for seed in 0..3 {
                let dir = Dir::new(&format!("{profile:?}-{seed}"));
                // not every file system of a machine can do all; xfs_io may not be there
                let ops: Vec<Op> = list(profile, seed, 1, 300)
                    .into_iter()
                    .take_while(|op| {
                        !matches!(
                            op,
                            Op::Space {
                                what: Space::Zero | Space::Collapse | Space::Insert,
                                ..
                            } | Op::Write {
                                how: How::Mapped | How::Direct,
                                ..
                            }
                        )
                    })
                    .collect();
                act(&dir.0, &ops);
                let n = ops.len();
                assert_eq!(
                    verdict(&dir.0, &ops, n, n).unwrap(),
                    n,
                    "{profile:?} {seed}"
                );
                let world = World::follow(1, &ops).unwrap();
                for state in 0..=n {
                    assert!(world.durable(state) <= state);
                }
            }
        }
    }

    /// Every list that is drawn is as long as was asked for.
    #[test]
    fn lists_are_long_enough() {
        for profile in Profile::ALL {
            for seed in 0..6 {
                assert_eq!(list(profile, seed, 1, 200).len(), 200, "{profile:?} {seed}");
            }
        }
    }

    fn write(at: u32, cells: u32) -> Op {
        Op::Write {
            path: "f".into(),
            at,
            cells,
            how: How::Buffered,
        }
    }

    fn file() -> Vec<Op> {
        vec![
            Op::Create("f".into()),
            write(0, 20),
            Op::Fsync("f".into()),
            write(4, 2),
            write(20, 10),
        ]
    }

    fn open(dir: &Dir) -> fs::File {
        let path = dir.0.join("f");
        fs::File::options().write(true).open(path).unwrap()
    }

    #[test]
    fn what_was_synced_must_be_there() {
        let dir = Dir::new("synced");
        let ops = file();
        act(&dir.0, &ops);
        let f = open(&dir);
        // the append may be lost, wholly or in part
        f.set_len(24 * 512).unwrap();
        verdict(&dir.0, &ops, 5, 5).unwrap();
        f.set_len(20 * 512).unwrap();
        verdict(&dir.0, &ops, 5, 5).unwrap();
        // and so may the overwrite
        let old = Value::Stamp {
            world: 1,
            op: 1,
            cell: 4,
        };
        f.write_all_at(&old.bytes(), 4 * 512).unwrap();
        verdict(&dir.0, &ops, 5, 5).unwrap();
        // but not what was synced
        f.write_all_at(&[0; 512], 7 * 512).unwrap();
        assert!(verdict(&dir.0, &ops, 5, 5).is_err());
        verdict(&dir.0, &ops, 4, 2).unwrap();
        f.set_len(16 * 512).unwrap();
        assert!(verdict(&dir.0, &ops, 5, 5).is_err());
        fs::remove_file(dir.0.join("f")).unwrap();
        assert!(verdict(&dir.0, &ops, 5, 5).is_err());
        verdict(&dir.0, &ops, 4, 2).unwrap();
    }

    /// A truncate that is not durable may have zeroed the rest of its last block, and no more.
    #[test]
    fn a_truncate_zeroes_before_it_cuts() {
        let dir = Dir::new("truncate");
        let mut ops = file();
        ops.truncate(3);
        act(&dir.0, &ops);
        ops.push(Op::Truncate {
            path: "f".into(),
            cells: 10,
        });
        let f = open(&dir);
        f.write_all_at(&[0; 6 * 512], 10 * 512).unwrap();
        verdict(&dir.0, &ops, 4, 3).unwrap();
        // not before it began, and not the next block
        assert!(verdict(&dir.0, &ops, 3, 3).is_err());
        f.write_all_at(&[0; 512], 16 * 512).unwrap();
        assert!(verdict(&dir.0, &ops, 4, 3).is_err());
    }

    #[test]
    fn foreign_bytes_are_noticed() {
        let dir = Dir::new("foreign");
        let ops = file();
        act(&dir.0, &ops);
        let f = open(&dir);
        for (world, op, cell) in [(2, 4, 25), (1, 4, 26), (1, 1, 25)] {
            let other = Value::Stamp { world, op, cell };
            f.write_all_at(&other.bytes(), 25 * 512).unwrap();
            assert!(verdict(&dir.0, &ops, 5, 5).is_err());
        }
        f.write_all_at(&[0; 512], 25 * 512).unwrap();
        verdict(&dir.0, &ops, 5, 5).unwrap();
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let dir = Dir::new("cut");
        let mut ops = file();
        ops.push(Op::Truncate {
            path: "f".into(),
            cells: 11,
        });
        ops.push(Op::Truncate {
            path: "f".into(),
            cells: 40,
        });
        act(&dir.0, &ops);
        let f = open(&dir);
        verdict(&dir.0, &ops, 7, 7).unwrap();
        let old = Value::Stamp {
            world: 1,
            op: 1,
            cell: 13,
        };
        f.write_all_at(&old.bytes(), 13 * 512).unwrap();
        // a file of its old length may have the old bytes, a longer one may not
        assert!(verdict(&dir.0, &ops, 7, 7).is_err());
    }

    #[test]
    fn names_come_and_go_in_order() {
        let dir = Dir::new("names");
        let rename = |from: &str, to: &str| Op::Rename {
            from: from.into(),
            to: to.into(),
        };
        let ops = vec![
            Op::Mkdir("a".into()),
            Op::Create("a/x".into()),
            Op::Sync,
            rename("a/x", "y"),
            rename("a", "b"),
        ];
        act(&dir.0, &ops);
        assert_eq!(verdict(&dir.0, &ops, 5, 5).unwrap(), 5);
        // the second rename without the first
        fs::rename(dir.0.join("y"), dir.0.join("b/x")).unwrap();
        assert!(verdict(&dir.0, &ops, 5, 5).is_err());
        // neither of them
        fs::rename(dir.0.join("b"), dir.0.join("a")).unwrap();
        assert_eq!(verdict(&dir.0, &ops, 5, 5).unwrap(), 3);
        // the first alone
        fs::rename(dir.0.join("a/x"), dir.0.join("y")).unwrap();
        assert_eq!(verdict(&dir.0, &ops, 5, 5).unwrap(), 4);
        assert!(verdict(&dir.0, &ops, 3, 3).is_err());
    }
}
