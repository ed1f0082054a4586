//! Settings that do not go together, and names that nobody reads.

use std::collections::{BTreeMap, BTreeSet};

/// The settings of the app, each explained.
const EXAMPLE: &str = include_str!("../../local.settings.example.json");

/// Settings that no deployment makes: those of commands, of `landfall dev` and of tests.
const OTHERS: [&str; 5] = [
    "LANDFALL_SERVER",
    "LANDFALL_KEY",
    "LANDFALL_STOP_WITH_STDIN",
    "LANDFALL_PAUSE_AT",
    "LANDFALL_PAUSE_FILE",
];

/// Prefix of what only tests and recipes read.
const OF_TESTS: &str = "LANDFALL_TEST_";

/// Names that are so much alike are taken for the same one misspelt.
const ALIKE: usize = 2;

/// Two settings that do not go together, or one that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The setting that has to change.
    pub setting: String,
    /// Whether the app cannot work like this.
    pub is_fatal: bool,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// What does not go together in settings by name.
pub fn contradictions(settings: &BTreeMap<String, String>) -> Vec<Contradiction> {
    let settings = Settings(settings);
    let mut found = settings.unknown();
    found.extend(settings.of_storage());
    found.extend(settings.of_identity());
    found.extend(settings.of_database());
    found.extend(settings.of_http());
    found
}

struct Settings<'a>(&'a BTreeMap<String, String>);

fn fatal(setting: &str, message: impl Into<String>, remedy: impl Into<String>) -> Contradiction {
    Contradiction {
        is_fatal: true,
        ..odd(setting, message, remedy)
    }
}

