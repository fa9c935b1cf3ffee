//! The names of the filters.

/// Of one value.
pub(crate) const SINGLE: [&str; 29] = [
    "abs",
    "attr",
    "capitalize",
    "center",
    "d",
    "default",
    "e",
    "escape",
    "float",
    "format",
    "indent",
    "int",
    "items",
    "lower",
    "replace",
    "reverse",
    "round",
    "safe",
    "string",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
    "wordcount",
    "tojson",
    "count",
    "length",
    "forceescape",
];
/// Of a list's items.
pub(crate) const SEQUENCE: [&str; 19] = [
    "batch",
    "dictsort",
    "first",
    "groupby",
    "join",
    "last",
    "list",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "select",
    "selectattr",
    "slice",
    "sort",
    "sum",
    "unique",
    "items",
];
/// Those of Jinja2 that no chat template needs.
pub(crate) const REFUSED: [&str; 8] =
    ["filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr", "mark_unsafe"];

/// Whether Jinja2 has the filter.
pub(crate) fn is_known(name: &str) -> bool {
    SINGLE.contains(&name) || SEQUENCE.contains(&name) || REFUSED[..7].contains(&name)
}
