//! `cargo xtask fix`: what a machine can put right.
//!
//! Formats the workspace, writes the generated code, and lowers the ratchet's entries to today's sizes. What
//! needs thought it leaves to the reader of `verify`.

use std::fs;
use std::process::Command;

use crate::tree::{Tree, root};
use crate::{codegen, ratchet};

/// Put right what can be.
///
/// # Errors
/// A tool that fails, a file that cannot be written.
pub fn run() -> Result<(), String> {
    format(&["fmt", "--all"])?;
    format(&["fmt", "--manifest-path", "tools/protoc/Cargo.toml"])?;
    codegen::write()?;
    if let Some(table) = ratchet::lowered(&Tree::read()?)? {
        let path = root().join(ratchet::TABLE);
        fs::write(&path, table).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn format(arguments: &[&str]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(arguments).current_dir(root()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {} failed: {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
