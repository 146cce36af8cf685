//! What a client's request has to fulfil before anything is done for it.

use alloc::format;
use alloc::string::ToString;

use crate::catalogue::Catalogue;
use crate::causality::Context;
use crate::config::{BucketConfig, Limits, check_quorum};
use crate::encoding;
use crate::id::{BucketName, Key};
use crate::layout::Layout;
use crate::message::client::{BucketChange, Code, Failure};

/// The properties of the bucket that a request names.
pub(crate) fn bucket<'c>(
    catalogue: &'c Catalogue,
    name: &BucketName,
) -> Result<&'c BucketConfig, Failure> {
    catalogue.bucket(name).ok_or_else(|| {
        let text = format!("there is no bucket `{name}`: make it with `bucket create`");
        Failure::new(Code::UnknownBucket, text)
    })
}

/// A key within the limits.
pub(crate) fn key(limits: &Limits, key: &Key) -> Result<(), Failure> {
    let (len, most) = (key.key.len(), limits.key_bytes);
    if len == 0 {
        return Err(Failure::new(Code::BadRequest, "an empty key can't be stored"));
    }
    if len > most {
        let text =
            format!("the key has {len} bytes, at most {most} are allowed; nothing was written");
        return Err(Failure::new(Code::TooLarge, text));
    }
    Ok(())
}

/// A value within the limits.
pub(crate) fn value(limits: &Limits, len: usize) -> Result<(), Failure> {
    let most = limits.value_bytes;
    if len > most {
        let text =
            format!("the value has {len} bytes, at most {most} are allowed; nothing was written");
        return Err(Failure::new(Code::TooLarge, text));
    }
    Ok(())
}

/// The quorum that a request asks for, or the bucket's.
pub(crate) fn quorum(
    which: &'static str,
    asked: Option<u8>,
    default: u8,
    n: u8,
) -> Result<u8, Failure> {
    check_quorum(which, asked.unwrap_or(default), n)
        .map_err(|e| Failure::new(Code::BadRequest, format!("{e}; nothing was done")))
}

/// The context that a write is based on.
pub(crate) fn context(bytes: Option<&[u8]>) -> Result<Context, Failure> {
    encoding::decode_context(bytes.unwrap_or_default()).map_err(|e| {
        let text = format!(
            "the context does not parse ({e}); nothing was written: send back a context as it was received"
        );
        Failure::new(Code::BadContext, text)
    })
}

/// A bucket change that can be made: of a bucket that is not there yet (`create`), or of one that is.
pub(crate) fn change(
    catalogue: &Catalogue,
    layout: &Layout,
    change: &BucketChange,
    create: bool,
) -> Result<(), Failure> {
    let name = &change.bucket;
    change
        .config
        .check(layout.copies())
        .map_err(|e| Failure::new(Code::BadRequest, e.to_string()))?;
    match (catalogue.bucket(name), create) {
        (None, true) => Ok(()),
        (Some(present), true) if *present == change.config => Ok(()),
        (Some(_), true) => {
            let text = format!(
                "there is a bucket `{name}` already, with other properties; nothing was changed: see `bucket show`, or \
                 change it with `bucket set`"
            );
            Err(Failure::new(Code::BucketExists, text))
        }
        (None, false) => bucket(catalogue, name).map(|_| ()),
        (Some(present), false) if present.mode.shape() != change.config.mode.shape() => {
            let text = format!(
                "bucket `{name}` can't change between folded values and siblings once it is made; nothing was changed: \
                 make another bucket and copy the keys"
            );
            Err(Failure::new(Code::BadRequest, text))
        }
        (Some(present), false) if present.n != change.config.n => {
            let text = format!(
                "bucket `{name}` keeps {} copies of each key, and can't keep another number once it is made; nothing was \
                 changed: make another bucket and copy the keys",
                present.n
            );
            Err(Failure::new(Code::BadRequest, text))
        }
        (Some(_), false) => Ok(()),
    }
}
