//! Where the demo is shown: a live table on a terminal, plain lines anywhere else.
//!
//! Invariant: with `--json` standard output holds the object and nothing else; words go to standard error.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Summary,
    table::{self, Board, Paint, Tone, wrap},
};

/// Without a terminal the counts are written so often at the most.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Columns of the time before a line.
const TIME_WIDTH: usize = 10;
/// Nothing is set wider than this: long lines are hard to read.
const WIDTH_MAX: usize = 100;
/// Nor narrower.
const WIDTH_MIN: usize = 24;

/// Where it is shown.
pub struct Screen {
    began: Instant,
    paint: Paint,
    to_stderr: bool,
    live: Option<Live>,
    last_line: Option<(Instant, String)>,
}

/// The table on a terminal.
struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    lines: Vec<ProgressBar>,
    /// An empty line between the words and the table.
    space: ProgressBar,
}

impl Screen {
    /// A table where standard output is a terminal and `json` is false, else lines. No colour where
    /// `NO_COLOR` is set and not empty (no-color.org), or where the terminal is dumb.
    pub fn new(json: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_live = !json && std::io::stdout().is_terminal() && !is_dumb;
        Self {
            began: Instant::now(),
            paint: Paint { colour: is_live && !set("NO_COLOR") },
            to_stderr: json,
            live: is_live.then(Live::new),
            last_line: None,
        }
    }

    /// Time since the demo began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The first lines: what this is.
    pub(super) fn title(&mut self, title: &str, rest: &[String]) {
        let title = self.paint.tone(Tone::Strong, title);
        self.print(&title);
        for line in rest {
            for line in wrap(line, self.width().saturating_sub(2)) {
                let line = self.paint.tone(Tone::Faint, &format!("  {line}"));
                self.print(&line);
            }
        }
        self.print("");
    }

    /// Tells what happens now.
    pub(super) fn say(&mut self, words: &str) {
        self.tell(Tone::Plain, words);
    }

    /// Tells it, in a tone.
    pub(super) fn tell(&mut self, tone: Tone, words: &str) {
        let time = format!("{:>6.1} s  ", self.began.elapsed().as_secs_f64());
        let time = self.paint.tone(Tone::Faint, &time);
        for (place, line) in wrap(words, self.width().saturating_sub(TIME_WIDTH)).iter().enumerate() {
            let margin = if place == 0 { time.clone() } else { " ".repeat(TIME_WIDTH) };
            let line = format!("{margin}{}", self.paint.tone(tone, line));
            self.print(&line);
        }
    }

    /// Renews the table; without a terminal a line, now and then and only where something changed.
    pub(super) fn show(&mut self, board: &Board) {
        if let Some(live) = &self.live {
            live.bar.set_length(board.planned);
            live.bar.set_position(board.answered.min(board.planned));
            for (line, text) in live.lines.iter().zip(board.lines(self.paint)) {
                line.set_message(text);
            }
            return;
        }
        let text = board.line();
        let is_due =
            self.last_line.as_ref().is_none_or(|(at, told)| at.elapsed() >= LINE_EVERY && *told != text);
        if is_due {
            self.say(&text);
            self.last_line = Some((Instant::now(), text));
        }
    }

    /// Takes the table away and prints what the demo came to.
    pub fn conclude(&mut self, summary: &Summary) {
        let width = self.width();
        self.close();
        for line in table::summary(summary, self.paint, width) {
            self.print(&line);
        }
    }

    /// What people may try now.
    pub fn invite(&mut self, lines: &[String]) {
        self.print("");
        let heading = self.paint.tone(Tone::Strong, "  The daemon goes on serving. Ctrl-C ends it. Try:");
        self.print(&heading);
        for line in lines {
            // Not wrapped: it is there to be copied.
            self.print(&format!("    {line}"));
        }
    }

    /// Takes the table away.
    pub fn close(&mut self) {
        if let Some(live) = self.live.take() {
            live.space.finish_and_clear();
            live.bar.finish_and_clear();
            live.lines.iter().for_each(ProgressBar::finish_and_clear);
            // It goes all the same when the program ends.
            let _cleared = live.all.clear();
        }
    }

    fn width(&self) -> usize {
        match self.live {
            Some(_) => usize::from(console::Term::stdout().size().1).clamp(WIDTH_MIN, WIDTH_MAX),
            // A log is not wrapped.
            None => usize::MAX,
        }
    }

    #[allow(clippy::print_stdout, clippy::print_stderr, reason = "the demo talks to people")]
    fn print(&self, line: &str) {
        match &self.live {
            // Where the terminal is gone there is nobody to tell.
            Some(live) => drop(live.all.println(line)),
            None if self.to_stderr => eprintln!("{line}"),
            None => println!("{line}"),
        }
    }
}

impl Live {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let style = |template: &str| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let space = all.add(ProgressBar::new(1).with_style(style(" ")));
        let bar = "  {prefix:9} {wide_bar} {human_pos:>7} of {human_len} ";
        let bar = all.add(ProgressBar::new(0).with_style(style(bar).progress_chars("━━╌")));
        bar.set_prefix("feed");
        let lines = (0..4).map(|_| all.add(ProgressBar::new(1).with_style(style("{wide_msg}")))).collect();
        space.tick();
        Self { all, bar, lines, space }
    }
}
