//! Session timers (RFC 4028): each leg is refreshed by one of its ends, and a call whose refresh stays away ends.
//!
//! | event | what follows |
//! | --- | --- |
//! | half of the interval is over, and refreshing is ours | UPDATE where the peer allows it, else a re-INVITE that changes nothing |
//! | any of our or the peer's re-INVITEs or UPDATEs succeeded | the interval begins anew, as agreed there |
//! | the interval is nearly over | BYE (section 10) |

use tandem_contract::{LegSide, Nanos};
use tandem_sip::{Fields, HeaderName, Method, RequestBuilder, Response, ResponseBuilder, StatusCode};

use crate::call::{Call, Phase};
use crate::ending::Ending;
use crate::exchange::{Exchange, Purpose, seconds};
use crate::leg::Leg;

/// The shortest interval that is accepted and asked for, in seconds (section 5).
pub(crate) const MIN_SE_S: u32 = 90;
/// Before another try of a refresh that met a change under way, in seconds.
const AGAIN_S: u32 = 3;

/// What one leg agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimer {
    pub(crate) interval_s: u32,
    /// When it is on us to refresh; `None` where the peer does.
    pub(crate) refresh_at: Option<Nanos>,
    /// When the call ends without a refresh.
    pub(crate) ends_at: Nanos,
}

/// Who refreshes, as seen from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl SessionTimer {
    fn new(now: Nanos, interval_s: u32, is_ours: bool) -> Self {
        // Section 10: the sooner of 32 seconds and a third of the interval before it is over.
        let spare_s = (interval_s / 3).min(32);
        Self {
            interval_s,
            refresh_at: is_ours.then(|| now.plus(seconds(interval_s / 2))),
            ends_at: now.plus(seconds(interval_s - spare_s)),
        }
    }

    pub(crate) fn deadline(&self) -> Nanos {
        self.refresh_at.map_or(self.ends_at, |at| at.min(self.ends_at))
    }
}

/// `Session-Expires`: seconds, and who refreshes.
fn session_expires(fields: &Fields) -> Option<(u32, Option<Refresher>)> {
    let mut parts = fields.value(HeaderName::SessionExpires)?.split(';').map(str::trim);
    let interval_s = parts.next()?.parse().ok()?;
    let refresher = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        match (name.trim().to_ascii_lowercase().as_str(), value.trim().to_ascii_lowercase().as_str()) {
            ("refresher", "uac") => Some(Refresher::Uac),
            ("refresher", "uas") => Some(Refresher::Uas),
            _ => None,
        }
    });
    Some((interval_s, refresher))
}

/// Whether a request asks for an interval too short to be kept, so that 422 is the answer (section 9).
pub(crate) fn is_too_brief(request: &Fields) -> bool {
    request.supports("timer") && session_expires(request).is_some_and(|(interval_s, _)| interval_s < MIN_SE_S)
}

impl Leg {
    /// Adds what an INVITE, re-INVITE or UPDATE of ours says of the session's timer.
    pub(crate) fn ask_for_timer(&self, request: RequestBuilder) -> RequestBuilder {
        let wanted = self.peer.session_expires_s;
        let interval_s = self.timer.map_or(wanted, |timer| timer.interval_s).max(self.min_se_s);
        if wanted == 0 && self.timer.is_none() {
            return request;
        }
        // In a dialog the roles stay; before it, the peer chooses.
        let refresher = match self.timer.map(|timer| timer.refresh_at.is_some()) {
            None => "",
            Some(true) => ";refresher=uac",
            Some(false) => ";refresher=uas",
        };
        request
            .header(HeaderName::SessionExpires, &format!("{interval_s}{refresher}"))
            .header(HeaderName::MinSe, &self.min_se_s.to_string())
    }

    /// Takes what the 2xx to an INVITE, re-INVITE or UPDATE of ours says of it.
    pub(crate) fn take_timer(&mut self, now: Nanos, response: &Response) {
        if let Some(allows) = response.allows(&Method::Update) {
            self.takes_update = allows;
        }
        let agreed = session_expires(response);
        self.timer = agreed.map(|(interval_s, refresher)| {
            SessionTimer::new(now, interval_s.max(self.min_se_s), refresher != Some(Refresher::Uas))
        });
    }

    /// Decides on the timer in our 2xx to a request of the peer's, and adds it.
    pub(crate) fn grant_timer(&mut self, now: Nanos, request: &Fields, response: ResponseBuilder) -> ResponseBuilder {
        if let Some(allows) = request.allows(&Method::Update) {
            self.takes_update = allows;
        }
        let knows_timers = request.supports("timer");
        let (interval_s, refresher) = match session_expires(request) {
            Some((interval_s, refresher)) => {
                let theirs = if knows_timers { Refresher::Uac } else { Refresher::Uas };
                (interval_s.max(MIN_SE_S), refresher.filter(|_| knows_timers).unwrap_or(theirs))
            }
            None if self.peer.session_expires_s > 0 => (self.peer.session_expires_s, Refresher::Uas),
            None => {
                self.timer = None;
                return response;
            }
        };
        self.timer = Some(SessionTimer::new(now, interval_s, refresher == Refresher::Uas));
        match refresher {
            // Section 9: only who refreshes must know of it.
            Refresher::Uac => response
                .header(HeaderName::SessionExpires, &format!("{interval_s};refresher=uac"))
                .header(HeaderName::Require, "timer"),
            Refresher::Uas => response.header(HeaderName::SessionExpires, &format!("{interval_s};refresher=uas")),
        }
    }

