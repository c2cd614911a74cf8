//! Why a command did not succeed.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use prune::checkpoint::CheckpointError;

use crate::{exit, show};

#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense, whatever is in the files; or it asks for help.
    Usage(clap::Error),
    Checkpoint(CheckpointError),
    /// What the command line itself could not do.
    Other {
        message: String,
        source: Option<Box<dyn Error>>,
    },
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(error)
    }
}

impl Failure {
    pub fn new(message: impl Into<String>, source: impl Into<Box<dyn Error>>) -> Self {
        Self::Other { message: message.into(), source: Some(source.into()) }
    }

    /// Prints it, and says how the program is to end.
    pub fn report(self) -> ExitCode {
        let code = self.code();
        match self {
            Self::Usage(error) => drop(error.print()),
            Self::Checkpoint(error) => complain(&error.to_string(), error.source(), hint(&error)),
            Self::Other { message, source } => complain(&message, source.as_deref(), None),
        }
        ExitCode::from(code)
    }

    fn code(&self) -> u8 {
        use CheckpointError as E;
        match self {
            Self::Usage(error) if error.use_stderr() => exit::USAGE,
            Self::Usage(_) => 0,
            Self::Checkpoint(E::Stopped) => exit::INTERRUPTED,
            // These are wrong for any files. What a method or a pattern makes of the tensors depends on the files.
            Self::Checkpoint(
                E::NoPaths | E::IndexAmongOthers { .. } | E::SameShardName { .. } | E::InvalidPattern { .. },
            ) => exit::USAGE,
            Self::Checkpoint(_) | Self::Other { .. } => exit::ERROR,
        }
    }
}

/// Which option helps. The library does not know what its callers call them.
fn hint(error: &CheckpointError) -> Option<&'static str> {
    use CheckpointError as E;
    Some(match error {
        E::OutputExists { .. } => "--force replaces it",
        E::UnfinishedRun { .. } => "--resume goes on with it, --force starts again",
        E::OtherRun { .. } => "--force instead of --resume starts again",
        E::NothingSelected { .. } => "--include selects tensors by name, '*' all of them",
        _ => return None,
    })
}

/// One line for the error, one for each of its causes, and one for what helps.
fn complain(message: &str, mut cause: Option<&(dyn Error + 'static)>, hint: Option<&str>) {
    let mut text = format!("error: {}\n", show::plain(message));
    while let Some(error) = cause {
        // A `String` takes everything.
        let _ = writeln!(text, "  caused by: {}", show::plain(&error.to_string()));
        cause = error.source();
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "  hint: {hint}");
    }
    // Where not even stderr can be written to there is the exit code.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
