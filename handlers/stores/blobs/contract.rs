//! What every store must keep, run against each of them.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use virtualize::ByteRange;

use super::{BlobError, BlobPath, Blobs, PutCondition};

/// A store, and a way to put sources into it that it does not have itself.
pub(super) struct Subject<'a> {
    pub(super) blobs: &'a dyn Blobs,
    /// Any blob of the container of sources.
    pub(super) source: BlobPath,
    pub(super) land: &'a (dyn Fn(String, Vec<u8>) -> BoxFuture<'a, ()> + Sync),
}

/// Runs it all on containers that nobody else uses.
pub(super) async fn holds(subject: Subject<'_>) {
    subject.ranges_come_in_the_order_asked_for().await;
    subject.a_range_comes_piece_by_piece().await;
    subject.the_first_bytes_come_with_what_is_known().await;
    subject.another_version_is_not_read().await;
    subject.what_is_not_there_is_said_to_be_missing().await;
    subject.an_empty_blob_is_a_blob().await;
    subject.sources_are_never_written().await;
    subject
        .a_conditional_write_loses_to_what_stands_there()
        .await;
    subject.a_large_document_comes_back_whole().await;
    subject.a_file_is_written_as_its_bytes_are().await;
    subject.names_are_taken_as_they_are().await;
    subject.a_listing_holds_what_the_prefix_says().await;
    subject.addresses_lead_back_to_blobs().await;
}

fn range(start: u64, len: u64) -> ByteRange {
    ByteRange::new(start, len)
}

