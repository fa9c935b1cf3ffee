//! The tables of the page: data, configuration, events, validations, sources.

use maud::{Markup, html};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::number::{bytes, grouped, scientific, si, significant, with_margin};
use super::read::{Entry, Metrics, Source, Validation};

/// Where the data came from, what became of it, and the totals of each split.
pub(super) fn data(manifest: &[Entry]) -> Markup {
    let of_kind = |kind: &str| manifest.iter().filter(|entry| entry.kind == kind).collect::<Vec<_>>();
    let (sources, shards) = (of_kind("source"), of_kind("shard"));
    let others: Vec<&Entry> = manifest.iter().filter(|e| e.kind != "source" && e.kind != "shard").collect();
    html! {
        @if manifest.is_empty() { p { "The manifest is empty." } }
        @if !sources.is_empty() { h3 { "Sources" } (entries(&sources)) }
        @if !shards.is_empty() { h3 { "Token shards" } (entries(&shards)) }
        @if !others.is_empty() { h3 { "Other files" } (entries(&others)) }
    }
}

fn entries(entries: &[&Entry]) -> Markup {
    let mut more: Vec<&String> = entries.iter().flat_map(|entry| entry.more.keys()).collect();
    more.sort();
    more.dedup();
    let has_dropped = entries.iter().any(|entry| entry.dropped.is_some());
    let has_licence = entries.iter().any(|entry| entry.licence.is_some());
    let has_split = entries.iter().any(|entry| entry.split.is_some());
    let mut splits: Vec<Option<&str>> = entries.iter().map(|entry| entry.split.as_deref()).collect();
    splits.sort();
    splits.dedup();
    let count = |n: Option<u64>| n.map_or_else(|| "–".to_owned(), grouped);
    let size = |n: Option<u64>| n.map_or_else(|| "–".to_owned(), bytes);
    let total = |of: &[&&Entry], value: fn(&Entry) -> Option<u64>| {
        of.iter().filter_map(|entry| value(entry)).reduce(|a, b| a.saturating_add(b))
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Files of the data" { table {
            thead { tr {
                th { "Path" }
                @if has_licence { th { "Licence" } }
                @if has_split { th { "Split" } }
                th.n { "Documents" } th.n { "Size" } th.n { "Tokens" }
                @if has_dropped { th { "Dropped" } }
                @for key in &more { th { (key) } }
                th { "SHA-256" }
            } }
            tbody { @for entry in entries { tr {
                td.path { (entry.path) }
                @if has_licence { td.wrap { (entry.licence.as_deref().unwrap_or("–")) } }
                @if has_split { td { (entry.split.as_deref().unwrap_or("–")) } }
                td.n { (count(entry.documents)) } td.n { (size(entry.bytes)) } td.n { (count(entry.tokens)) }
                @if has_dropped { td.wrap {
                    @let dropped = entry.dropped.iter().flatten();
                    @for (i, (reason, n)) in dropped.enumerate() {
                        @if i > 0 { ", " }
                        (reason) "\u{a0}" (field(reason, n))
                    }
                } }
                @for key in &more { td { (entry.more.get(*key).map(|v| field(key, v)).unwrap_or_default()) } }
                td.hash title=[entry.sha256.as_deref()] {
                    (entry.sha256.as_deref().map_or_else(|| "–".to_owned(), |hash| hash.chars().take(12).collect()))
                }
            } } }
            tfoot { @for split in splits {
                @let of: Vec<&&Entry> = entries.iter().filter(|e| e.split.as_deref() == split).collect();
                tr {
                    th { "Total of " (of.len()) @if of.len() == 1 { " file" } @else { " files" } }
                    @if has_licence { td {} }
                    @if has_split { td { (split.unwrap_or("–")) } }
                    td.n { (count(total(&of, |e| e.documents))) }
                    td.n { (size(total(&of, |e| e.bytes))) }
                    td.n { (count(total(&of, |e| e.tokens))) }
                    @if has_dropped { td {} }
                    @for _ in &more { td {} }
                    td {}
                }
            } }
        } }
    }
}

/// Spikes and resumptions, or the statement that there were none.
pub(super) fn events(metrics: &Metrics) -> Markup {
    let first = metrics.train.first().map_or(0, |line| line.step);
    let last = metrics.train.last().map_or(0, |line| line.step);
    html! {
        h3 { "Events" }
        @if metrics.spikes.is_empty() && metrics.resumed.is_empty() {
            p.intro { "No spike of the loss and no interruption from step " (grouped(first)) " to step "
                (grouped(last)) "." }
        } @else {
            ul.events {
                @for spike in &metrics.spikes { li {
                    strong { "Spike" } " at step " (grouped(spike.step)) ": loss " (significant(spike.loss_nats, 4))
                    " nats, " (significant(spike.z, 2)) " standard deviations above its neighbours"
                    @for (key, value) in &spike.more { ", " (key) " " (field(key, value)) }
                } }
                @for step in &metrics.resumed { li {
                    strong { "Resumed" } " at step " (grouped(*step)) " after an interruption"
                } }
            }
        }
    }
}

/// Every validation of the run.
pub(super) fn validation(validations: &[Validation]) -> Markup {
    html! {
        @if !validations.is_empty() {
            h3 { "Validation" }
            div.scroll tabindex="0" role="region" aria-label="Validations" { table {
                thead { tr {
                    th.n { "Step" } th.n { "Training tokens" } th.n { "FLOPs" } th.n { "Nats per token, 95 %" }
                    th.n { "Bits per byte, 95 %" } th.n { "n, tokens" } th.n { "n, bytes" }
                } }
                tbody { @for line in validations {
                    @let score = &line.score;
                    @let loss = with_margin(score.loss_nats, score.loss_margin());
                    @let bits = with_margin(score.bits_per_byte, score.bits_margin());
                    tr {
                        td.n { (grouped(line.step)) } td.n { (si(line.tokens as f64)) } td.n { (scientific(line.flops)) }
                        td.n { (loss.0) " ± " (loss.1) } td.n { (bits.0) " ± " (bits.1) }
                        td.n { (grouped(score.n_tokens)) } td.n { (grouped(score.n_bytes)) }
                    }
                } }
            } }
        }
    }
}

/// The files that the page was built from.
pub(super) fn sources(sources: &[Source]) -> Markup {
    html! {
        p.intro { "Every number on this page comes from these files, or is computed from them." }
        div.scroll tabindex="0" role="region" aria-label="Files of this page" { table {
            thead { tr { th { "File" } th.n { "Bytes" } th { "XXH3, 64 bits" } th { "Note" } } }
            tbody { @for source in sources { tr id=(source.path) {
                td.path { (source.path) }
                td.n { (grouped(source.n_bytes as u64)) }
                td.hash { (format!("{:016x}", source.xxh3)) }
                td { @if source.is_cut { "the last line was cut short and is left out" } }
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
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
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
            dl { @for (key, value) in rows { div { dt { (key) } dd { (value) } } } }
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
