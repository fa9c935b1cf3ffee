//! The same two documents in every form, and rows that are broken.

use std::sync::Arc;

use ::parquet::{
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::*;

fn picture(colour: [u8; 3]) -> RgbImage {
    RgbImage::filled(3, 2, colour)
}

const RED: [u8; 3] = [200, 0, 0];
const BLUE: [u8; 3] = [0, 0, 200];

fn read(path: &Path) -> (Vec<Vec<Part>>, Skipped) {
    let limits = ImageLimits::default();
    let mut documents = Documents::new(open(path, limits).unwrap(), limits, Background::WHITE);
    let parts = documents.by_ref().map(|document| document.parts).collect();
    (parts, documents.skipped().clone())
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

#[test]
fn json_lines_place_pictures_where_the_text_has_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("red.png"), picture(RED).to_png()).unwrap();
    std::fs::write(folder.path().join("blue.png"), picture(BLUE).to_png()).unwrap();
    std::fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\nno").unwrap();
    let path = folder.path().join("rows.jsonl");
    let lines = [
        r#"{"text": "First <image> then <image>.", "images": ["red.png", {"path": "blue.png"}]}"#,
        r#"{"text": "A broken one: <image>", "images": ["broken.png"]}"#,
        r#"{"text": "In front.", "image": "red.png"}"#,
        r#"{"text": "None there: <image>", "images": ["green.png"]}"#,
        "",
        r#"{"text": "Two <image> and <image>", "images": ["red.png"]}"#,
        r#"{"texts": ["Hello.", null, "Bye."], "images": [null, "blue.png", null]}"#,
        r#"{"text": "#,
        r#"{"text": "Only text."}"#,
    ];
    std::fs::write(&path, lines.join("\n")).unwrap();
    let (documents, skipped) = read(&path);
    let (red, blue) = (Part::Image(picture(RED)), Part::Image(picture(BLUE)));
    let expected = [
        vec![text("First "), red.clone(), text(" then "), blue.clone(), text(".")],
        vec![red, text("In front.")],
        vec![text("Hello."), blue, text("Bye.")],
        vec![text("Only text.")],
    ];
    assert_eq!(documents, expected);
    assert_eq!(documents[0].iter().map(Part::has_loss).collect::<Vec<_>>(), [true, false, true, false, true]);
    assert_eq!(skipped.n_errors, 4);
    let kinds: Vec<(&str, u64)> = skipped.kinds.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
    assert_eq!(kinds, [("malformed", 1), ("picture damaged", 1), ("picture missing", 2)]);
    assert!(skipped.examples[0].contains("rows.jsonl:line 2`, found"), "{:?}", skipped.examples);
    assert!(skipped.examples[1].contains("`green.png`"), "{:?}", skipped.examples);
}

#[test]
fn folders_and_archives_pair_pictures_with_captions() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir_all(pictures.join("b")).unwrap();
    let long = format!("b/{}.png", "long".repeat(40));
    let files: [(&str, Vec<u8>); 6] = [
        ("a.jpg.txt", b"passed over in a folder".to_vec()),
        ("boat.png", picture(RED).to_png()),
        ("boat.txt", b"A boat.".to_vec()),
        ("cut.png", picture(RED).to_png()[..30].to_vec()),
        ("cut.txt", b"Cut off.".to_vec()),
        (&long, picture(BLUE).to_png()),
    ];
    for (name, content) in &files {
        std::fs::write(pictures.join(name), content).unwrap();
    }
    let expected = [vec![Part::Image(picture(BLUE))], vec![Part::Image(picture(RED)), text("A boat.")]];
    let (documents, skipped) = read(&pictures);
    assert_eq!(documents, expected);
    assert_eq!((skipped.n_errors, skipped.kinds.keys().next().unwrap().as_str()), (1, "picture damaged"));

    let path = folder.path().join("rows.tar");
    let mut archive = ::tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, content) in files.iter().skip(1) {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, &content[..]).unwrap();
    }
    archive.into_inner().unwrap();
    let (documents, skipped) = read(&path);
    assert_eq!(documents, [expected[1].clone(), expected[0].clone()]);
    assert!(skipped.examples[0].contains("rows.tar:/cut"), "{:?}", skipped.examples);

    // Cut off within the second row: the first is there, and the end is counted.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..512 + 512 + 512 + 512 + 520]).unwrap();
    let (documents, skipped) = read(&path);
    assert_eq!((documents.len(), skipped.n_errors), (1, 1));
    assert_eq!(skipped.kinds.keys().next().unwrap(), "cut off");
}

