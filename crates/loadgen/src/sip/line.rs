//! Sockets and a clock around callers and callees.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as StdInstant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tandem_sip::Instant;

use super::phones::{NUMBERS, Output, Phones};
use super::rate::{AT_A_TIME, Rate, RateOutcome, RateProgress, RateSpec, histogram_of_delays};
use super::{Failure, Happened, SipEndpoints};
use crate::{Latency, LoadError, PlannedCall, RemoteLeg, SourceNetwork};

/// Calls that are being set up, or taken down, at once.
const AT_ONCE: usize = 64;
/// Refused with 503, a call is tried again for so long: ports of an earlier run may rest first.
const TRIED_FOR: Duration = Duration::from_millis(2_500);
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The longest wait for datagrams, so that a wish to stop is seen.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// What each socket is asked to keep, in octets; the kernel's `net.core.rmem_max` bounds it.
const SOCKET_BUFFER: usize = 8 << 20;
/// Datagrams that are taken from a socket before anything else has its turn.
const BATCH: usize = 32;

/// The sockets of callers and callees: one where both have the same address.
struct Line {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Box<[u8]>,
    epoch: StdInstant,
}

impl Line {
    /// Binds both addresses, and puts what the kernel chose in the place of a port 0 or an address 0.0.0.0.
    fn open(endpoints: &mut SipEndpoints) -> Result<Self, LoadError> {
        let is_one = endpoints.caller == endpoints.callee;
        let mut sockets = Vec::new();
        for own in [&mut endpoints.caller, &mut endpoints.callee].into_iter().take(if is_one { 1 } else { 2 }) {
            if own.ip().is_unspecified() {
                own.set_ip(towards(endpoints.gateway).map_err(|error| failed(endpoints.gateway, &error))?.ip());
            }
            let socket = bind(*own).map_err(|error| failed(*own, &error))?;
            *own = socket.local_addr().map_err(|error| failed(*own, &error))?;
            sockets.push((*own, socket));
        }
        if is_one {
            endpoints.callee = endpoints.caller;
        }
        Ok(Self { sockets, buffer: vec![0; 65_535].into(), epoch: StdInstant::now() })
    }

    fn now(&self) -> Instant {
        Instant::from_us(self.epoch.elapsed().as_micros() as u64)
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let socket = self.sockets.iter().find(|(own, _)| *own == from).map(|(_, socket)| socket);
        // What cannot be sent is as good as lost on the way: it is sent again.
        let _ = socket.map(|socket| socket.send_to(bytes, to));
    }

    /// Waits for a datagram, until a time at most.
    fn wait(&self, until: Option<Instant>) {
        let wait = until.map_or(LONGEST_WAIT, |until| (until - self.now()).min(LONGEST_WAIT));
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as _ };
        let mut fds: Vec<_> = self.sockets.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)).collect();
        // A signal ends it early, and the next round waits on.
        let _ = poll(&mut fds, Some(&wait));
    }

    /// Takes what waits in the sockets, a batch of each; says whether there was anything. `hear` gets the socket's address, the
    /// sender's and the octets.
    fn receive(&mut self, mut hear: impl FnMut(&Self, SocketAddr, SocketAddr, &[u8])) -> bool {
        let mut any = false;
        let mut buffer = std::mem::take(&mut self.buffer);
        for (own, socket) in &self.sockets {
            for _ in 0..BATCH {
                match socket.recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        any = true;
                        hear(self, *own, from, &buffer[..length]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => break,
                }
            }
        }
        self.buffer = buffer;
        any
    }

    /// Sends what a run at a steady rate has to send, each datagram at the time that it is told.
    fn flush(&self, rate: &mut Rate) {
        while let Some(output) = rate.poll(self.now()) {
            if let Output::Send { from, to, bytes } = output {
                self.send(from, to, &bytes);
            }
        }
    }

    /// Datagrams that the kernel dropped because one of these sockets was full.
    fn overruns(&self) -> u64 {
        let table = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap_or_default();
        let ports: Vec<u16> = self.sockets.iter().map(|(own, _)| own.port()).collect();
        table.lines().skip(1).filter_map(|line| dropped(line, &ports)).sum()
    }
}

