//! The page: what stands where, and the sentences between the numbers.

use maud::{Markup, html};

use super::curves::figures;
use super::number::{duration, grouped, scientific, si, si_of, significant, with_margin};
use super::read::{Run, bits_margin, loss_margin};
use super::shell::{self, Place, section};
use super::{capability, explained, manifest, prediction, tables};
use crate::run_dir::{
    CAPABILITY, EXPLAINED, FORECAST, MANIFEST, METRICS, RECIPE, SAMPLES, SUMMARY, Sample, VERDICT, WATCH,
};

/// The whole page.
pub(super) fn page(run: &Run) -> Markup {
    let main = html! {
        (header(run))
        (tiles(run))
        @if let Some(sealed) = &run.sealed {
            (section("forecast", "Forecast", &[FORECAST, VERDICT, WATCH],
                &prediction::section(sealed, &run.metrics)))
            @if let Some(capability) = &sealed.capability {
                (section("capability", "Capability", &[FORECAST, CAPABILITY],
                    &capability::section(capability, sealed)))
            }
        }
        (section("curves", "Training", &[METRICS], &training(run)))
        (section("samples", "Samples", &[SAMPLES], &samples(run)))
        @if let Some(answers) = &run.explained {
            (section("pictures", "Pictures", &[EXPLAINED], &explained::section(answers)))
        }
        (section("data", "Data", &[MANIFEST, SUMMARY], &data(run)))
        (section("configuration", "Configuration", &[RECIPE, SUMMARY], &configuration(run)))
        (section("sources", "Sources", &[], &tables::sources(&run.sources)))
    };
    shell::page(&format!("{} · Maquette report", run.name), Place::OfRun, &main)
}

fn header(run: &Run) -> Markup {
    let summary = &run.summary.train;
    let (bits, margin) = with_margin(summary.validation.bits_per_byte, bits_margin(&summary.validation));
    html! {
        header.title {
            p.kicker { "Maquette · training report" }
            h1 { (run.name) }
            p.lede {
                "A transformer with " (si(summary.n_params as f64)) " parameters, trained on "
                (si(summary.tokens as f64)) " tokens in " (duration(summary.elapsed_s))
                ". It predicts held\u{2011}out text at " strong { (bits) } "\u{a0}±\u{a0}" (margin) " bits per byte."
            }
            @let facts = shape(run);
            @if !facts.is_empty() { p.shape { (facts.join(" · ")) } }
            nav {
                @if let Some(sealed) = &run.sealed {
                    a href="#forecast" { "Forecast" }
                    @if sealed.capability.is_some() { a href="#capability" { "Capability" } }
                }
                @for (id, name) in [("curves", "Training"), ("samples", "Samples")] {
                    a href={ "#" (id) } { (name) }
                }
                @if run.explained.is_some() { a href="#pictures" { "Pictures" } }
                @for (id, name) in [("data", "Data"), ("configuration", "Configuration"), ("sources", "Sources")] {
                    a href={ "#" (id) } { (name) }
                }
            }
        }
    }
}

