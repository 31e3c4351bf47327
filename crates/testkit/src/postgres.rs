//! A PostgreSQL server of one's own: Debian's program, a data directory and socket that nobody else has, stopped and started at
//! will.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The server; it ends, and its data with it, when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    programs: PathBuf,
    /// The server refuses to run as root: then it runs as `postgres`.
    as_postgres: bool,
    server: Option<Child>,
}

impl Postgres {
    /// Makes a database under `directory`, which must be empty and readable by all, and starts it.
    ///
    /// # Errors
    /// PostgreSQL is not installed (`scripts/setup.sh` does that), or does not start; the error has its words.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, "no PostgreSQL in /usr/lib/postgresql: run scripts/setup.sh");
        let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").map_err(|_| missing())?.flatten().collect();
        versions.sort_by_key(fs::DirEntry::file_name);
        let programs = versions.pop().ok_or_else(missing)?.path().join("bin");
        let as_postgres = fs::metadata("/proc/self")?.uid() == 0;
        let mut server = Self { directory: directory.to_owned(), programs, as_postgres, server: None };
        if as_postgres {
            let passwd = fs::read_to_string("/etc/passwd")?;
            let ids = passwd.lines().find_map(|line| line.strip_prefix("postgres:")).ok_or_else(missing)?;
            let mut ids = ids.split(':').skip(1).map(|id| id.parse().ok());
            chown(directory, ids.next().flatten(), ids.next().flatten())?;
        }
        let data = server.data();
        let mut make = server.command("initdb");
        make.args(["--no-sync", "--auth=trust", "--username=tandem", "--pgdata"]).arg(data);
        let made = make.output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        server.resume()?;
        Ok(server)
    }

    /// What to connect to.
    pub fn url(&self) -> String {
        format!("postgres://tandem@localhost/postgres?host={}", self.directory.display())
    }

    /// Starts the server where it is not running, and waits until it takes connections.
    ///
    /// # Errors
    /// It does not start.
    pub fn resume(&mut self) -> io::Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let log = fs::File::create(self.directory.join("log"))?;
        let mut run = self.command("postgres");
        run.arg("-D").arg(self.data()).arg("-k").arg(&self.directory);
        run.args(["-c", "listen_addresses=", "-c", "shared_buffers=16MB"]);
        self.server = Some(run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        // `pg_isready` has no waiting of its own; `pg_ctl status` neither. A server that ends before it is ready is told.
        loop {
            let ready = self.command("pg_isready").arg("-q").arg("-h").arg(&self.directory).status()?;
            if ready.success() {
                return Ok(());
            }
            if let Some(ended) = self.server.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let log = fs::read_to_string(self.directory.join("log"))?;
                return Err(io::Error::other(format!("PostgreSQL ended with {ended}: {log}")));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Stops the server at once, cutting its connections; what was committed stays.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let data = self.data();
        let stopped = self.command("pg_ctl").args(["stop", "-m", "fast", "-w", "-D"]).arg(data).output()?;
        if !stopped.status.success() {
            server.kill()?;
        }
        server.wait()?;
        Ok(())
    }

    /// What the server answers to a question, a row on each line.
    ///
    /// # Errors
    /// It does not run, or does not understand it; the error has its words.
    pub fn query(&self, question: &str) -> io::Result<String> {
        let mut psql = self.command("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--username=tandem", "--dbname=postgres", "--host"]);
        let answered = psql.arg(&self.directory).arg("--command").arg(question).output()?;
        if !answered.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&answered.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&answered.stdout).into_owned())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if self.as_postgres {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.directory);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
