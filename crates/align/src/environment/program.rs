//! Any program as an environment: JSON lines on its standard input and output.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use data::Message;
use serde_json::{Value, json};

use super::{Dialogue, Environment, EnvironmentError, MAX_REWARD, Side, Turn};
use crate::conversation::ROLES;

/// Most bytes of one line.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Lines that are read ahead.
const N_AHEAD: usize = 4;
/// Bytes of its standard error that an error shows.
const N_SAID: usize = 400;

/// Any program as an environment.
///
/// It answers each line with one line:
///
/// ```text
/// {"do":"reset","episode":7,"side":"training","problem":3}
/// {"episode":7,"messages":[{"role":"user","content":"2+2?"}]}
/// {"do":"step","episode":7,"answer":"4","whole":true}
/// {"episode":7,"reward":1,"observation":null}
/// ```
///
/// `observation` is null at the end, or a text or a message that the policy sees next. `side` is `training` or `held_out`. A problem
/// must be the same whenever it is asked for, and so must what follows an answer: then a training that was stopped goes on to the
/// same bits. Many episodes are open at a time.
pub struct Program {
    command: String,
    timeout: Duration,
    pipe: Mutex<Pipe>,
}

struct Pipe {
    child: Child,
    to: Sender<String>,
    from: Receiver<Line>,
    said: Arc<Mutex<VecDeque<u8>>>,
    /// Keeps it; ends with the other end of the pipe.
    listener: thread::JoinHandle<()>,
    n_episodes: u64,
}

enum Line {
    Text(String),
    TooLong,
    End,
}

impl Program {
    /// Starts `command`, by the system's shell; it may be silent for `timeout`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &str, timeout: Duration) -> Result<Self, EnvironmentError> {
        let mut shell = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        match cfg!(windows) {
            true => shell.args(["/C", command]),
            // The shell gives way to the program, so that ending one ends the other.
            false => shell.arg("-c").arg(format!("exec {command}")),
        };
        let spawned = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child =
            spawned.map_err(|source| EnvironmentError::Start { command: command.into(), source })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (to, lines) = mpsc::channel::<String>();
        thread::spawn(move || {
            let Some(mut stdin) = stdin else { return };
            for line in lines {
                // That it does not listen shows in what it says.
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let (found, from) = mpsc::sync_channel(N_AHEAD);
        thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            let mut reader = BufReader::new(stdout);
            loop {
                let mut bytes = Vec::new();
                let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes);
                let line = match read {
                    Ok(0) | Err(_) => Line::End,
                    Ok(n) if n as u64 > MAX_LINE_BYTES => Line::TooLong,
                    Ok(_) => Line::Text(String::from_utf8_lossy(&bytes).into_owned()),
                };
                let is_over = !matches!(line, Line::Text(_));
                if found.send(line).is_err() || is_over {
                    return;
                }
            }
        });
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&said);
        let listener = thread::spawn(move || {
            let Some(mut stderr) = stderr else { return };
            let mut bytes = [0; 256];
            while let Ok(n) = stderr.read(&mut bytes) {
                if n == 0 {
                    return;
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&bytes[..n]);
                let n_over = kept.len().saturating_sub(N_SAID);
                kept.drain(..n_over);
            }
        });
        let pipe = Mutex::new(Pipe { child, to, from, said, listener, n_episodes: 0 });
        Ok(Self { command: command.into(), timeout, pipe })
    }

    /// Sends a request and takes the line that answers it.
    fn ask(&self, pipe: &mut Pipe, request: &Value, moment: &str) -> Result<Value, EnvironmentError> {
        let (command, moment) = (|| self.command.clone(), || moment.to_owned());
        let answer = |expected: &str, found: String| EnvironmentError::Answer {
            command: command(),
            expected: expected.into(),
            moment: moment(),
            found,
        };
        // Of a program that has ended, the reader knows.
        let _ = pipe.to.send(format!("{request}\n"));
        let line = match pipe.from.recv_timeout(self.timeout) {
            Ok(Line::Text(line)) => line,
            Ok(Line::TooLong) => {
                return Err(answer(
                    "one line of JSON",
                    format!("more than {MAX_LINE_BYTES} bytes in a line"),
                ));
            }
            Err(RecvTimeoutError::Timeout) => {
                let seconds = self.timeout.as_secs_f64();
                return Err(EnvironmentError::Slow { command: command(), seconds, moment: moment() });
            }
            Ok(Line::End) | Err(RecvTimeoutError::Disconnected) => {
                return Err(EnvironmentError::Died {
                    command: command(),
                    status: status(&mut pipe.child),
                    moment: moment(),
                    said: said(pipe),
                });
            }
        };
        let shown = || line.trim_end().chars().take(120).collect::<String>();
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| answer("one line of JSON", format!("`{}` ({error})", shown())))?;
        if value["episode"] != request["episode"] {
            return Err(answer(&format!("`\"episode\": {}`", request["episode"]), format!("`{}`", shown())));
        }
        Ok(value)
    }

    fn locked<R>(&self, f: impl FnOnce(&mut Pipe) -> R) -> R {
        f(&mut self.pipe.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrong(&self, expected: &str, moment: &str, found: &Value) -> EnvironmentError {
        let found = format!("`{}`", found.to_string().chars().take(120).collect::<String>());
        let (command, expected, moment) = (self.command.clone(), expected.into(), moment.into());
        EnvironmentError::Answer { command, expected, moment, found }
    }
}

/// What is expected of the role of the `i`-th message, where it is another.
fn wrong_role(i: usize, message: &Message) -> Option<String> {
    match &message.role[..] {
        "system" if i > 0 => Some("a system message at the beginning alone".into()),
        role if !ROLES.contains(&role) => Some(format!("a role of {}", ROLES.join(", "))),
        _ => None,
    }
}

/// How a program ended, once it has.
fn status(child: &mut Child) -> String {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        if let Ok(Some(status)) = child.try_wait() {
            return status.to_string();
        }
        thread::sleep(Duration::from_millis(10));
    }
    "it closed its standard output".into()
}

