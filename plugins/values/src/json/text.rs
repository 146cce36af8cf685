//! JSON (RFC 8259) as text, in one form: names sorted, each once, no blanks, strings with as few escapes as there can be,
//! numbers as they were written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{Malformed, Place};

/// Deeper nesting is refused: a reader that recurses needs an end before its stack does.
const DEPTH: u32 = 64;

/// A JSON value. Numbers are kept as their digits, so that nothing is rounded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl FromStr for Json {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut reader = Reader::new(text.as_bytes())?;
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl Json {
    pub(super) fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(true) => text.push_str("true"),
            Self::Bool(false) => text.push_str("false"),
            Self::Number(digits) => text.push_str(digits),
            Self::Text(string) => write_text(string, text),
            Self::Array(items) => {
                text.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    item.write(text);
                }
                text.push(']');
            }
            Self::Object(fields) => {
                text.push('{');
                for (n, (name, value)) in fields.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    write_text(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }
}

/// Writes a string with its quotes.
pub(super) fn write_text(string: &str, text: &mut String) {
    text.push('"');
    let mut rest = string;
    while let Some(plain) = rest.bytes().position(is_escaped) {
        text.push_str(&rest[..plain]);
        write_escaped(rest.as_bytes()[plain], text);
        rest = &rest[plain + 1..];
    }
    text.push_str(rest);
    text.push('"');
}

/// Can't a string have this byte as it is? All such bytes are characters of their own.
fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn write_escaped(byte: u8, text: &mut String) {
    match byte {
        b'"' => text.push_str("\\\""),
        b'\\' => text.push_str("\\\\"),
        0x8 => text.push_str("\\b"),
        0xc => text.push_str("\\f"),
        b'\n' => text.push_str("\\n"),
        b'\r' => text.push_str("\\r"),
        b'\t' => text.push_str("\\t"),
        control => {
            let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
            text.push_str("\\u00");
            text.push(digit(control >> 4));
            text.push(digit(control & 15));
        }
    }
}

/// Reads JSON from its first byte on.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let not_text = |error: std::str::Utf8Error| Malformed {
            place: Place::Byte(error.valid_up_to()),
            reason: "this is not UTF-8",
        };
        Ok(Self { text: str::from_utf8(bytes).map_err(not_text)?, at: 0, depth: 0 })
    }

    pub(super) fn fault(&self, reason: &'static str) -> Malformed {
        Malformed { place: Place::Byte(self.at), reason }
    }

    /// Nothing but blanks may follow.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("something follows the value")),
        }
    }

    pub(super) fn value(&mut self) -> Result<Json, Malformed> {
        match self.peek() {
            Some(b'{') => {
                let mut fields = BTreeMap::new();
                self.object(|reader, name| {
                    fields.insert(name.into_owned(), reader.value()?);
                    Ok(())
                })?;
                Ok(Json::Object(fields))
            }
            Some(b'[') => self.array(),
            Some(b'"') => Ok(Json::Text(self.string()?.into_owned())),
            Some(b'-' | b'0'..=b'9') => Ok(Json::Number(self.number()?.to_owned())),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) | None => Err(self.fault("a value is expected here")),
        }
    }

    /// A whole number below 2^64.
    pub(super) fn time(&mut self) -> Result<u64, Malformed> {
        self.peek();
        let number = self.number()?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let time = number.parse().ok().filter(|_| digits);
        time.ok_or_else(|| self.fault("a time is a whole number below 2^64"))
    }

    /// Reads an object; `field` is called after each name and has to read its value.
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.open(b'{')?;
        while !self.take(b'}') {
            let name = self.string()?;
            self.expect(b':')?;
            field(self, name)?;
            if !self.take(b',') {
                self.expect(b'}')?;
                break;
            }
            if self.peek() == Some(b'}') {
                return Err(self.fault("a name is expected here"));
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<Json, Malformed> {
        self.open(b'[')?;
        let mut items = Vec::new();
        while !self.take(b']') {
            items.push(self.value()?);
            if !self.take(b',') {
                self.expect(b']')?;
                break;
            }
            if self.peek() == Some(b']') {
                return Err(self.fault("a value is expected here"));
            }
        }
        self.depth -= 1;
        Ok(Json::Array(items))
    }

    fn open(&mut self, bracket: u8) -> Result<(), Malformed> {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.fault("this is nested too deeply"));
        }
        Ok(())
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fault("a value is expected here"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            if !self.skip(b'-') {
                self.skip(b'+');
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.fault("a digit is expected here")) } else { Ok(()) }
    }

    /// A string; copied only where it has escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(b'"')?;
        let mut string = Cow::Borrowed("");
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(is_escaped);
            let plain = plain.ok_or_else(|| self.fault("the string has no end"))?;
            string += &rest[..plain];
            self.at += plain;
            if self.skip(b'"') {
                return Ok(string);
            }
            if !self.skip(b'\\') {
                return Err(self.fault("a control character has to be escaped"));
            }
            string.to_mut().push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, Malformed> {
        let escape = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            Some(_) | None => {
                self.at -= 1;
                return Err(self.fault("this escape is not JSON's"));
            }
        })
    }

    fn code_point(&mut self) -> Result<char, Malformed> {
        let first = self.code_unit()?;
        let paired = (0xd800..0xdc00).contains(&first) && self.skip(b'\\') && self.skip(b'u');
        let units = if paired { [first, self.code_unit()?] } else { [first, 0] };
        let units = if paired { &units[..] } else { &units[..1] };
        let decoded = char::decode_utf16(units.iter().copied()).next();
        decoded.and_then(Result::ok).ok_or_else(|| self.fault("this is half of a surrogate pair"))
    }

    fn code_unit(&mut self) -> Result<u16, Malformed> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.fault("four hexadecimal digits are expected here"))?;
        self.at += 4;
        Ok(unit)
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += blanks.count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        self.peek();
        self.skip(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            return Ok(());
        }
        Err(self.fault(match byte {
            b'{' => "`{` is expected here",
            b'}' => "`,` or `}` is expected here",
            b']' => "`,` or `]` is expected here",
            b':' => "`:` is expected here",
            _ => "a string is expected here",
        }))
    }

    /// Takes a byte that comes at once, without blanks before it.
    fn skip(&mut self, byte: u8) -> bool {
        let here = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(here);
        here
    }
}
