//! Files beneath one directory, and nothing outside it.
//!
//! Every name is opened with `openat2(2)` relative to the directory's descriptor, with the kernel itself told to
//! refuse whatever leaves it: `..`, absolute names, symbolic links, `/proc` links. There is no check before the use,
//! so there is nothing to race.

use super::path::{Path, encode};
use super::request::Reject;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Temporary names of uploads begin so; they are neither listed nor served.
const UPLOAD_PREFIX: &str = ".tunstack-upload-";

/// The most names in a listing.
const MAX_LISTED: usize = 10_000;

/// A directory that is served or filled.
pub struct Root {
    dir: OwnedFd,
}

/// What a path names.
pub(crate) enum Found {
    /// A regular file,
    File {
        /// open for reading,
        file: File,
        /// so many bytes long,
        len: u64,
        /// last changed then.
        modified: SystemTime,
    },
    /// A directory, open for reading.
    Directory(OwnedFd),
}

impl Root {
    /// Opens the directory at `path`. Symbolic links in `path` itself are followed: it is the owner's word.
    ///
    /// # Errors
    /// If it is not a directory or cannot be opened.
    pub fn open(path: &std::path::Path) -> std::io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root { dir: rustix::fs::open(path, flags, Mode::empty())? })
    }

    fn open_beneath(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.dir, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Opens what `path` names.
    pub(crate) fn find(&self, path: &Path) -> Result<Found, Reject> {
        if path.names().iter().any(|name| name.starts_with(UPLOAD_PREFIX)) {
            return Err(refusal(Errno::NOENT));
        }
        // Non-blocking, so that a FIFO without a writer does not hold us.
        let fd =
            self.open_beneath(&path.relative(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map_err(refusal)?;
        let stat = rustix::fs::fstat(&fd).map_err(refusal)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Found::Directory(fd)),
            FileType::RegularFile if path.slash() => Err(refusal(Errno::NOENT)),
            FileType::RegularFile => Ok(Found::File {
                file: File::from(fd),
                len: u64::try_from(stat.st_size).unwrap_or(0),
                modified: UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0)),
            }),
            _ => Err(Reject::new(403, "neither a file nor a directory")),
        }
    }

    /// Begins to store a file under `path`; its directory must exist.
    pub(crate) fn create(&self, path: &Path) -> Result<Upload, Reject> {
        let Some((name, parents)) = path.names().split_last() else {
            return Err(Reject::new(400, "a name is missing"));
        };
        if path.slash() || name.starts_with(UPLOAD_PREFIX) {
            return Err(Reject::new(400, "this name cannot be stored"));
        }
        let parent = if parents.is_empty() { ".".into() } else { parents.join("/") };
        let dir = self.open_beneath(&parent, OFlags::RDONLY | OFlags::DIRECTORY).map_err(refusal)?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{UPLOAD_PREFIX}{}-{number}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&dir, &*temporary, flags, Mode::from_raw_mode(0o644)).map_err(refusal)?;
        Ok(Upload { dir, temporary, name: name.clone(), file: File::from(fd), stored: false })
    }
}

/// A file being stored. It gets its name when it is complete; dropped before that, it vanishes.
pub(crate) struct Upload {
    dir: OwnedFd,
    temporary: String,
    name: String,
    /// Where the bytes go.
    pub(crate) file: File,
    stored: bool,
}

impl Upload {
    /// Gives the file its name; says whether another file had it before.
    pub(crate) fn store(mut self) -> Result<bool, Reject> {
        let replaced = match rustix::fs::statat(&self.dir, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(Reject::new(409, "there is a directory of that name"));
            }
            Ok(_) => true,
            Err(_) => false,
        };
        rustix::fs::renameat(&self.dir, &*self.temporary, &self.dir, &*self.name).map_err(refusal)?;
        self.stored = true;
        Ok(replaced)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.stored {
            let _ = rustix::fs::unlinkat(&self.dir, &*self.temporary, AtFlags::empty());
        }
    }
}

fn refusal(errno: Errno) -> Reject {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Reject::new(404, "there is nothing of that name"),
        // LOOP: a symbolic link; XDEV: it leads out.
        Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::XDEV => Reject::new(403, "this is not open to you"),
        Errno::EXIST | Errno::ISDIR => Reject::new(409, "the name is taken"),
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Reject::new(507, "there is no room"),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Reject::new(503, "too busy"),
        Errno::ROFS => Reject::new(403, "this cannot be written"),
        _ => Reject::new(500, "the file system failed"),
    }
}

/// The refusal for a failed write to an upload.
pub(crate) fn write_refusal(error: &std::io::Error) -> Reject {
    error.raw_os_error().map_or(Reject::new(500, "the file system failed"), |n| refusal(Errno::from_raw_os_error(n)))
}

/// A page that lists the directory `dir`, which is at `path`. Nothing in it is taken from a name without being escaped.
pub(crate) fn listing(dir: OwnedFd, path: &Path) -> Result<String, Reject> {
    let mut entries = Vec::new();
    let mut more = false;
    for entry in rustix::fs::Dir::new(dir).map_err(refusal)? {
        let entry = entry.map_err(refusal)?;
        // A name that is not UTF-8 has no URL here, so it is not shown either.
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." || name.starts_with(UPLOAD_PREFIX) {
            continue;
        }
        if entries.len() == MAX_LISTED {
            more = true;
            break;
        }
        let slash = if entry.file_type() == FileType::Directory { "/" } else { "" };
        entries.push((name.to_owned(), slash));
    }
    entries.sort();
    let title = escape(&path.as_directory());
    let mut page = format!("<!doctype html>\n<meta charset=utf-8>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n");
    if !path.names().is_empty() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for (name, slash) in entries {
        let _ = writeln!(page, "<li><a href=\"./{}{slash}\">{}{slash}</a>", encode(&name), escape(&name));
    }
    page.push_str("</ul>\n");
    if more {
        page.push_str("<p>There are more.\n");
    }
    Ok(page)
}

/// `text` with nothing in it that a browser would take for markup.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_second_wall_holds_without_the_first() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(top.path().join("secret"), "x").unwrap();
        std::fs::write(root.join("inside"), "x").unwrap();
        symlink("inside", root.join("link")).unwrap();
        let opened = Root::open(&root).unwrap();
        let open = |name: &str| opened.open_beneath(name, OFlags::RDONLY).map(drop);
        assert_eq!(open("inside"), Ok(()));
        assert_eq!(open("../secret"), Err(Errno::XDEV));
        assert_eq!(open("../root/inside"), Err(Errno::XDEV));
        assert_eq!(open("/etc/passwd"), Err(Errno::XDEV));
        assert_eq!(open("link"), Err(Errno::LOOP));
    }

    #[test]
    fn a_fifo_is_no_file_and_holds_nobody() {
        let top = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(Root::open(top.path()).unwrap().dir, "fifo", FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let found = Root::open(top.path()).unwrap().find(&Path::parse("/fifo").unwrap());
        assert_eq!(found.map(drop).unwrap_err().status, 403);
    }
}
