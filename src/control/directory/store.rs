//! The database: users, domains and the rewrite table in one SQLite file.
//!
//! Write-ahead log, `synchronous=FULL`: what was said to be changed is on stable storage, and a process that is killed in the
//! middle of a change leaves the file as it was before it or as it is after it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};

use super::record::Record;
use crate::control::random;
use crate::directory::{Kind, Mapping, Source, Unavailable};
use crate::mail::scram::KEY_OCTETS;
use crate::mail::{Domain, ScramCredentials, Username};

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(2);

/// Connections: one writes at a time, the others read.
const CONNECTIONS: u32 = 4;

/// The version of the tables that this program makes and reads (`PRAGMA user_version`).
const VERSION: i64 = 1;

/// The tables. Names of users, domains and sources are lower case.
const TABLES: &str = "
CREATE TABLE user (
    name TEXT PRIMARY KEY NOT NULL,
    algorithm TEXT,
    hash TEXT,
    scram_salt BLOB,
    scram_iterations INTEGER,
    scram_stored_key BLOB,
    scram_server_key BLOB
) WITHOUT ROWID;
CREATE TABLE domain (name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
CREATE TABLE mapping (
    place INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    UNIQUE (source, kind, target)
);
CREATE INDEX mapping_target ON mapping (kind, target);
CREATE TABLE secret (name TEXT PRIMARY KEY NOT NULL, octets BLOB NOT NULL) WITHOUT ROWID;
";

/// Why the database cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// Another version of ringpost made it.
    #[error(
        "its tables are of version {0}, and this ringpost knows version {VERSION}: start the ringpost that made it"
    )]
    Version(i64),
    /// The directory that it is in, or randomness.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<sqlx::Error> for Unavailable {
    fn from(_: sqlx::Error) -> Unavailable {
        Unavailable
    }
}

/// A result of a query.
pub type Queried<T> = Result<T, sqlx::Error>;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    path: PathBuf,
}

/// One entry of the rewrite table as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is rewritten.
    pub source: String,
    /// How.
    pub kind: String,
    /// Into what.
    pub target: String,
}

/// One user as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// How its password is kept, if it has one.
    pub algorithm: Option<String>,
    /// Whether it can log in by SCRAM.
    pub scram: bool,
}

impl Store {
    /// Opens the file, and makes it, with `first` as its first user, where it is not there.
    pub async fn open(path: &Path, first: Option<&Username>) -> Result<Store, StoreError> {
        if let Some(directory) = path.parent() {
            make_directory(directory)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let is_new = !path.exists();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        let store = Store { pool, path: path.to_owned() };
        store.prepare(first).await?;
        if is_new {
            store.protect()?;
        }
        Ok(store)
    }

    /// Makes the tables in one change, where there are none.
    async fn prepare(&self, first: Option<&Username>) -> Result<(), StoreError> {
        let mut change = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let version: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *change).await?.try_get(0)?;
        match version {
            VERSION => return Ok(()),
            0 => {}
            other => return Err(StoreError::Version(other)),
        }
        sqlx::raw_sql(TABLES).execute(&mut *change).await?;
        let secret = random::octets::<KEY_OCTETS>()?;
        sqlx::query("INSERT INTO secret VALUES ('nobody', ?)").bind(&secret[..]).execute(&mut *change).await?;
        if let Some(user) = first {
            sqlx::query("INSERT INTO user (name) VALUES (?)").bind(user.as_str()).execute(&mut *change).await?;
        }
        sqlx::raw_sql(&format!("PRAGMA user_version = {VERSION}")).execute(&mut *change).await?;
        Ok(change.commit().await?)
    }

