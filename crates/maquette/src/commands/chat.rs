//! `maquette chat`

use std::{
    collections::HashMap,
    io::{BufRead as _, IsTerminal as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use data::{
    ChatTemplate, Message, StreamDecoder, Tokenizer,
    interleaved::{PLACEHOLDER, has_place, taken_out},
};
use model::{Engine, EngineSettings, Finish, Request, Sampling};
use rustyline::{DefaultEditor, error::ReadlineError};
use tensor::Cpu;

use super::{Dtype, generate::SamplingOptions};
use crate::{
    image_files,
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    stop,
    video_files::{self, Frames, VideoOptions},
};

/// Chat with a checkpoint in the terminal
///
/// The conversation runs through the checkpoint's chat template. Ctrl-C stops an answer, Ctrl-D quits; /help lists the
/// commands. Without a terminal, lines of stdin are taken as typed ones are: what begins with / is a command, /save and /image among
/// them; everything else is a message.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a checkpoint, or of a run, whose model was trained to chat
    checkpoint: PathBuf,
    /// Show the model a picture with the first message: PNG, JPEG, WebP or GIF; can be given several times
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    #[command(flatten)]
    video: VideoOptions,
    /// System prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_tokens: usize,
    #[command(flatten)]
    sampling: SamplingOptions,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

const HELP: &str = "\
/system TEXT  set the system prompt; without TEXT, remove it
/image FILE   show a picture with the next message
/video PATH   show a moving picture with it: an animated GIF or a folder of frames
/retry        sample the last answer again
/clear        forget the conversation
/save FILE    write the conversation as JSON lines of role and content
/exit         end; so does Ctrl-D
A line that ends in \\ continues on the next; lines between two \"\"\" are one message.";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kernels = Cpu::new(args.threads);
    let Opened { dir, gpt, tokenizer } =
        open_model::open(&args.checkpoint, &kernels, args.dtype.precision().into())?;
    let template = ChatTemplate::load(&dir, &tokenizer)?;
    // One text at a time, whose keys and values stay from turn to turn.
    let settings = EngineSettings::for_sequences(1, gpt.config().max_seq_len);
    let mut chat = Chat {
        engine: Engine::new(&gpt, &kernels, settings),
        tokenizer,
        template,
        sampling: args.sampling.sampling(),
        seed: args.sampling.seed,
        penalties: (args.sampling.frequency_penalty, args.sampling.presence_penalty),
        max_tokens: args.max_tokens,
        system: args.system.clone(),
        images: match args.video.video {
            Some(_) => args.video.open(&dir, gpt.config().vision.as_ref())?,
            None => Frames::still(image_files::open(&args.image, &dir, gpt.config().vision.as_ref())?),
        },
        video: args.video.clone(),
        n_shown: 0,
        dir,
        messages: Vec::new(),
        n_answers: 0,
        saved: HashMap::new(),
    };
    chat.sampling.validate()?; // refuse a wrong option before the first message
    let mut input = Input::open()?;
    // Whoever types goes on after an answer that was stopped; a program that is told to end ends.
    let by_program = matches!(input, Input::Lines(_));
    if !by_program {
        stop::only_interrupts();
    }
    let mut n_unanswered = 0;
    while let Some(message) = input.message()? {
        if !by_program {
            stop::forget();
        }
        match chat.take(&message) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if output::is_lost(&error) => return Err(error),
            // One message that cannot be answered does not end the talk.
            Err(error) => {
                output::talk(format_args!("{error:#}"));
                n_unanswered += 1;
            }
        }
        anyhow::ensure!(!by_program || stop::check().is_continue(), stop::Abandoned(String::new()));
    }
    // A program that pipes messages in learns of them by the status.
    anyhow::ensure!(
        n_unanswered == 0 || !by_program,
        "{n_unanswered} of the lines of stdin got no answer\nhint: the reasons are printed above"
    );
    Ok(())
}

/// A conversation with a model.
struct Chat<'a> {
    engine: Engine<'a>,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    sampling: Sampling,
    seed: u64,
    /// Of frequency and of presence.
    penalties: (f64, f64),
    max_tokens: usize,
    system: Option<String>,
    /// Of the checkpoint, which says how images are prepared.
    dir: PathBuf,
    /// Pictures in the order in which they were shown.
    images: Frames,
    /// How moving pictures are shown.
    video: VideoOptions,
    /// How many of them belong to messages.
    n_shown: usize,
    /// Users' messages and answers in turn.
    messages: Vec<Message>,
    /// Every answer has a seed of its own, so that `/retry` gives another one.
    n_answers: u64,
    /// What `/save` wrote in this talk, by file: that alone it replaces.
    saved: HashMap<PathBuf, Vec<u8>>,
}

