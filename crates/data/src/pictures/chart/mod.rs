//! Charts to read off: bars, lines, pies and points, with titles, axes and legends.

mod ask;
mod axes;
mod content;
mod plot;

use base::Rng;

use super::{Picture, PictureKind, Request, canvas::Canvas, face::Face, palette::Palette};
use content::Chart;

/// More categories, series and steps of reasoning from level to level.
pub(super) fn draw(request: &Request, rng: &mut Rng) -> Picture {
    let ((chart, question, answer), content) = request.content(rng, |rng| {
        loop {
            let chart = Chart::draw(rng, request.level);
            if let Some((question, answer)) = ask::ask(rng, request.level, &chart) {
                let content = chart.content();
                return ((chart, question, answer), content);
            }
        }
    });
    let palette = Palette::draw(rng, request.side);
    let face = Face::draw(rng, request.side, "");
    let canvas = Canvas::new(request.side_pixels, request.side_pixels, palette.paper);
    let mut plot = plot::Plot { canvas, request: *request, palette, face };
    plot.chart(&chart, rng);
    Picture {
        kind: PictureKind::Charts,
        side: request.side,
        level: request.level,
        images: vec![plot.canvas.into_image()],
        times_ms: Vec::new(),
        question,
        answer,
        reversed_answer: None,
        content,
        face: Some(face.name),
    }
}
