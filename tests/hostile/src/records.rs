//! What comes off the disk, and what went through a client's hands: contexts, stored records with hints and acceptors, layouts,
//! catalogues, cursors.

use bytes::Bytes;
use kinfold_protocol::catalogue::{BucketEntry, PluginEntry};
use kinfold_protocol::causality::{Acceptor, Content, Context, Dot, Marks, Object, Owed, Stored};
use kinfold_protocol::cbor;
use kinfold_protocol::config::MAX_COPIES;
use kinfold_protocol::cursor::Cursor;
use kinfold_protocol::encoding::{decode_context, decode_stored, encode_context, encode_stored};
use kinfold_protocol::id::{Actor, BucketName, NodeId, RequestId};
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::life::Life;
use kinfold_protocol::record::{Kept, Record};
use kinfold_protocol::ring::{Partition, Ring};
use kinfold_protocol::time::Timestamp;

use crate::Target;
use crate::document::examples;

/// As the store has it.
const INLINE: u32 = 64;

pub(crate) fn targets() -> Vec<Target> {
    let target = |name, run, seeds| Target {
        name,
        run,
        seeds,
        constant: 64 * 1024,
        factor: 64,
        tries: 20_000,
    };
    vec![
        target("context", context, contexts),
        target("stored", stored, stored_records),
        target("layout", layout, layouts),
        target("ring-record", ring_record, ring_records),
        target("kept", kept, kept_records),
        target("cursor", cursor, cursors),
    ]
}

fn dot(n: u64) -> Dot {
    Dot { time: Timestamp(1_700_000_000_000_000 + n), actor: Actor(0x1122_3344_5566_7700 + n % 3) }
}

fn context(bytes: &[u8]) {
    let Ok(context) = decode_context(bytes) else { return };
    // There is one encoding of a context, but for that of nothing.
    if !bytes.is_empty() {
        assert_eq!(encode_context(&context), bytes);
    }
    let mut both = context.clone();
    both.unite(&context);
    assert_eq!(both, context);
    assert!(both.covers(&context));
}

fn contexts() -> Vec<Vec<u8>> {
    let mut many = Context::new();
    for n in 0..40 {
        many.unite(&Context::of(dot(n * 7)));
    }
    let mut seeds = examples(|name| name == "context");
    seeds.extend([many, Context::new()].map(|context| encode_context(&context).to_vec()));
    seeds
}

fn stored(bytes: &[u8]) {
    let Ok(stored) = decode_stored(bytes) else { return };
    let again = decode_stored(&encode_stored(&stored, INLINE)).unwrap();
    let acceptor = |stored: &Stored| stored.acceptor.clone();
    assert_eq!(
        (&again.owed, again.opened, acceptor(&again)),
        (&stored.owed, stored.opened, acceptor(&stored))
    );
    // Damage that is well-formed must not stop who reads it, whatever it makes of it.
    let mut joined = stored.object.clone();
    joined.join(&again.object);
    let _ = (joined.has_clash(), joined.is_deleted(), joined.latest(), joined.context_for_client());
}

fn stored_records() -> Vec<Vec<u8>> {
    let mut object = Object::default();
    let mut opened = None;
    for n in 0..3 {
        let content = Content::value(Bytes::from(vec![b'v'; 10 + 60 * n as usize]));
        object.put(&Context::new(), dot(n), content, RequestId([7; 16]), &mut opened);
    }
    let mut gone = object.clone();
    let seen = gone.context_for_client();
    gone.put(&seen, dot(9), Content::Tombstone, RequestId([8; 16]), &mut None);
    let mut acceptor = Acceptor::default();
    acceptor.prepare(dot(10)).unwrap();
    acceptor.accept(dot(11), gone.clone()).unwrap();
    let owed = vec![Owed { owner: NodeId(5), since: Timestamp(6), bytes: 7 }];
    let records = [
        Stored::default(),
        Stored { object: object.clone(), opened, ..Stored::default() },
        Stored { object: gone, owed, ..Stored::default() },
        Stored { object, acceptor: Some(acceptor), ..Stored::default() },
    ];
    records.iter().map(|stored| encode_stored(stored, INLINE)).collect()
}

fn layout(bytes: &[u8]) {
    let Ok(layout) = cbor::decode::<Layout>(bytes) else { return };
    assert_eq!(cbor::decode::<Layout>(&cbor::encode(&layout)).as_ref(), Ok(&layout));
    // Every owner of every partition is a member, and so is every fallback.
    for partition in (0..layout.ring().partitions()).map(Partition) {
        for node in layout.owners(partition, MAX_COPIES).chain(layout.fallbacks(partition, 1)) {
            assert!(layout.member(node).is_some());
        }
    }
}

