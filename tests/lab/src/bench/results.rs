// SPDX-License-Identifier: GPL-2.0

//! The figures of a run.

use super::ops::ROWS;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// In the order of [`Measured::turns`]: the one that is judged, and those it
/// is compared with.
pub const FILE_SYSTEMS: [&str; 3] = ["ext4rs", "ext4", "xfs"];
pub const EXT4RS: usize = 0;
pub const EXT4: usize = 1;
pub const XFS: usize = 2;

/// What became of one operation in one turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Nanoseconds(u64),
    NotSupported,
    Failed(String),
}

/// One operation: the outcomes of each file system's turns.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    pub turns: [Vec<Outcome>; FILE_SYSTEMS.len()],
}

/// A run, as it is kept in a file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// The release, and what it ran in.
    pub kernel: String,
    pub mode: String,
    /// The commit of ext4rs.
    pub revision: String,
    /// Seconds since 1970.
    pub date: u64,
    pub rows: BTreeMap<String, Measured>,
}

/// A ratio of throughputs over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Ratio {
    /// Half the distance between the extremes, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.most - self.least) / 2.0 / self.median
    }
}

impl Measured {
    /// Nanoseconds of each turn; nothing where one did not work.
    fn times(&self, fs: usize) -> Option<Vec<f64>> {
        let times = self.turns.get(fs)?.iter().map(|o| match o {
            Outcome::Nanoseconds(n) => Some(*n as f64),
            _ => None,
        });
        let times: Vec<f64> = times.collect::<Option<_>>()?;
        (!times.is_empty()).then_some(times)
    }

    /// The median time in nanoseconds.
    pub fn time(&self, fs: usize) -> Option<f64> {
        self.times(fs).map(median)
    }

    /// How much more `fs` gets done in the same time than `other`, round by
    /// round.
    pub fn ratio(&self, fs: usize, other: usize) -> Option<Ratio> {
        let (own, other) = (self.times(fs)?, self.times(other)?);
        let ratios: Vec<f64> = own.iter().zip(&other).map(|(a, b)| b / a).collect();
        Some(Ratio {
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
            median: median(ratios),
        })
    }

    /// The first turn of `fs` that gave no time.
    pub fn trouble(&self, fs: usize) -> Option<&Outcome> {
        let mut turns = self.turns.get(fs)?.iter();
        turns.find(|o| !matches!(o, Outcome::Nanoseconds(_)))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

impl Results {
    pub fn new(kernel: &str, mode: &str, revision: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            mode: mode.to_owned(),
            revision: revision.to_owned(),
            date: std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_secs()),
            rows: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, fs: usize, turn: BTreeMap<&'static str, Outcome>) {
        for (name, outcome) in turn {
            self.rows.entry(name.to_owned()).or_default().turns[fs].push(outcome);
        }
    }

    /// The day of the run, as in 2026-01-31.
    pub fn day(&self) -> String {
        // civil_from_days, by way of March as the first month
        let days = self.date / 86400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = year_of_era + era * 400 + next;
        format!("{year}-{month:02}-{day:02}")
    }

    /// The rows that were measured, in the table's order.
    pub fn in_order(&self) -> impl Iterator<Item = (&'static super::ops::Row, &Measured)> {
        ROWS.iter()
            .filter_map(|row| Some((row, self.rows.get(row.name)?)))
    }

    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is no result of `make bench`", path.display()))
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// Operations that failed, in words. What is not supported is not among
    /// them: the table says so.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (row, measured) in self.in_order() {
            for (fs, name) in FILE_SYSTEMS.iter().enumerate() {
                if let Some(Outcome::Failed(why)) = measured.trouble(fs) {
                    failures.push(format!("{} on {name}: {why}", row.name));
                }
            }
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(own: &[u64], other: &[u64]) -> Measured {
        let turns = |times: &[u64]| times.iter().map(|n| Outcome::Nanoseconds(*n)).collect();
        Measured {
            turns: [turns(own), turns(other), Vec::new()],
        }
    }

    #[test]
    fn a_ratio_is_of_throughputs_in_the_same_round() {
        let ratio = measured(&[100, 200, 50], &[150, 200, 100])
            .ratio(EXT4RS, EXT4)
            .unwrap();
        assert_eq!(ratio.median, 1.5);
        assert_eq!((ratio.least, ratio.most), (1.0, 2.0));
        assert!((ratio.spread() - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_did_not_work_has_no_ratio() {
        let mut row = measured(&[100], &[100]);
        row.turns[EXT4RS].push(Outcome::NotSupported);
        assert_eq!(row.ratio(EXT4RS, EXT4), None);
        assert_eq!(row.trouble(EXT4RS), Some(&Outcome::NotSupported));
        assert_eq!(row.ratio(EXT4RS, XFS), None);
    }

    #[test]
    fn the_day_of_a_date() {
        let mut results = Results::new("7.3", "counted", "abc");
        for (date, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_685_712, "2026-11-26"),
        ] {
            results.date = date;
            assert_eq!(results.day(), day);
        }
    }

    #[test]
    fn results_survive_their_file() {
        let mut results = Results::new("7.3", "counted", "abc");
        let failed = Outcome::Failed("no space".into());
        results.add(EXT4RS, BTreeMap::from([("create", failed)]));
        let text = serde_json::to_string(&results).unwrap();
        let back: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(back.failures(), ["create on ext4rs: no space"]);
    }
}