fn numbers(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

impl Subject<'_> {
    async fn land(&self, name: &str, bytes: &[u8]) -> BlobPath {
        (self.land)(name.to_owned(), bytes.to_vec()).await;
        self.source.sibling(name)
    }

    async fn ranges_come_in_the_order_asked_for(&self) {
        let bytes = numbers(100_000);
        let path = self.land("ranges.nc", &bytes).await;
        let info = self.blobs.head(&path).await.unwrap();
        assert_eq!((&info.path, info.length), (&path, 100_000));
        let wanted = [
            range(90_000, 10_000),
            range(0, 1),
            range(7, 0),
            range(3, 90_000),
        ];
        let parts = self
            .blobs
            .get_ranges(&path, &info.etag, &wanted)
            .await
            .unwrap();
        let expected = [&bytes[90_000..], &bytes[..1], &[], &bytes[3..90_003]];
        assert_eq!(parts, expected);
        for outside in [range(99_999, 2), range(100_000, 1), range(u64::MAX - 1, 1)] {
            let read = self.blobs.get_ranges(&path, &info.etag, &[outside]).await;
            assert!(
                matches!(read, Err(BlobError::OutOfRange { .. })),
                "{outside:?}: {read:?}"
            );
        }
    }

    async fn a_range_comes_piece_by_piece(&self) {
        let bytes = numbers(3_000_000);
        let path = self.land("stream.nc", &bytes).await;
        let etag = self.blobs.head(&path).await.unwrap().etag;
        for (start, len) in [(0, 3_000_000), (7, 2_500_001), (2_999_999, 1)] {
            let pieces = self.blobs.get_stream(&path, &etag, range(start, len)).await;
            let pieces: Vec<Bytes> = pieces.unwrap().try_collect().await.unwrap();
            let (start, end) = (start as usize, (start + len) as usize);
            assert!(pieces.concat() == bytes[start..end], "{start}+{len}");
        }
        let outside = self
            .blobs
            .get_stream(&path, &etag, range(7, 3_000_000))
            .await;
        assert!(matches!(outside.err(), Some(BlobError::OutOfRange { .. })));
        let other = self.blobs.get_stream(&path, "other", range(0, 5)).await;
        assert!(matches!(other.err(), Some(BlobError::Changed(_))));
        let none = self.source.sibling("nothing.nc");
        let none = self.blobs.get_stream(&none, &etag, range(0, 5)).await;
        // Azure looks at the condition first.
        assert!(matches!(
            none.err(),
            Some(BlobError::NotFound(_) | BlobError::Changed(_))
        ));
    }

    async fn the_first_bytes_come_with_what_is_known(&self) {
        let path = self.land("first.nc", b"0123456789").await;
        let info = self.blobs.head(&path).await.unwrap();
        for len in [1, 10, 4000] {
            let (known, bytes) = self
                .blobs
                .get_first(&path, Some(&info.etag), len)
                .await
                .unwrap();
            assert_eq!(known, info);
            let len = usize::try_from(len).unwrap().min(10);
            assert_eq!(bytes, b"0123456789"[..len]);
        }
    }

    async fn another_version_is_not_read(&self) {
        let path = self.land("changing.nc", b"one").await;
        let first = self.blobs.head(&path).await.unwrap();
        self.land("changing.nc", b"two!").await;
        let second = self.blobs.head(&path).await.unwrap();
        assert_ne!(first.etag, second.etag);
        let old = self
            .blobs
            .get_ranges(&path, &first.etag, &[range(0, 1)])
            .await;
        assert!(matches!(old, Err(BlobError::Changed(_))), "{old:?}");
        let old = self.blobs.get_first(&path, Some(&first.etag), 1).await;
        assert!(matches!(old, Err(BlobError::Changed(_))), "{old:?}");
        assert_eq!(
            self.blobs.get(&path).await.unwrap(),
            (Bytes::from("two!"), second)
        );
    }

    async fn what_is_not_there_is_said_to_be_missing(&self) {
        let path = self.source.sibling("never.nc");
        let missing = |error: BlobError| matches!(error, BlobError::NotFound(_));
        assert!(missing(self.blobs.head(&path).await.unwrap_err()));
        assert!(missing(self.blobs.get(&path).await.unwrap_err()));
        let read = self.blobs.get_ranges(&path, "0x1", &[range(0, 1)]).await;
        let error = read.unwrap_err();
        // A version of nothing is no version: stores may say either, and readers treat both alike.
        assert!(error.is_missing() || error.is_changed(), "{error:?}");
        let elsewhere = BlobPath::new(path.account.clone(), "nowhere", "a.nc");
        let error = self.blobs.head(&elsewhere).await.unwrap_err();
        assert!(matches!(error, BlobError::NoContainer(_)), "{error:?}");
        let foreign = BlobPath::new("somebodyelse", path.container, "a.nc");
        let error = self.blobs.get(&foreign).await.unwrap_err();
        assert!(matches!(error, BlobError::NoContainer(_)), "{error:?}");
        self.blobs
            .delete(&self.blobs.silver("never.json"))
            .await
            .unwrap();
    }

    async fn an_empty_blob_is_a_blob(&self) {
        let path = self.land("empty.nc", b"").await;
        let info = self.blobs.head(&path).await.unwrap();
        assert_eq!(info.length, 0);
        assert_eq!(
            self.blobs.get(&path).await.unwrap(),
            (Bytes::new(), info.clone())
        );
        let first = self
            .blobs
            .get_first(&path, Some(&info.etag), 10)
            .await
            .unwrap();
        assert_eq!(first, (info, Bytes::new()));
    }

    async fn sources_are_never_written(&self) {
        let path = self.land("kept.nc", b"kept").await;
        assert!(self.blobs.is_source(&path));
        let written = self
            .blobs
            .put(&path, Bytes::from("x"), PutCondition::Always)
            .await;
        assert!(
            matches!(written, Err(BlobError::Denied { .. })),
            "{written:?}"
        );
        let deleted = self.blobs.delete(&path).await;
        assert!(
            matches!(deleted, Err(BlobError::Denied { .. })),
            "{deleted:?}"
        );
        assert_eq!(self.blobs.get(&path).await.unwrap().0, Bytes::from("kept"));
    }

    async fn a_conditional_write_loses_to_what_stands_there(&self) {
        let path = self.blobs.silver("refs/a.json");
        assert!(!self.blobs.is_source(&path));
        let put =
            |text: &'static str, condition| self.blobs.put(&path, Bytes::from(text), condition);
        let first = put("1", PutCondition::IfAbsent).await.unwrap();
        assert_eq!(first, self.blobs.head(&path).await.unwrap().etag);
        let again = put("2", PutCondition::IfAbsent).await;
        assert!(matches!(again, Err(BlobError::Exists(_))), "{again:?}");
        let second = put("33", PutCondition::IfMatch(first.clone()))
            .await
            .unwrap();
        assert_ne!(first, second);
        let late = put("4", PutCondition::IfMatch(first)).await;
        assert!(matches!(late, Err(BlobError::Changed(_))), "{late:?}");
        assert_eq!(self.blobs.get(&path).await.unwrap().0, Bytes::from("33"));
        put("5", PutCondition::Always).await.unwrap();
        self.blobs.delete(&path).await.unwrap();
        let gone = put("6", PutCondition::IfMatch(second)).await;
        assert!(matches!(gone, Err(BlobError::Changed(_))), "{gone:?}");
    }

    async fn a_large_document_comes_back_whole(&self) {
        let bytes = Bytes::from(numbers((20 << 20) + 17));
        let path = self.blobs.silver("refs/large.json");
        let etag = self
            .blobs
            .put(&path, bytes.clone(), PutCondition::IfAbsent)
            .await
            .unwrap();
        let again = self
            .blobs
            .put(&path, bytes.clone(), PutCondition::IfAbsent)
            .await;
        assert!(matches!(again, Err(BlobError::Exists(_))), "{again:?}");
        let (read, info) = self.blobs.get(&path).await.unwrap();
        assert!(read == bytes, "other bytes");
        assert_eq!(info.etag, etag);
        self.blobs.delete(&path).await.unwrap();
    }

    async fn a_file_is_written_as_its_bytes_are(&self) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("draft");
        let path = self.blobs.silver("refs/file.json");
        for len in [0, 7, (17 << 20) + 3] {
            let bytes = numbers(len);
            std::fs::write(&file, &bytes).unwrap();
            let put = self.blobs.put_file(&path, &file, PutCondition::Always);
            let etag = put.await.unwrap();
            let (read, info) = self.blobs.get(&path).await.unwrap();
            assert!(read == bytes, "other bytes");
            assert_eq!(info.etag, etag);
        }
        let late = self
            .blobs
            .put_file(&path, &file, PutCondition::IfAbsent)
            .await;
        assert!(matches!(late, Err(BlobError::Exists(_))), "{late:?}");
        self.blobs.delete(&path).await.unwrap();
    }

    async fn names_are_taken_as_they_are(&self) {
        for name in [
            "a b/c#d/50%/e%20f.nc",
            "p+q&r=s/a.nc",
            "d\u{f6}n\u{e9}es/x@y/a:b.nc",
            "q?.nc",
            "'(;,$!*)'.nc",
        ] {
            let path = self.land(name, name.as_bytes()).await;
            assert_eq!(
                self.blobs.get(&path).await.unwrap().0,
                Bytes::from(name.to_owned())
            );
            let listed = self.blobs.list(&path).await.unwrap();
            let names: Vec<_> = listed.iter().map(|info| info.path.blob.as_str()).collect();
            assert_eq!(names, [name]);
            assert_eq!(listed[0], self.blobs.head(&path).await.unwrap());
            let silver = self.blobs.silver(name);
            self.blobs
                .put(&silver, Bytes::from("x"), PutCondition::Always)
                .await
                .unwrap();
            assert_eq!(self.blobs.list(&silver).await.unwrap().len(), 1);
            self.blobs.delete(&silver).await.unwrap();
            assert_eq!(self.blobs.list(&silver).await.unwrap().len(), 0);
        }
    }

    async fn a_listing_holds_what_the_prefix_says(&self) {
        for name in [
            "list/b.nc",
            "list/a/c.nc",
            "list/a.nc",
            "listed.nc",
            "other/list/a.nc",
        ] {
            self.land(name, b"x").await;
        }
        let names = |prefix: &'static str| async move {
            let prefix = self.source.sibling(prefix);
            let found = self.blobs.list(&prefix).await.unwrap();
            found
                .into_iter()
                .map(|info| info.path.blob)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("list/").await,
            ["list/a.nc", "list/a/c.nc", "list/b.nc"]
        );
        assert_eq!(
            names("list").await,
            ["list/a.nc", "list/a/c.nc", "list/b.nc", "listed.nc"]
        );
        assert_eq!(names("list/a").await, ["list/a.nc", "list/a/c.nc"]);
        assert!(names("lists").await.is_empty());
        let prefix = self.source.sibling("list/");
        let pages: Vec<_> = self.blobs.list_pages(&prefix).try_collect().await.unwrap();
        assert_eq!(pages.concat().len(), 3);
        let nowhere = BlobPath::new(self.source.account.clone(), "nowhere", "");
        let error = self.blobs.list(&nowhere).await.unwrap_err();
        assert!(matches!(error, BlobError::NoContainer(_)), "{error:?}");
    }

    async fn addresses_lead_back_to_blobs(&self) {
        let path = self.source.sibling("a b/c#d.nc");
        let url = self.blobs.reference_url(&path);
        assert_eq!(self.blobs.path_of(&url), Some(path.clone()));
        assert_eq!(self.blobs.path_of("az://nowhere/a.nc"), None);
        assert_eq!(self.blobs.path_of("file:///etc/passwd"), None);
        assert_eq!(self.blobs.account(), path.account);
    }
}
