//! `kinfold serve`: runs a node.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use kinfold_host::Running;
use kinfold_host::config::{Address, Config, Durability, Level, LogFormat, Overrides};
use kinfold_host::token::Token;

use crate::exit::{End, Failure};
use crate::join::Newcomer;
use crate::signals::Stop;
use crate::{logging, output, runtime};

/// Run a node
///
/// Configured by a file, then the environment, then flags, each over the one before. Ctrl-C or SIGTERM stops it in good
/// order; a second one at once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold serve --config /etc/kinfold/n1.toml
  kinfold serve --join n1.shop.example:7401 --token TOKEN
  KINFOLD_LISTEN=0.0.0.0:7401 kinfold serve --config n1.toml --data-dir /srv/n1

Every key of the file has an environment variable, such as KINFOLD_STORAGE_CACHE_MIB for cache_mib in [storage];
docs/kinfold.example.toml shows them all.")]
pub(crate) struct Serve {
    /// The configuration file
    #[arg(long, short, env = "KINFOLD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The cluster's name
    #[arg(long)]
    cluster: Option<String>,
    /// This node's name
    #[arg(long)]
    node: Option<String>,
    /// The folder for everything the node keeps; with --join, for its configuration and certificates too. Default with --join:
    /// one of the node's name
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The UDP address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The address that others are told to dial
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<Address>,
    /// Ring partitions, fixed when the cluster is made
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,
    /// When a write counts as durable: sync or interval
    #[arg(long, value_name = "WHEN")]
    durability: Option<Durability>,
    /// The authority's certificate
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This node's certificate
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// This node's private key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The least severe level that is logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// How a log line looks: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Join a cluster: the address of any of its nodes, HOST:PORT
    #[arg(long, value_name = "SEED", requires = "token", conflicts_with = "config")]
    join: Option<String>,
    /// The token that `kinfold cluster token` printed
    #[arg(long, env = "KINFOLD_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The zone of a node that joins: what fails together
    #[arg(long, value_name = "ZONE", requires = "join", default_value = "default")]
    zone: String,
    /// The share of the data that a node that joins gets, relative to the others', 1 to 1000
    #[arg(long, value_name = "N", requires = "join", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    capacity: u32,
    /// Check the configuration, and stop
    #[arg(long)]
    check: bool,
}

impl Serve {
    pub(crate) fn run(self) -> Result<End, Failure> {
        let check = self.check;
        let config = self.load()?;
        if check {
            output::note("the configuration is valid");
            return Ok(End::Done);
        }
        logging::start(&config.log);
        let runtime = runtime::of_nodes()?;
        let end = runtime.block_on(serve(config));
        // What the node left running has nothing more to do.
        runtime.shutdown_background();
        end
    }

    fn load(mut self) -> Result<Config, Failure> {
        if let (Some(seed), Some(token)) = (self.join.take(), self.token.take()) {
            let token = Token::from_text(&token).map_err(|e| Failure::Usage(e.to_string()))?;
            let folder = self.data_dir.take().unwrap_or_else(|| PathBuf::from(&token.node));
            let newcomer = Newcomer {
                seed,
                token,
                folder,
                listen: self.listen.take(),
                advertise: self.advertise.take().map(|address| address.to_string()),
                zone: self.zone.clone(),
                capacity: self.capacity,
            };
            self.config = Some(runtime::of_a_client()?.block_on(newcomer.join())?);
        }
        let flags = Overrides {
            cluster: self.cluster,
            node: self.node,
            data_dir: self.data_dir,
            listen: self.listen,
            advertise: self.advertise,
            partitions: self.partitions,
            durability: self.durability,
            ca: self.ca,
            cert: self.cert,
            key: self.key,
            log_level: self.log_level,
            log_format: self.log_format,
            ..Overrides::default()
        };
        Ok(Config::load(self.config.as_deref(), |name| std::env::var_os(name), flags)?)
    }
}

async fn serve(config: Config) -> Result<End, Failure> {
    let mut stop = Stop::listen()?;
    let node = config.node.clone();
    let mut started = kinfold_host::start(config.clone()).await;
    loop {
        let running = started.map_err(|source| Failure::start(&node, source))?;
        if let Some(end) = serve_once(&node, running, &mut stop).await? {
            return Ok(end);
        }
        started = kinfold_host::start_again(config.clone()).await;
    }
}

/// Serves until the node is stopped, or until its store is to be mended, which a start does: then there is no end yet.
async fn serve_once(node: &str, running: Running, stop: &mut Stop) -> Result<Option<End>, Failure> {
    let (failed, hurt, twin) = tokio::select! {
        () = stop.wait() => (false, false, None),
        () = running.wait() => (true, false, None),
        () = running.hurt() => (false, true, None),
        peer = running.twin() => (false, false, Some(peer)),
    };
    tokio::select! {
        stopped = running.stop() => match stopped {
            _ if failed => Err(Failure::Ended(node.to_owned())),
            _ if twin.is_some() => {
                Err(Failure::Twin { node: node.to_owned(), peer: twin.unwrap_or_default() })
            }
            // However it stopped: what can't be read is to be taken out.
            _ if hurt => Ok(None),
            Ok(()) => Ok(Some(End::Done)),
            Err(source) => Err(Failure::Stop { node: node.to_owned(), source }),
        },
        () = stop.wait() => {
            output::note(&format!("{node} was stopped at once: it will start as after a crash"));
            Ok(Some(End::NotWell))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::Cli;
    use clap::Parser;

    #[test]
    fn a_configuration_that_misses_something_says_what() {
        let cli = Cli::try_parse_from(["kinfold", "serve", "--check", "--cluster", "c1"]).unwrap();
        let said = cli.run().unwrap_err().to_string();
        assert!(said.contains("is missing"), "{said}");
    }

    #[test]
    fn words_are_checked() {
        assert!(Cli::try_parse_from(["kinfold", "serve", "--durability", "never"]).is_err());
        assert!(Cli::try_parse_from(["kinfold", "serve", "--log-level", "debug"]).is_ok());
    }
}
