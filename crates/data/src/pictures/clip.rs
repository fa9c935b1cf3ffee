//! Clips: a few frames of shapes of which some move, and which way they go, and in which order.

use base::Rng;

use super::{
    Picture, PictureKind, Request, between,
    canvas::Canvas,
    palette::{self, NAMES},
    pick,
    shape::{SHAPES, outline},
    some, uniform,
};

/// Units along a side: places are whole ones.
const N_UNITS: i64 = 24;
/// Middles of shapes stay this far from the border, in units.
const MARGIN: i64 = 4;
/// Middles of two shapes stay this far from each other in every frame, in units.
const APART: i64 = 8;
/// A shape's radius, in units.
const RADIUS: f64 = 3.2;

/// Ways to go: name, and the step of one unit.
const WAYS: [(&str, (i64, i64)); 4] =
    [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))];

/// A shape with its place in every frame.
#[derive(Clone, Debug)]
struct Actor {
    shape: usize,
    colour: usize,
    places: Vec<(i64, i64)>,
    /// Number of its way, and the interval between two frames in which it goes, if it does so in one alone; none of what
    /// stands still.
    moves: Option<(usize, Option<usize>)>,
}

impl Actor {
    fn name(&self) -> String {
        format!("{} {}", NAMES[self.colour], SHAPES[self.shape])
    }
}

/// What is shown, and when.
#[derive(Clone, Debug)]
struct Clip {
    actors: Vec<Actor>,
    n_frames: usize,
    /// Milliseconds between two frames.
    step_ms: u32,
}

/// A question with its answer, and the answer to it where the frames come in reverse order.
struct Asked {
    question: String,
    answer: String,
    reversed: String,
}

/// One shape that moves at level 1, and others that stand still at level 2; at level 3 one shape moves after another, at level 4
/// three of them.
pub(super) fn draw(request: &Request, rng: &mut Rng) -> Picture {
    let ((clip, asked), content) = request.content(rng, |rng| {
        let clip = Clip::draw(rng, request.level);
        let asked = clip.ask(rng, request.level);
        let content = clip.content();
        ((clip, asked), content)
    });
    let ground = palette::ground(rng, request.side);
    let unit = request.side_pixels as f64 / N_UNITS as f64;
    let looks: Vec<_> = clip
        .actors
        .iter()
        .map(|actor| {
            let off = (uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5));
            (palette::shade(rng, request.side, actor.colour), off)
        })
        .collect();
    let frame = |i: usize| {
        let mut canvas = Canvas::new(request.side_pixels, request.side_pixels, ground);
        for (actor, (colour, off)) in clip.actors.iter().zip(&looks) {
            let (x, y) = actor.places[i];
            let center = (unit * (x as f64 + off.0), unit * (y as f64 + off.1));
            canvas.fill(&outline(actor.shape, center, unit * RADIUS), *colour);
        }
        canvas.into_image()
    };
    Picture {
        kind: PictureKind::Clips,
        side: request.side,
        level: request.level,
        images: (0..clip.n_frames).map(frame).collect(),
        times_ms: (0..clip.n_frames as u32).map(|i| i * clip.step_ms).collect(),
        question: asked.question,
        answer: asked.answer,
        reversed_answer: Some(asked.reversed),
        content,
        face: None,
    }
}

impl Clip {
    fn draw(rng: &mut Rng, level: u32) -> Self {
        let n_actors = match level {
            1 => 1,
            2 => between(rng, 2, 3) as usize,
            3 => 2,
            _ => 3,
        };
        let n_frames = if level == 4 { 4 } else { 3 };
        let step_ms = *pick(rng, &[500, 1000]);
        loop {
            let mut clip = Self { actors: Vec::new(), n_frames, step_ms };
            for i in 0..n_actors {
                // At level 2 the others stand still; from level 3 on they move in turn.
                let interval = (level > 2).then_some(i);
                let moves = (level > 2 || i == 0).then(|| (rng.below(WAYS.len() as u64) as usize, interval));
                clip.actors.push(actor(rng, n_frames, moves));
            }
            if clip.is_clear() {
                // Who moves first must not follow from who is drawn first.
                let actors = some(rng, &clip.actors, n_actors).into_iter().cloned().collect();
                return Self { actors, ..clip };
            }
        }
    }

