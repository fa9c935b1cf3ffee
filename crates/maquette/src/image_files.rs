//! Images that a user names on the command line, as a model reads them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data::image::{Background, Filter, Fit, ImageLimits, ImageSource, Preprocessing, RgbImage, decode};
use model::{Picture, VisionConfig, checkpoint::PROCESSOR_FILES};
use serde_json::{Map, Value};

/// How a model with these eyes is given images: as the files beside it say, or, where there are none, padded to a square
/// with the mean colour and scaled to numbers from -1 to 1.
///
/// # Errors
/// If a file beside it cannot be read, or asks for something that is not done here.
pub(crate) fn preprocessing(dir: &Path, vision: &VisionConfig) -> anyhow::Result<Preprocessing> {
    let usual = Preprocessing::square(vision.image_size);
    // The images' part of the first wins over the second.
    for file in PROCESSOR_FILES {
        let path = dir.join(file);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            bytes => bytes.with_context(|| {
                format!("cannot read `{}`\nhint: check that you may read the file", path.display())
            })?,
        };
        let value: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is not JSON\nhint: copy the folder again", path.display()))?;
        let value = match file == PROCESSOR_FILES[0] {
            true => value["image_processor"].clone(),
            false => value,
        };
        if value.is_object() {
            return settings(&value, usual).with_context(|| format!("in `{}`", path.display()));
        }
    }
    Ok(usual)
}

/// The settings of an image processor of transformers.
fn settings(value: &Value, usual: Preprocessing) -> anyhow::Result<Preprocessing> {
    let kind = value["image_processor_type"].as_str().unwrap_or_default();
    let kind = kind.trim_end_matches("Fast").trim_end_matches("Pil");
    let refuse = |name: &str, expected: &str| {
        anyhow::anyhow!(
            "`{name}` is {}, this build knows {expected}\nhint: prepare the images beforehand",
            value[name]
        )
    };
    let fit = match kind {
        "LlavaImageProcessor" if value["do_pad"] == true => Fit::Pad,
        "LlavaImageProcessor" | "CLIPImageProcessor" => Fit::Crop,
        "SiglipImageProcessor" => Fit::Stretch,
        _ => {
            let known = "LlavaImageProcessor, CLIPImageProcessor and SiglipImageProcessor";
            return Err(refuse("image_processor_type", known));
        }
    };
    let filter = match value["resample"].as_u64() {
        Some(2) => Filter::Bilinear,
        Some(3) | None => Filter::Bicubic,
        Some(_) => return Err(refuse("resample", "2 and 3")),
    };
    let factor = value["rescale_factor"].as_f64().unwrap_or(1.0 / 255.0);
    if (factor - 1.0 / 255.0).abs() > 1e-9 {
        return Err(refuse("rescale_factor", "1/255"));
    }
    let colours = |name: &str, usual: [f32; 3]| -> anyhow::Result<[f32; 3]> {
        let Some(list) = value[name].as_array() else { return Ok(usual) };
        let numbers: Vec<f32> = list.iter().filter_map(|x| Some(x.as_f64()? as f32)).collect();
        <[f32; 3]>::try_from(numbers).map_err(|_| refuse(name, "three numbers"))
    };
    let (mean, std) = match value["do_normalize"] == false {
        true => ([0.0; 3], [1.0; 3]),
        false => (colours("image_mean", usual.mean)?, colours("image_std", usual.std)?),
    };
    anyhow::ensure!(
        std.iter().all(|std| *std > 0.0),
        "`image_std` is {}, expected numbers above 0\nhint: copy the folder again",
        value["image_std"]
    );
    Ok(Preprocessing { fit, filter, mean, std, ..usual })
}

/// Reads the images of these files.
///
/// # Errors
/// If one cannot be read or is no picture, or the model has no eyes.
pub(crate) fn open(
    paths: &[PathBuf],
    dir: &Path,
    vision: Option<&VisionConfig>,
) -> anyhow::Result<Vec<Picture>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let vision = vision.context(
        "expected no --image: this model reads text alone\nhint: use a model that was trained with images",
    )?;
    let preprocessing = preprocessing(dir, vision)?;
    let picture = |image: &RgbImage| Picture::new(preprocessing.patches(image, vision.patch_size));
    Ok(decoded(paths)?.iter().map(picture).collect())
}

/// The images of these files as they are.
///
/// # Errors
/// If one cannot be read or is no picture.
pub(crate) fn decoded(paths: &[PathBuf]) -> anyhow::Result<Vec<RgbImage>> {
    paths.iter().map(|path| read(path)).collect()
}

/// The pixels of a file.
///
/// # Errors
/// If it cannot be read or is no picture.
pub(crate) fn read(path: &Path) -> anyhow::Result<RgbImage> {
    let limits = ImageLimits::default();
    let bytes = bytes_of(path, &limits)?;
    Ok(decode(&bytes, &path.display().to_string(), &limits, Background::WHITE)?)
}

/// The bytes of a file that is no longer than a picture may be.
///
/// # Errors
/// If it cannot be read, or is no file.
pub(crate) fn bytes_of(path: &Path, limits: &ImageLimits) -> anyhow::Result<Vec<u8>> {
    let shown = path.display().to_string();
    let cannot_read = || format!("cannot read `{shown}`\nhint: check the path");
    let meta = std::fs::metadata(path).with_context(cannot_read)?;
    anyhow::ensure!(
        meta.is_file(),
        "expected a picture at `{shown}`, found a folder or device\nhint: name a file"
    );
    limits.check_bytes(&shown, usize::try_from(meta.len()).unwrap_or(usize::MAX))?;
    std::fs::read(path).with_context(cannot_read)
}

/// The images that a row of a file names in `images` or `image`: files of `folder`, or data URLs; `place` names the row.
///
/// # Errors
/// If one cannot be read or is no picture.
pub(crate) fn of_row(row: &Map<String, Value>, folder: &Path, place: &str) -> anyhow::Result<Vec<RgbImage>> {
    let names = match row.get("images").or_else(|| row.get("image")) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(names)) => &names[..],
        Some(name) => std::slice::from_ref(name),
    };
    let open = |name: &Value| -> anyhow::Result<RgbImage> {
        let found = || name.to_string().chars().take(60).collect::<String>();
        let text = name.as_str().or_else(|| name.get("path")?.as_str());
        let text = text.with_context(|| {
            format!(
                "expected names of pictures in `{place}`, found `{}`\nhint: such as {{\"images\": [\"chart.png\"]}}",
                found()
            )
        })?;
        let source = ImageSource::named(text, folder).map_err(|(expected, hint)| {
            anyhow::anyhow!("expected {expected} in `{place}`, found `{}`\nhint: {hint}", found())
        })?;
        Ok(source.decode(place, &ImageLimits::default(), Background::WHITE)?)
    };
    names.iter().map(open).collect()
}
