//! Which documents come, and when.

use super::{
    super::{Augmentation, FirstPictures, RowSplit},
    *,
};

#[test]
fn kinds_come_in_turns_and_levels_stay_within_the_bound() {
    let config = PicturesConfig { max_level: 2, ..PicturesConfig::default() };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    let kinds: Vec<PictureKind> = (0..6)
        .map(|number| {
            let document = set.document(Side::Train, number).unwrap();
            assert!(matches!(
                document.parts[..],
                [SetPart::Image(_), SetPart::Text { .. }, SetPart::Text { .. }]
            ));
            document.kind.unwrap()
        })
        .collect();
    assert_eq!(kinds[..3], PictureKind::STILLS);
    assert_eq!(kinds[3..], PictureKind::STILLS);
    // Number 6 is the third chart: of level 1 again.
    let drawer = Drawer { seed: 1, side_pixels: 96 };
    let third = drawer.draw(PictureKind::Charts, Side::Train, 8);
    let SetPart::Image(image) = &set.document(Side::Train, 6).unwrap().parts[0] else { panic!("no image") };
    assert_eq!((third.level, &third.images[0]), (1, image));
    let other = PictureSet::open(&config, 96, 2).unwrap();
    assert_ne!(set.fingerprint(), other.fingerprint());
}

#[test]
fn a_clip_is_read_frame_by_frame_with_its_times() {
    let config = PicturesConfig { draw: vec![PictureKind::Clips], ..PicturesConfig::default() };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    let drawer = Drawer { seed: 1, side_pixels: 96 };
    let picture = drawer.draw(PictureKind::Clips, Side::Train, 0);
    let parts = set.document(Side::Train, 0).unwrap().parts;
    let step = super::super::stamp(picture.times_ms[1]);
    let read: Vec<String> = parts
        .iter()
        .map(|part| match part {
            SetPart::Image(image) => {
                let at = picture.images.iter().position(|frame| frame == image).unwrap();
                format!("frame {at}")
            }
            SetPart::Text { text, is_learned } => format!("{is_learned} {text:?}"),
        })
        .collect();
    assert_eq!(read[..4], ["false \"\\n0.0s \"", "frame 0", &format!("false \" {step} \""), "frame 1"]);
    assert_eq!(read[5..7], ["frame 2".to_owned(), format!("false \"\\n{}\\n\"", picture.question)]);
    assert_eq!(read[7], format!("true {:?}", picture.answer));
}

#[test]
fn easy_questions_come_first_and_no_picture_twice() {
    let draw = vec![PictureKind::Scenes];
    let config = PicturesConfig { draw, easy_first: 0.5, ..PicturesConfig::default() };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    let image = |number| match set.training_document(number, 80).unwrap().parts.swap_remove(0) {
        SetPart::Image(image) => image.to_png(),
        other => panic!("{other:?}"),
    };
    let images: std::collections::HashSet<_> = (0..80).map(image).collect();
    assert_eq!(images.len(), 80);
    let drawer = Drawer { seed: 1, side_pixels: 96 };
    // The tenth part has level 1 alone; later all come in turns.
    assert_eq!(image(3), drawer.draw(PictureKind::Scenes, Side::Train, 12).images[0].to_png());
    assert_eq!(image(43), drawer.draw(PictureKind::Scenes, Side::Train, 4 * 43 + 3).images[0].to_png());
}

