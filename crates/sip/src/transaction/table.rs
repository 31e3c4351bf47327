//! The four state machines of RFC 3261 section 17 as RFC 6026 amends them, row by row.
//!
//! What a row does not name, does not happen: an event without a row in a state is absorbed.

use Action::*;
use Event::*;
use State::*;

/// States of all four machines (RFC 3261 figures 5 to 8, RFC 6026 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Before the first event.
    Initial,
    /// INVITE client: sent, nothing heard.
    Calling,
    /// Non-INVITE: sent or received, nothing heard or said.
    Trying,
    /// A provisional response has been received or may be sent.
    Proceeding,
    /// INVITE: a 2xx passed; more of them may follow (RFC 6026).
    Accepted,
    /// A final response has passed; for INVITE one of 300 to 699.
    Completed,
    /// INVITE server: ACK received, its retransmissions are absorbed.
    Confirmed,
    /// Gone.
    Terminated,
}

/// Timers, by the letters of RFC 3261 table 4 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// INVITE request retransmit.
    A,
    /// INVITE transaction timeout.
    B,
    /// INVITE answered provisionally, never finally (section 16.6 step 11).
    C,
    /// Wait for response retransmissions, INVITE client.
    D,
    /// Non-INVITE request retransmit.
    E,
    /// Non-INVITE transaction timeout.
    F,
    /// INVITE response retransmit.
    G,
    /// Wait for ACK.
    H,
    /// Wait for ACK retransmissions.
    I,
    /// Wait for non-INVITE request retransmissions.
    J,
    /// Wait for response retransmissions, non-INVITE client.
    K,
    /// Wait for INVITE retransmissions after a 2xx was sent (RFC 6026).
    L,
    /// Wait for 2xx retransmissions (RFC 6026).
    M,
    /// 100 Trying is due (section 17.2.1); the RFC gives it no letter.
    Trying100,
    /// A cancelled INVITE must get its final response (section 9.1); the RFC gives it no letter.
    Cancelled,
}

/// What can happen to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It begins: a request is sent or received.
    Start,
    /// A timer fires.
    Fires(Timer),
    /// Client: a 1xx arrives. Server: the user sends one.
    Provisional,
    /// Client: a 2xx arrives. Server: the user sends one.
    Success,
    /// Client: a 300 to 699 arrives. Server: the user sends one.
    Failure,
    /// Server: the request arrives again.
    Request,
    /// Server: an ACK arrives.
    Ack,
    /// Client: the user wants it cancelled.
    Cancel,
    /// What was sent could not be.
    TransportError,
}

/// What a row does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the request.
    SendRequest,
    /// Send the ACK of section 17.1.1.3.
    SendAck,
    /// Send the CANCEL of section 9.1.
    SendCancel,
    /// Remember that a CANCEL is wanted as soon as a provisional response allows it.
    HoldCancel,
    /// Send a held CANCEL.
    SendHeldCancel,
    /// Send the response that the user gave last.
    SendResponse,
    /// Send 100 Trying.
    SendTrying,
    /// Hand the request to the user.
    DeliverRequest,
    /// Hand the ACK to the user.
    DeliverAck,
    /// Hand the response to the user.
    DeliverResponse,
    /// Tell the user that time is up.
    ReportTimeout,
    /// Tell the user that the transport failed.
    ReportTransportError,
    /// Start a timer at its first interval.
    Arm(Timer),
    /// Start a timer again at twice the interval, bounded by T2 where the RFC says so.
    Backoff(Timer),
    /// Start Timer E again at T2.
    ArmAtT2(Timer),
    /// Start a timer again if it runs.
    Renew(Timer),
    /// Stop a timer.
    Stop(Timer),
}

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// In this state,
    pub state: State,
    /// when this happens,
    pub event: Event,
    /// do this,
    pub actions: &'static [Action],
    /// and go there.
    pub next: State,
    /// Where the RFC says so.
    pub source: &'static str,
}

const fn row(state: State, event: Event, actions: &'static [Action], next: State, source: &'static str) -> Row {
    Row { state, event, actions, next, source }
}

