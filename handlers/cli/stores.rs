//! The stores that the configuration describes.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{
    AzureAccess, AzureBlobsConfig, BlobsConfig, ContainerConfig, DeadLettersConfig, QueuesConfig,
    StorageConfig,
};
use crate::stores::azure::AzureConnection;
use crate::stores::blobs::{AzureBlobs, BlobPath, Blobs, LocalBlobs};
use crate::stores::queue::{AzureQueue, EmbeddedQueue, Message, Queue, Receive};

/// Sources and references, and where messages are sent.
pub(super) fn open(config: &StorageConfig) -> anyhow::Result<(Arc<dyn Blobs>, Arc<dyn Queue>)> {
    let (blobs, connection): (Arc<dyn Blobs>, _) = match &config.blobs {
        BlobsConfig::Folders { bronze, silver } => {
            (Arc::new(LocalBlobs::new(bronze, silver)), None)
        }
        BlobsConfig::Azure(azure) => {
            let connection = connect(&azure.access).context("blobs")?;
            let blobs = AzureBlobs::new(connection.clone(), azure);
            (Arc::new(blobs), Some(connection))
        }
    };
    let queue: Arc<dyn Queue> = match &config.queues {
        QueuesConfig::Embedded => {
            Arc::new(EmbeddedQueue::open(config.embedded_database()?).context("queue")?)
        }
        QueuesConfig::Azure(azure) => {
            let connection = connection.map_or_else(|| connect(&azure.access), Ok);
            let queue = AzureQueue::try_new(connection.context("queue")?, &azure.account);
            Arc::new(queue.context("queue")?)
        }
    };
    Ok((blobs, queue))
}

/// Where Event Grid leaves the events that it gave up, as the container that is written.
pub(super) fn dead_letters(config: &StorageConfig) -> anyhow::Result<Option<Arc<dyn Blobs>>> {
    let store: Arc<dyn Blobs> = match (&config.dead_letters, &config.blobs) {
        (Some(DeadLettersConfig::Folder(folder)), BlobsConfig::Folders { bronze, .. }) => {
            Arc::new(LocalBlobs::new(bronze, folder))
        }
        (Some(DeadLettersConfig::Container(container)), BlobsConfig::Azure(azure)) => {
            let config = AzureBlobsConfig {
                silver: container.clone(),
                ..azure.clone()
            };
            let connection = connect(&azure.access).context("dead letters")?;
            Arc::new(AzureBlobs::new(connection, &config))
        }
        _ => return Ok(None),
    };
    Ok(Some(store))
}

/// The containers of sources, and what reads them.
pub(super) struct AzureSources {
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) containers: Vec<BlobPath>,
}

/// Where sources are in Azure; `None` where they are in a folder.
pub(super) fn sources_in_azure() -> anyhow::Result<Option<AzureSources>> {
    let Some(config) = AzureBlobsConfig::from_env()? else {
        return Ok(None);
    };
    let blobs = AzureBlobs::new(connect(&config.access)?, &config);
    let container = |source: &ContainerConfig| {
        BlobPath::new(source.account.as_str(), source.container.as_str(), "")
    };
    Ok(Some(AzureSources {
        containers: config.sources.iter().map(container).collect(),
        blobs: Arc::new(blobs),
    }))
}

/// The way to Azure. Tokens are fetched from now on, so that the first event does not wait for one.
fn connect(access: &AzureAccess) -> anyhow::Result<AzureConnection> {
    let connection = AzureConnection::try_new(access)?;
    connection.keep_fresh(&[]);
    Ok(connection)
}

/// Where who stands in for the Functions host receives them. Queues of Azure are made where they are missing, since
/// nothing was deployed.
pub(super) async fn host_queue(database: &Path) -> anyhow::Result<Arc<dyn Receive>> {
    let azure = match QueuesConfig::from_env()? {
        QueuesConfig::Embedded => return Ok(Arc::new(EmbeddedQueue::open(database)?)),
        QueuesConfig::Azure(azure) => AzureQueue::try_new(connect(&azure.access)?, azure.account)?,
    };
    for queue in Message::QUEUES {
        azure.create(queue).await?;
    }
    Ok(Arc::new(azure))
}
