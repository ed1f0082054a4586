//! The stores that the configuration describes.

use std::path::Path;
use std::sync::Arc;

use crate::config::{AzureQueueConfig, BlobsConfig, QueuesConfig, StorageConfig};
use crate::stores::azure::AzureConnection;
use crate::stores::blobs::{AzureBlobs, Blobs, LocalBlobs};
use crate::stores::queue::{AzureQueue, EmbeddedQueue, Message, Queue, Receive};

/// Sources and references. Tokens for Azure are fetched from now on, so that the first event does not wait for one.
pub(super) fn blobs(config: &BlobsConfig) -> anyhow::Result<Arc<dyn Blobs>> {
    Ok(match config {
        BlobsConfig::Folders { bronze, silver } => Arc::new(LocalBlobs::new(bronze, silver)),
        BlobsConfig::Azure(azure) => {
            let connection = AzureConnection::try_new(&azure.access)?;
            connection.keep_fresh(&[]);
            Arc::new(AzureBlobs::new(connection, azure))
        }
    })
}

/// Where messages are sent.
pub(super) fn queue(config: &StorageConfig) -> anyhow::Result<Arc<dyn Queue>> {
    Ok(match &config.queues {
        QueuesConfig::Embedded => Arc::new(EmbeddedQueue::open(&config.database)?),
        QueuesConfig::Azure(azure) => Arc::new(azure_queue(azure)?),
    })
}

/// Where who stands in for the Functions host receives them. Queues of Azure are made where they are missing, since
/// nothing was deployed.
pub(super) async fn host_queue(database: &Path) -> anyhow::Result<Arc<dyn Receive>> {
    let azure = match QueuesConfig::from_env()? {
        QueuesConfig::Embedded => return Ok(Arc::new(EmbeddedQueue::open(database)?)),
        QueuesConfig::Azure(azure) => azure_queue(&azure)?,
    };
    for queue in Message::QUEUES {
        azure.create(queue).await?;
    }
    Ok(Arc::new(azure))
}

fn azure_queue(config: &AzureQueueConfig) -> anyhow::Result<AzureQueue> {
    let connection = AzureConnection::try_new(&config.access)?;
    connection.keep_fresh(&[]);
    Ok(AzureQueue::try_new(connection, &config.account)?)
}
