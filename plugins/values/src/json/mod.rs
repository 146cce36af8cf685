//! `json`: a document whose fields are edited apart, field by field and nested.
//!
//! Every field keeps the time of its last write, and of two writes the later one wins, ties by bytes: a map of last-write-wins
//! registers (Shapiro et al. 2011), nested. A field can be written as a whole or within: writing it as a whole hides what
//! was written within it before, and what is written within it afterwards shows again.
//!
//! ```text
//! {"f":{"name":{"t":1719,"v":"Ada"},"address":{"f":{"city":{"t":1720,"v":"Rome"}}},"old":{"t":1721}}}
//! ```
//!
//! A node is an object: `t` is when it was written as a whole and `v` what was written, where a `v` that is missing means that it
//! was taken out; `f` are the fields written within it. A value written as a whole is any JSON, and never taken apart.

mod text;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::mem;

use crate::json::text::Reader;
use crate::{Malformed, Value};

pub use text::Json;

/// A document of fields that are edited apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    root: Node<'static>,
}

/// A field, or the whole document. The names of fields are perhaps in bytes of someone else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node<'a> {
    /// When it was last written as a whole, and what; nothing where it was taken out.
    whole: Option<(u64, Option<Json>)>,
    /// In the order of their names, each once.
    fields: Vec<Field<'a>>,
}

type Field<'a> = (Cow<'a, str>, Node<'a>);

impl Document {
    /// Writes a field and returns what is to be written: this edit alone. The path is empty for the document as a whole. `time` is in
    /// microseconds and should be later than [`last`](Self::last): an edit that isn't loses against what is there.
    pub fn set(&mut self, path: &[&str], value: Json, time: u64) -> Self {
        self.edit(path, Some(value), time)
    }

    /// Takes a field out and returns what is to be written: this edit alone.
    pub fn remove(&mut self, path: &[&str], time: u64) -> Self {
        self.edit(path, None, time)
    }

    /// The time of the latest edit; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.root.last()
    }

    /// What stands at a path, as plain JSON.
    #[must_use]
    pub fn get(&self, path: &[&str]) -> Option<Json> {
        let node = path.iter().try_fold(&self.root, |node, field| node.field(field));
        if let Some(found) = node.and_then(Node::plain) {
            return Some(found);
        }
        // Perhaps it is inside of a value that was written as a whole.
        let (field, above) = path.split_last()?;
        match self.get(above)? {
            Json::Object(mut fields) => fields.remove(*field),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) => None,
        }
    }

    fn edit(&mut self, path: &[&str], value: Option<Json>, time: u64) -> Self {
        let leaf = Node { whole: Some((time, value)), fields: Vec::new() };
        let root = path.iter().rev().fold(leaf, |node, field| Node {
            whole: None,
            fields: vec![(Cow::Owned((*field).to_owned()), node)],
        });
        let delta = Self { root };
        self.join(delta.clone());
        delta
    }
}

impl<'a> Node<'a> {
    fn field(&self, name: &str) -> Option<&Self> {
        let at = self.fields.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(&self.fields[at].1)
    }

    /// What it looks like: its fields if something was written within it since it was written as a whole, and that otherwise.
    fn plain(&self) -> Option<Json> {
        let fields = self.fields.iter().map(|(name, node)| (name.clone().into_owned(), node));
        match &self.whole {
            Some((_, Some(Json::Object(whole)))) => {
                let mut all = whole.clone();
                for (name, node) in fields {
                    match node.plain() {
                        Some(value) => all.insert(name, value),
                        None => all.remove(&name),
                    };
                }
                Some(Json::Object(all))
            }
            whole => {
                let fields = fields.filter_map(|(name, node)| Some((name, node.plain()?)));
                let fields: BTreeMap<_, _> = fields.collect();
                match whole {
                    Some((_, Some(whole))) if fields.is_empty() => Some(whole.clone()),
                    Some(_) | None => (!fields.is_empty()).then_some(Json::Object(fields)),
                }
            }
        }
    }

    fn last(&self) -> u64 {
        let within = self.fields.iter().map(|(_, node)| node.last()).max();
        within.unwrap_or(0).max(self.whole.as_ref().map_or(0, |(time, _)| *time))
    }

