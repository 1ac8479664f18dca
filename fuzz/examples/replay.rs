//! Runs all targets over their corpus, then over a number of changed inputs each: no sanitizer, no coverage, no C++, and
//! so quick to build that every check can afford it. The same seed makes the same inputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, abort};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use longshore_fuzz::{TARGETS, Target, world};

/// Longest input, in bytes.
const BYTES_MAX: usize = 4096;
/// Most changes to one input.
const CHANGES_MAX: u64 = 6;

/// The target at work and its input, for whoever finds the process broken.
static AT_WORK: Mutex<(&str, Vec<u8>)> = Mutex::new(("", vec![]));

fn main() -> ExitCode {
    world::become_spawner();
    let mut args = std::env::args().skip(1);
    let (changes, seed) = (number(args.next(), 0), number(args.next(), now()));
    println!("seed {seed}");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        eprintln!("the input is {}", keep().display());
        // The server survives a panic in a request, and so would this process.
        abort();
    }));
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = words(&home.join("dictionary.txt"));
    for target in &TARGETS {
        let inputs = inputs(&home.join("corpus").join(target.name));
        inputs.iter().for_each(|input| run(target, input));
        mutate(target, &inputs, &words, changes, &mut Random(seed | 1));
        println!("{}: {} inputs, {changes} changed ones", target.name, inputs.len());
    }
    ExitCode::SUCCESS
}

fn number(text: Option<String>, otherwise: u64) -> u64 {
    text.map_or(otherwise, |text| text.parse().expect("usage: replay [CHANGES [SEED]]"))
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}

fn run(target: &'static Target, input: &[u8]) {
    *AT_WORK.lock().expect("one thread") = (target.name, input.to_vec());
    (target.check)(input);
}

/// Writes the input at work down, where the fuzzer would too.
fn keep() -> PathBuf {
    let (name, input) = &*AT_WORK.lock().expect("one thread");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(name);
    let path = folder.join(format!("replay-{:x}", now()));
    fs::create_dir_all(folder).and_then(|()| fs::write(&path, input)).expect("a disk with room");
    path
}

fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// The words of a dictionary in libFuzzer's form.
fn words(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).expect("a dictionary");
    let word = |line: &str| Some(line.strip_prefix('"')?.strip_suffix('"')?.replace("\\\"", "\"").into_bytes());
    text.lines().filter_map(word).collect()
}

fn mutate(target: &'static Target, inputs: &[Vec<u8>], words: &[Vec<u8>], changes: u64, random: &mut Random) {
    for _ in 0..changes {
        let mut input = random.one(inputs).clone();
        for _ in 0..=random.below(CHANGES_MAX) {
            change(&mut input, inputs, words, random);
        }
        input.truncate(BYTES_MAX);
        run(target, &input);
    }
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) {
    let from = random.place(input);
    let to = (from + random.below(16) as usize).min(input.len());
    match random.below(7) {
        0 => drop(input.splice(from..from, random.one(words).iter().copied())),
        1 => drop(input.splice(from..to, random.one(words).iter().copied())),
        2 => drop(input.drain(from..to)),
        3 => drop(input.splice(from..from, input[from..to].to_vec())),
        4 => drop(input.splice(from..to, [random.below(256) as u8])),
        5 => input.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        _ => {
            let other = random.one(inputs);
            let at = random.place(other);
            input.truncate(from);
            input.extend_from_slice(&other[at..]);
        }
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.below(input.len() as u64 + 1) as usize
    }
}
