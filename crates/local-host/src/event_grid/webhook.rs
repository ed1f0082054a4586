//! Bodies of `POST /runtime/webhooks/eventgrid`: the handshake and the notifications, in both schemas.

use serde_json::Value;

/// What Event Grid wants.
#[derive(Debug, PartialEq)]
pub(crate) enum WebhookCall {
    /// Prove that you want events: repeat this code.
    Validation(String),
    /// Take these events.
    Notification(Vec<Value>),
    /// No more events will come.
    Unsubscribe,
}

/// Reads a call; `event_type` is the header `aeg-event-type`. An error says what is wrong with it.
pub(crate) fn read_call(event_type: &str, body: &[u8]) -> Result<WebhookCall, String> {
    let events = || match serde_json::from_slice(body) {
        Ok(Value::Array(events)) => Ok(events),
        Ok(event @ Value::Object(_)) => Ok(vec![event]),
        Ok(_) => Err("the body is neither an event nor an array of events".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    };
    match event_type.to_ascii_lowercase().as_str() {
        "subscriptionvalidation" => {
            let events = events()?;
            let code = events.first().and_then(validation_code);
            code.map(WebhookCall::Validation)
                .ok_or_else(|| "there is no validationCode".to_owned())
        }
        "notification" => events().map(WebhookCall::Notification),
        "unsubscribe" => Ok(WebhookCall::Unsubscribe),
        other => Err(format!("aeg-event-type `{other}` is not known")),
    }
}

/// In CloudEvents' form of the handshake `data` is JSON inside a string.
fn validation_code(event: &Value) -> Option<String> {
    let data = match event.get("data")? {
        Value::String(text) => serde_json::from_str(text).ok()?,
        data => data.clone(),
    };
    data.get("validationCode")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::event_grid(json!([{"data": {"validationCode": "C"}}]))]
    #[case::cloud_events(json!({"specversion": "1.0", "data": "{\"validationCode\":\"C\"}"}))]
    fn the_handshake_has_a_code(#[case] body: Value) {
        let call = read_call("SubscriptionValidation", body.to_string().as_bytes());
        assert_eq!(call, Ok(WebhookCall::Validation("C".to_owned())));
    }

    #[rstest]
    #[case(json!({"id": 1}), vec![json!({"id": 1})])]
    #[case(json!([{"id": 1}, {"id": 2}]), vec![json!({"id": 1}), json!({"id": 2})])]
    fn events_come_alone_or_in_an_array(#[case] body: Value, #[case] events: Vec<Value>) {
        let call = read_call("Notification", body.to_string().as_bytes());
        assert_eq!(call, Ok(WebhookCall::Notification(events)));
    }

    #[rstest]
    #[case("Notification", "{")]
    #[case("Notification", "7")]
    #[case("SubscriptionValidation", "[]")]
    #[case("Other", "[]")]
    #[case("", "[]")]
    fn everything_else_is_a_bad_request(#[case] event_type: &str, #[case] body: &str) {
        assert!(read_call(event_type, body.as_bytes()).is_err());
    }
}
