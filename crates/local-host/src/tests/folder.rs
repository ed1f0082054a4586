//! A watched folder, with and without notices of the system.

use std::{fs, io::Write, path::Path, time::Duration};

use rstest::rstest;
use serde_json::Value;

use crate::{EventSource, FolderWatch, FolderWatchOptions};

const PREFIX: &str = "/blobServices/default/containers/bronze/blobs/";

/// Starts a watch with short times.
fn watch(root: &Path, notices: bool) -> FolderWatch {
    watch_with(root, notices, Duration::from_millis(200))
}

fn watch_with(root: &Path, notices: bool, settle: Duration) -> FolderWatch {
    let mut options = FolderWatchOptions::new(root, |metadata| format!("{:x}", metadata.len()))
        .with_suffixes([".nc"]);
    options.notices = notices;
    options.settle = settle;
    options.poll_interval = Duration::from_millis(50);
    FolderWatch::start(options).unwrap()
}

/// The next event as `+name length` or `-name`.
async fn next(watch: &mut FolderWatch) -> String {
    let event = tokio::time::timeout(Duration::from_secs(5), watch.next())
        .await
        .expect("an event")
        .unwrap();
    in_short(&event)
}

fn in_short(event: &Value) -> String {
    let name = event["subject"]
        .as_str()
        .unwrap()
        .strip_prefix(PREFIX)
        .unwrap();
    match event["eventType"].as_str().unwrap() {
        "Microsoft.Storage.BlobCreated" => format!("+{name} {}", event["data"]["contentLength"]),
        "Microsoft.Storage.BlobDeleted" => format!("-{name}"),
        other => panic!("{other}"),
    }
}

async fn is_quiet(watch: &mut FolderWatch) -> bool {
    tokio::time::timeout(Duration::from_millis(600), watch.next())
        .await
        .is_err()
}

#[rstest]
#[tokio::test]
async fn files_are_announced_as_they_land_change_move_and_go(#[values(true, false)] notices: bool) {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir(path("sub")).unwrap();
    fs::write(path("sub/old.nc"), "1").unwrap();
    let mut watch = watch(root.path(), notices);
    assert_eq!(next(&mut watch).await, "+sub/old.nc 1");
    fs::write(path("new.nc"), "22").unwrap();
    assert_eq!(next(&mut watch).await, "+new.nc 2");
    fs::write(path("new.nc"), "333").unwrap();
    assert_eq!(next(&mut watch).await, "+new.nc 3");
    fs::rename(path("new.nc"), path("sub/moved.nc")).unwrap();
    let mut moved = [next(&mut watch).await, next(&mut watch).await];
    moved.sort();
    assert_eq!(moved, ["+sub/moved.nc 3", "-new.nc"]);
    fs::remove_file(path("sub/old.nc")).unwrap();
    assert_eq!(next(&mut watch).await, "-sub/old.nc");
    assert!(is_quiet(&mut watch).await);
}

#[rstest]
#[tokio::test]
async fn folders_bring_and_take_their_files(#[values(true, false)] notices: bool) {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in(root.path().parent().unwrap()).unwrap();
    fs::create_dir(outside.path().join("deep")).unwrap();
    fs::write(outside.path().join("deep/a.nc"), "1").unwrap();
    let mut watch = watch(root.path(), notices);
    fs::rename(outside.path().join("deep"), root.path().join("deep")).unwrap();
    assert_eq!(next(&mut watch).await, "+deep/a.nc 1");
    fs::rename(root.path().join("deep"), outside.path().join("deep")).unwrap();
    assert_eq!(next(&mut watch).await, "-deep/a.nc");
    fs::create_dir_all(root.path().join("x/y")).unwrap();
    fs::write(root.path().join("x/y/b.nc"), "22").unwrap();
    assert_eq!(next(&mut watch).await, "+x/y/b.nc 2");
}

