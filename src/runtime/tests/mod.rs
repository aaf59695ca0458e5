//! The unit tests of this room. They stand apart from the files that they test because the model has its own copy of
//! those, built on other locks.

mod alarm;
mod batch;
mod mailbox;
mod outside;
mod parker;
mod shards;
mod spin;
mod timers;
mod transmit;
mod wait;
