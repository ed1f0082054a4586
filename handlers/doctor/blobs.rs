//! Containers and folders: bronze is listed and read, silver written, listed, read and deleted from.

use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::identity::{self, Scope, Who};
use super::{Check, State};
use crate::config::{AzureBlobsConfig, ContainerConfig, DeadLettersConfig};
use crate::stores::azure::{AccessRefused, AzureConnection, Barrier};
use crate::stores::blobs::{AzureBlobs, BlobError, BlobPath, Blobs, LocalBlobs, PutCondition};

const READER: &str = "Storage Blob Data Reader";
const CONTRIBUTOR: &str = "Storage Blob Data Contributor";

/// What is written to try a container.
const TRIAL: &[u8] = b"landfall doctor";

/// Bytes that are read of a source: whether we may read at all, and no more.
const TASTE: u64 = 16;

/// What did not work, and what the store said.
type Trouble = (&'static str, BlobError);

/// Containers of storage accounts.
pub(super) async fn containers(
    azure: &AzureBlobsConfig,
    dead_letters: Option<&DeadLettersConfig>,
    who: &Who,
) -> Vec<Check> {
    let mut wanted: Vec<(&str, &ContainerConfig, bool)> = azure
        .sources
        .iter()
        .map(|source| ("bronze", source, false))
        .collect();
    wanted.push(("silver", &azure.silver, true));
    if let Some(DeadLettersConfig::Container(container)) = dead_letters {
        wanted.push(("dead letters", container, true));
    }
    let connection = match identity::connect(&azure.access) {
        _ if !who.has_token() => Err(String::from("not tried: there is no token")),
        connection => connection,
    };
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => {
            let failed = |(part, container, _): &(&str, &ContainerConfig, bool)| {
                Check::failed(part, name_of(container), error.clone())
            };
            return wanted.iter().map(failed).collect();
        }
    };
    let checks = wanted.into_iter().map(|(part, container, is_written)| {
        let connection = connection.clone();
        async move { container_check(&connection, azure, part, container, is_written, who).await }
    });
    join_all(checks).await
}

fn name_of(container: &ContainerConfig) -> String {
    format!("{}/{}", container.account, container.container)
}

async fn container_check(
    connection: &AzureConnection,
    azure: &AzureBlobsConfig,
    part: &str,
    container: &ContainerConfig,
    is_written: bool,
    who: &Who,
) -> Check {
    let name = name_of(container);
    let done = match is_written {
        true => {
            // The store writes to one container only: that which is tried.
            let config = AzureBlobsConfig {
                silver: container.clone(),
                ..azure.clone()
            };
            let store = AzureBlobs::new(connection.clone(), &config);
            // Sweep looks at all dead letters but those that were driven again.
            let folder = if part == "silver" { "" } else { "redriven/" };
            write(&store, folder).await
        }
        false => {
            let store = AzureBlobs::new(connection.clone(), azure);
            let root = BlobPath::new(&container.account, &container.container, "");
            read(&store, &root).await
        }
    };
    match done {
        Ok(message) => Check::ok(part, name, message),
        Err((doing, error)) => {
            let role = if is_written { CONTRIBUTOR } else { READER };
            refused(part, container, role, doing, &error, who)
        }
    }
}

/// A container that did not do as it should, with the remedy.
fn refused(
    part: &str,
    container: &ContainerConfig,
    role: &str,
    doing: &str,
    error: &BlobError,
    who: &Who,
) -> Check {
    let ContainerConfig { account, container } = container;
    let chain = crate::pipeline::chain(error);
    let check = |what: &str| {
        let name = format!("{account}/{container}");
        Check::failed(part, name, format!("cannot {doing}: {what}"))
    };
    match error {
        BlobError::NoContainer(_) => check("there is no such container").cured_by(format!(
            "az storage container create --account-name {account} --name {container} --auth-mode login"
        )),
        BlobError::Denied { .. } if barrier(error) == Some(Barrier::Token) => check(&chain).cured_by(format!(
            "the token has to be of the tenant of the account: az account show --query tenantId; az storage account \
             show --name {account} --query id"
        )),
        BlobError::Denied { .. } if barrier(error) == Some(Barrier::Network) => {
            let assign = who.assign(role, Scope::Container(account, container));
            check(&chain).cured_by(format!(
                "{assign}; if it has that role, let the app's network in: az storage account network-rule add \
                 --account-name {account} …, or a private endpoint"
            ))
        }
        BlobError::Denied { .. } => {
            check(&chain).cured_by(who.assign(role, Scope::Container(account, container)))
        }
        BlobError::Unavailable { .. } => check(&chain).cured_by(format!(
            "is `{account}` the name of an account, and its endpoint reached from here? az storage account show \
             --name {account} --query primaryEndpoints"
        )),
        _ => check(&chain),
    }
}

