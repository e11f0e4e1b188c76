//! Which crates must not come into which others, at whatever depth.

use anyhow::{Result, ensure};

use crate::command::{cargo, quiet};

/// A package, and what must not be in its tree: a shim is there for each task and outlives its agent, so it has no
/// runtime, and no D-Bus client by way of the crate that makes control groups.
const APART: [(&str, &[&str]); 1] = [("berth-shim", &["tokio", "cgroups-rs"])];

/// Looks at each tree as cargo resolves it.
pub(crate) fn check() -> Result<()> {
    for (package, apart) in APART {
        let tree = quiet(&mut cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none"]))?;
        let found = found(&tree, apart);
        ensure!(found.is_empty(), "{package} must not depend on {}", found.join(", "));
        println!("{package} has neither {}", apart.join(" nor "));
    }
    Ok(())
}

/// Those of the names that are packages of a tree.
fn found<'a>(tree: &str, names: &[&'a str]) -> Vec<&'a str> {
    let packages = || tree.lines().filter_map(|line| line.split_whitespace().next());
    names.iter().copied().filter(|name| packages().any(|package| package == *name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let tree = "berth-shim v0.1.0 (/x/tokio)\ntokio-util v1.0.0\ncgroups-rs v0.5.1 (*)\n";
        assert_eq!(found(tree, &["tokio", "cgroups-rs"]), ["cgroups-rs"]);
    }
}
