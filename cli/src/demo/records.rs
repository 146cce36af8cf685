//! The data set: what can be computed from a few hundred places on a sphere.
//!
//! Every key has 256 bytes. A place's value is a table of all other places of about 10 KB; a route's is a few lines.

use bytes::Bytes;

use super::atlas::{Place, places};

/// The length of every key, in bytes.
pub(crate) const KEY_BYTES: usize = 256;

/// Routes that start at one place.
const ROUTES: usize = 8;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// All records, the same at every call.
pub(crate) fn records() -> Vec<Record> {
    let places = places();
    let tables = places.iter().map(|place| table(place, &places));
    let routes = (0..places.len()).flat_map(|from| {
        // Steps that share no factor with the number of places, so that the routes go everywhere.
        let to = (1..=ROUTES).map(|n| (from + n * 37) % places.len()).collect::<Vec<_>>();
        let places = &places;
        to.into_iter().map(move |to| route(&places[from], &places[to]))
    });
    tables.chain(routes).collect()
}

/// A place: its key names its neighbours too, its value has the way to all others, the nearest first.
fn table(place: &Place, places: &[Place]) -> Record {
    let mut others: Vec<_> = places
        .iter()
        .filter(|other| other.name != place.name)
        .map(|other| (place.point.distance(other.point), other))
        .collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    let neighbours = others.iter().map(|(_, other)| other.name);
    let mut value = format!("{} {}\nkm\tcourse\tplace\n", place.name, place.point);
    for (distance, other) in &others {
        let course = place.point.course(other.point);
        value += &format!("{distance:.1}\t{course:.1}°\t{}\n", other.name);
    }
    Record { key: key(&format!("place {} near", place.name), neighbours), value: value.into() }
}

/// A route: its key has points on the way.
fn route(from: &Place, to: &Place) -> Record {
    let points = (0_u8..32).map(|n| from.point.towards(to.point, f64::from(n) / 31.0).to_string());
    let value = format!(
        "from\t{} {}\nto\t{} {}\nkm\t{:.1}\ncourse\t{:.1}°\nhalfway\t{}\n",
        from.name,
        from.point,
        to.name,
        to.point,
        from.point.distance(to.point),
        from.point.course(to.point),
        from.point.towards(to.point, 0.5),
    );
    Record {
        key: key(&format!("route {} to {} by", from.name, to.name), points),
        value: value.into(),
    }
}

/// A key of just [`KEY_BYTES`]: as many words as there is room for.
fn key(start: &str, words: impl IntoIterator<Item = impl AsRef<str>>) -> Bytes {
    let mut key = start.to_owned();
    for word in words {
        if key.len() >= KEY_BYTES {
            break;
        }
        key.push(' ');
        key.push_str(word.as_ref());
    }
    let mut key = key.into_bytes();
    key.resize(KEY_BYTES, b' ');
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_few_thousand_records_with_keys_of_256_bytes_and_values_of_10_kb_among_them() {
        let records = records();
        assert_eq!(records.len(), 312 * (1 + ROUTES));
        assert!(records.iter().all(|record| record.key.len() == KEY_BYTES));
        let keys: BTreeSet<_> = records.iter().map(|record| &record.key).collect();
        assert_eq!(keys.len(), records.len());
        for table in &records[..312] {
            assert!((9_000..11_500).contains(&table.value.len()), "{}", table.value.len());
        }
        assert!(records[312..].iter().all(|route| (80..300).contains(&route.value.len())));
        assert_eq!(records, super::records());
    }

    #[test]
    fn a_route_reads_well() {
        let records = records();
        let route = records.iter().find(|r| r.key.starts_with(b"route Europe/Berlin to ")).unwrap();
        let text = str::from_utf8(&route.value).unwrap();
        assert!(text.starts_with("from\tEurope/Berlin +52.50+013.37\nto\t"), "{text}");
    }
}
