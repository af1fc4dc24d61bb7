// SPDX-License-Identifier: GPL-2.0

//! The rows of the bench: what is measured, and how much faster than C ext4
//! it is to be.

/// fio's job file; [`ROWS`] names its jobs.
pub const FIO_JOBS: &str = include_str!("data.fio");

/// One operation.
pub struct Row {
    /// fio's job, or the name that `guest bench` gives it.
    pub name: &'static str,
    /// Throughput as a ratio to C ext4.
    pub aim: f64,
}

const fn row(name: &'static str) -> Row {
    Row { name, aim: 1.0 }
}

const fn aim(name: &'static str, aim: f64) -> Row {
    Row { name, aim }
}

pub const ROWS: &[Row] = &[
    row("write 4k"),
    row("write 64k"),
    aim("write 1M", 1.35),
    row("write 4k, writeback"),
    aim("write 64k, writeback", 1.3),
    row("write 1M, writeback"),
    row("write 64k, uncached"),
    aim("write 1M, uncached", 2.0),
    row("append 4k, fsync each"),
    row("mmap write"),
    row("mmap write, writeback"),
    row("overwrite 4k"),
    row("overwrite 64k"),
    row("overwrite 1M"),
    row("overwrite 64k, writeback"),
    row("overwrite 4k at random"),
    row("overwrite 4k at random, writeback"),
    row("overwrite 4k, fsync each"),
    row("overwrite 4k, fdatasync each"),
    row("read 4k, cached"),
    row("read 1M, cached"),
    row("read 4k, uncached"),
    row("read 1M, uncached"),
    row("read 1M, holes"),
    row("direct read 4k at random"),
    row("direct overwrite 4k at random"),
    row("direct write 1M"),
    row("create"),
    row("create, fsync each"),
    row("stat"),
    row("stat, inodes not cached"),
    row("readdir"),
    row("rename"),
    row("unlink"),
    row("mkdir"),
    row("rmdir"),
    row("small files, then sync"),
    row("remove small files"),
    row("punch every other block"),
    row("collapse, file in pieces"),
    row("insert, file in pieces"),
    row("truncate, file in pieces"),
];

/// How much each operation does.
#[derive(Clone, Copy)]
pub struct Amount {
    /// Bytes of a file.
    pub file: u64,
    /// Bytes written where each write is synced.
    pub small: u64,
    /// Files of the metadata load.
    pub files: u64,
}

impl Amount {
    /// The variables of the job file.
    pub fn variables(&self) -> String {
        const KIB: u64 = 1 << 10;
        let Self { file, small, .. } = *self;
        let mut text = format!(
            "export SIZE={file} SMALL={small} HALF={0} HALF_4K={1} HALF_N={2}\n",
            file / 2,
            file / 2 + 4 * KIB,
            file / 2 / (4 * KIB)
        );
        for (name, unit) in [("4K", 4 * KIB), ("64K", 64 * KIB), ("1M", 1024 * KIB)] {
            text += &format!(
                "export SIZE_{name}={} N_{name}={}\n",
                file + unit,
                file / unit
            );
        }
        text
    }
}