/// INVITE client transaction.
pub static INVITE_CLIENT: &[Row] = &[
    row(Initial, Start, &[SendRequest, Arm(Timer::A), Arm(Timer::B)], Calling, "RFC 3261 17.1.1.2"),
    row(Calling, Fires(Timer::A), &[SendRequest, Backoff(Timer::A)], Calling, "RFC 3261 17.1.1.2"),
    row(Calling, Fires(Timer::B), &[ReportTimeout], Terminated, "RFC 3261 17.1.1.2"),
    row(Calling, TransportError, &[ReportTransportError], Terminated, "RFC 3261 17.1.1.2"),
    row(
        Calling,
        Provisional,
        &[Stop(Timer::A), Stop(Timer::B), Arm(Timer::C), SendHeldCancel, DeliverResponse],
        Proceeding,
        "RFC 3261 17.1.1.2, 9.1, 16.6",
    ),
    row(Calling, Success, &[Stop(Timer::A), Stop(Timer::B), Arm(Timer::M), DeliverResponse], Accepted, "RFC 6026 7.2"),
    row(
        Calling,
        Failure,
        &[Stop(Timer::A), Stop(Timer::B), Arm(Timer::D), SendAck, DeliverResponse],
        Completed,
        "RFC 3261 17.1.1.2",
    ),
    row(Calling, Cancel, &[HoldCancel], Calling, "RFC 3261 9.1"),
    row(Proceeding, Provisional, &[Renew(Timer::C), DeliverResponse], Proceeding, "RFC 3261 17.1.1.2, 16.7"),
    row(Proceeding, Success, &[Stop(Timer::C), Arm(Timer::M), DeliverResponse], Accepted, "RFC 6026 7.2"),
    row(
        Proceeding,
        Failure,
        &[Stop(Timer::C), Arm(Timer::D), SendAck, DeliverResponse],
        Completed,
        "RFC 3261 17.1.1.2",
    ),
    row(Proceeding, Cancel, &[Arm(Timer::Cancelled), SendCancel], Proceeding, "RFC 3261 9.1"),
    row(Proceeding, Fires(Timer::C), &[Arm(Timer::Cancelled), SendCancel], Proceeding, "RFC 3261 16.8"),
    row(Proceeding, Fires(Timer::Cancelled), &[ReportTimeout], Terminated, "RFC 3261 9.1"),
    row(Completed, Failure, &[SendAck], Completed, "RFC 3261 17.1.1.2"),
    row(Completed, TransportError, &[ReportTransportError], Terminated, "RFC 3261 17.1.1.2"),
    row(Completed, Fires(Timer::D), &[], Terminated, "RFC 3261 17.1.1.2"),
    row(Accepted, Success, &[DeliverResponse], Accepted, "RFC 6026 7.2"),
    row(Accepted, Fires(Timer::M), &[], Terminated, "RFC 6026 7.2"),
];

/// Non-INVITE client transaction.
pub static NON_INVITE_CLIENT: &[Row] = &[
    row(Initial, Start, &[SendRequest, Arm(Timer::E), Arm(Timer::F)], Trying, "RFC 3261 17.1.2.2"),
    row(Trying, Fires(Timer::E), &[SendRequest, Backoff(Timer::E)], Trying, "RFC 3261 17.1.2.2"),
    row(Trying, Fires(Timer::F), &[ReportTimeout], Terminated, "RFC 3261 17.1.2.2"),
    row(Trying, TransportError, &[ReportTransportError], Terminated, "RFC 3261 17.1.2.2"),
    row(Trying, Provisional, &[DeliverResponse], Proceeding, "RFC 3261 17.1.2.2"),
    row(
        Trying,
        Success,
        &[Stop(Timer::E), Stop(Timer::F), Arm(Timer::K), DeliverResponse],
        Completed,
        "RFC 3261 17.1.2.2",
    ),
    row(
        Trying,
        Failure,
        &[Stop(Timer::E), Stop(Timer::F), Arm(Timer::K), DeliverResponse],
        Completed,
        "RFC 3261 17.1.2.2",
    ),
    row(Proceeding, Fires(Timer::E), &[SendRequest, ArmAtT2(Timer::E)], Proceeding, "RFC 3261 17.1.2.2"),
    row(Proceeding, Fires(Timer::F), &[ReportTimeout], Terminated, "RFC 3261 17.1.2.2"),
    row(Proceeding, TransportError, &[ReportTransportError], Terminated, "RFC 3261 17.1.2.2"),
    row(Proceeding, Provisional, &[DeliverResponse], Proceeding, "RFC 3261 17.1.2.2"),
    row(
        Proceeding,
        Success,
        &[Stop(Timer::E), Stop(Timer::F), Arm(Timer::K), DeliverResponse],
        Completed,
        "RFC 3261 17.1.2.2",
    ),
    row(
        Proceeding,
        Failure,
        &[Stop(Timer::E), Stop(Timer::F), Arm(Timer::K), DeliverResponse],
        Completed,
        "RFC 3261 17.1.2.2",
    ),
    row(Completed, Fires(Timer::K), &[], Terminated, "RFC 3261 17.1.2.2"),
];

