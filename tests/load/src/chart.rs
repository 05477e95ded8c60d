//! Charts as SVG files: bars in panels, lines over a logarithmic axis. The background is drawn, so that they are legible
//! on light and dark pages alike.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0x77, 0x77, 0x77);
const GOAL: RGBColor = RGBColor(0xc0, 0x39, 0x2b);
/// Dark and light: the two parts of a bar.
const OURS: [RGBColor; 2] = [RGBColor(0x1f, 0x6f, 0xb2), RGBColor(0x8f, 0xbf, 0xe6)];
const THEIRS: [RGBColor; 2] = [RGBColor(0x6b, 0x6b, 0x6b), RGBColor(0xc4, 0xc4, 0xc4)];
const LINES: [RGBColor; 4] = [
    RGBColor(0x1f, 0x6f, 0xb2),
    RGBColor(0xd3, 0x7a, 0x12),
    RGBColor(0x2a, 0x8c, 0x55),
    RGBColor(0x8e, 0x44, 0xad),
];

const PANEL_WIDTH: i32 = 520;
const BAR_HEIGHT: i32 = 18;
const BAR_STEP: i32 = 24;
const LABEL_WIDTH: i32 = 130;
/// Room right of the longest bar for its figure.
const FIGURE_WIDTH: i32 = 60;
const HEAD: i32 = 50;
const TITLE_HEIGHT: i32 = 76;

/// Bars of one measure.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// What is measured.
    pub title: String,
    /// In which unit.
    pub unit: String,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
    /// Where the goal is.
    pub goal: Option<f64>,
}

/// One bar.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    /// Whose.
    pub label: String,
    /// The bar's length, and its dark part where it has two.
    pub value: f64,
    /// The first part.
    pub part: Option<f64>,
    /// The figure as text.
    pub figure: String,
    /// Whether it is the one the chart is about.
    pub ours: bool,
}

/// Lines over a logarithmic axis.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// What it shows.
    pub title: String,
    /// What is varied.
    pub x: String,
    /// What is measured, with its unit.
    pub y: String,
    /// Whether the measure's axis is logarithmic too.
    pub log_y: bool,
    /// Names and points.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

/// Draws `panels` in two columns below a title and a line that explains the colours.
///
/// # Errors
/// When the file cannot be written.
pub fn bars(path: &Path, title: &str, legend: &str, panels: &[Panel]) -> Result<()> {
    let columns = panels.len().clamp(1, 2);
    let rows = panels.len().div_ceil(2).max(1);
    let longest = panels.iter().map(|panel| panel.bars.len()).max();
    let panel_height = HEAD + longest.unwrap_or(0) as i32 * BAR_STEP + 16;
    let size = (
        (PANEL_WIDTH * columns as i32) as u32,
        (TITLE_HEIGHT + panel_height * rows as i32) as u32,
    );
    let draw = || -> Result<()> {
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        write(&root, title, (16, 14), &font(20, INK))?;
        write(&root, legend, (16, 44), &font(13, FAINT))?;
        let (_, body) = root.split_vertically(TITLE_HEIGHT);
        for (area, panel) in body.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        Ok(root.present()?)
    };
    draw().with_context(|| format!("failed to draw {}", path.display()))
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<()> {
    write(area, &panel.title, (16, 6), &font(15, INK))?;
    write(area, &panel.unit, (LABEL_WIDTH, 28), &font(12, FAINT))?;
    let values = panel.bars.iter().map(|bar| bar.value).chain(panel.goal);
    let greatest = values.fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(PANEL_WIDTH - LABEL_WIDTH - FIGURE_WIDTH);
    let at = |value: f64| LABEL_WIDTH + (value.max(0.0) / greatest * room).round() as i32;
    for (index, bar) in panel.bars.iter().enumerate() {
        let top = HEAD + index as i32 * BAR_STEP;
        let bottom = top + BAR_HEIGHT;
        let middle = (top + bottom) / 2;
        let colours = if bar.ours { OURS } else { THEIRS };
        let label = font(13, INK).pos(Pos::new(HPos::Right, VPos::Center));
        write(area, &bar.label, (LABEL_WIDTH - 8, middle), &label)?;
        let part = at(bar.part.unwrap_or(bar.value));
        let spans = [(LABEL_WIDTH, part), (part, at(bar.value))];
        for ((left, right), colour) in spans.into_iter().zip(colours) {
            area.draw(&Rectangle::new(
                [(left, top), (right, bottom)],
                colour.filled(),
            ))?;
        }
        let figure = font(13, INK).pos(Pos::new(HPos::Left, VPos::Center));
        let beside = at(bar.value) + 6;
        let goal = panel
            .goal
            .map(at)
            .filter(|goal| (beside - 4..beside + FIGURE_WIDTH).contains(goal));
        write(
            area,
            &bar.figure,
            (goal.map_or(beside, |goal| goal + 6), middle),
            &figure,
        )?;
    }
    let end = HEAD + panel.bars.len() as i32 * BAR_STEP;
    line(area, LABEL_WIDTH, (HEAD - 4, end), FAINT)?;
    if let Some(goal) = panel.goal {
        line(area, at(goal), (HEAD - 4, end), GOAL)?;
    }
    Ok(())
}

fn line(area: &Area<'_>, x: i32, (top, bottom): (i32, i32), colour: RGBColor) -> Result<()> {
    let style = ShapeStyle::from(colour).stroke_width(1);
    Ok(area.draw(&PathElement::new([(x, top), (x, bottom)], style))?)
}

/// Draws charts below each other.
///
/// # Errors
/// When the file cannot be written, or there is nothing to draw.
pub fn lines(path: &Path, charts: &[Lines]) -> Result<()> {
    let size = (760, 420 * charts.len().max(1) as u32);
    let draw = || -> Result<()> {
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, chart) in root
            .split_evenly((charts.len().max(1), 1))
            .iter()
            .zip(charts)
        {
            draw_lines(area, chart)?;
        }
        Ok(root.present()?)
    };
    draw().with_context(|| format!("failed to draw {}", path.display()))
}

