//! The embedded server's models: names, shapes and sizes, each computed from one real model divided by the scale.

use serde_json::{Map, Value, json};

use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;

/// The context that a load gets which names none, as on a card with less than 23 GiB.
pub(crate) const DEFAULT_CONTEXT: u64 = 4096;
/// Tokens of one compute batch (llama.cpp's `-ub`).
const BATCH: u64 = 512;
/// Bytes of one number of KV cache (f16) and of one number of a compute buffer (f32).
const F16: u64 = 2;
const F32: u64 = 4;

/// One model of the embedded server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: ModelName,
    /// Bytes of its weights: the size of its blob.
    pub weights: Bytes,
    /// What its random bytes grow from: two specs with the same seed and size share one blob.
    pub seed: u64,
    /// Such as `Q4_K_M`.
    pub quantisation: String,
    /// `completion` or `embedding`.
    pub capabilities: Vec<String>,
    /// Its parameters.
    pub parameters: u64,
    /// Its dimensions.
    pub shape: Shape,
}

/// A model's dimensions, under the names that GGUF gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// `general.architecture`, also the family.
    pub architecture: String,
    /// `block_count`.
    pub layers: u64,
    /// `attention.head_count`.
    pub heads: u64,
    /// `attention.head_count_kv`.
    pub kv_heads: u64,
    /// `embedding_length`.
    pub embedding: u64,
    /// `feed_forward_length`.
    pub feed_forward: u64,
    /// `vocab_size`.
    pub vocabulary: u64,
    /// `context_length`: what it was trained for.
    pub context: u64,
}

impl Shape {
    /// The same architecture smaller, so that its KV cache and its compute buffer shrink as the weights do: first
    /// the heads get narrower, then fewer, then the layers fewer.
    fn divided(&self, scale: u64) -> Shape {
        let mut left = scale.max(1);
        let mut take = |value: u64, least: u64| {
            let factor = left.min((value / least).max(1));
            left = left.div_ceil(factor);
            (value / factor, factor)
        };
        let (width, _) = take(self.embedding / self.heads.max(1), 8);
        let (kv_heads, fewer) = take(self.kv_heads, 1);
        let (layers, _) = take(self.layers, 1);
        let heads = (self.heads / fewer).max(kv_heads);
        Shape {
            architecture: self.architecture.clone(),
            layers,
            heads,
            kv_heads,
            embedding: heads * width,
            feed_forward: (self.feed_forward / scale.max(1)).max(1),
            vocabulary: (self.vocabulary / scale.max(1)).max(1),
            context: self.context,
        }
    }
}

impl Spec {
    /// Another tag of the same weights: it shares the blob.
    #[must_use]
    pub fn alias(&self, name: ModelName) -> Spec {
        Spec { name, ..self.clone() }
    }

    /// Whether it can answer prompts.
    pub(crate) fn completes(&self) -> bool {
        self.capabilities.iter().any(|c| c == "completion")
    }

    /// Whether it can embed.
    pub(crate) fn embeds(&self) -> bool {
        self.capabilities.iter().any(|c| c == "embedding")
    }

    /// The KV cache for `context` tokens, by the server's own formula.
    pub(crate) fn kv_cache(&self, context: u64) -> u64 {
        let shape = &self.shape;
        let width = shape.embedding / shape.heads.max(1);
        2 * shape.layers * shape.kv_heads * width * context.min(shape.context) * F16
    }

    /// The compute buffer: one batch of logits, or of hidden states where there are no logits.
    pub(crate) fn compute_buffer(&self) -> u64 {
        let numbers = if self.completes() { self.shape.vocabulary } else { self.shape.feed_forward };
        BATCH * numbers * F32
    }

    /// What the server predicts before a load: weights and KV cache.
    pub(crate) fn predicted(&self, context: u64) -> u64 {
        self.weights.0 + self.kv_cache(context)
    }

    /// What it takes when loaded: weights, KV cache and compute buffer.
    pub(crate) fn memory(&self, context: u64) -> u64 {
        self.predicted(context) + self.compute_buffer()
    }

    /// `details` as `/api/ps` and `/api/show` carry it.
    pub(crate) fn details(&self) -> Value {
        json!({
            "parent_model": "",
            "format": "gguf",
            "family": self.shape.architecture,
            "families": [self.shape.architecture],
            "parameter_size": people(self.parameters),
            "quantization_level": self.quantisation,
        })
    }

    /// `model_info` of `/api/show`.
    pub(crate) fn model_info(&self) -> Value {
        let shape = &self.shape;
        let mut info = Map::new();
        for (key, value) in [
            ("attention.head_count", shape.heads),
            ("attention.head_count_kv", shape.kv_heads),
            ("block_count", shape.layers),
            ("context_length", shape.context),
            ("embedding_length", shape.embedding),
            ("feed_forward_length", shape.feed_forward),
            ("vocab_size", shape.vocabulary),
        ] {
            info.insert(format!("{}.{key}", shape.architecture), value.into());
        }
        info.insert("general.architecture".into(), shape.architecture.as_str().into());
        info.insert("general.parameter_count".into(), self.parameters.into());
        info.insert("general.quantization_version".into(), 2.into());
        info.insert("general.file_type".into(), self.file_type().into());
        for array in ["scores", "token_type", "tokens"] {
            info.insert(format!("tokenizer.ggml.{array}"), Value::Null);
        }
        info.insert("tokenizer.ggml.model".into(), "gpt2".into());
        Value::Object(info)
    }

