//! Containers of Azure storage accounts, by the official SDK.
//!
//! What is read is pinned by `If-Match`, what is written is conditional. Tries, their waits and their number are ours
//! ([`AzureConnection`]): the SDK makes one.

mod content;
mod error;
mod transfer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use azure_storage_blob::models::{
    BlobClientGetPropertiesResultHeaders as _, BlobContainerClientListBlobsOptions, BlobItem,
    ListBlobsIncludeItem,
};
use azure_storage_blob::{BlobClient, BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use virtualize::ByteRange;

use super::{BlobError, BlobInfo, BlobPath, Blobs, PutCondition};
use crate::config::{AzureBlobsConfig, ContainerConfig};
use crate::stores::azure::{AzureConnection, Clients, ConnectionError, Missing, Problem};
use content::Content;
use error::{Doing, timestamp};

/// Blobs on a page of a listing, which is the most that the service gives.
const PAGE: i32 = 5000;

/// Requests in flight for one file: so many, but more where that would make many waves of them.
const PER_FILE: usize = 16;

/// Waves of requests that a round should take no more of.
const WAVES: usize = 4;

/// Most requests of one file in flight; [`AzureConnection`] bounds those of all.
const MOST: usize = 64;

/// Which containers may be used.
#[derive(Debug, Clone)]
pub enum Containers {
    /// These sources, which are only read, and one that is written.
    Listed {
        /// Where sources are taken from.
        sources: BTreeSet<ContainerConfig>,
        /// What is ours to write.
        silver: ContainerConfig,
    },
    /// Whatever the command line names; nothing is written.
    Any,
}

/// Containers of Azure storage accounts.
#[derive(Debug)]
pub struct AzureBlobs {
    connection: AzureConnection,
    containers: Containers,
    /// The account that is meant where an address names none.
    account: String,
    clients: Clients<BlobContainerClient>,
}

impl AzureBlobs {
    /// The containers of a configuration, and no others.
    pub fn new(connection: AzureConnection, config: &AzureBlobsConfig) -> Self {
        let containers = Containers::Listed {
            sources: config.sources.clone(),
            silver: config.silver.clone(),
        };
        Self::over(connection, containers, config.account.clone())
    }

    /// Containers that are read, in whatever account; `account` is meant where an address names none.
    pub fn any(connection: AzureConnection, account: impl Into<String>) -> Self {
        Self::over(connection, Containers::Any, account.into())
    }

    fn over(connection: AzureConnection, containers: Containers, account: String) -> Self {
        Self {
            connection,
            containers,
            account,
            clients: Clients::default(),
        }
    }

    fn is_writable(&self, path: &BlobPath) -> bool {
        match &self.containers {
            Containers::Listed { silver, .. } => is_in(path, silver),
            Containers::Any => false,
        }
    }

    fn is_known(&self, path: &BlobPath) -> bool {
        self.is_source(path) || self.is_writable(path)
    }

    /// The client of a path's container, if that may be used.
    fn container(&self, path: &BlobPath) -> Result<Arc<BlobContainerClient>, BlobError> {
        if !self.is_known(path) {
            return Err(BlobError::NoContainer(path.container.clone()));
        }
        let made = self
            .clients
            .get(&path.account, &path.container, || self.make_client(path));
        made.map_err(|error| BlobError::Denied {
            path: path.clone(),
            source: std::io::Error::other(error),
        })
    }

    fn make_client(&self, path: &BlobPath) -> Result<BlobContainerClient, ConnectionError> {
        let url = self
            .connection
            .container_url(&path.account, &path.container)?;
        let options = BlobContainerClientOptions {
            client_options: self.connection.client_options(),
            ..BlobContainerClientOptions::default()
        };
        let client = BlobContainerClient::new(url, self.connection.credential(), Some(options));
        client.map_err(|source| ConnectionError::Account {
            account: path.account.clone(),
            source,
        })
    }

    fn blob(&self, path: &BlobPath) -> Result<BlobClient, BlobError> {
        Ok(self.container(path)?.blob_client(&path.blob))
    }

    /// The client of a blob that may be written.
    fn writable(&self, path: &BlobPath) -> Result<BlobClient, BlobError> {
        match self.is_writable(path) {
            true => self.blob(path),
            false => Err(BlobError::Denied {
                path: path.clone(),
                source: std::io::Error::new(
                    std::io::ErrorKind::ReadOnlyFilesystem,
                    "sources are never written",
                ),
            }),
        }
    }

    async fn put_content(
        &self,
        path: &BlobPath,
        content: Content,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        let client = self.writable(path)?;
        let put = transfer::Put::new(&self.connection, &client, path, &condition);
        match put.write(&content).await {
            Ok(etag) => Ok(etag),
            Err(refusal) if put.may_be_done() && is_lost(&refusal.problem) => {
                // An earlier try may have succeeded without our hearing of it.
                match self.version_of(path, &content).await? {
                    Some(etag) => Ok(etag),
                    None => Err(Doing::Write.failed(path, refusal)),
                }
            }
            Err(refusal) => Err(Doing::Write.failed(path, refusal)),
        }
    }

    /// The version of a blob if it holds these very bytes.
    async fn version_of(
        &self,
        path: &BlobPath,
        content: &Content,
    ) -> Result<Option<String>, BlobError> {
        let info = self.head(path).await?;
        if info.length != content.len() {
            return Ok(None);
        }
        for piece in transfer::pieces(0, info.length) {
            let there = self.get_ranges(path, &info.etag, &[piece]).await?;
            let ours = content.piece(piece).await;
            let ours = ours.map_err(|problem| Doing::Write.failed(path, problem.into()))?;
            if there != [ours] {
                return Ok(None);
            }
        }
        Ok(Some(info.etag))
    }

    /// Whether a container is there at all: a name of no length stands for it.
    async fn head_container(&self, path: &BlobPath) -> Result<BlobInfo, BlobError> {
        let client = self.container(path)?;
        let asked = self.connection.send(|| client.get_properties(None)).await;
        match asked {
            Ok(_) => Err(BlobError::NotFound(path.clone())),
            Err(refusal) => Err(Doing::Read.failed(path, refusal)),
        }
    }

    /// One page of a listing, with where the next one starts.
    async fn page(
        &self,
        client: &BlobContainerClient,
        prefix: &BlobPath,
        marker: Option<String>,
    ) -> Result<(Vec<BlobInfo>, Option<String>), BlobError> {
        let options = BlobContainerClientListBlobsOptions {
            // Accounts with folders list them as empty blobs, and tell them by their metadata alone.
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            marker,
            maxresults: Some(PAGE),
            prefix: (!prefix.blob.is_empty()).then(|| prefix.blob.clone()),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let list = || async {
            let mut pages = client.list_blobs(Some(options.clone()))?.into_pages();
            match pages.try_next().await? {
                Some(page) => page.into_model().map(Some),
                None => Ok(None),
            }
        };
        let page = self.connection.send(list).await;
        let page = page.map_err(|refusal| Doing::Read.failed(prefix, refusal))?;
        let Some(page) = page else {
            return Ok((Vec::new(), None));
        };
        let blobs = page.blob_items.into_iter();
        let found = blobs.filter_map(|item| listed(prefix, item)).collect();
        Ok((found, page.next_marker.filter(|marker| !marker.is_empty())))
    }
}

fn is_in(path: &BlobPath, container: &ContainerConfig) -> bool {
    path.account == container.account && path.container == container.container
}

/// What a listing says of a blob; `None` for a folder, and for a name that is no address.
fn listed(prefix: &BlobPath, item: BlobItem) -> Option<BlobInfo> {
    let metadata = item.metadata.and_then(|metadata| metadata.values);
    let is_folder = metadata.is_some_and(|values| {
        let marker = values
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("hdi_isfolder"));
        marker.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
    });
    let properties = item.properties?;
    let path = prefix.sibling(item.name?);
    (!is_folder && path.is_address()).then_some(())?;
    Some(BlobInfo {
        path,
        etag: error::bare(properties.etag.as_ref()?.as_ref()),
        length: properties.content_length?,
        last_modified: timestamp(properties.last_modified?)?,
    })
}

#[async_trait]
impl Blobs for AzureBlobs {
    async fn head(&self, path: &BlobPath) -> Result<BlobInfo, BlobError> {
        if path.blob.is_empty() {
            return self.head_container(path).await;
        }
        let client = self.blob(path)?;
        let answer = self.connection.send(|| async {
            let answer = client.get_properties(None).await?;
            Ok((
                answer.etag()?,
                answer.content_length()?,
                answer.last_modified()?,
            ))
        });
        let (etag, length, modified) = answer
            .await
            .map_err(|refusal| Doing::Read.failed(path, refusal))?;
        let info = etag.zip(length).zip(modified.and_then(timestamp));
        let ((etag, length), last_modified) = info.ok_or_else(|| {
            let problem = Problem::OtherBytes(String::from("no version, length or time"));
            Doing::Read.failed(path, problem.into())
        })?;
        Ok(BlobInfo {
            path: path.clone(),
            etag: error::bare(etag.as_ref()),
            length,
            last_modified,
        })
    }

    async fn get_ranges(
        &self,
        path: &BlobPath,
        etag: &str,
        ranges: &[ByteRange],
    ) -> Result<Vec<Bytes>, BlobError> {
        let client = self.blob(path)?;
        let reads: Vec<_> = ranges
            .iter()
            .map(|range| transfer::range(&self.connection, &client, path, etag, *range).boxed())
            .collect();
        let in_flight = reads.len().div_ceil(WAVES).clamp(PER_FILE, MOST);
        stream::iter(reads).buffered(in_flight).try_collect().await
    }

    async fn get_stream(
        &self,
        path: &BlobPath,
        etag: &str,
        range: ByteRange,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        transfer::stream(&self.connection, &self.blob(path)?, path, etag, range).await
    }

    async fn get_first(
        &self,
        path: &BlobPath,
        etag: Option<&str>,
        len: u64,
    ) -> Result<(BlobInfo, Bytes), BlobError> {
        transfer::first(&self.connection, &self.blob(path)?, path, etag, len).await
    }

    async fn get(&self, path: &BlobPath) -> Result<(Bytes, BlobInfo), BlobError> {
        let client = self.blob(path)?;
        let (info, first) =
            transfer::first(&self.connection, &client, path, None, transfer::PIECE).await?;
        let rest = transfer::pieces(first.len(), info.length);
        if rest.is_empty() {
            return Ok((first, info));
        }
        let mut whole = first.to_vec();
        for part in self.get_ranges(path, &info.etag, &rest).await? {
            whole.extend_from_slice(&part);
        }
        Ok((whole.into(), info))
    }

    async fn put(
        &self,
        path: &BlobPath,
        bytes: Bytes,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        self.put_content(path, Content::Bytes(bytes), condition)
            .await
    }

    async fn put_file(
        &self,
        path: &BlobPath,
        file: &Path,
        condition: PutCondition,
    ) -> Result<String, BlobError> {
        let metadata = tokio::fs::metadata(file).await;
        let metadata = metadata.map_err(|source| BlobError::Unavailable {
            path: path.clone(),
            source,
        })?;
        let content = Content::File(file.to_owned(), metadata.len());
        self.put_content(path, content, condition).await
    }

    fn is_source(&self, path: &BlobPath) -> bool {
        match &self.containers {
            Containers::Listed { sources, .. } => {
                sources.iter().any(|container| is_in(path, container))
            }
            Containers::Any => true,
        }
    }

    fn reference_url(&self, path: &BlobPath) -> String {
        let BlobPath {
            account,
            container,
            blob,
        } = path;
        match *account == self.account {
            true => format!("az://{container}/{blob}"),
            // Without the account it would be taken for a blob of ours.
            false => format!("abfs://{container}@{account}.dfs.core.windows.net/{blob}"),
        }
    }

    fn path_of(&self, url: &str) -> Option<BlobPath> {
        let path = BlobPath::parse(url, &self.account).ok()?;
        self.is_known(&path).then_some(path)
    }

    fn account(&self) -> &str {
        &self.account
    }

    fn silver(&self, name: &str) -> BlobPath {
        match &self.containers {
            Containers::Listed { silver, .. } => {
                BlobPath::new(silver.account.clone(), silver.container.clone(), name)
            }
            Containers::Any => BlobPath::new(self.account.clone(), "silver", name),
        }
    }

    fn list_pages<'a>(
        &'a self,
        prefix: &'a BlobPath,
    ) -> BoxStream<'a, Result<Vec<BlobInfo>, BlobError>> {
        let first = Some(None);
        let pages = stream::try_unfold(first, move |at: Option<Option<String>>| async move {
            let Some(marker) = at else {
                return Ok(None);
            };
            let client = self.container(prefix)?;
            let (found, next) = self.page(&client, prefix, marker).await?;
            Ok(Some((found, next.map(Some))))
        });
        pages.boxed()
    }

    async fn delete(&self, path: &BlobPath) -> Result<(), BlobError> {
        let client = self.writable(path)?;
        match self.connection.send(|| client.delete(None)).await {
            Ok(_) => Ok(()),
            Err(refusal) if matches!(refusal.problem, Problem::NotFound(Missing::Blob)) => Ok(()),
            Err(refusal) => Err(Doing::Write.failed(path, refusal)),
        }
    }
}

/// Whether a conditional write was refused because of what stands there.
const fn is_lost(problem: &Problem) -> bool {
    matches!(problem, Problem::Changed | Problem::Exists)
}

#[cfg(test)]
mod tests;
