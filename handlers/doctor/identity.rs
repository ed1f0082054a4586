//! Which identity answers, and the commands that give it roles.

use std::sync::Arc;

use super::Check;
use crate::config::{AzureAccess, Concerns, CredentialKind};
use crate::stores::azure::AzureConnection;
use crate::stores::identity::{POSTGRES_SCOPE, Principal, STORAGE_SCOPE};
use crate::stores::retry::RetryPolicy;

const PART: &str = "identity";

/// Two tries: a passing fault is not reported, and nobody waits for long.
const RETRY: RetryPolicy = RetryPolicy {
    tries: 2,
    first_wait: std::time::Duration::from_millis(200),
    longest_wait: std::time::Duration::from_secs(2),
};

/// Who we are.
#[derive(Debug)]
pub(super) enum Who {
    /// Nobody: nothing needs an identity, or it is to be anonymous.
    Nobody,
    /// Whoever the tokens speak for.
    Known(Principal),
    /// Somebody is meant, but there is no token.
    NoToken,
}

/// The scope of a role.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    Account(&'a str),
    Container(&'a str, &'a str),
}

impl Who {
    /// The command that gives the identity a role.
    pub(super) fn assign(&self, role: &str, scope: Scope<'_>) -> String {
        let (account, rest) = match scope {
            Scope::Account(account) => (account, String::new()),
            Scope::Container(account, container) => (
                account,
                format!("/blobServices/default/containers/{container}"),
            ),
        };
        let (id, kind) = match self {
            Self::Known(Principal {
                object_id: Some(id),
                is_app,
                ..
            }) => (
                id.as_str(),
                if *is_app { "ServicePrincipal" } else { "User" },
            ),
            _ => ("OBJECT_ID_OF_THE_IDENTITY", "ServicePrincipal"),
        };
        format!(
            "az role assignment create --role \"{role}\" --assignee-object-id {id} --assignee-principal-type {kind} \
             --scope \"$(az storage account show --name {account} --query id --output tsv){rest}\""
        )
    }

    /// Whether anything can be asked for at all.
    pub(super) const fn has_token(&self) -> bool {
        !matches!(self, Self::NoToken)
    }
}

/// A way to Azure that does not try for long.
pub(super) fn connect(access: &AzureAccess) -> Result<AzureConnection, String> {
    let connection = AzureConnection::try_new(access);
    let connection = connection.map_err(|error| crate::pipeline::chain(&error))?;
    Ok(connection.with_retry(RETRY))
}

pub(super) async fn check(concerns: &Concerns) -> (Who, Check) {
    let Ok(access) = &concerns.access else {
        let check = Check::failed(PART, "credential", "not tried: its settings cannot be read");
        return (Who::NoToken, check);
    };
    let name = match &access.identity.credential {
        CredentialKind::ManagedIdentity => "managed-identity",
        CredentialKind::Developer => "developer",
        CredentialKind::TokenFile(_) => "token-file",
        CredentialKind::Anonymous => {
            return (Who::Nobody, Check::ok(PART, "anonymous", "we are nobody"));
        }
    };
    let asked = match connect(access).map(|connection| connection.identity().cloned()) {
        Ok(Some(identity)) => {
            let storage = identity.principal(STORAGE_SCOPE).await;
            match storage {
                Ok(principal) if logs_in(concerns) => {
                    let token = Arc::clone(&identity);
                    let token = token.token(POSTGRES_SCOPE).await;
                    token.map(|_| principal)
                }
                principal => principal,
            }
            .map_err(|error| crate::pipeline::chain(&error))
        }
        Ok(None) => return (Who::Nobody, Check::ok(PART, name, "we are nobody")),
        Err(error) => Err(error),
    };
    match asked {
        Ok(principal) => {
            let check = answered(name, &principal, access);
            (Who::Known(principal), check)
        }
        Err(error) => {
            let check = Check::failed(PART, name, error);
            (
                Who::NoToken,
                check.cured_by(cure(&access.identity.credential)),
            )
        }
    }
}

fn logs_in(concerns: &Concerns) -> bool {
    let database = concerns.database.as_ref();
    database.is_ok_and(|database| database.by_identity && database.url.is_some())
}

fn answered(name: &str, principal: &Principal, access: &AzureAccess) -> Check {
    let told = |what: &str, value: &Option<String>| match value {
        Some(value) => format!("{what} {value}"),
        None => String::new(),
    };
    let parts = [
        principal.name.clone().unwrap_or_default(),
        told("object", &principal.object_id),
        told("tenant", &principal.tenant),
        told("client", &access.identity.client_id),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let message = format!("gave a token: {}", parts.join(", "));
    match &access.identity.credential {
        CredentialKind::Developer => Check::ok(
            PART,
            name,
            format!(
                "{message}; this is you and not the app: `landfall doctor --server URL` has the app try"
            ),
        ),
        _ => Check::ok(PART, name, message.trim_end_matches([':', ' '])),
    }
}

fn cure(credential: &CredentialKind) -> String {
    match credential {
        CredentialKind::ManagedIdentity => String::from(
            "az functionapp identity assign --name APP --resource-group GROUP [--identities ID], and \
             LANDFALL_CLIENT_ID for a user-assigned one",
        ),
        CredentialKind::Developer => String::from("az login"),
        CredentialKind::TokenFile(file) => format!("put a token into {}", file.display()),
        CredentialKind::Anonymous => String::from("set LANDFALL_CREDENTIAL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_assigned_to_whom_the_token_speaks_for() {
        let who = Who::Known(Principal {
            object_id: Some(String::from("1-2")),
            is_app: true,
            ..Principal::default()
        });
        assert_eq!(
            who.assign(
                "Storage Blob Data Reader",
                Scope::Container("acct", "bronze")
            ),
            "az role assignment create --role \"Storage Blob Data Reader\" --assignee-object-id 1-2 \
             --assignee-principal-type ServicePrincipal --scope \"$(az storage account show --name acct --query id \
             --output tsv)/blobServices/default/containers/bronze\""
        );
    }
}
