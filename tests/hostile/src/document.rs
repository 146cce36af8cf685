//! The examples of docs/PROTOCOL.md, which a test of the core holds to what the code makes.

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

/// The bytes of the examples whose names are wanted.
pub(crate) fn examples(wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let blocks = DOCUMENT.split("```text example=").skip(1);
    let named = blocks.filter_map(|block| block.split_once('\n'));
    let wanted = named.filter(|(name, _)| wanted(name));
    let digits = wanted.filter_map(|(_, rest)| rest.split("```").next());
    digits.map(bytes).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    digits.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
