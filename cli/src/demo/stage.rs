//! What a demo shows while it goes on: a line for each step when it is done, and a moving one before, if somebody looks.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::Failure;
use crate::output;

const BAR: &str = "  {msg}  {bar:30}  {pos}/{len}  {per_sec}";
const SPINNER: &str = "{spinner} {msg}";

/// Where the demo is shown. Colours and moving lines only where a terminal is.
pub(crate) struct Stage {
    colours: bool,
    started: Instant,
}

impl Stage {
    pub(crate) fn open() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, started: Instant::now() }
    }

    /// Has one step done, of `parts` parts if they can be counted, and shows what came of it: `work` gives the sentence.
    pub(crate) async fn step<T>(
        &self,
        doing: &str,
        parts: Option<usize>,
        work: impl AsyncFnOnce(&ProgressBar) -> Result<(T, String), Failure>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let progress = progress(doing, parts);
        let came = work(&progress).await;
        progress.finish_and_clear();
        match came {
            Ok((value, done)) => {
                let time = format!("{:.1} s", begun.elapsed().as_secs_f64());
                let (mark, time) = (self.paint("32", "✓"), self.paint("2", &time));
                self.say(&format!("{mark} {done}  {time}"))?;
                Ok(value)
            }
            Err(failure) => {
                self.say(&format!("{} {doing}", self.paint("31", "✗")))?;
                Err(failure)
            }
        }
    }

    /// Shows a line, or several.
    pub(crate) fn say(&self, lines: &str) -> Result<(), Failure> {
        output::print(|out| writeln!(out, "{lines}"))
    }

    /// Shows the last line.
    pub(crate) fn close(&self, well: bool, verdict: &str) -> Result<(), Failure> {
        let (colour, mark) = if well { ("1;32", "✓") } else { ("1;31", "✗") };
        let time = self.started.elapsed().as_secs_f64();
        self.say(&format!(
            "\n{} {time:.1} s in all",
            self.paint(colour, &format!("{mark} {verdict}"))
        ))
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn progress(doing: &str, parts: Option<usize>) -> ProgressBar {
    let (progress, style) = match parts {
        Some(parts) => (ProgressBar::new(parts as u64), BAR),
        None => (ProgressBar::new_spinner(), SPINNER),
    };
    progress.enable_steady_tick(Duration::from_millis(100));
    progress.set_style(ProgressStyle::with_template(style).expect("the templates are constants"));
    progress.with_message(doing.to_owned())
}
