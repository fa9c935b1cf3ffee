//! Rows of the page: events, validations, sources, configuration.

use maud::{Markup, html};
use serde_json::Value as Json;
use toml::{Table, Value};
use train::{ParamStalled, RowsRepeated, Spiked, StalledDetector, Validated};

use super::number::{bytes, grouped, scientific, si, significant, with_margin};
use super::read::{Metrics, Source, bits_margin, loss_margin};

/// Spikes that are listed; of more only the furthest.
const MAX_SPIKES: usize = 12;

/// Spikes, repeated data, parameters that stalled, lost records and resumptions, or the statement that there were none.
pub(super) fn events(metrics: &Metrics) -> Markup {
    let first = metrics.steps.first().map_or(0, |line| line.step);
    let last = metrics.steps.last().map_or(0, |line| line.step);
    let mut listed: Vec<&Spiked> = metrics.spikes.iter().collect();
    listed.sort_by(|a, b| b.spike.z.total_cmp(&a.spike.z));
    listed.truncate(MAX_SPIKES);
    listed.sort_by_key(|spiked| spiked.step);
    html! {
        h3 { "Events" }
        @if metrics.is_uneventful() {
            p.intro { "No spike of the loss or the gradient and no interruption from step " (grouped(first))
                " to step " (grouped(last)) "." }
        }
        @if listed.len() < metrics.spikes.len() {
            p.intro { (grouped(metrics.spikes.len() as u64)) " spikes, of which the " (listed.len())
                " largest are listed." }
        }
        ul.events {
            @for Spiked { step, of, spike } in listed { li {
                strong { "Spike" } " at step " (grouped(*step)) ": " (quantity(of)) " " (significant(spike.value, 4))
                ", " (significant(spike.z, 3)) " standard deviations above its running mean of "
                (significant(spike.mean, 4))
            } }
            @for RowsRepeated { step, share } in &metrics.repeated { li {
                strong { "Repeated data" } " at step " (grouped(*step)) ": " (significant(100.0 * share, 2))
                " % of the last rows were trained on before"
            } }
            @for ParamStalled { step, param } in &metrics.stalled { li {
                strong { "Stalled" } " at step " (grouped(*step)) ": " code { (param) } " has not changed for "
                (StalledDetector::PATIENCE) " steps"
            } }
            @for step in &metrics.lost { li {
                strong { "Lost record" } ": what was written down up to step " (grouped(*step))
                " was lost in part: the curves have a gap, the model is complete"
            } }
            @for step in &metrics.resumed { li {
                strong { "Resumed" } " after step " (grouped(*step)) ", from its checkpoint"
            } }
        }
    }
}

/// What a spike is of, in words.
fn quantity(of: &str) -> &str {
    match of {
        "loss_nats" => "loss in nats",
        "grad_norm" => "gradient norm",
        other => other,
    }
}

/// Every validation of the run.
pub(super) fn validations(validations: &[Validated]) -> Markup {
    html! {
        @if !validations.is_empty() {
            h3 { "Validation" }
            @if validations.windows(2).any(|pair| pair[0].validation.n_tokens != pair[1].validation.n_tokens) {
                p.intro { "They were not all measured on the same amount of text: see n." }
            }
            div.scroll tabindex="0" role="region" aria-label="Validations" { table {
                thead { tr {
                    th.n { "Step" } th.n { "Bits per byte, 95 %" } th.n { "Nats per token, 95 %" }
                    th.n { "n, tokens" } th.n { "n, bytes" } th.n { "Training tokens" } th.n { "FLOPs" }
                } }
                tbody { @for Validated { step, tokens, flops, validation } in validations {
                    @let loss = with_margin(validation.loss_nats, loss_margin(validation));
                    @let bits = with_margin(validation.bits_per_byte, bits_margin(validation));
                    tr {
                        td.n { (grouped(*step)) } td.n { (bits.0) " ± " (bits.1) } td.n { (loss.0) " ± " (loss.1) }
                        td.n { (grouped(validation.n_tokens)) } td.n { (grouped(validation.n_bytes)) }
                        td.n { (si(*tokens as f64)) } td.n { (scientific(*flops)) }
                    }
                } }
            } }
        }
    }
}

