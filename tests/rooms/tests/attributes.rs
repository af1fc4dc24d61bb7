// SPDX-License-Identifier: GPL-2.0

//! Extended attributes of an inode: against a map in memory, and against e2fsprogs.

mod images;

use images::Image;
use proptest::prelude::*;
use rooms::format::units::{InodeNumber, PhysicalBlock};
use rooms::format::xattr::set::Failure;
use rooms::format::xattr::{Attribute, AttributeSet, Attributes, BlockHeader, Place};
use rooms::format::Geometry;
use std::collections::BTreeMap;
use std::sync::OnceLock;

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

const EXTRA: u16 = 32;
const AT: PhysicalBlock = PhysicalBlock(777);

fn geometry() -> &'static Geometry {
    static GEOMETRY: OnceLock<Geometry> = OnceLock::new();
    GEOMETRY.get_or_init(|| Image::make("64M", &[], None).geo.clone())
}

/// An inode and its attribute block, as they would be on disk.
struct Disk {
    inode: Vec<u8>,
    block: Option<Vec<u8>>,
}

impl Disk {
    fn new() -> Self {
        Self {
            inode: vec![0; 256],
            block: None,
        }
    }

    /// Changes one attribute as the module does; `false` where there is no room.
    fn change(&mut self, index: u8, name: &[u8], value: Option<&[u8]>) -> bool {
        let (inode, block) = (self.inode.clone(), self.block.clone());
        let mut set =
            AttributeSet::read(&inode, EXTRA, block.as_deref(), geometry().block_size).unwrap();
        match value {
            None => set.remove(index, name),
            Some(value) => {
                let attribute = Attribute {
                    name_index: index,
                    name,
                    value,
                };
                match set.set(attribute) {
                    Ok(()) => {}
                    Err(Failure::NoSpace) => return false,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        if set.has_changed(Place::Inode) {
            set.encode_in_inode(&mut self.inode, EXTRA).unwrap();
        }
        if set.has_changed(Place::Block) {
            self.block = set.uses(Place::Block).then(|| {
                let mut bytes = vec![0xaa; 4096];
                set.encode_block(geometry(), AT, &mut bytes).unwrap();
                bytes
            });
        }
        true
    }

    fn read(&self) -> Model {
        let in_inode = Attributes::in_inode(&self.inode, EXTRA);
        let in_block = self.block.iter().flat_map(|block| {
            let header = BlockHeader::parse(geometry(), AT, block).unwrap();
            assert_eq!(header.refcount, 1);
            let all: Vec<_> = Attributes::in_block(block).map(Result::unwrap).collect();
            let key = |a: &Attribute<'_>| (a.name_index, a.name.len(), a.name.to_vec());
            assert!(all.is_sorted_by_key(key), "C ext4 stops at a greater entry");
            all
        });
        let mut model = Model::new();
        for attribute in in_inode.map(Result::unwrap).chain(in_block) {
            let key = (attribute.name_index, attribute.name.to_vec());
            let twice = model.insert(key, attribute.value.to_vec());
            assert_eq!(twice, None);
        }
        model
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_set_is_a_map(steps in prop::collection::vec(
        (1u8..4, "[abc]{1,3}|d{100}|e{255}",
         prop_oneof![1 => Just(None), 4 => (0usize..60).prop_map(Some), 1 => (0usize..4200).prop_map(Some)],
         any::<u8>()), 1..60))
    {
        let mut disk = Disk::new();
        let mut model = Model::new();
        for (index, name, len, fill) in steps {
            let value = len.map(|len| vec![fill; len]);
            let key = (index, name.clone().into_bytes());
            let before = model.clone();
            match &value {
                Some(value) => model.insert(key, value.clone()),
                None => model.remove(&key),
            };
            if !disk.change(index, name.as_bytes(), value.as_deref()) {
                let need: usize = model
                    .iter()
                    .map(|((_, n), v)| (16 + n.len()).next_multiple_of(4) + v.len().next_multiple_of(4))
                    .sum();
                prop_assert!(need > 4096 - 32 - 4 - 92, "no room, though {} bytes would do", need);
                model = before;
            }
            prop_assert_eq!(&disk.read(), &model);
        }
    }
}

/// e2fsck reads what was written, hashes and checksums included.
#[test]
fn e2fsck_reads_what_is_written() {
    let image = Image::make("64M", &[], None);
    let file = image.path.with_file_name("file");
    std::fs::write(&file, "x").unwrap();
    let value = image.path.with_file_name("value");
    std::fs::write(&value, vec![b'v'; 2000]).unwrap();
    let (file, value) = (file.to_str().unwrap(), value.to_str().unwrap());
    image.debugfs(&format!(
        "write {file} file\nea_set -f {value} file user.long\nea_set file user.b 2\n"
    ));
    let ino = image.lookup("/file");
    let mut inode = image.inode(ino).unwrap();
    let at = inode.file_acl.expect("an attribute block");
    let (old, block) = (image.inode_bytes(ino), image.read(at));
    let mut set =
        AttributeSet::read(&old, inode.extra_isize, Some(&block), image.geo.block_size).unwrap();
    assert_eq!(set.get(1, b"b"), Some(&b"2"[..]));
    set.remove(1, b"b");
    for (name, value) in [
        ("q", &[0xfe; 300][..]),
        ("in the inode", b"1"),
        ("empty", b""),
        ("\u{e4}\u{f6}\u{fc}", b"not ASCII"),
        ("odd", &[1; 1001]),
    ] {
        let name = name.as_bytes();
        set.set(Attribute {
            name_index: 1,
            name,
            value,
        })
        .unwrap();
    }
    let (mut new, mut new_block) = (old.clone(), block.clone());
    set.encode_in_inode(&mut new, inode.extra_isize).unwrap();
    set.encode_block(&image.geo, at, &mut new_block).unwrap();
    inode.ctime.seconds += 1;
    inode.encode(&image.geo, ino, &mut new).unwrap();
    image.write(at, &new_block);
    write_inode(&image, ino, &new);
    image.assert_clean();
    let text = images::tool("debugfs", &["-R", "ea_list /file", image.name()], &[0]);
    for name in [
        "user.q (300)",
        "user.odd (1001)",
        "user.empty (0)",
        "user.long (2000)",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(!text.contains("user.b "), "{text}");
}

fn write_inode(image: &Image, ino: InodeNumber, bytes: &[u8]) {
    let (group, block, range) = image.geo.inode_location(ino).unwrap();
    let at = PhysicalBlock(image.desc(group).inode_table.0 + u64::from(block));
    let mut table = image.read(at);
    table[range].copy_from_slice(bytes);
    image.write(at, &table);
}

/// Values that share their bytes fit where they are, and could not be written again: refused before
/// anything is changed.
#[test]
fn values_that_overlap_are_refused() {
    let mut inode = vec![0; 256];
    inode[160..164].copy_from_slice(&0xea02_0000u32.to_le_bytes());
    for (n, name) in [b'a', b'b', b'c'].into_iter().enumerate() {
        let entry = &mut inode[164 + 20 * n..][..20];
        (entry[0], entry[1]) = (1, 1);
        entry[2..4].copy_from_slice(&64u16.to_le_bytes());
        entry[8] = 28;
        entry[16] = name;
    }
    let read = |inode: &[u8]| AttributeSet::read(inode, EXTRA, None, geometry().block_size).err();
    let found: Vec<_> = Attributes::in_inode(&inode, EXTRA).collect();
    assert!(found.len() == 3 && found.iter().all(Result::is_ok));
    assert!(matches!(read(&inode), Some(Failure::Problem(_))));
    // One of them alone is fine.
    inode[184..188].fill(0);
    assert!(read(&inode).is_none());
}
