//! The data of the run: what was read, what was left out, and what became of it.

use std::collections::HashMap;

use data::{Dropped, FileEntry, Manifest, ShardEntry, Split};
use maud::{Markup, html};

use super::number::{bytes, grouped, significant};

/// Files that have a row of their own; more are counted together in one row.
const MAX_FILES: usize = 200;

/// Sources, files and shards. `tokens_read` is what the training took from them.
pub(super) fn data(manifest: &Manifest, tokens_read: u64) -> Markup {
    html! {
        p.intro { (overview(manifest, tokens_read)) }
        @if manifest.sources.len() > 1 { h3 { "Mixture" } (mixture(manifest)) }
        h3 { "Files" }
        (files(manifest))
        h3 { "Token shards" }
        (shards(manifest))
    }
}

fn overview(manifest: &Manifest, tokens_read: u64) -> String {
    let n_tokens = |value: fn(&FileEntry) -> u64| manifest.files.iter().map(value).sum::<u64>();
    let (train, held_out) = (n_tokens(|file| file.train_tokens), n_tokens(|file| file.validation_tokens));
    let share = tokens_read as f64 / train.max(1) as f64;
    let read = if share < 1.0 {
        format!("{}\u{a0}% of the training tokens", significant(100.0 * share, 3))
    } else {
        format!("the training tokens {} times", significant(share, 3))
    };
    let dropped = match in_words(&manifest.dropped()) {
        None => "No document was changed or dropped.".to_owned(),
        Some(words) => format!("Documents changed or dropped: {words}."),
    };
    let skipped = manifest.skipped().notice(manifest.files.iter().map(|file| file.documents).sum());
    format!(
        "{} training tokens, {} held out. The training read {read}. {dropped}{}",
        grouped(train),
        grouped(held_out),
        skipped.map_or_else(String::new, |notice| format!(" {notice}."))
    )
}

/// What was not kept as it was, and why; `None` if nothing.
fn in_words(dropped: &Dropped) -> Option<String> {
    let Dropped { too_short, duplicate, invalid_utf8, replaced_utf8 } = *dropped;
    let reasons = [
        (too_short, "too short"),
        (duplicate, "repeated"),
        (invalid_utf8, "not UTF-8"),
        (replaced_utf8, "kept with bad bytes replaced"),
    ];
    let words = reasons.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{} {why}", grouped(*n)));
    Some(words.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty())
}

fn mixture(manifest: &Manifest) -> Markup {
    let total: f64 = manifest.sources.iter().map(|source| source.weight).sum();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Sources of the mixture" { table {
            thead { tr {
                th { "Source" } th { "Licence" } th.n { "Share of the training" } th.n { "Files" }
                th.n { "Training tokens" }
            } }
            tbody { @for source in &manifest.sources {
                @let of = || manifest.files.iter().filter(|file| file.source == source.name);
                tr {
                    td.path title=(source.path) { (source.name) }
                    td.wrap { (source.licence.as_deref().unwrap_or("–")) }
                    td.n { (significant(100.0 * source.weight / total, 3)) "\u{a0}%" }
                    td.n { (grouped(of().count() as u64)) }
                    td.n { (count(of().map(|file| file.train_tokens).sum())) }
                }
            } }
        } }
    }
}

fn files(manifest: &Manifest) -> Markup {
    let files = &manifest.files;
    let has_licence = files.iter().any(|file| file.licence.is_some());
    let has_dropped = manifest.dropped() != Dropped::default();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let names = short_names(&paths);
    let (listed, others) = files.split_at(files.len().min(MAX_FILES));
    let sums = |name: &str, of: &[FileEntry]| {
        let sum = |value: fn(&FileEntry) -> u64| of.iter().map(value).sum::<u64>();
        html! { tr {
            th { (name) " " (grouped(of.len() as u64)) @if of.len() == 1 { " file" } @else { " files" } }
            td.n { (count(sum(|file| file.documents))) }
            td.n { (count(sum(|file| file.train_tokens))) }
            td.n { (count(sum(|file| file.validation_tokens))) }
            td.n { (bytes(sum(|file| file.bytes))) }
            @if has_licence { td {} }
            @if has_dropped { td {} }
            td {}
        } }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Files of the data" { table {
            thead { tr {
                th { "File" } th.n { "Documents" } th.n { "Training tokens" } th.n { "Held-out tokens" }
                th.n { "Size" }
                @if has_licence { th { "Licence" } }
                @if has_dropped { th { "Filter" } }
                th { "SHA-256" }
            } }
            tbody { @for (file, name) in listed.iter().zip(names) { tr {
                td.path title=(file.path) { (name) }
                td.n { (count(file.documents)) }
                td.n { (count(file.train_tokens)) } td.n { (count(file.validation_tokens)) }
                td.n { (bytes(file.bytes)) }
                @if has_licence { td.wrap { (file.licence.as_deref().unwrap_or("–")) } }
                @if has_dropped { td.wrap { (in_words(&file.dropped).unwrap_or_default()) } }
                td.hash title=(file.sha256) { (file.sha256.chars().take(12).collect::<String>()) }
            } } }
            tfoot {
                @if !others.is_empty() { (sums("and", others)) }
                (sums("Total of", files))
            }
        } }
    }
}

