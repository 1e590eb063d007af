//! A drawing with its name, its description and its numbers. There is none without them.

use super::markup::Text;

/// A drawing.
pub(super) struct Figure<'a> {
    /// Unique in the document, of letters, digits and `-`.
    pub(super) id: &'a str,
    /// What it is.
    pub(super) title: &'a str,
    /// What it shows, in a sentence or two: for who cannot see it.
    pub(super) description: &'a str,
    /// Height in drawing units; the width is given.
    pub(super) width: u32,
    pub(super) height: u32,
    /// The elements of the drawing, SVG.
    pub(super) drawing: &'a str,
    /// Its numbers.
    pub(super) table: &'a Table,
}

/// Rows under a head, as text.
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Figure<'_> {
    /// The figure with its table, which is folded on a screen and left out on paper.
    pub(super) fn html(&self) -> String {
        let Self { id, width, height, drawing, .. } = self;
        let (title, description) = (Text(self.title), Text(self.description));
        format!(
            "<figure id=\"{id}\">\n<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
             viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" font-size=\"11\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n\
             {drawing}</svg>\n<details><summary>Numbers: {title}</summary>\n{}</details>\n</figure>\n",
            self.table.html(self.title)
        )
    }
}

impl Table {
    fn html(&self, caption: &str) -> String {
        let head: String =
            self.head.iter().map(|name| format!("<th scope=\"col\">{}</th>", Text(name))).collect();
        let rows: String = self.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row))).collect();
        format!(
            "<div class=\"scroll\" tabindex=\"0\"><table class=\"data\"><caption>{}</caption>\n\
             <thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
            Text(caption)
        )
    }
}

fn cells(row: &[String]) -> String {
    let cell = |(place, text): (usize, &String)| match place {
        0 => format!("<th scope=\"row\">{}</th>", Text(text)),
        _ => format!("<td>{}</td>", Text(text)),
    };
    row.iter().enumerate().map(cell).collect()
}
