//! Bugs that other stacks have had, as short conversations that would show them here. `aNNN` is the number in a published
//! audit of smoltcp's successor, xarxa (its `audit/` folder, commit 4999fd5). Some are told twice: in `tests/rfc9293` as the
//! requirement that rules the bug out.

use super::support;

mod closing;
mod layers;
mod loss;
mod opening;
mod windows;
