//! Azure's storage: accounts and containers, where they answer, and who we are there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::{optional, required};

/// A container of a storage account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerConfig {
    /// The account.
    pub account: String,
    /// The container.
    pub container: String,
}

/// The containers that are read and the one that is written.
#[derive(Debug, Clone)]
pub struct AzureBlobsConfig {
    /// Containers that source files are taken from, and no others: `LANDFALL_BRONZE_CONTAINER` (default `bronze`) of
    /// `LANDFALL_BRONZE_ACCOUNT`, and those of `LANDFALL_SOURCES` (`account/container`, separated by commas). Only
    /// ever read.
    pub sources: BTreeSet<ContainerConfig>,
    /// Where references are written: `LANDFALL_SILVER_CONTAINER` (default `silver`) of `LANDFALL_SILVER_ACCOUNT`
    /// (default: the account of bronze).
    pub silver: ContainerConfig,
    /// The account that is meant where an address names none, from `LANDFALL_BRONZE_ACCOUNT`.
    pub account: String,
    /// How the services are reached.
    pub access: AzureAccess,
}

/// The queues of an account.
#[derive(Debug, Clone)]
pub struct AzureQueueConfig {
    /// The account, from `LANDFALL_QUEUE_ACCOUNT`; by default that of the host's own storage
    /// (`AzureWebJobsStorage__accountName`), where its queue triggers listen.
    pub account: String,
    /// How the services are reached.
    pub access: AzureAccess,
}

/// Where storage accounts answer, and who we are there.
#[derive(Debug, Clone)]
pub struct AzureAccess {
    /// Address of an account's blobs, from `LANDFALL_BLOB_ENDPOINT`; `{account}` stands for its name (default
    /// `https://{account}.blob.core.windows.net`).
    pub blob_endpoint: String,
    /// Address of an account's queues, from `LANDFALL_QUEUE_ENDPOINT` (default
    /// `https://{account}.queue.core.windows.net`).
    pub queue_endpoint: String,
    /// Who we are.
    pub identity: IdentityConfig,
}

/// Who we are in Azure. There are no keys.
#[derive(Debug, Clone)]
pub struct IdentityConfig {
    /// Where tokens come from, from `LANDFALL_CREDENTIAL`.
    pub credential: CredentialKind,
    /// Client id of a user-assigned managed identity, from `LANDFALL_CLIENT_ID` (default `AZURE_CLIENT_ID`).
    pub client_id: Option<String>,
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// `managed-identity`: the identity of the function app or machine; the default where Azure offers one.
    ManagedIdentity,
    /// `developer`: who is signed in to the Azure CLI or the Azure Developer CLI; the default elsewhere.
    Developer,
    /// `token-file`: the token in `LANDFALL_TOKEN_FILE`, for emulators.
    TokenFile(PathBuf),
    /// `anonymous`: nobody; containers open to everybody can be read.
    Anonymous,
}

/// What addresses of blobs mean on the command line.
#[derive(Debug, Clone)]
pub struct NamingConfig {
    /// The account of an address that names none, from `LANDFALL_BRONZE_ACCOUNT`.
    pub account: Option<String>,
    /// How the services are reached.
    pub access: AzureAccess,
    /// Whether `https` addresses of blobs are read with the identity: `LANDFALL_CREDENTIAL` is set. Without it they
    /// are read as any other file on the web.
    pub with_identity: bool,
}

impl NamingConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the variable that cannot be read.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            account: optional("LANDFALL_BRONZE_ACCOUNT"),
            access: AzureAccess::from_env()?,
            with_identity: optional("LANDFALL_CREDENTIAL").is_some(),
        })
    }
}