    /// Whether all shapes are inside, apart in every frame, and told apart by their names.
    fn is_clear(&self) -> bool {
        let inside = MARGIN..=N_UNITS - MARGIN;
        let is_inside = |(x, y): &(i64, i64)| inside.contains(x) && inside.contains(y);
        self.actors.iter().enumerate().all(|(i, actor)| {
            let is_apart = |other: &Actor| {
                let mut places = actor.places.iter().zip(&other.places);
                places.all(|(a, b)| (a.0 - b.0).pow(2) + (a.1 - b.1).pow(2) >= APART * APART)
            };
            let others = &self.actors[..i];
            actor.places.iter().all(is_inside)
                && others.iter().all(|other| is_apart(other) && other.name() != actor.name())
        })
    }

    /// In words, the same for the same clip in whatever colours and order it is drawn.
    fn content(&self) -> String {
        let mut shown: Vec<String> =
            self.actors.iter().map(|actor| format!("{} at {:?}", actor.name(), actor.places)).collect();
        shown.sort();
        format!("{} every {} ms", shown.join("; "), self.step_ms)
    }

    /// The shapes that move, in the order in which they do.
    fn moving(&self) -> Vec<(&Actor, usize)> {
        let mut moving: Vec<_> = self
            .actors
            .iter()
            .filter_map(|actor| actor.moves.map(|(way, when)| (when, actor, way)))
            .collect();
        moving.sort_by_key(|(when, ..)| *when);
        moving.into_iter().map(|(_, actor, way)| (actor, way)).collect()
    }

    fn ask(&self, rng: &mut Rng, level: u32) -> Asked {
        let moving = self.moving();
        let (name, way) = (|i: usize| moving[i].0.name(), |i: usize| WAYS[moving[i].1].0);
        let back = |i: usize| WAYS[moving[i].1 ^ 1].0;
        let last = moving.len() - 1;
        let asked = |question: String, answer: &str, reversed: &str| Asked {
            question,
            answer: answer.to_owned(),
            reversed: reversed.to_owned(),
        };
        let which_way = |i: usize| asked(format!("Which way does the {} move?", name(i)), way(i), back(i));
        match (level, rng.below(3)) {
            (1, _) => which_way(0),
            (2, 0) => asked("Which shape moves?".to_owned(), &name(0), &name(0)),
            (2, _) => which_way(0),
            (3, 0) => asked("Which shape moves first?".to_owned(), &name(0), &name(last)),
            (3, 1) => asked("Which shape moves last?".to_owned(), &name(last), &name(0)),
            (3, _) => which_way(rng.below(moving.len() as u64) as usize),
            // The one in the middle has a neighbour on either side, in either order.
            (_, 0) => {
                let (question, [answer, reversed]) = match rng.below(2) {
                    0 => (format!("Which shape moves after the {}?", name(1)), [2, 0]),
                    _ => (format!("Which shape moves before the {}?", name(1)), [0, 2]),
                };
                asked(question, &name(answer), &name(reversed))
            }
            (_, 1) => {
                let (question, [answer, reversed]) = match rng.below(2) {
                    0 => ("Which way does the shape that moves first go?".to_owned(), [0, last]),
                    _ => ("Which way does the shape that moves last go?".to_owned(), [last, 0]),
                };
                asked(question, way(answer), back(reversed))
            }
            _ => {
                // It has moved from the frame on that follows its interval.
                let i = rng.below(moving.len() as u64) as usize;
                let from = |interval: usize| stamp(self.step_ms * (interval as u32 + 1));
                let question = format!("From which time on has the {} moved?", name(i));
                asked(question, &from(i), &from(last - i))
            }
        }
    }
}