/// INVITE server transaction.
pub static INVITE_SERVER: &[Row] = &[
    row(Initial, Start, &[Arm(Timer::Trying100), DeliverRequest], Proceeding, "RFC 3261 17.2.1"),
    row(Proceeding, Fires(Timer::Trying100), &[SendTrying], Proceeding, "RFC 3261 17.2.1"),
    row(Proceeding, Request, &[SendResponse], Proceeding, "RFC 3261 17.2.1"),
    row(Proceeding, Provisional, &[Stop(Timer::Trying100), SendResponse], Proceeding, "RFC 3261 17.2.1"),
    row(Proceeding, Success, &[Stop(Timer::Trying100), Arm(Timer::L), SendResponse], Accepted, "RFC 6026 7.1"),
    row(
        Proceeding,
        Failure,
        &[Stop(Timer::Trying100), Arm(Timer::G), Arm(Timer::H), SendResponse],
        Completed,
        "RFC 3261 17.2.1",
    ),
    row(Proceeding, TransportError, &[ReportTransportError], Proceeding, "RFC 6026 8.7"),
    row(Accepted, Request, &[], Accepted, "RFC 6026 7.1"),
    row(Accepted, Success, &[SendResponse], Accepted, "RFC 6026 7.1"),
    row(Accepted, Ack, &[DeliverAck], Accepted, "RFC 6026 7.1"),
    row(Accepted, TransportError, &[ReportTransportError], Accepted, "RFC 6026 8.7"),
    row(Accepted, Fires(Timer::L), &[], Terminated, "RFC 6026 7.1"),
    row(Completed, Request, &[SendResponse], Completed, "RFC 3261 17.2.1"),
    row(Completed, Fires(Timer::G), &[SendResponse, Backoff(Timer::G)], Completed, "RFC 3261 17.2.1"),
    row(Completed, Fires(Timer::H), &[ReportTimeout], Terminated, "RFC 3261 17.2.1"),
    row(Completed, Ack, &[Stop(Timer::G), Stop(Timer::H), Arm(Timer::I)], Confirmed, "RFC 3261 17.2.1"),
    row(Completed, TransportError, &[ReportTransportError], Completed, "RFC 6026 8.7"),
    row(Confirmed, Ack, &[], Confirmed, "RFC 3261 17.2.1"),
    row(Confirmed, Fires(Timer::I), &[], Terminated, "RFC 3261 17.2.1"),
];

/// Non-INVITE server transaction.
pub static NON_INVITE_SERVER: &[Row] = &[
    row(Initial, Start, &[DeliverRequest], Trying, "RFC 3261 17.2.2"),
    row(Trying, Request, &[], Trying, "RFC 3261 17.2.2"),
    row(Trying, Provisional, &[SendResponse], Proceeding, "RFC 3261 17.2.2"),
    row(Trying, Success, &[Arm(Timer::J), SendResponse], Completed, "RFC 3261 17.2.2"),
    row(Trying, Failure, &[Arm(Timer::J), SendResponse], Completed, "RFC 3261 17.2.2"),
    row(Proceeding, Request, &[SendResponse], Proceeding, "RFC 3261 17.2.2"),
    row(Proceeding, Provisional, &[SendResponse], Proceeding, "RFC 3261 17.2.2"),
    row(Proceeding, Success, &[Arm(Timer::J), SendResponse], Completed, "RFC 3261 17.2.2"),
    row(Proceeding, Failure, &[Arm(Timer::J), SendResponse], Completed, "RFC 3261 17.2.2"),
    row(Proceeding, TransportError, &[ReportTransportError], Terminated, "RFC 3261 17.2.4"),
    row(Completed, Request, &[SendResponse], Completed, "RFC 3261 17.2.2"),
    row(Completed, TransportError, &[ReportTransportError], Terminated, "RFC 3261 17.2.4"),
    row(Completed, Fires(Timer::J), &[], Terminated, "RFC 3261 17.2.2"),
];

/// The row for `event` in `state`.
pub fn find(table: &'static [Row], state: State, event: Event) -> Option<&'static Row> {
    table.iter().find(|row| row.state == state && row.event == event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [&[Row]; 4] = [INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER];

    #[test]
    fn no_event_has_two_rows() {
        for table in TABLES {
            for (i, row) in table.iter().enumerate() {
                let twin = table[..i].iter().find(|other| other.state == row.state && other.event == row.event);
                assert_eq!(twin, None);
            }
        }
    }

    /// A timer that is armed must have a row where it can fire, in the state the row leads to or one after it.
    #[test]
    fn every_armed_timer_is_awaited() {
        for table in TABLES {
            for row in table {
                for action in row.actions {
                    if let Arm(timer) | Backoff(timer) | ArmAtT2(timer) = action {
                        assert!(find(table, row.next, Fires(*timer)).is_some(), "{row:?}");
                    }
                }
            }
        }
    }

    /// Every state but those that wait for the user has a timer that leads out of it.
    #[test]
    fn every_state_ends_by_itself_or_waits_for_its_user() {
        for table in TABLES {
            for row in table {
                let waits_for_user =
                    table[0].actions.contains(&DeliverRequest) && matches!(row.next, Trying | Proceeding);
                let has_way_out = row.next == Terminated
                    || table
                        .iter()
                        .any(|out| out.state == row.next && out.next == Terminated && matches!(out.event, Fires(_)))
                    || waits_for_user;
                assert!(has_way_out, "{row:?}");
            }
        }
    }
}