    fn join(&mut self, other: Self) {
        self.whole = self.whole.take().max(other.whole);
        if self.fields.is_empty() {
            self.fields = other.fields;
            return;
        }
        let here = mem::take(&mut self.fields);
        self.fields.reserve(here.len() + other.fields.len());
        let (mut here, mut there) =
            (here.into_iter().peekable(), other.fields.into_iter().peekable());
        loop {
            let order = match (here.peek(), there.peek()) {
                (Some((name, _)), Some((other, _))) => name.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let field = if order == Ordering::Greater { there.next() } else { here.next() };
            self.fields.extend(field);
            if order == Ordering::Equal
                && let (Some((_, node)), Some((_, other))) = (self.fields.last_mut(), there.next())
            {
                node.join(other);
            }
        }
    }

    /// Puts the fields in order, and joins those of one name.
    fn settle(&mut self) {
        if self.fields.is_sorted_by(|(name, _), (next, _)| name < next) {
            return;
        }
        self.fields.sort_by(|(name, _), (other, _)| name.cmp(other));
        self.fields.dedup_by(|(name, node), (before, all)| {
            let same = name == before;
            if same {
                all.join(mem::take(node));
            }
            same
        });
    }

    fn into_owned(self) -> Node<'static> {
        let owned = |(name, node): Field<'a>| (Cow::Owned(name.into_owned()), node.into_owned());
        Node { whole: self.whole, fields: self.fields.into_iter().map(owned).collect() }
    }

    /// Drops what was written no later than something around it was written as a whole: nothing shows it again.
    fn prune(&mut self, around: Option<u64>) {
        if self.whole.as_ref().is_some_and(|(time, _)| around.is_some_and(|around| *time <= around))
        {
            self.whole = None;
        }
        let around = self.whole.as_ref().map(|(time, _)| *time).max(around);
        self.fields.retain_mut(|(_, node)| {
            node.prune(around);
            node.whole.is_some() || !node.fields.is_empty()
        });
    }

    /// A whole document, with what it hides.
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes)?;
        let root = Self::read(&mut reader)?;
        reader.end()?;
        Ok(root)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut node = Self::default();
        let (mut time, mut value) = (None, None);
        reader.object(|reader, name| {
            match &*name {
                "t" => time = Some(reader.time()?),
                "v" => value = Some(reader.value()?),
                "f" => reader.object(|reader, name| {
                    node.fields.push((name, Self::read(reader)?));
                    Ok(())
                })?,
                _ => return Err(reader.fault("a node has t, v and f, and nothing else")),
            }
            Ok(())
        })?;
        if value.is_some() && time.is_none() {
            return Err(reader.fault("a node with v needs t, its time"));
        }
        node.settle();
        node.whole = time.map(|time| (time, value));
        Ok(node)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        self.write(&mut text);
        text.into_bytes()
    }

    fn write(&self, text: &mut String) {
        text.push('{');
        if !self.fields.is_empty() {
            text.push_str("\"f\":{");
            for (n, (name, node)) in self.fields.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text::write_text(name, text);
                text.push(':');
                node.write(text);
            }
            text.push('}');
        }
        if let Some((time, value)) = &self.whole {
            if !self.fields.is_empty() {
                text.push(',');
            }
            text.push_str("\"t\":");
            text.push_str(&time.to_string());
            if let Some(value) = value {
                text.push_str(",\"v\":");
                value.write(text);
            }
        }
        text.push('}');
    }
}

