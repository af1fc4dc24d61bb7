// SPDX-License-Identifier: GPL-2.0

//! Whole directories: against a map in memory, and against e2fsprogs.

mod common;
mod images;

use common::{MemBlock, MemStore};
use images::{Image, Noise};
use kernel::prelude::*;
use proptest::prelude::*;
use rooms::dirblock::{
    self, file_type, Algorithm, DirBlocks, DirWriter, Format, Hasher, Position, END,
};
use rooms::format::inode::flags;
use rooms::format::units::{InodeNumber, LogicalBlock, PhysicalBlock};
use rooms::format::{Geometry, Problem};
use rooms::store::{MetaBlock, Store, Transaction};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const OWN: InodeNumber = InodeNumber(12);
const PARENT: InodeNumber = InodeNumber(2);

/// A directory in memory: block n of it is block n of the store.
struct MemDir {
    store: MemStore,
    blocks: u32,
    indexed: bool,
    /// Blocks that may yet be appended.
    room: u32,
    problems: RefCell<Vec<(u32, Problem)>>,
}

impl MemDir {
    fn new(format: &Format) -> Self {
        Self {
            store: MemStore::new(format.block_size.as_usize()),
            blocks: 0,
            indexed: false,
            room: u32::MAX,
            problems: RefCell::default(),
        }
    }

    fn made(format: &Format) -> Self {
        let mut dir = Self::new(format);
        dirblock::init(&mut dir, format, OWN, PARENT).unwrap();
        dir
    }

    /// The directory `ino` of an image.
    fn of_image(image: &Image, ino: InodeNumber) -> (Self, Format) {
        let inode = image.inode(ino).unwrap();
        let format = Format::new(&image.geo, ino, inode.generation);
        let mut dir = Self::new(&format);
        dir.indexed = inode.has(flags::INDEX);
        dir.blocks = image.geo.block_size.whole_blocks(inode.size) as u32;
        let places = image.blocks_of(ino);
        // Blocks of the extent tree come along, at the end or in front of what they map.
        let data: Vec<_> = extent_free(image, ino, places);
        assert_eq!(data.len(), dir.blocks as usize);
        for (n, at) in data.iter().enumerate() {
            dir.store.write(PhysicalBlock(n as u64), &image.read(*at));
        }
        (dir, format)
    }
}

/// The data blocks among all blocks of a file.
fn extent_free(image: &Image, ino: InodeNumber, all: Vec<PhysicalBlock>) -> Vec<PhysicalBlock> {
    let inode = image.inode(ino).unwrap();
    let data = image.geo.block_size.whole_blocks(inode.size) as usize;
    if all.len() == data {
        return all;
    }
    all.into_iter()
        .filter(|at| image.read(*at)[..2] != 0xf30au16.to_le_bytes())
        .collect()
}

impl DirBlocks for MemDir {
    type Block = MemBlock;

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn is_indexed(&self) -> bool {
        self.indexed
    }

    fn read(&self, at: LogicalBlock) -> Result<MemBlock> {
        assert!(at.0 < self.blocks, "block {at} of {}", self.blocks);
        self.store.read(PhysicalBlock(at.0.into()))
    }

    fn report(&self, at: LogicalBlock, problem: Problem) -> Error {
        self.problems.borrow_mut().push((at.0, problem));
        problem.into()
    }
}

impl DirWriter for MemDir {
    fn prepare(&mut self, block: &MemBlock) -> Result {
        self.store.prepare(block)
    }

    fn update<R>(&mut self, block: &MemBlock, edit: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.store.update(block, 0..block.bytes().len(), edit)
    }

    fn append(&mut self) -> Result<MemBlock> {
        self.room = self.room.checked_sub(1).ok_or(ENOSPC)?;
        let block = self.store.create(PhysicalBlock(self.blocks.into()))?;
        self.blocks += 1;
        Ok(block)
    }

    fn set_indexed(&mut self) {
        self.indexed = true;
    }
}

/// The geometry of an image of mke2fs, made once; with other options on demand.
fn geometry() -> &'static Geometry {
    static GEO: OnceLock<Geometry> = OnceLock::new();
    GEO.get_or_init(|| Image::make("512M", &["-N", "200000"], None).geo)
}

fn format() -> Format {
    Format::new(geometry(), OWN, 7)
}

