//! Questions that are made instead of read: the same for a given version of the task.

mod hindsight;
mod steering;

use data::Row;

/// A name, and what makes its rows.
type Maker = (&'static str, fn() -> Vec<Row>);

/// What can be made.
const MAKERS: [Maker; 3] = [
    ("hindsight_neglect", hindsight::rows),
    ("steering_obeyed", steering::obeyed),
    ("steering_resisted", steering::resisted),
];

/// The rows of a name, if it is one.
pub(super) fn rows(name: &str) -> Option<Vec<Row>> {
    MAKERS.iter().find(|(own, _)| *own == name).map(|(_, make)| make())
}

fn row(i: usize, fields: serde_json::Value) -> Row {
    let fields = match fields {
        serde_json::Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    Row { line: i + 1, fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_the_same_each_time_and_no_two_are_alike() {
        for (name, make) in MAKERS {
            let (first, again) = (make(), make());
            let texts = |rows: &[Row]| -> Vec<String> {
                rows.iter().map(|row| serde_json::Value::Object(row.fields.clone()).to_string()).collect()
            };
            assert_eq!(texts(&first), texts(&again), "{name}");
            let mut all = texts(&first);
            let n = all.len();
            all.sort();
            all.dedup();
            assert!(all.len() == n && n >= 90, "{name}: {} of {n}", all.len());
        }
        assert!(rows("other").is_none());
    }
}