#[test]
fn what_comes_first_comes_alone_and_never_again() {
    let config = PicturesConfig {
        easy_first: 0.5,
        first: Some(FirstPictures { draw: vec![PictureKind::Words], share: 0.3 }),
        ..PicturesConfig::default()
    };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    let documents: Vec<SetDocument> =
        (0..60).map(|number| set.training_document(number, 60).unwrap()).collect();
    assert!(documents[..18].iter().all(|document| document.kind == Some(PictureKind::Words)));
    let later: Vec<_> = documents[18..21].iter().map(|document| document.kind.unwrap()).collect();
    assert_eq!(later, PictureKind::STILLS);
    let image = |document: &SetDocument| match &document.parts[0] {
        SetPart::Image(image) => image.to_png(),
        other => panic!("{other:?}"),
    };
    assert_eq!(documents.iter().map(image).collect::<std::collections::HashSet<_>>().len(), 60);
    let without = PictureSet::open(&PicturesConfig { first: None, ..config }, 96, 1).unwrap();
    assert_ne!(set.fingerprint(), without.fingerprint());
    assert_eq!(set.document(Side::Test, 0).unwrap(), without.document(Side::Test, 0).unwrap());
}

#[test]
fn pictures_of_training_files_are_seen_in_other_ways() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, right: u8| {
        let image = RgbImage::new(2, 1, vec![0, 0, 0, right, right, right]);
        std::fs::write(dir.path().join(format!("{name}.png")), image.to_png()).unwrap();
        let path = dir.path().join(format!("{name}.jsonl"));
        let row = format!("{{\"text\": \"<image>x\", \"image\": \"{name}.png\"}}\n");
        std::fs::write(&path, row).unwrap();
        path
    };
    let config = PicturesConfig {
        draw: Vec::new(),
        files: vec![file("a", 255)],
        held_out: vec![file("b", 200)],
        augment: vec![Augmentation::Mirror],
        ..PicturesConfig::default()
    };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    let seen = |side, number| match &set.document(side, number).unwrap().parts[0] {
        SetPart::Image(image) => image.pixels()[0],
        other => panic!("{other:?}"),
    };
    let n_mirrored = (0..40).filter(|&number| seen(Side::Train, number) == 255).count();
    assert!((10..30).contains(&n_mirrored), "{n_mirrored}");
    assert!((0..40).all(|number| seen(Side::Test, number) == 0));
    assert_eq!(seen(Side::Train, 7), seen(Side::Train, 7));
}

#[test]
fn files_come_in_turns_with_what_is_drawn_and_every_epoch_holds_each_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.png"), RgbImage::filled(3, 2, [9, 8, 7]).to_png()).unwrap();
    let row = |i: usize| format!("{{\"text\": \"<image>{i}\", \"image\": \"a.png\"}}\n");
    let broken = "{\"text\": \"x\", \"image\": \"no.png\"}\n".to_owned();
    let text: String = (0..5).map(row).chain([broken]).collect();
    let (train, test) = (dir.path().join("t.jsonl"), dir.path().join("h.jsonl"));
    std::fs::write(&train, &text).unwrap();
    std::fs::write(&test, row(9)).unwrap();
    let config = PicturesConfig {
        draw: vec![PictureKind::Scenes],
        files: vec![train.clone()],
        held_out: vec![test],
        ..PicturesConfig::default()
    };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    assert_eq!(set.skipped().n_errors, 1);
    let text_of = |side, number| match &set.document(side, number).unwrap().parts[..] {
        [SetPart::Image(_), SetPart::Text { text, is_learned: true }] => text.clone(),
        other => panic!("{other:?}"),
    };
    for epoch in 0..2 {
        let mut seen: Vec<String> = (0..5).map(|i| text_of(Side::Train, 2 * (5 * epoch + i) + 1)).collect();
        seen.sort();
        assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    }
    assert_eq!(text_of(Side::Test, 1), "9");
    assert_eq!(set.document(Side::Train, 2).unwrap().kind, Some(PictureKind::Scenes));
    // Only the content counts, not where it lies.
    let moved = dir.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    std::fs::rename(dir.path().join("a.png"), moved.join("a.png")).unwrap();
    std::fs::write(moved.join("t.jsonl"), &text).unwrap();
    std::fs::write(moved.join("h.jsonl"), row(9)).unwrap();
    let config = PicturesConfig {
        files: vec![moved.join("t.jsonl")],
        held_out: vec![moved.join("h.jsonl")],
        ..config
    };
    assert_eq!(PictureSet::open(&config, 96, 1).unwrap().fingerprint(), set.fingerprint());
}