fn formats() -> Vec<Format> {
    let plain = Image::make("64M", &["-O", "^metadata_csum"], None).geo;
    let linear = Image::make("64M", &["-O", "^dir_index"], None).geo;
    let small = Image::make("64M", &["-b", "1024"], None).geo;
    let mut legacy = format();
    legacy.hasher.algorithm = Algorithm::Legacy;
    let mut tea = format();
    tea.hasher.algorithm = Algorithm::Tea;
    tea.hasher.unsigned = true;
    vec![
        format(),
        Format::new(&plain, OWN, 7),
        Format::new(&linear, OWN, 7),
        Format::new(&small, OWN, 7),
        legacy,
        tea,
    ]
}

/// Reads all, `step` entries at a time, and checks that each comes once.
fn read_all(dir: &MemDir, format: &Format, step: usize) -> BTreeMap<Vec<u8>, InodeNumber> {
    let long = read_all_from(dir, format, step, Position::default());
    let short = Position {
        short: true,
        ..Position::default()
    };
    assert_eq!(read_all_from(dir, format, step, short), long);
    long
}

fn read_all_from(
    dir: &MemDir,
    format: &Format,
    step: usize,
    mut position: Position,
) -> BTreeMap<Vec<u8>, InodeNumber> {
    let mut all = BTreeMap::new();
    let short = position.short;
    loop {
        let before = all.len();
        let mut cookies = Vec::new();
        dirblock::read_dir(
            dir,
            format,
            &mut position,
            |cookie: u64, name: &[u8], ino, _| {
                if cookies.len() == step {
                    return false;
                }
                assert!(!short || cookie < dirblock::SHORT_END);
                cookies.push(cookie);
                let twice = all.insert(name.to_vec(), ino);
                assert_eq!(twice, None, "{:?}", String::from_utf8_lossy(name));
                true
            },
        )
        .unwrap();
        assert!(cookies.is_sorted());
        if all.len() == before {
            return all;
        }
    }
}

/// The directory holds exactly `model`, by look-up and by reading.
fn check(dir: &MemDir, format: &Format, model: &BTreeMap<Vec<u8>, InodeNumber>) {
    for (name, ino) in model {
        let found = dirblock::lookup(dir, format, name).unwrap();
        assert_eq!(found.map(|f| f.inode), Some(*ino), "{name:?}");
    }
    assert!(dirblock::lookup(dir, format, b"never there")
        .unwrap()
        .is_none());
    for step in [7, usize::MAX] {
        let mut all = read_all(dir, format, step);
        assert_eq!(all.remove(&b"."[..]), Some(OWN));
        assert_eq!(all.remove(&b".."[..]), Some(PARENT));
        assert_eq!(&all, model);
    }
    assert_eq!(dirblock::is_empty(dir, format).unwrap(), model.is_empty());
    assert_eq!(dirblock::parent(dir, format).unwrap(), PARENT);
    assert!(dir.problems.borrow().is_empty());
}

fn add(dir: &mut MemDir, format: &Format, name: &[u8], ino: u32) -> Result {
    dirblock::add(dir, format, name, InodeNumber(ino), file_type::REGULAR)
}

fn remove(dir: &mut MemDir, format: &Format, name: &[u8]) {
    let found = dirblock::lookup(dir, format, name).unwrap().unwrap();
    dirblock::remove(dir, format, name, &found).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Add(u16, u8),
    Remove(usize),
    Change(usize, u32),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<u16>(), 1..=255u8).prop_map(|(n, len)| Step::Add(n, len)),
        3 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), 20..999u32).prop_map(|(n, ino)| Step::Change(n, ino)),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..400)
}

