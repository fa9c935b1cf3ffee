//! Moving pictures that a user names on the command line: frames, and when each is seen.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data::{
    Tokenizer,
    image::{Background, ImageLimits, decode_frames, spread},
    interleaved::PLACEHOLDER,
    pictures::stamped,
};
use model::{Picture, VisionConfig};

use crate::image_files;

/// A moving picture, and which of its frames are shown.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct VideoOptions {
    /// Show the model a moving picture: an animated GIF, or a folder of frames in the order of their names. Frames are taken at
    /// even steps of time; in the prompt each stands behind its time, such as 0.5s
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    pub(crate) video: Option<PathBuf>,
    /// Most frames that are shown of a moving picture
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=256))]
    frames: u16,
    /// Frames a second of a folder of frames; 2 if not given. A GIF has times of its own
    #[arg(long, value_name = "F")]
    fps: Option<f64>,
}

/// Frames as a model reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) pictures: Vec<Picture>,
    /// What stands before each in the prompt.
    pub(crate) before: Vec<String>,
}

impl Frames {
    /// Pictures with nothing before them.
    pub(crate) fn still(pictures: Vec<Picture>) -> Self {
        Self { before: vec![String::new(); pictures.len()], pictures }
    }
}

impl VideoOptions {
    /// The frames of the one that the command line names; none where it names none.
    pub(crate) fn open(&self, dir: &Path, vision: Option<&VisionConfig>) -> anyhow::Result<Frames> {
        let Some(path) = self.video.as_deref() else { return Ok(Frames::default()) };
        if let Some(fps) = self.unused_fps(path) {
            let shown = path.display();
            anyhow::bail!(
                "expected no --fps for `{shown}`, found {fps}: the file says when each of its frames is seen\n\
                 hint: leave --fps out, which is for a folder of frames"
            );
        }
        self.open_file(path, dir, vision)
    }

    /// Frames a second that are given and mean nothing for the moving picture at `path`.
    pub(crate) fn unused_fps(&self, path: &Path) -> Option<f64> {
        self.fps.filter(|_| path.is_file())
    }

    /// Refuses --fps where no moving picture is shown.
    ///
    /// # Errors
    /// If it is given without --video.
    pub(crate) fn check_fps(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.video.is_some() || self.fps.is_none(),
            "expected --video with --fps, found none\nhint: --video frames, a folder of frames"
        );
        Ok(())
    }

    /// Frames of the moving picture at `path`, for the checkpoint in `dir`.
    ///
    /// # Errors
    /// If it cannot be read or does not move, or the model has no eyes.
    pub(crate) fn open_file(
        &self,
        path: &Path,
        dir: &Path,
        vision: Option<&VisionConfig>,
    ) -> anyhow::Result<Frames> {
        let vision = vision.context(
            "expected no --video: this model reads text alone\nhint: use a model that was trained with images",
        )?;
        let preprocessing = image_files::preprocessing(dir, vision)?;
        let n = usize::from(self.frames);
        let (times, images) = match path.is_dir() {
            true => self.of_folder(path, n)?,
            false => of_gif(path, n)?,
        };
        let stamps = format!("\n{}", stamped(&times));
        Ok(Frames {
            pictures: images
                .iter()
                .map(|image| Picture::new(preprocessing.patches(image, vision.patch_size)))
                .collect(),
            before: stamps.split(PLACEHOLDER).take(times.len()).map(str::to_owned).collect(),
        })
    }

    fn of_folder(&self, path: &Path, n: usize) -> anyhow::Result<Read> {
        let shown = path.display();
        let fps = self.fps.unwrap_or(USUAL_FPS);
        anyhow::ensure!(
            fps.is_finite() && fps >= 0.001,
            "--fps must be at least 0.001, found {fps}\nhint: {USUAL_FPS} shows a frame every half second"
        );
        let mut files = Vec::new();
        let entries = std::fs::read_dir(path)
            .with_context(|| format!("cannot read `{shown}`\nhint: check the path"))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read `{shown}`\nhint: check the path"))?.path();
            let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
            let is_picture = ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == **known));
            if is_picture && path.is_file() {
                files.push(path);
            }
        }
        anyhow::ensure!(
            files.len() > 1,
            "expected frames in `{shown}`, found {} pictures\nhint: a folder of frames has two or more .{} files",
            files.len(),
            ENDINGS.join(", .")
        );
        files.sort_by_cached_key(|path| natural_key(path));
        let time = |i: usize| (i as f64 * 1000.0 / fps).round().min(f64::from(u32::MAX)) as u32;
        let times: Vec<u32> = (0..files.len()).map(time).collect();
        let wanted = spread(&times, n);
        let images = wanted.iter().map(|i| image_files::read(&files[*i])).collect::<anyhow::Result<_>>()?;
        Ok((wanted.iter().map(|i| times[*i]).collect(), images))
    }
}

/// Times in milliseconds, and the images that are seen then.
type Read = (Vec<u32>, Vec<data::image::RgbImage>);

/// Frames a second of a folder, where nobody says how many.
const USUAL_FPS: f64 = 2.0;

/// Of files that are taken for frames.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

fn of_gif(path: &Path, n: usize) -> anyhow::Result<Read> {
    let limits = ImageLimits::default();
    let shown = path.display().to_string();
    let bytes = image_files::bytes_of(path, &limits)?;
    anyhow::ensure!(
        bytes.starts_with(b"GIF8"),
        "expected an animated GIF or a folder of frames at `{shown}`, found another file\n\
         hint: `ffmpeg -i {shown} -vf fps=2 frames/%04d.png` makes a folder of frames of a film; --image shows a still picture"
    );
    let frames = decode_frames(&bytes, &shown, &limits, Background::WHITE, n)?;
    anyhow::ensure!(
        frames.len() > 1,
        "expected a moving picture at `{shown}`, found one of a single frame\nhint: --image shows a still picture"
    );
    Ok(frames.into_iter().map(|frame| (frame.time_ms, frame.image)).unzip())
}

/// Numbers in names count as numbers: `frame2` comes before `frame10`.
fn natural_key(path: &Path) -> Vec<(bool, u64, String)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut key: Vec<(bool, u64, String)> = Vec::new();
    for c in name.chars() {
        let digit = c.to_digit(10).map(u64::from);
        match (key.last_mut(), digit) {
            (Some((false, number, written)), Some(digit)) => {
                *number = number.saturating_mul(10).saturating_add(digit);
                written.push(c);
            }
            (_, Some(digit)) => key.push((false, digit, c.to_string())),
            (Some((true, _, text)), None) => text.push(c),
            (_, None) => key.push((true, 0, c.to_string())),
        }
    }
    key
}

/// The prompt with what stands before each image, and with as many placeholders for it as it has patches.
pub(crate) fn expanded(
    prompt: &[u32],
    vision: &VisionConfig,
    before: &[String],
    tokenizer: &Tokenizer,
) -> Vec<u32> {
    let mut before = before.iter();
    let mut ids = Vec::with_capacity(prompt.len());
    for id in prompt {
        if *id == vision.image_token
            && let Some(text) = before.next()
        {
            ids.extend(tokenizer.encode(text));
        }
        ids.push(*id);
    }
    vision.expanded(&ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_ordered_by_the_numbers_in_their_names() {
        let mut names = ["f10.png", "f2.png", "f002b.png", "a.png", "1.png", "f1.png"].map(PathBuf::from);
        names.sort_by_cached_key(|path| natural_key(path));
        assert_eq!(
            names.map(|name| name.display().to_string()),
            ["1.png", "a.png", "f1.png", "f002b.png", "f2.png", "f10.png"]
        );
    }
}
