//! The published vectors of CBOR (RFC 8949): appendix A, of which each is what it says or is refused for what it is, and the items of
//! appendix F that are not well-formed, all refused.

use ciborium::Value;
use kinfold_protocol::cbor::{self, CborError};

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn int(n: i128) -> Value {
    Value::Integer(n.try_into().expect("within 64 bits and a sign"))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn string(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn array<const N: usize>(items: [Value; N]) -> Value {
    Value::Array(items.to_vec())
}

fn map<const N: usize>(items: [(Value, Value); N]) -> Value {
    Value::Map(items.to_vec())
}

fn nested() -> Value {
    array([int(1), array([int(2), int(3)]), array([int(4), int(5)])])
}

#[test]
fn appendix_a_is_understood_or_refused_for_what_it_is() {
    let vectors: [(&str, Result<Value, &str>); 81] = [
        ("00", Ok(int(0))),
        ("01", Ok(int(1))),
        ("0a", Ok(int(10))),
        ("17", Ok(int(23))),
        ("1818", Ok(int(24))),
        ("1819", Ok(int(25))),
        ("1864", Ok(int(100))),
        ("1903e8", Ok(int(1_000))),
        ("1a000f4240", Ok(int(1_000_000))),
        ("1b000000e8d4a51000", Ok(int(1_000_000_000_000))),
        ("1bffffffffffffffff", Ok(int(18_446_744_073_709_551_615))),
        ("c249010000000000000000", Err("a tag")),
        ("3bffffffffffffffff", Ok(int(-18_446_744_073_709_551_616))),
        ("c349010000000000000000", Err("a tag")),
        ("20", Ok(int(-1))),
        ("29", Ok(int(-10))),
        ("3863", Ok(int(-100))),
        ("3903e7", Ok(int(-1_000))),
        ("f90000", Err("a float or an unknown simple value")),
        ("f98000", Err("a float or an unknown simple value")),
        ("f93c00", Err("a float or an unknown simple value")),
        ("fb3ff199999999999a", Err("a float or an unknown simple value")),
        ("f93e00", Err("a float or an unknown simple value")),
        ("f97bff", Err("a float or an unknown simple value")),
        ("fa47c35000", Err("a float or an unknown simple value")),
        ("fa7f7fffff", Err("a float or an unknown simple value")),
        ("fb7e37e43c8800759c", Err("a float or an unknown simple value")),
        ("f90001", Err("a float or an unknown simple value")),
        ("f90400", Err("a float or an unknown simple value")),
        ("f9c400", Err("a float or an unknown simple value")),
        ("fbc010666666666666", Err("a float or an unknown simple value")),
        ("f97c00", Err("a float or an unknown simple value")),
        ("f97e00", Err("a float or an unknown simple value")),
        ("f9fc00", Err("a float or an unknown simple value")),
        ("fa7f800000", Err("a float or an unknown simple value")),
        ("fa7fc00000", Err("a float or an unknown simple value")),
        ("faff800000", Err("a float or an unknown simple value")),
        ("fb7ff0000000000000", Err("a float or an unknown simple value")),
        ("fb7ff8000000000000", Err("a float or an unknown simple value")),
        ("fbfff0000000000000", Err("a float or an unknown simple value")),
        ("f4", Ok(Value::Bool(false))),
        ("f5", Ok(Value::Bool(true))),
        ("f6", Ok(Value::Null)),
        ("f7", Err("a float or an unknown simple value")),
        ("f0", Err("a float or an unknown simple value")),
        ("f8ff", Err("a float or an unknown simple value")),
        ("c074323031332d30332d32315432303a30343a30305a", Err("a tag")),
        ("c11a514b67b0", Err("a tag")),
        ("c1fb41d452d9ec200000", Err("a tag")),
        ("d74401020304", Err("a tag")),
        ("d818456449455446", Err("a tag")),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", Err("a tag")),
        ("40", Ok(string(&[]))),
        ("4401020304", Ok(string(&[1, 2, 3, 4]))),
        ("60", Ok(text(""))),
        ("6161", Ok(text("a"))),
        ("6449455446", Ok(text("IETF"))),
        ("62225c", Ok(text("\"\\"))),
        ("62c3bc", Ok(text("\u{fc}"))),
        ("63e6b0b4", Ok(text("\u{6c34}"))),
        ("64f0908591", Ok(text("\u{10151}"))),
        ("80", Ok(array([]))),
        ("83010203", Ok(array([int(1), int(2), int(3)]))),
        ("8301820203820405", Ok(nested())),
        (
            "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
            Ok(Value::Array((1..=25).map(int).collect())),
        ),
        ("a0", Ok(map([]))),
        ("a201020304", Ok(map([(int(1), int(2)), (int(3), int(4))]))),
        (
            "a26161016162820203",
            Ok(map([(text("a"), int(1)), (text("b"), array([int(2), int(3)]))])),
        ),
        ("826161a161626163", Ok(array([text("a"), map([(text("b"), text("c"))])]))),
        (
            "a56161614161626142616361436164614461656145",
            Ok(map([("a", "A"), ("b", "B"), ("c", "C"), ("d", "D"), ("e", "E")]
                .map(|(k, v)| (text(k), text(v))))),
        ),
        ("5f42010243030405ff", Err("indefinite length")),
        ("7f657374726561646d696e67ff", Err("indefinite length")),
        ("9fff", Err("indefinite length")),
        ("9f018202039f0405ffff", Err("indefinite length")),
        ("9f01820203820405ff", Err("indefinite length")),
        ("83018202039f0405ff", Err("indefinite length")),
        ("83019f0203ff820405", Err("indefinite length")),
        ("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", Err("indefinite length")),
        ("bf61610161629f0203ffff", Err("indefinite length")),
        ("826161bf61626163ff", Err("indefinite length")),
        ("bf6346756ef563416d7421ff", Err("indefinite length")),
    ];
    for (hex, expected) in vectors {
        match (cbor::decode::<Value>(&bytes(hex)), expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found, expected, "{hex}");
                assert_eq!(cbor::encode(&found), bytes(hex), "{hex} is the only form");
            }
            (Err(CborError::NotCanonical(_, why)), Err(expected)) => {
                assert_eq!(why, expected, "{hex}");
            }
            (found, expected) => panic!("{hex}: {found:?}, and not {expected:?}"),
        }
    }
}

