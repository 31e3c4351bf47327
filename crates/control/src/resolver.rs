//! Asks the DNS for what the switch wants to know, on a thread of its own: no call waits for a name server.
//!
//! Answers are kept by the switch, for as long as they say; nothing is kept here.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tandem_call::{Answer, Naptr, Question, RecordKind, Records, Srv};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How often a question is asked before it counts as unanswered.
const ATTEMPTS: usize = 2;
/// For how long it is believed that something is absent where the answer does not say (no SOA, RFC 2308 §5).
const ABSENT_TTL_S: u32 = 60;

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: UnboundedSender<Question>,
    /// What came of each question.
    pub(crate) answers: UnboundedReceiver<(Question, Answer)>,
}

impl Resolver {
    /// Starts the thread. It ends with the last way to it.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(config: &tandem_config::Resolver) -> io::Result<Self> {
        let (questions, incoming) = unbounded_channel();
        let (outgoing, answers) = unbounded_channel();
        let config = config.clone();
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "names cannot be looked up"),
            };
            runtime.block_on(serve(&config, incoming, outgoing));
        };
        std::thread::Builder::new().name("tandem-resolver".to_owned()).spawn(run)?;
        Ok(Self { questions, answers })
    }

    /// Asks; gives the question back where nobody is there to be asked.
    pub(crate) fn ask(&self, question: Question) -> Result<(), Question> {
        self.questions.send(question).map_err(|unsent| unsent.0)
    }
}

async fn serve(
    config: &tandem_config::Resolver,
    mut questions: UnboundedReceiver<Question>,
    answers: UnboundedSender<(Question, Answer)>,
) {
    let resolver = match resolver(config) {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            tracing::warn!(%error, "sip.resolver: no name server is known, so no name can be looked up");
            None
        }
    };
    while let Some(question) = questions.recv().await {
        let (resolver, answers) = (resolver.clone(), answers.clone());
        tokio::spawn(async move {
            let answer = match resolver {
                Some(resolver) => look_up(&resolver, &question).await,
                None => Answer::Failed,
            };
            // Nobody waits for it any more when control has ended.
            let _ = answers.send((question, answer));
        });
    }
}

fn resolver(config: &tandem_config::Resolver) -> Result<TokioResolver, NetError> {
    let mut builder = if config.servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let server = |address: &std::net::SocketAddr| {
            let by = |protocol| {
                let mut connection = ConnectionConfig::new(protocol);
                connection.port = address.port();
                connection
            };
            NameServerConfig::new(address.ip(), true, vec![by(ProtocolConfig::Udp), by(ProtocolConfig::Tcp)])
        };
        let servers = config.servers.iter().map(server).collect();
        let mut builder = TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(servers),
            TokioRuntimeProvider::default(),
        );
        *builder.options_mut() = ResolverOpts::default();
        builder
    };
    let options = builder.options_mut();
    options.timeout = Duration::from_millis(config.timeout_ms.into());
    options.attempts = ATTEMPTS;
    options.cache_size = 0;
    builder.build()
}

async fn look_up(resolver: &TokioResolver, question: &Question) -> Answer {
    let Ok(mut name) = Name::from_ascii(&question.name) else {
        return Answer::Absent { name_exists: false, ttl_s: ABSENT_TTL_S };
    };
    // As it is written, without the machine's search list.
    name.set_fqdn(true);
    let kind = match question.kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::Naptr => RecordType::NAPTR,
    };
    match resolver.lookup(name, kind).await {
        Ok(lookup) => {
            let records: Vec<&Record> =
                lookup.answers().iter().filter(|record| record.data.record_type() == kind).collect();
            // A record is no longer good than the aliases that led to it.
            let ttl_s = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
            if records.is_empty() {
                return Answer::Absent { name_exists: true, ttl_s: ABSENT_TTL_S };
            }
            Answer::Records { records: convert(question.kind, &records), ttl_s }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            code @ (ResponseCode::NoError | ResponseCode::NXDomain) => Answer::Absent {
                name_exists: code == ResponseCode::NoError,
                ttl_s: none.negative_ttl.unwrap_or(ABSENT_TTL_S),
            },
            _ => Answer::Failed,
        },
        Err(error) => {
            tracing::debug!(name = question.name, %error, "a name was not looked up");
            Answer::Failed
        }
    }
}

fn convert(kind: RecordKind, records: &[&Record]) -> Records {
    let octets = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match kind {
        RecordKind::A | RecordKind::Aaaa => Records::Addresses(
            records
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                })
                .collect(),
        ),
        RecordKind::Srv => Records::Srv(
            records
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(Srv {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target: text_of(&srv.target),
                    }),
                    _ => None,
                })
                .collect(),
        ),
        RecordKind::Naptr => Records::Naptr(
            records
                .iter()
                .filter_map(|record| match &record.data {
                    RData::NAPTR(naptr) => Some(Naptr {
                        order: naptr.order,
                        preference: naptr.preference,
                        flags: octets(&naptr.flags),
                        services: octets(&naptr.services),
                        replacement: text_of(&naptr.replacement),
                    }),
                    _ => None,
                })
                .collect(),
        ),
    }
}

/// A name without the dot at its end; the root is empty.
fn text_of(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}
