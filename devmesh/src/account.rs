//! The readable account of a demonstration.

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use devmesh::sim::Step;

/// What was asked, what was expected, what came.
pub(crate) struct Line {
    pub(crate) title: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) came: String,
    pub(crate) hops: String,
}

#[derive(Default)]
pub(crate) struct Account {
    lines: Vec<Line>,
}

impl Account {
    /// Judges a flow by its last step.
    pub(crate) fn add(&mut self, title: &'static str, expected: &'static str, steps: &[Step]) {
        let came = steps.last().map_or_else(|| "nothing".into(), outcome);
        let hops = steps
            .iter()
            .map(|step| {
                let ms = step.duration_us as f64 / 1_000.0;
                format!("{} {} {ms:.1} ms", step.name, step.status)
            })
            .collect::<Vec<_>>()
            .join(", ");
        self.lines.push(Line {
            title,
            expected,
            came,
            hops,
        });
    }

    pub(crate) fn note(&mut self, title: &'static str, expected: &'static str, came: String) {
        self.lines.push(Line {
            title,
            expected,
            came,
            hops: String::new(),
        });
    }

    pub(crate) fn failures(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| line.came != line.expected)
            .count()
    }

    #[expect(clippy::print_stdout, reason = "the account is what the demo is for")]
    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table
            .load_style(UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header([
                "",
                "what was asked",
                "what was decided",
                "how long each hop took",
            ]);
        for line in &self.lines {
            let good = line.came == line.expected;
            let came = if good {
                line.came.clone()
            } else {
                format!("{} (expected {})", line.came, line.expected)
            };
            table.add_row([
                if good { "ok" } else { "NO" },
                line.title,
                &came,
                &line.hops,
            ]);
        }
        println!("{table}");
    }
}

/// The decision in a word or two, from an answer of the edge.
fn outcome(step: &Step) -> String {
    let body = &step.body;
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    if step.status == 202 {
        return format!("accepted {}", body["accepted"]);
    }
    if let (200, Some(decision)) = (step.status, text("decision")) {
        let status = body["command"]["status"].as_str().unwrap_or("?");
        return format!("{decision}, {status}");
    }
    let code = text("code")
        .or_else(|| text("error"))
        .unwrap_or_else(|| "?".into());
    format!("{} {code}", step.status)
}
