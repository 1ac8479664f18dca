//! How a database is opened.

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The disk has it: what was acknowledged survives a power cut.
    #[default]
    Full,
    /// The operating system has it: survives the end of the process; a power cut may undo the last moments, but
    /// leaves the database whole.
    Normal,
}

impl Durability {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// How a database is opened. The defaults suit a daemon on a developer's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What a commit waits for.
    pub durability: Durability,
    /// Connections that read beside the writer, each with a thread; 1 to 16.
    pub readers: usize,
    /// Page cache of the writer, in KiB. Filled as needed.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, in KiB. Filled as needed.
    pub reader_cache_kib: u32,
    /// Limit of a queue that a job names for the first time.
    pub queue_concurrency: u32,
    /// Largest size of the database file in bytes; beyond it writes fail as if the disk were full. Absent = none.
    pub bytes_max: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: 2,
            writer_cache_kib: 4096,
            reader_cache_kib: 1024,
            queue_concurrency: 16,
            bytes_max: None,
        }
    }
}
