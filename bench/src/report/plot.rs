//! Bar charts with a logarithmic scale, as SVG by hand.

use std::fmt::Write as _;

/// Where the bars begin, how long the longest is, the height of a row, the height of the title: SVG units.
const LEFT: f64 = 200.0;
const WIDTH: f64 = 420.0;
const ROW: f64 = 26.0;
const TOP: f64 = 44.0;

/// A chart of named values; every power of ten has a line.
pub(crate) fn bars(title: &str, unit: &str, bars: &[(String, f64)]) -> String {
    let values = || bars.iter().map(|(_, value)| *value).filter(|value| *value > 0.0);
    let low = values().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    if !low.is_finite() {
        return String::new();
    }
    let at = |value: f64| LEFT + WIDTH * ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
    let height = TOP + ROW * bars.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>{title}</title>\n<rect width=\"720\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\" fill=\"#222\">{title} ({unit}, logarithmic)</text>\n"
    );
    // Writing to a string cannot fail.
    let mut power = low;
    while power <= high {
        let x = at(10_f64.powf(power));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#777\">{}</text>",
            height - 24.0,
            height - 8.0,
            short(10_f64.powf(power)),
        );
        power += 1.0;
    }
    for (row, (name, value)) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let end = if *value > 0.0 { at(*value) } else { LEFT };
        let colour = if name.starts_with("Loquat") { "#d9730d" } else { "#8aa0b4" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222\">{name}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" rx=\"2\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222\">{}</text>",
            LEFT - 8.0,
            y + 16.0,
            y + 4.0,
            (end - LEFT).max(1.0),
            end + 6.0,
            y + 16.0,
            short(*value),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A number with about three digits.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        small if small >= 0.1 => format!("{value:.3}"),
        small if small >= 0.01 => format!("{value:.4}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_bar_is_a_larger_value() {
        let svg = bars("Time", "ms", &[("Loquat".to_owned(), 1.0), ("peer".to_owned(), 100.0)]);
        assert!(
            svg.contains("width=\"1.0\" height=\"16\"") && svg.contains("width=\"420.0\" height=\"16\""),
            "{svg}"
        );
        assert_eq!(
            (short(0.1234), short(1234.6), short(0.0)),
            ("0.123".to_owned(), "1235".to_owned(), "0".to_owned())
        );
    }
}
