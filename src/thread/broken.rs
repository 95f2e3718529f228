//! Deliberately broken designs. The model checker must catch each one (`checks/model/tests/model`), because a check
//! that passes a broken design proves nothing about the shipped one.

/// The shipped design without one of its safeguards. Exists only with the feature `broken-designs`, which only this
/// crate's own tests turn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "broken-designs"), allow(dead_code, unreachable_pub))]
pub enum Broken {
    /// The thread is saved before its calls are made, but never asks to be woken: a call lost in a crash stays lost.
    NoWake,
    /// A send with an unknown outcome is repeated.
    SendsAgain,
    /// A message is sent behind one with an unknown outcome.
    Overtakes,
    /// A request without an immediate grant becomes a take.
    TakesUnanswered,
    /// Control is given away while messages are unsettled.
    PassesUnsettled,
    /// The end of an intervention does not release control.
    KeepsControl,
    /// An app that loses control claims it again, with a take if needed.
    TakesBack,
    /// The outcome of a call sets the owner, whatever events came while the call ran.
    AnswerOverrides,
    /// Control events are applied in the order they arrive, not by their stamps.
    EventsAsTheyArrive,
    /// The new owner is not notified of earlier unanswered messages.
    StartsFresh,
    /// A request stays open across a change of the owner, until it is granted.
    KeepsRequest,
    /// A claim waits for the grant without a deadline.
    WaitsForTheGrant,
    /// A bot sends whenever it has control, even after people were asked for.
    TalksOverPeople,
    /// A claim that joins the claim of a message ends with the message, and its end is not notified.
    DropsClaim,
    /// A message is cancelled while it is being sent.
    CancelsUnderWay,
    /// Reports of interventions are applied in the order they arrive, not by their stamps.
    ReportsAsTheyArrive,
    /// A notice on which the handler failed counts as handled.
    SkipsFailed,
}
