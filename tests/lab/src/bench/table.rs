// SPDX-License-Identifier: GPL-2.0

//! The ratios as a table in Markdown.

use super::results::{Measured, Outcome, Ratio, Results, EXT4, EXT4RS, XFS};

/// Ratios to C ext4 and XFS, and, with a run to compare with, how ext4rs's own
/// time has changed since.
pub fn ratios(results: &Results, base: Option<&Results>) -> String {
    let mut text = format!(
        "\n{} of ext4rs {} on {}, {}; throughput as a ratio, median of the rounds, ± half the spread\n\n",
        match results.mode.as_str() {
            "counted" => "Instructions",
            _ => "Time",
        },
        results.revision,
        results.kernel,
        results.day()
    );
    let change = if base.is_some() {
        " time against base |"
    } else {
        ""
    };
    text += &format!(
        "| {:34} | {:>13} | {:>13} | aim  |      |{change}\n",
        "operation", "to C ext4", "to XFS"
    );
    text += &format!("|{:-<36}|{:->15}|{:->15}|------|------|", "", ":", ":");
    text += if base.is_some() { "------:|\n" } else { "\n" };
    let (mut met, mut all) = (0, 0);
    for (row, measured) in results.in_order() {
        let to_ext4 = measured.ratio(EXT4RS, EXT4);
        let good = to_ext4.is_some_and(|r| meets(r, row.aim));
        all += 1;
        met += u32::from(good);
        text += &format!(
            "| {:34} | {:>13} | {:>13} | {:4} | {:4} |",
            row.name,
            cell(measured, to_ext4, EXT4),
            cell(measured, measured.ratio(EXT4RS, XFS), XFS),
            row.aim,
            if good { "" } else { "MISS" },
        );
        if let Some(base) = base {
            text += &format!(" {} |", change_since(measured, base.rows.get(row.name)));
        }
        text.push('\n');
    }
    text += &format!("\n{met} of {all} aims met\n");
    text
}

/// Half a percent is noise.
pub fn meets(ratio: Ratio, aim: f64) -> bool {
    ratio.median >= aim - 0.005
}

fn cell(measured: &Measured, ratio: Option<Ratio>, other: usize) -> String {
    let said = |outcome: &Outcome| match outcome {
        Outcome::NotSupported => "not supported".to_owned(),
        _ => "failed".to_owned(),
    };
    match (ratio, measured.trouble(EXT4RS), measured.trouble(other)) {
        (Some(r), ..) => format!("{:.2} ± {:.1}%", r.median, r.spread() * 100.0),
        (None, Some(own), _) => said(own),
        (None, None, Some(_)) => "no figure".to_owned(),
        (None, None, None) => String::new(),
    }
}

fn change_since(now: &Measured, base: Option<&Measured>) -> String {
    let before = base.and_then(|b| b.time(EXT4RS));
    match (now.time(EXT4RS), before) {
        (Some(now), Some(before)) => format!("{:+.1}%", (now / before - 1.0) * 100.0),
        _ => "new".to_owned(),
    }
}