/// What a line of `/proc/net/udp` says was dropped, where it is about one of the ports.
fn dropped(line: &str, ports: &[u16]) -> Option<u64> {
    let mut words = line.split_whitespace();
    let (_, port) = words.nth(1)?.split_once(':')?;
    ports.contains(&u16::from_str_radix(port, 16).ok()?).then(|| words.last()?.parse().ok())?
}

fn bind(own: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(own), socket2::Type::DGRAM, None)?;
    // As large as the kernel allows.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&own.into())?;
    Ok(socket.into())
}

/// Our own address on the way to a gateway.
fn towards(gateway: SocketAddr) -> io::Result<SocketAddr> {
    let any: SocketAddr = if gateway.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(gateway)?;
    socket.local_addr()
}

fn failed(address: SocketAddr, error: &io::Error) -> LoadError {
    LoadError::SetUp(format!("SIP at {address}: {error}"))
}

/// Calls that are set up over SIP, all of them before media flows, and taken down behind it.
pub struct SipCalls {
    line: Line,
    phones: Phones,
    gateway: SocketAddr,
    /// The number of the first call of a run: those of an earlier one may still be answered.
    first: u32,
    up: Vec<u32>,
    /// What the gateway added to the set-up of each call.
    added: Histogram<u64>,
}

impl SipCalls {
    /// Opens the sockets.
    ///
    /// # Errors
    /// An address that cannot be bound.
    pub fn open(mut endpoints: SipEndpoints) -> Result<Self, LoadError> {
        let line = Line::open(&mut endpoints)?;
        let gateway = endpoints.gateway;
        let phones = Phones::new(endpoints, fastrand::u64(..));
        Ok(Self { line, phones, gateway, first: 0, up: Vec::new(), added: histogram_of_delays()? })
    }

    /// From the INVITE of each caller to its 200 without the callee's own part: what the gateway adds to the session request delay (RFC 6076
    /// section 4.3), of all calls that came about so far.
    pub fn added(&self) -> Latency {
        Latency::of(&self.added)
    }

    /// Sets each call up. Answers where its legs send to.
    ///
    /// # Errors
    /// A call that fails; those that came about stay until [`SipCalls::take_down`].
    pub fn set_up(&mut self, calls: &[PlannedCall]) -> Result<Vec<[RemoteLeg; 2]>, LoadError> {
        let first = self.first;
        self.first = (first + calls.len() as u32) % NUMBERS;
        let number = |call: usize| (first + call as u32) % NUMBERS;
        let mut remotes = vec![None; calls.len()];
        let (mut begun, mut missing) = (0, calls.len());
        let mut again: Vec<(StdInstant, usize)> = Vec::new();
        let give_up = StdInstant::now() + TRIED_FOR;
        while missing > 0 {
            let now = self.line.now();
            while begun < calls.len() && self.phones.calls() < AT_ONCE + self.up.len() {
                self.phones.call(now, number(begun), &calls[begun]);
                begun += 1;
            }
            for (_, call) in again.extract_if(.., |(at, _)| *at <= StdInstant::now()) {
                self.phones.call(now, number(call), &calls[call]);
            }
            for (reached, happened) in self.round() {
                let call = ((reached + NUMBERS - first) % NUMBERS) as usize;
                match happened {
                    Happened::Up { remotes: legs, added, .. } if call < calls.len() => {
                        self.up.push(reached);
                        self.added.saturating_record(added.as_nanos() as u64);
                        missing -= usize::from(remotes[call].replace(*legs).is_none());
                    }
                    Happened::Failed(Failure::Refused(503, _)) if StdInstant::now() < give_up => {
                        again.push((StdInstant::now() + TRIED_AGAIN_AFTER, call));
                    }
                    Happened::Failed(failure) => {
                        return Err(LoadError::SetUp(format!(
                            "SIP to {}: call {} of {}: {failure}",
                            self.gateway,
                            call + 1,
                            calls.len()
                        )));
                    }
                    Happened::Up { .. } | Happened::Down => {}
                }
            }
        }
        Ok(remotes.into_iter().flatten().collect())
    }

    /// Answers what comes meanwhile, until `done` is set.
    pub fn attend(&mut self, done: &AtomicBool) {
        while !done.load(Ordering::Relaxed) {
            // A call that the gateway ends is seen by its media.
            self.round();
        }
    }

