// SPDX-License-Identifier: GPL-2.0

//! Judging a kernel log.

/// What a healthy kernel never says.
const TROUBLE: &[&str] = &[
    "WARNING:",
    "BUG:",
    "Oops",
    "kernel panic",
    "Kernel panic",
    "Call Trace",
    "general protection fault",
    "KASAN",
    "UBSAN",
    "lockdep is turned off",
    "non-static key",
    "inconsistent lock state",
    "suspicious RCU usage",
    "new suspected memory leaks",
    "Kernel memory leak detector disabled",
    "possible circular locking",
    "possible recursive locking",
    "blocked for more than",
    "detected stalls",
    "refcount_t",
    "list_add corruption",
    "list_del corruption",
    "Objects remaining",
    "Busy inodes after unmount",
    "JBD2: Spotted dirty metadata buffer",
    "unable to handle",
    "scheduling while atomic",
    "sleeping function called",
    "rust_kernel: panicked",
];

/// What a file system says when it finds or makes something wrong. Expected
/// only where a check damaged the disk.
const COMPLAINT: &[&str] = &[
    "EXT4-fs error",
    "I/O error",
    "aborting journal",
    "Aborting journal",
    "lost async page write",
];

/// Lines of `log` that a run must not have, except those with one of `expected`.
pub fn trouble<'a>(log: &'a str, expected: &[&str]) -> Vec<&'a str> {
    log.lines()
        .filter(|l| is_trouble(l) || is_complaint(l))
        .filter(|l| !expected.iter().any(|e| l.contains(e)))
        .collect()
}

/// Signs of a defect in the kernel or the module, whatever is on the disk.
pub fn is_trouble(line: &str) -> bool {
    TROUBLE.iter().any(|t| line.contains(t))
}

/// A complaint about the disk.
pub fn is_complaint(line: &str) -> bool {
    let ours = line.find("ext4rs (").and_then(|at| line.get(at..));
    COMPLAINT.iter().any(|c| line.contains(c))
        || ours.is_some_and(|l| l.to_lowercase().contains("error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_wrong_and_only_that() {
        let log = "[1] ext4rs: loaded\n[2] WARNING: at fs/x.c\n[3] EXT4-fs (vda): mounted\n[4] ext4rs (vda): error: inode #12: bad\n";
        assert_eq!(trouble(log, &[]).len(), 2);
        // a symbol in a stack trace is not a message
        assert!(trouble("[1]  ext4rs_health_error+0x1 [ext4rs]", &[]).is_empty());
        assert!(trouble("[1]  ? debug_lockdep_rcu_enabled+0x0/0x40", &[]).is_empty());
        // it finds no leak any more
        assert!(is_trouble(
            "[1] kmemleak: Kernel memory leak detector disabled"
        ));
        assert_eq!(trouble(log, &["inode #12"]), ["[2] WARNING: at fs/x.c"]);
    }
}
