//! Behaviour through the public API, over real HTTP.

mod bad_input;
mod doctor;
mod layers;
mod model;
mod secrets;
mod send;
mod store;
mod workflows;
mod world;
