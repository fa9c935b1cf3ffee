//! Losses of answers about pictures that were sealed beside the text's, and what the run came to.

use forecast::PartOutcome;
use maud::{Markup, html};

use super::number::{significant, with_margin};

/// A row for all answers and one for each kind of picture.
pub(super) fn section(outcomes: &[PartOutcome]) -> Markup {
    html! {
        h3 { "Answers about pictures" }
        p.intro {
            "Loss of the held-out answers in nats per token, forecast from the same small runs. The margin of what was measured is 95 %: "
            "other pictures would change it by so much."
        }
        div.scroll tabindex="0" role="region" aria-label="Answers about pictures" { table {
            thead { tr {
                th { "Answers" } th { "Forecast" } th { "80 % interval" } th { "Measured" } th { "Inside" }
            } }
            tbody {
                @for outcome in outcomes { tr {
                    td { (if outcome.name == "answers" { "all" } else { &outcome.name }) }
                    @if let Some(p) = outcome.predicted {
                        td { (significant(p.median, 4)) }
                        td { (significant(p.lo80, 4)) " to " (significant(p.hi80, 4)) }
                    } @else {
                        td colspan="2" { "none: " (outcome.refused.as_deref().unwrap_or("no reason given")) }
                    }
                    td { (measured(outcome)) }
                    td { @match outcome.inside.map(|inside| inside.i80) { Some(true) => "yes", Some(false) => "no", None => "" } }
                } }
            }
        } }
    }
}

fn measured(outcome: &PartOutcome) -> String {
    let (value, margin) = with_margin(outcome.actual, 1.96 * outcome.stderr);
    format!("{value} ± {margin}")
}
