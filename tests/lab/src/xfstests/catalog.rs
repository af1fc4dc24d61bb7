// SPDX-License-Identifier: GPL-2.0

//! The tests of an installed xfstests, and which of them are asked for.

use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::Path;

/// The tests of a group, or those that are named; in the order of the groups'
/// lists. `fs` is the type as xfstests calls it.
pub fn select(dir: &Path, fs: &str, group: &str, tests: &[String]) -> Result<Vec<String>> {
    ensure!(
        dir.join("check").exists() && dir.join("ltp/fsstress").exists(),
        "{} is no installed xfstests: set XFSTESTS_DIR to the directory that its `make install` filled",
        dir.display()
    );
    let mut all = Vec::new();
    for class in ["generic", fs] {
        let path = dir.join("tests").join(class).join("group.list");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        all.extend(parse(class, &text));
    }
    if tests.is_empty() {
        all.retain(|(_, groups)| groups.iter().any(|g| g == group));
        ensure!(!all.is_empty(), "no test is in the group {group}");
        return Ok(all.into_iter().map(|(name, _)| name).collect());
    }
    for test in tests {
        ensure!(
            all.iter().any(|(name, _)| name == test),
            "xfstests has no test {test} for {fs}"
        );
    }
    Ok(tests.to_vec())
}

/// Lines such as `001 rw dir auto quick`.
fn parse(class: &str, list: &str) -> Vec<(String, Vec<String>)> {
    list.lines()
        .filter(|l| l.starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|l| {
            let mut words = l.split_whitespace();
            let name = format!("{class}/{}", words.next()?);
            Some((name, words.map(str::to_owned).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn comments_are_no_tests() {
        let list = "# QA groups\n\n001 rw auto quick\n1234 auto\n";
        let parsed = parse("generic", list);
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0].0, "generic/001");
        assert_eq!(parsed[0].1, ["rw", "auto", "quick"]);
        assert_eq!(parsed[1].0, "generic/1234");
    }
}