impl AzureBlobsConfig {
    /// Reads the environment; `None` where no account is named.
    ///
    /// # Errors
    ///
    /// Names the variable that cannot be read.
    pub fn from_env() -> Result<Option<Self>> {
        let Some(account) = optional("LANDFALL_BRONZE_ACCOUNT") else {
            return Ok(None);
        };
        let container = |name, default: &str| optional(name).unwrap_or_else(|| default.to_owned());
        let bronze = ContainerConfig {
            account: account.clone(),
            container: container("LANDFALL_BRONZE_CONTAINER", "bronze"),
        };
        let silver = ContainerConfig {
            account: optional("LANDFALL_SILVER_ACCOUNT").unwrap_or_else(|| account.clone()),
            container: container("LANDFALL_SILVER_CONTAINER", "silver"),
        };
        let mut sources = parse_containers(&optional("LANDFALL_SOURCES").unwrap_or_default())
            .context("LANDFALL_SOURCES")?;
        sources.insert(bronze);
        if sources.contains(&silver) {
            bail!("LANDFALL_SILVER_CONTAINER is also a source; sources are never written");
        }
        Ok(Some(Self {
            sources,
            silver,
            account,
            access: AzureAccess::from_env()?,
        }))
    }
}

impl AzureQueueConfig {
    /// Reads the environment.
    pub(super) fn from_env() -> Result<Self> {
        let account = match optional("LANDFALL_QUEUE_ACCOUNT") {
            Some(account) => account,
            None => required("AzureWebJobsStorage__accountName")
                .context("LANDFALL_QUEUE_ACCOUNT is not set")?,
        };
        Ok(Self {
            account,
            access: AzureAccess::from_env()?,
        })
    }
}

impl AzureAccess {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the variable that cannot be read.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            blob_endpoint: endpoint("LANDFALL_BLOB_ENDPOINT", "blob")?,
            queue_endpoint: endpoint("LANDFALL_QUEUE_ENDPOINT", "queue")?,
            identity: IdentityConfig::from_env()?,
        })
    }
}

impl IdentityConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the variable that cannot be read.
    pub fn from_env() -> Result<Self> {
        let credential = match optional("LANDFALL_CREDENTIAL").as_deref() {
            Some("managed-identity") => CredentialKind::ManagedIdentity,
            Some("developer") => CredentialKind::Developer,
            Some("anonymous") => CredentialKind::Anonymous,
            Some("token-file") => {
                CredentialKind::TokenFile(required("LANDFALL_TOKEN_FILE")?.into())
            }
            // Functions and App Service say where their identity is asked for.
            None if optional("IDENTITY_ENDPOINT").is_some() => CredentialKind::ManagedIdentity,
            None => CredentialKind::Developer,
            Some(other) => bail!(
                "LANDFALL_CREDENTIAL is `{other}`, not managed-identity, developer, token-file or anonymous"
            ),
        };
        Ok(Self {
            credential,
            client_id: optional("LANDFALL_CLIENT_ID").or_else(|| optional("AZURE_CLIENT_ID")),
        })
    }
}

fn endpoint(name: &'static str, service: &str) -> Result<String> {
    let default = || format!("https://{{account}}.{service}.core.windows.net");
    let template = optional(name).unwrap_or_else(default);
    if !template.contains("{account}") || !template.contains("://") {
        bail!("{name} is `{template}`, not an address with `{{account}}` in it");
    }
    Ok(template.trim_end_matches('/').to_owned())
}

/// `account/container,account/container`.
fn parse_containers(text: &str) -> Result<BTreeSet<ContainerConfig>> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let parse = |part: &str| match part.split_once('/') {
        Some((account, container))
            if !account.is_empty() && !container.is_empty() && !container.contains('/') =>
        {
            Ok(ContainerConfig {
                account: account.to_owned(),
                container: container.to_owned(),
            })
        }
        _ => bail!("`{part}` is not account/container"),
    };
    parts.map(parse).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", Some([].as_slice()))]
    #[case("a/b, c/d,", Some([("a", "b"), ("c", "d")].as_slice()))]
    #[case("a", None)]
    #[case("a/b/c", None)]
    #[case("/b", None)]
    fn containers_are_listed(#[case] text: &str, #[case] expected: Option<&[(&str, &str)]>) {
        let expected = expected.map(|pairs| {
            let pairs = pairs.iter().map(|(account, container)| ContainerConfig {
                account: (*account).to_owned(),
                container: (*container).to_owned(),
            });
            pairs.collect::<BTreeSet<_>>()
        });
        assert_eq!(parse_containers(text).ok(), expected);
    }
}
