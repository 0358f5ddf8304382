//! Reading JSON that may be anything: a value of the wrong kind is the field's default, never an error.
//!
//! Nothing is built of what is not wanted (unknown fields and wrong kinds are skipped by `serde_json` without
//! recursion), so that a hostile answer costs no more memory than its own bounded text.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A field's type: what it makes of each kind of JSON; `None` for a kind that it is not.
pub(super) trait Tolerant: Sized {
    fn text(_: &str) -> Option<Self> {
        None
    }

    fn flag(_: bool) -> Option<Self> {
        None
    }

    /// An integer; one above `i64` comes as its maximum.
    fn integer(_: i64) -> Option<Self> {
        None
    }

    fn real(_: f64) -> Option<Self> {
        None
    }

    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// One entry of a list.
pub(super) trait Entry: Tolerant {
    /// More than this many are left out.
    const MOST: usize;

    /// The entry if it can be used.
    fn whole(self) -> Option<Self> {
        Some(self)
    }
}

/// Reads any JSON value as a `T`, or `None` where it is another kind.
pub(super) struct Kind<T>(PhantomData<T>);

impl<T> Kind<T> {
    pub(super) const fn new() -> Self {
        Kind(PhantomData)
    }
}

impl<'de, T: Tolerant> DeserializeSeed<'de> for Kind<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Tolerant> Visitor<'de> for Kind<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Option<T>, E> {
        Ok(T::flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Option<T>, E> {
        Ok(T::integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<T>, E> {
        Ok(T::integer(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<T>, E> {
        Ok(T::real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<T>, E> {
        Ok(T::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Option<T>, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::map(map)
    }
}

impl Tolerant for String {
    fn text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Tolerant for bool {
    fn flag(flag: bool) -> Option<Self> {
        Some(flag)
    }
}

impl Tolerant for u64 {
    fn integer(number: i64) -> Option<Self> {
        // A field that must have a number has 0 then, as for any other kind that it is not.
        u64::try_from(number).ok()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, which is what is wanted")]
    fn real(number: f64) -> Option<Self> {
        Self::integer(number as i64)
    }
}

impl Tolerant for f64 {
    #[expect(clippy::cast_precision_loss, reason = "an embedding's component, not a count")]
    fn integer(number: i64) -> Option<Self> {
        Some(number as f64)
    }

    fn real(number: f64) -> Option<Self> {
        Some(number)
    }
}

/// What is not there, null or of another kind is `None`; all else is as the inner type has it.
impl<T: Tolerant> Tolerant for Option<T> {
    fn text(text: &str) -> Option<Self> {
        T::text(text).map(Some)
    }

    fn flag(flag: bool) -> Option<Self> {
        T::flag(flag).map(Some)
    }

    fn integer(number: i64) -> Option<Self> {
        T::integer(number).map(Some)
    }

    fn real(number: f64) -> Option<Self> {
        T::real(number).map(Some)
    }

    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        Ok(T::list(list)?.map(Some))
    }

    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Ok(T::map(map)?.map(Some))
    }
}

impl<T: Entry> Tolerant for Vec<T> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < T::MOST {
            let Some(entry) = list.next_element_seed(Kind::<T>::new())? else { return Ok(Some(entries)) };
            entries.extend(entry.and_then(T::whole));
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(entries))
    }
}

/// A capability or a family.
impl Entry for String {
    const MOST: usize = 64;
}

/// A component of a vector.
impl Entry for f64 {
    const MOST: usize = 65_536;
}

/// A vector.
impl Entry for Vec<f64> {
    const MOST: usize = 4096;
}

/// Keys of a GGUF header: scalars and short arrays; what is nested deeper says nothing to us.
impl Tolerant for Map<String, Value> {
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut read = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Kind::<Plain>::new())?;
            if read.len() < MOST_KEYS {
                read.insert(key, value.map_or(Value::Null, |plain| plain.0));
            }
        }
        Ok(Some(read))
    }
}

/// A GGUF header has some forty keys.
const MOST_KEYS: usize = 4096;

/// A scalar, or an array of scalars.
struct Plain(Value);

impl Tolerant for Plain {
    fn text(text: &str) -> Option<Self> {
        Some(Plain(text.into()))
    }

    fn flag(flag: bool) -> Option<Self> {
        Some(Plain(flag.into()))
    }

    fn integer(number: i64) -> Option<Self> {
        Some(Plain(number.into()))
    }

    fn real(number: f64) -> Option<Self> {
        Some(Plain(number.into()))
    }

    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        let scalars = Vec::<Scalar>::list(list)?.unwrap_or_default();
        Ok(Some(Plain(scalars.into_iter().map(|scalar| scalar.0).collect())))
    }
}

/// One element of an array in a GGUF header.
struct Scalar(Value);

impl Tolerant for Scalar {
    fn text(text: &str) -> Option<Self> {
        Some(Scalar(text.into()))
    }

    fn flag(flag: bool) -> Option<Self> {
        Some(Scalar(flag.into()))
    }

    fn integer(number: i64) -> Option<Self> {
        Some(Scalar(number.into()))
    }

    fn real(number: f64) -> Option<Self> {
        Some(Scalar(number.into()))
    }
}

impl Entry for Scalar {
    const MOST: usize = 1024;
}

/// A field's value out of a map.
pub(super) fn field<'de, T: Tolerant + Default, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(map.next_value_seed(Kind::<T>::new())?.unwrap_or_default())
}

/// Reads an object at the root of an answer; there another kind *is* an error.
pub(super) fn root<'de, T: Tolerant, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Kind::<T>::new().deserialize(from)?.ok_or_else(|| serde::de::Error::custom("not a JSON object"))
}

/// A key, without a copy where it can be borrowed.
pub(super) fn key<'de, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<std::borrow::Cow<'de, str>>, A::Error> {
    struct Key;
    impl<'de> Visitor<'de> for Key {
        type Value = std::borrow::Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key")
        }

        fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
            Ok(key.into())
        }

        fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
            Ok(key.to_owned().into())
        }
    }
    impl<'de> DeserializeSeed<'de> for Key {
        type Value = std::borrow::Cow<'de, str>;

        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            from.deserialize_str(self)
        }
    }
    map.next_key_seed(Key)
}

/// Declares a type of the wire: a plain struct, written field by field and read tolerantly (the last of two equal
/// keys counts).
macro_rules! wire {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $crate::ollama::wire::tolerant::Tolerant for $name {
            fn map<'de, A: serde::de::MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
                let mut read = Self::default();
                while let Some(key) = $crate::ollama::wire::tolerant::key(&mut map)? {
                    match &*key {
                        $(stringify!($field) => read.$field = $crate::ollama::wire::tolerant::field(&mut map)?,)*
                        _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                Ok(Some(read))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::ollama::wire::tolerant::root(from)
            }
        }
    };
}

pub(super) use wire;
