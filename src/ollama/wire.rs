//! The API's answers as they travel: every field optional, unknown ones ignored, so that no version of the server is refused.
//!
//! What comes back is untrusted: sizes are clamped to what fits an `i64` and never negative, lists are cut at a
//! number no real server reaches, and a broken entry is left out instead of spoiling the whole answer. The client
//! reads these types; the embedded server writes them.

mod numbers;
mod tolerant;

use serde::Serialize;
use serde_json::{Map, Value};

pub use numbers::read;
use tolerant::{Entry, wire};

wire! {
    /// The answer of `GET /api/version`.
    pub struct Version {
        /// What the server calls itself, such as `0.32.15`.
        pub version: String,
    }
}

wire! {
    /// The answer of `GET /api/tags`.
    pub struct Tags {
        /// All installed models.
        pub models: Vec<Installed>,
    }
}

wire! {
    /// One installed model.
    pub struct Installed {
        /// Its name, `model:tag`.
        pub name: String,
        /// The same again.
        pub model: String,
        /// The model it stands for in the cloud.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remote_model: Option<String>,
        /// The cloud it runs in; such a model has no weights on disk.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remote_host: Option<String>,
        /// When its manifest was written, in the server's own offset.
        pub modified_at: Option<String>,
        /// On disk: all its layers and its config.
        pub size: u64,
        /// Digest of its manifest, 64 hex digits without a prefix.
        pub digest: String,
        /// What it is.
        pub details: Details,
        /// `completion`, `embedding`, …; empty before 0.30.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub capabilities: Vec<String>,
    }
}

wire! {
    /// What a model is.
    pub struct Details {
        /// The model it was made from.
        pub parent_model: String,
        /// `gguf` or `safetensors`.
        pub format: String,
        /// Architecture family.
        pub family: String,
        /// All its families; may be null.
        pub families: Option<Vec<String>>,
        /// Such as `7.6B`.
        pub parameter_size: String,
        /// Such as `Q4_K_M`.
        pub quantization_level: String,
        /// The context it was trained for; absent before 0.30.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub context_length: Option<u64>,
        /// Width of its embeddings; absent before 0.30.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub embedding_length: Option<u64>,
    }
}

wire! {
    /// The answer of `GET /api/ps`.
    pub struct Ps {
        /// The loaded models, in an order that may change from poll to poll.
        pub models: Vec<Running>,
    }
}

wire! {
    /// One loaded model.
    pub struct Running {
        /// The name that loaded it first, `model:tag`.
        pub name: String,
        /// The same again.
        pub model: String,
        /// All its buffers, on the card and in RAM.
        pub size: u64,
        /// Digest of its manifest, 64 hex digits without a prefix.
        pub digest: String,
        /// What it is.
        pub details: Details,
        /// When it will go: RFC 3339 in the server's own offset.
        pub expires_at: Option<String>,
        /// Its buffers on the card.
        pub size_vram: u64,
        /// The context it runs with; absent before 0.10.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub context_length: Option<u64>,
    }
}

wire! {
    /// The answer of `POST /api/show`.
    pub struct Shown {
        /// The Modelfile that would make it again; holds the paths of its blobs as the server sees them.
        pub modelfile: String,
        /// Its own parameters, one a line.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub parameters: Option<String>,
        /// Its prompt template.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub template: Option<String>,
        /// Its system prompt.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub system: Option<String>,
        /// What it is.
        pub details: Details,
        /// The keys of its GGUF header; long arrays are null.
        pub model_info: Map<String, Value>,
        /// `completion`, `embedding`, …; empty before 0.6.4.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub capabilities: Vec<String>,
        /// When its manifest was written.
        pub modified_at: Option<String>,
        /// The model it stands for in the cloud.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remote_model: Option<String>,
        /// The cloud it runs in.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remote_host: Option<String>,
    }
}

