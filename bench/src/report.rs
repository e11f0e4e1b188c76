use std::process::ExitCode;

/// Prints figures and remembers which hard limits are broken.
#[derive(Debug, Default)]
pub(crate) struct Report {
    broken: Vec<String>,
}

impl Report {
    /// Begins a group of figures.
    pub(crate) fn section(&self, title: &str) {
        println!("\n{title}");
    }

    /// A figure that is only told.
    pub(crate) fn tell(&self, name: &str, figure: &str) {
        println!("  {name:<44} {figure}");
    }

    /// A figure with something it should reach; short of it, nothing fails.
    pub(crate) fn aim(&self, name: &str, figure: &str, ratio: f64, aim: f64) {
        let word = if ratio >= aim { "reached" } else { "not reached" };
        println!("  {name:<44} {figure:<24} {ratio:>8.2} x   aim {aim} x: {word}");
    }

    /// A figure that must not be more than `limit`.
    pub(crate) fn at_most(&mut self, name: &str, value: f64, limit: f64, unit: &str) {
        self.judge(name, value, "at most", limit, unit, value <= limit);
    }

    /// A figure that must not be less than `limit`.
    pub(crate) fn at_least(&mut self, name: &str, value: f64, limit: f64, unit: &str) {
        self.judge(name, value, "at least", limit, unit, value >= limit);
    }

    /// Says how it went as a whole.
    pub(crate) fn end(self) -> ExitCode {
        if self.broken.is_empty() {
            println!("\nall hard limits hold");
            return ExitCode::SUCCESS;
        }
        println!("\nbroken: {}", self.broken.join(", "));
        ExitCode::FAILURE
    }

    fn judge(&mut self, name: &str, value: f64, side: &str, limit: f64, unit: &str, holds: bool) {
        let figure = format!("{} {unit}", short(value));
        let (ratio, word) = (value / limit, if holds { "ok" } else { "BROKEN" });
        println!("  {name:<44} {figure:<24} {ratio:>8.2} x   {side} {}: {word}", short(limit));
        if !holds {
            self.broken.push(name.to_owned());
        }
    }
}

/// A number with as many digits as anyone needs.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
