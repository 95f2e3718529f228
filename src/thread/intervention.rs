use serde::{Deserialize, Serialize};

/// An agent's engagement with the customer (desk).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Intervention {
    open: bool,
    /// Control is to be claimed for it.
    wants_control: bool,
    /// Control that was asked for may still come though nobody needs it any more: it is given back.
    give_back: bool,
}

impl Intervention {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn wants_control(&self) -> bool {
        self.wants_control
    }

    pub(super) fn open(&mut self) {
        *self = Self { open: true, wants_control: true, give_back: false };
    }

    pub(super) fn close(&mut self) {
        self.open = false;
        self.wants_control = false;
    }

    pub(super) fn has_control(&mut self) {
        self.wants_control = false;
    }

    /// Control could not be had. It is not claimed again for this intervention alone: that would be
    /// a fight.
    pub(super) fn claim_failed(&mut self) {
        self.wants_control = false;
    }

    pub(super) fn give_back_when_gained(&mut self) {
        self.give_back = true;
    }

    /// Control is wanted after all.
    pub(super) fn keep(&mut self) {
        self.give_back = false;
    }

    /// Control came. Answers whether it must be given back.
    pub(super) fn gained(&mut self) -> bool {
        std::mem::take(&mut self.give_back) && !self.open
    }
}