wire! {
    /// One answer of `/api/generate`, `/api/chat`, `/api/embed` or `/api/embeddings`; durations are nanoseconds.
    pub struct Answer {
        /// The name as it was sent.
        pub model: String,
        /// When it was made.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub created_at: Option<String>,
        /// Generated text, of `/api/generate`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub response: Option<String>,
        /// Generated text, of `/api/chat`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub message: Option<Message>,
        /// Vectors, of `/api/embed`; empty if it only loaded.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub embeddings: Option<Vec<Vec<f64>>>,
        /// It is the last one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub done: Option<bool>,
        /// `stop`, `length`, `load` or `unload`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub done_reason: Option<String>,
        /// From the request to the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub total_duration: Option<u64>,
        /// From the request until a runner was there: waiting, eviction and load.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub load_duration: Option<u64>,
        /// Tokens of the prompt.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub prompt_eval_count: Option<u64>,
        /// What they took.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub prompt_eval_duration: Option<u64>,
        /// Tokens generated.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub eval_count: Option<u64>,
        /// What they took.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub eval_duration: Option<u64>,
        /// What went wrong after the answer began under status 200.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<String>,
    }
}

wire! {
    /// One message of a chat.
    pub struct Message {
        /// Who speaks.
        pub role: String,
        /// What is said.
        pub content: String,
    }
}

wire! {
    /// What an answer that is no success carries.
    pub struct ErrorBody {
        /// The server's own words.
        pub error: String,
    }
}

/// More models than this no server has; the rest of a longer list is left out.
const MOST_MODELS: usize = 10_000;

/// No model has a longer context; a larger number is no context at all.
const MOST_CONTEXT: u64 = 1 << 40;

impl Entry for Installed {
    const MOST: usize = MOST_MODELS;

    fn whole(mut self) -> Option<Self> {
        believable(&mut self.details.context_length);
        fill(&mut self.name, &mut self.model);
        (!self.name.is_empty()).then_some(self)
    }
}

impl Entry for Running {
    const MOST: usize = MOST_MODELS;

    fn whole(mut self) -> Option<Self> {
        // What is on the card is a part of it.
        self.size_vram = self.size_vram.min(self.size);
        believable(&mut self.context_length);
        believable(&mut self.details.context_length);
        fill(&mut self.name, &mut self.model);
        (!self.name.is_empty()).then_some(self)
    }
}

fn believable(context: &mut Option<u64>) {
    *context = context.filter(|context| *context <= MOST_CONTEXT);
}

