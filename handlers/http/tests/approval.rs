//! What people decide about Releases, over HTTP: a real series, combined, in folders and an embedded ledger.

use rstest::rstest;
use serde_json::{Value, json};

use super::flow::Flow;

/// The demo series, combined and not yet reviewed.
struct Review {
    flow: Flow,
    release_id: String,
}

impl Review {
    async fn begin() -> Self {
        Self::of(Flow::new()).await
    }

    async fn of(flow: Flow) -> Self {
        for (name, year) in [("cmip6/2000.nc", 2000), ("cmip6/2001.nc", 2001)] {
            flow.land(name, year);
        }
        flow.submit(&json!({"count": 2})).await;
        flow.drain().await;
        let status = flow.status().await;
        assert_eq!(status["job_status"], "completed", "{status}");
        let release_id = status["release"]["release_id"].as_str().unwrap().to_owned();
        Self { flow, release_id }
    }

    async fn post(&self, action: &str, body: &Value) -> (u16, Value) {
        let path = format!("/api/platform/{action}");
        self.flow.ask("POST", &path, &[], body).await
    }

    async fn approve(&self) -> (u16, Value) {
        self.post("approve", &self.approval()).await
    }

    fn approval(&self) -> Value {
        json!({"release_id": self.release_id, "reviewer": "ada", "clearance_state": "public"})
    }

    fn objection(&self) -> Value {
        json!({"release_id": self.release_id, "reviewer": "grace", "reason": "wrong units"})
    }

    async fn release(&self) -> Value {
        let path = format!("/api/releases/{}", self.release_id);
        self.flow.get(&path).await["release"].clone()
    }

    async fn store(&self, revision: u32) -> u16 {
        let path = format!("/api/zarr/{}/r{revision}/.zmetadata", self.release_id);
        self.flow.ask("GET", &path, &[], &Value::Null).await.0
    }

