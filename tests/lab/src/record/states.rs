// SPDX-License-Identifier: GPL-2.0

//! Crash states: what is on the disk when the power goes, by DESIGN.md's model. The device has
//! written what was flushed (or forced), and of what was not any subset in any order, each
//! sector whole; and the superblock as a whole, which is written in place.
//!
//! A window is the stretch of the record between two flushes. A state of a window has everything
//! before it; the power goes at some entry in it; each sector that the window wrote up to there
//! has one of the contents that it was given, or still the one from before.

use super::log::Log;
use anyhow::{Context, Result};
use guest::chance::Chance;
use guest::world::Mark;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const SECTOR: usize = 512;

/// The sectors of the superblock.
const SUPERBLOCK: Range<u64> = 2..4;

/// A state of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The window, and the number of entries before it.
    pub window: usize,
    pub from: usize,
    /// The entry at which the power went.
    pub cut: usize,
    /// How it was drawn.
    pub manner: &'static str,
    /// For each sector that differs from the state before the window the entry that it is of.
    sectors: BTreeMap<u64, usize>,
    /// The last mark of each world before the cut.
    pub marks: BTreeMap<u32, Mark>,
}

impl State {
    /// In words, for a report.
    pub fn describe(&self) -> String {
        let entries: BTreeSet<usize> = self.sectors.values().copied().collect();
        format!(
            "window {} (entries before it: {}), cut at {}, {}: {} sectors of {} later writes",
            self.window,
            self.from,
            self.cut,
            self.manner,
            self.sectors.len(),
            entries.len()
        )
    }
}

/// Walks through a record and draws states.
pub struct Draw<'a> {
    log: &'a Log,
    /// Where marks begin on the disk.
    marks_at: u64,
    chance: Chance,
    /// The disk as it is before the current window.
    disk: Vec<u8>,
    marks: BTreeMap<u32, Mark>,
    windows: Vec<Range<usize>>,
    next: usize,
}

impl<'a> Draw<'a> {
    /// `disk` is what was there when the recording began.
    pub fn new(log: &'a Log, disk: Vec<u8>, marks_at: u64, seed: u64) -> Self {
        let mut windows = Vec::new();
        let mut from = 0;
        for (n, entry) in log.entries.iter().enumerate() {
            // what is part of the flush itself comes after it
            if entry.flush {
                windows.push(from..n);
                from = n;
            }
        }
        windows.push(from..log.entries.len());
        Self {
            log,
            marks_at,
            chance: Chance::new(seed),
            disk,
            marks: BTreeMap::new(),
            windows,
            next: 0,
        }
    }

    /// The disk before the current window.
    pub fn disk(&self) -> &[u8] {
        &self.disk
    }

    /// What a state has on the disk in place of [`Self::disk`], sector by sector.
    pub fn patches(&self, state: &State) -> Result<Vec<(usize, Vec<u8>)>> {
        let mut cached: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        let mut out = Vec::new();
        for (sector, n) in &state.sectors {
            if !cached.contains_key(n) {
                cached.insert(*n, self.log.data(*n)?);
            }
            let entry = self.log.entries.get(*n).context("no such entry")?;
            let data = cached.get(n).context("no data")?;
            let at = sector * SECTOR as u64;
            let skip = usize::try_from(at - entry.at)?;
            let bytes = data.get(skip..skip + SECTOR).context("a short write")?;
            out.push((usize::try_from(at)?, bytes.to_vec()));
        }
        Ok(out)
    }

    /// Goes to the next window; false when there is none.
    pub fn advance(&mut self) -> Result<bool> {
        if self.next > 0 {
            let done = self.windows.get(self.next - 1).cloned().unwrap_or(0..0);
            for n in done {
                self.note(n)?;
                let Some(entry) = self.log.entries.get(n) else {
                    continue;
                };
                let at = usize::try_from(entry.at)?;
                if let Some(place) = self.disk.get_mut(at..at + entry.len) {
                    place.copy_from_slice(&self.log.data(n)?);
                }
            }
        }
        self.next += 1;
        Ok(self.next <= self.windows.len())
    }

