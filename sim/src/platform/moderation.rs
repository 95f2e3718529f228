//! `moderate_conversations`: people whom a Page blocks.

use super::{ApiAnswer, GraphError, Platform};
use messenger_handover::id::{PageId, ThreadKey, UserId};

/// The most people of one call.
const MOST: usize = 10;

/// One action of `moderate_conversations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Moderation {
    /// `block_user`: neither side can write to the other. The simulator refuses the messages of apps; it does not stop a test
    /// that plays the customer.
    BlockUser,
    /// `unblock_user`.
    UnblockUser,
    /// `move_to_spam`: accepted without effect, because no call shows the folder.
    MoveToSpam,
    /// `ban_user`, which Meta's SDK lists: accepted without effect, because nothing describes it.
    BanUser,
    /// `unban_user`: accepted without effect.
    UnbanUser,
}

impl Moderation {
    /// Reads the name of an action, in small letters as on Meta's page or in capitals as in its SDK.
    ///
    /// # Errors
    /// [`GraphError`] if there is no such action.
    pub fn from_name(name: &str) -> Result<Self, GraphError> {
        match name.to_lowercase().as_str() {
            "block_user" => Ok(Self::BlockUser),
            "unblock_user" => Ok(Self::UnblockUser),
            "move_to_spam" => Ok(Self::MoveToSpam),
            "ban_user" => Ok(Self::BanUser),
            "unban_user" => Ok(Self::UnbanUser),
            _ => Err(GraphError::invalid("actions", "must be block_user, unblock_user or move_to_spam")),
        }
    }
}

impl Platform {
    /// Applies the actions to every person, or to none. At most 10 people and 2 actions, and not both of a pair.
    pub(super) fn moderate(
        &mut self,
        page: &PageId,
        users: &[UserId],
        actions: &[Moderation],
    ) -> Result<ApiAnswer, GraphError> {
        use Moderation::{BanUser, BlockUser, UnbanUser, UnblockUser};
        if users.is_empty() || users.len() > MOST {
            return Err(GraphError::invalid("user_ids", "must name 1 to 10 people"));
        }
        let both = |one: Moderation, other: Moderation| actions.contains(&one) && actions.contains(&other);
        if actions.is_empty() || actions.len() > 2 || both(BlockUser, UnblockUser) || both(BanUser, UnbanUser)
        {
            return Err(GraphError::invalid("actions", "must be 1 or 2 that do not exclude each other"));
        }
        let mut keys = Vec::with_capacity(users.len());
        for user in users {
            let account = self.account_of(page, Some(user));
            if !self.pages.get(&account).is_some_and(|account| account.people.contains_key(user)) {
                return Err(GraphError::not_a_person());
            }
            keys.push(ThreadKey::new(account, user.clone()));
        }
        for key in keys {
            if actions.contains(&BlockUser) {
                self.blocked.insert(key);
            } else if actions.contains(&UnblockUser) {
                self.blocked.remove(&key);
            }
        }
        Ok(ApiAnswer::Success)
    }

    /// Refuses a message to a person whom the Page blocked.
    pub(super) fn may_reach(&self, key: &ThreadKey) -> Result<(), GraphError> {
        if self.blocked.contains(key) { Err(GraphError::person_not_available()) } else { Ok(()) }
    }
}
