// SPDX-License-Identifier: GPL-2.0

//! The ratios as a picture (SVG): a bar for each operation, C ext4 the line
//! at 1, on a logarithmic scale, since twice as fast and half as fast are
//! equally far from it.

use super::results::{Measured, Outcome, Results, EXT4, EXT4RS, XFS};
use super::table::meets;
use svg::node::element::{Circle, Group, Line, Rectangle, Text};
use svg::Document;

const LABELS: f64 = 270.0;
const PLOT: f64 = 520.0;
const WIDTH: f64 = LABELS + PLOT + 70.0;
const ROW: f64 = 20.0;
const TOP: f64 = 74.0;
const LEAST: f64 = 0.4;
const MOST: f64 = 5.0;

/// Where a ratio lies; what is off the scale lies at its end.
fn x(ratio: f64) -> f64 {
    let ratio = ratio.clamp(LEAST, MOST);
    LABELS + PLOT * (ratio / LEAST).ln() / (MOST / LEAST).ln()
}

fn text(x: f64, y: f64, size: f64, anchor: &str, words: impl Into<String>) -> Text {
    Text::new(words.into())
        .set("x", x)
        .set("y", y)
        .set("font-size", size)
        .set("text-anchor", anchor)
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64, colour: &str, width: f64) -> Line {
    Line::new()
        .set("x1", x1)
        .set("y1", y1)
        .set("x2", x2)
        .set("y2", y2)
        .set("stroke", colour)
        .set("stroke-width", width)
}

pub fn draw(results: &Results) -> String {
    let rows: Vec<_> = results.in_order().collect();
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + 56.0;
    let mut picture = Group::new()
        .set("font-family", "sans-serif")
        .set("fill", "#222")
        .add(text(
            16.0,
            26.0,
            17.0,
            "start",
            "ext4rs: throughput as a ratio to C ext4",
        ))
        .add(text(
            16.0,
            46.0,
            12.0,
            "start",
            format!(
                "{} time, {}, commit {}, {}",
                results.mode,
                results.kernel,
                results.revision,
                results.day()
            ),
        ));
    for mark in [0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0] {
        let (colour, width) = if mark == 1.0 {
            ("#222", 1.5)
        } else {
            ("#ddd", 1.0)
        };
        picture = picture
            .add(line(x(mark), TOP - 4.0, x(mark), bottom, colour, width))
            .add(text(x(mark), TOP - 8.0, 11.0, "middle", format!("{mark}")));
    }
    for (i, (row, measured)) in rows.iter().enumerate() {
        let y = TOP + ROW * i as f64;
        picture = picture
            .add(text(LABELS - 10.0, y + 14.0, 12.0, "end", row.name))
            .add(bar(measured, row.aim, y));
    }
    let legend = bottom + 22.0;
    let key = "bar: ext4rs, green where the aim is met; tick: the aim; thin line: spread over the rounds; circle: XFS to C ext4";
    picture = picture.add(text(16.0, legend + 12.0, 11.0, "start", key));
    Document::new()
        .set("viewBox", (0, 0, WIDTH as i64, height as i64))
        .set("width", WIDTH)
        .set("height", height)
        .add(
            Rectangle::new()
                .set("width", "100%")
                .set("height", "100%")
                .set("fill", "white"),
        )
        .add(picture)
        .to_string()
        + "\n"
}

/// One operation's bar, from 1 to its ratio.
fn bar(measured: &Measured, aim: f64, y: f64) -> Group {
    let mut group = Group::new();
    let Some(ratio) = measured.ratio(EXT4RS, EXT4) else {
        let why = match measured.trouble(EXT4RS) {
            Some(Outcome::NotSupported) => "not supported",
            _ => "no figure",
        };
        return group.add(text(x(1.0) + 6.0, y + 14.0, 11.0, "start", why));
    };
    let (from, to) = (x(ratio.median.min(1.0)), x(ratio.median.max(1.0)));
    let colour = if meets(ratio, aim) {
        "#3f9b5f"
    } else {
        "#c8503c"
    };
    let middle = y + ROW / 2.0;
    group = group
        .add(
            Rectangle::new()
                .set("x", from)
                .set("y", y + 3.0)
                .set("width", (to - from).max(1.0))
                .set("height", ROW - 6.0)
                .set("fill", colour),
        )
        .add(line(
            x(ratio.least),
            middle,
            x(ratio.most),
            middle,
            "#222",
            1.5,
        ));
    if aim != 1.0 {
        group = group.add(line(x(aim), y + 1.0, x(aim), y + ROW - 1.0, "#222", 2.5));
    }
    if let Some(xfs) = measured.ratio(XFS, EXT4) {
        let circle = Circle::new()
            .set("cx", x(xfs.median))
            .set("cy", middle)
            .set("r", 3.5)
            .set("fill", "white")
            .set("stroke", "#3a5f9b")
            .set("stroke-width", 1.5);
        group = group.add(circle);
    }
    group.add(text(
        WIDTH - 12.0,
        y + 14.0,
        11.0,
        "end",
        format!("{:.2}", ratio.median),
    ))
}
