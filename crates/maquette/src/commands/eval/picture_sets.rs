//! Data sets about pictures that are known by name: where they lie, and which rows are asked about.

use std::path::{Path, PathBuf};

use data::{
    image::ImageLimits,
    interleaved::{self, Row},
    pictures::RowSplit,
};
use serde::Serialize;

/// The part of a set that names no test of its own and is held out: `split` in its recipe says the same.
const HELD_OUT_SHARE: f64 = 0.1;

/// A data set with pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureSetTask {
    EasyVqa,
    Emoji,
    Storybook,
    Nlvr,
}

/// One set with what is there of it.
#[derive(Serialize)]
pub(super) struct Entry {
    task: &'static str,
    about: &'static str,
    source: &'static str,
    licence: &'static str,
    /// Its file below `--data`; none where that was not given, or it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip)]
    is_looked_for: bool,
}

impl PictureSetTask {
    pub(super) const ALL: [Self; 4] = [Self::EasyVqa, Self::Emoji, Self::Storybook, Self::Nlvr];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EasyVqa => "easy_vqa",
            Self::Emoji => "emoji",
            Self::Storybook => "storybook",
            Self::Nlvr => "nlvr",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::EasyVqa => "what shape a picture shows, and of what colour",
            Self::Emoji => "names of emoji that were held out, written and picked among four",
            Self::Storybook => {
                "texts of picture books that were held out, behind their own pictures and others"
            }
            Self::Nlvr => "whether a sentence is true of a picture",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::EasyVqa => "https://github.com/vzhou842/easy-VQA",
            Self::Emoji => "https://www.npmjs.com/package/emoji-datasource-google",
            Self::Storybook => "https://github.com/global-asp/asp-imagebank",
            Self::Nlvr => "https://github.com/lil-lab/nlvr",
        }
    }

    fn licence(self) -> &'static str {
        match self {
            Self::EasyVqa => "MIT",
            Self::Emoji => "Apache-2.0, names MIT",
            Self::Storybook => "CC-BY",
            Self::Nlvr => "CC-BY-4.0",
        }
    }

    /// The folder below `--data`, and the file in it.
    fn place(self) -> [&'static str; 2] {
        match self {
            Self::EasyVqa => ["vision-easy-vqa", "test.jsonl"],
            Self::Emoji => ["vision-emoji-noto", "emoji.jsonl"],
            Self::Storybook => ["vision-storybook", "pages.jsonl"],
            Self::Nlvr => ["vision-nlvr", "nlvr.jsonl"],
        }
    }

    /// Which rows of the file are asked about; all where none says so.
    fn split(self) -> Option<RowSplit> {
        match self {
            Self::EasyVqa => None,
            Self::Emoji => Some(RowSplit::of_pictures(HELD_OUT_SHARE)),
            // Whoever knows the other pages of a book knows its animals and its style.
            Self::Storybook => Some(RowSplit::of_field("story", HELD_OUT_SHARE)),
            Self::Nlvr => Some(RowSplit::of_value("split", "test")),
        }
    }

    /// The file in the folder, in one below it with the set's name, or without what such names begin with.
    pub(super) fn find(self, root: &Path) -> Option<PathBuf> {
        let [folder, file] = self.place();
        let short = folder.trim_start_matches("vision-");
        let folders = [root.join(folder), root.join(short), root.to_owned()];
        let files = folders
            .iter()
            .flat_map(|folder| [format!("{file}.gz"), file.to_owned()].map(|file| folder.join(file)));
        files.into_iter().find(|file| file.is_file())
    }

    /// The first `n` rows that are asked about, and their file.
    pub(super) fn rows(self, root: Option<&Path>, n: usize) -> anyhow::Result<(PathBuf, Vec<Row>)> {
        let (name, [folder, file]) = (self.name(), self.place());
        let root = root.ok_or_else(|| {
            anyhow::anyhow!(
                "expected a folder with the data of `{name}`, found no --data\nhint: --data DIR, with {folder}/{file} in it"
            )
        })?;
        let path = self.find(root).ok_or_else(|| {
            anyhow::anyhow!(
                "expected the data of `{name}` in `{}`, found no {folder}/{file}, packed or not\n\
                 hint: its pictures are published at {}; docs/pictures.md says how a line looks",
                root.display(),
                self.source()
            )
        })?;
        let split = self.split();
        let mut source = interleaved::open(&path, ImageLimits::default())?;
        let mut rows = Vec::new();
        while rows.len() < n
            && let Some(row) = source.next_row()?
        {
            if split.as_ref().map_or(Ok(true), |split| split.holds_out(&row))? {
                rows.push(row);
            }
        }
        anyhow::ensure!(
            !rows.is_empty(),
            "expected rows to test with in `{}`, found none\nhint: copy the file again",
            path.display()
        );
        Ok((path, rows))
    }

    /// With what is there below `root`.
    pub(super) fn entry(self, root: Option<&Path>) -> Entry {
        let shown = |root: &Path| {
            let file = self.find(root)?;
            Some(file.strip_prefix(root).unwrap_or(&file).display().to_string())
        };
        Entry {
            task: self.name(),
            about: self.about(),
            source: self.source(),
            licence: self.licence(),
            file: root.and_then(shown),
            is_looked_for: root.is_some(),
        }
    }
}

impl Entry {
    /// Two or three lines of `--list`.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{}  {}", self.task, self.about),
            format!("    {}  {}  for models that read images", self.source, self.licence),
        ];
        if self.is_looked_for {
            lines.push(format!("    items: {}", self.file.as_deref().unwrap_or("missing")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked about is what the recipe of the set keeps out of the training.
    #[test]
    fn recipes_hold_out_what_is_asked_about() {
        for (set, recipe) in [(PictureSetTask::Emoji, "emoji"), (PictureSetTask::Storybook, "storybook")] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../recipes/{recipe}.toml"));
            let recipe: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let pictures = &recipe["data"]["pictures"];
            let split: RowSplit = pictures["split"].clone().try_into().unwrap();
            assert_eq!(Some(split), set.split());
            let file = pictures["files"][0].as_str().unwrap();
            let [folder, name] = set.place();
            assert_eq!(file.trim_end_matches(".gz"), format!("../data/{folder}/{name}"));
        }
    }

    #[test]
    fn a_set_is_found_in_its_folder_and_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(PictureSetTask::Nlvr.find(root), None);
        for (folder, file) in [("", "nlvr.jsonl"), ("nlvr", "nlvr.jsonl"), ("vision-nlvr", "nlvr.jsonl.gz")] {
            let path = root.join(folder).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"").unwrap();
            assert_eq!(PictureSetTask::Nlvr.find(root).unwrap(), path, "the narrowest place wins");
        }
        let error = PictureSetTask::Emoji.rows(Some(root), 1).unwrap_err().to_string();
        assert!(error.contains("no vision-emoji-noto/emoji.jsonl") && error.contains("hint:"), "{error}");
        assert!(PictureSetTask::Emoji.rows(None, 1).unwrap_err().to_string().contains("no --data"));
        let entry = PictureSetTask::Nlvr.entry(Some(root));
        assert!(entry.lines()[2].contains("items: vision-nlvr/nlvr.jsonl.gz"), "{:?}", entry.lines());
        assert!(PictureSetTask::Emoji.entry(Some(root)).lines()[2].contains("missing"));
        assert_eq!(PictureSetTask::Emoji.entry(None).lines().len(), 2);
    }
}