    /// Follows the marks.
    fn note(&mut self, n: usize) -> Result<()> {
        for mark in self.marks_of(n)? {
            self.marks.insert(mark.world, mark);
        }
        Ok(())
    }

    /// The marks in entry `n`: several where the marks of two worlds, which are neighbours on the
    /// disk, became one request.
    fn marks_of(&self, n: usize) -> Result<Vec<Mark>> {
        let entry = self.log.entries.get(n).context("no such entry")?;
        if entry.at < self.marks_at {
            return Ok(Vec::new());
        }
        let data = self.log.data(n)?;
        Ok(data.chunks(SECTOR).filter_map(Mark::parse).collect())
    }

    /// The marks before entry `cut` of the current window.
    fn marks_at(&self, window: &Range<usize>, cut: usize) -> Result<BTreeMap<u32, Mark>> {
        let mut marks = self.marks.clone();
        for n in window.start..cut {
            for mark in self.marks_of(n)? {
                marks.insert(mark.world, mark);
            }
        }
        Ok(marks)
    }

    /// Draws up to `count` different states of the current window; the first is the window's
    /// beginning, where nothing but what was flushed is there.
    pub fn states(&mut self, count: usize) -> Result<Vec<State>> {
        let number = self.next - 1;
        let window = self.windows.get(number).cloned().context("no window")?;
        let mut states: Vec<State> = Vec::new();
        // few writes have few subsets: the draws are limited
        for round in 0..count * 3 {
            if states.len() == count {
                break;
            }
            let (cut, manner, sectors) = match round {
                0 => (window.start, "nothing later", BTreeMap::new()),
                _ => self.draw(&window),
            };
            let marks = self.marks_at(&window, cut)?;
            let state = State {
                window: number,
                from: window.start,
                cut,
                manner,
                sectors,
                marks,
            };
            let known = states
                .iter()
                .any(|s| s.sectors == state.sectors && s.marks == state.marks);
            if !known {
                states.push(state);
            }
        }
        Ok(states)
    }

