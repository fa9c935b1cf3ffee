//! Shapes of several colours: how many there are, and how they lie.

use base::Rng;

use super::{
    Picture, PictureKind, Request, between,
    canvas::Canvas,
    palette::{self, NAMES},
    pick,
    shape::{SHAPES, outline},
    uniform,
};

/// Cells along a side of the grid that keeps shapes apart.
const N_CELLS: i64 = 4;
/// Relations are only asked where they are this clear, in cells.
const CLEAR: i64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Thing {
    shape: usize,
    colour: usize,
    column: i64,
    row: i64,
    is_large: bool,
}

impl Thing {
    fn name(&self) -> String {
        format!("{} {}", NAMES[self.colour], SHAPES[self.shape])
    }
}

/// One shape at level 1; then counts, relations, and counts of what lies beside something.
pub(super) fn draw(request: &Request, rng: &mut Rng) -> Picture {
    let ((things, question, answer), content) = request.content(rng, |rng| {
        loop {
            let things = scene(rng, request.level);
            if let Some((question, answer)) = ask(rng, request.level, &things) {
                // The side is that of the scene: no question about it is asked on the other.
                let mut shown: Vec<String> = things
                    .iter()
                    .map(|thing| {
                        let size = if thing.is_large { "large" } else { "small" };
                        format!("{size} {} at {},{}", thing.name(), thing.column, thing.row)
                    })
                    .collect();
                shown.sort();
                return ((things, question, answer), shown.join("; "));
            }
        }
    });
    let mut canvas =
        Canvas::new(request.side_pixels, request.side_pixels, palette::ground(rng, request.side));
    let cell = request.side_pixels as f64 / N_CELLS as f64;
    for thing in &things {
        let radius = cell * if thing.is_large { 0.40 } else { 0.24 };
        let slack = cell / 2.0 - radius;
        let mut middle = |cells: i64| (cells as f64 + 0.5) * cell + uniform(rng, -slack, slack);
        let center = (middle(thing.column), middle(thing.row));
        let colour = palette::shade(rng, request.side, thing.colour);
        canvas.fill(&outline(thing.shape, center, radius), colour);
    }
    Picture {
        kind: PictureKind::Scenes,
        side: request.side,
        level: request.level,
        images: vec![canvas.into_image()],
        times_ms: Vec::new(),
        question,
        answer,
        reversed_answer: None,
        content,
        face: None,
    }
}

fn scene(rng: &mut Rng, level: u32) -> Vec<Thing> {
    let n = match level {
        1 => 1,
        2 => between(rng, 2, 6),
        3 => between(rng, 2, 5),
        _ => between(rng, 4, 9),
    };
    let mut things: Vec<Thing> = Vec::new();
    while things.len() < n as usize {
        let thing = Thing {
            shape: rng.below(SHAPES.len() as u64) as usize,
            colour: rng.below(NAMES.len() as u64) as usize,
            column: between(rng, 0, N_CELLS - 1),
            row: between(rng, 0, N_CELLS - 1),
            is_large: rng.below(2) == 0,
        };
        if things.iter().all(|other| (other.column, other.row) != (thing.column, thing.row)) {
            things.push(thing);
        }
    }
    things
}

/// A question with one right answer, or none if the scene has none for what was drawn.
fn ask(rng: &mut Rng, level: u32, things: &[Thing]) -> Option<(String, String)> {
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let shape = rng.below(SHAPES.len() as u64) as usize;
    let colour = rng.below(NAMES.len() as u64) as usize;
    let some = pick(rng, things);
    // Named without doubt.
    let is_only = |thing: &Thing| {
        things.iter().filter(|t| (t.shape, t.colour) == (thing.shape, thing.colour)).count() == 1
    };
    Some(match level {
        1 => match rng.below(4) {
            0 => ("What shape is in the picture?".into(), SHAPES[some.shape].into()),
            1 => ("What colour is the shape?".into(), NAMES[some.colour].into()),
            2 => {
                // As often right as wrong.
                let colour = if rng.below(2) == 0 { some.colour } else { colour };
                (format!("Is the shape {}?", NAMES[colour]), yes(colour == some.colour))
            }
            _ => {
                let shape = if rng.below(2) == 0 { some.shape } else { shape };
                (format!("Is there a {}?", SHAPES[shape]), yes(shape == some.shape))
            }
        },
        2 => match rng.below(4) {
            0 => ("How many shapes are there?".into(), things.len().to_string()),
            1 => {
                let n = things.iter().filter(|t| t.shape == some.shape).count();
                (format!("How many {}s are there?", SHAPES[some.shape]), n.to_string())
            }
            2 => {
                let n = things.iter().filter(|t| t.colour == colour).count();
                (format!("How many {} shapes are there?", NAMES[colour]), n.to_string())
            }
            _ => {
                let n = things.iter().filter(|t| t.shape == some.shape).count();
                if n != 1 {
                    return None;
                }
                (format!("What colour is the {}?", SHAPES[some.shape]), NAMES[some.colour].into())
            }
        },
        3 => {
            let other = pick(rng, things);
            let (dx, dy) = (other.column - some.column, other.row - some.row);
            if some == other || !is_only(some) || !is_only(other) {
                return None;
            }
            match rng.below(3) {
                0 if dx.abs() >= CLEAR => {
                    let is_left = rng.below(2) == 0;
                    let way = if is_left { "left" } else { "right" };
                    let question = format!("Is the {} to the {way} of the {}?", some.name(), other.name());
                    (question, yes(is_left == (dx > 0)))
                }
                1 if dy.abs() >= CLEAR => {
                    let is_above = rng.below(2) == 0;
                    let way = if is_above { "above" } else { "below" };
                    (format!("Is the {} {way} the {}?", some.name(), other.name()), yes(is_above == (dy > 0)))
                }
                2 if some.is_large != other.is_large => {
                    let larger = if some.is_large { some } else { other };
                    let question = format!("Which is larger, the {} or the {}?", some.name(), other.name());
                    (question, larger.name())
                }
                _ => return None,
            }
        }
        _ => {
            if !is_only(some) {
                return None;
            }
            let beyond = |dx: i64| things.iter().filter(move |t| dx * (t.column - some.column) > 0);
            // Neighbours in a column may be drawn askew: only what lies at least one column away may be there.
            let is_clear = things.iter().all(|t| t == some || t.column != some.column);
            match rng.below(3) {
                0 if is_clear => {
                    let question = format!("How many shapes are to the left of the {}?", some.name());
                    (question, beyond(-1).count().to_string())
                }
                1 if is_clear => {
                    let n = beyond(1).filter(|t| t.shape == shape).count();
                    let question =
                        format!("How many {}s are to the right of the {}?", SHAPES[shape], some.name());
                    (question, n.to_string())
                }
                2 => {
                    let of_colour = things.iter().filter(|t| t.colour == some.colour).count();
                    let of_shape = things.iter().filter(|t| t.shape == shape).count();
                    if of_colour == of_shape {
                        return None;
                    }
                    let question =
                        format!("Are there more {} shapes than {}s?", NAMES[some.colour], SHAPES[shape]);
                    (question, yes(of_colour > of_shape))
                }
                _ => return None,
            }
        }
    })
}
