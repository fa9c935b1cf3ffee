//! Words, numbers and short texts to read.

use base::Rng;

use super::{
    Picture, PictureKind, Request, between, canvas::Canvas, face::Face, palette::Palette, path::Path, pick,
    uniform,
};

const LATIN: [&[u8]; 2] = [b"bcdfghklmnprstvz", b"aeiou"];
const CYRILLIC: [&str; 2] = ["бвгджзклмнпрстфхчш", "аеиоуыэюя"];

/// At level 1 charts of letters, which teach what a letter looks like, single characters and short words; then words of two to
/// four syllables, or numbers; from level 3 on turned and dirtied, at level 4 of several lines.
pub(super) fn draw(request: &Request, rng: &mut Rng) -> Picture {
    if request.level == 1 && rng.below(4) > 0 {
        return letters(request, rng);
    }
    let n_lines = if request.level == 4 { between(rng, 2, 3) as usize } else { 1 };
    let (lines, content) = request.content(rng, |rng| {
        let lines: Vec<String> = (0..n_lines).map(|_| line(rng, request.level)).collect();
        let content = lines.join(" ");
        (lines, content)
    });
    let face = Face::draw(rng, request.side, &content);
    let palette = Palette::draw(rng, request.side);
    let side = request.side_pixels as f64;

    // The longest line sets the size; small text is large enough to be read.
    let longest = lines.iter().max_by_key(|line| line.chars().count()).map_or("", String::as_str);
    let wanted = request.scaled(uniform(rng, 18.0, 44.0));
    let size = face.fitted_size(longest, wanted, 0.86 * side);
    let mut text = Path::default();
    let leading = 1.3 * size;
    for (i, line) in lines.iter().enumerate() {
        text.append(face.outline(line, size).0.shifted(0.0, i as f64 * leading));
    }
    if request.level >= 2 {
        let turns = uniform(rng, -1.0, 1.0) * if request.level == 2 { 0.01 } else { 0.04 };
        text = text.turned((0.0, 0.0), turns);
    }
    let Some(bounds) = text.bounds() else { unreachable!("a word has letters") };
    let margin = 0.03 * side;
    let place = |rng: &mut Rng, length: f64| uniform(rng, margin, (side - margin - length).max(margin));
    let (x, y) = (place(rng, bounds.width()), place(rng, bounds.height()));
    let text = text.shifted(x - bounds.left, y - bounds.top);

    let mut canvas = Canvas::new(request.side_pixels, request.side_pixels, palette.paper);
    if request.level >= 3 {
        // Lines of a form, which are not to be read.
        for _ in 0..rng.below(4) {
            let y = uniform(rng, 0.0, side);
            canvas.fill(&Path::rect(0.0, y, side, request.scaled(1.0)), palette.grid);
        }
    }
    canvas.fill(&text, ink(palette, rng));
    if request.level >= 2 {
        let strength = between(rng, 2, 6 * i64::from(request.level)) as u8;
        let share = if request.level >= 3 { uniform(rng, 0.0, 0.02) } else { 0.0 };
        canvas.add_noise(rng, strength, share);
    }
    let questions = ["What is written here?", "Read the text.", "Which text does the picture show?"];
    let question = *pick(rng, &questions);
    asked(request, question, canvas, content, face)
}

/// Rows of a chart of letters, and letters of a row.
const CHART: usize = 3;

/// Letters or digits of one alphabet in rows, as on an eye chart. Each stands at a place of its own: nine lessons in one picture,
/// from which a model learns what letters look like long before it would from words at any place.
fn letters(request: &Request, rng: &mut Rng) -> Picture {
    let (rows, content) = request.content(rng, |rng| {
        let alphabet = alphabet(rng);
        let rows: Vec<Vec<char>> =
            (0..CHART).map(|_| (0..CHART).map(|_| *pick(rng, &alphabet)).collect()).collect();
        let content = rows.iter().map(|row| row.iter().collect()).collect::<Vec<String>>().join(" ");
        (rows, content)
    });
    let face = Face::draw(rng, request.side, &content);
    let palette = Palette::draw(rng, request.side);
    let side = request.side_pixels as f64;
    let (margin, cell) = (0.03 * side, 0.94 * side / CHART as f64);
    let wanted = cell * uniform(rng, 0.75, 0.95);
    let size = content.chars().fold(wanted, |size, c| face.fitted_size(&c.to_string(), size, 0.8 * cell));
    let mut text = Path::default();
    for (i, row) in rows.iter().enumerate() {
        let baseline = margin + (i as f64 + 0.5) * cell + 0.5 * face.cap_height(size);
        for (j, c) in row.iter().enumerate() {
            let (letter, width) = face.outline(&c.to_string(), size);
            let x = margin + (j as f64 + 0.5) * cell - 0.5 * width;
            let mut shift = || uniform(rng, -0.05, 0.05) * cell;
            text.append(letter.shifted(x + shift(), baseline + shift()));
        }
    }
    let mut canvas = Canvas::new(request.side_pixels, request.side_pixels, palette.paper);
    canvas.fill(&text, ink(palette, rng));
    asked(request, "Read the letters.", canvas, content, face)
}

