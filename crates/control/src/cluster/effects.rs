//! What the cluster machine wants done, and who does it.

use tandem_aws_protocol::{Asked, MoveReport, Outcome};
use tandem_cluster::{Ended, Event, LeaseRequest, Location, MoveError, Output, ServiceId};
use tandem_contract::Nanos;
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::oneshot;

use super::Fences;
use super::sockets::Paths;
use crate::aws::Aws;
use crate::clock::Clock;
use crate::order::Order;

/// Addresses and calls that are to come here.
#[derive(Debug)]
pub(crate) struct TakeOver {
    /// The name of the node that had them, where that is known.
    pub(crate) from: Option<String>,
    /// It lets go of them at this time, and says so.
    pub(crate) handed_over: bool,
    /// Told when addresses are here.
    pub(crate) done: oneshot::Sender<()>,
}

/// Addresses that are to go from here.
#[derive(Debug)]
pub(crate) struct LetGo {
    /// Another node has them already, and the calls.
    pub(crate) superseded: bool,
    /// Told when they are gone.
    pub(crate) done: oneshot::Sender<()>,
}

/// What came to its end.
pub(crate) enum Done {
    /// A move of addresses to here.
    Moved(Moved),
    /// Addresses that were to go have gone.
    Gone,
    /// A look where the addresses are.
    Located(ServiceId, Location),
}

/// How a move came to its end.
pub(crate) struct Moved {
    pub(crate) service: ServiceId,
    pub(crate) epoch: u64,
    pub(crate) outcome: Result<(), MoveError>,
}

/// The other ends of the machine's outputs.
pub(crate) struct Effects {
    pub(crate) names: Vec<String>,
    pub(crate) paths: Paths,
    pub(crate) lease: Option<Sender<LeaseRequest>>,
    pub(crate) clock: Clock,
    pub(crate) fences: Fences,
    /// How many workers there are.
    pub(crate) workers: usize,
    pub(crate) order: UnboundedSender<Order>,
    pub(crate) done: Sender<Done>,
    /// Moves the addresses in EC2; `None` where the link carries them.
    pub(crate) aws: Option<Aws>,
    /// Who had the calls that come with the addresses; every attempt to move them asks for these.
    pub(crate) from: Option<String>,
    /// Whether they were offered, and not asked for yet.
    pub(crate) handed_over: bool,
}

impl Effects {
    pub(crate) async fn perform(&mut self, output: Output) {
        match output {
            Output::Beat { to, path, bytes } => self.paths.send(usize::from(to.0), usize::from(path), &bytes),
            Output::Lease(request) => {
                if let Some(lease) = &self.lease {
                    // A store that is behind is one that does not answer.
                    let _ = lease.try_send(request);
                }
            }
            Output::Permit { until, .. } => self.fences.permit(self.clock, until),
            Output::Rest { .. } => self.fences.rest(self.workers).await,
            Output::Promote { service, epoch, from, handed_over } => {
                let from = from.and_then(|member| self.names.get(usize::from(member.0)).cloned());
                tracing::warn!(service = service.0, epoch, from, "this node has the floating addresses now");
                (self.from, self.handed_over) = (from, handed_over);
            }
            Output::MoveAddresses { service, epoch, until } => self.move_here(service, epoch, until),
            Output::Demote { service, epoch, ended } => {
                tracing::warn!(service = service.0, epoch, why = %ended, "this node has the floating addresses no more");
                let (done, is_done) = oneshot::channel();
                // It fails only when the switch's thread has ended, and then nothing is left to let go of.
                let superseded = matches!(ended, Ended::Superseded(_));
                let _ = self.order.send(Order::LetGo(LetGo { superseded, done }));
                let told = self.done.clone();
                tokio::spawn(async move {
                    if is_done.await.is_ok() {
                        let _ = told.send(Done::Gone).await;
                    }
                });
            }
            Output::Locate { service } => self.locate(service),
            Output::Alarm { alarm, raised: true } => tracing::error!(?alarm, "alarm"),
            Output::Alarm { alarm, raised: false } => tracing::info!(?alarm, "alarm is over"),
            Output::Event(event) => {
                tracing::info!(?event, "cluster");
                if let (Event::Standing(_), Some(aws)) = (event, &self.aws) {
                    // Where they are before they move, which `tandem ctl cluster` tells. It waits for nothing, and opens the
                    // connection where that has closed.
                    drop(aws.ask(|id| Asked::Locate { id }));
                }
            }
        }
    }

    /// Brings the addresses here: with EC2, if that has them, and with workers and kernel at the same time.
    fn move_here(&mut self, service: ServiceId, epoch: u64, until: Nanos) {
        let (clock, begun) = (self.clock, self.clock.now());
        let within_ms = until.since(begun) / 1_000_000;
        let moved = self.aws.clone().map(|aws| (aws.ask(|id| Asked::Move { id, within_ms }), aws));
        let (done, is_done) = oneshot::channel();
        let (from, handed_over) = (self.from.clone(), std::mem::take(&mut self.handed_over));
        let sent = self.order.send(Order::TakeOver(TakeOver { from, handed_over, done }));
        let told = self.done.clone();
        tokio::spawn(async move {
            let mut outcome = match sent {
                Ok(()) => is_done.await.map_err(|_| MoveError::Failed),
                Err(_) => Err(MoveError::Failed),
            };
            if let Some((moved, aws)) = moved {
                let report = report(moved.await.ok());
                outcome = outcome.and(report.map(drop));
                aws.note_move(report.ok(), outcome.is_ok(), clock.now().since(begun) / 1_000_000);
            }
            // Nobody waits for it where the cluster's thread has ended.
            let _ = told.send(Done::Moved(Moved { service, epoch, outcome })).await;
        });
    }

    /// Looks where the addresses are. On a link of one's own nobody can be asked.
    fn locate(&self, service: ServiceId) {
        let Some(aws) = &self.aws else { return };
        let (located, told) = (aws.ask(|id| Asked::Locate { id }), self.done.clone());
        tokio::spawn(async move {
            let location = match located.await {
                Ok(Outcome::Here(Some(true))) => Location::Here,
                Ok(Outcome::Here(Some(false))) => Location::Elsewhere,
                _ => Location::Unknown,
            };
            // The same.
            let _ = told.send(Done::Located(service, location)).await;
        });
    }
}

/// What EC2 made of a move; `None` where `tandem-aws` was not there, or ended.
fn report(answer: Option<Outcome>) -> Result<MoveReport, MoveError> {
    match answer {
        Some(Outcome::Moved(report)) => Ok(report),
        Some(Outcome::NotMoved { refused, error }) => {
            tracing::error!(error, "the addresses do not move to this node");
            Err(if refused { MoveError::Refused } else { MoveError::Failed })
        }
        _ => Err(MoveError::Failed),
    }
}
