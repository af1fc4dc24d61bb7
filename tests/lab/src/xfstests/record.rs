// SPDX-License-Identifier: GPL-2.0

//! What became of one test, and files of that: one record a line as JSON, or
//! a table (`.tsv`) as others keep it.

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The guest died: a panic, mostly.
    Died,
    /// Not done within the limit.
    Hung,
    Failed,
    Passed,
    /// The test says itself that it cannot run here.
    NotRun,
    /// Not tried, for a reason that the configuration gives.
    Excluded,
}

impl Outcome {
    /// Whether something went wrong.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Died | Self::Hung | Self::Failed)
    }

    /// Whether it tells less good of a driver than `base`.
    pub fn is_worse_than(self, base: Self) -> bool {
        let not_run_any_more = self == Self::NotRun && base == Self::Passed;
        (self.is_bad() && !base.is_bad()) || not_run_any_more
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::Hung => "hung",
            Self::Failed => "failed",
            Self::Passed => "passed",
            Self::NotRun => "not run",
            Self::Excluded => "excluded",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The name of the configuration.
    pub config: String,
    pub test: String,
    pub outcome: Outcome,
    pub seconds: f64,
    /// The reason in one line; empty when it passed.
    #[serde(default)]
    pub note: String,
    /// Lines of the kernel log that no test should cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<String>,
}

/// The last record of each configuration and test.
#[derive(Debug, Default)]
pub struct Results(BTreeMap<(String, String), Record>);

impl Results {
    /// Reads results as a run leaves them, or a table.
    pub fn load(path: &Path) -> Result<Self> {
        let path = if path.is_dir() {
            path.join(FILE)
        } else {
            path.to_path_buf()
        };
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut results = Self::default();
        if path.extension().is_some_and(|e| e == "tsv") {
            for record in table(&text).with_context(|| path.display().to_string())? {
                results.insert(record);
            }
            return Ok(results);
        }
        for line in text.lines() {
            // The last line may have been cut off with the run.
            if let Ok(record) = serde_json::from_str(line) {
                results.insert(record);
            }
        }
        Ok(results)
    }

    pub fn insert(&mut self, record: Record) {
        let key = (record.config.clone(), record.test.clone());
        self.0.insert(key, record);
    }

    pub fn get(&self, config: &str, test: &str) -> Option<&Record> {
        self.0.get(&(config.to_owned(), test.to_owned()))
    }

    pub fn all(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }

    pub fn count(&self, config: &str, outcome: Outcome) -> usize {
        self.all()
            .filter(|r| r.config == config && r.outcome == outcome)
            .count()
    }
}

pub const FILE: &str = "results.jsonl";

/// Appends to a run's results.
pub struct Writer {
    file: File,
}

impl Writer {
    pub fn open(dir: &Path) -> Result<Self> {
        let path: PathBuf = dir.join(FILE);
        let file = File::options().create(true).append(true).open(&path)?;
        Ok(Self { file })
    }

    pub fn add(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        Ok(self.file.write_all(&line)?)
    }
}

/// Columns `test group result seconds note`, of the configuration 4k.
fn table(text: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    for line in lines.skip_while(|l| !l.starts_with("test\t")).skip(1) {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (test, _group, result, seconds, note) = (next(), next(), next(), next(), next());
        let outcome = match result {
            "PASS" => Outcome::Passed,
            "FAIL" => Outcome::Failed,
            "NOTRUN" => Outcome::NotRun,
            "HANG" | "TIMEOUT" => Outcome::Hung,
            "PANIC" => Outcome::Died,
            "NOTYET" => continue,
            other => bail!("{test}: unknown result {other}"),
        };
        records.push(Record {
            config: "4k".into(),
            test: test.into(),
            outcome,
            seconds: seconds.parse().unwrap_or_default(),
            note: note.trim().trim_start_matches("[not run] ").into(),
            trouble: Vec::new(),
        });
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::{table, Outcome};

    #[test]
    fn what_is_not_run_any_more_is_worse() {
        use Outcome::*;
        for (here, base, worse) in [
            (Failed, Passed, true),
            (Hung, NotRun, true),
            (Died, Failed, false),
            (NotRun, Passed, true),
            (NotRun, Failed, false),
            (Excluded, Passed, false),
            (Passed, NotRun, false),
        ] {
            assert_eq!(here.is_worse_than(base), worse, "{here:?} {base:?}");
        }
    }

    #[test]
    fn a_table_is_read() {
        let text = "# C ext4\ntest\tgroup\tresult\tseconds\tnote\next4/001\tquick\tPASS\t17\t\n\
            ext4/029\tquick\tNOTRUN\t7\t[not run] no log\ngeneric/009\tauto\tNOTYET\t\t\n";
        let records = table(text).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].outcome, Outcome::Passed);
        assert_eq!(records[0].seconds, 17.0);
        assert_eq!(records[1].note, "no log");
        assert!(table("test\tgroup\tresult\tseconds\tnote\nx\ty\tPERHAPS\t1\t\n").is_err());
    }
}
