// SPDX-License-Identifier: GPL-2.0

//! Directories: single blocks as they lie on disk, and whole directories that are damaged.

use super::flat::{geometries, plain};
use super::input::Input;
use super::memory::{Block, Memory};
use kernel::prelude::*;
use rooms::dirblock::{self, file_type, DirBlocks, DirWriter, Format, Position};
use rooms::format::units::{InodeNumber, LogicalBlock, PhysicalBlock};
use rooms::format::Problem;
use rooms::store::{Store, Transaction};

const SIZE: usize = 4096;
const OWN: InodeNumber = InodeNumber(12);
const PARENT: InodeNumber = InodeNumber(2);
/// More blocks than any good directory of these few names takes.
const MOST_BLOCKS: u32 = 40;

struct Dir {
    memory: Memory,
    blocks: u32,
    indexed: bool,
}

impl Dir {
    fn new() -> Self {
        Self {
            memory: Memory::new(SIZE),
            blocks: 0,
            indexed: false,
        }
    }
}

impl DirBlocks for Dir {
    type Block = Block;

    fn blocks(&self) -> u32 {
        self.blocks
    }
    fn is_indexed(&self) -> bool {
        self.indexed
    }
    fn read(&self, at: LogicalBlock) -> Result<Block> {
        assert!(at.0 < self.blocks, "block {at} of {}", self.blocks);
        self.memory.read(PhysicalBlock(at.0.into()))
    }
    fn report(&self, _at: LogicalBlock, problem: Problem) -> Error {
        problem.into()
    }
}

impl DirWriter for Dir {
    fn prepare(&mut self, block: &Block) -> Result {
        self.memory.prepare(block)
    }
    fn update<R>(&mut self, block: &Block, edit: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.memory.update(block, 0..SIZE, edit)
    }
    fn append(&mut self) -> Result<Block> {
        if self.blocks >= MOST_BLOCKS {
            return Err(ENOSPC);
        }
        self.blocks += 1;
        self.memory.create(PhysicalBlock((self.blocks - 1).into()))
    }
    fn set_indexed(&mut self) {
        self.indexed = true;
    }
}

/// Long enough that some forty fill a block.
fn name(n: u16) -> Vec<u8> {
    let mut name = format!("{n}-").into_bytes();
    name.resize(4 + usize::from(n) * 13 % 200, b'n');
    name
}

/// Reads all of it, in pieces.
fn read_all(dir: &Dir, format: &Format) {
    let mut position = Position::default();
    let mut before = position;
    for _ in 0..5000 {
        let mut room = 7;
        let read = dirblock::read_dir(dir, format, &mut position, |_, name: &[u8], _, _| {
            assert!(!name.is_empty() && name.len() <= 255);
            room -= 1;
            room >= 0
        });
        if read.is_err() || position == before {
            return;
        }
        before = position;
    }
    panic!("a directory without end");
}

fn all_calls(dir: &mut Dir, format: &Format, mut input: Input<'_>) {
    let mut steps = 0;
    while !input.is_empty() && steps < 48 {
        steps += 1;
        dir.memory.begin();
        let kind = input.byte();
        let name = name(u16::from(input.byte()) + 256 * u16::from(kind > 200));
        match kind % 10 {
            0..=2 => {
                let nth = usize::from(input.byte());
                dir.memory.damage(nth, |bytes| input.damage(bytes));
            }
            3 => read_all(dir, format),
            4 => drop(dirblock::lookup(dir, format, &name)),
            5 | 6 => {
                let _ = dirblock::add(dir, format, &name, InodeNumber(30), file_type::REGULAR);
            }
            7 => {
                if let Ok(Some(found)) = dirblock::lookup(dir, format, &name) {
                    let _ = dirblock::remove(dir, format, &name, &found);
                }
            }
            8 => {
                if let Ok(Some(found)) = dirblock::lookup(dir, format, &name) {
                    let inode = InodeNumber(31);
                    let kind = file_type::DIRECTORY;
                    let _ = dirblock::change(dir, format, &name, &found, inode, kind);
                }
                let _ = dirblock::set_parent(dir, format, InodeNumber(40));
            }
            _ => {
                let _ = dirblock::is_empty(dir, format);
                let _ = dirblock::parent(dir, format);
                // the flag is the inode's, and that may be wrong too
                dir.indexed = input.byte() % 4 != 0;
            }
        }
    }
    dir.memory.begin();
    read_all(dir, format);
}

/// A directory of some names, indexed or not, damaged and used.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut format = Format::new(plain(), OWN, 7);
    format.makes_index = input.byte() % 4 != 0;
    let names = u16::from(input.byte());
    let mut dir = Dir::new();
    dirblock::init(&mut dir, &format, OWN, PARENT).unwrap();
    for n in 0..names {
        dirblock::add(
            &mut dir,
            &format,
            &name(n),
            InodeNumber(30),
            file_type::REGULAR,
        )
        .unwrap();
    }
    all_calls(&mut dir, &format, input);
}

/// One block as it lies on disk, seen as the only one of a directory, and as an index.
pub fn block(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let geo = &geometries()[usize::from(flags & 1)];
    let mut format = Format::new(geo, OWN, 7);
    format.makes_index = flags & 2 != 0;
    let mut bytes = input.filled(SIZE);
    if flags & 4 != 0 {
        format.layout.seal_leaf(&mut bytes);
    }
    let _ = format.layout.check_leaf(&bytes);
    for entry in format.layout.entries(&bytes).take(SIZE) {
        if entry.is_err() {
            break;
        }
    }
    let _ = format.layout.find(&bytes, b"name");
    let _ = (format.layout.dots(&bytes), format.layout.is_empty(&bytes));
    let mut dir = Dir::new();
    dir.memory.put(0, bytes.clone());
    dir.memory.put(1, bytes);
    dir.blocks = 2;
    dir.indexed = flags & 8 != 0;
    all_calls(&mut dir, &format, input);
}