    fn references(&self) -> Vec<String> {
        let folder = self.flow.path("silver/refs/combined/tas/demo/ord1");
        let mut found: Vec<String> = glob::glob(&format!("{}/**/*.*", folder.display()))
            .unwrap()
            .map(|path| {
                path.unwrap()
                    .strip_prefix(&folder)
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        found.sort();
        found
    }
}

#[tokio::test]
async fn an_approval_says_what_it_did() {
    let review = Review::begin().await;
    let (status, answer) = review.approve().await;
    let expected = json!({
        "success": true, "release_id": review.release_id, "asset_id": review.release().await["asset_id"],
        "approval_state": "approved", "clearance_state": "public", "version_id": "v1", "version_ordinal": 1,
        "revision": 1, "reviewer": "ada", "action": "approved_public", "stac_updated": false, "catalogue": "absent",
        "adf_run_id": null, "stac_item_id": "tas-demo-v1", "stac_collection_id": "tas",
        "message": "approved; there is no pgSTAC catalogue in this database, rematerialize when there is one",
    });
    assert_eq!((status, answer), (200, expected));
    let release = review.release().await;
    assert_eq!(release["stac_item_json"]["id"], "tas-demo-v1");
    assert_eq!(
        (&release["reviewer"], &release["is_served"]),
        (&json!("ada"), &json!(true))
    );
    let (status, answer) = review.approve().await;
    assert_eq!(
        (status, &answer["error_type"]),
        (400, &json!("ApprovalFailed"))
    );
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("its approval_state is approved"), "{error}");
}

/// What the request lacks, or has too much.
#[rstest]
#[case("approve", json!({"reviewer": null}), 400, "ValidationError", "reviewer")]
#[case("approve", json!({"reviewer": "  "}), 400, "ValidationError", "reviewer")]
#[case("approve", json!({"reviewer": "a".repeat(201)}), 400, "ValidationError", "reviewer")]
#[case("approve", json!({"reviewer": 5}), 400, "ValidationError", "expected a string")]
#[case("approve", json!({"clearance_state": null}), 400, "ValidationError", "clearance_state")]
#[case("approve", json!({"clearance_state": "secret"}), 400, "ValidationError", "not ouo or public")]
#[case("approve", json!({"version_id": "../v1"}), 400, "ValidationError", "version_id")]
#[case("approve", json!({"notes": "a".repeat(2001)}), 400, "ValidationError", "notes")]
#[case("approve", json!({"dry_run": "yes"}), 400, "ValidationError", "expected a boolean")]
#[case("approve", json!({"colour": "red"}), 400, "ValidationError", "unknown field `colour`")]
#[case("approve", json!({"reason": "r"}), 400, "ValidationError", "unknown field `reason`")]
#[case("approve", json!({"release_id": null}), 400, "ValidationError", "release_id")]
#[case("approve", json!({"release_id": "none"}), 404, "NotFound", "no such Release")]
#[case("reject", json!({"reason": null}), 400, "ValidationError", "reason is required")]
#[case("reject", json!({"reviewer": null}), 400, "ValidationError", "reviewer is required")]
#[case("reject", json!({"release_id": "none"}), 404, "NotFound", "no such Release")]
#[case("revoke", json!({"reason": null}), 400, "ValidationError", "reason is required")]
#[case("revoke", json!({}), 400, "RevocationFailed", "its approval_state is pending_review, not approved")]
#[case("revoke", json!({"notes": "n"}), 400, "ValidationError", "unknown field `notes`")]
#[case("unpublish", json!({"release_id": "none"}), 404, "NotFound", "no such Release")]
#[case("unpublish", json!({"delete_sources": true}), 400, "ValidationError", "unknown field")]
#[tokio::test]
async fn what_cannot_be_decided_says_why(
    #[case] action: &str,
    #[case] change: Value,
    #[case] status: u16,
    #[case] error_type: &str,
    #[case] names: &str,
) {
    let review = Review::begin().await;
    let mut body = match action {
        "approve" => review.approval(),
        _ => review.objection(),
    };
    for (field, value) in change.as_object().unwrap() {
        body[field] = value.clone();
    }
    let (found, answer) = review.post(action, &body).await;
    assert_eq!(
        (found, &answer["error_type"]),
        (status, &json!(error_type)),
        "{answer}"
    );
    assert!(
        answer["error"].as_str().unwrap().contains(names),
        "{answer}"
    );
    if names.contains("unknown field") {
        assert!(answer["valid_parameters"].as_array().unwrap().len() > 7);
    }
    let release = review.release().await;
    assert_eq!(release["approval_state"], "pending_review");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let review = Review::begin().await;
    let before = review.release().await;
    for (action, state, blocked) in [
        ("approve", "approved", false),
        ("reject", "rejected", false),
        ("revoke", "revoked", true),
    ] {
        let mut body = match action {
            "approve" => review.approval(),
            _ => review.objection(),
        };
        body["dry_run"] = json!(true);
        let (status, answer) = review.post(action, &body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            [
                &answer["dry_run"],
                &answer["would_transition_to"],
                &answer["blocked"],
                &answer["current_state"]
            ],
            [
                &json!(true),
                &json!(state),
                &json!(blocked),
                &json!("pending_review")
            ]
        );
        assert_eq!(answer["blocked_reason"].is_string(), blocked, "{answer}");
    }
    assert_eq!(review.release().await, before);
}

#[tokio::test]
async fn a_source_that_has_changed_refuses_the_approval_by_its_name() {
    let review = Review::begin().await;
    review.flow.land("cmip6/2001.nc", 2002);
    let (status, answer) = review.approve().await;
    assert_eq!(
        (status, &answer["error_type"]),
        (400, &json!("ApprovalFailed"))
    );
    assert_eq!(answer["code"], "source_changed");
    let files = answer["files"].as_array().unwrap();
    assert_eq!(files.len(), 1);
    assert!(
        files[0].as_str().unwrap().starts_with("2001.nc has"),
        "{answer}"
    );
    review.flow.land("cmip6/2001.nc", 2001);
    review.flow.announce("cmip6/2001.nc").await;
    review.flow.drain().await;
    let (status, answer) = review.approve().await;
    assert_eq!(
        (status, &answer["revision"]),
        (200, &json!(2)),
        "the next revision is of the file as it is"
    );
}

#[tokio::test]
async fn a_reference_that_is_gone_is_not_approved() {
    let review = Review::begin().await;
    let document = review
        .flow
        .path("silver/refs/combined/tas/demo/ord1/r1/combined.json");
    std::fs::remove_file(document).unwrap();
    let path = format!("/api/releases/{}/stac", review.release_id);
    let (status, answer) = review.flow.ask("PUT", &path, &[], &Value::Null).await;
    assert_eq!(
        (status, &answer["error_type"]),
        (409, &json!("ReleaseStateError")),
        "{answer}"
    );
    let (status, answer) = review.approve().await;
    assert_eq!(
        (status, &answer["error_type"]),
        (400, &json!("ApprovalFailed"))
    );
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("combined.json is gone"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_changes_under_an_approved_release_is_told_and_makes_the_next() {
    let review = Review::begin().await;
    assert_eq!(review.approve().await.0, 200);
    let list = async || {
        let (_, answer) = review
            .flow
            .ask(
                "GET",
                "/api/platform/approvals?status=approved",
                &[],
                &Value::Null,
            )
            .await;
        answer["releases"][0]["source_changed"].clone()
    };
    assert_eq!(list().await, json!(false));
    review.flow.land("cmip6/2001.nc", 2002);
    review.flow.announce("cmip6/2001.nc").await;
    assert_eq!(list().await, json!(true));
    review.flow.drain().await;
    let status = review.flow.status().await;
    let next = &status["release"];
    assert_eq!(
        [
            &next["version_ordinal"],
            &next["approval_state"],
            &next["revision"]
        ],
        [&json!(2), &json!("pending_review"), &json!(1)]
    );
    assert_ne!(next["release_id"], json!(review.release_id));
    assert_eq!(list().await, json!(true), "the approved one stays as it is");
    let changed = &status["source_changed"];
    assert_eq!(changed.as_array().unwrap().len(), 1, "{changed}");
    assert_eq!(
        [
            &changed[0]["release_id"],
            &changed[0]["version_id"],
            &changed[0]["files"][0]["url"]
        ],
        [
            &json!(review.release_id),
            &json!("v1"),
            &json!("abfs://bronze/cmip6/2001.nc")
        ]
    );
    assert_eq!(
        [
            &status["warnings"][0]["file"],
            &status["warnings"][0]["finding"]["code"]
        ],
        [&json!("2001.nc"), &json!("source_changed")]
    );
    assert_eq!(review.release().await["approval_state"], "approved");
}

#[rstest]
#[case::rejected(&["reject"])]
#[case::revoked(&["approve", "revoke"])]
#[tokio::test]
async fn what_is_taken_back_is_gone_from_the_served_store(#[case] actions: &[&str]) {
    let review = Review::begin().await;
    assert_eq!(review.store(1).await, 200);
    for action in actions {
        let body = match *action {
            "approve" => review.approval(),
            _ => review.objection(),
        };
        let (status, answer) = review.post(action, &body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["success"], json!(true));
    }
    assert_eq!(review.store(1).await, 410);
    review.flow.land("cmip6/2001.nc", 2002);
    review.flow.announce("cmip6/2001.nc").await;
    review.flow.drain().await;
    let release = review.release().await;
    assert_eq!(
        [&release["approval_state"], &release["revision"]],
        [&json!("pending_review"), &json!(2)]
    );
    assert_eq!((review.store(1).await, review.store(2).await), (410, 200));
}

#[tokio::test]
async fn unpublishing_deletes_our_references_and_no_source() {
    let review = Review::begin().await;
    review.flow.land("cmip6/2001.nc", 2002);
    review.flow.announce("cmip6/2001.nc").await;
    review.flow.drain().await;
    let all = [
        "r1/combined.json",
        "r1/combined.verified.json",
        "r1/thumbnail.png",
        "r2/combined.json",
        "r2/combined.verified.json",
        "r2/thumbnail.png",
    ];
    assert_eq!(review.references(), all);
    let bare = json!({"dataset_id": "tas", "resource_id": "demo"});
    let (status, answer) = review.post("unpublish", &bare).await;
    assert_eq!(
        (status, &answer["dry_run"]),
        (200, &json!(true)),
        "{answer}"
    );
    let urls: Vec<String> = all
        .iter()
        .map(|name| format!("abfs://silver/refs/combined/tas/demo/ord1/{name}"))
        .collect();
    assert_eq!(
        answer["would_delete"],
        json!({"references": urls, "count": 6, "sources": [], "stac_item_id": null})
    );
    assert_eq!(review.references(), all, "nothing was deleted");
    let mut body = review.objection();
    body["dry_run"] = json!(false);
    let (status, answer) = review.post("unpublish", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["deleted"],
        json!({"references": urls, "count": 6, "sources": []})
    );
    assert_eq!(review.references(), [""; 0]);
    for name in ["cmip6/2000.nc", "cmip6/2001.nc"] {
        assert!(review.flow.path("bronze").join(name).exists());
    }
    let per_file = review
        .flow
        .path("silver/refs/files/local/bronze/cmip6/2000.json");
    assert!(per_file.exists(), "references of files are not a Release's");
    assert_eq!((review.store(1).await, review.store(2).await), (410, 410));
    let (status, again) = review.post("unpublish", &body).await;
    assert_eq!((status, &again["deleted"]["count"]), (200, &json!(0)));
    assert_eq!(review.approve().await.1["error_type"], "ApprovalFailed");
}

#[tokio::test]
async fn an_approved_release_is_unpublished_by_force_alone() {
    let review = Review::begin().await;
    assert_eq!(review.approve().await.0, 200);
    let mut body = review.objection();
    let (_, trial) = review.post("unpublish", &body).await;
    assert_eq!(
        [&trial["blocked"], &trial["would_delete"]["stac_item_id"]],
        [&json!(true), &json!("tas-demo-v1")]
    );
    body["dry_run"] = json!(false);
    let (status, answer) = review.post("unpublish", &body).await;
    assert_eq!(
        (status, &answer["error_type"]),
        (409, &json!("ReleaseStateError"))
    );
    assert_eq!(review.references().len(), 3);
    body["force_approved"] = json!(true);
    let (status, answer) = review.post("unpublish", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(review.release().await["approval_state"], "revoked");
    assert_eq!(review.references(), [""; 0]);
}

#[tokio::test]
async fn the_item_built_again_is_the_item_that_was_cached() {
    let review = Review::begin().await;
    let path = format!("/api/releases/{}/stac", review.release_id);
    let before = review.release().await;
    let (status, answer) = review.flow.ask("PUT", &path, &[], &Value::Null).await;
    let expected = json!({
        "success": true, "release_id": review.release_id, "stac_item_cached": true, "release_updated": true,
        "blob_path": "refs/combined/tas/demo/ord1/r1/combined.json", "stac_item_id": "tas-demo-ord1",
        "stac_collection_id": "tas",
    });
    assert_eq!((status, answer), (200, expected));
    let after = review.release().await;
    assert_eq!(after["stac_item_json"], before["stac_item_json"]);
    assert_eq!(review.approve().await.0, 200);
    let (status, answer) = review.flow.ask("PUT", &path, &[], &Value::Null).await;
    assert_eq!(
        (status, &answer["stac_item_id"]),
        (200, &json!("tas-demo-v1"))
    );
    let moved = json!({
        "dataset_id": "tas", "resource_id": "demo", "source_url": "abfs://bronze/cmip6/", "version_id": "2",
        "processing_options": {"expected": {"count": 2}, "collection_id": "elsewhere"},
    });
    let (status, answer) = review.post("submit", &moved).await;
    assert_eq!(status, 202, "{answer}");
    let (_, answer) = review.flow.ask("PUT", &path, &[], &Value::Null).await;
    assert_eq!(
        answer["stac_collection_id"], "tas",
        "the catalogue has it there"
    );
    let (status, _) = review
        .flow
        .ask("PUT", "/api/releases/none/stac", &[], &Value::Null)
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_release_without_a_reference_has_no_item_to_build() {
    let flow = Flow::new();
    let submitted = flow.submit(&json!({"count": 2})).await;
    let release_id = submitted["release_id"].as_str().unwrap();
    let path = format!("/api/releases/{release_id}/stac");
    let (status, answer) = flow.ask("PUT", &path, &[], &Value::Null).await;
    assert_eq!(
        (status, &answer["error_type"]),
        (409, &json!("ReleaseStateError")),
        "{answer}"
    );
}

/// Ids of an Asset mean the Release that the action is about.
#[tokio::test]
async fn an_asset_means_its_release_in_the_state_that_counts() {
    let review = Review::begin().await;
    assert_eq!(review.approve().await.0, 200);
    review.flow.land("cmip6/2002.nc", 2002);
    review.flow.announce("cmip6/2002.nc").await;
    review.flow.drain().await;
    let names = json!({"dataset_id": "tas", "resource_id": "demo", "reviewer": "ada"});
    let mut approve = names.clone();
    approve["access_level"] = json!("OUO");
    let (status, second) = review.post("approve", &approve).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(
        [&second["version_id"], &second["clearance_state"]],
        [&json!("v2"), &json!("ouo")]
    );
    let mut revoke = names;
    revoke["reason"] = json!("wrong");
    let asset_id = second["asset_id"].clone();
    let (_, first_gone) = review.post("revoke", &revoke).await;
    assert_eq!(
        first_gone["release_id"], second["release_id"],
        "the latest approved one"
    );
    let by_asset = json!({"asset_id": asset_id, "revoker": "grace", "reason": "wrong"});
    let mut by_release = by_asset.clone();
    by_release["asset_id"] = Value::Null;
    by_release["approval_id"] = second["release_id"].clone();
    let (status, refused) = review.post("revoke", &by_release).await;
    assert_eq!(
        (status, &refused["error_type"]),
        (400, &json!("RevocationFailed")),
        "an id of one Release means that one"
    );
    let (_, other) = review.post("revoke", &by_asset).await;
    assert_eq!(
        [&other["release_id"], &other["reviewer"]],
        [&json!(review.release_id), &json!("grace")]
    );
}

#[tokio::test]
async fn approvals_are_listed_with_their_counts() {
    let review = Review::begin().await;
    let (status, answer) = review
        .flow
        .ask("GET", "/api/platform/approvals", &[], &Value::Null)
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["status_counts"],
        json!({"pending_review": 1, "approved": 0, "rejected": 0, "revoked": 0})
    );
    let entry = &answer["releases"][0];
    assert_eq!(
        [
            &entry["release_id"],
            &entry["can_approve"],
            &entry["source_changed"],
            &answer["count"],
            &answer["limit"]
        ],
        [
            &json!(review.release_id),
            &json!(true),
            &json!(false),
            &json!(1),
            &json!(100)
        ]
    );
    assert!(entry.get("stac_item_json").is_none());
    for (query, status, count) in [
        ("status=approved", 200, 0),
        ("status=pending_review&clearance=uncleared", 200, 1),
        ("limit=1&offset=1", 200, 0),
        ("status=nonsense", 400, 0),
        ("clearance=secret", 400, 0),
        ("limit=0", 400, 0),
        ("limit=many", 400, 0),
        ("colour=red", 400, 0),
    ] {
        let path = format!("/api/platform/approvals?{query}");
        let (found, answer) = review.flow.ask("GET", &path, &[], &Value::Null).await;
        assert_eq!(found, status, "{query}: {answer}");
        if status == 200 {
            assert_eq!(answer["count"], json!(count), "{query}");
        }
    }
    let path = format!("/api/platform/approvals/{}", review.release_id);
    let (_, one) = review.flow.ask("GET", &path, &[], &Value::Null).await;
    assert_eq!(&one["release"], entry);
}

#[tokio::test]
async fn without_a_catalogue_rematerializing_says_so() {
    let review = Review::begin().await;
    assert_eq!(review.approve().await.0, 200);
    let (status, answer) = review
        .post("approve", &json!({"rematerialize": true}))
        .await;
    assert_eq!(
        [&json!(status), &answer["count"], &answer["catalogue"]],
        [&json!(200), &json!(0), &json!("absent")]
    );
    let pending = json!({"rematerialize": true, "release_id": "none"});
    assert_eq!(review.post("approve", &pending).await.0, 404);
}

/// With Easy Auth the signed-in principal decides, whatever the body says, and without one whom the body names; without
/// Easy Auth the header is anybody's.
#[rstest]
#[case::signed_in(true, Some("ada@example.org"), Some("body"), 200, "ada@example.org")]
#[case::signed_in_and_nobody_named(true, Some("ada@example.org"), None, 200, "ada@example.org")]
#[case::with_the_function_key_alone(true, None, Some("body"), 200, "body")]
#[case::with_the_function_key_for_nobody(true, None, None, 400, "")]
#[case::not_before_the_app(false, Some("mallory@example.org"), Some("body"), 200, "body")]
#[tokio::test]
async fn the_reviewer_is_the_signed_in_principal_else_the_bodys(
    #[case] easy_auth: bool,
    #[case] principal: Option<&str>,
    #[case] named: Option<&str>,
    #[case] status: u16,
    #[case] reviewer: &str,
) {
    let review = Review::of(Flow::with(|config| config.http.easy_auth = easy_auth)).await;
    let mut body = review.approval();
    body["reviewer"] = json!(named);
    let headers: Vec<(&str, &str)> = principal
        .iter()
        .map(|name| ("x-ms-client-principal-name", *name))
        .collect();
    let path = "/api/platform/approve";
    let (found, answer) = review.flow.ask("POST", path, &headers, &body).await;
    assert_eq!(found, status, "{answer}");
    if status == 200 {
        assert_eq!(answer["reviewer"], reviewer);
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let flow = Flow::new();
    for action in ["approve", "reject", "revoke", "unpublish"] {
        for body in ["", "[]", "nonsense", "5"] {
            let answer = flow.send(&format!("/api/platform/{action}"), body).await;
            assert_eq!(answer.status(), 400, "{action} {body}");
        }
    }
}