    /// A new file is its owner's alone, its name durable, and its owner that of the directory where root made it.
    fn protect(&self) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = std::fs::metadata(directory)?;
        for end in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            let name = PathBuf::from(name);
            if !name.exists() {
                continue;
            }
            std::fs::set_permissions(&name, PermissionsExt::from_mode(0o600))?;
            if std::fs::metadata(&name)?.uid() != owner.uid() {
                chown(&name, Some(owner.uid()), Some(owner.gid()))?;
            }
        }
        std::fs::File::open(directory)?.sync_all()
    }

    /// Closes it, its log written back into the file, unless others are at it.
    pub async fn close(self) {
        // What is not written back is in the log, and as durable there.
        let _ = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await;
        self.pool.close().await;
    }

    /// What answers for users who are not there are made from: always the same.
    pub async fn secret(&self) -> Queried<Vec<u8>> {
        sqlx::query("SELECT octets FROM secret WHERE name = 'nobody'").fetch_one(&self.pool).await?.try_get(0)
    }

    /// Whether there is such a user.
    pub async fn has_user(&self, name: &Username) -> Queried<bool> {
        let found = sqlx::query("SELECT 1 FROM user WHERE name = ?").bind(name.as_str());
        Ok(found.fetch_optional(&self.pool).await?.is_some())
    }

    /// How a user's password is kept; `None`: there is no such user, or it has none.
    pub async fn record(&self, name: &Username) -> Queried<Option<Record>> {
        let query = "SELECT algorithm, hash, scram_salt, scram_iterations, scram_stored_key, scram_server_key FROM user
            WHERE name = ?";
        let row = sqlx::query(query).bind(name.as_str()).fetch_optional(&self.pool).await?;
        row.map_or(Ok(None), |row| record(&row))
    }

    /// Adds a user; false: there is one of that name.
    pub async fn add_user(&self, name: &Username, record: Option<&Record>) -> Queried<bool> {
        let query = "INSERT INTO user VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let scram = record.and_then(|record| record.scram.as_ref());
        let done = sqlx::query(query)
            .bind(name.as_str())
            .bind(record.map(|record| &*record.algorithm))
            .bind(record.map(|record| &*record.hash))
            .bind(scram.map(|scram| &*scram.salt))
            .bind(scram.map(|scram| scram.iterations))
            .bind(scram.map(|scram| &scram.stored_key[..]))
            .bind(scram.map(|scram| &scram.server_key[..]))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a user another password, if `old` is what its is kept as, where that is said; false: it is not, or there is no
    /// such user.
    pub async fn set_record(&self, name: &Username, record: &Record, old: Option<&Record>) -> Queried<bool> {
        let query =
            "UPDATE user SET algorithm = ?, hash = ?, scram_salt = ?, scram_iterations = ?, scram_stored_key = ?,
            scram_server_key = ? WHERE name = ? AND (? IS NULL OR hash = ?)";
        let scram = record.scram.as_ref();
        let old = old.map(|old| &*old.hash);
        let done = sqlx::query(query)
            .bind(&*record.algorithm)
            .bind(&*record.hash)
            .bind(scram.map(|scram| &*scram.salt))
            .bind(scram.map(|scram| scram.iterations))
            .bind(scram.map(|scram| &scram.stored_key[..]))
            .bind(scram.map(|scram| &scram.server_key[..]))
            .bind(name.as_str())
            .bind(old)
            .bind(old)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes a user; false: there is none.
    pub async fn remove_user(&self, name: &Username) -> Queried<bool> {
        let done = sqlx::query("DELETE FROM user WHERE name = ?").bind(name.as_str()).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }

    /// All users by name.
    pub async fn users(&self) -> Queried<Vec<Listing>> {
        let query = "SELECT name, algorithm, scram_salt IS NOT NULL FROM user ORDER BY name";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        let listing =
            |row: SqliteRow| Ok(Listing { name: row.try_get(0)?, algorithm: row.try_get(1)?, scram: row.try_get(2)? });
        rows.into_iter().map(listing).collect()
    }

    /// Whether a domain is kept here.
    pub async fn has_domain(&self, domain: &Domain) -> Queried<bool> {
        let found = sqlx::query("SELECT 1 FROM domain WHERE name = ?").bind(key(domain));
        Ok(found.fetch_optional(&self.pool).await?.is_some())
    }

    /// Adds a domain; false: it is there.
    pub async fn add_domain(&self, domain: &Domain) -> Queried<bool> {
        let query = "INSERT INTO domain VALUES (?) ON CONFLICT DO NOTHING";
        Ok(sqlx::query(query).bind(key(domain)).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Removes a domain; false: it is not there.
    pub async fn remove_domain(&self, domain: &Domain) -> Queried<bool> {
        let done = sqlx::query("DELETE FROM domain WHERE name = ?").bind(key(domain)).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }

    /// All domains by name.
    pub async fn domains(&self) -> Queried<Vec<String>> {
        let rows = sqlx::query("SELECT name FROM domain ORDER BY name").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| row.try_get(0)).collect()
    }

    /// How many users' names and sources of mappings end in this domain.
    pub async fn uses_of(&self, domain: &Domain) -> Queried<i64> {
        let query = "SELECT (SELECT COUNT(*) FROM user WHERE substr(name, -length(?1) - 1) = '@' || ?1)
            + (SELECT COUNT(*) FROM mapping WHERE source = ?1 OR substr(source, -length(?1) - 1) = '@' || ?1)";
        sqlx::query(query).bind(key(domain)).fetch_one(&self.pool).await?.try_get(0)
    }

    /// The mappings of a source, in the order in which they were added. One that this ringpost cannot read is none: it is
    /// left out, and the rest lives.
    pub async fn mappings(&self, source: &Source) -> Queried<Vec<Mapping>> {
        let query = "SELECT kind, target FROM mapping WHERE source = ? ORDER BY place";
        let rows = sqlx::query(query).bind(source.to_string()).fetch_all(&self.pool).await?;
        let mut mappings = Vec::with_capacity(rows.len());
        for row in rows {
            let (kind, target): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            mappings.extend(kind.parse().ok().and_then(|kind: Kind| Mapping::new(kind, &target).ok()));
        }
        Ok(mappings)
    }

    /// What has exactly this mapping.
    pub async fn sources(&self, mapping: &Mapping) -> Queried<Vec<Source>> {
        let query = "SELECT source FROM mapping WHERE kind = ? AND target = ? ORDER BY place";
        let rows = sqlx::query(query).bind(mapping.kind().name()).bind(mapping.text()).fetch_all(&self.pool).await?;
        let mut sources = Vec::with_capacity(rows.len());
        for row in rows {
            sources.extend(Source::parse(row.try_get::<&str, _>(0)?).ok());
        }
        Ok(sources)
    }

    /// Adds an entry to the rewrite table; false: it is there.
    pub async fn add_mapping(&self, source: &Source, mapping: &Mapping) -> Queried<bool> {
        let query = "INSERT INTO mapping (source, kind, target) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(source.to_string()).bind(mapping.kind().name()).bind(mapping.text());
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Removes an entry; false: it is not there.
    pub async fn remove_mapping(&self, source: &Source, mapping: &Mapping) -> Queried<bool> {
        let query = "DELETE FROM mapping WHERE source = ? AND kind = ? AND target = ?";
        let query = sqlx::query(query).bind(source.to_string()).bind(mapping.kind().name()).bind(mapping.text());
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// The whole table by source.
    pub async fn entries(&self) -> Queried<Vec<Entry>> {
        let query = "SELECT source, kind, target FROM mapping ORDER BY source, place";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        let entry =
            |row: SqliteRow| Ok(Entry { source: row.try_get(0)?, kind: row.try_get(1)?, target: row.try_get(2)? });
        rows.into_iter().map(entry).collect()
    }
}

/// A domain as the tables have it.
fn key(domain: &Domain) -> String {
    domain.to_string().to_lowercase()
}

fn record(row: &SqliteRow) -> Queried<Option<Record>> {
    let (algorithm, hash): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let (Some(algorithm), Some(hash)) = (algorithm, hash) else { return Ok(None) };
    let (salt, iterations): (Option<Vec<u8>>, Option<u32>) = (row.try_get(2)?, row.try_get(3)?);
    let (stored_key, server_key): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(4)?, row.try_get(5)?);
    let octets = |key: Option<Vec<u8>>| <[u8; KEY_OCTETS]>::try_from(key?).ok();
    let scram = || {
        let (salt, iterations) = (salt?.into(), iterations?);
        Some(ScramCredentials { salt, iterations, stored_key: octets(stored_key)?, server_key: octets(server_key)? })
    };
    Ok(Some(Record { algorithm: algorithm.into(), hash: hash.into(), scram: scram() }))
}

fn make_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
