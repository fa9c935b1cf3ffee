//! `.parquet`: a row is one document; row groups are opened one after another, pages as they are reached.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    vec::IntoIter,
};

use parquet::{
    basic::{Compression, ConvertedType, Type as PhysicalType},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::{
        metadata::ColumnChunkMetaData,
        reader::{FileReader, SerializedFileReader},
    },
};

use super::{Item, Position, Raw, decode, sniff};
use crate::{DataError, InvalidUtf8, error::Damage};

/// Rows decoded at a time: enough to spread the cost of a call, few enough to stay small in memory.
const BATCH_ROWS: usize = 64;

/// Reads the text column of a file; without `arrow`, which would multiply compile time for one column of strings.
pub(super) struct ParquetReader {
    file: SerializedFileReader<File>,
    path: PathBuf,
    policy: InvalidUtf8,
    position: Position,
    column_idx: usize,
    /// 0 when the column is required, 1 when it may be null.
    max_level: i16,
    next_group: usize,
    rows: Option<ColumnReaderImpl<ByteArrayType>>,
    ready: IntoIter<Option<ByteArray>>,
    n_rows: u64,
    /// Rows of the open group that were decoded.
    n_group_rows: usize,
}

impl ParquetReader {
    pub(super) fn open(
        path: &Path,
        column: &str,
        policy: InvalidUtf8,
        position: &Position,
    ) -> Result<Self, DataError> {
        let mut file = File::open(path).map_err(DataError::io("read", path))?;
        let n_bytes = file.metadata().map_err(DataError::io("read", path))?.len();
        check_magic(&mut file, path, n_bytes)?;
        let footer = |error| malformed(path, "the footer", &error);
        let file = guarded(|| SerializedFileReader::new(file)).map_err(footer)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let Some(column_idx) =
            (0..schema.num_columns()).find(|&i| schema.column(i).path().string() == column)
        else {
            let found = schema.columns().iter().map(|c| c.path().string()).collect();
            return Err(DataError::Column { path: path.to_path_buf(), wanted: column.to_owned(), found });
        };
        let kind = schema.column(column_idx);
        let is_text = matches!(kind.converted_type(), ConvertedType::UTF8 | ConvertedType::NONE);
        if kind.physical_type() != PhysicalType::BYTE_ARRAY || !is_text || kind.max_rep_level() > 0 {
            let list = if kind.max_rep_level() > 0 { "a list of " } else { "" };
            let found = match kind.converted_type() {
                ConvertedType::NONE => format!("{list}{}", kind.physical_type()),
                converted => format!("{list}{converted}"),
            };
            return Err(DataError::ColumnType { path: path.to_path_buf(), wanted: column.to_owned(), found });
        }
        let max_level = kind.max_def_level();
        let groups = file.metadata().row_groups();
        if !groups.iter().all(|group| group.columns().get(column_idx).is_some_and(|c| is_inside(c, n_bytes)))
        {
            return Err(footer(ParquetError::General("a column outside of the file".to_owned())));
        }
        if groups.iter().any(|group| group.column(column_idx).compression() == Compression::LZO) {
            return Err(DataError::OtherFormat {
                path: path.to_path_buf(),
                expected: "a compression that is known",
                found: format!("LZO in column `{column}`"),
                hint: "write the file again with zstd or snappy".to_owned(),
            });
        }
        Ok(Self {
            file,
            path: path.to_path_buf(),
            policy,
            position: position.clone(),
            column_idx,
            max_level,
            next_group: 0,
            rows: None,
            ready: Vec::new().into_iter(),
            n_rows: 0,
            n_group_rows: 0,
        })
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, DataError> {
        loop {
            if let Some(value) = self.ready.next() {
                self.n_rows += 1;
                let Some(value) = value else {
                    return Ok(Some(Item::Document(Raw { text: String::new(), was_replaced: false })));
                };
                // Where the value lies in the file is not known: the row is named and the offset counts within it.
                let refusal = |offset: usize| {
                    let mut place = self.path.clone().into_os_string();
                    place.push(format!(":row {}", self.n_rows));
                    DataError::InvalidUtf8 { path: place.into(), offset: offset as u64 }
                };
                return decode(value.data().to_vec(), self.policy, refusal).map(Some);
            }
            if !self.read_batch()? {
                return Ok(None);
            }
        }
    }

    /// Decodes some more rows; false at the end of the file.
    fn read_batch(&mut self) -> Result<bool, DataError> {
        loop {
            let Some(rows) = &mut self.rows else {
                if self.next_group == self.file.num_row_groups() {
                    return Ok(false);
                }
                self.open_group()?;
                continue;
            };
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            let read = guarded(|| rows.read_records(BATCH_ROWS, Some(&mut levels), None, &mut values));
            let n_rows = match read {
                Ok((n_rows, _, _)) => n_rows,
                Err(error) => {
                    // What follows cannot be found; the next group can.
                    self.rows = None;
                    let group_idx = self.next_group - 1;
                    let n_all = self.file.metadata().row_group(group_idx).num_rows();
                    let place =
                        format!("row group {group_idx} from its row {} of {n_all} on", self.n_group_rows + 1);
                    return Err(malformed(&self.path, &place, &error));
                }
            };
            self.n_group_rows += n_rows;
            if n_rows == 0 {
                self.rows = None;
                continue;
            }
            let mut values = values.into_iter();
            let ready: Vec<_> = if self.max_level == 0 {
                values.map(Some).collect()
            } else {
                levels
                    .iter()
                    .map(|&level| if level == self.max_level { values.next() } else { None })
                    .collect()
            };
            self.ready = ready.into_iter();
            return Ok(true);
        }
    }

    fn open_group(&mut self) -> Result<(), DataError> {
        let group_idx = self.next_group;
        self.next_group += 1;
        self.n_group_rows = 0;
        let place = format!("row group {group_idx}");
        let error = |error| malformed(&self.path, &place, &error);
        let group = self.file.get_row_group(group_idx).map_err(error)?;
        self.position.add(group.metadata().compressed_size().max(0) as u64);
        let reader = guarded(|| group.get_column_reader(self.column_idx)).map_err(error)?;
        let ColumnReader::ByteArrayColumnReader(rows) = reader else {
            return Err(error(ParquetError::General("the column changes its type".to_owned())));
        };
        self.rows = Some(rows);
        Ok(())
    }
}

/// Whether the bytes of a column chunk are in the file: the library asserts a part of this.
pub(super) fn is_inside(column: &ColumnChunkMetaData, n_bytes: u64) -> bool {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let end = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
    end.and_then(|(start, len)| start.checked_add(len)).is_some_and(|end| end <= n_bytes)
}

/// Makes an error of a panic: the library has assertions that a damaged file can reach.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("contradictory sizes".to_owned())))
}

