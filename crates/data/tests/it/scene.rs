//! A folder of files to prepare.

use std::{
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use data::{DataConfig, DataError, Document, Documents, Prepared, Progress, SourceConfig, Split, Tokenizer};

/// A temporary folder; removed at the end.
pub(crate) struct Scene(tempfile::TempDir);

impl Scene {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let scene = Self::new();
        files.iter().for_each(|(name, content)| drop(scene.write(name, content.as_bytes())));
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn source(&self, name: &str) -> SourceConfig {
        SourceConfig::new(self.path(name).display().to_string())
    }

    /// These sources, everything else at its default.
    pub(crate) fn config(&self, names: &[&str]) -> DataConfig {
        DataConfig::new(names.iter().map(|name| self.source(name)).collect())
    }

    pub(crate) fn prepare(
        &self,
        config: &DataConfig,
        tokenizer: &Tokenizer,
    ) -> Result<Arc<Prepared>, DataError> {
        data::prepare(config, tokenizer, &self.path("out"), &mut go_on).map(Arc::new)
    }
}

pub(crate) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every document of a corpus.
pub(crate) fn documents(config: &DataConfig) -> Result<Vec<Document>, DataError> {
    let mut documents = Documents::open(config)?;
    let mut all = Vec::new();
    while let Some(document) = documents.next_document()? {
        all.push(document);
    }
    Ok(all)
}

/// The texts of a corpus on one side of the split.
pub(crate) fn texts(config: &DataConfig, split: Split) -> Vec<String> {
    let all = documents(config).unwrap();
    all.into_iter().filter(|document| document.split == split).map(|document| document.text).collect()
}

/// One JSON line with a text.
pub(crate) fn line(text: &str) -> String {
    format!("{}\n", serde_json::json!({ "title": "t", "text": text }))
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Rows of an id and a nullable text, `rows_per_group` at a time.
pub(crate) fn parquet(rows: &[Option<&str>], rows_per_group: usize) -> Vec<u8> {
    use parquet::{
        data_type::{ByteArray, ByteArrayType, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };
    let schema = "message m { REQUIRED INT64 id; OPTIONAL BYTE_ARRAY text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let compression = parquet::basic::Compression::SNAPPY;
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for rows in rows.chunks(rows_per_group) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..rows.len() as i64).collect();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = rows.iter().flatten().map(|&text| text.into()).collect();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// The first chapters of a book, about 100 kB.
pub(crate) fn english() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut config = DataConfig::new(vec![SourceConfig::new(
            shipped("classic-books/val.jsonl.gz").display().to_string(),
        )]);
        config.validation = data::ValidationConfig::Tail { fraction: 0.5 };
        let mut text = documents(&config).unwrap().remove(0).text;
        text.truncate(text.floor_char_boundary(100_000));
        text
    });
    &TEXT
}

/// A file of the data that ships with the project.
pub(crate) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}
