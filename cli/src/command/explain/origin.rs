//! Where the lines of a merged value came from. A plugin is a function of all its inputs, so this can be told only for values
//! of lines, such as the shipped plugins have: a line of the result that stands in an input as it is came from there.

use std::collections::BTreeSet;

/// One line of a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'r> {
    pub(super) text: &'r str,
    /// The inputs in which it stands; none where the plugin made it.
    pub(super) inputs: Vec<usize>,
}

/// The lines of `result` with the inputs in which each of them stands; nothing where these are no values of lines: not text,
/// or not ended by newlines.
pub(super) fn lines<'r>(result: &'r [u8], inputs: &[Option<&[u8]>]) -> Option<Vec<Line<'r>>> {
    let text = of_lines(result)?;
    let inputs: Vec<BTreeSet<&str>> = inputs
        .iter()
        .map(|input| match input {
            None => Some(BTreeSet::new()),
            Some(bytes) => of_lines(bytes).map(|text| text.lines().collect()),
        })
        .collect::<Option<_>>()?;
    let line = |text: &'r str| {
        let with = inputs.iter().enumerate().filter(|(_, lines)| lines.contains(text));
        Line { text, inputs: with.map(|(at, _)| at).collect() }
    };
    Some(text.lines().map(line).collect())
}

fn of_lines(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (text.is_empty() || text.ends_with('\n')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_came_from_where_it_stands() {
        let inputs = [Some(&b"eggs\nmilk\n"[..]), Some(b"milk\n"), None];
        let line = |text, inputs: &[usize]| Line { text, inputs: inputs.to_vec() };
        assert_eq!(
            lines(b"eggs\nmilk\nsum 2\n", &inputs).unwrap(),
            [line("eggs", &[0]), line("milk", &[0, 1]), line("sum 2", &[])]
        );
        assert_eq!(lines(b"eggs", &inputs), None);
        assert_eq!(lines(b"eggs\n", &[Some(b"\xff\n")]), None);
    }
}
