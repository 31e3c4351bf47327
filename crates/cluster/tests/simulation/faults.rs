//! What can go wrong.

use fastrand::Rng;

use crate::world::{MS, World};

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Start(usize),
    Crash(usize),
    Pause(usize, u64),
    /// With its clocks, as a hypervisor does.
    Freeze(usize, u64),
    Resume(usize),
    /// From, to, per mille.
    Loss(usize, usize, u32),
    LossEverywhere(u32),
    /// One against the others.
    CutOff(usize, u32),
    StoreAway(usize, bool),
    StoreAwayForAll(bool),
    StoreEmptied,
    StoreBackup,
    StoreRestored,
    Slow(u64),
    WallClockSteps(usize, i64),
    MovesFail(u32),
    SwitchOver(usize, u8),
    Maintenance(usize, bool),
    /// What the cloud says of a node.
    Belongs(usize, bool),
    AllWell,
}

impl Fault {
    /// A fault, and what ends it after how long.
    pub(crate) fn draw(rng: &mut Rng, members: usize) -> (Self, Option<(u64, Self)>) {
        let member = rng.usize(0..members);
        let for_ns = if rng.bool() { rng.u64(5..150) } else { rng.u64(100..3000) } * MS;
        match rng.u8(0..16) {
            0 | 1 => (Self::Crash(member), Some((for_ns, Self::Start(member)))),
            2 => (Self::Pause(member, for_ns), None),
            3 => (Self::Freeze(member, for_ns), None),
            4 | 5 => {
                let other = (member + rng.usize(1..members)) % members;
                (Self::Loss(member, other, 1000), Some((for_ns, Self::Loss(member, other, 0))))
            }
            6 => (Self::CutOff(member, 1000), Some((for_ns, Self::CutOff(member, 0)))),
            7 => (Self::LossEverywhere(rng.u32(10..600)), Some((for_ns, Self::LossEverywhere(0)))),
            8 => (Self::StoreAway(member, true), Some((for_ns, Self::StoreAway(member, false)))),
            9 => (Self::StoreAwayForAll(true), Some((for_ns, Self::StoreAwayForAll(false)))),
            10 => match rng.u8(0..3) {
                0 => (Self::StoreEmptied, None),
                _ => (Self::StoreBackup, Some((for_ns, Self::StoreRestored))),
            },
            11 => (Self::Slow(rng.u64(2..40) * MS), Some((for_ns, Self::Slow(MS / 2)))),
            12 => (Self::WallClockSteps(member, rng.i64(-5000..5000) * MS as i64), None),
            13 => (Self::MovesFail(rng.u32(100..1000)), Some((for_ns, Self::MovesFail(0)))),
            14 => (Self::SwitchOver(member, rng.u8(0..3)), None),
            _ => (Self::Maintenance(member, true), Some((for_ns, Self::Maintenance(member, false)))),
        }
    }
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        let members = self.nodes.len();
        match fault {
            Fault::Start(member) => self.start(member),
            Fault::Crash(member) => self.crash(member),
            Fault::Pause(member, for_ns) => self.pause(member, for_ns, false),
            Fault::Freeze(member, for_ns) => self.pause(member, for_ns, true),
            Fault::Resume(member) => self.resume(member),
            Fault::Loss(from, to, permille) => self.loss[from][to] = permille,
            Fault::LossEverywhere(permille) => self.loss.iter_mut().for_each(|row| row.fill(permille)),
            Fault::CutOff(member, permille) => {
                for other in (0..members).filter(|other| *other != member) {
                    self.loss[member][other] = permille;
                    self.loss[other][member] = permille;
                }
            }
            Fault::StoreAway(member, away) => self.store_reachable[member] = !away,
            Fault::StoreAwayForAll(away) => self.store_reachable.fill(!away),
            Fault::StoreEmptied => {
                self.store_forgets();
                self.register.clear();
                self.roster = None;
            }
            Fault::StoreBackup => self.backup = self.register.clone(),
            Fault::StoreRestored => {
                self.store_forgets();
                // Without the list, which an operator is told to leave out.
                self.register = self.backup.clone();
            }
            Fault::Slow(delay_ns) => self.delay_ns = delay_ns,
            // A machine that stands still sets no clock; one that was set back by just as long as it stood still could not tell.
            Fault::WallClockSteps(member, _) if self.nodes[member].frozen => {}
            Fault::WallClockSteps(member, by_ns) => {
                self.nodes[member].wall_step += by_ns;
                self.look_at_wall_clock(member);
            }
            Fault::MovesFail(permille) => self.moves_fail = permille,
            Fault::SwitchOver(member, service) => self.order(member, service),
            Fault::Maintenance(member, on) => self.maintain(member, on),
            Fault::Belongs(member, belongs) => self.nodes[member].belongs = belongs,
            Fault::AllWell => {
                self.loss.iter_mut().for_each(|row| row.fill(0));
                self.store_reachable.fill(true);
                self.delay_ns = MS / 2;
                self.moves_fail = 0;
                for member in 0..members {
                    self.maintain(member, false);
                }
            }
        }
    }
}
