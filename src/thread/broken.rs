//! Designs that look reasonable and are not. A model checker has to catch each (`checks/model/tests/model`): a check that
//! finds nothing in them finds nothing in the shipped design either.

/// One remedy of the shipped design left out. Exists with the feature `broken-designs` only, which nothing but
/// this crate's own tests turns on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "broken-designs"), allow(dead_code, unreachable_pub))]
pub enum Broken {
    /// Effects run after the state is saved, and nothing wakes the thread if they never do.
    NoWake,
    /// A send whose outcome is not known is made again.
    SendsAgain,
    /// An answer goes out behind one whose outcome is not known.
    Overtakes,
    /// A request becomes a take when it had no answer at once.
    TakesUnanswered,
    /// Control is given away while answers are unsettled.
    PassesUnsettled,
    /// The end of an intervention does not release control.
    KeepsControl,
    /// Whoever loses control claims it again, if need be by a take.
    TakesBack,
    /// An answer of the platform sets the owner, whatever happened while the call ran.
    AnswerOverrides,
    /// Control events are applied in the order they arrive.
    EventsAsTheyArrive,
    /// The new owner is not told what came in before.
    StartsFresh,
    /// A request stays open across a change of the owner, until it is granted.
    KeepsRequest,
    /// A request is waited for until its grant is told.
    WaitsForTheGrant,
    /// A bot answers whatever it may send, whether people were asked for or not.
    TalksOverPeople,
}
