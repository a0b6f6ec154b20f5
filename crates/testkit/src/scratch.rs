//! A folder of a test's own, gone when the test ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder under the temporary directory that everybody may enter and write.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty folder.
    pub fn new(what: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("netspace-test-{}-{what}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("create a scratch folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))
            .expect("open it to everybody");
        let path = path.canonicalize().expect("the folder is there");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("write a scratch file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("open it to everybody");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("NETSPACE_TEST_KEEP").is_some() {
            eprintln!("kept: {}", self.0.display());
            return;
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