/// Refuses what is no parquet file, and one that is cut off, by its first and last bytes.
pub(super) fn check_magic(file: &mut File, path: &Path, n_bytes: u64) -> Result<(), DataError> {
    const MAGIC: &[u8] = b"PAR1";
    let mut head = Vec::new();
    let mut tail = Vec::new();
    file.by_ref()
        .take(sniff::HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .and_then(|_| file.seek(SeekFrom::Start(n_bytes.saturating_sub(MAGIC.len() as u64))))
        .and_then(|_| file.read_to_end(&mut tail))
        .and_then(|_| file.rewind())
        .map_err(DataError::io("read", path))?;
    let found = match (&head[..], &tail[..]) {
        (_, b"PARE") => sniff::ENCRYPTED,
        (head, _) if !head.starts_with(MAGIC) => sniff::any(head),
        (_, MAGIC) => return Ok(()),
        _ => {
            let missing = ParquetError::EOF("the last bytes, `PAR1`, are missing".to_owned());
            return Err(malformed(path, "the footer", &missing));
        }
    };
    Err(DataError::OtherFormat {
        path: path.to_path_buf(),
        expected: "a parquet file",
        found: found.name.to_owned(),
        hint: found.hint.to_owned(),
    })
}

pub(super) fn malformed(path: &Path, place: &str, error: &ParquetError) -> DataError {
    let damage = if matches!(error, ParquetError::EOF(_)) { Damage::CutOff } else { Damage::Content };
    DataError::Malformed {
        path: path.to_path_buf(),
        expected: "a parquet file",
        place: place.to_owned(),
        message: error.to_string(),
        damage,
    }
}