    /// Hangs all calls up, and waits until they are over.
    ///
    /// # Errors
    /// A call that the gateway does not end, or had ended before.
    pub fn take_down(&mut self) -> Result<(), LoadError> {
        let mut up = std::mem::take(&mut self.up);
        let all = up.len();
        let mut problem = None;
        while !up.is_empty() || self.phones.calls() > 0 {
            let now = self.line.now();
            // What is not being taken down yet is not at once.
            while !up.is_empty() && self.phones.calls() < AT_ONCE + up.len() {
                if let Some(number) = up.pop() {
                    self.phones.hang_up(now, number);
                }
            }
            for (_, happened) in self.round() {
                if let Happened::Failed(failure) = happened {
                    problem.get_or_insert(failure);
                }
            }
            // Others end by the gateway's own timers.
            if up.is_empty() && problem.is_some() {
                break;
            }
        }
        match problem {
            None => Ok(()),
            Some(failure) => {
                Err(LoadError::SetUp(format!("SIP to {}: {all} calls were to end: {failure}", self.gateway)))
            }
        }
    }

    /// One round of timers and datagrams; what came about in it.
    fn round(&mut self) -> Vec<(u32, Happened)> {
        let mut news = Vec::new();
        let now = self.line.now();
        self.phones.on_timeout(now);
        let flush = |phones: &mut Phones, line: &Line, news: &mut Vec<_>| {
            while let Some(output) = phones.poll(line.now()) {
                match output {
                    Output::Send { from, to, bytes } => line.send(from, to, &bytes),
                    Output::Call { number, happened } => news.push((number, happened)),
                }
            }
        };
        flush(&mut self.phones, &self.line, &mut news);
        if news.is_empty() {
            self.line.wait(self.phones.next_deadline());
        }
        let phones = &mut self.phones;
        self.line.receive(|line, own, from, bytes| {
            phones.on_datagram(line.now(), own, from, bytes);
            flush(phones, line, &mut news);
        });
        news
    }
}

/// Sets calls up and ends them at a steady rate. `progress` is called once a second; `stop`, once set, ends the run early.
///
/// # Errors
/// A specification out of range, an address that cannot be bound, or a gateway that answers nothing at all.
pub fn measure_rate(
    spec: &RateSpec,
    mut endpoints: SipEndpoints,
    network: &SourceNetwork,
    progress: &mut dyn FnMut(RateProgress),
    stop: &AtomicBool,
) -> Result<RateOutcome, LoadError> {
    let mut line = Line::open(&mut endpoints)?;
    let gateway = endpoints.gateway;
    let mut rate = Rate::new(spec, Phones::new(endpoints, fastrand::u64(..)), network)?;
    let overruns = line.overruns();
    rate.start(line.now());
    let mut second = line.now() + Duration::from_secs(1);
    loop {
        let began = line.now();
        if rate.is_over(began) {
            break;
        }
        for _ in 0..AT_A_TIME {
            if !rate.begin(line.now()) {
                break;
            }
            line.flush(&mut rate);
        }
        rate.advance(line.now());
        line.flush(&mut rate);
        let any = line.receive(|line, own, from, bytes| {
            rate.phones().on_datagram(line.now(), own, from, bytes);
            line.flush(&mut rate);
        });
        let ended = line.now();
        rate.was_busy(ended - began);
        if ended >= second {
            second = second + Duration::from_secs(1);
            progress(rate.progress(ended));
        }
        if stop.load(Ordering::Relaxed) {
            rate.end_early(true);
        } else if rate.is_hopeless() {
            rate.end_early(false);
        }
        if !any {
            line.wait(rate.next_deadline());
        }
    }
    let outcome = rate.outcome(line.overruns().saturating_sub(overruns));
    let silent = |(reason, count): (&String, &u64)| {
        *reason == Failure::NoAnswer("INVITE").to_string() && *count == outcome.begun
    };
    if outcome.begun > 0 && outcome.failed.iter().any(silent) {
        return Err(LoadError::SetUp(format!(
            "SIP to {gateway}: no INVITE was answered: is it one of the gateway's sip.listen addresses, and is the source's among its peers?"
        )));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_those_of_the_sockets_that_have_the_ports() {
        let line =
            "  12: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000 42";
        assert_eq!(dropped(line, &[5_060]), Some(42));
        assert_eq!(dropped(line, &[5_061]), None);
        assert_eq!(dropped("", &[5_060]), None);
        assert_eq!(dropped("  sl  local_address rem_address   st", &[5_060]), None);
    }
}
