//! A stand-in for `protoc`, for machines that have Rust and nothing else.
//!
//! Some dependencies (the `etcd-client` crate, which tests use) run `protoc` in their build scripts, through
//! `prost-build`. All that is asked of it there is to parse `.proto` files and write a descriptor set, which
//! `protox` does in Rust. So this takes the arguments that `prost-build` passes, and refuses every other
//! rather than guess:
//!
//! ```text
//! protoc --include_imports --include_source_info -o FILE -I DIR ... FILE.proto ...
//! protoc --version
//! ```
//!
//! `tools/protoc.sh` runs it when there is no `protoc`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use prost::Message;

/// The version claimed; what is read from it is that proto3's `optional` needs no flag.
const VERSION: &str = "libprotoc 29.0";

/// A run's arguments.
#[derive(Debug, Default, PartialEq)]
struct Args {
    version: bool,
    imports: bool,
    source_info: bool,
    out: Option<PathBuf>,
    includes: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("protoc (stand-in): {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args::default();
    while let Some(arg) = args.next() {
        let mut value = |attached: &str| match attached {
            "" => args.next().ok_or(format!("{arg} needs a value")),
            attached => Ok(attached.to_string()),
        };
        match arg.as_str() {
            "--version" => parsed.version = true,
            "--include_imports" => parsed.imports = true,
            "--include_source_info" => parsed.source_info = true,
            // Always allowed here.
            "--experimental_allow_proto3_optional" => {}
            _ => {
                if let Some(dir) = arg.strip_prefix("--proto_path=").or(arg.strip_prefix("-I")) {
                    parsed.includes.push(value(dir)?.into());
                } else if let Some(file) =
                    arg.strip_prefix("--descriptor_set_out=").or(arg.strip_prefix("-o"))
                {
                    parsed.out = Some(value(file)?.into());
                } else if arg.starts_with('-') {
                    return Err(format!("{arg} is not known here; install a real protoc"));
                } else {
                    parsed.files.push(arg.into());
                }
            }
        }
    }
    Ok(parsed)
}

fn run(args: &Args) -> Result<(), String> {
    if args.version {
        println!("{VERSION}");
        return Ok(());
    }
    let out = args.out.as_ref().ok_or("no output named: give -o FILE")?;
    if args.files.is_empty() {
        return Err("no .proto file named".to_string());
    }
    // As protoc does, look in the current directory when no other is named.
    let here = [PathBuf::from(".")];
    let includes = if args.includes.is_empty() { &here[..] } else { &args.includes[..] };
    let descriptors = protox::Compiler::new(includes)
        .and_then(|mut compiler| {
            compiler.include_imports(args.imports).include_source_info(args.source_info);
            compiler.open_files(&args.files)?;
            Ok(compiler.file_descriptor_set())
        })
        .map_err(|e| format!("{e:?}"))?;
    std::fs::write(out, descriptors.encode_to_vec())
        .map_err(|e| format!("cannot write {}: {e}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(str::to_string))
    }

    /// The very line that prost-build makes.
    #[test]
    fn takes_what_prost_build_passes() {
        let args = parsed("--include_imports --include_source_info -o set.bin -I a -I b x.proto y/z.proto");
        let wanted = Args {
            version: false,
            imports: true,
            source_info: true,
            out: Some("set.bin".into()),
            includes: vec!["a".into(), "b".into()],
            files: vec!["x.proto".into(), "y/z.proto".into()],
        };
        assert_eq!(args, Ok(wanted));
    }

    /// The other spellings protoc knows for the same.
    #[test]
    fn values_may_be_attached() {
        let spaced = parsed("-o set.bin -I a x.proto");
        assert_eq!(parsed("--descriptor_set_out=set.bin --proto_path=a x.proto"), spaced);
        assert_eq!(parsed("-oset.bin -Ia x.proto --experimental_allow_proto3_optional"), spaced);
    }

    #[test]
    fn refuses_the_rest() {
        assert!(parsed("--cpp_out=. x.proto").unwrap_err().contains("--cpp_out=."));
        assert!(parsed("x.proto -o").unwrap_err().contains("-o needs a value"));
        assert!(run(&parsed("x.proto").unwrap()).unwrap_err().contains("no output"));
        assert!(run(&parsed("-o set.bin").unwrap()).unwrap_err().contains("no .proto"));
        assert!(run(&parsed("-o set.bin absent.proto").unwrap()).unwrap_err().contains("absent.proto"));
    }
}
