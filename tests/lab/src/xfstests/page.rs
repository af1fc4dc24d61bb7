// SPDX-License-Identifier: GPL-2.0

//! The results as one HTML page: a row for each test and a column for each
//! configuration, C ext4's results beside each. What ext4rs does worse comes
//! first, what passes last and folded.

use super::config::Config;
use super::record::{Outcome, Record, Results};
use super::run_dir::{Meta, RunDir};
use super::shard::files_of;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const STYLE: &str = include_str!("page.css");

/// Which part of the page a test belongs to, in the page's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Worse,
    BothFail,
    Better,
    NotComparable,
    NotRunDiffers,
    NotRun,
    Passed,
}

impl Part {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Worse, "Fails here, does not fail on C ext4"),
        (Self::BothFail, "Fails on both"),
        (Self::Better, "Passes here, fails on C ext4"),
        (Self::NotComparable, "Fails here, not known of C ext4"),
        (Self::NotRunDiffers, "Not run here, run on C ext4"),
        (Self::NotRun, "Not run"),
        (Self::Passed, "Passed"),
    ];

    fn of(here: &Record, base: Option<&Record>) -> Self {
        let base = base.map(|b| b.outcome);
        match (here.outcome, base) {
            (o, None) if o.is_bad() => Self::NotComparable,
            (o, Some(b)) if o.is_bad() && b.is_bad() => Self::BothFail,
            (o, _) if o.is_bad() => Self::Worse,
            (Outcome::Passed, Some(b)) if b.is_bad() => Self::Better,
            (Outcome::Passed, _) => Self::Passed,
            (_, Some(Outcome::Passed)) => Self::NotRunDiffers,
            _ => Self::NotRun,
        }
    }
}

/// What a run's page is about.
pub struct Report<'a> {
    pub dir: &'a RunDir,
    pub meta: &'a Meta,
    pub configs: &'a [Config],
    /// Test to why ext4rs is known to do worse.
    pub causes: BTreeMap<String, String>,
}

impl Report<'_> {
    /// Where the page is.
    pub fn path(&self) -> PathBuf {
        self.dir.path.join("index.html")
    }

    /// Writes the page anew.
    pub fn write(&self, results: &Results, base: &Results) -> Result<()> {
        let page = Page {
            report: self,
            results,
            base,
        };
        Ok(fs::write(self.path(), page.html()?)?)
    }
}

struct Page<'a> {
    report: &'a Report<'a>,
    results: &'a Results,
    base: &'a Results,
}