fn shards(manifest: &Manifest) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Token shards" { table {
            thead { tr {
                th { "Split" } th.n { "Shards" } th.n { "Documents" } th.n { "Tokens" } th.n { "Text" }
                th.n { "Bytes per token" }
            } }
            tbody { @for (split, name) in [(Split::Train, "training"), (Split::Validation, "held out")] {
                @let sum = |value: fn(&ShardEntry) -> u64| manifest.shards_of(split).map(value).sum::<u64>();
                @let (n_tokens, n_bytes) = (sum(|shard| shard.tokens), sum(|shard| shard.text_bytes));
                @if n_tokens > 0 { tr {
                    td { (name) }
                    td.n { (grouped(manifest.shards_of(split).count() as u64)) }
                    td.n { (grouped(sum(|shard| shard.documents))) }
                    td.n { (grouped(n_tokens)) }
                    td.n { (bytes(n_bytes)) }
                    td.n { (significant(n_bytes as f64 / n_tokens as f64, 3)) }
                } }
            } }
        } }
    }
}

fn count(n: u64) -> String {
    if n == 0 { "–".to_owned() } else { grouped(n) }
}

/// The shortest end of each path, in whole components, that no other path has.
fn short_names<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let end = |path: &'a str, n_components: usize| {
        path.rmatch_indices(['/', '\\']).nth(n_components - 1).map_or(path, |(i, _)| &path[i + 1..])
    };
    let mut names: Vec<&str> = paths.iter().map(|path| end(path, 1)).collect();
    for n_components in 2.. {
        let mut n_of_name: HashMap<&str, usize> = HashMap::new();
        for name in &names {
            *n_of_name.entry(name).or_default() += 1;
        }
        let mut is_done = true;
        for (name, path) in names.iter_mut().zip(paths) {
            // Equal paths stay equal at full length.
            if n_of_name[*name] > 1 && name.len() < path.len() {
                *name = end(path, n_components);
                is_done = false;
            }
        }
        if is_done {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_names(paths: &[&str], want: &[&str]) {
        assert_eq!(short_names(paths), want);
    }

    #[test]
    fn a_name_is_as_short_as_it_can_be() {
        check_names(&["x/y/a.txt", "x/y/b.txt"], &["a.txt", "b.txt"]);
        check_names(&["x/en/a.txt", "x/de/a.txt", "x/b.txt"], &["en/a.txt", "de/a.txt", "b.txt"]);
        check_names(&["1/en/a.txt", "2/en/a.txt", "a.txt"], &["1/en/a.txt", "2/en/a.txt", "a.txt"]);
        check_names(&["x/a.txt", "x/a.txt"], &["x/a.txt", "x/a.txt"]);
        check_names(&["C:\\texts\\a.txt", "", "/"], &["a.txt", "", "/"]);
    }

    #[test]
    fn what_was_dropped_is_said_in_words() {
        assert_eq!(in_words(&Dropped::default()), None);
        let dropped = Dropped { too_short: 1200, duplicate: 0, invalid_utf8: 1, replaced_utf8: 3 };
        let want = "1,200 too short, 1 not UTF-8, 3 kept with bad bytes replaced";
        assert_eq!(in_words(&dropped).as_deref(), Some(want));
    }

    #[test]
    fn many_files_are_counted_together() {
        let file = |i: u64| FileEntry {
            path: format!("many/{i}.txt"),
            source: "many".into(),
            split: vec![Split::Train],
            bytes: 10,
            sha256: String::new(),
            licence: None,
            documents: 1,
            train_tokens: 5,
            validation_tokens: 0,
            dropped: Dropped::default(),
            special_names: 0,
            skipped: data::Skipped::default(),
            notes: Vec::new(),
        };
        let manifest = Manifest { files: (0..1000).map(file).collect(), ..Manifest::default() };
        let page = data(&manifest, 15_000).into_string();
        for figure in ["and 800 files", "Total of 1,000 files", "5,000 training tokens", "3.00 times."] {
            assert!(page.contains(figure), "`{figure}` is missing");
        }
        assert!(page.contains(">199.txt<") && !page.contains(">200.txt<"));
    }
}
