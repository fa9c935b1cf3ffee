//! What is drawn, and that training and test never meet.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use base::hash::xxh3_64;

use super::*;

const DRAWER: Drawer = Drawer { seed: 7, side_pixels: 128 };

fn drawn(kind: PictureKind, side: Side, n: u64) -> Vec<Picture> {
    (0..n).map(|i| DRAWER.draw(kind, side, i)).collect()
}

#[test]
fn training_and_test_share_no_face_and_no_content() {
    for kind in PictureKind::ALL {
        let (train, test) = (drawn(kind, Side::Train, 200), drawn(kind, Side::Test, 100));
        let contents = |pictures: &[Picture]| -> HashSet<String> {
            pictures.iter().map(|picture| picture.content.clone()).collect()
        };
        assert!(contents(&train).is_disjoint(&contents(&test)), "{kind:?}");
        let faces =
            |pictures: &[Picture]| -> BTreeSet<_> { pictures.iter().filter_map(|p| p.face).collect() };
        assert!(faces(&train).is_disjoint(&faces(&test)), "{kind:?}");
        if [PictureKind::Charts, PictureKind::Words].contains(&kind) {
            assert_eq!((faces(&train).len() > 8, faces(&test).len()), (true, 3), "{kind:?}");
        }
        for picture in train.iter().chain(&test) {
            assert_eq!(Side::of(&picture.content), picture.side);
        }
    }
}

#[test]
fn every_level_asks_several_things_and_answers_vary() {
    for kind in PictureKind::ALL {
        let mut answers: BTreeMap<u32, BTreeMap<String, u32>> = BTreeMap::new();
        for picture in drawn(kind, Side::Train, 400) {
            assert!((1..=N_LEVELS).contains(&picture.level));
            *answers.entry(picture.level).or_default().entry(picture.answer).or_default() += 1;
        }
        assert_eq!(answers.len(), N_LEVELS as usize);
        for (level, answers) in answers {
            let most = answers.values().max().unwrap();
            // Whoever says the same always is wrong more often than not.
            assert!(*most <= 55, "{kind:?}, level {level}: {answers:?}");
        }
    }
}

#[test]
fn what_is_read_is_there() {
    for picture in drawn(PictureKind::Words, Side::Train, 80) {
        assert_eq!(picture.answer, picture.content);
        let colours: HashSet<&[u8]> = picture.images[0].pixels().chunks_exact(3).collect();
        assert!(colours.len() > 8, "{}", picture.answer);
    }
}

#[test]
fn text_stays_inside_at_every_size() {
    for side_pixels in [96, 160, 320] {
        let drawer = Drawer { seed: 3, side_pixels };
        for i in (0..80).filter(|i| i % 4 == 0) {
            let picture = drawer.draw(PictureKind::Words, Side::Train, i); // level 1, no noise
            let paper = &picture.images[0].pixels()[..3];
            let (width, height) = (picture.images[0].width(), picture.images[0].height());
            let is_paper = |x: usize, y: usize| picture.images[0].row(y)[3 * x..3 * x + 3] == *paper;
            assert!((0..width).all(|x| is_paper(x, 0) && is_paper(x, height - 1)), "{}", picture.answer);
            assert!((0..height).all(|y| is_paper(0, y) && is_paper(width - 1, y)), "{}", picture.answer);
        }
    }
}

/// Whoever trained on these pictures must find them again: a change here is a change of every data set.
#[test]
fn pixels_are_fixed_for_ever() {
    let hash = |kind| {
        let pictures = drawn(kind, Side::Train, 8);
        let bytes: Vec<u8> =
            pictures.iter().flat_map(|p| &p.images).flat_map(|image| image.pixels().to_vec()).collect();
        let said: String = pictures.iter().map(|p| format!("{}{}", p.question, p.answer)).collect();
        (xxh3_64(&bytes), xxh3_64(said.as_bytes()))
    };
    assert_eq!(PictureKind::ALL.map(hash), FIXED);
}

const FIXED: [(u64, u64); 4] = [
    (11_864_385_211_234_833_102, 11_895_184_581_440_507_630),
    (6_762_538_417_991_302_969, 14_885_701_369_074_417_241),
    (3_361_063_856_173_173_102, 1_284_061_737_557_597_835),
    (15_543_271_498_752_833_647, 12_141_606_812_913_966_339),
];