/// A shape somewhere; it goes all the time, or in one interval.
fn actor(rng: &mut Rng, n_frames: usize, moves: Option<(usize, Option<usize>)>) -> Actor {
    let inside = |rng: &mut Rng| between(rng, MARGIN, N_UNITS - MARGIN);
    let start = (inside(rng), inside(rng));
    let length = between(rng, 4, 7);
    let place = |frame: usize| {
        let Some((way, when)) = moves else { return start };
        let n_steps = when.map_or(frame as i64, |interval| i64::from(frame > interval));
        let (dx, dy) = WAYS[way].1;
        (start.0 + dx * length * n_steps, start.1 + dy * length * n_steps)
    };
    Actor {
        shape: rng.below(SHAPES.len() as u64) as usize,
        colour: rng.below(NAMES.len() as u64) as usize,
        places: (0..n_frames).map(place).collect(),
        moves,
    }
}

/// A time as it stands in a prompt: `0.5s`.
///
/// ```
/// use data::pictures::stamp;
///
/// assert_eq!([0, 500, 1040, 12_345].map(stamp), ["0.0s", "0.5s", "1.04s", "12.345s"]);
/// ```
pub fn stamp(ms: u32) -> String {
    let seconds = f64::from(ms) / 1000.0;
    let digits = match (ms.is_multiple_of(100), ms.is_multiple_of(10)) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 3,
    };
    format!("{seconds:.digits$}s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::Drawer;
    use crate::pictures::Side;

    fn clip(seed: u64, level: u32) -> Clip {
        Clip::draw(&mut Rng::new(seed, 0), level)
    }

    #[test]
    fn shapes_move_as_the_answers_say() {
        for seed in 0..200 {
            for level in 1..=4 {
                let clip = clip(seed, level);
                for actor in &clip.actors {
                    let changed: Vec<usize> =
                        (1..clip.n_frames).filter(|i| actor.places[*i] != actor.places[i - 1]).collect();
                    let Some((way, when)) = actor.moves else {
                        assert!(changed.is_empty());
                        continue;
                    };
                    match when {
                        None => assert_eq!(changed.len(), clip.n_frames - 1),
                        Some(interval) => assert_eq!(changed, [interval + 1]),
                    }
                    let (from, to) = (actor.places[0], actor.places[clip.n_frames - 1]);
                    let (dx, dy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
                    assert_eq!((dx, dy), WAYS[way].1);
                }
                assert_eq!(clip.moving().len(), if level < 3 { 1 } else { clip.actors.len() });
            }
        }
    }

    /// The answer for reversed frames is the answer to the same question about the reversed clip.
    #[test]
    fn reversed_answers_are_those_of_the_reversed_clip() {
        for seed in 0..400 {
            let level = 1 + (seed % 4) as u32;
            let clip = clip(seed, level);
            let last = clip.n_frames - 2;
            let actors = clip.actors.iter().map(|actor| Actor {
                places: actor.places.iter().rev().copied().collect(),
                moves: actor.moves.map(|(way, when)| (way ^ 1, when.map(|interval| last - interval))),
                ..actor.clone()
            });
            let backwards = Clip { actors: actors.collect(), ..clip.clone() };
            let asked = |clip: &Clip| clip.ask(&mut Rng::new(seed, 1), level);
            let (one, other) = (asked(&clip), asked(&backwards));
            if one.question == other.question {
                assert_eq!(
                    (&one.reversed, &one.answer),
                    (&other.answer, &other.reversed),
                    "{}",
                    one.question
                );
            } else {
                // Questions that name a shape by its turn name another one.
                assert!(level > 2 && one.question.contains(" the "), "{} / {}", one.question, other.question);
            }
            let is_of_order = one.question != "Which shape moves?" && !one.question.starts_with("From");
            assert!(!is_of_order || one.answer != one.reversed || level == 4, "{}", one.question);
        }
    }

    #[test]
    fn a_clip_has_its_frames_at_times_and_only_what_moves_changes() {
        let drawer = Drawer { seed: 4, side_pixels: 96 };
        for index in 0..16 {
            let picture = drawer.draw(PictureKind::Clips, Side::Train, index);
            let n = if picture.level == 4 { 4 } else { 3 };
            assert_eq!((picture.images.len(), picture.times_ms.len()), (n, n));
            assert!(picture.times_ms[0] == 0 && picture.times_ms.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(
                picture.images.windows(2).all(|pair| pair[0] != pair[1]),
                "something moves in every interval"
            );
            assert!(picture.reversed_answer.is_some());
        }
    }
}