    /// The peer asked for a longer interval with 422; `false` where it asked for nothing we can give.
    pub(crate) fn take_min_se(&mut self, response: &Response) -> bool {
        let asked = response.value(HeaderName::MinSe).and_then(|value| value.split(';').next()?.trim().parse().ok());
        match asked.filter(|asked: &u32| *asked > self.min_se_s && *asked <= 86_400) {
            Some(asked) => {
                self.min_se_s = asked;
                true
            }
            None => false,
        }
    }
}

impl Call {
    /// When the session of either side is to be refreshed or given up; before it is up there is none.
    pub(crate) fn next_refresh(&self) -> Option<Nanos> {
        let timers = self.legs.iter().filter_map(|leg| leg.timer).filter(|_| self.phase == Phase::Answered);
        timers.map(|timer| timer.deadline()).min()
    }

    /// Refreshes what is due, and ends a call that was not refreshed.
    pub(crate) fn look_after_timers(&mut self, exchange: &mut Exchange, now: Nanos) {
        for side in LegSide::BOTH {
            let Some(timer) = self.leg(side).timer.filter(|timer| timer.deadline() <= now) else { continue };
            if self.phase != Phase::Answered {
                continue;
            }
            if timer.ends_at <= now {
                let who = if side == LegSide::A { "caller" } else { "callee" };
                let reason = format!("the session with the {who} was not refreshed in time");
                let ending = Ending { q850: 102, ..Ending::gateway(StatusCode::REQUEST_TIMEOUT, reason) };
                self.end(exchange, now, ending, None);
                return;
            }
            self.refresh_at(side, now.plus(seconds(AGAIN_S)));
            if self.leg(side).takes_update {
                self.refresh_by_update(exchange, now, side);
            } else if !self.is_changing() {
                // A re-INVITE with what was said last refreshes the session and changes nothing (section 7.4).
                self.tell(exchange, now, side, false);
            }
        }
    }

    fn refresh_by_update(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide) {
        let number = self.number;
        let leg = self.leg_mut(side);
        let contact = leg.contact();
        let request = leg.dialog.request(Method::Update).contact(contact.as_str());
        let request = leg.ask_for_timer(request).header(HeaderName::Supported, "timer");
        let request = leg.authorized(exchange, request);
        let to = leg.next_hop(exchange, now);
        exchange.request(now, to, request, Purpose::Refresh { call: number, leg: side });
    }

    fn refresh_at(&mut self, side: LegSide, at: Nanos) {
        if let Some(timer) = &mut self.leg_mut(side).timer
            && let Some(refresh_at) = &mut timer.refresh_at
        {
            *refresh_at = at;
        }
    }

    /// The final answer to our UPDATE; `None` where none came. A failure leaves the session to its end or another try.
    pub(crate) fn on_refreshed(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        response: Option<&Response>,
    ) {
        if self.phase != Phase::Answered {
            return;
        }
        match response.map(|response| (response.status(), response)) {
            Some((status, response)) if status.is_success() => {
                let leg = self.leg_mut(side);
                leg.dialog.on_response(response);
                leg.take_timer(now, response);
            }
            // The peer knows the call no longer (RFC 3261 §12.2.1.2).
            None | Some((StatusCode::REQUEST_TIMEOUT | StatusCode::CALL_DOES_NOT_EXIST, _)) => {
                let reason = format!("the peer {} no longer knows the call", self.peer_name(side));
                self.end(exchange, now, Ending::gateway(StatusCode::CALL_DOES_NOT_EXIST, reason), None);
            }
            Some((StatusCode::SESSION_INTERVAL_TOO_SMALL, response)) => {
                self.leg_mut(side).take_min_se(response);
                self.refresh_at(side, now);
            }
            Some((StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED, response)) => {
                if self.leg_mut(side).on_challenge(response) {
                    self.refresh_at(side, now);
                }
            }
            Some((StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, _)) => {
                self.leg_mut(side).takes_update = false;
                self.refresh_at(side, now);
            }
            Some(_) => {}
        }
    }

    /// Whether something is under way that a change of ours would cross.
    pub(crate) fn is_changing(&self) -> bool {
        self.change.is_some()
            || self.transfer.is_some()
            || self.media.is_busy()
            || self
                .legs
                .iter()
                .any(|leg| leg.incoming.is_some() || leg.outgoing.is_some() || leg.unacknowledged.is_some())
    }
}
