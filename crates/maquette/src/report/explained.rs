//! Answers about pictures with maps of what they depend on: of a run, and as a page of their own.

use eval::attribution::{Attribution, DeletionDrop};
use maud::{Markup, html};

use super::{
    number::significant,
    page::visible,
    shell::{self, Place},
};
use crate::run_dir::{ExplainedAnswer, ExplainedPicture};

/// What the colours mean; it stands above the maps.
fn legend() -> Markup {
    html! {
        p.intro {
            "Each map is of the patches in which the model reads the picture. " span.speaks-for { "Red" }
            " patches speak for the answer, " span.speaks-against { "blue" }
            " ones against it: what its log-probability would lose if the patch were hidden, by its gradient \
             (gradient × input), and what it does lose (occlusion)."
        }
    }
}

/// The answers of a run.
pub(super) fn section(answers: &[ExplainedAnswer]) -> Markup {
    html! {
        @if answers.is_empty() {
            p { "The run has no held-out question about a picture that the model answered." }
        } @else {
            (legend())
            div.explained { @for answer in answers { (article(answer)) } }
        }
    }
}

/// A page of one answer.
pub(crate) fn render_explained(answer: &ExplainedAnswer) -> String {
    let main = html! {
        header.title {
            p.kicker { "Maquette · explanation" }
            h1 { (visible(&answer.prediction)) }
            p.lede { (visible(&answer.question)) }
        }
        (shell::section("maps", "Maps", &[], &html! { (legend()) div.explained { (article(answer)) } }))
        (shell::section("numbers", "Numbers", &[], &numbers(&answer.attribution)))
    };
    shell::page("What an answer depends on · Maquette", Place::Anywhere, &main).into_string()
}

fn article(answer: &ExplainedAnswer) -> Markup {
    let n_patches = answer.attribution.occlusion_nats.len();
    html! {
        article.sample {
            @for picture in &answer.pictures { (maps(picture)) }
            dl.asked {
                div { dt { "Question" } dd { (visible(&answer.question)) } }
                div { dt { "Answer" } dd { (visible(&answer.prediction))
                    @if let Some(score) = answer.score {
                        " " (verdict(score))
                    }
                } }
                @if !answer.answers.is_empty() {
                    div { dt { "Truth" } dd { (visible(&answer.answers.join(" · "))) } }
                }
            }
            footer {
                @if !answer.kind.is_empty() { (answer.kind) " · " }
                "ln p " (significant(answer.attribution.log_prob_nats, 3)) " · " (agreement(&answer.attribution)) " · hiding "
                (answer.attribution.deletion.n_hidden) " of " (n_patches) " patches costs "
                (above(&answer.attribution.deletion.by_gradient_input))
            }
        }
    }
}

fn verdict(score: f64) -> Markup {
    match score {
        1.0 => html! { span.right { "right" } },
        0.0 => html! { span.wrong { "wrong" } },
        score => html! { span.wrong { "score " (significant(score, 2)) } },
    }
}

fn maps(picture: &ExplainedPicture) -> Markup {
    let ExplainedPicture { picture, gradient_input, occlusion } = picture;
    html! {
        div.maps { @for (png, name) in [(picture, "picture"), (gradient_input, "gradient × input"), (occlusion, "occlusion")] {
            figure { img src={ "data:image/png;base64," (png) } alt=(name); figcaption { (name) } }
        } }
    }
}

fn agreement(attribution: &Attribution) -> String {
    match attribution.rank_correlation {
        Some(rank) => format!("rank correlation {rank:.2}"),
        None => "no rank correlation: a map is the same everywhere".to_owned(),
    }
}

fn above(drop: &DeletionDrop) -> String {
    let DeletionDrop { above_random_nats, lo95, hi95, .. } = drop;
    let [mean, lo, hi] = [above_random_nats, lo95, hi95].map(|nats| significant(*nats, 3));
    format!("{mean} nats more than hiding random ones (95 %: {lo} to {hi})")
}

/// The test of both maps, and the strongest patches.
fn numbers(attribution: &Attribution) -> Markup {
    let deletion = &attribution.deletion;
    let nats = |nats: f64| significant(nats, 3);
    let rows = [("gradient × input", &deletion.by_gradient_input), ("occlusion", &deletion.by_occlusion)];
    html! {
        p.intro {
            "The answer has a log-probability of " (nats(attribution.log_prob_nats)) " nats. The two maps: "
            (agreement(attribution)) ". Below: what it loses when the first " (deletion.n_hidden) " of "
            (attribution.occlusion_nats.len()) " patches of a map are hidden together, and "
            (deletion.n_draws) " random sets of as many."
        }
        div.scroll tabindex="0" role="region" aria-label="Hidden patches" { table {
            thead { tr {
                th { "Hidden" } th.n { "Loss, nats" } th.n { "Above random, nats" } th.n { "95 % interval" }
                th.n { "Random sets that cost less" }
            } }
            tbody {
                @for (name, drop) in rows { tr {
                    td { "first by " (name) } td.n { (nats(drop.nats)) } td.n { (nats(drop.above_random_nats)) }
                    td.n { (nats(drop.lo95)) " to " (nats(drop.hi95)) }
                    td.n { (significant(100.0 * drop.above_share, 3)) " %" }
                } }
                tr {
                    td { "at random" } td.n { (nats(deletion.random_nats)) } td.n { "–" }
                    td.n { (nats(deletion.random_lo95)) " to " (nats(deletion.random_hi95)) } td.n { "–" }
                }
            }
        } }
    }
}
