//! A file that appears under its name when it is whole.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{FileError, disk, temporary};

/// A file under a temporary name; [`AtomicFile::finish`] gives it its own, and dropping it before removes it.
///
/// Its mode is that of any new file, 0666 less the umask, or that of the file that it replaces. A link is followed: the
/// file that it leads to is replaced, and the link stays. Missing folders on the way are made, and removed again when the
/// file is dropped before its end.
///
/// What is no file keeps its place. Character devices such as `/dev/null`, and what a shell hands over as `/dev/stdout` or
/// `/dev/fd/N`, are written to as they are; folders, named pipes, sockets, disks and links that lead nowhere are refused.
#[derive(Debug)]
pub struct AtomicFile {
    /// As the caller named it.
    path: PathBuf,
    file: File,
    /// None where bytes go straight to a device or stream.
    replacement: Option<Replacement>,
}

/// What stands where until the file is whole.
#[derive(Debug)]
struct Replacement {
    temporary: PathBuf,
    /// The target behind all links.
    place: PathBuf,
    /// Of the file that is replaced.
    mode: Option<Permissions>,
    /// Folders made for it, outermost first.
    folders: Vec<PathBuf>,
}

impl AtomicFile {
    /// Begins a file that will be `path`.
    ///
    /// # Errors
    /// If `path` is something that cannot be replaced, or nothing can be written beside it.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let error = || FileError::new("write", path);
        let (place, mode) = match destination(path).map_err(error())? {
            Destination::Stream(file) => {
                return Ok(Self { path: path.to_owned(), file, replacement: None });
            }
            Destination::File(place, mode) => (place, mode),
        };
        let folders = make_folders(folder_of(&place)).map_err(error())?;
        let created = (0..16).find_map(|_| {
            let temporary = temporary::beside(&place);
            match disk::create_new(&temporary) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
                created => Some(created.map(|file| (temporary, file))),
            }
        });
        match created.unwrap_or_else(|| Err(ErrorKind::AlreadyExists.into())) {
            Ok((temporary, file)) => {
                // It says that the file is in use; where there are no locks, nothing does.
                let _ = file.try_lock();
                temporary::begin(&temporary);
                let replacement = Some(Replacement { temporary, place, mode, folders });
                Ok(Self { path: path.to_owned(), file, replacement })
            }
            Err(source) => {
                remove_folders(&folders);
                Err(error()(source))
            }
        }
    }

    /// Flushes the file to disk and gives it its name; a file that has the name is replaced.
    ///
    /// # Errors
    /// What the operating system reports; an older file is then still whole.
    pub fn finish(self) -> Result<(), FileError> {
        self.complete(disk::rename)
    }

    /// As [`AtomicFile::finish`], but a file that got the name meanwhile is not replaced.
    ///
    /// # Errors
    /// If there is such a file, or what the operating system reports.
    pub fn finish_new(self) -> Result<(), FileError> {
        self.complete(|temporary, place| match disk::hard_link(temporary, place) {
            Ok(()) => disk::remove_file(temporary),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // Not every disk has links.
            Err(_) if place.symlink_metadata().is_ok() => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => disk::rename(temporary, place),
        })
    }

    fn complete(mut self, name: impl FnOnce(&Path, &Path) -> io::Result<()>) -> Result<(), FileError> {
        let mut done = self.file.flush();
        if let Some(replacement) = &self.replacement {
            let Replacement { temporary, place, mode, .. } = replacement;
            let mode = mode.clone();
            done = done
                .and_then(|()| mode.map_or(Ok(()), |mode| self.file.set_permissions(mode)))
                .and_then(|()| disk::sync(&self.file))
                .and_then(|()| name(temporary, place));
            if done.is_ok() {
                temporary::end(temporary);
                let parent = folder_of(place).to_owned();
                // From here on there is nothing to remove.
                self.replacement = None;
                done = disk::sync_folder(&parent);
            }
        }
        done.map_err(FileError::new("write", &self.path))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(Replacement { temporary, folders, .. }) = &self.replacement {
            // Whatever ended the writing is what gets reported.
            let _ = disk::remove_file(temporary);
            temporary::end(temporary);
            remove_folders(folders);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A stream takes what it can at a time; a file takes all.
        match self.replacement {
            None => self.file.write(bytes),
            Some(_) => disk::write_all(&mut self.file, bytes).map(|()| bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Not for a stream or device, which may not be able to.
impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes a whole file, or leaves the one that was there.
///
/// # Errors
/// As [`AtomicFile`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(FileError::new("write", path))?;
    file.finish()
}

/// Writes a whole file where there is none.
///
/// # Errors
/// As [`AtomicFile`], or if there is a file.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(FileError::new("write", path))?;
    file.finish_new()
}

/// Whether bytes for `path` go to what a shell handed over under that name, whatever it is.
pub fn is_stream(path: &Path) -> bool {
    let Some(name) = path.to_str().filter(|_| cfg!(unix)) else { return false };
    // A number alone: `/dev/fd/../../home/thesis.txt` is a file.
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit());
    let folders = ["/dev/fd/", "/proc/self/fd/"];
    ["/dev/stdout", "/dev/stderr"].contains(&name)
        || folders.iter().any(|folder| name.strip_prefix(folder).is_some_and(is_number))
}

/// Where bytes for a path go.
enum Destination {
    /// To a file, with its permissions where it is there already.
    File(PathBuf, Option<Permissions>),
    /// To what is open or is no file.
    Stream(File),
}

fn destination(path: &Path) -> io::Result<Destination> {
    let text = path.as_os_str().as_encoded_bytes();
    if path.file_name().is_none() || text.ends_with(b"/") {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it names no file"));
    }
    #[cfg(unix)]
    if is_stream(path) {
        return stream::handed_over(path).map(Destination::Stream);
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            let place = fs::canonicalize(path)?;
            Ok(Destination::File(place, Some(meta.permissions())))
        }
        Ok(meta) if meta.is_dir() => Err(ErrorKind::IsADirectory.into()),
        #[cfg(unix)]
        Ok(meta) => stream::device(path, &meta).map(Destination::Stream),
        #[cfg(not(unix))]
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is a device")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(io::Error::new(ErrorKind::InvalidInput, "it is a link that leads nowhere"));
            }
            Ok(Destination::File(path.to_owned(), None))
        }
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
mod stream {
    use std::{
        fs::{File, Metadata, OpenOptions},
        io::{self, Error, ErrorKind, Write as _},
        os::{fd::AsFd as _, unix::fs::FileTypeExt as _},
        path::Path,
    };