/// The last that a program said on its standard error, which may come after its end is known.
fn said(pipe: &Pipe) -> String {
    let began = Instant::now();
    while !pipe.listener.is_finished() && began.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(2));
    }
    let bytes: Vec<u8> = pipe.said.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
    let text = String::from_utf8_lossy(&bytes);
    if text.trim().is_empty() { String::new() } else { format!("; it said: {}", text.trim()) }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.locked(|pipe| {
            // It may have ended already.
            let _ = pipe.child.kill();
            let _ = pipe.child.wait();
        });
    }
}

impl Environment for Program {
    fn name(&self) -> &str {
        &self.command
    }

    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError> {
        let moment = format!("at the beginning of problem {n}");
        let (episode, value) = self.locked(|pipe| {
            let episode = pipe.n_episodes;
            pipe.n_episodes += 1;
            let side = if side == Side::Training { "training" } else { "held_out" };
            let request = json!({ "do": "reset", "episode": episode, "side": side, "problem": n });
            self.ask(pipe, &request, &moment).map(|value| (episode, value))
        })?;
        let messages: Vec<Message> = serde_json::from_value(value["messages"].clone())
            .ok()
            .filter(|messages: &Vec<Message>| !messages.is_empty())
            .ok_or_else(|| self.wrong("`messages`, each with a role and a content", &moment, &value))?;
        if let Some(wrong) = messages.iter().enumerate().find_map(|(i, message)| wrong_role(i, message)) {
            return Err(self.wrong(&wrong, &moment, &value));
        }
        if messages.last().is_some_and(|last| last.role == "assistant") {
            let expected = "`messages` whose last is not the assistant's, which the policy answers";
            return Err(self.wrong(expected, &moment, &value));
        }
        Ok(Box::new(Open { program: self, episode, problem: n, messages }))
    }
}

struct Open<'a> {
    program: &'a Program,
    episode: u64,
    problem: u64,
    messages: Vec<Message>,
}