fn odd(setting: &str, message: impl Into<String>, remedy: impl Into<String>) -> Contradiction {
    Contradiction {
        setting: setting.to_owned(),
        is_fatal: false,
        message: message.into(),
        remedy: remedy.into(),
    }
}

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn is_in_azure(&self) -> bool {
        self.has("LANDFALL_BRONZE_ACCOUNT")
    }

    fn unknown(&self) -> Vec<Contradiction> {
        let known = explained();
        let is_known = |name: &str| {
            known.contains(name) || OTHERS.contains(&name) || name.starts_with(OF_TESTS)
        };
        let names = self.0.keys().filter(|name| name.starts_with("LANDFALL_"));
        let unknown = names.filter(|name| !is_known(name));
        let told = unknown.map(|name| {
            let near = known.iter().min_by_key(|known| distance(known, name));
            let near = near.filter(|known| distance(known, name) <= ALIKE);
            let remedy = match near {
                Some(near) => format!("is {near} meant?"),
                None => String::from("local.settings.example.json lists all settings"),
            };
            odd(name, format!("{name} is no setting"), remedy)
        });
        told.collect()
    }

    fn of_storage(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let folders = ["LANDFALL_BRONZE_DIR", "LANDFALL_SILVER_DIR"];
        if self.is_in_azure() {
            found.extend(
                folders
                    .into_iter()
                    .filter(|name| self.has(name))
                    .map(|name| {
                        let message =
                            format!("{name} says nothing where LANDFALL_BRONZE_ACCOUNT is set");
                        odd(name, message, format!("leave out {name}, or the account"))
                    }),
            );
        } else {
            let accounts = [
                "LANDFALL_SILVER_ACCOUNT",
                "LANDFALL_QUEUE_ACCOUNT",
                "LANDFALL_SOURCES",
            ];
            found.extend(
                accounts
                    .into_iter()
                    .filter(|name| self.has(name))
                    .map(|name| {
                        let message =
                            format!("{name} says nothing without LANDFALL_BRONZE_ACCOUNT");
                        odd(name, message, "set LANDFALL_BRONZE_ACCOUNT")
                    }),
            );
        }
        let host = self.get("AzureWebJobsStorage__accountName");
        if let (Some(ours), Some(host)) = (self.get("LANDFALL_QUEUE_ACCOUNT"), host)
            && ours != host
        {
            found.push(fatal(
                "LANDFALL_QUEUE_ACCOUNT",
                format!("messages are sent to `{ours}`, but the triggers listen in `{host}`"),
                "leave out LANDFALL_QUEUE_ACCOUNT, or set it to AzureWebJobsStorage__accountName",
            ));
        }
        found
    }

    fn of_identity(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let credential = self.get("LANDFALL_CREDENTIAL");
        let token_file = credential == Some("token-file");
        let real = self
            .get("LANDFALL_BLOB_ENDPOINT")
            .is_none_or(|endpoint| endpoint.contains(".core."));
        if self.is_in_azure() && credential == Some("anonymous") {
            found.push(fatal(
                "LANDFALL_CREDENTIAL",
                "nobody may write to silver: LANDFALL_CREDENTIAL is `anonymous`",
                "set it to `managed-identity` in Azure, to `developer` elsewhere",
            ));
        }
        if self.is_in_azure() && token_file && real {
            found.push(odd(
                "LANDFALL_CREDENTIAL",
                "the token of a file is renewed by nobody: `token-file` is for emulators",
                "set LANDFALL_CREDENTIAL to `managed-identity` in Azure, to `developer` elsewhere",
            ));
        }
        if self.has("LANDFALL_TOKEN_FILE") && !token_file {
            found.push(odd(
                "LANDFALL_TOKEN_FILE",
                "LANDFALL_TOKEN_FILE says nothing unless LANDFALL_CREDENTIAL is `token-file`",
                "leave it out",
            ));
        }
        if self.has("LANDFALL_CLIENT_ID")
            && credential.is_some_and(|kind| kind != "managed-identity")
        {
            found.push(odd(
                "LANDFALL_CLIENT_ID",
                "LANDFALL_CLIENT_ID says nothing unless LANDFALL_CREDENTIAL is `managed-identity`",
                "leave it out",
            ));
        }
        found
    }

    fn of_database(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let has_url = self.has("LANDFALL_DATABASE_URL");
        let is_remote = has_url || self.has("LANDFALL_DATABASE_HOST");
        let by_identity = self.get("LANDFALL_DATABASE_AUTH") == Some("identity");
        for part in ["PORT", "NAME", "USER", "PASSWORD", "SSLMODE", "SSLROOTCERT"] {
            let name = format!("LANDFALL_DATABASE_{part}");
            let stands_alone = !self.has("LANDFALL_DATABASE_HOST");
            // The example has a port and a name for whoever sets the host.
            let is_of_the_example = matches!(part, "PORT" | "NAME") && !has_url;
            if self.has(&name) && stands_alone && !is_of_the_example {
                let message = format!("{name} says nothing without LANDFALL_DATABASE_HOST");
                found.push(odd(&name, message, "leave it out, or name the host"));
            }
        }
        if by_identity && !is_remote {
            found.push(odd(
                "LANDFALL_DATABASE_AUTH",
                "there is no database to log in to by identity",
                "set LANDFALL_DATABASE_HOST",
            ));
        }
        if by_identity && self.has("LANDFALL_DATABASE_PASSWORD") {
            found.push(odd(
                "LANDFALL_DATABASE_PASSWORD",
                "LANDFALL_DATABASE_PASSWORD is not used: LANDFALL_DATABASE_AUTH is `identity`",
                "leave the password out",
            ));
        }
        if self.is_in_azure() && !is_remote {
            found.push(odd(
                "LANDFALL_DATABASE",
                "the ledger is a file of this machine while blobs are in Azure: no other instance sees it, and it is \
                 gone with the machine",
                "set LANDFALL_DATABASE_URL or LANDFALL_DATABASE_HOST",
            ));
        }
        found
    }

    fn of_http(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let is_open = matches!(self.get("LANDFALL_OPEN_ACCESS"), Some("true" | "1" | "on"));
        if self.is_in_azure() && is_open {
            found.push(odd(
                "LANDFALL_OPEN_ACCESS",
                "everybody may read everything: LANDFALL_OPEN_ACCESS is set",
                "leave it out, but on a machine of your own",
            ));
        }
        let url = self.get("LANDFALL_PUBLIC_URL");
        if self.is_in_azure() && url.is_none_or(|url| !url.starts_with("https://")) {
            found.push(odd(
                "LANDFALL_PUBLIC_URL",
                "links in STAC items lead to an address that is not https, which TiTiler does not read",
                "set LANDFALL_PUBLIC_URL to the https address of the app",
            ));
        }
        found
    }
}