#[test]
fn rows_of_one_file_are_divided() {
    let dir = tempfile::tempdir().unwrap();
    let line = |i: u8| {
        let name = format!("{i}.png");
        std::fs::write(dir.path().join(&name), RgbImage::filled(1, 1, [i; 3]).to_png()).unwrap();
        let part = if i.is_multiple_of(3) { "test" } else { "dev" };
        format!("{{\"image\": \"{name}\", \"name\": \"thing {i}\", \"split\": \"{part}\"}}\n")
    };
    let file = dir.path().join("all.jsonl");
    std::fs::write(&file, (0..30).map(line).collect::<String>()).unwrap();
    let config = PicturesConfig {
        draw: Vec::new(),
        files: vec![file],
        split: Some(RowSplit::of_value("split", "test")),
        ..PicturesConfig::default()
    };
    let set = PictureSet::open(&config, 96, 1).unwrap();
    let name = |side, number| match &set.document(side, number).unwrap().parts[..] {
        [
            SetPart::Image(_),
            SetPart::Text { text: question, is_learned: false },
            SetPart::Text { text, is_learned: true },
        ] if question == "\nWhat is this?\n" => text.clone(),
        other => panic!("{other:?}"),
    };
    let mut all: Vec<String> = (0..20).map(|i| name(Side::Train, i)).collect();
    all.extend((0..10).map(|i| name(Side::Test, i)));
    assert_eq!(all[20..23], ["thing 0", "thing 3", "thing 6"]);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30);
    let missing = PicturesConfig { split: Some(RowSplit::of_value("split", "no")), ..config.clone() };
    let error = PictureSet::open(&missing, 96, 1).unwrap_err().to_string();
    assert!(error.contains("30 to train on, 0 held out"), "{error}");
    let missing = PicturesConfig { split: Some(RowSplit::of_field("story", 0.5)), ..config };
    assert!(PictureSet::open(&missing, 96, 1).unwrap_err().to_string().contains("`story`"));
}

#[test]
fn settings_out_of_range_are_refused() {
    let message = |change: fn(&mut PicturesConfig)| {
        let mut config = PicturesConfig::default();
        change(&mut config);
        PictureSet::open(&config, 96, 1).unwrap_err().to_string()
    };
    assert!(message(|c| c.draw.clear()).contains("pictures.draw"));
    assert!(message(|c| c.draw.push(PictureKind::Words)).contains("each kind once"));
    assert!(message(|c| c.per_step = 0).contains("pictures.per_step"));
    assert!(message(|c| c.text_share = 1.0).contains("pictures.text_share"));
    assert!(message(|c| c.text_share = f64::NAN).contains("pictures.text_share"));
    let first = |draw: &[PictureKind], share| Some(FirstPictures { draw: draw.to_vec(), share });
    for share in [0.0, 1.0, f64::NAN] {
        let config =
            PicturesConfig { first: first(&[PictureKind::Words], share), ..PicturesConfig::default() };
        let error = PictureSet::open(&config, 96, 1).unwrap_err().to_string();
        assert!(error.contains("pictures.first.share"), "{error}");
    }
    for draw in [&[][..], &[PictureKind::Clips]] {
        let config = PicturesConfig { first: first(draw, 0.5), ..PicturesConfig::default() };
        let error = PictureSet::open(&config, 96, 1).unwrap_err().to_string();
        assert!(error.contains("pictures.first.draw"), "{error}");
    }
    assert!(message(|c| c.augment = vec![Augmentation::Flip]).contains("pictures.augment"));
    assert!(message(|c| c.max_level = 5).contains("pictures.max_level"));
    assert!(message(|c| c.files.push("no.jsonl".into())).contains("no.jsonl"));
}
