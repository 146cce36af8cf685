//! The bug bank: slips that somebody might make, planted to show that the tests see them.
//!
//! Without the feature `planted`, which no released build has, nothing can be planted, and the compiler drops every line that asks
//! whether it is. With it, one of them can be planted in a thread ([`plant`]), or in a process by the variable `KINFOLD_PLANTED`.

use alloc::string::{String, ToString};

macro_rules! bank {
    ($($(#[doc = $slip:literal])+ $bug:ident,)+) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $slip])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug,)+];

            /// What slip it is, in a sentence.
            #[must_use]
            pub fn slip(self) -> &'static str {
                match self {
                    $(Self::$bug => concat!($($slip),+).trim_start(),)+
                }
            }
        }
    };
}

bank! {
    // Acknowledging.
    /// A coordinator counts its own copy when it is applied, not when it is durable.
    EarlyAck,
    /// A coordinator counts the copies to other owners when they are sent.
    EagerCount,
    /// An owner or a fallback answers a copy when it is applied, not when it is durable.
    CopyNotDurable,
    /// A sync that failed counts as one that did not.
    IgnoredSyncFailure,
    /// A read does not wait until what it saw is durable.
    UnsyncedRead,
    /// The acknowledgement of a fallback counts as an owner's, also in a strict bucket.
    FallbackAsOwner,
    /// A get answers when one node fewer than asked has answered.
    HastyRead,
    /// A strict get does not wait until enough owners have what it answers.
    NoRepair,
    /// A node that can't read its disk answers a peer that it holds nothing.
    EmptyAnswer,

    // Causality.
    /// A join keeps the versions of both sides that stand, and forgets what else the sides had seen.
    ForgetfulJoin,
    /// What another replica sends replaces what is here instead of being joined.
    BlindJoin,
    /// Of siblings a join keeps the latest only, and the others count as seen.
    LoneSibling,
    /// A put replaces whatever its coordinator holds, seen by its client or not.
    BlindPut,
    /// A context loses its oldest intervals where it has more than two.
    PrunedContext,
    /// A node that starts goes on as the same actor.
    KeptActor,
    /// An actor is a node, whatever its disk holds, and a context a version vector: it claims all of the node's writes up to its last.
    VersionVector,
    /// The clock takes no notice of the times that it is told of.
    DeafClock,
    /// A put in a lattice bucket replaces the value instead of joining it.
    ReplacingPut,
    /// What a merge made gets a dot of its own.
    FreshDot,
    /// Requests that were carried out are forgotten, so their retries are carried out again.
    ForgottenRequest,

    // Hints.
    /// A fallback counts its hint as handed over as soon as it has sent it.
    HastyHandoff,
    /// What is kept for owners is noted with the object and missing in the list of hints.
    UnlistedHint,

    // Anti-entropy.
    /// A write leaves the sum of its leaf as it was.
    StaleTree,
    /// Trees are compared from their second branch on.
    SkippedBranch,
    /// The last key of each page of heads is left out.
    ShortPage,

    // Deletes and marks.
    /// What deletes leave is dropped although not all that it has seen lies within the marks.
    EarlyCollect,
    /// Marks rise five seconds further than the data that came with them.
    BareMarks,
    /// Nobody looks at marks but to collect.
    ForgottenFill,
    /// Contexts are stripped beyond what the marks say.
    StripBeyond,
    /// A node that has lost records on its disk is not told, and answers for them.
    UnnoticedLoss,
    /// Of a disk that has lost a record the marks are kept.
    KeptMarks,
    /// A node that is started anew has forgotten as which actors it met the others.
    ForgottenPeers,

    // Time to live.
    /// An owner lets go of what expires ten minutes before its time.
    HastyExpiry,
    /// A replica keeps what expires without its time.
    LostExpiry,
    /// A reader is shown what has expired and is not let go yet.
    ShownExpired,

    // Conditional writes.
    /// An owner answers with its promise when it is applied, not when it is durable.
    PromiseNotDurable,
    /// An owner answers that it has accepted when that is applied, not when it is durable.
    AcceptanceNotDurable,
    /// An owner that has promised a later ballot promises an earlier one too.
    BrokenPromise,
    /// An owner that has promised a later ballot counts as one that has accepted.
    RefusalAsAccept,
    /// An owner does not say what it has accepted when it promises.
    LostProposal,
    /// Half of the owners count as a majority.
    HalfIsMajority,

    // The ring.
    /// A write by another layout than the one in force is taken.
    StaleLayout,
    /// A new owner says that it has copied all before it has.
    HastyCopy,
    /// Who owns a key no more drops it with a hint that is handed over, while its marks still claim it.
    DroppedUnderMarks,

    // At the rim, outside the core.
    /// A node takes early data (0-RTT), and gives out the tickets for it.
    EarlyData,
}

/// Can bugs be planted in this build? What is released does not compile if they can.
pub const CAN_BE_PLANTED: bool = cfg!(feature = "planted");

/// Is this bug planted here?
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn has(_: Bug) -> bool {
    false
}

/// Plants nothing: this build has no bugs to plant.
///
/// # Panics
/// If there is one to be planted.
#[cfg(not(feature = "planted"))]
pub fn plant(bug: Option<Bug>) {
    assert!(bug.is_none(), "this build has no planted bugs: build it with `--features planted`");
}

#[cfg(feature = "planted")]
std::thread_local! {
    static PLANTED: core::cell::Cell<Option<Bug>> = const { core::cell::Cell::new(None) };
}

/// Is this bug planted here?
#[cfg(feature = "planted")]
#[must_use]
pub fn has(bug: Bug) -> bool {
    PLANTED.get().or_else(in_process) == Some(bug)
}

/// Plants a bug in this thread, in place of the one before, or takes that one out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

#[cfg(feature = "planted")]
fn in_process() -> Option<Bug> {
    static BUG: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    let named = |name: String| {
        name.parse().unwrap_or_else(|error: UnknownBug| panic!("KINFOLD_PLANTED: {error}"))
    };
    *BUG.get_or_init(|| std::env::var("KINFOLD_PLANTED").ok().map(named))
}

/// No bug has this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no bug is called {0}: `sim bugs --list` names them all")]
pub struct UnknownBug(String);

impl Bug {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in alloc::format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

impl core::str::FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        let bug = Self::ALL.iter().copied().find(|bug| bug.name() == name);
        bug.ok_or_else(|| UnknownBug(name.to_string()))
    }
}
