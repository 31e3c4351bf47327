//! What must hold for any octets: driven by property tests here and by the fuzzer.

use tandem_codec::Level;
use tandem_codec::dtmf::Event;
use tandem_codec::g722::{
    ConcealingDecoder, ConcealingJob, EncodeJob, Encoder, Mode, decode_or_conceal_batch, encode_batch,
};

/// Calls side by side: more than one vector, and not a whole number of any.
const CALLS: usize = 37;

/// Decodes octets as several calls' payloads of uneven lengths in all modes, some of them lost, at every level: the same samples come out.
///
/// The first octet decides what is lost.
pub(crate) fn decode(input: &[u8]) {
    let Some((weather, octets)) = input.split_first() else { return };
    let runs = octets.chunks(CALLS * 23).take(8);
    let mut reference: Option<Vec<Vec<i16>>> = None;
    for level in Level::available() {
        let mut states: Vec<ConcealingDecoder> =
            (0..CALLS).map(|call| ConcealingDecoder::new(Mode::ALL[call % 3])).collect();
        let mut heard = vec![Vec::new(); CALLS];
        for (turn, run) in runs.clone().enumerate() {
            let mut pcm = vec![vec![0; 400]; CALLS];
            let mut lengths = [0; CALLS];
            let mut jobs = Vec::new();
            for (call, (state, pcm)) in states.iter_mut().zip(&mut pcm).enumerate() {
                let lost = weather.rotate_left((call + turn) as u32) & 3 == 3;
                // Overlapping stretches, so that few octets do for many calls.
                let start = (call * 7) % run.len();
                let octets = &run[start..run.len().min(start + 1 + (call * 29 + turn * 11) % 200)];
                lengths[call] = if lost { 160 } else { 2 * octets.len() };
                let (pcm, _) = pcm.split_at_mut(lengths[call]);
                jobs.push(ConcealingJob { state, octets: (!lost).then_some(octets), pcm });
            }
            decode_or_conceal_batch(level, &mut jobs);
            for ((heard, pcm), length) in heard.iter_mut().zip(&pcm).zip(lengths) {
                heard.extend_from_slice(&pcm[..length]);
            }
        }
        match &reference {
            Some(reference) => assert!(heard == *reference, "{level} decodes otherwise than the scalar reference"),
            None => reference = Some(heard),
        }
    }
}

/// Encodes samples as several calls', at every level: the same octets come out.
pub(crate) fn encode(pcm: &[i16]) {
    let mut reference: Option<Vec<Vec<u8>>> = None;
    for level in Level::available() {
        let mut states: Vec<Encoder> = (0..CALLS).map(|call| Encoder::new(Mode::ALL[call % 3])).collect();
        let mut sent = vec![vec![0; pcm.len() / 2]; CALLS];
        let mut jobs: Vec<EncodeJob<'_>> = states
            .iter_mut()
            .zip(&mut sent)
            .enumerate()
            .map(|(call, (state, octets))| EncodeJob { state, pcm: &pcm[(call * 2) % pcm.len().max(1)..], octets })
            .collect();
        encode_batch(level, &mut jobs);
        match &reference {
            Some(reference) => assert!(sent == *reference, "{level} encodes otherwise than the scalar reference"),
            None => reference = Some(sent),
        }
    }
}

/// Any octets as a telephone event: refused if too short, otherwise the first four read back as written but for the reserved bit.
pub(crate) fn telephone_event(payload: &[u8]) {
    match (Event::parse(payload), payload) {
        (Ok(event), [code, flags, high, low, ..]) => {
            assert_eq!(event.payload(), [*code, flags & !0x40, *high, *low]);
            assert_eq!(event.key().is_some(), *code < 16);
        }
        (Err(_), short) => assert!(short.len() < 4),
        (Ok(event), short) => panic!("{event:?} out of {short:?}"),
    }
}
