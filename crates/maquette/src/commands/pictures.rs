//! `maquette data pictures`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use data::pictures::{Drawer, Export, PictureKind, clear_unfinished};
use serde::Serialize;

use crate::{output, progress::Progress, stop};

/// Draw pictures with questions and their answers: charts, words to read, scenes of shapes, clips of moving shapes
///
/// Writes DIR/images/*.png with DIR/train.jsonl and DIR/test.jsonl, one picture in eight to test with: faces, colours and
/// contents of these are never trained on. The same numbers give the same bytes on every machine. A clip is a few pictures, whose
/// times stand in the question.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is drawn, in turns; separated by commas
    #[arg(long = "kind", value_name = "KINDS", value_delimiter = ',', default_value = "charts,words,scenes")]
    kinds: Vec<Kind>,
    /// Pictures in all
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = super::positive::<u64>())]
    n: u64,
    /// Seed of everything that is drawn by chance
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Width and height in pixels, 96 to 1024
    #[arg(long, value_name = "PIXELS", default_value_t = 128, value_parser = clap::value_parser!(u16).range(96..=1024))]
    size: u16,
    /// Folder to write; it must be empty, or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Charts,
    Words,
    Scenes,
    Clips,
}

#[derive(Serialize)]
struct Written {
    folder: String,
    n_pictures: u64,
}

/// Takes away what a call that was killed left, and says so.
fn begin_again(out: &Path) -> anyhow::Result<bool> {
    let cleared = clear_unfinished(out)?;
    if let Some(n) = cleared {
        output::talk(format_args!(
            "a call that was killed left {n} pictures and no list of them in {}: they are drawn again",
            out.display()
        ));
    }
    Ok(cleared.is_some())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let shown = args.out.display();
    let is_free = match std::fs::read_dir(&args.out) {
        Ok(mut entries) => entries.next().is_none() || begin_again(&args.out)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| {
                format!("expected a folder at `{shown}`, it cannot be read\nhint: choose another folder with --out")
            });
        }
    };
    anyhow::ensure!(
        is_free,
        "expected an empty folder, or none, at `{shown}`, found files in it\nhint: choose another folder with --out"
    );
    let mut kinds: Vec<PictureKind> = Vec::new();
    for kind in &args.kinds {
        let kind = match kind {
            Kind::Charts => PictureKind::Charts,
            Kind::Words => PictureKind::Words,
            Kind::Scenes => PictureKind::Scenes,
            Kind::Clips => PictureKind::Clips,
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let drawer = Drawer { seed: args.seed, side_pixels: usize::from(args.size) };
    let export = Export { drawer, kinds, n_pictures: args.n };
    let mut progress = Progress::new("pictures");
    let written = export.write(&args.out, &mut |n_done| {
        progress.update(n_done, args.n, []);
        stop::check()
    });
    if let Err(error) = written {
        // The folder was empty: what is in it now is ours, and would keep the same command from beginning again.
        let _ = base::disk::remove_dir_all(&args.out.join("images"));
        return Err(stop::interrupted(error));
    }
    progress.clear();
    if args.json {
        return output::json(&Written { folder: shown.to_string(), n_pictures: args.n });
    }
    output::line(format_args!("{} pictures in {shown}: train.jsonl, test.jsonl, images/", args.n))
}
