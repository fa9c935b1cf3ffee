//! The form in a terminal.

use std::io::BufRead;

use super::{Session, Verdict};
use crate::{
    output::{self, talk},
    terminal,
};

/// Asks until all is judged, `q` is typed or the input ends.
pub(crate) fn ask(session: &mut Session, input: &mut dyn BufRead) -> anyhow::Result<()> {
    let mut lines = input.lines();
    loop {
        let [judged, of] = session.progress();
        let Some(question) = session.question()? else {
            return output::words(format_args!("all were asked: {judged} judged"));
        };
        let number = question.number;
        output::words(format_args!("\n[{judged} of {of} judged]"))?;
        for message in &question.prompt {
            output::words(format_args!("{}: {}", message.role, terminal::shown(&message.content)))?;
        }
        for (i, answer) in question.answers.iter().enumerate() {
            output::words(format_args!("\n({}) {}", i + 1, terminal::shown(answer.trim())))?;
        }
        talk("\n1 or 2: the better one; s: neither; w: write a better one; q: end");
        let verdict = loop {
            let Some(line) = lines.next().transpose()? else { return Ok(()) };
            match line.trim() {
                "1" => break Verdict::First,
                "2" => break Verdict::Second,
                "s" => break Verdict::Skip,
                "q" => return Ok(()),
                "w" => {
                    talk("your answer; an empty line ends it");
                    let mut better = Vec::new();
                    for line in lines.by_ref() {
                        let line = line?;
                        if line.trim().is_empty() {
                            break;
                        }
                        better.push(line);
                    }
                    if !better.is_empty() {
                        break Verdict::Better(better.join("\n"));
                    }
                }
                other => talk(format_args!("expected 1, 2, s, w or q, found `{}`", terminal::shown(other))),
            }
        };
        session.judge(number, &verdict)?;
    }
}
