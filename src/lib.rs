#![doc = "placeholder"]
pub mod call;
pub mod control;
pub mod event;
pub mod id;
pub mod policy;
pub mod secret;
pub mod time;
