// SPDX-License-Identifier: GPL-2.0

//! pjdfstest, a judge of POSIX semantics: each of its cases that passes on C
//! ext4 passes on ext4rs.

use super::session::{with_names, Session, LIMIT};
use super::Lab;
use crate::machine::End;
use anyhow::{bail, ensure, Result};
use std::collections::BTreeMap;

/// Cases that C ext4 passes and ext4rs does not, with the reason: what is not
/// built yet, or not ext4rs's to build. One that passes must leave the list.
const EXCUSED: &[(&str, &str)] = &[(
    "link::link_count_max",
    "the C library takes the limit from the type's name: 32000 for one that it does not know",
)];

/// Fewer cases than this would mean that most were skipped.
const CASES_AT_LEAST: usize = 200;

pub fn pjdfstest(lab: &Lab<'_>, s: &mut Session) -> Result<String> {
    let reference = cases(lab, s, "ext4")?;
    let ours = cases(lab, s, &lab.fs)?;
    let passed: Vec<&String> = reference
        .iter()
        .filter(|(_, passed)| **passed)
        .map(|(name, _)| name)
        .collect();
    ensure!(
        passed.len() >= CASES_AT_LEAST,
        "only {} cases pass on C ext4: is something missing in the guest?",
        passed.len()
    );
    let passes = |name: &str| ours.get(name) == Some(&true);
    let excuses = if lab.fs == "ext4rs" { EXCUSED } else { &[] };
    let excused = |name: &str| excuses.iter().any(|(n, _)| *n == name);
    let failed: Vec<&str> = passed
        .iter()
        .map(|name| name.as_str())
        .filter(|name| !passes(name) && !excused(name))
        .collect();
    ensure!(
        failed.is_empty(),
        "fail, but not on C ext4: {}",
        failed.join(", ")
    );
    for (name, reason) in excuses {
        ensure!(
            !passes(name),
            "{name} passes, though {reason}: take it off the list"
        );
    }
    Ok(format!(
        "{} of the {} cases that C ext4 passes",
        passed.len() - excuses.len(),
        passed.len()
    ))
}

/// Each case that was run on a fresh file system of type `fs`, and whether it
/// passed.
fn cases(lab: &Lab<'_>, s: &mut Session, fs: &str) -> Result<BTreeMap<String, bool>> {
    s.fresh(lab, "512M", "")?;
    let script = format!(
        "set -e
        grep -q ^tests: /etc/passwd || {{
            echo tests:x:1001:1001::/:/bin/sh >> /etc/passwd
            echo tests:x:1001: >> /etc/group
        }}
        cat > /tmp/pjdfstest.toml <<'END'
[features]
posix_fallocate = {{}}
rename_ctime = {{}}
stat_st_birthtime = {{}}
utime_now = {{}}
utimensat = {{}}
[settings]
naptime = 0.02
allow_remount = true
[dummy_auth]
entries = [[\"nobody\", \"nogroup\"], [\"tests\", \"tests\"]]
END
        mount -t {fs} $DEV /mnt
        pjdfstest -c /tmp/pjdfstest.toml -p /mnt -s /tmp || true
        umount /mnt",
    );
    let (end, text) = s.guest(lab)?.capture(&with_names(lab, &script), LIMIT)?;
    if end != End::Exit(0) {
        bail!("pjdfstest on {fs}: {end:?}\n{text}");
    }
    s.e2fsck()?;
    Ok(parse(&text))
}

/// Lines such as `chmod::errno::eloop    ok`; what was skipped is left out.
fn parse(output: &str) -> BTreeMap<String, bool> {
    output
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, verdict, rest) = (words.next()?, words.next()?, words.next());
            let case = name.contains("::") && !line.starts_with(char::is_whitespace);
            match verdict {
                "ok" if case && rest.is_none() => Some((name.to_owned(), true)),
                "FAILED" if case && rest.is_none() => Some((name.to_owned(), false)),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_verdicts_count() {
        let cases = parse(
            "chmod::a   ok\nchmod::b   FAILED\n\tpanicked at x::y ok\nchmod::c   skipped\n\
            Summary: 1 failed, 0 skipped\n",
        );
        assert_eq!(cases.len(), 2);
        assert_eq!(cases.get("chmod::a"), Some(&true));
        assert_eq!(cases.get("chmod::b"), Some(&false));
    }
}