fn layouts() -> Vec<Vec<u8>> {
    some_layouts().iter().map(cbor::encode).collect()
}

fn some_layouts() -> [Layout; 3] {
    let member = |n: u64| Member {
        id: NodeId(n),
        name: format!("n{n}"),
        address: format!("n{n}:7400"),
        zone: format!("z{}", n % 2),
        capacity: 1,
    };
    let layout = |members: u64, partitions| {
        let members = (1..=members).map(member).collect();
        Layout::compute(members, Ring::new(partitions).unwrap(), 3, None).unwrap()
    };
    [layout(1, 8), layout(3, 8), layout(5, 8)]
}

/// The record of the ring, as nodes tell each other and keep it, and what follows from it.
fn ring_record(bytes: &[u8]) {
    let Ok(kept) = cbor::decode::<Kept>(bytes) else { return };
    assert_eq!(cbor::decode::<Kept>(&cbor::encode(&kept)).as_ref(), Ok(&kept));
    let record = &kept.record;
    let members = record.members();
    for tree in record.trees().take(64) {
        for node in record.owners(tree).into_iter().chain(record.fallbacks(tree)) {
            assert!(members.contains_key(&node), "{node} owns {tree:?} and is no member");
        }
        let _ = (record.readers(tree), record.write_sets(tree), record.sources(NodeId(1), tree));
    }
    let _ = (record.aborted(), record.following(), record.voters(), record.present());
    let mut later = kept.clone();
    if let Some(record) = record.following() {
        later.take(NodeId(1), record);
    }
}

fn ring_records() -> Vec<Vec<u8>> {
    let [one, three, five] = some_layouts();
    let stable = Record::founding(three.clone());
    let changing = stable.begun(five, vec![NodeId(2)]);
    let handing = changing.as_ref().and_then(Record::following);
    let records = [Some(Record::founding(one)), Some(stable), changing, handing];
    records.into_iter().flatten().map(|record| cbor::encode(&Kept::new(record))).collect()
}

/// What a node keeps of itself, and of its cluster.
fn kept(bytes: &[u8]) {
    if let Ok(life) = cbor::decode::<Life>(bytes) {
        assert_eq!(cbor::decode::<Life>(&cbor::encode(&life)), Ok(life));
    }
    if let Ok(entry) = cbor::decode::<BucketEntry>(bytes) {
        assert_eq!(cbor::decode::<BucketEntry>(&cbor::encode(&entry)), Ok(entry));
    }
    if let Ok(entry) = cbor::decode::<PluginEntry>(bytes) {
        assert_eq!(cbor::decode::<PluginEntry>(&cbor::encode(&entry)), Ok(entry));
    }
    if let Ok(marks) = cbor::decode::<Marks>(bytes) {
        assert_eq!(cbor::decode::<Marks>(&cbor::encode(&marks)), Ok(marks));
    }
}

fn kept_records() -> Vec<Vec<u8>> {
    let life = Life::begin(None, Actor(1), Timestamp(2));
    let marks: Marks = (0..5).map(|n| (dot(n).actor, dot(n).time)).collect();
    vec![cbor::encode(&life), cbor::encode(&marks)]
}

fn bucket() -> BucketName {
    BucketName::new("carts").unwrap()
}

/// The check at a cursor's end is made right, or nothing would ever be read behind it.
fn cursor(bytes: &[u8]) {
    let ring = Ring::new(256).unwrap();
    let decode = |bytes: &[u8]| Cursor::decode(bytes, ring, &bucket(), b"al");
    let _ = decode(bytes);
    let checked = kinfold_protocol::causality::Digest::of(bytes);
    if let Ok(cursor) = decode(&[bytes, &checked.0[..4]].concat()) {
        assert!(cursor.partition.0 < 256);
        assert_eq!(decode(&cursor.encode(ring, &bucket(), b"al")), Ok(cursor));
    }
}

fn cursors() -> Vec<Vec<u8>> {
    let ring = Ring::new(256).unwrap();
    let of = |after| Cursor { partition: Partition(17), after };
    let some = of(Some(Bytes::from_static(b"alice"))).encode(ring, &bucket(), b"al");
    let none = of(None).encode(ring, &bucket(), b"al");
    // With and without the check.
    vec![some.to_vec(), none.to_vec(), some[..some.len() - 4].to_vec()]
}
