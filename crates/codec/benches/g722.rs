//! G.722 on one core: channels that each level carries, beside spandsp's where that is installed.
#![allow(missing_docs, clippy::unwrap_used)]

mod measure;
#[path = "peers/spandsp.rs"]
mod spandsp;
mod speech;

use tandem_codec::Level;
use tandem_codec::g722::{
    ConcealingDecoder, ConcealingJob, DecodeJob, Decoder, EncodeJob, Encoder, decode_batch, decode_or_conceal_batch,
    encode_batch,
};
use tandem_codec::resample::{NarrowResampler, Rate};

/// Calls of a batch.
const CALLS: usize = 256;
/// Octets of 20 ms.
const PACKET: usize = 160;
/// Packets of a measured piece of work.
const PACKETS: usize = 10;
/// Seconds of it.
const AUDIO_S: f64 = (CALLS * PACKETS) as f64 * 0.02;

fn main() {
    let pcm = speech::at_16_khz();
    let pcm = &pcm[..pcm.len() / (2 * PACKET) * 2 * PACKET];
    let mut octets = vec![0; pcm.len() / 2];
    Encoder::default().encode(pcm, &mut octets);
    let packets = octets.len() / PACKET;
    // Each call is somewhere else in the speech.
    let at = |call: usize, packet: usize| (call * 17 + packet) % packets;

    println!("{:12} {:>10} {:>10} {:>22}   (channels per core)", "G.722", "encode", "decode", "decode, concealing");
    let rates = [(Rate::Hz8000, Rate::Hz16000), (Rate::Hz16000, Rate::Hz8000)];
    for level in Level::available() {
        let mut encoders = vec![Encoder::default(); CALLS];
        let mut coded = vec![[0; PACKET]; CALLS];
        let mut turn = 0;
        let encode = measure::channels_per_core(AUDIO_S, || {
            for _ in 0..PACKETS {
                let mut jobs: Vec<EncodeJob<'_>> = encoders
                    .iter_mut()
                    .zip(&mut coded)
                    .enumerate()
                    .map(|(call, (state, octets))| EncodeJob {
                        state,
                        pcm: &pcm[2 * PACKET * at(call, turn)..][..2 * PACKET],
                        octets,
                    })
                    .collect();
                encode_batch(level, &mut jobs);
                turn += 1;
            }
        });
        let mut decoders = vec![Decoder::default(); CALLS];
        let mut heard = vec![[0; 2 * PACKET]; CALLS];
        let decode = measure::channels_per_core(AUDIO_S, || {
            for _ in 0..PACKETS {
                let mut jobs: Vec<DecodeJob<'_>> = decoders
                    .iter_mut()
                    .zip(&mut heard)
                    .enumerate()
                    .map(|(call, (state, pcm))| DecodeJob {
                        state,
                        octets: &octets[PACKET * at(call, turn)..][..PACKET],
                        pcm,
                    })
                    .collect();
                decode_batch(level, &mut jobs);
                turn += 1;
            }
        });
        // Once something has been lost, the high band is filtered for four seconds: most calls, most of the time.
        let mut decoders = vec![ConcealingDecoder::default(); CALLS];
        let concealing = measure::channels_per_core(AUDIO_S, || {
            for _ in 0..PACKETS {
                let mut jobs: Vec<ConcealingJob<'_>> = decoders
                    .iter_mut()
                    .zip(&mut heard)
                    .enumerate()
                    .map(|(call, (state, pcm))| {
                        let received = (call + turn) % 100 != 0;
                        let octets = received.then(|| &octets[PACKET * at(call, turn)..][..PACKET]);
                        ConcealingJob { state, octets, pcm }
                    })
                    .collect();
                decode_or_conceal_batch(level, &mut jobs);
                turn += 1;
            }
        });
        // What stands between G.722 and the codecs of 8 kHz.
        let [raise, lower] = rates.map(|(from, to)| {
            let mut resamplers = vec![NarrowResampler::new(from, to); CALLS];
            let (length, mut converted) = (20 * from.samples_per_ms(), [0; 2 * PACKET]);
            let mut turn = 0;
            measure::channels_per_core(AUDIO_S, || {
                for _ in 0..PACKETS {
                    for (call, resampler) in resamplers.iter_mut().enumerate() {
                        resampler.process(level, &pcm[length * at(call, turn)..][..length], &mut converted);
                    }
                    turn += 1;
                }
            })
        });
        println!("{:12} {encode:10.0} {decode:10.0} {concealing:13.0}, 1 % lost", level.name());
        println!("{:12} {raise:10.0} to 16 kHz {lower:10.0} to 8 kHz", "");
    }

    let Some(peer) = spandsp::Spandsp::load() else {
        println!("spandsp      not installed");
        return;
    };
    let mut encoders: Vec<spandsp::Encoder> = (0..CALLS).map(|_| peer.encoder()).collect();
    let mut decoders: Vec<spandsp::Decoder> = (0..CALLS).map(|_| peer.decoder()).collect();
    let (mut coded, mut heard) = ([0; PACKET], [0; 2 * PACKET]);
    let mut turn = 0;
    let encode = measure::channels_per_core(AUDIO_S, || {
        for _ in 0..PACKETS {
            for (call, encoder) in encoders.iter_mut().enumerate() {
                encoder.encode(&pcm[2 * PACKET * at(call, turn)..][..2 * PACKET], &mut coded);
            }
            turn += 1;
        }
    });
    let decode = measure::channels_per_core(AUDIO_S, || {
        for _ in 0..PACKETS {
            for (call, decoder) in decoders.iter_mut().enumerate() {
                decoder.decode(&octets[PACKET * at(call, turn)..][..PACKET], &mut heard);
            }
            turn += 1;
        }
    });
    println!("{:12} {encode:10.0} {decode:10.0}", "spandsp");
}
