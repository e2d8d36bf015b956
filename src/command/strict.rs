//! JSON as a signed document may be written: no member twice at any depth, whole numbers only, bounded in depth.
//!
//! Two readers of a document with a doubled member may see two documents, and one of them may be the one that checks. So a
//! doubled member is no document here.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one value and nothing behind it. `depth` is how many lists and objects may lie in each other.
pub(super) fn read(bytes: &[u8], depth: usize) -> Result<Value, serde_json::Error> {
    read_as(Strict { depth, fractions: false }, bytes)
}

/// The same for what a gateway measures, which need not be whole.
pub(super) fn read_measured(bytes: &[u8], depth: usize) -> Result<Value, serde_json::Error> {
    read_as(Strict { depth, fractions: true }, bytes)
}

fn read_as(form: Strict, bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = form.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Strict {
    depth: usize,
    fractions: bool,
}

impl Strict {
    fn inside<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("it is nested too deep"))?;
        Ok(Self { depth, fractions: self.fractions })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("strict JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if self.fractions {
            return Ok(Number::from_f64(value).map_or(Value::Null, Value::Number));
        }
        Err(E::custom("it holds a number that is not whole"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inside()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(self.inside()?)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("its member {name:?} comes twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":{"b":1,"b":1}}]}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-0}"#,
            r#"{"a":18446744073709551616}"#,
            r#"{"a":1}{"#,
            r#"{"a":1} x"#,
            "\u{feff}{}",
            r#"{"a":1,}"#,
            r#"{'a':1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":"\ud800"}"#,
            "",
        ] {
            assert!(read(text.as_bytes(), 8).is_err(), "{text}");
        }
        assert!(read(b"{\"a\":\"\xff\"}", 8).is_err(), "not UTF-8");
        assert_eq!(read(br#" {"a":[1,-2,null,true,"x"]} "#, 8).unwrap()["a"][1], -2);
    }

    #[test]
    fn depth_is_bounded_before_the_stack_is() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(8).as_bytes(), 8).is_ok());
        assert!(read(nested(9).as_bytes(), 8).is_err());
        assert!(read("[".repeat(16_000).as_bytes(), 8).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read(&bytes, 8);
        }

        #[test]
        fn what_is_read_is_what_others_read(text in r#"[\[\]{}:,"a0-9 ]{0,40}"#) {
            if let Ok(ours) = read(text.as_bytes(), 8) {
                prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
