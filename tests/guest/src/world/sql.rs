// SPDX-License-Identifier: GPL-2.0

//! SQLite as a workload: numbered transactions, and what a crash may leave of them.

use super::mark::Mark;
use anyhow::{bail, ensure, Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const NAME: &str = "test.db";

/// So many rows are kept.
const KEPT: u32 = 20;

/// The blob of a row, as an expression in its number.
const BLOB: &str =
    "zeroblob(0) || replace(hex(zeroblob(20 + (id * 7919) % 3000)), '00', printf('%04x', id))";

/// A running sqlite3.
pub struct Database {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Database {
    pub fn open(dir: &Path) -> Result<Self> {
        let mut child = Command::new("sqlite3")
            .args(["-batch", "-bail"])
            .arg(dir.join(NAME))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("sqlite3")?;
        Ok(Self {
            input: child.stdin.take().context("no input")?,
            output: BufReader::new(child.stdout.take().context("no output")?),
            child,
        })
    }

    /// Runs statements to their end; the lines they print.
    pub fn run(&mut self, sql: &str) -> Result<Vec<String>> {
        writeln!(self.input, "{sql}\n.print ---")?;
        self.input.flush()?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            ensure!(
                self.output.read_line(&mut line)? > 0,
                "sqlite3 ended: {lines:?}"
            );
            match line.trim_end() {
                "---" => return Ok(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }

    pub fn close(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait()?;
        ensure!(status.success(), "sqlite3: {status}");
        Ok(())
    }
}

/// What begins the work on an empty database. `extra`: a commit in rollback mode is the unlink of
/// the journal, and that is durable once the directory is synced.
pub fn stage(wal: bool) -> String {
    let mode = if wal { "wal" } else { "delete" };
    format!(
        "pragma journal_mode={mode}; pragma synchronous=extra; pragma wal_autocheckpoint=30;
        create table rows(id integer primary key, data text);
        create table done(n integer); insert into done values(0);"
    )
}

/// Transaction `n`, counted from 1.
pub fn transaction(n: u32) -> String {
    format!(
        "begin; insert into rows(id) values({n}); update rows set data = {BLOB} where id = {n};
        update done set n = {n}; delete from rows where id <= {n} - {KEPT}; commit;"
    )
}

/// What was committed is there, and nothing else; returns the number of transactions. The first
/// operation of the mark is the stage.
pub fn verify(dir: &Path, mark: Mark) -> Result<usize> {
    if mark.ended == 0 {
        return Ok(0); // the tables may not be there yet
    }
    let mut db = Database::open(dir)?;
    let found = db.run(&format!(
        "pragma integrity_check; select n from done; select count(*) from done;
        select count(*), coalesce(min(id), 0), coalesce(max(id), 0), coalesce(sum(data = {BLOB}), 0) from rows;"
    ))?;
    db.close()?;
    let [good, n, one, rows] = found.as_slice() else {
        bail!("sqlite3 finds {found:?}");
    };
    ensure!(good == "ok" && one == "1", "sqlite3 finds {found:?}");
    let n: u32 = n.parse()?;
    let (least, most) = (mark.ended - 1, mark.begun.saturating_sub(1));
    ensure!(
        (least..=most).contains(&n),
        "{n} transactions are there, {least} were committed and {most} begun"
    );
    let kept = n.min(KEPT);
    let first = if n == 0 { 0 } else { n - kept + 1 };
    let expected = format!("{kept}|{first}|{n}|{kept}");
    ensure!(
        *rows == expected,
        "after {n} transactions the rows are {rows}, not {expected}"
    );
    Ok(n as usize)
}
