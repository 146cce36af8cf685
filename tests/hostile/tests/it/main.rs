//! Hostile bytes for every decoder, and CBOR's published vectors.

mod decoders;
mod vectors;