fn draw_lines(area: &Area<'_>, lines: &Lines) -> Result<()> {
    // Above the points there is room for the names of the lines.
    let points = || lines.series.iter().flat_map(|(_, points)| points);
    let fold =
        |of: fn(&(f64, f64)) -> f64, with: fn(f64, f64) -> f64| points().map(of).reduce(with);
    let first = fold(|point| point.0, f64::min).context("a chart without points")?;
    let last = fold(|point| point.0, f64::max).unwrap_or(first);
    let highest = fold(|point| point.1, f64::max).unwrap_or(1.0).max(1e-9);
    let lowest = fold(|point| point.1, f64::min).unwrap_or(0.0);
    let x = (first.max(0.5) * 0.8..last * 1.25).log_scale();
    let mut builder = ChartBuilder::on(area);
    builder
        .caption(&lines.title, font(17, INK))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(64);
    // The two axes are different types, so what is drawn on them is written once and expanded twice.
    macro_rules! draw_on {
        ($y:expr) => {{
            let mut chart = builder.build_cartesian_2d(x, $y)?;
            chart
                .configure_mesh()
                .x_desc(&lines.x)
                .y_desc(&lines.y)
                .x_label_formatter(&|value| count(*value))
                .y_label_formatter(&|value| count(*value))
                .label_style(font(12, INK))
                .axis_desc_style(font(13, INK))
                .light_line_style(WHITE)
                .bold_line_style(INK.mix(0.12))
                .draw()?;
            for ((name, points), colour) in lines.series.iter().zip(LINES) {
                let style = ShapeStyle::from(colour).stroke_width(2);
                chart
                    .draw_series(LineSeries::new(points.iter().copied(), style))?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
                let dots = points
                    .iter()
                    .map(|point| Circle::new(*point, 3, colour.filled()));
                chart.draw_series(dots)?;
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(INK.mix(0.2))
                .label_font(font(12, INK))
                .draw()?;
        }};
    }
    if lines.log_y {
        let lowest = lowest.max(1e-3) * 0.8;
        draw_on!((lowest..highest * (highest / lowest).powf(0.3)).log_scale());
    } else {
        draw_on!(0.0..highest * 1.35);
    }
    Ok(())
}

fn font(size: i32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), style: &TextStyle<'_>) -> Result<()> {
    Ok(area.draw(&Text::new(text, at, style.clone()))?)
}

/// An axis label: "10,000", "0.5".
fn count(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.2}").trim_end_matches('0').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0.5, 7.0, 1000.0, 50_000.0, 1_234_567.0].map(count);
        assert_eq!(shown, ["0.5", "7", "1,000", "50,000", "1,234,567"]);
    }

    #[test]
    fn bars_and_lines_are_drawn_with_their_words_on_a_background() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        let bar = Bar {
            label: "Bun".to_owned(),
            value: 6.4,
            part: Some(0.7),
            figure: "6.40".to_owned(),
            ours: false,
        };
        let panel = Panel {
            title: "echo".to_owned(),
            unit: "CPU µs per message".to_owned(),
            bars: vec![bar],
            goal: Some(6.0),
        };
        bars(&path, "Peers", "user, system", &[panel]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for word in [
            "Peers",
            "echo",
            "CPU µs per message",
            "Bun",
            "6.40",
            "#FFFFFF",
        ] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        let chart = Lines {
            title: "Growth".to_owned(),
            x: "connections".to_owned(),
            y: "CPU µs".to_owned(),
            log_y: false,
            series: vec![("echo".to_owned(), vec![(10.0, 1.0), (1000.0, 2.0)])],
        };
        let logarithmic = Lines {
            log_y: true,
            ..chart.clone()
        };
        lines(&path, &[chart, logarithmic]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(
            svg.contains("Growth") && svg.contains("connections"),
            "{svg}"
        );
        assert!(lines(&path, &[Lines::default()]).is_err());
    }
}
