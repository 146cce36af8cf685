//! What the core promises to the outside: its documented bytes.

mod protocol_document;
