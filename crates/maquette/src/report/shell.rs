//! What every page is set in: its head, and its sections.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// By which a page that may be replaced is known, in its head.
pub(crate) const WRITER: &str = "name=\"generator\" content=\"maquette\"";

/// Whether a page stands where the user says, and must be known again before it is replaced; that of a run is its own file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    OfRun,
    Anywhere,
}

/// A page of this program: self-contained, without a script.
pub(super) fn page(title: &str, place: Place, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                @if place == Place::Anywhere { meta name="generator" content="maquette"; }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { main { (main) } }
        }
    }
}

/// A part of a page, with links to the entries of the files that it was built from.
pub(super) fn section(id: &str, title: &str, files: &[&str], body: &Markup) -> Markup {
    html! {
        section id=(id) {
            header {
                h2 { (title) }
                @if !files.is_empty() {
                    p.from { "from " @for (i, file) in files.iter().enumerate() {
                        @if i > 0 { ", " }
                        a href={ "#" (file) } { (file) }
                    } }
                }
            }
            (body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_where_it_may_be_replaced() {
        let body = section("a", "A & B", &["x.json"], &html! { p { "1 < 2" } });
        let text = |place| page("T", place, &body).into_string();
        let (own, named) = (text(Place::OfRun), text(Place::Anywhere));
        assert!(
            own.starts_with("<!DOCTYPE html><html lang=\"en\">")
                && !own.contains(WRITER)
                && named.contains(WRITER)
        );
        let set = "<main><section id=\"a\"><header><h2>A &amp; B</h2><p class=\"from\">from <a href=\"#x.json\">x.json</a></p></header><p>1 &lt; 2</p></section></main>";
        assert!(own.contains(set), "{own}");
        assert!(
            section("a", "A", &[], &body)
                .into_string()
                .starts_with("<section id=\"a\"><header><h2>A</h2></header>")
        );
    }
}