impl Value for Document {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut root = Node::parse(bytes)?;
        root.prune(None);
        Ok(Self { root: root.into_owned() })
    }

    fn join(&mut self, other: Self) {
        self.root.join(other.root);
        self.root.prune(None);
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.root.to_bytes()
    }

    fn join_bytes<'a>(
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, (u32, Malformed)> {
        let mut root = Node::default();
        for (position, value) in (0..).zip(values) {
            let value = Node::parse(value.unwrap_or_default());
            root.join(value.map_err(|malformed| (position, malformed))?);
        }
        // Once is enough: what one value hides in itself, the join of all hides too.
        root.prune(None);
        Ok(root.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};

    use super::*;
    use crate::{join_all, laws};

    fn json(text: &str) -> Json {
        text.parse().unwrap()
    }

    #[test]
    fn edits_of_different_fields_are_all_kept() {
        let mut here = Document::default();
        here.set(&["name"], json("\"Ada\""), 1);
        let mut there = here.clone();
        here.set(&["address", "city"], json("\"Rome\""), 2);
        there.set(&["address", "street"], json("\"Via Appia\""), 2);
        there.set(&["name"], json("\"Bea\""), 3);
        here.join(there);
        let whole = here.get(&[]).unwrap().to_string();
        assert_eq!(whole, r#"{"address":{"city":"Rome","street":"Via Appia"},"name":"Bea"}"#);
        assert_eq!(here.last(), 3);
    }

    #[test]
    fn of_two_edits_of_a_field_the_later_wins_and_ties_go_by_bytes() {
        let mut document = Document::default();
        document.set(&["a"], json("1"), 5);
        document.set(&["a"], json("2"), 4);
        assert_eq!(document.get(&["a"]), Some(json("1")));
        document.set(&["a"], json("3"), 5);
        assert_eq!(document.get(&["a"]), Some(json("3")));
        document.remove(&["a"], 5);
        assert_eq!(document.get(&["a"]), Some(json("3")));
        document.remove(&["a"], 6);
        assert_eq!(document.get(&["a"]), None);
        assert_eq!(document.to_bytes(), br#"{"f":{"a":{"t":6}}}"#);
    }

    #[test]
    fn a_field_written_as_a_whole_hides_what_was_in_it_before() {
        let mut document = Document::default();
        document.set(&["a", "x"], json("1"), 1);
        document.set(&["a", "y"], json("2"), 3);
        document.set(&["a"], json(r#"{"z":[0]}"#), 2);
        assert_eq!(document.get(&["a"]).unwrap().to_string(), r#"{"y":2,"z":[0]}"#);
        assert_eq!(document.get(&["a", "z"]), Some(json("[0]")));
        assert_eq!(document.get(&["a", "x"]), None);
        // Taking the whole out later leaves nothing of it.
        document.remove(&["a"], 4);
        assert_eq!(document.get(&[]), None);
        assert_eq!(document.to_bytes(), br#"{"f":{"a":{"t":4}}}"#);
    }

    #[test]
    fn blanks_order_and_escapes_make_no_difference() {
        let text =
            " { \"t\" : 7, \"v\": {\"b\\u0061\": 1, \"\\u00e9\\n\": \"\\ud83c\\udf31\\/\" } } ";
        let joined = join_all::<Document>([Some(text.as_bytes())]).unwrap();
        let expected = "{\"t\":7,\"v\":{\"ba\":1,\"é\\n\":\"🌱/\"}}";
        assert_eq!(String::from_utf8(joined).unwrap(), expected);
        assert_eq!(Document::parse(b"").unwrap().to_bytes(), b"{}");
    }

    #[test]
    fn fields_in_any_order_and_written_twice_are_joined() {
        let text = r#"{"f":{"b":{"t":1,"v":1},"a":{"f":{"x":{"t":1}}},"b":{"t":2,"v":2}},"f":{"a":{"f":{"w":{"t":3}}}}}"#;
        let joined = Document::parse(text.as_bytes()).unwrap().to_bytes();
        let expected = r#"{"f":{"a":{"f":{"w":{"t":3},"x":{"t":1}}},"b":{"t":2,"v":2}}}"#;
        assert_eq!(String::from_utf8(joined).unwrap(), expected);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in [
            "null",
            "{",
            "{}x",
            "[]",
            r#"{"x":1}"#,
            r#"{"v":1}"#,
            r#"{"t":-1}"#,
            r#"{"t":01}"#,
            r#"{"t":1e3}"#,
            r#"{"t":1,"v":tru}"#,
            r#"{"t":1,"v":"\ud800"}"#,
            "{\"t\":1,\"v\":\"\n\"}",
            r#"{"t":1,"v":01}"#,
            r#"{"t":1,"v":1.}"#,
            r#"{"t":1,"v":.5}"#,
            r#"{"t":18446744073709551616}"#,
        ] {
            assert!(Document::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Document::parse(b"{\"t\":1,\"v\":\"\xff\"}").is_err());
        let deep = format!("{{\"t\":1,\"v\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Document::parse(deep.as_bytes()).is_err());
    }

    fn text() -> impl Strategy<Value = String> {
        let value =
            prop_oneof![Just(""), Just(",\"v\":1"), Just(",\"v\":2"), Just(",\"v\":{\"a\":0}")];
        let whole = (0..4u64, value).prop_map(|(time, value)| format!("\"t\":{time}{value}"));
        let leaf = prop_oneof![
            Just("{}".to_owned()),
            whole.clone().prop_map(|whole| format!("{{{whole}}}"))
        ];
        leaf.prop_recursive(3, 12, 3, move |inner| {
            let fields = prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|fields| {
                let fields = fields.iter().map(|(name, node)| format!("\"{name}\":{node}"));
                fields.collect::<Vec<_>>().join(",")
            });
            (fields, prop::option::of(whole.clone())).prop_map(|(fields, whole)| {
                let whole = whole.map(|whole| format!(",{whole}")).unwrap_or_default();
                format!("{{\"f\":{{{fields}}}{whole}}}")
            })
        })
    }

    proptest! {
        #[test]
        fn the_laws_hold(a in text(), b in text(), c in text()) {
            laws::hold::<Document>([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}\"\\\\,:tvfu0-9.eE+ a-]{0,40}") {
            if let Ok(document) = Document::parse(text.as_bytes()) {
                let bytes = document.to_bytes();
                assert_eq!(Document::parse(&bytes).unwrap().to_bytes(), bytes);
            }
        }
    }
}
