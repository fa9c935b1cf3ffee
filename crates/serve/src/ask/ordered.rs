//! JSON with its fields in their order.
//!
//! A tool is shown to a model as its client wrote it, and a schema's properties come in the order of the schema;
//! `serde_json`'s objects keep no order.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::{Number, Value};

/// What is wrong with an object that has a field twice.
pub(crate) const TWICE: &str = "a field that is there already";

/// A JSON value whose objects keep the order of their fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ordered {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Ordered>),
    Object(Vec<(String, Ordered)>),
}

impl Ordered {
    /// A field of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The same without the order.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(yes) => Value::Bool(*yes),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(list) => list.iter().map(Self::value).collect(),
            Self::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), value.value())).collect())
            }
        }
    }

    /// As JSON without spaces.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("keys are texts and numbers are finite")
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(yes) => serializer.serialize_bool(*yes),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Ordered, E> {
        Ok(Ordered::Bool(yes))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Ordered, E> {
        Ok(Ordered::Number(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Ordered, E> {
        Ok(Ordered::Number(n.into()))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Ordered, E> {
        Ok(Number::from_f64(x).map_or(Ordered::Null, Ordered::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
        Ok(Ordered::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Ordered, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Ordered::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Ordered, A::Error> {
        let (mut fields, mut names) = (Vec::new(), HashSet::new());
        while let Some((name, value)) = access.next_entry::<String, Ordered>()? {
            // Programs differ in which of two counts.
            if !names.insert(name.clone()) {
                return Err(serde::de::Error::custom(TWICE));
            }
            fields.push((name, value));
        }
        Ok(Ordered::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let text = r#"{"z":1,"a":[true,null,"é\n",-2.5],"m":{"y":{},"b":[]}}"#;
        let value: Ordered = serde_json::from_str(text).unwrap();
        assert_eq!(value.json(), text);
        assert_eq!(value.get("m").unwrap().get("y"), Some(&Ordered::Object(vec![])));
        assert_eq!((value.get("n"), value.get("z").unwrap().get("z")), (None, None));
        assert_eq!(value.value(), serde_json::from_str::<Value>(text).unwrap());
        let twice = serde_json::from_str::<Ordered>(r#"[{"a":1,"b":{"a":3},"a":2}]"#).unwrap_err();
        assert!(twice.to_string().starts_with(TWICE), "{twice}");
    }
}
