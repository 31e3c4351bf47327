use super::{FORMAT, Report, VERSION, check};

/// The longest report that is read, in octets.
pub const MAX_FILE_BYTES: usize = 256 << 20;

/// Why a file is no report that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is nothing in it.
    #[error("{file}: empty; a run that was interrupted before its first point writes no report: measure again")]
    Empty {
        /// The file.
        file: String,
    },
    /// It is longer than [`MAX_FILE_BYTES`].
    #[error("{file}: longer than {} MiB, which is no capacity report", MAX_FILE_BYTES >> 20)]
    TooLong {
        /// The file.
        file: String,
    },
    /// It stops in the middle.
    #[error("{file}: ends in the middle (line {line}): the file was cut off; copy it again, or measure again")]
    CutOff {
        /// The file.
        file: String,
        /// Where it ends.
        line: usize,
    },
    /// It is not JSON, or not JSON of a report's shape.
    #[error("{file}: not a capacity report: {why}; `tandem capacity --out FILE` makes one")]
    Foreign {
        /// The file.
        file: String,
        /// What it is instead.
        why: String,
    },
    /// A newer program made it.
    #[error(
        "{file}: version {version} of the format, made by tandem {program}; this one reads up to {VERSION}: use tandem {program} or newer"
    )]
    Newer {
        /// The file.
        file: String,
        /// The version of its format.
        version: u64,
        /// The version of the program that made it, as far as it can be read.
        program: String,
    },
    /// A report whose content does not hold together.
    #[error("{file}: {field}: {why}; the report was changed or damaged: take the original, or measure again")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        field: String,
        /// What is wrong.
        why: String,
    },
}

