//! Behaviour through the public API, over real HTTP.

mod bad_input;
mod cancel;
mod claims;
mod conformance;
mod cost;
mod critical_path;
mod doctor;
mod engage;
mod examples;
mod in_turn;
mod layers;
mod model;
mod outage;
mod overload;
mod payloads;
mod records;
mod schedules;
mod seal;
mod secrets;
mod send;
mod simulator;
mod sqlite;
mod store;
mod total;
mod workflows;
mod world;