impl Chat<'_> {
    /// Answers a message or follows a command; `false` ends the talk.
    fn take(&mut self, message: &str) -> anyhow::Result<bool> {
        let (command, rest) = message.split_once(char::is_whitespace).unwrap_or((message, ""));
        let rest = rest.trim();
        match command {
            "" => {}
            "/exit" | "/quit" => return Ok(false),
            "/help" => output::talk(HELP),
            "/clear" => {
                self.messages.clear();
                // Those that wait for a message go on waiting.
                self.images.pictures.drain(..self.n_shown);
                self.images.before.drain(..self.n_shown);
                self.n_shown = 0;
            }
            "/image" => {
                anyhow::ensure!(!rest.is_empty(), "expected a file's name\nhint: /image chart.png");
                let vision = self.engine.gpt().config().vision.as_ref();
                self.show(Frames::still(image_files::open(&[PathBuf::from(rest)], &self.dir, vision)?));
            }
            "/video" => {
                anyhow::ensure!(!rest.is_empty(), "expected a file or folder\nhint: /video clip.gif");
                let vision = self.engine.gpt().config().vision.as_ref();
                let path = Path::new(rest);
                let frames = self.video.open_file(path, &self.dir, vision)?;
                if self.video.unused_fps(path).is_some() {
                    output::talk("(--fps is not used: the file says when each of its frames is seen)");
                }
                self.show(frames);
            }
            "/system" => self.system = (!rest.is_empty()).then(|| rest.to_owned()),
            "/save" => self.save(Path::new(rest))?,
            "/retry" => {
                anyhow::ensure!(
                    !self.messages.is_empty(),
                    "there is no answer yet\nhint: write a message first"
                );
                if self.messages.last().is_some_and(|last| last.role == "assistant") {
                    self.messages.pop();
                }
                self.answer()?;
            }
            other if other.starts_with('/') => {
                anyhow::bail!("unknown command `{other}`\nhint: /help lists the commands");
            }
            _ => {
                let n_new = self.images.pictures.len() - self.n_shown;
                let asked = self.asked(message, n_new)?;
                self.messages.push(asked);
                self.n_shown += n_new;
                if let Err(error) = self.answer() {
                    self.messages.pop();
                    self.n_shown -= n_new;
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// A message of the user's with its pictures: where it has places for them, or in front.
    fn asked(&self, message: &str, n_pictures: usize) -> anyhow::Result<Message> {
        if self.engine.gpt().config().vision.is_none() || !has_place(message) {
            return Ok(Message::new("user", message).with_images(n_pictures));
        }
        let (text, images_at) = taken_out(message);
        anyhow::ensure!(
            images_at.len() == n_pictures,
            "expected a picture for each of the {} places {PLACEHOLDER} in the message, found {n_pictures}\n\
             hint: `/image FILE` shows one with the next message; without a place they stand in front",
            images_at.len()
        );
        Ok(Message { images_at, ..Message::new("user", text) })
    }

    /// Shows pictures with the next message.
    fn show(&mut self, Frames { pictures, before }: Frames) {
        self.images.pictures.extend(pictures);
        self.images.before.extend(before);
    }

    fn conversation(&self) -> Vec<Message> {
        let system = self.system.iter().map(|text| Message::new("system", text.clone()));
        system.chain(self.messages.iter().cloned()).collect()
    }

    /// Answers the last message, shown as it comes.
    fn answer(&mut self) -> anyhow::Result<()> {
        let prompt = self.template.encode(&self.tokenizer, &self.conversation(), true)?;
        let config = self.engine.gpt().config();
        let (longest, images) = (config.max_seq_len, self.images.pictures[..self.n_shown].to_vec());
        let prompt = match &config.vision {
            Some(vision) if !images.is_empty() => {
                let n = prompt.iter().filter(|id| **id == vision.image_token).count();
                anyhow::ensure!(
                    n == images.len(),
                    "expected the chat template to write {} image tokens, found {n}\n\
                     hint: `chat_template.jinja` must write one for each part of type `image`",
                    images.len()
                );
                video_files::expanded(&prompt, vision, &self.images.before[..self.n_shown], &self.tokenizer)
            }
            _ => prompt,
        };
        anyhow::ensure!(
            prompt.len() < longest,
            "the conversation has {} tokens, this model reads {longest}\nhint: {}",
            prompt.len(),
            match images.len() {
                0 => "/clear starts a new one",
                _ => "/clear starts a new one; show fewer pictures in it, of a moving one with --frames",
            }
        );
        let request = Request {
            sampling: self.sampling.clone(),
            seed: self.seed.wrapping_add(self.n_answers),
            stop: self.tokenizer.stops(),
            images,
            frequency_penalty: self.penalties.0,
            presence_penalty: self.penalties.1,
            ..Request::new(prompt, self.max_tokens)
        };
        self.n_answers += 1;
        let mut decoder = StreamDecoder::new(self.tokenizer.clone());
        let (mut text, mut shown) = (String::new(), Ok(()));
        let done = self.engine.complete(vec![request], &mut |_, token| {
            let part = decoder.push(token.id);
            shown = output::part(&part);
            text.push_str(&part);
            shown.is_ok() && stop::check().is_continue()
        })?;
        let rest = decoder.finish();
        text.push_str(&rest);
        shown.and_then(|()| output::part(&rest))?;
        output::line("")?;
        self.messages.push(Message::new("assistant", text));
        match done[0].finish {
            _ if stop::check().is_break() => output::talk("(stopped)"),
            Finish::Stop => {}
            Finish::Length => output::talk(format_args!("(cut at {} tokens: --max-tokens)", self.max_tokens)),
            Finish::ContextFull => {
                output::talk("(the model's context is full: /clear starts a new conversation)")
            }
        }
        Ok(())
    }

    fn save(&mut self, path: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(!path.as_os_str().is_empty(), "expected a file's name\nhint: /save talk.jsonl");
        let lines: Vec<String> =
            self.conversation().iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        anyhow::ensure!(!lines.is_empty(), "there is nothing to save yet\nhint: write a message first");
        let bytes = (lines.join("\n") + "\n").into_bytes();
        let file = OutputFile { path, option: "/save", kind: Kind::Conversation };
        let is_ours = |saved: &Vec<u8>| std::fs::read(path).is_ok_and(|there| there == *saved);
        match self.saved.get(path).is_some_and(is_ours) {
            true => file.replace(&bytes)?,
            false => file.write(&bytes)?,
        }
        self.saved.insert(path.to_owned(), bytes);
        output::talk(format_args!("{} messages in {}", lines.len(), path.display()));
        Ok(())
    }
}

/// Messages as they are typed, or lines where nobody types.
enum Input {
    Terminal(Box<DefaultEditor>),
    Lines(std::io::Lines<std::io::StdinLock<'static>>),
}

impl Input {
    fn open() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Lines(std::io::stdin().lock().lines()));
        }
        output::talk("/help lists the commands; Ctrl-D ends");
        let editor =
            DefaultEditor::new().context("cannot use this terminal\nhint: pipe messages in instead")?;
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// The next message; `None` at the end.
    fn message(&mut self) -> anyhow::Result<Option<String>> {
        let Some(first) = self.line("> ")? else { return Ok(None) };
        let mut message = first;
        if let Some(rest) = message.trim_start().strip_prefix("\"\"\"") {
            let mut lines = vec![rest.to_owned()];
            while !lines.last().is_some_and(|line| line.trim_end().ends_with("\"\"\"")) {
                match self.line("… ")? {
                    Some(line) => lines.push(line),
                    None => break,
                }
            }
            let text = lines.join("\n");
            let text = text.trim_end();
            return Ok(Some(text.strip_suffix("\"\"\"").unwrap_or(text).trim_matches('\n').to_owned()));
        }
        while let Some(start) = message.strip_suffix('\\') {
            let Some(next) = self.line("… ")? else { break };
            message = format!("{start}\n{next}");
        }
        Ok(Some(message.trim().to_owned()))
    }

    fn line(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Lines(lines) => match stop::idle(|| lines.next()) {
                Some(line) => line.map(Some).context("cannot read stdin\nhint: messages are lines of UTF-8"),
                None => Ok(None),
            },
            Self::Terminal(editor) => loop {
                match editor.readline(prompt) {
                    Ok(line) => {
                        // A history that cannot grow is no reason to stop.
                        let _ = editor.add_history_entry(&line);
                        return Ok(Some(line));
                    }
                    Err(ReadlineError::Interrupted) => output::talk("(Ctrl-D ends)"),
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => {
                        return Err(error)
                            .context("cannot read the terminal\nhint: pipe messages in instead");
                    }
                }
            },
        }
    }
}