/// The settings that the example explains.
fn explained() -> BTreeSet<String> {
    let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap_or_default();
    let explained = example.get("_explained").and_then(|all| all.as_object());
    explained
        .map(|all| all.keys().cloned().collect())
        .unwrap_or_default()
}

/// How many letters have to be changed, put in or left out to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        let next = other.bytes().zip(row.iter().skip(1)).map(|(b, above)| {
            let least = (before + usize::from(a != b)).min(above + 1).min(left + 1);
            before = *above;
            left = least;
            least
        });
        row = std::iter::once(i + 1)
            .chain(next.collect::<Vec<_>>())
            .collect();
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const AZURE: (&str, &str) = ("LANDFALL_BRONZE_ACCOUNT", "a");
    const URL: (&str, &str) = ("LANDFALL_PUBLIC_URL", "https://app.example.org");
    const DATABASE: (&str, &str) = ("LANDFALL_DATABASE_HOST", "db");

    fn found(settings: &[(&str, &str)]) -> Vec<(String, bool)> {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let found = contradictions(&settings.collect()).into_iter();
        found.map(|one| (one.setting, one.is_fatal)).collect()
    }

    #[rstest]
    #[case::nothing(&[])]
    #[case::folders(&[("LANDFALL_BRONZE_DIR", "b"), ("LANDFALL_SILVER_DIR", "s"), ("LANDFALL_DATABASE", "d")])]
    #[case::azure(&[AZURE, URL, DATABASE, ("LANDFALL_DATABASE_AUTH", "identity"), ("LANDFALL_DATABASE_PORT", "5432")])]
    #[case::same_account(&[AZURE, URL, DATABASE, ("LANDFALL_QUEUE_ACCOUNT", "h"), ("AzureWebJobsStorage__accountName", "h")])]
    #[case::of_commands(&[("LANDFALL_SERVER", "s"), ("LANDFALL_TEST_PYTHON", "p")])]
    fn what_goes_together_is_not_told(#[case] settings: &[(&str, &str)]) {
        assert_eq!(found(settings), []);
    }

    #[rstest]
    #[case(&[("LANDFALL_BRONZE_DIR", "b")], "LANDFALL_BRONZE_DIR", false)]
    #[case(&[("LANDFALL_CREDENTIAL", "anonymous")], "LANDFALL_CREDENTIAL", true)]
    #[case(&[("LANDFALL_CREDENTIAL", "token-file")], "LANDFALL_CREDENTIAL", false)]
    #[case(&[("LANDFALL_TOKEN_FILE", "f")], "LANDFALL_TOKEN_FILE", false)]
    #[case(&[("LANDFALL_CREDENTIAL", "developer"), ("LANDFALL_CLIENT_ID", "c")], "LANDFALL_CLIENT_ID", false)]
    #[case(&[("LANDFALL_QUEUE_ACCOUNT", "q"), ("AzureWebJobsStorage__accountName", "h")], "LANDFALL_QUEUE_ACCOUNT", true)]
    #[case(&[("LANDFALL_OPEN_ACCESS", "true")], "LANDFALL_OPEN_ACCESS", false)]
    #[case(&[("LANDFALL_DATABASE_AUTH", "identity"), ("LANDFALL_DATABASE_PASSWORD", "p")], "LANDFALL_DATABASE_PASSWORD", false)]
    #[case(&[("LANDFALL_SILVER_ACCOUNTS", "s")], "LANDFALL_SILVER_ACCOUNTS", false)]
    fn what_does_not_go_together_in_azure_is_told(
        #[case] settings: &[(&str, &str)],
        #[case] setting: &str,
        #[case] is_fatal: bool,
    ) {
        let settings = [&[AZURE, URL, DATABASE], settings].concat();
        assert_eq!(found(&settings), [(setting.to_owned(), is_fatal)]);
    }

    #[rstest]
    #[case(&[AZURE, DATABASE], "LANDFALL_PUBLIC_URL")]
    #[case(&[AZURE, URL], "LANDFALL_DATABASE")]
    #[case(&[("LANDFALL_SILVER_ACCOUNT", "s")], "LANDFALL_SILVER_ACCOUNT")]
    #[case(&[("LANDFALL_DATABASE_AUTH", "identity")], "LANDFALL_DATABASE_AUTH")]
    #[case(&[("LANDFALL_DATABASE_USER", "u")], "LANDFALL_DATABASE_USER")]
    #[case(&[("LANDFALL_DATABASE_URL", "postgresql://h/d"), ("LANDFALL_DATABASE_NAME", "n")], "LANDFALL_DATABASE_NAME")]
    fn what_is_missing_or_says_nothing_is_told(
        #[case] settings: &[(&str, &str)],
        #[case] setting: &str,
    ) {
        assert_eq!(found(settings), [(setting.to_owned(), false)]);
    }

    #[test]
    fn a_misspelt_setting_is_recognized() {
        let settings =
            BTreeMap::from([(String::from("LANDFALL_SILVER_ACCOUNTS"), String::from("s"))]);
        let found = contradictions(&settings);
        assert_eq!(found[0].remedy, "is LANDFALL_SILVER_ACCOUNT meant?");
        let settings = BTreeMap::from([(String::from("LANDFALL_FLUX"), String::from("s"))]);
        assert!(contradictions(&settings)[0].remedy.contains("lists all"));
    }

    #[rstest]
    #[case("kitten", "sitting", 3)]
    #[case("", "abc", 3)]
    #[case("abc", "abc", 0)]
    #[case("abc", "ab", 1)]
    fn distances_are_levenshteins(#[case] one: &str, #[case] other: &str, #[case] expected: usize) {
        assert_eq!(distance(one, other), expected);
    }

    /// Every setting that `config` and the telemetry read.
    fn read_settings() -> BTreeSet<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers");
        let folder = std::fs::read_dir(root.join("config")).unwrap();
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| !file.ends_with("contradiction.rs"));
        files.extend([root.join("config.rs"), root.join("telemetry.rs")]);
        let mut found = BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let is_name = |rest: &&str| {
                let mut bytes = rest.bytes();
                !rest.is_empty() && bytes.all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            };
            let strings = code.split("\"LANDFALL_").skip(1);
            let names = strings.map(|rest| rest.split('"').next().unwrap());
            found.extend(names.filter(is_name).map(|name| format!("LANDFALL_{name}")));
            // The parts of an address are named by their last word.
            let parts = code.split("part(\"").skip(1);
            let part = |rest: &str| rest.split('"').next().unwrap().to_owned();
            found.extend(parts.map(|rest| format!("LANDFALL_DATABASE_{}", part(rest))));
        }
        found
    }

    #[test]
    fn every_setting_is_explained_and_every_explanation_is_of_a_setting() {
        let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
        let names = |part: &str| -> BTreeSet<String> {
            example[part].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names("Values"), names("_explained"));
        let read: BTreeSet<String> = read_settings()
            .into_iter()
            .filter(|name| !OTHERS.contains(&name.as_str()))
            .collect();
        let ours: BTreeSet<String> = names("_explained")
            .into_iter()
            .filter(|name| name.starts_with("LANDFALL_"))
            .collect();
        // The host reads this one, for the timer of Sweep.
        let of_the_host = BTreeSet::from([String::from("LANDFALL_SWEEP_SCHEDULE")]);
        let expected: BTreeSet<String> = read.union(&of_the_host).cloned().collect();
        assert_eq!(ours, expected);
    }
}
