//! Every decoder on mutated bytes: the targets of `fuzz/`, driven by a seeded mutator over real captures; and by libFuzzer
//! where cargo-fuzz and a nightly toolchain are to be had.

mod seeds;

use std::{
    fs, panic,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::seeds::seeds;
use crate::{
    Plan,
    daemon::memory_kib,
    row::{Report, Row},
    targets::{TARGETS, Target},
};

/// No decoder takes longer for an input of this size, on a busy machine and without optimisation.
const SLOW: Duration = Duration::from_secs(2);
const LONGEST: usize = 64 << 10;
/// What all inputs together may add to the memory of this process.
const MEMORY_KIB: u64 = 256 << 10;

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let count = plan.times(20_000, 2_000_000);
    // A panic is what is looked for: it is told once, with its input, not as it happens.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    for target in TARGETS.iter().filter(|target| plan.wants(target.name)) {
        let mut row = Row { rig: "fuzz", case: target.name.into(), count, without_punches: true, ..Row::default() };
        drive(plan, target, &root, &mut row)?;
        report.add(&row)?;
    }
    panic::set_hook(hook);
    // To build the targets takes minutes, so only whoever asks for this rig gets it.
    if plan.is_brief() { Ok(()) } else { libfuzzer(plan, &root, report) }
}

fn drive(plan: &Plan, target: &Target, root: &Path, row: &mut Row) -> anyhow::Result<()> {
    let (seeds, words) = (seeds(target.name, root)?, words(target, root)?);
    let mut random = StdRng::seed_from_u64(plan.seed);
    let memory = || memory_kib(std::process::id(), "VmHWM:").unwrap_or(0);
    let before = memory();
    let mut inputs = seeds.clone();
    inputs.resize_with(seeds.len().max(usize::try_from(row.count)?), Vec::new);
    for (number, input) in inputs.iter_mut().enumerate() {
        // The seeds themselves come first, as they are.
        if number >= seeds.len() {
            *input = mutated(&seeds, &words, &mut random);
        }
        let begun = Instant::now();
        let done = panic::catch_unwind(|| (target.run)(input));
        let wrong = match done {
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                Some(words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned())
            }
            Ok(()) if begun.elapsed() > SLOW => Some(format!("it took {:?}", begun.elapsed())),
            Ok(()) => None,
        };
        if let Some(wrong) = wrong {
            let kept = std::env::temp_dir().join(format!("punchgate-fuzz-{}-{}-{number}", target.name, plan.seed));
            fs::write(&kept, &*input)?;
            row.complaints.push(format!("{wrong}; the input is {}", kept.display()));
            if row.complaints.len() == 5 {
                break;
            }
        }
        *input = Vec::new(); // a million of them are not kept
    }
    if memory() > before + MEMORY_KIB + ((row.count * target.keeps) >> 10) {
        row.complaints.push(format!("memory rose by {} MiB", (memory() - before) >> 10));
    }
    Ok(())
}

/// A seed, or two of them, and some accidents.
fn mutated(seeds: &[Vec<u8>], words: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    const ODD: [u8; 12] = [0, 1, 0x7F, 0x80, 0xFF, b'\t', b'\n', b'\r', b'=', b'&', b'%', b' '];
    const NUMBERS: [u32; 8] = [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF, 0x1_0000, 0x0100_0000];
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..9) {
        let at = random.random_range(0..=bytes.len());
        let left = bytes.len() - at;
        let piece = at..at + random.random_range(0..=left.min(64));
        match random.random_range(0..11) {
            0 if left > 0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 if left > 0 => bytes[at] = ODD[random.random_range(0..ODD.len())],
            2 => bytes.insert(at, random.random()),
            3 => _ = bytes.drain(piece),
            4 => {
                let copy = bytes[piece].repeat(random.random_range(1..32));
                bytes.splice(at..at, copy);
            }
            5 if left >= 4 => {
                let number = NUMBERS[random.random_range(0..NUMBERS.len())].wrapping_add(random.random_range(0..3));
                let wide = if random.random() { 2 } else { 4 };
                bytes[at..at + wide].copy_from_slice(&number.to_le_bytes()[..wide]);
            }
            6 | 7 if !words.is_empty() => {
                let word = words[random.random_range(0..words.len())].iter().copied();
                let place = if random.random() { at..at } else { piece };
                bytes.splice(place, word);
            }
            8 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.random_range(0..=other.len())..]);
            }
            9 => bytes.truncate(at),
            _ => {
                let noise: Vec<u8> = (0..random.random_range(0..32)).map(|_| random.random()).collect();
                bytes.splice(piece, noise);
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// The dictionary, as libFuzzer reads it: a quoted word a line.
fn words(target: &Target, root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(dictionary(target, root))?;
    let lines = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    lines
        .map(|word| {
            let (mut bytes, mut rest) = (Vec::new(), word.bytes());
            while let Some(byte) = rest.next() {
                if byte != b'\\' {
                    bytes.push(byte);
                    continue;
                }
                match rest.next() {
                    Some(b'x') => {
                        let digits: String = rest.by_ref().take(2).map(char::from).collect();
                        bytes.push(u8::from_str_radix(&digits, 16)?);
                    }
                    other => bytes.extend(other),
                }
            }
            Ok(bytes)
        })
        .collect()
}

fn dictionary(target: &Target, root: &Path) -> PathBuf {
    root.join("fuzz/dictionaries").join(format!("{}.dict", target.words))
}

fn libfuzzer(plan: &Plan, root: &Path, report: &mut Report) -> anyhow::Result<()> {
    let works = |words: &[&str]| {
        let output = Command::new("cargo").args(words).current_dir(root).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works(&["+nightly", "fuzz", "--version"]) {
        report.skip("libFuzzer", "needs cargo-fuzz and a nightly toolchain");
        return Ok(());
    }
    let seconds = if plan.full { 3_600 } else { 60 };
    for target in TARGETS.iter().filter(|target| plan.wants(target.name)) {
        let corpus = root.join("fuzz/corpus").join(target.name);
        fs::create_dir_all(&corpus)?;
        for (number, seed) in seeds(target.name, root)?.iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number:03}")), seed)?;
        }
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", target.name]).arg(&corpus).arg("--").current_dir(root);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-seed={}", plan.seed));
        command.arg(format!("-dict={}", dictionary(target, root).display())).arg("-print_final_stats=1");
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let number = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let count = number.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        let case = format!("{}: libFuzzer for {seconds} s", target.name);
        let mut row = Row { rig: "fuzz", case, count, without_punches: true, ..Row::default() };
        if !output.status.success() || count == 0 {
            row.complaints.push(crate::kill::tail(&said));
        }
        report.add(&row)?;
    }
    Ok(())
}