/// The files that the page was built from.
pub(super) fn sources(sources: &[Source]) -> Markup {
    let has_note = sources.iter().any(|source| source.is_cut);
    html! {
        p.intro { "Every number on this page comes from these files, or is computed from them." }
        div.scroll tabindex="0" role="region" aria-label="Files of this page" { table {
            thead { tr { th { "File" } th.n { "Bytes" } th { "XXH3, 64 bits" } @if has_note { th { "Note" } } } }
            tbody { @for source in sources { tr id=(source.path) {
                td.path { (source.path) }
                td.n { (grouped(source.n_bytes as u64)) }
                td.hash { (format!("{:016x}", source.xxh3)) }
                @if has_note { td { @if source.is_cut { "the last line is incomplete and was left out" } } }
            } } }
        } }
    }
}

/// The recipe as groups of rows: its own values first, then one group a table.
pub(super) fn recipe(recipe: &Table) -> Vec<(String, Vec<(String, String)>)> {
    let (mut own, mut groups) = (Vec::new(), Vec::new());
    for (key, value) in recipe {
        if let Value::Table(table) = value {
            let mut rows = Vec::new();
            flatten("", table, &mut rows);
            groups.push((key.clone(), rows));
        } else {
            push_value(key, value, &mut own);
        }
    }
    if !own.is_empty() {
        groups.insert(0, ("recipe".to_owned(), own));
    }
    groups
}

fn flatten(prefix: &str, table: &Table, rows: &mut Vec<(String, String)>) {
    for (key, value) in table {
        push_value(&format!("{prefix}{key}"), value, rows);
    }
}

fn push_value(key: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Table(table) => flatten(&format!("{key}."), table, rows),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (item, i) in items.iter().zip(0..) {
                push_value(&format!("{key}[{i}]"), item, rows);
            }
        }
        _ => rows.push((key.to_owned(), plain(value))),
    }
}

/// A value of the recipe as a reader would write it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            // Sentences have commas of their own.
            items.join(if items.iter().any(|item| item.contains(' ')) { "\n" } else { ", " })
        }
        // Shortest digits that give the number back; `1e-8` rather than its nine decimals.
        Value::Float(x) if *x != 0.0 && !(1e-4..1e7).contains(&x.abs()) => format!("{x:e}"),
        _ => value.to_string(),
    }
}

/// A group of rows under its title.
pub(super) fn card(title: &str, rows: &[(String, String)]) -> Markup {
    html! {
        div.card {
            h3 { (title) }
            dl { @for (key, value) in rows { div {
                dt { @for part in key.split_inclusive(['.', '_']) { (part) wbr; } }
                dd { (value) }
            } } }
        }
    }
}

/// A value of a JSON object, by the unit that ends its name where there is one.
pub(super) fn field(key: &str, value: &Json) -> String {
    match value {
        Json::Number(number) if key == "bytes" || key.ends_with("_bytes") => {
            number.as_u64().map_or_else(|| number.to_string(), bytes)
        }
        Json::Number(number) => {
            number.as_u64().filter(|_| !key.contains("seed")).map_or_else(|| number.to_string(), grouped)
        }
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(|item| field("", item)).collect::<Vec<_>>().join(", "),
        Json::Object(items) => {
            let item = |(key, value): (&String, &Json)| format!("{key} {}", field(key, value));
            items.iter().map(item).collect::<Vec<_>>().join(", ")
        }
        Json::Null => "–".to_owned(),
        Json::Bool(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_flat_within_its_tables() {
        let text = r#"
            name = "n"
            [samples]
            prompts = ["Yes, said he", ""]
            sampling = { top_p = 1.0 }
            [[data.sources]]
            path = "a"
            columns = ["x", "y"]
            [train]
            adam_eps = 1e-10
        "#;
        let rows = |(title, rows): (String, Vec<(String, String)>)| {
            rows.into_iter().map(move |(key, value)| format!("{title}: {key} = {value:?}"))
        };
        let got: Vec<String> = recipe(&toml::from_str(text).unwrap()).into_iter().flat_map(rows).collect();
        let want = [
            r#"recipe: name = "n""#,
            r#"samples: prompts = "Yes, said he\n\"\"""#,
            r#"samples: sampling.top_p = "1.0""#,
            r#"data: sources[0].path = "a""#,
            r#"data: sources[0].columns = "x, y""#,
            r#"train: adam_eps = "1e-10""#,
        ];
        assert_eq!(got, want);
    }
}
