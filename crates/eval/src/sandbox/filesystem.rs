//! The file system that a program sees: the interpreter and its libraries, read-only, and an empty folder in memory.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statvfs::{FsFlags, statvfs},
    unistd::{chdir, pivot_root},
};

/// Where a program may write.
pub(super) const WORK: &str = "/work";

/// Folders of the system that an interpreter needs, where they are there.
const SYSTEM: [&str; 7] = ["/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/sbin"];
/// Places that any system has, and on which the new root may be mounted.
const PLACES: [&str; 5] = ["/mnt", "/media", "/srv", "/opt", "/tmp"];

/// Makes this process see what a program may see, and nothing else.
pub(super) fn isolate(python: &Path, prefix: &Path) -> io::Result<()> {
    const NOTHING: Option<&str> = None;
    // Nothing that is mounted here is seen outside.
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    let is_free = |place: &&&str| {
        let place = Path::new(**place);
        place.is_dir() && !python.starts_with(place) && !prefix.starts_with(place)
    };
    let root = PLACES.iter().find(is_free).ok_or_else(|| io::Error::other("no folder to mount on"))?;
    let root = PathBuf::from(root);
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), &root, Some("tmpfs"), plain, Some("size=1m,nr_inodes=512,mode=755"))?;

    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    for folder in SYSTEM.map(Path::new) {
        match fs::symlink_metadata(folder) {
            Ok(meta) if meta.is_symlink() => symlink(fs::read_link(folder)?, inside(folder))?,
            Ok(meta) if meta.is_dir() => show(folder, &inside(folder))?,
            _ => {}
        }
    }
    let is_shown = |path: &Path| SYSTEM.iter().any(|folder| path.starts_with(folder));
    for path in [prefix, python.parent().unwrap_or(python)] {
        if !is_shown(path) && !inside(path).exists() {
            show(path, &inside(path))?;
        }
    }
    for file in ["/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom"].map(Path::new) {
        if file.exists() {
            let target = inside(file);
            fs::create_dir_all(target.parent().unwrap_or(&root))?;
            fs::write(&target, "")?;
            mount(Some(file), &target, NOTHING, MsFlags::MS_BIND, NOTHING)?;
        }
    }
    let work = inside(Path::new(WORK));
    fs::create_dir(&work)?;
    let free = plain | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), &work, Some("tmpfs"), free, Some("size=64m,nr_inodes=1024,mode=777"))?;
    let old = root.join("old");
    fs::create_dir(&old)?;
    pivot_root(&root, &old)?;
    chdir("/")?;
    umount2("/old", MntFlags::MNT_DETACH)?;
    fs::remove_dir("/old")?;
    mount(
        NOTHING,
        "/",
        NOTHING,
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | plain,
        NOTHING,
    )?;
    chdir(WORK)?;
    Ok(())
}

/// Shows a folder of the system, read-only, with everything that is mounted in it left out.
fn show(folder: &Path, target: &Path) -> io::Result<()> {
    const NOTHING: Option<&str> = None;
    fs::create_dir_all(target)?;
    // Inside a user namespace what is mounted in a folder cannot be left out; it stays read-only or not as it is.
    mount(Some(folder), target, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)?;
    // Flags that were set outside must stay.
    let set = statvfs(target)?.flags();
    let kept = [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let kept = kept.into_iter().filter(|(flag, _)| set.contains(*flag)).map(|(_, flag)| flag);
    let flags = kept.fold(
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        |flags, flag| flags | flag,
    );
    mount(NOTHING, target, NOTHING, flags, NOTHING)?;
    Ok(())
}
