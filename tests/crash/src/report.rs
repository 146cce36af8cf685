//! The lines that the writing process says.

use std::fmt;
use std::str::FromStr;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The store is open.
    Opened,
    /// The store could not be opened, and why.
    Refused(String),
    /// An operation is durable.
    Durable {
        /// Its lane.
        lane: usize,
        /// Its number there.
        number: u64,
    },
    /// Something failed, and why.
    Failed(String),
    /// The store was closed in good order.
    Closed,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("opened."),
            Self::Refused(why) => write!(f, "refused {why}."),
            Self::Durable { lane, number } => write!(f, "durable {lane} {number}."),
            Self::Failed(why) => write!(f, "failed {why}."),
            Self::Closed => f.write_str("closed."),
        }
    }
}

impl FromStr for Report {
    type Err = ();

    /// A line that a kill cut off says nothing, and is none.
    fn from_str(line: &str) -> Result<Self, ()> {
        let line = line.strip_suffix('.').ok_or(())?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "opened" => Ok(Self::Opened),
            "refused" => Ok(Self::Refused(rest.into())),
            "failed" => Ok(Self::Failed(rest.into())),
            "closed" => Ok(Self::Closed),
            "durable" => {
                let (lane, number) = rest.split_once(' ').ok_or(())?;
                let lane = lane.parse().map_err(|_| ())?;
                Ok(Self::Durable { lane, number: number.parse().map_err(|_| ())? })
            }
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_means_what_it_said_and_half_a_line_nothing() {
        let reports = [
            Report::Opened,
            Report::Refused("it is in use: stop that one".into()),
            Report::Durable { lane: 1, number: 230 },
            Report::Failed("no".into()),
            Report::Closed,
        ];
        for report in reports {
            let line = report.to_string();
            assert_eq!(line.parse(), Ok(report));
            assert_eq!(line[..line.len() - 1].parse::<Report>(), Err(()));
        }
        assert_eq!("durable 1 2".parse::<Report>(), Err(()), "it may have been 23");
    }
}