    /// `tensors` of `/api/show`: what these dimensions make of one layer and its surroundings.
    pub(crate) fn tensors(&self) -> Value {
        let shape = &self.shape;
        let kv = shape.kv_heads * (shape.embedding / shape.heads.max(1));
        let mut tensors = vec![
            json!({"name": "token_embd.weight", "type": "Q4_K", "shape": [shape.embedding, shape.vocabulary]}),
            json!({"name": "output_norm.weight", "type": "F32", "shape": [shape.embedding]}),
        ];
        for layer in 0..shape.layers {
            for (name, columns) in
                [("attn_q", shape.embedding), ("attn_k", kv), ("attn_v", kv), ("ffn_up", shape.feed_forward)]
            {
                tensors.push(json!({
                    "name": format!("blk.{layer}.{name}.weight"), "type": "Q4_K", "shape": [shape.embedding, columns],
                }));
            }
        }
        Value::Array(tensors)
    }

    fn file_type(&self) -> u64 {
        match self.quantisation.as_str() {
            "F16" => 1,
            "Q8_0" => 7,
            _ => 15,
        }
    }
}

/// The demo's five models at `scale`: the idea's three, an embedding-only one and a small one.
pub fn demo(scale: u64) -> Vec<Spec> {
    let scale = scale.max(1);
    let qwen7 = Shape {
        architecture: "qwen2".into(),
        layers: 28,
        heads: 28,
        kv_heads: 4,
        embedding: 3584,
        feed_forward: 18_944,
        vocabulary: 152_064,
        context: 32_768,
    };
    let qwen14 = Shape {
        layers: 48,
        heads: 40,
        kv_heads: 8,
        embedding: 5120,
        feed_forward: 13_824,
        context: 131_072,
        ..qwen7.clone()
    };
    let nomic = Shape {
        architecture: "nomic-bert".into(),
        layers: 12,
        heads: 12,
        kv_heads: 12,
        embedding: 768,
        feed_forward: 3072,
        vocabulary: 30_522,
        context: 2048,
    };
    let gemma = Shape {
        architecture: "gemma3".into(),
        layers: 18,
        heads: 4,
        kv_heads: 1,
        embedding: 640,
        feed_forward: 2048,
        vocabulary: 262_144,
        context: 32_768,
    };
    let real: [(&str, u64, u64, &str, &str, &Shape); 5] = [
        ("openthinker3-7b:latest", 4_683_074_176, 7_615_616_512, "Q4_K_M", "completion", &qwen7),
        ("qwen2.5-coder:7b", 4_683_087_296, 7_615_616_512, "Q4_K_M", "completion", &qwen7),
        ("deepseek-r1:14b", 8_988_110_464, 14_770_033_664, "Q4_K_M", "completion", &qwen14),
        ("nomic-embed-text:latest", 274_290_656, 136_727_040, "F16", "embedding", &nomic),
        ("gemma3:270m", 291_546_368, 268_098_176, "Q8_0", "completion", &gemma),
    ];
    let mut specs = Vec::with_capacity(real.len());
    for (seed, (name, weights, parameters, quantisation, capability, shape)) in (1..).zip(real) {
        specs.push(Spec {
            name: ModelName::from_server(name),
            weights: Bytes((weights / scale).max(1)),
            seed,
            quantisation: quantisation.to_owned(),
            capabilities: vec![capability.to_owned()],
            parameters: parameters / scale,
            shape: shape.divided(scale),
        });
    }
    specs
}

/// A number of parameters as the server prints it: `7.6B`, `529.72M`.
#[expect(clippy::cast_precision_loss, reason = "two digits are printed")]
fn people(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.2}K", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2}M", number as f64 / 1e6),
        _ => format!("{:.1}B", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scale: u64, name: &str) -> Spec {
        let name = ModelName::parse(name).unwrap();
        demo(scale).into_iter().find(|spec| spec.name == name).unwrap()
    }

    #[test]
    fn at_full_size_the_context_takes_what_it_takes_on_a_real_server() {
        let qwen = spec(1, "qwen2.5-coder:7b");
        assert_eq!((qwen.kv_cache(4096), qwen.compute_buffer()), (224 << 20, 297 << 20));
        assert_eq!(spec(1, "deepseek-r1:14b").kv_cache(4096), 768 << 20);
    }

    #[test]
    fn context_and_weights_shrink_by_the_same_scale() {
        let (one, sixteenth) = (spec(1, "qwen2.5-coder:7b"), spec(16, "qwen2.5-coder:7b"));
        assert_eq!(sixteenth.kv_cache(4096) * 16, one.kv_cache(4096));
        assert_eq!(sixteenth.weights.0, one.weights.0 / 16);
        for name in ["deepseek-r1:14b", "qwen2.5-coder:7b", "gemma3:270m"] {
            let (one, tiny) = (spec(1, name).memory(4096), spec(1024, name).memory(4096) * 1024);
            assert!(tiny.abs_diff(one) < one / 10, "{name}: {tiny} {one}");
        }
    }

    #[test]
    fn a_context_beyond_the_trained_one_costs_no_more() {
        let nomic = spec(16, "nomic-embed-text");
        assert_eq!(nomic.kv_cache(2048), nomic.kv_cache(1 << 40));
    }

    #[test]
    fn parameters_are_printed_as_the_server_prints_them() {
        assert_eq!(
            [268_098_176, 7_615_616_512, 529_715_200, 950, 51_270].map(people),
            ["268.10M", "7.6B", "529.72M", "950", "51.27K"]
        );
    }
}