    fn draw(&mut self, window: &Range<usize>) -> (usize, &'static str, BTreeMap<u64, usize>) {
        let len = (window.end - window.start) as u64;
        let mut cut = window.end;
        if self.chance.below(2) == 0 {
            cut = window.start + self.chance.below(len + 1) as usize;
        }
        let count = (cut - window.start) as u64;
        let one = window.start + self.chance.below(count) as usize;
        let way = self.chance.below(6);
        let manner = [
            "all of them",
            "each with a chance of a half",
            "each sector with a chance of a half",
            "all but one",
            "one only",
            "few sectors missing",
        ]
        .get(way as usize)
        .copied()
        .unwrap_or_default();
        let mut sectors = BTreeMap::new();
        for n in window.start..cut {
            let Some(entry) = self.log.entries.get(n) else {
                continue;
            };
            let whole = match way {
                1 => self.chance.below(2) == 0,
                3 => n != one,
                4 => n == one,
                _ => true,
            };
            let first = entry.at / SECTOR as u64;
            let mut part = true;
            for sector in first..first + (entry.len / SECTOR) as u64 {
                // The superblock is written in place, with a checksum: no driver survives a half.
                if sector != SUPERBLOCK.end - 1 || sector == first {
                    part = match way {
                        2 => self.chance.below(2) == 0,
                        5 => self.chance.below(16) != 0,
                        _ => true,
                    };
                }
                // a forced write is there whatever was drawn, and a mark is none of the state
                if (entry.fua || whole && part) && entry.at < self.marks_at {
                    sectors.insert(sector, n);
                }
            }
        }
        (cut, manner, sectors)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::{make, FLUSHED, FORCED, NONE};
    use super::*;

    fn contents(draw: &Draw<'_>, state: &State) -> Vec<u8> {
        let mut disk = draw.disk().to_vec();
        for (at, bytes) in draw.patches(state).unwrap() {
            disk[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        disk.chunks(512).map(|sector| sector[0]).collect()
    }

    /// Two writes of one sector, one of the next two; a flush; one more.
    #[test]
    fn every_subset_comes_and_no_other_state() {
        let mark = |ended| {
            Mark {
                world: 0,
                begun: ended + 1,
                ended,
                over: false,
            }
            .bytes()
        };
        let log = make(
            "subsets",
            &[
                (0, &[1; 512], NONE),
                (0, &[2; 512], NONE),
                (2048, &mark(1), NONE),
                (512, &[3; 1024], NONE),
                (0, &[], FLUSHED),
                (0, &[4; 512], NONE),
                (2048, &mark(2), NONE),
            ],
        );
        let mut draw = Draw::new(&log, vec![0; 4096], 2048, 1);
        assert_eq!(draw.windows.len(), 2);
        assert!(draw.advance().unwrap());
        let states = draw.states(400).unwrap();
        let mut seen = BTreeSet::new();
        for s in &states {
            let c = contents(&draw, s);
            assert!([0, 1, 2].contains(&c[0]) && [0, 3].contains(&c[1]) && [0, 3].contains(&c[2]));
            assert_eq!(&c[3..], [0; 5]);
            // the mark says no more than was there at the cut
            let ended = s.marks.get(&0).map_or(0, |m| m.ended);
            assert!(ended == 1 || c[1] == 0 && c[2] == 0);
            seen.insert(c);
        }
        // 1 alone never stays when all writes are there, but can when the second is lost
        assert_eq!(seen.len(), 3 * 2 * 2);

        assert!(draw.advance().unwrap());
        for s in draw.states(100).unwrap() {
            let c = contents(&draw, &s);
            assert!([2, 4].contains(&c[0]));
            assert_eq!(&c[1..3], [3, 3]);
            assert!(s.marks[&0].ended >= 1);
        }
        assert!(!draw.advance().unwrap());
    }

    /// Two tasks put their marks at the same time, and the block layer made one request of them.
    #[test]
    fn marks_that_were_merged_count() {
        let mark = |world, ended| {
            Mark {
                world,
                begun: ended + 1,
                ended,
                over: false,
            }
            .bytes()
        };
        let both = [mark(0, 4), mark(1, 9)].concat();
        let log = make("merged", &[(2048, &both, NONE), (0, &[1; 512], FLUSHED)]);
        let mut draw = Draw::new(&log, vec![0; 4096], 2048, 1);
        draw.advance().unwrap();
        draw.advance().unwrap();
        let states = draw.states(1).unwrap();
        let ended = |world: u32| states[0].marks.get(&world).map(|mark| mark.ended);
        assert_eq!((ended(0), ended(1)), (Some(4), Some(9)));
    }

    #[test]
    fn the_superblock_is_not_torn() {
        let log = make("superblock", &[(0, &[1; 4096], NONE)]);
        let mut draw = Draw::new(&log, vec![0; 8192], 8192, 1);
        draw.advance().unwrap();
        let states = draw.states(300).unwrap();
        let all: BTreeSet<Vec<u8>> = states.iter().map(|s| contents(&draw, s)).collect();
        assert!(all.iter().any(|c| c[1] != c[2]));
        assert!(all.iter().any(|c| c[3] != c[4]));
        assert!(all.iter().all(|c| c[2] == c[3]));
    }

    #[test]
    fn a_forced_write_stays() {
        let log = make("forced", &[(0, &[1; 512], FORCED), (512, &[2; 512], NONE)]);
        let mut draw = Draw::new(&log, vec![0; 2048], 2048, 1);
        draw.advance().unwrap();
        for s in draw.states(50).unwrap() {
            let c = contents(&draw, &s);
            assert!(c[0] == 1 || s.cut == 0);
            assert!(c[1] == 0 || c[0] == 1);
        }
    }

    /// The same seed draws the same states.
    #[test]
    fn a_seed_repeats() {
        let data = [5; 4096];
        let log = make("seed", &[(0, &data, NONE), (4096, &data, NONE)]);
        let states = |seed| {
            let mut draw = Draw::new(&log, vec![0; 16384], 16384, seed);
            draw.advance().unwrap();
            draw.states(20).unwrap()
        };
        assert_eq!(states(3), states(3));
        assert_ne!(states(3), states(4));
    }
}