/// `name` and `model` are the same; where one is missing the other stands for it.
fn fill(name: &mut String, model: &mut String) {
    if name.is_empty() {
        name.clone_from(model);
    } else if model.is_empty() {
        model.clone_from(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn running(text: &str) -> Vec<Running> {
        serde_json::from_str::<Ps>(text).unwrap().models
    }

    #[test]
    fn sizes_are_clamped_and_never_negative() {
        for (written, size) in [
            ("12", 12),
            ("0", 0),
            ("-5", 0),
            ("-99999999999999999999", 0),
            ("1.9", 1),
            ("-0.5", 0),
            ("9223372036854775807", i64::MAX as u64),
            ("9223372036854775808", i64::MAX as u64),
            ("18446744073709551615", i64::MAX as u64),
            ("1e300", i64::MAX as u64),
            ("\"12\"", 0),
            ("null", 0),
            ("[1]", 0),
            ("{\"a\":1}", 0),
            ("true", 0),
        ] {
            let text = format!(r#"{{"models":[{{"name":"a:b","size":{written}}}]}}"#);
            let expected = Running { name: "a:b".into(), model: "a:b".into(), size, ..Running::default() };
            assert_eq!(running(&text), [expected], "{written}");
        }
    }

    #[test]
    fn a_context_that_no_model_has_is_unknown() {
        for (written, context) in [
            ("8192", Some(8192)),
            ("1099511627776", Some(1 << 40)),
            ("1099511627777", None),
            ("9223372036854775807", None),
            ("1e300", None),
            ("-1", None),
            ("-2.5", None),
        ] {
            let entry = format!(
                r#"{{"models":[{{"name":"a","context_length":{written},"details":{{"context_length":{written}}}}}]}}"#
            );
            let model = &running(&entry)[0];
            assert_eq!((model.context_length, model.details.context_length), (context, context), "{written}");
            let tags = serde_json::from_str::<Tags>(&entry).unwrap();
            assert_eq!(tags.models[0].details.context_length, context, "{written}");
        }
    }

    #[test]
    fn no_more_of_a_model_is_on_the_card_than_there_is_of_it() {
        for (size, size_vram, read) in [(10, 4, 4), (10, 10, 10), (10, 11, 10), (0, 5, 0)] {
            let text = format!(r#"{{"models":[{{"name":"a","size_vram":{size_vram},"size":{size}}}]}}"#);
            assert_eq!(running(&text)[0].size_vram, read, "{size_vram} of {size}");
        }
    }

    #[test]
    fn a_broken_entry_is_left_out_and_the_others_stay() {
        let text = r#"{"x":[[1]],"models":[1,null,"s",[],{},{"name":3},{"model":"b"},{"name":"a","name":"c","digest":{}}]}"#;
        let names: Vec<_> = running(text).into_iter().map(|model| model.name).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn null_stands_for_nothing_anywhere() {
        assert_eq!(running(r#"{"models":null}"#), []);
        assert_eq!(running("{}"), []);
        let text = r#"{"models":[{"name":"a","details":null,"expires_at":null,"context_length":null,"size_vram":null}]}"#;
        assert_eq!(running(text), running(r#"{"models":[{"name":"a"}]}"#));
        let text = r#"{"models":[{"name":"a","details":{"families":null,"family":"f"}}]}"#;
        assert_eq!(running(text)[0].details, Details { family: "f".into(), ..Details::default() });
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["[]", "1", "\"x\"", "null", "", "{", "{\"models\":[{\"name\":\"a\"}"] {
            assert!(serde_json::from_str::<Ps>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endless_lists_are_cut() {
        let many = format!(r#"{{"models":[{}{{"name":"a"}}]}}"#, r#"{"name":"a"},"#.repeat(20_000));
        assert_eq!(running(&many).len(), MOST_MODELS);
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(1_000_000);
        for text in [
            deep.clone(),
            format!(r#"{{"x":{deep}"#),
            format!(r#"{{"models":{deep}"#),
            format!(r#"{{"model_info":{deep}"#),
        ] {
            assert!(serde_json::from_str::<Ps>(&text).is_err());
            assert!(serde_json::from_str::<Shown>(&text).is_err());
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let tags = Tags {
            models: vec![Installed {
                name: "a:b".into(),
                model: "a:b".into(),
                remote_host: Some("https://ollama.com".into()),
                modified_at: Some("2026-11-23T06:43:54Z".into()),
                size: 7,
                digest: "ab".into(),
                details: Details {
                    families: Some(vec!["f".into()]),
                    context_length: Some(3),
                    ..Details::default()
                },
                capabilities: vec!["completion".into()],
                ..Installed::default()
            }],
        };
        let answer = Answer { embeddings: Some(vec![vec![0.5, 2.0]]), done: Some(true), ..Answer::default() };
        assert_eq!(serde_json::from_str::<Tags>(&serde_json::to_string(&tags).unwrap()).unwrap(), tags);
        assert_eq!(serde_json::from_str::<Answer>(&serde_json::to_string(&answer).unwrap()).unwrap(), answer);
    }

    /// Any JSON, with the field names of the wire among its keys.
    fn json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("name".to_owned()),
            Just("model".to_owned()),
            Just("size".to_owned()),
            Just("details".to_owned()),
            Just("families".to_owned()),
            Just("expires_at".to_owned()),
            Just("model_info".to_owned()),
            Just("capabilities".to_owned()),
            Just("models".to_owned()),
            ".*",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..8)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_entry_beside_a_good_one_leaves_it_alone(bad in json()) {
            let text = format!(r#"{{"models":[{bad},{{"name":"good"}}]}}"#);
            let tags: Tags = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(tags.models.last().map(|model| model.name.as_str()), Some("good"));
            let running = running(&text);
            prop_assert!(running.iter().all(|model| i64::try_from(model.size).is_ok() && !model.name.is_empty()));
        }

        #[test]
        fn any_object_is_read_by_every_type(value in json().prop_filter("object", Value::is_object)) {
            let text = value.to_string();
            prop_assert!(serde_json::from_str::<Shown>(&text).is_ok());
            prop_assert!(serde_json::from_str::<Answer>(&text).is_ok());
            prop_assert!(serde_json::from_str::<ErrorBody>(&text).is_ok());
            prop_assert!(serde_json::from_str::<Version>(&text).is_ok());
        }

        #[test]
        fn any_bytes_never_panic(text in ".*") {
            let _ = serde_json::from_str::<Tags>(&text);
            let _ = serde_json::from_str::<Shown>(&text);
        }
    }
}