impl Dialogue for Open<'_> {
    fn messages(&self) -> Vec<Message> {
        self.messages.clone()
    }

    fn answer(&mut self, text: &str, is_whole: bool) -> Result<Turn, EnvironmentError> {
        let moment = format!("after an answer to problem {}", self.problem);
        let request = json!({ "do": "step", "episode": self.episode, "answer": text, "whole": is_whole });
        let value = self.program.locked(|pipe| self.program.ask(pipe, &request, &moment))?;
        let reward = value["reward"].as_f64();
        let reward = reward.filter(|reward| reward.abs() <= MAX_REWARD).ok_or_else(|| {
            let expected = format!("a number from -{MAX_REWARD} to {MAX_REWARD} as `reward`");
            self.program.wrong(&expected, &moment, &value)
        })?;
        let observation = match &value["observation"] {
            Value::Null => None,
            Value::String(text) => Some(Message::new("user", text.clone())),
            other => {
                let message: Message = serde_json::from_value(other.clone()).map_err(|_| {
                    self.program.wrong("null, a text or a message as `observation`", &moment, &value)
                })?;
                let wrong = match &message.role[..] {
                    "assistant" => Some("an observation that is not the assistant's".to_owned()),
                    _ => wrong_role(1, &message),
                };
                if let Some(wrong) = wrong {
                    return Err(self.program.wrong(&wrong, &moment, &value));
                }
                Some(message)
            }
        };
        Ok(Turn { reward, observation })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str, seconds: f64) -> Program {
        Program::start(script, Duration::from_secs_f64(seconds)).unwrap()
    }

    const ECHO: &str = r#"sed -u -E 's/^.*"episode":([0-9]+).*"do":"reset".*$/{"episode":\1,"messages":[{"role":"user","content":"hi"}]}/; s/^.*"do":"reset".*"episode":([0-9]+).*$/{"episode":\1,"messages":[{"role":"user","content":"hi"}]}/; s/^.*"answer":"([a-z]*)".*"episode":([0-9]+).*$/{"episode":\2,"reward":0.5,"observation":"\1"}/'"#;

    #[test]
    fn a_program_asks_and_rewards() {
        let program = program(ECHO, 10.0);
        let mut one = program.begin(Side::Training, 0).unwrap();
        let mut two = program.begin(Side::Training, 1).unwrap();
        assert_eq!(one.messages(), [Message::new("user", "hi")]);
        for (dialogue, word) in [(&mut two, "b"), (&mut one, "a")] {
            let turn = dialogue.answer(word, true).unwrap();
            assert_eq!(turn, Turn { reward: 0.5, observation: Some(Message::new("user", word)) });
        }
    }

    /// A program that begins each problem with a message of a role, and answers the first answer with `turn`.
    fn says(role: &str, turn: &str) -> String {
        let first = format!("{{\"episode\":0,\"messages\":[{{\"role\":\"{role}\",\"content\":\"hi\"}}]}}");
        format!("sh -c 'read a; echo '\\''{first}'\\''; read a; echo '\\''{turn}'\\''; cat >/dev/null'")
    }

    fn begins(role: &str) -> String {
        says(role, "{}")
    }

    #[test]
    fn turns_that_cannot_be_learned_from_are_named() {
        for (turn, expected) in [
            (
                r#"{"episode":0,"reward":1e300}"#,
                "expected a number from -1000000000 to 1000000000 as `reward`",
            ),
            (r#"{"episode":0,"reward":null}"#, "as `reward`"),
            (
                r#"{"episode":0,"reward":0,"observation":{"role":"robot","content":"x"}}"#,
                "expected a role of",
            ),
            (
                r#"{"episode":0,"reward":0,"observation":{"role":"system","content":"x"}}"#,
                "at the beginning alone",
            ),
            (
                r#"{"episode":0,"reward":0,"observation":{"role":"assistant","content":"x"}}"#,
                "not the assistant's",
            ),
        ] {
            let program = program(&says("user", turn), 10.0);
            let mut dialogue = program.begin(Side::Training, 0).unwrap();
            let error = dialogue.answer("a", true).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("hint:"), "{turn}: {error}");
        }
    }

    #[test]
    fn what_goes_wrong_is_named() {
        for (script, seconds, expected) in [
            ("cat >/dev/null; true", 10.0, ""),
            ("sh -c 'echo broken >&2; exit 3'", 10.0, "ended (exit status: 3)"),
            ("sh -c 'echo broken >&2; exit 3'", 10.0, "it said: broken"),
            ("sleep 100", 0.3, "said nothing for 0.3 s at the beginning of problem 5"),
            ("echo hello", 10.0, "expected one line of JSON"),
            ("sh -c 'echo \"{\\\"episode\\\":9}\"; cat'", 10.0, "expected `\"episode\": 0`"),
            ("sh -c 'echo \"{\\\"episode\\\":0}\"; cat'", 10.0, "expected `messages`"),
            (&begins("robot"), 10.0, "expected a role of system, developer, user, assistant, tool"),
            (&begins("assistant"), 10.0, "whose last is not the assistant's"),
            ("cat /dev/zero", 10.0, "more than 1048576 bytes in a line"),
            ("no-such-program-here", 10.0, "ended"),
        ] {
            if expected.is_empty() {
                continue;
            }
            let program = program(script, seconds);
            let error = program.begin(Side::HeldOut, 5).err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains("hint:"), "{script}: {error}");
        }
    }
}