    /// What a shell hands over under a name in `/dev`: `--plot /dev/stdout`, `--out >(gzip > a.gz)`.
    pub(super) fn handed_over(path: &Path) -> io::Result<File> {
        match path.to_str() {
            Some("/dev/stdout") => {
                let mut stdout = io::stdout();
                // What was said before comes before.
                stdout.flush()?;
                stdout.as_fd().try_clone_to_owned().map(File::from)
            }
            Some("/dev/stderr") => io::stderr().as_fd().try_clone_to_owned().map(File::from),
            // A file that is open there is written on.
            _ => OpenOptions::new().append(true).open(path),
        }
    }

    /// A character device; nothing else that is no file.
    pub(super) fn device(path: &Path, meta: &Metadata) -> io::Result<File> {
        let kind = meta.file_type();
        let what = if kind.is_char_device() {
            return OpenOptions::new().write(true).open(path);
        } else if kind.is_fifo() {
            "it is a named pipe"
        } else if kind.is_socket() {
            "it is a socket"
        } else {
            "it is a device"
        };
        Err(Error::new(ErrorKind::InvalidInput, what))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those that it lies in; returns those that were not there, outermost first.
///
/// # Errors
/// What the operating system reports; nothing new is left then.
pub fn make_folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    let made = disk::create_dir_all(folder);
    if made.is_err() {
        remove_folders(&missing);
    }
    made.map(|()| missing)
}

/// Removes those that [`make_folders`] made, as far as they are still empty.
pub fn remove_folders(folders: &[PathBuf]) {
    folders.iter().rev().take_while(|folder| disk::remove_dir(folder).is_ok()).for_each(drop);
}
