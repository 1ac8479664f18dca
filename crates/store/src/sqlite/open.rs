//! Opening a database: whose it is, whether it can be used, and how its connections behave.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longshore_domain::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::errors::{failed, io_failed};
use super::migrations::{check_version, migrate};
use super::options::SqliteOptions;

/// The log is brought into the database once it has this many pages (16 MiB). Rare enough not to be felt, and the log
/// file is written over again afterwards, which is cheaper than growing it.
const CHECKPOINT_PAGES: u32 = 4096;
/// A log that grew beyond this, for a long reader's sake, is cut back.
const LOG_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// How long a statement waits for an outsider (a person with `sqlite3`) to let go.
const OUTSIDER_WAIT: Duration = Duration::from_secs(5);
/// More statements than either kind of connection uses.
const STATEMENTS_MAX: usize = 64;
/// Most reading threads.
const READERS_MAX: usize = 16;

/// How long an owner is waited for that is about to let go. A process that was just forked holds the lock until it runs
/// its program.
const OWNER_WAIT: Duration = Duration::from_millis(250);
const OWNER_PAUSE: Duration = Duration::from_millis(5);

/// Makes this process the owner of the database at `path` until the file is dropped.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |error| io_failed("lock the database", error);
    let file = File::options().create(true).truncate(false).write(true).open(lock_path(path)).map_err(failed)?;
    let give_up_at = Instant::now() + OWNER_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < give_up_at => std::thread::sleep(OWNER_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Opens the connection that writes, with the newest schema. A database that this build must not touch is left as
/// it is, to the byte.
pub(super) fn writer(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed("open the database"))?;
    empty_log_at_end(&connection, false)?;
    let version = check_version(&connection)?;
    // SQLite opens a file that it may not write all the same, and would only say so later.
    if connection.is_readonly(MAIN_DB).map_err(failed("open the database"))? {
        return Err(StoreError::ReadOnly("the file may not be written".into()));
    }
    configure_writer(&connection, options).map_err(failed("set up the database"))?;
    migrate(&mut connection, version)?;
    Ok(connection)
}

/// Sets whether the log is brought into the database when the last connection closes. It is not until the database
/// has proved to be usable.
pub(super) fn empty_log_at_end(connection: &Connection, empty: bool) -> Result<(), StoreError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !empty);
    set.map(drop).map_err(failed("open the database"))
}

/// A statement is prepared once: neither forgotten soon, nor planned anew whenever a limit is bound to it, as SQLite does
/// unless its plans must not depend on what is bound.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn configure_writer(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    connection.busy_timeout(OUTSIDER_WAIT)?;
    keep_statements(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Commits are synced by the log's own keeper.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -i64::from(options.writer_cache_kib))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    if let Some(bytes) = options.bytes_max {
        let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.into();
        connection.pragma_update(None, "max_page_count", (bytes / page).max(1) as i64)?;
    }
    Ok(())
}

/// Opens the connections that read. They can neither write nor checkpoint.
pub(super) fn readers(path: &Path, options: &SqliteOptions, count: usize) -> Result<Vec<Connection>, StoreError> {
    let count = count.clamp(1, READERS_MAX);
    (0..count).map(|_| reader(path, options).map_err(failed("open the database to read"))).collect()
}

fn reader(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(OUTSIDER_WAIT)?;
    keep_statements(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -i64::from(options.reader_cache_kib))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}