#[test]
fn parquet_holds_bytes_in_structures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let schema = "message schema { optional binary text (UTF8); optional group image { optional binary bytes; optional binary path (UTF8); } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(&path).unwrap();
    let mut writer =
        SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let png = |colour| ByteArray::from(picture(colour).to_png());
    let columns: [(Vec<ByteArray>, Vec<i16>); 3] = [
        (
            vec!["Red: <image>".into(), "Broken.".into(), "Blue.".into(), "No picture.".into()],
            vec![1, 1, 1, 1],
        ),
        (vec![png(RED), ByteArray::from("<html>"), png(BLUE)], vec![2, 2, 2, 0]),
        (vec![], vec![1, 1, 1, 0]),
    ];
    for (values, levels) in columns {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let (documents, skipped) = read(&path);
    let expected = [
        vec![text("Red: "), Part::Image(picture(RED))],
        vec![Part::Image(picture(BLUE)), text("Blue.")],
        vec![text("No picture.")],
    ];
    assert_eq!(documents, expected);
    assert_eq!(skipped.kinds.keys().next().unwrap(), "no picture format");
    assert!(skipped.examples[0].contains("rows.parquet:row 2`, found markup"), "{:?}", skipped.examples);
}

#[test]
fn questions_are_read_and_their_answers_learned() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("red.png"), picture(RED).to_png()).unwrap();
    let lines = [
        r#"{"image": "red.png", "question": "Which colour?", "answer": "red"}"#,
        r#"{"images": ["red.png", "red.png"], "query": "Do <image> and <image> differ?", "label": ["no"]}"#,
        r#"{"image": "red.png", "question": "How many?", "answers": [{"answer": "1"}, {"answer": "one"}, {"answer": "one"}]}"#,
        r#"{"image": "red.png", "question": "No answer?", "answers": []}"#,
    ];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, lines.join("\n").as_bytes()).unwrap();
    let path = folder.path().join("rows.jsonl.gz");
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let (documents, skipped) = read(&path);
    let asked = |text: &str| Part::Question(text.to_owned());
    let red = || Part::Image(picture(RED));
    let expected = [
        vec![red(), asked("\nWhich colour?\n"), text("red")],
        vec![asked("\nDo "), red(), asked(" and "), red(), asked(" differ?\n"), text("no")],
        vec![red(), asked("\nHow many?\n"), text("one")],
    ];
    assert_eq!(documents, expected);
    assert_eq!(documents[0].iter().map(Part::has_loss).collect::<Vec<_>>(), [false, false, true]);
    assert!(skipped.examples[0].contains("line 4"), "{:?}", skipped.examples);
}

#[test]
fn exported_pictures_are_read_back() {
    use crate::pictures::{Drawer, Export, PictureKind, SetDocument, SetPart, Side};
    let folder = tempfile::tempdir().unwrap();
    let drawer = Drawer { seed: 5, side_pixels: 96 };
    let export = Export { drawer, kinds: PictureKind::ALL.to_vec(), n_pictures: 64 };
    export.write(folder.path(), &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    let (train, _) = read(&folder.path().join("train.jsonl"));
    let (test, skipped) = read(&folder.path().join("test.jsonl"));
    assert_eq!((train.len(), test.len(), skipped.is_empty()), (56, 8, true));
    // As they are trained on when they are drawn: the answer alone is learned, and a clip has its times.
    for (kind, read) in PictureKind::ALL.into_iter().zip(&train) {
        let drawn = SetDocument::of(drawer.draw(kind, Side::Train, 0));
        let part = |part| match part {
            SetPart::Image(image) => Part::Image(image),
            SetPart::Text { text, is_learned: true } => Part::Text(text),
            SetPart::Text { text, is_learned: false } => Part::Question(text),
        };
        assert_eq!(*read, drawn.parts.into_iter().map(part).collect::<Vec<_>>(), "{kind:?}");
    }
    let first = std::fs::read_to_string(folder.path().join("test.jsonl")).unwrap();
    let clip = first.lines().find(|line| line.contains("\"clips\"")).unwrap();
    let clip: serde_json::Value = serde_json::from_str(clip).unwrap();
    assert_eq!(
        clip["images"].as_array().unwrap().len(),
        clip["question"].as_str().unwrap().matches("<image>").count()
    );
    assert!(clip["reversed_answer"].is_string());
}
