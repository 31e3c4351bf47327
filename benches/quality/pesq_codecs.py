#!/usr/bin/env python3
"""Scores speech that went through `tandem codec` against the original (PESQ, ITU-T P.862 and P.862.2)."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pesq import pesq
from scipy.io import wavfile
from scipy.signal import firwin, resample_poly

SPEECH = Path(__file__).resolve().parent.parent / "speech"
CLIPS = ["caller.wav", "callee.wav"]

# Name, sampling rate, the codecs one after the other, whether the speech comes by microphone and telephone first, and the
# least mean score; without one the row is for information.
CHAINS = [
    ("G.711 A-law", 8000, ["pcma"], True, None),
    ("G.729A", 8000, ["g729"], True, 3.5),
    ("A-law > G.729A > A-law", 8000, ["pcma", "g729", "pcma"], True, None),
    ("G.729A, as synthesised", 8000, ["g729"], False, None),
    ("G.722 64 kbit/s", 16000, ["g722"], True, 4.2),
    ("G.722, as synthesised", 16000, ["g722"], False, None),
]

# Pass bands of a narrow-band and of a wide-band telephone (the latter as ITU-T P.341 has it), Hz.
BANDS_HZ = {8000: (200, 3400), 16000: (50, 7000)}
# Nominal active speech level and the noise of a quiet room, relative to the overload point.
SPEECH_DBOV = -26.0
ROOM_NOISE_DBOV = -55.0


def run(*command):
    """Runs a command and leaves with its message if it fails."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stderr}")


def through(tandem, chain, original, folder):
    """The file of `original` after all codecs of the chain."""
    coded = folder / "0"
    run(tandem, "codec", "encode", "--codec", chain[0], original, coded)
    for step, (source, target) in enumerate(zip(chain, chain[1:]), start=1):
        following = folder / str(step)
        run(tandem, "codec", "transcode", "--from", source, "--to", target, coded, following)
        coded = following
    decoded = folder / "decoded.wav"
    run(tandem, "codec", "decode", "--codec", chain[-1], coded, decoded)
    return decoded


def by_telephone(samples, rate):
    """Synthetic speech as a telephone would send it: its band, nominal level, and a room that is never quite silent."""
    samples = np.convolve(samples, firwin(401, BANDS_HZ[rate], fs=rate, pass_zero=False), "same")
    active = samples[np.abs(samples) > 0.02 * np.abs(samples).max()]
    samples *= 32768 * 10 ** (SPEECH_DBOV / 20) / np.sqrt(np.mean(active**2))
    return samples + np.random.default_rng(1).normal(0, 32768 * 10 ** (ROOM_NOISE_DBOV / 20), len(samples))


def score(tandem, rate, chain, telephone, clip):
    """PESQ of one recording after a chain of codecs."""
    clip_rate, samples = wavfile.read(SPEECH / clip)
    samples = samples.astype(np.float64)
    if rate != clip_rate:
        samples = resample_poly(samples, rate, clip_rate)
    if telephone:
        samples = by_telephone(samples, rate)
    samples = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        original = folder / "original.wav"
        wavfile.write(original, rate, samples)
        decoded_rate, decoded = wavfile.read(through(tandem, chain, original, folder))
    if decoded_rate != rate:
        sys.exit(f"{chain}: decoded at {decoded_rate} Hz, not {rate} Hz")
    return pesq(rate, samples, decoded, "wb" if rate == 16000 else "nb")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tandem", type=Path, default=Path("target/release/tandem"), help="the gateway's binary")
    tandem = parser.parse_args().tandem
    if not tandem.is_file():
        sys.exit(f"no {tandem}: build it with `cargo build --release -p tandem-gateway`, or name it with --tandem")
    failed = False
    print(f"{'codec':26}" + "".join(f"{clip:>14}" for clip in CLIPS) + f"{'mean':>8}{'least':>8}")
    for name, rate, chain, telephone, least in CHAINS:
        scores = [score(tandem, rate, chain, telephone, clip) for clip in CLIPS]
        mean = sum(scores) / len(scores)
        failed |= least is not None and mean < least
        columns = "".join(f"{one:14.2f}" for one in scores)
        print(f"{name:26}{columns}{mean:8.2f}" + (f"{least:8.2f}" if least is not None else f"{'':>8}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
