use std::io::Write as _;

use serde_json::json;

use super::*;

#[test]
fn rows_are_the_same_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let lines = "\u{feff}{\"q\": \"a, \\\"b\\\"\", \"n\": \"1\"}\n\n{\"q\": \"ü\", \"n\": \"2\"}";
    std::fs::write(path("a.jsonl"), lines).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(lines.as_bytes()).unwrap();
    std::fs::write(path("a.jsonl.gz"), packed.finish().unwrap()).unwrap();
    std::fs::write(path("a.csv"), "q,n\r\n\"a, \"\"b\"\"\",1\r\nü,2\r\n").unwrap();
    std::fs::write(path("a.tsv"), "q\tn\n\"a, \"\"b\"\"\"\t1\nü\t2\n").unwrap();
    let fields = |name: &str| -> Vec<Value> {
        rows(&path(name)).unwrap().into_iter().map(|row| Value::Object(row.fields)).collect()
    };
    let expected = [json!({"q": "a, \"b\"", "n": "1"}), json!({"q": "ü", "n": "2"})];
    for name in ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv"] {
        assert_eq!(fields(name), expected, "{name}");
    }
    assert_eq!(rows(&path("a.jsonl")).unwrap()[1].line, 3);
}

#[test]
fn lists_and_groups_of_parquet_become_json() {
    use parquet::{
        data_type::{ByteArrayType, Int64Type},
        file::writer::SerializedFileWriter,
        schema::parser::parse_message_type,
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let schema = "message m { required binary question (UTF8); required group choices { \
        required group text (LIST) { repeated group list { required binary element (UTF8); } } } \
        required int64 answer; }";
    let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&["p".into(), "q".into()], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts = ["a", "b", "c"].map(Into::into);
    column.typed::<ByteArrayType>().write_batch(&texts, Some(&[1, 1, 1]), Some(&[0, 1, 0])).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 0], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let found: Vec<Value> = rows(&path).unwrap().into_iter().map(|row| Value::Object(row.fields)).collect();
    let expected = [
        json!({"question": "p", "choices": {"text": ["a", "b"]}, "answer": 1}),
        json!({"question": "q", "choices": {"text": ["c"]}, "answer": 0}),
    ];
    assert_eq!(found, expected);
    let bytes = std::fs::read(&path).unwrap();
    for n in 0..bytes.len() {
        std::fs::write(&path, &bytes[..n]).unwrap();
        assert!(rows(&path).is_err(), "cut at {n}");
    }
}

#[test]
fn a_bad_row_is_named_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("a.jsonl"), "{\"q\": 1}\n[1]\n").unwrap();
    std::fs::write(path("a.csv"), "q,n\n1,2\n3\n").unwrap();
    std::fs::write(path("a.json"), "[]").unwrap();
    for (name, place) in [("a.jsonl", "a.jsonl:2`"), ("a.csv", "a.csv:3`"), ("a.json", "a.json`")] {
        let message = rows(&path(name)).unwrap_err().to_string();
        assert!(message.contains(place) && message.contains("\nhint: "), "{message}");
    }
}
