//! The workers' cores: there, allowed, distinct, and not all there are.

use std::collections::BTreeSet;

use super::{Finding, Machine};

const FIELD: &str = "workers.cores";

pub(super) fn check(machine: &Machine, wanted: &[usize]) -> Vec<Finding> {
    let online = machine.read("sys/devices/system/cpu/online").and_then(|text| parse_list(&text));
    let allowed = machine.status("Cpus_allowed_list").and_then(|text| parse_list(&text));
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, core) in wanted.iter().enumerate() {
        let field = format!("{FIELD}[{i}]");
        if !seen.insert(*core) {
            findings.push(Finding::blocks(
                &field,
                format!("core {core} is named twice, and a worker needs one to itself"),
                format!("name each core once in {FIELD}"),
            ));
        } else if let Some(there) = online.as_ref().filter(|there| !there.contains(core)) {
            findings.push(Finding::blocks(
                &field,
                format!("there is no core {core}: online are {}", print_list(there)),
                "lscpu --extended   # then name cores that are there",
            ));
        } else if let Some(allowed) = allowed.as_ref().filter(|allowed| !allowed.contains(core)) {
            findings.push(Finding::blocks(
                &field,
                format!("this process may not use core {core}, only {}", print_list(allowed)),
                "give it the core: taskset, AllowedCPUs= of its systemd unit, or the cpuset of its container",
            ));
        }
    }
    if let Some(usable) = allowed.or(online)
        && !usable.is_empty()
        && usable.is_subset(&seen)
    {
        findings.push(Finding::advice(
            FIELD,
            format!(
                "the workers keep every core busy ({}): SIP and the kernel's own work wait for them",
                print_list(&usable)
            ),
            format!("leave at least one core out of {FIELD}"),
        ));
    }
    findings
}

/// Reads the kernel's notation of sets of cores, `0-3,8`. Not more than the kernel can have.
fn parse_list(text: &str) -> Option<BTreeSet<usize>> {
    const MOST: usize = 8192;
    let mut cores = BTreeSet::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        cores.extend(first..=last.min(MOST));
    }
    Some(cores)
}

/// Writes it.
fn print_list(cores: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => ranges.push((core, core)),
        }
    }
    let ranges = ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    ranges.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::Fixture;
    use super::*;

    #[test]
    fn cores_that_are_there_and_leave_one_over_are_fine() {
        assert_eq!(check(Fixture::complete().machine(), &[1, 2, 3]), []);
    }

    #[test]
    fn a_core_named_twice_is_found_where_it_is_named_again() {
        let findings = check(Fixture::complete().machine(), &[1, 2, 1]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].field, "workers.cores[2]");
    }

    #[test]
    fn a_core_that_is_not_there_is_told_with_those_that_are() {
        let findings = check(Fixture::complete().machine(), &[9]);
        assert_eq!(findings[0].what, "there is no core 9: online are 0-3");
    }

    #[test]
    fn a_core_outside_the_cpuset_is_told() {
        let fixture = Fixture::complete();
        fixture.write("proc/self/status", "Name:\ttandem\nCpus_allowed_list:\t0,2-3\n");
        let findings = check(fixture.machine(), &[1]);
        assert_eq!(findings[0].what, "this process may not use core 1, only 0,2-3");
    }

    #[test]
    fn workers_on_every_core_are_advised_against() {
        let findings = check(Fixture::complete().machine(), &[0, 1, 2, 3]);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].severity, findings[0].field.as_str()), (Severity::Advice, FIELD));
    }

    #[test]
    fn lists_read_and_print_as_the_kernel_writes_them() {
        for text in ["0", "0-3", "0-1,4,6-7", ""] {
            assert_eq!(print_list(&parse_list(text).unwrap()), text);
        }
        assert_eq!(parse_list("0-x"), None);
        assert!(parse_list("0-99999999999").unwrap().len() < 10_000);
    }
}
