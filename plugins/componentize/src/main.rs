//! The last step of `plugins/build.sh`: wraps core modules into components, and records what was made and by whom.
//!
//! `kinfold-componentize OUT COMPILER FOLDER=MODULE...` writes `OUT/NAME.wasm` for each plugin folder (`plugin.toml` says the
//! name) and its core module, and `OUT/MANIFEST.toml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, error, fs};

use kinfold_componentize::{attach_manifest, componentize};
use serde::{Deserialize, Serialize};

/// What `MANIFEST.toml` says.
#[derive(Serialize)]
struct Record {
    /// The compiler that made the components: only the same one makes the same bytes.
    compiler: String,
    /// By the name of the plugin.
    components: BTreeMap<String, Made>,
}

#[derive(Serialize)]
struct Made {
    blake3: String,
    size: usize,
}

/// The part of `plugin.toml` that matters here.
#[derive(Deserialize)]
struct Manifest {
    name: String,
}

fn main() -> Result<(), Box<dyn error::Error>> {
    let usage = "usage: kinfold-componentize OUT COMPILER FOLDER=MODULE...";
    let mut arguments = env::args().skip(1);
    let out = arguments.next().ok_or(usage)?;
    let out = Path::new(&out);
    fs::create_dir_all(out)?;
    let mut record =
        Record { compiler: arguments.next().ok_or(usage)?, components: BTreeMap::new() };
    for argument in arguments {
        let (folder, module) = argument.split_once('=').ok_or(usage)?;
        let manifest = fs::read_to_string(Path::new(folder).join("plugin.toml"))?;
        let name = toml::from_str::<Manifest>(&manifest)?.name;
        let module = fs::read(module)?;
        let mut component = componentize(&module).map_err(|error| format!("{name}: {error}"))?;
        attach_manifest(&mut component, &manifest);
        fs::write(out.join(format!("{name}.wasm")), &component)?;
        let made =
            Made { blake3: blake3::hash(&component).to_hex().to_string(), size: component.len() };
        println!("{name}: {} bytes, blake3 {}", made.size, made.blake3);
        record.components.insert(name, made);
    }
    fs::write(
        out.join("MANIFEST.toml"),
        format!("# Written by plugins/build.sh.\n{}", toml::to_string(&record)?),
    )?;
    Ok(())
}