/// Reads the text of a report strictly; `file` is what errors call it.
///
/// # Errors
/// Whatever is not a whole, consistent report of a version that this program knows.
pub fn read(file: &str, text: &[u8]) -> Result<Report, ReadError> {
    let file = || file.to_owned();
    if text.len() > MAX_FILE_BYTES {
        return Err(ReadError::TooLong { file: file() });
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty { file: file() });
    }
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => ReadError::CutOff { file: file(), line: error.line() },
        _ => ReadError::Foreign { file: file(), why: format!("not JSON: {error}") },
    })?;
    if value["format"] != FORMAT {
        let why = match &value["format"] {
            serde_json::Value::Null => format!("it has no field `format` that says `{FORMAT}`"),
            other => format!("its `format` is {other}, not \"{FORMAT}\""),
        };
        return Err(ReadError::Foreign { file: file(), why });
    }
    match value["version"].as_u64() {
        Some(version) if version > u64::from(VERSION) => {
            let program = value["made"]["program"].as_str().unwrap_or("of unknown version").to_owned();
            return Err(ReadError::Newer { file: file(), version, program });
        }
        Some(1..) => {}
        _ => {
            let why = "not a version number".to_owned();
            return Err(ReadError::Damaged { file: file(), field: "version".to_owned(), why });
        }
    }
    // From the text and not from the value, in which a key that is said twice has been lost.
    let mut json = serde_json::Deserializer::from_slice(text);
    let report: Report = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        ReadError::Damaged { file: file(), field, why: error.into_inner().to_string() }
    })?;
    check::check(&report).map_err(|(field, why)| ReadError::Damaged { file: file(), field, why })?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::super::{Breach, Report, Verdict, sample};
    use super::*;

    fn read_again(report: &Report) -> Result<Report, ReadError> {
        read("a.json", report.to_json().as_bytes())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let report = sample::report();
        assert_eq!(read_again(&report), Ok(report));
    }

    #[test]
    fn a_report_of_the_first_version_is_read_as_what_it_meant() {
        let mut value = serde_json::to_value(sample::report()).unwrap();
        value["version"] = 1.into();
        let measurement = &mut value["measurements"][0];
        let mut without = |pointer: &str, names: &[&str]| {
            let object = measurement.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            assert!(names.iter().all(|name| object.remove(*name).is_some()), "{names:?}");
        };
        without("/level", &["max_set_up_p99_us", "max_repeated_ppm", "discount_stops"]);
        without("/mix", &["loss_burst", "bursts"]);
        without("/mix/codecs/0", &["suites"]);
        without("", &["half_load"]);
        (0..5).for_each(|nth| without(&format!("/points/{nth}"), &["set_up", "given_up", "stops"]));
        let old = read("old.json", value.to_string().as_bytes()).unwrap();
        assert_eq!(old, Report { version: 1, ..sample::report() });
    }

    #[test]
    fn calls_per_second_are_kept_and_held_to_what_they_say() {
        let mut report = Report { measurements: vec![sample::rate("g711", 1000)], ..sample::report() };
        assert_eq!(read_again(&report).as_ref(), Ok(&report));
        report.measurements[0].points[0].traffic.calls_failed = 3;
        let error = read_again(&report).unwrap_err().to_string();
        assert!(error.contains("points[0].set_up.failures: do not add up to the 3 calls that failed"), "{error}");
        let mut other = sample::report();
        other.measurements[0].half_load = report.measurements[0].half_load.clone();
        let error = read_again(&other).unwrap_err().to_string();
        assert!(error.contains("half_load: only a measurement of calls per second has it"), "{error}");
        let mut other = sample::report();
        other.measurements[0].points[0].set_up = Some(Default::default());
        let error = read_again(&other).unwrap_err().to_string();
        assert!(error.contains("points[0].set_up: only a run of calls per second has it"), "{error}");
    }

    #[test]
    fn a_report_that_was_cut_off_anywhere_is_refused() {
        let text = sample::report().to_json();
        for end in 0..text.trim_end().len() {
            let error = read("a.json", &text.as_bytes()[..end]).unwrap_err();
            assert!(matches!(error, ReadError::CutOff { .. } | ReadError::Empty { .. }), "{end}: {error}");
        }
        let error = read("a.json", &text.as_bytes()[..text.len() / 2]).unwrap_err().to_string();
        assert!(error.starts_with("a.json: ends in the middle (line "), "{error}");
    }

    #[test]
    fn foreign_files_are_told_from_reports() {
        for text in ["hello", "{\"a\": 1}", "[]", "{\"format\": \"tandem-load-report\"}", "\u{0}\u{1}", "3"] {
            let error = read("a.json", text.as_bytes()).unwrap_err();
            assert!(matches!(error, ReadError::Foreign { .. }), "{text}: {error}");
        }
        assert!(matches!(read("a.json", b" \n"), Err(ReadError::Empty { .. })));
    }

    #[test]
    fn a_newer_report_says_which_program_reads_it() {
        let newer = Report { version: VERSION + 4, ..sample::report() };
        let text = newer.to_json();
        let text = text.replacen("\"program\": \"0.1.0\"", "\"program\": \"3.2.0\"", 1);
        let error = read("a.json", text.as_bytes()).unwrap_err().to_string();
        let version = newer.version;
        assert_eq!(
            error,
            format!(
                "a.json: version {version} of the format, made by tandem 3.2.0; this one reads up to {VERSION}: use tandem 3.2.0 or newer"
            )
        );
    }

    #[test]
    fn a_field_that_is_unknown_missing_or_of_another_type_is_named() {
        let text = sample::report().to_json();
        for (from, to, field) in [
            ("\"took_s\": 612.5", "\"took_s\": \"long\"", "made.took_s"),
            ("\"calls_up\": 250,", "\"calls_up\": -1,", "measurements[0].points[0].traffic.calls_up"),
            ("\"verdict\": \"holds\"", "\"verdict\": \"fine\"", "measurements[0].points[0].verdict"),
            ("\"kernel\":", "\"colonel\":", "machine.colonel"),
        ] {
            assert!(text.contains(from), "{from}");
            match read("a.json", text.replacen(from, to, 1).as_bytes()) {
                Err(ReadError::Damaged { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn numbers_that_contradict_each_other_are_found() {
        type Damage = fn(&mut Report);
        let damages: [(&str, Damage); 12] = [
            ("measurements", |r| r.measurements.clear()),
            ("measurements[1].name", |r| r.measurements.push(r.measurements[0].clone())),
            ("measurements[0].mix.codecs", |r| r.measurements[0].mix.codecs[0].share = 0.5),
            ("measurements[0].answer.held", |r| r.measurements[0].answer.held = 999),
            ("measurements[0].answer.range", |r| r.measurements[0].answer.range = None),
            ("measurements[0].answer.void_runs", |r| r.measurements[0].answer.void_runs = 1),
            ("measurements[0].points[1].calls", |r| r.measurements[0].points[1].calls = 0),
            ("measurements[0].points[0].breaches", |r| r.measurements[0].points[0].breaches = vec![Breach::Audio]),
            ("measurements[0].points[0].void_because", |r| r.measurements[0].points[0].verdict = Verdict::Void),
            ("measurements[0].points[0].traffic.lost", |r| r.measurements[0].points[0].traffic.lost = u64::MAX),
            ("measurements[0].points[0].latency.histogram", |r| {
                r.measurements[0].points[0].latency.as_mut().unwrap().histogram[0].count = u64::MAX;
            }),
            ("measurements[0].points[0].gateway.cores[0].busy", |r| {
                r.measurements[0].points[0].gateway.as_mut().unwrap().cores[0].busy = 1.5;
            }),
        ];
        for (field, damage) in damages {
            let mut report = sample::report();
            damage(&mut report);
            match read_again(&report) {
                Err(ReadError::Damaged { field: found, .. }) => assert_eq!(found, field),
                // The count of voids is wrong as well, and stands behind.
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn no_octets_make_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
                prop_assert!(read("a.json", &octets).is_err());
            }

            /// One octet that changed is refused, or changes nothing but the value it stands in.
            #[test]
            fn a_report_with_one_octet_changed_is_refused_or_consistent(at in any::<prop::sample::Index>(), octet in any::<u8>()) {
                let mut text = sample::report().to_json().into_bytes();
                let at = at.index(text.len());
                text[at] = octet;
                if let Ok(report) = read("a.json", &text) {
                    prop_assert!(read("a.json", report.to_json().as_bytes()).is_ok());
                }
            }
        }
    }
}
