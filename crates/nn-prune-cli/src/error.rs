//! Errors, as the program prints them, and exit codes.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{MAIN_SEPARATOR, Path, is_separator};
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use prune::checkpoint::{CheckpointError, CutError, OnnxError, PyTorchError, SkipReason};
use prune::safetensors::StateDictError;

use crate::args::Cli;
use crate::calibrated::literal;
use crate::text::escape_invisible;

/// The exit codes that `--help` documents for scripts.
pub mod exit {
    pub const SUCCESS: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const DIFFERENT: u8 = 3;
    /// The code that shells report for a program that Ctrl-C has ended.
    pub const INTERRUPTED: u8 = 130;
}

/// Prints a warning to standard error.
pub fn warn(message: &str) {
    // A warning that cannot be printed is no reason to fail.
    let _ = writeln!(std::io::stderr(), "warning: {}", escape_invisible(message));
}

/// Prints a remark to standard error.
pub fn note(message: &str) {
    // As with a warning.
    let _ = writeln!(std::io::stderr(), "note: {}", escape_invisible(message));
}

/// The reason why a command failed.
#[derive(Debug)]
pub enum CliError {
    /// The command line is invalid for any files, or it asks for help.
    Usage(clap::Error),
    /// The library returned an error.
    Checkpoint(CheckpointError),
    /// The program itself failed, for example to print.
    Other { message: String, source: Option<Box<dyn Error>>, hint: Option<&'static str> },
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<CheckpointError> for CliError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(error)
    }
}

impl CliError {
    /// Returns an error about the command line.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::Usage(Cli::command().error(ErrorKind::ArgumentConflict, message))
    }

    /// Returns an error that has no cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Other { message: message.into(), source: None, hint: None }
    }

    /// Returns an error with its cause.
    pub fn caused_by(message: impl Into<String>, source: impl Into<Box<dyn Error>>) -> Self {
        Self::Other { message: message.into(), source: Some(source.into()), hint: None }
    }

    /// Prints the error and returns the exit code of the program.
    pub fn report(self) -> ExitCode {
        let code = self.exit_code();
        match self {
            Self::Usage(error) => drop(error.print()),
            Self::Checkpoint(error) => print_error(&error.to_string(), error.source(), hint(&error).as_deref()),
            Self::Other { message, source, hint } => print_error(&message, source.as_deref(), hint),
        }
        ExitCode::from(code)
    }

    fn exit_code(&self) -> u8 {
        use CheckpointError as E;
        match self {
            Self::Usage(error) if error.use_stderr() => exit::USAGE,
            Self::Usage(_) => exit::SUCCESS, // help was requested
            Self::Checkpoint(E::Stopped) => exit::INTERRUPTED,
            // These are errors for any files. Whether a method or a pattern applies to tensors depends on the files.
            Self::Checkpoint(
                E::NoPaths | E::IndexAmongOthers { .. } | E::SameShardName { .. } | E::InvalidPattern { .. },
            ) => exit::USAGE,
            Self::Checkpoint(_) | Self::Other { .. } => exit::ERROR,
        }
    }
}

/// The hint for an output that exists.
pub const FORCE_REPLACES: &str = "--force replaces it";

/// The ways around a weight norm.
const WEIGHT_NORM: &str = "remove the weight norm before saving the model (torch.nn.utils.remove_weight_norm), exclude the tensor \
                           with --exclude, or name another axis with --dim";

/// Returns the option that helps. The library does not know the names of options.
fn hint(error: &CheckpointError) -> Option<Cow<'static, str>> {
    use CheckpointError as E;
    Some(match error {
        E::OutputExists { .. } => FORCE_REPLACES.into(),
        E::UnfinishedRun { .. } => "--resume continues the run, --force starts again".into(),
        E::OtherRun { .. } => "use --force instead of --resume to start again".into(),
        E::NothingSelected { reasons } => nothing_selected(reasons)?.into(),
        E::Cut { source } => cut(source)?.into(),
        E::WeightNorm { .. } => WEIGHT_NORM.into(),
        E::UnsupportedDtype { .. } => "prune the model before it is quantised".into(),
        E::LayersWithGlobalScope => "write one --amount without a pattern, or --scope tensor".into(),
        E::UnmatchedPattern { pattern, nearest } if nearest.contains(pattern) => {
            let literal = escape_invisible(&literal(pattern)).into_owned();
            format!("a tensor has this name, but `*?[]{{}}` are special in a pattern: write `{literal}`").into()
        }
        E::UnmatchedPattern { nearest, .. } | E::MaskWithoutTensor { nearest, .. } if !nearest.is_empty() => {
            let names: Vec<_> = nearest.iter().map(|name| format!("`{}`", escape_invisible(name))).collect();
            format!("near {}: {}", if names.len() == 1 { "name" } else { "names" }, names.join(", ")).into()
        }
        E::NoPreset { .. } => "--coupling FILE says which tensors belong together, for any model".into(),
        E::UnknownToPreset { .. } => {
            "a variant of the type would be cut by halves; --coupling FILE says which tensors belong together".into()
        }
        E::OutputKind { path, expected } => other_kind(path, expected).into(),
        E::Header { source, .. } => remedy(source)?.into(),
        E::PyTorch { source, .. } => pytorch(source)?.into(),
        E::OutputName { path } => {
            let path = path.with_extension("safetensors");
            format!("-o {}", escape_invisible(&path.to_string_lossy())).into()
        }
        E::Onnx { source: OnnxError::Link { .. }, .. } => "copy the model and its data into a directory: cp -L".into(),
        E::InPlace { .. } => "do it to the checkpoint from which the model was exported, and export the result".into(),
        E::InvalidIndex { source, .. } => remedy(source.downcast_ref()?)?.into(),
        E::MissingTensor { .. } | E::UnindexedTensor { .. } | E::MissingShard { .. } => {
            "--ignore-index takes the shards in the directory as they are, and writes a right index".into()
        }
        _ => return None,
    })
}

