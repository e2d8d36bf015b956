//! A fuzzer for machines that have none: seeded mutations of real captures, with words from the dictionaries.
//! `DECODERS_RUNS` says how many for each target, `DECODERS_SEED` which.

use std::{fs, panic, path::Path};

use rand::{RngExt, SeedableRng, rngs::StdRng};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `fuzz/run` gives the fuzzer as well.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = match target {
        "zk" => "drivers/zk/tests/captures",
        "zk_push" => "drivers/zk-push/tests/captures",
        "config" => return vec![fs::read(root().join("config.example.toml")).unwrap()],
        _ => return vec![fs::read(root().join("fuzz/seeds/journal/segment")).unwrap()],
    };
    let mut found = Vec::new();
    for case in fs::read_dir(root().join(folder)).unwrap() {
        let case = case.unwrap().path();
        found.extend(fs::read(case.join("request")));
        if let Ok(text) = fs::read_to_string(case.join("terminal.hex")) {
            // Each line of a capture, its hex digits as bytes.
            found.extend(text.lines().filter(|line| !line.starts_with('#')).map(|line| {
                let words = line.split_whitespace().filter(|word| word.len().is_multiple_of(2));
                let bytes = words.flat_map(|word| {
                    (0..word.len()).step_by(2).map_while(|at| u8::from_str_radix(word.get(at..at + 2)?, 16).ok())
                });
                bytes.collect()
            }));
        }
    }
    assert!(!found.is_empty(), "{target} has no captures");
    found
}

/// The words of a dictionary in libFuzzer's form.
fn words(target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(root().join(format!("fuzz/dictionaries/{target}.dict"))).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    lines
        .map(|line| {
            let (mut bytes, mut rest) = (Vec::new(), line);
            while let Some(c) = rest.chars().next() {
                let escaped = rest.strip_prefix("\\x").and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
                match escaped {
                    Some(byte) => (bytes.push(byte), rest = &rest[4..]),
                    None => (bytes.extend(c.to_string().as_bytes()), rest = &rest[c.len_utf8()..]),
                };
            }
            bytes
        })
        .collect()
}

fn mutate(bytes: &mut Vec<u8>, words: &[Vec<u8>], random: &mut StdRng) {
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, b'\t', b'\n'][random.random_range(0..7)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.random_range(0..64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => drop(bytes.drain(at..(at + random.random_range(0..32)).min(bytes.len()))),
            5 if !words.is_empty() => {
                let word = words[random.random_range(0..words.len())].clone();
                bytes.splice(at..at, word);
            }
            _ => bytes.splice(at..at, (0..random.random_range(0..9)).map(|_| random.random())).for_each(drop),
        }
    }
    bytes.truncate(1 << 17);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut random = StdRng::seed_from_u64(number("DECODERS_SEED").unwrap_or(1));
    for (name, target) in decoders::ALL {
        let (seeds, words) = (seeds(name), words(name));
        // Files cost more than bytes in memory.
        let runs = if matches!(*name, "journal" | "config") { 300 } else { 20_000 };
        for run in 0..number("DECODERS_RUNS").unwrap_or(runs) {
            let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
            if run > 0 {
                mutate(&mut bytes, &words, &mut random);
            }
            if let Err(error) = panic::catch_unwind(|| target(&bytes)) {
                let path = std::env::temp_dir().join(format!("decoders-{name}-{run}"));
                fs::write(&path, &bytes).unwrap();
                println!("{name} panicked on what is now in {}", path.display());
                panic::resume_unwind(error);
            }
        }
    }
}
