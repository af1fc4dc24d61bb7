// SPDX-License-Identifier: GPL-2.0

//! What xfstests' `check` prints, as it comes: which test runs, and how it
//! ended.
//!
//! Each test has a line that begins with its name, printed when it starts and
//! ended when it ends; lines that explain a failure follow, up to the next
//! test's.

use super::record::Outcome;

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Started(String),
    Ended { test: String, text: String },
}

/// Takes the output in pieces.
#[derive(Default)]
pub struct Reader {
    tests: Vec<String>,
    running: Option<String>,
    /// From the running test's name on.
    text: String,
}

impl Reader {
    /// For a run of these tests.
    pub fn new(tests: &[String]) -> Self {
        Self {
            tests: tests.to_vec(),
            ..Self::default()
        }
    }

    pub fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// The output of the running test so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn feed(&mut self, piece: &str) -> Vec<Event> {
        self.text.push_str(piece);
        let mut events = Vec::new();
        while let Some((at, test)) = self.next_test() {
            let rest = self.text.split_off(at);
            let text = std::mem::replace(&mut self.text, rest);
            events.extend(self.end_with(text));
            events.push(Event::Started(test.clone()));
            self.running = Some(test);
        }
        events
    }

    /// `check` has ended.
    pub fn finish(&mut self) -> Option<Event> {
        let text = std::mem::take(&mut self.text);
        // check's own summary follows the last test
        let end = ["\nRan: ", "\nFailures: ", "\nNot run: ", "\nPassed all "]
            .iter()
            .filter_map(|s| text.find(s))
            .min();
        let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        self.end_with(text.to_owned())
    }

    fn end_with(&mut self, text: String) -> Option<Event> {
        let test = self.running.take()?;
        Some(Event::Ended { test, text })
    }

    /// Where the line of a test other than the running one begins.
    fn next_test(&self) -> Option<(usize, String)> {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let word = line.split_whitespace().next().unwrap_or_default();
            let complete = line.len() > word.len() && line.starts_with(word);
            if complete
                && self.running.as_deref() != Some(word)
                && self.tests.iter().any(|t| t == word)
            {
                return Some((at, word.to_owned()));
            }
            at += line.len();
        }
        None
    }
}

/// How a test ended, and why in one line, from its part of the output.
pub fn judge(text: &str) -> (Outcome, String) {
    let first = text.lines().next().unwrap_or_default();
    if let Some((_, reason)) = text.split_once("[not run] ") {
        return (Outcome::NotRun, first_of(reason));
    }
    let complaint = text
        .lines()
        .skip(1)
        .find(|l| !l.trim().is_empty() && !l.starts_with("    "));
    let timed = first
        .split_whitespace()
        .next_back()
        .and_then(|w| w.strip_suffix('s'))
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match complaint {
        None if timed => (Outcome::Passed, String::new()),
        // `generic/001  5s ... - output mismatch (see ...)`
        _ => {
            let words = first.split_once(char::is_whitespace).map_or("", |w| w.1);
            let said = words.trim_start().trim_start_matches(|c: char| {
                c.is_ascii_digit() || c.is_whitespace() || "s.-".contains(c)
            });
            let said = if said.is_empty() {
                complaint.unwrap_or("no verdict")
            } else {
                said
            };
            let diff = text
                .lines()
                .map(str::trim)
                .find(|l| (l.starts_with('+') || l.starts_with('-')) && !is_diff_head(l));
            match diff {
                Some(line) if said.contains("output mismatch") => {
                    (Outcome::Failed, format!("output: {line}"))
                }
                _ => (Outcome::Failed, first_of(said)),
            }
        }
    }
}

fn is_diff_head(line: &str) -> bool {
    line.starts_with("+++") || line.starts_with("---")
}

fn first_of(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "FSTYP         -- ext4\nMKFS_OPTIONS  -- /dev/ubdb\n\n\
        generic/001        5s\n\
        generic/002       3s ...  4s\n\
        generic/003       [not run] atime related mount options have no effect\n\
        generic/004        - output mismatch (see /results/generic/004.out.bad)\n    --- tests/generic/004.out\n    +++ /results/generic/004.out.bad\n    @@ -1,1 +1,1 @@\n    -open\n    +No such file\n    \n\
        generic/005       _check_dmesg: something found in dmesg (see /results/generic/005.dmesg)\n\n\
        generic/006       [failed, exit status 1]- output mismatch (see x)\n\
        Ran: generic/001\nFailures: generic/004\n";

    fn run(piece: usize) -> Vec<Event> {
        let tests: Vec<String> = (1..=6).map(|n| format!("generic/00{n}")).collect();
        let mut reader = Reader::new(&tests);
        let mut events = Vec::new();
        for part in OUTPUT.as_bytes().chunks(piece) {
            events.extend(reader.feed(std::str::from_utf8(part).unwrap()));
        }
        events.extend(reader.finish());
        events
    }

    #[test]
    fn each_test_is_found_and_judged() {
        let events = run(4096);
        assert_eq!(events, run(1));
        assert_eq!(events, run(7));
        let judged: Vec<(String, Outcome, String)> = events
            .into_iter()
            .filter_map(|e| match e {
                Event::Ended { test, text } => {
                    let (outcome, note) = judge(&text);
                    Some((test, outcome, note))
                }
                Event::Started(_) => None,
            })
            .collect();
        let found: Vec<(&str, Outcome, &str)> = judged
            .iter()
            .map(|(t, o, n)| (t.as_str(), *o, n.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("generic/001", Outcome::Passed, ""),
                ("generic/002", Outcome::Passed, ""),
                (
                    "generic/003",
                    Outcome::NotRun,
                    "atime related mount options have no effect"
                ),
                ("generic/004", Outcome::Failed, "output: -open"),
                (
                    "generic/005",
                    Outcome::Failed,
                    "_check_dmesg: something found in dmesg (see /results/generic/005.dmesg)"
                ),
                (
                    "generic/006",
                    Outcome::Failed,
                    "[failed, exit status 1]- output mismatch (see x)"
                ),
            ]
        );
    }

    #[test]
    fn what_follows_a_time_is_a_failure() {
        let text = "generic/009   7s\n_check_generic_filesystem: filesystem on /dev/ubda is inconsistent\n(see x)\n";
        assert_eq!(judge(text).0, Outcome::Failed);
    }
}
