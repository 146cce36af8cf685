//! The table of what each side wrote, what met when the network was healed, and what came of it.

use bytes::Bytes;

use super::boxes::Boxes;
use super::check::Reading;
use super::script::{Deed, Scene, Side, buckets};

/// What each side held when the cut ended.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) a: Vec<Bytes>,
    pub(crate) b: Vec<Bytes>,
}

/// The scenes that are shown in full. `readings` has those of the scenes first, in their order.
pub(crate) fn tableau(scenes: &[Scene], before: &[Before], readings: &[Vec<Reading>]) -> Boxes {
    let head = ["key", "n1 wrote", "n2, n3 wrote", "siblings that met", "what came of them"];
    let mut boxes = Boxes::new(&head);
    for ((scene, before), readings) in scenes.iter().zip(before).zip(readings) {
        if scene.shown {
            boxes.row(row(scene, before, readings));
        }
    }
    boxes
}

fn row(scene: &Scene, before: &Before, readings: &[Reading]) -> Vec<Vec<String>> {
    let plugin = buckets()
        .into_iter()
        .find(|(name, _)| *name == scene.bucket)
        .and_then(|(_, config)| config.mode.plugin().map(str::to_owned));
    let wrote = |side| {
        let of_side = scene.acts.iter().filter(|(at, _)| *at == side);
        of_side.flat_map(|(_, deed)| deed_lines(deed)).collect()
    };
    let mut met = vec!["n1:".to_owned()];
    met.extend(indented(&before.a));
    met.push("n2, n3:".to_owned());
    met.extend(indented(&before.b));
    let mut came = vec![match &plugin {
        Some(plugin) => format!("{plugin} made:"),
        None => "all are kept:".to_owned(),
    }];
    let agreed = readings.windows(2).all(|two| two[0].values == two[1].values);
    for reading in if agreed { readings.get(..1).unwrap_or(readings) } else { readings } {
        if !agreed {
            came.push(format!("{} says:", reading.node));
        }
        came.extend(indented(&reading.values));
        came.extend(reading.merge_failure.iter().map(|why| format!("  ({why})")));
    }
    vec![
        vec![scene.bucket.to_owned(), scene.key.to_owned()],
        wrote(Side::A),
        wrote(Side::B),
        met,
        came,
    ]
}

fn deed_lines(deed: &Deed) -> Vec<String> {
    match deed {
        Deed::Put(value) => lines(value).map(|line| format!("+ {line}")).collect(),
        Deed::Delete => vec!["deleted it".to_owned()],
    }
}

fn indented(values: &[Bytes]) -> Vec<String> {
    if values.is_empty() {
        return vec!["  (nothing)".to_owned()];
    }
    values.iter().flat_map(lines).map(|line| format!("  {line}")).collect()
}

fn lines(value: &Bytes) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(value).replace('\t', " ");
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::script::scenes;

    #[test]
    fn a_row_tells_the_whole_story_of_a_key() {
        let scene = scenes().into_iter().find(|scene| scene.key == "tuesday").unwrap();
        let value = Bytes::from_static(b"meet at nine");
        let reading = |node| Reading { node, values: vec![value.clone()], merge_failure: None };
        let before = Before { a: Vec::new(), b: vec![value.clone()] };
        let row = row(&scene, &before, &[reading("n1"), reading("n2")]);
        assert_eq!(
            row,
            [
                vec!["notes", "tuesday"],
                vec!["deleted it"],
                vec!["+ meet at nine"],
                vec!["n1:", "  (nothing)", "n2, n3:", "  meet at nine"],
                vec!["all are kept:", "  meet at nine"],
            ]
        );
    }
}