#[tokio::test]
async fn a_file_that_replaces_another_is_a_new_version() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.nc"), "1").unwrap();
    let mut watch = watch(root.path(), true);
    assert_eq!(next(&mut watch).await, "+a.nc 1");
    fs::write(root.path().join("a.nc.part"), "22").unwrap();
    fs::rename(root.path().join("a.nc.part"), root.path().join("a.nc")).unwrap();
    assert_eq!(next(&mut watch).await, "+a.nc 2");
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test]
async fn a_file_held_open_is_announced_when_it_is_closed() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch_with(root.path(), true, Duration::from_secs(3));
    let mut file = fs::File::create(root.path().join("a.nc")).unwrap();
    for _ in 0..20 {
        file.write_all(b"x").unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(file);
    let closed = std::time::Instant::now();
    assert_eq!(next(&mut watch).await, "+a.nc 20");
    assert!(
        closed.elapsed() < Duration::from_secs(1),
        "without waiting for it to settle"
    );
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test]
async fn a_copy_that_closes_after_every_piece_ends_with_its_full_length() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path(), true);
    for _ in 0..20 {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(root.path().join("a.nc"))
            .unwrap();
        file.write_all(b"x").unwrap();
        drop(file);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut last = next(&mut watch).await;
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(600), watch.next()).await {
        last = in_short(&event.unwrap());
    }
    assert_eq!(last, "+a.nc 20");
}

#[tokio::test]
async fn hidden_temporary_and_other_files_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = watch(root.path(), true);
    fs::create_dir(root.path().join(".hidden")).unwrap();
    for name in [
        ".a.nc",
        ".hidden/a.nc",
        "a.nc.part",
        "a.tmp",
        "a.nc~",
        "a.txt",
    ] {
        fs::write(root.path().join(name), "1").unwrap();
    }
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test]
async fn a_folder_that_is_not_there_cannot_be_watched() {
    let root = tempfile::tempdir().unwrap();
    let options = FolderWatchOptions::new(&root.path().join("none"), |_| String::new());
    assert!(FolderWatch::start(options).is_err());
}

#[tokio::test]
async fn a_restarted_watch_announces_what_happened_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in [("same.nc", "1"), ("changed.nc", "333")] {
        fs::write(root.path().join(name), content).unwrap();
    }
    let mut options =
        FolderWatchOptions::new(root.path(), |metadata| format!("{:x}", metadata.len()));
    options.known = ["same.nc", "changed.nc", "gone.nc"]
        .map(|name| (name.to_owned(), "1".to_owned()))
        .into();
    options.settle = Duration::from_millis(50);
    let mut watch = FolderWatch::start(options).unwrap();
    let mut events = [next(&mut watch).await, next(&mut watch).await];
    events.sort();
    assert_eq!(events, ["+changed.nc 3", "-gone.nc"]);
    assert!(is_quiet(&mut watch).await);
}

/// A watch at work that would wait a minute for a file to settle.
async fn patient_watch(root: &Path) -> FolderWatch {
    let old = fs::File::create(root.join("old.nc")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let mut watch = watch_with(root, true, Duration::from_secs(60));
    assert_eq!(next(&mut watch).await, "+old.nc 0");
    watch
}

#[tokio::test]
async fn a_file_closed_in_a_new_folder_need_not_settle() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = patient_watch(root.path()).await;
    for round in 0..20 {
        let folder = root.path().join(format!("{round}/below"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.nc"), "333").unwrap();
        assert_eq!(next(&mut watch).await, format!("+{round}/below/a.nc 3"));
    }
}

#[tokio::test]
async fn a_file_open_in_a_new_folder_has_not_landed() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = patient_watch(root.path()).await;
    fs::create_dir(root.path().join("new")).unwrap();
    let mut open = fs::File::create(root.path().join("new/a.nc")).unwrap();
    open.write_all(b"22").unwrap();
    assert!(is_quiet(&mut watch).await);
    open.write_all(b"44").unwrap();
    drop(open);
    assert_eq!(next(&mut watch).await, "+new/a.nc 4");
}