#[test]
fn appendix_f_is_refused() {
    let items = [
        (
            "the input ends in a head",
            "18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 fb000000",
        ),
        (
            "a string with short data",
            "41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203",
        ),
        (
            "a map or an array with too few items",
            "81 818181818181818181 8200 a1 a20102 a100 a2000000",
        ),
        ("a tag without content", "c0"),
        ("an indefinite string that is not closed", "5f4100 7f6100"),
        (
            "an indefinite array or map that is not closed",
            "9f 9f0102 bf bf01020102 819f 9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff",
        ),
        (
            "reserved additional information",
            "1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe",
        ),
        ("a simple value in two bytes that has one", "f800 f801 f818 f81f"),
        (
            "a chunk of another type",
            "5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff",
        ),
        ("a chunk that is indefinite", "5f5f4100ffff 7f7f6100ffff"),
        ("a break by itself", "ff"),
        (
            "a break in a definite array, map or tag",
            "81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff",
        ),
        ("a break in place of a map's value", "bf00ff bf000000ff"),
        ("additional information 31 where nothing is indefinite", "1f 3f df"),
    ];
    let mut tried = 0;
    for (what, items) in items {
        for hex in items.split(' ') {
            let found = cbor::decode::<Value>(&bytes(hex));
            assert!(found.is_err(), "{what}: {hex} is taken for {found:?}");
            assert!(cbor::check(&bytes(hex)).is_err(), "{what}: {hex}");
            tried += 1;
        }
    }
    assert_eq!(tried, 94);
}
