//! Debian packages in a root of our own: fetched, unpacked, and never installed.

use crate::process::StopSignal;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// User and group numbers inside the root. They need not be known to the system.
pub const POSTFIX: u32 = 4321;
/// The group of `public` and `maildrop`.
pub const POSTDROP: u32 = 4322;

/// A private root: a file tree with the programs of some packages and all that they need.
pub struct Root {
    /// Where it is.
    pub path: PathBuf,
}

impl Root {
    /// Makes one below `folder`, or takes the one that is there. Packages come from where the system's own come from.
    pub fn make(folder: &Path, stop: &StopSignal) -> Result<Root, String> {
        let root = Root { path: folder.join("root") };
        if root.path.join("complete").exists() {
            return Ok(root);
        }
        let packages = folder.join("packages");
        fs::create_dir_all(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
        root.fetch(&packages, stop)?;
        root.unpack(&packages, stop)?;
        root.furnish().map_err(|error| format!("{}: {error}", root.path.display()))?;
        fs::write(root.path.join("complete"), "").map_err(|error| error.to_string())?;
        Ok(root)
    }

    fn fetch(&self, packages: &Path, stop: &StopSignal) -> Result<(), String> {
        let names = needed("postfix")?;
        eprintln!("fetching {} Debian packages into {}", names.len(), packages.display());
        let mut command = Command::new("apt-get");
        // Whoever fetches as root fetches into a folder that apt's own user cannot write to.
        command.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).args(&names).current_dir(packages);
        run(command, stop).map_err(|why| format!("{why}\nIf the lists of packages are missing: apt-get update"))
    }

    fn unpack(&self, packages: &Path, stop: &StopSignal) -> Result<(), String> {
        fs::create_dir_all(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?;
        // The system may be of the kind where /lib is /usr/lib; packages of either kind then land in one place.
        for name in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(self.path.join("usr").join(name)).map_err(|error| error.to_string())?;
            let link = self.path.join(name);
            if !link.exists() {
                symlink(format!("usr/{name}"), &link).map_err(|error| error.to_string())?;
            }
        }
        for entry in fs::read_dir(packages).map_err(|error| error.to_string())? {
            let package = entry.map_err(|error| error.to_string())?.path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                // dpkg-deb -x would replace those links by directories.
                let mut command = Command::new("sh");
                command.args([
                    "-c",
                    "dpkg-deb --fsys-tarfile \"$1\" | tar -x --keep-directory-symlink -C \"$2\"",
                    "sh",
                ]);
                command.arg(&package).arg(&self.path);
                run(command, stop)?;
            }
        }
        Ok(())
    }

    /// What a program finds in any root: users, devices, names.
    fn furnish(&self) -> std::io::Result<()> {
        for name in ["etc", "dev", "tmp", "var/spool", "var/lib", "var/log"] {
            fs::create_dir_all(self.path.join(name))?;
        }
        let users = format!(
            "root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n\
             postfix:x:{POSTFIX}:{POSTFIX}:Postfix:/:/bin/false\n"
        );
        let groups = format!("root:x:0:\nnogroup:x:65534:\npostfix:x:{POSTFIX}:\npostdrop:x:{POSTDROP}:\n");
        for (name, text) in [
            ("passwd", users.as_str()),
            ("group", &groups),
            ("hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n"),
            ("services", "smtp 25/tcp\n"),
            ("resolv.conf", ""),
        ] {
            fs::write(self.path.join("etc").join(name), text)?;
        }
        for (name, minor) in [("null", 3), ("zero", 5), ("urandom", 9)] {
            let path = self.path.join("dev").join(name);
            let text = format!("{}\0", path.display());
            // SAFETY: the path ends with a zero octet, and is read during the call alone.
            let made = unsafe { libc::mknod(text.as_ptr().cast(), libc::S_IFCHR | 0o666, libc::makedev(1, minor)) };
            if made != 0 && !path.exists() {
                return Err(std::io::Error::last_os_error());
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        }
        Ok(())
    }

    /// A directory below the root, with owner, group and mode.
    pub fn directory(&self, name: &str, owner: u32, group: u32, mode: u32) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        let make = || {
            fs::create_dir_all(&path)?;
            chown(&path, Some(owner), Some(group))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        };
        make().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// A program of this root, to be run in it: it sees nothing else of the machine's files.
    pub fn command(&self, program: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        let root = format!("{}\0", self.path.display());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin");
        // SAFETY: between fork and exec only system calls are made; the path was written out before and ends with a zero octet.
        unsafe {
            command.pre_exec(move || {
                if libc::chroot(root.as_ptr().cast()) != 0 || libc::chdir(c"/".as_ptr()) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command
    }

    /// What a program of this root says of itself.
    pub fn ask(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
        } else {
            Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
    }
}

/// The package and all libraries it depends on, over any number of steps. What it wants to be installed with, such as debconf, is not
/// needed where nothing is installed.
fn needed(package: &str) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    let mut open = vec![package.to_string()];
    while let Some(name) = open.pop() {
        if names.contains(&name) {
            continue;
        }
        let output = Command::new("apt-cache").args(["depends", "--important", &name]).output();
        let output = output.map_err(|error| format!("apt-cache: {error}"))?;
        if !output.status.success() {
            return Err(format!("apt-cache knows no {name}: apt-get update"));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        open.extend(libraries(&text));
        names.insert(name);
    }
    Ok(names)
}

/// The libraries that `apt-cache depends` lists, of alternatives the first.
fn libraries(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut alternative = false;
    for line in text.lines() {
        let mark = line.trim_start();
        let (is_alternative, rest) = (mark.starts_with('|'), mark.trim_start_matches('|'));
        let name = rest.strip_prefix("Depends: ").or_else(|| rest.strip_prefix("PreDepends: "));
        if let Some(name) = name.filter(|name| !alternative && name.starts_with("lib")) {
            found.push(name.trim().to_string());
        }
        alternative = is_alternative || (alternative && name.is_none());
    }
    found
}

/// Runs to its end; what it said on standard error if that was a bad one.
fn run(mut command: Command, stop: &StopSignal) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if stop.is_set() {
        return Err("stopped by a signal".into());
    }
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_and_of_alternatives_the_first() {
        let text = "postfix\n  PreDepends: init-system-helpers\n  Depends: libc6\n |Depends: libone\n  Depends: libother\n  \
                    Depends: debconf\n |Depends: debconf\n  Depends: <debconf-2.0>\n    cdebconf\n  Depends: libssl3\n";
        assert_eq!(libraries(text), ["libc6", "libone", "libssl3"]);
    }
}
