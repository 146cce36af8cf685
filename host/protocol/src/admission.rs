//! What a client's request has to fulfil before anything is done for it.

use alloc::format;
use alloc::string::ToString;

use crate::catalogue::{Catalogue, Component, Contract, MAX_INSTALLED, Release};
use crate::causality::{Context, Digest};
use crate::config::{BucketConfig, Limits, MAX_TTL_MS, Mode, Shape, Tombstones, check_quorum};
use crate::encoding;
use crate::id::{BucketName, Key};
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

/// How long the value of a write is to be there, in milliseconds; none for ever.
pub(crate) fn ttl(
    asked: Option<u64>,
    is_put: bool,
    config: &BucketConfig,
) -> Result<Option<u64>, Failure> {
    let refuse = |text: &str| Err(Failure::new(Code::BadRequest, text));
    match (asked, config.mode.shape()) {
        (Some(_), _) if !is_put => {
            refuse("a delete takes no ttl; nothing was written: send it without")
        }
        (Some(1..), Shape::Lattice(_)) => refuse(
            "values of a lattice bucket can't expire: each is folded with those before it, and a part can't go alone; nothing was \
             written: put without a ttl, or use a siblings or resolver bucket",
        ),
        (Some(ttl_ms), _) if ttl_ms > MAX_TTL_MS => refuse(TOO_LONG),
        (None, _) if !is_put => Ok(None),
        (asked, _) => Ok(asked.or(config.ttl_ms).filter(|ttl_ms| *ttl_ms > 0)),
    }
}

const TOO_LONG: &str = "the ttl is longer than a hundred years; nothing was changed: leave it out for values that stay";

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
    copies: u8,
    change: &BucketChange,
    create: bool,
) -> Result<(), Failure> {
    let name = &change.bucket;
    change.config.check(copies).map_err(|e| Failure::new(Code::BadRequest, e.to_string()))?;
    merging(catalogue, &change.config.mode)?;
    expiring(&change.config)?;
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

/// A bucket whose values can expire as it says.
fn expiring(config: &BucketConfig) -> Result<(), Failure> {
    let text = match (config.ttl_ms, config.mode.shape()) {
        (Some(_), Shape::Lattice(_)) => {
            "values of a lattice bucket can't expire: each is folded with those before it, and a part can't go alone; nothing was \
             changed: leave the ttl out, or make a siblings or resolver bucket"
        }
        (Some(0), _) => "a ttl of zero is none; nothing was changed: leave it out",
        (Some(ttl_ms), _) if ttl_ms > MAX_TTL_MS => TOO_LONG,
        _ => return Ok(()),
    };
    Err(Failure::new(Code::BadRequest, text))
}

/// An installed plugin that a bucket, or a request, names. Others are the shell's to know; of them nothing is said here.
pub(crate) fn plugin<'c>(
    catalogue: &'c Catalogue,
    name: &str,
) -> Result<Option<&'c Component>, Failure> {
    if !Release::is_meant_by(name) {
        return Ok(None);
    }
    catalogue.component(name).map(Some).ok_or_else(|| {
        let text = format!(
            "there is no plugin `{name}`; nothing was changed: install it with `kinfold plugin install`, or see `kinfold \
             plugin list`"
        );
        Failure::new(Code::BadRequest, text)
    })
}

/// A bucket that asks no more of an installed plugin than it promises.
///
/// A lattice bucket stores what its plugin makes, for good: with a plugin that does not promise the laws of a lattice, or treats
/// deletes in another way than the bucket, replicas would never agree.
pub(crate) fn merging(catalogue: &Catalogue, mode: &Mode) -> Result<(), Failure> {
    let name = mode.plugin().unwrap_or_default();
    let Some(component) = plugin(catalogue, name)? else {
        return Ok(());
    };
    let text = match mode {
        Mode::Siblings | Mode::Resolver { .. } => return Ok(()),
        Mode::Lattice { .. } if component.contract == Contract::Resolver => format!(
            "plugin `{name}` promises the laws of a resolver, not of a lattice; nothing was changed: make a resolver bucket, or \
             choose another plugin"
        ),
        Mode::Lattice { tombstones, .. } if *tombstones != component.tombstones => {
            let made_for = match component.tombstones {
                Tombstones::Pass => "pass",
                Tombstones::Reset => "reset",
            };
            format!(
                "plugin `{name}` is made for tombstones `{made_for}`, and the bucket says otherwise; nothing was changed"
            )
        }
        Mode::Lattice { .. } => return Ok(()),
    };
    Err(Failure::new(Code::BadRequest, text))
}

/// A component that can be installed under that name. Says whether it is not there yet.
pub(crate) fn install(
    catalogue: &Catalogue,
    release: &Release,
    hash: Digest,
) -> Result<bool, Failure> {
    match catalogue.component(release.as_str()) {
        Some(present) if present.hash == hash => Ok(false),
        Some(_) => {
            let text = format!(
                "`{release}` is installed already, with another component; nothing was changed: give this one another version in \
                 its plugin.toml and build it again"
            );
            Err(Failure::new(Code::BadRequest, text))
        }
        None if catalogue.installed().count() >= MAX_INSTALLED => {
            let text = format!(
                "{MAX_INSTALLED} plugins are installed, and there may be no more; nothing was changed: remove one"
            );
            Err(Failure::new(Code::BadRequest, text))
        }
        None => Ok(true),
    }
}
