//! How the command fails: a text that says what to do about it, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// The kinds of failure, each with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something went wrong (1).
    Failure = 1,
    /// The command line is wrong (2).
    Usage = 2,
    /// The configuration file is wrong (3).
    Config = 3,
    /// What the command needs of the system is not there: a TUN, a permission, a namespace (4).
    Environment = 4,
    /// What was to be shown did not hold: bytes differ (5).
    Assertion = 5,
}

/// A failure of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its kind.
    pub(crate) kind: Kind,
    /// What to print: what is wrong, and the way out.
    pub(crate) text: String,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Failure {
        Failure { kind, text: text.into() }
    }

    /// A failure that is in how the command was called.
    pub(crate) fn usage(text: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, text)
    }

    /// A failure that is in the system around us.
    pub(crate) fn environment(text: impl Into<String>) -> Failure {
        Failure::new(Kind::Environment, text)
    }

    /// Turns an error into a failure with `what` before it.
    pub(crate) fn because<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure::new(Kind::Failure, format!("{what}: {error}"))
    }

    /// Its exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
