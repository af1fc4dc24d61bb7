// SPDX-License-Identifier: GPL-2.0

//! Reading a record of writes, in the format of dm-log-writes
//! (Documentation/admin-guide/device-mapper/log-writes.rst): a sector with the superblock, then
//! for each request a sector that describes it and the sectors that it wrote.

use anyhow::{bail, ensure, Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// A recorded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where on the disk, and how many bytes.
    pub at: u64,
    pub len: usize,
    /// What was complete before is on the disk before this is.
    pub flush: bool,
    /// On the disk once it is complete.
    pub fua: bool,
    /// The bytes are zeros or undefined afterwards.
    discard: bool,
    /// Where its bytes are in the record.
    data: u64,
}

pub struct Log {
    file: File,
    pub entries: Vec<Entry>,
}

impl Log {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let words = words(&file, 0)?;
        let [magic, version, count, rest] = words;
        ensure!(magic == MAGIC, "{} is no record of writes", path.display());
        ensure!(version == VERSION, "a record of version {version}");
        let sector = rest & 0xFFFF_FFFF;
        ensure!(
            sector.is_power_of_two() && (512..=4096).contains(&sector),
            "a record with sectors of {sector} bytes"
        );
        let mut log = Self {
            file,
            entries: Vec::new(),
        };
        log.read_entries(count, sector)?;
        Ok(log)
    }

    fn read_entries(&mut self, count: u64, sector: u64) -> Result<()> {
        let end = self.file.metadata()?.len();
        let mut at = sector;
        for n in 0..count {
            let [start, sectors, flags, data_len] =
                words(&self.file, at).with_context(|| format!("entry {n} of {count}"))?;
            at += sector;
            let bytes = sectors.checked_mul(sector).context("a length")?;
            if flags & MARK != 0 {
                // a text, in whole sectors
                at += data_len.next_multiple_of(sector);
                continue;
            }
            let discard = flags & DISCARD != 0;
            let len = usize::try_from(bytes)?;
            self.entries.push(Entry {
                at: start.checked_mul(sector).context("a place")?,
                len,
                flush: flags & FLUSH != 0,
                fua: flags & FUA != 0,
                discard,
                data: at,
            });
            if !discard {
                at += bytes;
            }
            ensure!(at <= end, "entry {n} of {count} leaves the record");
        }
        Ok(())
    }

    /// The bytes that entry `n` wrote.
    pub fn data(&self, n: usize) -> Result<Vec<u8>> {
        let Some(entry) = self.entries.get(n) else {
            bail!("there is no entry {n}");
        };
        let mut bytes = vec![0; entry.len];
        if !entry.discard {
            self.file.read_exact_at(&mut bytes, entry.data)?;
        }
        Ok(bytes)
    }
}

fn words(file: &File, at: u64) -> Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at)?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into()?);
    }
    Ok(words)
}

/// Records made by hand.
#[cfg(test)]
pub mod tests {
    use super::*;

    /// A request: place, bytes, flags.
    pub type Request<'a> = (u64, &'a [u8], u64);

    pub const NONE: u64 = 0;
    pub const FLUSHED: u64 = FLUSH;
    pub const FORCED: u64 = FUA;

    pub fn make(name: &str, requests: &[Request<'_>]) -> Log {
        let mut out = vec![0; 512];
        for (place, word) in
            out.chunks_exact_mut(8)
                .zip([MAGIC, VERSION, requests.len() as u64, 512])
        {
            place.copy_from_slice(&word.to_le_bytes());
        }
        for (at, data, flags) in requests {
            let start = out.len();
            for word in [at / 512, data.len() as u64 / 512, *flags, 0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.resize(start + 512, 0);
            out.extend_from_slice(data);
        }
        let path = std::env::temp_dir().join(format!("record-{}-{name}", std::process::id()));
        std::fs::write(&path, out).unwrap();
        let log = Log::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        log
    }

    #[test]
    fn entries_are_read_back() {
        let log = make(
            "read",
            &[
                (1024, &[7; 1024], NONE),
                (0, &[], FLUSHED),
                (512, &[9; 512], FORCED),
            ],
        );
        assert_eq!(log.entries.len(), 3);
        assert_eq!((log.entries[0].at, log.entries[0].len), (1024, 1024));
        assert!(log.entries[1].flush && !log.entries[0].flush);
        assert!(log.entries[2].fua);
        assert_eq!(log.data(0).unwrap(), [7; 1024]);
        assert!(log.data(1).unwrap().is_empty());
        assert_eq!(log.data(2).unwrap(), [9; 512]);
        assert!(log.data(3).is_err());
    }

    #[test]
    fn a_record_that_ends_early_is_refused() {
        let path = std::env::temp_dir().join(format!("record-{}-short", std::process::id()));
        let mut out = vec![0; 512];
        for (place, word) in out.chunks_exact_mut(8).zip([MAGIC, VERSION, 2, 512]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        std::fs::write(&path, &out).unwrap();
        assert!(Log::open(&path).is_err());
        std::fs::write(&path, &out[..100]).unwrap();
        assert!(Log::open(&path).is_err());
        std::fs::write(&path, vec![0; 4096]).unwrap();
        assert!(Log::open(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
