//! Directories on their way out: put aside at once, deleted later.
//!
//! What tasks left behind can be of any size, any depth, and closed against deletion. So nothing that cannot wait ever
//! deletes: [`discard`] renames, and [`empty`] deletes in the background what lies there, also after a restart.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What became of the trash.
#[derive(Debug, Default)]
pub struct Emptied {
    /// Deletions, and moves that led to them.
    pub steps: u64,
    /// Directories that could not be deleted, and stay.
    pub stuck: u64,
    /// Why the first of them stays.
    pub error: Option<(PathBuf, io::Error)>,
}

/// Moves a directory into the trash, which is made if need be and is on the same file system.
///
/// # Errors
/// It cannot be moved and is still where it was.
pub fn discard(dir: &Path, trash: &Path) -> io::Result<()> {
    let Some(name) = dir.file_name().and_then(|name| name.to_str()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the directory has no name"));
    };
    match fs::symlink_metadata(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    make(trash)?;
    move_to_free_name(dir, |number| trash.join(format!("{name}.{number}")))
}

/// Deletes what is in the trash, until `stop` says so. What cannot be deleted stays, and is tried again the next time.
///
/// No directory is ever entered deeper than its first level: the directories in it are moved up into the trash itself. So
/// neither memory nor descriptors grow with what is deleted, and no path becomes too long.
pub fn empty(trash: &Path, stop: impl Fn() -> bool) -> Emptied {
    let mut emptied = Emptied::default();
    let mut fresh = 0;
    loop {
        let (mut progress, mut stuck) = (0, 0);
        let mut error = None;
        let Ok(entries) = fs::read_dir(trash) else { return emptied };
        for path in entries.flatten().map(|entry| entry.path()) {
            if stop() {
                return emptied;
            }
            if let Err(cause) = delete(&path, trash, &mut fresh, &mut progress, &stop) {
                stuck += 1;
                error.get_or_insert((path, cause));
            }
        }
        emptied.steps += progress;
        if progress == 0 {
            return Emptied { stuck, error, ..emptied };
        }
    }
}

fn make(trash: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(trash)
}

/// Deletes one thing in the trash; directories in it move up. Counts what it did even when it fails.
fn delete(
    path: &Path,
    trash: &Path,
    fresh: &mut u64,
    progress: &mut u64,
    stop: &impl Fn() -> bool,
) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        fs::remove_file(path)?;
        *progress += 1;
        return Ok(());
    }
    let mut first = None;
    for entry in open_up(path)? {
        if stop() {
            return Ok(());
        }
        let entry = entry?;
        let done = if entry.file_type()?.is_dir() {
            move_to_free_name(&entry.path(), |_| {
                *fresh += 1;
                trash.join(format!("{fresh}"))
            })
        } else {
            fs::remove_file(entry.path())
        };
        match done {
            Ok(()) => *progress += 1,
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    match first {
        // What became of the rest counts as progress; this is what keeps the directory.
        Some(error) => Err(error),
        None => {
            fs::remove_dir(path)?;
            *progress += 1;
            Ok(())
        }
    }
}

/// Lists a directory, after making it one that may be changed: a task can have closed it.
fn open_up(path: &Path) -> io::Result<fs::ReadDir> {
    if fs::symlink_metadata(path)?.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    fs::read_dir(path)
}

/// Moves a directory to the first of the names that is free.
fn move_to_free_name(dir: &Path, mut name: impl FnMut(u64) -> PathBuf) -> io::Result<()> {
    let mut opened = false;
    let mut number = 0;
    loop {
        let Err(error) = fs::rename(dir, name(number)) else { return Ok(()) };
        match error.kind() {
            io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory => {
                number += 1;
            }
            // A directory that is closed against writing cannot get another parent.
            io::ErrorKind::PermissionDenied if !opened => {
                opened = true;
                drop(open_up(dir)?);
            }
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> bool {
        false
    }

    #[test]
    fn whatever_a_task_left_is_put_aside_at_once_and_deleted_later() {
        let home = tempfile::tempdir().unwrap();
        let trash = home.path().join("trash");
        for _ in 0..2 {
            let dir = home.path().join("a1");
            fs::create_dir_all(dir.join("task/closed/inner")).unwrap();
            fs::write(dir.join("task/closed/inner/file"), "x").unwrap();
            std::os::unix::fs::symlink("/", dir.join("task/link")).unwrap();
            for closed in ["task/closed/inner", "task/closed", "task", ""] {
                fs::set_permissions(dir.join(closed), Permissions::from_mode(0o555)).unwrap();
            }
            discard(&dir, &trash).unwrap();
            assert!(!dir.exists());
            discard(&dir, &trash).unwrap();
        }
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 2);
        let emptied = empty(&trash, never);
        assert_eq!((emptied.steps > 10, emptied.stuck), (true, 0), "{emptied:?}");
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_deleted_with_few_descriptors() {
        let home = tempfile::tempdir().unwrap();
        let trash = home.path().join("trash");
        let dir = home.path().join("deep");
        fs::create_dir(&dir).unwrap();
        // Each is wrapped in the next one, for no path could be built downwards that far.
        let name = "d".repeat(200);
        for _ in 0..1_200 {
            let outer = home.path().join("outer");
            fs::create_dir(&outer).unwrap();
            fs::rename(&dir, outer.join(&name)).unwrap();
            fs::rename(&outer, &dir).unwrap();
        }
        discard(&dir, &trash).unwrap();
        let emptied = empty(&trash, never);
        assert_eq!((emptied.steps, emptied.stuck), (2_401, 0), "{emptied:?}");
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
    }

    #[test]
    fn emptying_stops_when_it_is_told_to() {
        let home = tempfile::tempdir().unwrap();
        let trash = home.path().join("trash");
        for number in 0..10 {
            fs::create_dir_all(trash.join(number.to_string())).unwrap();
        }
        assert_eq!(empty(&trash, || true).steps, 0);
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 10);
    }
}