/// The headline values of the recipe, those that it has.
fn shape(run: &Run) -> Vec<String> {
    let value = |table: &str, key: &str| Some(tables::plain(run.recipe.get(table)?.get(key)?));
    let fact = |table: &str, key: &str, name: &str| Some(format!("{name} {}", value(table, key)?));
    let count = |table: &str, key: &str, name: &str| Some(format!("{} {name}", value(table, key)?));
    let seed = run.recipe.get("seed").map(|seed| format!("seed {}", tables::plain(seed)));
    [
        count("model", "n_layers", "layers"),
        fact("model", "d_model", "width"),
        count("model", "n_heads", "heads"),
        fact("tokenizer", "vocab_size", "vocabulary"),
        fact("train", "seq_len", "context"),
        fact("train", "optimizer", "optimizer"),
        seed,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn tiles(run: &Run) -> Markup {
    let summary = &run.summary.train;
    let validation = &summary.validation;
    let (bits, bits_margin) = with_margin(validation.bits_per_byte, bits_margin(validation));
    let (loss, loss_margin) = with_margin(validation.loss_nats, loss_margin(validation));
    let tile = |name: &str, value: &str, note: &str| {
        html! { div.tile { dt { (name) } dd { (value) } dd.note { (note) } } }
    };
    html! {
        dl.tiles {
            div.tile.big {
                dt { "Validation, bits per byte" }
                dd { (bits) span.margin { " ± " (bits_margin) } }
                dd.note { "95 % interval, n = " (grouped(validation.n_bytes)) " bytes" }
            }
            div.tile.big {
                dt { "Validation loss, nats per token" }
                dd { (loss) span.margin { " ± " (loss_margin) } }
                dd.note {
                    "95 % interval, n = " (grouped(validation.n_tokens)) " tokens, standard error "
                    (significant(validation.loss_stderr, 2))
                }
            }
            (tile("Parameters", &si(summary.n_params as f64),
                &format!("{} in matrices", si(summary.n_matrix_params as f64))))
            (tile("Training tokens", &si(summary.tokens as f64),
                &format!("{} per parameter", significant(summary.tokens as f64 / summary.n_params as f64, 3))))
            (tile("Steps", &grouped(summary.steps),
                &format!("{} tokens each", grouped(summary.tokens / summary.steps.max(1)))))
            (tile("Compute", &scientific(summary.flops), "training FLOPs"))
            (tile("Time", &duration(summary.elapsed_s),
                &format!("{} sustained", si_of(summary.flops / summary.elapsed_s, "FLOP/s"))))
            (tile("Speed", &si(summary.tokens_per_second), "tokens per second"))
        }
        p.from.under-tiles { "from " a href={ "#" (SUMMARY) } { (SUMMARY) } }
    }
}

fn training(run: &Run) -> Markup {
    html! {
        @if run.metrics.steps.is_empty() {
            p.intro { "The record of the training was lost: there are no curves to draw." }
        } @else {
            div.plots { @for plot in figures(&run.metrics) { (plot.figure()) } }
        }
        (tables::events(&run.metrics))
        (tables::validations(&run.metrics.validations))
    }
}

fn data(run: &Run) -> Markup {
    manifest::data(&run.manifest, run.summary.train.tokens)
}

fn samples(run: &Run) -> Markup {
    let settings = |sample: &Sample| {
        format!(
            "temperature {} · top-p {} · seed {} · step {} · {} tokens",
            sample.temperature,
            sample.top_p,
            sample.seed,
            grouped(sample.step),
            grouped(sample.n_tokens as u64)
        )
    };
    html! {
        @if run.samples.is_empty() { p { "The run wrote no samples." } }
        @else {
            p.intro { "Unedited text from the finished model; the prompt is in " span.prompt { "coloured italics" } "." }
            div.samples {
                @for sample in &run.samples {
                    article.sample {
                        p dir="auto" { span.prompt { (visible(&sample.prompt)) } (visible(&sample.text)) }
                        footer { (settings(sample)) }
                    }
                }
            }
        }
    }
}

/// Without the control characters that a page cannot hold, or that turn the writing direction around. A line ends
/// alike whatever the training text was written on.
pub(super) fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace("\r\n", "\n").replace(is_hidden, "\u{fffd}")
}

fn configuration(run: &Run) -> Markup {
    let mut machine: Vec<(String, String)> =
        run.summary.machine.iter().map(|(key, value)| (key.clone(), tables::field(key, value))).collect();
    machine.push(("maquette_version".to_owned(), run.summary.maquette_version.clone()));
    html! {
        div.cards {
            @for (title, rows) in tables::recipe(&run.recipe) { (tables::card(&title, &rows)) }
            (tables::card("machine", &machine))
        }
    }
}