/// What the service says keeps us out.
fn barrier(error: &BlobError) -> Option<Barrier> {
    let BlobError::Denied { source, .. } = error else {
        return None;
    };
    let refused = source.get_ref()?.downcast_ref::<AccessRefused>()?;
    Some(refused.barrier)
}

/// Looks at one page of a container and tastes a blob of it.
async fn read(store: &dyn Blobs, root: &BlobPath) -> Result<String, Trouble> {
    match store.head(root).await {
        Err(BlobError::NotFound(_)) => {}
        Err(error) => return Err(("look at it", error)),
        Ok(_) => {}
    }
    let mut pages = store.list_pages(root);
    let page = pages.try_next().await.map_err(|error| ("list", error))?;
    drop(pages);
    let page = page.unwrap_or_default();
    // A blob of no length has no first byte.
    let Some(blob) = page.iter().find(|blob| blob.length > 0) else {
        return Ok(String::from("can be listed; there is nothing to read"));
    };
    match store.get_first(&blob.path, None, TASTE).await {
        Ok(_) | Err(BlobError::NotFound(_) | BlobError::Changed(_)) => {
            Ok(String::from("can be listed and read"))
        }
        Err(error) => Err(("read", error)),
    }
}

/// Writes, lists, reads and deletes a blob of a name that nobody else has.
async fn write(store: &dyn Blobs, folder: &str) -> Result<String, Trouble> {
    let number = std::process::id();
    let now = jiff::Timestamp::now().as_nanosecond();
    let at = store.silver(&format!("{folder}landfall-doctor-{number}-{now:x}"));
    let bytes = || Bytes::from_static(TRIAL);
    let put = store.put(&at, bytes(), PutCondition::IfAbsent).await;
    let etag = put.map_err(|error| ("write", error))?;
    let rest = async {
        let found = store.list(&at).await.map_err(|error| ("list", error))?;
        if found.iter().all(|blob| blob.path != at) {
            return Err(("list", BlobError::NotFound(at.clone())));
        }
        let (read, _) = store.get(&at).await.map_err(|error| ("read", error))?;
        if read != TRIAL {
            return Err(("read what was written", BlobError::Changed(at.clone())));
        }
        let over = store.put(&at, bytes(), PutCondition::IfMatch(etag)).await;
        over.map_err(|error| ("overwrite", error))
    };
    let rest = rest.await;
    // Whatever came of it, nothing is left behind.
    let deleted = store.delete(&at).await.map_err(|error| ("delete", error));
    rest?;
    deleted?;
    match store.head(&at).await {
        Err(BlobError::NotFound(_)) => Ok(String::from("can be written, listed, read and deleted")),
        Err(error) => Err(("look at it", error)),
        Ok(_) => Err(("delete", BlobError::Exists(at))),
    }
}

/// Folders of this machine.
pub(super) async fn folders(
    bronze: &Path,
    silver: &Path,
    dead_letters: Option<&DeadLettersConfig>,
) -> Vec<Check> {
    let store = LocalBlobs::new(bronze, silver);
    let mut checks = vec![
        folder("bronze", bronze, false),
        folder("silver", silver, true),
    ];
    if let Some(DeadLettersConfig::Folder(letters)) = dead_letters {
        checks.push(folder("dead letters", letters, true));
    }
    if let Some(check) = checks.iter_mut().find(|check| check.part == "silver")
        && check.state == State::Ok
    {
        match write(&store, "").await {
            Ok(message) => check.message = message,
            Err((doing, error)) => {
                check.state = State::Failed;
                check.message = format!("cannot {doing}: {}", crate::pipeline::chain(&error));
            }
        }
    }
    checks
}

/// A folder, by a file without a name where it has to be written.
fn folder(part: &str, path: &Path, is_written: bool) -> Check {
    let name = path.display().to_string();
    let done = match is_written {
        true => tempfile::tempfile_in(path).map(|_| "can be written"),
        false => std::fs::read_dir(path).map(|_| "can be listed"),
    };
    match done {
        Ok(message) => Check::ok(part, name, message),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let cure = format!("mkdir -p {name}");
            Check::failed(part, name, "there is no such folder").cured_by(cure)
        }
        Err(error) => {
            let wanted = if is_written { "write it" } else { "read it" };
            let cure = format!("let the user of the app {wanted}");
            Check::failed(part, name, error.to_string()).cured_by(cure)
        }
    }
}

#[cfg(test)]
mod tests;
