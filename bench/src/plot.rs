//! Bars beside each other, as SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::error::{Error, other};

/// One bar: its name, its height, whether it is ours.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) ours: bool,
}

/// A bar a line, each with its figure.
pub(crate) fn bars(path: &Path, title: &str, unit: &str, bars: &[Bar]) -> Result<(), Error> {
    let height = 90 + 36 * u32::try_from(bars.len()).unwrap_or(1);
    let area = SVGBackend::new(path, (900, height)).into_drawing_area();
    area.fill(&WHITE).map_err(other)?;
    let text = ("sans-serif", 15).into_font();
    area.draw(&Text::new(
        title.to_owned(),
        (20, 18),
        ("sans-serif", 18).into_font(),
    ))
    .map_err(other)?;
    let most = bars.iter().map(|bar| bar.value).fold(1.0, f64::max);
    for (line, bar) in (0..).zip(bars) {
        let top = 56 + 36 * line;
        let width = (bar.value / most * 480.0).max(1.0) as i32;
        let color = if bar.ours {
            RGBColor(31, 119, 180)
        } else {
            RGBColor(160, 160, 160)
        };
        area.draw(&Text::new(bar.name.clone(), (20, top + 4), text.clone()))
            .map_err(other)?;
        area.draw(&Rectangle::new(
            [(280, top), (280 + width, top + 24)],
            color.filled(),
        ))
        .map_err(other)?;
        let figure = format!("{:.0} {unit}", bar.value);
        area.draw(&Text::new(figure, (288 + width, top + 4), text.clone()))
            .map_err(other)?;
    }
    area.present().map_err(other)
}
