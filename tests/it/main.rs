//! Behaviour through the public API, over real HTTP.

mod send;
mod workflows;
mod world;