/// One of those that words and numbers are made of.
fn alphabet(rng: &mut Rng) -> Vec<char> {
    let letters: Vec<char> = match rng.below(3) {
        0 => return ('0'..='9').collect(),
        1 => ('a'..='z').collect(),
        _ => CYRILLIC.iter().flat_map(|part| part.chars()).collect(),
    };
    match rng.below(2) {
        0 => letters.iter().flat_map(|c| c.to_uppercase()).collect(),
        _ => letters,
    }
}

/// With a question whose answer is all that is written.
fn asked(request: &Request, question: &str, canvas: Canvas, content: String, face: &Face) -> Picture {
    Picture {
        kind: PictureKind::Words,
        side: request.side,
        level: request.level,
        images: vec![canvas.into_image()],
        times_ms: Vec::new(),
        question: question.to_owned(),
        answer: content.clone(),
        reversed_answer: None,
        content,
        face: Some(face.name),
    }
}

/// A colour for text.
fn ink(palette: &Palette, rng: &mut Rng) -> [u8; 3] {
    if rng.below(2) == 0 { palette.ink } else { strongest(palette) }
}

/// The colour for data that differs most from the paper.
fn strongest(palette: &Palette) -> [u8; 3] {
    let contrast = |colour: &[u8; 3]| -> i32 {
        let light = |c: &[u8; 3]| 3 * i32::from(c[0]) + 6 * i32::from(c[1]) + i32::from(c[2]);
        (light(colour) - light(&palette.paper)).abs()
    };
    palette.data.iter().copied().max_by_key(contrast).unwrap_or(palette.ink)
}

fn line(rng: &mut Rng, level: u32) -> String {
    match (level, rng.below(4)) {
        // Of a code no letter follows from those before, so that each teaches to look.
        (2, 1 | 2) => code(rng),
        (1, 0) => digits(rng, 1, 5),
        (1, 1) => word(rng, 2),
        (1, _) => {
            let n = between(rng, 1, 3) as usize;
            word(rng, 2).chars().take(n).collect()
        }
        (2, 0) => digits(rng, 4, 8),
        (_, 0) => number(rng),
        (_, 1) => code(rng),
        (2 | 4, _) => {
            let n_syllables = between(rng, 2, 3) as usize;
            word(rng, n_syllables)
        }
        _ => {
            let n_syllables = between(rng, 2, 4) as usize;
            word(rng, n_syllables)
        }
    }
}

fn digits(rng: &mut Rng, from: i64, to: i64) -> String {
    (0..between(rng, from, to)).map(|_| char::from(b'0' + rng.below(10) as u8)).collect()
}

/// As prices, dates, times and shares are written.
fn number(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => format!("{}.{:02}", rng.below(1000), rng.below(100)),
        1 => format!("{:02}.{:02}.{}", between(rng, 1, 28), between(rng, 1, 12), between(rng, 1900, 2039)),
        2 => format!("{:02}:{:02}", rng.below(24), rng.below(60)),
        _ => format!("{}%", between(rng, 1, 99)),
    }
}

/// Letters and digits, as on number plates; none that look like others.
fn code(rng: &mut Rng) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHKLMNPRSTUVWXYZ23456789";
    (0..between(rng, 4, 6)).map(|_| char::from(*pick(rng, LETTERS))).collect()
}

fn word(rng: &mut Rng, n_syllables: usize) -> String {
    let is_cyrillic = rng.below(3) == 0;
    let mut word = String::new();
    for _ in 0..n_syllables {
        for part in 0..2 {
            word.push(match is_cyrillic {
                true => *pick(rng, &CYRILLIC[part].chars().collect::<Vec<_>>()),
                false => char::from(*pick(rng, LATIN[part])),
            });
        }
    }
    if rng.below(2) == 0 {
        let end = LATIN[0];
        word.push(match is_cyrillic {
            true => *pick(rng, &CYRILLIC[0].chars().collect::<Vec<_>>()),
            false => char::from(*pick(rng, end)),
        });
    }
    match rng.below(3) {
        0 => word.to_uppercase(),
        1 => word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect(),
        _ => word,
    }
}