/// Says which command comes next.
fn cut(error: &CutError) -> Option<&'static str> {
    Some(match error {
        CutError::NotExact { .. } => {
            "run `nn-prune count SHARD... --within CUT -o PART` for all shards, then `nn-prune cut PART...`"
        }
        CutError::NoAmount => "--amount says how much to prune of all shards together",
        CutError::OtherAmount { .. } => "leave out --amount, or count without --within for another amount",
        CutError::OtherTensors { .. } => "give the shards together that were counted together",
        CutError::Split { .. } => "give both to one `nn-prune count`, and to one `nn-prune prune`",
        CutError::Counted { .. } => "count again with --exclude GLOB, or count all shards together",
        CutError::Skipped { .. } => "count again with --only GLOB, or count all shards together",
        CutError::MaybeTied { .. } => {
            "count both shards together; --exclude GLOB skips the tensor, --only GLOB prunes it"
        }
        CutError::OtherFile { .. } | CutError::Changed { .. } => "count all shards again, without --within",
        _ => return None,
    })
}

/// Says how to select tensors all the same.
fn nothing_selected(reasons: &[(SkipReason, usize)]) -> Option<&'static str> {
    let is_quantised = |reason: &SkipReason| matches!(reason, SkipReason::Quantization { .. });
    if reasons.is_empty() {
        None
    } else if reasons.iter().any(|(reason, _)| matches!(reason, SkipReason::Packed)) {
        Some("the checkpoint is packed; `nn-prune unpack` makes it dense")
    } else if reasons.iter().any(|(reason, _)| is_quantised(reason)) {
        Some("the model is quantised; prune it before it is quantised")
    } else {
        Some("--only GLOB prunes tensors by name, whatever they are; --all prunes every floating-point tensor")
    }
}

/// Says what to do about a file of another format.
fn remedy(error: &StateDictError) -> Option<&'static str> {
    match error {
        StateDictError::OtherFormat { found } => Some(found.remedy()),
        _ => None,
    }
}

/// Says what to do about a file of PyTorch that cannot be read.
fn pytorch(error: &PyTorchError) -> Option<&'static str> {
    Some(match error {
        PyTorchError::SeveralKeys { .. } | PyTorchError::MissingKey { .. } => {
            "--key KEY names one, --key '' reads the tensors under all of them"
        }
        PyTorchError::Compressed { .. } | PyTorchError::BigEndian => "load it in Python, and save it with torch.save",
        PyTorchError::Program => "save the state dict of the model: torch.save(model.state_dict(), \"model.pt\")",
        PyTorchError::NoTensors => "save the state dict of a model: torch.save(model.state_dict(), \"model.pt\")",
        PyTorchError::OtherPickle => "load it in Python and write its arrays with safetensors.numpy.save_file",
        _ => return None,
    })
}

/// Says what to write for an output of the other kind.
fn other_kind(path: &Path, expected: &str) -> String {
    let text = path.to_string_lossy();
    let quoted = |path: &str| escape_invisible(path).into_owned();
    match (expected, text.strip_suffix(is_separator)) {
        ("a file", _) => {
            let file = path.join("masks.safetensors");
            format!("masks are written to one file: -o {}", quoted(&file.to_string_lossy()))
        }
        ("an ONNX model", _) => format!("-o {}", quoted(&path.with_extension("onnx").to_string_lossy())),
        (_, Some(file)) => format!("there is a file at that path: -o {}", quoted(file)),
        (_, None) => {
            let directory = path.with_extension("");
            let directory = format!("{}{MAIN_SEPARATOR}", directory.to_string_lossy());
            format!("shards are written to a directory: -o {}", quoted(&directory))
        }
    }
}

/// Prints one line for the error, one line for each cause and one line for the hint.
fn print_error(message: &str, mut cause: Option<&(dyn Error + 'static)>, hint: Option<&str>) {
    let mut text = format!("error: {}\n", escape_invisible(message));
    while let Some(error) = cause {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  caused by: {}", escape_invisible(&error.to_string()));
        cause = error.source();
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "  hint: {hint}");
    }
    // If standard error cannot be written to, the exit code still reports the error.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