impl Page<'_> {
    fn html(&self) -> Result<String> {
        let mut out = String::new();
        let title = format!("xfstests on {}", escape(&self.report.meta.fs));
        write!(
            out,
            "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>\
            <meta name=viewport content='width=device-width'><style>{STYLE}</style>\
            <h1>{title}</h1><p class=what>{} &middot; kernel {} &middot; begun {}</p>",
            escape(&self.report.meta.selection),
            escape(&self.report.meta.kernel),
            escape(&self.begun()),
        )?;
        self.counts(&mut out)?;
        for (part, heading) in Part::ALL {
            self.part(&mut out, part, heading)?;
        }
        Ok(out)
    }

    /// From the directory's name, which begins with it.
    fn begun(&self) -> String {
        let name = self.report.dir.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let day = name.get(..10).unwrap_or_default();
        let (hour, minute) = (name.get(11..13), name.get(13..15));
        format!(
            "{day} {}:{}",
            hour.unwrap_or_default(),
            minute.unwrap_or_default()
        )
    }

    /// How many tests ended how, each configuration here and on C ext4.
    fn counts(&self, out: &mut String) -> Result<()> {
        const SHOWN: [Outcome; 6] = [
            Outcome::Passed,
            Outcome::Failed,
            Outcome::Hung,
            Outcome::Died,
            Outcome::NotRun,
            Outcome::Excluded,
        ];
        write!(out, "<table class=counts><tr><th><th>")?;
        for outcome in SHOWN {
            write!(out, "<th>{}", outcome.word())?;
        }
        for config in self.report.configs {
            let here = |o| self.results.count(&config.name, o);
            let base = |o| {
                let same = self.results.all().filter(|r| r.config == config.name);
                let base = same.filter_map(|r| self.base.get(&config.name, &r.test));
                base.filter(|b| b.outcome == o).count()
            };
            write!(
                out,
                "<tr><td rowspan=2>{}<td>{}",
                escape(&config.name),
                escape(&self.report.meta.fs)
            )?;
            for outcome in SHOWN {
                let n = here(outcome);
                let class = if n > 0 { class(outcome) } else { "none" };
                write!(out, "<td class='n {class}'>{n}")?;
            }
            write!(out, "<tr class=base><td>C ext4, the same tests")?;
            for outcome in SHOWN {
                write!(out, "<td class=n>{}", base(outcome))?;
            }
        }
        write!(out, "</table>")?;
        Ok(())
    }

    /// The tests of one part; a test belongs to the first part that one of its
    /// configurations belongs to.
    fn part(&self, out: &mut String, part: Part, heading: &str) -> Result<()> {
        let mut tests: BTreeMap<&str, Part> = BTreeMap::new();
        for record in self.results.all() {
            let base = self.base.get(&record.config, &record.test);
            let this = Part::of(record, base);
            let first = tests.entry(&record.test).or_insert(this);
            *first = this.min(*first);
        }
        let tests: Vec<&str> = tests
            .into_iter()
            .filter(|(_, p)| *p == part)
            .map(|(t, _)| t)
            .collect();
        if tests.is_empty() {
            return Ok(());
        }
        let open = if part < Part::NotRun { " open" } else { "" };
        write!(
            out,
            "<details{open}><summary>{} <span class=count>{}</span></summary>\
            <table class=tests><tr><th>test",
            escape(heading),
            tests.len()
        )?;
        for config in self.report.configs {
            write!(out, "<th>{}<th>C ext4", escape(&config.name))?;
        }
        write!(out, "<th class=wide>what, and why")?;
        for test in tests {
            self.row(out, test)?;
        }
        write!(out, "</table></details>")?;
        Ok(())
    }

    fn row(&self, out: &mut String, test: &str) -> Result<()> {
        write!(out, "<tr><td class=test>{}", escape(test))?;
        let mut notes: Vec<String> = Vec::new();
        for config in self.report.configs {
            let here = self.results.get(&config.name, test);
            self.cell(out, here, true)?;
            self.cell(out, self.base.get(&config.name, test), false)?;
            if let Some(note) = here.map(|r| &r.note).filter(|n| !n.is_empty()) {
                if !notes.contains(note) {
                    notes.push(note.clone());
                }
            }
        }
        write!(out, "<td class=note>")?;
        if let Some(cause) = self.report.causes.get(test) {
            write!(out, "<b>{}</b> ", escape(cause))?;
        }
        write!(out, "<span>{}</span>", escape(&notes.join(" / ")))?;
        Ok(())
    }

    /// One outcome, with links to what was kept.
    fn cell(&self, out: &mut String, record: Option<&Record>, here: bool) -> Result<()> {
        let Some(record) = record else {
            write!(out, "<td class=none>&ndash;")?;
            return Ok(());
        };
        write!(
            out,
            "<td class={}>{}",
            class(record.outcome),
            record.outcome.word()
        )?;
        if matches!(record.outcome, Outcome::NotRun | Outcome::Excluded) {
            return Ok(());
        }
        write!(out, " <small>{:.0} s</small>", record.seconds)?;
        let files = files_of(&self.report.dir.path, &record.config, &record.test);
        if !here || !files.exists() {
            return Ok(());
        }
        let mut names: Vec<String> = fs::read_dir(&files)?
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        for name in names {
            let short = name.trim_end_matches(".txt");
            let path = files.join(&name);
            let path = path.strip_prefix(&self.report.dir.path).unwrap_or(&path);
            write!(
                out,
                " <a href='{}'>{}</a>",
                escape(&path.display().to_string()),
                escape(short)
            )?;
        }
        Ok(())
    }
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Died | Outcome::Hung => "worst",
        Outcome::Failed => "bad",
        Outcome::Passed => "good",
        Outcome::NotRun | Outcome::Excluded => "none",
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&quot;"),
            // what a test printed must not end the page
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> Record {
        Record {
            config: "4k".into(),
            test: "generic/001".into(),
            outcome,
            seconds: 1.0,
            note: "<b>&".into(),
            trouble: Vec::new(),
        }
    }

    #[test]
    fn each_pair_of_outcomes_has_its_part() {
        use Outcome::*;
        for (here, base, part) in [
            (Failed, Some(Passed), Part::Worse),
            (Hung, Some(NotRun), Part::Worse),
            (Died, Some(Failed), Part::BothFail),
            (Passed, Some(Failed), Part::Better),
            (Failed, None, Part::NotComparable),
            (NotRun, Some(Passed), Part::NotRunDiffers),
            (Excluded, Some(NotRun), Part::NotRun),
            (Passed, None, Part::Passed),
        ] {
            let base = base.map(record);
            let found = Part::of(&record(here), base.as_ref());
            assert!(found == part, "{here:?} {base:?}");
        }
    }

    #[test]
    fn text_of_tests_cannot_break_the_page() {
        assert_eq!(
            escape("<a href='x'>&\u{1}"),
            "&lt;a href=&#39;x&#39;&gt;&amp; "
        );
    }
}