/// A name of `len` bytes, high ones among them.
fn name_of(n: u16, len: u8) -> Vec<u8> {
    let mut noise = Noise((u64::from(n) << 8) | u64::from(len) | (1 << 40));
    (0..len)
        .map(|_| match noise.next() as u8 {
            0 | b'/' | b'.' => b'x',
            byte => byte,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn behaves_like_a_map(steps in steps(), which in 0..6usize) {
        static FORMATS: OnceLock<Vec<Format>> = OnceLock::new();
        let format = FORMATS.get_or_init(formats)[which];
        let mut dir = MemDir::made(&format);
        let mut model = BTreeMap::new();
        let pick = |model: &BTreeMap<Vec<u8>, InodeNumber>, n: usize| {
            model.keys().nth(n % model.len().max(1)).cloned()
        };
        for step in steps {
            match step {
                Step::Add(n, len) => {
                    let name = name_of(n, len);
                    let ino = 20 + u32::from(n) % 9000;
                    if model.insert(name.clone(), InodeNumber(ino)).is_none() {
                        add(&mut dir, &format, &name, ino).unwrap();
                    } else {
                        let found = dirblock::lookup(&dir, &format, &name).unwrap().unwrap();
                        let ino = InodeNumber(ino);
                        dirblock::change(&mut dir, &format, &name, &found, ino, 1).unwrap();
                    }
                }
                Step::Remove(n) => {
                    if let Some(name) = pick(&model, n) {
                        model.remove(&name);
                        remove(&mut dir, &format, &name);
                    }
                }
                Step::Change(n, ino) => {
                    if let Some(name) = pick(&model, n) {
                        let ino = InodeNumber(ino);
                        let found = dirblock::lookup(&dir, &format, &name).unwrap().unwrap();
                        dirblock::change(&mut dir, &format, &name, &found, ino, 1).unwrap();
                        model.insert(name, ino);
                    }
                }
                Step::Restart => dir.store.restart(None),
            }
        }
        dir.store.restart(None);
        check(&dir, &format, &model);
    }
}

/// Long enough for an index of two levels: more than 507 leaves.
#[test]
fn index_of_two_levels() {
    let format = format();
    let mut dir = MemDir::made(&format);
    let mut model = BTreeMap::new();
    for i in 0..9000u32 {
        dir.store.restart(Some(dirblock::ADD_BLOCKS));
        let name = format!("{i:0>200}").into_bytes();
        let appended = dir.blocks;
        add(&mut dir, &format, &name, i + 20).unwrap();
        assert!(dir.blocks - appended <= dirblock::ADD_APPENDS);
        model.insert(name, InodeNumber(i + 20));
    }
    assert!(dir.blocks > 600);
    dir.store.restart(None);
    check(&dir, &format, &model);
    let root = dir.store.bytes(PhysicalBlock(0));
    assert_eq!(root[30], 1, "levels");

    // Full: ENOSPC, and nothing harmed.
    dir.room = 0;
    let mut refused = 0;
    for i in 9000..9200u32 {
        let name = format!("{i:0>200}").into_bytes();
        match add(&mut dir, &format, &name, i + 20) {
            Ok(()) => {
                model.insert(name, InodeNumber(i + 20));
            }
            Err(error) => {
                assert_eq!(error, ENOSPC);
                refused += 1;
            }
        }
    }
    assert!(refused > 10);
    check(&dir, &format, &model);
}

/// Two names of one hash that a split sets apart: both are found, and read once each.
#[test]
fn names_of_one_hash() {
    let mut format = format();
    format.hasher.algorithm = Algorithm::Legacy;
    let name = |i: u32| format!("{i:x>250}").into_bytes();
    let hash = |name: &[u8]| format.hasher.hash(name).major;
    let mut by_hash = BTreeMap::new();
    let mut twins = None;
    for i in 0..2_000_000 {
        let name = name(i);
        let hash = hash(&name);
        // In the middle, so that there are names below and above.
        let middle = (0x4000_0000..0xc000_0000).contains(&hash);
        match by_hash.insert(hash, name.clone()) {
            Some(other) if middle => {
                twins = Some((hash, other, name));
                break;
            }
            _ => {}
        }
    }
    let (twin_hash, one, other) = twins.expect("two names of one hash");
    // Fifteen names fill a leaf, the split keeps eight: seven and the first of the twins.
    let mut names: Vec<_> = by_hash.range(..twin_hash).take(7).collect();
    names.extend(by_hash.range(twin_hash + 1..).take(6));
    let mut names: Vec<_> = names.into_iter().map(|(_, name)| name.clone()).collect();
    names.extend([one, other]);
    names.push(
        by_hash
            .pop_first()
            .unwrap()
            .1
            .iter()
            .rev()
            .copied()
            .collect(),
    );

    let mut dir = MemDir::made(&format);
    let mut model = BTreeMap::new();
    for name in names {
        add(&mut dir, &format, &name, 30).unwrap();
        model.insert(name, InodeNumber(30));
    }
    let root = dir.store.bytes(PhysicalBlock(0));
    let hash = u32::from_le_bytes(root[40..44].try_into().unwrap());
    assert_eq!(hash, twin_hash | 1, "the index says that the leaf goes on");
    check(&dir, &format, &model);
    assert_eq!(read_all(&dir, &format, 1).len(), model.len() + 2);
}

/// An index begins with two leaves, half full each (xfstests' ext4/048).
#[test]
fn an_index_begins_with_two_leaves() {
    let format = format();
    let mut dir = MemDir::made(&format);
    let mut model = BTreeMap::new();
    for i in 0.. {
        let name = format!("test{i:04}").into_bytes();
        add(&mut dir, &format, &name, i + 20).unwrap();
        model.insert(name, InodeNumber(i + 20));
        if dir.is_indexed() {
            break;
        }
        assert_eq!(dir.blocks, 1);
    }
    assert_eq!(dir.blocks, 3);
    check(&dir, &format, &model);
    let leaf = |at| {
        let bytes = dir.store.bytes(PhysicalBlock(at));
        format.layout.entries(&bytes).count()
    };
    assert_eq!(leaf(1) + leaf(2), model.len());
    // The new name, and the rounding of the halves.
    assert!(leaf(1).abs_diff(leaf(2)) <= 2, "{} {}", leaf(1), leaf(2));
}

/// Whatever fails, the directory stays sound and holds what it held.
#[test]
fn failures_leave_it_sound() {
    let format = format();
    let mut dir = MemDir::made(&format);
    let mut model = BTreeMap::new();
    let mut failures = BTreeSet::new();
    for i in 0..400u32 {
        let name = format!("{i:0>200}").into_bytes();
        for n in 0.. {
            dir.store.restart(None);
            dir.store.fail_after(n);
            let added = add(&mut dir, &format, &name, i + 20);
            if let Some(what) = dir.store.never_fail() {
                failures.insert(what);
            }
            if added.is_ok() {
                break;
            }
        }
        for n in 0.. {
            kernel::alloc::fail_after(n);
            let again = format!("{i:0>200}b").into_bytes();
            let added = add(&mut dir, &format, &again, i + 20);
            let failed = !kernel::alloc::never_fail();
            if added.is_ok() {
                model.insert(again, InodeNumber(i + 20));
                break;
            }
            assert!(failed);
        }
        model.insert(name, InodeNumber(i + 20));
    }
    assert!(
        failures.contains("read") && failures.contains("prepare"),
        "{failures:?}"
    );
    check(&dir, &format, &model);
}

/// Reading goes on rightly over changes between two calls.
#[test]
fn reading_survives_splits() {
    let format = format();
    let mut dir = MemDir::made(&format);
    for i in 0..100u32 {
        add(&mut dir, &format, format!("old{i:0>100}").as_bytes(), 20).unwrap();
    }
    let mut position = Position::default();
    let mut seen = BTreeMap::new();
    let mut next = 0;
    while position.cookie != END {
        let mut given = 0;
        dirblock::read_dir(&dir, &format, &mut position, |_, name: &[u8], _, _| {
            given += 1;
            if given > 3 {
                return false;
            }
            *seen.entry(name.to_vec()).or_insert(0) += 1;
            true
        })
        .unwrap();
        // Not for ever: the new ones are read, too.
        for _ in 0..if next < 2000 { 30 } else { 0 } {
            add(&mut dir, &format, format!("new{next:0>100}").as_bytes(), 20).unwrap();
            next += 1;
        }
    }
    for i in 0..100u32 {
        assert_eq!(
            seen.get(format!("old{i:0>100}").as_bytes()),
            Some(&1),
            "{i}"
        );
    }
    assert!(seen.values().all(|times| *times == 1));
}

#[test]
fn parent_changes() {
    for names in [0, 5, 500] {
        let format = format();
        let mut dir = MemDir::made(&format);
        for i in 0..names {
            add(&mut dir, &format, format!("name{i}").as_bytes(), 20).unwrap();
        }
        dirblock::set_parent(&mut dir, &format, InodeNumber(99)).unwrap();
        dir.store.restart(None);
        assert_eq!(dirblock::parent(&dir, &format).unwrap(), InodeNumber(99));
        assert_eq!(read_all(&dir, &format, 50).len(), names + 2);
    }
}

/// A block that was changed in memory, put where the directory `ino` has it.
fn write_back(image: &Image, ino: InodeNumber, dir: &MemDir) {
    let places = extent_free(image, ino, image.blocks_of(ino));
    for (n, at) in places.iter().enumerate() {
        image.write(*at, &dir.store.bytes(PhysicalBlock(n as u64)));
    }
}

/// Directories that e2fsprogs made are read, changed, and found good by e2fsck.
#[test]
fn directories_of_e2fsprogs() {
    let tree = images::TempDir::new();
    let large = tree.path().join("large");
    std::fs::create_dir(&large).unwrap();
    let name = |i: u32| format!("a file with a long \u{e4} name {i}");
    for i in 0..3000 {
        std::fs::write(large.join(name(i)), "").unwrap();
    }
    for (options, hash) in [
        (&[][..], "half_md4"),
        (&["-O", "^metadata_csum"], "tea"),
        (
            &["-E", "hash_seed=f0e1d2c3-b4a5-9687-7869-5a4b3c2d1e0f"],
            "legacy",
        ),
        (&["-b", "1024"], "half_md4"),
    ] {
        let image = Image::make("64M", options, Some(tree.path()));
        image.debugfs(&format!("set_super_value def_hash_version {hash}\n"));
        for indexed in [false, true] {
            if indexed {
                image.index_directories();
            }
            let ino = image.lookup("/large");
            let (mut dir, mut format) = MemDir::of_image(&image, ino);
            assert_eq!(dir.indexed, indexed);
            format.makes_index = indexed;
            let all = read_all(&dir, &format, 100);
            assert_eq!(all.len(), 3002);
            for i in 0..3000 {
                let name = name(i);
                let found = dirblock::lookup(&dir, &format, name.as_bytes()).unwrap();
                let found = found.unwrap_or_else(|| panic!("{name}"));
                assert_eq!(all[name.as_bytes()], found.inode);
                // Out and in again, so that e2fsck sees our bytes.
                if i % 3 == 0 {
                    dirblock::remove(&mut dir, &format, name.as_bytes(), &found).unwrap();
                    let ino = found.inode;
                    dir.room = 0;
                    dirblock::add(&mut dir, &format, name.as_bytes(), ino, file_type::REGULAR)
                        .unwrap();
                }
            }
            write_back(&image, ino, &dir);
            image.assert_clean();
        }
    }
}

/// An index of two levels that ext4rs built, in a directory that mke2fs made.
#[test]
fn our_index_satisfies_e2fsck() {
    const NAMES: u32 = 9000;
    let tree = images::TempDir::new();
    std::fs::write(tree.path().join("file"), "").unwrap();
    std::fs::create_dir(tree.path().join("large")).unwrap();
    for options in [&[][..], &["-O", "^metadata_csum"], &["-b", "1024"]] {
        let image = Image::make("64M", options, Some(tree.path()));
        let (ino, file) = (image.lookup("/large"), image.lookup("/file"));
        let (mut dir, format) = MemDir::of_image(&image, ino);
        let add_all = |dir: &mut MemDir, numbers: std::ops::Range<u32>| {
            for i in numbers {
                add(dir, &format, format!("{i:0>200}").as_bytes(), file.0).unwrap();
            }
        };
        add_all(&mut dir, 0..NAMES);
        for i in (0..NAMES).step_by(7) {
            remove(&mut dir, &format, format!("{i:0>200}").as_bytes());
        }
        let links = NAMES - NAMES.div_ceil(7) + 1;
        image.grow_file("/large", ino, dir.blocks);
        image.debugfs(&format!(
            "set_inode_field large flags 0x81000\nset_inode_field file links_count {links}\n"
        ));
        write_back(&image, ino, &dir);
        image.assert_clean();
        let text = images::tool("debugfs", &["-R", "htree_dump /large", image.name()], &[0]);
        assert!(text.contains("Indirect levels: 1"), "{text:.400}");
    }
}

/// Whichever way a small block of long names is split, the half that the new name belongs to has
/// room for it.
#[test]
fn halves_of_small_blocks_have_room_for_the_longest_name() {
    let geo = Image::make("64M", &["-b", "1024"], None).geo;
    let format = Format::new(&geo, OWN, 7);
    let mut noise = Noise(0x5eed_0f10_0000_0001);
    for _ in 0..300 {
        let mut dir = MemDir::made(&format);
        for number in 0..40 {
            let len = [255, 216 + noise.next() as usize % 40][noise.next() as usize % 2];
            let name = format!("{number:02}{:0>1$}", noise.next(), len - 2);
            add(&mut dir, &format, name.as_bytes(), 30).unwrap();
        }
        assert!(dir.problems.borrow().is_empty());
    }
}

/// Hashes are those of e2fsprogs.
#[test]
fn hashes_are_those_of_debugfs() {
    const NAMES: [&str; 12] = [
        "a",
        "ab",
        "abc",
        "abcd",
        "abcde",
        "lost+found",
        "hello world",
        "exactly16bytes!!",
        "a name of thirty-two characters!",
        "a name that is longer than thirty-two characters",
        "Gr\u{fc}\u{df}e",
        "\u{65e5}\u{672c}\u{8a9e}.txt",
    ];
    let image = Image::make("8M", &["-O", "^has_journal"], None);
    let seeds = [
        ("00000000-0000-0000-0000-000000000000", [0; 4]),
        (
            "f0e1d2c3-b4a5-9687-7869-5a4b3c2d1e0f",
            [0xc3d2_e1f0, 0x8796_a5b4, 0x4b5a_6978, 0x0f1e_2d3c],
        ),
    ];
    let algorithms = [Algorithm::Legacy, Algorithm::HalfMd4, Algorithm::Tea];
    for (uuid, seed) in seeds {
        // The second three are the first, with unsigned bytes.
        for number in 0..6 {
            let mut geo = image.geo.clone();
            geo.hash_seed = seed;
            let mut hasher = Hasher::new(&geo).with(algorithms[number % 3]);
            hasher.unsigned = number >= 3;
            let command = |name| format!("dx_hash -h {number} -s {uuid} \"{name}\"\n");
            let script = NAMES.iter().map(command).collect::<Vec<_>>().concat();
            let theirs: Vec<String> = image
                .debugfs(&script)
                .lines()
                .filter(|line| line.starts_with("Hash of"))
                .map(str::to_string)
                .collect();
            let ours: Vec<String> = NAMES
                .iter()
                .map(|name| (name, hasher.hash(name.as_bytes())))
                .map(|(name, hash)| {
                    let (major, minor) = (hash.major, hash.minor);
                    format!("Hash of {name} is {major:#x} (minor {minor:#x})")
                })
                .collect();
            assert_eq!(theirs, ours, "{number} {uuid}");
        }
    }
}

/// No bytes make anything panic, and what is damaged under a checksum is noticed.
#[test]
fn damage_is_noticed() {
    for (which, format) in formats().into_iter().enumerate() {
        let mut dir = MemDir::made(&format);
        // One level of index.
        let names: Vec<_> = (0..600 * format.block_size.as_usize() / 4096)
            .map(|i| format!("{i:0>120}").into_bytes())
            .collect();
        for name in &names {
            add(&mut dir, &format, name, 30).unwrap();
        }
        let good: Vec<_> = (0..dir.blocks)
            .map(|n| dir.store.bytes(PhysicalBlock(n.into())))
            .collect();
        let mut noise = Noise(0xdead_beef_cafe_f00d + which as u64);
        let mut reports = 0;
        for round in 0..400 {
            let n = noise.next() as usize % good.len();
            let mut bad = good[n].clone();
            match round % 8 {
                0 => noise.fill(&mut bad),
                1 => bad.fill(0),
                2 => noise.fill(&mut bad[..64]),
                _ => noise.damage(&mut bad),
            }
            let at = PhysicalBlock(n as u64);
            dir.store.write(at, &bad);
            let mut position = Position::default();
            let mut given = 0;
            let read = dirblock::read_dir(&dir, &format, &mut position, |_, _: &[u8], _, _| {
                given += 1;
                assert!(given < 100_000, "reading does not end");
                true
            });
            if which != 1 && bad != good[n] {
                // All but the free space of index nodes is under a checksum.
                let index = n == 0 && dir.indexed;
                assert!(read.is_err() || index, "block {n}");
            }
            let _ = dirblock::is_empty(&dir, &format);
            let _ = dirblock::parent(&dir, &format);
            for name in names.iter().take(5) {
                if let Ok(Some(found)) = dirblock::lookup(&dir, &format, name) {
                    let _ = dirblock::remove(&mut dir, &format, name, &found);
                }
                let _ = add(&mut dir, &format, name, 30);
            }
            let _ = dirblock::set_parent(&mut dir, &format, PARENT);
            reports += dir.problems.borrow().len();
            dir.problems.borrow_mut().clear();
            for (n, bytes) in good.iter().enumerate() {
                dir.store.write(PhysicalBlock(n as u64), bytes);
            }
            dir.blocks = good.len() as u32;
        }
        assert!(reports > 100, "{reports}");
    }
}
